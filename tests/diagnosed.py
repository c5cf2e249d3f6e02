"""Diagnostics as the tests pin them: each with the line that it points at, and carets."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.errors import Diagnostic
from analyzer.source import Source


def told(diagnostics: Iterable[Diagnostic], source: Source) -> str:
    """The diagnostics one after the other; those about other files without the line."""
    out = []
    for diagnostic in diagnostics:
        text = f"{diagnostic}\n"
        span = diagnostic.span
        if span is not None and span.file == source.name:
            line = source.line(span.line)
            width = max(1, min(span.end - span.start, len(line) - span.column + 1))
            text += f"  | {line}\n  | {' ' * (span.column - 1)}{'^' * width}\n"
        out.append(text)
    return "\n".join(out)
