"""Direct execution: guest instructions on the host until control leaves the guest.

A host is a machine that can be run so: the bare one here, and every virtual machine, which is how monitors nest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Protocol

from analyzer import ir
from emulator.evaluate import ArbitraryPolicy, Environment, value_of
from emulator.interface import Region
from emulator.machine.plain import LeaveAbsent, PlainMachine, WholeReference, WholeRun
from emulator.machine.timeline import Clock
from emulator.monitor.counters import Counters
from emulator.monitor.place import Placement
from emulator.reference.code import Code
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
from emulator.reference.run import Args, LeaveStuck, LeaveTrap, Run
from emulator.state import State
from emulator.storage import Absent, Storage

# -- what a direct run comes to ----------------------------------------------------------------------------------------


class Why(Enum):
    """Why control left the guest."""

    SPENT = "the steps are spent, or the monitor watches for something"
    TRAP = "a trap arrived at the monitor"
    MISS = "the shadow map has no entry"
    ASKED = "a routine of the host leaves an interrupt to the monitor"
    REFUSED = "the shadow map has no entry, and shall have none"
    ESCAPED = "the guest reached a mode that is not its own, without a trap"
    ENDED = "the machine cannot go on by itself"


@dataclass(frozen=True, slots=True)
class Miss:
    """An access that the shadow map has no entry for, with the arguments that the spec gave."""

    space: str
    address: int
    bits: int
    kind: ir.AccessKind
    args: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Caught:
    """The state as a trap leaves it, before its delivery: elements and files.  The instruction began at `here` and is
    `length` units long; `committed` says that a part of it survived."""

    elements: Mapping[str, int]
    files: Mapping[str, tuple[int, ...]]
    here: int
    length: int
    committed: bool


@dataclass(frozen=True, slots=True)
class Left:
    """The end of a direct run: steps taken in the guest, and how many of them retired nothing.  `caught` is there after
    a trap; without it the guest's state is the host's.  `routed` counts what the host's own routines did; a guest that
    is still `aboard` has not been given back."""

    why: Why
    steps: int
    lost: int
    event: Event | None = None
    caught: Caught | None = None
    miss: Miss | None = None
    routed: Counters | None = None
    aboard: Aboard | None = None


class Aboard(Protocol):
    """A guest in a host that has its routines: it may run on, if nobody wants to see or to change its state."""

    def resume(self, most: int) -> Left:
        """Runs on, at most `most` steps."""
        ...

    def settle(self) -> Counters | None:
        """Brings the host's state and the record up to date; what routines did since that was done last."""
        ...


Watch = Callable[[dict[str, int], int, int], bool]
"""Called before each step with the elements, the steps and the lost steps so far: says whether to leave."""


@dataclass(frozen=True, slots=True)
class Ticking:
    """The clocks of a guest that begins to run after so many steps, of which `lost` retired nothing."""

    clocks: tuple[Clock, ...]
    steps: int
    lost: int

    def show(self, elements: dict[str, int], steps: int, lost: int) -> None:
        """Sets what counts time, so many steps later."""
        now, lost = self.steps + steps, self.lost + lost
        for clock in self.clocks:
            elements[clock.element] = clock.value(now if clock.source == "steps" else now - lost)

    def later(self, steps: int, lost: int) -> Ticking:
        """The same clocks, so many steps later."""
        return Ticking(self.clocks, self.steps + steps, self.lost + lost)


class Shadow(Protocol):
    """What stands in for the host's own resource map while a guest runs (see `emulator.monitor.shadow`)."""

    covers: frozenset[str]
    """The maps that it stands for."""

    def find(
        self, run: Run, space: ir.Map, address: int, bits: int, kind: ir.AccessKind, args: Args
    ) -> tuple[ir.Memory, int] | None:
        """The host's memory and the address there, or None: there is no entry."""
        ...

    def context(self, state: State) -> tuple[object, ...]:
        """What the answers depend on; `state` is where the guest runs."""
        ...

    def default(self, param: ir.MapParam, kind: ir.AccessKind) -> int:
        """What an argument is that the spec does not give."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a guest runs: the modes that are its own, the map that it runs under (None: the machine's), the
    memory that is its own, the answers of functions that the spec does not specify, its clocks, and what a host needs
    that asks the virtual machine's own state (None: it does not)."""

    inside: frozenset[int]
    shadow: Shadow | None
    placements: tuple[Placement, ...]
    arbitrary: ArbitraryPolicy
    watch: Watch | None = None
    ticking: Ticking | None = None
    resident: Resident | None = None


@dataclass(frozen=True, slots=True)
class Resident:
    """A virtual machine as routines know it: its record, which they change, and what its monitor has chosen."""

    record: State
    chosen: Mapping[str, int]


class Host(Protocol):
    """A machine that guests run on."""

    @property
    def routed(self) -> bool:
        """Does it run routines of the monitor, and take the guest's interrupts, by itself?"""
        ...

    @property
    def asks(self) -> bool:
        """Does the guest leave it, or is it dealt with there, when guest state alone raises an interrupt of the virtual
        machine?"""
        ...

    @property
    def isa(self) -> ir.Isa: ...

    @property
    def state(self) -> State:
        """Elements and files; the monitor sets them between direct runs."""
        ...

    @property
    def storages(self) -> Mapping[str, Storage]: ...

    @property
    def outside(self) -> list[tuple[str, int]]:
        """Units outside of their memory that guests have accessed: there should be none."""
        ...

    def wrote(self, memory: str, address: int, units: int) -> None:
        """Memory of a guest was written other than by a direct run."""
        ...

    def direct(self, most: int, terms: Terms) -> Left:
        """Runs the guest that is loaded, at most `most` steps.  A trap that arrives outside of it was delivered."""
        ...


# -- on the reference executor -----------------------------------------------------------------------------------------


class LeaveMiss(LeaveStuck):
    """The shadow map has no entry."""

    def __init__(self, miss: Miss) -> None:
        super().__init__("no shadow entry")
        self.miss = miss


class Journal(list[object]):
    """A journal that knows whether something in it was committed."""

    committed = False

    def clear(self) -> None:
        self.committed = self.committed or bool(self)
        super().clear()


@dataclass(frozen=True, slots=True)
class DirectPolicy(Policy):
    """The policy of a machine that runs a guest."""

    terms: Terms | None = None


class DirectRun(WholeRun):
    """A step that goes through the shadow map, and notes accesses to memory that is not the guest's.  What the hardware
    reads in tables behind a map (descriptors) it finds in those of the monitor: there the host's own map leads."""

    __slots__ = ("outside", "tabled", "terms")

    def __init__(self, code: Code, state: State, policy: Policy) -> None:
        super().__init__(code, state, policy)
        self.journal = Journal()  # type: ignore[assignment]  # it holds what the reference puts there
        self.terms = policy.terms if isinstance(policy, DirectPolicy) else None
        self.outside: list[tuple[str, int]] = []
        self.tabled = False

    def load(self, name: str, address: int, bits: int, kind: ir.AccessKind, args: Args, table: bool) -> int:
        before, self.tabled = self.tabled, table
        try:
            return super().load(name, address, bits, kind, args, table)
        finally:
            self.tabled = before

    def store(self, name: str, address: int, bits: int, value: int, args: Args, table: bool) -> None:
        before, self.tabled = self.tabled, table
        try:
            super().store(name, address, bits, value, args, table)
        finally:
            self.tabled = before

    def _locate(
        self, name: str, address: int, bits: int, kind: ir.AccessKind, args: Args
    ) -> tuple[ir.Memory | ir.Bus, int, Args]:
        shadow = None if self.terms is None else self.terms.shadow
        space = self.code.isa.spaces[name]
        if shadow is None or self.tabled or not isinstance(space, ir.Map) or name not in shadow.covers:
            return super()._locate(name, address, bits, kind, args)
        self.spend()
        found = shadow.find(self, space, address, bits, kind, args)
        if found is None:
            raise LeaveMiss(Miss(name, address, bits, kind, tuple(args)))
        return (*found, ())

    def get(self, space: ir.Memory, cell: int, bits: int) -> int:
        self._own(space, cell, bits)
        return super().get(space, cell, bits)

    def put(self, space: ir.Memory, cell: int, bits: int, value: int) -> None:
        self._own(space, cell, bits)
        super().put(space, cell, bits, value)

    def _own(self, space: ir.Memory, cell: int, bits: int) -> None:
        """Notes an access that is not to the guest's memory."""
        if self.terms is not None:
            units = bits // space.unit
            if not any(p.memory == space.name and p.holds(cell, units) for p in self.terms.placements):
                self.outside.append((space.name, cell))


class DirectReference(WholeReference):
    """The reference with what a trap leaves before its delivery."""

    run_type = DirectRun

    def __init__(self, isa: ir.Isa, state: State, policy: Policy) -> None:
        super().__init__(isa, state, policy)
        self._policy = policy
        self.on(None)
        self.caught: Caught | None = None
        self.accesses: list[Touch] = []
        """Those of the last step, with the delivery of its trap."""
        self.outside: list[tuple[str, int]] = []
        self.mode = value_of(isa.mode.expr, isa)

    def mode_code(self) -> int:
        """The code of the present mode."""
        state = self.state
        return int(self.mode(Environment(state.elements, state.files, state.choices, {}), {}))

    def on(self, terms: Terms | None) -> None:
        """Sets the terms of the following steps."""
        known = {each.name: getattr(self._policy, each.name) for each in fields(Policy)}
        if terms is not None:
            known["arbitrary"] = terms.arbitrary
        self.policy = DirectPolicy(**known, terms=terms)

    def trap(self, trap: str, args: tuple[int, ...], caught: Caught, instruction: ir.Instruction | None) -> Event:
        """Takes a trap as an instruction at `caught.here` has raised it.

        Raises:
            Absent: no region holds an address of the delivery.
        """
        run = DirectRun(self._code, self.state, self._policy)
        assert isinstance(run.journal, Journal)
        run.journal.committed = caught.committed
        event = self._trapped(run, LeaveTrap(trap, args, None), caught.here, caught.length, instruction)
        if isinstance(event, Stuck) and isinstance(event.cause, LeaveAbsent):
            raise event.cause.absent
        return event

    def _trapped(self, run: Run, trap: LeaveTrap, here: int, length_: int, instruction: ir.Instruction | None) -> Event:
        run.undo()
        assert isinstance(run, DirectRun)
        assert isinstance(run.journal, Journal)
        self.outside += run.outside
        committed = run.journal.committed
        state = self.state
        files = {name: tuple(entries) for name, entries in state.files.items()}
        self.caught = Caught(dict(state.elements), files, here, length_, committed)
        run.terms = None  # the delivery is the hardware's
        event = super()._trapped(run, trap, here, length_, instruction)
        self.accesses = run.accesses
        return event

    def _run(self, run: Run, instruction: ir.Instruction | None, operands: Mapping[str, int], length_: int) -> Event:
        here = self.state.pc()
        event = super()._run(run, instruction, operands, length_)
        assert isinstance(run, DirectRun)
        self.accesses = run.accesses
        if isinstance(event, Stuck) and isinstance(event.cause, LeaveMiss):
            self.state.elements[self.isa.fetch.pc] = here  # what was committed stays, and the instruction goes on
        if run.terms is not None:
            self.outside += run.outside
        return event


class HostMachine(PlainMachine):
    """A bare machine that runs guests, on the reference executor."""

    def __init__(self, isa: ir.Isa, regions: Sequence[Region], choices: Mapping[str, int] | None = None) -> None:
        super().__init__(isa, regions, choices)
        self.reference = DirectReference(isa, self._state, self._reference.policy)
        self._reference = self.reference

    @property
    def routed(self) -> bool:
        return False

    @property
    def asks(self) -> bool:
        return False

    @property
    def state(self) -> State:
        return self._state

    @property
    def storages(self) -> Mapping[str, Storage]:
        return self._storages

    @property
    def outside(self) -> list[tuple[str, int]]:
        return self.reference.outside

    def wrote(self, memory: str, address: int, units: int) -> None:
        pass  # it keeps nothing

    def direct(self, most: int, terms: Terms) -> Left:
        self.reference.on(terms)
        try:
            return self._direct(most, terms)
        finally:
            self.reference.on(None)

    def _direct(self, most: int, terms: Terms) -> Left:
        steps = lost = 0
        elements, reference = self._state.elements, self.reference
        while steps < most:
            if terms.ticking is not None:
                terms.ticking.show(elements, steps, lost)
            if terms.watch is not None and terms.watch(elements, steps, lost):
                break
            try:
                event = reference.step_whole()
            except Absent:
                return Left(Why.ENDED, steps, lost)
            left = leaves(event, reference, terms)
            if left is not None:
                return replace(left, steps=steps, lost=lost)
            steps += 1
            lost += isinstance(event, Trapped)
        return Left(Why.SPENT, steps, lost)


def leaves(event: Event, reference: DirectReference, terms: Terms) -> Left | None:
    """Does control leave the guest with this event?  The steps are still to be filled in."""
    match event:
        case Completed() | Unpredicted():
            return None if reference.mode_code() in terms.inside else Left(Why.ESCAPED, 0, 0, event)
        case Trapped(delivered=True):
            if reference.mode_code() in terms.inside:
                return None  # to the guest itself: an ordinary transition
            return Left(Why.TRAP, 0, 0, event, reference.caught)
        case Trapped():
            return Left(Why.TRAP, 0, 0, event, reference.caught)
        case Stuck(cause=LeaveMiss() as leave):
            return Left(Why.MISS, 0, 0, event, miss=leave.miss)
        case Undefined() | Halted() | DoubleFault() | Stuck():
            return Left(Why.ENDED, 0, 0, event)
