"""Contexts and pages of code of a machine: which there are, where pages are uniform, what is marked as code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analyzer import ir
from emulator.codegen.plan import CODE_PAGE, LINE, MARK_CODE, OVERHANG, SPAN
from emulator.interface import Region
from emulator.machine.engine import FlushType, NarrowType, ProveType
from emulator.machine.pages import Buffer, CodePage, Context, Variants
from emulator.machine.words import Words
from emulator.storage import Storage

CONTEXTS = 64
PAGES = 1 << 28
"""Bytes of records that a machine may have before it forgets them all."""
LARGEST = 16
"""The logarithm of the units of the largest page of code."""
EMPTY = (1 << 64) - 1
"""What is in a cache that holds nothing."""


class Contexts(Words):
    """A machine with contexts."""

    _code: dict[str, int]
    """The addresses of the routines of the run time."""

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None = None,
        storages: Mapping[str, Storage] | None = None,
    ) -> None:
        super().__init__(isa, regions, choices, storages)
        self._marks = Buffer((self._bank.size >> LINE) + 4096)
        self._table = Buffer(CONTEXTS * 32)
        self._host = 0
        if self._bank.size:
            bank = self._storages[self._bank.memory].bank(self._bank.base)
            assert bank is not None
            self._host = bank.host

    def _begin_contexts(self, known: Variants) -> None:
        """Makes the context of the present state, the first one."""
        self._flush_native = FlushType(self._code["flush"])
        self._narrow_native = NarrowType(self._code["narrow"])
        self._prove = ProveType(self._code["prove.fetch"])
        self._known_variants = known
        self._contexts: dict[int, Context] = {}
        self._pages: list[CodePage] = []
        self._put("contexts", self._table.address)
        self._put("marks", self._marks.address)
        self._put("generation", 1)
        self._widen()
        self._take_context(self._key())

    def _take_context(self, key: int) -> None:
        """Makes the context of a key, if need be, and enters it in the table."""
        if key not in self._contexts:
            if len(self._contexts) >= CONTEXTS:
                self._drop_contexts()
            self._contexts[key] = Context.new(self._plan, key, self._word("generation"))
        context = self._context = self._contexts[key]
        if context.generation != self._word("generation"):
            for buffer in (context.itlb, context.dtlb):
                buffer.fill(0, buffer.size, b"\xff")
            context.generation = self._word("generation")
        at = (key * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 58 << 2
        self._table.words[at : at + 4] = memoryview(
            b"".join(
                n.to_bytes(8, "little") for n in (key, context.itlb.address, context.dtlb.address, context.generation)
            )
        ).cast("Q")
        self._put("key", key)
        self._put("itlb", context.itlb.address)
        self._put("dtlb", context.dtlb.address)

    def _drop_contexts(self) -> None:
        """Forgets all contexts with their pages."""
        self._contexts.clear()
        self._pages.clear()
        self._table.data[:] = bytes(self._table.size)
        self._marks.data[:] = bytes(self._marks.size)
        self._widen()
        self._put("generation", self._word("generation") + 1)

    def _page_at(self, pc: int) -> bool:
        """Finds the page of code that holds an address, as large as it can be proved uniform; whether there is one."""
        context = self._context = self._contexts[self._word("key") if self._plan.key else 0]
        known = context.holding(pc, self._word("generation"))
        if known is not None and pc % self._plan.per_parcel == 0:
            context.enter(known, pc)
            return True
        found = self._uniform(pc)
        if found is None:
            return False
        page = context.pages.get(found)
        if page is None:
            if sum(known.buffer.size for known in self._pages) > PAGES:
                self._drop_contexts()
                self._take_context(context.key)
                context = self._context
            lo, hi, base = found
            fresh = self._code["undecoded"]
            host = self._host + (base - self._bank.base) * self._bank.cell
            missing, lookup = self._code["missing"], self._code["lookup"]
            page = CodePage(self._known_variants, lo, hi, base, host, (fresh, fresh), missing, lookup)
            context.pages[found] = page
            self._pages.append(page)
        if context.since == self._word("generation"):  # the proof has changed nothing
            context.proved.append(page)
        context.enter(page, pc)
        return True

    def _uniform(self, pc: int) -> tuple[int, int, int] | None:
        """The first and last address of a page around `pc`, and the physical address of the first."""
        per = self._plan.per_parcel
        greatest = (1 << min(self._plan.pc_width, self._isa.spaces[self._isa.fetch.space].address_width)) - 1
        if pc % per or pc > greatest:
            return None

        def proved(lo: int, hi: int) -> int | None:
            self._put("newmarks", 0)
            ok = self._prove(self._state.address, self._host, lo, hi) == 0
            base = self._word("result")
            if self._word("newmarks"):
                self._put("newmarks", 0)
                self._flush()
            if not ok or base < self._bank.base or base + hi - lo >= self._bank.base + self._bank.size:
                return None
            return base

        for k in (LARGEST, CODE_PAGE):
            lo = pc >> k << k
            hi = min(lo + (1 << k) - 1, greatest)
            base = proved(lo, hi)
            if base is not None:
                return lo, hi, base
        first = pc >> CODE_PAGE << CODE_PAGE
        last = min(first + (1 << CODE_PAGE) - 1, greatest)
        least = _least(first, pc, per, lambda at: proved(at, pc + per - 1) is not None)
        if least is None:
            return None
        most = _most(pc + per - 1, last, per, lambda at: proved(least, at) is not None)
        base = proved(least, most)
        return None if base is None else (least, most, base)

    def _page_of(self, record: int) -> CodePage | None:
        for page in self._pages:
            if page.address <= record < page.end:
                return page
        return None

    def _flush(self) -> None:
        self._flush_native(self._state.address)
        self._put("flushed", 0)

    def _mark(self, address: int, units: int) -> None:
        offset = address - self._bank.base
        first, last = max(offset - OVERHANG, 0) >> LINE, offset + units - 1 >> LINE
        k = CODE_PAGE - LINE
        drop = False
        for line in range(first, last + 1):
            if not self._marks.data[line]:
                start = line >> k << k
                if not any(self._marks.data[start : start + (1 << k)]):
                    self._narrow_native(self._state.address, line)
                    drop = True
            self._marks.data[line] |= MARK_CODE
        if drop and self._plan.views:
            self._flush()

    def _widen(self) -> None:
        """There are no marks."""
        self._put("clean", self._bank.base)
        self._put("room", max((self._bank.size >> LINE << LINE) - SPAN, 0))


def _least(first: int, known: int, step: int, holds: Callable[[int], bool]) -> int | None:
    """The least address from `first` to `known` from which `holds` is true on; None if it is false at `known`."""
    if not holds(known):
        return None
    low, high = 0, (known - first) // step  # in steps back from `known`; what holds at n holds at less
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(known - middle * step) else (low, middle - 1)
    return known - low * step


def _most(known: int, last: int, step: int, holds: Callable[[int], bool]) -> int:
    """The greatest address from `known` to `last` up to which `holds` is true; it is true at `known`."""
    low, high = 0, (last - known) // step
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(known + middle * step) else (low, middle - 1)
    return known + low * step
