"""Expressions: syntax to values.

`value` elaborates an expression where it stands: loads and calls in it are emitted before the statement that it belongs
to.  `want` is the type that the surroundings ask for, if they do: literals, `zext(e)` and `unknown` take their width
from it; the result need not have it (`typed` checks that).

    mem[r2] + 4        Load t := mem[r2];  t + 4
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, calls, fold, places, traps
from analyzer.syntax.coerce import definite, from_bits, literal, raw, to_type, unify
from analyzer.syntax.problems import did_you_mean, failure, reported
from analyzer.syntax.scope import (
    Body,
    Cell,
    EnumEntity,
    Enumerators,
    Env,
    FileEntity,
    FnEntity,
    GroupsEntity,
    LookupEntity,
    Missing,
    PlaceEntity,
    Poison,
    PrefixEntity,
    SpaceEntity,
    SymbolEntity,
    TrapEntity,
    Variable,
    ViewEntity,
    find,
    kind_of,
)
from analyzer.syntax.value_types import BOOL, Bits, Bool, Enum, Type, describe, ir_width, width_of
from analyzer.syntax.values import Group, Number, Val, Value

MEMORY_KINDS = {"fetch": 0, "read": 1, "write": 2}
ACCESS = Enum("access", 2)
"""The type of `access`, `fetch`, `read` and `write` where an access is asked about."""

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


def typed(node: ast.Expr, env: Env, want: Type) -> ir.Expr:
    """The expression as a value of type `want`."""
    return to_type(value(node, env, want), want, node.span).expr


def condition(node: ast.Expr, env: Env) -> ir.Expr:
    """The expression as a boolean."""
    return typed(node, env, BOOL)


def known(node: ast.Expr, env: Env, want: Type | None = None) -> Value:
    """The expression as a value with a width of its own."""
    return definite(value(node, env, want), node.span)


def number(node: ast.Expr, env: Env, what: str) -> int:
    """The expression as a compile-time number."""
    match value(node, env):
        case Number(n, _) | Value(ir.Const(_, n), _):
            return n
        case Value(ir.BoolConst(truth), _):
            return int(truth)
        case _:
            raise failure("PG216", f"{what} must be known when the spec is elaborated", node.span)


def number_or_none(val: Val) -> int | None:
    """The compile-time number that a value is, if it is one."""
    match val:
        case Number(n, _) | Value(ir.Const(_, n), _):
            return n
        case Value(ir.BoolConst(truth), _):
            return int(truth)
        case _:
            return None


def value(node: ast.Expr, env: Env, want: Type | None = None) -> Val:
    """What the expression means, as a value."""
    match node:
        case ast.Number():
            return literal(node)
        case ast.Name():
            return name(node, env, want)
        case ast.Tuple(items=items):
            return Group(tuple(single(value(item, env), item.span) for item in items))
        case ast.Unary():
            return unary(node, env, want)
        case ast.Binary():
            return binary(node, env, want)
        case ast.IfExpr():
            return if_value(node, env, want)
        case ast.MatchExpr():
            return match_value(node, env, want)
        case ast.Call():
            return calls.call_value(node, env, want)
        case ast.CurrentMode():
            return current_mode(node, env)
        case ast.Subscript():
            return subscript(node, env)
        case ast.Member():
            return member(node, env, want)
        case ast.TableView(space=space):
            raise failure("PG226", f"`table {space.text}` is an access: write `table {space.text}[…]`", node.span)


def single(val: Val, span: Span) -> Number | Value:
    """A value that is no tuple."""
    if isinstance(val, Group):
        raise failure("PG211", "one value is wanted here, and this is a tuple", span)
    return val


# -- names -------------------------------------------------------------------------------------------------------------


def name(node: ast.Name, env: Env, want: Type | None) -> Val:
    """The value that a name stands for."""
    entity, home = find(env, node)
    match entity:
        case Number() | Value() | Group():
            return entity
        case Variable(local, type_):
            return Value(ir.Local(local, ir_width(type_)), type_)
        case Cell(column, inner):
            return cell_value(entity, inner, home.at(home.scope.hiding(column)), want, node.span)
        case Enumerators():
            return enumerator(entity, node, want)
        case PlaceEntity(place):
            return places.read(place, env, node.span)
        case ViewEntity():
            return places.read(places.view_at(entity, (), home, node.span), env, node.span)
        case GroupsEntity(group, scope):
            return groups_value(group, env, env.at(scope), want, node.span)
        case PrefixEntity(word):
            return prefix(word, env, node.span)
        case SymbolEntity(word):
            return symbol(word, env, want, node.span)
        case TrapEntity():
            return traps.trap_number(env, node.span)
        case EnumEntity(type_, _):
            raise failure("PG217", f"{node.text} is an enumeration, not a value", node.span, f"write {type_.name}(…)")
        case FnEntity():
            raise failure("PG217", f"{node.text} is a function", node.span, f"write {node.text}(…)")
        case FileEntity() | SpaceEntity() | LookupEntity():
            raise failure("PG217", f"{node.text} is {kind_of(entity)}", node.span, f"write {node.text}[…]")
        case Poison() | Missing():
            raise reported()
        case _:
            raise failure("PG217", f"{node.text} is {kind_of(entity)}, not a value", node.span)


def groups_value(group: ast.Group, env: Env, home: Env, want: Type | None, span: Span) -> Val:
    """What a parameter of a format means where a value is wanted: bits, or what its name means to the caller."""
    match group.atoms:
        case (ast.Bits(text=text),):
            return (
                Number(int(text.replace("_", ""), 2), len(text))
                if is_bits(text)
                else literal(ast.Number(text, span=span))
            )
        case (ast.FieldUse(name=inner),):
            with env.body.inside(group, span):
                return name(inner, home, want)
        case _:
            raise failure("PG217", "this parameter of the format is no single value here", span)


def cell_value(cell: Cell, node: ast.Expr | ast.String, env: Env, want: Type | None, span: Span) -> Val:
    """What a cell of a table means where a value is wanted: bits if the pattern uses it so."""
    match node:
        case ast.String():
            raise failure("PG217", f"in this row, {cell.column} is a text, not a value", span)
        case ast.Number(text=text) if is_bits(text) and (cell.as_bits or (len(text) > 1 and text[0] == "0")):
            return Number(int(text, 2), len(text))
        case _:
            with env.body.inside(cell.node, span):
                return value(node, env, want)


def is_bits(text: str) -> bool:
    """Whether a spelling can be bits in a pattern."""
    return set(text) <= {"0", "1"}


def enumerator(entity: Enumerators, node: ast.Name, want: Type | None) -> Value:
    """The enumerator that the surroundings ask for, or the only one of its name."""
    chosen = [v for v in entity.values if v[0] == want] or list(entity.values)
    if len(chosen) > 1:
        names = " or ".join(f"{enum.name}" for enum, _ in chosen)
        raise failure("PG218", f"{node.text} is a value of {names}", node.span, "say which: `Enum(number)`")
    enum, code = chosen[0]
    return Value(ir.Const(enum.width, code), enum)


def symbol(word: str, env: Env, want: Type | None, span: Span) -> Val:
    """The words with a meaning of their own."""
    body = env.body
    match word:
        case "unknown":
            if want is None:
                raise failure("PG215", "nothing here says how wide this unknown value is", span, "write unknown(n)")
            return from_bits(ir.Unknown(env.machine.site(), width_of(want)), want)
        case "here":
            if body.here is None:
                raise failure("PG227", "`here` is the address of an instruction, and this is not part of one", span)
            return Value(capture(body, "here", body.here), Bits(env.machine.pc_width))
        case "access":
            if body.access is None:
                raise failure(
                    "PG227", "`access` has a meaning only in maps and in views with check, read and write", span
                )
            return Value(body.access, ACCESS)
        case "bits" | "width":
            if body.kind != "map":
                raise failure("PG227", f"`{word}` (of the access) has a meaning only in maps", span)
            return Value(ir.Local("bits", 16), Bits(16))
        case "length":
            if body.length is None:
                raise failure("PG227", "`length` (of the instruction) has a meaning only in `advance`", span)
            return Value(body.length, Bits(env.machine.pc_width))
        case "true" | "false":
            return Value(fold.boolean(word == "true"), BOOL)
        case _:
            return Value(ir.Const(2, MEMORY_KINDS[word]), ACCESS)


def prefix(name: str, env: Env, span: Span) -> Value:
    """The value of a prefix operand."""
    if env.body.kind not in {"instruction", "procedure", "pure"}:
        raise failure("PG227", f"{name} is a prefix of an instruction, and this is not part of one", span)
    width = env.machine.prefixes[name].width
    return Value(capture(env.body, name, ir.Operand(name, width)), Bits(width))


def capture(body: Body, name: str, outer: ir.Expr) -> ir.Expr:
    """`here` and prefixes inside a procedure are further parameters of it."""
    if body.kind != "procedure":
        return outer
    body.captured[name] = outer
    return ir.Local(name, ir.width(outer))


def current_mode(node: ast.CurrentMode, env: Env) -> Val:
    """`mode`: the value of the mode expression."""
    machine = env.machine
    if machine.mode is None:
        raise failure("PG201", "this spec has no `mode = …`", node.span)
    with env.body.inside("mode", node.span):
        val = value(machine.mode.value, env.at(machine.mode_scope))
    if isinstance(val, Group):
        parts = [definite(item, node.span) for item in val.items]
        return Value(fold.concat_all(raw(part) for part in parts), Bits(sum(width_of(p.type) for p in parts)))
    return definite(val, node.span)


# -- operators ---------------------------------------------------------------------------------------------------------


def needs_width(node: ast.Expr, env: Env) -> bool:
    """Whether the expression takes its width from its surroundings: `zext(e)`, `unknown`, a sum of such."""
    match node:
        case ast.Number():
            return True
        case ast.Name(text=text):
            entity = env.scope.find(text)
            if isinstance(entity, Cell) and not isinstance(entity.node, ast.String):
                return needs_width(entity.node, env.at(env.scope.hiding(entity.column)))
            return isinstance(entity, Number) or (isinstance(entity, SymbolEntity) and entity.word == "unknown")
        case ast.Call(function=ast.Name(text="zext" | "sext" | "trunc"), args=args):
            return len(args) == 1
        case ast.Member(value=ast.Name(text=text)):
            return isinstance(env.scope.find(text), TrapEntity)
        case ast.Unary(arg=arg):
            return needs_width(arg, env)
        case ast.Binary(op="+" | "-" | "*" | "/" | "%" | "and" | "or" | "xor", left=left, right=right):
            return needs_width(left, env) and needs_width(right, env)
        case ast.Binary(op="<<" | ">>" | ">>s", left=left):
            return needs_width(left, env)
        case ast.IfExpr(then=then, other=other):
            return needs_width(then, env) and needs_width(other, env)
        case ast.MatchExpr(arms=arms):
            values = [arm.value for arm in arms if not isinstance(arm.value, ast.Raise | ast.Unpredictable)]
            return all(needs_width(v, env) for v in values)
        case _:
            return False


def type_of(val: Val) -> Type | None:
    """The type of a value that has one."""
    return val.type if isinstance(val, Value) else None


def both(left: ast.Expr, right: ast.Expr, env: Env, want: Type | None) -> tuple[Val, Val]:
    """Two operands, evaluated in order; one that has no width of its own takes the other's."""
    body = env.body
    if want is None and needs_width(left, env) and not needs_width(right, env):
        with body.block() as after:
            second = value(right, env, None)
        first = value(left, env, type_of(second))
        first = before_effects(first, after, env)
        body.out.extend(after)
        return first, second
    first = value(left, env, want)
    with body.block() as after:
        second = value(right, env, type_of(first) or want)
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
    arg = single(value(node.arg, env, want), node.arg.span)
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
        return Number(_number_op(node.op, a, b))
    a_value, b_value = unify(left, right, node.left.span, node.right.span, node.span)
    if not isinstance(a_value.type, Bits):
        raise failure(
            "PG219", f"`{node.op}` has no meaning for {describe(a_value.type)}", node.span, code_hint(a_value.type)
        )
    return Value(fold.binary(ARITHMETIC[node.op], a_value.expr, b_value.expr), Bits(a_value.type.width))


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
    left = single(value(node.left, env, want), node.left.span)
    with env.body.block() as after:
        right = single(value(node.right, env), node.right.span)
    left = single(before_effects(left, after, env), node.left.span)
    env.body.out.extend(after)
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(left.value << right.value if node.op == "<<" else left.value >> right.value)
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
    left = definite(value(node.left, env), node.left.span)
    with env.body.block() as after:
        right = definite(value(node.right, env), node.right.span)
    left = definite(before_effects(left, after, env), node.left.span)
    env.body.out.extend(after)
    return Value(fold.concat(raw(left), raw(right)), Bits(width_of(left.type) + width_of(right.type)))


def and_or(node: ast.Binary, env: Env, want: Type | None) -> Val:
    """`and`, `or`: on bools the right side is evaluated only if it matters."""
    op: ir.BoolOp = "and" if node.op == "and" else "or"
    body = env.body
    inner = None if isinstance(want, Bool) else want
    if needs_width(node.left, env):
        left, right = both(node.left, node.right, env, inner)
        return combine(op, left, right, node, want)
    left = value(node.left, env, inner)
    decided = number_or_none(left) if isinstance(type_of(left), Bool) else None
    if decided == (0 if op == "and" else 1):
        return left
    with body.block() as after:
        right = value(node.right, env, type_of(left) or inner)
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
    if isinstance(want, Bool) and type_of(left) == Bits(1) == type_of(right):
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
        right = value(node.right, env)
        return value(node.left, env, type_of(right)), right
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


# -- choices -----------------------------------------------------------------------------------------------------------

Arm = Callable[[Type | None], Val | None]
"""Elaborates an arm in the current block; None if it leaves by a trap."""


def _arm(node: ast.Expr | ast.Raise | ast.Unpredictable, env: Env) -> Arm:
    return lambda hint: arm_value(node, env, hint)


def if_value(node: ast.IfExpr, env: Env, want: Type | None) -> Val:
    """`if c then a else b`."""
    cond = condition(node.cond, env)
    if isinstance(cond, ir.BoolConst):
        return value(node.then if cond.value else node.other, env, want)
    sides = [node.then, node.other]
    order = [1, 0] if want is None and needs_width(node.then, env) else [0, 1]
    arms = [_arm(side, env) for side in sides]
    return choose([(cond, arms[0])], arms[1], [s.span for s in sides], env, want, order)


def choose(
    arms: Sequence[tuple[ir.Expr, Arm]],
    other: Arm,
    spans: Sequence[Span],
    env: Env,
    want: Type | None,
    order: Sequence[int] | None = None,
    exclusive: bool = False,
) -> Val:
    """The value of the first arm whose condition holds; anything if all arms trap."""
    val = choose_or_leave(arms, other, spans, env, want, exclusive, order)
    return _left(want) if val is None else val


def choose_or_leave(
    arms: Sequence[tuple[ir.Expr, Arm]],
    other: Arm,
    spans: Sequence[Span],
    env: Env,
    want: Type | None,
    exclusive: bool = False,
    order: Sequence[int] | None = None,
) -> Val | None:
    """The value of the first arm whose condition holds; None if all arms trap.

    Without effects it is a chain of if-then-else; arms with effects become a `When` that sets a local:

        if c then mem[a] else 0      When(c) { Load t := mem[a] … } else { t := 0 }
    """
    body = env.body
    all_arms = [arm for _, arm in arms] + [other]
    blocks: list[list[ir.Stmt]] = [[] for _ in all_arms]
    vals: list[Val | None] = [None] * len(all_arms)
    hint = want
    for i in order or range(len(all_arms)):
        with body.block() as blocks[i]:
            vals[i] = all_arms[i](hint)
        if hint is None and isinstance(vals[i], Value):
            hint = type_of(vals[i] or Number(0))
    present = [v for v in vals if v is not None]
    if not present:
        emit_choice([(c, b) for (c, _), b in zip(arms, blocks, strict=False)], blocks[-1], body, exclusive)
        return None
    if any(isinstance(v, Group) for v in present):
        return choose_groups(arms, vals, blocks, spans, env)
    conds = [c for c, _ in arms]
    type_ = joint_type(present, spans, want)
    if type_ is None:
        if len({v.value for v in present if isinstance(v, Number)}) == 1 and not any(blocks):
            return present[0]
        raise failure(
            "PG215", "nothing here says how wide this is", spans[0], "give one arm a width, as with zext(…, n)"
        )
    exprs = [None if v is None else to_type(v, type_, s).expr for v, s in zip(vals, spans, strict=True)]
    return Value(select(conds, exprs, blocks, body, ir_width(type_), exclusive), type_)


def joint_type(vals: Sequence[Val], spans: Sequence[Span], want: Type | None) -> Type | None:
    """The type that all arms have or take."""
    types = [v.type for v in vals if isinstance(v, Value)]
    if types:
        return BOOL if any(isinstance(t, Bool) for t in types) else types[0]
    widths = {v.width for v in vals if isinstance(v, Number)}
    if want is not None:
        return want
    only = widths.pop() if len(widths) == 1 else None
    return None if only is None else Bits(only)


def select(
    conds: Sequence[ir.Expr],
    exprs: Sequence[ir.Expr | None],
    blocks: Sequence[list[ir.Stmt]],
    body: Body,
    width: int,
    exclusive: bool,
) -> ir.Expr:
    """Merges arms: the last has no condition; None is an arm that has left."""
    exprs = [None if e is not None and leaves(b) and len(exprs) > 1 else e for e, b in zip(exprs, blocks, strict=True)]
    live = [i for i, e in enumerate(exprs) if e is not None]
    if not live:
        emit_choice(list(zip(conds, blocks, strict=False)), blocks[-1], body, exclusive)
        return ir.Const(width, 0) if width else ir.FALSE
    if not any(blocks[i] for i in live):
        emit_leaving(conds, exprs, blocks, body, exclusive)
        result = exprs[live[-1]]
        assert result is not None
        for i in reversed(live[:-1]):
            expr = exprs[i]
            assert expr is not None
            result = fold.if_(conds[i], expr, result)
        return result
    local = body.fresh("tmp")
    for block, expr in zip(blocks, exprs, strict=True):
        if expr is not None:
            block.append(ir.Let(local, expr, body.span))
    emit_choice(list(zip(conds, blocks, strict=False)), blocks[-1], body, exclusive)
    return ir.Local(local, width)


def leaves(stmts: Sequence[ir.Stmt]) -> bool:
    """Whether a block ends by leaving the body."""
    return bool(stmts) and isinstance(stmts[-1], ir.Trap | ir.Unpredictable | ir.Return | ir.Done)


def emit_leaving(
    conds: Sequence[ir.Expr],
    exprs: Sequence[ir.Expr | None],
    blocks: Sequence[list[ir.Stmt]],
    body: Body,
    exclusive: bool,
) -> None:
    """Emits the arms that trap, each under its condition and not those before it."""
    for i, expr in enumerate(exprs):
        if expr is None:
            own = conds[i] if i < len(conds) else ir.TRUE
            alone = exclusive and i < len(conds)
            cond = own if alone else fold.logic("and", fold.not_(fold.any_of(conds[:i])), own)
            emit_when(cond, blocks[i], (), body)


def emit_when(cond: ir.Expr, then: Sequence[ir.Stmt], other: Sequence[ir.Stmt], body: Body) -> None:
    """Emits a conditional block; constant conditions vanish."""
    if isinstance(cond, ir.BoolConst):
        for stmt in then if cond.value else other:
            body.emit(stmt)
    elif then:
        body.emit(ir.When(cond, tuple(then), tuple(other), body.span))
    elif other:
        body.emit(ir.When(fold.not_(cond), tuple(other), (), body.span))


def emit_choice(
    arms: Sequence[tuple[ir.Expr, Sequence[ir.Stmt]]], other: Sequence[ir.Stmt], body: Body, exclusive: bool = False
) -> None:
    """Emits a chain of conditional blocks; side by side if their conditions exclude each other."""
    if exclusive and len(arms) > 1:
        arms = [(body.keep_expr("cond", cond), block) for cond, block in arms]
        for cond, block in arms:
            emit_when(cond, block, (), body)
        emit_when(fold.not_(fold.any_of(cond for cond, _ in arms)), other, (), body)
        return
    rest = list(other)
    for cond, block in reversed(arms[1:]):
        with body.block() as chained:
            emit_when(cond, block, rest, body)
        rest = chained
    if arms:
        emit_when(arms[0][0], arms[0][1], rest, body)
    else:
        for stmt in rest:
            body.emit(stmt)


def choose_groups(
    arms: Sequence[tuple[ir.Expr, Arm]],
    vals: Sequence[Val | None],
    blocks: Sequence[list[ir.Stmt]],
    spans: Sequence[Span],
    env: Env,
) -> Val:
    """`if c then (a, b) else (d, e)`: item by item."""
    if any(blocks):
        raise failure(
            "PG211", "arms that are tuples must be free of effects here", spans[0], "read memory into a `let` first"
        )
    sizes = {len(v.items) if isinstance(v, Group) else 1 for v in vals if v is not None}
    if len(sizes) != 1:
        raise failure("PG211", "all arms must be tuples of one length", spans[0])
    items: list[Number | Value] = []
    for k in range(sizes.pop()):
        column = [v.items[k] for v in vals if isinstance(v, Group)]
        type_ = joint_type(column, spans, None)
        if type_ is None:
            raise failure("PG215", f"nothing here says how wide item {k + 1} is", spans[0])
        exprs: list[ir.Expr | None] = [to_type(v, type_, s).expr for v, s in zip(column, spans, strict=False)]
        items.append(
            Value(select([c for c, _ in arms], exprs, [[] for _ in exprs], env.body, ir_width(type_), False), type_)
        )
    return Group(tuple(items))


def match_value(node: ast.MatchExpr, env: Env, want: Type | None) -> Val:
    """`match e { a => x; b..c => y; _ => z }`."""
    clauses = match_clauses(
        node.subject, [(arm.labels, arm.guard, arm) for arm in node.arms], env, node.span, total=True
    )
    arms = [_arm(arm.value, env) for arm in clauses.arms]
    spans = [arm.value.span for arm in clauses.arms]
    if clauses.decided is not None:
        val = arms[clauses.decided](want)
        return val if val is not None else _left(want)
    order = sorted(range(len(arms)), key=lambda i: want is None and arm_needs_width(clauses.arms[i].value, env))
    pairs = list(zip(clauses.conds, arms, strict=False))
    return choose(pairs, arms[-1], spans, env, want, order, clauses.exclusive)


def _left(want: Type | None) -> Val:
    """What stands for the value of an expression that has trapped."""
    return from_bits(ir.Const(width_of(want), 0), want) if want is not None else Number(0)


def arm_needs_width(node: ast.Expr | ast.Raise | ast.Unpredictable, env: Env) -> bool:
    """Whether an arm takes its width from the others."""
    return isinstance(node, ast.Raise | ast.Unpredictable) or needs_width(node, env)


def arm_value(node: ast.Expr | ast.Raise | ast.Unpredictable, env: Env, want: Type | None) -> Val | None:
    """The value of an arm; None if it traps."""
    if isinstance(node, ast.Raise | ast.Unpredictable):
        env.body.emit(traps.leave(node, env))
        return None
    return value(node, env, want)


A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Clauses(Generic[A]):
    """The arms of a match that can be taken.

    There is a condition for each arm; with `total`, for all but the last, which is taken otherwise.  `exclusive`: at
    most one condition holds.
    """

    arms: Sequence[A]
    conds: Sequence[ir.Expr]
    total: bool
    exclusive: bool

    @property
    def decided(self) -> int | None:
        """The arm that is always taken, if it is known."""
        return 0 if self.total and len(self.arms) == 1 else None


Clause = tuple[tuple[ast.Label, ...], ast.Expr | None, A]


def match_clauses(subject: ast.Expr, clauses: Sequence[Clause[A]], env: Env, span: Span, total: bool) -> Clauses[A]:
    """The arms of `match subject` with their conditions.

    Raises a failure if `total` is asked for and some value of the subject has no arm.
    """
    if isinstance(subject, ast.Name) and isinstance(env.scope.find(subject.text), TrapEntity):
        val: Number | Value = traps.trap_number(env, subject.span)
    else:
        val = single(value(subject, env), subject.span)
    if isinstance(val, Value):
        val = env.body.keep("subject", val) if not fold.is_small(val.expr) else val
    arms: list[A] = []
    conds: list[ir.Expr] = []
    seen: list[tuple[int, int]] = []
    exclusive = True
    for labels, guard, payload in clauses:
        rest = any(isinstance(label.low, ast.Name) and label.low.text == "_" for label in labels)
        cond: ir.Expr = ir.TRUE
        if not rest:
            spans = [label_range(label, val, env) for label in labels]
            cond = fold.any_of(label_cond(label, r, val, env) for label, r in zip(labels, spans, strict=True))
            exclusive = exclusive and not any(r is None or any(_overlap(r, s) for s in seen) for r in spans)
            if guard is None:
                seen.extend(r for r in spans if r is not None)
        if guard is not None:
            if cond == ir.FALSE:
                continue
            cond = fold.logic("and", cond, condition(guard, env))
            exclusive = exclusive and not rest
        if cond == ir.FALSE:
            continue
        arms.append(payload)
        conds.append(cond)
        if cond == ir.TRUE:
            return Clauses(arms, conds[:-1], True, exclusive)
    if arms and clauses[-1][1] is None and covers(seen, val, env):
        return Clauses(arms, conds[:-1], True, exclusive)
    if total:
        raise failure(
            "PG220",
            f"this match does not say what holds otherwise{_missing(seen, val, env)}",
            span,
            "add an arm `_ => …`",
        )
    return Clauses(arms, conds, False, exclusive)


def label_range(label: ast.Label, subject: Number | Value, env: Env) -> tuple[int, int] | None:
    """The values that a label names, if they are constant."""
    ends = [number_or_none(label_value(node, subject, env)) for node in (label.low, label.high) if node is not None]
    low, high = ends[0], ends[-1]
    if low is None or high is None:
        return None
    if label.high is not None and low > high:
        raise failure("PG221", f"the range {low}..{high} is empty", label.span)
    return low, high


def label_value(node: ast.Expr, subject: Number | Value, env: Env) -> Number | Value:
    """A label under the type of the subject."""
    if isinstance(node, ast.Name) and isinstance(subject, Value):
        trap = env.machine.trap_names.get(node.text)
        if trap is not None and subject.expr == ir.Local("t", traps.TRAP_WIDTH):
            return Value(ir.Const(traps.TRAP_WIDTH, trap.number), subject.type)
    if isinstance(subject, Number):
        return single(value(node, env), node.span)
    return to_type(value(node, env, subject.type), subject.type, node.span)


def label_cond(label: ast.Label, known_range: tuple[int, int] | None, subject: Number | Value, env: Env) -> ir.Expr:
    """When a label names the subject."""
    if isinstance(subject, Number):
        if known_range is None:
            raise failure("PG216", "this label must be known when the spec is elaborated", label.span)
        return fold.boolean(known_range[0] <= subject.value <= known_range[1])
    expr = raw(subject)
    width = width_of(subject.type)
    if known_range is None:
        low = label_value(label.low, subject, env)
        assert isinstance(low, Value)
        if label.high is not None:
            raise failure("PG216", "the ends of a range must be known when the spec is elaborated", label.span)
        return fold.compare("eq", expr, raw(low))
    first, last = (fold.const(n, width) for n in known_range)
    if first == last:
        return fold.compare("eq", expr, first)
    above = ir.TRUE if first.value == 0 else fold.compare("ule", first, expr)
    below = ir.TRUE if last.value == (1 << width) - 1 else fold.compare("ule", expr, last)
    return fold.logic("and", above, below)


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def covers(ranges: Sequence[tuple[int, int]], subject: Number | Value, env: Env) -> bool:
    """Whether the ranges name every value of the subject (of an enumeration: every enumerator)."""
    return _first_missing(ranges, subject, env) is None


def _first_missing(ranges: Sequence[tuple[int, int]], subject: Number | Value, env: Env) -> int | None:
    if isinstance(subject, Number):
        return subject.value
    if isinstance(subject.type, Enum) and subject.type != ACCESS:
        members = [code for _, code in env.machine.enums[subject.type.name].members]
        return next((c for c in members if not any(low <= c <= high for low, high in ranges)), None)
    limit = 3 if subject.type == ACCESS else 1 << width_of(subject.type)
    reached = 0
    for low, high in sorted(ranges):
        if low > reached:
            break
        reached = max(reached, high + 1)
    return reached if reached < limit else None


def _missing(ranges: Sequence[tuple[int, int]], subject: Number | Value, env: Env) -> str:
    code = _first_missing(ranges, subject, env)
    if code is None or isinstance(subject, Number):
        return ""
    if isinstance(subject.type, Enum) and subject.type != ACCESS:
        names = {c: n for n, c in env.machine.enums[subject.type.name].members}
        return f", as for {names[code]}"
    return f", as for {code}"


# -- parts -------------------------------------------------------------------------------------------------------------


def subscript(node: ast.Subscript, env: Env) -> Val:
    """`x[i]`, `mem[a, 32]`, `v[7:0]`, `v[i]`."""
    base = node.value
    if isinstance(base, ast.Name):
        entity, _ = find(env, base)
        if isinstance(entity, LookupEntity):
            return lookup(entity, node, env)
    return places.read(places.place(node, env), env, node.span)


def lookup(entity: LookupEntity, node: ast.Subscript, env: Env) -> Value:
    """`bank[m]`: an entry of a table of constants."""
    index = places.only_index(node)
    expr = places.index_value(index, entity.index, entity.name, env)
    table = env.machine.tables[entity.name]
    if isinstance(expr, ir.Const):
        found = table.values[expr.value] if expr.value < len(table.values) else 0
        return from_bits(ir.Const(table.width, found), entity.type)
    return from_bits(ir.Lookup(entity.name, expr, table.width), entity.type)


def member(node: ast.Member, env: Env, want: Type | None = None) -> Val:
    """`mstatus.MPP`, `rd.code`, `t.vector`."""
    if isinstance(node.value, ast.Name):
        entity = env.scope.find(node.value.text)
        if isinstance(entity, TrapEntity):
            return traps.attribute(entity, node.name, env, want)
        if isinstance(entity, EnumEntity):
            code = entity.members.get(node.name.text)
            if code is None:
                hint = did_you_mean(node.name.text, entity.members)
                raise failure("PG201", f"{entity.type.name} has no value {node.name.text}", node.name.span, hint)
            return Value(ir.Const(entity.type.width, code), entity.type)
    return places.read(places.place(node, env), env, node.span)
