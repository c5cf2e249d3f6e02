"""RV64IMAC with M, S and U, and its oracle, Spike.

All of memory is the RAM of the oracle. With translation on, an Sv39 table at ROOT maps a gigapage, megapages and pages
with random permissions; a few entries are malformed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analyzer import ir
from conformance.adapter import Adapter, Delivered, Scene, number
from conformance.oracles.oracle import Oracle
from conformance.oracles.spike import GENERAL, MPRV, MSTATUS, RAM_BASE, RAM_BYTES, Spike
from emulator.reference.events import Trapped
from emulator.state import State

U, S, M = 0, 1, 3
MODES = {"U": U, "S": S, "M": M}
M_HANDLER, S_HANDLER = RAM_BASE + 0x1000, RAM_BASE + 0x3000
CODE, DATA, REGION = RAM_BASE + 0x10_0000, RAM_BASE + 0x20_0000, 0x1_0000
ROOT, MIDDLE, LEAVES = RAM_BASE + 0x40_0000, RAM_BASE + 0x40_1000, RAM_BASE + 0x40_2000
PAGE, MEGA, GIGA = 1 << 12, 1 << 21, 1 << 30
SV39 = 8 << 60
MIP, MIE, MIDELEG, MEDELEG, COUNTERS = 0x222, 0xAAA, 0x222, 0xCB3FE, 7
MSTATUS_BITS = 0x7E_01AA & ~MPRV  # without MPP
SAME = (
    *("misa", "medeleg", "mideleg", "mie", "mtvec", "mcounteren", "menvcfg", "mcountinhibit", "mscratch", "mepc"),
    *("mcause", "mtval", "mip", "mvendorid", "marchid", "mimpid", "mhartid", "stvec", "scounteren", "senvcfg"),
    *("sscratch", "sepc", "scause", "stval", "mcycle", "minstret", "mstatus", "pc", "priv"),
)
"""The registers that have one name in the spec and in the oracle."""


@dataclass(frozen=True, slots=True)
class Mapping_:
    """A leaf of the page table."""

    virtual: int
    physical: int
    size: int


class Rv64(Adapter):
    """`rv64`."""

    machine = "rv64"
    memory = "phys"
    undefined = 6

    def __init__(self) -> None:
        super().__init__()
        self._oracle = Spike()

    def oracles(self) -> tuple[Oracle, ...]:
        return (self._oracle,)

    def scene(self, rng: random.Random, pointers: bool, instruction: ir.Instruction, mode: str | None) -> Scene:
        priv = rng.choice((M, S, U)) if mode is None else MODES[mode]
        satp = SV39 | rng.getrandbits(16) << 44 | ROOT >> 12 if rng.random() < 0.5 else 0
        mstatus = MSTATUS | rng.getrandbits(23) & MSTATUS_BITS | rng.choice((U, S, M)) << 11
        if priv == M and rng.random() < 0.3:
            mstatus |= MPRV
        registers = {"priv": priv, "satp": satp, "mstatus": mstatus}
        registers |= {"mtvec": M_HANDLER | rng.randrange(2), "stvec": S_HANDLER | rng.randrange(2)}
        registers |= {"medeleg": rng.getrandbits(64) & MEDELEG, "mideleg": rng.getrandbits(64) & MIDELEG}
        interrupts = rng.random() < 0.1
        registers |= {"mie": rng.getrandbits(12) & MIE, "mip": rng.getrandbits(12) & MIP if interrupts else 0}
        enabled = 7 if rng.random() < 0.5 else rng.getrandbits(3)
        registers |= {
            name: enabled if rng.random() < 0.6 else rng.getrandbits(3) for name in ("mcounteren", "scounteren")
        }
        registers["mcountinhibit"] = rng.getrandbits(3) & 5 if rng.random() < 0.2 else 0
        for name in ("mscratch", "sscratch", "mcause", "scause", "mtval", "stval", "mcycle", "minstret"):
            registers[name] = number(rng, 64)
        scene = Scene(registers, 0, rng.getrandbits(64))
        mappings = self._page_tables(rng, scene) if satp else []
        effective = mstatus >> 11 & 3 if mstatus & MPRV else priv
        bare = [Mapping_(DATA, DATA, REGION)]
        registers["pc"], scene.code = _address(rng, mappings if satp and priv != M else bare, 2)
        scene.translated = registers["pc"] != scene.code
        for name in ("mepc", "sepc"):
            registers[name] = (_address(rng, bare, 2)[0] if rng.random() < 0.7 else number(rng, 64)) & ~1
        twins = number(rng, 64)
        same = rng.random() < 0.1
        for name in GENERAL:
            if pointers and rng.random() < 0.9:
                where = mappings if satp and effective != M else bare
                registers[name] = _address(rng, where, 8 if rng.random() < 0.9 else 1)[0]
            else:
                registers[name] = twins if same else number(rng, 64)
        return scene

    def _page_tables(self, rng: random.Random, scene: Scene) -> list[Mapping_]:
        """Lays the tables into memory; what they map into RAM."""
        mappings: list[Mapping_] = []
        for table in (ROOT, MIDDLE, LEAVES):
            scene.put(table, bytes(PAGE))
        for index in (RAM_BASE // GIGA, 0x102):
            _entry(rng, scene, ROOT + 8 * index, RAM_BASE, GIGA)
            mappings.append(Mapping_(_sign(index * GIGA) + DATA - RAM_BASE, DATA, REGION))
        for index in (0, 0x1FF):
            _entry(rng, scene, ROOT + 8 * index, MIDDLE, None)
            for middle in range(4):
                physical = RAM_BASE + rng.randrange(2) * MEGA
                _entry(rng, scene, MIDDLE + 8 * middle, physical, MEGA)
                mappings.append(Mapping_(_sign(index * GIGA) + middle * MEGA, physical + 0x10_0000, REGION))
                mappings[-1] = Mapping_(mappings[-1].virtual + 0x10_0000, mappings[-1].physical, REGION)
            _entry(rng, scene, MIDDLE + 8 * 5, LEAVES, None)
            for leaf in range(8):
                physical = DATA + rng.randrange(REGION // PAGE) * PAGE
                _entry(rng, scene, LEAVES + 8 * leaf, physical, PAGE)
                mappings.append(Mapping_(_sign(index * GIGA) + 5 * MEGA + leaf * PAGE, physical, PAGE))
        return mappings

    def state(self, registers: Mapping[str, int]) -> State:
        state = State(self.isa)
        for n, name in enumerate(GENERAL, 1):
            state.write("x", registers[name], n)
        for name in SAME:
            state.write(name, registers[name])
        state.write("atp", registers["satp"])
        for name in ("reserved", "mtime"):
            state.write(name, 0)
        return state

    def registers(self, state: State) -> dict[str, int]:
        values = {name: state.read("x", n) for n, name in enumerate(GENERAL, 1)}
        return values | {name: state.read(name) for name in SAME} | {"satp": state.read("atp")}

    def delivered(self, attributes: Mapping[str, int], event: Trapped) -> Delivered:
        return Delivered(attributes["cause"])

    def code_address(self, registers: Mapping[str, int]) -> int:
        return registers["pc"]

    def addressable(self, address: int) -> bool:
        return RAM_BASE <= address < RAM_BASE + RAM_BYTES

    def arbitrary(self, name: str, args: Sequence[int], width: int) -> int | None:
        return 0 if name in ("flush", "refetch") else None  # what they compute is not observed


def _entry(rng: random.Random, scene: Scene, at: int, physical: int, size: int | None) -> None:
    """Writes a page table entry: a leaf of `size`, or a pointer to the next table if it is None."""
    if size is None:
        flags = 1 if rng.random() < 0.97 else rng.getrandbits(8)
    elif rng.random() < 0.6:
        flags = 0xCF | rng.randrange(2) << 4 | rng.randrange(2) << 5
    else:
        flags = rng.getrandbits(8) | (1 if rng.random() < 0.9 else 0)
    entry = physical >> 12 << 10 | rng.getrandbits(2) << 8 | flags
    if rng.random() < 0.02:
        entry |= 1 << rng.randrange(54, 64)
    if size not in (None, PAGE) and rng.random() < 0.02:
        entry |= 1 << 10
    scene.put(at, entry.to_bytes(8, "little"))


def _address(rng: random.Random, mappings: Sequence[Mapping_], align: int) -> tuple[int, int]:
    """A virtual address and the physical one it should lead to."""
    mapping = rng.choice(mappings)
    offset = rng.randrange(0, mapping.size - 8 + 1, align)
    virtual = mapping.virtual + offset
    if rng.random() < 0.01:
        virtual ^= 1 << rng.randrange(38, 64)
    return virtual, mapping.physical + offset


def _sign(address: int) -> int:
    """A 39-bit virtual address, sign-extended to 64 bits."""
    return address | (0xFFFF_FF80_0000_0000 if address >> 38 else 0)
