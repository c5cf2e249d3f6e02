"""Expressions: syntax to values.

`value` elaborates an expression where it stands: loads and calls in it are emitted before the statement that it belongs
to.  `want` is the type that the surroundings ask for, if they do: literals, `zext(e)` and `unknown` take their width
from it; the result need not have it (`typed` checks that).

    mem[r2] + 4        Load t := mem[r2];  t + 4
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, calls, choices, fold, places, traps, typenames
from analyzer.syntax.body import Body, Env, find
from analyzer.syntax.coerce import definite, from_bits, literal, raw, to_type, unify
from analyzer.syntax.problems import did_you_mean, failure, reported
from analyzer.syntax.scope import (
    BaseEntity,
    Cell,
    EnumEntity,
    Enumerators,
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
    kind_of,
)
from analyzer.syntax.value_types import BOOL, WIDEST, Bits, Bool, Enum, Type, describe, ir_width, width_of
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
    env.step(node.span)
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
            return choices.if_value(node, env, want)
        case ast.MatchExpr():
            return choices.match_value(node, env, want)
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
        case (ViewEntity() as view) | BaseEntity(of=ViewEntity() as view):
            return places.read(places.view_at(view, (), home, node.span), env, node.span)
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
    left = single(value(node.left, env, want), node.left.span)
    with env.body.block() as after:
        right = single(value(node.right, env), node.right.span)
    left = single(before_effects(left, after, env), node.left.span)
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
    left = definite(value(node.left, env), node.left.span)
    with env.body.block() as after:
        right = definite(value(node.right, env), node.right.span)
    left = definite(before_effects(left, after, env), node.left.span)
    env.body.out.extend(after)
    width = width_of(left.type) + width_of(right.type)
    return Value(fold.concat(raw(left), raw(right)), typenames.bits(width, node.span))


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
