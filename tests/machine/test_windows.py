"""Windows: large uniform ranges that regions check by one comparison, and the units without marks that stores go to."""

from __future__ import annotations

import pytest

from emulator.interface import Ram
from emulator.machine.base import BaseMachine
from emulator.machine.contexts import EMPTY
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.plain import PlainMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

BASE, SIZE = 0x80000000, 1 << 16
TABLE, DATA, VECTOR = BASE + 0x8000, BASE + 0x4000, BASE + 0xC000
GIGAPAGE = 0xCF
"""Valid, readable, writable, executable, accessed, dirty."""

LOOP = """
again:
ld x5, 0(x1)
add x6, x6, x5
sd x6, 8(x1)
addi x1, x1, 8
addi x2, x2, -1
bne x2, x0, again
sd x4, 0(x3)
addi x2, x0, 40
addi x1, x1, -320
jal x0, again
"""
"""Forty rounds over memory, then a store where x3 points to."""


def supervisor(machine: BaseMachine, text: str) -> None:
    """The program in supervisor mode, in a gigapage that maps addresses to themselves; a trap is a loop."""
    for at, lines in ((0x1000, text), (VECTOR - BASE, "self:\njal x0, self\n")):
        for address, unit in assemble(machine.isa, lines, at).cells.items():
            machine.write("phys", unit, BASE + address)
    machine.write("phys", BASE >> 2 | GIGAPAGE, TABLE + 16, 64)
    machine.write("mtvec", VECTOR)
    machine.write("atp", 8 << 60 | TABLE >> 12)
    machine.write("priv", 1)
    machine.write("pc", BASE + 0x1000)
    for index, value in ((1, DATA), (2, 40), (3, DATA + 0x2000), (4, 1)):
        machine.write("x", value, index)


def both(engine: Engine, text: str) -> tuple[PlainMachine, NativeMachine]:
    isa, regions = spec("rv64"), [Ram("phys", BASE, SIZE)]
    machines = PlainMachine(isa, regions), NativeMachine(isa, regions, None, engine, Tuning(hot=2, share=1e9, eager=1))
    for machine in machines:
        supervisor(machine, text)
    return machines


def compare(plain: PlainMachine, mine: NativeMachine, steps: int) -> None:
    assert plain.run(steps) == mine.run(steps)
    assert not plain.to_state().diff(mine.to_state())


def windows(machine: NativeMachine) -> list[int]:
    """What the edges of the windows of the first view are, in the contexts that have any."""
    places = [machine._plan.window(0, write) // 8 + 1 for write in (False, True)]
    return [c.dtlb.words[at] for c in machine._contexts.values() for at in places if c.dtlb.words[at] != EMPTY]


def test_two_pages_in_one_entry_are_proved_once_each(engine: Engine) -> None:
    """A key is of 2 KiB, an entry of the fetch cache of 4: control goes from one block to the other and back."""
    isa, regions = spec("s370"), [Ram("core", 0, 0x4000)]
    plain, mine = PlainMachine(isa, regions), NativeMachine(isa, regions, None, engine)
    for machine in (plain, mine):
        for address, unit in assemble(isa, ".org 0x1000\nbcr 15, r2\n.org 0x1800\nbcr 15, r3\n", 0x1000).cells.items():
            machine.write("core", unit, address)
        for place, value in (("psw.EC", 1), ("psw.IA", 0x1000)):
            machine.write(place, value)
        machine.write("r", 0x1800, 2)
        machine.write("r", 0x1000, 3)
    proofs: list[int] = []
    prove = mine._uniform

    def counted(pc: int) -> tuple[int, int, int] | None:
        proofs.append(pc)
        return prove(pc)

    mine._uniform = counted  # type: ignore[method-assign]
    for steps in (10, 200):
        compare(plain, mine, steps)
    assert len(proofs) < 5
    for machine in (plain, mine):
        machine.write("skey", 0x78, 3)  # fetches from the second block trap
        machine.write("psw.KEY", 1)
    compare(plain, mine, 1)
    compare(plain, mine, 5)
    assert len(proofs) > 3


def test_a_gigapage_has_windows(engine: Engine) -> None:
    plain, mine = both(engine, LOOP)
    compare(plain, mine, 2000)
    assert mine.stats["regions"] >= 1
    assert len(windows(mine)) == 2


@pytest.mark.parametrize("entry", [GIGAPAGE & ~4, 0], ids=["read only", "absent"])
def test_a_store_to_the_table_ends_a_window(entry: int, engine: Engine) -> None:
    """The program itself changes the entry that maps it, without a fence."""
    plain, mine = both(engine, LOOP)
    compare(plain, mine, 2000)
    for machine in (plain, mine):
        machine.write("x", TABLE + 16, 3)
        machine.write("x", BASE >> 2 | entry if entry else 0, 4)
    for steps in (100, 250, 1):
        compare(plain, mine, steps)
    assert mine.read("mcause") in (12, 13, 15)


def test_a_store_into_code_is_seen_in_a_region(engine: Engine) -> None:
    """The store behind the loop changes an instruction of the loop; the page of code is in no window of writes."""
    plain, mine = both(engine, LOOP)
    for machine in (plain, mine):
        machine.write("x", BASE + 0x1000, 3)
        machine.write("x", 0x005303330000B283, 4)  # ld x5, 0(x1) and add x6, x6, x5, as they stand there
    compare(plain, mine, 2000)
    for machine in (plain, mine):
        machine.write("x", 0x405303330000B283, 4)  # sub x6, x6, x5
    for steps in (120, 300, 7):
        compare(plain, mine, steps)


def test_code_that_is_met_late_leaves_the_windows(engine: Engine) -> None:
    """A page that stores went to becomes code: it is marked then, and stores to it are noticed again."""
    plain, mine = both(engine, LOOP)
    compare(plain, mine, 1000)
    clean = mine._word("clean")
    late = BASE + 0xA000
    for machine in (plain, mine):
        for address, unit in assemble(machine.isa, "jal x0, 0\n", late - BASE).cells.items():
            machine.write("phys", unit, BASE + address)
        machine.write("pc", late)
    compare(plain, mine, 5)
    assert not mine._word("clean") <= late < mine._word("clean") + mine._word("room")
    assert clean >= BASE
