"""Assembly text of an instruction, from its syntax."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from typing import assert_never

from analyzer import ir
from emulator.decode import Decoded, completed
from emulator.evaluate import Environment, constant_operands, made, signed

EMPTY_SET = "0"
"""How a `set` without members is written."""


def disassemble(isa: ir.Isa, decoded: Decoded, address: int = 0) -> str:
    """The text of an instruction that stands at `address` (in units; relative operands show the address they mean)."""
    return show(isa, decoded.instruction, decoded.operands, address)


def show(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int], address: int = 0) -> str:
    """The text of an instruction with these operands; missing ones are 0 or the prefix's default."""
    given = constant_operands(completed(isa, instruction, operands))
    text = _render(isa, instruction.syntax, given, address, "")
    return re.sub(r"\s+", " ", text).strip()


def _render(isa: ir.Isa, syntax: ir.Syntax, operands: Environment, address: int, before: str) -> str:
    """`before` with the text of `syntax` after it."""
    text = before
    for piece in syntax:
        match piece:
            case ir.Text():
                text += piece.text
            case ir.Show():
                shown = _shown(isa, piece, operands, address)
                # A signed number after a word would be read as part of it: `r1` and 5 make `r1+5`.
                plus = piece.style == "signed" and shown[0].isdigit() and re.search(r"\w$", text)
                text += f"+{shown}" if plus else shown
            case ir.Choose():
                for cond, arm in piece.arms:
                    if made(cond, isa)(operands, {}):
                        text = _render(isa, arm, operands, address, text)
                        break
            case _:
                assert_never(piece)
    return text


def _shown(isa: ir.Isa, piece: ir.Show, operands: Environment, address: int) -> str:
    value, width = int(made(piece.expr, isa)(operands, {})), ir.width(piece.expr) or 1
    match piece.style:
        case "decimal":
            return str(value)
        case "signed":
            return str(signed(value, width))
        case "hex":
            return hex(value)
        case "octal":
            return f"{value:o}"
        case "relative":
            return hex(relative_target(isa, piece, value, operands, address))
        case "names":
            return distinct(piece.names).get(value, hex(value))
        case "set":
            members = [i for i in range(width) if value >> i & 1]
            names = distinct(piece.names)
            if not all(i in names for i in members):
                return hex(value)
            return "/".join(names[i] for i in members) or EMPTY_SET
        case _:
            assert_never(piece.style)


@functools.lru_cache(maxsize=1000)
def distinct(names: tuple[str, ...]) -> Mapping[int, str]:
    """The names by value.  What two values share names neither of them.

    >>> dict(distinct(("es", "cs", "-", "-")))
    {0: 'es', 1: 'cs'}
    """
    times = Counter(names)
    return {value: name for value, name in enumerate(names) if name and times[name] == 1}


def relative_target(isa: ir.Isa, piece: ir.Show, value: int, operands: Environment, address: int) -> int:
    """The address that a `relative` operand means; addresses wrap at the width of the program counter."""
    base = 0 if piece.base is None else made(piece.base, isa)(operands, {})
    wrap = (1 << isa.elements[isa.fetch.pc].width) - 1
    return address + base + signed(value, ir.width(piece.expr) or 1) * piece.scale & wrap
