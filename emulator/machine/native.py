"""The machine on generated code: the threaded interpreter, and regions of hot code over it.

Generated code comes back here only when something has to be made that is not there yet (a handler, a page of records, a
context), at the end of the budget, or when a device wants something.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, assert_never

from msgspec import json
from msgspec.structs import replace

from analyzer import ir
from analyzer.errors import UsageError
from analyzer.interrupts import uninterrupted
from emulator.codegen.agreed import Leave, memories, unspecified
from emulator.codegen.layout import FOUND, WORDS
from emulator.codegen.plan import LINE, Facts, Plan
from emulator.interface import Exit, Reason, Region
from emulator.machine.engine import (
    AskType,
    Engine,
    Module,
    ReadType,
    RollbackType,
    RunType,
    WriteType,
    fingerprint,
)
from emulator.machine.pages import Buffer
from emulator.machine.records import PASSES
from emulator.machine.regions import Regions
from emulator.machine.tuning import Tuning
from emulator.state import State
from emulator.storage import Bank as HostBank
from emulator.storage import Storage

if TYPE_CHECKING:
    from emulator.machine.fallback import ReferenceStep

JOURNAL = 1 << 24
"""Bytes of the journal."""
BUDGET, TOTAL, LOST, REASON = (WORDS.index(word) for word in ("budget", "total", "lost", "reason"))
LEAVES = {int(reason): reason for reason in Leave}


class NativeMachine(Regions):
    """A machine on generated code."""

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None = None,
        engine: Engine | None = None,
        tuning: Tuning | None = None,
        storages: Mapping[str, Storage] | None = None,
    ) -> None:
        super().__init__(isa, regions, choices, engine or Engine(), tuning or Tuning(), storages)
        self._journal = Buffer(JOURNAL)
        self._ready = False
        self._failure: BaseException | None = None

    # -- making --------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Makes the run time for the clocks that were asked for."""
        clocks = {name: (clock.source, clock.shift) for name, clock in self._clocks.items()}
        self._plan = Plan(self._isa, self._choices, self._bank, clocks)
        self._name = [self._fingerprint(), repr((sorted(self._choices.items()), self._bank, sorted(clocks.items())))]

        def source() -> Module:
            from emulator.machine.sources import runtime_module

            return replace(runtime_module(self._plan), note=json.encode(self._plan.facts).decode())

        made = self._engine.make(source, self._name, PASSES, "runtime")
        with uninterrupted():
            self._plan = replace(self._plan, known=json.decode(made.note, type=Facts))
        self._code = made.addresses
        self._kept = [made.library]
        self._run_native = RunType(self._code["run"])
        self._rollback_native = RollbackType(self._code["rollback"])
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
        for name in FOUND:
            self._put(name, self._code[name])
        for name in self._plan.routines:
            self._state.words[self._plan.routine(name) // 8] = self._code[name]
        self._put("journal", self._journal.address)
        self._put("journal0", self._journal.address)
        self._put("journal1", self._journal.address + JOURNAL)
        for name, clock in self._clocks.items():
            self._write_slot(self._layout.elements[name], 64, clock.offset)
        self._begin_records()
        self._ready = True
        self._take_decoder(make=False)

    def _fingerprint(self) -> str:
        known = _fingerprints.get(id(self._isa))
        if known is None or known[0] is not self._isa:
            known = _fingerprints[id(self._isa)] = (self._isa, fingerprint(self._isa))
        return known[1]

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
        try:
            return self._go_for(most)
        except KeyboardInterrupt:  # while something was made, perhaps
            self._make_anew()
            raise

    def _go_for(self, most: int) -> Exit | None:
        words = self._state.words
        until = self._until = self._steps + most
        words[TOTAL], words[BUDGET], words[LOST] = until, most, self._lost
        try:
            return self._drive_native()
        finally:
            self._steps, self._lost = until - words[BUDGET], words[LOST]

    def _drive_native(self) -> Exit | None:
        check = entry = self._code["check"]
        while True:
            began = time.perf_counter()
            self._run_native(self._state.address, self._host, entry)
            self._ran += time.perf_counter() - began
            entry = check
            if self._word("broken"):
                failure, self._failure = self._failure, None
                self._put("broken", 0)
                self._put("attention", 0)
                raise failure or KeyboardInterrupt  # which may come where a callback cannot catch it
            reason = LEAVES[self._state.words[REASON]]
            match reason:
                case Leave.BUDGET:
                    return None
                case Leave.DECODE:
                    if not self._decode_at(self._pc(), self._word("record")):
                        ended = self._reference_step()
                        if ended is not None:
                            return ended
                case Leave.PAGE:
                    if not self._page_at(self._pc()):
                        ended = self._reference_step()
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
                case Leave.EXECUTE:
                    record = self._execute_at(self._word("info0"), self._word("info1"))
                    if record is None:
                        self._rollback_native(self._state.address, self._journal.address)
                        ended = self._reference_step()
                        if ended is not None:
                            return ended
                    else:
                        self._put("record", record)
                        entry = self._code["fall"]
                case Leave.UNDEFINED:
                    return Exit(Reason.UNDEFINED, 0)
                case Leave.STOP:
                    raise AssertionError("a callback broke, and nobody was told")
                case _:
                    assert_never(reason)

    # -- callbacks -----------------------------------------------------------------------------------------------------

    def _guarded(self, call: Callable[[], int]) -> int:
        """What a callback answers: 1, with the result in the state, or 0 if there was an exception."""
        try:
            value = call()
            self._put("result", value & 0xFFFFFFFFFFFFFFFF)
            self._put("result1", value >> 64 & 0xFFFFFFFFFFFFFFFF)
            if self._asked(self._until):
                self._put("attention", 1)
            return 1
        except BaseException as error:
            self._failure = error
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
        def drop() -> int:
            self._invalidate(address, bits // self._isa.spaces[self._bank.memory].unit)
            return 0

        return self._guarded(drop)

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
        self._make_anew()
        super().clock(element, source, divide)  # type: ignore[arg-type]
        self._clocks_were_set()

    def _make_anew(self) -> None:
        """The next run begins with nothing but the state."""
        for name in self._clocks:
            self._get(name)  # takes over what the program has set
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


_fingerprints: dict[int, tuple[ir.Isa, str]] = {}
