"""Checks of the whole, once it is elaborated: encodings that overlap, and what is declared for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, encodings
from analyzer.syntax.machine import Machine, Piece
from analyzer.syntax.overlaps import overlaps
from analyzer.syntax.problems import did_you_mean
from analyzer.syntax.prune import nested
from analyzer.syntax.scope import Cell
from analyzer.syntax.walk import walk


def wellformed(isa: ir.Isa, machine: Machine, pieces: Sequence[Piece]) -> None:
    """Reports what only the whole shows."""
    overlaps(isa, machine)
    scheme_names(isa, machine)
    sizes(isa, machine)
    found = said(isa)
    unused_traps(isa, found, machine)
    unused_state(isa, found, machine)
    unused_operands(pieces, machine)


# -- names -------------------------------------------------------------------------------------------------------------


def scheme_names(isa: ir.Isa, machine: Machine) -> None:
    """`expect … in scheme` names a scheme."""
    known = [scheme.name for scheme in isa.schemes]
    for instruction in isa.instructions:
        for expect in instruction.expects:
            if expect.scheme is not None and expect.scheme not in known:
                hint = did_you_mean(expect.scheme, known)
                machine.problems.report("PG275", f"there is no scheme {expect.scheme}", expect.span, hint)


# -- sizes ------------------------------------------------------------------------------------------------------------


def sizes(isa: ir.Isa, machine: Machine) -> None:
    """Expressions that stand alone must not be too deep or too large; those of bodies have been looked at."""
    for near, expr in lone(isa):
        span = near or (machine.mode.span if machine.mode is not None else None)
        with machine.problems.catch(span):
            machine.locals.read(expr, span)


# -- what is declared for nothing --------------------------------------------------------------------------------------


def unused_traps(isa: ir.Isa, said: Said, machine: Machine) -> None:
    """Trap kinds that nothing raises."""
    raised = said.traps | {interrupt.trap for interrupt in isa.interrupts}
    raised |= {s.beyond.trap for s in isa.spaces.values() if isinstance(s, ir.Memory) and s.beyond is not None}
    if isa.fetch.beyond is not None:
        raised.add(isa.fetch.beyond.trap)
    for name, kind in isa.traps.items():
        # an encoding that matches nothing raises the trap of this kind: it needs no statement
        if name not in raised and kind.kind is not ir.TrapClass.ILLEGAL:
            machine.problems.report("PG333", f"nothing raises trap {name}", kind.span, None, "warning")


def unused_state(isa: ir.Isa, said: Said, machine: Machine) -> None:
    """State that nothing reads or writes."""
    declared: list[ir.Element | ir.File] = [*isa.elements.values(), *isa.files.values()]
    for item in declared:
        if item.name not in said.state and item.name != isa.fetch.pc and item.caveat is None:
            machine.problems.report("PG334", f"nothing reads or writes {item.name}", item.span, None, "warning")


class Said(Struct, frozen=True):
    """The state that is read or written anywhere, and the traps that are raised."""

    state: set[str] = set()
    traps: set[str] = set()


SILENT = frozenset({ir.Const, ir.BoolConst, ir.Local, ir.Operand, ir.Unknown})
"""Expressions that say nothing of the state."""


def said(isa: ir.Isa) -> Said:
    """What statements and expressions are about; looks once at what several of them share."""
    found = Said()
    seen: set[int] = set()
    stmts: list[ir.Stmt] = list(chain.from_iterable(blocks(isa)))
    exprs: list[ir.Expr] = [expr for _, expr in lone(isa)]
    while stmts:
        stmt = stmts.pop()
        if id(stmt) in seen:
            continue
        seen.add(id(stmt))
        match stmt:
            case ir.Set(name) | ir.SetEntry(name):
                found.state.add(name)
            case ir.Trap(name):
                found.traps.add(name)
            case _:
                stmts += nested(stmt)
        exprs += ir.expressions(stmt)
    while exprs:
        expr = exprs.pop()
        if type(expr) in SILENT or id(expr) in seen:
            continue
        seen.add(id(expr))
        match expr:
            case ir.Get(name):
                found.state.add(name)
            case ir.GetEntry(name):
                found.state.add(name)
                exprs.append(expr.index)
            case _:
                exprs += ir.children(expr)
    return found


def blocks(isa: ir.Isa) -> Iterator[ir.Block]:
    """All statements of an instruction set."""
    for instruction in isa.instructions:
        yield instruction.body
    for procedure in isa.procedures.values():
        yield procedure.body
    if isa.deliver is not None:
        yield isa.deliver.body
    for space in isa.spaces.values():
        match space:
            case ir.Map():
                yield space.body
            case ir.Bus():
                yield space.read.body
                if space.write is not None:
                    yield space.write.body
            case ir.Memory():
                pass


def lone(isa: ir.Isa) -> Iterator[tuple[Span | None, ir.Expr]]:
    """The expressions that stand outside of statements, with a place near them."""
    yield None, isa.mode.expr
    for kind in isa.traps.values():
        for _, expr in kind.attributes:
            yield kind.span, expr
    for interrupt in isa.interrupts:
        for expr in (interrupt.cond, *interrupt.args):
            yield isa.traps[interrupt.trap].span, expr
    for instruction in isa.instructions:
        if instruction.where is not None:
            yield instruction.span, instruction.where
    for space in isa.spaces.values():
        match space:
            case ir.Map():
                yield from ((space.span, p.default) for p in space.params if p.default is not None)
            case ir.Memory() | ir.Bus():
                pass


def unused_operands(pieces: Sequence[Piece], machine: Machine) -> None:
    """Operands that no encoding has."""
    used = {name for item in {id(p.node): p.node for p in pieces}.values() for name in uses(item)}
    used |= {cell.node.text for cell in cells(pieces) if isinstance(cell.node, ast.Name)}
    for piece in pieces:
        if isinstance(piece.node, ast.Operand) and not encodings.is_prefix(piece.node):
            for name in piece.node.names:
                if name.text not in used:
                    machine.problems.report("PG332", f"no encoding has operand {name.text}", name.span, None, "warning")


def uses(item: ast.Item) -> Iterator[str]:
    """The names in the patterns of an item that may be those of operands."""
    found: tuple[ast.Node | None, ...] = ()
    match item:
        case ast.Instr(pattern=pattern) | ast.Format(pattern=pattern):
            found = (pattern,)
        case ast.Operand(type=type_, arms=arms):
            found = (type_, *(arm.pattern for arm in arms))
        case _:
            pass
    for node in chain.from_iterable(map(walk, filter(None, found))):
        match node:
            case ast.FieldUse(name=name) | ast.Scatter(name=name) | ast.NamedType(name=name):
                yield name.text
            case _:
                pass


def cells(pieces: Sequence[Piece]) -> Iterator[Cell]:
    """The cells of all rows."""
    for scope in {id(scope): scope for piece in pieces for scope in piece.scope.around()}.values():
        yield from (entity for entity in scope.names.values() if isinstance(entity, Cell))
