"""Canonical models: the lexicographically least values of the terms that a formula mentions, in a given order.

The least model does not depend on the solver's choices, its seed, or what was asked before, so witnesses are the same
bytes everywhere.  What is settled is put into the formula at once: it shrinks, and soon decides the rest by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from analyzer.symbolic.builder import Substitution
from analyzer.symbolic.guess import repaired
from analyzer.symbolic.model import Entries, Model
from analyzer.symbolic.propagate import Simplified, simplified
from analyzer.symbolic.smt import Answer, Bool, Smt
from analyzer.symbolic.solver import Solver
from analyzer.symbolic.term import Term, conjuncts, nodes


def least_model(smt: Smt, formula: Bool, ordered: Iterable[Term]) -> Model | None:
    """A model of `formula` in which the ordered terms have, one after another, their least values.

    Returns:
        The model, or None if the formula has none or a check ran out of its budget.
    """
    answer = smt.check(formula)
    if answer.status != "sat":
        return None
    settling = _Settling(smt, formula, answer.model)
    if not all(map(settling.settle, ordered)):
        return None
    model = settling.finished()
    return model if model.holds(formula) else None


class _Settling:
    """A formula while the values of terms are put into it."""

    def __init__(self, smt: Smt, formula: Bool, model: Model) -> None:
        self.smt = smt
        self.model = model  # of what remains
        self.formula = formula
        self.remaining = formula
        self.settled: list[Bool] = []  # not yet put into what remains
        self.batches: list[dict[Term, Any]] = []
        self.solver: Solver | None = None  # of what remained when it was made, and what was settled since
        self.steps: list[Substitution] = []
        self._put_in()
        self._improve()

    def _put_in(self) -> None:
        """Puts what has been settled into what remains."""
        rest = simplified(self.smt, self.smt.and_(self.remaining, *self.settled))
        self.settled.clear()
        self.remaining = self.smt.and_(*rest.parts)
        self.batches += rest.batches
        self.steps += rest.steps

    def _improve(self, besides: Bool = True) -> None:
        """Makes the model zero wherever that needs no thought."""
        for trial in self._zeros():
            if trial.holds(self.remaining) and trial.holds(besides):
                self.model = trial

    def _zeros(self) -> Iterator[Model]:
        """The present model with more of its values 0: arrays and functions as a whole, their entries, symbols."""
        found = list(nodes(self.remaining))
        for array in (t.data for t in found if t.op == "array"):
            for entries in self._emptier("arrays", array):
                yield self.model.with_array(array, entries)
        for name in dict.fromkeys(t.data.name for t in found if t.op == "apply"):
            for entries in self._emptier("functions", name):
                yield self.model.with_function(name, entries)
        for symbol in (t.data for t in found if t.op == "symbol"):
            if self.model.symbols.get(symbol, 0):
                yield self.model.with_symbol(symbol, 0)

    def _emptier(self, kind: Literal["arrays", "functions"], name: str) -> Iterator[Entries]:
        """No entries; the present ones without one of them."""
        present = self._entries(kind, name)
        if present.default or any(present.known.values()):
            yield Entries({})
        for at in list(self._entries(kind, name).known):
            now = self._entries(kind, name)
            if now.known.get(at, now.default):
                yield Entries({**now.known, at: 0}, now.default)

    def _entries(self, kind: Literal["arrays", "functions"], name: str) -> Entries:
        values = self.model.arrays if kind == "arrays" else self.model.functions
        return values.get(name, Entries({}))

    def settle(self, term: Term) -> bool:
        """Settles a term on the least value that it can have; False if that could not be found out."""
        image = self._image(term)
        if isinstance(image, Term) and self.model.value(image):
            self._put_in()
            image = self._image(term)
        if not isinstance(image, Term):
            return True
        value = self._least(image)
        if value is None:
            return False
        literal = self.smt.eq(image, value, image.width) if image.width else self._literal(image, value)
        self.settled.append(literal)
        if self.solver is not None:
            self.solver.add(literal)
        return True

    def _image(self, term: Term) -> Any:
        """A term with everything put in."""
        image: Any = term
        for step in self.steps:
            image = step(image)
        return image

    def _literal(self, image: Bool, value: int) -> Bool:
        return image if value else self.smt.not_(image)

    def _least(self, image: Term) -> int | None:
        """The least value of a term, which the model then has; None if a check ran out of its budget."""
        low, high = 0, self.model.value(image)
        limit = high - 1  # very often there is nothing below the model's value
        while low < high:
            below = self.smt.compare("ule", image, limit, image.width) if image.width else self.smt.not_(image)
            answer = self._asked(below)
            if answer.status == "unknown":
                return None
            if answer.status == "sat":
                self.model = answer.model
                self._improve(below)
                high = self.model.value(image)
            else:
                low = limit + 1
            limit = (low + high - 1) // 2 if low else 0
        return high

    def _asked(self, below: Bool) -> Answer:
        """Can what remains hold together with this?  Near the present model first."""
        if below is False:
            return Answer("unsat")
        near = repaired([*conjuncts(self.remaining), below], self.model)
        if near is not None:
            return Answer("sat", near)
        if self.solver is None:
            self.solver = self.smt.solver(*conjuncts(self.remaining))
        answer = self.smt.ask(self.solver, below)
        return self.smt.check(self.remaining, below) if answer.status == "unknown" else answer

    def finished(self) -> Model:
        """The model of the whole formula, 0 wherever that does not look."""
        self._put_in()
        whole = Simplified([], self.batches)
        least = self.model.only(self.remaining)
        return whole.completed(least if least.holds(self.remaining) else self.model)
