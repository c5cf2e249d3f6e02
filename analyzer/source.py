"""Source text and places in it: every message of popek points at one."""

from __future__ import annotations

import re
from bisect import bisect_right

from msgspec import Struct, field


class Span(Struct, frozen=True, order=True, gc=False):
    """Characters [start, end) of a file.  `line` and `column` are those of `start`, from 1."""

    file: str
    start: int
    end: int
    line: int
    column: int

    def to(self, other: Span) -> Span:
        """From the beginning of this span to the end of `other`, in the same file."""
        return Span(self.file, self.start, max(self.end, other.end), self.line, self.column)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Source(Struct, frozen=True):
    """A text and the name it goes by in messages."""

    name: str
    text: str
    _starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts.append(0)
        self._starts.extend(m.end() for m in re.finditer("\n", self.text))

    def span(self, start: int, end: int) -> Span:
        """The span of characters [start, end).

        >>> str(Source("a.isa", "one\\ntwo").span(4, 7))
        'a.isa:2:1'
        """
        line = bisect_right(self._starts, start)
        return Span(self.name, start, end, line, start - self._starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a line, numbered from 1, without its line end."""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")
