"""Each oracle answers what the manual says, on vectors computed by hand, in supervisor and in user mode.

What an oracle gets wrong is listed in DEVIATIONS.md. An absent oracle is a skip with a reason, and a failure
where `CI_ORACLES` is set.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping

import pytest

from conformance.oracles.bochs import Bochs
from conformance.oracles.hercules import EC_PSW, LANDING, Hercules, new_psws
from conformance.oracles.musashi import Musashi
from conformance.oracles.oracle import Oracle, OracleError
from conformance.oracles.simh import MONITOR_CALL, WORD_BYTES, Simh
from conformance.oracles.spike import RAM_BASE, Spike
from conformance.oracles.unicorn import Unicorn
from conformance.vector import Outcome, Recording, Vector, changed_bytes, differences, record


def _started(oracle: Oracle) -> Iterator[Oracle]:
    reason = oracle.available()
    if reason is not None:
        (pytest.fail if os.environ.get("CI_ORACLES") else pytest.skip)(reason)
    with oracle:
        yield oracle


@pytest.fixture(scope="module")
def m68000() -> Iterator[Oracle]:
    yield from _started(Musashi("m68000"))


@pytest.fixture(scope="module")
def m68010() -> Iterator[Oracle]:
    yield from _started(Musashi("m68010"))


@pytest.fixture(scope="module")
def spike() -> Iterator[Oracle]:
    yield from _started(Spike())


@pytest.fixture(scope="module")
def bochs() -> Iterator[Oracle]:
    yield from _started(Bochs())


@pytest.fixture(scope="module")
def unicorn() -> Iterator[Oracle]:
    yield from _started(Unicorn())


@pytest.fixture(scope="module")
def hercules() -> Iterator[Oracle]:
    yield from _started(Hercules())


@pytest.fixture(scope="module")
def simh() -> Iterator[Oracle]:
    yield from _started(Simh())


# Vectors and recordings.


def test_windows_may_not_overlap() -> None:
    with pytest.raises(ValueError, match="0x12 overlaps"):
        Vector("v", b"", {}, {0x10: b"abcd", 0x12: b"x"})


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0x0C, {0x0C: b"XY", 0x10: b"abcd", 0x14: b"e"}),
        (0x0F, {0x0F: b"XYbcd", 0x14: b"e"}),
        (0x11, {0x10: b"aXYd", 0x14: b"e"}),
        (0x13, {0x10: b"abcXY"}),
        (0x20, {0x10: b"abcd", 0x14: b"e", 0x20: b"XY"}),
    ],
)
def test_the_code_is_laid_over_the_windows(at: int, expected: dict[int, bytes]) -> None:
    image = Vector("v", b"XY", {}, {0x10: b"abcd", 0x14: b"e"}).image(at)
    flat = {address + i: byte for address, data in image.items() for i, byte in enumerate(data)}
    assert flat == {address + i: byte for address, data in expected.items() for i, byte in enumerate(data)}


def test_changes_are_maximal_runs() -> None:
    assert changed_bytes({0: b"abcd", 8: b"e"}, {0: b"XYcZ", 8: b"e"}) == {0: b"XY", 3: b"Z"}


def test_a_failure_never_agrees() -> None:
    assert differences(Outcome({}, failure="hang"), Outcome({}, failure="hang")) == ["no answer: hang"]


def test_a_recording_survives_its_file_and_has_stable_bytes() -> None:
    pairs = [
        (Vector("b", b"\x4e\x71", {"pc": 4}, {0x1000: b"\0\1"}), Outcome({"pc": 6}, {0x1001: b"\2"}, 8)),
        (Vector("a", b"", {}), Outcome({}, trap=13, error_code=0, failure="hang")),
    ]
    recording = record("oracle", "1.0", "m68000", pairs)
    assert [vector.name for vector, _ in recording.entries] == ["a", "b"]
    assert Recording.from_bytes(recording.to_bytes()) == recording
    assert recording.to_bytes() == record("oracle", "1.0", "m68000", reversed(pairs)).to_bytes()


def test_names_in_a_recording_are_unique() -> None:
    with pytest.raises(ValueError, match="two vectors are called a"):
        record("oracle", "1.0", "m68000", [(Vector("a", b"", {}), Outcome({}))] * 2)


# m68000 and m68010. Exception v goes to 0x8000 + 16 v; the stacks are windows.

SUPERVISOR = 0x2000
CODE, USER_STACK, SUPERVISOR_STACK = 0x10000, 0x21000, 0x31000
HANDLERS = b"".join(struct.pack(">I", 0x8000 + 16 * vector) for vector in range(256))


def m68k(name: str, sr: int, *words: int, **registers: int) -> Vector:
    state = {"pc": CODE, "sr": sr, "usp": USER_STACK, "ssp": SUPERVISOR_STACK} | registers
    memory = {0: HANDLERS, USER_STACK - 32: bytes(64), SUPERVISOR_STACK - 32: bytes(64)}
    return Vector(name, struct.pack(f">{len(words)}H", *words), state, memory)


def one(oracle: Oracle, vector: Vector) -> Outcome:
    (outcome,) = oracle.run([vector])
    assert outcome.failure is None
    return outcome


def changes(vector: Vector, outcome: Outcome, base: Mapping[str, int]) -> dict[str, int]:
    """The registers whose value is not the vector's."""
    before = dict(base) | dict(vector.registers)
    return {name: value for name, value in outcome.registers.items() if value != before[name]}


def test_move_from_sr_in_user_mode_is_legal_on_the_68000(m68000: Oracle) -> None:
    vector = m68k("move sr,d0", 0x0005, 0x40C0)
    outcome = one(m68000, vector)
    assert outcome.trap is None
    assert changes(vector, outcome, m68000.base) == {"d0": 5, "pc": CODE + 2}


def test_move_from_sr_in_user_mode_is_a_privilege_violation_on_the_68010(m68010: Oracle) -> None:
    vector = m68k("move sr,d0", 0x0005, 0x40C0, vbr=0)
    outcome = one(m68010, vector)
    assert outcome.trap == 8
    assert changes(vector, outcome, m68010.base) == {"sr": 0x2005, "pc": 0x8080, "ssp": SUPERVISOR_STACK - 8}
    # The frame is SR, PC of the instruction, format 0 with the vector offset 0x020.
    frame = struct.pack(">HIH", 0x0005, CODE, 0x0020)
    assert outcome.memory == changed_bytes({SUPERVISOR_STACK - 8: bytes(8)}, {SUPERVISOR_STACK - 8: frame})


@pytest.mark.parametrize("machine", ["m68000", "m68010"])
def test_move_to_sr_traps_in_user_mode_only(machine: str, request: pytest.FixtureRequest) -> None:
    oracle: Oracle = request.getfixturevalue(machine)
    code = (0x46C0,)
    supervisor = one(oracle, m68k("supervisor", SUPERVISOR, *code, d0=0x0700))
    assert (supervisor.trap, supervisor.registers["sr"]) == (None, 0x0700)
    assert one(oracle, m68k("user", 0, *code, d0=0x0700)).trap == 8


def test_the_68010_delivers_through_vbr(m68010: Oracle) -> None:
    table = {0x4000: HANDLERS}
    plain = m68k("trap #3", 0, 0x4E43, vbr=0x4000)
    outcome = one(m68010, Vector(plain.name, plain.code, plain.registers, {**plain.memory, **table}))
    assert (outcome.trap, outcome.registers["pc"]) == (35, 0x8000 + 16 * 35)


def test_stop_does_not_outlive_its_vector(m68000: Oracle) -> None:
    stop, nop = m68000.run([m68k("stop", SUPERVISOR, 0x4E72, 0x2700), m68k("nop", 0, 0x4E71)])
    assert (stop.trap, stop.registers["sr"], stop.registers["pc"]) == (None, 0x2700, CODE + 4)
    assert nop.registers["pc"] == CODE + 2


def test_memory_outside_the_windows_is_zero_again_for_the_next_vector(m68000: Oracle) -> None:
    _, load = m68000.run(
        [m68k("move.l d0,(a0)", 0, 0x2080, a0=0x50000, d0=5), m68k("move.l (a0),d0", 0, 0x2010, a0=0x50000)]
    )
    assert load.registers["d0"] == 0


def test_an_unknown_register_is_an_error(m68000: Oracle) -> None:
    with pytest.raises(OracleError, match="no register vbr"):
        m68000.run([m68k("v", 0, 0x4E71, vbr=0)])


# rv64.

M_HANDLER, S_HANDLER = RAM_BASE + 0x100, RAM_BASE + 0x300


def rv64(name: str, priv: int, word: int, **registers: int) -> Vector:
    return Vector(
        name,
        struct.pack("<I", word),
        {"pc": RAM_BASE, "priv": priv, "mtvec": M_HANDLER, "stvec": S_HANDLER} | registers,
        {RAM_BASE + 0x1000: bytes(range(16))},
    )


CSRRW_MSTATUS = 0x30051073  # csrrw x0, mstatus, x10


def test_csrrw_mstatus_from_u_is_an_illegal_instruction(spike: Oracle) -> None:
    vector = rv64("csrrw", 0, CSRRW_MSTATUS, x10=8)
    outcome = one(spike, vector)
    assert outcome.trap == 2
    assert changes(vector, outcome, spike.base) == {
        "pc": M_HANDLER,
        "priv": 3,
        "mepc": RAM_BASE,
        "mcause": 2,
        "mtval": CSRRW_MSTATUS,
    }


def test_csrrw_mstatus_from_m_writes_it(spike: Oracle) -> None:
    vector = rv64("csrrw", 3, CSRRW_MSTATUS, x10=8)
    outcome = one(spike, vector)
    assert outcome.trap is None
    assert changes(vector, outcome, spike.base) == {"pc": RAM_BASE + 4, "mstatus": 0xA_0000_0008}


def test_a_delegated_ecall_goes_to_s(spike: Oracle) -> None:
    vector = rv64("ecall", 0, 0x73, medeleg=1 << 8, mstatus=0xA_0000_0002)
    outcome = one(spike, vector)
    assert outcome.trap == 8
    assert changes(vector, outcome, spike.base) == {
        "pc": S_HANDLER,
        "priv": 1,
        "sepc": RAM_BASE,
        "scause": 8,
        "mstatus": 0xA_0000_0020,  # SPIE takes SIE, SIE is cleared
        "sstatus": 0x2_0000_0020,
    }


def test_an_sret_traps_with_tsr_only(spike: Oracle) -> None:
    sret = 0x10200073
    free, trapped = spike.run(
        [rv64("free", 1, sret, sepc=RAM_BASE + 8), rv64("TSR", 1, sret, mstatus=0xA_0000_0000 | 1 << 22)]
    )
    assert (free.trap, free.registers["pc"], free.registers["priv"]) == (None, RAM_BASE + 8, 0)
    assert trapped.trap == 2


def test_a_pending_interrupt_is_a_trap_with_the_interrupt_bit(spike: Oracle) -> None:
    outcome = one(spike, rv64("nop", 3, 0x13, mstatus=0xA_0000_0008, mie=2, mip=2, mtvec=M_HANDLER | 1))
    assert outcome.trap == 1 << 63 | 1
    assert outcome.registers["pc"] == M_HANDLER + 4


def test_a_store_in_u_is_seen_in_its_window(spike: Oracle) -> None:
    outcome = one(spike, rv64("sd x11,3(x10)", 0, 0x00B531A3, x10=RAM_BASE + 0x1005, x11=0x1122334455667788))
    assert outcome.memory == {RAM_BASE + 0x1008: struct.pack("<Q", 0x1122334455667788)}


def test_translation_by_a_page_table_in_the_vector(spike: Oracle) -> None:
    root = RAM_BASE + 0x2000
    gigapage = (RAM_BASE >> 12) << 10 | 0xCF  # V R W X A D, not U
    memory = {root + 8 * (RAM_BASE >> 30): struct.pack("<Q", gigapage), RAM_BASE: struct.pack("<I", 0x13)}
    registers = {"pc": RAM_BASE, "mtvec": M_HANDLER, "satp": 8 << 60 | root >> 12}
    supervisor, user = spike.run([Vector(f"nop {priv}", b"", registers | {"priv": priv}, memory) for priv in (1, 0)])
    assert supervisor.trap is None
    assert (user.trap, user.registers["mtval"]) == (12, RAM_BASE)


def test_a_store_outside_the_windows_does_not_outlive_its_vector(spike: Oracle) -> None:
    sd, ld = 0x00B53023, 0x00053583  # sd x11,0(x10); ld x11,0(x10)
    root, gigapage = RAM_BASE + 0x2000, (RAM_BASE >> 12) << 10 | 0xDF  # V R W X U A D
    translated = Vector(
        "translated",
        b"",
        {"pc": 0x4000_0000, "priv": 0, "satp": 8 << 60 | root >> 12, "x10": 0x4000_8000, "x11": 1},
        {root + 8: struct.pack("<Q", gigapage), RAM_BASE: struct.pack("<I", sd)},
    )
    load = rv64("load", 0, ld, x10=RAM_BASE + 0x8000, x11=2)
    for store in (rv64("bare", 0, sd, x10=RAM_BASE + 0x8000, x11=1), translated):
        stored, loaded = spike.run([store, load])
        assert stored.trap is None
        assert loaded.registers["x11"] == 0


def test_disabled_extensions_do_not_outlive_their_vector(spike: Oracle) -> None:
    _, epc = spike.run([rv64("csrw misa,x0", 3, 0x30101073), rv64("csrw mepc,x10", 3, 0x34151073, x10=RAM_BASE + 2)])
    assert epc.registers["mepc"] == RAM_BASE + 2


# ia32. Vector v goes to 0x8000 + 16 v; gates 3, 4 and 0x21 have DPL 3, the others 0.

GDT, IDT, TSS = 0x1000, 0x2000, 0x3000
STACK, STACK0 = 0x6000, 0x7000
IF, IOPL3 = 0x200, 0x3000


def descriptor(base: int, limit: int, access: int, flags: int) -> bytes:
    high = base >> 24 << 24 | flags << 20 | limit >> 16 << 16 | access << 8 | base >> 16 & 0xFF
    return struct.pack("<II", (base & 0xFFFF) << 16 | limit & 0xFFFF, high)


GDT_BYTES = bytes(8) + b"".join(
    [descriptor(0, 0xFFFFF, access, 0xC) for access in (0x9B, 0x93, 0xFB, 0xF3)] + [descriptor(TSS, 0x67, 0x8B, 0)]
)
IDT_BYTES = b"".join(
    struct.pack("<HHHH", 0x8000 + 16 * vector, 8, 0xEE00 if vector in (3, 4, 0x21) else 0x8E00, 0)
    for vector in range(48)
)
TSS_BYTES = struct.pack("<III", 0, STACK0, 0x10) + bytes(0x5A) + b"\x68\x00"
RING3 = {"cs": 0x1B, "cs.attributes": 0xC0FB} | {
    f"{name}{part}": value
    for name in ("ss", "ds", "es", "fs", "gs")
    for part, value in {"": 0x23, ".attributes": 0xC0F3}.items()
}


def ia32(name: str, cpl: int, code: bytes, stack: bytes = b"", **registers: int) -> Vector:
    state = {"eip": CODE, "esp": STACK, "eflags": IF | 2}
    state |= {"gdtr.base": GDT, "gdtr.limit": len(GDT_BYTES) - 1, "idtr.base": IDT, "idtr.limit": len(IDT_BYTES) - 1}
    state |= {"tr": 0x28, "tr.base": TSS} | (RING3 if cpl else {}) | registers
    memory = {GDT: GDT_BYTES, IDT: IDT_BYTES, TSS: TSS_BYTES, 0x5000: bytes(16)}
    memory |= {STACK - 32: bytes(32) + stack, STACK0 - 32: bytes(32)}
    return Vector(name, code, state, memory)


@pytest.fixture(params=["bochs", "unicorn"])
def any_ia32(request: pytest.FixtureRequest) -> Oracle:
    oracle: Oracle = request.getfixturevalue(request.param)
    return oracle


def test_hlt_in_ring_3_is_a_general_protection_fault(any_ia32: Oracle) -> None:
    assert one(any_ia32, ia32("hlt 0", 0, b"\xf4")).trap is None
    assert one(any_ia32, ia32("hlt 3", 3, b"\xf4")).trap == 13


def test_the_fault_is_delivered_to_ring_0(bochs: Oracle) -> None:
    vector = ia32("hlt", 3, b"\xf4")
    outcome = one(bochs, vector)
    assert (outcome.trap, outcome.error_code) == (13, 0)
    assert changes(vector, outcome, bochs.base) == {
        "eip": 0x8000 + 16 * 13,
        "esp": STACK0 - 24,
        "eflags": 2,
        "cs": 0x08,
        "cs.attributes": 0xC09B,
        "ss": 0x10,
        "ss.attributes": 0xC093,
    }
    # Error code, EIP, CS, EFLAGS with RF set (a fault), ESP, SS: SDM volume 3, figure 6-4 and section 17.3.1.1.
    frame = struct.pack("<6I", 0, CODE, 0x1B, 0x10000 | IF | 2, STACK, 0x23)
    assert outcome.memory == changed_bytes({STACK0 - 24: bytes(24)}, {STACK0 - 24: frame})


@pytest.mark.parametrize(
    ("cpl", "flags", "expected"), [(0, IF | 2, 2), (3, IF | 2, IF | 2), (3, IF | IOPL3 | 2, 0x3002)]
)
def test_popf_changes_if_only_where_cpl_is_at_most_iopl(any_ia32: Oracle, cpl: int, flags: int, expected: int) -> None:
    outcome = one(any_ia32, ia32("popf", cpl, b"\x9d", struct.pack("<I", 2), eflags=flags))
    assert (outcome.trap, outcome.registers["eflags"]) == (None, expected)


@pytest.mark.parametrize("cpl", [0, 3])
def test_sgdt_executes_in_every_ring(any_ia32: Oracle, cpl: int) -> None:
    outcome = one(any_ia32, ia32("sgdt [0x5000]", cpl, b"\x0f\x01\x05\x00\x50\x00\x00"))
    expected = struct.pack("<HI", len(GDT_BYTES) - 1, GDT)
    assert outcome.trap is None
    assert outcome.memory == changed_bytes({0x5000: bytes(6)}, {0x5000: expected})


def test_the_arithmetic_flags_go_in_and_out(any_ia32: Oracle) -> None:
    adc = one(any_ia32, ia32("adc eax,eax", 3, b"\x11\xc0", eax=0x8000_0000, eflags=IF | 3))
    assert adc.registers["eax"] == 1
    assert adc.registers["eflags"] == IF | 2 | 0x801  # OF and CF


def test_a_page_is_zero_again_for_the_next_vector(any_ia32: Oracle) -> None:
    store, load = b"\xa3\x00\x00\x50\x00", b"\xa1\x00\x00\x50\x00"  # at 0x500000
    _, loaded = any_ia32.run([ia32("mov [0x500000],eax", 0, store, eax=5), ia32("mov eax,[0x500000]", 0, load)])
    assert loaded.registers["eax"] == 0


def test_int_needs_a_gate_of_its_ring(bochs: Oracle) -> None:
    allowed, refused = bochs.run([ia32("int 0x21", 3, b"\xcd\x21"), ia32("int 0x22", 3, b"\xcd\x22")])
    assert (allowed.trap, allowed.error_code, allowed.registers["eip"]) == (0x21, None, 0x8210)
    assert (refused.trap, refused.error_code) == (13, 0x22 * 8 + 2)


def test_in_needs_iopl_or_the_bitmap(bochs: Oracle) -> None:
    refused, allowed = bochs.run([ia32("in", 3, b"\xec"), ia32("in", 3, b"\xec", eflags=IOPL3 | 2)])
    assert (refused.trap, refused.error_code) == (13, 0)
    assert (allowed.trap, allowed.registers["eax"]) == (None, 0xFF)


def test_a_page_fault_reports_its_address(bochs: Oracle) -> None:
    directory, table = 0x20000, 0x21000
    entries = b"".join(struct.pack("<I", page << 12 | (3 if page == 0x30 else 7)) for page in range(64))
    plain = ia32("mov eax,[0x30000]", 3, b"\xa1\x00\x00\x03\x00", cr0=0x8000_0011, cr3=directory)
    memory = {**plain.memory, directory: struct.pack("<I", table | 7), table: entries}
    outcome = one(bochs, Vector(plain.name, plain.code, plain.registers, memory))
    assert (outcome.trap, outcome.error_code, outcome.registers["cr2"]) == (14, 5, 0x30000)


def test_a_vector_that_kills_the_engine_costs_only_itself(bochs: Oracle) -> None:
    before, triple, after = bochs.run(
        [ia32("nop", 0, b"\x90"), ia32("ud2", 0, b"\x0f\x0b", b"", **{"idtr.limit": 0}), ia32("nop", 0, b"\x90")]
    )
    assert before == after
    assert triple.failure == "the engine ended with status 1: triple fault: shutdown"


def test_a_vector_that_stalls_the_engine_costs_only_itself() -> None:
    impatient = Musashi("m68000", answer_seconds=0.0)
    for oracle in _started(impatient):
        (outcome,) = oracle.run([m68k("nop", 0, 0x4E71)])
        assert outcome.failure == "no answer within 0 s"


# s370. Real addresses 0x20 to 0x8F are a window, for the old PSWs and the interruption codes.

PROBLEM = 1 << 48
HERE = 0x8000


def s370(name: str, psw: int, code: str, **registers: int) -> Vector:
    memory = {0x20: bytes(0x58 - 0x20) + new_psws() + bytes(0x10)}
    return Vector(name, bytes.fromhex(code) + LANDING, {"psw": EC_PSW | psw | HERE, **registers}, memory)


def test_an_addition_goes_on_and_sets_the_condition_code(hercules: Oracle) -> None:
    outcome = one(hercules, s370("ar r1,r2", PROBLEM, "1a12", r1=5, r2=(1 << 32) - 7))
    assert outcome.trap is None
    assert outcome.registers["r1"] == (1 << 32) - 2
    assert outcome.registers["psw"] == EC_PSW | PROBLEM | 1 << 44 | HERE + 2
    assert not outcome.memory


def test_a_privileged_instruction_interrupts_the_problem_state(hercules: Oracle) -> None:
    outcome = one(hercules, s370("lpsw", PROBLEM, "82000100"))
    assert outcome.trap == 0x28 << 16 | 2
    old = EC_PSW | PROBLEM | HERE + 4
    expected = {0x28: old.to_bytes(8, "big"), 0x8C: bytes([0, 4, 0, 2])}  # the length of the instruction, and the code
    assert outcome.memory == changed_bytes({0x28: bytes(8), 0x8C: bytes(4)}, expected)


def test_a_supervisor_call_is_told_from_the_end_of_a_vector(hercules: Oracle) -> None:
    outcome = one(hercules, s370("svc 5", 0, "0a05"))
    assert outcome.trap == 0x20 << 16 | 5
    assert outcome.memory[0x8B] == b"\5"


def test_a_vector_that_does_not_come_back_costs_only_itself(hercules: Oracle) -> None:
    add = s370("ar r1,r2", 0, "1a12", r1=1, r2=2)
    waiting = bytes.fromhex("000a000000008000")
    wait = Vector("lpsw", bytes.fromhex("82001000"), {**add.registers, "r1": 0x1000}, {**add.memory, 0x1000: waiting})
    before, lost, after = hercules.run([add, wait, add])
    assert before == after
    assert lost.failure == "the machine did not come back"


# ka10. Memory is WORD_BYTES bytes a word; `flags` is the left half of a PC word.

USER, USER_IN_OUT = 1 << 12, 1 << 11


def ka10(name: str, flags: int, word: int, **registers: int) -> Vector:
    return Vector(name, word.to_bytes(WORD_BYTES, "big"), {"pc": 0o1000, "flags": flags, **registers})


@pytest.mark.parametrize("flags", [0, USER])
def test_an_addition_carries(simh: Oracle, flags: int) -> None:
    outcome = one(simh, ka10("add 1,2", flags, 0o270040000002, ac1=(1 << 36) - 1, ac2=1))
    assert (outcome.trap, outcome.registers["ac1"], outcome.registers["pc"]) == (None, 0, 0o1001)
    assert outcome.registers["flags"] == flags | 0o300000  # both carries


def test_halt_in_user_mode_is_a_monitor_call(simh: Oracle) -> None:
    halt, refused = simh.run([ka10("halt 5", 0, 0o254200000005), ka10("halt 5", USER, 0o254200000005)])
    assert (halt.registers["halted"], halt.registers["pc"]) == (1, 5)
    assert refused.trap == MONITOR_CALL


def test_jrstf_does_not_leave_user_mode(simh: Oracle) -> None:
    outcome = one(simh, ka10("jrstf @1", USER, 0o254120000001, ac1=0o440000000007))
    assert outcome.registers["pc"] == 7
    assert outcome.registers["flags"] == 0o440000 | USER
