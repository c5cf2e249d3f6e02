"""Models: values of symbols, arrays and functions, and the values that terms have under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from analyzer.symbolic.term import FOLDED, Array, Bits, Bool, Term, bit_of, fold, mask, nodes, signed

MAX_CHAIN = 12
"""Models that are each a change of the one before; the next one stands by itself."""


class Opaque(Exception):
    """A term without a value that could be computed: a quantifier."""


class Entries(Struct, frozen=True):
    """The value of an array or function: entries by index or arguments, and the value of all others."""

    known: Mapping[Any, int]
    default: int = 0


@dataclass(slots=True)
class Model:
    """An assignment; what it leaves open is 0.  Symbols and arrays by name, functions by name."""

    symbols: Mapping[str, int] = field(default_factory=dict)
    arrays: Mapping[str, Entries] = field(default_factory=dict)
    functions: Mapping[str, Entries] = field(default_factory=dict)
    _values: dict[Term, int] = field(default_factory=dict, init=False)
    _base: Model | None = field(default=None, init=False)
    _changed: int = field(default=0, init=False)
    _chain: int = field(default=0, init=False)

    def near(self, base: Model, changed: int) -> Model:
        """This model, which differs from `base` only in what the support `changed` names: terms without any of that
        have the values that they have there."""
        if base._chain < MAX_CHAIN:
            self._base, self._changed, self._chain = base, changed, base._chain + 1
        return self

    def with_symbol(self, name: str, value: int) -> Model:
        """This model with another value of a symbol."""
        return Model({**self.symbols, name: value}, self.arrays, self.functions).near(self, bit_of(name))

    def with_array(self, name: str, entries: Entries) -> Model:
        """This model with another array."""
        return Model(self.symbols, {**self.arrays, name: entries}, self.functions).near(self, bit_of(name))

    def with_function(self, name: str, entries: Entries) -> Model:
        """This model with another function."""
        return Model(self.symbols, self.arrays, {**self.functions, name: entries}).near(self, bit_of(name))

    def only(self, term: Bits | Bool) -> Model:
        """This model where the term looks, and 0 elsewhere.  Where it compares arrays, it looks at all of them."""
        symbols: dict[str, int] = {}
        arrays: dict[str, dict[int, int]] = {}
        functions: dict[str, dict[Any, int]] = {}
        compared: dict[str, Entries] = {}
        for t in nodes(term):
            match t.op:
                case "symbol":
                    symbols[t.data] = self.value(t)
                case "apply":
                    functions.setdefault(t.data.name, {})[tuple(map(self.value, t.args))] = self.value(t)
                case "select" if t.args[0].op == "array":
                    arrays.setdefault(t.args[0].data, {})[self.value(t.args[1])] = self.value(t)
                case "same":
                    named = (array.data for array in nodes(t) if array.op == "array")
                    compared |= {name: self.arrays[name] for name in named if name in self.arrays}
        entries = {n: Entries(cells) for n, cells in arrays.items()}
        return Model(symbols, entries | compared, {n: Entries(cells) for n, cells in functions.items()})

    def value(self, t: Bits | Bool) -> int:
        """The value of a term of bits; of a boolean, 0 or 1.

        Raises:
            Opaque: it has a quantifier in it.
        """
        if t.__class__ is not Term:
            return int(t)
        known = self._values.get(t)
        if known is None:
            base = self._base
            if base is None or t.support & self._changed or (known := base._values.get(t)) is None:
                known = _VALUE[t.op](self, t)
            self._values[t] = known
        return known

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


# -- the value of a term that is met for the first time ----------------------------------------------------------------
#
# Most of the time of an analysis that is not the solver's goes by here: constants are told by their type, and what is
# known is looked up, without a call.


def _eq(model: Model, t: Term) -> int:
    a, b = t.args
    return 1 if model.value(a) == (b if b.__class__ is int else model.value(b)) else 0


def _not(model: Model, t: Term) -> int:
    return 1 - model.value(t.args[0])


def _and(model: Model, t: Term) -> int:
    known, value = model._values.get, model.value
    for a in t.args:
        v = known(a)
        if not (value(a) if v is None else v):
            return 0
    return 1


def _or(model: Model, t: Term) -> int:
    known, value = model._values.get, model.value
    for a in t.args:
        v = known(a)
        if value(a) if v is None else v:
            return 1
    return 0


def _ite(model: Model, t: Term) -> int:
    condition, a, b = t.args
    return model.value(a if model.value(condition) else b)


def _concat(model: Model, t: Term) -> int:
    out = 0
    for part, width in zip(t.args, t.data, strict=True):
        out = out << width | (part if part.__class__ is int else model.value(part))
    return out


def _extract(model: Model, t: Term) -> int:
    lo: int = t.data[1]
    return model.value(t.args[0]) >> lo & mask(t.width)


def _ule(model: Model, t: Term) -> int:
    a, b = t.args
    return 1 if model.value(a) <= model.value(b) else 0


def _sle(model: Model, t: Term) -> int:
    a, b = map(model.value, t.args)
    return int(signed(a, t.data) <= signed(b, t.data))


def _xor(model: Model, t: Term) -> int:
    a, b = map(model.value, t.args)
    return int(a != b)


def _apply(model: Model, t: Term) -> int:
    entries = model.functions.get(t.data.name)
    if entries is None:
        return 0
    return entries.known.get(tuple(map(model.value, t.args)), entries.default)


def _sext(model: Model, t: Term) -> int:
    (a,) = t.args
    return signed(model.value(a), a.width) & mask(t.width)


def _opaque(model: Model, t: Term) -> int:
    raise Opaque


def _folded(model: Model, t: Term) -> int:
    a, b = t.args
    return fold(t.op, model.value(a), model.value(b), t.width)


_VALUE: dict[str, Callable[[Model, Term], int]] = {
    "symbol": lambda model, t: model.symbols.get(t.data, 0),
    "eq": _eq,
    "not": _not,
    "and": _and,
    "or": _or,
    "ite": _ite,
    "concat": _concat,
    "extract": _extract,
    "select": lambda model, t: model.cell(t.args[0], model.value(t.args[1])),
    "ule": _ule,
    "sle": _sle,
    "apply": _apply,
    "xor": _xor,
    "same": lambda model, t: int(model.same(t.args[0], t.args[1])),
    "sext": _sext,
    "bvnot": lambda model, t: model.value(t.args[0]) ^ mask(t.width),
    "neg": lambda model, t: -model.value(t.args[0]) & mask(t.width),
    "forall": _opaque,
    **dict.fromkeys(FOLDED, _folded),
}
