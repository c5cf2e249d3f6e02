"""Elements that stop the processor: those that wait for an interrupt, and those that end everything."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer import ir


def stopping(isa: ir.Isa) -> tuple[str, ...]:
    """The elements that stop the processor while they are not 0: those of a shutdown first, for it says more."""
    names, last = [e.name for e in isa.elements.values() if e.role is ir.Role.PROCESSOR], shutdowns(isa)
    return tuple(sorted(names, key=lambda name: name not in last))


def shutdowns(isa: ir.Isa) -> frozenset[str]:
    """The elements that say that the processor shut itself down: the delivery of a trap sets them, and no instruction
    does.  (What an instruction sets is how a program waits or ends.)"""
    if isa.deliver is None:
        return frozenset()
    asked = _set(isa, (instruction.body for instruction in isa.instructions))
    return frozenset(
        name for name in _set(isa, [isa.deliver.body]) - asked if isa.elements[name].role is ir.Role.PROCESSOR
    )


def _set(isa: ir.Isa, blocks: Iterable[ir.Block]) -> set[str]:
    """The elements that blocks, with the procedures that they call, may set to something else than 0."""
    found: set[str] = set()
    left, seen = list(blocks), set[str]()
    while left:
        for stmt in ir.statements(left.pop()):
            if isinstance(stmt, ir.Set) and not (isinstance(stmt.value, ir.Const) and stmt.value.value == 0):
                found.add(stmt.element)
            elif isinstance(stmt, ir.Call) and stmt.procedure not in seen:
                seen.add(stmt.procedure)
                left.append(isa.procedures[stmt.procedure].body)
    return found
