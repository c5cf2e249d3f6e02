"""Random programs for any spec: states and memory full of instructions that mostly make sense."""

from __future__ import annotations

import random
from dataclasses import dataclass

from analyzer import ir
from emulator.decode import encode, fitting
from emulator.interface import Ram, Region
from emulator.state import State
from tests.machine.settings import ROOM, SIZE, Setting, setting


@dataclass(frozen=True, slots=True)
class Program:
    """A state with the program in its memory, and where its instructions begin."""

    state: State
    starts: tuple[int, ...]


def regions(isa: ir.Isa) -> list[Region]:
    """RAM from 0 on in every memory."""
    found: list[Region] = []
    for space in isa.spaces.values():
        if isinstance(space, ir.Memory):
            whole = space.address_width <= 24 and space.size is None
            bounded = SIZE if space.size is not None else ROOM
            found.append(Ram(space.name, 0, 1 << space.address_width if whole else bounded))
    return found


def choices(isa: ir.Isa) -> dict[str, int]:
    """A memory whose size is a choice ends where the RAM ends."""
    sizing = {
        e.element
        for space in isa.spaces.values()
        if isinstance(space, ir.Memory) and space.size is not None
        for e in ir.subterms(space.size)
        if isinstance(e, ir.Get)
    }
    return dict.fromkeys(sizing, SIZE)


def instruction(isa: ir.Isa, rng: random.Random) -> list[int]:
    """The units of a random instruction; small operands are likelier, of both signs, and wide ones that may be
    addresses in RAM."""
    chosen = rng.choice(isa.instructions)
    operands = {}
    for operand in chosen.operands:
        value = rng.getrandbits(operand.width)
        if operand.width > 6 and rng.random() < 0.5:
            value = rng.getrandbits(rng.randint(1, min(operand.width, 7)))
            if rng.random() < 0.3:
                value = -value & (1 << operand.width) - 1
        elif operand.width >= 16 and rng.random() < 0.8:
            value = rng.randrange(SIZE) & ~7
        operands[operand.name] = value
    try:
        return list(encode(isa, chosen, fitting(isa, chosen, operands)))
    except Exception:
        return instruction(isa, rng)


def value(width: int, rng: random.Random) -> int:
    """A number that is often an address in RAM, aligned, or at an edge."""
    kind = rng.random()
    if kind < 0.7:
        found = rng.randrange(SIZE) & ~rng.choice((0, 1, 7, 7))
    elif kind < 0.85:
        found = rng.choice((0, 1, 2, -1, 1 << (width - 1), (1 << (width - 1)) - 1))
    else:
        found = rng.getrandbits(width)
    return found & ((1 << width) - 1)


def program(isa: ir.Isa, rng: random.Random) -> Program:
    """A random program in a random state: mostly one in which it can go on, sometimes any."""
    found = State(isa, choices(isa))
    chaos = rng.random() < 0.1
    for element in isa.elements.values():
        if element.role is ir.Role.PROCESSOR:
            continue
        if not chaos and element.role not in (ir.Role.GUEST, ir.Role.MODE) and rng.random() < 0.95:
            continue
        if element.legal:
            found.elements[element.name] = rng.choice(element.legal)
        elif element.width <= 4:
            found.elements[element.name] = rng.getrandbits(element.width)
        else:
            found.elements[element.name] = value(element.width, rng)
    for file in isa.files.values():
        if file.role is ir.Role.GUEST or chaos:
            found.files[file.name] = [0 if i in file.zeros else value(file.width, rng) for i in range(file.size)]
    memories = [space for space in isa.spaces.values() if isinstance(space, ir.Memory)]
    limit = min(SIZE, 1 << min(space.address_width for space in memories))
    units: list[int] = []
    starts: list[int] = []
    while len(units) < limit:
        starts.append(len(units))
        units += instruction(isa, rng)
    for space in memories:
        if space.unit == isa.unit:
            cells = found.memories[space.name]
            for address, unit in enumerate(units[:limit]):
                cells[address] = unit
    chosen = setting(isa, rng)
    for (memory, first), block in chosen.blocks.items():
        for i, unit in enumerate(block):
            found.memories[memory][first + i] = unit
    if not chaos:
        found.elements.update(chosen.elements)
        for (name, index), entry in chosen.entries.items():
            found.files[name][index] = entry
    pc = isa.elements[isa.fetch.pc]
    found.elements[pc.name] = rng.choice(starts) & (1 << pc.width) - 1
    return Program(found, tuple(starts))


def elsewhere(isa: ir.Isa, pc: int, rng: random.Random) -> Setting:
    """Another place in the program, other registers, a processor that runs, and mostly all else as at reset or as a
    setting has it."""
    fresh, sane = State(isa, choices(isa)), rng.random() < 0.9
    found = Setting(isa)
    for element in isa.elements.values():
        if element.role is ir.Role.PROCESSOR or (sane and element.role is not ir.Role.GUEST):
            found.elements[element.name] = fresh.elements[element.name]
        elif element.role is ir.Role.GUEST and not element.legal:
            found.elements[element.name] = value(element.width, rng)
    for file in isa.files.values():
        if file.role is ir.Role.GUEST:
            entries = [0 if i in file.zeros else value(file.width, rng) for i in range(file.size)]
        elif sane:
            entries = fresh.files[file.name]
        else:
            continue
        found.entries.update(((file.name, i), entry) for i, entry in enumerate(entries))
    if sane:
        chosen = setting(isa, rng)
        found.elements.update(chosen.elements)
        found.entries.update(chosen.entries)
        found.blocks.update(chosen.blocks)
    found.elements[isa.fetch.pc] = pc & (1 << isa.elements[isa.fetch.pc].width) - 1
    return found
