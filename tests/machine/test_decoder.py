"""The decoder in native code finds what the decoder in Python finds, for every spec."""

from __future__ import annotations

import random

import pytest

from analyzer import ir
from emulator.codegen.variant import Instr, Variant
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.pages import CodePage
from emulator.machine.tuning import Tuning
from tests.machine import programs
from tests.specs import spec

SPECS = ("pg1974", "ka10", "s370", "m68000", "ia32", "rv64")
ROOM = 48
"""Units for each instruction."""


def decoded(isa: ir.Isa, engine: Engine, seed: int, count: int) -> float:
    """Decodes `count` instructions, some of them damaged; the part of those that exist which native code did."""
    rng = random.Random(seed)
    machine = NativeMachine(isa, programs.regions(isa), programs.choices(isa), engine, Tuning(eager=1))
    memory = next(space for space in isa.spaces.values() if isinstance(space, ir.Memory) and space.unit == isa.unit)
    places = range(0, min(count * ROOM, programs.SIZE, 1 << memory.address_width) - ROOM + 1, ROOM)
    for place in places:
        units = [*programs.instruction(isa, rng), *(rng.getrandbits(isa.unit) for _ in range(ROOM))][:ROOM]
        if rng.random() < 0.2:
            units[0] ^= 1 << rng.randrange(isa.unit)
        if isa.prefixes and rng.random() < 0.5:
            units = [rng.choice(rng.choice(isa.prefixes).values)[0] for _ in range(rng.randrange(4))] + units
        for i, unit in enumerate(units[:ROOM]):
            machine.write(memory.name, unit, place + i)
    machine._prepare()
    machine._take_decoder(make=True)
    fresh, bank = machine._code["undecoded"], machine._bank
    page = CodePage(
        machine._known_variants,
        0,
        programs.SIZE - 1,
        bank.base,
        machine._host,
        (fresh, fresh),
        machine._code["missing"],
        machine._code["lookup"],
    )
    there = native = 0
    for place in places:
        machine._context.enter(page, place)
        found = machine._decoding.at(page, place, None)
        if found is not None and found.variant is not None and found.variant.trap is None:
            there += 1
            mine = decoded_natively(machine, page, place, found.variant)
            if mine is not None:
                native += 1
                assert (mine.variant, dict(mine.operands)) == (found.variant, dict(found.operands)), hex(place)
    return native / there


def decoded_natively(machine: NativeMachine, page: CodePage, pc: int, variant: Variant) -> Instr | None:
    """What native code makes of an address, if it has an answer: with no budget nothing is executed."""
    if variant not in machine._known_variants.numbers:
        machine._number(variant, machine._code["reference"])
    machine._put("budget", 0)
    machine._put("record", page.record(pc))
    machine._set(machine.isa.fetch.pc, pc)
    machine._run_native(machine._state.address, machine._host, machine._word("decode"))
    return page.get(pc)


@pytest.mark.parametrize("name", SPECS)
def test_it_agrees(name: str, engine: Engine) -> None:
    assert decoded(spec(name), engine, 1, 120) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_it_agrees_often(name: str, engine: Engine) -> None:
    isa = spec(name)
    assert all(decoded(isa, engine, seed, 340) > 0.9 for seed in range(40))
