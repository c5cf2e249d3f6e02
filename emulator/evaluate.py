"""Expressions, made runnable: each becomes a Python function of an environment and the locals.

A bit vector is an `int` between 0 and 2**width - 1, a boolean a `bool`.  The functions are pure: they read the
environment and write nothing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from analyzer import ir

Locals = dict[str, int]
UnknownPolicy = Callable[[int, int], int]
"""From a site and a width to the value that an UNKNOWN has there."""
ArbitraryPolicy = Callable[[str, tuple[int, ...], int], int]
"""From the name, arguments and width of an unspecified function to its value: the same for the same arguments."""


def zeros(site: int, width: int) -> int:
    """Every UNKNOWN value is 0."""
    return 0


def randomly(seed: int) -> UnknownPolicy:
    """UNKNOWN values from a generator that starts at `seed`."""
    generator = random.Random(seed)
    return lambda site, width: generator.getrandbits(width)


def scripted(values: Mapping[int, int | Sequence[int]]) -> UnknownPolicy:
    """UNKNOWN values by site; a sequence gives them in order of use, and its last one from then on.  Others are 0."""
    uses: dict[int, int] = {}

    def value(site: int, width: int) -> int:
        given = values.get(site, 0)
        if not isinstance(given, int):
            use = uses.get(site, 0)
            uses[site] = use + 1
            given = given[min(use, len(given) - 1)] if given else 0
        return given & ((1 << width) - 1)

    return value


def hashed(name: str, args: tuple[int, ...], width: int) -> int:
    """An unspecified function as a hash of its name and arguments, the same in every process.

    >>> hashed("device", (1,), 8) == hashed("device", (1,), 8)
    True
    """
    text = ",".join([name, *(str(int(a)) for a in args)]).encode()
    value, salt = 0, 0
    for salt in range((width + 511) // 512 or 1):
        value = value << 512 | int.from_bytes(hashlib.blake2b(text, salt=salt.to_bytes(8, "big")).digest(), "big")
    return value & ((1 << width) - 1) if width else value & 1


class Environment:
    """What an expression reads besides its locals; the containers are shared with the machine's state."""

    __slots__ = ("arbitrary", "choices", "elements", "files", "operands", "unknown")

    def __init__(
        self,
        elements: dict[str, int],
        files: dict[str, list[int]],
        choices: Mapping[str, int],
        operands: Mapping[str, int],
        unknown: UnknownPolicy = zeros,
        arbitrary: ArbitraryPolicy = hashed,
    ) -> None:
        self.elements = elements
        self.files = files
        self.choices = choices
        self.operands = operands
        self.unknown = unknown
        self.arbitrary = arbitrary


Value = Callable[[Environment, Locals], int]


def constant_operands(operands: Mapping[str, int]) -> Environment:
    """An environment for expressions over operands alone (assembly text)."""
    return Environment({}, {}, {}, operands)


def signed(value: int, width: int) -> int:
    """`value` as a two's complement number of `width` bits.

    >>> signed(0xFF, 8)
    -1
    """
    return value - (1 << width) if value >> (width - 1) else value


_made: dict[int, tuple[ir.Expr, ir.Isa, Value]] = {}
MADE = 50_000
"""How many functions `made` keeps."""


def made(expr: ir.Expr, isa: ir.Isa) -> Value:
    """The function that computes an expression of an Isa, kept for the next time."""
    known = _made.get(id(expr))
    if known is not None and known[0] is expr and known[1] is isa:
        return known[2]
    if len(_made) >= MADE:
        _made.clear()
    value = value_of(expr, isa)
    _made[id(expr)] = (expr, isa, value)
    return value


def value_of(expr: ir.Expr, isa: ir.Isa) -> Value:
    """The function that computes `expr`."""
    match expr:
        case ir.Const() | ir.BoolConst():
            constant = expr.value
            return lambda e, v: constant
        case ir.Local():
            name = expr.name
            return lambda e, v: v[name]
        case ir.Operand():
            name = expr.name
            return lambda e, v: e.operands[name]
        case ir.Get():
            name = expr.element
            if name in isa.choices:
                return lambda e, v: e.choices[name]
            return lambda e, v: e.elements[name]
        case ir.GetEntry():
            name, size, index = expr.file, isa.files[expr.file].size, value_of(expr.index, isa)

            def entry(e: Environment, v: Locals) -> int:
                i = index(e, v)
                return e.files[name][i] if i < size else 0

            return entry
        case ir.Unary():
            return _unary(expr.op, value_of(expr.arg, isa), ir.width(expr.arg))
        case ir.Binary():
            return _binary(expr.op, value_of(expr.left, isa), value_of(expr.right, isa), ir.width(expr.left))
        case ir.Compare():
            return _compare(expr.op, value_of(expr.left, isa), value_of(expr.right, isa), ir.width(expr.left))
        case ir.Not():
            arg = value_of(expr.arg, isa)
            return lambda e, v: not arg(e, v)
        case ir.Logic():
            return _logic(expr.op, value_of(expr.left, isa), value_of(expr.right, isa))
        case ir.If():
            return _if(expr, isa)
        case ir.Extract():
            arg, lo, mask = value_of(expr.arg, isa), expr.lo, (1 << (expr.hi - expr.lo + 1)) - 1
            return lambda e, v: arg(e, v) >> lo & mask
        case ir.Concat():
            left, right, shift = value_of(expr.left, isa), value_of(expr.right, isa), ir.width(expr.right)
            return lambda e, v: left(e, v) << shift | right(e, v)
        case ir.Extend():
            arg = value_of(expr.arg, isa)
            if not expr.signed:
                return arg
            sign, mask = 1 << (ir.width(expr.arg) - 1), (1 << expr.width) - 1
            return lambda e, v: ((arg(e, v) ^ sign) - sign) & mask
        case ir.ToBool():
            arg = value_of(expr.arg, isa)
            return lambda e, v: arg(e, v) == 1
        case ir.ToBits():
            arg = value_of(expr.arg, isa)
            return lambda e, v: int(arg(e, v))
        case ir.Lookup():
            values, index = isa.tables[expr.table].values, value_of(expr.index, isa)

            def lookup(e: Environment, v: Locals) -> int:
                i = index(e, v)
                return values[i] if i < len(values) else 0

            return lookup
        case ir.Unknown():
            site, width = expr.site, expr.width
            return lambda e, v: e.unknown(site, width)
        case ir.Arbitrary():
            name, width, args = expr.name, expr.width, tuple(value_of(a, isa) for a in expr.args)
            if width == ir.BOOL:
                return lambda e, v: bool(e.arbitrary(name, tuple(a(e, v) for a in args), width))
            return lambda e, v: e.arbitrary(name, tuple(a(e, v) for a in args), width)
        case _:
            assert_never(expr)


def _if(expr: ir.If, isa: ir.Isa) -> Value:
    """A chain `if … else if …` becomes one loop: chains are as long as the dispatch spaces they come from."""
    arms: list[tuple[Value, Value]] = []
    rest: ir.Expr = expr
    while isinstance(rest, ir.If):
        arms.append((value_of(rest.cond, isa), value_of(rest.then, isa)))
        rest = rest.other
    otherwise = value_of(rest, isa)
    if len(arms) == 1:
        ((cond, then),) = arms
        return lambda e, v: then(e, v) if cond(e, v) else otherwise(e, v)

    def chain(e: Environment, v: Locals) -> int:
        for cond, then in arms:
            if cond(e, v):
                return then(e, v)
        return otherwise(e, v)

    return chain


def _unary(op: ir.UnaryOp, arg: Value, width: int) -> Value:
    mask = (1 << width) - 1
    match op:
        case "neg":
            return lambda e, v: -arg(e, v) & mask
        case "not":
            return lambda e, v: arg(e, v) ^ mask
        case _:
            assert_never(op)


def _binary(op: ir.BinaryOp, left: Value, right: Value, width: int) -> Value:
    mask = (1 << width) - 1
    match op:
        case "add":
            return lambda e, v: (left(e, v) + right(e, v)) & mask
        case "sub":
            return lambda e, v: (left(e, v) - right(e, v)) & mask
        case "mul":
            return lambda e, v: (left(e, v) * right(e, v)) & mask
        case "udiv":
            return lambda e, v: left(e, v) // d if (d := right(e, v)) else mask
        case "urem":
            return lambda e, v: left(e, v) % d if (d := right(e, v)) else left(e, v)
        case "sdiv":
            return lambda e, v: _sdiv(signed(left(e, v), width), signed(right(e, v), width)) & mask
        case "srem":
            return lambda e, v: _srem(signed(left(e, v), width), signed(right(e, v), width)) & mask
        case "and":
            return lambda e, v: left(e, v) & right(e, v)
        case "or":
            return lambda e, v: left(e, v) | right(e, v)
        case "xor":
            return lambda e, v: left(e, v) ^ right(e, v)
        case "shl":
            return lambda e, v: left(e, v) << n & mask if (n := right(e, v)) < width else 0
        case "lshr":
            return lambda e, v: left(e, v) >> right(e, v)
        case "ashr":
            return lambda e, v: signed(left(e, v), width) >> right(e, v) & mask
        case _:
            assert_never(op)


def _sdiv(a: int, b: int) -> int:
    """Towards zero; by zero it is -1 for a number that is not negative, else 1 (SMT-LIB)."""
    if b == 0:
        return 1 if a < 0 else -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _srem(a: int, b: int) -> int:
    """With the sign of the dividend; by zero it is the dividend (SMT-LIB)."""
    if b == 0:
        return a
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def _compare(op: ir.CompareOp, left: Value, right: Value, width: int) -> Value:
    match op:
        case "eq":
            return lambda e, v: left(e, v) == right(e, v)
        case "ult":
            return lambda e, v: left(e, v) < right(e, v)
        case "ule":
            return lambda e, v: left(e, v) <= right(e, v)
        case "slt":
            return lambda e, v: signed(left(e, v), width) < signed(right(e, v), width)
        case "sle":
            return lambda e, v: signed(left(e, v), width) <= signed(right(e, v), width)
        case _:
            assert_never(op)


def _logic(op: ir.BoolOp, left: Value, right: Value) -> Value:
    match op:
        case "and":
            return lambda e, v: left(e, v) and right(e, v)
        case "or":
            return lambda e, v: left(e, v) or right(e, v)
        case "xor":
            return lambda e, v: left(e, v) != right(e, v)
        case _:
            assert_never(op)
