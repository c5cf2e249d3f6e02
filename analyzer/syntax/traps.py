"""Traps: raising them, and what the delivery sees of them.

trap page(va : 64) : memory { cause = 12, tval = va }      TrapKind page(va) { cause = 12, tval = va }
deliver t { scause = t.cause }                             Set scause := t.cause      (a local)
"""

from __future__ import annotations

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, calls, expressions, fold, typenames
from analyzer.syntax.body import Body, Env
from analyzer.syntax.machine import Machine, TrapDecl
from analyzer.syntax.problems import did_you_mean, failure, reported
from analyzer.syntax.scope import Scope, TrapEntity
from analyzer.syntax.value_types import BOOL, Bits, Bool, Type, ir_width, width_of
from analyzer.syntax.values import Number, Value

TRAP_WIDTH = 8
"""The width of the number of a trap in a delivery."""


def leave(node: ast.Raise | ast.Unpredictable, env: Env) -> ir.Stmt:
    """`trap x(…)`, `unpredictable`; loads of the arguments are emitted."""
    if isinstance(node, ast.Unpredictable):
        return ir.Unpredictable(node.span)
    return raise_(node.trap, node.args, env, node.span)


def raise_(name: ast.Name, args: tuple[ast.Arg, ...], env: Env, span: Span) -> ir.Trap:
    """The statement that raises a trap."""
    decl = env.machine.trap_names.get(name.text)
    if decl is None:
        raise failure(
            "PG206", f"there is no trap {name.text}", name.span, did_you_mean(name.text, env.machine.trap_names)
        )
    return ir.Trap(name.text, arguments(decl, args, env, span), span)


def arguments(decl: TrapDecl, args: tuple[ast.Arg, ...], env: Env, span: Span) -> tuple[ir.Expr, ...]:
    """The arguments of a trap; a bool is one bit."""
    if len(decl.params) != len(decl.node.params):
        raise reported()
    given = calls.match_args(decl.node.name.text, decl.node.params, args, span)
    exprs = []
    for (_, type_, default), arg in zip(decl.params, given, strict=True):
        node, where = (arg, env) if arg is not None else (default, env.at(decl.scope))
        assert node is not None
        expr = expressions.typed(node, where, type_)
        exprs.append(fold.to_bits(expr) if isinstance(type_, Bool) else expr)
    return tuple(exprs)


def trap_number(env: Env, span: Span) -> Value:
    """`t`: which trap is delivered."""
    return Value(ir.Local("t", TRAP_WIDTH), Bits(TRAP_WIDTH))


def compare_trap(node: ast.Binary, env: Env) -> Value:
    """`t == page`."""
    assert isinstance(node.right, ast.Name)
    decl = env.machine.trap_names.get(node.right.text)
    if decl is None:
        hint = did_you_mean(node.right.text, env.machine.trap_names)
        raise failure("PG206", f"there is no trap {node.right.text}", node.right.span, hint)
    same = fold.compare("eq", ir.Local("t", TRAP_WIDTH), ir.Const(TRAP_WIDTH, decl.number))
    return Value(same if node.op == "==" else fold.not_(same), BOOL)


def kinds_when(cond: ast.Expr, env: Env, truth: bool = True) -> frozenset[str] | None:
    """The traps for which a condition of a delivery can be `truth`; None if it does not say."""
    match cond:
        case ast.Binary(op="==" | "!=", left=ast.Name(text=left), right=ast.Name(text=right)) if isinstance(
            env.scope.find(left), TrapEntity
        ):
            names = frozenset(env.machine.trap_names)
            return frozenset({right}) if (cond.op == "==") == truth else names - {right}
        case ast.Binary(op="and" | "or", left=first, right=second):
            a, b = kinds_when(first, env, truth), kinds_when(second, env, truth)
            if (cond.op == "and") == truth:
                return b if a is None else a if b is None else a & b
            return None if a is None or b is None else a | b
        case ast.Unary(op="not", arg=arg):
            return kinds_when(arg, env, not truth)
        case _:
            return None


def narrowed(cond: ast.Expr, env: Env, truth: bool = True) -> Env:
    """Where a condition of a delivery has a value: `t` is one of fewer traps there."""
    kinds = kinds_when(cond, env, truth)
    if kinds is None:
        return env
    names = ((name, entity) for scope in env.scope.around() for name, entity in scope.names.items())
    name, entity = next((name, entity) for name, entity in names if isinstance(entity, TrapEntity))
    return env.child({name: TrapEntity(kinds if entity.known is None else kinds & entity.known)})


def narrowed_to(subject: ast.Expr, labels: tuple[ast.Label, ...], env: Env) -> Env:
    """Where an arm of `match t { … }` stands."""
    if not isinstance(subject, ast.Name):
        return env
    entity = env.scope.find(subject.text)
    kinds = {label.low.text for label in labels if isinstance(label.low, ast.Name)} & set(env.machine.trap_names)
    if not isinstance(entity, TrapEntity) or not kinds:
        return env
    return env.child({subject.text: TrapEntity(frozenset(kinds))})


def attribute(entity: TrapEntity, name: ast.Name, env: Env, want: Type | None) -> Value:
    """`t.cause`: an attribute of the trap, or one of its parameters."""
    machine = env.machine
    attr = name.text
    if attr not in machine.attributes:
        if attr not in machine.parameters:
            raise failure(
                "PG207", f"no trap has an attribute {attr}", name.span, did_you_mean(attr, machine.attributes)
            )
        machine.attributes[attr] = machine.parameters[attr]
    for kind, decl in machine.trap_names.items():
        if (entity.known is None or kind in entity.known) and not _has(decl, attr):
            machine.problems.report(
                "PG301",
                f"the delivery uses {attr}, and trap {kind} does not have it",
                name.span,
                f"write {attr} = … in trap {kind}, or ask `t == …` first",
            )
    type_ = machine.attributes[attr]
    if type_ is None:
        if want is None:
            raise failure(
                "PG215", f"nothing says how wide {attr} is", name.span, f"write a width in a trap: {attr} = zext(…, n)"
            )
        machine.learned[attr] = max(machine.learned.get(attr, 0), width_of(want))
        type_ = want
    return Value(ir.Local(f"t.{attr}", ir_width(type_)), type_)


def _has(decl: TrapDecl, attr: str) -> bool:
    return any(a.name.text == attr for a in decl.node.attrs) or any(name == attr for name, _, _ in decl.params)


# -- declarations ------------------------------------------------------------------------------------------------------


def declare(node: ast.Trap, scope: Scope, machine: Machine) -> None:
    """Notes a trap kind, its number and its parameters."""
    if node.name.text in machine.trap_names:
        raise failure("PG205", f"there are two traps {node.name.text}", node.name.span)
    machine.trap_names[node.name.text] = TrapDecl(node, len(machine.trap_names), scope)


def parameters(decl: TrapDecl, machine: Machine) -> None:
    """The types of the parameters of a trap."""
    env = Env(machine, Body("pure", pure=True), decl.scope)
    params = []
    for param in decl.node.params:
        if param.type is None:
            raise failure("PG208", f"parameter {param.name.text} of a trap needs a width", param.name.span)
        params.append((param.name.text, typenames.type_of(param.type, env), param.default))
    decl.params = tuple(params)


def find_attributes(machine: Machine) -> None:
    """The attributes of all traps, with those types that the traps themselves determine."""
    for decl in machine.trap_names.values():
        for name, type_, _ in decl.params:
            machine.parameters.setdefault(name, type_)
        for attr in decl.node.attrs:
            known = machine.attributes.get(attr.name.text)
            if known is None:
                machine.attributes[attr.name.text] = _attribute_type(attr.value, decl, machine)
    for name, type_ in machine.parameters.items():
        if name in machine.attributes and machine.attributes[name] is None:
            machine.attributes[name] = type_


def _environment(decl: TrapDecl, machine: Machine) -> Env:
    params = {name: Value(ir.Local(name, width_of(t)), _bits(t)) for name, t, _ in decl.params}
    body = Body("pure", pure=True, access=ir.Local("access", 2))
    return Env(machine, body, decl.scope.child(params))


def _bits(type_: Type) -> Type:
    return Bits(1) if isinstance(type_, Bool) else type_


def _attribute_type(node: ast.Expr, decl: TrapDecl, machine: Machine) -> Type | None:
    env = _environment(decl, machine)
    env.body.span = node.span
    if expressions.needs_width(node, env):
        return None
    val = expressions.value(node, env)
    return val.type if isinstance(val, Value) else None


def settle_attributes(machine: Machine) -> None:
    """Attributes with nothing but literals take the width that the delivery wants, or the least that holds them."""
    for name, type_ in machine.attributes.items():
        if type_ is None:
            machine.attributes[name] = Bits(machine.learned.get(name) or _least(name, machine))


def _least(name: str, machine: Machine) -> int:
    least = 1
    for decl in machine.trap_names.values():
        for attr in decl.node.attrs:
            if attr.name.text == name:
                env = _environment(decl, machine)
                try:
                    val = expressions.value(attr.value, env, Bits(64))
                except Exception:  # reported when the attribute is elaborated
                    continue
                least = max(least, val.value.bit_length() if isinstance(val, Number) else 32)
    return least


def finish(machine: Machine) -> None:
    """Makes the trap kinds of the IR."""
    for name, decl in machine.trap_names.items():
        with machine.problems.catch(decl.node.span):
            machine.traps[name] = _kind(name, decl, machine)


def _kind(name: str, decl: TrapDecl, machine: Machine) -> ir.TrapKind:
    node = decl.node
    kinds = {kind.value: kind for kind in ir.TrapClass}
    if node.kind.text not in kinds:
        raise failure(
            "PG209", f"{node.kind.text} is no kind of trap", node.kind.span, f"the kinds are {', '.join(kinds)}"
        )
    given = {attr.name.text: attr for attr in node.attrs}
    params = {p: (t, width_of(t)) for p, t, _ in decl.params}
    attributes: list[tuple[str, ir.Expr]] = []
    env = _environment(decl, machine)
    for attr, type_ in machine.attributes.items():
        assert type_ is not None
        if attr in given:
            with machine.problems.catch(given[attr].span):
                env.body.span = given[attr].value.span
                expr = expressions.typed(given[attr].value, env, type_)
                attributes.append((attr, fold.to_bits(expr) if isinstance(type_, Bool) else expr))
        elif attr in params and params[attr][1] == width_of(type_):
            attributes.append((attr, ir.Local(attr, width_of(type_))))
        elif attr in params:
            raise failure(
                "PG210", f"{attr} has {width_of(type_)} bits in other traps and {params[attr][1]} here", node.span
            )
        else:
            attributes.append((attr, ir.Const(width_of(type_), 0)))
    return ir.TrapKind(
        name,
        kinds[node.kind.text],
        tuple((p, width) for p, (_, width) in params.items()),
        "next" if node.at_next else "here",
        tuple(attributes),
        node.span,
        tuple(p.name.text for p in node.params if p.default is not None),
    )
