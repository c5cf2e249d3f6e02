"""Conditions over a few bits, as truth tables: whether some values of the bits make all of them true.

A table is a number of 2**n bits; bit k is what holds when the n variables are the digits of k.  An expression of width
w is w tables, the least significant bit first, and a condition is one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from msgspec import Struct

from analyzer import ir

MOST = 16
"""Variables of a table."""

Source = Callable[[str, int], Hashable | bool]
"""What an operand's or an element's bit is: a variable by some name, or a constant."""


class Unclear(Exception):
    """This cannot be said with tables: there are too many variables, or state that is more than some bits."""


class Tables(Struct, frozen=True):
    """Tables over some variables, in the order of their digits."""

    variables: Sequence[Hashable]
    source: Source

    @property
    def always(self) -> int:
        return (1 << (1 << len(self.variables))) - 1

    def variable(self, number: int) -> int:
        """The table of a variable: as many zeros as ones, in turn."""
        run = 1 << number
        return self.always // ((1 << 2 * run) - 1) * ((1 << run) - 1) << run

    def named(self, name: str, width: int) -> list[int]:
        """The bits of an operand or an element."""
        tables = []
        for bit in range(width):
            found = self.source(name, bit)
            if isinstance(found, bool):
                tables.append(self.always if found else 0)
            else:
                tables.append(self.variable(self.variables.index(found)))
        return tables

    def bits(self, expr: ir.Expr) -> list[int]:
        """The tables of an expression."""
        match expr:
            case ir.Const(width, value):
                return [self.always if value >> i & 1 else 0 for i in range(width)]
            case ir.BoolConst(value):
                return [self.always if value else 0]
            case ir.Operand(name, width) | ir.Get(name, width):
                return self.named(name, width)
            case ir.Extract(arg, hi, lo):
                return self.bits(arg)[lo : hi + 1]
            case ir.Concat(left, right):
                return [*self.bits(right), *self.bits(left)]
            case ir.Extend(signed, arg, width):
                bits = self.bits(arg)
                return [*bits, *[bits[-1] if signed else 0] * (width - len(bits))]
            case ir.ToBool(arg) | ir.ToBits(arg):
                return self.bits(arg)
            case ir.Not(arg) | ir.Unary("not", arg):
                return [self.always ^ bit for bit in self.bits(arg)]
            case ir.Logic(op, left, right) | ir.Binary("and" | "or" | "xor" as op, left, right):
                return [combined(op, a, b) for a, b in zip(self.bits(left), self.bits(right), strict=True)]
            case ir.If(cond, then, other):
                (test,) = self.bits(cond)
                sides = zip(self.bits(then), self.bits(other), strict=True)
                return [test & a | (self.always ^ test) & b for a, b in sides]
            case ir.Compare(op, left, right):
                return [self.compared(op, self.bits(left), self.bits(right))]
            case _:
                raise Unclear

    def compared(self, op: ir.CompareOp, left: Sequence[int], right: Sequence[int]) -> int:
        """Two numbers, from their least significant digit up."""
        same, less = self.always, 0
        for place, (a, b) in enumerate(zip(left, right, strict=True)):
            signed = op in ("slt", "sle") and place == len(left) - 1
            differ = a ^ b
            below = a & differ if signed else b & differ
            same, less = same & ~differ, below | less & ~differ
        return same if op == "eq" else less if op in ("ult", "slt") else less | same


def combined(op: str, a: int, b: int) -> int:
    return a & b if op == "and" else a | b if op == "or" else a ^ b


def together(conds: Iterable[tuple[ir.Expr, Source]]) -> dict[Hashable, bool] | None:
    """Values of the variables that make all conditions true, each read with its own source; None if there are none.

    Raises:
        Unclear: it cannot be said.
    """
    conds = list(conds)
    variables: dict[Hashable, None] = {}
    for cond, source in conds:
        for part in ir.subterms(cond):
            match part:
                case ir.Operand(name, width) | ir.Get(name, width):
                    found = [source(name, bit) for bit in range(width)]
                    variables.update(dict.fromkeys(v for v in found if not isinstance(v, bool)))
                case _:
                    pass
    if len(variables) > MOST:
        raise Unclear
    order = list(variables)
    holds = -1
    for cond, source in conds:
        holds &= Tables(order, source).bits(cond)[0]
    if not holds:
        return None
    example = (holds & -holds).bit_length() - 1
    return {variable: bool(example >> i & 1) for i, variable in enumerate(order)}
