"""What is wrong with a spec, gathered: an item that fails does not keep the others from being checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from analyzer.errors import Diagnostic, SpecError
from analyzer.source import Span

MOST = 100
"""Diagnostics past this number are not collected: they are rarely about something else."""


class Failure(Exception):
    """Ends the elaboration of one statement or item; None if what is wrong has been reported already."""

    def __init__(self, diagnostic: Diagnostic | None) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic


def failure(code: str, message: str, span: Span | None, hint: str | None = None) -> Failure:
    """An error to raise."""
    return Failure(Diagnostic(code, message, span, hint))


def reported() -> Failure:
    """To raise about something that has been reported already."""
    return Failure(None)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known names.

    >>> did_you_mean("mstatsu", ["mstatus", "mepc"])
    'did you mean mstatus?'
    """
    near = get_close_matches(name, sorted(set(known)), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else None


@dataclass(slots=True)
class Problems:
    """Diagnostics in the making; equal ones at one place count once (rows of a table repeat them)."""

    found: list[Diagnostic] = field(default_factory=list)
    _seen: set[tuple[str, Span | None]] = field(default_factory=set)

    def add(self, diagnostic: Diagnostic) -> None:
        """Notes a diagnostic."""
        key = (diagnostic.code, diagnostic.span)
        if key not in self._seen and len(self.found) < MOST:
            self._seen.add(key)
            self.found.append(diagnostic)

    def report(
        self,
        code: str,
        message: str,
        span: Span | None,
        hint: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Notes a diagnostic and goes on."""
        self.add(Diagnostic(code, message, span, hint, severity))

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Turns a failure inside into a noted diagnostic."""
        try:
            yield
        except Failure as failure:
            if failure.diagnostic is not None:
                self.add(failure.diagnostic)

    @property
    def count(self) -> int:
        """How many there are so far: what follows from another one is not worth reporting."""
        return len(self.found)

    def errors(self) -> list[Diagnostic]:
        """The diagnostics that are errors."""
        return [d for d in self.found if d.severity == "error"]

    def raise_if_any(self, files: tuple[str, ...] = ()) -> None:
        """Raises a `SpecError` with all diagnostics, in source order, if one of them is an error."""
        if self.errors():
            order = {name: i for i, name in enumerate(files)}
            raise SpecError(tuple(sorted(self.found, key=lambda d: _place(d, order))))


def _place(diagnostic: Diagnostic, order: dict[str, int]) -> tuple[int, int]:
    span = diagnostic.span
    return (-1, 0) if span is None else (order.get(span.file, len(order)), span.start)
