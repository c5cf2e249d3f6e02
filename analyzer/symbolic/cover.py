"""A condition as a sum of products of literals.

The literals are learned.  One model fixes all of them; those that hold wherever the formula does are needed, and often
they are enough.  Else a model of what is not covered yet gives a product, from which goes what is not needed: what says
most first, then what takes most words, so that what is left reads like the manual.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from analyzer.symbolic.eliminate import Elimination, Undecided
from analyzer.symbolic.model import Model
from analyzer.symbolic.pool import pools
from analyzer.symbolic.term import Term
from analyzer.symbolic.terms import atoms
from analyzer.symbolic.wording import Wording

MAX_PRODUCTS = 6
"""Sums of more products are not for a reader."""

Product = list[Any]
"""Literals; the empty one is true."""


def cover_of(
    elimination: Elimination, words: Wording, *, near: bool = False, single: bool = False
) -> list[Product] | None:
    """Products whose sum is the existence that is asked for; None if none that one could print is found.  Of `near`
    atoms only, or one product only (`single`), if that is asked for."""
    words.names.conditions.update(_permitted(elimination, words))
    for pool in pools(elimination, words, near):
        try:
            cover = _Search(elimination, pool, words).cover(single)
        except Undecided:
            continue
        if cover is not None:
            return cover
    return None


def _permitted(elimination: Elimination, words: Wording) -> Iterator[tuple[Term, str]]:
    """That an access is permitted, where there is one; if it matters only where there is one, that is part of it."""
    smt = elimination.smt
    for permission in words.names.permissions:
        made, free = permission.made, smt.not_(permission.fault)
        must = made is not True and elimination.needs(made)
        term = smt.and_(made, free) if must else smt.or_(smt.not_(made), free)
        if isinstance(term, Term):
            yield term, words.permission(permission)


class _Search:
    """A sum of products over these atoms."""

    def __init__(self, elimination: Elimination, pool: list[Term], words: Wording) -> None:
        self.elimination = elimination
        self.smt = elimination.smt
        self.pool = pool
        self.words = words
        self._weaker: dict[Any, int] = {}

    def cover(self, single: bool) -> list[Product] | None:
        """The products (one, if it has to be a single one); None if these atoms do not tell.

        Raises:
            Undecided: the solver gave up.
        """
        first = self.elimination.possible()
        if first is None:
            return []
        needed = [lit for lit in self._literals(first) if self.elimination.needs(lit)]
        if self.elimination.covers(*needed):
            return [self._shortened(needed)]
        if single:
            return None
        products: list[Product] = []
        while True:
            model = self.elimination.possible(*(self.smt.not_(self.smt.and_(*p)) for p in products))
            if model is None:
                return self._irredundant(products)
            literals = self._literals(model)
            if len(products) == MAX_PRODUCTS or not self.elimination.covers(*literals):
                return None
            products.append(self._expanded(literals, needed))

    def _literals(self, model: Model) -> Product:
        return [atom if model.holds(atom) else self.smt.not_(atom) for atom in self.pool]

    def _expanded(self, literals: Product, needed: Product) -> Product:
        """A product without literals that it can do without."""
        dispensable = self._strongest_first(lit for lit in literals if lit not in needed)
        return self._shortened(self._without(literals, dispensable))

    def _without(self, kept: Product, listed: Product) -> Product:
        """A product without those of the listed literals that it can do without, one after another: all at once if that
        does, else by halves, which comes to the same."""
        rest = [lit for lit in kept if lit not in listed]
        if not listed or self.elimination.covers(*rest):
            return rest
        if len(listed) == 1:
            return kept
        half = len(listed) // 2
        return self._without(self._without(kept, listed[:half]), listed[half:])

    def _irredundant(self, products: list[Product]) -> list[Product]:
        """The products without those that the others cover, the longest first."""
        kept = products
        for product in sorted(products, key=len, reverse=True):
            rest = [p for p in kept if p is not product]
            if self._implied(product, self.smt.or_(*(self.smt.and_(*p) for p in rest))):
                kept = rest
        return kept

    def _shortened(self, literals: Product) -> Product:
        """A product without literals that the others imply."""
        kept = literals
        for literal in self._strongest_first(literals):
            rest = [k for k in kept if k is not literal]
            if self._implied(rest, literal):
                kept = rest
        return kept

    def _implied(self, literals: Product, other: Any) -> bool:
        return self.smt.check(self.elimination.given, *literals, self.smt.not_(other)).status == "unsat"

    def _strongest_first(self, literals: Iterable[Any]) -> Product:
        """What says most first, then what takes most words, then what comes later."""
        listed = list(literals)
        cost = [(*self._strength(literal), len(self.words.text(literal)), i) for i, literal in enumerate(listed)]
        return [listed[entry[-1]] for entry in sorted(cost, reverse=True)]

    def _strength(self, literal: Any) -> tuple[int, int]:
        """How many bits it settles, and how many literals of the pool it implies; what has a name is kept."""
        if self.words.named_condition(literal) is not None:
            return -1, 0
        if literal not in self._weaker:
            about = set(atoms(self.smt, literal))
            others = [a for a in self.pool if not about.isdisjoint(atoms(self.smt, a))]
            weaker = [m for a in others for m in (a, self.smt.not_(a)) if self._implied([literal], m)]
            self._weaker[literal] = len(weaker)
        return int(literal.data) if literal.op == "eq" else 0, self._weaker[literal]
