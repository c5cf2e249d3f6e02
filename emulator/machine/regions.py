"""Regions of a machine: when they are made of hot code, and what they stand for."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from analyzer import ir
from emulator.codegen.plan import LINE
from emulator.interface import Region
from emulator.machine.contexts import EMPTY
from emulator.machine.copying import Copying
from emulator.machine.engine import Engine, Module
from emulator.machine.pages import CodePage
from emulator.storage import Storage

REGION_PASSES = ("sroa", "instruction_combine", "simplify_cfg")
PATIENCE = 8
"""Regions that are made at one address, if the code there changes again and again."""
ALLOWANCE = 0.25
"""Seconds of processor time that regions may take to make before they must keep to their share of the time."""
VISITED = 6
"""An address must have become hot again so many times less than it takes jumps to become hot, before a region is made
that was not kept: making one takes as long as ten million steps of the interpreter."""


class Regions(Copying):
    """A machine that makes regions."""

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None,
        engine: Engine,
        hot: int,
        share: float | None,
        eager: int,
        storages: Mapping[str, Storage] | None,
    ) -> None:
        super().__init__(isa, regions, choices, engine, hot, eager, storages)
        self._share = share  # None: there are to be none

    def _heat(self, pc: int, record: int) -> bool:
        """Makes faster code of what is jumped to at an address: a region if it is worth it, else a copy."""
        page = self._page_of(record)
        if page is None:
            return False
        page.cool(pc)  # it comes again if nothing is made of it now
        if pc not in page or pc in page.regions or page.dropped.get(pc, 0) >= PATIENCE:
            return False
        return self._region(page, pc) or self._copy(page, pc)

    def _region(self, page: CodePage, pc: int) -> bool:
        """Makes a region, if it is worth it: one that was made before by now, others if control comes to its address
        again and again."""
        if self._share is None:
            return False
        used, made_before = self.stats["region_seconds"], self.stats["regions"]
        expected = used / made_before if made_before else 0.0
        if used + expected > ALLOWANCE + self._share * self._ran:
            return False
        visits = page.visits[pc] = page.visits.get(pc, 0) + 1
        if 1 < visits < self._hot // VISITED:
            return False
        began, known, windows = time.thread_time(), self._known(), self._windows()

        def source() -> Module:
            from emulator.machine.sources import region_module

            module, addresses = region_module(self._plan, known, page, (page.lo, page.hi), windows, pc)
            return replace(module, note=self._cover(page, addresses)) if module.symbols else module

        line = self._contents(page, pc, min(pc | (1 << LINE) - 1, page.hi))
        what = repr((pc, page.lo, page.hi, sorted(known.items()), sorted(windows), line))
        asked = ([*self._name, what], REGION_PASSES, "region", lambda note: self._covers(page, note))
        enough = visits >= self._hot // VISITED
        made = self._engine.make(source, *asked) if enough else self._engine.kept(*asked)
        if made is None:
            return False
        if not made.addresses:
            page.install(pc, *[page.buffer.words[page.offset(pc) // 8]] * 2)
            return False
        address = made.addresses["region"]
        self._drop(page, pc)
        page.install(pc, address, address)
        page.regions[pc] = (covered(made.note), made.library)
        self.stats["regions"] += 1
        self.stats["region_seconds"] += time.thread_time() - began
        return True

    def _contents(self, page: CodePage, first: int, last: int) -> bytes:
        """What is in memory from one address of a page to another, included."""
        at, cells = page.physical(first) - self._bank.base, self._decoding.bank.cells
        return cells[at : at + last - first + 1].tobytes()

    def _cover(self, page: CodePage, addresses: set[int]) -> str:
        """A line that says what a region stands for: a digest of the code, and where it lies."""
        ranges = runs(addresses)
        contents = b"".join(self._contents(page, first, last) for first, last in ranges)
        return " ".join([hashlib.sha256(contents).hexdigest(), *(f"{first:x}-{last:x}" for first, last in ranges)])

    def _covers(self, page: CodePage, note: str) -> bool:
        """Whether the same code is there again; if so, stores to it are noticed, as if all of it were decoded."""
        addresses = covered(note)
        if not all(page.lo <= address <= page.hi for address in addresses) or self._cover(page, addresses) != note:
            return False
        for first, last in runs(addresses):
            self._mark(page.physical(first), last - first + 1)
        return True

    def _windows(self) -> frozenset[int]:
        """The views of the present context that have a window."""
        words = self._contexts[self._word("key") if self._plan.key else 0].dtlb.words
        return frozenset(
            i
            for i in range(len(self._plan.views))
            if any(words[self._plan.window(i, write) // 8 + 1] != EMPTY for write in (False, True))
        )


def runs(addresses: Iterable[int]) -> list[tuple[int, int]]:
    """Addresses as ranges, first and last.

    >>> runs({4, 5, 6, 9})
    [(4, 6), (9, 9)]
    """
    found: list[tuple[int, int]] = []
    for address in sorted(addresses):
        if found and found[-1][1] == address - 1:
            found[-1] = (found[-1][0], address)
        else:
            found.append((address, address))
    return found


def covered(note: str) -> set[int]:
    """The addresses that a region stands for, by the line that was kept with it."""
    ranges = (part.split("-") for part in note.split()[1:])
    return {address for first, last in ranges for address in range(int(first, 16), int(last, 16) + 1)}


_fingerprints: dict[int, tuple[ir.Isa, str]] = {}
