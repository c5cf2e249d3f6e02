"""Machines side by side on one random program, stopped at random counts."""

from __future__ import annotations

import random
from collections.abc import Mapping

from analyzer import ir
from emulator.interface import Exit, Reason
from emulator.machine.base import BaseMachine
from emulator.machine.plain import PlainMachine
from emulator.state import State
from tests.machine import programs

COUNTS = (1, 1, 2, 3, 7, 20, 60)


def stops(isa: ir.Isa, seed: int, machines: Mapping[str, BaseMachine], most: int) -> int:
    """Runs a program on the reference and on the others, comparing everything at each stop; the steps that were taken.

    The program begins anew now and then, so that its first instructions become hot; one that ends goes on elsewhere,
    with other registers.
    """
    rng = random.Random(seed)
    start = programs.state(isa, rng)
    plain = PlainMachine(isa, programs.regions(isa), programs.choices(isa))
    everyone = (plain, *machines.values())
    for machine in everyone:
        machine.from_state(start)
    pc = isa.fetch.pc
    before = plain.to_state()
    for stop in range(most):
        budget = rng.choice(COUNTS)
        expected, after = plain.run(budget), plain.to_state()
        for name, machine in machines.items():
            where = f"{name}, seed {seed}, stop {stop}"
            assert_same(where, before, (expected, after), (machine.run(budget), machine.to_state()))
            assert plain.retired == machine.retired, where
        before = after
        if expected.reason is not Reason.BUDGET:
            elsewhere = programs.elsewhere(isa, rng)
            for machine in everyone:
                for place, index, value in elsewhere:
                    machine.write(place, value, index)
        elif rng.random() < 0.4:
            for machine in everyone:
                machine.write(pc, start.elements[pc])
    return plain.steps


def assert_same(where: str, before: State, plain: tuple[Exit, State], other: tuple[Exit, State]) -> None:
    assert plain[0] == other[0], where
    differences = [f"{d}" for d in plain[1].diff(other[1])]
    assert not differences, f"{where}: at {before.pc():#x}: {differences[:8]}"
