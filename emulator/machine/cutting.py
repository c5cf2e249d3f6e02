"""Stencils as they are kept and copied: their code, and the steps that fill its holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emulator.codegen.agreed import BAIL, NEXT, SHORT
from emulator.codegen.layout import Place
from emulator.codegen.steps import COPIED, ENDS, FALLS, Step, described, step, steps, uncopied
from emulator.machine.linking import DISTANCE, DISTANCES, Piece

PUT = {1: Step.PUT64, 10: Step.PUT32, 11: Step.SIGNED32, 12: Step.PUT16, 14: Step.PUT8}
"""How a number is written: R_X86_64_64, 32, 32S, 16 and 8."""
JUMP = 0xE9
LARGE = 400
"""Bytes: a larger stencil gains nothing by being copied."""


class _Strange(Exception):
    """It is not to be copied."""


def cut(
    piece: Piece,
    numbers: Mapping[str, str],
    exits: Mapping[str, str],
    never: Sequence[str],
    operands: Mapping[str, Place],
    length: int,
) -> bytes:
    """A stencil of an instruction of some units, with the formulas of its holes and of the addresses that it goes to by
    symbol, and of what must not be.  It says that it cannot be copied if it has tables, or is too large."""
    try:
        return _cut(piece, numbers, exits, never, operands, length)
    except _Strange:
        return uncopied(length)


def _cut(
    piece: Piece,
    numbers: Mapping[str, str],
    exits: Mapping[str, str],
    never: Sequence[str],
    operands: Mapping[str, Place],
    length: int,
) -> bytes:
    def formula(text: str) -> bytes:
        found = steps(text, operands)
        if found is None:
            raise _Strange
        return found

    code, rare = bytearray(piece.code), {BAIL: Step.BAIL, SHORT: Step.SHORT}
    goes = [p for p in piece.patches if p.type in DISTANCES and p.addend == -DISTANCE.size]
    last = max(goes, key=lambda p: p.at, default=None)
    tail = None
    if last is not None and last.at == len(code) - DISTANCE.size and code[last.at - 1] == JUMP:
        tail = last if last.symbol in {NEXT, *exits} else None
    if tail is not None:
        del code[-DISTANCE.size - 1 :]
    if len(code) > LARGE:
        raise _Strange
    program = [formula(text) + step(Step.REFUSE) for text in never]
    ways = []
    for patch in piece.patches:
        if patch is tail:
            continue
        if patch in goes and patch.symbol == NEXT:
            DISTANCE.pack_into(code, patch.at, len(code) - patch.at - DISTANCE.size)
        elif patch in goes and patch.symbol in exits:
            ways.append(formula(exits[patch.symbol]) + step(Step.WAY, patch.at))
        elif patch in goes and patch.symbol in rare:
            ways.append(step(rare[patch.symbol], patch.at))
        elif patch.type in PUT and patch.symbol in numbers:
            more = step(Step.NUMBER, 0, patch.addend) + step(Step.ADD) if patch.addend else b""
            program.append(formula(numbers[patch.symbol]) + more + step(PUT[patch.type], patch.at))
        else:
            raise _Strange
    if tail is not None and tail.symbol in exits:
        ways.append(formula(exits[tail.symbol]) + step(Step.TAIL, len(code)))
    falls = any(patch.symbol == NEXT for patch in goes)
    flags = COPIED | (FALLS if falls else 0) | (ENDS if exits or not falls else 0)
    return described(bytes(code), length, flags, [*program, *ways])
