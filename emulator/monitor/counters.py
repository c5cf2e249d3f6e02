"""What a monitor has counted: efficiency, as PG74 means it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Steps by how they were taken, and exits by cause.

    `direct` steps ran on the host; `emulated` instructions were completed by an interpreter routine, `reflected` traps
    delivered on the virtual state, `interpreted` steps made in a mode that is not run directly.  `exits` counts how
    control left the guest, `routines` the instructions that were emulated.
    """

    direct: int = 0
    emulated: int = 0
    reflected: int = 0
    interpreted: int = 0
    filled: int = 0
    exits: Counter[str] = field(default_factory=Counter)
    routines: Counter[str] = field(default_factory=Counter)

    @property
    def steps(self) -> int:
        """All steps of the guest."""
        return self.direct + self.emulated + self.reflected + self.interpreted

    @property
    def share(self) -> float:
        """The share of the guest's steps that ran directly; 1 for no steps."""
        return self.direct / self.steps if self.steps else 1.0

    def add(self, more: Counters) -> None:
        """Counts what somebody else has counted."""
        self.direct += more.direct
        self.emulated += more.emulated
        self.reflected += more.reflected
        self.interpreted += more.interpreted
        self.filled += more.filled
        self.exits.update(more.exits)
        self.routines.update(more.routines)

    def as_data(self) -> dict[str, object]:
        """For JSON."""
        return {
            "steps": self.steps,
            "direct": self.direct,
            "emulated": self.emulated,
            "reflected": self.reflected,
            "interpreted": self.interpreted,
            "filled": self.filled,
            "share_direct": round(self.share, 6),
            "exits": dict(sorted(self.exits.items())),
            "routines": dict(sorted(self.routines.items())),
        }
