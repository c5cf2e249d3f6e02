"""A condition as a sum of products of literals that its own terms suggest.

The literals are learned: a model of what is not covered yet fixes all of them, and those that are not needed are
dropped, the longest first, so that what is left reads like the manual.  Atoms about guest state and the encoding are
tried alone before those about the rest of the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from analyzer.symbolic.eliminate import Elimination, Undecided
from analyzer.symbolic.model import Model
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.term import Term
from analyzer.symbolic.vocabulary import Vocabulary
from analyzer.symbolic.wording import Wording

MAX_ATOMS = 16
MAX_PRODUCTS = 6
MAX_TEXT = 90
import os
DEBUG = os.environ.get("DBG")


def cover_of(elimination: Elimination, names: Vocabulary, words: Wording) -> list[list[Any]] | None:
    """Products of literals whose sum is the existence that is asked for; None if none that one could print is
    found."""
    try:
        if elimination.possible() is None:
            return []
        names.conditions.update(_permitted(elimination, names))
    except Undecided:
        return None
    for pool in _pools(elimination, names, words):
        if DEBUG: print("   pool", [words.text(a) for a in pool])
        try:
            cover = _Search(elimination, pool, words).cover()
        except Undecided:
            if DEBUG: print("   undecided")
            continue
        if cover is not None:
            return cover
    return None


def _permitted(elimination: Elimination, names: Vocabulary) -> Iterator[tuple[Term, str]]:
    """That the access at an operand is permitted, where there is one; if it matters only where there is one, that is
    part of it."""
    smt = elimination.smt
    for permission in names.permissions:
        made, free = permission.made, smt.not_(permission.fault)
        must = elimination.possible(smt.not_(made)) is None
        term = smt.and_(made, free) if must else smt.or_(smt.not_(made), free)
        if isinstance(term, Term):
            yield term, permission.text


def _pools(elimination: Elimination, names: Vocabulary, words: Wording) -> Iterator[list[Term]]:
    """Atoms to try: those about guest state, then all."""
    for near in (True, False):
        found = dict.fromkeys(names.conditions)
        for goal in elimination.goals:
            for atom in _atoms(goal, names):
                found.setdefault(atom)
        short = [a for a in found if (not near or elimination.of_guest(a)) and len(words.text(a)) <= MAX_TEXT]
        yield short[:MAX_ATOMS]


def _atoms(goal: Bool, names: Vocabulary) -> Iterator[Term]:
    """Comparisons and named faults in a formula, those within the addresses of accesses and within terms that have a
    name left out."""
    seen: set[Term] = set()
    stack = [goal]
    while stack:
        t = stack.pop()
        if not isinstance(t, Term) or t in seen or t in names.values:
            continue
        seen.add(t)
        if t.width == 0 and not t.index and t.op not in ("and", "or", "not", "xor", "ite"):
            yield t
        if t.op != "apply":
            stack.extend(reversed(t.args[:1] if t.op == "select" else t.args))


class _Search:
    """A sum of products over these atoms."""

    def __init__(self, elimination: Elimination, pool: list[Term], words: Wording) -> None:
        self.elimination = elimination
        self.smt = elimination.smt
        self.pool = pool
        self.words = words

    def cover(self) -> list[list[Any]] | None:
        """The products; None if these atoms do not tell.

        Raises:
            Undecided: the solver gave up.
        """
        first = self.elimination.possible()
        if first is None:
            return []
        needed = [a for a in self._literals(first) if self.elimination.possible(self.smt.not_(a)) is None]
        if self.elimination.covers(*needed):
            return [self._shortened(needed)]
        products: list[list[Any]] = []
        while True:
            model = self.elimination.possible(*(self.smt.not_(self.smt.and_(*p)) for p in products))
            if model is None:
                return products
            literals = self._literals(model)
            if len(products) == MAX_PRODUCTS or not self.elimination.covers(*literals):
                return None
            products.append(self._expanded(literals, needed))

    def _literals(self, model: Model) -> list[Any]:
        return [a if model.holds(a) else self.smt.not_(a) for a in self.pool]

    def _expanded(self, literals: list[Any], needed: list[Any]) -> list[Any]:
        """A product without literals that it can do without."""
        kept = self._shortened(literals)
        for literal in self._longest_first(l for l in kept if l not in needed):
            rest = [k for k in kept if k is not literal]
            if self.elimination.covers(*rest):
                kept = rest
        return kept

    def _shortened(self, literals: list[Any]) -> list[Any]:
        """A product without literals that the others imply."""
        kept = literals
        for literal in self._longest_first(literals):
            rest = [k for k in kept if k is not literal]
            if self.smt.check(self.elimination.given, *rest, self.smt.not_(literal)).status == "unsat":
                kept = rest
        return kept

    def _longest_first(self, literals: Iterable[Any]) -> list[Any]:
        """What says most first, then what takes most words, then what comes later."""
        listed = list(literals)
        cost = [(_strength(literal), len(self.words.text(literal)), i) for i, literal in enumerate(listed)]
        return [listed[i] for _, _, i in sorted(cost, reverse=True)]


def _strength(literal: Any) -> int:
    """How many bits it settles."""
    return literal.data if literal.op == "eq" else 0
