"""All tiers give the same results, instruction for instruction, for every spec."""

from __future__ import annotations

import pytest

from analyzer import ir
from emulator.machine.base import BaseMachine
from emulator.machine.blocks import BlocksMachine
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from tests.machine import programs
from tests.machine.compare import stops
from tests.specs import spec

SPECS = ("pg1974", "ka10", "s370", "m68000", "ia32", "rv64")

HOT = {"interpreter": 0, "regions": 2}
STOPS = 24
"""In each program."""


def machines(isa: ir.Isa, engine: Engine) -> dict[str, BaseMachine]:
    """One of each tier."""
    regions, choices = programs.regions(isa), programs.choices(isa)
    found: dict[str, BaseMachine] = {"blocks": BlocksMachine(isa, regions, choices)}
    for tier, hot in HOT.items():
        found[tier] = NativeMachine(isa, regions, choices, engine, hot, share=1e9, eager=1)
    return found


@pytest.mark.parametrize("name", SPECS)
def test_sample(name: str, engine: Engine) -> None:
    isa = spec(name)
    assert stops(isa, 0, machines(isa, engine), STOPS) > STOPS


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_many(name: str, engine: Engine) -> None:
    """Together 100,000 stops, on each tier."""
    isa = spec(name)
    for seed in range(16_700 // STOPS):
        stops(isa, seed, machines(isa, engine), STOPS)
