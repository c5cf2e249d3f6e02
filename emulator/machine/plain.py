"""The machine that is the reference executor with regions and devices around it: slow, and the measure of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzer import ir
from analyzer.errors import UsageError
from emulator.interface import Exit, Reason, Region
from emulator.machine.base import BaseMachine
from emulator.reference.events import (
    Completed,
    DoubleFault,
    Event,
    Halted,
    Policy,
    Stuck,
    Touch,
    Trapped,
    Undefined,
    Unpredicted,
)
from emulator.reference.machine import Machine as Reference
from emulator.reference.run import LeaveStuck, Run
from emulator.state import State
from emulator.storage import Absent, RamCells


class WholeRun(Run):
    """A step whose physical accesses are whole: a device sees one access of the instruction as one.  An address that no
    region holds leaves the step as a limit does, undone."""

    def get(self, space: ir.Memory, cell: int, bits: int) -> int:
        memory = self.state.memories[space.name]
        assert isinstance(memory, RamCells)
        try:
            return memory.storage.load(cell, bits)
        except Absent as absent:
            raise LeaveAbsent(absent) from None

    def put(self, space: ir.Memory, cell: int, bits: int, value: int) -> None:
        memory = self.state.memories[space.name]
        assert isinstance(memory, RamCells)
        try:
            if memory.storage.device(cell, bits // space.unit) is not None:
                memory.storage.store(cell, bits, value)
            else:
                super().put(space, cell, bits, value)
        except Absent as absent:
            raise LeaveAbsent(absent) from None


class LeaveAbsent(LeaveStuck):
    """No region holds an address."""

    def __init__(self, absent: Absent) -> None:
        super().__init__(str(absent))
        self.absent = absent


class WholeReference(Reference):
    """The reference over a machine's memory."""

    run_type = WholeRun

    def step_whole(self) -> Event:
        """One step.

        Raises:
            Absent: no region holds an address; nothing of the step is left.
        """
        event = self.step()
        if isinstance(event, Stuck) and isinstance(event.cause, LeaveAbsent):
            raise event.cause.absent
        return event


class PlainMachine(BaseMachine):
    """A machine on the reference executor."""

    def __init__(self, isa: ir.Isa, regions: Sequence[Region], choices: Mapping[str, int] | None = None) -> None:
        super().__init__(isa, regions, choices)
        self._state = State(isa, choices)
        self._state.memories = {name: RamCells(storage) for name, storage in self._storages.items()}
        self._reference = WholeReference(isa, self._state, Policy(arbitrary=self._arbitrary))

    def _go(self, most: int) -> Exit | None:
        until = self._steps + most
        while self._steps < until:
            ended = self._step()
            if ended is not None:
                return ended
            if self._asked(until):
                return None
        return None

    def _step(self) -> Exit | None:
        """One step, with the clocks brought up to date before it, and taken over after it."""
        elements = self._state.elements
        counted = {}
        for name, clock in self._clocks.items():
            elements[name] = counted[name] = clock.value(self._count(clock))
        self._last: Event | None = None
        event = self._last = self._reference.step_whole()
        ended, steps, lost = judge(event)
        self._steps += steps
        self._lost += lost
        for name, before in counted.items():
            if elements[name] != before:
                self._clocks[name].set(self._count(self._clocks[name]), elements[name])
        return ended

    def _get(self, element: str) -> int:
        clock = self._clocks.get(element)
        return self._state.elements[element] if clock is None else clock.value(self._count(clock))

    def _set(self, element: str, value: int) -> None:
        self._state.elements[element] = value
        clock = self._clocks.get(element)
        if clock is not None:
            clock.set(self._count(clock), value)

    def _view(self) -> State:
        for name in self._clocks:
            self._state.elements[name] = self._get(name)
        return self._state

    def _take(self, view: State) -> None:
        for name in self._clocks:
            self._set(name, view.elements[name])

    def _wrote(self, memory: str, address: int, units: int) -> None:
        pass

    def to_state(self) -> State:
        view, state = self._view(), State(self._isa, self._choices)
        state.elements.update(view.elements)
        state.files = {name: list(entries) for name, entries in view.files.items()}
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
        view = self._view()
        view.elements.update(state.elements)
        for name, entries in state.files.items():
            view.files[name][:] = entries
        self._take(view)


def written(isa: ir.Isa, event: Event) -> list[tuple[str, int, int]]:
    """Memory, address and units of what a step wrote."""
    match event:
        case Trapped():
            return [*_writes(isa, event.accesses), *_writes(isa, event.delivery)]
        case Completed() | Undefined() | Unpredicted():
            return _writes(isa, event.accesses)
        case Halted() | DoubleFault() | Stuck():
            return []


def _writes(isa: ir.Isa, touches: tuple[Touch, ...]) -> list[tuple[str, int, int]]:
    spaces = ((*touch.cell, isa.spaces[touch.cell[0]], touch) for touch in touches if touch.kind == "write")
    return [
        (name, cell, touch.bits // space.unit) for name, cell, space, touch in spaces if isinstance(space, ir.Memory)
    ]


def judge(event: Event) -> tuple[Exit | None, int, int]:
    """What an event is to a run, the steps that it took, and how many of them retired nothing."""
    match event:
        case Completed() | Unpredicted():
            return None, 1, 0
        case Trapped(delivered=True):
            return None, 1, 1
        case Trapped():
            return Exit(Reason.UNDELIVERED, 0, name=event.trap), 0, 0
        case Undefined():
            return Exit(Reason.UNDEFINED, 0), 0, 0
        case Halted():
            return Exit(Reason.SHUTDOWN if event.shutdown else Reason.HALTED, 0, name=event.element), 0, 0
        case DoubleFault():
            return Exit(Reason.DOUBLE_FAULT, 0, name=event.traps[-1]), 0, 0
        case Stuck():
            return Exit(Reason.STUCK, 0), 0, 0
