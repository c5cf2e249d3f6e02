"""Builds expressions of the IR, folded: what is constant at elaboration never reaches the IR.

All widths are the caller's to get right.  Types are compared by `is`: nothing here has subclasses, and `isinstance` of
a Struct's class is slow to say no.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from analyzer import ir
from analyzer.ir import FALSE, TRUE, Const, Expr, width


@lru_cache(maxsize=1 << 14)
def const(value: int, bits: int) -> Const:
    """The constant `value` modulo 2**bits; one object for all its uses."""
    return Const(bits, value % (1 << bits))


def boolean(value: bool) -> ir.BoolConst:
    """`TRUE` or `FALSE`."""
    return TRUE if value else FALSE


def signed(constant: Const) -> int:
    """The value of a constant in two's complement.

    >>> signed(Const(4, 15))
    -1
    """
    return constant.value - (1 << constant.width) if constant.value >> (constant.width - 1) else constant.value


def unary(op: ir.UnaryOp, arg: Expr) -> Expr:
    """`neg` or `not` of a bit vector."""
    if type(arg) is Const:
        return const(-arg.value if op == "neg" else ~arg.value, arg.width)
    if isinstance(arg, ir.Unary) and arg.op == op:
        return arg.arg
    return ir.Unary(op, arg)


def binary(op: ir.BinaryOp, left: Expr, right: Expr) -> Expr:
    """An operation on bit vectors of one width.

    >>> binary("add", Const(8, 250), Const(8, 10))
    Const(width=8, value=4)
    """
    if type(left) is Const and type(right) is Const:
        return const(_value(op, left, right), left.width)
    if type(left) is Const and op in {"add", "and", "or", "xor", "mul"}:
        left, right = right, left
    match op, left, right:
        case "add" | "sub", ir.Binary("add" | "sub", inner, Const() as first), Const():
            by = (first.value if left.op == "add" else -first.value) + (right.value if op == "add" else -right.value)
            return binary("add", inner, const(by, right.width))
        case _:
            pass
    if type(right) is Const:
        full = (1 << right.width) - 1
        if right.value == 0 and op in {"add", "sub", "or", "xor", "shl", "lshr", "ashr"}:
            return left
        if right.value == 0 and op in {"and", "mul"}:
            return right
        if right.value == full and op == "and":
            return left
        if right.value == full and op == "or":
            return right
        if right.value == 1 and op in {"mul", "udiv"}:
            return left
        if op in {"shl", "lshr"} and right.value < right.width:
            return _shift(op, left, right.value)
    return ir.Binary(op, left, right)


def _shift(op: str, arg: Expr, count: int) -> Expr:
    bits = width(arg)
    if op == "shl":
        return concat(extract(arg, bits - 1 - count, 0), Const(count, 0))
    return extend(False, extract(arg, bits - 1, count), bits)


def _value(op: ir.BinaryOp, a: Const, b: Const) -> int:
    match op:
        case "add":
            return a.value + b.value
        case "sub":
            return a.value - b.value
        case "mul":
            return a.value * b.value
        case "udiv":
            return a.value // b.value if b.value else -1
        case "urem":
            return a.value % b.value if b.value else a.value
        case "sdiv":
            return _sdiv(signed(a), signed(b))
        case "srem":
            x, y = signed(a), signed(b)
            return x - y * _sdiv(x, y) if y else x
        case "and":
            return a.value & b.value
        case "or":
            return a.value | b.value
        case "xor":
            return a.value ^ b.value
        case "shl":
            return a.value << b.value if b.value < b.width else 0
        case "lshr":
            return a.value >> b.value if b.value < b.width else 0
        case "ashr":
            return signed(a) >> min(b.value, b.width)


def _sdiv(x: int, y: int) -> int:
    if y == 0:
        return 1 if x < 0 else -1
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


def compare(op: ir.CompareOp, left: Expr, right: Expr) -> Expr:
    """A comparison of bit vectors of one width, or of booleans by `eq`."""
    if type(left) is Const and type(right) is Const:
        a, b = (left.value, right.value) if op in {"eq", "ult", "ule"} else (signed(left), signed(right))
        return boolean(a == b if op == "eq" else a < b if op in {"ult", "slt"} else a <= b)
    if left == right:
        return boolean(op in {"eq", "ule", "sle"})
    if op == "eq" and width(left) == 0:
        return not_(logic("xor", left, right))
    if op == "eq" and type(left) is Const:
        left, right = right, left
    if op == "eq" and type(right) is Const:
        return _equals(left, right)
    if op == "ult" and type(right) is Const and right.value == 0:
        return FALSE
    if op == "ule" and type(left) is Const and left.value == 0:
        return TRUE
    return ir.Compare(op, left, right)


def _equals(left: Expr, right: Const) -> Expr:
    match left:
        case ir.ToBits(arg):
            return arg if right.value else not_(arg)
        case ir.Extend(False, arg, _):
            inner = width(arg)
            return compare("eq", arg, Const(inner, right.value)) if right.value >> inner == 0 else FALSE
        case ir.Concat(high, Const() as low):
            if right.value % (1 << low.width) != low.value:
                return FALSE
            return compare("eq", high, Const(width(high), right.value >> low.width))
        case ir.If(cond, Const() as then, Const() as other):
            return if_(cond, boolean(then == right), boolean(other == right))
        case _:
            return ir.Compare("eq", left, right)


def not_(arg: Expr) -> Expr:
    """Negation of a boolean."""
    match arg:
        case ir.BoolConst(value):
            return boolean(not value)
        case ir.Not(inner):
            return inner
        case ir.Compare("ult", left, right):
            return ir.Compare("ule", right, left)
        case ir.Compare("ule", left, right):
            return ir.Compare("ult", right, left)
        case ir.Compare("slt", left, right):
            return ir.Compare("sle", right, left)
        case ir.Compare("sle", left, right):
            return ir.Compare("slt", right, left)
        case _:
            return ir.Not(arg)


def logic(op: ir.BoolOp, left: Expr, right: Expr) -> Expr:
    """`and`, `or`, `xor` of booleans."""
    if type(left) is ir.BoolConst:
        left, right = right, left
    if type(right) is ir.BoolConst:
        match op, right.value:
            case ("and", True) | ("or", False) | ("xor", False):
                return left
            case ("and", False) | ("or", True):
                return right
            case _:
                return not_(left)
    if left == right:
        return FALSE if op == "xor" else left
    if op != "xor" and not_(left) == right:
        return boolean(op == "or")
    return ir.Logic(op, left, right)


def all_of(conds: Iterable[Expr]) -> Expr:
    """The conjunction of booleans; true if there are none."""
    result: Expr = TRUE
    for cond in conds:
        result = logic("and", result, cond)
    return result


def any_of(conds: Iterable[Expr]) -> Expr:
    """The disjunction of booleans; false if there are none."""
    result: Expr = FALSE
    for cond in conds:
        result = logic("or", result, cond)
    return result


def if_(cond: Expr, then: Expr, other: Expr) -> Expr:
    """If-then-else on values of one type."""
    if type(cond) is ir.BoolConst:
        return then if cond.value else other
    if then == other:
        return then
    if type(cond) is ir.Not:
        return if_(cond.arg, other, then)
    if width(then) == 0:
        if type(then) is ir.BoolConst:
            return logic("or", cond, other) if then.value else logic("and", not_(cond), other)
        if type(other) is ir.BoolConst:
            return logic("or", not_(cond), then) if other.value else logic("and", cond, then)
    return ir.If(cond, then, other)


_OPAQUE = {ir.Operand, ir.Local, ir.Get, ir.GetEntry}


def extract(arg: Expr, hi: int, lo: int) -> Expr:
    """Bits hi..lo, pushed into concatenations and extensions."""
    if lo == 0 and hi == width(arg) - 1:
        return arg
    if type(arg) in _OPAQUE:  # most are
        return ir.Extract(arg, hi, lo)
    match arg:
        case Const(_, value):
            return const(value >> lo, hi - lo + 1)
        case ir.Extract(inner, _, base):
            return extract(inner, base + hi, base + lo)
        case ir.Concat(left, right):
            split = width(right)
            if lo >= split:
                return extract(left, hi - split, lo - split)
            if hi < split:
                return extract(right, hi, lo)
            return concat(extract(left, hi - split, 0), extract(right, split - 1, lo))
        case ir.Extend(is_signed, inner, _):
            inside = width(inner)
            if hi < inside:
                return extract(inner, hi, lo)
            if lo < inside:
                return extend(is_signed, extract(inner, inside - 1, lo), hi - lo + 1)
            if not is_signed:
                return Const(hi - lo + 1, 0)
        case ir.Unary("not", inner):
            return unary("not", extract(inner, hi, lo))
        case ir.Binary("and" | "or" | "xor", left, right):
            return binary(arg.op, extract(left, hi, lo), extract(right, hi, lo))
        case _:
            pass
    return ir.Extract(arg, hi, lo)


def concat(left: Expr, right: Expr) -> Expr:
    """`left ++ right`; constants of width 0 vanish."""
    if type(left) is Const and left.width == 0:
        return right
    if type(right) is Const and right.width == 0:
        return left
    match left, right:
        case Const(), Const():
            return Const(left.width + right.width, left.value << right.width | right.value)
        case ir.Extract(a, hi, middle), ir.Extract(b, below, lo) if middle == below + 1 and a == b:
            return extract(a, hi, lo)
        case ir.Concat(first, second), (Const() | ir.Extract()):
            joined = concat(second, right)
            if not isinstance(joined, ir.Concat):
                return concat(first, joined)
        case Const(), ir.Concat(Const() as first, second):
            return concat(concat(left, first), second)
        case _:
            pass
    return ir.Concat(left, right)


def concat_all(parts: Iterable[Expr]) -> Expr:
    """All parts joined, the first leftmost."""
    result: Expr = Const(0, 0)
    for part in parts:
        result = concat(result, part)
    return result


def extend(is_signed: bool, arg: Expr, bits: int) -> Expr:
    """To `bits`, which is at least the width of `arg`."""
    if width(arg) == bits:
        return arg
    if type(arg) is Const:
        return const(signed(arg) if is_signed else arg.value, bits)
    if isinstance(arg, ir.Extend) and arg.signed == is_signed:
        return ir.Extend(is_signed, arg.arg, bits)
    if isinstance(arg, ir.Extend) and not arg.signed:
        return ir.Extend(False, arg.arg, bits)
    return ir.Extend(is_signed, arg, bits)


def to_bool(arg: Expr) -> Expr:
    """A 1-bit vector as a boolean."""
    match arg:
        case Const(_, value):
            return boolean(bool(value))
        case ir.ToBits(inner):
            return inner
        case ir.Unary("not", inner):
            return not_(to_bool(inner))
        case ir.Binary("and" | "or" | "xor", left, right):
            op: ir.BoolOp = "and" if arg.op == "and" else "or" if arg.op == "or" else "xor"
            return logic(op, to_bool(left), to_bool(right))
        case _:
            return ir.ToBool(arg)


def to_bits(arg: Expr) -> Expr:
    """A boolean as a 1-bit vector."""
    match arg:
        case ir.BoolConst(value):
            return Const(1, int(value))
        case ir.ToBool(inner):
            return inner
        case _:
            return ir.ToBits(arg)


def resize(arg: Expr, bits: int) -> Expr:
    """Zero-extended or cut to `bits`; for indices and counts whose excess bits are known not to matter."""
    return extract(arg, bits - 1, 0) if width(arg) > bits else extend(False, arg, bits)


def shift(op: ir.BinaryOp, arg: Expr, count: Expr) -> Expr:
    """A shift by a count of any width; by the width of `arg` or more it behaves as SMT-LIB's."""
    bits = width(arg)
    inner = width(count)
    if inner > bits:
        far = compare("ule", const(bits, inner), count)
        count = if_(far, const(bits, bits), extract(count, bits - 1, 0))
    return binary(op, arg, extend(False, count, bits))


def is_fixed(expr: Expr, mutable: set[str]) -> bool:
    """Whether `expr` has one value throughout a body: it reads no state and none of the `mutable` locals."""
    match expr:
        case ir.Get() | ir.GetEntry():
            return False
        case ir.Local(name, _):
            return name not in mutable
        case _:
            return all(is_fixed(child, mutable) for child in ir.children(expr))


def is_small(expr: Expr) -> bool:
    """Whether `expr` may be repeated without harm: a leaf, or bits of one."""
    match expr:
        case ir.Extract(arg, _, _) | ir.ToBool(arg) | ir.ToBits(arg) | ir.Extend(_, arg, _) | ir.Not(arg):
            return is_small(arg)
        case _:
            return not ir.children(expr)


def substitute(expr: Expr, locals_: dict[str, Expr]) -> Expr:
    """`expr` with locals replaced, and folded again."""

    def sub(e: Expr) -> Expr:
        return substitute(e, locals_)

    match expr:
        case ir.Local(name, _):
            return locals_.get(name, expr)
        case ir.GetEntry(file, index, bits):
            return ir.GetEntry(file, sub(index), bits)
        case ir.Lookup(table, index, bits):
            return ir.Lookup(table, sub(index), bits)
        case ir.Unary(op, arg):
            return unary(op, sub(arg))
        case ir.Binary():
            return binary(expr.op, sub(expr.left), sub(expr.right))
        case ir.Compare():
            return compare(expr.op, sub(expr.left), sub(expr.right))
        case ir.Not(arg):
            return not_(sub(arg))
        case ir.Logic():
            return logic(expr.op, sub(expr.left), sub(expr.right))
        case ir.If(cond, then, other):
            return if_(sub(cond), sub(then), sub(other))
        case ir.Extract(arg, hi, lo):
            return extract(sub(arg), hi, lo)
        case ir.Concat(left, right):
            return concat(sub(left), sub(right))
        case ir.Extend(is_signed, arg, bits):
            return extend(is_signed, sub(arg), bits)
        case ir.ToBool(arg):
            return to_bool(sub(arg))
        case ir.ToBits(arg):
            return to_bits(sub(arg))
        case ir.Arbitrary(name, args, bits):
            return ir.Arbitrary(name, tuple(map(sub, args)), bits)
        case _:
            return expr
