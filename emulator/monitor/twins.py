"""Two machines with one beginning: the bare one and a virtual one, on the same board, begun again and again."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from analyzer import ir
from analyzer.errors import Breach
from emulator.board import Board
from emulator.devices.console import Console
from emulator.interface import Exit, Ram, Reason
from emulator.machine import Tier
from emulator.machine.base import BaseMachine
from emulator.monitor.monitor import Monitor
from emulator.monitor.vm import VirtualMachine
from emulator.piece import Image
from emulator.state import State
from emulator.system import assemble_system

CHUNK = 1 << 8
"""Units that are compared at a time."""

Place = tuple[str, int | None]
"""An element, or an entry of a file or unit of a memory with its index."""


@dataclass(frozen=True, slots=True)
class Dose:
    """How the two begin: places that differ from the board's reset, and units of memory by address."""

    places: Mapping[Place, int] = field(default_factory=dict)
    cells: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parted:
    """Where the two stand after some steps, and the places that differ with both values; `pcs` are the bare machine's
    and the virtual one's program counter."""

    pcs: tuple[int, int]
    places: Mapping[Place, tuple[int, int]]


class Twins:
    """The bare machine and the virtual one, with `size` units of RAM."""

    def __init__(
        self, isa: ir.Isa, board: Board, image: Image, monitor: Monitor, size: int, tier: Tier = "reference"
    ) -> None:
        self.isa = isa
        self.memory = board.memory
        self.consoles = Console(), Console()
        one, two = self.consoles
        bare = assemble_system(isa, board, [image], one, ram=size, tier=tier).machine
        virtual = assemble_system(isa, board, [image], two, ram=size, make=monitor.make).machine
        assert isinstance(bare, BaseMachine)
        assert isinstance(virtual, VirtualMachine)
        self.machines: tuple[BaseMachine, VirtualMachine] = bare, virtual
        ram = next(r for r in bare.regions if isinstance(r, Ram))
        self.base, self.size = ram.base, ram.size
        whole = bare.to_state()
        self.start = State(isa, whole.choices)
        self.start.elements.update(whole.elements)
        self.start.files = {name: list(entries) for name, entries in whole.files.items()}
        banks = [machine._storages[self.memory].bank(self.base) for machine in self.machines]
        self.cells = [bank.cells for bank in banks if bank is not None]
        self.blank = array(self.cells[0].format, self.cells[0])
        self.pc = isa.fetch.pc

    def begin(self, dose: Dose) -> None:
        """Puts both where the dose says."""
        state = self.start.copy()
        for (name, index), value in dose.places.items():
            state.write(name, value, index)
        for console, machine, cells in zip(self.consoles, self.machines, self.cells, strict=True):
            cells[:] = memoryview(self.blank)
            for address, unit in dose.cells.items():
                cells[address - self.base] = unit
            machine._wrote(self.memory, self.base, self.size)
            machine.from_state(state)
            console.transcript.clear()

    def steps(self, count: int) -> Parted | None:
        """Goes on for so many steps; None if one of the two does not take them all, or the monitor has lost its
        guest."""
        try:
            ended = [machine.run(count) for machine in self.machines]
        except Breach:
            return None
        if any(e.reason is not Reason.BUDGET for e in ended):
            return None
        return self.parted()

    def go(self, end: int, most: int) -> Parted | None:
        """Goes on until both are at this address; None if they do not come there together in so many steps."""
        for _ in range(most):
            found = self.steps(1)
            if found is None or found.pcs[0] != found.pcs[1]:
                return None
            if found.pcs == (end, end):
                return found
        return None

    def parted(self) -> Parted:
        """Where they stand."""
        one, two = (machine._view() for machine in self.machines)
        found: dict[Place, tuple[int, int]] = {}
        for name, value in one.elements.items():
            if two.elements[name] != value:
                found[name, None] = value, two.elements[name]
        for name, entries in one.files.items():
            if entries != two.files[name]:
                found |= {
                    (name, i): (a, b) for i, (a, b) in enumerate(zip(entries, two.files[name], strict=True)) if a != b
                }
        found |= {(self.memory, at): pair for at, pair in self._cells()}
        return Parted((one.elements[self.pc], two.elements[self.pc]), found)

    def _cells(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """The units of RAM that differ."""
        one, two = self.cells
        for start in range(0, self.size, CHUNK):
            mine, its = one[start : start + CHUNK], two[start : start + CHUNK]
            if mine.tobytes() != its.tobytes():
                pairs = enumerate(zip(mine, its, strict=True), self.base + start)
                yield from ((at, (a, b)) for at, (a, b) in pairs if a != b)

    def told(self, dose: Dose, budget: int) -> tuple[bytes, bytes] | None:
        """What the two print, from the dose to the end; None if one does not end by itself."""
        self.begin(dose)
        try:
            ended: list[Exit] = [machine.run(budget) for machine in self.machines]
        except Breach:
            return None
        if any(e.reason is not Reason.STOPPED for e in ended):
            return None
        one, two = self.consoles
        return bytes(one.transcript), bytes(two.transcript)
