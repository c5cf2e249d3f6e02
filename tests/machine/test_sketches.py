"""What regions of a page share changes none of them: each is as it would be if it were the first."""

from __future__ import annotations

import pytest

from emulator.codegen.block import Sketches
from emulator.interface import Ram
from emulator.machine import sources
from emulator.machine.engine import Engine, Module
from emulator.machine.native import NativeMachine
from emulator.machine.objects import Objects
from emulator.machine.pages import CodePage
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.machine import programs
from tests.machine.compare import Company
from tests.specs import spec

BASE = 0x80000000
LOOPS = """
again:
addi x5, x5, 1
inner:
addi x6, x6, 2
andi x8, x6, 7
jal x1, called
bne x8, x0, inner
addi x7, x7, 3
sw x7, 0x204(x9)
addi x2, x2, -1
bne x2, x0, again
lw x10, 0x100(x9)
jal x0, again
called:
addi x11, x11, 1
jalr x0, 0(x1)
"""


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What every region is made from; each is compared with the one that is made alone."""
    made: list[tuple[object, ...]] = []
    write = sources.region_module

    def compared(*given: object) -> tuple[Module, set[int]]:
        *others, sketches = given
        assert isinstance(sketches, Sketches)
        found = write(*others, sketches)  # type: ignore[arg-type]
        assert found == write(*others, Sketches())  # type: ignore[arg-type]
        made.append(given)
        return found

    monkeypatch.setattr(sources, "region_module", compared)
    return made


def test_calls_that_become_known_and_code_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = watched(monkeypatch)
    isa = spec("rv64")
    machine = NativeMachine(isa, [Ram("phys", BASE, 1 << 16)], None, Engine(Objects(None)), Tuning(4, 1e9, eager=1))
    for address, unit in assemble(isa, LOOPS, 0x1000).cells.items():
        machine.write("phys", unit, BASE + address)
    machine.write("pc", BASE + 0x1000)
    machine.write("x", 60, 2)
    machine.write("x", BASE + 0x1000, 9)
    machine.run(20_000)
    assert made
    plan, known, page, *others, _ = made[0]
    assert isinstance(page, CodePage)
    *more, _ = others
    sketches = Sketches()
    for entry, missing in ((0x2C, None), (0, 0x18), (0, 0x14), (0, None)):
        there = {pc: instr for pc, instr in page.items() if pc - BASE - 0x1000 != missing}
        sources.region_module(plan, known, there, *more, BASE + 0x1000 + entry, sketches)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["s370", "m68000", "rv64"])
def test_of_any_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = watched(monkeypatch)
    isa = spec(name)
    machine = NativeMachine(
        isa, programs.regions(isa), programs.choices(isa), Engine(Objects(None)), Tuning(2, 1e9, eager=1)
    )
    Company(isa, {"regions": machine}).stops(1, 24, again=1)
    assert made
