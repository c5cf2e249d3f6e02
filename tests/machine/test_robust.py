"""Images of random bits, in random states: a run always ends by its budget or for a reason."""

from __future__ import annotations

import random

import pytest

from analyzer import ir
from emulator.interface import Ram, Reason
from emulator.machine import native
from emulator.machine.engine import Engine
from emulator.machine.native import PATIENCE, NativeMachine
from emulator.program import assemble
from emulator.state import State
from tests.machine import programs
from tests.specs import spec

SPECS = ("pg1974", "ka10", "s370", "m68000", "ia32", "rv64")
BUDGET = 2000


def run(isa: ir.Isa, engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    machine = NativeMachine(isa, programs.regions(isa), programs.choices(isa), engine, hot=3)
    chaos = State.random(isa, rng)
    for name, value in chaos.elements.items():
        if isa.elements[name].role is not ir.Role.PROCESSOR and rng.random() < 0.7:
            machine.write(name, value)
    fetched = next(space for space in isa.spaces.values() if isinstance(space, ir.Memory))
    for address in range(0, programs.SIZE, 97):
        machine.write(fetched.name, rng.getrandbits(fetched.unit), address)
    machine.write(isa.fetch.pc, rng.randrange(programs.SIZE) & ~7)
    ended = machine.run(BUDGET)
    assert ended.steps <= BUDGET
    assert ended.reason is not Reason.STOPPED
    assert (ended.steps == BUDGET) == (ended.reason is Reason.BUDGET)
    assert machine.steps == ended.steps


@pytest.mark.parametrize("name", ["pg1974", "rv64"])
def test_random_images(name: str, engine: Engine) -> None:
    isa = spec(name)
    for seed in range(5):
        run(isa, engine, seed)


def test_code_that_rewrites_itself_for_ever_makes_few_regions(engine: Engine) -> None:
    isa = spec("rv64")
    machine = NativeMachine(isa, [Ram("phys", 0, 1 << 16)], None, engine, hot=3, share=1e9)
    text = "again:\nsw x7, 0(x8)\naddi x9, x0, 20\nround:\naddi x9, x9, -1\nbne x9, x0, round\njal x0, again\n"
    for address, unit in assemble(isa, text, 0).cells.items():
        machine.write("phys", unit, address)
    machine.write("x", 8, 8)
    machine.write("x", 0xFFF48493, 7)  # addi x9, x9, -1, as it stands there
    rounds = 100
    machine.run(43 * rounds)
    assert machine.read("pc") == 0
    entries = 3  # the beginning, behind the store, the inner loop
    assert 1 <= machine.stats["regions"] <= entries * PATIENCE


def test_records_are_forgotten_when_they_are_too_many(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PAGES", 1)
    isa = spec("pg1974")
    machine = NativeMachine(isa, [Ram("E", 0, 1 << 14)], {"q": 1 << 14}, engine)
    for address, unit in assemble(isa, "add r1, r1\nbr 0(r0)\n", 0).cells.items():
        machine.write("E", unit, address)
    for bound in range(40, 60):
        machine.write("b", bound)
        assert machine.run(10).steps == 10
    assert machine.read("P") == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_many_random_images(name: str, engine: Engine) -> None:
    isa = spec(name)
    for seed in range(300):
        run(isa, engine, seed)


@pytest.mark.parametrize("hot", [0, 2], ids=["interpreter", "regions"])
def test_a_jump_to_where_no_instruction_can_begin(hot: int, engine: Engine) -> None:
    """The branch behind the loop goes to an odd address, in the page of the region that it leaves: an address error."""
    isa = spec("m68000")
    machine = NativeMachine(isa, programs.regions(isa), programs.choices(isa), engine, hot, share=1e9)
    text = "again:\nsubq.w #1, d0\nbne.s again\nbra.s again + 1\n"
    for address, unit in assemble(isa, text, 0x400).cells.items():
        machine.write("bus", unit, address)
    handler, error = 0x500, 12
    for address, unit in enumerate(handler.to_bytes(4, "big"), error):
        machine.write("bus", unit, address)
    for place, index, value in (("sr.S", None, 1), ("sp", None, 0x3000), ("d", 0, 200), ("pc", None, 0x400)):
        machine.write(place, value, index)
    machine.run(2 * 200 + 1)
    assert machine.read("pc") == 0x401
    machine.run(1)
    assert (machine.read("pc"), machine.read("sp")) == (handler, 0x3000 - 14)
