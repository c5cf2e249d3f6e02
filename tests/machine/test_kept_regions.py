"""A region that was made for a program is there for its next run, whatever a unit of its memory is."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.interface import Ram
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.objects import Objects
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

LOOPS = {
    "rv64": ("phys", 0x1000, "again: addi x5, x5, 1\naddi x6, x6, -1\nbne x6, x0, again\njal x0, again"),
    "ka10": ("core", 0o1000, "again: addi 1, 1\nsojg 2, again\njrst again"),
    "m68000": ("bus", 0x1000, "again: addq.l #1, d0\nsubq.w #1, d1\nbne.s again\nbra.s again"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_region_is_found_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, base, text = LOOPS[name]
    isa = spec(name)

    def ran() -> NativeMachine:
        tuning = Tuning(hot=12, share=1e9, eager=1)
        machine = NativeMachine(isa, [Ram(memory, 0, 1 << 14)], None, Engine(Objects(tmp_path)), tuning)
        for address, unit in assemble(isa, text, base).cells.items():
            machine.write(memory, unit, address)
        machine.write(isa.fetch.pc, base)
        machine.run(2000)
        return machine

    first = ran().stats["regions"]
    assert first
    monkeypatch.setattr(Engine, "fresh", None)
    assert ran().stats["regions"] >= first
