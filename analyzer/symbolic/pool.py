"""The atoms that a condition may be made of: comparisons and permissions that the hole's own terms suggest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from analyzer.symbolic.eliminate import Elimination
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.term import Term, conditional, size, written
from analyzer.symbolic.terms import atoms
from analyzer.symbolic.wording import Wording

MAX_ATOMS = 28
"""More atoms than this make no condition that a reader can use."""

MAX_TEXT = 90
"""Nor do atoms of more letters."""

MAX_WRITTEN = 100
"""Nor those of more symbols and operators, written out."""

MAX_SPLIT = 20
"""Comparisons of more terms than this are not taken apart."""

MAX_SPLITS = 3
"""Conditions that a comparison is taken apart by, one inside the other."""

MIN_FRIENDLIER = 4
"""Comparisons of fewer terms are simple enough."""

MAX_FRIENDLIER = 3
"""Comparisons of more symbols have no simple equivalent."""


def pools(elimination: Elimination, words: Wording, near: bool) -> Iterator[list[Term]]:
    """Atoms to try, near ones only or all, and again if trying them showed more of them."""
    tried: list[Term] | None = None
    for _ in range(2 if near else 1):
        pool = _pool(elimination, words, near)
        if pool is not None and pool != tried:
            yield pool
        tried = pool


def _pool(elimination: Elimination, words: Wording, near: bool) -> list[Term] | None:
    """The atoms that instances show, near ones only or all; None if there are too many."""
    found = dict.fromkeys([*words.names.conditions, *elimination.flags()])
    for goal in elimination.goals:
        for atom in _comparisons(goal):
            found.update(dict.fromkeys(_apart(elimination, atom)))
    usable = (a for a in found if elimination.visible(a) and (not near or elimination.near(a)))
    short = [a for a in usable if written(a, MAX_WRITTEN) <= MAX_WRITTEN and len(words.text(a)) <= MAX_TEXT]
    if len(short) > 2 * MAX_ATOMS:
        return None
    simple = [_friendlier(elimination, atom) for atom in short]
    pool = _distinct(elimination, [*simple, *_wholes(elimination, simple), *_matches(elimination, simple)])
    return pool if len(pool) <= MAX_ATOMS else None


def _comparisons(goal: Bool) -> Iterator[Term]:
    """Comparisons and faults in a formula, those within the addresses of accesses left out."""
    seen: set[Term] = set()
    stack = [goal]
    while stack:
        t = stack.pop()
        if not isinstance(t, Term) or t in seen:
            continue
        seen.add(t)
        if not t.width and not t.index and not _connective(t):
            yield t
        if t.op != "apply":
            stack.extend(reversed(t.args[:1] if t.op == "select" else t.args))


def _connective(t: Term) -> bool:
    return t.op in ("and", "or", "not", "xor") or (t.op == "ite" and not t.width)


def _apart(elimination: Elimination, atom: Term, depth: int = MAX_SPLITS) -> Iterator[Term]:
    """A comparison of conditional values: what it is under each condition, and itself."""
    small = atom.op != "apply" and size(atom, MAX_SPLIT) <= MAX_SPLIT
    condition = conditional(atom) if small and depth else None
    if condition is not None and not _connective(condition):
        for value in (True, False):
            for part in _leaves(elimination.smt.substituted(atom, [(condition, value)])):
                yield from _apart(elimination, part, depth - 1)
    yield atom


def _leaves(formula: Bool) -> Iterator[Term]:
    """The comparisons that a formula is made of."""
    if not isinstance(formula, Term):
        return
    if _connective(formula):
        for part in formula.args:
            yield from _leaves(part)
    else:
        yield formula


def _friendlier(elimination: Elimination, atom: Term) -> Term:
    """A simpler atom that says the same, or the opposite: a symbol compared with zero, or two symbols with each
    other."""
    smt, given = elimination.smt, elimination.given
    if all(not isinstance(a, Term) or not a.args for a in atom.args):
        return atom
    inputs = list(atoms(smt, atom))
    found = [t for t in inputs if t.op == "symbol"]
    if len(found) < len(inputs) or len(found) > MAX_FRIENDLIER or size(atom, MIN_FRIENDLIER) < MIN_FRIENDLIER:
        return atom
    equations = [smt.eq(s, 0, s.width) for s in found]
    equations += [smt.eq(a, b, a.width) for a, b in combinations(found, 2) if a.width == b.width]
    for simple in equations:
        for wrong in (smt.xor(simple, atom), smt.iff(simple, atom)):
            if isinstance(simple, Term) and smt.check(given, wrong).status == "unsat":
                return simple
    return atom


def _wholes(elimination: Elimination, found: Iterable[Term]) -> Iterator[Term]:
    """That a word is 0, if more than one field of it is compared."""
    words = [field.args[0] for field in _fields(found)]
    for word in dict.fromkeys(w for w in words if words.count(w) > 1):
        atom = elimination.smt.eq(word, 0, word.width)
        if isinstance(atom, Term):
            yield atom


def _matches(elimination: Elimination, found: Iterable[Term]) -> Iterator[Term]:
    """That the same field of two words is equal, if it is compared in both: two selectors that name one entry."""
    for one, two in combinations(dict.fromkeys(_fields(found)), 2):
        atom = elimination.smt.eq(one, two, one.width) if one.data == two.data else False
        if isinstance(atom, Term):
            yield atom


def _fields(found: Iterable[Term]) -> Iterator[Term]:
    """The fields that are compared with a constant."""
    for atom in found:
        field, other = atom.args if atom.op == "eq" else (None, None)
        if isinstance(field, Term) and field.op == "extract" and isinstance(other, int):
            yield field


def _distinct(elimination: Elimination, found: Iterable[Any]) -> list[Term]:
    """Atoms once each, a negated one counting as its atom; of two comparisons of one term that decide each other, the
    first."""
    smt, given = elimination.smt, elimination.given
    kept: list[Term] = []
    for atom in dict.fromkeys(a.args[0] if a.op == "not" else a for a in found):
        rivals = [k for k in kept if k.op == "eq" == atom.op and k.args[0] is atom.args[0]]
        if not any(smt.check(given, smt.iff(atom, rival)).status == "unsat" for rival in rivals):
            kept.append(atom)
    return kept
