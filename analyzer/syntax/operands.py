"""Operands: what the bits of an encoding name.

A plain operand is its bits, or the place that they number (`as x`).  A decoded one has arms; the arm is chosen by bits
of the instruction, may have a further part in the stream, effects, and a place.

    operand ea(w) : 6 {
      | 000 n:3       => d[n][w-1:0]
      | 101 n:3, k:16 => mem[a[n] + sext(k), w] }

    dst : 6, dst.k : 16 present when dst[5:3] == 5;  When(dst[5:3] == 5) { dst.addr := … };  the place is a choice
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from analyzer import ir
from analyzer.syntax import (
    accesses,
    ast,
    choices,
    decoders,
    expressions,
    fold,
    places,
    state,
    statements,
    traps,
    typenames,
)
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import definite, from_bits
from analyzer.syntax.decoders import DecodedArm, Operand, TailSegment
from analyzer.syntax.machine import Formed, Machine
from analyzer.syntax.problems import failure, reported
from analyzer.syntax.scope import EnumEntity, FileEntity, PlaceEntity, ViewEntity
from analyzer.syntax.value_types import Bits, Bool, Type, describe, width_of
from analyzer.syntax.values import (
    ChoicePlace,
    ConcatPlace,
    MemoryPlace,
    OperandPlace,
    Place,
    RetypedPlace,
    SlicePlace,
    Value,
    ValuePlace,
    ViewPlace,
)


def plain(operand: Operand, env: Env) -> OperandPlace:
    """An operand that is its bits, or what they number."""
    return OperandPlace(operand.name, decoders.code_value(operand), numbered(operand, env))


def numbered(operand: Operand, env: Env) -> Place | None:
    """The place that `as x` names."""
    use = operand.use
    if use.declared is None or use.scope is None:
        return None
    style = next((s for s in use.declared.styles if isinstance(s, ast.AsStyle)), None)
    if style is None:
        return None
    entity = use.scope.find(style.name.text)
    match entity:
        case FileEntity():
            if use.width > entity.index_width:
                raise failure(
                    "PG224",
                    f"{use.name} has {use.width} bits, and {entity.name} is numbered by {entity.index_width}",
                    use.span,
                )
            return state.file_entry(entity, fold.extend(False, operand.code, entity.index_width), env.machine)
        case ViewEntity():
            scope = entity.scope.child()
            home = env.at(scope)
            index = entity.node.params[:1]
            if not index or index[0].type is None:
                raise failure("PG222", f"{style.name.text} has no index", style.span)
            type_ = typenames.type_of(index[0].type, home)
            if width_of(type_) != use.width:
                raise failure(
                    "PG224",
                    f"{use.name} has {use.width} bits, and {style.name.text} is numbered by {width_of(type_)}",
                    use.span,
                )
            scope.names[index[0].name.text] = from_bits(operand.code, type_)
            for param in entity.node.params[1:]:
                if param.default is None or param.type is None:
                    raise failure("PG222", f"{style.name.text} wants a value for {param.name.text}", style.span)
            _defaults(entity, home)
            return ViewPlace(entity, home, typenames.type_of(entity.node.type, home))
        case EnumEntity(type_, _):
            if type_.width != use.width:
                raise failure("PG224", f"{use.name} has {use.width} bits, and {type_.name} {type_.width}", use.span)
            return ValuePlace(Value(operand.code, type_))
        case _:
            raise failure("PG201", f"there is no file, view or enumeration {style.name.text}", style.span)


def _defaults(entity: ViewEntity, home: Env) -> None:
    """Further parameters of a view take their defaults."""
    for param in entity.node.params[1:]:
        assert param.type is not None
        assert param.default is not None
        type_ = typenames.type_of(param.type, home)
        home.scope.names[param.name.text] = Value(expressions.typed(param.default, home, type_), type_)


def form(operand: Operand, env: Env, start: ir.Expr | None) -> OperandPlace:
    """Evaluates a decoded operand: emits the effects of the arm that is chosen, and returns the choice of places.

    `start` is the address after everything before the operand's own part of the stream.  Instructions with the same
    operand at the same place share its statements, so its locals are named after it.
    """
    machine, body = env.machine, env.body
    key = (id(operand.arms), start)
    known = machine.formed.get(key)
    if known is None:
        known = _form_anew(operand, env, start)
        machine.formed[key] = known
    formed, place, no_address, names, restrictions = known
    body.used |= names
    body.restrictions.extend(restrictions)
    for stmt in formed:
        body.emit(stmt)
    return OperandPlace(operand.name, decoders.code_value(operand), place, no_address)


def _form_anew(operand: Operand, env: Env, start: ir.Expr | None) -> Formed:
    body = env.body
    before, span, prefix, used = body.position, body.span, body.prefix, body.used
    body.prefix, body.used = f"{operand.name}.", set()
    outer, body.restrictions = body.restrictions, []
    restrictions: list[ir.Expr] = []
    made: list[tuple[ir.Expr, Place]] = []
    with body.block() as formed:
        try:
            for arm in operand.arms:
                with body.block() as emitted:
                    body.position = None if start is None else _after(start, arm, operand, env)
                    body.span = arm.node.span
                    with env.machine.problems.catch(arm.node.span):
                        made.append((arm.cond, _arm_place(arm, operand, env, start)))
                choices.emit_when(arm.cond, emitted, (), body)
                restrictions += [fold.logic("or", fold.not_(arm.cond), r) for r in body.restrictions]
                body.restrictions = []
            no_address: ir.Stmt | None = None
            if operand.otherwise is not None and operand.use.scope is not None:
                no_address = traps.leave(operand.otherwise, env.at(operand.use.scope))
                if operand.valid != ir.TRUE:
                    choices.emit_when(fold.not_(operand.valid), [no_address], (), body)
        finally:
            names = frozenset(body.used)
            body.position, body.span, body.prefix, body.used = before, span, prefix, used
            body.restrictions = outer
    if len(made) != len(operand.arms):
        raise reported()
    return tuple(formed), _choice(made, operand), no_address, names, tuple(restrictions)


def _after(start: ir.Expr, arm: DecodedArm, operand: Operand, env: Env) -> ir.Expr:
    """The program counter just past the part of an arm in the stream."""
    width = ir.width(start)
    total = fold.binary("add", start, ir.Const(width, arm.units))
    for inner in arm.fields.values():
        total = fold.binary("add", total, length_of(inner.tails, width, env.machine))
    return total


def length_of(tails: Sequence[TailSegment], width: int, machine: Machine) -> ir.Expr:
    """The units of segments that may be there."""
    total: ir.Expr = ir.Const(width, 0)
    for tail in tails:
        units = fold.if_(tail.cond, ir.Const(width, tail.width // machine.unit), ir.Const(width, 0))
        total = fold.binary("add", total, units)
    return total


def _arm_place(arm: DecodedArm, operand: Operand, env: Env, start: ir.Expr | None) -> Place:
    """The place of an arm, fixed: later writes do not move it."""
    own = None if start is None else fold.binary("add", start, ir.Const(ir.width(start), arm.units))
    assert operand.use.scope is not None
    home = env.at(operand.use.scope.child())
    for name, inner in arm.fields.items():
        place = form(inner, home, own) if inner.arms else plain(inner, home)
        home.scope.names[name] = PlaceEntity(place)
    body = arm.node.body
    if isinstance(body, ast.Block):
        found: list[Place] = []
        place_ = block_place(body, home, found)
    else:
        place_ = places.place(body, home)
    return _frozen(place_, operand, home)


def block_place(node: ast.Block, env: Env, found: list[Place]) -> Place:
    """The place that a block of an arm returns at its end."""
    inner = env.child()
    if not node.stmts or not isinstance(node.stmts[-1], ast.Return):
        val = statements.result(node, env, None)
        if val is None:
            raise failure("PG302", "this arm never returns a place", node.span)
        return ValuePlace(definite(val, node.span))
    statements.run(node.stmts[:-1], inner)
    return places.place(node.stmts[-1].value, inner)


def _frozen(place: Place, operand: Operand, env: Env) -> Place:
    """Memory places of one operand share a local for their address."""
    body = env.body
    match place:
        case ConcatPlace(parts) if all(_is_value(part) for part in parts):
            return _frozen(ValuePlace(accesses.read(place, env, operand.use.span)), operand, env)
        case MemoryPlace():
            args = tuple(
                None if arg is None else _shared(f"{operand.name}.{place.space}{i}", arg, body)
                for i, arg in enumerate(place.args)
            )
            return replace(place, address=_shared(f"{operand.name}.addr", place.address, body), args=args)
        case SlicePlace() | RetypedPlace():
            return replace(place, base=_frozen(place.base, operand, env))
        case OperandPlace(_, code, inner):
            return _frozen(ValuePlace(code) if inner is None else inner, operand, env)
        case ValuePlace(val) if not _encoded(val.expr):
            local = f"{operand.name}.value{width_of(val.type)}"
            body.used.add(local)
            body.emit(ir.Let(local, val.expr, body.span))
            return ValuePlace(Value(ir.Local(local, ir.width(val.expr)), val.type))
        case _:
            return accesses.freeze(place, env, "at")


def _is_value(place: Place) -> bool:
    """Whether a place is a value, and cannot be written."""
    match place:
        case ValuePlace() | OperandPlace(_, _, None):
            return True
        case ConcatPlace(parts):
            return all(_is_value(part) for part in parts)
        case _:
            return False


def _encoded(expr: ir.Expr) -> bool:
    """Whether a value is made of bits of the instruction only, and so need not be kept."""
    if isinstance(expr, ir.Get | ir.GetEntry | ir.Local | ir.Unknown | ir.Arbitrary):
        return False
    return all(_encoded(child) for child in ir.children(expr))


def _shared(local: str, expr: ir.Expr, body: Body) -> ir.Local:
    """A local that all arms of an operand set: then their places are one."""
    body.used.add(local)
    body.emit(ir.Let(local, expr, body.span))
    return ir.Local(local, ir.width(expr))


def _choice(made: Sequence[tuple[ir.Expr, Place]], operand: Operand) -> Place:
    """The places of all arms as one; equal ones are joined, memory comes last."""
    groups: list[tuple[ir.Expr, Place]] = []
    type_: Type = made[0][1].type
    for (cond, place), arm in zip(made, operand.arms, strict=True):
        if width_of(place.type) != width_of(type_):
            raise failure(
                "PG256",
                f"this arm of operand {operand.use.name} is {describe(place.type)}, and the first is {describe(type_)}",
                arm.node.span,
            )
        if isinstance(place.type, Bool) or place.type != type_:
            place = RetypedPlace(place, Bits(width_of(type_)))
        for i, (other_cond, other) in enumerate(groups):
            if other == place:
                groups[i] = (fold.logic("or", other_cond, cond), other)
                break
        else:
            groups.append((cond, place))
    groups.sort(key=lambda g: isinstance(g[1], MemoryPlace))
    if len(groups) == 1:
        return groups[0][1]
    return ChoicePlace(tuple(groups[:-1]), groups[-1][1], Bits(width_of(type_)), exclusive=True)
