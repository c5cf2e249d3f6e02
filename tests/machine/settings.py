"""Where random programs can live: trap vectors, descriptors and page tables of the bundled machines.

Nothing of this is needed for a comparison, but without it a program that traps once does nothing but trap.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from analyzer import ir
from emulator.state import split

SIZE = 1 << 14
"""Units that hold the program, from 0 on."""

ROOM = 1 << 18
"""Units of RAM where a memory is large."""

TABLES = 0x8000
"""Where tables are that need not be elsewhere."""


@dataclass(slots=True)
class Setting:
    """Elements, entries of files, and blocks of memory by their first address."""

    isa: ir.Isa
    elements: dict[str, int] = field(default_factory=dict)
    entries: dict[tuple[str, int], int] = field(default_factory=dict)
    blocks: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def put(self, memory: str, address: int, bits: int, *values: int) -> None:
        """Numbers of `bits` bits that lie one behind the other."""
        unit = self.isa.spaces[memory].unit
        self.blocks[memory, address] = [u for value in values for u in split(value, bits, unit, self.isa.endian)]


def setting(isa: ir.Isa, rng: random.Random) -> Setting:
    """A setting in which most instructions do something and most traps lead on."""
    found = Setting(isa)
    make = MAKERS.get(isa.name)
    if make is not None:
        make(found, rng)
    return found


def entry(rng: random.Random) -> int:
    """An address in the program, aligned for any machine."""
    return rng.randrange(SIZE) & ~7


def pg1974(found: Setting, rng: random.Random) -> None:
    """The second PSW of E, and bounds within the memory."""
    lowest = rng.choice((0, 0, rng.randrange(SIZE // 4)))
    bound = rng.choice((SIZE, SIZE - lowest, SIZE // 2))
    found.elements.update(M=rng.getrandbits(1), l=lowest, b=bound)
    found.put("E", 1, 64, rng.getrandbits(1) << 63 | entry(rng) << 42 | lowest << 21 | bound)


def ka10(found: Setting, rng: random.Random) -> None:
    """Locations 40 to 61 hold jumps; blocks of low and high memory lie in the program."""
    jumps = [rng.choice((0o264, 0o265, 0o260, 0o254)) << 27 | rng.randrange(16) << 23 | entry(rng) for _ in range(9)]
    found.put("core", 0o40, 36, *(word for jump in jumps for word in (0, jump)))
    found.elements.update(USER=rng.getrandbits(1), UIO=rng.getrandbits(1), WP=rng.getrandbits(1))
    found.elements.update(
        Pl=rng.choice((0, 0x0F, 0x7F)), Rl=rng.randrange(4), Ph=rng.choice((0x8F, 0xFF)), Rh=0x80 + rng.randrange(8)
    )
    if rng.random() < 0.3:
        found.elements.update({"pi.ON": 1, "pi.PIE": rng.getrandbits(7), "apr.PIA": rng.randrange(8)})


def s370(found: Setting, rng: random.Random) -> None:
    """New PSWs; segments of 64K that share one page table."""
    translated, prefix = rng.random() < 0.4, rng.choice((0, 0, 3))

    def psw(problem: int) -> int:
        masks = (translated and rng.random() < 0.7) << 58 | rng.getrandbits(2) << 56
        key = rng.choice((0, 0, 0, rng.randrange(16))) << 52
        return masks | key | 1 << 51 | problem << 48 | rng.getrandbits(6) << 40 | entry(rng)

    found.put("core", prefix << 12 | 0x58, 64, *(psw(int(rng.random() < 0.3)) for _ in range(5)))
    found.put("core", TABLES, 32, *(0xF0000000 | TABLES + 0x1000 for _ in range(256)))
    frames = [rng.choice((i, i, i, i, rng.randrange(16))) for i in range(16)]
    found.put("core", TABLES + 0x1000, 16, *(frame << 4 | (rng.random() < 0.05) << 3 for frame in frames))
    found.elements.update(
        {
            "prefix": prefix,
            "cr0.PAGE": 2,
            "cr0.SEGMENT": 0,
            "cr0.ZERO": 0,
            "cr1.LENGTH": 0xFF,
            "cr1.ORIGIN": TABLES >> 6,
            **dict.fromkeys(("psw.RES0", "psw.RES2", "psw.RES16", "psw.RES24"), 0),
            "psw.EC": 1,
            "psw.T": int(translated),
            "psw.P": rng.getrandbits(1),
            "psw.KEY": rng.choice((0, 0, rng.randrange(16))),
        }
    )
    for block in range(32):
        found.entries["skey", block] = rng.choice((0, 0, rng.getrandbits(7)))


def m68000(found: Setting, rng: random.Random) -> None:
    """Vectors, and two stacks."""
    found.put("bus", 8, 32, *(entry(rng) | rng.getrandbits(8) << 24 for _ in range(254)))
    found.elements.update({"sr.S": rng.getrandbits(1), "sr.T": int(rng.random() < 0.1), "sr.I": rng.randrange(8)})
    found.elements.update(sp=entry(rng) + SIZE, osp=entry(rng) + 2 * SIZE)


def ia32(found: Setting, rng: random.Random) -> None:
    """Flat segments of levels 0 and 3, gates, a task state for the inner stack, and pages of both sizes."""
    user, paged, large = rng.random() < 0.3, rng.random() < 0.4, rng.getrandbits(1)
    code, data, base = 0x00CF9A000000FFFF, 0x00CF92000000FFFF, TABLES + 0x2000
    found.put("phys", base, 64, 0, code, data, code, code | 3 << 45, data | 3 << 45)
    gates = (
        0x0008_0000 | entry(rng) | rng.choice((0x8E, 0x8F, 0xEE, 0xEF)) << 40 | (rng.random() < 0.01) << 32
        for _ in range(256)
    )
    found.put("phys", base + 0x400, 64, *gates)
    found.put("phys", base + 0x1000, 32, 0, 2 * SIZE + entry(rng), 0x10)
    directory = TABLES + 0x1000
    found.put("phys", TABLES, 32, 0x87 if large else directory | 7)
    frames = [rng.choice((i, i, i, i, rng.randrange(ROOM >> 12))) for i in range(ROOM >> 12)]
    present = (rng.choice((1, 3, 5, 7, 7, 7, 7, 7)) if frame < 8 and rng.random() < 0.2 else 7 for frame in frames)
    found.put("phys", directory, 32, *(frame << 12 | bits for frame, bits in zip(frames, present, strict=True)))
    found.elements.update(
        {
            "gdtr.base": base,
            "gdtr.limit": 6 * 8 - 1,
            "idtr.base": base + 0x400,
            "idtr.limit": 0x7FF,
            "tss.base": base + 0x1000,
            "tss.limit": 0x67,
            "tss.usable": 1,
            "cr3.PDB": TABLES >> 12,
            "cr4.PSE": 1,
            "cr0.PG": int(paged),
            "cs.INDEX": 4 if user else 1,
            "cs.RPL": 3 if user else 0,
        }
    )
    for segment in range(6):
        found.entries["hidden.dpl", segment] = 3 if user else 0
    found.elements.update(dict.fromkeys(("es", "ss", "ds", "fs", "gs"), 0x2B if user else 0x10))


def rv64(found: Setting, rng: random.Random) -> None:
    """Vectors, and tables of pages of 4 KiB or of one of 1 GiB."""
    mode = rng.choice((0, 1, 3))
    paged, large = rng.random() < 0.6, rng.getrandbits(1)
    leaf = 0xDF if mode == 0 or rng.random() < 0.1 else 0xCF
    second, third = TABLES + 0x1000, TABLES + 0x2000
    found.put("phys", TABLES, 64, leaf if large else second >> 2 | 1)
    found.put("phys", second, 64, third >> 2 | 1)
    frames = [rng.choice((i, i, i, i, rng.randrange(ROOM >> 12))) for i in range(ROOM >> 12)]
    spoiled = (leaf ^ (1 << rng.randrange(8) if rng.random() < 0.1 else 0) for _ in frames)
    found.put("phys", third, 64, *(frame << 10 | bits for frame, bits in zip(frames, spoiled, strict=True)))
    found.elements.update(
        {
            "priv": mode,
            "atp.MODE": 8 if paged else 0,
            "atp.PPN": TABLES >> 12,
            "mtvec.BASE": entry(rng) >> 2,
            "stvec.BASE": entry(rng) >> 2,
            "mtvec.VECTORED": rng.getrandbits(1),
            "mstatus.MPP": rng.choice((0, 1, 3)),
            "mstatus.SUM": rng.getrandbits(1),
            "mepc.ADDRESS": entry(rng) >> 1,
            "sepc.ADDRESS": entry(rng) >> 1,
            "medeleg.LOW": rng.choice((0, 0, rng.getrandbits(9))),
        }
    )


Maker = Callable[[Setting, random.Random], None]

MAKERS: dict[str, Maker] = {
    "pg1974": pg1974,
    "ka10": ka10,
    "s370": s370,
    "m68000": m68000,
    "m68010": m68000,
    "ia32": ia32,
    "rv64": rv64,
}
