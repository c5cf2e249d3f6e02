"""Variants fix what a text asks of its operands, and no more: few handlers, each without the question."""

from __future__ import annotations

import pytest

from emulator.codegen.variant import control, fixed
from tests.specs import spec


@pytest.mark.parametrize(
    ("machine", "name", "kinds"),
    [
        ("rv64", "beq", 1),  # it compares registers, not their numbers
        ("s370", "a", 2),  # with and without an index
        ("m68000", "clr.b", 16),  # the addressing modes, some of them once more for the stack pointer
    ],
)
def test_how_many_there_are(machine: str, name: str, kinds: int) -> None:
    isa = spec(machine)
    instruction = next(i for i in isa.instructions if i.name == name)
    wanted = control(isa, instruction)
    found: set[tuple[tuple[str, int], ...]] = {()}
    for operand in instruction.operands:
        if operand.name in wanted:
            values = {fixed({operand.name: wanted[operand.name]}, {operand.name: v}) for v in range(1 << operand.width)}
            found = {(*others, *value) for others in found for value in values}
    assert len(found) == kinds
