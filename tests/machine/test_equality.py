"""All tiers give the same results, instruction for instruction, for every spec."""

from __future__ import annotations

import pytest

from analyzer import ir
from analyzer.syntax.load import load
from emulator.machine.base import BaseMachine
from emulator.machine.blocks import BlocksMachine
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from tests.machine import programs
from tests.machine.compare import stops

SPECS = ("pg1974", "ka10", "s370", "m68000", "ia32", "rv64")


HOT = {"interpreter": 0, "regions": 2}


def compare(isa: ir.Isa, engine: Engine, tier: str, seeds: range, wanted: int) -> int:
    """Stops over several programs, until there were as many as wanted."""
    total = 0
    for seed in seeds:
        if tier == "blocks":
            machine: BaseMachine = BlocksMachine(isa, programs.regions(isa), programs.choices(isa))
        else:
            machine = NativeMachine(
                isa, programs.regions(isa), programs.choices(isa), engine, HOT[tier], share=1e9, eager=1
            )
        total += stops(isa, seed, machine, 12)
        if total >= wanted:
            break
    return total


@pytest.mark.parametrize("tier", ["blocks", "interpreter", "regions"])
@pytest.mark.parametrize("name", SPECS)
def test_sample(name: str, tier: str, engine: Engine) -> None:
    assert compare(load(name), engine, tier, range(1), 12) > 0


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["blocks", "interpreter", "regions"])
@pytest.mark.parametrize("name", SPECS)
def test_many(name: str, tier: str, engine: Engine) -> None:
    """Together 100,000 stops."""
    assert compare(load(name), engine, tier, range(100_000), 5_600) >= 5_600
