"""Operators, at compile time on numbers and else on bit vectors and conditions."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, expressions, fold, traps, typenames
from analyzer.syntax.body import Env
from analyzer.syntax.coerce import definite, raw, to_type, unify
from analyzer.syntax.problems import failure
from analyzer.syntax.scope import Enumerators, TrapEntity
from analyzer.syntax.value_types import BOOL, WIDEST, Bits, Bool, Enum, Type, describe, width_of
from analyzer.syntax.values import Group, Number, Val, Value

ARITHMETIC: dict[str, ir.BinaryOp] = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "udiv",
    "%": "urem",
    "/s": "sdiv",
    "%s": "srem",
    "*s": "mul",
}


SHIFTS: dict[str, ir.BinaryOp] = {"<<": "shl", ">>": "lshr", ">>s": "ashr"}


COMPARES: dict[str, tuple[ir.CompareOp, bool]] = {
    "<": ("ult", False),
    "<=": ("ule", False),
    ">": ("ult", True),
    ">=": ("ule", True),
    "<s": ("slt", False),
    "<=s": ("sle", False),
    ">s": ("slt", True),
    ">=s": ("sle", True),
}
"""The operator of the IR, and whether its sides are exchanged."""


def both(left: ast.Expr, right: ast.Expr, env: Env, want: Type | None) -> tuple[Val, Val]:
    """Two operands, evaluated in order; one that has no width of its own takes the other's."""
    body = env.body
    if want is None and expressions.needs_width(left, env) and not expressions.needs_width(right, env):
        with body.block() as after:
            second = expressions.value(right, env, None)
        first = expressions.value(left, env, expressions.type_of(second))
        first = before_effects(first, after, env)
        body.out.extend(after)
        return first, second
    first = expressions.value(left, env, want)
    with body.block() as after:
        second = expressions.value(right, env, expressions.type_of(first) or want)
    first = before_effects(first, after, env)
    body.out.extend(after)
    return first, second


def before_effects(val: Val, after: Sequence[ir.Stmt], env: Env) -> Val:
    """`val` in a local if statements that follow it may change what it reads."""
    if isinstance(val, Value) and changes_state(after) and not env.body.fixed(val.expr):
        return env.body.local("tmp", val)
    return val


def changes_state(stmts: Sequence[ir.Stmt]) -> bool:
    """Whether the statements write state or variables."""
    return any(isinstance(s, ir.Set | ir.SetEntry | ir.Store | ir.Call) for s in ir.statements(tuple(stmts)))


def unary(node: ast.Unary, env: Env, want: Type | None) -> Val:
    """`-e`, `not e`."""
    arg = expressions.single(expressions.value(node.arg, env, want), node.arg.span)
    if isinstance(arg, Number):
        if node.op == "-":
            return Number(-arg.value, arg.width)
        if want is None and arg.width is None:
            return Value(fold.boolean(to_type(arg, BOOL, node.span).expr != ir.TRUE), BOOL)
        arg = to_type(arg, want, node.span) if want is not None else definite(arg, node.span)
    match node.op, arg.type:
        case "not", Bool():
            return Value(fold.not_(arg.expr), BOOL)
        case "not", Bits(width):
            return Value(fold.unary("not", arg.expr), Bits(width))
        case "-", Bits(width):
            return Value(fold.unary("neg", arg.expr), Bits(width))
        case _:
            raise failure("PG219", f"`{node.op}` has no meaning for {describe(arg.type)}", node.span)


def binary(node: ast.Binary, env: Env, want: Type | None) -> Val:
    """Infix operators."""
    op = node.op
    if op == "++":
        return concat(node, env)
    if op in SHIFTS:
        return shift(node, env, want)
    if op in {"and", "or"}:
        return and_or(node, env, want)
    if op == "xor":
        left, right = both(node.left, node.right, env, None if isinstance(want, Bool) else want)
        return combine("xor", left, right, node, want)
    if op in ARITHMETIC:
        left, right = both(node.left, node.right, env, want)
        return arithmetic(node, left, right)
    return comparison(node, env)


def arithmetic(node: ast.Binary, left: Val, right: Val) -> Val:
    """`+ - * / %`: on two literals at compile time, else on bit vectors of one width."""
    if isinstance(left, Number) and isinstance(right, Number):
        a, b = left.value, right.value
        if node.op in {"/", "%"} and b == 0:
            raise failure("PG216", "division by zero", node.span)
        return within(_number_op(node.op, a, b), node.span)
    a_value, b_value = unify(left, right, node.left.span, node.right.span, node.span)
    if not isinstance(a_value.type, Bits):
        raise failure(
            "PG219", f"`{node.op}` has no meaning for {describe(a_value.type)}", node.span, code_hint(a_value.type)
        )
    return Value(fold.binary(ARITHMETIC[node.op], a_value.expr, b_value.expr), Bits(a_value.type.width))


def within(number: int, span: Span) -> Number:
    """A compile-time number that is not absurdly long."""
    if number.bit_length() > WIDEST:
        raise failure("PG305", f"this number has {number.bit_length():,} bits, more than {WIDEST:,}", span)
    return Number(number)


def _number_op(op: str, a: int, b: int) -> int:
    match op[0]:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a // b
        case _:
            return a % b


def code_hint(type_: Type) -> str | None:
    """How to get at the bits of an enumeration."""
    return f"the bits of a {type_.name} are ….code" if isinstance(type_, Enum) else None


def shift(node: ast.Binary, env: Env, want: Type | None) -> Val:
    """`<< >> >>s`: the count may have any width."""
    left = expressions.single(expressions.value(node.left, env, want), node.left.span)
    with env.body.block() as after:
        right = expressions.single(expressions.value(node.right, env), node.right.span)
    left = expressions.single(before_effects(left, after, env), node.left.span)
    env.body.out.extend(after)
    if isinstance(right, Number) and right.value < 0:
        raise failure("PG212", f"a shift by {right.value} is none", node.right.span, "shift the other way")
    if isinstance(left, Number) and isinstance(right, Number):
        by = min(right.value, 2 * WIDEST)
        return within(left.value << by if node.op == "<<" else left.value >> by, node.span)
    if isinstance(left, Number):
        left = to_type(left, want, node.left.span) if want is not None else definite(left, node.left.span)
    if not isinstance(left.type, Bits):
        raise failure("PG219", f"`{node.op}` has no meaning for {describe(left.type)}", node.span, code_hint(left.type))
    bits = left.type.width
    count = (
        fold.const(min(right.value, bits), max(bits, bits.bit_length() + 1))
        if isinstance(right, Number)
        else raw(right)
    )
    return Value(fold.shift(SHIFTS[node.op], left.expr, count), Bits(bits))


def concat(node: ast.Binary, env: Env) -> Val:
    """`a ++ b`: literals must say how wide they are."""
    left = definite(expressions.value(node.left, env), node.left.span)
    with env.body.block() as after:
        right = definite(expressions.value(node.right, env), node.right.span)
    left = definite(before_effects(left, after, env), node.left.span)
    env.body.out.extend(after)
    width = width_of(left.type) + width_of(right.type)
    return Value(fold.concat(raw(left), raw(right)), typenames.bits(width, node.span))


def and_or(node: ast.Binary, env: Env, want: Type | None) -> Val:
    """`and`, `or`: on bools the right side is evaluated only if it matters."""
    op: ir.BoolOp = "and" if node.op == "and" else "or"
    body = env.body
    inner = None if isinstance(want, Bool) else want
    if expressions.needs_width(node.left, env):
        left, right = both(node.left, node.right, env, inner)
        return combine(op, left, right, node, want)
    left = expressions.value(node.left, env, inner)
    decided = expressions.number_or_none(left) if isinstance(expressions.type_of(left), Bool) else None
    if decided == (0 if op == "and" else 1):
        return left
    with body.block() as after:
        right = expressions.value(node.right, env, expressions.type_of(left) or inner)
    result = combine(op, left, right, node, want)
    if not after or not isinstance(result, Value) or not isinstance(result.type, Bool):
        left = before_effects(left, after, env)
        body.out.extend(after)
        return combine(op, left, right, node, want)
    local = body.fresh("tmp")
    body.mutable.add(local)
    body.emit(ir.Let(local, to_type(left, BOOL, node.left.span).expr, body.span))
    test: ir.Expr = ir.Local(local, 0)
    after.append(ir.Let(local, to_type(right, BOOL, node.right.span).expr, body.span))
    body.emit(ir.When(test if op == "and" else fold.not_(test), tuple(after), (), body.span))
    return Value(ir.Local(local, 0), BOOL)


def combine(op: ir.BoolOp, left: Val, right: Val, node: ast.Binary, want: Type | None) -> Val:
    """`and or xor` of bools or of bit vectors of one width."""
    if isinstance(left, Number) and isinstance(right, Number):
        if want is None or isinstance(want, Bool):
            a, b = to_type(left, BOOL, node.left.span), to_type(right, BOOL, node.right.span)
            return Value(fold.logic(op, a.expr, b.expr), BOOL)
        left = to_type(left, want, node.left.span)
    if isinstance(want, Bool) and expressions.type_of(left) == Bits(1) == expressions.type_of(right):
        left, right = to_type(left, BOOL, node.left.span), to_type(right, BOOL, node.right.span)
    a_value, b_value = unify(left, right, node.left.span, node.right.span, node.span)
    match a_value.type:
        case Bool():
            return Value(fold.logic(op, a_value.expr, b_value.expr), BOOL)
        case Bits(width):
            return Value(fold.binary(op, a_value.expr, b_value.expr), Bits(width))
        case _:
            raise failure(
                "PG219", f"`{op}` has no meaning for {describe(a_value.type)}", node.span, code_hint(a_value.type)
            )


def comparison(node: ast.Binary, env: Env) -> Val:
    """`== != < <= > >=` and the signed ones."""
    if (
        isinstance(node.left, ast.Name)
        and isinstance(env.scope.find(node.left.text), TrapEntity)
        and isinstance(node.right, ast.Name)
    ):
        return traps.compare_trap(node, env)
    left, right = both_sides(node, env)
    if isinstance(left, Group) or isinstance(right, Group):
        return compare_groups(node, left, right)
    return compare(node, left, right)


def both_sides(node: ast.Binary, env: Env) -> tuple[Val, Val]:
    """The sides of a comparison; an ambiguous enumerator takes the other side's type."""
    if isinstance(node.left, ast.Name) and isinstance(env.scope.find(node.left.text), Enumerators):
        right = expressions.value(node.right, env)
        return expressions.value(node.left, env, expressions.type_of(right)), right
    return both(node.left, node.right, env, None)


def compare(node: ast.Binary, left: Val, right: Val) -> Value:
    """A comparison of two single values."""
    op = node.op
    if isinstance(left, Number) and isinstance(right, Number):
        a, b = left.value, right.value
        return Value(fold.boolean({"==": a == b, "!=": a != b}.get(op, _ordered(op.rstrip("s"), a, b))), BOOL)
    a_value, b_value = unify(left, right, node.left.span, node.right.span, node.span)
    if op == "==":
        return Value(fold.compare("eq", a_value.expr, b_value.expr), BOOL)
    if op == "!=":
        return Value(fold.not_(fold.compare("eq", a_value.expr, b_value.expr)), BOOL)
    if not isinstance(a_value.type, Bits):
        raise failure(
            "PG219", f"`{op}` has no meaning for {describe(a_value.type)}", node.span, code_hint(a_value.type)
        )
    compare_op, exchanged = COMPARES[op]
    x, y = (b_value.expr, a_value.expr) if exchanged else (a_value.expr, b_value.expr)
    return Value(fold.compare(compare_op, x, y), BOOL)


def _ordered(op: str, a: int, b: int) -> bool:
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}.get(op, False)


def compare_groups(node: ast.Binary, left: Val, right: Val) -> Val:
    """`(a, b) == (c, d)`."""
    if not isinstance(left, Group) or not isinstance(right, Group) or len(left.items) != len(right.items):
        raise failure("PG211", "a tuple can be compared with a tuple of the same length only", node.span)
    if node.op not in {"==", "!="}:
        raise failure("PG219", f"`{node.op}` has no meaning for tuples", node.span)
    same = fold.all_of(
        fold.compare("eq", *(v.expr for v in unify(a, b, node.left.span, node.right.span, node.span)))
        for a, b in zip(left.items, right.items, strict=True)
    )
    return Value(same if node.op == "==" else fold.not_(same), BOOL)
