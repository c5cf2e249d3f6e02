"""Machines side by side on one random program, stopped at random counts."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Mapping

from analyzer import ir
from emulator.interface import Reason
from emulator.machine.base import BaseMachine
from emulator.machine.plain import PlainMachine
from tests.machine import programs

COUNTS = (1, 1, 2, 3, 7, 20, 60)


class Company:
    """The machines of all tiers, which run one program after the other: what was compiled for the last one is there."""

    def __init__(self, isa: ir.Isa, machines: Mapping[str, BaseMachine]) -> None:
        self.isa, self.machines = isa, machines
        self.plain = PlainMachine(isa, programs.regions(isa), programs.choices(isa))
        self.fresh = self.plain.snapshot()

    def stops(self, seed: int, most: int) -> int:
        """Runs a program on the reference and on the others, comparing everything at each stop; the steps taken.

        The program begins anew now and then, so that its first instructions become hot; one that ends goes on
        elsewhere, with other registers.
        """
        rng = random.Random(seed)
        isa, plain = self.isa, self.plain
        start = programs.state(isa, rng)
        plain.restore(self.fresh)
        plain.from_state(start)
        image = plain.snapshot()
        everyone = (plain, *self.machines.values())
        for machine in self.machines.values():
            machine.restore(image)
        pc = isa.fetch.pc
        for stop in range(most):
            budget, before = rng.choice(COUNTS), plain.read(pc)
            expected = plain.run(budget)
            for name, machine in self.machines.items():
                where = f"{name}, seed {seed}, stop {stop}: at {before:#x}"
                assert machine.run(budget) == expected, where
                assert_same(where, plain, machine)
            if expected.reason is not Reason.BUDGET:
                elsewhere = programs.elsewhere(isa, rng)
                for machine in everyone:
                    for place, index, value in elsewhere:
                        machine.write(place, value, index)
            elif rng.random() < 0.4:
                for machine in everyone:
                    machine.write(pc, start.elements[pc])
        return plain.steps


def assert_same(where: str, plain: BaseMachine, other: BaseMachine) -> None:
    """Two machines are in one state: the registers, every cell of their memories, the counts."""
    assert (plain.steps, plain.retired) == (other.steps, other.retired), where
    mine, others = plain._view(), other._view()
    if mine.elements == others.elements and mine.files == others.files and same_memory(plain, other):
        return
    differences = [f"{d}" for d in plain.to_state().diff(other.to_state())]
    raise AssertionError(f"{where}: {differences[:8]}")


def same_memory(one: BaseMachine, other: BaseMachine) -> bool:
    """Whether all RAM has the same content; megabytes are compared where they lie."""
    pairs = (
        (mine, its)
        for name, storage in one._storages.items()
        for mine, its in zip(storage.banks, other._storages[name].banks, strict=True)
    )
    return all(
        mine.cells.nbytes == its.cells.nbytes and memcmp(mine.host, its.host, mine.cells.nbytes) == 0
        for mine, its in pairs
    )


memcmp = ctypes.CDLL(None).memcmp
memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
