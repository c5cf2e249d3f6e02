"""Assembly source as statements: comments, character constants, macros, repetitions and included files undone.

.include "file"             the lines of a file, found beside the one that names it
.macro name a, b  …  .endm  `name x, y` stands for the lines between, with `\\a` and `\\b` replaced; `\\@` is a number
                            that is new in each use, for labels
.rept n  …  .endr           the lines between, n times (a plain number)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from analyzer.errors import AssemblyError, Diagnostic
from analyzer.source import Source, Span

NESTED = 40
"""How deep macros, repetitions and included files may nest."""

LINES = 100_000
"""Lines that a program may have after expansion."""

Reader = Callable[[str], Source]
"""The file that `.include` names; raises OSError if there is none."""

_LABEL = re.compile(r"\s*([A-Za-z_.$][\w.$]*|[0-9]+)\s*:(?!:)")
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_CHARACTER = re.compile(rf"({_STRING})|'(\\x[0-9a-fA-F]{{2}}|\\.|[^'\\])'")
_COMMENT = re.compile(rf"({_STRING}|'(?:\\.|[^'\\])')|;.*|//.*")
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
}


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line: the label before the colon, the statement after it, the text as written; where the line is, and where the
    statement."""

    label: str | None
    statement: str
    text: str
    line: Span
    span: Span


@dataclass(frozen=True, slots=True)
class _Raw:
    """A line before it is looked into; `written` says that it stands in the source as it is here, and not in a
    macro."""

    text: str
    span: Span
    written: bool

    def after(self, code: str, label: re.Match[str] | None) -> Span:
        """The place of the statement."""
        if label is None or not self.written:
            return self.span
        rest = code[label.end() :]
        skipped = label.end() - (len(code) - len(code.lstrip())) + len(rest) - len(rest.lstrip())
        span = self.span
        return Span(span.file, min(span.start + skipped, span.end), span.end, span.line, span.column + skipped)


@dataclass(slots=True)
class _Macro:
    parameters: tuple[str, ...]
    body: list[_Raw]


@dataclass(slots=True)
class _Expander:
    read: Reader | None
    problems: list[Diagnostic]
    macros: dict[str, _Macro] = field(default_factory=dict)
    uses: int = 0
    made: int = 0

    def expand(self, lines: list[_Raw], depth: int = 0) -> Iterator[SourceLine]:
        if depth > NESTED:
            raise AssemblyError(Diagnostic("PG508", f"macros and files nest more than {NESTED} deep", lines[0].span))
        remaining = iter(lines)
        for each in remaining:
            raw, span = each.text, each.span
            self.made += 1
            if self.made > LINES:
                raise AssemblyError(too_long(span))
            code = _COMMENT.sub(lambda m: m[1] or "", raw).rstrip()
            label = _LABEL.match(code)
            statement = code[label.end() :].strip() if label else code.strip()
            word, _, rest = statement.partition(" ")
            rest = rest.strip()
            if label and (word.lower() in (".macro", ".rept", ".include") or word in self.macros):
                yield SourceLine(label[1], "", raw.rstrip(), span, span)
            match word.lower():
                case ".macro":
                    self.define(rest, list(self.until(remaining, ".macro", ".endm", span)), span)
                case ".rept":
                    body = list(self.until(remaining, ".rept", ".endr", span))
                    times = int(rest) if re.fullmatch(r"[0-9]{1,9}", rest) else self.bad(f"`{rest}` is no count", span)
                    if times * len(body) > LINES:
                        raise AssemblyError(too_long(span))
                    yield from self.expand(body * times, depth + 1)
                case ".include":
                    yield from self.expand(self.included(rest, span), depth + 1)
                case ".endm" | ".endr":
                    self.bad(f"`{word}` without its beginning", span)
                case _ if word in self.macros:
                    yield from self.expand(self.used(word, rest, span), depth + 1)
                case _:
                    numbered = _CHARACTER.sub(lambda m: m[1] or str(ord(unescaped(m[2]))), statement)
                    yield SourceLine(label[1] if label else None, numbered, raw.rstrip(), span, each.after(code, label))

    def bad(self, message: str, span: Span, code: str = "PG508") -> int:
        """Notes a problem; 0."""
        self.problems.append(Diagnostic(code, message, span))
        return 0

    def until(self, lines: Iterator[_Raw], begin: str, end: str, span: Span) -> Iterator[_Raw]:
        """The lines before the matching end."""
        depth = 1
        for line in lines:
            word = line.text.split()[0].lower() if line.text.split() else ""
            depth += (word == begin) - (word == end)
            if depth == 0:
                return
            yield line
        self.bad(f"`{begin}` has no `{end}`", span)

    def define(self, head: str, body: list[_Raw], span: Span) -> None:
        name, *parameters = re.split(r"[\s,]+", head.strip())
        if not all(re.fullmatch(r"[A-Za-z_]\w*", p) for p in (name, *parameters)):
            self.bad(f"`.macro {head}` is no `.macro NAME PARAMETER, …`", span)
            return
        self.macros[name] = _Macro(tuple(parameters), body)

    def used(self, name: str, given: str, span: Span) -> list[_Raw]:
        """The lines that a use of a macro stands for."""
        macro, arguments = self.macros[name], separated(given)
        self.uses += 1
        if len(arguments) != len(macro.parameters):
            wanted = f"{', '.join(macro.parameters)}" if macro.parameters else "none"
            self.bad(f"macro `{name}` has {len(macro.parameters)} parameters ({wanted}), not {len(arguments)}", span)
            return []
        values = dict(zip(macro.parameters, arguments, strict=True)) | {"@": str(self.uses)}

        def filled(text: str) -> str:
            return re.sub(r"\\(@|[A-Za-z_]\w*)", lambda m: values.get(m[1], m[0]), text)

        return [_Raw(filled(line.text), span, False) for line in macro.body]

    def included(self, given: str, span: Span) -> list[_Raw]:
        name = given.strip().strip('"')
        if self.read is None:
            self.bad("`.include` has nowhere to look for files", span)
            return []
        try:
            source = self.read(name)
        except (OSError, UnicodeDecodeError) as error:
            self.bad(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}", span)
            return []
        except AssemblyError as error:
            self.bad(error.diagnostic.message, span)
            return []
        return raw_lines(source)


def too_long(span: Span) -> Diagnostic:
    return Diagnostic("PG508", f"the program has more than {LINES:,} lines", span)


def raw_lines(source: Source) -> list[_Raw]:
    """The lines of a text, each with the span of its code (without what surrounds it)."""
    found = []
    start = 0
    for raw in source.text.split("\n"):
        code = _COMMENT.sub(lambda m: m[1] or "", raw).rstrip()
        offset = start + len(code) - len(code.lstrip())
        span = source.span(offset, start + len(code)) if code.strip() else source.span(start, start)
        found.append(_Raw(raw, span, True))
        start += len(raw) + 1
    return found


def statements(source: Source, read: Reader | None, problems: list[Diagnostic]) -> tuple[SourceLine, ...]:
    """The lines of a program; what is wrong with macros goes to `problems`.

    Raises:
        AssemblyError: PG508, the expansion does not end.
    """
    return tuple(_Expander(read, problems).expand(raw_lines(source)))


def separated(text: str) -> list[str]:
    """Operands between commas; those in strings, parentheses and brackets do not separate.

    >>> separated('1, (2,3), "a,b"')
    ['1', '(2,3)', '"a,b"']
    """
    parts, depth, start = [], 0, 0
    for token in re.finditer(rf"{_STRING}|[()\[\],]", text):
        depth += (token[0] in "([") - (token[0] in ")]") if len(token[0]) == 1 else 0
        if token[0] == "," and depth == 0:
            parts.append(text[start : token.start()].strip())
            start = token.end()
    last = text[start:].strip()
    return [*parts, last] if last or parts else []


def unescaped(text: str) -> str:
    """The characters that escaped text stands for.

    >>> unescaped("a" + chr(92) + "x41")
    'aA'
    """

    def character(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2])

    return re.sub(r"\\x([0-9a-fA-F]{2})|\\(.)", character, text)


def string(text: str) -> str | None:
    """The characters of a quoted string; None if the text is not one.

    >>> string('"hi"')
    'hi'
    """
    return unescaped(text[1:-1]) if re.fullmatch(_STRING, text) else None
