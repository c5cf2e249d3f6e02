"""Maps, and how instructions follow each other: the program counter, `advance`, `fetch`."""

from __future__ import annotations

from msgspec.structs import replace

from analyzer import ir
from analyzer.syntax import ast, expressions, places, state, statements, traps, typenames, views
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import parameter, raw, to_type
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.prune import prune
from analyzer.syntax.scope import BaseEntity, Scope, SpaceEntity, ViewEntity
from analyzer.syntax.sections import Sections
from analyzer.syntax.value_types import width_of
from analyzer.syntax.values import ElementPlace, Place, RetypedPlace, Value

BELOW = "name a `memory`, a view, or another map"


def units(sections: Sections) -> None:
    """The units of maps, from the memory at the bottom up."""
    machine = sections.machine
    waiting = sections.of(ast.Map)
    while waiting:
        rest = [(node, piece) for node, piece in waiting if not _unit_of(node, piece.scope, machine)]
        if len(rest) == len(waiting):
            for node, piece in rest:
                space = node.space
                known = {n for n in piece.scope.known() if isinstance(piece.scope.find(n), SpaceEntity | ViewEntity)}
                message = f"there is no memory {space.text}, or it stands on this map itself"
                hint = did_you_mean(space.text, known - {space.text}) or BELOW
                machine.problems.report("PG201", message, space.span, hint)
                piece.scope.names.pop(node.name.text, None)
            return
        waiting = rest


def _unit_of(node: ast.Map, scope: Scope, machine: Machine) -> bool:
    entity = scope.find(node.name.text)
    below = scope.find(node.space.text)
    unit_ = 0
    match below:
        case SpaceEntity(unit=known):
            unit_ = known
        case ViewEntity() if below.node.params:
            with machine.problems.catch(node.span):
                unit_ = width_of(typenames.type_of(below.node.type, state.pure(machine, below.scope)))
        case _:
            pass
    if not unit_ or not isinstance(entity, SpaceEntity):
        return not isinstance(entity, SpaceEntity)
    scope.names[node.name.text] = replace(entity, unit=unit_)
    return True


def counter(sections: Sections) -> None:
    """The program counter, from `fetch`: bodies need it."""
    machine = sections.machine
    found = sections.last(ast.Fetch)
    if found is None:
        machine.problems.report(
            "PG310", "this spec has no `fetch`", sections.header.span, "write `fetch 8 from mem at pc`"
        )
        return
    node, piece = found
    with machine.problems.catch(node.span):
        env = state.pure(machine, piece.scope)
        machine.parcel = width_of(typenames.type_of(node.parcel, env))
        element = _element(places.place(node.pc, env))
        if element is None:
            raise failure("PG311", "the program counter must be a register, or one field", node.pc.span)
        machine.pc, machine.pc_width = element.element, width_of(element.type)
        if machine.parcel % machine.unit:
            raise failure("PG303", f"a parcel has {machine.parcel} bits, no multiple of the unit", node.parcel.span)


def _element(place: Place) -> ElementPlace | None:
    match place:
        case ElementPlace():
            return place
        case RetypedPlace(base):
            return _element(base)
        case _:
            return None


def advance(sections: Sections) -> None:
    """`advance { … }`."""
    found = sections.last(ast.Advance)
    if found is not None:
        sections.machine.advance = found[0]


def maps(sections: Sections) -> None:
    """The bodies of maps, and sizes of memories."""
    machine = sections.machine
    sections.each(ast.Memory, state.finish_memory)
    final = {node.name.text: (node, piece.scope) for node, piece in sections.of(ast.Map)}
    for node, scope in final.values():
        with machine.problems.catch(node.span):
            _map(node, scope, machine)


def _map(node: ast.Map, scope: Scope, machine: Machine) -> None:
    entity = scope.find(node.name.text)
    if not isinstance(entity, SpaceEntity):
        return
    body = Body("map", pc=machine.pc, span=node.span, access=ir.Local("access", 2))
    env = Env(machine, body, scope.child())
    below = views.find_space(node.space, env)
    body.returns = below.index
    body.used = {"access", "bits", node.index.name.text, *(n for n, _, _ in entity.params)}
    env.scope.names[node.index.name.text] = Value(ir.Local(node.index.name.text, entity.index.width), entity.index)
    for name, type_, _ in entity.params:
        env.scope.names[name] = parameter(name, type_)
    before = machine.problems.count
    statements.block(
        node.body, env if entity.overridden is None else env.child({"base": BaseEntity(entity.overridden)})
    )
    if not statements.ends(body.out) and machine.problems.count == before:
        machine.problems.report(
            "PG302",
            f"map {node.name.text} can end without an address",
            node.name.span,
            "end it with `return` or `trap`",
        )
    params = []
    for (name, type_, default), param in zip(entity.params, node.params, strict=True):
        expr: ir.Expr | None = None
        if default is not None:
            pure = state.pure(machine, scope)
            pure.body.access = ir.Local("access", 2)
            pure.body.here = ir.Local("here", machine.pc_width or 1)
            pure.body.span = param.span
            expr = raw(to_type(expressions.value(default, pure, type_), type_, default.span))
        params.append(ir.MapParam(name, width_of(type_), expr))
    machine.spaces[node.name.text] = ir.Map(
        node.name.text,
        node.index.name.text,
        entity.index.width,
        entity.unit,
        tuple(params),
        below.name,
        prune(tuple(body.out), machine.locals),
        node.name.span,
    )


def fetch(sections: Sections) -> None:
    """`fetch 8 from mem at pc limit 15 else trap gp(0)`."""
    machine = sections.machine
    found = sections.last(ast.Fetch)
    if found is None or machine.pc is None:
        return
    node, piece = found
    with machine.problems.catch(node.span):
        env = state.pure(machine, piece.scope)
        env.body.span = node.span
        env.body.here = ir.Get(machine.pc, machine.pc_width)
        space = views.find_space(node.space, env)
        if space.index.width != machine.pc_width:
            raise failure(
                "PG210",
                f"{space.name} has addresses of {space.index.width} bits, and the program counter {machine.pc_width}",
                node.pc.span,
            )
        positional = [a.value for a in node.args if a.name is None]
        by_name = {a.name.text: a.value for a in node.args if a.name is not None}
        args = places.space_args(space, positional, by_name, env, node.span)
        filled = tuple(
            views.default_arg(space, i, "fetch", env, node.span) if arg is None else arg for i, arg in enumerate(args)
        )
        limit = None if node.limit is None else expressions.number(node.limit, env, "the limit of an instruction")
        beyond = traps.leave(node.beyond, env) if node.beyond is not None else None
        assert beyond is None or isinstance(beyond, ir.Trap)
        given = tuple(arg is not None for arg in args)
        sections.fetch = ir.Fetch(machine.parcel, space.name, filled, given, machine.pc, limit, beyond)
