"""Canonical models: the lexicographically least values of the terms that a formula mentions, in a given order.

The least model does not depend on the solver's choices, its seed, or what was asked before, so witnesses are the same
bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analyzer.symbolic.model import Model
from analyzer.symbolic.smt import Bool, Smt
from analyzer.symbolic.solver import Solver
from analyzer.symbolic.term import Term


def least_model(smt: Smt, formula: Bool, ordered: Iterable[Term]) -> Model | None:
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
        solver.add(*(_is_zero(smt, term) for term in rest[:zeros]))
        rest = rest[zeros:]
        if rest:
            least = _least_bits if rest[0].width else _least_bool
            fixed, model = least(smt, solver, model, rest[0])
            if fixed is None:
                return None
            solver.add(fixed)
            rest = rest[1:]
    return model


def _is_zero(smt: Smt, term: Term) -> Bool:
    return smt.eq(term, 0, term.width) if term.width else smt.not_(term)


def _leading_zeros(smt: Smt, solver: Solver, model: Model, rest: list[Term]) -> tuple[int | None, Model]:
    """The greatest number of leading terms that can be zero together, by bisection; the model shows them so."""
    low = 0
    while low < len(rest) and not model.value(rest[low]):
        low += 1
    high = len(rest)
    attempt = high
    while low < high:
        answer = smt.ask(solver, *(_is_zero(smt, term) for term in rest[:attempt]))
        if answer.status == "unknown":
            return None, model
        if answer.status == "sat":
            low, model = attempt, answer.model
            while low < high and not model.value(rest[low]):
                low += 1
        else:
            high = attempt - 1
        attempt = (low + high + 1) // 2
    return low, model


def _least_bool(smt: Smt, solver: Solver, model: Model, term: Term) -> tuple[Bool | None, Model]:
    if not model.value(term):
        return smt.not_(term), model
    answer = smt.ask(solver, smt.not_(term))
    if answer.status == "unknown":
        return None, model
    return (smt.not_(term), answer.model) if answer.status == "sat" else (term, model)


def _least_bits(smt: Smt, solver: Solver, model: Model, term: Term) -> tuple[Any, Model]:
    """Tries 0 at once, then settles bits from the top; a bit that the present model has as 0 is settled for free."""
    width, value = term.width, model.value(term)
    if value == 0:
        return smt.eq(term, 0, width), model
    answer = smt.ask(solver, smt.eq(term, 0, width))
    if answer.status == "sat":
        return smt.eq(term, 0, width), answer.model
    if answer.status == "unknown":
        return None, model
    prefix = 0
    for bit in reversed(range(width)):
        if not value >> bit & 1:
            continue
        high = smt.extract(term, width - 1, bit, width)
        answer = smt.ask(solver, smt.eq(high, prefix >> bit, width - bit))
        if answer.status == "unknown":
            return None, model
        if answer.status == "sat":
            model = answer.model
            value = model.value(term)
        else:
            prefix |= 1 << bit
    return smt.eq(term, prefix, width), model
