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
from analyzer.symbolic.term import Term, conditional, nodes, size, written
from analyzer.symbolic.terms import atoms
from analyzer.symbolic.vocabulary import Vocabulary
from analyzer.symbolic.wording import Wording

MAX_ATOMS = 28
MAX_PRODUCTS = 6
MAX_TEXT = 90
MAX_WORDS = 100
MIN_FRIENDLIER = 4
MAX_SPLITS = 3
MAX_SPLIT = 20
import os
DEBUG = os.environ.get("DBG")


def cover_of(elimination: Elimination, names: Vocabulary, words: Wording) -> list[list[Any]] | None:
    """Products of literals whose sum is the existence that is asked for; None if none that one could print is
    found."""
    try:
        if elimination.possible() is None:
            return []
        names.conditions.update(_permitted(elimination, names, words))
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


def _permitted(elimination: Elimination, names: Vocabulary, words: Wording) -> Iterator[tuple[Term, str]]:
    """That an access is permitted, where there is one; if it matters only where there is one, that is part of it."""
    smt = elimination.smt
    for permission in names.permissions:
        made, free = permission.made, smt.not_(permission.fault)
        must = made is not True and elimination.needs(made)
        term = smt.and_(made, free) if must else smt.or_(smt.not_(made), free)
        if isinstance(term, Term):
            yield term, words.permission(permission)


def _pools(elimination: Elimination, names: Vocabulary, words: Wording) -> Iterator[list[Term]]:
    """Atoms to try: those about guest state, as long as trying them shows more of them; then all."""
    tried: list[Term] | None = None
    for near in (True, True, False):
        raw = dict.fromkeys(part for g in elimination.goals for a in _atoms(g) for part in _split(elimination, a))
        raw = [a for a in [*names.conditions, *elimination.flags(), *raw] if elimination.visible(a) and (not near or elimination.of_guest(a))]
        short = [a for a in raw if written(a, MAX_WORDS) <= MAX_WORDS and len(words.text(a)) <= MAX_TEXT]
        if DEBUG: print("  pool of", len(short), len(raw))
        if len(short) > 2 * MAX_ATOMS:
            continue
        found = dict.fromkeys(_friendlier(elimination, atom) for atom in short)
        pool = _distinct(elimination, [*found, *_wholes(elimination, list(found))])
        if pool != tried and len(pool) <= MAX_ATOMS:
            yield pool
        tried = pool


def _split(elimination: Elimination, atom: Term, depth: int = MAX_SPLITS) -> Iterator[Term]:
    """A comparison of conditional values: what it is under each condition, and itself."""
    small = atom.op != "apply" and size(atom, MAX_SPLIT) <= MAX_SPLIT
    cond = conditional(atom) if small and depth else None
    if cond is not None and cond.op not in ("and", "or"):
        for value in (True, False):
            arm = elimination.smt.substituted(atom, [(cond, value)])
            for part in _leaves(arm):
                yield from _split(elimination, part, depth - 1)
    yield atom


def _leaves(formula: Bool) -> Iterator[Term]:
    """The comparisons that a formula is made of."""
    if isinstance(formula, Term):
        if formula.op in ("and", "or", "not", "xor") or (formula.op == "ite" and not formula.width):
            for part in formula.args:
                yield from _leaves(part)
        else:
            yield formula


def _wholes(elimination: Elimination, atoms_: list[Term]) -> Iterator[Term]:
    """That a word is 0, if more than one field of it is compared."""
    words = [a.args[0].args[0] for a in atoms_ if a.op == "eq" and isinstance(a.args[0], Term) and a.args[0].op == "extract"]
    for word in dict.fromkeys(w for w in words if words.count(w) > 1):
        atom = elimination.smt.eq(word, 0, word.width)
        if isinstance(atom, Term):
            yield atom


def _distinct(elimination: Elimination, pool: list[Term]) -> list[Term]:
    """Of two comparisons of one term with constants that decide each other, the first."""
    smt, given = elimination.smt, elimination.given
    kept: list[Term] = []
    for atom in dict.fromkeys(a.args[0] if a.op == "not" else a for a in pool):
        rivals = [k for k in kept if k.op == "eq" == atom.op and k.args[0] is atom.args[0]]
        if not any(smt.check(given, smt.iff(atom, rival)).status == "unsat" for rival in rivals):
            kept.append(atom)
    return kept


def _friendlier(elimination: Elimination, atom: Term) -> Any:
    """A simpler atom that says the same: a symbol compared with zero, or two symbols with each other."""
    smt, given = elimination.smt, elimination.given
    if all(not isinstance(c, Term) or not c.args for c in atom.args):
        return atom
    inputs = list(atoms(smt, atom))
    found = [t for t in inputs if t.op == "symbol"]
    if len(found) < len(inputs) or len(found) > 3 or sum(1 for _ in nodes(atom)) < MIN_FRIENDLIER:
        return atom
    candidates = [smt.eq(s, 0, s.width) for s in found]
    candidates += [smt.eq(a, b, a.width) for i, a in enumerate(found) for b in found[i + 1 :] if a.width == b.width]
    for candidate in candidates:
        if isinstance(candidate, Term):
            if smt.check(given, smt.xor(candidate, atom)).status == "unsat":
                return candidate
            if smt.check(given, smt.iff(candidate, atom)).status == "unsat":
                return smt.not_(candidate)
    return atom


def _atoms(goal: Bool) -> Iterator[Term]:
    """Comparisons and faults in a formula, those within the addresses of accesses left out."""
    seen: set[Term] = set()
    stack = [goal]
    while stack:
        t = stack.pop()
        if not isinstance(t, Term) or t in seen:
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
        self.names = words.names
        self._implied: dict[Any, int] = {}
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
        needed = [a for a in self._literals(first) if self.elimination.needs(a)]
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
        kept = literals
        for literal in self._longest_first(l for l in kept if l not in needed):
            rest = [k for k in kept if k is not literal]
            if self.elimination.covers(*rest):
                kept = rest
        return self._shortened(kept)

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
        cost = [(*self._strength(literal), len(self.words.text(literal)), i) for i, literal in enumerate(listed)]
        return [listed[entry[-1]] for entry in sorted(cost, reverse=True)]

    def _strength(self, literal: Any) -> tuple[int, int]:
        """How many bits it settles, and how many literals of the pool it implies; what has a name is kept."""
        atom = literal.args[0] if literal.op == "not" else literal
        if atom in self.names.conditions or self.smt.not_(atom) in self.names.conditions:
            return -1, 0
        if literal not in self._implied:
            about = set(atoms(self.smt, atom))
            others = [a for a in self.pool if a is not atom and not about.isdisjoint(atoms(self.smt, a))]
            weaker = [m for a in others for m in (a, self.smt.not_(a)) if self._implies(literal, m)]
            self._implied[literal] = len(weaker)
        return int(literal.data) if literal.op == "eq" else 0, self._implied[literal]

    def _implies(self, one: Any, other: Any) -> bool:
        return self.smt.check(self.elimination.given, one, self.smt.not_(other)).status == "unsat"
