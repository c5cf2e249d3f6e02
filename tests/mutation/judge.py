"""What the analysis says of a mutant, subject by subject.

    killed      there is a hole where there was none: a state at which the original is faithful and the mutant is not
    equivalent  no state of the machine, whatever its mode, tells the mutant from the original
    refused     wherever the check stops the guest, under every scheme, something behind it stops the guest too
    faithful    the guest gets further than before, and under no scheme is that a hole: the check keeps nothing from it
                that the monitor holds
    undecided   the solver does not know

The first is shown by a model, the next three are proved.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property, partial
from typing import Any, TypeVar

from msgspec.structs import replace
from mutants import Mutant, applied

import analyzer.properties as pg
from analyzer import ir
from analyzer.classify import NO, UNKNOWN, YES, Asker, Truth
from analyzer.passes.effects import EffectsOf
from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import Pair, Side, Subject, subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import DEFAULT_RLIMIT, QUICK_RLIMIT, Bool
from analyzer.symbolic.term import Term, nodes

T = TypeVar("T")


class Fate(StrEnum):
    """See above."""

    KILLED = "killed"
    EQUIVALENT = "equivalent"
    REFUSED = "refused"
    FAITHFUL = "faithful"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Judged:
    """A mutant of one subject, its fate and, if it was killed, the scheme under which."""

    mutant: Mutant
    subject: str
    fate: Fate
    scheme: str | None = None

    def __str__(self) -> str:
        return f"{self.subject}, {self.mutant}: {self.fate}"


def judged(isa: ir.Isa, mutants: list[Mutant]) -> Iterator[Judged]:
    """Each mutant of each subject that it changes, and that is the spec's own."""
    by_name: dict[str, list[tuple[Mutant, ir.Instruction]]] = {}
    for mutant in mutants:
        for instruction in mutant.own():
            by_name.setdefault(instruction.name, []).append((mutant, instruction))
    settings = [Setting(isa, scheme) for scheme in isa.schemes]
    mutated = {id(m): applied(isa, m) for m in mutants}
    for name, changed in by_name.items():
        for subject in subjects(replace(isa, instructions=(isa.instruction(name),))):
            originals = Lazy(len(settings), partial(original, settings, subject))
            for mutant, instruction in changed:
                twins = Lazy(len(settings), partial(twin, originals, mutated[id(mutant)], instruction))
                if not twins[0].same:  # schemes differ in the states that they allow, and not in what a run does
                    yield judge(mutant, subject, twins)


def judge(mutant: Mutant, subject: Subject, twins: Sequence[Twin]) -> Judged:
    """The fate of a mutant of a subject."""
    for twin in twins:
        if twin.new_hole is YES:
            return Judged(mutant, subject.name, Fate.KILLED, twin.setting.scheme.name)
    if twins[0].equivalent() is YES:
        return Judged(mutant, subject.name, Fate.EQUIVALENT)
    if any(twin.new_hole is not NO for twin in twins):
        return Judged(mutant, subject.name, Fate.UNDECIDED)
    refused = all(twin.refused() is YES for twin in twins)
    return Judged(mutant, subject.name, Fate.REFUSED if refused else Fate.FAITHFUL)


def original(settings: list[Setting], subject: Subject, at: int) -> Original:
    """The subject under one of the schemes."""
    return Original(settings[at], subject)


def twin(originals: Sequence[Original], isa: ir.Isa, instruction: ir.Instruction, at: int) -> Twin:
    """The mutant under one of the schemes."""
    return Twin(originals[at], isa, instruction)


class Lazy(Sequence[T]):
    """Things made when they are asked for."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self.count = count
        self.make = cache(make)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> T:
        return self.make(range(self.count)[at])


class Original:
    """A subject as the spec has it, under one scheme."""

    def __init__(self, setting: Setting, subject: Subject) -> None:
        self.setting = setting
        self.asker = Asker(setting, subject)
        self.pair = self.asker.pair
        self.case = Case(self.pair)

    @cached_property
    def faithful(self) -> Bool:
        """At this state there is no hole; true if there is none at any."""
        smt = self.pair.smt
        if self.asker.holes[0] is NO:
            return True
        found = smt.or_(*(reason.formula for reason in pg.unfaithful(self.pair)))
        return smt.and_(pg.real_states(self.pair), smt.not_(found))

    @cached_property
    def stopped(self) -> Bool:
        """The same for a simple reason: the guest traps, and can be restarted."""
        pair, smt = self.pair, self.pair.smt
        refused = smt.not_(smt.or_(pg.not_restartable(pair), pair.r.run.unpredictable))
        return smt.and_(pg.real_states(pair), pair.r.traps(), refused)


class Case:
    """What the case of a subject decides, where it stands for several values of its operand: comparisons of the operand
    with constants that come out alike for all of them."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.known: dict[Term, bool | None] = {}
        self.models: list[Model] = []
        subject = pair.subject
        if pair.constraint is not True:
            operand = next(o for o in subject.instruction.operands if o.name == subject.operand)
            named = {value for _, values in operand.cases for value in values}
            values = subject.values or [v for v in range(1 << operand.width) if v not in named]
            self.symbol = pair.smt.symbol(f"operand {operand.name}", operand.width)
            self.models = [Model({self.symbol.name: v}) for v in values]

    def __call__(self, *formulas: Bool) -> list[Bool]:
        """The formulas, simplified by that; it holds of the case only (`pair.constraint`)."""
        if not self.models:
            return list(formulas)
        inside = [t for formula in formulas for t in nodes(formula) if t.op in ("eq", "ule")]
        facts = {t: truth for t in inside if (truth := self.truth(t)) is not None}
        decide = self.pair.smt.substitution(facts.items())
        return [decide(f) if isinstance(f, Term) else f for f in formulas]

    def truth(self, atom: Term) -> bool | None:
        """Of a comparison, for all values of the case; None if it depends on more, or on which."""
        if atom not in self.known:
            leaves = {t for t in nodes(atom) if not t.args}
            truths = {model.holds(atom) for model in self.models} if leaves == {self.symbol} else set()
            self.known[atom] = truths.pop() if len(truths) == 1 else None
        return self.known[atom]


class Twin:
    """A mutant beside its original, their runs from the same symbols."""

    def __init__(self, original: Original, isa: ir.Isa, instruction: ir.Instruction) -> None:
        self.original = original
        self.setting = copy.copy(original.setting)
        self.setting.isa, self.setting.effects = isa, EffectsOf(isa)
        subject = replace(original.pair.subject, instruction=instruction)
        self.pair = Pair(self.setting, subject, beside=original.pair)
        self.same = all(d is False for d in original.case(*self.differences()))

    def differences(self) -> list[Bool]:
        """The ways in which the runs can end apart; none if they are term by term the same."""
        smt = self.pair.smt
        out = []
        for one, two in ((self.original.pair.v, self.pair.v), (self.original.pair.r, self.pair.r)):
            if run_of(one) != run_of(two):
                out += [
                    smt.xor(one.run.completes, two.run.completes),
                    smt.xor(one.run.unpredictable, two.run.unpredictable),
                    *(smt.xor(traps(one, kind), traps(two, kind)) for kind in self.setting.isa.traps),
                ]
                names = sorted({*one.run.after, *two.run.after})
                apart = (smt.not_(one.equal(n, final(one, n), final(two, n))) for n in names)
                out += [smt.and_(one.run.completes, d) for d in apart]
        return out

    @cached_property
    def new_hole(self) -> Truth:
        """Is there a state at which the mutant is unfaithful, and the original is not?"""
        smt = self.pair.smt
        real = pg.real_states(self.pair)
        ways = [reason.formula for reason in pg.unfaithful(self.pair)]
        if self.original.faithful is not True:
            answer = self.some(smt.and_(real, self.original.stopped), ways, QUICK_RLIMIT)
            if answer is YES:
                return YES
        return self.some(smt.and_(real, self.original.faithful), ways, QUICK_RLIMIT, DEFAULT_RLIMIT)

    def equivalent(self) -> Truth:
        """Do both runs end alike from every state of the machine?"""
        return ~self.some(self.pair.machine(), self.differences(), DEFAULT_RLIMIT)

    def refused(self) -> Truth:
        """Does the mutant trap to the monitor from every real state from which the original does?"""
        pair, smt = self.original.pair, self.pair.smt
        real = smt.and_(pg.real_states(pair), pg.real_states(self.pair))
        return ~self.some(real, [smt.and_(pair.r.traps(), smt.not_(self.pair.r.traps()))], DEFAULT_RLIMIT)

    def some(self, base: Bool, ways: list[Bool], *budgets: int) -> Truth:
        """Can the base hold together with one of these, in the subject's case?  All are asked within the first budget
        before any gets the next."""
        smt = self.pair.smt
        base, *ways = self.original.case(base, *ways)
        base = smt.and_(base, self.pair.constraint)
        joint = Truth.of(smt.check(base, smt.or_(*ways), rlimit=QUICK_RLIMIT))
        if joint is not UNKNOWN:
            return joint
        for budget in budgets:
            undecided = []
            for way in ways:
                answer = Truth.of(smt.check(base, way, rlimit=budget))
                if answer is YES:
                    return YES
                if answer is UNKNOWN:
                    undecided.append(way)
            ways = undecided
        return UNKNOWN if ways else NO


def traps(side: Side, kind: str) -> Bool:
    """It raises a trap of this kind."""
    return side.smt.or_(*(t.guard for t in side.run.traps if t.trap == kind))


def final(side: Side, name: str) -> Any:
    """What the run leaves when it completes."""
    return side.run.after[name] if name in side.run.after else side.ex.initial(name)


def run_of(side: Side) -> tuple[Any, ...]:
    """Everything that a run does, as terms."""
    run = side.run
    traps = tuple((t.guard, t.trap, t.args, tuple(t.restored.items()), t.memory) for t in run.traps)
    events = tuple((e.guard, e.key, e.place, e.modes, e.named, e.current, e.fault) for e in run.events)
    return run.completes, dict(run.after), traps, events, run.unpredictable, run.unfinished, run.executes
