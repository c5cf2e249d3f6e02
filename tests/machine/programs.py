"""Random programs for any spec: states and memory full of instructions that mostly make sense."""

from __future__ import annotations

import random

from analyzer import ir
from emulator.decode import encode
from emulator.interface import Ram, Region
from emulator.state import State

SIZE = 1 << 14
"""Units of RAM where a memory is large, and the units that hold the program."""


def regions(isa: ir.Isa) -> list[Region]:
    """RAM from 0 on in every memory."""
    found: list[Region] = []
    for space in isa.spaces.values():
        if isinstance(space, ir.Memory):
            whole = space.address_width <= 24 and space.size is None
            found.append(Ram(space.name, 0, 1 << space.address_width if whole else SIZE))
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
    """The units of a random instruction; small operands are likelier."""
    chosen = rng.choice(isa.instructions)
    operands = {}
    for operand in chosen.operands:
        value = rng.getrandbits(operand.width)
        if operand.width > 6 and rng.random() < 0.5:
            value = rng.getrandbits(rng.randint(1, min(operand.width, 7)))
        operands[operand.name] = value
    try:
        return list(encode(isa, chosen, operands))
    except Exception:
        return instruction(isa, rng)


def value(width: int, rng: random.Random) -> int:
    """A number that is often an address in RAM, aligned, or at an edge."""
    kind = rng.random()
    if kind < 0.55:
        found = rng.randrange(SIZE) & ~rng.choice((0, 1, 7))
    elif kind < 0.75:
        found = rng.choice((0, 1, 2, -1, 1 << (width - 1), (1 << (width - 1)) - 1))
    else:
        found = rng.getrandbits(width)
    return found & ((1 << width) - 1)


def state(isa: ir.Isa, rng: random.Random) -> State:
    """A random state whose memory is full of instructions."""
    found = State(isa, choices(isa))
    chaos = rng.random() < 0.4
    for element in isa.elements.values():
        if element.role is ir.Role.PROCESSOR:
            continue
        if not chaos and element.role in (ir.Role.MAP, ir.Role.CONTROL, ir.Role.TIME) and rng.random() < 0.8:
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
    units: list[int] = []
    limit = min(len(range(SIZE)), 1 << min(s.address_width for s in isa.spaces.values() if isinstance(s, ir.Memory)))
    while len(units) < limit:
        units += instruction(isa, rng)
    for name, cells in found.memories.items():
        if isa.spaces[name].unit == isa.unit:
            for address, unit in enumerate(units[:limit]):
                cells[address] = unit
    pc = isa.elements[isa.fetch.pc]
    found.elements[pc.name] = rng.randrange(limit) & ~7 & ((1 << pc.width) - 1)
    return found
