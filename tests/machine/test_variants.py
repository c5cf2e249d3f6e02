"""Variants fix what a text asks of its operands, and no more: few handlers, each without the question."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from emulator.codegen.variant import Variant, control, fixed, plain
from emulator.decode import decode
from emulator.interface import Ram
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.objects import Objects
from emulator.machine.tuning import Tuning
from emulator.program import assemble
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


@pytest.mark.parametrize(("machine", "least"), [("rv64", 80), ("pg1974", 9), ("s370", 20), ("m68000", 30), ("ka10", 0)])
def test_plain_ones_are_all_that_decoding_gives_of_their_instructions(machine: str, least: int) -> None:
    isa = spec(machine)
    known, rng = set(plain(isa)), random.Random(machine)
    assert len(known) >= least
    numbers = {variant.instruction for variant in known}
    names = {instruction.name: number for number, instruction in enumerate(isa.instructions)}
    met = set()
    for _ in range(20_000):
        decoded = decode(isa, lambda i: rng.getrandbits(isa.fetch.parcel))
        if decoded is not None and (number := names[decoded.instruction.name]) in numbers:
            wanted = control(isa, decoded.instruction)
            met.add(Variant(number, fixed(wanted, decoded.operands), decoded.length))
    assert met <= known
    assert bool(met) == bool(known)


def test_the_first_program_of_all_brings_them(tmp_path: Path) -> None:
    pytest.importorskip("llvmlite")
    isa, regions = spec("rv64"), [Ram("phys", 0x80000000, 1 << 16)]

    def ran(text: str, ahead: bool) -> NativeMachine:
        engine = Engine(Objects(tmp_path / str(ahead)))
        machine = NativeMachine(isa, regions, None, engine, Tuning(hot=2, share=None, ahead=ahead))
        for address, unit in assemble(isa, text, 0x1000).cells.items():
            machine.write("phys", unit, 0x80000000 + address)
        machine.write("pc", 0x80001000)
        machine.run(200)
        return machine

    more = "again:\nsub x1, x2, x3\nxor x3, x1, x5\nmulw x4, x1, x3\nbne x4, x1, again\njal x0, again\n"
    for ahead in (True, False):
        first = ran("again:\naddi x1, x1, 1\njal x0, again\n", ahead)
        other = ran(more, ahead)
        assert first.stats["copies"]
        assert other.stats["copies"]
        assert ("_compiler" in vars(other._engine)) == (not ahead), "only without them LLVM is needed again"
