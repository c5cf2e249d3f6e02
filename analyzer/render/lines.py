"""Lines for a terminal: excerpts of sources with a caret, labelled notes, and plain letters where only those print."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from importlib.resources import files
from pathlib import Path

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from analyzer.errors import Diagnostic
from analyzer.report import Place
from analyzer.source import Span


class Look(Struct, frozen=True):
    """How to print: `ascii` avoids other characters, `table` adds the instruction table, `quiet` omits findings."""

    ascii: bool = False
    table: bool = False
    quiet: bool = False


TRANSLITERATED = str.maketrans(
    {
        "✔": "ok", "✘": "no", "∅": "--", "│": "|", "—": "-", "–": "-", "…": "...", "→": "->", "≠": "!=", "≤": "<=",
        "≥": ">=", "⊆": "subset of", "·": ".", "“": '"', "”": '"', "’": "'", "‘": "'", "×": "x", "∧": "and", "∨": "or",
    }
)  # fmt: skip


def plain(text: str) -> str:
    """Text in ASCII.

    >>> plain("a ≤ b — naïve")
    'a <= b - naive'
    """
    known = text.translate(TRANSLITERATED)
    return unicodedata.normalize("NFKD", known).encode("ascii", "ignore").decode() if not known.isascii() else known


def styled(lines: Iterable[Text], look: Look) -> Iterator[Text]:
    """The lines as they can be printed."""
    for line in lines:
        yield _in_ascii(line) if look.ascii and not line.plain.isascii() else line


def _in_ascii(line: Text) -> Text:
    """The line in ASCII, with its styles where they were."""
    out = Text(style=line.style)
    for part in line.divide(sorted({offset for span in line.spans for offset in (span.start, span.end)})):
        style = part.spans[0].style if part.spans else ""
        out.append(plain(part.plain), style)
    return out


def note(label: str, text: str) -> Text:
    """An indented line with a label."""
    return Text.assemble((f"    {label:<10}", "cyan"), text)


def visible(text: str) -> str:
    """A source line as it can be shown: control characters become visible ones.

    >>> visible("a\\x1b[31m")
    'a␛[31m'
    """
    return "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c != "\t" else c for c in text)


def excerpt(place: Place | None, file: str | None = None) -> Iterator[Text]:
    """The source line with carets under the span.  Never wrapped."""
    if place is None:
        return
    number = str(place.line)
    gutter = " " * len(number)
    yield Text(f"  {gutter}--> {file or place.file}:{place.line}:{place.column}", style="blue")
    text = visible(place.text or source_line(file or place.file, place.line))
    if not text.strip():
        return
    start, end = place.column - 1, min(place.end_column - 1, len(text)) if place.text else len(text)
    if end == len(text):  # the span goes on, or ends here: a comment at the end is no part of it
        end = len(text[:end].partition("  //")[0].rstrip())
    text, start, end = window(text, start, end)
    pad = "".join("\t" if c == "\t" else " " * cell_len(c) for c in text[:start])
    width = max(1, cell_len(text[start:end]))
    yield Text.assemble((f"  {number} │ ", "blue"), text)
    yield Text.assemble((f"  {gutter} │ ", "blue"), pad, ("^" * width, "bold red"))


LONGEST, CONTEXT = 400, 40
"""No line of a spec that people write is longer than the first; of one that is, so much is shown before the span."""


def window(text: str, start: int, end: int) -> tuple[str, int, int]:
    """A line and the span in it; of an endless line the part about the span.

    >>> window("x = 1", 4, 5)
    ('x = 1', 4, 5)
    >>> text, start, end = window("." * 1000 + "y" + "." * 1000, 1000, 1001)
    >>> len(text), text[start:end]
    (402, 'y')
    """
    if len(text) <= LONGEST:
        return text, start, end
    first = max(0, start - CONTEXT)
    last = min(len(text), first + LONGEST)
    before, after = "…" if first else "", "…" if last < len(text) else ""
    return before + text[first:last] + after, len(before) + start - first, len(before) + min(end, last) - first


def diagnostic_lines(diagnostic: Diagnostic) -> Iterator[Text]:
    """A diagnostic with its place and its hint."""
    style = "bold red" if diagnostic.severity == "error" else "bold yellow"
    head, *rest = diagnostic.message.split("\n")
    yield Text.assemble((f"{diagnostic.severity}[{diagnostic.code}]", style), (f": {visible(head)}", "bold"))
    yield from (Text(f"    {visible(line)}") for line in rest)
    if diagnostic.span is not None:
        yield from excerpt(place_of(diagnostic.span), diagnostic.span.file)
    if diagnostic.hint:
        head, *rest = diagnostic.hint.split("\n")
        yield Text.assemble(("  hint: ", "cyan"), visible(head))
        yield from (Text(f"        {visible(line)}") for line in rest)


def place_of(span: Span) -> Place:
    """The place of a span; its text is empty when the file cannot be read again."""
    text = source_line(span.file, span.line)
    end = min(span.column + span.end - span.start, len(text) + 1)
    return Place(span.file, span.line, span.column, span.line, end, text)


def source_line(file: str, number: int) -> str:
    """A line of a file, or else of the bundled spec of that name; empty if neither can be read."""
    for candidate in (Path(file), files("isa_specs") / file):
        try:
            if not candidate.is_file():
                continue
            lines = candidate.read_bytes().decode(errors="replace").split("\n")
        except (OSError, ValueError):
            continue
        return lines[number - 1].rstrip("\r") if number <= len(lines) else ""
    return ""


def side_by_side(heads: tuple[str, str], left: tuple[str, ...], right: tuple[str, ...]) -> Iterator[Text]:
    """Two texts in columns, with a mark between lines that differ.  Lines face each other that are about the same,
    which stands before their first colon; one that the other text lacks faces nothing."""
    width = max(len(line) for line in (heads[0], *left))
    yield Text(f"    {heads[0]:<{width}}     {heads[1]}".rstrip(), style="bold")
    for one, two in facing(left, right):
        yield Text(f"    {one:<{width}}  {' ' if one == two else '|'}  {two}".rstrip())


def facing(left: tuple[str, ...], right: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The lines of two texts in pairs, "" where one has no such line.  First lines and last lines belong together: they
    say where a run begins and how it ends.

    >>> list(facing(("begins", "r: 0 -> 1", "ends"), ("begins", "q: 0 -> 2", "r: 0 -> 3", "ends")))
    [('begins', 'begins'), ('', 'q: 0 -> 2'), ('r: 0 -> 1', 'r: 0 -> 3'), ('ends', 'ends')]
    """
    topics = [["", *(line.partition(":")[0] for line in text[1:-1]), ""] for text in (left, right)]
    for tag, i, j, k, m in SequenceMatcher(None, topics[0], topics[1], autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(left[i:j], right[k:m], strict=True)
        else:
            yield from ((line, "") for line in left[i:j])
            yield from (("", line) for line in right[k:m])
