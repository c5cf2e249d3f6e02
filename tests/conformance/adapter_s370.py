"""System/370 in EC mode and its oracle, Hercules.

Real storage has code, data and tables below 128K, and three pages that may become page 0.  With translation on, the
code and data pages are mapped among each other.  The oracle ends an instruction at a SUPERVISOR CALL where it goes on,
so each scene has one there; and what cannot be seen that way is left out: wait states, BC mode, other new PSWs.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType

from analyzer import ir
from conformance.adapter import Adapter, Delivered, Scene, number
from conformance.oracles.hercules import CONTROL, CPU_ID, EC_PSW, GENERAL, KEYS, LANDING, Hercules, new_psws
from conformance.oracles.hercules_guest import BLOCK, BLOCKS, LATE, OWN, STORAGE, TIMER
from conformance.oracles.oracle import Oracle
from conformance.vector import Vector
from emulator.decode import encode
from emulator.reference.events import Completed, DoubleFault, Event, Halted, Policy, Stuck, Trapped
from emulator.reference.machine import Machine
from emulator.state import State

PAGES = (0, 4, 5)
"""The pages that may be page 0."""
SEGMENT_TABLE, PAGE_TABLES = 0x6000, 0x6400
FIRST_TABLE, UNAVAILABLE = 0x7000, bytes([0x80, 0, 0, 0])
CODE, DATA, END = 0x8000, 0xC000, STORAGE
NEW_PSWS = 0x58
NOT_IN_PAGE_0 = frozenset((*OWN, *TIMER))
NOT_TOUCHED = (*range(0x20, 0x28), *range(0x88, 0x8C), *range(NEW_PSWS, NEW_PSWS + 0x28))
"""What the oracle needs of page 0 to end an instruction: the old PSW and code of SUPERVISOR CALL, the new PSWs."""
UNASSIGNED = {*range(1, 4), *range(0x51, 0x54), *range(0x61, 0x67), *range(0x71, 0x78), 0x81, *range(0xC0, 0xD0), 0xFF}
"""Codes of no instruction, among others (POP, appendix B)."""
UNDELIVERED = Policy(deliver=False)
PROBLEM, WAIT, EC, PER, TRANSLATION = 1 << 48, 1 << 49, 1 << 51, 1 << 62, 1 << 58
RESERVED = 0xB800_C0FF_FF00_0000
ADDRESS = 0xFF_FFFF
EXTERNAL, PENDING = 1 << 56, 0xC80
"""Of the PSW, and of control register 0: in the oracle, clock comparator and timers may be pending."""
FORMAT = 0x1F << 19
"""Of control register 0: the sizes of pages and segments."""
INVALID_SEGMENT = bytes([0, 0, 0, 1])
SSM_SUPPRESSION = 0x4000_0000
ALIGNED = ("lpsw", "lctl", "stctl", "cs", "cds", "spx", "stpx", "stap", "stidp", "sck", "sckc", "spt", "stckc", "stpt")
NOT_IN_SUPERVISOR_STATE = ("diag", "sigp", "tb")
NOT_EXECUTED = {0x09, 0x0A, 0x44, 0x82, 0x83, 0x9C, 0x9D, 0x9E, 0x9F, 0xAE, 0xB2, 0xE5}
"""Operation codes that no EX leads to: what may not be executed, extended codes, which EX changes, and ISK,
which tells of the accesses."""


class S370(Adapter):
    """`s370`."""

    machine = "s370"
    memory = "core"
    undefined = 4
    oracle_stops_at = LANDING
    modeled: Mapping[str, int] = MappingProxyType({"comparator": ~0xFFF})

    def __init__(self) -> None:
        super().__init__()
        self._oracle = Hercules()
        self._blank = State(self.isa)

    def oracles(self) -> tuple[Oracle, ...]:
        return (self._oracle,)

    # -- scenes --------------------------------------------------------------------------------------------------------

    def scene(self, rng: random.Random, pointers: bool, instruction: ir.Instruction, mode: str | None) -> Scene:
        registers: dict[str, int] = {}
        scene = Scene(registers, 0, rng.getrandbits(64))
        problem = rng.random() < 0.5 if mode is None else mode == "problem"
        key = rng.randrange(1, 16) if rng.random() < 0.5 else 0
        psw = EC_PSW | key << 52 | problem * PROBLEM | rng.getrandbits(6) << 40
        psw |= rng.getrandbits(2) << 56 | rng.randrange(2) << 50  # I/O, external, machine check: nothing is pending
        registers |= {name: number(rng, 32) for name in CONTROL}
        registers["c0"] = rng.getrandbits(19) | (SSM_SUPPRESSION if rng.random() < 0.3 else 0)
        registers["c0"] &= ~PENDING
        registers["c9"] = 0  # no program event
        registers["prefix"] = rng.choice(PAGES)
        registers["comparator"] = (1 << 64) - 1 - (rng.getrandbits(40) << 12)
        self._keys(rng, registers, key)
        self._data(rng, scene, instruction)
        if instruction.family == "lasp":  # no address space is available
            registers["c14"] = rng.randrange(2) << 19 | FIRST_TABLE >> 12
            scene.put(FIRST_TABLE, UNAVAILABLE * 1024)
        for page in PAGES:
            scene.put((page << 12) + NEW_PSWS, new_psws())
        at = CODE + 2 * rng.randrange((DATA - CODE) // 2 - 8)
        scene.code = at
        if rng.random() < 0.5 or instruction.family in ("lra", "ipte"):
            psw |= TRANSLATION if instruction.family not in ("lra", "ipte") or rng.random() < 0.3 else 0
            at = self._tables(rng, scene, at)
        if not psw & TRANSLATION:
            at = scene.code
        scene.translated = at != scene.code
        registers["psw"] = psw | at
        for name in GENERAL:
            registers[name] = _value(rng, pointers)
        if instruction.family == "mvcl":
            for n in range(16):
                length = rng.getrandbits(8) << 24 | rng.randrange(24)
                registers[f"r{n}"] = length if n % 2 else rng.randrange(DATA, END - 64)
        return scene

    def _keys(self, rng: random.Random, registers: dict[str, int], key: int) -> None:
        """The storage keys: mostly the program's own."""
        other = rng.random() < 0.4
        for block in range(BLOCKS):
            free = rng.random() < 0.3 or block < DATA // BLOCK
            if not free or (other and rng.random() < 0.1):
                registers[f"k{block}"] = rng.getrandbits(7) if other else key << 3 | rng.getrandbits(3)
            else:
                registers[f"k{block}"] = key << 3

    def _data(self, rng: random.Random, scene: Scene, instruction: ir.Instruction) -> None:
        """What the data are: noise, PSWs, prefixes, or, to be executed, instructions."""
        if instruction.family == "ex":
            pool = [self._encoded(rng, rng.choice(self.isa.instructions)) for _ in range(256)]
            code = b"".join([target for target in pool if target[0] not in NOT_EXECUTED][:64])
            scene.put(DATA, code * ((END - DATA) // len(code)))
        elif instruction.family in ("lpsw", "ssm", "stosm", "stnsm"):
            psws = b"".join(_psw(rng).to_bytes(8, "big") for _ in range(64))
            scene.put(DATA, psws * ((END - DATA) // len(psws)))
        elif instruction.family == "spx":
            ignored = (rng.choice((0, rng.getrandbits(8))) << 24 | rng.getrandbits(12) for _ in range(64))
            words = b"".join((rng.choice(PAGES) << 12 | bits).to_bytes(4, "big") for bits in ignored)
            scene.put(DATA, words * ((END - DATA) // len(words)))

    def _encoded(self, rng: random.Random, instruction: ir.Instruction) -> bytes:
        operands = {operand.name: rng.getrandbits(operand.width) for operand in instruction.operands}
        return bytes(encode(self.isa, instruction, operands)).ljust(8, b"\0")

    def _tables(self, rng: random.Random, scene: Scene, code: int) -> int:
        """Lays a segment table and page tables; the virtual address of the code."""
        registers = scene.registers
        small, large = rng.random() < 0.5, rng.random() < 0.5
        format_ = (0b01 if small else 0b10) << 22 | (0b10 if large else 0b00) << 19
        if rng.random() < 0.03:
            format_ = rng.getrandbits(5) << 19
        registers["c0"] = registers["c0"] & ~FORMAT | format_
        page = 0x800 if small else 0x1000
        frames = list(range(0, STORAGE, page))
        code_frames = [at for at in frames if CODE <= at < DATA]
        data_frames = [at for at in frames if at >= DATA]
        entries = []
        for at in frames:
            pool = code_frames if CODE <= at < DATA else data_frames if at >= DATA else [at]
            entries.append(_page_entry(rng, rng.choice(pool) if rng.random() < 0.7 else at, small))
        virtual = code // page
        scene.code = (entries[virtual] >> (3 if small else 4)) * page + code % page
        size = (0x10_0000 if large else 0x1_0000) // page
        invalid = 4 if small else 8
        padded = entries + [rng.getrandbits(16) | invalid for _ in range(max(0, size - len(entries)))]
        table = b""
        for number_, start in enumerate(range(0, len(padded), size)):
            at = PAGE_TABLES + 0x100 * number_
            chunk = padded[start : start + size][:64]
            scene.put(at, b"".join(entry.to_bytes(2, "big") for entry in chunk))
            length = 1 if large else 15
            if rng.random() < 0.05:
                length = rng.randrange(16)
            table += _segment_entry(rng, at, length).to_bytes(4, "big")
        for _ in range(2):
            table += (_segment_entry(rng, PAGE_TABLES, 15) | rng.randrange(2)).to_bytes(4, "big")
        scene.put(SEGMENT_TABLE, table + INVALID_SEGMENT * (16 - len(table) // 4))
        registers["c1"] = rng.choice((0, 0, 1, 15, 255)) << 24 | SEGMENT_TABLE | rng.getrandbits(6)
        return code

    def operand(self, rng: random.Random, instruction: ir.Instruction, name: str) -> int | None:
        aligned = instruction.family in ALIGNED or instruction.family == "ex"
        if not aligned or name not in ("s1", "s2", "x2.b_d"):
            return None
        return rng.randrange(1, 16) << 12 | 8 * rng.randrange(32)

    # -- states --------------------------------------------------------------------------------------------------------

    def state(self, registers: Mapping[str, int]) -> State:
        state = self._blank.copy()
        for n in range(16):
            state.write("r", registers[f"r{n}"], n)
            if n in (0, 1, 8):
                state.write(f"cr{n}", registers[f"c{n}"])
            else:
                state.write("c", registers[f"c{n}"], n)
        for name in ("psw", "prefix", "comparator"):
            state.write(name, registers[name])
        for n in range(BLOCKS):
            state.write("skey", registers[f"k{n}"], n)
        state.write("cpu_timer", LATE << 32)
        state.write("cpu_id", CPU_ID)
        for name in ("devices", "others", "io_pending", "ext_pending", "cpu_address", "tod", "tlb"):
            state.write(name, 0)
        return state

    def registers(self, state: State) -> dict[str, int]:
        values = {f"r{n}": state.read("r", n) for n in range(16)}
        values |= {f"c{n}": state.read(f"cr{n}") if n in (0, 1, 8) else state.read("c", n) for n in range(16)}
        values |= {name: state.read("skey", n) for n, name in enumerate(KEYS)}
        return values | {name: state.read(name) for name in ("psw", "prefix", "comparator")}

    def delivered(self, attributes: Mapping[str, int], event: Trapped) -> Delivered:
        return Delivered(attributes["old"] << 16 | attributes["code"])

    def code_address(self, registers: Mapping[str, int]) -> int:
        return registers["psw"] & ADDRESS

    def addressable(self, address: int) -> bool:
        return address < STORAGE and not (address >> 12 in PAGES and address % 0x1000 in NOT_IN_PAGE_0)

    def always(self, scene: Scene) -> Iterable[int]:
        for page in PAGES:
            yield from range((page << 12) + NEW_PSWS, (page << 12) + NEW_PSWS + 0x28)
        if any(start == FIRST_TABLE for start, _ in scene.regions):  # of LASP; the spec does not look into it
            yield from range(FIRST_TABLE, FIRST_TABLE + 0x1000)

    def again(self, event: Event, before: State, after: State) -> bool:
        """The spec moves one byte of MVCL at a time, and refuses a PSW or an odd address with the next instruction."""
        if not isinstance(event, Completed):
            return False
        if event.instruction.family == "mvcl" and before.pc() == after.pc():
            return True
        following = Machine(self.isa, after.copy(), UNDELIVERED).step()
        return isinstance(following, Trapped) and following.instruction is None and following.trap != "operation"

    def goes_on(self, event: Event) -> bool:
        return isinstance(event, Completed)

    def landing(self, event: Event, after: State) -> int | None:
        if not isinstance(event, Completed):
            return None
        following = Machine(self.isa, after.copy(), UNDELIVERED).step()
        if isinstance(following, (DoubleFault, Halted, Stuck)):
            return None
        return next((touch.cell[1] for touch in following.accesses if touch.kind == "fetch"), None)

    def accepts(self, scene: Scene, event: Event, after: State, touched: Set[int]) -> bool:
        family = event.instruction.family if isinstance(event, (Completed, Trapped)) and event.instruction else ""
        if any(SEGMENT_TABLE <= address < FIRST_TABLE for address in after.memories[self.memory]):
            return False  # the old translation may be in use
        translated, format_ = scene.registers["psw"] & TRANSLATION, scene.registers["c0"] ^ after.read("cr0")
        if translated and format_ & FORMAT and scene.registers["c1"] == after.read("cr1"):
            return False  # here too
        if family == "ex" and _executed(event) in NOT_EXECUTED:
            return False
        if isinstance(event, Trapped) and event.trap == "operation" and not _is_unassigned(event):
            return False
        if isinstance(event, Trapped) and event.trap == "invalid_psw" and not self._can_be_refused(after):
            return False
        if (scene.registers["psw"] | after.read("psw")) & EXTERNAL and after.read("cr0") & PENDING:
            return False
        psw, prefix = after.read("psw"), after.read("prefix")
        if isinstance(event, Trapped) and event.trap == "svc" and event.args[0] == LANDING[1]:
            return False
        if isinstance(event, Completed):
            if psw & WAIT or not psw & EC or (psw & PER and after.read("c", 9)):
                return False
            if family in NOT_IN_SUPERVISOR_STATE or touched & {(prefix << 12) + at for at in NOT_TOUCHED}:
                return False
        return prefix in PAGES and not (family == "diag" and not scene.registers["psw"] & PROBLEM)

    def _can_be_refused(self, after: State) -> bool:
        """Of a PSW that was refused: whether the oracle refuses it too, and neither waits nor enters BC mode."""
        old = after.load(self.memory, (after.read("prefix") << 12) + 0x28, 64)
        return bool(old & EC) and not old & WAIT

    def unmodeled(self, vector: Vector, event: Event) -> Mapping[str, int]:
        """The reference and change bits of the blocks that are used: of all windows, and of what may be page 0."""
        used = used_blocks(vector)
        return {f"k{block}": 3 for block in used}


def _is_unassigned(event: Trapped) -> bool:
    """Whether there is no instruction of the code that was fetched, be it one that the spec leaves out."""
    fetched = (touch.value >> 8 for touch in event.accesses if touch.kind == "fetch")
    return next(fetched, None) in UNASSIGNED


def _executed(event: Completed | Trapped) -> int | None:
    """Of EX: the operation code that it leads to, if it came so far."""
    read = (touch.value >> 8 for touch in event.accesses if touch.space == "mem")
    return next(read, None)


def used_blocks(vector: Vector) -> set[int]:
    """The blocks of a vector's windows, of the ASN table, and of the pages that may be page 0."""
    image = vector.image(vector.registers["psw"] & ADDRESS)
    used = {at // BLOCK for start, data in image.items() for at in (start, start + len(data) - 1)}
    used |= {FIRST_TABLE // BLOCK, FIRST_TABLE // BLOCK + 1}
    return used | {(page << 12) // BLOCK + i for page in PAGES for i in range(2)}


def _psw(rng: random.Random) -> int:
    """A PSW in EC mode, mostly valid."""
    psw = rng.getrandbits(64) & ~(RESERVED | WAIT | ADDRESS) | EC
    if rng.random() < 0.6:
        psw &= ~TRANSLATION
    if rng.random() < 0.1:
        psw |= 1 << rng.randrange(64)
    return psw | CODE + 2 * rng.randrange((DATA - CODE) // 2) | (rng.random() < 0.05)


def _page_entry(rng: random.Random, frame: int, small: bool) -> int:
    """A page table entry: the frame, and rarely the invalid bit or one that must be zero."""
    entry = frame >> 11 << 3 if small else frame >> 12 << 4
    return entry | (1 << rng.randrange(4) if rng.random() < 0.04 else 0)


def _segment_entry(rng: random.Random, table: int, length: int) -> int:
    """A segment table entry, rarely invalid or malformed."""
    entry = length << 28 | table
    if rng.random() < 0.04:
        entry |= 1 << rng.choice((0, 0, 24, 25, 26, 27))
    return entry


def _value(rng: random.Random, pointers: bool) -> int:
    """A general register: an address, a small index, or a number."""
    chance = rng.random()
    if pointers and chance < 0.55:
        return rng.getrandbits(8) << 24 | DATA + rng.randrange(END - DATA - 0x800) // 8 * (
            8 if rng.random() < 0.8 else 1
        )
    if pointers and chance < 0.85:
        return 8 * rng.randrange(64) if rng.random() < 0.7 else rng.randrange(512)
    return number(rng, 32)
