"""A virtual machine: a machine like any other, run by a monitor on a host.

The monitor of PG74 is ⟨D, A, {v_i}⟩.  Here the *allocator* A is `enter`: the only code that sets held registers of the
host.  An *interpreter routine* v_i is the instruction's own IR, executed on the record (`DirectReference` over the
state of the virtual machine, whose memory is a part of the host's).  The *dispatcher* D is `dispatch`.

RESOURCE-CONTROL
    While the guest runs, held elements have the values that `enter` gave them, and only memory of the guest is
    accessed.  With `check`, this is looked at on every exit; a breach is an error, not a count.  A guest of which the
    scheme's assumptions are not true is interpreted.
RECORD-TRUE
    Between two steps the record is, when somebody looks, the state of the virtual machine, whole.  While the guest
    runs, the passed elements are in the host, and the others of the record do not change.
REFLECT-BY-SPEC
    A trap of the guest is delivered by the spec's delivery procedure, on the record.

Devices, wires, deadlines and clocks are the virtual machine's, counted in its own steps: a step that runs directly and
one that is emulated are one step each.  So a guest that looks at its clock sees no monitor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analyzer.allocator import Flat, never
from analyzer.errors import Breach, UsageError
from emulator.evaluate import Environment, Value, value_of
from emulator.interface import Exit, Reason, Region
from emulator.machine.base import BaseMachine
from emulator.machine.plain import judge
from emulator.monitor.counters import Counters
from emulator.monitor.direct import (
    Aboard,
    Caught,
    DirectPolicy,
    DirectReference,
    DirectRun,
    Host,
    LeaveMiss,
    Left,
    Miss,
    Resident,
    Shadow,
    Terms,
    Ticking,
    Watch,
    Why,
    leaves,
)
from emulator.monitor.exits import SHADOW_MISS, Handled, Noted, Tell, note
from emulator.monitor.place import Placement, placed
from emulator.monitor.plan import Plan, polled
from emulator.monitor.shadow import ShadowMap
from emulator.reference.code import code
from emulator.reference.events import Completed, Event, Policy, Stuck, Trapped, Unpredicted
from emulator.state import State
from emulator.storage import Absent, RamCells, Storage

INTERPRETED = "interpreted"
"""The cause of a step in a mode that does not run directly, or of a guest that is not as the scheme assumes."""

LONG = 1 << 22
"""Steps after which a guest has run for long."""

MOST_FILLS = 256
"""Entries that are filled for one instruction before it is emulated."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the allocator gives a virtual machine: where each region of its RAM lies in the host, values for what the
    scheme lets the monitor choose, the host's held state while a guest runs, and what is known of maps: their granules,
    where they are flat, and to which `block` of memory they then lead (None: all of it)."""

    at: tuple[int, ...]
    chosen: Mapping[str, int]
    held: State
    granules: Mapping[str, int]
    flat: Flat = never
    block: Placement | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of the monitor came to.  `event` is what the last step was, if it was made on the record."""

    event: Event | None = None
    caught: Caught | None = None
    absent: Absent | None = None
    watched: bool = False


class VirtualMachine(BaseMachine):
    """A machine under a monitor.  `regions` are its own; RAM comes from the host as `grant` says."""

    def __init__(
        self,
        plan: Plan,
        host: Host,
        grant: Grant,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None = None,
        *,
        check: bool = True,
    ) -> None:
        super().__init__(plan.isa, regions, choices)
        self._storages, self.placements = placed(plan.isa, regions, host.storages, grant.at)
        self.plan = plan
        self.host = host
        self.grant = grant
        self.check = check
        self._counters = Counters()
        self._aboard: Aboard | None = None
        self.tell: Tell | None = None
        self._record = State(plan.isa, choices)
        self._record.memories = {name: RamCells(storage) for name, storage in self._storages.items()}
        self.reference = DirectReference(plan.isa, self.record, Policy(arbitrary=self._arbitrary))
        known = grant.granules, grant.flat, grant.block
        self.shadow = ShadowMap(plan, self.record, self.placements, *known) if plan.shadowed else None
        self._code = code(plan.isa)
        self._entry: dict[str, int] = {}
        composes = {c.element: c.value for c in plan.scheme.compose}
        self._composed: Mapping[str, Value] = {n: value_of(e, plan.isa) for n, e in composes.items()}
        elements = set(plan.isa.elements)
        loaded = (*plan.division.passed, *plan.division.environment)
        self._loaded = tuple(n for n in loaded if n in elements)
        self._loaded_files = tuple(n for n in loaded if n not in elements)
        self._saved = tuple(n for n in plan.division.passed if n in elements)
        self._saved_files = tuple(n for n in plan.division.passed if n not in elements)
        self._held = tuple(n for n in plan.division.held if n in elements)
        self._held_files = tuple(n for n in plan.division.held if n not in elements)
        self._polls = bool(polled(plan.isa, plan.division)) and not host.asks
        self._assumed = tuple(value_of(a.expr, plan.isa) for a in plan.scheme.guest if not a.prelude)
        self._missed: Miss | None = None
        self._fills = 0

    @property
    def record(self) -> State:
        """The state of the virtual machine.  A guest whose host has its routines is asked to give it back first."""
        self._ashore()
        return self._record

    @property
    def counters(self) -> Counters:
        self._ashore()
        return self._counters

    def _ashore(self) -> None:
        """Takes the state of a guest that is still aboard.

        Raises:
            Breach: it is in a mode that is not its own.
        """
        if self._aboard is None:
            return
        host, self._aboard = self._aboard, None
        self._tally(host.settle())
        state = self.host.state
        if self._host_mode() not in self.plan.inside:
            raise self._escaped()
        self._save(state.elements, state.files)

    def _save(self, elements: Mapping[str, int], files: Mapping[str, Sequence[int]]) -> None:
        """The guest's own state, into the record."""
        for name in self._saved:
            self._record.elements[name] = elements[name]
        for name in self._saved_files:
            self._record.files[name][:] = files[name]

    def _tally(self, routed: Counters | None) -> None:
        """What the host's routines did was no direct step."""
        if routed is not None:
            self._counters.direct -= routed.steps
            self._counters.add(routed)
            self._changed()

    def _escaped(self) -> Breach:
        mode = self.plan.isa.mode.named(self._host_mode())
        return Breach(f"the guest has reached mode {mode} without a trap")

    # -- the allocator -------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Loads the virtual machine into the host: real(σ, μ) of the criterion.  Passed elements are the record's, held
        ones the monitor's, composed ones both's, and the mode is φ of the virtual mode (MODE-SHADOW)."""
        record, state = self.record, self.host.state
        for name in self._loaded:
            state.elements[name] = record.elements[name]
        for name in self._loaded_files:
            state.files[name][:] = record.files[name]
        for name in self._held_files:
            state.files[name][:] = self.grant.held.files[name]
        self._entry = self._entering()
        state.elements.update(self._entry)

    def _entering(self) -> dict[str, int]:
        """What held elements of the host are to be while the guest runs, as its record is."""
        entry = {name: self.grant.held.elements[name] for name in self._held}
        entry.update(self.plan.modes[self.reference.mode_code()])
        environment = self._environment()
        chosen: dict[str, int | bool] = dict(self.grant.chosen)
        for name, value in self._composed.items():
            entry[name] = int(value(environment, chosen))
        return entry

    def leave(self, left: Left) -> None:
        """Takes the guest's own state back into the record."""
        caught, state = left.caught, self.host.state
        elements = state.elements if caught is None else caught.elements
        files = state.files if caught is None else caught.files
        if self.check:
            if left.routed is not None and self.reference.mode_code() in self.plan.direct:
                self._entry = self._entering()  # the host's routines have changed the record, and entered by it
            self._custody(elements, files)
        self._save(elements, files)

    def _custody(self, elements: Mapping[str, int], files: Mapping[str, Sequence[int]]) -> None:
        """RESOURCE-CONTROL."""
        changed = [name for name, value in self._entry.items() if elements[name] != value]
        changed += [name for name in self._held_files if list(files[name]) != self.grant.held.files[name]]
        outside = self.host.outside
        if changed:
            raise Breach(f"the guest has changed {', '.join(changed)}, which is the monitor's")
        if outside:
            cells = ", ".join(f"{memory}[{address:#x}]" for memory, address in outside[:4])
            raise Breach(f"the guest has reached {cells}, which is not its own")

    # -- one round -----------------------------------------------------------------------------------------------------

    def _round(self, most: int, watch: Watch | None, ticking: Ticking | None = None) -> Round:
        """Runs the guest directly until it leaves, and deals with that; or makes one step on the record."""
        if self.shadow is not None and not self.shadow.stayed and self._steps >= LONG:
            self._ashore()
            self.shadow.stayed = True
        if self._aboard is not None and watch is None and ticking is None:
            left = self._aboard.resume(most)
        else:
            self._ashore()
            if self.reference.mode_code() not in self.plan.direct or not self._as_assumed():
                return self._virtual(INTERPRETED, watch, ticking)
            if self._pending() or any(self.record.elements[n] for n in self._code.processor):
                return self._virtual("interrupt", watch, ticking)
            self.enter()
            left = self.host.direct(most, self._terms(watch, ticking))
        self._steps += left.steps
        self._lost += left.lost
        self._counters.direct += left.steps
        self._aboard = left.aboard
        if left.aboard is not None:
            return Round()
        self.leave(left)
        self._tally(left.routed)
        return self.dispatch(left, watch, None if ticking is None else ticking.later(left.steps, left.lost))

    def dispatch(self, left: Left, watch: Watch | None = None, ticking: Ticking | None = None) -> Round:
        """The dispatcher: what is to be done about the way in which control has left the guest.

        A trap that left a part of its instruction behind, and that is not about memory, is what the guest's own machine
        takes as well (the faithfulness of completions): it is reflected as it stands.  For all others the guest is as
        before the instruction, and so the virtual machine makes its step: the instruction is emulated, or its trap
        reflected, as the record decides.
        """
        missed, self._missed = self._missed, None
        if left.why is not Why.MISS:
            self._fills = 0
        match left.why:
            case Why.SPENT:
                return Round(watched=watch is not None)
            case Why.ASKED:
                return self._virtual("interrupt", watch, ticking)
            case Why.ESCAPED:
                raise self._escaped()
            case Why.MISS:
                assert left.miss is not None
                self.counters.exits[SHADOW_MISS] += 1
                self._fills = 0 if left.steps else self._fills + 1
                noted = self._note(SHADOW_MISS)
                helps = left.steps > 0 or (left.miss != missed and self._fills < MOST_FILLS)  # else entries do not: P5
                if helps and self._fill(left.miss):
                    self._missed = left.miss
                    if noted is not None and self.tell is not None:
                        self.tell(Handled(noted, "filled"))
                    return Round()
                return self._virtual(SHADOW_MISS, watch, ticking)
            case Why.REFUSED:
                self.counters.exits[SHADOW_MISS] += 1
                return self._virtual(SHADOW_MISS, watch, ticking)
            case Why.TRAP:
                event, caught = left.event, left.caught
                assert isinstance(event, Trapped)
                assert caught is not None
                cause = f"{event.kind.value} {event.trap}"
                self.counters.exits[cause] += 1
                if caught.committed and not event.memory:
                    return self._reflect(event, caught, cause)
                if caught.committed:  # the instruction goes on from what was committed
                    self.record.elements[self._isa.fetch.pc] = caught.here
                return self._virtual(cause, watch, ticking)
            case Why.ENDED:
                self.counters.exits["the machine stops"] += 1
                return self._virtual("the machine stops", watch, ticking)

    def _fill(self, miss: Miss) -> bool:
        assert self.shadow is not None
        run = DirectRun(self._code, self.record, self.reference.policy)
        if self.shadow.fill(run, miss):
            self.counters.filled += 1
            return True
        return False

    def _virtual(self, cause: str, watch: Watch | None, ticking: Ticking | None = None) -> Round:
        """One step on the record: the interpreter routine of whatever instruction is there, or a reflection."""
        if ticking is not None:
            ticking.show(self.record.elements, 0, 0)
        for name, clock in self._clocks.items():
            self.record.elements[name] = clock.value(self._count(clock))
        if watch is not None and watch(self.record.elements, 0, 0):
            return Round(watched=True)
        before = {name: self.record.elements[name] for name in self._clocks}
        noted = self._note(cause)
        try:
            event = self.reference.step_whole()
        except Absent as absent:
            return Round(absent=absent)
        self._tell(noted, event)
        return self._took(event, cause, before)

    def _reflect(self, event: Trapped, caught: Caught, cause: str) -> Round:
        """Delivers a trap on the record as it was taken."""
        noted = self._note(cause)
        try:
            taken = self.reference.trap(event.trap, event.args, caught, event.instruction)
        except Absent as absent:
            return Round(absent=absent)
        self._tell(noted, taken)
        return self._took(taken, cause, {})

    def _note(self, cause: str) -> Noted | None:
        """What the step begins with, if somebody listens."""
        return None if self.tell is None else note(self, cause)

    def _tell(self, noted: Noted | None, event: Event) -> None:
        if noted is None or self.tell is None:
            return
        match event:
            case Trapped(delivered=True, trap=trap):
                self.tell(Handled(noted, "reflected", trap))
            case Completed() | Unpredicted():
                self.tell(Handled(noted, "interpreted" if noted.cause == INTERPRETED else "emulated"))
            case _:
                self.tell(Handled(noted, "ended"))

    def _took(self, event: Event, cause: str, before: Mapping[str, int]) -> Round:
        """A step was made on the record: counts it, and brings clocks and shadow up to date."""
        _, steps, lost = judge(event)
        self._steps += steps
        self._lost += lost
        self._fills = 0
        for name, value in before.items():
            if self.record.elements[name] != value:
                self._clocks[name].set(self._count(self._clocks[name]), self.record.elements[name])
        if steps:
            if cause == INTERPRETED:
                self.counters.interpreted += 1
            elif isinstance(event, Trapped):
                self.counters.reflected += 1
            else:
                self.counters.emulated += 1
                if isinstance(event, Completed):
                    self.counters.routines[event.instruction.name] += 1
        if self.shadow is not None:
            self.shadow.renew()
        for touch in self.reference.accesses:
            if touch.kind == "write":
                memory, address = touch.cell
                self._wrote(memory, address, touch.bits // self._isa.spaces[memory].unit)
        return Round(event, self.reference.caught if isinstance(event, Trapped) else None)

    # -- what a round needs --------------------------------------------------------------------------------------------

    def _environment(self) -> Environment:
        record = self.record
        return Environment(record.elements, record.files, record.choices, {})

    def _host_mode(self) -> int:
        state = self.host.state
        return int(self.reference.mode(Environment(state.elements, state.files, state.choices, {}), {}))

    def _pending(self) -> bool:
        """Does the virtual machine take an interrupt now?  (P6: only when its own masks allow.)"""
        environment = Environment(
            self.record.elements, self.record.files, self.record.choices, {}, arbitrary=self.reference.policy.arbitrary
        )
        return any(cond(environment, {}) for _, cond, _ in self._code.interrupts)

    def _as_assumed(self) -> bool:
        """Is what the scheme assumes of guests true?  If not, the guest is interpreted: containment does not rest on
        the good will of guests."""
        environment, chosen = self._environment(), dict(self.grant.chosen)
        return all(bool(assumed(environment, chosen)) for assumed in self._assumed)

    def _terms(self, watch: Watch | None, ticking: Ticking | None) -> Terms:
        answers = self.reference.policy.arbitrary
        if self._clocks:
            ticking = Ticking(tuple(self._clocks.values()), self._steps, self._lost)
        resident = Resident(self.record, self.grant.chosen) if self.host.asks else None
        return Terms(self.plan.inside, self.shadow, self.placements, answers, self._watching(watch), ticking, resident)

    def _watching(self, watch: Watch | None) -> Watch | None:
        """What is to be asked before each direct step: guest state alone may raise an interrupt."""
        if not self._polls:
            return watch

        def before(elements: dict[str, int], steps: int, lost: int) -> bool:
            if watch is not None and watch(elements, steps, lost):
                return True
            for name in self._saved:
                self.record.elements[name] = elements[name]
            return steps > 0 and self._pending()

        return before

    # -- a machine -----------------------------------------------------------------------------------------------------

    def _go(self, most: int) -> Exit | None:
        until = self._steps + most
        while self._steps < until:
            done = self._round(until - self._steps, None)
            if done.absent is not None:
                return Exit(Reason.ABSENT, 0, memory=done.absent.memory, address=done.absent.address)
            if done.event is not None:
                ended, _, _ = judge(done.event)
                if ended is not None:
                    return ended
                if self._asked(until):
                    return None
        return None

    def _get(self, element: str) -> int:
        if self._aboard is not None and element in self._code.processor:
            return 0  # one that waits has left
        self._ashore()
        clock = self._clocks.get(element)
        return self.record.elements[element] if clock is None else clock.value(self._count(clock))

    def _set(self, element: str, value: int) -> None:
        self.record.elements[element] = value
        clock = self._clocks.get(element)
        if clock is not None:
            clock.set(self._count(clock), value)
        self._changed()

    def _changed(self) -> None:
        if self.shadow is not None:
            self.shadow.renew()

    def _view(self) -> State:
        for name in self._clocks:
            self.record.elements[name] = self._get(name)
        return self.record

    def _take(self, view: State) -> None:
        for name in self._clocks:
            self._set(name, view.elements[name])
        self._changed()

    def _wrote(self, memory: str, address: int, units: int) -> None:
        self._ashore()
        if self.shadow is not None:
            self.shadow.wrote(memory, address, units)
        for placement in self.placements:
            real = placement.real(address, units)
            if placement.memory == memory and real is not None:
                self.host.wrote(memory, real, units)

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
        if self.shadow is not None:
            self.shadow.flush()

    # -- a host: monitors nest -----------------------------------------------------------------------------------------

    @property
    def routed(self) -> bool:
        return False

    @property
    def asks(self) -> bool:
        return False

    @property
    def state(self) -> State:
        return self.record

    @property
    def storages(self) -> Mapping[str, Storage]:
        return self._storages

    @property
    def outside(self) -> list[tuple[str, int]]:
        return self.reference.outside

    def wrote(self, memory: str, address: int, units: int) -> None:
        self._wrote(memory, address, units)

    def direct(self, most: int, terms: Terms) -> Left:
        """Runs a guest of this virtual machine's own guest, a monitor.  Its shadow is now the map of this machine."""
        self.reference.on(terms)
        self._nest(terms.shadow)
        try:
            return self._nested(most, terms)
        finally:
            self.reference.on(None)

    def _nest(self, shadow: Shadow | None) -> None:
        if self.shadow is not None:
            self.shadow.nested(shadow)

    def _nested(self, most: int, terms: Terms) -> Left:
        first, first_lost = self._steps, self._lost
        watch = None
        if terms.watch is not None:
            outer = terms.watch

            def watch(elements: dict[str, int], steps: int, lost: int) -> bool:
                return outer(elements, self._steps - first + steps, self._lost - first_lost + lost)

        while self._steps - first < most:
            steps, lost = self._steps - first, self._lost - first_lost
            ticking = None if terms.ticking is None else terms.ticking.later(steps, lost)
            done = self._round(most - steps, watch, ticking)
            if done.absent is not None:
                return Left(Why.ENDED, steps, lost)
            if done.watched:
                break
            if done.event is None:
                if self.reference.mode_code() not in terms.inside:
                    return Left(Why.ESCAPED, self._steps - first, self._lost - first_lost)
                continue
            left = leaves(done.event, self.reference, terms)
            if left is not None:
                delivered = isinstance(done.event, Trapped) and done.event.delivered
                back = int(delivered)  # the step of the trap itself is the inner machine's
                return replace(left, steps=self._steps - first - back, lost=self._lost - first_lost - back)
        return Left(Why.SPENT, self._steps - first, self._lost - first_lost)


__all__ = ["Breach", "DirectPolicy", "Grant", "LeaveMiss", "Placement", "Round", "Stuck", "VirtualMachine"]
