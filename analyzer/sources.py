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

    def place(self, span: Span | None) -> report.Place | None:
        """The place of a span; its text is empty when the file cannot be read."""
        if span is None:
            return None
        if span.file not in self._lines:
            self._lines[span.file] = text_of(span.file).splitlines()
        lines = self._lines[span.file]
        text = lines[span.line - 1] if span.line <= len(lines) else ""
        end = span.column + span.end - span.start
        return report.Place(Path(span.file).name, span.line, span.column, span.line, min(end, len(text) + 1), text)
