"""Canonical models: the lexicographically least values of the terms that a formula mentions, in a given order.

The least model does not depend on the solver's choices, its seed, or what was asked before, so witnesses are the same
bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import z3

from analyzer.symbolic.smt import Bool, Smt
from analyzer.symbolic.walk import nodes, wrapped


def atoms(term: Any) -> Iterator[Any]:
    """The symbols, reads of array symbols and applications of unknown functions in a term, each once, in order of first
    appearance."""
    told: dict[int, Any] = {}  # kept, because z3 gives the numbers of dead terms to others
    bases: dict[int, tuple[Any, list[Any]]] = {}
    for ast, kind, count in nodes(term):
        if kind == z3.Z3_OP_UNINTERPRETED:
            symbol = wrapped(term, ast)
            if count or not z3.is_array(symbol):
                yield symbol
        elif kind == z3.Z3_OP_SELECT:
            read = wrapped(term, ast)
            array = read.arg(0)
            if array.get_id() not in bases:
                bases[array.get_id()] = array, list(dict.fromkeys(_bases(array)))
            for base in bases[array.get_id()][1]:
                cell = z3.Select(base, read.arg(1))
                if cell.get_id() not in told:
                    told[cell.get_id()] = cell
                    yield cell


def _bases(array: Any) -> Iterator[Any]:
    """The array symbols under stores and conditionals."""
    seen: set[int] = set()
    stack = [array]
    while stack:
        array = stack.pop()
        if array.get_id() in seen:
            continue
        seen.add(array.get_id())
        kind = array.decl().kind()
        if kind == z3.Z3_OP_STORE:
            stack.append(array.arg(0))
        elif kind == z3.Z3_OP_ITE:
            stack += (array.arg(2), array.arg(1))
        elif kind == z3.Z3_OP_UNINTERPRETED:
            yield array


def least_model(smt: Smt, formula: Bool, ordered: Iterable[Any]) -> Any | None:
    """A model of `formula` in which the ordered terms have, one after another, their least values.

    Returns:
        The model, or None if the formula has none or a check ran out of its budget.
    """
    solver = smt.solver(formula)
    answer = smt.ask(solver)
    if answer.status != "sat":
        return None
    model = answer.model
    rest = list(ordered)
    while rest:
        zeros, model = _leading_zeros(smt, solver, model, rest)
        if zeros is None:
            return None
        solver.add(*(_is_zero(term) for term in rest[:zeros]))
        rest = rest[zeros:]
        if rest:
            least = _least_bool if z3.is_bool(rest[0]) else _least_bits
            fixed, model = least(smt, solver, model, rest[0])
            if fixed is None:
                return None
            solver.add(fixed)
            rest = rest[1:]
    return model


def _is_zero(term: Any) -> Any:
    return z3.Not(term) if z3.is_bool(term) else term == 0


def _leading_zeros(smt: Smt, solver: Any, model: Any, rest: list[Any]) -> tuple[int | None, Any]:
    """The greatest number of leading terms that can be zero together, by bisection; the model shows them so."""
    low = 0
    while low < len(rest) and z3.is_true(model.eval(_is_zero(rest[low]), model_completion=True)):
        low += 1
    high = len(rest)
    attempt = high
    while low < high:
        answer = smt.ask(solver, *(_is_zero(term) for term in rest[:attempt]))
        if answer.status == "unknown":
            return None, model
        if answer.status == "sat":
            low, model = attempt, answer.model
            while low < high and z3.is_true(model.eval(_is_zero(rest[low]), model_completion=True)):
                low += 1
        else:
            high = attempt - 1
        attempt = (low + high + 1) // 2
    return low, model


def _least_bool(smt: Smt, solver: Any, model: Any, term: Any) -> tuple[Any, Any]:
    if z3.is_false(model.eval(term, model_completion=True)):
        return z3.Not(term), model
    answer = smt.ask(solver, z3.Not(term))
    if answer.status == "unknown":
        return None, model
    return (z3.Not(term), answer.model) if answer.status == "sat" else (term, model)


def _least_bits(smt: Smt, solver: Any, model: Any, term: Any) -> tuple[Any, Any]:
    """Tries 0 at once, then settles bits from the top; a bit that the present model has as 0 is settled for free."""
    value = model.eval(term, model_completion=True).as_long()
    if value == 0:
        return term == 0, model
    answer = smt.ask(solver, term == 0)
    if answer.status == "sat":
        return term == 0, answer.model
    if answer.status == "unknown":
        return None, model
    width = term.size()
    prefix = 0
    for bit in reversed(range(width)):
        if not value >> bit & 1:
            continue
        high = z3.Extract(width - 1, bit, term)
        answer = smt.ask(solver, high == (prefix >> bit))
        if answer.status == "unknown":
            return None, model
        if answer.status == "sat":
            model = answer.model
            value = model.eval(term, model_completion=True).as_long()
        else:
            prefix |= 1 << bit
    return term == prefix, model
