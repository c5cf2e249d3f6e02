"""Assembly and disassembly."""

from __future__ import annotations

import random

import pytest
from toy import toy

from analyzer.errors import AssemblyError, UsageError
from emulator.assemble import assemble_line
from emulator.decode import decode_units, encode
from emulator.disassemble import disassemble, show
from emulator.program import assemble

ISA = toy()


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("add r1, r2", [0x01, 0x11]),
        ("  ADD   R1 ,r2  ", [0x01, 0x11]),
        ("ldi r2, #0x1234", [0x0A, 0x34, 0x12]),
        ("ldi r2, #0b11", [0x0A, 3, 0]),
        ("ldi r2, #-1", [0x0A, 0xFF, 0xFF]),
        ("ldi r2, #end-start+1", [0x0A, 0x11, 0]),
        ("ld r1, (r2)", [0x10, 0x22]),
        ("ld r1,(r2)+", [0x10, 0x2A]),
        ("ld r1, -5(r2)", [0x10, 0x32, 0xFB, 0xFF]),
        ("br end", [0x12, 0x0E]),
        ("br .", [0x12, 0xFE]),
        ("inc r3", [0x23]),
        ("incs r3", [0x2B]),
        ("clrb r1", [0x59]),
        ("clrw r1", [0x66, 0x59]),
        ("push r1/r3", [0x70, 0x0A]),
        ("push R3/R1", [0x70, 0x0A]),
        ("push 0", [0x70, 0]),
        ("in r1, 0o7", [0x36, 0x39]),
        ("in r1, 7", [0x36, 0x39]),
    ],
)
def test_line(text: str, units: list[int]) -> None:
    assert assemble_line(ISA, text, 0x100, {"start": 0x100, "end": 0x110}).units == tuple(units)


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("ad r1, r2", "PG501", "did you mean `add`"),
        ("add r1", "PG502", "`add a, b`"),
        ("add r1, r9", "PG502", "`add a, b`"),
        ("ldi r1, #0x10000", "PG503", "65536 is not from"),
        ("ldi r1, #-32769", "PG503", "-32769 is not from -32768"),
        ("add r1, 2", "PG502", "`add a, b`"),
        ("br 0x1000", "PG503", "too far"),
        ("br nowhere", "PG504", "`nowhere`"),
        ("ld r1, -40000(r2)", "PG503", "-40000"),
        ("", "PG501", ""),
    ],
)
def test_bad_lines(text: str, code: str, part: str) -> None:
    with pytest.raises(AssemblyError) as error:
        assemble_line(ISA, text, 0x100)
    assert error.value.diagnostic.code == code
    assert part in str(error.value)


def test_random_instructions_survive_the_round_trip() -> None:
    generator = random.Random(7)
    for instruction in ISA.instructions:
        for _ in range(30):
            operands = {o.name: generator.getrandbits(o.width) for o in instruction.operands}
            try:
                units = encode(ISA, instruction, operands)
            except UsageError:
                continue
            decoded = decode_units(ISA, units)
            if decoded is None:
                continue
            text = disassemble(ISA, decoded, 0x100)
            again = assemble_line(ISA, text, 0x100)
            assert again.units == units, text
            assert show(ISA, again.instruction, again.operands, 0x100) == text


PROGRAM = """\
; sums
        .equ N, 3
        .org 0x20
start:  ldi r1, #N      // three
loop:   add r2, r1
        br loop
        .space 2
data:   .word 1, -1, data
        .byte 0x7F
        .bits 32, 1
"""


def test_program() -> None:
    program = assemble(ISA, PROGRAM)
    assert program.labels == {"N": 3, "start": 0x20, "loop": 0x23, "data": 0x29}
    units = [program.cells[a] for a in sorted(program.cells)]
    assert units == [9, 3, 0, 1, 0xA, 0x12, 0xFC, 0, 0, 1, 0, 0xFF, 0xFF, 0x29, 0, 0x7F, 1, 0, 0, 0]
    assert "000020  09 03 00                  start:  ldi r1, #N      // three\n" in program.listing()


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("\n  foo r1", "p:2:3", "PG501"),
        ("a: svc\na: svc", "p:2:1", "PG505"),
        (".word", "p:1:1", "PG505"),
        (".bits 12, 1", "p:1:1", "PG505"),
        (".byte 256", "p:1:1", "PG503"),
        ("svc\n .word x", "p:2:2", "PG504"),
        (".fill 3", "p:1:1", "PG505"),
    ],
)
def test_bad_programs(text: str, place: str, code: str) -> None:
    with pytest.raises(AssemblyError) as error:
        assemble(ISA, text, name="p")
    assert (str(error.value.diagnostic.span), error.value.diagnostic.code) == (place, code)
