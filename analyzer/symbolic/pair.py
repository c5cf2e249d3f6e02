"""Two runs of one instruction: the self-composition on which every definition is stated.

Side `v` starts in a state of the virtual machine (or, in the classes of 1974, in S1), side `r` in a real state (S2).
They share guest state, the window, operands and choices; everything else has its own symbols, and each definition says
which of them are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from msgspec import Struct

from analyzer import ir
from analyzer.symbolic.execute import Changes, Executor, Frame, Run, TrapExit
from analyzer.symbolic.naming import Naming
from analyzer.symbolic.setting import Setting, deliver
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.windows import Windows, World

# -- one side ----------------------------------------------------------------------------------------------------------


class Ending(Struct, frozen=True):
    """One way for a run to end, under `guard`: completed, or trapped with `to_monitor` saying whether control arrives
    in the monitor's mode.  `after` is the state there; `trap` is None for a completion."""

    guard: Bool
    to_monitor: Bool
    after: Changes
    trap: TrapExit | None = None


def next_pc(world: World, instruction: ir.Instruction, start: Callable[[ir.Expr], Any]) -> Bits:
    """The address of the next instruction in the stream; `start` evaluates at the beginning of the run."""
    isa, smt = world.isa, world.smt
    pc = isa.elements[isa.fetch.pc]
    at = world.element(pc.name)
    if isa.prefixes:
        parcels = smt.op("mul", world.operand("prefix_parcels"), isa.fetch.parcel // isa.unit, 8)
        at = smt.op("add", at, smt.extend(parcels, 8, pc.width, False), pc.width)
    for segment in instruction.segments:
        there = True if segment.when is None else start(segment.when)
        at = smt.op("add", at, smt.ite(there, segment.width // isa.unit, 0, pc.width), pc.width)
    return at


@dataclass
class Side:
    """One run with its symbols."""

    setting: Setting
    smt: Smt
    name: str
    operands: dict[str, Any]
    instruction: ir.Instruction
    world: World = field(init=False)
    windows: Windows = field(init=False)
    ex: Executor = field(init=False)
    run: Run = field(init=False)
    touched: frozenset[str] = field(init=False)  # what the run reads or writes, before any question looks at more
    assumptions: list[Bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        isa = self.setting.isa
        self.world = World(isa, self.smt, self.name, self.operands)
        self.windows = Windows(isa, self.smt, self.world, self.setting.shapes)
        self.ex = Executor(isa, self.smt, self.world, self.windows)
        self.run = self.ex.instruction(self.instruction.body)
        self.touched = frozenset(self.world.values)

    @cached_property
    def mode(self) -> Bits:
        """The mode code at the beginning."""
        return self.start(self.setting.isa.mode.expr)

    def assumed(self, assume: ir.Assume) -> Bool:
        """An assumption at the beginning of this run."""
        ex = Executor(self.setting.isa, self.smt, self.world, self.windows)
        return self.setting.assumed(ex, assume)

    def start(self, expr: ir.Expr, prelude: ir.Block = (), **locals: tuple[Bits, int]) -> Any:
        """An expression at the beginning of the run."""
        return self.evaluate(Changes(), expr, prelude, **locals)

    def evaluate(self, state: Changes, expr: ir.Expr, prelude: ir.Block = (), **locals: tuple[Bits, int]) -> Any:
        """An expression in a state of this run."""
        ex = Executor(self.setting.isa, self.smt, self.world, self.windows)
        frame = Frame({}, Changes(state), Changes())
        for name, (value, width) in locals.items():
            frame.let(name, value, width)
        ex.block(prelude, frame, True)
        return ex.value(expr, frame)

    @cached_property
    def where(self) -> Bool:
        """The encoding's restriction."""
        where = self.instruction.where
        return True if where is None else self.start(where)

    @cached_property
    def endings(self) -> tuple[Ending, ...]:
        """Completion, and each trap with its delivery."""
        out = [Ending(self.run.completes, False, self.run.after)]
        out.extend(self.delivered(trap) for trap in self.run.traps)
        return tuple(e for e in out if e.guard is not False)

    def delivered(self, trap: TrapExit) -> Ending:
        """The ending of a trap.  An abstract map's faults arrive like the traps that its text raises: premise P5."""
        isa = self.setting.isa
        if trap.trap is None or self.setting.always_arrives(trap.trap):
            return Ending(trap.guard, True, trap.restored, trap)
        kind = isa.traps[trap.trap]
        ex = Executor(isa, self.smt, self.world, self.windows)
        at = self.next_pc() if kind.resume == "next" else None
        delivery = deliver(self.setting, ex, kind, trap.args, trap.restored, at)
        if self.name == "r":
            self.assumptions += delivery.assumptions
        return Ending(trap.guard, delivery.arrives, delivery.state, trap)

    def next_pc(self) -> Bits:
        """The address of the next instruction in the stream."""
        return next_pc(self.world, self.instruction, self.start)

    # -- what happened -------------------------------------------------------------------------------------------------

    def traps(self) -> Bool:
        """It ends in a trap to the monitor."""
        return self.smt.or_(*(self.smt.and_(e.guard, e.to_monitor) for e in self.endings if e.trap is not None))

    def goes_on(self) -> list[tuple[Bool, Changes, Ending]]:
        """The endings that are not at the monitor, with their conditions."""
        out = []
        for e in self.endings:
            guard = e.guard if e.trap is None else self.smt.and_(e.guard, self.smt.not_(e.to_monitor))
            if guard is not False:
                out.append((guard, e.after, e))
        return out

    def stays(self) -> Bool:
        """It completes, or takes a trap that does not reach the monitor."""
        return self.smt.or_(*(g for g, _, _ in self.goes_on()))

    @cached_property
    def after(self) -> Changes:
        """The state after, given that it is not at the monitor."""
        ways = self.goes_on()
        if not ways:
            return Changes()
        state = ways[-1][1]
        for guard, other, _ in reversed(ways[:-1]):
            state = self.ex.merge_states(guard, other, state)
        return state

    def final(self, name: str) -> Any:
        """The term of an element, file or array after the run."""
        return self.after[name] if name in self.after else self.ex.initial(name)

    def equal(self, name: str, a: Any, b: Any) -> Bool:
        """Equality of two values of one name."""
        element = self.setting.isa.elements.get(name)
        return self.smt.same(a, b) if element is None else self.smt.eq(a, b, element.width)

    def changed(self, name: str) -> Bool:
        """Another value after than before."""
        if name not in self.after:
            return False
        return self.smt.not_(self.equal(name, self.after[name], self.ex.initial(name)))


# -- what is asked about -----------------------------------------------------------------------------------------------


class Subject(Struct, frozen=True):
    """An instruction, or the encodings of it that name one case of a dispatch space (`csrrw` of `mstatus`): the operand
    and its values, none standing for all that have no name."""

    instruction: ir.Instruction
    case: str | None = None
    operand: str | None = None
    values: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.instruction.name if self.case is None else f"{self.instruction.name} {self.case}"


def subjects(isa: ir.Isa) -> tuple[Subject, ...]:
    """Every instruction of an Isa, split by the cases of its dispatch spaces."""
    out: list[Subject] = []
    for instruction in isa.instructions:
        split = next((o for o in instruction.operands if o.cases), None)
        if split is None:
            out.append(Subject(instruction))
        else:
            out.extend(Subject(instruction, name, split.name, values) for name, values in split.cases)
    return tuple(out)


def with_shared_bits(smt: Smt, term: Bits, width: int, values: tuple[int, ...]) -> Bits:
    """A term with the bits put in that all its values have in common: what a range of numbers decides, folds."""
    differ = 0
    for value in values:
        differ |= value ^ values[0]
    return smt.op("or", smt.op("and", term, differ, width), values[0] & ~differ, width)


# -- both sides --------------------------------------------------------------------------------------------------------


class Pair:
    """Two runs of one instruction under a setting, in a solver context of their own, or in that of another pair."""

    def __init__(
        self, setting: Setting, subject: Subject, rlimit: int | None = None, beside: Pair | None = None
    ) -> None:
        self.setting = setting
        self.subject = subject
        self.stated: dict[Any, Any] = {}  # definitions, as they are stated for this pair
        self._names: dict[tuple[int, int], list[str]] = {}  # by how many names either run mentions
        instruction = subject.instruction
        self.smt: Smt = beside.smt if beside is not None else Smt() if rlimit is None else Smt(rlimit)
        prefixes = {p.name: self.smt.symbol(f"operand {p.name}", p.width) for p in setting.isa.prefixes}
        fields = {o.name: self.smt.symbol(f"operand {o.name}", o.width) for o in instruction.operands}
        self.operands: dict[str, Any] = {**prefixes, **fields}
        if prefixes:
            self.operands["prefix_parcels"] = self.prefix_parcels()
        self.constraint: Bool = True
        if subject.operand is not None:
            width = next(o.width for o in instruction.operands if o.name == subject.operand)
            term = self.operands[subject.operand]
            if len(subject.values) == 1:
                self.operands[subject.operand] = subject.values[0]
            elif subject.values:
                term = self.operands[subject.operand] = with_shared_bits(self.smt, term, width, subject.values)
                self.constraint = self.smt.or_(*(self.smt.eq(term, v, width) for v in subject.values))
            else:
                named = (v for o in instruction.operands if o.name == subject.operand for _, vs in o.cases for v in vs)
                self.constraint = self.smt.and_(*(self.smt.not_(self.smt.eq(term, v, width)) for v in named))
        self.v = Side(setting, self.smt, "v", self.operands, instruction)
        self.r = Side(setting, self.smt, "r", self.operands, instruction)
        if beside is None:
            self.smt.naming = Naming(self.smt, "short", self.v.run.locals, instruction.body)

    def prefix_parcels(self) -> Bits:
        """How many prefixes there are: one for each that is not its default."""
        count: Bits = 0
        for prefix in self.setting.isa.prefixes:
            default = self.smt.eq(self.operands[prefix.name], prefix.default, prefix.width)
            count = self.smt.op("add", count, self.smt.ite(default, 0, 1, 8), 8)
        return count

    # -- modes ---------------------------------------------------------------------------------------------------------

    @cached_property
    def mode_width(self) -> int:
        return ir.width(self.setting.isa.mode.expr)

    def in_modes(self, side: Side, codes: Iterable[int]) -> Bool:
        """The side starts in one of these modes."""
        return self.smt.or_(*(self.smt.eq(side.mode, c, self.mode_width) for c in sorted(set(codes))))

    @cached_property
    def virtual_modes(self) -> tuple[int, ...]:
        """dom φ."""
        return tuple(v for v, _ in self.setting.scheme.run)

    @cached_property
    def user_modes(self) -> tuple[int, ...]:
        """φ(dom φ)."""
        return tuple(sorted({r for _, r in self.setting.scheme.run}))

    def deprivileged(self) -> Bool:
        """The real mode is φ of the virtual one."""
        return self.smt.or_(
            *(
                self.smt.and_(
                    self.smt.eq(self.v.mode, a, self.mode_width), self.smt.eq(self.r.mode, b, self.mode_width)
                )
                for a, b in self.setting.scheme.run
            )
        )

    # -- equality of beginnings ----------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Elements, files and arrays that either run mentions, and that the runs do not share."""
        mentioned = len(self.v.world.values), len(self.r.world.values)
        if mentioned not in self._names:
            known = dict.fromkeys(n for n, _ in self.setting.state())
            known |= dict.fromkeys(self.v.world.values) | dict.fromkeys(self.r.world.values)
            choices = self.setting.isa.choices
            self._names[mentioned] = [n for n in known if not self.setting.is_guest(n) and n not in choices]
        return self._names[mentioned]

    def start_equal(self, name: str) -> Bool:
        """Both sides begin with the same value.  An array that only one side uses is unconstrained."""
        if name in self.setting.isa.elements or name in self.setting.isa.files:
            return self.v.equal(name, self.v.ex.initial(name), self.r.ex.initial(name))
        if name in self.v.world.values and name in self.r.world.values:
            return self.smt.same(self.v.world.values[name], self.r.world.values[name])
        return True

    def equal_roles(self, *roles: ir.Role) -> Bool:
        """All state with these roles is equal at the beginning."""
        return self.smt.and_(*(self.start_equal(n) for n in self.names() if self.setting.role(n) in roles))

    def guest_differs(self) -> Bool:
        """Guest parts differ after, neither being at the monitor: one of the runs can end as the other cannot."""
        return self.smt.or_(
            *(
                self.smt.or_(self.differs(n, self.v), self.differs(n, self.r))
                for n in self.written()
                if self.setting.is_guest(n)
            )
        )

    def written(self) -> list[str]:
        """Everything that either run writes."""
        return list(dict.fromkeys([*self.v.after, *self.r.after]))

    def differs(self, name: str, angelic: Side) -> Bool:
        """After the runs, `name` differs, whatever the angelic side has where the architecture leaves a value UNKNOWN.

        Its choices are instantiated: what the other side has at the same site, what the other side ends with, and for
        single bits both values.  Instances are necessary conditions, so a difference may be claimed that some cleverer
        choice would avoid, and none is missed.
        """
        smt = self.smt
        other = self.r if angelic is self.v else self.v
        formula = smt.not_(self.v.equal(name, self.v.final(name), self.r.final(name)))
        mine = {term: (site, term, width) for site, term, width in angelic.run.unknowns}
        if isinstance(formula, bool) or not mine:
            return formula
        element = self.setting.isa.elements.get(name)
        ends = other.final(name) if element is not None else None
        same_site = [(t, other.world.unknown(site, w)) for site, t, w in mine.values()]
        as_other = [
            (t, ends if element is not None and element.width == w else other.world.unknown(site, w))
            for site, t, w in mine.values()
        ]
        zeros = [(t, 0) for _, t, w in mine.values()]
        ones = [(t, (1 << w) - 1) for _, t, w in mine.values()]
        return smt.and_(*(smt.substituted(formula, choice) for choice in (same_site, as_other, zeros, ones)))

    def same_choices(self, formula: Bool) -> Bool:
        """The formula with σ's UNKNOWN values those of the real run, site by site: it may have them."""
        pairs = [(term, self.r.world.unknown(site, width)) for site, term, width in self.v.run.unknowns]
        return self.smt.substituted(formula, pairs) if pairs else formula

    # -- assumptions ---------------------------------------------------------------------------------------------------

    def machine(self) -> Bool:
        """Machine invariants and decoder restrictions, of both runs; equal time."""
        terms: list[Bool] = [self.v.where, self.r.where]
        for side in (self.v, self.r):
            terms += [side.start(i.expr, i.prelude) for i in self.setting.isa.invariants]
            terms += [self.legal(side, e) for e in self.setting.isa.elements.values() if e.legal is not None]
            terms.append(self.in_modes(side, (m.code for m in self.setting.isa.mode.modes())))
        terms.append(self.equal_roles(ir.Role.TIME))
        return self.smt.and_(*terms, self.constraint)

    def legal(self, side: Side, element: ir.Element) -> Bool:
        """The element holds a legal value."""
        value = side.world.element(element.name)
        return self.smt.or_(*(self.smt.eq(value, v, element.width) for v in element.legal or ()))

    def same_map_function(self) -> Bool:
        """Equal maps fault alike: the abstract fault functions agree wherever either run asks them."""
        terms = []
        for one, two in ((self.v, self.r), (self.r, self.v)):
            for event in one.run.events:
                if not self.setting.shapes[event.key[0]].concrete:
                    terms.append(self._agree(event, one, two))
        return self.smt.and_(*terms)

    def _agree(self, event: Any, one: Side, two: Side) -> Bool:
        fault = event.fault
        if isinstance(fault, bool):
            return True
        name, kind, bits = event.key
        f = self.smt.function(f"fault {name} {kind} {bits}@{two.world.name}", fault.data.widths, 0)
        return self.smt.iff(self.smt.apply(f, fault.args), fault)
