"""Eliminating one side of a pair: where do values of its symbols exist that make one of several formulas true?

∃ is answered by instances: terms over everything else are put for the symbols (`project`), which can only make the
formula stronger, so that whatever implies an instance implies the existence.  Instances are made as they are needed,
each for a counterexample to what there are.
"""

from __future__ import annotations

from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.project import Projection
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.solver import Answer, Solver
from analyzer.symbolic.term import conjuncts, nodes, size

MAX_INSTANCES = 12
"""Instances made in all."""

RLIMIT = 150_000
"""Work for one question."""

QUICK_RLIMIT = 15_000
"""Work for a first try with what was learned from earlier questions, which refutes quickly if it does."""


REFUTE_RLIMIT = 30_000
"""Work for refuting that something is left over."""


MAX_SIZE = 10_000
"""Ways are counted as far as this."""


class Undecided(Exception):
    """The solver gave up, or too many instances were needed."""


class Elimination:
    """∃ symbols of `side`. base and (one of `ways`), relative to `given`, which is about the other side."""

    def __init__(self, pair: Pair, base: Bool, ways: list[Bool], side: str, given: Bool) -> None:
        smt = self.smt = pair.smt
        self.given = given
        self.known = set(conjuncts(given))
        self.projection = Projection(pair, base, smt.or_(*ways), side)
        self.formula = smt.and_(base, smt.or_(*ways))
        self.base = base
        self.ways = sorted(ways, key=lambda way: (self._of_other_side(way), size(way, MAX_SIZE)))
        self.goal = smt.or_(*ways)
        self.own_goal = smt.or_(*(way for way in ways if not self._of_other_side(way)))
        self.instances: list[Bool] = []
        self.goals: list[Bool] = []
        self._inside: Solver = smt.solver(self.formula)
        self._outside: Solver = smt.solver(given)
        self._found: list[Model] = []
        if self.projection.reads_tables(self.formula):
            model = self.possible()
            if model is not None:
                self._add(model, self._goal_in(model))
        else:
            self._add(None, self.goal)

    def _of_other_side(self, way: Bool) -> bool:
        """Does it speak of the other run too?"""
        mark = f"@{self.projection.other}"
        return any(t.op in ("symbol", "array") and t.name.endswith(mark) for t in nodes(way))

    def possible(self, *literals: Bool) -> Model | None:
        """A model of the formula in which these literals hold; None where there is none.

        Raises:
            Undecided: the solver gave up.
        """
        for model in self._found:
            if all(map(model.holds, literals)):
                return model
        answer = self._quickly(self._inside, *literals)
        if answer.status == "unknown":
            answer = self._by_ways(*literals)
        if answer.model is not None:
            self._found.append(answer.model)
        return answer.model

    def _by_ways(self, *literals: Bool) -> Answer:
        """The same asked for each way by itself: a disjunction of changes is much harder than its parts."""
        for way in self.ways:
            answer = self.smt.check(self.base, way, *literals, rlimit=RLIMIT)
            if answer.status == "unknown":
                raise Undecided
            if answer.status == "sat":
                return answer
        return Answer("unsat")

    def covers(self, *literals: Bool) -> bool:
        """Is the formula's existence proved wherever these literals hold?

        Raises:
            Undecided: the solver gave up, or too many instances were needed.
        """
        while True:
            missed = [self.smt.not_(i) for i in self.instances]
            outside = self._quickly(self._outside, *missed, *literals)
            if outside.status == "unsat":
                return True
            model = self.possible(*missed, *literals)
            if model is None:
                return outside.status == "unknown" and self._nowhere(*missed, *literals)
            if len(self.instances) == MAX_INSTANCES:
                raise Undecided
            self._add(model, self._goal_in(model))

    def _nowhere(self, *formulas: Bool) -> bool:
        """Is it refuted that these hold together on the other side?"""
        return self.smt.check(self.given, *formulas, rlimit=REFUTE_RLIMIT, guess=False).status == "unsat"

    def _quickly(self, solver: Solver, *assumptions: Bool) -> Answer:
        solver.limit(QUICK_RLIMIT)
        return self.smt.ask(solver, *assumptions)

    def _goal_in(self, model: Model) -> Bool:
        """What an instance is made of that covers this model: the ways of this side alone, if that will do."""
        return self.own_goal if model.holds(self.own_goal) else self.goal

    def _add(self, model: Model | None, goal: Bool) -> None:
        """One more instance."""
        put = self.projection.instance(model, goal)
        self.goals.append(put(goal))
        base = (put(c) for c in conjuncts(self.projection.formula) if c not in self.known)
        self.instances.append(self.smt.and_(*base, self.goals[-1], *put.apart))
