"""Eliminating the real side of a pair: where do values of its symbols exist that make one of several formulas true?

∃ is answered by instances: terms over everything else are put for the symbols (`project`), which can only make the
formula stronger, so that whatever implies an instance implies the existence.  Instances are made as they are needed,
each for a counterexample to what there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations
from typing import Any

from analyzer import ir
from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.project import Projection
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.solver import Answer, Solver
from analyzer.symbolic.term import Term, conjuncts, nodes, size, symbols
from analyzer.symbolic.terms import nodes_of_array
from analyzer.symbolic.vocabulary import Abstraction

MAX_ROUNDS = 6
"""Instances made for one region."""

RLIMIT = 3_000_000
"""Work for a question that decides."""

QUICK_RLIMIT = 15_000
"""Work for a first try with what was learned from earlier questions, which refutes quickly if it does."""

LAID_RLIMIT = 600_000
"""Work for a question in which memory is laid out well."""

ALLOWANCE = 20_000_000
"""Work on questions of one condition that stay open, all together."""

FAILURE = 400_000
"""What it takes off the allowance when a region is not covered."""

LAID_ALLOWANCE = 5_000_000
"""The same where memory is laid out, so that much can be asked that leads nowhere."""

FIRST_WAYS = 2
"""Ways that are asked about with memory laid out well."""

MAX_SIZE = 10_000
"""Ways are counted as far as this."""

COMPLETES = "the real run can complete"
"""Some map that the monitor may load, and some values of what it holds, let the run complete."""

ACCESSES = "the real run can make its accesses"
"""The same of its accesses; how it ends is another matter."""


class Undecided(Exception):
    """The solver gave up."""


class Elimination:
    """∃ real symbols. base and (one of `ways`), relative to `given`, which is about σ; names are put in."""

    def __init__(self, pair: Pair, base: Bool, ways: list[Bool], given: Bool, named: Abstraction) -> None:
        smt = self.smt = pair.smt
        base, given, ways = named(base), named(given), [named(way) for way in ways]
        self.given = given
        self.known = set(conjuncts(given))
        self.projection = Projection(pair, base, smt.or_(*ways), named)
        self.formula = smt.and_(base, smt.or_(*ways))
        self.base = base
        of_both = {way: _of_both(way) for way in ways}
        self.ways = sorted(ways, key=lambda way: (of_both[way], size(way, MAX_SIZE)))
        self.goal = smt.or_(*ways)
        self.own_goal = smt.or_(*(way for way in ways if not of_both[way]))
        told = smt.and_(self.projection.formula, self.goal)
        self.layout = tuple(self.projection.layout(told))
        self.instances: list[Bool] = []
        self.goals: list[Bool] = []
        self._inside: Solver = smt.solver(self.formula)
        self._allowance = LAID_ALLOWANCE if self.layout else ALLOWANCE
        self._found: list[Model] = []
        if self.projection.reads_tables(told):
            model = self.possible()
            if model is not None:
                self._add(model, self._goal_in(model))
        else:
            self._add(None, self.goal)

    def visible(self, atom: Term) -> bool:
        """May it stand in a condition: does it speak of nothing that is eliminated?"""
        loose, mine = self.projection.loose, self.projection.mine
        named = (t.name for t in nodes(atom) if t.name)
        return not any(name in loose or mine(name) for name in named)

    def flags(self) -> Iterator[Term]:
        """Bits that may decide though they are in no comparison by themselves."""
        yield from ()

    def near(self, atom: Term) -> bool:
        """Does it speak of guest and own state and the encoding only?  An access's fault counts as guest state."""
        passes = self.projection.pair.setting.passes
        stack: list[Any] = [atom]
        while stack:
            t = stack.pop()
            if not isinstance(t, Term):
                continue
            if t.op in ("symbol", "array") and t.name[-2:] in ("@v", "@r") and not passes(t.name[:-2]):
                return False
            stack.extend(t.args[-1:] if t.op == "apply" and t.name.startswith("fault ") else t.args)
        return True

    def possible(self, *literals: Bool) -> Model | None:
        """A model of the formula in which these literals hold; None where there is none.

        Raises:
            Undecided: the solver gave up.
        """
        answer = self._likely(literals)
        if answer.status == "unknown" and len(self.ways) > 1:
            answer = self._asked(LAID_RLIMIT, self.formula, *literals)
        if answer.status == "unknown":
            answer = self._by_ways(literals, RLIMIT)
        if answer.status == "unknown":
            raise Undecided
        return self._kept(answer)

    def needs(self, literal: Bool) -> bool:
        """Is it proved that the literal holds wherever the formula does?"""
        try:
            return self.possible(self.smt.not_(literal)) is None
        except Undecided:
            return False

    def covers(self, *literals: Bool) -> bool:
        """Is the formula's existence proved wherever these literals hold?

        Raises:
            Undecided: too much has been asked that led nowhere.
        """
        if self._allowance <= 0:
            raise Undecided
        for _ in range(MAX_ROUNDS):
            missed = (*(self.smt.not_(i) for i in self.instances), *literals)
            if self._nowhere(missed, LAID_RLIMIT):
                return True
            answer = self._likely(missed)
            if answer.status == "unknown" and not self.layout:
                answer = self._by_ways(missed, LAID_RLIMIT)
            model = self._kept(answer)
            if model is None:
                last = LAID_RLIMIT if self.layout else RLIMIT
                covered = answer.status == "unknown" and self._nowhere(missed, last)
                self._allowance -= 0 if covered else FAILURE
                return covered
            self._add(model, self._goal_in(model))
        return False

    def _likely(self, literals: tuple[Bool, ...]) -> Answer:
        """A model in which the literals hold, looked for where it is likely: among those that are known, with what
        earlier questions taught the solver, and with memory laid out well."""
        for model in self._found:
            if all(map(model.holds, literals)):
                return Answer("sat", model)
        for way in self.ways[:FIRST_WAYS]:
            near = self.smt.check(self.base, way, *self.layout, *literals, rlimit=0)
            if near.status == "sat":
                return near
        self._inside.limit(QUICK_RLIMIT)
        answer = self.smt.ask(self._inside, *literals)
        for way in self.ways[:FIRST_WAYS] if self.layout and answer.status == "unknown" else ():
            laid = self._asked(LAID_RLIMIT, self.base, way, *self.layout, *literals)
            if laid.status == "sat":
                return laid
        return answer

    def _by_ways(self, literals: tuple[Bool, ...], rlimit: int) -> Answer:
        """One way after another: a disjunction of changes is much harder than its parts."""
        for way in self.ways:
            answer = self._asked(rlimit, self.base, way, *literals)
            if answer.status != "unsat":
                return answer
        return Answer("unsat")

    def _kept(self, answer: Answer) -> Model | None:
        model: Model | None = answer.model
        if model is not None and model not in self._found:
            self._found.append(model)
        return model

    def _nowhere(self, formulas: tuple[Bool, ...], rlimit: int) -> bool:
        """Is it refuted that these hold together at some σ?"""
        return self._asked(rlimit, self.given, *formulas, guess=False).status == "unsat"

    def _asked(self, rlimit: int, *formulas: Bool, guess: bool = True) -> Answer:
        """A question, as long as there is an allowance for questions that stay open."""
        if self._allowance <= 0:
            return Answer("unknown", reason="the allowance for a condition is used up")
        answer = self.smt.check(*formulas, rlimit=rlimit, guess=guess)
        if answer.status == "unknown":
            self._allowance -= rlimit
        return answer

    def _goal_in(self, model: Model) -> Bool:
        """What an instance is made of that covers this model: the ways of the real side alone, if they will do."""
        return self.own_goal if model.holds(self.own_goal) else self.goal

    def _add(self, model: Model | None, goal: Bool) -> None:
        """One more instance."""
        put = self.projection.instance(model, goal)
        self.goals.append(put(goal))
        base = (put(c) for c in conjuncts(self.projection.formula) if c not in self.known)
        self.instances.append(self.smt.and_(*base, self.goals[-1], *put.apart))


def _of_both(way: Bool) -> bool:
    """Does it speak of the virtual run too?"""
    return any(t.op in ("symbol", "array") and t.name.endswith("@v") for t in nodes(way))


class GoingOn(Elimination):
    """The same where the real run goes on: there a way is open whatever the monitor holds, or if it held the opposite
    of what the run writes.  That the run goes on for some monitor (`text`; empty if the formula does not imply it) is a
    literal of its own."""

    def __init__(self, pair: Pair, base: Bool, ways: list[Bool], given: Bool, named: Abstraction) -> None:
        super().__init__(pair, base, ways, given, named)
        self.goes_on: Bool = True
        self.text = ""
        smt, r = self.smt, pair.r
        denied = smt.or_(*(t.guard for t in r.run.traps if t.memory))
        for ends, text in ((r.stays(), COMPLETES), (smt.not_(denied), ACCESSES)):
            there = named(smt.and_(ends, smt.not_(r.run.unfinished)))
            if self.needs(there):
                self.goes_on, self.text = there, text
                break

    def near(self, atom: Term) -> bool:
        """Does it speak of held state other than maps, which only decide whether the run goes on, or of where a store
        of guest state goes?"""
        role = self.projection.pair.setting.role
        held = {t.name[:-2] for t in nodes(atom) if t.op == "symbol" and t.name.endswith("@v")}
        return atom in self._places or (bool(held) and not any(role(name) is ir.Role.MAP for name in held))

    def flags(self) -> Iterator[Term]:
        """Single bits of held state, and where stores of guest state go."""
        for goal in self.goals:
            yield from (self.smt.eq(s, 1, 1) for s in symbols(goal) if s.width == 1 and s.name.endswith("@v"))
        yield from self._places

    @cached_property
    def _places(self) -> dict[Term, None]:
        """What decides whether an array is stored at, and whether two stores of it meet."""
        found: dict[Term, None] = {}
        indices: dict[str, dict[Term, None]] = {}
        for t in (t for goal in self.goals for t in nodes(goal)):
            if t.op == "ite" and t.index and t.args[0].op not in ("and", "or", "not"):
                found[t.args[0]] = None
            if t.op == "store" and isinstance(t.args[1], Term):
                for base in (a for a in nodes_of_array(t) if a.op == "array"):
                    indices.setdefault(base.name, {})[t.args[1]] = None
        meetings = (self.smt.eq(a, b, a.width) for places in indices.values() for a, b in combinations(places, 2))
        found.update(dict.fromkeys(m for m in meetings if isinstance(m, Term)))
        return found

    def covers(self, *literals: Bool) -> bool:
        """Does each state in which the literals hold and the run goes on satisfy the formula, or its twin?"""
        either = self.smt.or_(self.goal, self._twin)
        return self._asked(RLIMIT, self.base, self.goes_on, *literals, self.smt.not_(either)).status == "unsat"

    @cached_property
    def _twin(self) -> Bool:
        """The formula, what the real run writes being the opposite at the beginning, if nothing pins it and the run
        goes on without it: one of two opposites differs from what is written."""
        setting, smt = self.projection.pair.setting, self.smt
        written = {f"{n}@r" for n in self.projection.pair.r.after if not setting.passes(n)}
        needed = {*self.projection.pinned, *nodes(self.goes_on)}
        mine = (t for t in nodes(self.goal) if t.op in ("symbol", "array") and t.name in written)
        found = [t for t in mine if t not in needed]
        opposite = [(t, smt.flip(t) if t.op == "array" else smt.invert(t, t.width)) for t in found]
        return smt.substituted(self.formula, opposite)
