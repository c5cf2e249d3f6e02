"""The table of the bundled machines."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from analyzer.catalog import Entry, SchemeVerdict
from analyzer.render.findings import VERDICTS, counted
from analyzer.render.human import STATUS_STYLE
from analyzer.render.lines import Look, styled


def listing(entries: tuple[Entry, ...], look: Look) -> Iterator[Text]:
    """A line for each machine and each of its schemes, then the count."""
    yield from styled(_lines(entries), look)


def _lines(entries: tuple[Entry, ...]) -> Iterator[Text]:
    name = max((len(e.name) for e in entries), default=0)
    scheme = max((len(s.name) for e in entries for s in e.schemes), default=0)
    for entry in entries:
        size = counted(entry.instructions, "instruction")
        yield Text.assemble((f"{entry.name:<{name}}", "bold"), f"  {entry.title or ''}", (f"  ({size})", "dim"))
        for verdict in entry.schemes:
            yield Text.assemble(" " * name, f"    {verdict.name:<{scheme}}  ", *told(verdict))
    yield Text()
    yield Text(f"{counted(len(entries), 'machine')}, {counted(sum(len(e.schemes) for e in entries), 'scheme')}")


def told(verdict: SchemeVerdict) -> list[str | tuple[str, str]]:
    """A verdict in words: Theorem 1, its holes, and what Theorems 2 and 3 add."""
    first, *others = verdict.theorems
    out: list[str | tuple[str, str]] = [(VERDICTS[first], STATUS_STYLE[first])]
    if verdict.holes:
        out.append(f", {counted(verdict.holes, 'hole')}")
    names = [
        name for name, status in zip(("recursively", "by a hybrid monitor"), others, strict=False) if status == "holds"
    ]
    if names:
        out.append(f"; {'also' if first == 'holds' else 'but'} {' and '.join(names)}")
    return out
