"""Copies of handlers, one behind the other: what runs code that is often met, but is not worth a region.

A stencil (`emulator/codegen/stencils.py`) is cut out of its object; what it refers to is `next` and nothing else.  The
copies of instructions that lie one behind the other fall into each other.  They only know their records, so whatever
becomes of one instruction, its copy is all that has to change: it leads to the handler of its record from then on.

Offered where the host is known: the relocations are those of x86-64.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from emulator.codegen.handler import NEXT

AVAILABLE = platform.machine() in ("x86_64", "AMD64") and hasattr(mmap, "PROT_EXEC")

R_X86_64_PC32, R_X86_64_PLT32 = 2, 4
"""System V ABI, AMD64 supplement, table 4.9: both are the distance from the place, in 32 bits."""
SHT_RELA = 4
SYMBOL = struct.Struct("<IBBHQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
RELA = struct.Struct("<QQq")
NEAR_JUMP = 0xE9
SIZE = 64 << 20
"""Bytes of copies that a machine may have."""


@dataclass(frozen=True, slots=True)
class Stencil:
    """Machine code, and the places in it that hold the distance to what comes next."""

    code: bytes
    holes: tuple[int, ...]

    @staticmethod
    def of(code: bytes, holes: Sequence[int]) -> Stencil:
        """Without a last jump to what comes next: it lies there."""
        last = len(code) - 4
        if last in holes and code[last - 1] == NEAR_JUMP:
            return Stencil(code[: last - 1], tuple(hole for hole in holes if hole != last))
        return Stencil(code, tuple(holes))


def cut(data: bytes, names: Sequence[str]) -> dict[str, Stencil]:
    """The stencils of an ELF object (64 bits, little endian); those that refer to anything but `next` are left out."""
    start, entry, count = (*struct.unpack_from("<Q", data, 0x28), *struct.unpack_from("<HH", data, 0x3A))
    sections = [SECTION.unpack_from(data, start + i * entry) for i in range(count)]
    found: dict[str, tuple[int, int, int]] = {}
    next_: set[int] = set()  # the numbers of the symbol
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind != 2:  # the table of symbols
            continue
        strings = sections[link][4]
        for i in range(size // SYMBOL.size):
            name, _, _, section, value, length = SYMBOL.unpack_from(data, offset + i * SYMBOL.size)
            text = data[strings + name : data.index(b"\0", strings + name)].decode()
            if section == 0 and text == NEXT.removeprefix("@"):
                next_.add(i)
            elif text in names:
                found[text] = (section, value, length)
    moved: dict[int, list[tuple[int, int, int, int]]] = {}
    for _, kind, _, _, offset, size, _, about, _, _ in sections:
        if kind == SHT_RELA:
            for i in range(size // RELA.size):
                place, info, addend = RELA.unpack_from(data, offset + i * RELA.size)
                moved.setdefault(about, []).append((place, info >> 32, info & 0xFFFFFFFF, addend))
    stencils = {}
    for name, (section, value, length) in found.items():
        mine = [m for m in moved.get(section, ()) if value <= m[0] < value + length]
        plain = all(
            symbol in next_ and kind in (R_X86_64_PC32, R_X86_64_PLT32) and addend == -4
            for _, symbol, kind, addend in mine
        )
        if plain:
            begin = sections[section][4] + value
            holes = [place - value for place, _, _, _ in mine]
            stencils[name] = Stencil.of(data[begin : begin + length], holes)
    return stencils


class Copies:
    """Memory of the host for copies."""

    def __init__(self, through: Stencil) -> None:
        self.through = through
        rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        self.memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=rights)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.end = 0

    def room(self, stencils: Sequence[Stencil]) -> bool:
        """Whether there is room for copies of these."""
        return self.end + sum(len(s.code) for s in stencils) + len(self.through.code) <= SIZE

    def chain(self, stencils: Sequence[Stencil]) -> list[int]:
        """The addresses of copies, each of which falls into the next, and the last into the handler of its record."""
        code, begins = bytearray(), []
        for stencil in (*stencils, self.through):
            begin, behind = len(code), len(code) + len(stencil.code)
            begins.append(self.address + self.end + begin)
            code += stencil.code
            for hole in stencil.holes:
                struct.pack_into("<i", code, begin + hole, behind - (begin + hole + 4))
        self.memory[self.end : self.end + len(code)] = bytes(code)
        self.end += len(code)
        return begins[:-1]

    def forget(self, address: int) -> None:
        """Lets a copy lead to the handler of its record, wherever it is entered at its beginning."""
        at = address - self.address
        self.memory[at : at + len(self.through.code)] = self.through.code
