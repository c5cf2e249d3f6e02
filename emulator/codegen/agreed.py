"""What generated code and its driver agree on: why it comes back, how things are numbered, the table of variants.

Nothing here writes code, so a machine whose code was kept needs this and none of the writers.
"""

from __future__ import annotations

from enum import IntEnum

from analyzer import ir
from emulator.codegen.plan import blocks

BACK = 8
"""What a jump back counts; one forward counts 1."""

EXECUTED = 1 << 10
"""Entries of the table of executed words: a word, how it is executed (0: none), its record, nothing; 64 bits each."""

KEYS = 1 << 14
"""Entries of the table of variants: a key (0: none) and a number, 64 bits each; two thirds of it are used at most."""

MIX = 0x9E3779B97F4A7C15


NEXT, BAIL, SHORT = "next", "bail", "short"
"""Where stencils go: on behind them, to the handler of their instruction, and out of the beginning of a copy."""
COPIED = (NEXT, BAIL, SHORT)

GLUE = ("counted", "enter", "begin", "short", "bail", "near", "far")
"""What stands between stencils."""


class Leave(IntEnum):
    """Why generated code came back to the driver."""

    BUDGET = 1
    DECODE = 2  # the record at `record` must be decoded
    PAGE = 3  # the program counter is in no known page of code
    CONTEXT = 4  # the context of the state is not known
    ATTEND = 5  # a wire, a deadline, or a device that failed
    HALTED = 6  # info0: the number of the element
    UNDELIVERED = 7  # info0: the number of the trap
    DOUBLE_FAULT = 8  # info0: the number of the trap
    HOT = 9  # the record at `record` was jumped to often
    REFERENCE = 10  # the reference must execute the instruction
    STOP = 11  # a callback broke: nothing of the instruction is left
    UNDEFINED = 12
    EXECUTE = 13  # an instruction executes the word in info0, which has no record yet; info1: `executing`


def memories(isa: ir.Isa) -> list[str]:
    """The memories of an Isa; generated code names them by number."""
    return [name for name, space in isa.spaces.items() if isinstance(space, ir.Memory)]


Functions = list[tuple[str, int, int]]
"""Unspecified functions: name, number of arguments, width."""

_unspecified: dict[int, tuple[ir.Isa, Functions]] = {}


def recall(isa: ir.Isa, functions: Functions) -> None:
    """Spares `unspecified` the search: this is what it found in the Isa before."""
    _unspecified[id(isa)] = (isa, functions)


def unspecified(isa: ir.Isa) -> Functions:
    """The unspecified functions of an Isa."""
    known = _unspecified.get(id(isa))
    if known is not None and known[0] is isa:
        return known[1]
    exprs = [e for block in blocks(isa) for stmt in ir.statements(block) for e in ir.expressions(stmt)]
    exprs += [e for i in isa.interrupts for e in (i.cond, *i.args)]
    exprs += [e for trap in isa.traps.values() for _, e in trap.attributes]
    exprs += [p.default for s in isa.spaces.values() if isinstance(s, ir.Map | ir.Bus) for p in s.params if p.default]
    found = {
        (term.name, len(term.args), term.width): None
        for expr in exprs
        for term in ir.subterms(expr)
        if isinstance(term, ir.Arbitrary)
    }
    recall(isa, sorted(found))
    return _unspecified[id(isa)][1]


def executing(length: int, depth: int, bits: int) -> int:
    """How a word of `bits` bits is executed: by an instruction of `length` units, so deep."""
    return length | depth << 8 | bits << 16


def executed(how: int) -> tuple[int, int, int]:
    """Length, depth and bits.

    >>> executed(executing(4, 1, 48))
    (4, 1, 48)
    """
    return how & 0xFF, how >> 8 & 0xFF, how >> 16


def contextual(isa: ir.Isa) -> bool:
    """Whether encodings depend on the state: then they are decoded anew each time, and there is no decoder."""
    return any(
        isinstance(term, ir.Get | ir.GetEntry)
        for instruction in isa.instructions
        if instruction.where is not None
        for term in ir.subterms(instruction.where)
    )


def probe(keys: memoryview, key: int) -> int:
    """The index in a table (as words) where a key is or belongs."""
    i = (key * MIX & 0xFFFFFFFFFFFFFFFF) >> 64 - KEYS.bit_length() + 1
    while keys[2 * i] not in (0, key):
        i = i + 1 & KEYS - 1
    return i


def place(keys: memoryview, key: int, number: int) -> None:
    """Enters a variant's number."""
    i = probe(keys, key)
    keys[2 * i], keys[2 * i + 1] = key, number
