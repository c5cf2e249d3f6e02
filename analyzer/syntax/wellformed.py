"""Checks of the whole, once it is elaborated: encodings that overlap, and what is declared for nothing.

What depends on a `where` is left to the solver: here only what is certain is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analyzer import ir
from analyzer.syntax import ast
from analyzer.syntax.families import Piece
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import did_you_mean
from analyzer.syntax.walk import walk


def wellformed(isa: ir.Isa, machine: Machine, pieces: Iterable[Piece]) -> None:
    """Reports what only the whole shows."""
    overlaps(isa, machine)
    scheme_names(isa, machine)
    unused_traps(isa, machine)
    unused_state(isa, machine)
    unused_operands(list(pieces), machine)


# -- encodings ---------------------------------------------------------------------------------------------------------

Stream = tuple[int, int, int]
"""Fixed bits at the beginning of an instruction, in stream order from the top: width, mask, value."""


def stream(instruction: ir.Instruction, isa: ir.Isa) -> Stream:
    """The bits that are fixed before the first conditional segment."""
    width = mask = value = 0
    for segment in instruction.segments:
        if segment.when is not None:
            break
        units = range(segment.width // isa.unit)
        for k in units if isa.endian == "little" else reversed(units):
            width += isa.unit
            mask = mask << isa.unit | segment.mask >> (k * isa.unit) & ((1 << isa.unit) - 1)
            value = value << isa.unit | segment.value >> (k * isa.unit) & ((1 << isa.unit) - 1)
    return width, mask, value


def overlap(a: Stream, b: Stream) -> bool:
    """Whether some bits match both, over the length that both have."""
    width = min(a[0], b[0])
    mask = a[1] >> (a[0] - width) & b[1] >> (b[0] - width)
    return (a[2] >> (a[0] - width) ^ b[2] >> (b[0] - width)) & mask == 0


def overlaps(isa: ir.Isa, machine: Machine) -> None:
    """Two instructions without conditions on their encodings that match the same bits."""
    plain = [(i, stream(i, isa)) for i in isa.instructions if i.where is None]
    for first, second in _pairs(plain):
        machine.problems.report(
            "PG330",
            f"the encodings of {first.name} and {second.name} match the same bits; {first.name} is at {first.span}",
            second.span,
            "fix more bits in one of them, or add `where`",
        )


def _pairs(plain: list[tuple[ir.Instruction, Stream]]) -> Iterator[tuple[ir.Instruction, ir.Instruction]]:
    for k, (first, a) in enumerate(plain):
        for second, b in plain[k + 1 :]:
            if overlap(a, b):
                yield first, second


# -- names -------------------------------------------------------------------------------------------------------------


def scheme_names(isa: ir.Isa, machine: Machine) -> None:
    """`expect … in scheme` names a scheme."""
    known = [scheme.name for scheme in isa.schemes]
    for instruction in isa.instructions:
        for expect in instruction.expects:
            if expect.scheme is not None and expect.scheme not in known:
                hint = did_you_mean(expect.scheme, known)
                machine.problems.report("PG275", f"there is no scheme {expect.scheme}", expect.span, hint)


# -- what is declared for nothing --------------------------------------------------------------------------------------


def unused_traps(isa: ir.Isa, machine: Machine) -> None:
    """Trap kinds that nothing raises."""
    raised = {stmt.trap for block in blocks(isa) for stmt in ir.statements(block) if isinstance(stmt, ir.Trap)}
    raised |= {interrupt.trap for interrupt in isa.interrupts}
    raised |= {s.beyond.trap for s in isa.spaces.values() if isinstance(s, ir.Memory) and s.beyond is not None}
    if isa.fetch.beyond is not None:
        raised.add(isa.fetch.beyond.trap)
    for name, kind in isa.traps.items():
        # an encoding that matches nothing raises the trap of this kind: it needs no statement
        if name not in raised and kind.kind is not ir.TrapClass.ILLEGAL:
            machine.problems.report("PG333", f"nothing raises trap {name}", kind.span, None, "warning")


def unused_state(isa: ir.Isa, machine: Machine) -> None:
    """State that nothing reads or writes."""
    named = set(machine.prefixes)
    for block in blocks(isa):
        for stmt in ir.statements(block):
            match stmt:
                case ir.Set(element):
                    named.add(element)
                case ir.SetEntry(file):
                    named.add(file)
                case _:
                    pass
            for expr in ir.expressions(stmt):
                named.update(state_in(expr))
    for expr in lone(isa):
        named.update(state_in(expr))
    declared: list[ir.Element | ir.File] = [*isa.elements.values(), *isa.files.values()]
    for item in declared:
        if item.name not in named and item.name != isa.fetch.pc and item.caveat is None:
            machine.problems.report("PG334", f"nothing reads or writes {item.name}", item.span, None, "warning")


def state_in(expr: ir.Expr) -> Iterator[str]:
    """The elements and files that an expression reads."""
    for e in ir.subterms(expr):
        if isinstance(e, ir.Get):
            yield e.element
        elif isinstance(e, ir.GetEntry):
            yield e.file


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


def lone(isa: ir.Isa) -> Iterator[ir.Expr]:
    """The expressions that stand outside of statements."""
    yield isa.mode.expr
    for kind in isa.traps.values():
        for _, expr in kind.attributes:
            yield expr
    for interrupt in isa.interrupts:
        yield from (interrupt.cond, *interrupt.args)
    for instruction in isa.instructions:
        if instruction.where is not None:
            yield instruction.where
    for space in isa.spaces.values():
        if isinstance(space, ir.Map):
            yield from (p.default for p in space.params if p.default is not None)


def unused_operands(pieces: list[Piece], machine: Machine) -> None:
    """Operands that no encoding has."""
    used: set[str] = set()
    for piece in pieces:
        for node in walk(piece.node):
            match node:
                case ast.FieldUse(name=name) | ast.Scatter(name=name) | ast.NamedType(name=name):
                    used.add(name.text)
                case _:
                    pass
        scope = piece.scope
        while scope is not None:
            for entity in scope.names.values():
                cell = getattr(entity, "node", None)
                if isinstance(cell, ast.Name):
                    used.add(cell.text)
            scope = scope.parent  # type: ignore[assignment]
    for piece in pieces:
        if isinstance(piece.node, ast.Operand) and not any(
            isinstance(s, ast.PlainStyle) and s.word.text == "prefix" for s in piece.node.styles
        ):
            for name in piece.node.names:
                if name.text not in used:
                    machine.problems.report("PG332", f"no encoding has operand {name.text}", name.span, None, "warning")
