"""Random terms, made twice: by the builder, which rewrites, and as z3 terms, which say what they mean."""

from __future__ import annotations

from typing import Any

import z3
from hypothesis import strategies as st

from analyzer.symbolic.builder import Builder

WIDTHS = (1, 3, 8)
INDEX = 3
"""Width of the indices of all arrays."""

_Z3 = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "udiv": z3.UDiv,
    "urem": z3.URem,
    "sdiv": lambda a, b: a / b,
    "srem": z3.SRem,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "lshr": z3.LShR,
    "ashr": lambda a, b: a >> b,
    "ult": z3.ULT,
    "ule": z3.ULE,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
}
BINARY = ("add", "sub", "mul", "udiv", "urem", "sdiv", "srem", "and", "or", "xor", "shl", "lshr", "ashr")
COMPARE = ("ult", "ule", "slt", "sle")

Twin = tuple[Any, Any]
"""One meaning: what the builder made of it, and a z3 term."""


class Maker:
    """Draws terms, in the operators that the executor uses."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.builder = Builder()

    def pick(self, *choices: Any) -> Any:
        return self.data.draw(st.sampled_from(choices))

    def bits(self, width: int, depth: int) -> Twin:
        """A bit vector."""
        b = self.builder
        kinds = ["constant", "symbol"]
        if depth:
            kinds += ["binary", "binary", "neg", "invert", "extract", "ite", "ite", "select", "apply", "to_bits"]
            kinds += ["concat", "extend"] if width > 1 else []
        match self.pick(*kinds):
            case "constant":
                value = self.data.draw(st.integers(0, (1 << width) - 1))
                return value, z3.BitVecVal(value, width)
            case "symbol":
                name = f"{self.pick('x', 'y')}{width}"
                return b.symbol(name, width), z3.BitVec(name, width)
            case "binary":
                op, (a, za), (c, zc) = self.pick(*BINARY), self.bits(width, depth - 1), self.bits(width, depth - 1)
                return b.op(op, a, c, width), _Z3[op](za, zc)
            case "neg":
                a, za = self.bits(width, depth - 1)
                return b.neg(a, width), -za
            case "invert":
                a, za = self.bits(width, depth - 1)
                return b.invert(a, width), ~za
            case "extract":
                wide = width + self.pick(0, 2, 5)
                a, za = self.bits(wide, depth - 1)
                lo = self.data.draw(st.integers(0, wide - width))
                return b.extract(a, lo + width - 1, lo, wide), z3.Extract(lo + width - 1, lo, za)
            case "concat":
                low = self.data.draw(st.integers(1, width - 1))
                (a, za), (c, zc) = self.bits(width - low, depth - 1), self.bits(low, depth - 1)
                return b.concat(a, width - low, c, low), z3.Concat(za, zc)
            case "extend":
                small, sign = self.data.draw(st.integers(1, width)), self.pick(True, False)
                a, za = self.bits(small, depth - 1)
                wider = z3.SignExt if sign else z3.ZeroExt
                return b.extend(a, small, width, sign), wider(width - small, za)
            case "ite":
                cond, zcond = self.truth(depth - 1)
                (a, za), (c, zc) = self.bits(width, depth - 1), self.bits(width, depth - 1)
                return b.ite(cond, a, c, width), z3.If(zcond, za, zc)
            case "select":
                (array, zarray), (i, zi) = self.array(width, depth - 1), self.bits(INDEX, depth - 1)
                return b.select(array, i, INDEX), z3.Select(zarray, zi)
            case "apply":
                a, za = self.bits(3, depth - 1)
                f = z3.Function(f"f{width}", z3.BitVecSort(3), z3.BitVecSort(width))
                return b.apply(b.function(f"f{width}", (3,), width), (a,)), f(za)
            case "to_bits":
                cond, zcond = self.truth(depth - 1)
                value, zvalue = b.to_bits(cond), z3.If(zcond, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))
                return b.extend(value, 1, width, False), z3.ZeroExt(width - 1, zvalue)
        raise AssertionError

    def truth(self, depth: int) -> Twin:
        """A boolean."""
        b = self.builder
        kinds = ["constant", "eq"]
        if depth:
            kinds += ["eq", "compare", "and", "or", "not", "xor", "ite", "same", "to_bool", "test"]
        match self.pick(*kinds):
            case "constant":
                value = self.pick(True, False)
                return value, z3.BoolVal(value)
            case "eq":
                width = self.pick(*WIDTHS)
                (a, za), (c, zc) = (self.bits(width, max(depth - 1, 0)) for _ in range(2))
                return b.eq(a, c, width), za == zc
            case "test":
                (a, za), value = self.bits(8, depth - 1), self.data.draw(st.integers(0, 255))
                return b.eq(value, a, 8), za == value
            case "compare":
                op, width = self.pick(*COMPARE), self.pick(*WIDTHS)
                (a, za), (c, zc) = (self.bits(width, depth - 1) for _ in range(2))
                return b.compare(op, a, c, width), _Z3[op](za, zc)
            case "and" | "or" as op:
                parts = [self.truth(depth - 1) for _ in range(self.pick(2, 3))]
                make, zmake = (b.and_, z3.And) if op == "and" else (b.or_, z3.Or)
                return make(*(p for p, _ in parts)), zmake(*(z for _, z in parts))
            case "not":
                a, za = self.truth(depth - 1)
                return b.not_(a), z3.Not(za)
            case "xor":
                (a, za), (c, zc) = self.truth(depth - 1), self.truth(depth - 1)
                return b.xor(a, c), z3.Xor(za, zc)
            case "ite":
                (a, za), (c, zc), (d, zd) = (self.truth(depth - 1) for _ in range(3))
                return b.ite(a, c, d, 0), z3.If(za, zc, zd)
            case "same":
                (a, za), (c, zc) = self.array(8, depth - 1), self.array(8, depth - 1)
                return b.same(a, c), za == zc
            case "to_bool":
                a, za = self.bits(1, depth - 1)
                return b.to_bool(a), za == 1
        raise AssertionError

    def array(self, width: int, depth: int) -> Twin:
        """An array."""
        b = self.builder
        match self.pick("symbol", *(("store", "store", "ite", "fill", "flip") if depth else ())):
            case "symbol":
                name = f"{self.pick('a', 'b')}{width}"
                sorts = z3.BitVecSort(INDEX), z3.BitVecSort(width)
                return b.array(name, INDEX, width), z3.Array(name, *sorts)
            case "store":
                (array, zarray), (i, zi) = self.array(width, depth - 1), self.bits(INDEX, depth - 1)
                v, zv = self.bits(width, depth - 1)
                return b.store(array, i, v, INDEX, width), z3.Store(zarray, zi, zv)
            case "ite":
                cond, zcond = self.truth(depth - 1)
                (a, za), (c, zc) = self.array(width, depth - 1), self.array(width, depth - 1)
                return b.ite_array(cond, a, c), z3.If(zcond, za, zc)
            case "fill":
                v, zv = self.bits(width, depth - 1)
                return b.fill(v, INDEX, width), z3.K(z3.BitVecSort(INDEX), zv)
            case "flip":
                array, zarray = self.array(width, depth - 1)
                entry = z3.BitVec("entry", width)
                return b.flip(array), z3.Map((~entry).decl(), zarray)
        raise AssertionError
