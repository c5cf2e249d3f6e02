"""Units as hexadecimal text, and back to assembly: what `popek asm --hex` writes and `popek disasm` reads.

@000010 3d 01    units from an address on
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analyzer import ir
from analyzer.errors import UsageError
from emulator.decode import Decoded, decode_units
from emulator.disassemble import disassemble
from emulator.program import Program

LONGEST = 64
"""Units that are looked at for one instruction."""


def to_hex(program: Program) -> str:
    """The units of a program in hex, a line for each run of addresses without a gap."""
    digits = (program.unit + 3) // 4
    lines: list[str] = []
    last: int | None = None
    for address in sorted(program.cells):
        if last is None or address != last + 1:
            lines.append(f"@{address:06x}")
        lines[-1] += f" {program.cells[address]:0{digits}x}"
        last = address
    return "".join(f"{line}\n" for line in lines)


def read_hex(isa: ir.Isa, words: Iterable[str], origin: int = 0) -> Mapping[int, int]:
    """Units by address.  A word with more digits than a unit has is several units, in the order written.

    Raises:
        UsageError: a word is not hexadecimal, or no whole number of units.
    """
    digits = (isa.unit + 3) // 4
    cells: dict[int, int] = {}
    address = origin
    for word in words:
        text = word.removeprefix("@").removeprefix("0x").replace("_", "")
        try:
            value = int(text, 16)
        except ValueError:
            raise UsageError(f"{word} is not hexadecimal") from None
        if word.startswith("@"):
            address = value
            continue
        if len(text) > digits and len(text) % digits:
            raise UsageError(f"{word} is no whole number of units of {isa.unit} bits", f"a unit has {digits} digits")
        for i in range(0, len(text), digits):
            unit = int(text[i : i + digits], 16)
            if unit >> isa.unit:
                raise UsageError(f"{text[i : i + digits]} does not fit in the {isa.unit} bits of a unit")
            cells[address] = unit
            address += 1
    return cells


def disassembly(isa: ir.Isa, cells: Mapping[int, int]) -> tuple[str, int]:
    """Units as a listing, and how many of them are no instruction."""
    digits = (isa.unit + 3) // 4
    lines: list[str] = []
    undefined = 0
    addresses = sorted(cells)
    address = addresses[0] if addresses else 0
    while addresses and address <= addresses[-1]:
        if address not in cells:
            address = next(a for a in addresses if a > address)
        decoded = _at(isa, cells, address)
        length = 1 if decoded is None else decoded.length
        units = " ".join(f"{cells[address + i]:0{digits}x}" for i in range(length))
        text = "; no instruction" if decoded is None else disassemble(isa, decoded, address)
        undefined += decoded is None
        lines.append(f"{address:06x}  {units:<24}  {text}\n")
        address += length
    return "".join(lines), undefined


def _at(isa: ir.Isa, cells: Mapping[int, int], address: int) -> Decoded | None:
    """The instruction at an address, if all of it is there."""
    units: list[int] = []
    while address + len(units) in cells and len(units) < LONGEST:
        units.append(cells[address + len(units)])
    decoded = decode_units(isa, units) if units else None
    return decoded if decoded is not None and decoded.length > 0 else None
