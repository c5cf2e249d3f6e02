"""Where a virtual machine's memory lies: its banks are parts of its host's.

MEMORY-PLACED: unit a of region n of the virtual machine is unit `at[n] + (a - base)` of the host, and there is no other
copy of it.  A region that the host does not have whole is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analyzer import ir
from analyzer.errors import UsageError
from emulator.interface import Ram, Region
from emulator.storage import Bank, Storage


@dataclass(frozen=True, slots=True)
class Placement:
    """A region of a virtual machine: `size` units from `base` on in the memory of this name are the host's from `at`
    on."""

    memory: str
    base: int
    size: int
    at: int

    def real(self, address: int, units: int = 1) -> int | None:
        """The host's address of these units, or None if the region has not all of them."""
        if self.base <= address and address + units <= self.base + self.size:
            return address - self.base + self.at
        return None

    def holds(self, real: int, units: int = 1) -> bool:
        """Are these units of the host in the region?"""
        return self.at <= real and real + units <= self.at + self.size


class Slice(Bank):
    """A part of another bank under other addresses."""

    __slots__ = ()

    def __init__(self, placement: Placement, whole: Bank) -> None:
        first = placement.at - whole.base
        self.base, self.size = placement.base, placement.size
        self.end = placement.base + placement.size
        self.unit, self.cell, self.buffer = whole.unit, whole.cell, whole.buffer
        self.host = whole.host + first * whole.cell
        self.cells = whole.cells[first : first + placement.size]


class PlacedStorage(Storage):
    """A memory whose banks are parts of its host's."""

    def __init__(
        self, space: ir.Memory, endian: str, regions: Sequence[Region], placements: Sequence[Placement], host: Storage
    ) -> None:
        super().__init__(space, endian, regions)
        slices = []
        for placement in sorted((p for p in placements if p.memory == space.name), key=lambda p: p.base):
            whole = host.bank(placement.at, placement.size)
            if whole is None:
                message = f"the host has no {placement.size:#x} units at {placement.memory}[{placement.at:#x}]"
                raise UsageError(message)
            slices.append(Slice(placement, whole))
        self.banks = tuple(slices)


def placed(
    isa: ir.Isa, regions: Sequence[Region], hosts: Mapping[str, Storage], at: Sequence[int]
) -> tuple[dict[str, Storage], tuple[Placement, ...]]:
    """The memories of a virtual machine within its host's, and where each region of RAM lies; `at` has the host's
    address of each, in order.

    Raises:
        UsageError: the host has no bank that holds a region whole, or two lie over one another.
    """
    rams = [region for region in regions if isinstance(region, Ram)]
    if len(rams) != len(at):
        raise UsageError(f"{len(rams)} regions of RAM, and places for {len(at)}")
    placements = tuple(Placement(r.memory, r.base, r.size, a) for r, a in zip(rams, at, strict=True))
    for i, one in enumerate(placements):
        for two in placements[:i]:
            if one.memory == two.memory and one.at < two.at + two.size and two.at < one.at + one.size:
                raise UsageError(f"two regions of the virtual machine lie at {one.memory}[{max(one.at, two.at):#x}]")
    storages: dict[str, Storage] = {}
    for name, space in isa.spaces.items():
        if isinstance(space, ir.Memory):
            mine = [region for region in regions if region.memory == name]
            storages[name] = PlacedStorage(space, isa.endian, mine, placements, hosts[name])
    return storages, placements
