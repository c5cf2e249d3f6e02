"""Blocks of the tier `blocks`: when they are made."""

from __future__ import annotations

import pytest

from emulator.interface import Ram
from emulator.machine.blocks import BlocksMachine
from emulator.machine.plain import PlainMachine
from emulator.program import assemble
from tests.specs import spec

BASE = 0x80000000
REWRITTEN = """
start:  auipc x1, 0
loop:   lw x2, 16(x1)
        sw x2, 16(x1)
        addi x3, x3, 1
        addi x4, x4, 2
        jal x0, loop
"""


def test_code_that_is_written_again_and_again_is_made_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time it waits twice as long: as many blocks as the logarithm of the rounds."""
    isa, made = spec("rv64"), 0
    make = BlocksMachine._make

    def counted(machine: BlocksMachine, at: int) -> object:
        nonlocal made
        made += 1
        return make(machine, at)

    monkeypatch.setattr(BlocksMachine, "_make", counted)
    regions = [Ram("phys", BASE, 1 << 12)]
    plain, mine = PlainMachine(isa, regions), BlocksMachine(isa, regions, warm=2)
    for machine in (plain, mine):
        for address, unit in assemble(isa, REWRITTEN, BASE).cells.items():
            machine.write("phys", unit, address)
        machine.write("pc", BASE)
        machine.run(5 * 400)
    assert not plain.to_state().diff(mine.to_state())
    assert 1 < made < 60
