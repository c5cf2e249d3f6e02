"""Declarations: units, types, state, and the names of all that can be used before it stands."""

from __future__ import annotations

from typing import TypeVar

from analyzer import ir
from analyzer.syntax import ast, encodings, schemes, state, traps, typenames
from analyzer.syntax.builtins import BUILTINS
from analyzer.syntax.coerce import literal
from analyzer.syntax.machine import Machine, Piece, TrapDecl
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.scope import (
    BaseEntity,
    Entity,
    FnEntity,
    FormatEntity,
    OperandEntity,
    PrefixEntity,
    Scope,
    SpaceEntity,
    UnspecifiedEntity,
    ViewEntity,
)
from analyzer.syntax.sections import Sections
from analyzer.syntax.value_types import Bits, width_of


def unit(sections: Sections) -> None:
    """`unit 8 little`."""
    found = sections.last(ast.Unit)
    machine = sections.machine
    if found is None:
        return
    node, _ = found
    with machine.problems.catch(node.span):
        machine.unit = typenames.bits(literal(node.bits).value, node.bits.span).width
    for word in node.words:
        match word.text:
            case "little" | "big":
                machine.endian = "little" if word.text == "little" else "big"
            case "msb0":
                machine.msb0 = True
            case _:
                hint = did_you_mean(word.text, ["little", "big", "msb0"])
                machine.problems.report("PG245", f"{word.text} says nothing about units", word.span, hint)


def types(sections: Sections) -> None:
    """Enumerations, then types and choices, which may use them."""
    sections.each(ast.Enum, state.enum)
    sections.each(ast.TypeDecl, state.type_decl)
    sections.each(ast.Choice, state.choice)


def storage(sections: Sections) -> None:
    """Registers and memories."""
    sections.each(ast.State, state.declare)
    sections.each(ast.Memory, state.memory)
    sections.each(ast.Lookup, state.lookup)


def named(sections: Sections) -> None:
    """Traps, views, functions, operands, formats, maps: their names, with what they override."""
    machine = sections.machine
    for piece in sections.pieces:
        with machine.problems.catch(piece.node.span):
            _declare(piece, machine)
    for decl in machine.trap_names.values():
        with machine.problems.catch(decl.node.span):
            traps.parameters(decl, machine)


def _declare(piece: Piece, machine: Machine) -> None:
    node, scope = piece.node, piece.scope
    match node:
        case ast.Trap():
            _declare_trap(node, piece, machine)
        case ast.View():
            old = _overridden(piece, node.name, ViewEntity, machine)
            _put(node.name, ViewEntity(node, _with_base(scope, old), old), piece, machine)
        case ast.Fn() | ast.Unspecified() if node.name.text in BUILTINS:
            raise failure("PG205", f"{node.name.text} is built in", node.name.span, "choose another name")
        case ast.Fn():
            fn = _overridden(piece, node.name, FnEntity, machine)
            _put(node.name, FnEntity(node, scope, fn), piece, machine)
        case ast.Unspecified():
            _put(node.name, UnspecifiedEntity(node, scope), piece, machine)
        case ast.Map():
            replaced = _overridden(piece, node.name, SpaceEntity, machine)
            _put(node.name, _map_entity(node, scope, replaced, machine), piece, machine)
        case ast.Format():
            _declare_in("format", scope.formats, node.name, FormatEntity(node, scope), piece.override)
        case ast.Operand():
            for name in node.names:
                if encodings.is_prefix(node):
                    _prefix(name, node, piece, machine)
                else:
                    _declare_in("operand", scope.operands, name, OperandEntity(node, scope), piece.override)
        case _:
            pass


def _with_base(scope: Scope, old: ViewEntity | None) -> Scope:
    return scope if old is None else scope.child({"base": BaseEntity(old)})


T = TypeVar("T")


def _overridden(piece: Piece, name: ast.Name, kind: type[T], machine: Machine) -> T | None:
    """What an `override` replaces."""
    if not piece.override:
        return None
    old = piece.scope.find(name.text)
    if not isinstance(old, kind):
        raise failure(
            "PG246",
            f"there is no inherited {name.text} to override",
            name.span,
            did_you_mean(name.text, piece.scope.known()),
        )
    return old


def _put(name: ast.Name, entity: Entity, piece: Piece, machine: Machine) -> None:
    if piece.override:
        piece.scope.names[name.text] = entity
    else:
        state.add(name, entity, piece.scope, machine)


def _declare_in(kind: str, names: dict[str, T], name: ast.Name, entity: T, override: bool) -> None:
    """Declares an operand or a format, which have names of their own."""
    old = names.get(name.text)
    if override and old is None:
        hint = did_you_mean(name.text, names)
        raise failure("PG246", f"there is no inherited {kind} {name.text} to override", name.span, hint)
    if not override and old is not None:
        raise failure("PG205", f"{kind} {name.text} is declared already", name.span)
    names[name.text] = entity


def _declare_trap(node: ast.Trap, piece: Piece, machine: Machine) -> None:
    old = machine.trap_names.get(node.name.text)
    if not piece.override:
        traps.declare(node, piece.scope, machine)
        return
    if old is None:
        raise failure("PG246", f"there is no inherited trap {node.name.text} to override", node.name.span)
    machine.trap_names[node.name.text] = TrapDecl(node, old.number, piece.scope)


def _map_entity(node: ast.Map, scope: Scope, old: SpaceEntity | None, machine: Machine) -> SpaceEntity:
    env = state.pure(machine, scope)
    params = []
    for param in node.params:
        if param.type is None:
            raise failure("PG208", f"{param.name.text} needs a width", param.span)
        params.append((param.name.text, typenames.type_of(param.type, env), param.default))
    # the unit is that of the space below, which may be declared later
    index = state.index_type(node.index, env)
    return SpaceEntity(node.name.text, index, 0, tuple(params), "map", node.space.text, node, scope, old)


def _prefix(name: ast.Name, node: ast.Operand, piece: Piece, machine: Machine) -> None:
    """`operand p : 1 prefix { | 0x66 => 1 }`."""
    env = state.pure(machine, piece.scope)
    if node.type is None:
        raise failure("PG208", f"{name.text} needs a width", name.span)
    type_ = Bits(width_of(typenames.type_of(node.type, env)))
    default = 0 if node.default is None else state.constant(node.default, type_, env)
    values: list[tuple[int, int]] = []
    for arm in node.arms:
        laid = encodings.lay(encodings.expand(arm.pattern, env).groups[0])
        if laid.mask != (1 << laid.width) - 1:
            raise failure("PG258", "a prefix is a constant", arm.pattern.span)
        if isinstance(arm.body, ast.Block):
            raise failure("PG258", "a prefix has a constant value: `=> value`", arm.body.span)
        values.append((laid.value, state.constant(arm.body, type_, env)))
    machine.prefixes[name.text] = ir.Prefix(name.text, type_.width, default, tuple(values))
    state.add(name, PrefixEntity(name.text, node), piece.scope, machine)


def mode(sections: Sections) -> None:
    """`mode = … order …`."""
    machine = sections.machine
    found = sections.last(ast.Mode)
    if found is None:
        machine.problems.report(
            "PG310", "this spec has no `mode = …`", sections.header.span, "write `mode = M order s > u`"
        )
        return
    node, piece = found
    machine.mode, machine.mode_scope = node, piece.scope
    with machine.problems.catch(node.span):
        sections.mode = schemes.mode_order(node, piece.scope, machine)
