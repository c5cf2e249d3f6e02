"""From an object to an image: code and constants as they lie in memory.

Generated code has no external symbols and refers to itself by distances alone.  So once its sections have their places
nothing in it depends on where it is loaded: it is linked when it is made, the image is kept, and to load it is to copy
it.  What is not as simple (another host, a relocation or a symbol that is not known here) is left to LLVM.

The format: System V ABI, chapters 4 and 5; AMD64 Architecture Processor Supplement, section 4.4.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
from collections.abc import Callable, Sequence
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

HEAD = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")
DISTANCE = struct.Struct("<i")

ELF64_LITTLE = b"\x7fELF\x02\x01"
RELOCATABLE, X86_64 = 1, 62
PROGBITS, SYMTAB, RELA = 1, 2, 4
ALLOCATED = 2
FUNCTION = 2
DISTANCES = {2, 4}
"""R_X86_64_PC32 and R_X86_64_PLT32: S + A - P, 32 bits."""
MOST = 4096
"""The greatest alignment: images begin at a page of the host."""


class Image(Struct, frozen=True):
    """Code as it lies in memory, and how far from its beginning functions are."""

    code: bytes
    offsets: dict[str, int]


class Patch(Struct, frozen=True):
    """A place in code that depends on the address of a symbol: the type of its relocation, and the addend."""

    at: int
    type: int
    symbol: str
    addend: int


class Piece(Struct, frozen=True):
    """A function of an object by itself."""

    code: bytes
    patches: tuple[Patch, ...]


class _Strange(Exception):
    """Something that is not linked here."""


def linked(code: bytes, symbols: Sequence[str]) -> Image | None:
    """The image of an object; None if LLVM must link it."""
    if platform.machine() not in ("x86_64", "AMD64") or not hasattr(mmap, "PROT_EXEC"):
        return None
    try:
        return _linked(code, symbols)
    except (_Strange, struct.error):
        return None


def pieces(code: bytes) -> dict[str, Piece]:
    """The functions of an object by name, as it has them, not linked.  There are none if it is not one of this host."""
    try:
        return _pieces(code)
    except (_Strange, struct.error):
        return {}


def _sections(code: bytes) -> list[tuple[int, ...]]:
    ident, kind, machine, _, _, _, table, _, _, _, _, _, count, _ = HEAD.unpack_from(code)
    if ident[:6] != ELF64_LITTLE or (kind, machine) != (RELOCATABLE, X86_64):
        raise _Strange
    return [SECTION.unpack_from(code, table + i * SECTION.size) for i in range(count)]


def _pieces(code: bytes) -> dict[str, Piece]:
    sections = _sections(code)
    names: list[str] = []
    functions: dict[str, tuple[int, int, int]] = {}
    patches: dict[int, list[Patch]] = {}
    for _, type_, _, _, at, size, strings, _, _, _ in sections:
        if type_ == SYMTAB:
            named = sections[strings][4]
            for name, what, _, where, value, length in SYMBOL.iter_unpack(code[at : at + size]):
                names.append(code[named + name : code.index(b"\0", named + name)].decode())
                if what & 0xF == FUNCTION:
                    functions[names[-1]] = (where, value, length)
    for _, type_, _, _, at, size, _, into, _, _ in sections:
        if type_ == RELA:
            patches[into] = [
                Patch(where, what & 0xFFFFFFFF, names[what >> 32], addend)
                for where, what, addend in RELOCATION.iter_unpack(code[at : at + size])
            ]
    found = {}
    for name, (where, first, length) in functions.items():
        start = sections[where][4] + first
        mine = (p for p in patches.get(where, ()) if first <= p.at < first + length)
        found[name] = Piece(code[start : start + length], tuple(replace(p, at=p.at - first) for p in mine))
    return found


def _linked(code: bytes, symbols: Sequence[str]) -> Image:
    sections = _sections(code)
    image, places = bytearray(), dict[int, int]()
    for i, (_, type_, flags, _, at, size, _, _, alignment, _) in enumerate(sections):
        if not flags & ALLOCATED:
            continue
        if type_ != PROGBITS or alignment > MOST:
            raise _Strange
        image += bytes(-len(image) % max(alignment, 1))
        places[i] = len(image)
        image += code[at : at + size]
    offsets: dict[str, int] = {}
    for section in sections:
        _, type_, _, _, at, size, strings, into, _, _ = section
        if type_ == SYMTAB:
            named = sections[strings][4]
            for name, _, _, where, value, _ in SYMBOL.iter_unpack(code[at : at + size]):
                if where in places:
                    end = code.index(b"\0", named + name)
                    offsets[code[named + name : end].decode()] = places[where] + value
        elif type_ == RELA and into in places:
            known = sections[strings]
            for where, what, addend in RELOCATION.iter_unpack(code[at : at + size]):
                _, _, _, there, value, _ = SYMBOL.unpack_from(code, known[4] + (what >> 32) * SYMBOL.size)
                if what & 0xFFFFFFFF not in DISTANCES or there not in places:
                    raise _Strange
                place = places[into] + where
                DISTANCE.pack_into(image, place, places[there] + value + addend - place)
    if not set(symbols) <= set(offsets):
        raise _Strange
    return Image(bytes(image), {symbol: offsets[symbol] for symbol in symbols})


class Code:
    """An image in memory, where it can be executed and no longer be written."""

    def __init__(self, image: bytes) -> None:
        size = max(-(-len(image) // mmap.PAGESIZE), 1) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._memory[: len(image)] = image
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        if _protect()(ctypes.c_void_p(self.address), ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "memory cannot be made executable")


@cache
def _protect() -> Callable[[ctypes.c_void_p, ctypes.c_size_t, int], int]:
    return ctypes.CDLL(None, use_errno=True).mprotect
