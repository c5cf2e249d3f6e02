"""Images of random bits, in random states: a run always ends by its budget or for a reason."""

from __future__ import annotations

import gc
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer import ir
from emulator.interface import Ram, Reason
from emulator.machine import contexts
from emulator.machine.base import BaseMachine
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.plain import PlainMachine
from emulator.machine.regions import PATIENCE
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from emulator.state import State
from tests.machine import programs
from tests.machine.compare import assert_same, go
from tests.machine.settings import SIZE, setting
from tests.specs import spec

SPECS = ("pg1974", "ka10", "s370", "m68000", "m68010", "ia32", "rv64")
BUDGET = 20_000
LONGEST = 60
"""Seconds of processor time that a run may take, what is compiled for it included."""
SECONDS = 3600 / len(SPECS)
"""Of random images for each spec in the slow suite: an hour for all."""
TOGETHER = 10
"""Images that one machine runs."""
GROWTH = 256 << 20
"""Bytes that all images after the first `TOGETHER` may add to what the process has in memory."""


def made(isa: ir.Isa, engine: Engine) -> NativeMachine:
    return NativeMachine(isa, programs.regions(isa), programs.choices(isa), engine, Tuning(hot=3))


def run(machine: NativeMachine, seed: int) -> None:
    """An image of random bits, of instructions, or of instructions with wrong bits, in a state that makes more or less
    sense."""
    rng, isa = random.Random(seed), machine.isa
    fetched = next(space for space in isa.spaces.values() if isinstance(space, ir.Memory) and space.unit == isa.unit)
    size = min(SIZE, 1 << fetched.address_width)
    units = [rng.getrandbits(fetched.unit) for _ in range(size)]
    if rng.random() < 0.7:
        units = []
        while len(units) < size:
            units += programs.instruction(isa, rng)
        for _ in range(rng.choice((0, 20, 500))):
            units[rng.randrange(size)] ^= 1 << rng.randrange(fetched.unit)
    machine.write_units(fetched.name, 0, bytes(units[:size]) if fetched.unit == 8 else units[:size])
    chosen = setting(isa, rng)
    if rng.random() < 0.3:
        chosen.blocks.clear()
    if rng.random() < 0.3:
        chosen.elements.clear()
    chaos, part = State.random(isa, rng), rng.choice((0, 0.05, 0.7))
    for name, value in chaos.elements.items():
        if isa.elements[name].role is ir.Role.PROCESSOR:
            chosen.elements[name] = 0
        elif rng.random() < part or isa.elements[name].role is ir.Role.GUEST:
            chosen.elements[name] = value
    for file in isa.files.values():
        if rng.random() < part or file.role is ir.Role.GUEST:
            chosen.entries.update(((file.name, i), entry) for i, entry in enumerate(chaos.files[file.name]))
    chosen.elements[isa.fetch.pc] = rng.randrange(size) & ~7
    go(machine, chosen)
    before, began = machine.steps, time.process_time()
    ended = machine.run(BUDGET)
    assert time.process_time() - began < LONGEST, seed
    assert ended.steps <= BUDGET, seed
    assert ended.reason is not Reason.STOPPED, seed
    assert (ended.steps == BUDGET) == (ended.reason is Reason.BUDGET), seed
    assert machine.steps == before + ended.steps, seed


def resident() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("name", ["pg1974", "rv64"])
def test_random_images(name: str, engine: Engine) -> None:
    machine = made(spec(name), engine)
    for seed in range(5):
        run(machine, seed)


def test_code_that_rewrites_itself_for_ever_makes_few_regions(engine: Engine) -> None:
    isa = spec("rv64")
    machine = NativeMachine(isa, [Ram("phys", 0, 1 << 16)], None, engine, Tuning(hot=3, share=1e9))
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
    monkeypatch.setattr(contexts, "PAGES", 1)
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
    machine, seed, first, began = made(isa, engine), 0, 0, time.monotonic()
    while time.monotonic() - began < SECONDS:
        run(machine, seed)
        seed += 1
        if seed % TOGETHER == 0:
            first = first or resident()
            del machine
            gc.collect()
            machine = made(isa, engine)
    assert resident() - first < GROWTH


@pytest.mark.parametrize("hot", [0, 2], ids=["interpreter", "regions"])
def test_a_jump_to_where_no_instruction_can_begin(hot: int, engine: Engine) -> None:
    """The branch behind the loop goes to an odd address, in the page of the region that it leaves: an address error."""
    isa = spec("m68000")
    machine = NativeMachine(isa, programs.regions(isa), programs.choices(isa), engine, Tuning(hot, share=1e9))
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


def beside_the_reference(name: str, engine: Engine, hot: int, texts: dict[int, str]) -> Iterator[BaseMachine]:
    """The reference and a machine on generated code, with programs by their addresses."""
    isa = spec(name)
    for machine in (
        PlainMachine(isa, programs.regions(isa)),
        NativeMachine(isa, programs.regions(isa), None, engine, Tuning(hot, share=1e9)),
    ):
        memory = next(iter(machine._storages))
        for base, text in texts.items():
            for address, unit in assemble(isa, text, base).cells.items():
                machine.write(memory, unit, address)
        yield machine


@pytest.mark.parametrize("hot", [0, 2], ids=["interpreter", "regions"])
def test_a_store_around_the_end_of_memory_changes_code_at_its_beginning(hot: int, engine: Engine) -> None:
    texts = {0: "nop\njmp (0x400).l", 0x400: "move.l d0, (0xFFFFFE).l\njmp (0).l"}
    plain, other = beside_the_reference("m68000", engine, hot, texts)
    for machine in (plain, other):
        machine.write("sr.S", 1)
        machine.write("d", 0x5281, 0)  # addq.l #1, d1
        machine.write("pc", 0)
        machine.run(4 * 10)
    assert plain.read("d", 1) == 9
    assert_same("", plain, other)


def test_a_delivery_to_where_nothing_is_leaves_the_instruction_undone(engine: Engine) -> None:
    plain, other = beside_the_reference("ia32", engine, 0, {0x100: "nop\nint 9"})
    gate = (0x0008_0000 | 0x8E << 40).to_bytes(8, "little")
    segment = (0x00CF9A000000FFFF).to_bytes(8, "little")
    for machine in (plain, other):
        machine.write_units("phys", 0x3000 + 8 * 9, gate)
        machine.write_units("phys", 0x4008, segment)
        for place, value in (("idtr.base", 0x3000), ("idtr.limit", 0x7FF), ("gdtr.base", 0x4000), ("gdtr.limit", 0x1F)):
            machine.write(place, value)
        machine.write("r", 0x9D170000, 4)
        machine.write("eip", 0x100)
        assert machine.run(10).reason is Reason.ABSENT
    assert plain.read("eip") == 0x101
    assert_same("", plain, other)
