"""Programs: directives, sections, macros, several errors at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from analyzer.errors import AssemblyError
from analyzer.source import Source
from emulator.program import Program, assemble


@pytest.fixture(scope="module")
def isa() -> ir.Isa:
    return spec("rv64")


def units(program: Program) -> bytes:
    return bytes(program.cells[a] for a in sorted(program.cells))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".byte 1, 'A', -1", b"\x01A\xff"),
        (".byte '\\n', ';', '\\x41', '\\''", b"\n;A'"),
        (".unit 1", b"\x01"),
        (".bits 16, 0x1234", b"\x34\x12"),
        (".word 1", bytes((1, 0, 0, 0, 0, 0, 0, 0))),
        ('.ascii "a;b", "//"', b"a;b//"),
        ('.asciz "tab\\t\\"q\\" \\x41"', b'tab\t"q" A\0'),
        (".space 3", bytes(3)),
        (".space 2, 0xFF", b"\xff\xff"),
        (".byte 1\n.align 4\n.byte 2", bytes((1, 0, 0, 0, 2))),
        (".equ N, 2\n.if N == 2\n.byte 1\n.else\n.byte 2\n.endif", b"\x01"),
        (".if 0\n.if 1\n.byte 1\n.else\n.byte 2\n.endif\n.else\n.byte 3\n.endif", b"\x03"),
        (".rept 3\n.byte 7\n.endr", b"\x07\x07\x07"),
        (".macro two a, b\n.byte \\a, \\b\n.endm\ntwo 1, (2+3)\ntwo 'x', 0", b"\x01\x05x\x00"),
        (".macro skip\nl\\@: .byte l\\@ - 0\n.endm\nskip\nskip", b"\x00\x01"),
        ("1: .byte 1f - 1b\n1: .byte 1b", b"\x01\x01"),
        ("a: .byte b - a\n.byte 0\nb: .byte 'b'", b"\x02\x00b"),
    ],
)
def test_units(isa: ir.Isa, text: str, expected: bytes) -> None:
    assert units(assemble(isa, text)) == expected


def test_sections_follow_each_other(isa: ir.Isa) -> None:
    text = ".text\naddi x1, x0, 1\n.data\nd: .byte 1\n.text\naddi x2, x0, d\n"
    text += ".section far, 0x1000\nf: .byte 2\n.bss\nb: .space 1"
    program = assemble(isa, text, 0x100)
    assert program.labels == {"d": 0x110, "f": 0x1000, "b": 0x1010}
    assert sorted(program.cells) == [*range(0x100, 0x108), 0x110, 0x1000, 0x1010]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (".org 0x20\n.byte 1", 0x20),
        (".byte 1\n_start: .byte 2\nstart: .byte 3", 1),
        (".byte 1\nstart: .byte 3", 1),
        (".entry e\n_start: .byte 1\ne: .byte 2", 1),
        ("", 0),
    ],
)
def test_entry(isa: ir.Isa, text: str, entry: int) -> None:
    assert assemble(isa, text).entry == entry


def test_include(isa: ir.Isa) -> None:
    files = {"a.s": '.byte 1\n.include "b.s"\n', "b.s": ".byte 2\n"}
    program = assemble(isa, '.include "a.s"\n.byte 3', read=lambda name: Source(name, files[name]))
    assert units(program) == b"\x01\x02\x03"


def test_an_error_in_an_included_file_is_there(isa: ir.Isa) -> None:
    with pytest.raises(AssemblyError) as error:
        assemble(isa, '.include "a.s"', read=lambda name: Source(name, "\n  foo"))
    assert str(error.value.diagnostic.span) == "a.s:2:3"


@pytest.mark.parametrize(
    ("text", "place", "code", "part"),
    [
        ("l: foo", "p:1:4", "PG501", "foo"),
        (".byte 256", "p:1:1", "PG503", "256"),
        (".align 0", "p:1:1", "PG505", "aligned"),
        (".space 0x10000000", "p:1:1", "PG503", "space"),
        (".ascii hello", "p:1:1", "PG505", "quoted"),
        (".org 1 << 64", "p:1:1", "PG503", "address"),
        (".byte 1\n.org 0\n.byte 2", "p:3:1", "PG507", "0x0"),
        (".if 1\n.byte 1", "p:2:1", "PG505", ".endif"),
        (".else", "p:1:1", "PG505", "directive"),
        (".macro m a\n.byte \\a\n.endm\nm 1, 2", "p:4:1", "PG508", "1 parameters"),
        (".macro m\nm\n.endm\nm", "p:4:1", "PG508", "40 deep"),
        (".macro m", "p:1:1", "PG508", ".endm"),
        (".endr", "p:1:1", "PG508", ".endr"),
        (".rept x\n.endr", "p:1:1", "PG508", "`x`"),
        (".rept 999999\n.rept 999\n.byte 1\n.endr\n.endr", "p:1:1", "PG508", "100,000"),
        ('.include "a.s"', "p:1:1", "PG508", "nowhere"),
        (".macro m a\n.byte \\a\n.endm\n.byte 0\nm 1000", "p:5:1", "PG503", "1000"),
        (".byte 1\n.equ a, b + 1\n.equ b, a - 1", "p:2:1", "PG506", "by `b`, that by `a`"),
        (".equ a, a + 1", "p:1:1", "PG506", "itself"),
        (".byte 1\n.start zz, 1", "p:2:1", "PG505", "zz"),
        (".start x[32], 1", "p:1:1", "PG505", "x"),
        (".start x[one], 1", "p:1:1", "PG505", "one"),
        (".start x, 1", "p:1:1", "PG505", "x"),
        (".start pc, 1 << 64", "p:1:1", "PG503", "64 bits of pc"),
    ],
)
def test_errors(isa: ir.Isa, text: str, place: str, code: str, part: str) -> None:
    with pytest.raises(AssemblyError) as error:
        assemble(isa, text, name="p")
    found = error.value.diagnostic
    assert (str(found.span), found.code) == (place, code)
    assert part in found.message


def test_names_that_stand_for_names(isa: ir.Isa) -> None:
    """In any order, and under a name that one of the machine has too."""
    assert units(assemble(isa, ".byte a\n.equ a, b + 1\n.equ b, c\n.equ c, 1")) == b"\x02"


def test_a_file_that_cannot_be_read(isa: ir.Isa, tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match="cannot be read"):
        assemble(isa, '.include "a.s"', read=lambda name: Source(name, (tmp_path / name).read_text()))


def test_several_errors_in_one_run(isa: ir.Isa) -> None:
    text = "foo\naddi x1, x0, 5000\njal x0, nowhere\n.byte 1\naddi x1, x0, 1\n.wrong"
    with pytest.raises(AssemblyError) as error:
        assemble(isa, text, name="p")
    assert [(d.code, d.span.line if d.span else 0) for d in error.value.diagnostics] == [
        ("PG501", 1),
        ("PG503", 2),
        ("PG504", 3),
        ("PG505", 6),
    ]


def test_no_more_than_twenty_errors(isa: ir.Isa) -> None:
    with pytest.raises(AssemblyError) as error:
        assemble(isa, "foo\n" * 50)
    assert len(error.value.diagnostics) == 20


def test_the_listing_has_every_line(isa: ir.Isa) -> None:
    program = assemble(isa, '; begin\nstart: addi x1, x0, 1 // one\n .asciz "0123456789"\n', 0x80000000)
    assert program.listing() == (
        "80000000                            ; begin\n"
        "80000000  93 00 10 00               start: addi x1, x0, 1 // one\n"
        '80000004  30 31 32 33 34 35 36 37 …   .asciz "0123456789"\n'
        "8000000f\n"
    )
