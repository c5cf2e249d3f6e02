"""Regions come to so many lines at most, whatever an instruction comes to."""

from __future__ import annotations

import pytest

from emulator.codegen import region
from emulator.codegen.region import Limits, Size
from emulator.interface import Ram
from emulator.machine import sources
from emulator.machine.engine import Engine, Module, Objects
from emulator.machine.native import NativeMachine
from emulator.machine.plain import PlainMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

BASE, SIZE = 0x80000000, 1 << 16
DATA = BASE + 0x8000
ROUND = 60
"""Additions in a loop of the program, with a load among each ten."""
LINES, FRAME, WHOLE = 40, 120, 313
"""What a piece may come to, the ways in and out of one, and what all of the loop comes to."""


def straight() -> str:
    """A loop without branches in it."""
    lines = ["start:"]
    for i in range(ROUND):
        lines.append(f"addi x{5 + i % 8}, x{6 + i % 7}, {i}" if i % 10 else f"ld x5, {8 * i}(x1)")
    return "\n".join([*lines, "jal x0, start", ""])


def test_a_region_is_cut_where_its_lines_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is made of pieces then, which do what it does, and none of them is longer than it may be."""
    limits = Limits(whole=Size(300, LINES), straight=Size(64, LINES))
    monkeypatch.setattr(region, "Limits", lambda: limits)
    made: list[Module] = []
    write = sources.region_module

    def noted(*args: object) -> tuple[Module, set[int]]:
        module, covered = write(*args)  # type: ignore[arg-type]
        made.append(module)
        return module, covered

    monkeypatch.setattr(sources, "region_module", noted)
    isa, regions = spec("rv64"), [Ram("phys", BASE, SIZE)]
    plain = PlainMachine(isa, regions)
    mine = NativeMachine(isa, regions, None, Engine(Objects(None)), Tuning(hot=2, share=1e9, eager=1))
    for machine in (plain, mine):
        for address, unit in assemble(isa, straight(), 0x1000).cells.items():
            machine.write("phys", unit, BASE + address)
        machine.write("pc", BASE + 0x1000)
        machine.write("x", DATA, 1)
    for steps in (6000, 1, 7, 61, 150):
        assert plain.run(steps) == mine.run(steps)
        assert not plain.to_state().diff(mine.to_state())
    sizes = [len(module.text.splitlines()) for module in made]
    assert len(sizes) > 1, "the loop is in one piece"
    assert max(sizes) < 2 * LINES + FRAME < WHOLE
