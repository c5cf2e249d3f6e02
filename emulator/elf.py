"""Executables in the Executable and Linking Format (System V ABI, edition 4.1, chapters 4 and 5).

Only what loading needs is read: the header, the program headers, and the symbols if they are there.  What an
architecture is called in a header is data of a board.  pyelftools parses; what it makes of a damaged file is not
trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from analyzer.errors import AssemblyError, Diagnostic
from emulator.piece import Image, Piece

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

MAGIC = b"\x7fELF"
CLASSES = {1: 32, 2: 64}
ORDERS: Mapping[int, Literal["little", "big"]] = {1: "little", 2: "big"}
EXECUTABLE, SHARED = 2, 3
TYPES = {0: "no file type", 1: "an object file, not linked", EXECUTABLE: "an executable", SHARED: "a shared object"}
MOST_SEGMENTS, MOST_SYMBOLS = 1000, 200_000


class ElfTarget(Struct, frozen=True):
    """Which executables are for a machine: `e_machine`, the bits of its class, and the byte order of its data."""

    machine: int
    bits: Literal[32, 64]
    order: Literal["little", "big"]


def read_elf(path: Path, data: bytes, target: ElfTarget, unit: int) -> Image:
    """The loadable segments of an executable, at their physical addresses.

    Raises:
        AssemblyError: PG510 for a damaged file, PG511 for another architecture, PG512 for one that is not linked to be
            loaded, or has nothing to load.
    """

    def refuse(code: str, message: str, hint: str | None = None) -> AssemblyError:
        return AssemblyError(Diagnostic(code, f"{path}: {message}", hint=hint))

    if unit != 8:
        raise refuse("PG511", f"ELF files hold bytes, and this machine has units of {unit} bits")
    if len(data) < 20 or data[:4] != MAGIC:
        raise refuse("PG510", "the file ends within the ELF header" if data[:4] == MAGIC else "this is no ELF file")
    order = ORDERS.get(data[5])
    if data[4] not in CLASSES or order is None:
        raise refuse("PG510", f"no ELF file has class {data[4]} and data encoding {data[5]}")
    found = ElfTarget(int.from_bytes(data[18:20], order), 32 if data[4] == 1 else 64, order)
    if found != target:
        hint = f"the board runs executables {described(target)}"
        raise refuse("PG511", f"this executable is {described(found)}", hint)
    kind = int.from_bytes(data[16:18], order)
    if kind not in (EXECUTABLE, SHARED):
        raise refuse("PG512", f"this is {TYPES.get(kind, f'ELF type {kind}')}", "link it, with `ld` or `gcc -static`")
    try:
        return _loaded(data)
    except _Damaged as damaged:
        raise refuse("PG510", str(damaged)) from None
    except _NothingToLoad:
        raise refuse("PG512", "no segment is to be loaded (no PT_LOAD)") from None


def described(target: ElfTarget) -> str:
    return f"for ELF machine {target.machine}, {target.bits} bits, {target.order}-endian"


class _Damaged(Exception):
    pass


class _NothingToLoad(Exception):
    pass


class _Segment(Struct, frozen=True):
    offset: int
    virtual: int
    physical: int
    stored: int
    size: int


def _loaded(data: bytes) -> Image:
    # Parsers of damaged files fail in many ways; each of them means the same to who gave the file.
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    failures = (ELFError, struct.error, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)
    try:
        elf = ELFFile(BytesIO(data))
        if elf.num_segments() > MOST_SEGMENTS:
            raise _Damaged(f"the file says that it has {elf.num_segments()} segments")
        segments = [_segment(header.header) for header in elf.iter_segments("PT_LOAD")]
        entry = int(elf.header["e_entry"])
    except failures as error:
        raise _Damaged(f"the file is damaged: {str(error) or type(error).__name__}") from None
    segments = [s for s in segments if s.size]
    if not segments:
        raise _NothingToLoad
    if not any(s.physical for s in segments):  # some linkers leave physical addresses out
        segments = [_Segment(s.offset, s.virtual, s.virtual, s.stored, s.size) for s in segments]
    pieces = []
    for s in segments:
        if s.stored > s.size or s.offset + s.stored > len(data):
            raise _Damaged(f"the segment at {s.physical:#x} ends after the file: it is cut off")
        pieces.append(Piece(s.physical, data[s.offset : s.offset + s.stored], s.size - s.stored))
    inside = next((s for s in segments if s.virtual <= entry < s.virtual + s.size), None)
    begin = entry if inside is None else entry - inside.virtual + inside.physical
    try:
        symbols = _symbols(elf)
    except failures:  # a loader does not need them, and a file may be stripped badly
        symbols = {}
    return Image(tuple(pieces), begin, symbols)


def _segment(header: Mapping[str, int]) -> _Segment:
    return _Segment(header["p_offset"], header["p_vaddr"], header["p_paddr"], header["p_filesz"], header["p_memsz"])


def _symbols(elf: ELFFile) -> dict[str, int]:
    """Defined names and their addresses."""
    from elftools.elf.sections import SymbolTableSection

    found: dict[str, int] = {}
    for section in elf.iter_sections("SHT_SYMTAB"):
        if isinstance(section, SymbolTableSection) and section.num_symbols() <= MOST_SYMBOLS:
            for symbol in section.iter_symbols():
                if symbol.name and symbol["st_shndx"] != "SHN_UNDEF":
                    found.setdefault(symbol.name, int(symbol["st_value"]))
    return found
