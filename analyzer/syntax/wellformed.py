"""Checks of the whole, once it is elaborated: encodings that overlap, and what is declared for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, encodings
from analyzer.syntax.machine import Machine, Piece
from analyzer.syntax.overlaps import overlaps
from analyzer.syntax.problems import did_you_mean
from analyzer.syntax.scope import Cell
from analyzer.syntax.walk import walk


def wellformed(isa: ir.Isa, machine: Machine, pieces: Sequence[Piece]) -> None:
    """Reports what only the whole shows."""
    overlaps(isa, machine)
    scheme_names(isa, machine)
    sizes(isa, machine)
    unused_traps(isa, machine)
    unused_state(isa, machine)
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


def unused_traps(isa: ir.Isa, machine: Machine) -> None:
    """Trap kinds that nothing raises."""
    raised = machine.locals.traps | {interrupt.trap for interrupt in isa.interrupts}
    raised |= {s.beyond.trap for s in isa.spaces.values() if isinstance(s, ir.Memory) and s.beyond is not None}
    if isa.fetch.beyond is not None:
        raised.add(isa.fetch.beyond.trap)
    for name, kind in isa.traps.items():
        # an encoding that matches nothing raises the trap of this kind: it needs no statement
        if name not in raised and kind.kind is not ir.TrapClass.ILLEGAL:
            machine.problems.report("PG333", f"nothing raises trap {name}", kind.span, None, "warning")


def unused_state(isa: ir.Isa, machine: Machine) -> None:
    """State that nothing reads or writes."""
    declared: list[ir.Element | ir.File] = [*isa.elements.values(), *isa.files.values()]
    for item in declared:
        if item.name not in machine.locals.state and item.name != isa.fetch.pc and item.caveat is None:
            machine.problems.report("PG334", f"nothing reads or writes {item.name}", item.span, None, "warning")


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
