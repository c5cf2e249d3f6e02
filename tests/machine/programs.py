"""Random programs for any spec: states and memory full of instructions that mostly make sense."""

from __future__ import annotations

import random

from analyzer import ir
from emulator.decode import encode
from emulator.interface import Ram, Region
from emulator.state import State

SIZE = 1 << 14
"""Units of RAM where a memory is large, and the units that hold the program."""


TABLES = {"ia32": {"gdtr.base": 0x3000, "gdtr.limit": 0x1F, "idtr.base": 0x3400, "idtr.limit": 0x7FF}}
"""Where a machine has its tables, so that its traps are delivered and programs go on."""


def tables(isa: ir.Isa, rng: random.Random) -> dict[int, int]:
    """The bytes of these tables: flat segments, gates to somewhere in the program."""
    if isa.name not in TABLES:
        return {}
    code, data = 0x00CF9A000000FFFF, 0x00CF92000000FFFF
    words = {0x3008: code, 0x3010: data, 0x3018: code}
    for vector in range(256):
        words[0x3400 + 8 * vector] = 0x00008E0000080000 | rng.randrange(0x3000) & ~7
    return {at + i: word >> 8 * i & 0xFF for at, word in words.items() for i in range(8)}


def at_reset(isa: ir.Isa) -> State:
    """The state at reset, with tables where there must be some."""
    found = State(isa, choices(isa))
    found.elements.update(TABLES.get(isa.name, {}))
    return found


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
    """The units of a random instruction; small operands are likelier, and wide ones that may be addresses in RAM."""
    chosen = rng.choice(isa.instructions)
    operands = {}
    for operand in chosen.operands:
        value = rng.getrandbits(operand.width)
        if operand.width > 6 and rng.random() < 0.5:
            value = rng.getrandbits(rng.randint(1, min(operand.width, 7)))
        elif operand.width >= 16 and rng.random() < 0.8:
            value = rng.randrange(SIZE) & ~7
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
    found = at_reset(isa)
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
            for address, unit in tables(isa, rng).items():
                cells[address] = unit
    pc = isa.elements[isa.fetch.pc]
    found.elements[pc.name] = rng.randrange(limit) & ~7 & ((1 << pc.width) - 1)
    return found


def elsewhere(isa: ir.Isa, rng: random.Random) -> list[tuple[str, int | None, int]]:
    """Another place in the program, other registers, a processor that runs, and mostly all else as at reset: what to
    write where."""
    fresh, sane = at_reset(isa), rng.random() < 0.9
    found: list[tuple[str, int | None, int]] = []
    for element in isa.elements.values():
        if element.name == isa.fetch.pc:
            found.append((element.name, None, rng.randrange(SIZE) & ~7 & (1 << element.width) - 1))
        elif element.role is ir.Role.PROCESSOR or (sane and element.role is not ir.Role.GUEST):
            found.append((element.name, None, fresh.elements[element.name]))
        elif element.role is ir.Role.GUEST and not element.legal:
            found.append((element.name, None, value(element.width, rng)))
    for file in isa.files.values():
        entries = [i for i in range(file.size) if i not in file.zeros]
        if file.role is ir.Role.GUEST:
            found += [(file.name, i, value(file.width, rng)) for i in entries]
        elif sane:
            found += [(file.name, i, fresh.files[file.name][i]) for i in entries]
    return found
