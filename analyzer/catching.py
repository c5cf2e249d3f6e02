"""What one instruction says of the settings of intercept bits: under which it has a hole, is caught without need, or is
stuck.

The bits are symbols of their own, so a setting is put into a question by substitution.  What a model shows of one
setting often holds of many: with the model's state put in, the question is one about the bits alone, and the *cube* of
an answer has only those bits on which it then depends.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from msgspec import Struct

import analyzer.properties as pg
from analyzer import ir
from analyzer.classify import NO, YES, Asker, Classes, Truth
from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import Subject
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Answer, Bool, Smt
from analyzer.symbolic.term import Term, nodes


class Bit(Struct, frozen=True):
    """An intercept bit: bit `index` of an element of this `width`."""

    element: str
    index: int
    width: int

    @property
    def name(self) -> str:
        """As the language writes it.

        >>> Bit("mstatus.TVM", 0, 1).name, Bit("exceptions", 14, 32).name
        ('mstatus.TVM', 'exceptions[14]')
        """
        return self.element if self.width == 1 else f"{self.element}[{self.index}]"


Choice = frozenset[Bit]
"""A setting: the bits that are 1."""

Cube = frozenset[tuple[Bit, bool]]
"""The settings that give these bits these values."""


def bits_of(isa: ir.Isa, names: Iterable[str]) -> tuple[Bit, ...]:
    """The bits of these elements, in declared order, the lowest first."""
    wanted = set(names)
    return tuple(Bit(n, i, e.width) for n, e in isa.elements.items() if n in wanted for i in range(e.width))


def within(choice: Choice, cube: Cube) -> bool:
    """Is the setting in the cube?"""
    return all((bit in choice) is value for bit, value in cube)


def open_scheme(setting: Setting, bits: tuple[Bit, ...]) -> tuple[ir.Assume, ...]:
    """The scheme's assumptions without those conjuncts that speak of intercept bits alone: they state the setting that
    is sought."""
    sought = {b.element for b in bits}
    kept = []
    for assume in setting.scheme.assume:
        about = [(c, _about(setting, assume, c)) for c in conjuncts(assume.expr)]
        free = [c for c, names in about if not names or names - sought]
        if free:
            kept.append(ir.Assume(conjunction(free), assume.reason, assume.free, assume.prelude, assume.span))
    return tuple(kept)


def conjuncts(expr: ir.Expr) -> list[ir.Expr]:
    """The parts of a conjunction."""
    match expr:
        case ir.Logic("and", left, right):
            return [*conjuncts(left), *conjuncts(right)]
    return [expr]


def conjunction(parts: list[ir.Expr]) -> ir.Expr:
    """The conjunction of these, which are one at least."""
    out = parts[0]
    for part in parts[1:]:
        out = ir.Logic("and", out, part)
    return out


def _about(setting: Setting, assume: ir.Assume, part: ir.Expr) -> set[str]:
    """The state that a part of an assumption speaks of; of one with loads or calls, what the whole speaks of."""
    prelude = assume.prelude if any(isinstance(t, ir.Local) for t in ir.subterms(part)) else ()
    effects = setting.effects.block((*prelude, ir.Let("assume", part)))
    return effects.reads | effects.windows | effects.physical | {n for n, _ in assume.free}


class Survey(Struct, frozen=True):
    """Whether a subject has a hole under some setting, and whether the bits have a say in its traps."""

    hole: Truth
    catches: bool


def survey(setting: Setting, elements: frozenset[str], rlimit: int | None, subject: Subject) -> Survey:
    """A first look at a subject, all intercept bits free."""
    asker = Asker(setting, subject, rlimit)
    hole = asker.exists_any(pg.real_states(asker.pair), [r.formula for r in pg.unfaithful(asker.pair)])
    catches = any(t.op == "symbol" and t.name in elements for t in nodes(asker.pair.r.traps()))
    return Survey(hole, catches)


class Unintercepted(Asker):
    """Asks of states in which no intercept bit is set."""

    def machine(self) -> Bool:
        """Legal states, of both runs, that intercept nothing."""
        smt, elements = self.pair.smt, self.setting.isa.elements
        clear = (
            smt.eq(side.world.element(n), 0, elements[n].width)
            for n in sorted(self.setting.chosen)
            for side in (self.pair.v, self.pair.r)
        )
        return smt.and_(super().machine(), *clear)


class Catcher:
    """Questions about one subject under settings.  An answer comes with the cube of settings that it is known for:
    those of a yes are all answered with yes."""

    def __init__(self, setting: Setting, subject: Subject, bits: tuple[Bit, ...], rlimit: int | None) -> None:
        self.name = subject.name
        self.asker = Asker(setting, subject, rlimit)
        self.bits = bits
        pair, self.smt = self.asker.pair, self.asker.pair.smt
        self.symbol = {b: self.smt.symbol(f"intercept {b.name}", 1) for b in bits}
        self.bit = {s: b for b, s in self.symbol.items()}
        elements: dict[str, list[Bit]] = {}
        for b in bits:
            elements.setdefault(b.element, []).insert(0, b)
        split = self.smt.substitution(
            (pair.r.world.element(name), self.smt.joined((self.symbol[b], 1) for b in of))
            for name, of in elements.items()
        )
        self.real: Bool = split(pg.real_states(pair))
        self.reasons: list[Bool] = [split(r.formula) for r in pg.unfaithful(pair)]
        self.traps: Bool = self.smt.and_(split(pair.r.traps()), pair.v.stays())
        self.stays: Bool = split(pair.r.stays())

    def impossible(self, choice: Choice) -> tuple[Truth, Cube]:
        """Is the setting one that no real state has?"""
        return ~Truth.of(self.smt.check(self._at(choice)(self.real))), self._point(choice, self.real)

    def hole(self, choice: Choice) -> tuple[Truth, Cube]:
        """Is there a hole under this setting?"""
        fixed = self._at(choice)
        answer = self.asker.any_way(fixed(self.real), [fixed(r) for r in self.reasons])
        return self._told(answer, choice, self.smt.and_(self.real, self.smt.or_(*self.reasons)))

    def needless(self, choice: Choice) -> tuple[Truth, Cube]:
        """Does the setting catch the instruction in a state in which it runs on, and without a hole, if nothing is
        intercepted?"""
        none = self._at(frozenset())
        smt = self.smt
        faithful = smt.and_(none(self.real), none(self.stays), smt.not_(none(smt.or_(*self.reasons))))
        question = smt.and_(self.real, self.traps, faithful)
        return self._told(smt.check(self._at(choice)(question)), choice, question)

    def stuck(self, choice: Choice) -> tuple[Truth, Cube]:
        """Does the setting keep the instruction from running directly at all, though it is innocuous where nothing is
        intercepted?"""
        smt, world = self.smt, self.asker.pair.r.world
        values = {b.element: (0, b.width) for b in self.bits}
        for b in choice:
            values[b.element] = (values[b.element][0] | 1 << b.index, b.width)
        here = smt.and_(*(smt.eq(world.element(name), v, width) for name, (v, width) in values.items()))
        return self.asker.stuck(self._classes, here), self._point(choice, smt.and_(self.real, self.traps))

    @cached_property
    def _classes(self) -> Classes:
        return Unintercepted(self.asker.setting, self.asker.subject, self.smt.rlimit).classes()

    # -- settings ------------------------------------------------------------------------------------------------------

    def _at(self, choice: Choice) -> Any:
        """The substitution that puts a setting in."""
        return self.smt.substitution((s, int(b in choice)) for b, s in self.symbol.items())

    def _point(self, choice: Choice, question: Bool) -> Cube:
        """The values of all bits that a question mentions."""
        return frozenset((b, b in choice) for b in self._mentioned(question))

    def _mentioned(self, question: Bool) -> list[Bit]:
        found = {self.bit[t] for t in nodes(question) if t in self.bit}
        return [b for b in self.bits if b in found]

    def _told(self, answer: Answer, choice: Choice, question: Bool) -> tuple[Truth, Cube]:
        """An answer, and the cube that it is known for."""
        truth = Truth.of(answer)
        if truth is not YES or answer.model is None:
            return truth, self._point(choice, question)
        rest = shown_by(self.smt, question, answer.model, set(self.bit))
        if rest is None:
            return truth, self._point(choice, question)
        return truth, self._prime(choice, rest)

    def _prime(self, choice: Choice, rest: Bool) -> Cube:
        """A largest cube around a setting within a formula on the bits."""
        cube = dict(self._point(choice, rest))
        for bit in list(cube):
            fewer = {b: v for b, v in cube.items() if b != bit}
            literals = [self.smt.eq(self.symbol[b], int(v), 1) for b, v in fewer.items()]
            if Truth.of(self.smt.check(*literals, self.smt.not_(rest))) is NO:
                cube = fewer
        return frozenset(cube.items())


def shown_by(smt: Smt, formula: Bool, model: Model, free: set[Term]) -> Bool | None:
    """The formula with a model's values put in for all but the free symbols; None if something else remains."""
    values: list[tuple[Term, Any]] = []
    for t in nodes(formula):
        if t.op == "symbol" and t not in free:
            values.append((t, model.value(t) if t.width else model.holds(t)))
        elif t.op == "array":
            entries = model.entries(t)
            array = smt.fill(entries.default, t.index, t.width)
            for at, entry in entries.known.items():
                array = smt.store_at(array, at, entry, t.width)
            values.append((t, array))
    rest = smt.substituted(formula, values)
    while known := [t for t in nodes(rest) if t.op == "apply" and all(isinstance(a, int) for a in t.args)]:
        rest = smt.substituted(rest, [(t, model.value(t) if t.width else model.holds(t)) for t in known])
    left = any(t.op in ("symbol", "apply", "array", "forall") and t not in free for t in nodes(rest))
    return None if left else rest
