"""Machines side by side on one random program, stopped at random counts."""

from __future__ import annotations

import ctypes
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analyzer import ir
from emulator.interface import Reason
from emulator.machine.base import BaseMachine
from emulator.machine.plain import PlainMachine
from tests.machine import programs
from tests.machine.settings import SIZE, Setting

COUNTS = (1, 1, 2, 3, 7, 20, 60)

HOMES = 12
"""Places in a program that are gone to again and again, so that they become hot."""

NEAR = 1 << 20
"""Bytes of a bank that are compared at each stop; the rest is compared at the end of the program."""


@dataclass(slots=True)
class Leg:
    """A part of a program's way: to a setting, or back to an address, and so many steps."""

    to: Setting | int | None
    steps: int = 0


class Company:
    """The machines of all tiers, which run one program after the other: what was compiled for the last one is there."""

    def __init__(self, isa: ir.Isa, machines: Mapping[str, BaseMachine]) -> None:
        self.isa, self.machines = isa, machines
        self.plain = PlainMachine(isa, programs.regions(isa), programs.choices(isa))
        self.fresh = self.plain.snapshot()
        self.reasons: Counter[Reason] = Counter()
        self.retired = self.compared = 0

    def stops(self, seed: int, most: int, again: int = 0) -> int:
        """Runs a program on the reference and on the others, comparing everything at each stop; the steps taken.

        Control goes back now and then to where it was before, so that instructions become hot.  A program that ends, or
        does nothing but trap, or has left its memory, goes on elsewhere, with other registers.  Then it runs so many
        times `again`, the same way with other stops: what it needs is compiled by then.
        """
        rng = random.Random(seed)
        isa, plain = self.isa, self.plain
        program = programs.program(isa, rng)
        plain.restore(self.fresh)
        plain.from_state(program.state)
        image = plain.snapshot()
        everyone = (plain, *self.machines.values())
        for machine in self.machines.values():
            machine.restore(image)
        pc = isa.fetch.pc
        way: list[Leg] = [Leg(None)]
        homes = [plain.read(pc), *(rng.choice(program.starts) for _ in range(HOMES))]
        home = homes[0]
        for stop in range(most):
            budget, before, retired = rng.choice(COUNTS), plain.read(pc), plain.retired
            expected = plain.run(budget)
            self.reasons[expected.reason] += 1
            for name, machine in self.machines.items():
                where = f"{name}, seed {seed}, stop {stop}: at {before:#x}"
                assert machine.run(budget) == expected, where
                assert_same(where, plain, machine, whole=stop == most - 1)
            self.compared += 1
            way[-1].steps += expected.steps
            away = expected.reason is not Reason.BUDGET or plain.read(pc) >= SIZE
            if away or rng.random() < (0.6 if plain.retired == retired else 0.03):
                home = rng.choice(homes) if rng.random() < 0.7 else rng.choice(program.starts)
                found = programs.elsewhere(isa, home, rng)
                way.append(Leg(found))
                for machine in everyone:
                    go(machine, found)
            elif rng.random() < 0.25:
                back = home & (1 << isa.elements[pc].width) - 1
                way.append(Leg(back))
                for machine in everyone:
                    machine.write(pc, back)
        self.retired += plain.retired
        steps = plain.steps
        for number in range(again):
            for machine in everyone:
                machine.restore(image)
            self._same_way(f"seed {seed}, again {number}", way, rng)
        return steps

    def _same_way(self, which: str, way: Sequence[Leg], rng: random.Random) -> None:
        """Goes a way with stops of its own."""
        plain, pc = self.plain, self.isa.fetch.pc
        for number, leg in enumerate(way):
            for machine in (plain, *self.machines.values()):
                if isinstance(leg.to, int):
                    machine.write(pc, leg.to)
                elif leg.to is not None:
                    go(machine, leg.to)
            left = leg.steps
            while left > 0:
                budget, before = min(rng.choice(COUNTS), left), plain.read(pc)
                expected = plain.run(budget)
                for name, machine in self.machines.items():
                    where = f"{name}, {which}, leg {number}, {left} before its end: at {before:#x}"
                    assert machine.run(budget) == expected, where
                    assert_same(where, plain, machine, whole=number == len(way) - 1)
                self.compared += 1
                left -= expected.steps
                if expected.reason is not Reason.BUDGET:
                    break


def go(machine: BaseMachine, to: Setting) -> None:
    """Writes a setting."""
    for (memory, address), units in to.blocks.items():
        machine.write_units(memory, address, units)
    view = machine._view()
    if view.memories:  # the state itself
        for name, value in to.elements.items():
            machine._set(name, value)
    else:
        view.elements.update(to.elements)
    for (file, index), value in to.entries.items():
        view.files[file][index] = value
    machine._take(view)


def assert_same(where: str, plain: BaseMachine, other: BaseMachine, whole: bool = True) -> None:
    """Two machines are in one state: the registers, the cells of their memories, the counts."""
    assert (plain.steps, plain.retired) == (other.steps, other.retired), where
    mine, others = plain._view(), other._view()
    same = mine.elements == others.elements and mine.files == others.files
    if same and same_memory(plain, other, None if whole else NEAR):
        return
    differences = [f"{d}" for d in plain.to_state().diff(other.to_state())]
    raise AssertionError(f"{where}: {differences[:8]}")


def same_memory(one: BaseMachine, other: BaseMachine, most: int | None) -> bool:
    """Whether all RAM has the same content, or the first `most` bytes of it; megabytes are compared where they lie."""
    pairs = (
        (mine, its)
        for name, storage in one._storages.items()
        for mine, its in zip(storage.banks, other._storages[name].banks, strict=True)
    )
    return all(
        mine.cells.nbytes == its.cells.nbytes
        and memcmp(mine.host, its.host, mine.cells.nbytes if most is None else min(most, mine.cells.nbytes)) == 0
        for mine, its in pairs
    )


memcmp = ctypes.CDLL(None).memcmp
memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
