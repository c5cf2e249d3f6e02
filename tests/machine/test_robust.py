"""Images of random bits, in random states: a run always ends by its budget or for a reason."""

from __future__ import annotations

import random

import pytest

from analyzer import ir
from analyzer.syntax.load import load
from emulator.interface import Reason
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.state import State
from tests.machine import programs

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
    isa = load(name)
    for seed in range(5):
        run(isa, engine, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_many_random_images(name: str, engine: Engine) -> None:
    isa = load(name)
    for seed in range(300):
        run(isa, engine, seed)
