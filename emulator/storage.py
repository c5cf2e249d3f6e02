"""Physical memory: RAM in one host buffer a region, devices, and nothing.

A cell holds one unit.  It takes 1, 2, 4 or 8 bytes, the least power of two that has room (a 36-bit word takes 8), in
the host's order; units of 8 bits are so laid out as the guest sees them.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal

from analyzer import ir
from analyzer.errors import UsageError
from emulator.interface import Device, Mmio, Ram, Region
from emulator.state import Cells, join, split

MOST = 1 << 36
"""The greatest number of bytes of RAM in all."""

LARGE = 1 << 21
"""Bytes of a large page."""

CODES: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Absent(Exception):
    """No region holds the address."""

    def __init__(self, memory: str, address: int) -> None:
        super().__init__(f"{memory}[{address:#x}]")
        self.memory = memory
        self.address = address


def cell_bytes(unit: int) -> int:
    """The bytes that one unit of `unit` bits takes.

    >>> [cell_bytes(unit) for unit in (8, 12, 36, 64)]
    [1, 2, 8, 8]
    """
    return max(1, 1 << ((unit - 1).bit_length() - 3))


def private(size: int, large: int = LARGE, filled: bool = False) -> memoryview:
    """Memory of the host, 0 at first; from `large` bytes on in large pages, where the host has them: a program that
    follows pointers waits less for translations.  `filled`: all of it is about to be written."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return memoryview(mmap.mmap(-1, size))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    if size < large:
        return memoryview(mmap.mmap(-1, size, flags=flags | mmap.MAP_POPULATE if filled else flags))
    whole = mmap.mmap(-1, size + LARGE, flags=flags)
    first = -ctypes.addressof(ctypes.c_char.from_buffer(whole)) % LARGE
    with suppress(OSError):  # a large page for the little that is left over would be all there, and empty
        whole.madvise(mmap.MADV_HUGEPAGE, first, (size + LARGE // 2) // LARGE * LARGE)
    return memoryview(whole)[first : first + size]


class Bank:
    """The RAM of one region."""

    __slots__ = ("address", "base", "buffer", "cell", "cells", "end", "host", "size", "unit")

    def __init__(self, ram: Ram, unit: int) -> None:
        self.base, self.size, self.end = ram.base, ram.size, ram.base + ram.size
        self.unit, self.cell = unit, cell_bytes(unit)
        try:  # a page more: wide host accesses may overhang
            self.buffer = private(self.size * self.cell + mmap.PAGESIZE)
        except OSError as error:
            size = f"{self.size * self.cell:#x}"
            raise UsageError(f"the host has no room for {size} bytes of RAM", "ask for less with --mem") from error
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self.cells = self.buffer[: self.size * self.cell].cast(CODES[self.cell])


class Storage:
    """The memory of one space: its banks and devices, by address."""

    def __init__(self, space: ir.Memory, endian: str, regions: Sequence[Region]) -> None:
        self.space = space
        self.endian = endian
        self.wrap = (1 << space.address_width) - 1
        ordered = sorted(regions, key=lambda region: region.base)
        for region, after in zip(ordered, [*ordered[1:], None], strict=True):
            end = region.base + region.size
            if region.base < 0 or region.size <= 0 or end > 1 << space.address_width:
                raise UsageError(f"a region of {region.size:#x} units at {region.base:#x} is not within {space.name}")
            if after is not None and end > after.base:
                raise UsageError(f"two regions of {space.name} overlap at {after.base:#x}")
        self.banks = tuple(Bank(region, space.unit) for region in ordered if isinstance(region, Ram))
        self.devices = tuple(region for region in ordered if isinstance(region, Mmio))
        self._banks = [bank.base for bank in self.banks]
        self._devices = [region.base for region in self.devices]

    def bank(self, address: int, units: int = 1) -> Bank | None:
        """The bank that holds all of these units."""
        i = bisect_right(self._banks, address) - 1
        if i < 0 or address + units > self.banks[i].end:
            return None
        return self.banks[i]

    def device(self, address: int, units: int = 1) -> tuple[Device, int] | None:
        """The device that answers for all of these units, and the offset in its region."""
        i = bisect_right(self._devices, address) - 1
        if i < 0:
            return None
        region = self.devices[i]
        if address + units > region.base + region.size:
            return None
        return region.device, address - region.base

    def load(self, address: int, bits: int) -> int:
        """`bits` bits from `address` on; an access that no single region holds goes unit by unit.

        Raises:
            Absent: no region holds a unit.
        """
        unit = self.space.unit
        units = bits // unit
        bank = self.bank(address, units)
        if bank is not None:
            at = address - bank.base
            if units == 1:
                return int(bank.cells[at])
            if unit == 8:
                return int.from_bytes(bank.cells[at : at + units], self.endian)  # type: ignore[arg-type]
            return join(iter(bank.cells[at : at + units]), unit, self.endian)  # type: ignore[arg-type]
        found = self.device(address, units)
        if found is not None:
            device, offset = found
            return device.read(offset, bits) & (1 << bits) - 1
        if units == 1:
            raise Absent(self.space.name, address)
        each = (self.load(address + i & self.wrap, unit) for i in range(units))
        return join(each, unit, self.endian)  # type: ignore[arg-type]

    def store(self, address: int, bits: int, value: int) -> None:
        """Writes `bits` bits from `address` on.

        Raises:
            Absent: no region holds a unit; nothing was written to it or those after it.
        """
        unit = self.space.unit
        units = bits // unit
        bank = self.bank(address, units)
        if bank is not None:
            at = address - bank.base
            for i, cell in enumerate(split(value, bits, unit, self.endian)):  # type: ignore[arg-type]
                bank.cells[at + i] = cell
            return
        found = self.device(address, units)
        if found is not None:
            device, offset = found
            device.write(offset, bits, value)
            return
        if units == 1:
            raise Absent(self.space.name, address)
        for i, cell in enumerate(split(value, bits, unit, self.endian)):  # type: ignore[arg-type]
            self.store(address + i & self.wrap, unit, cell)

    def within(self, address: int, units: int, base: int, size: int) -> list[tuple[int, int]]:
        """The parts of an access, which may go around the end of the memory, that lie in a range: first and last."""
        end = address + units
        parts = [(address, min(end, self.wrap + 1)), (0, end - self.wrap - 1)]
        found = ((max(first, base), min(after, base + size) - 1) for first, after in parts)
        return [(first, last) for first, last in found if first <= last]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The addresses and values of the RAM cells that are not 0."""
        for bank in self.banks:
            step = mmap.PAGESIZE // bank.cell
            nothing = bytes(mmap.PAGESIZE)
            for page in range(0, bank.size, step):
                cells = bank.cells[page : page + step]
                if cells.tobytes() != nothing[: cells.nbytes]:
                    yield from ((bank.base + page + i, cell) for i, cell in enumerate(cells) if cell)


class RamCells(Cells):
    """The memory of a `State` that lies in the banks of a machine."""

    __slots__ = ("storage",)

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self.storage = storage

    def __getitem__(self, address: int) -> int:
        return self.storage.load(address, self.storage.space.unit)

    def __setitem__(self, address: int, unit: int | None) -> None:
        if unit is not None:  # what a device has taken cannot be undone
            self.storage.store(address, self.storage.space.unit, unit)

    def written(self, address: int) -> int | None:
        bank = self.storage.bank(address)
        return None if bank is None else bank.cells[address - bank.base]

    def __iter__(self) -> Iterator[int]:
        return (address for address, _ in self.storage)


def storages(isa: ir.Isa, regions: Sequence[Region]) -> dict[str, Storage]:
    """The memories of a machine.

    Raises:
        UsageError: a region names no memory, does not fit, overlaps another, or asks for absurdly much.
    """
    spaces = {name: space for name, space in isa.spaces.items() if isinstance(space, ir.Memory)}
    for region in regions:
        if region.memory not in spaces:
            raise UsageError(f"there is no memory {region.memory}", f"there are {', '.join(spaces)}")
    asked = sum(r.size * cell_bytes(spaces[r.memory].unit) for r in regions if isinstance(r, Ram))
    if asked > MOST or sys.byteorder != "little":
        raise UsageError(f"{asked:#x} bytes of RAM are more than the {MOST:#x} that a machine may have")
    return {
        name: Storage(space, isa.endian, [r for r in regions if r.memory == name]) for name, space in spaces.items()
    }
