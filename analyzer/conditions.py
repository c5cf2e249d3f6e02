"""Hole conditions: exactly when, over the virtual state and the operands, an instruction is not faithful.

The hole is a formula over σ, the operands and the monitor's values μ.  Its condition is ∃μ hole, put as a sum of
products of literals that a reader of the manual knows: an access that is permitted, a field that has a value.  The
literals are taken from the hole itself, those about guest state first.  That the hole implies the sum, and that every
product implies the existence of μ (`eliminate`), are both proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
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


MAX_FACTORED = 8
"""More literals than this are not tried in all combinations."""


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
    """A sum of products as text, factors first that all products share; literals about the mode alone stand before all,
    how the real run ends after all."""
    if cover is None:
        return TOO_LARGE
    if not cover:
        return "never"
    if any(not product for product in cover):
        return "always"
    factors = _factors([_in_order(isa, product) for product in cover])
    texts = [_alternatives(factor, words, len(factors) > 1) for factor in factors if not _about_ending(factor)]
    return " and ".join(texts + [_alternatives(factor, words, True) for factor in factors if _about_ending(factor)])


def _factors(cover: list[list[Any]]) -> list[list[list[Any]]]:
    """Sums whose product is this one: the literals that all products share, each by itself, then the rest, taken apart
    where it is every product of one sum with one of another."""
    common = [lit for lit in cover[0] if all(lit in product for product in cover)]
    rests = [[lit for lit in product if lit not in common] for product in cover]
    factors = [[[lit]] for lit in common]
    while rests[0]:
        one, rests = _taken_apart(rests)
        factors.append(one)
    return factors


def _taken_apart(sums: list[list[Any]]) -> tuple[list[list[Any]], list[list[Any]]]:
    """A factor of a sum, the smallest there is, and the rest; that is one empty product if it has no factor."""
    listed = list(dict.fromkeys(lit for product in sums for lit in product))
    for count in range(1, len(listed) // 2 + 1 if len(listed) <= MAX_FACTORED else 0):
        for chosen in combinations(listed, count):
            one = _distinct([lit for lit in product if lit in chosen] for product in sums)
            two = _distinct([lit for lit in product if lit not in chosen] for product in sums)
            if len(one) > 1 and len(two) > 1 and len(one) * len(two) == len(sums) and [] not in one:
                return one, two
    return sums, [[]]


def _distinct(products: Iterable[list[Any]]) -> list[list[Any]]:
    out: list[list[Any]] = []
    for product in products:
        if product not in out:
            out.append(product)
    return out


def _alternatives(sums: list[list[Any]], words: Wording, bracket: bool) -> str:
    texts = [" and ".join(words.text(lit, AND) for lit in product) for product in sums]
    if len(sums) == 1:
        return texts[0]
    text = " or ".join(f"({t})" if len(product) > 1 else t for t, product in zip(texts, sums, strict=True))
    return f"({text})" if bracket else text


def _in_order(isa: ir.Isa, product: list[Any]) -> list[Any]:
    """Literals about the mode alone stand first."""
    mode = {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}
    return sorted(product, key=lambda lit: not {s.name.partition("@")[0] for s in symbols(lit)} <= mode)


def _about_ending(factor: list[list[Any]]) -> bool:
    """Is it the literal that says how the real run ends?"""
    (literal, *_), *_ = factor
    return literal.op == "symbol" and literal.name in (ACCESSES, COMPLETES)
