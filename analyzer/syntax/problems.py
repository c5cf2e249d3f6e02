"""What is wrong with a spec, gathered: an item that fails does not keep the others from being checked."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from analyzer.errors import Diagnostic, SpecError
from analyzer.source import Span

MOST = 100
"""Diagnostics past this number are not collected: they are rarely about something else."""


FAR, LONG, MANY = 4, 40, 2000
"""Names that differ more in length, or are longer, are not what was meant; and of so many that are left, not all are
compared."""


class Failure(Exception):
    """Ends the elaboration of one statement or item; None if what is wrong has been reported already.  `causes` are the
    things, by identity, any of which explains it: of failures that share one the first that is noted is told."""

    def __init__(self, diagnostic: Diagnostic | None, causes: tuple[object, ...] = ()) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic
        self.causes = causes


def failure(code: str, message: str, span: Span | None, hint: str | None = None) -> Failure:
    """An error to raise."""
    return Failure(Diagnostic(code, message, span, hint))


def reported() -> Failure:
    """To raise about something that has been reported already."""
    return Failure(None)


def too_deep(span: Span | None) -> Diagnostic:
    """What stands here is nested too deep to be worked on recursively."""
    return Diagnostic(
        "PG110",
        "this is nested too deep, once functions, views and cells are put in place",
        span,
        "give parts of it names with `let`, or split a long `match`",
    )


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known names.

    >>> did_you_mean("mstatsu", ["mstatus", "mepc"])
    'did you mean mstatus?'
    """
    alike = sorted({word for word in known if abs(len(word) - len(name)) <= FAR and len(word) <= LONG})
    near = get_close_matches(name, alike[:MANY], n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else None


def arguments(number: int) -> str:
    """So many arguments, in words."""
    return "1 argument" if number == 1 else f"{number} arguments"


class Problems(Struct):
    """Diagnostics in the making; equal ones at one place count once (rows of a table repeat them)."""

    found: list[Diagnostic] = []
    _seen: set[tuple[str, Span | None]] = set()
    _causes: dict[int, object] = {}

    def is_told(self, causes: tuple[object, ...]) -> bool:
        """Has one of these causes been told?  From now on all of them have."""
        new = {id(cause): cause for cause in causes}
        told = not self._causes.keys().isdisjoint(new)
        self._causes |= new
        return told

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

    def catch(self, span: Span | None = None) -> Catch:
        """Turns a failure inside into a noted diagnostic; also a recursion too deep, of what is at `span`."""
        return Catch(self, span)

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


class Catch(Struct, frozen=True):
    """A context in which failures become diagnostics."""

    problems: Problems
    span: Span | None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, trace: object) -> bool:
        if isinstance(raised, RecursionError) and self.span is not None:
            raised = Failure(too_deep(self.span))
        if not isinstance(raised, Failure):
            return False
        found = raised.diagnostic
        if found is not None and not self.problems.is_told(raised.causes):
            self.problems.add(replace(found, span=self.span) if found.span is None else found)
        return True


def _place(diagnostic: Diagnostic, order: dict[str, int]) -> tuple[int, int]:
    span = diagnostic.span
    return (-1, 0) if span is None else (order.get(span.file, len(order)), span.start)
