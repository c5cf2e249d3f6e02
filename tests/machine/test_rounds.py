"""Loops of one block, several rounds of which regions lower behind one look at the budget and one check of accesses."""

from __future__ import annotations

import pytest

from emulator.codegen.banked import Straight
from emulator.interface import Ram, Reason
from emulator.machine.base import BaseMachine
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.objects import Objects
from emulator.machine.plain import PlainMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

BASE, SIZE = 0x80000000, 1 << 16
TABLE, VECTOR = BASE + 0x8000, BASE + 0xC000

COPY = """
start:
add x5, x1, x0
add x6, x2, x0
again:
ld x7, 0(x5)
addi x5, x5, 8
sd x7, 0(x6)
addi x6, x6, 8
bne x5, x3, again
addi x9, x9, 1
jal x0, start
"""
"""Copies from x1 on, up to x3, to x2, for ever."""

SCAN = """
start:
add x5, x1, x0
again:
lbu x7, 0(x5)
addi x5, x5, 1
bne x7, x0, again
addi x9, x9, 1
jal x0, start
"""
"""Looks for a zero from x1 on, for ever."""

WALK = """
start:
add x5, x1, x0
again:
ld x5, 0(x5)
addi x9, x9, 1
bne x5, x0, again
jal x0, start
"""
"""Follows a chain from x1 on to its end, for ever."""


def both(engine: Engine, text: str, **registers: int) -> tuple[PlainMachine, NativeMachine]:
    """The program in machine mode on the reference and on regions; a trap is a loop that counts."""
    isa, regions = spec("rv64"), [Ram("phys", BASE, SIZE)]
    machines = PlainMachine(isa, regions), NativeMachine(isa, regions, None, engine, Tuning(hot=2, share=1e9, eager=1))
    for machine in machines:
        for at, lines in ((0x1000, text), (VECTOR - BASE, "self:\naddi x10, x10, 1\njal x0, self\n")):
            for address, unit in assemble(isa, lines, at).cells.items():
                machine.write("phys", unit, BASE + address)
        machine.write("mtvec", VECTOR)
        machine.write("pc", BASE + 0x1000)
        for name, value in registers.items():
            machine.write("x", value, int(name[1:]))
        for i in range(64):
            machine.write("phys", i + 1, TABLE + i)
    return machines


def agree(machines: tuple[BaseMachine, BaseMachine], *budgets: int) -> None:
    plain, mine = machines
    for steps in budgets:
        assert plain.run(steps) == mine.run(steps)
        assert not plain.to_state().diff(mine.to_state()), steps


@pytest.mark.parametrize("count", range(1, 10))
def test_a_loop_is_left_in_each_of_its_rounds(count: int, engine: Engine) -> None:
    machines = both(engine, COPY, x1=TABLE, x2=TABLE + 0x1000, x3=TABLE + 8 * count)
    agree(machines, 2000, 1, 2, 3, 5, 7, 11, 13, 17, 100)
    assert machines[1].stats["regions"] >= 1


@pytest.mark.parametrize("length", range(9))
def test_a_scan_is_left_in_each_of_its_rounds(length: int, engine: Engine) -> None:
    machines = both(engine, SCAN, x1=TABLE)
    for machine in machines:
        machine.write("phys", 0, TABLE + length)
    agree(machines, 2000, 1, 2, 3, 4, 6, 9, 50)


@pytest.mark.parametrize("away", range(0, 72, 8))
def test_the_end_of_memory_is_met_in_each_round(away: int, engine: Engine) -> None:
    """The loop is hot when the end comes: the store there finds nothing, and all before it has happened."""
    plain, mine = machines = both(engine, COPY, x1=TABLE, x2=TABLE + 0x1000, x3=TABLE + 160)
    agree(machines, 2000)
    for machine in (plain, mine):
        machine.write("x", BASE + SIZE - away, 2)
    agree(machines, 150, 37, 400)
    assert plain.run(1).reason is mine.run(1).reason is Reason.ABSENT


@pytest.mark.parametrize("away", [1, 4])
def test_an_access_that_is_not_aligned(away: int, engine: Engine) -> None:
    machines = both(engine, COPY, x1=TABLE, x2=TABLE + 0x1000, x3=TABLE + 160)
    agree(machines, 2000)
    for machine in machines:
        machine.write("x", TABLE + 0x1000 + away, 2)
    agree(machines, 300, 17)


@pytest.mark.parametrize("before", range(0, 64, 8))
def test_rounds_that_run_into_code(before: int, engine: Engine) -> None:
    """The copy comes to the loop itself, and goes on as what it has become."""
    machines = both(engine, COPY, x1=TABLE, x2=TABLE + 0x1000, x3=TABLE + 160)
    agree(machines, 2000)
    for machine in machines:
        machine.write("x", BASE + 0x1000 - before, 2)
    agree(machines, 60, 7, 300)


@pytest.mark.parametrize("length", range(1, 7))
def test_a_check_fails_in_each_of_the_rounds(length: int, engine: Engine) -> None:
    """No two addresses of a chain are related, so each round has a check of its own."""
    machines = both(engine, WALK, x1=TABLE)
    for machine in machines:
        for i in range(16):
            machine.write("phys", TABLE + 16 * (i + 1) if i < 15 else 0, TABLE + 16 * i, 64)
    agree(machines, 2000)
    for machine in machines:
        machine.write("phys", TABLE + 1, TABLE + 16 * length, 64)
    agree(machines, 3 * length, 50, 3)


def chained(machines: tuple[BaseMachine, BaseMachine]) -> None:
    """A chain of 32 pointers for `WALK`, 8 units apart."""
    for machine in machines:
        for at in range(0, 256, 8):
            machine.write("phys", TABLE + at + 8 if at < 248 else 0, TABLE + at, 64)


@pytest.mark.parametrize("bits", [1, 4, 1 << 16, 1 << 55, 1 << 56, 1 << 63])
def test_a_pointer_that_the_map_does_not_let_pass(bits: int, engine: Engine) -> None:
    """The address below the map has 56 bits: those above it must not get lost in a region."""
    plain, mine = machines = both(engine, WALK, x1=TABLE)
    chained(machines)
    agree(machines, 4000)
    assert mine.stats["regions"] >= 1
    for machine in machines:
        machine.write("phys", (TABLE + 128) ^ bits, TABLE + 120, 64)
    ended, same = plain.run(500), mine.run(500)
    assert ended == same
    assert not plain.to_state().diff(mine.to_state())
    assert ended.reason is Reason.ABSENT if bits in (1 << 16, 1 << 55) else plain.read("x", 10) > 10


def test_a_map_that_leaves_addresses_as_they_are() -> None:
    _, mine = machines = both(Engine(Objects(None)), WALK, x1=TABLE)  # nothing is kept, so all is found out
    chained(machines)
    agree(machines, 4000)
    folded = {found for page in mine._pages for found in page.sketches.folding.values()}
    assert folded == {Straight(low=7, width=64)}
