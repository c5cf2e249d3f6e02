"""Programs from files: formats, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from analyzer.errors import AssemblyError
from emulator.elf import ElfTarget
from emulator.image import load_image
from emulator.listing import to_hex
from emulator.piece import Image
from emulator.program import assemble
from programs.elves import Segment, elf

TARGET = ElfTarget(243, 64, "little")


@pytest.fixture(scope="module")
def isa() -> ir.Isa:
    return spec("rv64")


@pytest.fixture(scope="module")
def words() -> ir.Isa:
    return spec("ka10")


def loaded(isa: ir.Isa, path: Path, data: bytes, format_: str | None = None) -> Image:
    path.write_bytes(data)
    return load_image(isa, path, 0x100, TARGET, format_)  # type: ignore[arg-type]


def test_assembly(isa: ir.Isa, tmp_path: Path) -> None:
    (tmp_path / "more.inc").write_text("addi x1, x0, 2\n", encoding="utf-8")
    image = loaded(isa, tmp_path / "p.s", b'start: addi x1, x0, 1\n.include "more.inc"\nend:\n')
    assert (image.entry, image.end, image.symbols) == (0x100, 0x108, {"start": 0x100, "end": 0x108})


def test_a_byte_order_mark_is_no_text(isa: ir.Isa, tmp_path: Path) -> None:
    assert loaded(isa, tmp_path / "p.s", "\ufeff.byte 1".encode()).end == 0x101
    assert loaded(isa, tmp_path / "p.hex", "\ufeff00000013".encode()).end == 0x104


def test_hex(isa: ir.Isa, tmp_path: Path) -> None:
    program = assemble(isa, "addi x1, x0, 1\n.org 0x200\n.byte 1", 0x100)
    image = loaded(isa, tmp_path / "p.hex", to_hex(program).encode())
    assert [(p.address, list(p.units)) for p in image.pieces] == [(0x100, [0x93, 0, 0x10, 0]), (0x200, [1])]


def test_elf_by_its_beginning(isa: ir.Isa, tmp_path: Path) -> None:
    assert loaded(isa, tmp_path / "p", elf([Segment(0x80, b"abc")], 0x80)).entry == 0x80


def test_raw(isa: ir.Isa, tmp_path: Path) -> None:
    image = loaded(isa, tmp_path / "p.bin", b"abc")
    assert (image.pieces[0].address, image.pieces[0].units, image.entry) == (0x100, b"abc", 0x100)


def test_raw_although_it_looks_otherwise(isa: ir.Isa, tmp_path: Path) -> None:
    assert loaded(isa, tmp_path / "p.s", b"abc", "raw").pieces[0].units == b"abc"


def test_raw_words(words: ir.Isa, tmp_path: Path) -> None:
    image = loaded(words, tmp_path / "p.bin", bytes((0xF, 1, 2, 3, 4, 0, 0, 0, 0, 5)))
    assert list(image.pieces[0].units) == [0xF01020304, 5]


@pytest.mark.parametrize(
    ("name", "data", "code", "part"),
    [
        ("p.bin", b"", "PG514", "empty"),
        ("p.s", b"// nothing\nstart:", "PG514", "empty"),
        ("p.hex", b" \n", "PG514", "empty"),
        ("p.hex", b"00000013 13zz", "PG514", "13zz"),
        ("p.bin", bytes(1001), "PG514", "larger than"),
        ("p.s", b" " * 1001, "PG514", "larger than"),
        ("p.s", b'.include "/dev/zero"', "PG508", "larger than"),
        ("p.s", b"\xff\xfe", "PG514", "UTF-8"),
        ("p.s", b"foo", "PG501", "foo"),
    ],
)
def test_refused(
    isa: ir.Isa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, code: str, part: str
) -> None:
    monkeypatch.setattr("emulator.image.LARGEST", 1000)
    monkeypatch.setattr("emulator.image.LARGEST_TEXT", 1000)
    with pytest.raises(AssemblyError) as error:
        loaded(isa, tmp_path / name, data)
    assert error.value.diagnostic.code == code
    assert part in error.value.diagnostic.message


@pytest.mark.parametrize(("data", "part"), [(b"1234", "whole number"), (b"\xff" * 5, "does not fit")])
def test_words_that_are_none(words: ir.Isa, tmp_path: Path, data: bytes, part: str) -> None:
    with pytest.raises(AssemblyError, match=part):
        loaded(words, tmp_path / "p.bin", data)


def test_a_machine_that_runs_no_elf_files(words: ir.Isa, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(elf([Segment(0, b"a")]))
    with pytest.raises(AssemblyError, match="does not say which ELF files"):
        load_image(words, path, 0, None)
