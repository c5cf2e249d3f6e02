"""Guests that loop, fault for ever, map everything onto itself, rewrite their own code or ask for too much.

A run ends by its budget or with a reason that says what happened, the same on every tier, and nothing grows.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import pytest
from specs import spec

from analyzer.errors import UsageError
from emulator.devices.console import Console
from emulator.interface import Reason
from emulator.run import FAILED, SPENT, TIERS, Options, Outcome, prepare, run

FEW, MANY = 2_000, 200_000
"""Budgets, of every tier and of the fastest one."""
GROWTH = 32 << 10
"""KiB of memory that a run may take."""


@dataclass(frozen=True)
class Guest:
    machine: str
    text: str
    reason: Reason
    sentence: str


MACROS = """
.macro la rd, target
  auipc \\rd, (\\target - . + 0x800)[31:12]
  addi \\rd, \\rd, sext(\\target - . + 4, 12)
.endm
.macro supervisor root, entry
  srli x6, \\root, 12
  addi x7, x0, 8
  slli x7, x7, 60
  or x6, x6, x7
  csrrw x0, satp, x6
  addi x6, x0, 1
  slli x6, x6, 11
  csrrw x0, mstatus, x6
  csrrw x0, mepc, \\entry
  mret
.endm
.macro fill root, entry
  addi x8, x0, 512
  addi x9, \\root, 0
1: sd \\entry, 0(x9)
  addi x9, x9, 8
  addi x8, x8, -1
  bne x8, x0, 1b
.endm
"""

BUDGET, ABSENT, STUCK, SHUTDOWN = Reason.BUDGET, Reason.ABSENT, Reason.STUCK, Reason.SHUTDOWN

GUESTS = {
    "a loop": Guest("rv64", "jal x0, .", BUDGET, "the budget is spent (pc 0x80000000, mode M)"),
    "a handler that faults": Guest(
        "rv64",
        "la x5, handler\ncsrrw x0, mtvec, x5\n.word 0\n.align 4\nhandler: .word 0",
        BUDGET,
        "the budget is spent (pc 0x80000014, mode M)",
    ),
    "a trap to nowhere": Guest("rv64", "ecall", ABSENT, "no region holds the address phys[0x0] (pc 0x0, mode M)"),
    "a jump into data": Guest(
        "rv64",
        'la x5, handler\ncsrrw x0, mtvec, x5\njal x0, text\n.align 4\nhandler: jal x0, .\ntext: .ascii "data, no code"',
        ABSENT,
        "no region holds the address phys[0xc0] (pc 0x80000014, mode M)",
    ),
    "a page table whose entries all lead to itself": Guest(
        "rv64",
        "la x5, handler\ncsrrw x0, mtvec, x5\nauipc x10, 1\nsrli x11, x10, 12\nslli x10, x11, 12\nslli x11, x11, 10\n"
        "addi x11, x11, 1\nfill x10, x11\nsupervisor x10, x0\n.align 4\nhandler: mret",
        BUDGET,
        "the budget is spent",
    ),
    "every page is the one of the tables and the code": Guest(
        "rv64",
        "la x5, handler\ncsrrw x0, mtvec, x5\nlui x10, 0x80001\nslli x10, x10, 32\nsrli x10, x10, 32\n"
        "lui x11, 0x20000\naddi x11, x11, 0xCF\nfill x10, x11\nla x12, loop\nlui x13, 4\naddi x14, x0, 0\n"
        "supervisor x10, x12\n.align 4\nhandler: mret\n"
        "loop: sd x11, 0(x14)\nld x15, 0(x14)\naddi x14, x14, 8\nbltu x14, x13, loop\naddi x14, x0, 0\njal x0, loop",
        BUDGET,
        "the budget is spent",
    ),
    "code that rewrites itself for ever": Guest(
        "rv64",
        "la x5, place\nlw x6, 0(x5)\nlui x7, 0x100\nloop: add x6, x6, x7\nsw x6, 0(x5)\nplace: addi x10, x11, 0\n"
        "jal x0, loop",
        BUDGET,
        "the budget is spent",
    ),
    "all memory is filled, code and all": Guest(
        "rv64",
        "auipc x5, 0\nlui x6, 0x11111\nloop: sd x6, 0(x5)\naddi x5, x5, 8\njal x0, loop",
        ABSENT,
        "no region holds the address phys[0x0]",
    ),
    "a chain of addresses that never ends": Guest(
        "ka10", "start: move 1, @start", BUDGET, "the budget is spent (pc 0x40, mode exec)"
    ),
    "an instruction that executes itself": Guest("ka10", "start: xct start", STUCK, "more work than the limit"),
    "a handler without an end": Guest("s370", "balr r12, r0\nbase: ex r0, base-base(,r12)", BUDGET, "mode supervisor"),
    "a trap without a vector": Guest("ia32", "int 3", SHUTDOWN, "could not be delivered: shutdown"),
    "a stack where none can be": Guest("m68000", "lea (1).l, a7\nillegal", SHUTDOWN, "could not be delivered: halted"),
    "a program without an end": Guest("pg1974", "li r1, 0", BUDGET, "the budget is spent"),
}


def ran(guest: Guest, folder: Path, options: Options) -> Outcome:
    path = folder / "guest.s"
    path.write_text((MACROS if guest.machine == "rv64" else "") + guest.text + "\n", encoding="utf-8")
    return run(spec(guest.machine), path, options, Console())


@pytest.mark.parametrize("name", GUESTS)
def test_it_ends_with_a_reason_on_every_tier(name: str, tmp_path: Path) -> None:
    guest = GUESTS[name]
    outcomes = [ran(guest, tmp_path, Options(budget=FEW, tier=tier)) for tier in TIERS]
    first = outcomes[0]
    assert first.ended.reason is guest.reason, first.sentence()
    assert guest.sentence in first.sentence()
    assert first.code == (SPENT if guest.reason is BUDGET else FAILED)
    for other in outcomes[1:]:
        assert (other.ended, other.steps, other.retired, other.pc, other.mode) == (
            *(first.ended, first.steps, first.retired, first.pc, first.mode),
        )


@pytest.mark.parametrize("name", [name for name, guest in GUESTS.items() if guest.reason is BUDGET])
def test_it_ends_by_a_great_budget_and_nothing_grows(name: str, tmp_path: Path) -> None:
    ran(GUESTS[name], tmp_path, Options(budget=FEW))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = ran(GUESTS[name], tmp_path, Options(budget=MANY))
    assert (outcome.ended.reason, outcome.steps) == (BUDGET, MANY), outcome.sentence()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH


@pytest.mark.parametrize(
    ("ram", "message"),
    [
        (0, "a machine needs memory"),
        (-1, "a machine needs memory"),
        ((1 << 36) + 1, "more than the 0x1000000000 that a machine may have"),
        (1 << 64, "more than the 0x1000000000 that a machine may have"),
        (1 << 200, "more than the 0x1000000000 that a machine may have"),
    ],
)
def test_memory_that_no_machine_has(ram: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        ran(GUESTS["a loop"], tmp_path, Options(ram=ram))


def test_memory_that_the_host_does_not_have(tmp_path: Path) -> None:
    """The operating system refuses; the limit is that of a child, for the time of one mapping."""
    path = tmp_path / "guest.s"
    path.write_text("wfi\n", encoding="utf-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, hard))
    try:
        with pytest.raises(UsageError, match="the host has no room for 0x8"):
            prepare(spec("rv64"), path, Options(ram=1 << 35, tier="reference"), Console())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
