"""Programs from files.

| format | file | what is in it |
|---|---|---|
| `asm` | `.s .asm` | assembly source |
| `hex` | `.hex` | units in hexadecimal, as `popek asm --hex` writes them |
| `elf` | begins with 7F `ELF` | an executable; the board says for which architecture |
| `raw` | all others | units from the board's load address on |

In a raw file a unit that is no byte takes the fewest whole bytes, the most significant first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analyzer import ir
from analyzer.errors import AssemblyError, Diagnostic, UsageError
from analyzer.source import Source
from emulator.elf import MAGIC, ElfTarget, read_elf
from emulator.piece import Image, Piece

if TYPE_CHECKING:
    from emulator.program import Program

Format = Literal["asm", "hex", "elf", "raw"]
FORMATS: tuple[Format, ...] = ("asm", "hex", "elf", "raw")
SUFFIXES: Mapping[str, Format] = {".s": "asm", ".asm": "asm", ".hex": "hex"}

LARGEST = 1 << 30
"""Bytes of a file that is loaded."""
LARGEST_TEXT = 1 << 26
"""Bytes of a file that is assembled, or written in hexadecimal."""


def load_image(isa: ir.Isa, path: Path, base: int, target: ElfTarget | None, format_: Format | None = None) -> Image:
    """The program in a file; `base` is where it goes if it does not say so itself.

    Raises:
        AssemblyError: source that does not assemble (PG50x), or a file that is no program for the machine (PG51x).
        OSError: the file cannot be read.
    """
    image = _image(isa, path, base, target, format_)
    if not any(piece.end > piece.address for piece in image.pieces):
        raise unfit("PG514", path, "the program is empty")
    return image


def _image(isa: ir.Isa, path: Path, base: int, target: ElfTarget | None, format_: Format | None) -> Image:
    named = format_ or SUFFIXES.get(path.suffix.lower())
    data = content(path, LARGEST_TEXT if named in ("asm", "hex") else LARGEST)
    chosen = named or ("elf" if data[:4] == MAGIC else "raw")
    match chosen:
        case "asm":
            return of_program(assembled(isa, path, data, base))
        case "hex":
            from emulator.listing import read_hex

            try:
                return of_cells(read_hex(isa, text_of(path, data).split(), base))
            except UsageError as error:
                raise unfit("PG514", path, str(error), error.hint) from None
        case "elf":
            if target is None:
                hint = "a board with an `[elf]` table says which executables it runs"
                raise unfit("PG511", path, f"the board does not say which ELF files are for {isa.name}", hint)
            return read_elf(path, data, target, isa.unit)
        case "raw":
            return Image((Piece(base, raw_units(isa, path, data)),), base)


def assembled(isa: ir.Isa, path: Path, data: bytes, base: int) -> Program:
    """The program of an assembly file; `.include` looks beside it."""
    from emulator.program import assemble

    def read(name: str) -> Source:
        beside = path.parent / name
        return Source(str(beside), content(beside, LARGEST_TEXT).decode("utf-8-sig"))

    return assemble(isa, text_of(path, data), base, str(path), read=read)


def content(path: Path, most: int) -> bytes:
    """What is in a file, which may be a pipe or a device.

    Raises:
        AssemblyError: PG514, it has more than `most` bytes.
        OSError: it cannot be read.
    """
    pieces, left = [], most
    with path.open("rb") as file:
        while piece := file.read(min(left + 1, 1 << 24)):
            left -= len(piece)
            if left < 0:
                raise unfit("PG514", path, f"the file is larger than {most >> 20} MiB")
            pieces.append(piece)
    return b"".join(pieces)


def text_of(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unfit("PG514", path, f"this is no UTF-8 text: {error.reason} at byte {error.start}") from None


def of_program(program: Program) -> Image:
    """An assembled program as an image."""
    image = of_cells(program.cells)
    return Image(image.pieces, program.entry, program.labels, program.starts)


def of_cells(cells: Mapping[int, int]) -> Image:
    """Units by address as an image that begins at the lowest one."""
    pieces: list[tuple[int, list[int]]] = []
    for address in sorted(cells):
        if not pieces or address != pieces[-1][0] + len(pieces[-1][1]):
            pieces.append((address, []))
        pieces[-1][1].append(cells[address])
    return Image(tuple(Piece(at, units) for at, units in pieces), pieces[0][0] if pieces else 0)


def raw_units(isa: ir.Isa, path: Path, data: bytes) -> Sequence[int]:
    """The units in a file of nothing else."""
    if isa.unit == 8:
        return data
    each = (isa.unit + 7) // 8
    if len(data) % each:
        raise unfit("PG514", path, f"{len(data)} bytes are no whole number of units of {isa.unit} bits")
    units = [int.from_bytes(data[i : i + each], "big") for i in range(0, len(data), each)]
    large = next((i for i, unit in enumerate(units) if unit >> isa.unit), None)
    if large is not None:
        raise unfit("PG514", path, f"unit {large} does not fit in {isa.unit} bits: {units[large]:#x}")
    return units


def unfit(code: str, path: Path, message: str, hint: str | None = None) -> AssemblyError:
    """The error of a file that cannot be loaded."""
    return AssemblyError(Diagnostic(code, f"{path}: {message}", hint=hint))
