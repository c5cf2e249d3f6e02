"""What a monitor asks of the analyzer before it gives a virtual machine memory: the question, and the answer.

Answering needs a solver, which the emulator does not have; an `Allocator` is handed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct, field

from analyzer import ir
from analyzer.replayer import MachineState


class Request(Struct, frozen=True):
    """A virtual machine is to have `size` units from `base` on, which are to be the host's from `at` on.  `virtual` and
    `real` are the choices of the two machines."""

    base: int
    size: int
    at: int
    virtual: Mapping[str, int] = field(default_factory=dict)
    real: Mapping[str, int] = field(default_factory=dict)


Flat = Callable[[str, Mapping[str, int]], bool]


def never(name: str, values: Mapping[str, int]) -> bool:
    """The answer where nobody knows."""
    return False


class Allocation(Struct, frozen=True):
    """Values for what the scheme lets the monitor choose; the state that the monitor holds while a guest runs, with the
    cells of memory that it needs; and of each shadowed map the address bits that it passes on unseen.

    All are proved: the composed map leads to the place and nowhere else, the state has the monitor's invariants, and
    accesses to one granule go the same way.  `flat` answers whether a map passes on all addresses of the virtual
    machine as they are, in states in which held elements have given values.
    """

    chosen: Mapping[str, int]
    held: MachineState
    granules: Mapping[str, int]
    flat: Flat = never


class Allocator(Protocol):
    """Answers requests."""

    def __call__(
        self, isa: ir.Isa, scheme: ir.Scheme, request: Request, composed: tuple[str, ...]
    ) -> Allocation | None:
        """None: no values were found with which the `composed` maps serve the request."""
        ...
