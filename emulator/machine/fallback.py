"""One instruction on the reference, for a machine that holds its state elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer import ir
from emulator.evaluate import ArbitraryPolicy
from emulator.interface import Exit
from emulator.machine.plain import WholeReference, judge, written
from emulator.reference.events import Policy
from emulator.state import State
from emulator.storage import RamCells, Storage


class ReferenceStep:
    """The reference over the memory of a machine."""

    def __init__(
        self, isa: ir.Isa, storages: Mapping[str, Storage], choices: Mapping[str, int], arbitrary: ArbitraryPolicy
    ) -> None:
        self.isa = isa
        self.policy = Policy(arbitrary=arbitrary)
        self.cells = {name: RamCells(storage) for name, storage in storages.items()}

    def step(self, state: State, machine: object) -> tuple[Exit | None, int, int, list[tuple[str, int, int]]]:
        """Executes one step on `state` and the memory: the end of the run if it is one, steps, steps that retired
        nothing, and what was written."""
        state.memories = dict(self.cells)
        event = WholeReference(self.isa, state, self.policy).step_whole()
        ended, steps, lost = judge(event)
        return ended, steps, lost, written(self.isa, event)
