"""IA-32 in protected mode and its oracles, Bochs and Unicorn.

The tables of a scene hold descriptors and gates of all the kinds that the spec describes. Code and stack segments are
32-bit; the stacks are in pages of their own. With paging, the first four megabytes are mapped onto themselves, the
data pages among each other, with random permissions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analyzer import ir
from conformance.adapter import Adapter, Delivered, Scene, number
from conformance.oracles.bochs import GENERAL, Bochs
from conformance.oracles.oracle import Oracle
from conformance.oracles.unicorn import Unicorn
from conformance.vector import Vector
from emulator.reference.events import Completed, Event, Trapped
from emulator.state import State

CODE, DATA, REGION = 0x1_0000, 0x2_0000, 0x1_0000
STACK, INNER_STACKS = 0x4_0000, 0x5_0000
GDT, LDT, IDT, TSS = 0x6_0000, 0x6_1000, 0x6_2000, 0x6_4000
DIRECTORY, TABLE = 0x7_0000, 0x7_1000
HANDLERS = 0x8_0000
PAGE = 0x1000
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
FAR = ("les_lds", "lss_lfs_lgs", "jmp_far_M", "call_far_M", "pop_sreg", "pop_fs_gs", "mov_to_sreg", "lldt", "ltr")
TIME_STAMP_COUNTER = 0x10
STRINGS = ("movs", "cmps", "stos", "lods", "scas", "ins", "outs")
PRESENT, ATTRIBUTES = 0x80, 0x40FE  # of the hidden part, not the accessed bit
FLAGS = 0x0024_7ED5  # without TF, RF and VM
SAME = ("eip", "cr2", "cr0", "cr3", "cr4", "dr6", "dr7", "es", "ss", "ds", "fs", "gs", "ldtr", "tr", "cs", "eflags")
CODE32, DATA32, STACK_DOWN = 0x1B, 0x13, 0x17
CALL_GATE, INTERRUPT_GATE, TRAP_GATE, TASK_GATE, TSS_FREE, TSS_BUSY, LDT_KIND = 0x0C, 0x0E, 0x0F, 5, 9, 0x0B, 2


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A segment descriptor (SDM 3, figure 3-8); the limit in bytes."""

    base: int
    limit: int
    kind: int
    dpl: int
    present: bool = True
    big: bool = True

    @property
    def attributes(self) -> int:
        """Bits 8 to 23 of the high doubleword, without the limit."""
        coarse = self.limit > 0xF_FFFF
        return self.kind | self.dpl << 5 | self.present << 7 | self.big << 14 | coarse << 15

    def encode(self) -> bytes:
        limit = self.limit >> 12 if self.limit > 0xF_FFFF else self.limit
        high = self.base & 0xFF00_0000 | (limit & 0xF_0000) | self.base >> 16 & 0xFF | self.attributes << 8
        return (self.base << 16 & 0xFFFF_0000 | limit & 0xFFFF | high << 32).to_bytes(8, "little")


def gate(kind: int, dpl: int, selector: int, offset: int, present: bool = True, parameters: int = 0) -> bytes:
    """A gate descriptor (SDM 3, figures 5-8 and 6-2)."""
    high = offset & 0xFFFF_0000 | present << 15 | dpl << 13 | kind << 8 | parameters
    return (selector << 16 | offset & 0xFFFF | high << 32).to_bytes(8, "little")


FLAT = 0xFFFF_FFFF
# The selectors of flat code and data by privilege level.
FLAT_CODE = {0: 0x08, 1: 0x38, 2: 0x48, 3: 0x18}
FLAT_DATA = {0: 0x10, 1: 0x40, 2: 0x50, 3: 0x20}
TSS_SELECTOR, LDT_SELECTOR, FIRST_OTHER = 0x28, 0x30, 0x58
OTHERS = 16


class Ia32(Adapter):
    """`ia32`."""

    machine = "ia32"
    memory = "phys"
    modeled = {f"{name}.attributes": ATTRIBUTES for name in SEGMENTS} | {
        "ldtr.attributes": PRESENT,
        "tr.attributes": PRESENT,
    }

    def __init__(self) -> None:
        super().__init__()
        self._oracles = (Bochs(), Unicorn())

    def oracles(self) -> tuple[Oracle, ...]:
        return self._oracles

    # -- scenes --------------------------------------------------------------------------------------------------------

    def scene(self, rng: random.Random, pointers: bool, instruction: ir.Instruction, mode: str | None) -> Scene:
        cpl = rng.choice((0, 0, 1, 2, 3, 3, 3)) if mode is None else int(mode)
        registers = {"cr0": 0x11, "cr2": rng.getrandbits(32), "cr3": DIRECTORY | rng.choice((0, 0, 0x18))}
        registers["cr0"] |= sum(rng.randrange(2) << bit for bit in (1, 2, 3, 5, 16))
        registers["cr4"] = rng.getrandbits(9) & 0x15C if rng.random() < 0.5 else 0
        registers["dr7"] = 0x400 | (0x2000 if rng.random() < 0.1 else 0)
        registers |= {f"dr{n}": rng.getrandbits(32) for n in range(4)}
        registers["eip"] = CODE + rng.randrange(REGION - 16)
        registers["eflags"] = 2 | rng.getrandbits(22) & FLAGS
        for bit, chance in ((14, 0.05), (18, 0.1)):
            registers["eflags"] = registers["eflags"] & ~(1 << bit) | (rng.random() < chance) << bit
        scene = Scene(registers, 0, rng.getrandbits(64))
        others = _tables(rng, scene, cpl)
        _segments(rng, scene, cpl, others)
        scene.code = registers["cs.base"] + registers["eip"]
        if rng.random() < 0.35:
            registers["cr0"] |= 1 << 31
            _pages(rng, scene, cpl)
        for name in GENERAL:
            registers[name] = _value(rng, pointers, cpl)
        registers["esp"] = STACK + 0x800 + rng.randrange(64) * (4 if rng.random() < 0.9 else 1)
        if rng.random() < 0.05:
            registers["esp"] = number(rng, 32)
        if instruction.family in STRINGS:
            registers["ecx"] = rng.randrange(5)
        if instruction.family in ("rdmsr", "wrmsr", "rdpmc") and rng.random() < 0.7:
            registers["ecx"] = rng.choice((TIME_STAMP_COUNTER, 0, 1))
        if instruction.family == "mov_to_sreg" and rng.random() < 0.7:
            registers |= dict.fromkeys(GENERAL, FLAT_DATA[cpl] | cpl)
        if rng.random() < (0.9 if instruction.family in FAR else 0.3):
            selectors = b"".join(_selector(rng, cpl).to_bytes(2, "little") for _ in range(64))
            scene.put(DATA, selectors * (REGION // len(selectors)))
        scene.put(registers["esp"], _frame(rng, cpl))
        return scene

    def operand(self, rng: random.Random, instruction: ir.Instruction, name: str) -> int | None:
        if instruction.family not in ("jmp_far", "call_far"):
            return None
        level = rng.randrange(4)
        return {"s": FLAT_CODE[level] | level, "k": CODE + rng.randrange(REGION)}.get(name)

    # -- states --------------------------------------------------------------------------------------------------------

    def state(self, registers: Mapping[str, int]) -> State:
        state = State(self.isa)
        for n, name in enumerate(GENERAL):
            state.write("r", registers[name], n)
        for name in SAME:
            state.write(name, registers[name])
        for n in range(4):
            state.write("dr", registers[f"dr{n}"], n)
        for n, name in enumerate(SEGMENTS):
            attributes = registers[f"{name}.attributes"]
            values = {"base": registers[f"{name}.base"], "limit": registers[f"{name}.limit"]}
            values |= {"kind": attributes & 0x1F, "dpl": attributes >> 5 & 3, "big": attributes >> 14 & 1}
            values["usable"] = int(bool(attributes & PRESENT))
            for part, value in values.items():
                state.write(f"hidden.{part}", value, n)
        for ours, theirs in (("gdtr", "gdtr"), ("idtr", "idtr"), ("ldt", "ldtr"), ("tss", "tr")):
            state.write(f"{ours}.base", registers[f"{theirs}.base"])
            state.write(f"{ours}.limit", registers[f"{theirs}.limit"])
        state.write("ldt.usable", int(bool(registers["ldtr.attributes"] & PRESENT)))
        state.write("tss.usable", int(bool(registers["tr.attributes"] & PRESENT)))
        state.write("irq", 0)
        return state

    def registers(self, state: State) -> dict[str, int]:
        values = {name: state.read("r", n) for n, name in enumerate(GENERAL)}
        values |= {name: state.read(name) for name in SAME} | {f"dr{n}": state.read("dr", n) for n in range(4)}
        for n, name in enumerate(SEGMENTS):
            usable = state.read("hidden.usable", n)
            kind, dpl, big = (state.read(f"hidden.{part}", n) for part in ("kind", "dpl", "big"))
            values[f"{name}.attributes"] = (kind | dpl << 5 | PRESENT | big << 14) if usable else 0
            if usable:
                values |= {f"{name}.{part}": state.read(f"hidden.{part}", n) for part in ("base", "limit")}
        for ours, theirs in (("ldt", "ldtr"), ("tss", "tr")):
            usable = state.read(f"{ours}.usable")
            values[f"{theirs}.attributes"] = PRESENT if usable else 0
            if usable:
                values |= {f"{theirs}.{part}": state.read(f"{ours}.{part}") for part in ("base", "limit")}
        return values | {
            f"{name}.{part}": state.read(f"{name}.{part}") for name in ("gdtr", "idtr") for part in ("base", "limit")
        }

    def delivered(self, attributes: Mapping[str, int], event: Trapped) -> Delivered:
        return Delivered(attributes["vector"], attributes["code"] if attributes["pushes"] else None)

    def code_address(self, registers: Mapping[str, int]) -> int:
        return registers.get("cs.base", 0) + registers["eip"] & FLAT

    def again(self, event: Event, before: State, after: State) -> bool:
        """The spec does one element of a repeated string instruction at a time, the oracles do all."""
        repeats = isinstance(event, Completed) and event.instruction.family in STRINGS
        return repeats and before.pc() == after.pc()

    def always(self, scene: Scene) -> Iterable[int]:
        """What the delivery of any exception needs, so that an unexpected one is seen and does not end the oracle."""
        yield from range(IDT, IDT + 32 * 8)
        yield from range(GDT, GDT + FIRST_OTHER)
        for name in SEGMENTS:  # an oracle may load the hidden parts from there
            selector = scene.registers[name]
            yield from range(entry := (LDT if selector & 4 else GDT) + (selector & ~7), entry + 8)
        if scene.registers["cs"] & 3:
            yield from range(TSS, TSS + 0x1C)
        if scene.registers["cr0"] >> 31:
            yield from range(DIRECTORY, DIRECTORY + 4)
            for region in (range(STACK, STACK + 1), range(INNER_STACKS, INNER_STACKS + 3 * PAGE), range(GDT, TSS)):
                yield from range(TABLE + 4 * (region.start >> 12), TABLE + 4 * (region[-1] + PAGE >> 12))
            yield from range(TABLE + 4 * (TSS >> 12), TABLE + 4 * (TSS >> 12) + 12)
            yield from range(TABLE + 4 * (HANDLERS >> 12), TABLE + 4 * (HANDLERS >> 12) + 4)

    def undescribed(self, before: State, after: State, vector: Vector) -> str | None:
        return "a fault in the delivery of an event" if after.read("shutdown") else None

    def arbitrary(self, name: str, args: Sequence[int], width: int) -> int | None:
        if name == "port_read":
            return (1 << width) - 1  # an open bus
        if name in ("after_read", "after_write", "msr_write", "tlb_without", "tlb_flushed", "cache_flushed"):
            return 0  # what they compute is not observed
        return None


def _tables(rng: random.Random, scene: Scene, cpl: int) -> list[tuple[int, Descriptor]]:
    """Lays GDT, LDT, IDT and TSS; the selectors of the segments that are not flat."""
    registers = scene.registers
    accessed = rng.random() < 0.85
    flat = {selector: Descriptor(0, FLAT, CODE32, dpl) for dpl, selector in FLAT_CODE.items()}
    flat |= {selector: Descriptor(0, FLAT, DATA32, dpl) for dpl, selector in FLAT_DATA.items()}
    gdt, ldt = bytearray(FIRST_OTHER + 8 * OTHERS), bytearray(FIRST_OTHER + 8 * OTHERS)
    for selector, d in flat.items():
        gdt[selector : selector + 8] = Descriptor(d.base, d.limit, d.kind & ~1 | accessed, d.dpl).encode()
    limit = rng.choice((0x67, 0x87, 0x2067, 0x2068))
    gdt[TSS_SELECTOR : TSS_SELECTOR + 8] = Descriptor(TSS, limit, TSS_BUSY, 0, big=False).encode()
    gdt[LDT_SELECTOR : LDT_SELECTOR + 8] = Descriptor(LDT, len(ldt) - 1, LDT_KIND, 0, big=False).encode()
    others: list[tuple[int, Descriptor]] = []
    for table, local in ((gdt, 0), (ldt, 4)):
        for selector in range(FIRST_OTHER, FIRST_OTHER + 8 * OTHERS, 8):
            table[selector : selector + 8], segment = _other(rng)
            if segment is not None:
                others.append((selector | local, segment))
    scene.put(GDT, bytes(gdt))
    scene.put(LDT, bytes(ldt))
    gates = [_vector_gate(rng, vector, cpl) for vector in range(48)]
    scene.put(IDT, b"".join(gates) + b"".join(gates[32:]) * 13)
    tss = bytearray(rng.randbytes(0x68 + 0x2002))
    tss[:4] = bytes(4)  # no previous task: a task return is #TS
    for level in range(3):
        tss[4 + 8 * level : 8 + 8 * level] = (INNER_STACKS + PAGE * level + 0x800).to_bytes(4, "little")
        selector = FLAT_DATA[level] | level if rng.random() < 0.95 else _selector(rng, level)
        tss[8 + 8 * level : 10 + 8 * level] = selector.to_bytes(2, "little")
    tss[0x66:0x68] = rng.choice((0x68, 0x68, 0x68, 0xFFFF, limit - 1)).to_bytes(2, "little")
    if rng.random() < 0.4:
        tss[0x68:] = bytes(len(tss) - 0x68)
    scene.put(TSS, bytes(tss))
    registers |= {"gdtr.base": GDT, "gdtr.limit": FIRST_OTHER + 8 * OTHERS - 1 if rng.random() < 0.9 else 0x5F}
    registers |= {"idtr.base": IDT, "idtr.limit": 0x7FF if rng.random() < 0.95 else 0xFF}
    registers |= {"tr": TSS_SELECTOR, "tr.base": TSS, "tr.limit": limit, "tr.attributes": 0x8B}
    if rng.random() < 0.8:
        registers |= {"ldtr": LDT_SELECTOR, "ldtr.base": LDT, "ldtr.limit": len(ldt) - 1}
        registers["ldtr.attributes"] = 0x82
    return others


def _other(rng: random.Random) -> tuple[bytes, Descriptor | None]:
    """A descriptor of any kind; the segment, if it is usable data or readable code."""
    dpl, present = rng.randrange(4), rng.random() < 0.9
    match rng.randrange(10):
        case 0 | 1 | 2 | 3:
            kind = 0x10 | rng.randrange(8) | (rng.random() < 0.8)
            base, limit = rng.choice(((0, FLAT), (0x100, 0xF_FFFF), (0x1_0000, 0x2_FFFF), (0, 0x2_4FFF)))
            if kind & 4:
                limit = rng.choice((0xFFF, 0x2_0FFF))
            segment = Descriptor(base, limit, kind, dpl, present, bool(rng.randrange(2)) or kind & 4 == 0)
            return segment.encode(), segment if present else None
        case 4 | 5:
            segment = Descriptor(0, FLAT, 0x18 | rng.randrange(8) | (rng.random() < 0.8), dpl, present)
            return segment.encode(), segment if present and segment.kind & 2 else None
        case 6 | 7:
            selector = rng.choice(
                (*FLAT_CODE.values(), *FLAT_CODE.values(), rng.randrange(FIRST_OTHER, FIRST_OTHER + 8 * OTHERS))
            )
            offset = CODE + rng.randrange(REGION)
            return gate(CALL_GATE, dpl, selector, offset, present, rng.randrange(5)), None
        case 8:
            return Descriptor(TSS, 0x20, TSS_FREE, dpl, present, False).encode(), None
        case _:
            kind = rng.choice((0, 2, 8, 10, 13, 14, 15, 11))
            return Descriptor(rng.getrandbits(20), 0xFF, kind, dpl, present, False).encode(), None


def _vector_gate(rng: random.Random, vector: int, cpl: int) -> bytes:
    """A gate of the interrupt table; most can be gone through."""
    level = rng.choice([n for n in (0, 0, 0, 1, 2, 3) if n <= cpl])
    selector = FLAT_CODE[level] | rng.randrange(4)
    kind, dpl = rng.choice((INTERRUPT_GATE, TRAP_GATE)), rng.choice((0, 3, 3))
    offset = HANDLERS + 16 * vector
    if vector >= 0x20 and rng.random() < 0.1:
        return gate(rng.choice((CALL_GATE, 0, 2)), dpl, selector, offset)
    return gate(kind, dpl, selector, offset, vector < 0x20 or rng.random() < 0.9)


def _segments(rng: random.Random, scene: Scene, cpl: int, others: list[tuple[int, Descriptor]]) -> None:
    """Loads the segment registers: mostly flat, sometimes anything that could have been loaded."""
    _load(scene, "cs", FLAT_CODE[cpl] | cpl, Descriptor(0, FLAT, CODE32, cpl))
    _load(scene, "ss", FLAT_DATA[cpl] | cpl, Descriptor(0, FLAT, DATA32, cpl))
    loadable = [(s, d) for s, d in others if d.dpl >= cpl or d.kind & 0x1C == 0x1C]
    for name in ("ds", "es", "fs", "gs"):
        chance = rng.random()
        if chance < 0.65 or not loadable:
            level = rng.choice([n for n in range(4) if n >= cpl])
            _load(scene, name, FLAT_DATA[level] | rng.randrange(level + 1), Descriptor(0, FLAT, DATA32, level))
        elif chance < 0.75:
            scene.registers |= {name: rng.randrange(4), f"{name}.attributes": 0}
        else:
            selector, segment = rng.choice(loadable)
            _load(scene, name, selector | rng.randrange(4), segment)


def _load(scene: Scene, name: str, selector: int, segment: Descriptor) -> None:
    values = {"": selector, ".base": segment.base, ".limit": segment.limit, ".attributes": segment.attributes | 1}
    scene.registers |= {name + part: value for part, value in values.items()}


def _pages(rng: random.Random, scene: Scene, cpl: int) -> None:
    """Lays a page directory and a table for the first four megabytes."""
    entries = [index << 12 | 7 | (0, 0x20, 0x60, 0x60)[index & 3] for index in range(1024)]
    entries[HANDLERS >> 12] |= 0x20  # Bochs fetches from the handler
    data = range(DATA >> 12, DATA + REGION >> 12)
    for index in data:
        flags = rng.choice((7, 7, 7, 7, 5, 3, 1, 6, 0)) | rng.choice((0, 0x20, 0x60))
        entries[index] = rng.choice(data) << 12 | flags
    for page in (GDT, IDT, IDT + PAGE, TSS, TSS + PAGE, TSS + 2 * PAGE, LDT, INNER_STACKS):
        if rng.random() < 0.5:
            entries[page >> 12] &= ~4
    directory = bytearray(PAGE)
    flags = rng.choice((7, 7, 7, 7, 7, 7, 3, 5)) | rng.choice((0, 0x20))
    directory[:4] = (TABLE | flags).to_bytes(4, "little")
    directory[4:8] = (rng.choice((0x40_0087, 0x40_2087, 0x40_0000, 0)) | rng.getrandbits(3)).to_bytes(4, "little")
    scene.put(DIRECTORY, bytes(directory))
    scene.put(TABLE, b"".join(entry.to_bytes(4, "little") for entry in entries))


def _selector(rng: random.Random, cpl: int) -> int:
    """A selector, mostly of a segment that exists."""
    match rng.randrange(8):
        case 0:
            return rng.getrandbits(16) if rng.random() < 0.3 else rng.randrange(4)
        case 1 | 2:
            return FLAT_CODE[rng.randrange(4)] | rng.randrange(4)
        case 3:
            return FLAT_DATA[rng.randrange(4)] | rng.randrange(4)
        case 4:
            return FLAT_DATA[cpl] | cpl
        case _:
            return FIRST_OTHER + 8 * rng.randrange(OTHERS) | rng.choice((0, cpl, 3)) | rng.choice((0, 0, 4))


def _value(rng: random.Random, pointers: bool, cpl: int) -> int:
    if rng.random() < 0.15:
        return _selector(rng, cpl) | rng.getrandbits(16) << 16
    if pointers and rng.random() < 0.9:
        return DATA + 0x100 + rng.randrange(REGION - 0x200) // 8 * (8 if rng.random() < 0.7 else 1)
    return number(rng, 32)


def _frame(rng: random.Random, cpl: int) -> bytes:
    """What a return may find: EIP, CS, the flags or not, ESP and SS; or selectors."""
    level = rng.choice([n for n in (cpl, cpl, *range(4)) if n >= cpl])
    cs = FLAT_CODE[level] | level if rng.random() < 0.8 else _selector(rng, level)
    ss = FLAT_DATA[level] | level if rng.random() < 0.85 else _selector(rng, level)
    words = [CODE + rng.randrange(REGION), cs | rng.getrandbits(16) << 16]
    if rng.random() < 0.5:
        words.append(rng.getrandbits(22) & (FLAGS | 0x5_4000) | 2)
    words += [STACK + 0x400 + 4 * rng.randrange(64), ss]
    if rng.random() < 0.3:
        words = [_selector(rng, cpl) | rng.getrandbits(16) << 16 for _ in range(5)]
    return b"".join(word.to_bytes(4, "little") for word in words)
