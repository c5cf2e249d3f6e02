"""Hole conditions: exactly when, over the virtual state and the operands, an instruction is not faithful.

The hole is a formula over σ, the operands and the monitor's values μ.  Its condition is ∃μ hole, put as a sum of
products of literals that a reader of the manual knows: an access that is permitted, a field that has a value.  The
literals are taken from the hole itself, those about guest state first.  That the hole implies the sum, and that every
product implies the existence of μ (`eliminate`), are both proved.  Where that takes too many literals, what decides
whether the real run goes on is one literal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

from msgspec import Struct

import analyzer.properties as pg
from analyzer import ir
from analyzer.properties import Reason
from analyzer.symbolic.cover import cover_of
from analyzer.symbolic.eliminate import ACCESSES, COMPLETES, Elimination, GoingOn, Undecided
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.term import conjuncts, symbols
from analyzer.symbolic.vocabulary import Abstraction
from analyzer.symbolic.wording import AND, Wording

TOO_LARGE = "a condition too large to print"

MAX_FACTORED = 8
"""More literals than this are not tried in all combinations."""


class Condition(Struct, frozen=True):
    """A condition over σ and operands.  `exact`: `formula` is proved equivalent to the hole; otherwise none was found,
    and it is `False`, which implies the hole.  That the real run goes on for some monitor is a symbol in it."""

    text: str
    exact: bool
    formula: Bool


def hole_condition(pair: Pair, reasons: list[Reason]) -> Condition:
    """The condition of the disjunction of these reasons: ∃μ. real states and one of them, relative to what every σ
    satisfies."""
    named = Abstraction(pair)
    words = Wording(pair.setting.isa, names=named.names)
    asked = (pair, pg.real_states(pair), [r.formula for r in reasons], virtual_states(pair), named)
    try:
        cover = _found(Elimination(*asked), lambda: GoingOn(*asked), words)
    except Undecided:
        cover = None
    if cover is None:
        return Condition(TOO_LARGE, False, False)
    smt = pair.smt
    formula = smt.or_(*(smt.and_(*map(named.concrete, product)) for product in cover))
    return Condition(worded(pair.setting.isa, cover, words), True, formula)


def _found(anywhere: Elimination, make: Callable[[], GoingOn], words: Wording) -> list[list[Any]] | None:
    """What reads best: guest state alone; one product; that the real run goes on, and no more; a sum; and last, what
    must be besides its going on."""
    cover = cover_of(anywhere, words, near=True)
    if cover is None:
        cover = cover_of(anywhere, words, single=True)
    if cover is not None:
        return cover
    going = make()
    if going.text and going.covers():
        return _goes_on(going, words, [[]])
    cover = cover_of(anywhere, words)
    if cover is None and going.text:
        cover = _goes_on(going, words, cover_of(going, words, near=True))
    return cover


def _goes_on(going: GoingOn, words: Wording, cover: list[list[Any]] | None) -> list[list[Any]] | None:
    """The products with the literal that the real run goes on for some monitor."""
    if cover is None:
        return None
    some = going.smt.symbol(going.text, 0)
    words.names.conditions[some] = going.text
    return [[*product, some] for product in cover]


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


def worded(isa: ir.Isa, cover: list[list[Any]], words: Wording) -> str:
    """A sum of products as text, factors first that all products share; literals about the mode alone stand before all,
    how the real run ends after all."""
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
    texts = sorted((len(product), " and ".join(words.text(lit, AND) for lit in product)) for product in sums)
    if len(texts) == 1:
        return texts[0][1]
    text = " or ".join(f"({t})" if count > 1 else t for count, t in texts)
    return f"({text})" if bracket else text


def _in_order(isa: ir.Isa, product: list[Any]) -> list[Any]:
    """Literals about the mode alone stand first."""
    mode = {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}
    return sorted(product, key=lambda lit: not {s.name.partition("@")[0] for s in symbols(lit)} <= mode)


def _about_ending(factor: list[list[Any]]) -> bool:
    """Is it the literal that says how the real run ends?"""
    (literal, *_), *_ = factor
    return literal.op == "symbol" and literal.name in (ACCESSES, COMPLETES)
