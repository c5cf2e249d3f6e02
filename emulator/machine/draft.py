"""A copy that is being written."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from emulator.codegen.agreed import NEXT
from emulator.codegen.layout import Record
from emulator.machine.cutting import Cut, Misfit
from emulator.machine.linking import DISTANCE
from emulator.machine.pages import CodePage

JUMP = bytes([0xE9, 0, 0, 0, 0])


class Stencil(Struct, frozen=True):
    """The stencil of a variant, and how long an instruction is; `operands` takes them from a record."""

    cut: Cut
    length: int
    operands: Callable[[memoryview, int], tuple[int, ...]]


class Draft:
    """What runs often, and what seldom."""

    def __init__(self, glue: Mapping[str, Cut], page: CodePage, entry: int) -> None:
        self.glue, self.page, self.entry = glue, page, entry
        self.often, self.seldom = bytearray(), bytearray()
        self.refused, self.behind = 0, entry
        """The number of an instruction that cannot be copied, and the address behind the last one."""
        self.fallen = 0
        """Where control enters that falls into the copy; jumps enter where what runs seldom begins."""
        self.links: list[tuple[int, int, int]] = []
        """Distances in what runs often that may lead to the copy of an address, and their way in what runs seldom."""
        self.inside: list[int] = []
        """The addresses of the page that the copy leads to."""
        self._across: list[tuple[int, int]] = []  # distances in what runs often to places in what runs seldom
        self._home: list[int] = []  # distances in what runs seldom to the beginning of what runs often

    def write(self, block: Sequence[tuple[int, Stencil]]) -> bool:
        """Writes all of it; whether that is possible."""
        left = len(block)
        self._begin(left)
        often, offset, data = self.often, self.page.offset, self.page.buffer.data
        for pc, stencil in block:
            made, at, record = stencil.cut, len(often), offset(pc)
            left -= 1
            often += made.code
            try:
                exits = made.fill(often, at, pc, left, *stencil.operands(data, record + Record.OPERANDS))
            except (Misfit, struct.error):
                self.refused = len(block) - left - 1
                return False
            rare = -1
            for place, target in made.goes:
                if target == NEXT:
                    DISTANCE.pack_into(often, at + place, len(made.code) - place - DISTANCE.size)
                elif isinstance(target, int):
                    self._way(at + place, exits[target], pc)
                else:
                    if rare < 0:
                        rare = self._add("bail", left + 1, record, pc)
                    self._across.append((at + place, rare))
            if made.tail is not None:
                self._way(self._jump(), exits[made.tail], pc)
        pc, stencil = block[-1]
        self.behind = behind = pc + stencil.length
        if stencil.cut.falls:
            place, way = self._jump(), self._add("near", offset(behind), behind, pc)
            self.links.append((place, behind, way))
            self._across.append((place, way))
            self.inside.insert(0, behind)
        return True

    def _begin(self, count: int) -> None:
        """What the copy begins with: jumps and what falls into it come from what runs seldom."""
        record, begin = self.page.offset(self.entry), self.glue["begin"]
        for name, arguments in (("counted", (record, self.entry)), ("enter", (record,))):
            self.fallen = self._add(name, *arguments)
            self.seldom += JUMP
            self._home.append(len(self.seldom) - DISTANCE.size)
        self.often += begin.code
        begin.fill(self.often, 0, count)
        short = self._add("short", record, self.entry)
        self._across += [(place, short) for place, _ in begin.goes]

    def _add(self, name: str, *arguments: int) -> int:
        """Adds to what runs seldom; where that is."""
        stencil, at = self.glue[name], len(self.seldom)
        self.seldom += stencil.code
        stencil.fill(self.seldom, at, *arguments)
        for place, _ in stencil.goes:  # on behind it
            DISTANCE.pack_into(self.seldom, at + place, len(stencil.code) - place - DISTANCE.size)
        return at

    def _jump(self) -> int:
        """Adds a jump; where its distance is."""
        self.often += JUMP
        return len(self.often) - DISTANCE.size

    def _way(self, place: int, target: int, origin: int) -> None:
        """The way of a jump to an address."""
        page = self.page
        if page.lo <= target <= page.hi and not (target - self.entry) % page.plan.per_parcel:
            way = self._add("near", page.offset(target), target, origin)
            self.inside.append(target)
            if target > origin:
                self.links.append((place, target, way))
        else:
            way = self._add("far", target)
        self._across.append((place, way))

    def connect(self, often: int, seldom: int) -> None:
        """Writes the distances between the two, which are at these addresses."""
        for place, way in self._across:
            DISTANCE.pack_into(self.often, place, seldom + way - (often + place + DISTANCE.size))
        for place in self._home:
            DISTANCE.pack_into(self.seldom, place, often - (seldom + place + DISTANCE.size))
