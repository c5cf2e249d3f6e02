"""A formula as a sum of prime implicants over its own atoms.

Conditionals inside terms are split off first, so that every atom is a comparison that a reader knows from the spec.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analyzer.symbolic.smt import Answer, Bool, Smt
from analyzer.symbolic.solver import Solver
from analyzer.symbolic.term import Term, conditional, nodes, size
from analyzer.symbolic.terms import atoms

MAX_ATOMS = 14
"""More atoms than this make no condition that a reader can use."""

MAX_SIZE = 700
"""Nor do formulas of more terms than this, shared ones counted once."""

MAX_FOLDED = 60
"""Conditions on the encoding of more terms than this are not looked at as a whole."""

MAX_PRODUCTS = 10
MAX_SPLITS = 24
COVER_RLIMIT = 300_000
"""Work for one cover, in z3's units: a condition that takes more is not worth printing."""


class Budget:
    """Checks of incremental solvers, all together within one allowance."""

    def __init__(self, rlimit: int) -> None:
        self.left = rlimit

    def ask(self, solver: Solver, *assumptions: Bool) -> Answer:
        """Like `Smt.ask`; unknown when the allowance is used up."""
        if self.left <= 0:
            return Answer("unknown", reason="the allowance for a condition is used up")
        solver.limit(self.left)
        before = solver.spent()
        answer = solver.check(assumptions)
        self.left -= max(solver.spent() - before, 1000)
        return answer


def prime_cover(smt: Smt, formula: Bool, given: Bool) -> list[list[Any]] | None:
    """Products of literals whose sum is `formula`, wherever `given` holds; None if there are too many.

    Deterministic: atoms are taken in order of appearance, and each product is the expansion of the lexicographically
    least assignment that is not covered yet.
    """
    if isinstance(formula, bool):
        return [[]] if formula else []
    if too_large(formula):
        return None
    split = _Splitting(smt, MAX_SPLITS).split(_operands_folded(smt, given, formula, {}))
    if split is None:
        return None
    found: list[Any] = []
    _collect(split, found)
    if len(found) > MAX_ATOMS:
        return None
    found = _distinct(_friendlier(smt, given, atom) for atom in found)
    on, off = smt.solver(given, formula), smt.solver(given, smt.not_(formula))
    budget = Budget(COVER_RLIMIT)
    products: list[list[Any]] = []
    while True:
        assignment = _least(smt, budget, on, found)
        if assignment is None:
            return None
        if not assignment:
            return products
        product = _expand(budget, off, assignment[0])
        if product is None or len(products) >= MAX_PRODUCTS:
            return None
        products.append(product)
        on.add(smt.not_(smt.and_(*product)))


def _least(smt: Smt, budget: Budget, solver: Solver, found: list[Any]) -> list[list[Any]] | None:
    """The least assignment of the atoms that satisfies the solver: [] when there is none, None when unknown."""
    answer = budget.ask(solver)
    if answer.status == "unknown":
        return None
    if answer.status == "unsat":
        return []
    literals: list[Any] = []
    model = answer.model
    for atom in found:
        wanted = smt.not_(atom)
        if not model.holds(atom):
            literals.append(wanted)
            continue
        answer = budget.ask(solver, *literals, wanted)
        if answer.status == "unknown":
            return None
        if answer.status == "sat":
            model = answer.model
            literals.append(wanted)
        else:
            literals.append(atom)
    return [literals]


def _expand(budget: Budget, off: Solver, literals: list[Any]) -> list[Any] | None:
    """Drops literals while the product stays an implicant: the most complicated first, then the later ones."""
    answer = budget.ask(off, *literals)
    if answer.status != "unsat":
        return None
    kept = list(literals)
    later_first = sorted(range(len(literals)), key=lambda i: (_complexity(literals[i]), i), reverse=True)
    for literal in (literals[i] for i in later_first):
        rest = [k for k in kept if k is not literal]
        answer = budget.ask(off, *rest)
        if answer.status == "unknown":
            return None
        if answer.status == "unsat":
            kept = rest
    return kept


def _plain(atom: Term) -> Term:
    """A literal's atom."""
    return atom.args[0] if atom.op == "not" else atom


def _distinct(found: Iterable[Any]) -> list[Any]:
    """Atoms once each, a negated one counting as its atom."""
    out: dict[Any, Any] = {}
    for atom in found:
        if isinstance(atom, Term):
            out.setdefault(_plain(atom), atom)
    return list(out.values())


def _complexity(literal: Any) -> int:
    """Comparisons of two symbols count more than comparisons with a constant, computed values more than symbols."""
    return sum(1 for _ in nodes(_plain(literal)))


def _friendlier(smt: Smt, given: Bool, atom: Any) -> Any:
    """A simpler atom that says the same: a symbol compared with zero, or two symbols with each other."""
    if all(not isinstance(c, Term) or not c.args for c in atom.args):
        return atom
    symbols = [t for t in atoms(smt, atom) if t.op == "symbol"]
    if len(symbols) > 3:
        return atom
    candidates = [smt.eq(s, 0, s.width) for s in symbols]
    candidates += [smt.eq(a, b, a.width) for i, a in enumerate(symbols) for b in symbols[i + 1 :] if a.width == b.width]
    for candidate in candidates:
        if smt.check(given, smt.xor(candidate, atom)).status == "unsat":
            return candidate
        if smt.check(given, smt.iff(candidate, atom)).status == "unsat":
            return smt.not_(candidate)
    return atom


def too_large(formula: Bool, limit: int = MAX_SIZE) -> bool:
    """Has it more terms than a reader could use, whatever becomes of it?"""
    return size(formula, limit) > limit


class _Splitting:
    """Replaces each atom that has a conditional in it by a case distinction."""

    def __init__(self, smt: Smt, budget: int) -> None:
        self.smt = smt
        self.left = budget
        self.done: dict[Any, Any] = {}

    def split(self, term: Bool) -> Bool | None:
        """The formula without conditionals in its atoms; None if there are too many."""
        if isinstance(term, bool):
            return term
        if term not in self.done:
            self.done[term] = self._anew(term)
        return self.done[term]

    def _anew(self, term: Term) -> Bool | None:
        if _connective(term):
            children = [self.split(c) for c in term.args]
            return None if any(c is None for c in children) else self.smt.rebuilt(term, children)
        cond = None if _permission(term) else conditional(term)
        if cond is None:
            return term
        self.left -= 1
        if self.left < 0:
            return None
        arms = [self.split(self.smt.substituted(term, [(cond, value)])) for value in (True, False)]
        test = self.split(cond)
        if test is None or any(a is None for a in arms):
            return None
        return self.smt.ite(test, arms[0], arms[1], 0)


def _operands_folded(smt: Smt, given: Bool, term: Any, done: dict[Any, Any]) -> Any:
    """Conditions on the encoding alone become one comparison of a field where one says the same: the arms of an
    addressing mode that a formula goes through are no news to a reader."""
    if isinstance(term, bool) or not _connective(term):
        return term
    if term in done:
        return done[term]
    small = size(term, MAX_FOLDED) <= MAX_FOLDED
    names = list(atoms(smt, term)) if small else []
    if names and all(a.name.startswith("operand ") for a in names) and _complexity(term) > 3:
        test = _field_test(smt, given, term, names)
        folded = term if test is None else test
    else:
        folded = smt.rebuilt(term, [_operands_folded(smt, given, c, done) for c in term.args])
    done[term] = folded
    return folded


def _field_test(smt: Smt, given: Bool, term: Any, symbols: list[Any]) -> Any | None:
    """A comparison of a field of an operand with a constant that is equivalent to `term`."""
    if smt.check(given, smt.not_(term)).status == "unsat":
        return True
    fields = [t for t in nodes(term) if t.op == "extract" and not t.args[0].args]
    for field in [*fields, *(s for s in symbols if 0 < s.width <= 3)]:
        if field.width > 3:
            continue
        for value in range(1 << field.width):
            equal = smt.eq(field, value, field.width)
            for test in (equal, smt.not_(equal)):
                if smt.check(given, smt.xor(test, term)).status == "unsat":
                    return test
    return None


def _connective(term: Term) -> bool:
    return term.op in ("and", "or", "not", "xor") or (term.op == "ite" and term.width == 0)


def _permission(term: Term) -> bool:
    """A named fault: an atom whatever its address is made of."""
    return term.op == "apply" and term.name.startswith("fault ")


def _collect(term: Bool, out: list[Any]) -> None:
    """Atoms in order of appearance."""
    if isinstance(term, bool) or len(out) > MAX_ATOMS:
        return
    if _connective(term):
        for child in term.args:
            _collect(child, out)
    elif term not in out:
        out.append(term)
