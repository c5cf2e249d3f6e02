"""Expressions: syntax to values.

`value` elaborates an expression where it stands: loads and calls in it are emitted before the statement that it belongs
to.  `want` is the type that the surroundings ask for, if they do: literals, `zext(e)` and `unknown` take their width
from it; the result need not have it (`typed` checks that).

    mem[r2] + 4        Load t := mem[r2];  t + 4
"""

from __future__ import annotations

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import accesses, ast, calls, choices, fold, operators, places, traps
from analyzer.syntax.body import Body, Env, find
from analyzer.syntax.coerce import definite, from_bits, literal, raw, to_type
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
from analyzer.syntax.value_types import BOOL, Bits, Enum, Type, ir_width, width_of
from analyzer.syntax.values import Group, Number, Val, Value

MEMORY_KINDS = {"fetch": 0, "read": 1, "write": 2}
ACCESS = Enum("access", 2)
"""The type of `access`, `fetch`, `read` and `write` where an access is asked about."""


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
        case ast.Binary():
            return operators.binary(node, env, want)
        case ast.Call():
            return calls.call_value(node, env, want)
        case ast.Subscript():
            return subscript(node, env)
        case ast.Member():
            return member(node, env, want)
        case ast.IfExpr():
            return choices.if_value(node, env, want)
        case ast.Unary():
            return operators.unary(node, env, want)
        case ast.MatchExpr():
            return choices.match_value(node, env, want)
        case ast.Tuple(items=items):
            return Group(tuple(single(value(item, env), item.span) for item in items))
        case ast.CurrentMode():
            return current_mode(node, env)
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
        case Value() | Number() | Group():
            return entity
        case Cell(column, inner):
            return cell_value(entity, inner, home.at(home.scope.hiding(column)), want, node.span)
        case PlaceEntity(place):
            return accesses.read(place, env, node.span)
        case PrefixEntity(word):
            return prefix(word, env, node.span)
        case (ViewEntity() as view) | BaseEntity(of=ViewEntity() as view):
            return accesses.read(places.view_at(view, (), home, node.span), env, node.span)
        case Variable(local, type_):
            return Value(ir.Local(local, ir_width(type_)), type_)
        case Enumerators():
            return enumerator(entity, node, want)
        case GroupsEntity(group, scope):
            return groups_value(group, env, env.at(scope), want, node.span)
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


# -- widths ------------------------------------------------------------------------------------------------------------


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


# -- parts -------------------------------------------------------------------------------------------------------------


def subscript(node: ast.Subscript, env: Env) -> Val:
    """`x[i]`, `mem[a, 32]`, `v[7:0]`, `v[i]`."""
    base = node.value
    if isinstance(base, ast.Name):
        entity, _ = find(env, base)
        if isinstance(entity, LookupEntity):
            return lookup(entity, node, env)
    return accesses.read(places.place(node, env), env, node.span)


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
    return accesses.read(places.place(node, env), env, node.span)
