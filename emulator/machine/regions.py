"""Regions of a machine: when they are made of hot code, and what they stand for."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from emulator.codegen.agreed import BACK
from emulator.codegen.plan import LINE
from emulator.machine.coming import Coming
from emulator.machine.contexts import EMPTY
from emulator.machine.copying import Copying
from emulator.machine.engine import Made, Module
from emulator.machine.pages import CodePage
from emulator.machine.records import PATIENCE

REGION_PASSES = ("sroa", "instruction_combine", "simplify_cfg")
ALLOWANCE = 0.25
"""Seconds of processor time that regions may take to make before they must keep to their share of the time."""
VISITED = 6
"""An address must have become hot again so many times less than it takes jumps to become hot, before a region is made
that was not kept: making one takes as long as ten million steps of the interpreter."""
FAST = 1e9
"""Steps a second; regions are faster, and nothing else is."""
LONGEST = 0.01
"""Seconds after which code has been hot for long in any run: as much as making a region may take."""
EARLY = 32
"""What jumps to an address must come to before it is copied, with stencils that were kept."""
VAIN = 16
"""Times that there is no stencil for what is to be copied early, after which it is made."""
PATIENT = 8
"""While a region is being made in the background, an address must be jumped to so many times as often to become hot."""


class Regions(Copying):
    """A machine that makes regions."""

    def _begin_records(self) -> None:
        super()._begin_records()
        self._vain = 0  # times that nothing could be copied early
        self._put("young", max(self._threshold - EARLY, 0) << 32)
        self._put("threshold", self._threshold)
        self._coming: Coming | None = None
        self._latest = self.steps, self._ran  # when a region was made

    @property
    def _threshold(self) -> int:
        """What jumps to an address must come to before it is hot."""
        return self._tuning.hot * BACK

    def _heat(self, pc: int, record: int) -> bool:
        """Makes faster code of what is jumped to at an address: a region if it is worth it, else a copy."""
        if not self._word("threshold"):
            self._arrived()
            return False
        page = self._page_of(record)
        if page is None:
            return False
        page.cool(pc)  # it comes again if nothing is made of it now
        if self._early(page, pc):
            lacking = self._lacking(page, pc)
            self._vain += lacking
            return self._copy(page, pc, make=lacking and self._vain % VAIN == 0)
        if pc not in page or pc in page.regions or page.dropped.get(pc, 0) >= PATIENCE:
            return False
        return self._region(page, pc) or self._copy(page, pc)

    def _early(self, page: CodePage, pc: int) -> bool:
        """Whether an address is not hot yet, but the count that its record began with was less than that by `EARLY`."""
        if not self._word("young") or pc in page.early or (page.copies is not None and pc in page.copies):
            return False
        page.early.add(pc)
        return True

    def _region(self, page: CodePage, pc: int) -> bool:
        """Makes a region, if it is worth it: one that was made before by now, others if control comes to its address
        again and again.  If the program runs well without it, it is only begun here."""
        if not self._affordable():
            return False
        visits = page.visits[pc] = page.visits.get(pc, 0) + 1
        since = page.hot_since.setdefault(pc, self._ran)
        lasting = self._ran - since >= min(self._ran * self._tuning.lasting, LONGEST)
        enough = visits >= self._tuning.hot // VISITED and lasting
        if visits > 1 and not enough:
            return False
        began, known, windows = time.thread_time(), self._known(), self._windows()
        line = self._contents(page, pc, min(pc | (1 << LINE) - 1, page.hi))
        what = repr((pc, page.lo, page.hi, sorted(known.items()), sorted(windows), line))
        asked = ([*self._name, what], REGION_PASSES, "region")
        made = self._engine.kept(*asked, lambda note: self._covers(page, note))
        if made is not None:
            self.stats["region_seconds"] += time.thread_time() - began
            return self._install(page, pc, made)
        if not enough or self._coming is not None:
            return False
        waits = not (self._tuning.background and self._fast())
        there = page if waits else page.still()
        contents, lo, cell = self._contents(page, page.lo, page.hi), page.lo, self._bank.cell
        bounds = page.lo, page.hi

        def source() -> Module:
            from emulator.machine.sources import region_module

            module, addresses = region_module(self._plan, known, there, bounds, windows, pc, there.sketches)
            note = cover(addresses, lambda first, last: contents[(first - lo) * cell : (last + 1 - lo) * cell])
            return replace(module, note=note) if module.symbols else module

        def make() -> Made:
            began = time.thread_time()
            made = self._engine.fresh(source, *asked)
            self.stats["region_seconds"] += time.thread_time() - began
            return made

        if waits:
            return self._install(page, pc, make())
        self._put("threshold", self._threshold * PATIENT)
        self._coming = Coming(page, pc, make, lambda: self._put("threshold", 0))
        return False

    def _affordable(self) -> bool:
        """Whether there is time to make one more."""
        if self._tuning.share is None:
            return False
        used, made = self.stats["region_seconds"], self.stats["regions"]
        expected = used / made if made else 0.0
        return used + expected <= ALLOWANCE + self._tuning.share * self._ran

    def _fast(self) -> bool:
        """Whether the program runs well without the region that it wants: if not, it may as well wait for it."""
        steps, ran = self._latest
        return self.steps - steps > FAST * (self._ran - ran)

    def _arrived(self) -> None:
        """Takes what was made in the background, if the code that it was made of is still there."""
        self._put("threshold", self._threshold)
        coming = self._coming
        if coming is None or not coming.there:  # it was begun for contexts that were dropped since
            return
        self._coming = None
        page, pc, made = coming.page, coming.pc, coming.take()
        wanted = any(each is page for each in self._pages) and pc in page and pc not in page.regions
        if wanted and (not made.addresses or self._covers(page, made.note)):
            self._install(page, pc, made)

    def _install(self, page: CodePage, pc: int, made: Made) -> bool:
        """Lets control go to a region; whether it is one."""
        if not made.addresses:
            page.install(pc, *[page.buffer.words[page.offset(pc) // 8]] * 2)
            return False
        address, stands = made.addresses["region"], covered(made.note)
        for each in page.visits.keys() & stands:  # what is jumped to from inside of the region does not count
            page.visits[each] = 0
        self._drop(page, pc)
        page.install(pc, address, address)
        page.regions[pc] = (stands, made.library)
        self.stats["regions"] += 1
        self._latest = self.steps, self._ran
        return True

    def _contents(self, page: CodePage, first: int, last: int) -> bytes:
        """What is in memory from one address of a page to another, included."""
        at, cells = page.physical(first) - self._bank.base, self._decoding.bank.cells
        return cells[at : at + last - first + 1].tobytes()

    def _covers(self, page: CodePage, note: str) -> bool:
        """Whether the same code is there again; if so, stores to it are noticed, as if all of it were decoded."""
        addresses = covered(note)
        if not all(page.lo <= address <= page.hi for address in addresses):
            return False
        if cover(addresses, lambda first, last: self._contents(page, first, last)) != note:
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


def cover(addresses: Iterable[int], contents: Callable[[int, int], bytes]) -> str:
    """A line that says what a region stands for: a digest of the code, and where it lies."""
    ranges = runs(addresses)
    code = b"".join(contents(first, last) for first, last in ranges)
    return " ".join([hashlib.sha256(code).hexdigest(), *(f"{first:x}-{last:x}" for first, last in ranges)])


def covered(note: str) -> set[int]:
    """The addresses that a region stands for, by the line that was kept with it."""
    ranges = (part.split("-") for part in note.split()[1:])
    return {address for first, last in ranges for address in range(int(first, 16), int(last, 16) + 1)}
