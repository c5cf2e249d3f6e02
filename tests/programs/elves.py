"""ELF files made by hand."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    address: int
    data: bytes
    size: int | None = None
    physical: int | None = None


def elf(
    segments: list[Segment],
    entry: int = 0,
    *,
    machine: int = 243,
    bits: int = 64,
    order: str = "little",
    kind: int = 2,
    symbols: dict[str, int] | None = None,
) -> bytes:
    """An executable with these loadable segments, and with a symbol table if there are symbols."""
    e = "<" if order == "little" else ">"
    wide = bits == 64
    header, program, section = (64, 56, 64) if wide else (52, 32, 40)
    word = "Q" if wide else "I"
    table = b""
    at = header + program * len(segments)
    contents = b""
    for segment in segments:
        size = len(segment.data) if segment.size is None else segment.size
        physical = segment.address if segment.physical is None else segment.physical
        offset = at + len(contents)
        if wide:
            table += struct.pack(e + "IIQQQQQQ", 1, 7, offset, segment.address, physical, len(segment.data), size, 1)
        else:
            table += struct.pack(e + "IIIIIIII", 1, offset, segment.address, physical, len(segment.data), size, 7, 1)
        contents += segment.data
    sections, count, names = b"", 0, 0
    if symbols:
        strings = b"\0" + b"".join(name.encode() + b"\0" for name in symbols)
        entries = bytes(24 if wide else 16)
        for name, value in symbols.items():
            where = strings.index(b"\0" + name.encode() + b"\0") + 1
            if wide:
                entries += struct.pack(e + "IBBHQQ", where, 0x12, 0, 1, value, 0)
            else:
                entries += struct.pack(e + "IIIBBH", where, value, 0, 0x12, 0, 1)
        titles = b"\0.symtab\0.strtab\0.shstrtab\0"
        base = at + len(contents)
        contents += entries + strings + titles
        kinds = [
            (0, 0, 0, 0, 0, 0),
            (1, 2, base, len(entries), 2, 24 if wide else 16),
            (9, 3, base + len(entries), len(strings), 0, 0),
            (17, 3, base + len(entries) + len(strings), len(titles), 0, 0),
        ]
        for name, type_, offset, size, link, each in kinds:
            sections += struct.pack(e + f"II{word * 4}II{word * 2}", name, type_, 0, 0, offset, size, link, 0, 1, each)
        count, names = len(kinds), 3
    identity = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "little" else 2, 1)) + bytes(9)
    where = at + len(contents) if count else 0
    head = struct.pack(
        e + f"HHI{word * 3}IHHHHHH",
        *(kind, machine, 1, entry, header if segments else 0, where, 0),
        *(header, program, len(segments), section, count, names),
    )
    return identity + head + table + contents + sections
