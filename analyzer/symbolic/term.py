"""Terms: bit vectors, booleans and arrays as shared, immutable nodes.

A `Bits` is a Python integer when it is constant and a `Term` when it is not; a `Bool` likewise.  The terms of one
`Builder` are interned, so two that look alike are one object.

    op                                        arguments          meaning
    symbol, array                                                unknowns; `data` is the name
    apply                                     bits…              an unknown function; `data` is the `Function`
    add sub mul udiv urem sdiv srem           bits, bits         as in SMT-LIB, on `width` bits
    bvand bvor bvxor shl lshr ashr            bits, bits
    bvnot neg                                 bits
    extract                                   bits               bits hi..lo; `data` is (hi, lo)
    concat                                    bits…              the first is the highest; `data` are the widths
    sext                                      bits               to `width`; an extension by zeros is a `concat`
    ite                                       bool, x, x         of bits, booleans or arrays
    eq, ule, sle                              bits, bits         `data` is the width of the arguments
    not; and, or                              bool; bool…
    xor                                       bool, bool
    select                                    array, bits        the entry at an index
    store                                     array, bits, bits
    fill                                      bits               the array that has this entry everywhere
    flip                                      array              all its entries inverted
    same                                      array, array       equality
    forall                                    bool               `data` are the bound symbols and arrays
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

Bits = Any  # int | Term
Bool = Any  # bool | Term
Array = Any  # Term

sys.setrecursionlimit(max(sys.getrecursionlimit(), 50_000))  # functions on terms recur as deep as terms are


class Function(Struct, frozen=True):
    """An unknown function of bit vectors; a result of width 0 is a boolean."""

    name: str
    widths: tuple[int, ...]
    width: int


SUPPORT_BITS = 251
"""Bits of a support; names that share one are taken to occur together."""

EVERYTHING = (1 << SUPPORT_BITS) - 1
"""The support of a term that may depend on anything."""


def bit_of(name: str) -> int:
    """The bit of a support that stands for what has this name."""
    return 1 << hash(name) % SUPPORT_BITS


class Term:
    """A node.  `width` is 0 for booleans and the width of an entry for arrays, whose `index` is that of an index (0 for
    all others).  `uid` counts the nodes of one builder; `support` has a bit for every name below the node (see
    `bit_of`): where two supports have none in common, nothing is; `negation` is the node's negation if there is one
    already; `handle` is the solver's own."""

    __slots__ = ("args", "data", "handle", "index", "negation", "op", "support", "uid", "width")

    def __init__(self, op: str, args: tuple[Any, ...], width: int, index: int, data: Any, uid: int) -> None:
        self.op = op
        self.args = args
        self.width = width
        self.index = index
        self.data = data
        self.uid = uid
        self.support = _support(op, args, data)
        self.negation: Term | None = None
        self.handle: Any = None

    @property
    def name(self) -> str:
        """Of a symbol, an array or an application; empty for others."""
        match self.op:
            case "symbol" | "array":
                return str(self.data)
            case "apply":
                return str(self.data.name)
        return ""

    def __repr__(self) -> str:
        if self.op in ("symbol", "array"):
            return str(self.data)
        head = self.data.name if self.op == "apply" else self.op
        extra = f"[{self.data[0]}:{self.data[1]}]" if self.op == "extract" else ""
        return f"{head}{extra}({', '.join(map(repr, self.args))})"


def _support(op: str, args: tuple[Any, ...], data: Any) -> int:
    """The union of the arguments' supports, and the name's bit of what has one."""
    match op:
        case "symbol" | "array":
            return bit_of(data)
        case "forall":
            return EVERYTHING
        case "apply":
            support = bit_of(data.name)
        case _:
            support = 0
    for a in args:
        if isinstance(a, Term):
            support |= a.support
    return support


# -- constants ---------------------------------------------------------------------------------------------------------


def mask(width: int) -> int:
    """All ones."""
    return (1 << width) - 1


def signed(value: int, width: int) -> int:
    """The value as a two's complement number."""
    return value - (1 << width) if value >> (width - 1) else value


FOLDED = ("add", "sub", "mul", "udiv", "urem", "sdiv", "srem", "bvand", "bvor", "bvxor", "shl", "lshr", "ashr")
"""The operators of `fold`."""


def fold(op: str, a: int, b: int, width: int) -> int:
    """A bit-vector operator on constants, with SMT-LIB's meaning of division by zero and of long shifts."""
    m = mask(width)
    match op:
        case "add":
            return (a + b) & m
        case "sub":
            return (a - b) & m
        case "mul":
            return (a * b) & m
        case "udiv":
            return a // b if b else m
        case "urem":
            return a % b if b else a
        case "sdiv":
            x, y = signed(a, width), signed(b, width)
            if not y:
                return 1 if x < 0 else m
            return (abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)) & m
        case "srem":
            x, y = signed(a, width), signed(b, width)
            return (abs(x) % abs(y) * (-1 if x < 0 else 1)) & m if y else a
        case "bvand":
            return a & b
        case "bvor":
            return a | b
        case "bvxor":
            return a ^ b
        case "shl":
            return (a << b) & m if b < width else 0
        case "lshr":
            return a >> b if b < width else 0
        case "ashr":
            return (signed(a, width) >> min(b, width)) & m
    raise ValueError(op)


# -- walking -----------------------------------------------------------------------------------------------------------


def nodes(term: Bits) -> Iterator[Term]:
    """The nodes of a term, each once, in order of first appearance."""
    seen: set[Term] = set()
    stack = [term]
    while stack:
        t = stack.pop()
        if isinstance(t, Term) and t not in seen:
            seen.add(t)
            yield t
            stack.extend(reversed(t.args))


def size(term: Bits, limit: int) -> int:
    """The number of nodes of a term, counted as far as `limit`."""
    count = 0
    for _ in nodes(term):
        count += 1
        if count > limit:
            break
    return count


def written(term: Bits, limit: int) -> int:
    """The number of nodes of a term when it is written out, shared ones as often as they occur, counted as far as
    `limit`."""
    count, stack = 0, [term]
    while stack and count <= limit:
        count += 1
        t = stack.pop()
        if isinstance(t, Term):
            stack.extend(t.args)
    return count


def symbols(term: Bits) -> list[Term]:
    """The symbols in a term that are no arrays, in order of first appearance."""
    return [t for t in nodes(term) if t.op == "symbol"]


def conjuncts(formula: Bool) -> Iterator[Bool]:
    """The parts of a conjunction; a negated disjunction is not opened."""
    stack = [formula]
    while stack:
        t = stack.pop()
        if isinstance(t, Term) and t.op == "and":
            stack.extend(reversed(t.args))
        else:
            yield t


def conditional(term: Bits) -> Term | None:
    """The condition of some innermost conditional in a term."""
    found: Any = None
    for t in nodes(term):
        if t.op == "ite":
            found = t.args[0]
    return found  # type: ignore[no-any-return]


def offset(index: Bits) -> tuple[Any, int]:
    """An index as (base, constant): the sum of both.  Leading parts of a concatenation belong to the base."""
    if isinstance(index, int):
        return None, index
    if index.op == "add" and isinstance(index.args[1], int):
        return index.args[0], index.args[1]
    if index.op == "concat":
        base, constant = offset(index.args[-1])
        return (index.args[:-1], index.data[-1], base), constant
    return index, 0


def apart(a: Bits, b: Bits) -> bool | None:
    """Do two indices of one width differ whatever their symbols are?  None if that is not plain to see."""
    if a is b:
        return False
    if isinstance(a, int) and isinstance(b, int):
        return a != b
    one, two = offset(a), offset(b)
    if one[0] == two[0]:
        return one[1] != two[1]
    return None
