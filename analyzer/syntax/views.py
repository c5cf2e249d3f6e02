"""Views: places made of places, and spaces made of views.

view sp : 32 = if sr.S then ssp else usp          the place itself
view sstatus : 64 of mstatus { SIE SPIE }         a register that has only some of the fields
view csr[n : 12] : 64 { check { … } place … }     statements around a place; `access` is read or write
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import accesses, ast, expressions, places, statements, typenames
from analyzer.syntax.body import Body, Env, find
from analyzer.syntax.coerce import parameter, raw, to_type
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import did_you_mean, failure, reported
from analyzer.syntax.prune import prune
from analyzer.syntax.scope import Entity, SpaceEntity, ViewEntity, kind_of
from analyzer.syntax.value_types import Bits, Type, width_of
from analyzer.syntax.values import LayoutPart, LayoutPlace, Place, RetypedPlace, Value, ValuePlace, ViewPlace

READ, WRITE = ir.Const(2, 1), ir.Const(2, 2)


@contextmanager
def accessing(body: Body, access: ir.Expr) -> Iterator[None]:
    """Inside, `access` is known."""
    before, body.access = body.access, access
    try:
        yield
    finally:
        body.access = before


def here(base: ViewPlace, env: Env) -> Env:
    """Where the parts of a view are elaborated: its names, the reader's body."""
    return Env(env.machine, env.body, base.env.scope.child())


def target(base: ViewPlace, env: Env) -> Place:
    """The place that a view `= place` is."""
    node = base.view.node.body
    assert not isinstance(node, ast.Selection | ast.Computed)
    found = places.place(node, here(base, env), base.type)
    return _checked(found, base.type, node.span)


def _checked(found: Place, want: Type, span: Span) -> Place:
    if found.type == want:
        return found
    if width_of(found.type) != width_of(want):
        raise failure("PG210", f"the view has {width_of(want)} bits, and its place {width_of(found.type)}", span)
    return RetypedPlace(found, want)


def read(base: ViewPlace, env: Env, span: Span) -> Value:
    """The present value of a view."""
    body = env.body
    node = base.view.node.body
    with body.inside(base.view, span):
        match node:
            case ast.Selection():
                return accesses.read(selection(base, node, env), env, span)
            case ast.Computed(parts=parts):
                with accessing(body, READ):
                    return _read_parts(base, parts, env, span)
            case _:
                expr = expressions.typed(node, here(base, env), base.type)
                return Value(expr, base.type)


def _read_parts(base: ViewPlace, parts: tuple[ast.ViewPart, ...], env: Env, span: Span) -> Value:
    home = here(base, env)
    for part in parts:
        match part:
            case ast.Check(body=block):
                statements.block(block, home)
            case ast.Read(body=block):
                val = statements.result(block, home, base.type)
                return (
                    Value(ir.Const(width_of(base.type), 0), base.type) if val is None else to_type(val, base.type, span)
                )
            case ast.Place(value=value):
                return Value(expressions.typed(value, home, base.type), base.type)
            case ast.Write():
                pass
    raise failure("PG230", f"{base.view.node.name.text} cannot be read: it has no `read` part", span)


def write(base: ViewPlace, expr: ir.Expr, env: Env, span: Span) -> None:
    """Emits a write of a view."""
    body = env.body
    node = base.view.node.body
    with body.inside(base.view, span):
        match node:
            case ast.Selection():
                accesses.write(selection(base, node, env), expr, env, span)
            case ast.Computed(parts=parts):
                with accessing(body, WRITE):
                    _write_parts(base, parts, expr, env, span)
            case _:
                accesses.write(target(base, env), expr, env, span)


def _write_parts(base: ViewPlace, parts: tuple[ast.ViewPart, ...], expr: ir.Expr, env: Env, span: Span) -> None:
    home = here(base, env)
    for part in parts:
        match part:
            case ast.Check(body=block):
                statements.block(block, home)
            case ast.Write(name=name, body=block):
                val = env.body.keep(name.text, Value(expr, Bits(width_of(base.type))))
                statements.inline(block, home.child({name.text: val}))
                return
            case ast.Place(value=value):
                accesses.write(_checked(places.place(value, home, base.type), base.type, span), expr, env, span)
                return
            case ast.Read():
                pass
    raise failure("PG230", f"{base.view.node.name.text} cannot be written: it has no `write` part", span)


def freeze(base: ViewPlace, env: Env, local: str) -> Place:
    """A view that no later write moves."""
    if isinstance(base.view.node.body, ast.Selection | ast.Computed):
        return base
    with env.body.inside(base.view, base.view.node.span):
        return accesses.freeze(target(base, env), env, local)


def selection(base: ViewPlace, node: ast.Selection, env: Env) -> LayoutPlace:
    """`of mstatus { SIE SPIE }`: the register with these fields only."""
    register = places.place(node.register, here(base, env))
    if not isinstance(register, LayoutPlace):
        raise failure("PG229", f"{node.register.text} is no register with fields", node.register.span)
    known = {part.name: part for part in register.type.parts}
    chosen = set()
    for name in node.fields:
        part = known.get(name.text)
        if part is None:
            hint = did_you_mean(name.text, known)
            raise failure("PG229", f"{node.register.text} has no field {name.text}", name.span, hint)
        chosen.add((part.hi, part.lo))
    width = width_of(base.type)
    if width > register.type.width:
        raise failure("PG210", f"the view has {width} bits, and {node.register.text} {register.type.width}", node.span)
    parts = []
    for piece in register.parts:
        if piece.lo >= width:
            continue
        if (piece.hi, piece.lo) in chosen:
            parts.append(piece)
        else:
            bits = min(piece.hi, width - 1) - piece.lo + 1
            zero = ValuePlace(Value(ir.Const(bits, 0), Bits(bits)), ignores=True)
            parts.append(LayoutPart(piece.lo + bits - 1, piece.lo, zero))
    type_ = Bits(width, tuple(p for p in register.type.parts if (p.hi, p.lo) in chosen))
    return LayoutPlace(tuple(parts), type_)


# -- views as spaces ---------------------------------------------------------------------------------------------------


def space(name: str, machine: Machine) -> SpaceEntity:
    """The space of this name."""
    if name in machine.buses:
        return machine.buses[name]
    entity = machine.globals.find(name)
    if isinstance(entity, ViewEntity):
        return bus(entity, machine, entity.node.span)
    if not isinstance(entity, SpaceEntity):
        raise reported()
    return entity


def as_space(entity: Entity, env: Env, name: ast.Name) -> SpaceEntity:
    """A memory, a map, or a view with an index that is used as one."""
    match entity:
        case SpaceEntity():
            return entity
        case ViewEntity() if entity.node.params:
            return bus(entity, env.machine, name.span)
        case _:
            raise failure("PG217", f"{name.text} is {kind_of(entity)}, not a memory", name.span)


def find_space(name: ast.Name, env: Env) -> SpaceEntity:
    """The space that a name stands for."""
    entity, _ = find(env, name)
    return as_space(entity, env, name)


def bus(view: ViewEntity, machine: Machine, span: Span) -> SpaceEntity:
    """A view as a space: made once, with procedures that read and write it."""
    node = view.node
    name = node.name.text
    if name in machine.buses:
        return machine.buses[name]
    home = Env(machine, Body("pure", pure=True), view.scope)
    types = [typenames.type_of(p.type, home) if p.type is not None else Bits(1) for p in node.params]
    unit = width_of(typenames.type_of(node.type, home))
    params = tuple((p.name.text, t, p.default) for p, t in zip(node.params[1:], types[1:], strict=True))
    entity = SpaceEntity(name, Bits(width_of(types[0])), unit, params, "bus")
    machine.buses[name] = entity
    formals = [(p.name.text, Bits(width_of(t)), t) for p, t in zip(node.params, types, strict=True)]

    def procedure(writing: bool) -> ir.Procedure:
        body = Body("procedure", pc=machine.pc)
        scope = view.scope.child()
        body.used = {n for n, _, _ in formals}
        scope.names.update({n: parameter(n, declared) for n, _, declared in formals})
        env = Env(machine, body, scope)
        base = ViewPlace(view, env, typenames.type_of(node.type, env))
        params_ = [(n, t.width) for n, t, _ in formals]
        if writing:
            value = "value" if "value" not in body.used else "value.written"
            body.used.add(value)
            write(base, ir.Local(value, unit), env, span)
            return ir.Procedure(
                f"{name}.write", (*params_, (value, unit)), None, prune(tuple(body.out), machine.locals), node.span
            )
        result = raw(read(base, env, span))
        if not statements.ends(body.out):
            body.emit(ir.Return(result, node.span))
        return ir.Procedure(f"{name}.read", tuple(params_), unit, prune(tuple(body.out), machine.locals), node.span)

    def attempt_write() -> ir.Procedure | None:
        if isinstance(node.body, ast.Computed) and not any(
            isinstance(p, ast.Write | ast.Place) for p in node.body.parts
        ):
            return None
        return procedure(writing=True)

    map_params = tuple(ir.MapParam(n, width_of(t), None) for n, t, _ in params)
    machine.spaces[name] = ir.Bus(
        name, entity.index.width, unit, map_params, procedure(False), attempt_write(), node.span
    )
    return entity


def default_arg(space_: SpaceEntity, index: int, kind: ir.AccessKind, env: Env, span: Span) -> ir.Expr:
    """The default of a map's argument at an access: evaluated in the state of that moment."""
    name, type_, default = space_.params[index]
    if default is None:
        raise failure("PG222", f"{space_.name} wants a value for {name}", span)
    machine = env.machine
    home = Env(machine, env.body, machine.globals)
    with accessing(env.body, ir.Const(2, ir.ACCESS_CODE[kind])):
        return raw(to_type(expressions.value(default, home, type_), type_, default.span))
