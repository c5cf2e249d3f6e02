"""A formula as a sum of prime implicants over its own atoms.

Conditionals inside terms are split off first, so that every atom is a comparison that a reader knows from the spec.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import z3

from analyzer.symbolic.least import atoms
from analyzer.symbolic.smt import Answer, Bool, Smt
from analyzer.symbolic.walk import conditional, size

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

    def ask(self, solver: Any, *assumptions: Any) -> Answer:
        """Like `Smt.ask`; unknown when the allowance is used up."""
        if self.left <= 0:
            return Answer("unknown", reason="the allowance for a condition is used up")
        solver.set("rlimit", self.left)
        before = _spent(solver)
        result = solver.check(*assumptions)
        self.left -= max(_spent(solver) - before, 1000)
        if result == z3.unknown:
            return Answer("unknown", reason=solver.reason_unknown())
        return Answer("sat", solver.model()) if result == z3.sat else Answer("unsat")


def _spent(solver: Any) -> int:
    statistics = solver.statistics()
    return next((int(value) for key, value in statistics if key == "rlimit count"), 0)


def prime_cover(smt: Smt, formula: Bool, given: Bool) -> list[list[Any]] | None:
    """Products of literals whose sum is `formula`, wherever `given` holds; None if there are too many.

    Deterministic: atoms are taken in order of appearance, and each product is the expansion of the lexicographically
    least assignment that is not covered yet.
    """
    if isinstance(formula, bool):
        return [[]] if formula else []
    if too_large(formula):
        return None
    split = _split(_operands_folded(smt, given, formula, {}), [MAX_SPLITS], {})
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
        assignment = _least(budget, on, found)
        if assignment is None:
            return None
        if not assignment:
            return products
        product = _expand(budget, off, assignment[0])
        if product is None or len(products) >= MAX_PRODUCTS:
            return None
        products.append(product)
        on.add(z3.Not(z3.And(*product)) if product else z3.BoolVal(False, smt.ctx))


def _least(smt: Budget, solver: Any, found: list[Any]) -> list[list[Any]] | None:
    """The least assignment of the atoms that satisfies the solver: [] when there is none, None when unknown."""
    answer = smt.ask(solver)
    if answer.status == "unknown":
        return None
    if answer.status == "unsat":
        return []
    literals: list[Any] = []
    model = answer.model
    for atom in found:
        wanted = atom.arg(0) if z3.is_not(atom) else z3.Not(atom)
        if z3.is_false(model.eval(atom, model_completion=True)):
            literals.append(wanted)
            continue
        answer = smt.ask(solver, *literals, wanted)
        if answer.status == "unknown":
            return None
        if answer.status == "sat":
            model = answer.model
            literals.append(wanted)
        else:
            literals.append(atom)
    return [literals]


def _expand(smt: Budget, off: Any, literals: list[Any]) -> list[Any] | None:
    """Drops literals while the product stays an implicant: the most complicated first, then the later ones."""
    answer = smt.ask(off, *literals)
    if answer.status != "unsat":
        return None
    kept = list(literals)
    later_first = sorted(range(len(literals)), key=lambda i: (_complexity(literals[i]), i), reverse=True)
    for literal in (literals[i] for i in later_first):
        rest = [k for k in kept if not k.eq(literal)]
        answer = smt.ask(off, *rest)
        if answer.status == "unknown":
            return None
        if answer.status == "unsat":
            kept = rest
    return kept


def _distinct(found: Iterable[Any]) -> list[Any]:
    """Atoms once each, a negated one counting as its atom."""
    out: dict[int, Any] = {}
    for atom in found:
        key = (atom.arg(0) if z3.is_not(atom) else atom).get_id()
        out.setdefault(key, atom)
    return list(out.values())


def _complexity(literal: Any) -> int:
    """Comparisons of two symbols count more than comparisons with a constant, computed values more than symbols."""
    size, stack = 0, [literal.arg(0) if z3.is_not(literal) else literal]
    while stack:
        t = stack.pop()
        size += not z3.is_bv_value(t)
        stack.extend(t.children())
    return size


def _friendlier(smt: Smt, given: Bool, atom: Any) -> Any:
    """A simpler atom that says the same: a symbol compared with zero, or two symbols with each other."""
    if all(not c.children() for c in atom.children()):
        return atom
    symbols = [t for t in atoms(atom) if z3.is_bv(t) and t.num_args() == 0]
    if len(symbols) > 3:
        return atom
    candidates = [s == 0 for s in symbols]
    candidates += [a == b for i, a in enumerate(symbols) for b in symbols[i + 1 :] if a.size() == b.size()]
    for candidate in candidates:
        if smt.check(given, candidate != atom).status == "unsat":
            return candidate
        if smt.check(given, candidate == atom).status == "unsat":
            return z3.Not(candidate)
    return atom


def too_large(formula: Bool, limit: int = MAX_SIZE) -> bool:
    """Has it more terms than a reader could use, whatever becomes of it?"""
    return not isinstance(formula, bool) and size(formula, limit) > limit


def _split(term: Any, budget: list[int], done: dict[int, Any]) -> Any | None:
    """Replaces each atom that has a conditional in it by a case distinction."""
    key = term.get_id()
    if key not in done:
        done[key] = _split_anew(term, budget, done)
    return done[key]


def _split_anew(term: Any, budget: list[int], done: dict[int, Any]) -> Any | None:
    if _connective(term) or (z3.is_app(term) and term.decl().kind() == z3.Z3_OP_ITE):
        children = [_split(c, budget, done) for c in term.children()]
        return None if any(c is None for c in children) else term.decl()(*children)
    cond = None if _permission(term) else conditional(term)
    if cond is None:
        return term
    budget[0] -= 1
    if budget[0] < 0:
        return None
    arms = []
    for value in (True, False):
        arm = z3.simplify(z3.substitute(term, (cond, z3.BoolVal(value, cond.ctx))))
        arms.append(_split(arm, budget, done))
    test = _split(cond, budget, done)
    if test is None or any(a is None for a in arms):
        return None
    return z3.If(test, arms[0], arms[1])


def _operands_folded(smt: Smt, given: Bool, term: Any, done: dict[int, Any]) -> Any:
    """Conditions on the encoding alone become one comparison of a field where one says the same: the arms of an
    addressing mode that a formula goes through are no news to a reader."""
    if not _connective(term):
        return term
    if term.get_id() in done:
        return done[term.get_id()]
    small = size(term, MAX_FOLDED) <= MAX_FOLDED
    names = list(atoms(term)) if small else []
    if names and all(str(a.decl().name()).startswith("operand ") for a in names) and _complexity(term) > 3:
        test = _field_test(smt, given, term, names)
        folded = term if test is None else test
    else:
        folded = term.decl()(*(_operands_folded(smt, given, c, done) for c in term.children()))
    done[term.get_id()] = folded
    return folded


def _field_test(smt: Smt, given: Bool, term: Any, symbols: list[Any]) -> Any | None:
    """A comparison of a field of an operand with a constant that is equivalent to `term`."""
    if smt.check(given, z3.Not(term)).status == "unsat":
        return z3.BoolVal(True, smt.ctx)
    fields: dict[tuple[int, int, int], Any] = {}
    stack = [term]
    while stack:
        t = stack.pop()
        if z3.is_app(t) and t.decl().kind() == z3.Z3_OP_EXTRACT and t.arg(0).num_args() == 0:
            hi, lo = t.params()
            fields[t.arg(0).get_id(), hi, lo] = t
        stack.extend(t.children())
    for field in [*fields.values(), *(s for s in symbols if z3.is_bv(s) and s.size() <= 3)]:
        if field.size() > 3:
            continue
        for value in range(1 << field.size()):
            for test in (field == value, field != value):
                if smt.check(given, test != term).status == "unsat":
                    return test
    return None


def _connective(term: Any) -> bool:
    logical = z3.is_and(term) or z3.is_or(term) or z3.is_not(term) or z3.is_implies(term) or _is_xor(term)
    return bool(logical or (z3.is_eq(term) and z3.is_bool(term.arg(0))))


def _permission(term: Any) -> bool:
    """A named fault: an atom whatever its address is made of."""
    return z3.is_app(term) and str(term.decl().name()).startswith("fault ")


def _collect(term: Any, out: list[Any]) -> None:
    """Atoms in order of appearance."""
    if z3.is_true(term) or z3.is_false(term):
        return
    connective = z3.is_and(term) or z3.is_or(term) or z3.is_not(term) or z3.is_implies(term) or _is_xor(term)
    boolean = z3.is_eq(term) and z3.is_bool(term.arg(0))
    conditional = z3.is_app(term) and term.decl().kind() == z3.Z3_OP_ITE
    if len(out) > MAX_ATOMS:
        return
    if connective or boolean or conditional:
        for child in term.children():
            _collect(child, out)
    elif not any(term.eq(a) for a in out):
        out.append(term)


def _is_xor(term: Any) -> bool:
    return bool(z3.is_app(term) and term.decl().kind() == z3.Z3_OP_XOR)
