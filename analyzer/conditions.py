"""Hole conditions: exactly when, over the virtual state and the operands, an instruction is not faithful.

The hole is a formula over σ, the operands and the monitor's values μ.  Its condition is ∃μ hole, put as a sum of
products of literals that a reader of the manual knows: an access that is permitted, a field that has a value.  The
literals are taken from the hole itself, those about guest state first.  That the hole implies the sum, and that every
product implies the existence of μ (`eliminate`), are both proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import analyzer.properties as pg
from analyzer import ir
from analyzer.properties import Reason
from analyzer.symbolic.cover import cover_of
from analyzer.symbolic.eliminate import ACCESSES, COMPLETES, Elimination, GoingOn
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.term import conjuncts, symbols
from analyzer.symbolic.vocabulary import Abstraction, Vocabulary
from analyzer.symbolic.wording import AND, Wording

TOO_LARGE = "a condition too large to print"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition over σ and operands.  `exact`: proved equivalent to the hole; otherwise nothing is known of it but
    that it was not found."""

    text: str
    exact: bool
    formula: Any
    cover: list[list[Any]] | None


def hole_condition(pair: Pair, reasons: list[Reason]) -> Condition:
    """The condition of the disjunction of these reasons."""
    return project(pair, pg.real_states(pair), [r.formula for r in reasons], "r", virtual_states(pair))


def virtual_states(pair: Pair) -> Bool:
    """What every σ satisfies: not worth repeating in a condition.  The guest assumptions are said with the verdict, and
    the monitor's invariants about the environment hold of σ too, which shares it."""
    v, smt = pair.v, pair.smt
    terms = [v.where, pair.constraint, pair.in_modes(v, pair.virtual_modes), pg.not_intercepted(pair)]
    terms += [pg.guest_assumptions(pair), *_about_environment(pair)]
    terms += [v.start(i.expr, i.prelude) for i in pair.setting.isa.invariants]
    terms += [pair.legal(v, e) for e in pair.setting.isa.elements.values() if e.legal is not None]
    return smt.and_(*terms)


def _about_environment(pair: Pair) -> Iterator[Bool]:
    """The invariants of the real state that are about its environment alone."""
    for conjunct in conjuncts(pair.smt.and_(pair.machine(), pg.monitor_invariants(pair))):
        found = [(s, s.name.removesuffix("@r")) for s in symbols(conjunct)]
        if found and all(name in pair.setting.environment for _, name in found):
            yield pair.smt.substituted(conjunct, [(s, pair.v.world.element(name)) for s, name in found])


def project(pair: Pair, base: Bool, ways: list[Bool], side: str, given: Bool) -> Condition:
    """∃ symbols of `side`. base and one of the ways, over what remains, relative to `given`."""
    remaining = pair.v if side == "r" else pair.r
    named = Abstraction(pair, remaining)
    words = Wording(pair.setting.isa, remaining.name, named.names)
    asked = (pair, base, ways, side, given, named)
    cover = cover_of(Elimination(*asked), named.names, words)
    if cover is None:
        cover = _where_it_goes_on(GoingOn(*asked), named.names, words)
    if cover is None:
        return Condition(TOO_LARGE, False, False, None)
    smt = pair.smt
    concrete = [[named.concrete(literal) for literal in product] for product in cover]
    formula = smt.or_(*(smt.and_(*product) for product in concrete))
    return Condition(worded(pair.setting.isa, cover, words), True, formula, concrete)


def _where_it_goes_on(going: GoingOn, names: Vocabulary, words: Wording) -> list[list[Any]] | None:
    """The condition as part of that under which the run goes on for some values of what is eliminated."""
    if not going.text:
        return None
    cover = cover_of(going, names, words)
    if cover is None:
        return None
    some = going.smt.symbol(going.text, 0)
    names.conditions[some] = going.text
    return [[*product, some] for product in cover]


def worded(isa: ir.Isa, cover: list[list[Any]] | None, words: Wording) -> str:
    """A sum of products as text: what all products share, then the rest; literals about the mode alone stand first,
    how the real run ends last."""
    if cover is None:
        return TOO_LARGE
    if not cover:
        return "never"
    if any(not product for product in cover):
        return "always"
    cover = [_in_order(isa, product) for product in cover]
    common = [lit for lit in cover[0] if all(any(lit is other for other in p) for p in cover)]
    rests = [[lit for lit in p if not any(lit is c for c in common)] for p in cover]
    first = [words.text(lit, AND) for lit in common if not _ending(lit)]
    last = [words.text(lit, AND) for lit in common if _ending(lit)]
    if not (all(rests) and rests[0]):
        return " and ".join(first + last)
    sums = [" and ".join(words.text(lit, AND) for lit in rest) for rest in rests]
    alternatives = " or ".join(f"({s})" if len(rest) > 1 else s for s, rest in zip(sums, rests, strict=True))
    if len(sums) > 1 and first + last:
        alternatives = f"({alternatives})"
    return " and ".join([*first, alternatives, *last])


def _in_order(isa: ir.Isa, product: list[Any]) -> list[Any]:
    """Literals about the mode alone stand first."""
    mode = {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}
    return sorted(product, key=lambda lit: not {s.name.partition("@")[0] for s in symbols(lit)} <= mode)


def _ending(literal: Any) -> bool:
    return literal.op == "symbol" and literal.name in (ACCESSES, COMPLETES)
