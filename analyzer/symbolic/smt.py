"""The solver as the analysis sees it: terms that fold, and questions about them.

Every question has a resource limit (z3's `rlimit`, which counts work, not seconds), so answers do not depend on the
speed of the machine or on what ran before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any

from msgspec import Struct

from analyzer.symbolic.builder import Builder
from analyzer.symbolic.echo import Echo, Question
from analyzer.symbolic.guess import repaired
from analyzer.symbolic.model import Model, Opaque
from analyzer.symbolic.naming import Naming
from analyzer.symbolic.propagate import Simplified, simplified
from analyzer.symbolic.solver import Answer, Context, Solver, z3_version
from analyzer.symbolic.term import Array, Bits, Bool, Term

DEFAULT_RLIMIT = 3_000_000
"""Work allowed for one check, in z3's units (about a second for every few millions)."""

QUICK_RLIMIT = 200_000
"""Work allowed for a question that can also be asked in parts."""

LONG_STEPS = 100
"""Repairs of a model where the solver has given up."""

MANY = 3
"""Parts of a conjunction that is worth simplifying by itself."""

MODELS = 8
"""Models of earlier questions that are tried on a new one."""


class Smt(Builder):
    """Terms, and bounded questions about them."""

    def __init__(self, rlimit: int = DEFAULT_RLIMIT, beside: Smt | None = None) -> None:
        super().__init__()
        self.rlimit = rlimit
        self._beside = beside  # whose context this one shares
        self.checks = 0
        self._models: list[Model] = []
        self._bases: dict[Term, _Base] = {}
        self.naming: Naming | None = None  # what questions are shortened by
        self.questions: list[Question] = []  # what was asked, if somebody listens
        self.listening = False
        self._echoes: list[Echo] = []

    @cached_property
    def context(self) -> Context:
        """The solver's context, made when a question needs it."""
        return Context() if self._beside is None else self._beside.context

    def close(self) -> None:
        """Forgets everything, at once: terms and solvers are large, and would wait for the garbage collector."""
        self._bases.clear()
        self._models.clear()
        for term in self._table.values():
            term.negation = None
        self._table.clear()
        self._memo.clear()
        context = self.__dict__.pop("context", None)
        if context is not None:
            context.close()

    def solver(self, *constraints: Bool) -> Solver:
        """A plain solver that holds the constraints, with this object's resource limit."""
        solver = Solver(self.context, self.rlimit)
        solver.add(*constraints)
        return solver

    def check(self, *constraints: Bool, rlimit: int | None = None, guess: bool = True, thorough: bool = True) -> Answer:
        """Is the conjunction satisfiable?  A model of an earlier question often answers this one, or can be repaired to
        do so (which is not tried without `guess`: the answer will hardly be yes).  With an `rlimit` of 0 the solver is
        not asked; what can be asked in other words need not be asked thoroughly."""
        limit = self.rlimit if rlimit is None else min(rlimit, self.rlimit)
        effort = _Effort(limit, guess, thorough)
        answer = self._heard(constraints, effort, lambda: self._check(constraints, effort))
        if answer.model is not None and all(answer.model is not known for known in self._models):
            self._models.append(answer.model)
            del self._models[:-MODELS]
        return answer

    def _check(self, constraints: tuple[Bool, ...], effort: _Effort) -> Answer:
        formula = self.and_(*constraints)
        if formula is False:
            return Answer("unsat")
        for model in reversed(self._models):
            if _is_model(model, formula):
                return Answer("sat", model)
        return self._with_names(formula, constraints, effort) or self._decided(formula, constraints, effort)

    @property
    def _start(self) -> Model:
        """Where a search begins."""
        return self._models[-1] if self._models else Model()

    def _with_names(self, formula: Bool, constraints: tuple[Bool, ...], effort: _Effort) -> Answer | None:
        """The answer to the question with names for large terms; None if that has a model which could not be made one
        of the terms, or nothing in it has a name."""
        naming = self.naming
        if naming is None:
            return None
        named = tuple(map(naming, constraints))
        if all(a is b for a, b in zip(named, constraints, strict=True)):
            return None
        answer = self._decided(self.and_(*named), named, effort, naming)
        if answer.model is None:
            return answer
        if not _is_model(answer.model, formula):
            parts = [*named, *naming.agreed(self, answer.model)]
            near = repaired(parts, answer.model, LONG_STEPS)
            if near is None or not _is_model(near, formula):
                return None
            return Answer("sat", near)
        return answer

    def _decided(
        self, formula: Bool, constraints: tuple[Bool, ...], effort: _Effort, naming: Naming | None = None
    ) -> Answer:
        """The answer; if anything is guessed, it is looked for near the latest model first."""
        start = (self._start if naming is None else naming.told(self._start)) if effort.guess else None
        base = self._base(constraints)
        if base is None:
            return self._searched(formula, simplified(self, formula), effort, start)
        images = [base.rest.image(c) for c in constraints[1:]]
        both = base.rest.and_(simplified(self, self.and_(*base.rest.parts, *images)))
        ask_first = partial(base.asked, self, images, min(effort.rlimit, QUICK_RLIMIT))
        return self._searched(formula, both, effort, start, ask_first)

    def _base(self, constraints: tuple[Bool, ...]) -> _Base | None:
        """A large conjunction that comes first, which many questions begin with: it is simplified, and told to a
        solver, once."""
        first = constraints[0]
        if len(constraints) < 2 or not isinstance(first, Term) or first.op != "and" or len(first.args) < MANY:
            return None
        if first not in self._bases:
            self._bases[first] = _Base(simplified(self, first))
        return self._bases[first]

    def _searched(
        self,
        formula: Bool,
        rest: Simplified,
        effort: _Effort,
        start: Model | None,
        ask_first: Callable[[], tuple[Answer, Simplified]] | None = None,
    ) -> Answer:
        if False in rest.parts:
            return Answer("unsat")
        near = None if start is None else repaired(rest.parts, start)
        if near is not None:
            model = rest.completed(near)
            if _is_model(model, formula):
                return Answer("sat", model)
        if not effort.rlimit:
            return Answer("unknown", reason="the solver was not to be asked")
        if ask_first is not None:
            answer, of = ask_first()
            if answer.status == "unsat":
                return answer
            if answer.model is not None:
                model = of.completed(answer.model)
                if _is_model(model, formula):
                    return Answer("sat", model)
            if not effort.thorough:
                return Answer("unknown", reason="it was not asked thoroughly")
        solver = Solver(self.context, effort.rlimit, simplifying=True)
        solver.add(*rest.parts)
        answer = self.asked(solver)
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
        how = ("ask", solver.rlimit)
        return self._heard((*solver.asserted, *assumptions), how, lambda: self.asked(solver, *assumptions))

    def asked(self, solver: Solver, *assumptions: Bool) -> Answer:
        """Checks a solver, as a part of a question."""
        self.checks += 1
        return solver.check(assumptions)

    # -- twins ---------------------------------------------------------------------------------------------------------

    def listen(self, twins: Iterable[list[Question]]) -> None:
        """From now on questions are kept, and those that are asked as one of these was are answered as it was."""
        self.listening = True
        self._echoes = [Echo(questions) for questions in twins]

    def _heard(self, formulas: tuple[Bool, ...], how: Any, ask: Callable[[], Answer]) -> Answer:
        """The answer of a twin; if there is none, that to a question."""
        answer = self._echoed(formulas, how) or ask()
        if self.listening:
            self.questions.append(Question(formulas, how, answer))
        return answer

    def _echoed(self, formulas: tuple[Bool, ...], how: Any) -> Answer | None:
        while self._echoes:
            answer = self._echoes[0].answer(formulas, how)
            if answer is not None and _is_answer(answer, formulas):
                del self._echoes[1:]
                return answer
            del self._echoes[0]
        return None


class _Effort(Struct, frozen=True):
    """How a question is answered: see `check`."""

    rlimit: int
    guess: bool
    thorough: bool


class _Base:
    """What many questions begin with, simplified, in a solver that keeps what it has learned of it."""

    def __init__(self, rest: Simplified) -> None:
        self.rest = rest
        self._solver: Solver | None = None

    def asked(self, smt: Smt, images: list[Bool], rlimit: int) -> tuple[Answer, Simplified]:
        """Can the base hold together with these formulas, in which its definitions have been put?"""
        if self._solver is None:
            self._solver = smt.solver(*self.rest.parts)
        solver = self._solver
        solver.limit(rlimit)
        solver.push()
        solver.add(*images)
        answer = smt.asked(solver)
        solver.pop()
        return answer, self.rest


def _is_answer(answer: Answer, formulas: tuple[Bool, ...]) -> bool:
    """If it has a model, is that one of the formulas?"""
    return answer.model is None or all(_is_model(answer.model, f, opaque=True) for f in formulas)


def _is_model(model: Model, formula: Bool, opaque: bool = False) -> bool:
    """Is the formula true in the model?  `opaque` is the answer where a quantifier leaves that open."""
    try:
        return model.holds(formula)
    except Opaque:
        return opaque


__all__ = ["DEFAULT_RLIMIT", "QUICK_RLIMIT", "Answer", "Array", "Bits", "Bool", "Smt", "z3_version"]
