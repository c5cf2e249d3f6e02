"""ELF files: what is loaded, what is refused, and what no damage may do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from analyzer.errors import AssemblyError
from emulator.elf import ElfTarget, read_elf
from emulator.piece import Image, Piece
from programs.elves import Segment, elf

RV64 = ElfTarget(243, 64, "little")
M68K = ElfTarget(4, 32, "big")


def read(data: bytes, target: ElfTarget = RV64) -> Image:
    return read_elf(Path("p.elf"), data, target, 8)


def refused(data: bytes, target: ElfTarget = RV64) -> AssemblyError:
    with pytest.raises(AssemblyError) as error:
        read(data, target)
    return error.value


def test_segments_entry_and_symbols() -> None:
    data = elf(
        [Segment(0x80000000, b"code"), Segment(0x80001000, b"da", 10)], 0x80000002, symbols={"main": 0x80000002, "x": 7}
    )
    assert read(data) == Image(
        (Piece(0x80000000, b"code"), Piece(0x80001000, b"da", 8)), 0x80000002, {"main": 0x80000002, "x": 7}
    )


def test_32_bits_big_endian() -> None:
    data = elf([Segment(0x1000, b"\x4e\x71")], 0x1000, machine=4, bits=32, order="big", symbols={"start": 0x1000})
    assert read(data, M68K) == Image((Piece(0x1000, b"\x4e\x71"),), 0x1000, {"start": 0x1000})


def test_the_physical_address_counts_and_the_entry_follows() -> None:
    data = elf([Segment(0xFFFF0000, b"code", physical=0x80000000)], 0xFFFF0002)
    image = read(data)
    assert (image.pieces[0].address, image.entry) == (0x80000000, 0x80000002)


def test_physical_addresses_that_are_left_out() -> None:
    assert read(elf([Segment(0x8000, b"code", physical=0)], 0x8000)).pieces[0].address == 0x8000


GOOD = elf([Segment(0x80000000, b"code" * 8)], 0x80000000, symbols={"main": 0x80000000})


@pytest.mark.parametrize(
    ("data", "code", "part"),
    [
        (GOOD[:10], "PG510", "ends within the ELF header"),
        (b"MZ" + GOOD[2:], "PG510", "no ELF file"),
        (GOOD[:60], "PG510", "damaged"),
        (GOOD[:100], "PG510", "damaged"),
        (GOOD[:130], "PG510", "cut off"),
        (GOOD[:4] + b"\x03" + GOOD[5:], "PG510", "class 3"),
        (elf([Segment(0, b"a")], machine=62), "PG511", "ELF machine 62"),
        (elf([Segment(0, b"a")], bits=32), "PG511", "32 bits"),
        (elf([Segment(0, b"a")], order="big"), "PG511", "big-endian"),
        (elf([Segment(0, b"a")], kind=1), "PG512", "not linked"),
        (elf([Segment(0, b"a")], kind=4), "PG512", "ELF type 4"),
        (elf([]), "PG512", "PT_LOAD"),
        (elf([Segment(0, b"", 0)]), "PG512", "PT_LOAD"),
        (elf([Segment(0, b"abcd", 2)]), "PG510", "cut off"),
    ],
)
def test_refused(data: bytes, code: str, part: str) -> None:
    error = refused(data)
    assert error.diagnostic.code == code
    assert part in error.diagnostic.message
    assert error.diagnostic.message.startswith("p.elf: ")


def test_words_that_are_no_bytes_have_no_elf_files() -> None:
    with pytest.raises(AssemblyError, match="36 bits"):
        read_elf(Path("p.elf"), GOOD, RV64, 36)


def damaged(rng: random.Random) -> bytes:
    """A good file with bytes changed, cut off, or moved."""
    data = bytearray(GOOD)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at : at + 8] = rng.getrandbits(64).to_bytes(8, "little")
            case 2:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"))
            case _:
                del data[rng.randrange(1, len(data) + 1) :]
        if not data:
            data = bytearray(b"\x7f")
    return bytes(data)


def fuzz(seed: int, rounds: int) -> tuple[int, int]:
    """How many damaged files were loaded, and how many refused; anything else is an error."""
    rng = random.Random(seed)
    loaded = 0
    codes: set[str] = set()
    for _ in range(rounds):
        try:
            image = read(damaged(rng))
        except AssemblyError as error:
            codes.add(error.diagnostic.code)
            continue
        assert sum(len(piece.units) for piece in image.pieces) <= len(GOOD) * 8
        loaded += 1
    assert codes <= {"PG510", "PG511", "PG512"}
    return loaded, rounds - loaded


def test_damage_is_told_or_harmless() -> None:
    loaded, refused_ = fuzz(1, 600)
    assert loaded > 20
    assert refused_ > 20


@pytest.mark.slow
def test_much_damage_is_told_or_harmless() -> None:
    fuzz(2, 100_000)
