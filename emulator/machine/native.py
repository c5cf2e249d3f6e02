"""The machine on generated code: the threaded interpreter, and regions of hot code over it.

Generated code comes back here only when something has to be made that is not there yet (a handler, a page of records, a
context), at the end of the budget, or when a device wants something.
"""

from __future__ import annotations

import ctypes
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, assert_never

from analyzer import ir
from analyzer.errors import UsageError
from emulator.codegen.agreed import BACK, KEYS, Leave, contextual, memories, place, unspecified
from emulator.codegen.layout import Bank, Layout, slot
from emulator.codegen.plan import CODE_PAGE, LINE, MARK_CODE, OVERHANG, SPAN, Plan
from emulator.codegen.variant import Variant, key
from emulator.interface import Exit, Ram, Reason, Region
from emulator.machine.base import BaseMachine
from emulator.machine.decoding import Decoding, Found
from emulator.machine.engine import (
    AskType,
    Engine,
    FlushType,
    Made,
    Module,
    NarrowType,
    ProveType,
    ReadType,
    RunType,
    WriteType,
    fingerprint,
)
from emulator.machine.pages import Buffer, CodePage, Context, Variants
from emulator.state import State
from emulator.storage import Bank as HostBank
from emulator.storage import Storage

if TYPE_CHECKING:
    from emulator.machine.fallback import ReferenceStep

PASSES = ("instruction_combine", "simplify_cfg")
REGION_PASSES = ("sroa", "instruction_combine", "simplify_cfg")
JOURNAL = 1 << 24
CONTEXTS = 64
PAGES = 1 << 29
"""Bytes of records that a machine may have before it forgets them all."""
PATIENCE = 8
"""Regions that are made at one address, if the code there changes again and again."""
ALLOWANCE = 0.25
"""Seconds of processor time that regions may take to make before they must keep to their share of the time."""
VISITED = 6
"""An address must have become hot again so many times less than it takes jumps to become hot, before a region is made
that was not kept: making one takes as long as ten million steps of the interpreter."""
VARIANTS = 1 << 20
"""Handlers that a machine may have."""
AHEAD = 32
"""Instructions that the driver decodes together."""
EAGER = 1000
"""Instructions that the driver decodes before it makes a decoder, if none was kept."""
EMPTY = (1 << 64) - 1
"""What is in a cache that holds nothing."""
LARGEST = 16
"""The logarithm of the units of the largest page of code."""


class NativeMachine(BaseMachine):
    """A machine on generated code."""

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None = None,
        engine: Engine | None = None,
        hot: int = 0,
        share: float = 0.5,
        eager: int = EAGER,
        storages: Mapping[str, Storage] | None = None,
    ) -> None:
        super().__init__(isa, regions, choices, storages)
        self._engine = engine or Engine()
        self._bank = Bank.of(isa, [r for r in regions if isinstance(r, Ram)])
        self._layout = Layout(isa)
        self._state = Buffer(self._layout.size)
        reset = State(isa, choices)
        for element in isa.elements.values():
            self._write_slot(self._layout.elements[element.name], element.width, reset.elements[element.name])
        for file in isa.files.values():
            for i, value in enumerate(reset.files[file.name]):
                self._write_slot(self._layout.entry(file, i), file.width, value)
        self._journal = Buffer(JOURNAL)
        self._marks = Buffer((self._bank.size >> LINE) + 4096)
        self._table = Buffer(CONTEXTS * 32)
        self._variants = Buffer(8 * VARIANTS)
        self._keys = Buffer(16 * KEYS)
        self._hot, self._share, self._eager = hot, share, eager
        self._decoded = 0  # instructions, by the driver
        self._ran = 0.0  # seconds in generated code
        self._ready = False
        self.stats: dict[str, float] = {"regions": 0, "region_seconds": 0.0}
        self._failure: BaseException | None = None
        self._host = 0
        if self._bank.size:
            bank = self._storages[self._bank.memory].bank(self._bank.base)
            assert bank is not None
            self._host = bank.host

    # -- making --------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Makes the run time for the clocks that were asked for."""
        clocks = {name: (clock.source, clock.shift) for name, clock in self._clocks.items()}
        self._plan = Plan(self._isa, self._choices, self._bank, clocks)
        self._name = [self._fingerprint(), repr((sorted(self._choices.items()), self._bank, sorted(clocks.items())))]

        def source() -> Module:
            from emulator.machine.sources import runtime_module

            return runtime_module(self._plan)

        made = self._engine.make(source, self._name, PASSES, "runtime")
        self._code = made.addresses
        self._kept: list[object] = [made.library]
        self._batches: dict[str, Made] = {}  # of handlers, by the variants that were made together
        self._run_native = RunType(self._code["run"])
        self._flush_native = FlushType(self._code["flush"])
        self._narrow_native = NarrowType(self._code["narrow"])
        self._prove = ProveType(self._code["prove.fetch"])
        self._callbacks = (
            ReadType(self._device_read),
            WriteType(self._device_write),
            ReadType(self._code_written),
            AskType(self._ask),
        )
        read, write, written, ask = (ctypes.cast(c, ctypes.c_void_p).value or 0 for c in self._callbacks)
        self._put("device_read", read)
        self._put("device_write", write)
        self._put("code_written", written)
        self._put("arbitrary", ask)
        for name in (
            "exit_",
            "exit_budget",
            "lookup",
            "check",
            "attend",
            "interpret",
            "raise_",
            "rollback",
            "flush",
            "narrow",
        ):
            self._put(name, self._code[name])
        self._put("slowly", self._code["slowly"])
        self._put("keys", self._keys.address)
        self._put("counter", self._code["count"] if self._hot else 0)
        for name in self._plan.routines:
            self._state.words[self._plan.routine(name) // 8] = self._code[name]
        self._put("journal", self._journal.address)
        self._put("journal0", self._journal.address)
        self._put("journal1", self._journal.address + JOURNAL)
        self._put("marks", self._marks.address)
        self._put("contexts", self._table.address)
        self._put("variants", self._variants.address)
        self._put("threshold", self._hot * BACK)
        self._put("generation", 1)
        self._widen()
        for name, clock in self._clocks.items():
            self._write_slot(self._layout.elements[name], 64, clock.offset)
        if self._bank.size:
            bank = self._storages[self._bank.memory].bank(self._bank.base)
            assert bank is not None
            self._decoding = Decoding(self._plan, bank)
        self._contexts: dict[int, Context] = {}
        self._known_variants = Variants(self._plan)
        self._keys.data[:] = bytes(self._keys.size)
        self._variants.words[0] = self._code["undecoded"]
        self._number(None, self._code["undefined"])
        self._pages: list[CodePage] = []
        self._take_context(self._key())
        self._ready = True
        self._take_decoder(make=False)

    def _take_decoder(self, make: bool) -> None:
        """Lets native code decode; if `make` is not set, only if the decoder was made before."""
        self._put("decode", 0)
        if contextual(self._isa) or not self._bank.size:
            return

        def source() -> Module:
            from emulator.machine.sources import decoder_module

            return decoder_module(self._plan)

        asked = (self._name, PASSES, "decoder")
        made = self._engine.make(source, *asked) if make else self._engine.kept(*asked)
        if made is not None:
            self._kept.append(made.library)
            self._put("decode", made.addresses["decode"])

    def _fingerprint(self) -> str:
        known = _fingerprints.get(id(self._isa))
        if known is None or known[0] is not self._isa:
            known = _fingerprints[id(self._isa)] = (self._isa, fingerprint(self._isa))
        return known[1]

    def _put(self, word: str, value: int) -> None:
        self._state.words[self._layout.words[word] // 8] = value

    def _word(self, word: str) -> int:
        return self._state.words[self._layout.words[word] // 8]

    def _write_slot(self, offset: int, width: int, value: int) -> None:
        for i in range(slot(width) // 8):
            self._state.words[offset // 8 + i] = value >> 64 * i & 0xFFFFFFFFFFFFFFFF

    def _read_slot(self, offset: int, width: int) -> int:
        if width <= 64:
            return self._state.words[offset >> 3]
        return sum(self._state.words[offset // 8 + i] << 64 * i for i in range(slot(width) // 8))

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        if not self._running:
            return self._steps
        return self._word("total") - self._word("budget")

    @property
    def retired(self) -> int:
        return self.steps - (self._word("lost") if self._running else self._lost)

    def _go(self, most: int) -> Exit | None:
        if not self._ready:
            self._prepare()
        until = self._steps + most
        self._put("total", until)
        self._put("budget", most)
        self._put("lost", self._lost)
        self._until = until
        try:
            return self._drive_native()
        finally:
            self._steps = until - self._word("budget")
            self._lost = self._word("lost")

    def _drive_native(self) -> Exit | None:
        check = entry = self._code["check"]
        while True:
            began = time.perf_counter()
            self._run_native(self._state.address, self._host, entry)
            self._ran += time.perf_counter() - began
            entry = check
            if self._failure is not None:
                failure, self._failure = self._failure, None
                self._put("attention", 0)
                raise failure
            reason = Leave(self._word("reason"))
            match reason:
                case Leave.BUDGET:
                    return None
                case Leave.DECODE:
                    ended = self._decode_at(self._pc(), self._word("record"))
                    if ended is not None:
                        return ended
                case Leave.PAGE:
                    ended = self._page_at(self._pc())
                    if ended is not None:
                        return ended
                case Leave.CONTEXT:
                    self._take_context(self._word("info1"))
                case Leave.ATTEND:
                    self._put("attention", 0)
                    return None
                case Leave.HALTED:
                    name = self._plan.processor[self._word("info0")]
                    return Exit(Reason.SHUTDOWN if name in self._plan.shutdowns else Reason.HALTED, 0, name=name)
                case Leave.UNDELIVERED:
                    return Exit(Reason.UNDELIVERED, 0, name=list(self._isa.traps)[self._word("info0")])
                case Leave.DOUBLE_FAULT:
                    return Exit(Reason.DOUBLE_FAULT, 0, name=list(self._isa.traps)[self._word("info0")])
                case Leave.HOT:
                    if not self._heat(self._pc(), self._word("record")):
                        entry = self._code["interpret"]
                case Leave.REFERENCE:
                    ended = self._reference_step()
                    if ended is not None:
                        return ended
                case Leave.UNDEFINED:
                    return Exit(Reason.UNDEFINED, 0)
                case Leave.STOP:
                    raise AssertionError("a callback stopped without a reason")
                case _:
                    assert_never(reason)

    def _pc(self) -> int:
        return self._read_slot(self._layout.elements[self._plan.pc], self._plan.pc_width)

    def _heat(self, pc: int, record: int) -> bool:
        """Makes a region of the code that is jumped to at an address, if it is worth it: one that was made before by
        now, others if control comes back here again and again."""
        page = self._page_of(record)
        if page is None:
            return False
        page.cool(pc)  # it comes again if nothing is made of it now
        if pc not in page or pc in page.regions or page.dropped.get(pc, 0) >= PATIENCE:
            return False
        began = time.thread_time()
        used, made_before = self.stats["region_seconds"], self.stats["regions"]
        expected = used / made_before if made_before else 0.0
        if used + expected > ALLOWANCE + self._share * self._ran:
            return False
        visits = page.visits[pc] = page.visits.get(pc, 0) + 1
        if 1 < visits < self._hot // VISITED:
            return False
        known, windows = self._known(), self._windows()

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
        """Whether the same code is there again; if so, all of it is decoded."""
        addresses = covered(note)
        if not all(page.lo <= address <= page.hi for address in addresses) or self._cover(page, addresses) != note:
            return False
        return all(self._decode_range(page, first, last) for first, last in runs(addresses))

    def _windows(self) -> frozenset[int]:
        """The views of the present context that have a window."""
        words = self._contexts[self._word("key") if self._plan.key else 0].dtlb.words
        return frozenset(
            i
            for i in range(len(self._plan.views))
            if any(words[self._plan.window(i, write) // 8 + 1] != EMPTY for write in (False, True))
        )

    def _known(self) -> dict[str, int]:
        """The elements of the present context."""
        return {name: self._element(name) for name in self._plan.key}

    # -- contexts and pages --------------------------------------------------------------------------------------------

    def _key(self) -> int:
        key = at = 0
        for name in self._plan.key:
            key |= self._element(name) << at
            at += self._isa.elements[name].width
        return key

    def _element(self, name: str) -> int:
        return self._read_slot(self._layout.elements[name], self._isa.elements[name].width)

    def _take_context(self, key: int) -> None:
        """Makes the context of a key, if need be, and enters it in the table."""
        if key not in self._contexts:
            if len(self._contexts) >= CONTEXTS:
                self._drop_contexts()
            self._contexts[key] = Context.new(self._plan, key, self._word("generation"))
        context = self._context = self._contexts[key]
        if context.generation != self._word("generation"):
            for buffer in (context.itlb, context.dtlb):
                buffer.data[:] = b"\xff" * buffer.size
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

    def _page_at(self, pc: int) -> Exit | None:
        """Finds the page of code that holds an address, as large as it can be proved uniform."""
        context = self._context = self._contexts[self._word("key") if self._plan.key else 0]
        known = context.holding(pc, self._word("generation"))
        if known is not None and pc % self._plan.per_parcel == 0:
            context.enter(known, pc)
            return None
        found = self._uniform(pc)
        if found is None:
            return self._reference_step()
        page = context.pages.get(found)
        if page is None:
            if sum(known.buffer.size for known in self._pages) > PAGES:
                self._drop_contexts()
                self._take_context(context.key)
                context = self._context
            lo, hi, base = found
            fresh = self._code["undecoded"]
            host = self._host + (base - self._bank.base) * self._bank.cell
            page = CodePage(self._known_variants, lo, hi, base, host, (fresh, fresh), self._code["missing"])
            context.pages[found] = page
            self._pages.append(page)
        if context.since == self._word("generation"):  # the proof has changed nothing
            context.proved.append(page)
        context.enter(page, pc)
        return None

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

    # -- decoding ------------------------------------------------------------------------------------------------------

    def _decode_at(self, pc: int, record: int) -> Exit | None:
        """Decodes an instruction and some that follow; makes the handlers that are missing, all at once."""
        page = self._page_of(record)
        assert page is not None
        state = self._view() if self._decoding.contextual else None
        found = self._found(page, pc, page.hi, state)
        if not found or state is not None:  # what depends on the state is decoded each time
            return self._reference_step()
        self._enter(page, found)
        self._decoded += len(found)
        if self._decoded - len(found) < self._eager <= self._decoded:
            self._take_decoder(make=True)
        return None

    def _found(self, page: CodePage, pc: int, last: int, state: State | None) -> list[tuple[int, Found]]:
        """What is at an address and behind it, some instructions, up to one that is decoded already."""
        found: list[tuple[int, Found]] = []
        at = pc
        while len(found) < AHEAD and at <= last and at not in page:
            got = self._decoding.at(page, at, state)
            if got is None:
                break
            found.append((at, got))
            if got.variant is None or got.variant.trap is not None or state is not None:
                break
            at += got.variant.length
        return found

    def _decode_range(self, page: CodePage, first: int, last: int) -> bool:
        """Decodes all instructions from one address to another; whether that was possible."""
        at = first
        while at <= last:
            if at not in page:
                found = self._found(page, at, last, None)
                if not found:
                    return False
                self._enter(page, found)
            variant = page[at].variant
            if variant is None or variant.trap is not None:
                return at + self._plan.per_parcel > last
            at += variant.length
        return True

    def _enter(self, page: CodePage, found: Sequence[tuple[int, Found]]) -> None:
        """Writes the records of instructions that lie one behind the other."""
        self._make([got.variant for _, got in found if got.variant is not None])
        for at, got in found:
            self._fill(page, at, got)
        (first, _), (last, got) = found[0], found[-1]
        length = self._plan.per_parcel if got.variant is None else max(got.variant.length, self._plan.per_parcel)
        self._mark(page.physical(first), last + length - first)

    def _make(self, variants: Sequence[Variant]) -> None:
        """Makes the handlers that are missing."""
        numbers = self._known_variants.numbers
        missing = [v for v in dict.fromkeys(variants) if v not in numbers]
        if not missing:
            return
        if len(numbers) + len(missing) >= VARIANTS:
            raise MemoryError(f"a program that needs more than {VARIANTS} handlers")
        missing = [v for v in missing if not self._take_handler(v)]
        if not missing:
            return
        named = [(f"h{i}", variant) for i, variant in enumerate(missing)]

        def source() -> Module:
            from emulator.machine.sources import handlers_module

            return handlers_module(self._plan, named)

        asked = ([*self._name, repr(missing)], PASSES, "handlers")
        self._batches[repr(missing)] = made = self._engine.make(source, *asked)
        for name, variant in named:
            self._number(variant, made.addresses.get(name, self._code["reference"]))
            self._engine.note([*self._name, repr(variant)], f"{name} {missing!r}")

    def _take_handler(self, variant: Variant) -> bool:
        """Takes a handler from among those that were made with it for an earlier program, if they were kept."""
        noted = self._engine.noted([*self._name, repr(variant)])
        if noted is None:
            return False
        name, batch = noted.split(" ", 1)
        made = self._batches.get(batch)
        if made is None:
            made = self._engine.kept([*self._name, batch], PASSES, "handlers")
        if made is None:
            return False
        self._batches[batch] = made
        self._number(variant, made.addresses.get(name, self._code["reference"]))
        return True

    def _number(self, variant: Variant | None, address: int) -> None:
        """Gives a variant its number; the decoder finds it by its key."""
        number = self._known_variants.add(variant)
        self._variants.words[number] = address
        packed = None if variant is None else key(self._isa, variant)
        if packed is not None and number < KEYS * 2 // 3:
            place(self._keys.words, packed, number)

    def _fill(self, page: CodePage, pc: int, found: Found) -> None:
        """Writes a record."""
        number = self._known_variants.numbers[found.variant]
        address = self._variants.words[number]
        page.set(pc, address, self._code["count"] if self._hot else address, number, found.packed)

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

    def _invalidate(self, address: int, units: int) -> None:
        """Forgets what was decoded from these units of the bank."""
        longest = 64 * self._plan.per_parcel
        for page in self._pages:
            length = page.hi - page.lo + 1
            first, last = address - longest, address + units
            if page.base >= last or page.base + length <= first:
                continue
            at = max(first - page.base, 0)
            found = page.decoded(page.lo + at, page.lo + last - page.base - 1)
            if not found:
                continue
            for pc in found:
                variant = page[pc].variant
                size = 1 if variant is None else max(variant.length, 1) + (0 if variant.trap is None else longest)
                if page.physical(pc) + size > address:
                    page.clear(pc)
            changed = range(page.lo + at, page.lo + last - page.base)
            for entry, (covered, _) in list(page.regions.items()):
                if not covered.isdisjoint(changed):
                    del page.regions[entry]
                    page.dropped[entry] = page.dropped.get(entry, 0) + 1
                    instr = page.get(entry)
                    if instr is not None:
                        number = self._known_variants.numbers[instr.variant]
                        page.install(entry, self._variants.words[number], self._code["count"])

    # -- callbacks -----------------------------------------------------------------------------------------------------

    def _guarded(self, call: Callable[[], int]) -> int:
        try:
            value = call()
        except BaseException as error:
            self._failure = error
            self._put("info1", int(Leave.STOP))
            return 2
        self._put("result", value & 0xFFFFFFFFFFFFFFFF)
        self._put("result1", value >> 64 & 0xFFFFFFFFFFFFFFFF)
        if self._asked(self._until):
            self._put("attention", 1)
        return 0

    def _device_read(self, memory: int, address: int, bits: int) -> int:
        return self._guarded(lambda: self._storages[memories(self._isa)[memory]].load(address, bits))

    def _device_write(self, memory: int, address: int, bits: int, value: int) -> int:
        def write() -> int:
            storage = self._storages[memories(self._isa)[memory]]
            units = bits // storage.space.unit
            if storage.device(address, units) is None:
                for i in range(units):
                    self._journal_unit(storage, address + i & storage.wrap)
                self._wrote(storage.space.name, address, units)
                self._put("flushed", 1)
            storage.store(address, bits, value)
            return 0

        return self._guarded(write)

    def _journal_unit(self, storage: Storage, address: int) -> None:
        """Remembers a unit of RAM that is written from here, as generated code does it: an access that no single region
        holds, or one to RAM beside the bank."""
        bank = storage.bank(address)
        if bank is None:
            return
        top, at = self._word("journal"), address - bank.base
        entry = (top - self._journal.address) // 8
        for i, word in enumerate((bank.host + at * bank.cell, int(bank.cells[at]), bank.cell)):
            self._journal.words[entry + i] = word
        self._put("journal", top + 24)

    def _code_written(self, memory: int, address: int, bits: int) -> int:
        self._invalidate(address, bits // self._isa.spaces[self._bank.memory].unit)
        return 0

    def _ask(self, number: int) -> int:
        name, arity, width = unspecified(self._isa)[number]
        first = self._layout.arguments // 8
        args = tuple(self._state.words[first : first + arity])
        return self._guarded(lambda: self._arbitrary(name, args, width))

    # -- the reference, where code cannot be generated -----------------------------------------------------------------

    @cached_property
    def _reference(self) -> ReferenceStep:
        from emulator.machine.fallback import ReferenceStep

        return ReferenceStep(self._isa, self._storages, self._choices, self._arbitrary)

    def _reference_step(self) -> Exit | None:
        """Lets the reference execute one instruction."""
        before = self._snapshot_roots()
        state = self._view()
        ended, steps, lost, written = self._reference.step(state, self)
        self._take(state)
        self._put("budget", self._word("budget") - steps)
        self._put("lost", self._word("lost") + lost)
        for memory, address, units in written:
            self._wrote(memory, address, units)
        if self._snapshot_roots() != before:
            self._flush()
        if ended is None and self._asked(self._until):
            self._put("attention", 1)
        return ended

    def _snapshot_roots(self) -> list[object]:
        found: list[object] = []
        for name in sorted(self._plan.roots):
            if name in self._isa.elements:
                found.append(self._element(name))
            else:
                file = self._isa.files[name]
                start = self._layout.files[name] // 8
                found.append(bytes(self._state.words[start : start + slot(file.width) // 8 * file.size]))
        return found

    # -- state ---------------------------------------------------------------------------------------------------------

    def _get(self, element: str) -> int:
        value = self._element(element)
        clock = self._clocks.get(element)
        if clock is None:
            return value
        if self._ready:
            clock.offset = self._read_slot(self._layout.elements[element], 64)
        return clock.value(self._count(clock))

    def _set(self, element: str, value: int) -> None:
        clock = self._clocks.get(element)
        if clock is not None:
            clock.set(self._count(clock), value)
            value = clock.offset
        changed = value != self._element(element)
        self._write_slot(self._layout.elements[element], self._isa.elements[element].width, value)
        self._put("calm", 0)
        if self._ready and changed and element in self._plan.roots:
            self._flush()

    def clock(self, element: str, source: object, divide: int = 1) -> None:
        for name in self._clocks:
            self._get(name)  # takes over what the program has set
        super().clock(element, source, divide)  # type: ignore[arg-type]
        self._clocks_were_set()
        self._ready = False

    def _clocks_were_set(self) -> None:
        for name, clock in self._clocks.items():
            self._write_slot(self._layout.elements[name], 64, clock.offset)

    def _view(self) -> State:
        state = object.__new__(State)
        state.isa, state.choices, state.memories = self._isa, dict(self._choices), {}
        words = self._state.words.tolist()
        state.elements = {name: words[at] for name, at in self._narrow}
        for name in (*self._wide, *self._clocks):
            state.elements[name] = self._get(name)
        state.files = {file.name: self._entries(file) for file in self._isa.files.values()}
        return state

    @cached_property
    def _narrow(self) -> list[tuple[str, int]]:
        """The elements that take one word, and where it is."""
        offsets = self._layout.elements
        return [(e.name, offsets[e.name] // 8) for e in self._isa.elements.values() if e.width <= 64]

    @cached_property
    def _wide(self) -> list[str]:
        return [e.name for e in self._isa.elements.values() if e.width > 64]

    def _entries(self, file: ir.File) -> list[int]:
        start, each = self._layout.files[file.name] // 8, slot(file.width) // 8
        words: list[int] = self._state.words[start : start + each * file.size].tolist()
        if each == 1:
            return words
        return [sum(words[i * each + j] << 64 * j for j in range(each)) for i in range(file.size)]

    def _take(self, view: State) -> None:
        for name, value in view.elements.items():
            if value != self._get(name):
                self._set(name, value)
        for file in self._isa.files.values():
            before = self._entries(file)
            if before == view.files[file.name]:
                continue
            for i, (value, was) in enumerate(zip(view.files[file.name], before, strict=True)):
                if value != was:
                    self._write_slot(self._layout.entry(file, i), file.width, value)
            self._put("calm", 0)
            if self._ready and file.name in self._plan.roots:
                self._flush()

    def _wrote(self, memory: str, address: int, units: int) -> None:
        if not self._ready or memory != self._bank.memory:
            return
        for first, last in self._storages[memory].within(address, units, self._bank.base, self._bank.size):
            if any(self._marks.data[first - self._bank.base >> LINE : (last - self._bank.base >> LINE) + 1]):
                self._flush()
                self._invalidate(first, last - first + 1)

    def _replace(self, memory: str, bank: HostBank, image: bytes) -> None:
        """What was decoded from memory that stays the same stays, too."""
        if not self._ready or memory != self._bank.memory or bank.base != self._bank.base:
            super()._replace(memory, bank, image)
            return
        size = bank.cell << LINE
        now = bank.cells.cast("B")
        marked = [line for line in range(self._bank.size >> LINE) if self._marks.data[line]]
        changed = [
            line for line in marked if now[line * size : (line + 1) * size] != image[line * size : (line + 1) * size]
        ]
        now[:] = image
        for line in changed:
            self._wrote(memory, bank.base + (line << LINE), 1 << LINE)

    def to_state(self) -> State:
        view, state = self._view(), State(self._isa, self._choices)
        state.elements.update(view.elements)
        state.files = view.files
        for name, storage in self._storages.items():
            for address, cell in storage:
                state.memories[name][address] = cell
        return state

    def from_state(self, state: State) -> None:
        if state.choices != self._choices:
            raise UsageError("the state has other choices than the machine")
        for name, cells in state.memories.items():
            for address in cells:
                self.write(name, cells[address], address)
        self._take(state)


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
