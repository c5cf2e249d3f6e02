"""Expressions as LLVM values.

A value is a Python integer where it is known, and the name of an LLVM value otherwise; known parts are computed here,
so that what depends on the encoding only leaves no code.  A bit vector of n bits has the type `in`, a boolean `i1`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, get_args

from analyzer import ir

Value = int | str


class Unsupported(Exception):
    """This cannot be generated; the reference executes it instead."""


def ones(width: int) -> int:
    return (1 << (width or 1)) - 1


def signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


TARGET = re.compile(r"label %([\w.]+)")


class Text:
    """The text of one function, as it grows: lines, fresh names, and the block that the last line is in.

    Pure values are shared: a block knows those that all of its predecessors so far know, and these dominate it.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.lines: list[str] = []
        self.block = "entry"
        self._fresh = 0
        self.known: dict[str, str] = {}
        self._codes: dict[object, str] = {}
        self._edges: dict[str, dict[str, str]] = {}
        self.away: set[str] = set()
        """Labels that are begun by others: what is known there is not asked."""

    def fresh(self, stem: str = "v") -> str:
        self._fresh += 1
        return f"{self.prefix}{stem}{self._fresh}"

    def let(self, code: str) -> str:
        """A new value; not shared."""
        name = "%" + self.fresh()
        self.lines.append(f"  {name} = {code}")
        return name

    def pure(self, code: str) -> str:
        """A value without effects: the same code in the same place gives the same value."""
        known = self.known.get(code)
        if known is None:
            known = self.known[code] = self.let(code)
            self._codes[known] = code
        return known

    def known_code(self, value: object) -> str | None:
        """The code of a shared value that is known here."""
        code = self._codes.get(value)
        return code if code is not None and self.known.get(code) == value else None

    def do(self, code: str) -> None:
        self.lines.append(f"  {code}")
        for target in TARGET.findall(code):
            if target in self.away:
                continue
            before = self._edges.get(target)
            if before is None:
                self._edges[target] = dict(self.known)
            else:
                self._edges[target] = {c: n for c, n in before.items() if self.known.get(c) == n}

    def label(self, name: str) -> None:
        """Begins a block."""
        self.lines.append(f"{name}:")
        self.block = name
        self.known = dict(self._edges.get(name, {}))


LARGE = 136
"""A width of divisions that LLVM expands in place."""

LIKELY = ", !prof !0"
UNLIKELY = ", !prof !1"
OF_STATE = ", !alias.scope !2, !noalias !3"
OF_RAM = ", !alias.scope !3, !noalias !2"
"""Of accesses of regions: the registers in the state and the RAM of the guest are nowhere the same memory."""
SCOPES = "!2 = !{!4}\n!3 = !{!5}\n!4 = !{!4, !6}\n!5 = !{!5, !6}\n!6 = !{!6}\n"
PROFILES = '!0 = !{!"branch_weights", i32 10000, i32 1}\n!1 = !{!"branch_weights", i32 1, i32 10000}\n'


def ty(width: int) -> str:
    """The LLVM type of a width; a boolean is an `i1`."""
    return f"i{width or 1}"


class Values(ABC):
    """Lowers expressions; state, operands and what is unspecified come from the heirs."""

    def __init__(self, isa: ir.Isa, text: Text) -> None:
        self.isa = isa
        self.text = text
        self.locals: dict[str, Value] = {}

    # -- what heirs give -----------------------------------------------------------------------------------------------

    @abstractmethod
    def operand(self, name: str, width: int) -> Value: ...

    @abstractmethod
    def get(self, element: str, width: int) -> Value: ...

    @abstractmethod
    def get_entry(self, file: ir.File, index: Value) -> Value: ...

    @abstractmethod
    def arbitrary(self, name: str, args: list[tuple[Value, int]], width: int) -> Value: ...

    @abstractmethod
    def lookup(self, table: ir.Table, index: Value) -> Value: ...

    # -- expressions ---------------------------------------------------------------------------------------------------

    def value(self, e: ir.Expr) -> Value:
        """The value of an expression at this place."""
        return _VALUE[type(e)](self, e)

    def _concat(self, e: ir.Concat) -> Value:
        low, w = ir.width(e.right), ir.width(e)
        high = self.binary("shl", self.extend(self.value(e.left), ir.width(e.left), w), low, w)
        return self.binary("or", high, self.extend(self.value(e.right), low, w), w)

    def _extended(self, e: ir.Extend) -> Value:
        a, w = self.value(e.arg), ir.width(e.arg)
        return self.sign_extend(a, w, e.width) if e.signed else self.extend(a, w, e.width)

    def _unary(self, e: ir.Unary) -> Value:
        w, a = ir.width(e), self.value(e.arg)
        return self.binary("sub", 0, a, w) if e.op == "neg" else self.binary("xor", a, ones(w), w)

    def _lookup(self, e: ir.Lookup) -> Value:
        table, index = self.isa.tables[e.table], self.value(e.index)
        if isinstance(index, int):
            return table.values[index] if index < len(table.values) else 0
        return self.lookup(table, index)

    def _logic(self, e: ir.Logic) -> Value:
        left = self.value(e.left)
        if isinstance(left, int) and e.op != "xor" and bool(left) == (e.op == "or"):
            return left
        if left == 1 - int(e.op == "or") and e.op != "xor":
            return self.value(e.right)
        if effectful(e.right):  # what stands on the right of `and` and `or` is called always; so in the reference not
            return self._lazily(left, e.right if e.op == "and" else ir.TRUE, e.right if e.op == "or" else ir.FALSE, 0)
        return self.binary(e.op, left, self.value(e.right), 1)

    def _if(self, e: ir.If) -> Value:
        cond = self.value(e.cond)
        if isinstance(cond, int):
            return self.value(e.then if cond else e.other)
        if effectful(e.then) or effectful(e.other):
            return self._lazily(cond, e.then, e.other, ir.width(e.then))
        then, other = self.value(e.then), self.value(e.other)
        return self.select(cond, then, other, ir.width(e.then))

    def _lazily(self, cond: Value, then: ir.Expr, other: ir.Expr, width: int) -> Value:
        """The arm that is not chosen is not evaluated."""
        if isinstance(cond, int):
            return self.value(then if cond else other)
        t, f, join = (self.text.fresh(stem) for stem in ("then", "else", "join"))
        self.text.do(f"br i1 {cond}, label %{t}, label %{f}")
        incoming = []
        for name, arm in ((t, then), (f, other)):
            self.text.label(name)
            value = self.value(arm)
            incoming.append((value, self.text.block))
            self.text.do(f"br label %{join}")
        self.text.label(join)
        return self.text.let(f"phi {ty(width)} " + ", ".join(f"[{v}, %{b}]" for v, b in incoming))

    # -- operators -----------------------------------------------------------------------------------------------------

    def select(self, cond: Value, then: Value, other: Value, width: int) -> Value:
        if isinstance(cond, int):
            return then if cond else other
        if then == other:
            return then
        if width <= 1 and then == 1 and other == 0:
            return cond
        return self.text.pure(f"select i1 {cond}, {ty(width)} {then}, {ty(width)} {other}")

    def extract(self, a: Value, width: int, hi: int, lo: int) -> Value:
        if isinstance(a, int):
            return a >> lo & ones(hi - lo + 1)
        if lo:
            a = self.text.pure(f"lshr {ty(width)} {a}, {lo}")
        new = hi - lo + 1
        return a if new == width else self.text.pure(f"trunc {ty(width)} {a} to {ty(new)}")

    def extend(self, a: Value, width: int, to: int) -> Value:
        if isinstance(a, int) or max(width, 1) == to:
            return a
        return self.text.pure(f"zext {ty(width)} {a} to {ty(to)}")

    def sign_extend(self, a: Value, width: int, to: int) -> Value:
        if isinstance(a, int):
            return signed(a, width) & ones(to)
        return a if width == to else self.text.pure(f"sext {ty(width)} {a} to {ty(to)}")

    def fit(self, a: Value, width: int, to: int) -> Value:
        """Cut or extended with zeros."""
        return self.extract(a, width, to - 1, 0) if to < width else self.extend(a, width, to)

    def compare(self, op: ir.CompareOp, a: Value, b: Value, width: int) -> Value:
        if isinstance(a, int) and isinstance(b, int):
            if op in ("slt", "sle"):
                a, b = signed(a, width), signed(b, width)
            return int(a == b if op == "eq" else a < b if op in ("ult", "slt") else a <= b)
        if a == b:
            return int(op in ("eq", "ule", "sle"))
        if width <= 1 and op == "eq":
            return self.binary("xor", self.binary("xor", a, b, 1), 1, 1)
        return self.text.pure(f"icmp {op} {ty(width)} {a}, {b}")

    def in_page(self, address: Value, tag: Value, k: int, units: int, aligned: bool) -> Value:
        """Whether an access of some units lies in the page of `2**k` units that a tag stands for.  The tag of an empty
        entry is all ones, which is no page: an address is never equal to it once its low bits are gone."""
        pages = ones(64) - ones(k)
        if aligned or units == 1:
            return self.compare("eq", self.binary("and", address, pages | units - 1, 64), tag, 64)
        whole = self.compare("ule", self.binary("and", address, ones(k), 64), (1 << k) - units, 64)
        return self.binary("and", whole, self.compare("eq", self.binary("and", address, pages, 64), tag, 64), 1)

    def binary(self, op: str, a: Value, b: Value, width: int) -> Value:
        """An operator of the IR, with the results of SMT-LIB where LLVM has none."""
        w = width or 1
        mask = ones(w)
        if isinstance(a, int) and isinstance(b, int):
            return known(op, a, b, w) & mask
        t = ty(w)
        match op:
            case "add" | "or" | "xor" if a == 0:
                return b
            case "add" | "sub" | "or" | "xor" | "shl" | "lshr" | "ashr" if b == 0:
                return a
            case "and" if a == mask:
                return b
            case "and" if b == mask:
                return a
            case "and" | "mul" if a == 0 or b == 0:
                return 0
            case "or" if a == mask or b == mask:
                return mask
            case "mul" if b == 1:
                return a
            case _:
                pass
        match op:
            case "add" | "sub" | "mul" | "and" | "or" | "xor":
                return self.text.pure(f"{op} {t} {a}, {b}")
            case "shl" | "lshr":
                if isinstance(b, int):
                    return 0 if b >= w else self.text.pure(f"{op} {t} {a}, {b}")
                if self.below(b, w):
                    return self.text.pure(f"{op} {t} {a}, {b}")
                within = self.text.pure(f"icmp ult {t} {b}, {w & mask}") if w <= mask else 1
                shift = self.select(within, b, 0, w)
                return self.select(within, self.text.pure(f"{op} {t} {a}, {shift}"), 0, w)
            case "ashr":
                if isinstance(b, int):
                    return self.text.pure(f"ashr {t} {a}, {min(b, w - 1)}")
                if self.below(b, w):
                    return self.text.pure(f"ashr {t} {a}, {b}")
                within = self.text.pure(f"icmp ult {t} {b}, {w & mask}") if w <= mask else 1
                return self.text.pure(f"ashr {t} {a}, {self.select(within, b, w - 1, w)}")
            case "udiv" | "urem" | "sdiv" | "srem":
                return self._division(op, a, b, w)
            case _:
                raise Unsupported(op)

    def below(self, amount: Value, width: int) -> bool:
        """Whether a shift is known to be less than the width: it was made by extending few bits."""
        code = self.text.known_code(amount)
        return code is not None and code.startswith("zext i") and 1 << int(code[6:].split()[0]) <= width

    def _division(self, op: str, a: Value, b: Value, w: int) -> Value:
        """Generated code has no external symbols, but LLVM calls a library for 65 to 128 bits; it expands
        what is wider."""
        if not 64 < w <= 128:
            return (self._unsigned_division if op[0] == "u" else self._signed_division)(op, a, b, w)
        extend = self.extend if op[0] == "u" else self.sign_extend
        zero = self.compare("eq", b, 0, w)
        wide = self._division(op, extend(a, w, LARGE), self.select(zero, 1, extend(b, w, LARGE), LARGE), LARGE)
        by_zero: Value = a
        if op == "udiv":
            by_zero = ones(w)
        elif op == "sdiv":
            by_zero = self.select(self.compare("slt", a, 0, w), 1, ones(w), w)
        return self.select(zero, by_zero, self.extract(wide, LARGE, w - 1, 0), w)

    def _unsigned_division(self, op: str, a: Value, b: Value, w: int) -> Value:
        t = ty(w)
        if isinstance(b, int) and b:
            return self.text.pure(f"{op} {t} {a}, {b}")
        zero = self.compare("eq", b, 0, w)
        result = self.text.pure(f"{op} {t} {a}, {self.select(zero, 1, b, w)}")
        return self.select(zero, ones(w) if op == "udiv" else a, result, w)

    def _signed_division(self, op: str, a: Value, b: Value, w: int) -> Value:
        """By -1 it is negation, and LLVM must not divide the least number by it."""
        t, minus = ty(w), ones(w)
        zero, one = self.compare("eq", b, 0, w), self.compare("eq", b, minus, w)
        special = self.binary("or", zero, one, 1)
        result = self.text.pure(f"{op} {t} {a}, {self.select(special, 1, b, w)}")
        if op == "sdiv":
            by_zero = self.select(self.compare("slt", a, 0, w), 1, minus, w)
            result_ = self.select(one, self.binary("sub", 0, a, w), result, w)
            return self.select(zero, by_zero, result_, w)
        return self.select(zero, a, self.select(one, 0, result, w), w)


# A table, because the question is asked by the hundred thousand: see `ir.width`.

_VALUE: Mapping[type, Callable[[Any, Any], Value]] = {
    ir.Const: lambda code, e: e.value,
    ir.BoolConst: lambda code, e: int(e.value),
    ir.Local: lambda code, e: code.locals[e.name],
    ir.Operand: lambda code, e: code.operand(e.name, e.width),
    ir.Get: lambda code, e: code.get(e.element, e.width),
    ir.GetEntry: lambda code, e: code.get_entry(code.isa.files[e.file], code.value(e.index)),
    ir.Unary: Values._unary,
    ir.Binary: lambda code, e: code.binary(e.op, code.value(e.left), code.value(e.right), ir.width(e)),
    ir.Compare: lambda code, e: code.compare(e.op, code.value(e.left), code.value(e.right), ir.width(e.left)),
    ir.Not: lambda code, e: code.binary("xor", code.value(e.arg), 1, 1),
    ir.Logic: Values._logic,
    ir.If: Values._if,
    ir.Extract: lambda code, e: code.extract(code.value(e.arg), ir.width(e.arg), e.hi, e.lo),
    ir.Concat: Values._concat,
    ir.Extend: Values._extended,
    ir.ToBool: lambda code, e: code.value(e.arg),
    ir.ToBits: lambda code, e: code.value(e.arg),
    ir.Lookup: Values._lookup,
    ir.Unknown: lambda code, e: 0,
    ir.Arbitrary: lambda code, e: code.arbitrary(e.name, [(code.value(a), ir.width(a)) for a in e.args], e.width),
}
assert _VALUE.keys() == set(get_args(ir.Expr))


def known(op: str, a: int, b: int, w: int) -> int:
    """An operator on known values, as in SMT-LIB; the result may have more bits than `w`."""
    match op:
        case "add":
            return a + b
        case "sub":
            return a - b
        case "mul":
            return a * b
        case "udiv":
            return a // b if b else ones(w)
        case "urem":
            return a % b if b else a
        case "sdiv":
            x, y = signed(a, w), signed(b, w)
            if y == 0:
                return 1 if x < 0 else -1
            return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        case "srem":
            x, y = signed(a, w), signed(b, w)
            return x if y == 0 else abs(x) % abs(y) * (-1 if x < 0 else 1)
        case "and":
            return a & b
        case "or":
            return a | b
        case "xor":
            return a ^ b
        case "shl":
            return a << b if b < w else 0
        case "lshr":
            return a >> b
        case "ashr":
            return signed(a, w) >> min(b, w)
        case _:
            raise Unsupported(op)


_effectful: dict[int, tuple[ir.Expr, bool]] = {}


def effectful(e: ir.Expr) -> bool:
    """Whether evaluating an expression can be noticed: it asks for something unspecified."""
    found = _effectful.get(id(e))
    if found is None or found[0] is not e:
        found = _effectful[id(e)] = (e, any(isinstance(term, ir.Arbitrary) for term in ir.subterms(e)))
    return found[1]
