"""How runs end, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from analyzer.errors import UsageError
from analyzer.source import Source
from analyzer.syntax.load import load_source
from emulator.devices.console import Console
from emulator.interface import Reason
from emulator.run import Options, Outcome, parsed_load, prepare, run


@pytest.fixture(scope="module")
def isa() -> ir.Isa:
    return spec("rv64")


def ran(isa: ir.Isa, tmp_path: Path, text: str, options: Options | None = None) -> tuple[Outcome, Console]:
    path = tmp_path / "p.s"
    path.write_text(text, encoding="utf-8")
    console = Console()
    return run(isa, path, options or Options(tier="reference", budget=10_000), console), console


FINISH = "lui x5, 0x100\nlui x6, {0}[31:12]\naddi x6, x6, sext({0}, 12)\nsw x6, 0(x5)\njal x0, .\n"


@pytest.mark.parametrize(("value", "code"), [(0x5555, 0), (0x43333, 4)])
def test_the_exit_code_is_the_programs(isa: ir.Isa, tmp_path: Path, value: int, code: int) -> None:
    outcome, _ = ran(isa, tmp_path, FINISH.format(value))
    assert (outcome.ended.reason, outcome.code, outcome.steps) == (Reason.STOPPED, code, 4)
    assert outcome.sentence() == f"the program ended with code {code}"


@pytest.mark.parametrize("budget", [0, 1, 7, 1000])
def test_the_budget_is_exact(isa: ir.Isa, tmp_path: Path, budget: int) -> None:
    outcome, _ = ran(isa, tmp_path, "jal x0, .", Options(tier="reference", budget=budget))
    assert (outcome.ended.reason, outcome.code, outcome.steps) == (Reason.BUDGET, 3, budget)


def test_an_address_where_nothing_is(isa: ir.Isa, tmp_path: Path) -> None:
    outcome, _ = ran(isa, tmp_path, "lui x5, 0x40000\nlw x6, 4(x5)")
    assert outcome.code == 1
    assert outcome.sentence() == "no region holds the address phys[0x40000004] (pc 0x80000004, mode M)"


def test_a_processor_that_waits_for_ever(isa: ir.Isa, tmp_path: Path) -> None:
    outcome, _ = ran(isa, tmp_path, "wfi")
    assert (outcome.ended.reason, outcome.ended.name, outcome.code) == (Reason.HALTED, "waiting", 0)


def test_a_halted_machine(tmp_path: Path) -> None:
    outcome, _ = ran(spec("pg1974"), tmp_path, "halt")
    assert (outcome.ended.name, outcome.code, outcome.as_data()["reason"]) == ("halted", 0, "halted")


TIMER = """
        lui x5, 0x2004                ; mtimecmp
        addi x6, x0, {due}
        sd x6, 0(x5)
        addi x7, x0, 0x80
        csrrs x0, mie, x7
        {wait}
        csrrs x8, mtime, x0
"""


def test_wfi_ends_with_an_interrupt_that_is_not_taken(isa: ir.Isa, tmp_path: Path) -> None:
    text = TIMER.replace("csrrs x8, mtime, x0", FINISH.format(0x5555)).format(due=1000, wait="wfi")
    outcome, _ = ran(isa, tmp_path, text)
    assert outcome.code == 0
    assert outcome.steps > 1000  # the time of the wait counts
    assert outcome.retired < 20


def test_what_is_typed_wakes_the_processor(isa: ir.Isa, tmp_path: Path) -> None:
    """The receiver's interrupt, through the controller, ends a wait; the character is echoed."""
    text = """
        lui x5, 0x10000
        addi x6, x0, 1
        sb x6, 1(x5)                  ; IER: data received
        lui x7, 0xC000
        sw x6, 40(x7)                 ; the priority of source 10
        lui x8, 0xC002
        addi x9, x0, 0x400
        sw x9, 0(x8)                  ; enabled for the machine's context
        lui x9, 1
        addi x9, x9, -0x800
        csrrs x0, mie, x9
        wfi
        lbu x10, 0(x5)
        sb x10, 0(x5)
    """ + FINISH.replace("x5", "x15").format(0x5555)
    path = tmp_path / "p.s"
    path.write_text(text, encoding="utf-8")
    console, waits = Console(), []

    def keyboard(wait: bool) -> bytes:
        waits.append(wait)
        return b"k" if wait else b""

    outcome = run(isa, path, Options(tier="reference", budget=10_000), console, keyboard)
    assert (outcome.code, bytes(console.transcript), waits) == (0, b"k", [True])


def test_a_trace(isa: ir.Isa, tmp_path: Path) -> None:
    path = tmp_path / "p.s"
    path.write_text("addi x1, x0, 5\necall\n", encoding="utf-8")
    lines: list[str] = []
    run(isa, path, Options(tier="reference", budget=2), Console(), trace=lines.append)
    assert lines == [
        "       1  M  0000000080000000  addi x1, x0, 5  ; x[1] = 0x5",
        "       2  M  0000000080000004  ecall  -> trap  ; mstatus.MPP = 0x3, mcause = 0xb, mepc.ADDRESS = 0x40000002",
    ]


def test_a_trace_runs_as_without(isa: ir.Isa, tmp_path: Path) -> None:
    path = tmp_path / "p.s"
    path.write_text("1: addi x1, x1, 1\necall\n", encoding="utf-8")
    plain = run(isa, path, Options(tier="reference", budget=500), Console())
    slow = run(isa, path, Options(tier="reference", budget=500), Console(), trace=lambda line: None)
    assert (plain.ended, plain.pc, plain.retired) == (slow.ended, slow.pc, slow.retired)


def test_more_than_one_program(isa: ir.Isa, tmp_path: Path) -> None:
    (tmp_path / "a.s").write_text("auipc x5, 0x200\nlw x6, 0(x5)", encoding="utf-8")
    (tmp_path / "b.bin").write_bytes(b"\x11\x22\x33\x44")
    options = Options(tier="reference", loads=(parsed_load(f"{tmp_path}/b.bin@0x80200000"),))
    machine = prepare(isa, tmp_path / "a.s", options, Console()).machine
    machine.run(2)
    assert machine.read("x", 6) == 0x44332211


def test_htif_ends_a_program(isa: ir.Isa, tmp_path: Path) -> None:
    text = "addi x6, x0, 11\nauipc x5, (tohost - . + 0x800)[31:12]\nsd x6, sext(tohost - . + 4, 12)(x5)\njal x0, ."
    outcome, _ = ran(isa, tmp_path, text + "\n.align 8\ntohost: .word 0\nfromhost: .word 0")
    assert (outcome.ended.reason, outcome.code) == (Reason.STOPPED, 5)


PROTECTED = """
        .macro la rd, target
        auipc \\rd, (\\target - . + 0x800)[31:12]
        addi \\rd, \\rd, sext(\\target - . + 4, 12)
        .endm
        la x5, trapped
        csrrw x0, mtvec, x5
        lui x5, 0x20000               ; 4 KiB from 0x80001000
        addi x5, x5, 0x5FF
        csrrw x0, 0x3B0, x5           ; pmpaddr0
        addi x5, x0, -1
        csrrw x0, 0x3B1, x5           ; pmpaddr1: everything
        lui x5, 2
        addi x5, x5, -0x100 + {rights}
        csrrw x0, 0x3A0, x5           ; pmpcfg0
        la x5, user
        csrrw x0, mepc, x5
        mret
user:   auipc x6, 1
        lw x7, 0(x6)
        sw x7, 4(x6)
        ecall
        .align 4
trapped: csrrs x7, mcause, x0
        slli x7, x7, 16
        lui x6, 3
        addi x6, x6, 0x333
        or x6, x6, x7
        lui x5, 0x100
        sw x6, 0(x5)
        jal x0, .
"""


@pytest.mark.parametrize(("rights", "cause"), [(0x18, 5), (0x19, 7), (0x1B, 8)])
def test_physical_memory_protection(tmp_path: Path, rights: int, cause: int) -> None:
    """A page without rights, readable, writable: II, 3.7.1."""
    protected, _ = load_source(Source("rv64-pmp.isa", "isa rv64-pmp extends rv64\nenable pmp\n"))
    outcome, _ = ran(protected, tmp_path, PROTECTED.format(rights=rights))
    assert outcome.code == cause, outcome.sentence()


@pytest.mark.parametrize("ram", [0, -1])
def test_a_machine_needs_memory(isa: ir.Isa, tmp_path: Path, ram: int) -> None:
    with pytest.raises(UsageError, match="memory"):
        ran(isa, tmp_path, "wfi", Options(tier="reference", ram=ram))


def test_an_address_that_is_none() -> None:
    with pytest.raises(UsageError, match="zz"):
        parsed_load("a@zz")
