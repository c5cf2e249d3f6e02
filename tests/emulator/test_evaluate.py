"""Expressions: the operators against their definition in SMT-LIB, spelled out on small widths."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from toy import toy

from analyzer import ir
from emulator.evaluate import constant_operands, hashed, randomly, scripted, signed, value_of

ISA = toy()
W = 4
ALL = range(1 << W)


def sdiv(a: int, b: int) -> int:
    """By its definition over `udiv` and `neg`."""

    def udiv(x: int, y: int) -> int:
        return x // y if y else 15

    def neg(x: int) -> int:
        return -x & 15

    match a >> 3, b >> 3:
        case 0, 0:
            return udiv(a, b)
        case 1, 0:
            return neg(udiv(neg(a), b))
        case 0, _:
            return neg(udiv(a, neg(b)))
        case _:
            return udiv(neg(a), neg(b))


def srem(a: int, b: int) -> int:
    x, y = (-a & 15 if a >> 3 else a), (-b & 15 if b >> 3 else b)
    rest = x % y if y else x
    return -rest & 15 if a >> 3 else rest


BINARY: dict[ir.BinaryOp, Callable[[int, int], int]] = {
    "add": lambda a, b: (a + b) & 15,
    "sub": lambda a, b: (a - b) & 15,
    "mul": lambda a, b: (a * b) & 15,
    "udiv": lambda a, b: a // b if b else 15,
    "urem": lambda a, b: a % b if b else a,
    "sdiv": sdiv,
    "srem": srem,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: (a << b) & 15 if b < 4 else 0,
    "lshr": lambda a, b: a >> b if b < 4 else 0,
    "ashr": lambda a, b: (signed(a, 4) >> b) & 15 if b < 4 else (15 if a >> 3 else 0),
}
COMPARE: dict[ir.CompareOp, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ult": lambda a, b: a < b,
    "ule": lambda a, b: a <= b,
    "slt": lambda a, b: (a ^ 8) < (b ^ 8),
    "sle": lambda a, b: (a ^ 8) <= (b ^ 8),
}


def run(expr: ir.Expr) -> int:
    return value_of(expr, ISA)(constant_operands({"k": 5}), {"x": 9})


def test_every_operator_is_here() -> None:
    assert set(BINARY) == set(get_args(ir.BinaryOp))
    assert set(COMPARE) == set(get_args(ir.CompareOp))


@pytest.mark.parametrize("op", BINARY)
def test_binary(op: ir.BinaryOp) -> None:
    for a in ALL:
        for b in ALL:
            assert run(ir.Binary(op, ir.Const(W, a), ir.Const(W, b))) == BINARY[op](a, b), (a, b)


@pytest.mark.parametrize("op", COMPARE)
def test_compare(op: ir.CompareOp) -> None:
    for a in ALL:
        for b in ALL:
            assert run(ir.Compare(op, ir.Const(W, a), ir.Const(W, b))) is COMPARE[op](a, b), (a, b)


def test_shifts_by_huge_counts() -> None:
    huge = ir.Const(128, (1 << 128) - 1)
    assert run(ir.Binary("shl", huge, huge)) == 0
    assert run(ir.Binary("lshr", huge, huge)) == 0
    assert run(ir.Binary("ashr", huge, huge)) == huge.value


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        (ir.Unary("neg", ir.Const(4, 1)), 15),
        (ir.Unary("not", ir.Const(4, 5)), 10),
        (ir.Extract(ir.Const(8, 0xA5), 7, 4), 0xA),
        (ir.Concat(ir.Const(4, 0xA), ir.Const(8, 5)), 0xA05),
        (ir.Extend(True, ir.Const(4, 8), 8), 0xF8),
        (ir.Extend(False, ir.Const(4, 8), 8), 8),
        (ir.ToBool(ir.Const(1, 1)), True),
        (ir.ToBits(ir.BoolConst(True)), 1),
        (ir.Not(ir.TRUE), False),
        (ir.Logic("xor", ir.TRUE, ir.FALSE), True),
        (ir.If(ir.FALSE, ir.Const(4, 1), ir.If(ir.TRUE, ir.Const(4, 2), ir.Const(4, 3))), 2),
        (ir.Operand("k", 8), 5),
        (ir.Local("x", 8), 9),
    ],
)
def test_the_rest(expr: ir.Expr, value: int) -> None:
    result = run(expr)
    assert result == value
    assert isinstance(result, bool) == (ir.width(expr) == ir.BOOL)


def test_long_chains_do_not_recurse() -> None:
    expr: ir.Expr = ir.Const(16, 0)
    for i in range(5000):
        expr = ir.If(ir.Compare("eq", ir.Local("x", 16), ir.Const(16, i)), ir.Const(16, i), expr)
    assert value_of(expr, ISA)(constant_operands({}), {"x": 4321}) == 4321


def test_policies() -> None:
    assert randomly(5)(0, 64) == randomly(5)(1, 64)
    script = scripted({1: 0x1FF, 2: [3, 4]})
    assert [script(1, 8), script(2, 8), script(2, 8), script(2, 8), script(9, 8)] == [0xFF, 3, 4, 4, 0]
    assert hashed("f", (1, 2), 16) == hashed("f", (1, 2), 16) != hashed("f", (2, 1), 16)
    assert hashed("f", (1,), 2000).bit_length() > 1900
