"""The solver as the analysis sees it: terms that fold, and questions about them.

Every question has a resource limit (z3's `rlimit`, which counts work, not seconds), so answers do not depend on the
speed of the machine or on what ran before.
"""

from __future__ import annotations

from functools import cached_property

from analyzer.symbolic.builder import Builder
from analyzer.symbolic.guess import repaired
from analyzer.symbolic.model import Model, Opaque
from analyzer.symbolic.propagate import simplified
from analyzer.symbolic.solver import Answer, Context, Solver, z3_version
from analyzer.symbolic.term import Array, Bits, Bool

DEFAULT_RLIMIT = 3_000_000
"""Work allowed for one check, in z3's units (about a second for every few millions)."""

QUICK_RLIMIT = 200_000
"""Work allowed for a question that can also be asked in parts."""

LONG_STEPS = 100
"""Repairs of a model where the solver has given up."""

MODELS = 8
"""Models of earlier questions that are tried on a new one."""


class Smt(Builder):
    """Terms, and bounded questions about them."""

    def __init__(self, rlimit: int = DEFAULT_RLIMIT) -> None:
        super().__init__()
        self.rlimit = rlimit
        self.checks = 0
        self._models: list[Model] = []

    @cached_property
    def context(self) -> Context:
        """The solver's context, made when a question needs it."""
        return Context()

    def solver(self, *constraints: Bool) -> Solver:
        """A plain solver that holds the constraints, with this object's resource limit."""
        solver = Solver(self.context, self.rlimit)
        solver.add(*constraints)
        return solver

    def check(self, *constraints: Bool, rlimit: int | None = None, guess: bool = True) -> Answer:
        """Is the conjunction satisfiable?  A model of an earlier question often answers this one, or can be repaired to
        do so (which is not tried without `guess`: the answer will hardly be yes)."""
        formula = self.and_(*constraints)
        if formula is False:
            return Answer("unsat")
        for model in reversed(self._models):
            if _is_model(model, formula):
                return Answer("sat", model)
        answer = self._searched(formula, self.rlimit if rlimit is None else min(rlimit, self.rlimit), guess)
        if answer.model is not None:
            self._models.append(answer.model)
            del self._models[:-MODELS]
        return answer

    def _searched(self, formula: Bool, rlimit: int, guess: bool) -> Answer:
        rest = simplified(self, formula)
        if False in rest.parts:
            return Answer("unsat")
        near = repaired(rest.parts, self._models[-1] if self._models else Model()) if guess else None
        if near is not None:
            model = rest.completed(near)
            if _is_model(model, formula):
                return Answer("sat", model)
        solver = Solver(self.context, rlimit, simplifying=True)
        solver.add(*rest.parts)
        answer = self.ask(solver)
        if answer.status == "unknown":
            answer = self._sought(rest.parts) or answer
        if answer.model is None:
            return answer
        model = rest.completed(answer.model)
        if _is_model(model, formula, opaque=True):
            return Answer("sat", model)
        return Answer("unknown", reason="the model could not be confirmed")

    def _sought(self, parts: list[Bool]) -> Answer | None:
        """A longer search for a model, from all that are known."""
        for start in reversed(self._models):
            near = repaired(parts, start, LONG_STEPS)
            if near is not None:
                return Answer("sat", near)
        return None

    def suggest(self, model: Model) -> None:
        """A model to begin with."""
        self._models.append(model)

    def ask(self, solver: Solver, *assumptions: Bool) -> Answer:
        """Checks a solver that may already have been used."""
        self.checks += 1
        return solver.check(assumptions)


def _is_model(model: Model, formula: Bool, opaque: bool = False) -> bool:
    """Is the formula true in the model?  `opaque` is the answer where a quantifier leaves that open."""
    try:
        return model.holds(formula)
    except Opaque:
        return opaque


__all__ = ["DEFAULT_RLIMIT", "QUICK_RLIMIT", "Answer", "Array", "Bits", "Bool", "Smt", "z3_version"]
