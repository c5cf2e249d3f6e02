"""What validation asks of the analyzer: where does a statement matter?  The question, and the answer.

Answering needs a solver, which the emulator does not have; an `Aims` is handed to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from analyzer import ir


class Domain(Struct, frozen=True):
    """What all guests are: in one of these modes, with `size` units of RAM from `base` on in a memory, these elements
    of their environment, choices of the machine and values that the monitor chose."""

    memory: str
    base: int
    size: int
    modes: frozenset[int]
    environment: Mapping[str, int]
    choices: Mapping[str, int]
    chosen: Mapping[str, int]


class Beginning(Struct, frozen=True):
    """A state, as far as it is not that after reset, and the instruction that comes next, with its operands (None: no
    matter which)."""

    elements: Mapping[str, int]
    files: Mapping[str, Mapping[int, int]]
    cells: Mapping[int, int]
    instruction: str | None
    operands: Mapping[str, int]


class Aim(Struct, frozen=True):
    """States in which two texts part.  `open`: some question was not decided, or some state not found."""

    beginnings: tuple[Beginning, ...]
    open: bool = False

    @property
    def harmless(self) -> bool:
        """It is proved that there is no such state."""
        return not self.beginnings and not self.open


class Aims(Protocol):
    """Finds where an instruction (None: the delivery) does something else than in another Isa."""

    def at(self, instruction: str | None, other: ir.Isa) -> Aim: ...


__all__ = ["Aim", "Aims", "Beginning", "Domain"]
