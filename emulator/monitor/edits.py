"""The same machine with one statement other than it is.

Every statement of an instruction, or of the delivery, is tried: a write, a call or a trap is dropped, what is written
is another number, a condition has its ways exchanged, another trap is raised.  Procedures that they call stay as they
are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from analyzer import ir

Fault = Literal["drops", "writes another value", "exchanges the ways", "raises another trap"]

Edit = tuple[str, Fault, ir.Block]
"""Where, what is done, and the block after it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A machine whose instruction (None: whose delivery) has one statement other than it is.  `place` counts
    statements, of nested ones with those around them."""

    instruction: str | None
    place: str
    fault: Fault
    isa: ir.Isa

    def __str__(self) -> str:
        return f"{self.instruction or 'delivery'} {self.place} {self.fault}"


def mutants(isa: ir.Isa, names: Sequence[str]) -> Iterator[Mutant]:
    """The mutants of these instructions, and of the delivery."""
    for instruction in isa.instructions:
        if instruction.name in names:
            for place, fault, body in edits(isa, instruction.body):
                changed = replace(instruction, body=body)
                others = tuple(changed if each is instruction else each for each in isa.instructions)
                yield Mutant(instruction.name, place, fault, replace(isa, instructions=others, digest=""))
    if isa.deliver is not None:
        for place, fault, body in edits(isa, isa.deliver.body):
            changed_delivery = replace(isa.deliver, body=body)
            yield Mutant(None, place, fault, replace(isa, deliver=changed_delivery, digest=""))


def edits(isa: ir.Isa, block: ir.Block, around: str = "") -> Iterator[Edit]:
    """The block with one statement other than it is."""
    for i, stmt in enumerate(block):
        place = f"{around}{i}"
        if isinstance(stmt, ir.Set | ir.SetEntry | ir.Store | ir.When | ir.Call | ir.Trap) and not _names(stmt):
            yield place, "drops", (*block[:i], *block[i + 1 :])
        for where, fault, other in _changed(isa, stmt, place):
            yield where, fault, (*block[:i], other, *block[i + 1 :])


def _changed(isa: ir.Isa, stmt: ir.Stmt, place: str) -> Iterator[tuple[str, Fault, ir.Stmt]]:
    """Other statements in place of one."""
    match stmt:
        case ir.Set() | ir.SetEntry() | ir.Store():
            width = ir.width(stmt.value)
            if width:
                other = ir.Binary("xor", stmt.value, ir.Const(width, 1))
                yield place, "writes another value", replace(stmt, value=other)
        case ir.When():
            if not _names(stmt):
                yield place, "exchanges the ways", replace(stmt, cond=ir.Not(stmt.cond))
            for where, fault, block in edits(isa, stmt.then, f"{place}."):
                yield where, fault, replace(stmt, then=block)
            for where, fault, block in edits(isa, stmt.other, f"{place}.else."):
                yield where, fault, replace(stmt, other=block)
        case ir.Loop():
            for where, fault, block in edits(isa, stmt.body, f"{place}."):
                yield where, fault, replace(stmt, body=block)
        case ir.Trap() if _told(isa):
            widths = [w for _, w in isa.traps[stmt.trap].params]
            alike = (n for n, kind in isa.traps.items() if n != stmt.trap and [w for _, w in kind.params] == widths)
            other_trap = next(alike, None)
            if other_trap is not None:
                yield place, "raises another trap", replace(stmt, trap=other_trap)
        case _:
            pass


def _told(isa: ir.Isa) -> bool:
    """Does the delivery depend on which trap it is?  If not, another trap is no other."""
    body = () if isa.deliver is None else isa.deliver.body
    terms = (e for stmt in ir.statements(body) for expr in ir.expressions(stmt) for e in ir.subterms(expr))
    return any(isinstance(e, ir.Local) and (e.name == "t" or e.name.startswith("t.")) for e in terms)


def _names(stmt: ir.Stmt) -> bool:
    """Does it set a local?  Without it what follows may have no meaning."""
    match stmt:
        case ir.Let() | ir.Load() | ir.Probe():
            return True
        case ir.Call():
            return stmt.local is not None
        case ir.When():
            return any(_names(each) for each in (*stmt.then, *stmt.other))
        case _:
            return False
