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
from typing import Any, Literal

from msgspec import Struct

from analyzer.errors import AssemblyError, Diagnostic
from emulator.piece import Image, Piece

MAGIC = b"\x7fELF"
CLASSES = {1: 32, 2: 64}
ORDERS: Mapping[int, Literal["little", "big"]] = {1: "little", 2: "big"}
EXECUTABLE, SHARED = 2, 3
TYPES = {0: "no file type", 1: "an object file, not linked", EXECUTABLE: "an executable", SHARED: "a shared object"}
MOST_SEGMENTS, MOST_SYMBOLS = 1000, 200_000
UNDEFINED = 0


class SymbolLayout(Struct, frozen=True):
    """An entry of a symbol table (figure 4-16): its fields, and which of them are the name's place, the value and the
    section.  Such tables are long, and `struct` reads them twenty times as fast as pyelftools."""

    fields: str
    name: int
    value: int
    section: int


SYMBOLS = {32: SymbolLayout("IIIBBH", 0, 1, 5), 64: SymbolLayout("IBBHQQ", 0, 4, 3)}


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
        return _loaded(data, target)
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


def _loaded(data: bytes, target: ElfTarget) -> Image:
    # Parsers of damaged files fail in many ways; each of them means the same to who gave the file.
    from elftools.common.exceptions import ELFError

    failures = (ELFError, struct.error, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)
    try:
        tables = _Tables(data, target)
        segments = tables.segments()
        entry = int(tables.header["e_entry"])
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
        symbols = tables.symbols()
    except failures:  # a loader does not need them, and a file may be stripped badly
        symbols = {}
    return Image(tuple(pieces), begin, symbols)


class _Tables:
    """What an executable says of itself.

    The structures alone are pyelftools': importing its class of whole files, which reads DWARF, takes longer than many
    a program runs.
    """

    def __init__(self, data: bytes, target: ElfTarget) -> None:
        from elftools.elf.structs import ELFStructs

        self._data, self._stream, self._target = data, BytesIO(data), target
        self._structs = ELFStructs(target.order == "little", target.bits)
        self._structs.create_basic_structs()
        self._structs.create_advanced_structs()
        self.header = self._parsed(self._structs.Elf_Ehdr, 0)

    def _parsed(self, structure: Any, at: int) -> Any:
        from elftools.common.utils import struct_parse

        return struct_parse(structure, self._stream, at)

    def segments(self) -> list[_Segment]:
        """Those that are to be loaded."""
        first, size, count = (self.header[field] for field in ("e_phoff", "e_phentsize", "e_phnum"))
        if count > MOST_SEGMENTS:
            raise _Damaged(f"the file says that it has {count} segments")
        headers = [self._parsed(self._structs.Elf_Phdr, first + size * i) for i in range(count)]
        return [
            _Segment(header["p_offset"], header["p_vaddr"], header["p_paddr"], header["p_filesz"], header["p_memsz"])
            for header in headers
            if header["p_type"] == "PT_LOAD"
        ]

    def symbols(self) -> dict[str, int]:
        """Defined names and their addresses."""
        first, size, count = (self.header[field] for field in ("e_shoff", "e_shentsize", "e_shnum"))
        sections = [self._parsed(self._structs.Elf_Shdr, first + size * i) for i in range(count if first else 0)]
        layout, order = SYMBOLS[self._target.bits], ">" if self._target.order == "big" else "<"
        entry, found = struct.Struct(order + layout.fields), dict[str, int]()
        for section in sections:
            if section["sh_type"] != "SHT_SYMTAB" or section["sh_size"] > MOST_SYMBOLS * entry.size:
                continue
            names, table = self._contents(sections[section["sh_link"]]), self._contents(section)
            for fields in entry.iter_unpack(table[: len(table) // entry.size * entry.size]):
                at = fields[layout.name]
                name = names[at : names.find(b"\0", at)].decode(errors="replace")
                if name and fields[layout.section] != UNDEFINED:
                    found.setdefault(name, fields[layout.value])
        return found

    def _contents(self, section: Mapping[str, int]) -> bytes:
        return self._data[section["sh_offset"] : section["sh_offset"] + section["sh_size"]]
