"""Looking for a model without the solver: repairing a guess until it is one.

A part of the conjunction that is false under the guess is made true by changing the symbols, cells and function values
below it, values being pushed back through the operators (propagation-based local search; Niemetz, Preiner and Biere,
FMSD 51(3), 2017).  Most questions have models near those of earlier ones, so a few repairs often do; the solver is
asked only when they do not.  What is found is evaluated before it is believed, so nothing rests on this being right.
"""

from __future__ import annotations

from random import Random
from typing import Any

from analyzer.symbolic.model import Entries, Model, Opaque
from analyzer.symbolic.term import Array, Bits, Bool, Term, bit_of, mask, signed

STEPS = 24
"""Repairs before the search is given up."""

PATIENCE = 8
"""Repairs in a row that may leave no fewer parts false than there were at the best."""


def repaired(parts: list[Bool], start: Model, steps: int = STEPS) -> Model | None:
    """A model of the conjunction near this one, if a few repairs lead there."""
    try:
        return _Guess(start).search(parts, steps)
    except Opaque:
        return None


class _Guess:
    """An assignment that is being repaired."""

    def __init__(self, start: Model) -> None:
        self.symbols = dict(start.symbols)
        self.arrays = {n: (dict(e.known), e.default) for n, e in start.arrays.items()}
        self.functions = {n: (dict(e.known), e.default) for n, e in start.functions.items()}
        self.random = Random(0)
        self.touched = 0  # the support of what was changed since `now`
        self.now = start

    def model(self) -> Model:
        """The assignment as it is now."""
        arrays = {n: Entries(dict(k), d) for n, (k, d) in self.arrays.items()}
        functions = {n: Entries(dict(k), d) for n, (k, d) in self.functions.items()}
        model = Model(dict(self.symbols), arrays, functions).near(self.now, self.touched)
        self.touched = 0
        return model

    def search(self, parts: list[Bool], steps: int) -> Model | None:
        best, since = len(parts) + 1, 0
        for _ in range(steps):
            if self.touched:
                self.now = self.model()
            wrong = [p for p in parts if not self.now.value(p)]
            if not wrong:
                return self.now
            since = 0 if len(wrong) < best else since + 1
            best = min(best, len(wrong))
            if since > PATIENCE:
                return None
            self.make(self.random.choice(wrong), 1)
        return None

    # -- truth ---------------------------------------------------------------------------------------------------------

    def make(self, t: Bool, want: int) -> None:
        """Gives a boolean this value."""
        value = self.now.value
        if not isinstance(t, Term) or value(t) == want:
            return
        match t.op:
            case "not":
                self.make(t.args[0], 1 - want)
            case "and" | "or":
                if want == (t.op == "and"):
                    for a in t.args:
                        self.make(a, want)
                else:
                    self.make(self.random.choice(t.args), want)
            case "xor":
                a = self.random.choice(t.args)
                self.make(a, 1 - value(a))
            case "ite":
                self._choose(t, want)
            case "eq":
                self._equal(t.args[0], t.args[1], t.data, want)
            case "ule":
                self._order(t.args[0], t.args[1], t.data, want, False)
            case "sle":
                self._order(t.args[0], t.args[1], t.data, want, True)
            case "apply":
                self._call(t, want)
            case "symbol":
                self._name(t.data, want)
            case "same":
                self._same(t.args[0], t.args[1], want)

    def _choose(self, t: Term, want: int) -> None:
        """A conditional gets a value: from the other arm if that has it, or through the present one."""
        cond, a, b = t.args
        now = self.now.value(cond)
        here, other = (a, b) if now else (b, a)
        if self.now.value(other) == want and self.random.random() < 0.7:
            self.make(cond, 1 - now)
        elif isinstance(here, Term) and (not isinstance(other, Term) or self.random.random() < 0.7):
            self._give(here, want)
        else:
            self.make(cond, 1 - now)
            self._give(other, want)

    def _give(self, t: Any, want: int) -> None:
        if isinstance(t, Term) and t.width == 0:
            self.make(t, want)
        else:
            self.set(t, want)

    def _equal(self, a: Bits, b: Bits, width: int, want: int) -> None:
        if not isinstance(a, Term) or (isinstance(b, Term) and self.random.random() < 0.5):
            a, b = b, a
        target = self.now.value(b)
        if not want:
            target = (target + 1) & mask(width) if self.random.random() < 0.5 else target ^ 1 << self._bit(width)
        self.set(a, target)

    def _bit(self, width: int) -> int:
        return self.random.randrange(width)

    def _order(self, a: Bits, b: Bits, width: int, want: int, sign: bool) -> None:
        """`a <= b`, or `a > b`."""
        bias = 1 << (width - 1) if sign else 0
        x, y = self.now.value(a) ^ bias, self.now.value(b) ^ bias
        left = isinstance(a, Term) and (not isinstance(b, Term) or self.random.random() < 0.5)
        top = mask(width)
        if want:
            value = self.random.choice((y, 0)) if left else self.random.choice((x, top))
        elif left:
            value = self.random.choice((min(y + 1, top), top))
        else:
            value = self.random.choice((max(x - 1, 0), 0))
        self.set(a if left else b, value ^ bias)

    def _same(self, a: Array, b: Array, want: int) -> None:
        one, two = (a, b) if a.op == "array" else (b, a)
        if want and one.op == "array":
            entries = self.now.entries(two)
            self.arrays[one.data] = (dict(entries.known), entries.default)
            self.touched |= one.support
        elif not want:
            self._store(one, self._bit(one.index), None)

    # -- values --------------------------------------------------------------------------------------------------------

    def set(self, t: Bits, v: int) -> None:
        """Gives a term of bits this value, where its operator lets one."""
        value = self.now.value
        if not isinstance(t, Term) or value(t) == v:
            return
        width = t.width
        top = mask(width)
        match t.op:
            case "symbol":
                self._name(t.data, v)
            case "select":
                self._store(t.args[0], value(t.args[1]), v)
            case "apply":
                self._call(t, v)
            case "ite":
                self._choose(t, v)
            case "concat":
                for part, size in zip(reversed(t.args), reversed(t.data), strict=True):
                    self.set(part, v & mask(size))
                    v >>= size
            case "extract":
                base, (_, lo) = t.args[0], t.data
                self.set(base, value(base) & ~(top << lo) | v << lo)
            case "sext":
                inner = t.args[0].width
                if signed(v & mask(inner), inner) & top == v:
                    self.set(t.args[0], v & mask(inner))
            case "bvnot":
                self.set(t.args[0], v ^ top)
            case "neg":
                self.set(t.args[0], -v & top)
            case _:
                self._operand(t, v, top)

    def _operand(self, t: Term, v: int, top: int) -> None:
        """Gives one operand the value that leads to this one, the other being what it is."""
        a, b = t.args
        first = isinstance(a, Term) and (not isinstance(b, Term) or self.random.random() < 0.5)
        mine, other = (a, b) if first else (b, a)
        x = self.now.value(other)
        match t.op:
            case "add":
                self.set(mine, v - x & top)
            case "sub":
                self.set(mine, v + x & top if first else x - v & top)
            case "bvxor":
                self.set(mine, v ^ x)
            case "bvand":
                self.set(mine, v | self.now.value(mine) & ~x & top)
                self.set(other, x | v)
            case "bvor":
                self.set(mine, v & ~x | self.now.value(mine) & x)
                self.set(other, x & v)
            case "mul" if x & 1:
                self.set(mine, v * pow(x, -1, top + 1) & top)
            case "shl" if first and x < t.width:
                self.set(mine, v >> x | self.now.value(mine) & ~(top >> x))
            case "lshr" if first and x < t.width:
                self.set(mine, (v << x | self.now.value(mine) & mask(x)) & top)
            case "udiv" if first and x:
                self.set(mine, min(v * x, top))
            case "urem" if first and x:
                self.set(mine, v)
            case _:
                self.set(mine, self.random.getrandbits(t.width))

    def _store(self, array: Array, at: int, v: int | None) -> None:
        """Gives a cell a value; None stands for another than it has."""
        value = self.now.value
        while True:
            match array.op:
                case "store":
                    if value(array.args[1]) == at:
                        if v is not None:
                            self.set(array.args[2], v)
                        return
                    array = array.args[0]
                case "ite":
                    array = array.args[1] if value(array.args[0]) else array.args[2]
                case "flip":
                    v = None if v is None else v ^ mask(array.width)
                    array = array.args[0]
                case "array":
                    known, default = self.arrays.setdefault(array.data, ({}, 0))
                    known[at] = known.get(at, default) ^ 1 if v is None else v
                    self.touched |= array.support
                    return
                case _:
                    return

    def _call(self, t: Term, v: int) -> None:
        at = tuple(map(self.now.value, t.args))
        self.functions.setdefault(t.data.name, ({}, 0))[0][at] = v
        self.touched |= bit_of(t.data.name)

    def _name(self, symbol: str, v: int) -> None:
        self.symbols[symbol] = v
        self.touched |= bit_of(symbol)
