"""What can go wrong, as data and as exceptions.

    PopekError
    ├── SpecError           a spec does not parse or check: carries diagnostics
    ├── UsageError          a caller asked for something that is not there (no such spec, instruction, scheme)
    ├── AssemblyError       a program that does not assemble or load: carries diagnostics
    ├── Refused             a monitor that the verdict, the scheme or the memory does not permit: carries diagnostics
    ├── Breach              a guest under a monitor has what is not its own: carries diagnostics
    └── EngineError         the solver or a worker failed: never a verdict

The library raises; only commands exit.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from analyzer.hints import HINTS
from analyzer.source import Span


class Diagnostic(Struct, frozen=True):
    """A coded message with its place.  `code` is `PG` and three digits; `popek explain CODE` prints its page."""

    code: str
    message: str
    span: Span | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.span}: " if self.span else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.severity} {self.code}: {self.message}{hint}"


class PopekError(Exception):
    """The root of everything that the library raises on purpose."""


class SpecError(PopekError):
    """A spec that does not check; `diagnostics` has at least one error, in source order, each with a hint."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = tuple(d if d.hint else replace(d, hint=HINTS.get(d.code)) for d in diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))


class UsageError(PopekError):
    """Something was asked for that does not exist; `hint` names what does."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class AssemblyError(PopekError):
    """A program that does not assemble or load: `diagnostics` in source order, `diagnostic` the first of them."""

    def __init__(self, diagnostic: Diagnostic, *more: Diagnostic) -> None:
        self.diagnostics = (diagnostic, *more)
        super().__init__("\n".join(map(str, self.diagnostics)))
        self.diagnostic = diagnostic


class Refused(PopekError):
    """There is no such monitor; `diagnostic` names the culprits.  `inconclusive`: the verdict that it needs is."""

    def __init__(self, diagnostic: Diagnostic, *, inconclusive: bool = False) -> None:
        self.diagnostics = (diagnostic,)
        super().__init__(str(diagnostic))
        self.diagnostic = diagnostic
        self.inconclusive = inconclusive


class Breach(PopekError):
    """A guest has changed what is the monitor's, has reached memory that is not its own (RESOURCE-CONTROL), or has left
    its modes without a trap."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.diagnostics = (Diagnostic("PG533", what),)


class EngineError(PopekError):
    """The solver or a worker failed.  Never a verdict."""
