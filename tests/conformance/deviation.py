"""What a known deviation is, and the case that it may excuse.

Each is as narrow as we can make it: the instruction families, a predicate over the case, and, wherever only some bits
are concerned, these bits; all else must agree.  DEVIATIONS.md has the manuals' rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from conformance.vector import Outcome, Vector
from emulator.reference.events import Completed, Event, Touch, Trapped
from emulator.state import State


@dataclass(frozen=True, slots=True)
class Case:
    """A vector on which the two differ; `lines` say in what."""

    machine: str
    vector: Vector
    event: Event
    expected: Outcome
    observed: Outcome
    lines: tuple[str, ...]
    code_address: int
    state: Callable[[Vector], State]

    @property
    def family(self) -> str:
        """The family of the instruction; empty if there is none."""
        if isinstance(self.event, (Completed, Trapped)) and self.event.instruction is not None:
            return self.event.instruction.family
        return ""

    @property
    def accesses(self) -> tuple[Touch, ...]:
        """The accesses that the instruction made."""
        return self.event.accesses if isinstance(self.event, (Completed, Trapped)) else ()

    def trapped(self, *names: str) -> bool:
        """Whether the spec raises one of these traps."""
        return isinstance(self.event, Trapped) and self.event.trap in names

    def differs_in(self, *names: str) -> bool:
        """Whether all differences are in these registers (or `memory`, `trap`, `error code`)."""
        return all(line.partition(":")[0] in names for line in self.lines)

    def changed(self) -> dict[int, tuple[int, int]]:
        """Physical address to the expected and the observed byte, where the two differ."""
        expected, observed = self._sides()
        return {at: (byte, observed[at]) for at, byte in expected.items() if byte != observed[at]}

    def numbers(self, address: int, size: int) -> tuple[int, int]:
        """The expected and the observed big-endian number in some bytes of the windows."""
        expected, observed = (bytes(side[address + i] for i in range(size)) for side in self._sides())
        return int.from_bytes(expected, "big"), int.from_bytes(observed, "big")

    def _sides(self) -> tuple[dict[int, int], dict[int, int]]:
        """All bytes of the windows, as expected and as observed."""
        windows = self.vector.image(self.code_address)
        before = {at: byte for start, data in windows.items() for at, byte in enumerate(data, start)}
        expected, observed = (
            before | {at: byte for start, run in side.memory.items() for at, byte in enumerate(run, start)}
            for side in (self.expected, self.observed)
        )
        return expected, observed

    def memory(self, *addresses: int, bits: int = 0xFF) -> dict[int, int]:
        """These bits of those of the bytes that differ."""
        return {at: bits for at in self.changed() if at in addresses}


@dataclass(frozen=True, slots=True)
class Excuse:
    """The bits in which the two may differ; all others are compared.

    Attributes:
        registers: register to bits.
        memory: physical address to the bits of the byte there, only for addresses in the vector's windows.
        error_code: bits of the error code.
    """

    registers: Mapping[str, int] = field(default_factory=dict)
    memory: Mapping[int, int] = field(default_factory=dict)
    error_code: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Deviation:
    """A known deviation: what it is, with the manual's rule, and when it applies.

    `families` is a regular expression for the family's whole name. With `bits` (of registers) or `excuse`, only what
    these name is excused; without, the whole case is. A case in which the oracle gave no answer is excused only by a
    deviation with `silent`.
    """

    reason: str
    families: str
    when: Callable[[Case], bool]
    bits: Mapping[str, int] | None = None
    excuse: Callable[[Case], Excuse] | None = None
    silent: bool = False

    @property
    def partial(self) -> bool:
        """Whether all but some bits are compared."""
        return self.bits is not None or self.excuse is not None

    def applies(self, case: Case) -> bool:
        """Whether the case is one of this deviation's."""
        if case.observed.failure is not None and not self.silent:
            return False
        return re.fullmatch(self.families, case.family) is not None and self.when(case)

    def excuses(self, case: Case) -> Excuse:
        """What is excused, of a partial deviation that applies."""
        return Excuse(self.bits or {}) if self.excuse is None else self.excuse(case)
