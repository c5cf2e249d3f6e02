"""What a copier does with a stencil: its code, and the steps that write numbers into the holes.

A *formula* is text in postfix notation: numbers, names, operators of `OPERATORS`, `s8` for what is taken as a signed
number of 8 bits.  All of it is computed modulo 2**64.  It becomes steps of a machine with a stack; other steps take
what is on top of it and put it into the copy.

A stencil in memory is a head, its code, and the steps, up to `END`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum

from emulator.codegen.layout import Place

DEPTH = 64
"""Numbers on the stack."""


class Step(IntEnum):
    """A step; `at` is a place in the code, in the arguments or in the record, and `number` a number."""

    END = 0
    NUMBER = 1  # puts a number on the stack
    ARGUMENT = 2  # an argument
    BYTES1 = 3  # an operand, from the record
    BYTES2 = 4
    BYTES4 = 5
    BYTES8 = 6
    SIGNED = 7  # the lowest 64 - `number` bits, as a signed number
    ADD = 8
    SUB = 9
    MUL = 10
    AND = 11
    OR = 12
    XOR = 13
    SHL = 14
    LSHR = 15
    ASHR = 16
    EQ = 17
    LT = 18
    LE = 19
    SLT = 20
    SLE = 21
    IF = 22  # the second or the third, as the first is 1 or 0
    PUT64 = 23  # into the code
    PUT32 = 24  # what is extended with zeros
    SIGNED32 = 25
    PUT16 = 26
    PUT8 = 27
    REFUSE = 28  # this instruction is not copied, if it is not 0
    WAY = 29  # the distance there leads to an address
    TAIL = 30  # and so does a jump that is put behind the code
    BAIL = 31  # the distance there leads to the handler
    SHORT = 32  # it leads out of the copy, for the budget is not enough


OPERATORS = {
    "add": Step.ADD,
    "sub": Step.SUB,
    "mul": Step.MUL,
    "and": Step.AND,
    "or": Step.OR,
    "xor": Step.XOR,
    "shl": Step.SHL,
    "lshr": Step.LSHR,
    "ashr": Step.ASHR,
    "eq": Step.EQ,
    "ult": Step.LT,
    "ule": Step.LE,
    "slt": Step.SLT,
    "sle": Step.SLE,
    "if": Step.IF,
}
BYTES = {1: Step.BYTES1, 2: Step.BYTES2, 4: Step.BYTES4, 8: Step.BYTES8}
ARGUMENTS = ("pc", "left", "disp", "origin")
"""What holes are made of besides operands: an address; the steps that a copy takes behind an instruction, or to take or
to give back; how far the record of the address is from the first one of its page; where a jump comes from."""

STEP = struct.Struct("<IIQ")
HEAD = struct.Struct("<IIII")
"""The bytes of the code, the units of the instruction, what is known of it, the bytes up to the steps."""

COPIED, FALLS, ENDS, ABSENT = 1, 2, 4, 8
"""It can be copied; control may go on behind it; no copy goes on behind it; it was not made yet."""


def step(what: Step, at: int = 0, number: int = 0) -> bytes:
    return STEP.pack(what, at, number & 0xFFFFFFFFFFFFFFFF)


def steps(formula: str, operands: Mapping[str, Place]) -> bytes | None:
    """The steps that compute a formula; None if they need more than there is room for.

    >>> place = Place(24, 1)
    >>> [STEP.unpack_from(steps("pc o0 add", {"o0": place}), 16 * i)[:2] for i in range(3)]
    [(2, 0), (3, 24), (8, 0)]
    """
    out, depth, most = [], 0, 0
    for word in formula.split():
        operator = OPERATORS.get(word)
        if operator is not None:
            depth -= 2 if operator is Step.IF else 1
            out.append(step(operator))
        elif word.isdecimal():
            depth += 1
            out.append(step(Step.NUMBER, 0, int(word)))
        elif word in operands:
            depth += 1
            out.append(step(BYTES[operands[word].bytes], operands[word].offset))
        elif word in ARGUMENTS:
            depth += 1
            out.append(step(Step.ARGUMENT, 8 * ARGUMENTS.index(word)))
        else:
            out.append(step(Step.SIGNED, 0, 64 - int(word[1:])))
        most = max(most, depth)
    return b"".join(out) if most <= DEPTH else None


def described(code: bytes, length: int, flags: int, program: Sequence[bytes]) -> bytes:
    """A stencil as it lies in memory."""
    body = code + bytes(-len(code) % 8)
    return HEAD.pack(len(code), length, flags, HEAD.size + len(body)) + body + b"".join(program) + step(Step.END)


def uncopied(length: int, flags: int = ENDS) -> bytes:
    """What there is of an instruction that has no stencil."""
    return described(b"", length, flags, [])
