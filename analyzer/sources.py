"""Turning spans into places of a report."""

from __future__ import annotations

from pathlib import Path

from analyzer import report
from analyzer.source import Span
from analyzer.syntax.load import text_of


class Sources:
    """Turns spans into places with their text; reads each file once."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def line(self, file: str, number: int) -> str:
        """A line of a file, numbered from 1; empty when it cannot be read."""
        if file not in self._lines:
            self._lines[file] = text_of(file).splitlines()
        lines = self._lines[file]
        return lines[number - 1] if number <= len(lines) else ""

    def place(self, span: Span | None) -> report.Place | None:
        """The place of a span; its text is empty when the file cannot be read."""
        if span is None:
            return None
        text = self.line(span.file, span.line)
        end = span.column + span.end - span.start
        return report.Place(Path(span.file).name, span.line, span.column, span.line, min(end, len(text) + 1), text)
