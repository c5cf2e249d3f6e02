"""Mutants of a spec: each privilege check removed, and each weakened, one at a time.

A privilege check is a conditional trap whose condition, or whose way there, reads the mode.  Mutants are made in the
IR, where every check of an instruction is its own, whichever list it was written in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from analyzer import ir
from analyzer.passes.effects import EffectsOf


@dataclass(frozen=True, slots=True)
class Mutant:
    """An instruction with one check changed; `how` is `removed` or `weakened`."""

    instruction: ir.Instruction
    check: ir.When
    how: str

    def __str__(self) -> str:
        return f"{self.instruction.name}: check at {self.check.span} {self.how}"


def mutants(isa: ir.Isa) -> Iterator[Mutant]:
    """All mutants of all instructions."""
    effects = EffectsOf(isa)
    modes = {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}
    for instruction in isa.instructions:
        for check in checks(isa, instruction.body, modes, effects):
            for how, changed in (("removed", removed(check)), ("weakened", weakened(isa, check))):
                body = substituted(instruction.body, check, changed)
                yield Mutant(replace(instruction, body=body), check, how)


def checks(isa: ir.Isa, block: ir.Block, modes: set[str], effects: EffectsOf) -> Iterator[ir.When]:
    """Conditionals that read the mode and whose first arm begins with a privilege trap."""
    for stmt in ir.statements(block):
        if not isinstance(stmt, ir.When) or not stmt.then or not isinstance(stmt.then[0], ir.Trap):
            continue
        kind = isa.traps[stmt.then[0].trap].kind
        reads = effects.block((ir.Let("check", stmt.cond),)).reads
        if kind in (ir.TrapClass.PRIVILEGED, ir.TrapClass.ILLEGAL) and reads & modes:
            yield stmt


def removed(check: ir.When) -> ir.Block:
    """The check is not there."""
    return check.other


def weakened(isa: ir.Isa, check: ir.When) -> ir.Block:
    """The check lets pass where the lowest bit of some guest register is 1."""
    low = ir.Extract(next(guest_registers(isa)), 0, 0)
    return (replace(check, cond=ir.Logic("and", check.cond, ir.Not(ir.ToBool(low)))),)


def guest_registers(isa: ir.Isa) -> Iterator[ir.Expr]:
    """Reads of registers that are the guest's own and may have any value."""
    for element in isa.elements.values():
        if element.role is ir.Role.GUEST and element.name != isa.fetch.pc and element.legal is None:
            yield ir.Get(element.name, element.width)
    for file in isa.files.values():
        if file.role is ir.Role.GUEST:
            entry = next(i for i in range(file.size) if i not in file.zeros)
            yield ir.GetEntry(file.name, ir.Const(file.index_width, entry), file.width)


def substituted(block: ir.Block, old: ir.Stmt, new: ir.Block) -> ir.Block:
    """`block` with one statement replaced, found by identity."""
    out: list[ir.Stmt] = []
    for stmt in block:
        if stmt is old:
            out.extend(new)
            continue
        match stmt:
            case ir.When():
                stmt = replace(stmt, then=substituted(stmt.then, old, new), other=substituted(stmt.other, old, new))
            case ir.Loop():
                stmt = replace(
                    stmt, body=substituted(stmt.body, old, new), exhausted=substituted(stmt.exhausted, old, new)
                )
            case _:
                pass
        out.append(stmt)
    return tuple(out)
