"""The functions that the language has built in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, calls, expressions, fold, operators, typenames
from analyzer.syntax.body import Env
from analyzer.syntax.coerce import definite, raw, to_type, unify
from analyzer.syntax.problems import failure
from analyzer.syntax.value_types import Bits, Type, describe, width_of
from analyzer.syntax.values import Number, Val, Value


def _extension(is_signed: bool) -> Callable[[ast.Call, Env, Type | None], Val]:
    def extension(node: ast.Call, env: Env, want: Type | None) -> Val:
        inner, width = _resized(node, env, want)
        if isinstance(inner, Number):
            return inner if width is None else to_type(inner, Bits(width), node.span)
        have = width_of(inner.type)
        if width is None:
            raise failure(
                "PG215", "nothing here says how wide this becomes", node.span, "give the width as a second argument"
            )
        if have > width:
            raise failure(
                "PG210", f"this has {have} bits already, more than {width}", node.span, f"write trunc(…, {width})"
            )
        return Value(fold.extend(is_signed, raw(inner), width), Bits(width))

    return extension


def _resized(node: ast.Call, env: Env, want: Type | None) -> tuple[Number | Value, int | None]:
    if not 1 <= len(node.args) <= 2:
        raise failure("PG222", "one value, and perhaps a width, are wanted here", node.span)
    inner = expressions.single(expressions.value(node.args[0].value, env), node.span)
    if len(node.args) == 2:
        width = expressions.number(node.args[1].value, env, "a width")
        return inner, typenames.bits(width, node.args[1].span).width
    return inner, width_of(want) if want is not None else None


def _trunc(node: ast.Call, env: Env, want: Type | None) -> Val:
    inner, width = _resized(node, env, want)
    if isinstance(inner, Number):
        inner = definite(inner, node.span)
    if width is None:
        raise failure(
            "PG215", "nothing here says how wide this becomes", node.span, "give the width as a second argument"
        )
    if width_of(inner.type) < width:
        raise failure(
            "PG210", f"this has {describe(inner.type)} only, less than {width}", node.span, f"write zext(…, {width})"
        )
    return Value(fold.extract(raw(inner), width - 1, 0), Bits(width))


def _zeros(node: ast.Call, env: Env, want: Type | None) -> Val:
    width = expressions.number(calls.only_arg(node), env, "a width")
    return Number(0, 0) if width == 0 else Value(ir.Const(width, 0), typenames.bits(width, node.span))


def _ones(node: ast.Call, env: Env, want: Type | None) -> Val:
    type_ = typenames.bits(expressions.number(calls.only_arg(node), env, "a width"), node.span)
    return Value(fold.const(-1, type_.width), type_)


def _unknown(node: ast.Call, env: Env) -> Val:
    type_ = typenames.bits(expressions.number(calls.only_arg(node), env, "a width"), node.span)
    return Value(ir.Unknown(env.machine.site(), type_.width), type_)


def _extreme(op: ir.CompareOp, least: bool) -> Callable[[ast.Call, Env, Type | None], Val]:
    def extreme(node: ast.Call, env: Env, want: Type | None) -> Val:
        if len(node.args) != 2:
            raise failure("PG222", "two values are wanted here", node.span)
        first, second = node.args[0].value, node.args[1].value
        left, right = operators.both(first, second, env, want)
        if isinstance(left, Number) and isinstance(right, Number):
            return Number(min(left.value, right.value) if least else max(left.value, right.value))
        a, b = unify(left, right, first.span, second.span, node.span)
        a, b = env.body.keep("a", a), env.body.keep("b", b)
        less = fold.compare(op, a.expr, b.expr)
        return Value(fold.if_(less, a.expr, b.expr) if least else fold.if_(less, b.expr, a.expr), a.type)

    return extreme


def _rotate(right: bool) -> Callable[[ast.Call, Env, Type | None], Val]:
    def rotate(node: ast.Call, env: Env, want: Type | None) -> Val:
        if len(node.args) != 2:
            raise failure("PG222", "a value and a count are wanted here", node.span)
        val = env.body.keep("a", definite(expressions.value(node.args[0].value, env, want), node.span))
        width = width_of(val.type)
        count = expressions.single(expressions.value(node.args[1].value, env), node.span)
        if isinstance(count, Number):
            n = count.value % width if right else -count.value % width
            expr = val.expr
            return Value(
                fold.concat(fold.extract(expr, n - 1, 0), fold.extract(expr, width - 1, n)) if n else expr, val.type
            )
        amount = raw(count)
        wide = max(ir.width(amount), width.bit_length(), width)
        reduced = fold.binary("urem", fold.extend(False, amount, wide), fold.const(width, wide))
        reduced = env.body.keep_expr("count", fold.resize(reduced, width))
        back = fold.binary("sub", fold.const(width, width), reduced)
        down, up = (reduced, back) if right else (back, reduced)
        return Value(fold.binary("or", fold.binary("lshr", val.expr, down), fold.binary("shl", val.expr, up)), val.type)

    return rotate


MOST_COUNTED = 128
"""Bits that `popcount` and `clz` look at, one after the other."""


def counted(val: Value, word: str, span: Span) -> int:
    """The width of a value whose bits are counted."""
    width = width_of(val.type)
    if width > MOST_COUNTED:
        raise failure("PG219", f"`{word}` is for at most {MOST_COUNTED} bits, not {width}", span, "add up its parts")
    return width


def _popcount(node: ast.Call, env: Env, want: Type | None) -> Val:
    val = env.body.keep("a", definite(expressions.value(calls.only_arg(node), env, want), node.span))
    width = counted(val, "popcount", node.span)
    total: ir.Expr = ir.Const(width, 0)
    for i in range(width):
        total = fold.binary("add", total, fold.extend(False, fold.extract(val.expr, i, i), width))
    return Value(total, Bits(width))


def _clz(node: ast.Call, env: Env, want: Type | None) -> Val:
    val = env.body.keep("a", definite(expressions.value(calls.only_arg(node), env, want), node.span))
    width = counted(val, "clz", node.span)
    if width.bit_length() > width:
        raise failure("PG219", "`clz` wants at least 3 bits, for its result has as many", node.span)
    result: ir.Expr = fold.const(width, width)
    for i in range(width):
        result = fold.if_(fold.to_bool(fold.extract(val.expr, i, i)), fold.const(width - 1 - i, width), result)
    return Value(result, Bits(width))


BUILTINS: Mapping[str, Callable[[ast.Call, Env, Type | None], Val]] = {
    "zext": _extension(False),
    "sext": _extension(True),
    "trunc": _trunc,
    "zeros": _zeros,
    "ones": _ones,
    "min": _extreme("ult", True),
    "max": _extreme("ult", False),
    "mins": _extreme("slt", True),
    "maxs": _extreme("slt", False),
    "ror": _rotate(True),
    "rol": _rotate(False),
    "popcount": _popcount,
    "clz": _clz,
}
