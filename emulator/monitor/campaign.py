"""Long campaigns: loops of generated instructions, millions of steps each, on generated code, bare and monitored.

Generated guests (`guests`) are short and look everywhere; these look long.  A loop is made of instructions that, one
after the other, complete on the reference from the state in which it begins; what they do the thousandth time nobody
knows.  Traps lead back to its beginning, so that a loop that traps goes on, and its exits are tried as well.  Between
two stretches control goes to an instruction that trapped where the loop began: so whatever state a long run came to
leaves the guest and comes back.  Where a board says how, loops run in the mode of user programs; a hybrid monitor would
interpret them in any other.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, repeat
from time import process_time

from analyzer import ir
from analyzer.errors import UsageError
from emulator.board import Board
from emulator.decode import encode, fitting
from emulator.image import of_program
from emulator.interface import Reason
from emulator.machine import Tier
from emulator.monitor.monitor import Monitor
from emulator.monitor.twins import Dose, Place, Twins
from emulator.monitor.validate import told
from emulator.program import assemble
from emulator.reference import Completed, Policy, Trapped
from emulator.reference import Machine as Reference
from emulator.state import State

SIZE = 1 << 14
"""Units of RAM."""

START, ASIDE, TRAPPED, DATA = 0x1000, 0x1400, 0x1800, 0x2000
"""Where a loop begins, where the instructions that trap lie, where traps lead, and where its numbers point to."""

APART = 0x40
"""Units from one instruction that traps to the next: it, and a jump to the loop."""

LENGTH = 24
"""Instructions of a loop."""

TRIES = 400
"""Instructions that are tried for it."""

APPROACH = 16
"""Steps from the first instruction to the loop, at most."""

STEADY = 0.7
"""The share of loops whose registers go on pointing where they did; the others leave memory sooner or later."""

STRETCHES = (500, 10_000, 50_000)
"""Steps between two comparisons: the first few, and later ones."""

STEPS = 2_000_000
"""Steps that a loop runs."""

RARE = 500
"""Steps for one exit with which a loop may go on; one that exits more often has said enough after the first
stretch."""

PATIENCE = 1.0
"""Seconds of processor time for a stretch with which a loop may go on: one that rewrites itself takes long."""


@dataclass(slots=True)
class Campaign:
    """What a campaign came to: loops, monitored steps, those of them that ran directly, exits, how loops ended, and the
    first difference, if there is one."""

    loops: int = 0
    steps: int = 0
    direct: int = 0
    exits: int = 0
    difference: str | None = None
    ends: Counter[str] = field(default_factory=Counter)
    instructions: set[str] = field(default_factory=set)

    @property
    def share(self) -> float:
        """The share of steps that ran directly."""
        return self.direct / self.steps if self.steps else 1.0


@dataclass(frozen=True, slots=True)
class Loop:
    """How both machines begin, the names of the instructions in it, and where others lie that trapped."""

    dose: Dose
    names: Set[str]
    aside: Sequence[int]


class Loops:
    """Makes loops, the same ones for the same seed, and runs them on both machines."""

    def __init__(
        self,
        isa: ir.Isa,
        board: Board,
        monitor: Monitor,
        seed: int = 0,
        tier: Tier = "regions",
        *,
        user: bool = False,
    ) -> None:
        speech = board.speech
        if speech is None or not speech.go or (user and not speech.user):
            raise UsageError(f"the board {board.name} does not say how a program goes on", "its table `speech` would")
        self.isa = isa
        self.random, self.ways = random.Random(seed), random.Random(seed)
        origin = board.ram[0].base
        self.at, self.data, trapped = origin + START, origin + DATA, origin + TRAPPED
        self.go = speech.go.replace("{label}", f"{self.at:#x}")
        first = speech.user.replace("{label}", f"{self.at:#x}") if user else self.go
        text = f".equ trapped, {trapped:#x}\n{speech.before}\n.org trapped\n"
        text += f"start: {speech.recover}\n{first}\n.entry start\n"
        self.twins = Twins(isa, board, of_program(assemble(isa, text, origin)), monitor, SIZE, tier)

    def run(self, steps: int) -> Campaign:
        """Loops, until both machines have taken so many steps, or differ."""
        out = Campaign()
        while out.steps < steps and out.difference is None:
            loop = self._loop()
            self.twins.begin(loop.dose)
            out.loops += 1
            out.instructions |= loop.names
            self._compared(out, loop, min(STEPS, steps - out.steps))
        return out

    def _compared(self, out: Campaign, loop: Loop, most: int) -> None:
        counters = self.twins.machines[1].counters
        before, direct, done = sum(counters.exits.values()), counters.direct, 0
        stretches = chain(STRETCHES, repeat(STRETCHES[-1]))
        while done < most and out.difference is None:
            stretch, began = min(next(stretches), most - done), process_time()
            one, two = (machine.run(stretch) for machine in self.twins.machines)
            done += two.steps
            parted = self.twins.parted()
            if one != two or parted.places:
                places = ", ".join(map(str, list(parted.places)[:6]))
                out.difference = f"loop {out.loops}, within {done} steps: {told(one)}, {told(two)}, {places}"
            exits = sum(counters.exits.values()) - before
            if one.reason is not Reason.BUDGET:
                out.ends[one.reason.name.lower()] += 1
                break
            if exits * RARE > max(done, STRETCHES[1]):
                out.ends["exits"] += 1
                break
            if process_time() - began > PATIENCE:
                out.ends["slow"] += 1
                break
            self._aside(loop)
        else:
            out.ends["budget"] += 1
        counters = self.twins.machines[1].counters
        out.steps += done
        out.direct += counters.direct - direct
        out.exits += sum(counters.exits.values()) - before

    def _aside(self, loop: Loop) -> None:
        """Sends control from the loop to one of the instructions that trap."""
        pc = self.isa.fetch.pc
        bare = self.twins.machines[0]
        if loop.aside and self.at <= bare.read(pc) < self.at + ASIDE - START:
            where = self.ways.choice(loop.aside)
            for machine in self.twins.machines:
                machine.write(pc, where)

    # -- loops ---------------------------------------------------------------------------------------------------------

    def _loop(self) -> Loop:
        isa, memory = self.isa, self.twins.memory
        places = self._places()
        state = State(isa, self.twins.start.choices)
        state.elements.update(self.twins.start.elements)
        state.files = {name: list(entries) for name, entries in self.twins.start.files.items()}
        for (name, index), value in places.items():
            state.write(name, value, index)
        for i, unit in enumerate(self.twins.blank):
            state.memories[memory][self.twins.base + i] = unit
        reference = Reference(isa, state, Policy(deliver=False, arbitrary=lambda name, args, width: 0))
        for _ in range(APPROACH):
            if state.pc() == self.at:
                break
            reference.step()
        steady = self.random.random() < STEADY
        pointers = {place: value for place, value in places.items() if self.data <= value < self.data + 0x1000}
        cells: dict[int, int] = {}
        names: set[str] = set()
        aside: list[int] = []
        at, count, free = self.at, 0, self.at + ASIDE - START
        for _ in range(TRIES):
            if count >= LENGTH or at > self.at + (ASIDE - START) // 2:
                break
            instruction, units = self._instruction()
            elements, files = dict(state.elements), {name: list(entries) for name, entries in state.files.items()}
            for i, unit in enumerate(units):
                state.memories[memory][at + i] = unit
            event = reference.step()
            stays = not steady or all(state.read(name, index) == value for (name, index), value in pointers.items())
            goes_on = isinstance(event, Completed) and state.pc() == at + len(units) and self._inside(event)
            if goes_on and stays:
                cells.update(enumerate(units, at))
                names.add(instruction.name)
                at, count = at + len(units), count + 1
                continue
            state.elements.update(elements)  # what it wrote to memory may stay
            for name, entries in files.items():
                state.files[name][:] = entries
            if isinstance(event, Trapped) and free < self.at + TRAPPED - START:
                cells.update(enumerate(units, free))
                cells.update(assemble(isa, self.go, free + len(units)).cells)
                names.add(instruction.name)
                aside.append(free)
                free += APART
        cells.update(assemble(isa, self.go, at).cells)
        return Loop(Dose(places, cells), names, aside)

    def _inside(self, event: Completed) -> bool:
        """Has the instruction accessed no memory but the RAM?"""
        start, end = self.twins.base, self.twins.base + self.twins.size
        return all(start <= touch.cell[1] < end - 8 for touch in event.accesses)

    def _places(self) -> Mapping[Place, int]:
        """Registers that point to data, or hold anything."""
        chance = self.random
        places: dict[Place, int] = {}
        for file in self.isa.files.values():
            if file.role is not ir.Role.GUEST:
                continue
            for index in range(file.size):
                if index not in file.zeros:
                    near = self.data + chance.randrange(0, 0x1000, 16)
                    value = near if chance.random() < 0.6 else chance.getrandbits(file.width)
                    places[file.name, index] = value & (1 << file.width) - 1
        return places

    def _instruction(self) -> tuple[ir.Instruction, tuple[int, ...]]:
        while True:
            instruction = self.random.choice(self.isa.instructions)
            operands = {o.name: self._operand(o) for o in instruction.operands}
            try:
                return instruction, encode(self.isa, instruction, fitting(self.isa, instruction, operands))
            except UsageError:
                continue

    def _operand(self, operand: ir.OperandField) -> int:
        chance = self.random
        named = [v for _, values in operand.cases for v in values]
        if named and chance.random() < 0.9:
            return chance.choice(named)
        if operand.width > 12 and chance.random() < 0.7:
            return (self.data + chance.randrange(0x1000)) & (1 << operand.width) - 1
        return chance.getrandbits(operand.width)


__all__ = ["Campaign", "Loops"]
