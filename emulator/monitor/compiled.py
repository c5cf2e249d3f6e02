"""A host on generated code: guests run on the fastest tier that there is, and come back by traps.

What the reference host looks at on every access and after every step, this one does not: which memory the guest touches
(the composed map, or the shadow's table, leads nowhere else: MAP-COMPOSE, SHADOW-CONTAINED), and its mode (looked at
when it leaves).  Held elements are looked at on exits, as always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

from analyzer import ir
from emulator.evaluate import ArbitraryPolicy, Environment, hashed, value_of
from emulator.interface import Exit, Reason, Region
from emulator.machine.base import BaseMachine
from emulator.monitor.counters import Counters
from emulator.monitor.direct import Caught, Left, Miss, Terms, Why
from emulator.monitor.exiting import AT, COMMITTED, GONE, LEFT, LOOK, RECORDED, TRAP, argument, exiting, marked, used
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan, polled
from emulator.monitor.rebind import SLOW
from emulator.monitor.residence import Residence
from emulator.monitor.routines import WHY, Routines, routed
from emulator.monitor.shadow import ShadowMap
from emulator.monitor.table import CONTEXT, FLAT, KINDS, MISS, Form, ShadowTable
from emulator.reference.events import Trapped
from emulator.state import State
from emulator.storage import Storage

ACCESS: Mapping[int, ir.AccessKind] = {ir.ACCESS_CODE[kind]: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Outfit:
    """The instruction set of a host: that of the machine `bare`, which has guests' machines of the plan's on it, with
    exits and the `routines` of the monitor, if it has those.  `table` is the address of the shadow's table, for maps
    that are looked up in one (`forms`); `blocks` are regions of the guest's RAM that it may find without
    (SHADOW-FLAT)."""

    plan: Plan
    isa: ir.Isa
    routines: Routines | None
    forms: Mapping[str, Form]
    table: int
    blocks: Sequence[Placement]
    inner: Placement | None = None
    """The block of the innermost guest in the memory of this host's own virtual machine, if a monitor is in that."""

    @staticmethod
    def of(
        bare: ir.Isa,
        plan: Plan,
        forms: Mapping[str, Form],
        table: int,
        blocks: Sequence[Placement] = (),
        resident: tuple[Sequence[Placement], Mapping[str, int]] | None = None,
    ) -> Outfit:
        """`resident` has places and choices of the only virtual machine, whose monitor is to be in the code."""
        asked = polled(bare, plan.division) if resident is None else ()
        isa = exiting(bare, forms, table, blocks, plan.division, asked)
        routines = None if resident is None else routed(isa, plan, *resident, forms)
        return Outfit(plan, marked(isa if routines is None else routines.isa), routines, forms, table, blocks)


class CompiledHost:
    """A machine of an outfit that runs guests: a bare one on generated code, or a virtual one, on whose own host they
    run."""

    def __init__(self, outfit: Outfit, machine: BaseMachine) -> None:
        isa, forms = outfit.plan.isa, outfit.forms
        self._bare = isa
        self._terms: Terms
        self._isa = outfit.isa
        self.routines = None if outfit.routines is None else Residence(outfit.routines)
        self.machine = machine
        self._state = machine._view()
        self._blocks = bool(outfit.blocks)
        self._seen: dict[str, int] = {}
        self._recorded = {n: n.removeprefix(RECORDED) for n in outfit.isa.elements if n.startswith(RECORDED)}
        self._mode = value_of(isa.mode.expr, isa)
        self._arbitrary: ArbitraryPolicy = hashed
        for name, width in used(self._isa):
            machine.bind(name, partial(self._answer, name, width))
        self.table: ShadowTable | None = None
        if forms:
            (memory,) = {form.memory.name for form in forms.values()}
            self.table = ShadowTable(forms, outfit.table, machine._storages[memory])

    @property
    def isa(self) -> ir.Isa:
        return self._bare

    @property
    def regions(self) -> tuple[Region, ...]:
        return self.machine.regions

    @property
    def routed(self) -> bool:
        return self.routines is not None

    @property
    def asks(self) -> bool:
        return True

    @property
    def state(self) -> State:
        return self._state

    @property
    def storages(self) -> Mapping[str, Storage]:
        return self.machine._storages

    @property
    def outside(self) -> list[tuple[str, int]]:
        return []

    def wrote(self, memory: str, address: int, units: int) -> None:
        self.machine._wrote(memory, address, units)

    def _answer(self, name: str, width: int, *args: int) -> int:
        return self._arbitrary(name, args, width)

    # -- running -------------------------------------------------------------------------------------------------------

    def direct(self, most: int, terms: Terms) -> Left:
        self._arbitrary = terms.arbitrary
        if terms.watch is None:
            return self._direct(most, terms, 0, 0)
        steps = lost = 0
        while steps < most and not terms.watch(self._state.elements, steps, lost):
            left = self._direct(1, terms, steps, lost)
            if left.why is not Why.SPENT:
                return replace(left, steps=left.steps + steps, lost=left.lost + lost)
            steps, lost = steps + left.steps, lost + left.lost
        return Left(Why.SPENT, steps, lost)

    def _direct(self, most: int, terms: Terms, steps: int, lost: int) -> Left:
        """Runs at most `most` steps, with `steps` behind it of which `lost` retired nothing."""
        self._state.elements[LEFT] = 0
        if self.table is not None:
            self._look_up(terms)
        assert terms.resident is not None
        for here, name in self._recorded.items():
            self._state.elements[here] = terms.resident.record.elements[name]
        if self.routines is not None:
            self.routines.load(self._state, terms.resident, terms.shadow, self.table)
        self._tick(terms, steps, lost)
        self._give()
        self._terms = terms
        return self.resume(most)

    def resume(self, most: int) -> Left:
        machine = self.machine
        before = machine.retired
        ended = machine.run(most)
        how = machine._get(LEFT)
        steps = ended.steps - int(how == GONE)  # the exit is itself a step, which retires nothing
        lost = steps - (machine.retired - before)
        if self.routines is not None and ended.reason is Reason.BUDGET and not how:
            return Left(Why.SPENT, steps, lost, aboard=self)
        routed = self.settle()
        return replace(self._left(ended, self._terms, steps, lost), routed=routed)

    def settle(self) -> Counters | None:
        self._look()
        if self.routines is None:
            return None
        terms = self._terms
        assert terms.resident is not None
        for clock in () if terms.ticking is None else terms.ticking.clocks:
            clock.offset = self.machine._clocks[clock.element].offset  # a routine may have set it
        return self.routines.store(self._state, terms.resident)

    def _look_up(self, terms: Terms) -> None:
        """Lets lookups find what the shadow has for the present context."""
        assert self.table is not None
        assert isinstance(terms.shadow, ShadowMap)
        number = self.table.context(terms.shadow, terms.shadow.present(self._state))
        self._state.elements[CONTEXT] = number
        self._state.elements.update(self.table.defaults[number])
        self._state.elements[FLAT] = int(self._blocks and terms.shadow.flat(self._state))
        for address in self.table.changed:
            self.machine._wrote(self.table.memory, address, 24)
        self.table.changed.clear()

    def _tick(self, terms: Terms, steps: int, lost: int) -> None:
        """Lets clocks go on from where the guest's are."""
        machine, ticking = self.machine, terms.ticking
        if ticking is None:
            return
        for clock in ticking.clocks:
            if clock.element not in machine._clocks:
                machine.clock(clock.element, clock.source, 1 << clock.shift)
        machine._steps, machine._lost = ticking.steps + steps, ticking.lost + lost
        ticking.show(self._state.elements, steps, lost)

    def _give(self) -> None:
        """Gives the machine the state, as far as it is another than it was left in."""
        changed = copy(self._state)
        seen = self._seen
        changed.elements = {name: value for name, value in self._state.elements.items() if seen.get(name) != value}
        changed.elements |= {name: self._state.elements[name] for name in self.machine._clocks}
        self.machine._take(changed)

    def _look(self) -> None:
        """Takes the machine's state over."""
        view, state = self.machine._view(), self._state
        if view is not state:
            state.elements.update(view.elements)
            self._seen = view.elements
            for name, entries in view.files.items():
                state.files[name][:] = entries

    def _left(self, ended: Exit, terms: Terms, steps: int, lost: int) -> Left:
        state = self._state
        if self._mode(Environment(state.elements, state.files, state.choices, {}), {}) not in terms.inside:
            return Left(Why.ESCAPED, steps, lost)
        if state.elements[LEFT] == LOOK:
            return Left(Why.SPENT, steps, lost)
        if state.elements[LEFT] == GONE:
            return self._trapped(steps, lost)
        return Left(Why.SPENT if ended.reason is Reason.BUDGET else Why.ENDED, steps, lost)

    def _trapped(self, steps: int, lost: int) -> Left:
        """What a trap has left in the monitor's elements."""
        elements = self._state.elements
        kind = list(self._isa.traps.values())[elements[TRAP]]
        if kind.name == SLOW:
            return self._asked(steps, lost)
        args = tuple(elements[argument(name)] for name, _ in kind.params)
        if kind.name.startswith(MISS):
            return Left(Why.MISS, steps, lost, miss=self._missed(kind.name.removeprefix(MISS), args))
        inner = kind.name in self._bare.traps  # the virtual machine has a monitor in it, which tells them apart, too
        name = kind.name if inner else kind.name.removeprefix(COMMITTED)
        event = Trapped(name, args, kind.kind, True, memory=kind.kind is ir.TrapClass.MEMORY)
        files = {file: tuple(entries) for file, entries in self._state.files.items()}
        committed, behind = kind.name.startswith(COMMITTED), self._state.pc()
        here = elements[AT] if committed and kind.resume == "next" else behind
        length = behind - here & (1 << self._isa.elements[self._isa.fetch.pc].width) - 1
        caught = Caught(dict(elements), files, here, length, committed)
        return Left(Why.TRAP, steps, lost, event, caught)

    def _asked(self, steps: int, lost: int) -> Left:
        """A routine leaves the step to the slow monitor: the trap is as if it had come at once."""
        elements, traps = self._state.elements, list(self._bare.traps.values())
        if elements[WHY] >= len(traps):
            return Left(Why.REFUSED if elements[WHY] > len(traps) else Why.ASKED, steps, lost)
        kind = traps[elements[WHY]]
        files = {file: tuple(entries) for file, entries in self._state.files.items()}
        event = Trapped(kind.name, (), kind.kind, True)
        return Left(Why.TRAP, steps, lost, event, Caught(dict(elements), files, self._state.pc(), 0, False))

    def _missed(self, name: str, args: tuple[int, ...]) -> Miss:
        """The access that found nothing.  An argument that is as if the spec had not given it counts as not given."""
        assert self.table is not None
        form = self.table.forms[name]
        address, bits, access, *values = args
        kind = ACCESS[access]
        default = {p.name: self._state.elements[form.default(p, kind)] for p in form.defaulted}
        given = (None if default.get(p.name) == v else v for p, v in zip(form.space.params, values, strict=True))
        return Miss(name, address, bits, kind, tuple(given))
