"""Where an oracle is known not to do what the manual says, or chooses otherwise than the spec where it may.

Each entry is as narrow as we can make it: the oracle, the machines, the instruction families, a predicate over the
case, and, where only some register bits are concerned, these bits; all else must agree.  DEVIATIONS.md has the
manuals' rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conformance.vector import Outcome, Vector
from emulator.reference.events import Completed, Event, Touch, Trapped
from emulator.state import State


@dataclass(frozen=True, slots=True)
class Case:
    """A vector on which the two differ; `lines` say in what."""

    machine: str
    vector: Vector
    event: Event
    expected: Outcome
    observed: Outcome
    lines: tuple[str, ...]
    code_address: int
    state: Callable[[Vector], State]

    @property
    def family(self) -> str:
        """The family of the instruction; empty if there is none."""
        if isinstance(self.event, (Completed, Trapped)) and self.event.instruction is not None:
            return self.event.instruction.family
        return ""

    def trapped(self, *names: str) -> bool:
        """Whether the spec raises one of these traps."""
        return isinstance(self.event, Trapped) and self.event.trap in names

    def differs_in(self, *names: str) -> bool:
        """Whether all differences are in these registers (or `memory`, `trap`, `error code`)."""
        return all(line.partition(":")[0] in names for line in self.lines)


@dataclass(frozen=True, slots=True)
class Deviation:
    """A known deviation: what it is, with the manual's rule, and when it applies.

    `families` is a regular expression for the family's whole name. With `bits`, only these bits of these registers are
    excused. A case in which the oracle gave no answer is excused only by a deviation with `silent`.
    """

    reason: str
    families: str
    when: Callable[[Case], bool]
    bits: Mapping[str, int] | None = None
    silent: bool = False

    def applies(self, case: Case) -> bool:
        """Whether the case is one of this deviation's."""
        if case.observed.failure is not None and not self.silent:
            return False
        return re.fullmatch(self.families, case.family) is not None and self.when(case)


def memory_difference(case: Case) -> dict[int, int]:
    """Physical address to the bits in which the two differ."""
    windows = case.vector.image(case.code_address)
    sides = []
    for side in (case.expected, case.observed):
        flat = {at: byte for start, data in windows.items() for at, byte in enumerate(data, start)}
        flat.update({at: byte for start, run in side.memory.items() for at, byte in enumerate(run, start)})
        sides.append(flat)
    return {at: byte ^ sides[1][at] for at, byte in sides[0].items() if byte != sides[1][at]}


ADDRESS_SPACE = 1 << 24


def _has_a_digit_above_9(case: Case) -> bool:
    """Of the decimal instructions of the m68k: whether an operand is not a decimal number."""
    opcode = int.from_bytes(case.vector.code[:2], "big")
    registers = (opcode & 7,) if case.family == "nbcd" else (opcode & 7, opcode >> 9 & 7)
    memory = [touch.value for touch in accesses(case) if touch.kind == "read" and touch.bits == 8]
    operands = memory or [case.vector.registers[f"d{n}"] & 0xFF for n in registers]
    return any(value & 0xF > 9 or value >> 4 > 9 for value in operands)


def accesses(case: Case) -> tuple[Touch, ...]:
    """The accesses that the instruction made."""
    return case.event.accesses if isinstance(case.event, (Completed, Trapped)) else ()


MUSASHI: tuple[Deviation, ...] = (
    Deviation(
        "no address errors: odd word accesses and odd targets are done (M68000UM 6.3.9: vector 3)",
        ".*",
        lambda c: c.trapped("address"),
    ),
    Deviation(
        "decimal digits above 9 are corrected otherwise than by the chip (M68000PRM leaves them out)",
        "(abcd|sbcd|nbcd)(_mem)?",
        _has_a_digit_above_9,
    ),
    Deviation(
        "STOP with bit 13 clear is done (M68000 Programmer's Reference Manual, 1986: privilege violation)",
        "stop",
        lambda c: c.trapped("privilege") and c.observed.trap is None and not c.vector.code[2] & 0x20,
    ),
    Deviation(
        "overflow of DIVS and DIVU leaves C (M68000PRM, DIVS: always cleared)",
        "div[su].w",
        lambda c: c.expected.trap is None and bool(c.expected.registers["sr"] & 2),
        {"sr": 1},
    ),
    Deviation(
        "a zero divisor leaves C (M68000PRM, DIVS: always cleared)",
        "div[su].w",
        lambda c: (
            c.trapped("zero_divide")
            and c.differs_in("sr", "memory")
            and memory_difference(c) == {c.observed.registers["ssp"] + 1 & ADDRESS_SPACE - 1: 1}
        ),
    ),
    Deviation(
        "an access at the end of the 24-bit address space does not go on at its beginning",
        ".*",
        lambda c: any(t.cell[1] + t.bits // 8 > ADDRESS_SPACE for t in accesses(c)),
    ),
)

CSR = "csrr[wsc]i?"
FS, SD = 0x6000, 1 << 63


def _instruction(case: Case) -> int:
    """The parcels that were fetched, as one little-endian number."""
    parcels = [touch.value for touch in accesses(case) if touch.kind == "fetch"]
    return sum(parcel << 16 * i for i, parcel in enumerate(parcels))


def _csr(case: Case, *ranges: range) -> bool:
    """Of a CSR instruction: whether its register is one of these."""
    return any(_instruction(case) >> 20 in numbers for numbers in ranges)


def _tval_is_the_instruction(case: Case) -> bool:
    tvals = [case.observed.registers[name] for name in ("mtval", "stval")]
    return case.trapped("illegal") and any(tval & 0xFFFF == _instruction(case) & 0xFFFF for tval in tvals)


ALL = (1 << 64) - 1

SPIKE: tuple[Deviation, ...] = (
    Deviation(
        "mtval and stval of an illegal instruction are its bits (privileged 3.1.16: or zero, as in the spec)",
        ".*",
        _tval_is_the_instruction,
        {"mtval": ALL, "stval": ALL},
    ),
    Deviation(
        "mstatus.FS is writable, and SD follows it, although F is absent (privileged 3.1.6.6: may be read-only zero)",
        CSR,
        lambda c: _csr(c, range(0x100, 0x101), range(0x300, 0x301)),
        {"mstatus": FS | SD},
    ),
    Deviation(
        "misa is writable (privileged 3.1.1: WARL)",
        CSR,
        lambda c: _csr(c, range(0x301, 0x302)),
        {"misa": ALL, "mepc": 2, "sepc": 2},  # without C the epcs are multiples of 4
    ),
    Deviation(
        "mstatus.MPP = 2 is written as 0 (privileged 3.1.6.1: WARL; in the spec it stays as it was)",
        CSR,
        lambda c: _csr(c, range(0x300, 0x301)) and c.observed.registers["mstatus"] >> 11 & 3 == 0,
        {"mstatus": 0x1800 | FS | SD},
    ),
    Deviation(
        "satp takes Sv48 and Sv57 (privileged 4.1.11: a choice)",
        CSR,
        lambda c: _csr(c, range(0x180, 0x181)) and c.observed.registers["satp"] >> 60 in (9, 10),
        {"satp": ALL},
    ),
    Deviation(
        "there are PMP and trigger registers, which the spec leaves out",
        CSR,
        lambda c: c.trapped("illegal") and _csr(c, range(0x3A0, 0x3F0), range(0x7A0, 0x7B0)),
    ),
)


def _pushed_next(case: Case) -> bool:
    """Whether the frames differ in the program counter alone."""
    base = case.observed.registers["ssp"] + 2 & ADDRESS_SPACE - 1
    return case.differs_in("memory") and memory_difference(case).keys() <= set(range(base, base + 4))


M68010: tuple[Deviation, ...] = (
    *MUSASHI,
    Deviation(
        "the program counter of a format error is past the RTE (M68000UM: it is that of the RTE)",
        "rte",
        lambda c: c.trapped("format_error") and _pushed_next(c),
    ),
)


def _upper_half_kept(case: Case) -> bool:
    """Whether memory differs in the upper half of the pushed doubleword alone."""
    upper = {case.state(case.vector).read("hidden.base", 2) + case.expected.registers["esp"] + 2 + i for i in range(2)}
    return case.differs_in("memory") and len(memory_difference(case)) <= len(upper)


def _beside_accessed_bits_of_the_spec(case: Case) -> dict[int, int]:
    expected = {at: byte for start, run in case.expected.memory.items() for at, byte in enumerate(run, start)}
    difference = memory_difference(case)
    return {at: bits for at, bits in difference.items() if bits & ~0x60 or expected.get(at, 0) & bits != bits}


def _memory_trap(case: Case) -> bool:
    return isinstance(case.event, Trapped) and case.event.memory


def _paging(case: Case) -> bool:
    return bool(case.vector.registers["cr0"] >> 31)


def _only_accessed_bits(case: Case) -> bool:
    """Whether memory differs in accessed and dirty bits alone, which the oracle has set."""
    return _paging(case) and case.differs_in("memory") and not _beside_accessed_bits(case)


def _beside_accessed_bits(case: Case) -> dict[int, int]:
    """The bits in which memory differs, without accessed and dirty bits that the oracle has set."""
    observed = {at: byte for start, run in case.observed.memory.items() for at, byte in enumerate(run, start)}
    difference = memory_difference(case)
    return {at: bits for at, bits in difference.items() if bits & ~0x60 or observed.get(at, 0) & bits != bits}


def _faults_as_a_write(case: Case) -> bool:
    """Whether only W/R of a page fault's error code differs."""
    codes = case.expected.error_code, case.observed.error_code
    rest = [bits for bits in _beside_accessed_bits(case).values() if bits != 2]
    return case.differs_in("error code", "memory") and codes in ((0, 2), (1, 3), (4, 6), (5, 7)) and not rest


def _near_the_end(case: Case) -> bool:
    """Whether an address at the end of the 4 GB is in the instruction or in a general register."""
    code, registers = case.vector.code, case.vector.registers
    numbers = [int.from_bytes(code[at : at + 4], "little") for at in range(len(code) - 3)]
    numbers += [registers[name] for name in ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")]
    return any(number >= 0xFFFF_FF00 for number in numbers)


def _gate_has_parameters(case: Case) -> bool:
    """Whether the expected error code names a call gate with a parameter count."""
    state, selector = case.state(case.vector), case.expected.error_code or 0
    table = state.read("ldt.base") if selector & 4 else state.read("gdtr.base")
    high = state.load("phys", table + (selector & ~7) + 4, 32)
    return high >> 8 & 0x1F == CALL_GATE and bool(high & 0x1F)


def _runs_into_the_next_page(case: Case) -> bool:
    """Whether an access begins in one page and ends in another."""
    return _paging(case) and any(t.address % 0x1000 + t.bits // 8 > 0x1000 for t in accesses(case))


CALL_GATE = 0x0C
READ_AND_WRITTEN = "[EG]_[EGIB]|shift_.*|unary|xchg_E_G|xadd|cmpxchg|bit_.|arpl|enter"
MOV_CR4 = ("trap", "error code", "cr4", "eip", "esp", "eflags", "cs", "cs.attributes", "ss", "ss.attributes", "memory")

BOCHS: tuple[Deviation, ...] = (
    Deviation(
        "PUSH of a segment register writes two bytes, as recent processors (SDM 2B, PUSH: or zero-extends)",
        "push_sreg|push_fs_gs",
        lambda c: c.expected.trap is None and _upper_half_kept(c),
    ),
    Deviation(
        "the accessed bits of the pages that a trapping instruction used stay set; in the spec the trap undoes them",
        ".*",
        lambda c: c.expected.trap is not None and _only_accessed_bits(c),
    ),
    Deviation(
        "#DB for DR7.GD and #UD for DR4 and DR5 with CR4.DE go before #GP(0) for CPL (SDM 3A, 6.9: not specified)",
        "mov_from_dr|mov_to_dr",
        lambda c: c.trapped("gp0") and c.observed.trap in (1, 6),
    ),
    Deviation(
        "the pushed flags of a general-detect #DB have RF clear (SDM 3B, 17.3.1.1: set, as of all faults)",
        "mov_from_dr|mov_to_dr",
        lambda c: c.trapped("db") and c.differs_in("memory") and list(_beside_accessed_bits(c).values()) == [1],
    ),
    Deviation(
        "the number of performance counters is another (SDM 2B, RDPMC: it depends on the model)",
        "rdpmc",
        lambda c: c.trapped("gp") and c.vector.registers["ecx"] > 1,
    ),
    Deviation(
        "CR3 keeps reserved bits (SDM 3A, 2.5: reserved)",
        "mov_to_cr",
        lambda c: c.expected.trap is None,
        {"cr3": 0xFE7},
    ),
    Deviation(
        "CR4 has the bits of later processors (SDM 3A, 2.5; in the spec those of the Pentium)",
        "mov_to_cr",
        lambda c: c.trapped("gp") and c.observed.trap is None and c.differs_in(*MOV_CR4),
    ),
    Deviation(
        "an access that runs into the next page is translated there (the spec: by its first byte)",
        ".*",
        _runs_into_the_next_page,
        silent=True,
    ),
    Deviation(
        "an instruction that reads and writes its operand faults as a write (SDM 3A, 4.7: not said; the spec: a read)",
        READ_AND_WRITTEN,
        lambda c: c.trapped("pf") and c.observed.trap == 14 and _faults_as_a_write(c),
    ),
    Deviation(
        "it checks the segment for the write before it reads (the spec: page fault of the read first)",
        READ_AND_WRITTEN,
        lambda c: c.trapped("pf") and c.observed.trap in (12, 13),
    ),
    Deviation(
        "a far pointer is read selector first (SDM 2: order not specified)",
        "les_lds|lss_lfs_lgs|jmp_far_M|call_far_M",
        lambda c: (
            c.trapped("pf")
            and c.observed.trap == 14
            and c.observed.registers["cr2"] - c.expected.registers["cr2"] in (2, 4)
            and c.differs_in("cr2", "memory")
            and not _beside_accessed_bits(c)
        ),
    ),
    Deviation(
        "a call gate may have parameters, which the spec leaves out (it refuses the gate)",
        "jmp_far|jmp_far_M|call_far|call_far_M",
        lambda c: c.trapped("gp") and _gate_has_parameters(c),
    ),
    Deviation(
        "F3 before BSF and BSR makes TZCNT and LZCNT, of later processors (SDM 2)",
        "scan",
        lambda c: 0xF3 in c.vector.code[:-3],
    ),
    Deviation(
        "0F 01 with a register operand are instructions of later processors (SDM 2D, group 7)",
        "sgdt|sidt",
        lambda c: c.trapped("ud"),
    ),
    Deviation(
        "a repeated INS or OUTS with ECX = 0 checks the port (SDM 2B, REP: the instruction is not executed)",
        "ins|outs",
        lambda c: (
            c.expected.trap is None
            and c.vector.registers["ecx"] == 0
            and (c.observed.trap == 13 or _only_accessed_bits(c))
        ),
    ),
    Deviation(
        "a flat segment may wrap at 4 GB (SDM 3A, 5.3: may or may not fault; the spec: faults)",
        ".*",
        lambda c: _memory_trap(c) and c.trapped("gp", "sf") and c.observed.trap in (None, 14) and _near_the_end(c),
    ),
    Deviation(
        "DR7 has bit 11, RTM (SDM 3B, 17.2.4; in the spec it is reserved, as in the Pentium)",
        "mov_to_dr",
        lambda c: c.expected.trap is None,
        {"dr7": 0x800},
    ),
    Deviation(
        "IRETD enters virtual-8086 mode, which the spec leaves out",
        "iretd",
        lambda c: bool(c.observed.registers["eflags"] & 1 << 17) and c.vector.registers["cs"] & 3 == 0,
    ),
)

COUNTER = {"eax": ALL, "edx": ALL}
STRINGS = "movs|cmps|stos|lods|scas|ins|outs"
NOT_EXPRESSIBLE = ("the hidden part of", "the window at", "IRET to ring", "Unicorn refuses", "cs.base", "cs is null")

UNICORN: tuple[Deviation, ...] = (
    Deviation(
        "it cannot be put into this state",
        ".*",
        lambda c: c.observed.failure is not None and any(text in c.observed.failure for text in NOT_EXPRESSIBLE),
        silent=True,
    ),
    Deviation(
        "segmentation is not checked (SDM 3A, 5.3 and 5.5: #GP(0) or #SS(0) for limit, type and direction)",
        ".*",
        lambda c: c.trapped("gp", "sf") and _memory_trap(c) and c.observed.trap not in (12, 13),
    ),
    Deviation(
        "it translates code beyond the instruction, and faults or sets accessed bits there",
        ".*",
        lambda c: (
            _paging(c)
            and c.expected.trap != 14
            and (c.observed.trap == 14 or (c.differs_in("memory") and not _beside_accessed_bits(c)))
        ),
    ),
    Deviation(
        "ENTER does not write at the final ESP (SDM 2A, ENTER: it faults as if it did)",
        "enter",
        lambda c: _paging(c) and c.differs_in("memory") and not _beside_accessed_bits_of_the_spec(c),
    ),
    Deviation(
        "reserved bits of CR0, CR3, CR4 and DR7 are kept (SDM 3A, 2.5; 3B, 17.2)",
        "mov_to_cr|mov_to_dr",
        lambda c: c.expected.trap is None,
        {"cr0": 0x1FFA_FFC0, "cr3": 0xFE7, "cr4": ~0x15C, "dr7": 0xD800, "dr6": 0x1000},
    ),
    Deviation(
        "reserved bits of CR4 do not trap (SDM 2, MOV to control registers: #GP(0))",
        "mov_to_cr",
        lambda c: c.trapped("gp") and c.observed.trap is None,
    ),
    Deviation("DR4 and DR5 with CR4.DE", "mov_(to|from)_dr", lambda c: c.trapped("ud") and c.observed.trap is None),
    Deviation(
        "a fault in the delivery of a page fault is a double fault at once",
        "",
        lambda c: c.expected.trap == 14 and c.observed.trap == 8,
    ),
    Deviation(
        "a repeated string instruction stops after one element",
        STRINGS,
        lambda c: c.observed.trap is None and c.observed.registers["eip"] == c.vector.registers["eip"],
    ),
    Deviation(
        "IN, OUT, INS and OUTS at CPL > IOPL are executed (SDM 1, 19.5: #GP(0) unless the bitmap permits)",
        "in_I|in_dx|out_I|out_dx|ins|outs",
        lambda c: (
            (c.trapped("gp0") and c.observed.trap is None)
            or (c.expected.trap is None and not _beside_accessed_bits_of_the_spec(c) and c.differs_in("memory"))
        ),
    ),
    Deviation(
        "RET and RETF sign-extend their immediate (SDM 2, RET: zero-extended)",
        "ret_I|retf_I",
        lambda c: c.expected.trap is None and c.vector.code[-1] >= 0x80,
        {"esp": 0xFFFF_0000},
    ),
    Deviation(
        "null selectors survive a return to an outer level (SDM 2, RET: other processors clear them)",
        "retf|retf_I|iretd",
        lambda c: all(
            c.vector.registers.get(n, 0) < 4 for n in ("ds", "es", "fs", "gs") if c.observed.registers.get(n)
        ),
        {"ds": 3, "es": 3, "fs": 3, "gs": 3},
    ),
    Deviation("the time-stamp counter is another", "rdtsc", lambda c: c.observed.trap is None, COUNTER),
    Deviation(
        "IRETD enters virtual-8086 mode at any CPL (SDM 2, IRET: at CPL 0; the spec leaves it out)",
        "iretd",
        lambda c: bool(c.observed.registers.get("eflags", 0) & 1 << 17),
    ),
    Deviation("DR7.GD has no effect", "mov_(to|from)_dr", lambda c: c.trapped("db") and c.observed.trap is None),
    Deviation(
        "INT does not look at the gate (SDM 2, INT: #GP or #NP of the gate)",
        "int|int3|into",
        lambda c: c.trapped("gp", "np") and c.observed.trap not in (None, 11, 13),
    ),
    Deviation("RDPMC is #UD, or #GP(0) with CR4.PCE", "rdpmc", lambda c: c.observed.trap in (6, 13)),
    *(d for d in BOCHS if "runs into the next page" in d.reason or "stay set" in d.reason),
)

TABLE: Mapping[tuple[str, str], tuple[Deviation, ...]] = {
    ("musashi", "m68000"): MUSASHI,
    ("musashi", "m68010"): M68010,
    ("spike", "rv64"): SPIKE,
    ("bochs", "ia32"): BOCHS,
    ("unicorn", "ia32"): UNICORN,
}


def deviations(oracle: str, machine: str) -> tuple[Deviation, ...]:
    """The known deviations of an oracle on a machine."""
    return TABLE.get((oracle, machine), ())
