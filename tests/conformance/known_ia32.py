"""Where Bochs and Unicorn are known not to do what Intel's manual says, or choose otherwise than the spec."""

from __future__ import annotations

from conformance.deviation import Case, Deviation, Excuse
from conformance.oracles.bochs import GENERAL
from emulator.reference.events import Touch, Trapped

ALL = 0xFFFF_FFFF


def _memory_trap(case: Case) -> bool:
    return isinstance(case.event, Trapped) and case.event.memory


def _paging(case: Case) -> bool:
    """Whether pages are translated, be it after the instruction."""
    return bool((case.vector.registers["cr0"] | case.expected.registers["cr0"]) >> 31)


def _accessed_bits(case: Case, side: int) -> dict[int, int]:
    """The accessed and dirty bits of table entries that only the spec (side 0) or only the oracle (1) has set."""
    if not _paging(case):
        return {}
    tables, state = set(), case.state(case.vector)
    for cr3 in (case.vector.registers["cr3"], case.expected.registers["cr3"]):
        at = {
            cr3 & ~0xFFF,
            *((cr3 & ~0xFFF) + (side.registers["eip"] >> 22 << 2) for side in (case.vector, case.expected)),
        }
        tables |= {cr3 >> 12, *(state.load("phys", entry, 32) >> 12 for entry in at)}
    found = {}
    for at, bytes_ in case.changed().items():
        bits = bytes_[side] & ~bytes_[1 - side] & ACCESSED_AND_DIRTY
        if bits and at >> 12 in tables and at % 4 == 0:
            found[at] = bits
    return found


def _accessed_descriptor(case: Case) -> dict[int, int]:
    """The accessed bits of descriptors that only the spec has set, and the dirty bits of their pages; the tables are
    mapped onto themselves."""
    registers = case.vector.registers
    tables = [(registers.get(f"{name}.base", 0), registers.get(f"{name}.limit", 0)) for name in ("gdtr", "ldtr")]
    changed = {at: spec & ~oracle for at, (spec, oracle) in case.changed().items() if at % 8 == 5}
    found = {at: 1 for at, set_ in changed.items() if set_ == 1 and any(0 <= at - base <= end for base, end in tables)}
    pages = {at: DIRTY for at, set_ in _accessed_bits(case, 0).items() if set_ == DIRTY}
    return found | pages if found else {}


def _upper_half(case: Case) -> Excuse:
    """The upper half of the doubleword that was pushed."""
    pushed = [touch.cell[1] for touch in case.accesses if touch.kind == "write" and touch.bits == 32]
    return Excuse(memory=case.memory(*(at + i for at in pushed for i in (2, 3))))


def _frame(case: Case, offset: int, bits: int) -> dict[int, int]:
    """These bits of a byte of the frame; the stacks are mapped onto themselves, their segments are flat."""
    return case.memory(case.expected.registers["esp"] + offset, bits=bits)


def _debug_comes_first(case: Case) -> bool:
    """Of MOV of a debug register: whether DR7.GD is set, or it is DR4 or DR5 and CR4.DE is set."""
    registers, number = case.vector.registers, case.vector.code[-1] >> 3 & 7
    return bool(registers.get("dr7", 0) & GENERAL_DETECT) or (number in (4, 5) and bool(registers.get("cr4", 0) & 8))


def _faults_in_delivery(case: Case) -> bool:
    """Whether the oracle's page fault is one of pushing a frame, of an exception before."""
    return case.observed.trap == 14 and 0 < case.vector.registers["esp"] - case.observed.registers["cr2"] <= FRAME


def _faults_ahead(case: Case) -> bool:
    """Whether the oracle's page fault is one of fetching what follows, where that begins or at the end of a page."""
    begins = [case.vector.registers["eip"]]
    if case.expected.trap is None:
        begins.append(case.expected.registers["eip"])
    return _fault(case) in begins[1:] or _fault(case) in [(at | 0xFFF) + 1 for at in begins]


def _faults_after(case: Case) -> bool:
    """Whether the oracle's page fault is one of fetching the next instruction."""
    return case.observed.trap == 14 and _fault(case) == case.vector.registers["eip"] + len(case.vector.code)


def _fault(case: Case) -> int:
    """Where the oracle's page fault is."""
    return case.observed.registers.get("cr2", -1)


def _operands(case: Case) -> list[Touch]:
    """The operands in memory that were read."""
    return [touch for touch in case.accesses if touch.kind == "read" and not touch.table]


def _addresses(case: Case) -> list[int]:
    """Where they are."""
    return [touch.address for touch in _operands(case)]


def _returns_to_vm(case: Case) -> bool:
    """Of IRETD: whether the flags that it has read, third, have VM set."""
    return len(_operands(case)) > 2 and bool(_operands(case)[2].value & VM)


def _page_beyond_4_gb(case: Case) -> bool:
    """Whether the fault is for bits 13 to 20 of the directory entry of a page of 4 MB."""
    registers = case.vector.registers
    at = registers["cr3"] & ~0xFFF | (case.expected.registers["cr2"] >> 22) << 2
    entry = case.state(case.vector).load("phys", at, 32)
    return bool(entry & 0x80 and entry & 0x1F_E000) and bool((case.expected.error_code or 0) & 8)


def _near_the_end(case: Case) -> bool:
    """Whether an address at the end of the 4 GB is in the instruction or in a general register."""
    code, registers = case.vector.code, case.vector.registers
    numbers = [int.from_bytes(code[at : at + 4], "little") for at in range(len(code) - 3)]
    numbers += [registers[name] for name in GENERAL]
    return any(number >= 0xFFFF_FF00 for number in numbers)


def _gate_has_parameters(case: Case) -> bool:
    """Whether the expected error code names a call gate with a parameter count."""
    state, selector = case.state(case.vector), case.expected.error_code or 0
    table = state.read("ldt.base") if selector & 4 else state.read("gdtr.base")
    high = state.load("phys", table + (selector & ~7) + 4, 32)
    return high >> 8 & 0x1F == CALL_GATE and bool(high & 0x1F)


def _runs_into_the_next_page(case: Case) -> bool:
    """Whether an access begins in one page and ends in another."""
    return _paging(case) and any(t.address % 0x1000 + t.bits // 8 > 0x1000 for t in case.accesses)


CALL_GATE = 0x0C
ACCESSED_AND_DIRTY, DIRTY = 0x60, 0x40
GENERAL_DETECT, VM = 0x2000, 0x2_0000
FRAME = 24  # bytes, at most
READ_AND_WRITTEN = "[EG]_[EGIB]|shift_.*|unary|xchg_E_G|xadd|cmpxchg|bit_.|arpl|enter"
MOV_CR4 = ("trap", "error code", "cr4", "eip", "esp", "eflags", "cs", "cs.attributes", "ss", "ss.attributes", "memory")

COMMON: tuple[Deviation, ...] = (
    Deviation(
        "the accessed bits of the pages that a trapping instruction used stay set; in the spec the trap undoes them",
        ".*",
        lambda c: c.expected.trap is not None and _paging(c),
        excuse=lambda c: Excuse(memory=_accessed_bits(c, 1)),
    ),
    Deviation(
        "an access that runs into the next page is translated there (the spec: by its first byte)",
        ".*",
        _runs_into_the_next_page,
        silent=True,
    ),
    Deviation(
        "bits 13 to 20 of the entry of a 4-MB page are address bits (SDM 3A, 4.3: PSE-36; in the Pentium, reserved)",
        ".*",
        lambda c: c.trapped("pf") and _page_beyond_4_gb(c),
    ),
    Deviation(
        "F3 before BSF and BSR makes TZCNT and LZCNT, of later processors (SDM 2)",
        "scan",
        lambda c: 0xF3 in c.vector.code.partition(b"\x0f")[0],
    ),
    Deviation(
        "a call gate may have parameters, which the spec leaves out (it refuses the gate)",
        "jmp_far|jmp_far_M|call_far|call_far_M",
        lambda c: c.trapped("gp") and _gate_has_parameters(c),
    ),
)
"""Of both."""

BOCHS: tuple[Deviation, ...] = (
    Deviation(
        "PUSH of a segment register writes two bytes, as recent processors (SDM 2B, PUSH: or zero-extends)",
        "push_sreg|push_fs_gs",
        lambda c: c.expected.trap is None,
        excuse=_upper_half,
    ),
    Deviation(
        "#DB for DR7.GD and #UD for DR4 and DR5 with CR4.DE go before #GP(0) for CPL (SDM 3A, 6.9: not specified)",
        "mov_from_dr|mov_to_dr",
        lambda c: c.trapped("gp0") and _debug_comes_first(c),
        silent=True,  # a fault that cannot be delivered shuts the processor down
    ),
    Deviation(
        "the pushed flags of a general-detect #DB have RF clear (SDM 3B, 17.3.1.1: set, as of all faults)",
        "mov_from_dr|mov_to_dr",
        lambda c: c.trapped("db"),
        excuse=lambda c: Excuse(memory=_frame(c, 10, 1)),
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
        "an instruction that reads and writes its operand faults as a write (SDM 3A, 4.7: not said; the spec: a read)",
        READ_AND_WRITTEN,
        lambda c: c.trapped("pf") and c.observed.trap == 14,
        excuse=lambda c: Excuse(memory=_frame(c, 0, 2), error_code=2),
    ),
    Deviation(
        "it checks the segment for the write before it reads (the spec: page fault of the read first)",
        READ_AND_WRITTEN,
        lambda c: c.trapped("pf") and (c.observed.trap in (12, 13) or _faults_in_delivery(c)),
    ),
    Deviation(
        "far pointers and the stack of a return are read selector first (SDM 2: order not specified)",
        "les_lds|lss_lfs_lgs|jmp_far_M|call_far_M|retf|retf_I|iretd",
        lambda c: c.trapped("pf") and c.observed.registers["cr2"] - c.expected.registers["cr2"] in (2, 4),
        {"cr2": ALL},
    ),
    Deviation(
        "0F 01 with a register operand are instructions of later processors (SDM 2D, group 7)",
        "sgdt|sidt",
        lambda c: c.trapped("ud"),
    ),
    Deviation(
        "a repeated INS or OUTS with ECX = 0 checks the port (SDM 2B, REP: the instruction is not executed)",
        "ins|outs",
        lambda c: c.expected.trap is None and c.vector.registers["ecx"] == 0 and c.observed.trap is not None,
    ),
    Deviation(
        "a repeated INS or OUTS with ECX = 0 looks for the port in the bitmap",
        "ins|outs",
        lambda c: c.expected.trap is None and c.vector.registers["ecx"] == 0 and _paging(c),
        excuse=lambda c: Excuse(memory=_accessed_bits(c, 1)),
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
        lambda c: bool(c.observed.registers["eflags"] & VM) and c.vector.registers["cs"] & 3 == 0,
    ),
    *COMMON,
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
        "it translates code beyond the instruction, and faults there",
        ".*",
        lambda c: _paging(c) and c.observed.trap == 14 and _faults_ahead(c),
    ),
    Deviation(
        "it translates code beyond the instruction, and sets accessed bits there",
        ".*",
        _paging,
        excuse=lambda c: Excuse(memory=_accessed_bits(c, 1)),
    ),
    Deviation(
        "ENTER does not write at the final ESP (SDM 2A, ENTER: it faults as if it did)",
        "enter",
        _paging,
        excuse=lambda c: Excuse(memory=_accessed_bits(c, 0)),
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
        lambda c: c.trapped("gp") and (c.observed.trap is None or _faults_after(c)),
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
        lambda c: c.trapped("gp0") and c.observed.trap in (None, 14),
    ),
    Deviation(
        "IN, OUT, INS and OUTS do not look for the port in the bitmap",
        "in_I|in_dx|out_I|out_dx|ins|outs",
        lambda c: c.expected.trap is None and _paging(c),
        excuse=lambda c: Excuse(memory=_accessed_bits(c, 0)),
    ),
    Deviation(
        "RET and RETF sign-extend their immediate (SDM 2, RET: zero-extended)",
        "ret_I|retf_I",
        lambda c: c.expected.trap is None and c.vector.code[-1] >= 0x80,
        {"esp": 0xFFFF_0000},
    ),
    Deviation(
        "and find ESP and SS elsewhere in an outer return",
        "retf_I",
        lambda c: c.observed.trap == 14 and c.vector.code[-1] >= 0x80 and _fault(c) + 0x10000 in _addresses(c),
    ),
    Deviation(
        "a far JMP or CALL to a TSS in the LDT looks into it (SDM 3A, 7.2.2: #GP)",
        "(jmp|call)_far(_M)?",
        lambda c: c.trapped("gp") and bool((c.expected.error_code or 0) & 4) and c.observed.trap == 10,
    ),
    Deviation(
        "PUSHA writes its frame from the lowest address on (SDM 2, PUSHA: it pushes EAX first)",
        "pusha",
        lambda c: c.trapped("pf") and c.observed.trap == 14 and 0 < c.vector.registers["esp"] - _fault(c) <= 32,
        {"cr2": ALL},
    ),
    Deviation(
        "CMPS reads its second operand first (SDM 2, CMPS: order not specified)",
        "cmps",
        lambda c: (
            c.trapped("pf") and _fault(c) == c.vector.registers.get("es.base", 0) + c.vector.registers["edi"] & ALL
        ),
        {"cr2": ALL},
    ),
    Deviation(
        "null selectors survive a return to an outer level (SDM 2, RET: other processors clear them)",
        "retf|retf_I|iretd",
        lambda c: c.expected.trap is None,
        excuse=lambda c: Excuse({n: 3 for n in ("ds", "es", "fs", "gs") if c.vector.registers.get(n, 0) < 4}),
    ),
    Deviation("the time-stamp counter is another", "rdtsc", lambda c: c.observed.trap is None, COUNTER),
    Deviation(
        "IRETD enters virtual-8086 mode at any CPL (SDM 2, IRET: at CPL 0; the spec leaves it out)",
        "iretd",
        lambda c: bool(c.observed.registers.get("eflags", 0) & VM) or (c.observed.trap == 14 and _returns_to_vm(c)),
    ),
    Deviation("DR7.GD has no effect", "mov_(to|from)_dr", lambda c: c.trapped("db") and c.observed.trap is None),
    Deviation(
        "INT does not look at the gate (SDM 2, INT: #GP or #NP of the gate)",
        "int|int3|into",
        lambda c: c.trapped("gp", "np") and c.observed.trap not in (None, 11, 13),
    ),
    Deviation(
        "SMSW leaves the upper half of its register (SDM 2B, SMSW: undefined)",
        "smsw",
        lambda c: c.expected.trap is None and len(c.lines) == 1,
        dict.fromkeys(GENERAL, 0xFFFF_0000),
    ),
    Deviation(
        "C4 and C5 with a register operand are prefixes of later processors (SDM 2A, 2.3)",
        "les_lds",
        lambda c: c.trapped("ud"),
    ),
    Deviation("RDPMC is #UD, or #GP(0) with CR4.PCE", "rdpmc", lambda c: c.observed.trap in (6, 13)),
    Deviation(
        "a far transfer does not set the accessed bit of its code segment (SDM 3A, 3.4.5.1)",
        "retf|retf_I|iretd|(jmp|call)_far(_M)?",
        lambda c: c.expected.trap is None,
        excuse=lambda c: Excuse(memory=_accessed_descriptor(c)),
    ),
    *COMMON,
)
