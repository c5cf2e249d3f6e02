"""Guests made by chance: a state, near the one after reset, with instructions where it will fetch them.

A guest is data, so that one that shows a difference can be made smaller: fewer changes to the state, fewer
instructions, fewer steps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from analyzer import ir
from analyzer.errors import UsageError
from emulator.decode import encode, fitting
from emulator.evaluate import Environment, value_of
from emulator.monitor.layout import Landing
from emulator.reference.code import code
from emulator.reference.events import Policy
from emulator.reference.run import Leave, Run
from emulator.state import State, split

INSTRUCTIONS = 8
"""Instructions of a guest."""

SPOTS = 5
"""Addresses at which instructions lie, and to which many of a guest's numbers point."""

VECTORS = 192
"""Units at the beginning of memory where machines keep slots and vectors."""

NARROW = 4
"""Bits of an element that points nowhere: each of its values is as good."""

TRIES = 50
"""Operands, and states, that are tried before others are."""


@dataclass(frozen=True, slots=True)
class Change:
    """A place that differs from reset: an element, an entry of a file, or a unit of memory."""

    place: str
    index: int | None
    value: int

    def __str__(self) -> str:
        return f"{self.place}{'' if self.index is None else f'[{self.index:#x}]'} = {self.value:#x}"


@dataclass(frozen=True, slots=True)
class Guest:
    """What differs from the state after reset, and for how many steps it runs."""

    changes: tuple[Change, ...]
    steps: int

    def state(self, isa: ir.Isa, choices: Mapping[str, int]) -> State:
        """The state in which it begins."""
        state = State(isa, choices)
        for change in self.changes:
            state.write(change.place, change.value, change.index)
        return state

    def smaller(self) -> Iterator[Guest]:
        """Guests with less in them, the most first."""
        if self.steps > 1:
            yield replace(self, steps=self.steps // 2)
            yield replace(self, steps=self.steps - 1)
        size = len(self.changes) // 2
        while size:
            for start in range(0, len(self.changes), size):
                yield replace(self, changes=self.changes[:start] + self.changes[start + size :])
            size //= 2


@dataclass(frozen=True, slots=True)
class Kind:
    """What guests are made for: the machine with `size` units of RAM from `base` on in a memory, the modes that they
    begin in, and what is assumed of them.  `chosen` are the values by which assumptions are judged."""

    isa: ir.Isa
    memory: str
    base: int
    size: int
    choices: Mapping[str, int]
    modes: frozenset[int]
    assumed: tuple[ir.Expr, ...]
    chosen: Mapping[str, int]
    environment: Mapping[str, int]


class Maker:
    """Makes guests, the same ones for the same seed.  Every other of their instructions is one of `focus`, if there is
    any.  The share `due` of them, if there is one, begins with an interrupt or waits for one."""

    def __init__(self, kind: Kind, seed: int, focus: Sequence[str] = (), due: float = 0.0) -> None:
        self.kind = kind
        self._share = due
        self._focus = [i for i in kind.isa.instructions if i.name in focus]
        self.random = random.Random(seed)
        isa = kind.isa
        self._mode = value_of(isa.mode.expr, isa)
        self._held = tuple(value_of(e, isa) for e in kind.assumed)
        self._due = tuple(value_of(i.cond, isa) for i in isa.interrupts)
        self._names = [n for n in isa.elements if n not in kind.environment]
        self._order: list[ir.Instruction] = []
        self._spots: list[int] = []

    def guest(self, steps: int) -> Guest:
        """A guest.  Most can fetch their first instruction."""
        kind = self.kind
        self._spots = [kind.base + self.random.randrange(VECTORS, kind.size // 2, 16) for _ in range(SPOTS)]
        state, changes = self._state()
        for _ in range(TRIES):
            if cell_of(self.kind, state, state.pc()) is not None or self.random.random() < 0.05:
                break
            state, changes = self._state()
        changes += self._vectors(state)
        for spot in self._spots:
            changes += self._placed(spot)
        changes += self._program(state)
        return Guest(tuple(changes), steps)

    # -- state ---------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[State, list[Change]]:
        """A state in a mode of the virtual machine, in which what is assumed holds."""
        isa = self.kind.isa
        wanted = self._share > 0 and self.random.random() < self._share
        number = 0
        while True:
            number += 1
            changes = self._changes(0.2 if wanted else 0.02)
            state = Guest(tuple(changes), 0).state(isa, self.kind.choices)
            environment = Environment(state.elements, state.files, state.choices, {})
            if self._mode(environment, {}) not in self.kind.modes:
                continue
            pending = any(due(environment, {}) for due in self._due)
            if wanted and not pending and number < TRIES:
                continue
            if pending and not wanted and self.random.random() < 0.9:
                continue
            if all(holds(environment, dict(self.kind.chosen)) for holds in self._held):
                return state, changes

    def _changes(self, waiting: float) -> list[Change]:
        """Places that differ from reset; the share `waiting` of what stops a processor among them."""
        isa, chance = self.kind.isa, self.random
        changes = [Change(n, None, v) for n, v in self.kind.environment.items()]
        share = chance.choice((0.05, 0.2, 0.5, 0.9))
        for name in self._names:
            element = isa.elements[name]
            certain = element.role is ir.Role.MODE or name == isa.fetch.pc
            if element.role is ir.Role.PROCESSOR and chance.random() >= waiting:
                continue
            if certain or chance.random() < share:
                changes.append(Change(name, None, self._element(element)))
        for file in isa.files.values():
            few = range(file.size) if file.size <= 64 else chance.sample(range(file.size), 8)
            changes += [
                Change(file.name, i, self._value(file.width))
                for i in few
                if i not in file.zeros and chance.random() < 0.7
            ]
        return changes

    def _element(self, element: ir.Element) -> int:
        if element.legal is not None:
            return self.random.choice(element.legal)
        if element.name == self.kind.isa.fetch.pc:
            return self.random.choice(self._spots) & (1 << element.width) - 1
        if element.role is ir.Role.MAP and self.random.random() < 0.5:
            return self.random.choice((0, (1 << element.width) - 1))
        if element.width <= NARROW and self.random.random() < 0.5:  # the others are mostly 0, which schemes like
            return self.random.getrandbits(element.width)
        return self._value(element.width)

    def _value(self, width: int) -> int:
        """A number: where instructions are, another address in RAM, a small one, one near the end of the range, or
        any."""
        chance = self.random
        near = self.kind.base + chance.randrange(self.kind.size)
        spot = chance.choice(self._spots)
        end = (1 << width) - 1 - chance.randrange(4)
        some = (spot, near & ~7, near, chance.randrange(4), end, chance.getrandbits(width))
        return chance.choices(some, (6, 6, 2, 3, 1, 1))[0] & (1 << width) - 1

    # -- memory --------------------------------------------------------------------------------------------------------

    def _vectors(self, state: State) -> list[Change]:
        """Numbers where machines keep slots and vectors: addresses, and registers as they might be saved there."""
        unit = self.kind.isa.spaces[self.kind.memory].unit
        endian = self.kind.isa.endian
        changes: list[Change] = []
        images = self._images(state)
        at = self.kind.base
        while at < self.kind.base + VECTORS:
            aligned = [image for image in images if (at - self.kind.base) * unit % image[0] == 0]
            bits, value = self._image(aligned)
            units = max(1, bits // unit)
            whole = split(value & (1 << units * unit) - 1, units * unit, unit, endian)
            changes += [Change(self.kind.memory, at + i, each) for i, each in enumerate(whole)]
            at += units
        return changes

    def _images(self, state: State) -> list[tuple[int, int]]:
        """Widths and numbers such as deliveries of traps save when the program counter is at a spot: what a machine
        takes for a saved state."""
        isa, chance = self.kind.isa, self.random
        images: list[tuple[int, int]] = []
        for kind in chance.sample(list(isa.traps.values()), min(4, len(isa.traps))):
            then = state.copy()
            then.elements[isa.fetch.pc] = chance.choice(self._spots) & (1 << isa.elements[isa.fetch.pc].width) - 1
            for name in chance.sample(list(isa.elements), min(2, len(isa.elements))):
                if chance.random() < 0.3:
                    then.elements[name] = self._element(isa.elements[name])
            images += [(t.bits, t.value) for t in Landing(isa, then).land(kind) if t.kind == "write"]
        return images

    def _image(self, images: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """A width in bits and a number: a saved one, or an address."""
        isa = self.kind.isa
        if images and self.random.random() < 0.9:
            return self.random.choice(images)
        width = max(f.width for f in isa.files.values()) if isa.files else isa.unit
        return width, self._value(width)

    def _placed(self, spot: int) -> list[Change]:
        """Instructions at a physical address."""
        changes: list[Change] = []
        end = self.kind.base + self.kind.size
        for _ in range(INSTRUCTIONS):
            for unit in self._instruction():
                if spot < end:
                    changes.append(Change(self.kind.memory, spot, unit))
                spot += 1
        return changes

    # -- instructions --------------------------------------------------------------------------------------------------

    def _program(self, state: State) -> list[Change]:
        """Instructions one after the other from the program counter on, where the map leads."""
        isa = self.kind.isa
        changes: list[Change] = []
        at = state.pc()
        wrap = (1 << isa.spaces[isa.fetch.space].address_width) - 1
        for _ in range(INSTRUCTIONS):
            units = self._instruction()
            for i, unit in enumerate(units):
                cell = cell_of(self.kind, state, at + i & wrap)
                if cell is None:
                    return changes
                changes.append(Change(self.kind.memory, cell, unit))
            at += len(units)
        return changes

    def _instruction(self) -> Sequence[int]:
        """The units of some instruction; each comes once before any comes again."""
        isa = self.kind.isa
        while True:
            if self._focus and self.random.random() < 0.5:
                self._order.append(self.random.choice(self._focus))
            if not self._order:
                self._order = list(isa.instructions)
                self.random.shuffle(self._order)
            instruction = self._order.pop()
            for _ in range(TRIES):
                operands = {o.name: self._operand(o.width) for o in instruction.operands}
                for operand in instruction.operands:
                    if operand.cases and self.random.random() < 0.9:
                        operands[operand.name] = self.random.choice(self.random.choice(operand.cases)[1] or (0,))
                try:
                    return encode(isa, instruction, fitting(isa, instruction, operands))
                except UsageError:
                    continue

    def _operand(self, width: int) -> int:
        """A wide one is often an address."""
        if width > 8 and self.random.random() < 0.8:
            return self._value(width)
        return self.random.getrandbits(width)


def cell_of(kind: Kind, state: State, address: int) -> int | None:
    """The unit of RAM at which an instruction is fetched from an address; None if it is not."""
    isa = kind.isa
    fetch = isa.fetch
    run = Run(code(isa), state, Policy())
    args = tuple(None if a is None else a(run, {}) for a in run.code.fetch_args)
    whole = address - address % (fetch.parcel // isa.unit)
    try:
        run.load(fetch.space, whole, fetch.parcel, "fetch", args, False)
    except Leave:
        return None
    finally:
        run.undo()
    read = (t.cell for t in run.accesses if not t.table and isinstance(isa.spaces[t.cell[0]], ir.Memory))
    memory, cell = next(read, ("", 0))  # registers may lie at an address
    cell += address - whole
    return cell if memory == kind.memory and kind.base <= cell < kind.base + kind.size else None
