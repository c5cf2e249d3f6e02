"""The tour in the documentation is what `popek tour` prints, and each of its forms is made anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Popek
from golden import assert_golden

from emulator.machine.assembly import version

PAGE = Path(__file__).parents[2] / "docs/tour.md"
MADE = ("rv64", "add x5, x6, x7")
MACHINE_CODE = "## Machine code\n"


def test_the_page_is_what_the_command_prints(popek: Popek) -> None:
    """Another LLVM than that of the page may choose other instructions: then all before them is compared."""
    ran = popek("tour", *MADE)
    assert (ran.code, ran.err) == (0, "")
    kept = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if f"By LLVM {version()}," in kept or not kept:
        assert_golden(PAGE, ran.out)
        return
    before, machine_code = ran.out.split(MACHINE_CODE)
    assert before == kept.split(MACHINE_CODE)[0]
    assert "addq" in machine_code


@pytest.mark.parametrize(
    ("machine", "instruction", "parts"),
    [
        ("s370", "a r1, 8(r2,r3)", ("5a 12 30 08", "psw.CC", "F['r']", "define preserve_nonecc", "bswap", "jmpq")),
        ("ka10", "add 1, 2", ("%rec", "CRY0", "define preserve_nonecc", "jmpq")),
        ("pg1974", "add r1, r2", ("r[<r1>] := r[<r1>] + r[<r2>]", "return 1", "addq")),
        ("m68000", "add.w d1, d2", ("d4 41", "define preserve_nonecc", "addl")),
        ("ia32", "add eax, ecx", ("eflags", "define preserve_nonecc", "addl")),
    ],
)
def test_there_is_a_tour_of_every_machine(popek: Popek, machine: str, instruction: str, parts: tuple[str, ...]) -> None:
    ran = popek("tour", machine, instruction)
    assert ran.code == 0, ran.err
    for part in parts:
        assert part in ran.out, part


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("", "is no instruction of rv64"),
        ("nonsense", "there is no instruction `nonsense`"),
        (".byte 1", "is no instruction of rv64"),
        ("add x1, x1, x1\nadd x1, x1, x1", "is not one instruction of rv64"),
    ],
)
def test_what_is_no_instruction_has_no_tour(popek: Popek, instruction: str, message: str) -> None:
    ran = popek("tour", "rv64", instruction)
    assert ran.code == 2
    assert message in ran.err
