"""Models: values of symbols, arrays and functions, and the values that terms have under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from analyzer.symbolic.term import Array, Bits, Bool, Term, fold, mask, signed


class Opaque(Exception):
    """A term without a value that could be computed: a quantifier."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The value of an array or function: entries by index or arguments, and the value of all others."""

    known: Mapping[Any, int]
    default: int = 0


@dataclass(slots=True)
class Model:
    """An assignment; what it leaves open is 0.  Symbols and arrays by name, functions by name."""

    symbols: Mapping[str, int] = field(default_factory=dict)
    arrays: Mapping[str, Entries] = field(default_factory=dict)
    functions: Mapping[str, Entries] = field(default_factory=dict)
    _values: dict[Term, Any] = field(default_factory=dict)

    def value(self, term: Bits | Bool) -> int:
        """The value of a term of bits; of a boolean, 0 or 1.

        Raises:
            Opaque: it has a quantifier in it.
        """
        if not isinstance(term, Term):
            return int(term)
        known = self._values.get(term)
        if known is None:
            known = self._values[term] = _EVALUATE[term.op](self, term)
        return int(known)

    def holds(self, formula: Bool) -> bool:
        """Whether a formula is true."""
        return bool(self.value(formula))

    def cell(self, array: Array, at: int) -> int:
        """An entry of an array."""
        inverted = 0
        while True:
            match array.op:
                case "store":
                    if self.value(array.args[1]) == at:
                        return self.value(array.args[2]) ^ inverted
                    array = array.args[0]
                case "ite":
                    array = array.args[1] if self.value(array.args[0]) else array.args[2]
                case "fill":
                    return self.value(array.args[0]) ^ inverted
                case "flip":
                    inverted ^= mask(array.width)
                    array = array.args[0]
                case _:
                    entries = self.arrays.get(array.data)
                    return (0 if entries is None else entries.known.get(at, entries.default)) ^ inverted

    def entries(self, array: Array) -> Entries:
        """The value of an array."""
        match array.op:
            case "store":
                below = self.entries(array.args[0])
                return Entries({**below.known, self.value(array.args[1]): self.value(array.args[2])}, below.default)
            case "ite":
                return self.entries(array.args[1] if self.value(array.args[0]) else array.args[2])
            case "fill":
                return Entries({}, self.value(array.args[0]))
            case "flip":
                below, ones = self.entries(array.args[0]), mask(array.width)
                return Entries({i: v ^ ones for i, v in below.known.items()}, below.default ^ ones)
        return self.arrays.get(array.data) or Entries({})

    def same(self, a: Array, b: Array) -> bool:
        """Whether two arrays are equal."""
        one, two = self.entries(a), self.entries(b)
        named = one.known.keys() | two.known.keys()
        if any(one.known.get(i, one.default) != two.known.get(i, two.default) for i in named):
            return False
        return one.default == two.default or len(named) == 1 << a.index


def _binary(op: str) -> Callable[[Model, Term], int]:
    return lambda m, t: fold(op, m.value(t.args[0]), m.value(t.args[1]), t.width)


def _and(m: Model, t: Term) -> bool:
    for a in t.args:  # a plain loop: it recurs without Python's own stack
        if not m.value(a):
            return False
    return True


def _or(m: Model, t: Term) -> bool:
    for a in t.args:
        if m.value(a):
            return True
    return False


def _ite(m: Model, t: Term) -> int:
    return m.value(t.args[1]) if m.value(t.args[0]) else m.value(t.args[2])


def _concat(m: Model, t: Term) -> int:
    value = 0
    for part, width in zip(t.args, t.data, strict=True):
        value = value << width | m.value(part)
    return value


def _apply(m: Model, t: Term) -> int:
    entries = m.functions.get(t.data.name)
    if entries is None:
        return 0
    at = []
    for a in t.args:
        at.append(m.value(a))
    return entries.known.get(tuple(at), entries.default)


def _opaque(m: Model, t: Term) -> int:
    raise Opaque


_EVALUATE: dict[str, Callable[[Model, Term], Any]] = {
    "symbol": lambda m, t: m.symbols.get(t.data, 0),
    "apply": _apply,
    **{
        op: _binary(op)
        for op in ("add sub mul udiv urem sdiv srem bvand bvor bvxor shl lshr ashr".split())  # noqa: SIM905
    },
    "bvnot": lambda m, t: m.value(t.args[0]) ^ mask(t.width),
    "neg": lambda m, t: -m.value(t.args[0]) & mask(t.width),
    "extract": lambda m, t: m.value(t.args[0]) >> t.data[1] & mask(t.width),
    "concat": _concat,
    "sext": lambda m, t: signed(m.value(t.args[0]), t.args[0].width) & mask(t.width),
    "ite": _ite,
    "eq": lambda m, t: m.value(t.args[0]) == m.value(t.args[1]),
    "ule": lambda m, t: m.value(t.args[0]) <= m.value(t.args[1]),
    "sle": lambda m, t: signed(m.value(t.args[0]), t.data) <= signed(m.value(t.args[1]), t.data),
    "not": lambda m, t: not m.value(t.args[0]),
    "and": _and,
    "or": _or,
    "xor": lambda m, t: m.value(t.args[0]) != m.value(t.args[1]),
    "select": lambda m, t: m.cell(t.args[0], m.value(t.args[1])),
    "same": lambda m, t: m.same(t.args[0], t.args[1]),
    "forall": _opaque,
}
