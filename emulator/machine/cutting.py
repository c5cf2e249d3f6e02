"""Stencils as they are copied: their code, and what writes numbers into its holes.

The formulas of a stencil become one Python function, which is compiled once and fills all of its holes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from emulator.codegen.agreed import COPIED
from emulator.codegen.values import known, ones, signed
from emulator.machine.linking import DISTANCES, Piece

FORMATS = {
    1: "pack64(out, at + {at}, {number} & ALL)",
    10: "pack32(out, at + {at}, {number})",
    11: "signed32(out, at + {at}, {number})",
    12: "any16(out, at + {at}, {number})",
    14: "any8(out, at + {at}, {number})",
}
"""How a number is written: R_X86_64_64, 32, 32S, 16 and 8."""
JUMP = 0xE9
LARGE = 400
"""Bytes: a larger stencil gains nothing by being copied."""

Fill = Callable[..., tuple[int, ...]]


class Cut(Struct, frozen=True):
    """Code with holes.

    `fill(out, at, *arguments)` writes the numbers into a copy that begins `at` some offset, and returns the addresses
    that the stencil goes to; it raises `Misfit`, or `struct.error` for a number that has no room.  `goes` has the
    places of distances: to a symbol, or to the address of that number.  `falls`: control may go on behind it; `tail` is
    the number of the address that it goes to at its end, if it does.  `jumps`: it goes to some address.
    """

    code: bytes
    fill: Fill
    goes: tuple[tuple[int, str | int], ...]
    falls: bool
    tail: int | None
    jumps: bool


class Misfit(Exception):
    """An instruction that is not as its stencil wants it."""


def cut(
    piece: Piece,
    numbers: Mapping[str, str],
    exits: Mapping[str, str],
    never: Sequence[str],
    arguments: Sequence[str],
) -> Cut | None:
    """A stencil of `arguments`, with the formulas of its holes and of the addresses that it goes to by symbol, and of
    what must not be; None if it is not to be copied at all: it has tables, or is too large."""
    code, goes = piece.code, []
    lines = [line for formula in never for line in (f"    if {formula}:", "        raise Misfit")]
    order = list(exits)
    for patch in piece.patches:
        if patch.type in DISTANCES and patch.addend == -4 and patch.symbol in {*COPIED, *order}:
            goes.append((patch.at, order.index(patch.symbol) if patch.symbol in exits else patch.symbol))
        elif patch.type in FORMATS and patch.symbol in numbers:
            more = f" + {patch.addend}" if patch.addend else ""
            lines.append("    " + FORMATS[patch.type].format(at=patch.at, number=f"({numbers[patch.symbol]}{more})"))
        else:
            return None
    falls = any(target == COPIED[0] for _, target in goes)
    tail = None
    if goes and goes[-1][0] == len(code) - 4 and code[-5] == JUMP:
        if goes[-1][1] == COPIED[0]:
            del goes[-1]
            code = code[:-5]
        elif isinstance(goes[-1][1], int):
            tail = goes.pop()[1]
            code = code[:-5]
    if len(code) > LARGE:
        return None
    where = "".join(f"{exits[symbol]}, " for symbol in order)
    text = "\n".join([f"def fill({', '.join(['out', 'at', *arguments])}):", *lines, f"    return ({where})"])
    names: dict[str, object] = dict(NAMES)
    exec(compile(text, "<stencil>", "exec"), names)
    fill = names["fill"]
    assert callable(fill)
    return Cut(code, fill, tuple(goes), falls, tail, bool(exits))  # type: ignore[arg-type]


def _fitting(format_: str, low: int, mask: int) -> Callable[[bytearray, int, int], None]:
    pack = struct.Struct(format_).pack_into

    def put(out: bytearray, at: int, number: int) -> None:
        pack(out, at, number & mask if low <= number < 0 else number)

    return put


NAMES: dict[str, object] = {
    "pack64": struct.Struct("<Q").pack_into,
    "pack32": struct.Struct("<I").pack_into,
    "signed32": struct.Struct("<i").pack_into,
    "any16": _fitting("<H", -ones(15) - 1, ones(16)),
    "any8": _fitting("<B", -ones(7) - 1, ones(8)),
    "known": known,
    "signed": signed,
    "ALL": ones(64),
    "Misfit": Misfit,
}
