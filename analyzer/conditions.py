"""Hole conditions: exactly when, over the virtual state and the operands, an instruction is not faithful.

The hole is a formula over σ, the operands and the monitor's values μ.  Its condition is ∃μ hole.  μ is eliminated by
instantiation: values that the scheme pins are substituted, others are taken as different from the guest's as can be (a
monitor may hold anything), and where that is not enough, as the solver's counterexample has them relative to the
guest's.  The disjunction of the instances implies the hole by construction; that it is implied by it is proved.
The result is put into a sum of prime implicants over the atoms that occur, so that it reads like the manual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import analyzer.properties as pg
from analyzer import ir
from analyzer.properties import Reason
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.project import Projection
from analyzer.symbolic.simplest import prime_cover, too_large
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.term import symbols
from analyzer.symbolic.wording import Wording

MAX_INSTANCES = 4
"""Instances of μ tried before the condition is called inexact."""

MAX_FORMULA = 2_500
"""Holes of more terms than this are not put into a condition."""

CONDITION_RLIMIT = 150_000
"""Work for one step of eliminating μ."""

TOO_LARGE = "a condition too large to print"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition over σ and operands.  `exact`: proved equivalent to the hole; otherwise it implies the hole.
    `definitions` say what the named faults in `formula` and `cover` stand for."""

    text: str
    exact: bool
    formula: Any
    cover: list[list[Any]] | None
    definitions: tuple[Any, ...] = ()


def hole_condition(pair: Pair, reasons: list[Reason]) -> Condition:
    """The condition of the disjunction of these reasons."""
    hole = pair.smt.and_(pg.real_states(pair), pair.smt.or_(*(r.formula for r in reasons)))
    return project(pair, hole, "r", virtual_states(pair))


def virtual_states(pair: Pair) -> Bool:
    """What every σ satisfies: not worth repeating in a condition."""
    v, smt = pair.v, pair.smt
    terms = [v.where, pair.constraint, pair.in_modes(v, pair.virtual_modes), pg.not_intercepted(pair)]
    terms += [v.start(i.expr, i.prelude) for i in pair.setting.isa.invariants]
    terms += [pair.legal(v, e) for e in pair.setting.isa.elements.values() if e.legal is not None]
    return smt.and_(*terms)


def project(pair: Pair, formula: Bool, side: str, given: Bool) -> Condition:
    """∃ symbols of `side`. formula, over what remains, relative to `given`."""
    smt = pair.smt
    if too_large(formula, MAX_FORMULA):
        return Condition(TOO_LARGE, False, formula, None)
    projection = Projection(pair, formula, side)
    instances: list[Any] = []
    exact = False
    for _ in range(MAX_INSTANCES):
        covered = smt.or_(*instances)
        answer = smt.check(formula, *projection.definitions, smt.not_(covered), rlimit=CONDITION_RLIMIT)
        if answer.status == "unsat":
            exact = True
            break
        if answer.status == "unknown":
            break
        instances.append(projection.instance(None if not instances else answer.model))
        if too_large(instances[-1]):
            break
    total = smt.or_(*instances)
    cover = prime_cover(smt, total, smt.and_(given, *projection.definitions))
    remaining = "v" if side == "r" else "r"
    text = worded(pair.setting.isa, cover, remaining) if cover or exact else TOO_LARGE
    return Condition(text, exact and cover is not None, total, cover, tuple(projection.definitions))


def worded(isa: ir.Isa, cover: list[list[Any]] | None, side: str = "v") -> str:
    """A sum of products as text; the literals of a product in the order in which the spec mentions them."""
    if cover is None:
        return TOO_LARGE
    if not cover:
        return "never"
    if any(not product for product in cover):
        return "always"
    words = Wording(isa, side)
    cover = [_mode_first(isa, product) for product in cover]
    common = [lit for lit in cover[0] if all(any(lit is other for other in p) for p in cover)]
    rests = [[lit for lit in p if not any(lit is c for c in common)] for p in cover]
    parts = [words.text(lit) for lit in common]
    if all(rests) and rests[0]:
        sums = [" and ".join(_bracketed(words.text(lit)) for lit in r) for r in rests]
        parts.append(sums[0] if len(sums) == 1 else _alternatives(sums, bool(parts)))
    return " and ".join(parts)


def _mode_first(isa: ir.Isa, product: list[Any]) -> list[Any]:
    """Literals about the mode alone stand first."""
    mode = {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}
    return sorted(product, key=lambda lit: not {s.name.partition("@")[0] for s in symbols(lit)} <= mode)


def _bracketed(text: str) -> str:
    return f"({text})" if " or " in text or text.startswith("if ") else text


def _alternatives(sums: list[str], bracket: bool) -> str:
    text = " or ".join(f"({s})" if " and " in s else s for s in sums)
    return f"({text})" if bracket else text
