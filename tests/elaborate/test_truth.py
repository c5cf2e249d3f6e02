"""Truth tables agree with the reference's evaluator on every value of the bits."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import ir
from analyzer.syntax import truth
from analyzer.syntax.load import load
from emulator.evaluate import Environment, value_of

ISA = load("pg1974")
WIDTHS = {"a": 3, "b": 3}


def exprs(width: int, depth: int) -> st.SearchStrategy[ir.Expr]:
    """Expressions of a width (0: conditions) over the operands a and b."""
    if width == 0:
        leaves: st.SearchStrategy[ir.Expr] = st.sampled_from([ir.TRUE, ir.FALSE])
        if depth == 0:
            return leaves
        sides = st.integers(1, 3).flatmap(lambda w: st.tuples(exprs(w, depth - 1), exprs(w, depth - 1)))
        compares = st.builds(
            lambda op, pair: ir.Compare(op, *pair), st.sampled_from(["eq", "ult", "ule", "slt", "sle"]), sides
        )
        logic = st.builds(ir.Logic, st.sampled_from(["and", "or", "xor"]), exprs(0, depth - 1), exprs(0, depth - 1))
        return st.one_of(compares, logic, exprs(0, depth - 1).map(ir.Not), exprs(1, depth - 1).map(ir.ToBool))
    leaves = st.integers(0, (1 << width) - 1).map(lambda v: ir.Const(width, v))
    if width == 3:
        leaves = st.one_of(leaves, st.sampled_from([ir.Operand(name, 3) for name in WIDTHS]))
    if depth == 0:
        return leaves
    ways = [
        leaves,
        st.builds(lambda e, lo: ir.Extract(e, lo + width - 1, lo), exprs(3, depth - 1), st.integers(0, 3 - width)),
        st.builds(ir.If, exprs(0, depth - 1), exprs(width, depth - 1), exprs(width, depth - 1)),
        exprs(width, depth - 1).map(lambda e: ir.Unary("not", e)),
        st.builds(ir.Binary, st.sampled_from(["and", "or", "xor"]), exprs(width, depth - 1), exprs(width, depth - 1)),
    ]
    if width > 1:
        ways.append(st.builds(ir.Concat, exprs(1, depth - 1), exprs(width - 1, depth - 1)))
        ways.append(st.builds(lambda s, e: ir.Extend(s, e, width), st.booleans(), exprs(width - 1, depth - 1)))
    else:
        ways.append(exprs(0, depth - 1).map(ir.ToBits))
    return st.one_of(ways)


def holds(cond: ir.Expr, a: int, b: int) -> bool:
    return bool(value_of(cond, ISA)(Environment({}, {}, {}, {"a": a, "b": b}), {}))


@given(exprs(0, 3))
def test_agrees_with_the_evaluator(cond: ir.Expr) -> None:
    values = truth.together([(cond, lambda name, bit: (name, bit))])
    if values is None:
        assert not any(holds(cond, a, b) for a, b in product(range(8), repeat=2))
    else:
        a, b = (sum(values.get((name, i), False) << i for i in range(3)) for name in WIDTHS)
        assert holds(cond, a, b)


def test_a_bit_may_be_known() -> None:
    cond = ir.Compare("eq", ir.Operand("a", 2), ir.Const(2, 2))
    assert truth.together([(cond, lambda name, bit: bit == 1)]) == {}
    assert truth.together([(cond, lambda name, bit: bit == 0)]) is None


def test_many_variables_are_unclear() -> None:
    wide = ir.Compare("eq", ir.Operand("a", 17), ir.Const(17, 0))
    with pytest.raises(truth.Unclear):
        truth.together([(wide, lambda name, bit: (name, bit))])
    assert truth.together([(wide, lambda name, bit: (name, bit) if bit else True)]) is None
