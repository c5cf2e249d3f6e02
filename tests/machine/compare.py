"""Two machines side by side on one random program, stopped at random counts."""

from __future__ import annotations

import random

from analyzer import ir
from emulator.interface import Exit, Reason
from emulator.machine.base import BaseMachine
from emulator.machine.plain import PlainMachine
from emulator.state import State
from tests.machine import programs

COUNTS = (1, 1, 2, 3, 7, 20, 60)


def stops(isa: ir.Isa, seed: int, machine: BaseMachine, most: int) -> int:
    """Runs a program on the reference and on `machine`, comparing everything at each stop; the number of stops.

    The program begins anew now and then, so that its first instructions become hot.
    """
    rng = random.Random(seed)
    start = programs.state(isa, rng)
    plain = PlainMachine(isa, programs.regions(isa), programs.choices(isa))
    plain.from_state(start)
    machine.from_state(start)
    pc = isa.fetch.pc
    for stop in range(most):
        budget = rng.choice(COUNTS)
        before = plain.to_state()
        expected, found = plain.run(budget), machine.run(budget)
        assert_same(f"seed {seed}, stop {stop}", before, (expected, plain.to_state()), (found, machine.to_state()))
        assert plain.retired == machine.retired, f"seed {seed}, stop {stop}"
        if expected.reason is not Reason.BUDGET:
            return stop + 1
        if rng.random() < 0.4:
            plain.write(pc, start.elements[pc])
            machine.write(pc, start.elements[pc])
    return most


def assert_same(where: str, before: State, plain: tuple[Exit, State], other: tuple[Exit, State]) -> None:
    assert plain[0] == other[0], where
    differences = [f"{d}" for d in plain[1].diff(other[1])]
    assert not differences, f"{where}: at {before.pc():#x}: {differences[:8]}"
