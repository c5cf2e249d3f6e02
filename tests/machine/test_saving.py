"""Programs that save all registers and restore them: regions take registers from the state where they are saved."""

from __future__ import annotations

import random

import pytest

from emulator.codegen.region import ROOM
from emulator.interface import Ram
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.plain import PlainMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

BASE, SIZE = 0x80000000, 1 << 16
START, VECTOR, AREA = BASE + 0x1000, BASE + 0x2000, BASE + 0x8000

CALLS = "again:\n" + "".join(f"addi x{i}, x{i}, {i}\n" for i in range(1, 31)) + "ecall\njal x0, again\n"


def saves(registers: range, middle: str) -> str:
    """A trap handler that saves registers where `mscratch` says, does something, and restores them."""
    lines = ["csrrw x31, mscratch, x31"]
    lines += [f"sd x{i}, {8 * i}(x31)" for i in registers]
    lines += [middle, "csrrs x5, mepc, x0", "addi x5, x5, 4", "csrrw x0, mepc, x5"]
    lines += [f"ld x{i}, {8 * i}(x31)" for i in registers]
    return "\n".join([*lines, "csrrw x31, mscratch, x31", "mret"])


def both(engine: Engine, handler: str, area: int) -> tuple[PlainMachine, NativeMachine]:
    """A program that calls its handler for ever, on the reference and on regions."""
    isa, regions = spec("rv64"), [Ram("phys", BASE, SIZE)]
    machines = PlainMachine(isa, regions), NativeMachine(isa, regions, None, engine, Tuning(hot=2, share=1e9, eager=1))
    for machine in machines:
        for at, lines in ((START, CALLS), (VECTOR, handler)):
            for address, unit in assemble(isa, lines, at - BASE).cells.items():
                machine.write("phys", unit, BASE + address)
        machine.write("mtvec", VECTOR)
        machine.write("mscratch", area)
        machine.write("pc", START)
        for i in range(1, 31):
            machine.write("x", i * 0x0101010101010101, i)
    return machines


@pytest.mark.parametrize(
    ("registers", "middle"),
    [
        (range(1, 31), "addi x6, x6, 1"),
        (range(1, 31), "ld x7, 48(x31)\naddi x7, x7, 1\nsd x7, 48(x31)"),
        (range(1, 31), "beq x6, x7, there\naddi x8, x8, 1\nthere:\nsd x8, 80(x31)"),
        (range(5, 5 + ROOM), "addi x6, x6, 1"),
        (range(5, 6 + ROOM), "addi x6, x6, 1"),
    ],
)
@pytest.mark.parametrize("area", [AREA, AREA + 4, VECTOR - 8 * 16, BASE + SIZE - 8 * 20])
def test_saved_registers_are_those_of_the_moment(registers: range, middle: str, area: int, engine: Engine) -> None:
    """Where the area is misaligned, beside code, or only half there, the handler traps into itself."""
    plain, mine = both(engine, saves(registers, middle), area)
    chance = random.Random(area)
    for steps in (1500, *(chance.randrange(1, 120) for _ in range(40))):
        assert plain.run(steps) == mine.run(steps)
        assert not plain.to_state().diff(mine.to_state()), steps
    if area == AREA:
        assert mine.stats["regions"] >= 1
