"""Where everything lies: the run-time state, the records of decoded instructions, the translation caches.

The run-time state is one block of memory that all generated code gets a pointer to (`st`).  First come the words that
the run time needs, then the elements and files of the spec, a slot of 64 bits (or as many as it takes) for each element
and each entry; a file has one slot more, which takes the writes that have no effect.

A *record* stands for one parcel of a page of code: what to run when control falls into it, what to run when it jumps
there, the variant of the handler, a count of the jumps, and the operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct

from analyzer import ir
from emulator.interface import Ram
from emulator.storage import cell_bytes

WORD = 8

FOUND = (
    "slowly",  # the driver decodes
    "exit_",
    "exit_budget",
    "lookup",
    "check",
    "attend",
    "interpret",
    "raise_",
    "rollback",
    "flush",
    "narrow",
)
"""The routines of every run time that other code finds by words of the state."""

WORDS = (
    "budget",  # steps left, at entry and exit
    "total",  # steps at which the budget is spent
    "lost",  # steps that retired nothing
    "reason",
    "info0",
    "info1",
    "record",  # of the instruction at which control left
    "trap",  # the kind that a routine raised
    "event",  # the kind of trap that the shared delivery delivers
    "nest",  # traps that deliveries have raised so far
    "result",
    "result1",
    "journal",  # the end of the journal, and its beginning
    "journal0",
    "journal1",  # past its last entry
    "calm",  # no interrupt condition can hold, whatever the elements say that change often
    "attention",  # something waits for the end of the instruction
    "itlb",
    "dtlb",
    "key",  # of the present context
    "contexts",
    "generation",  # of the translations
    "flushed",  # since the last instruction
    "marks",
    "newmarks",  # a table was found on a line that had no mark
    "clean",  # the first address of units that have no marks
    "room",  # accesses of `plan.SPAN` units may begin in so many units from there on
    "variants",  # handlers by number
    "keys",  # numbers by what a variant is
    "executed",  # records by words that instructions execute
    "counter",  # what a jump to a record meets first; 0: its handler
    "threshold",
    "young",  # the count that records begin with, shifted by 32
    "broken",  # a callback did not answer, but ended with an exception
    "device_read",  # called back
    "device_write",
    "code_written",
    "arbitrary",
    "decode",  # the decoder, if there is one
    *FOUND,
    "work",  # loop rounds that an instruction may take
)

ROUTINES = 96
"""The least number of words for the addresses of routines that depend on the spec: three of a space, one of a trap."""
ARGUMENTS = 16
"""The least number of words for the arguments of traps, and of unspecified functions."""


class Bank(Struct, frozen=True):
    """The RAM that generated code reaches by itself: units `base` to `base + size` of `memory`."""

    memory: str
    base: int
    size: int
    cell: int  # bytes

    @staticmethod
    def of(isa: ir.Isa, regions: Sequence[Ram]) -> Bank:
        """The largest region of RAM of the memory that instructions come from."""
        space = isa.spaces[isa.fetch.space]
        while not isinstance(space, ir.Memory):
            space = isa.spaces[space.below] if isinstance(space, ir.Map) else _beneath(isa, space)
        mine = [region for region in regions if region.memory == space.name]
        if not mine:
            return Bank(space.name, 0, 0, cell_bytes(space.unit))
        largest = max(mine, key=lambda region: region.size)
        return Bank(space.name, largest.base, largest.size, cell_bytes(space.unit))


def _beneath(isa: ir.Isa, bus: ir.Bus) -> ir.Space:
    """The space that a bus reads when no register answers."""
    for stmt in ir.statements(bus.read.body):
        if isinstance(stmt, ir.Load):
            return isa.spaces[stmt.access.space]
    return next(space for space in isa.spaces.values() if isinstance(space, ir.Memory))


class Layout:
    """The offsets in the run-time state of an Isa."""

    def __init__(self, isa: ir.Isa) -> None:
        self.isa = isa
        self.words = {name: i * WORD for i, name in enumerate(WORDS)}
        at = len(WORDS) * WORD
        self.arguments = at
        at += max([ARGUMENTS, *(len(kind.params) for kind in isa.traps.values())]) * WORD
        self.event = at  # what a delivery may ask of a trap
        at += len({n for trap in isa.traps.values() for n, _ in (*trap.params, *trap.attributes)}) * WORD
        self.routines = at
        at += max(ROUTINES, 3 * len(isa.spaces) + len(isa.traps)) * WORD
        self.elements: dict[str, int] = {}
        for element in isa.elements.values():
            self.elements[element.name] = at
            at += slot(element.width)
        self.files: dict[str, int] = {}
        for file in isa.files.values():
            self.files[file.name] = at
            at += slot(file.width) * (file.size + 1)
        self.size = (at + 63) // 64 * 64

    def entry(self, file: ir.File, index: int) -> int:
        """The offset of an entry; that of the spare one if the entry does not exist or is hard-wired."""
        if index >= file.size:
            index = file.size
        return self.files[file.name] + index * slot(file.width)

    @cached_property
    def record(self) -> Record:
        return Record.of(self.isa)


def slot(width: int) -> int:
    """The bytes that a value of `width` bits takes in the state."""
    return (max(width, 1) + 63) // 64 * WORD


class Record(Struct, frozen=True):
    """The layout of a record of `size` bytes: 0 entered by falling, 8 entered by a jump, 16 the variant (32 bits),
    20 the count (32 bits), 24 operands."""

    size: int

    HANDLER = 0
    JUMP = 8
    VARIANT = 16
    COUNT = 20
    OPERANDS = 24

    @staticmethod
    def of(isa: ir.Isa) -> Record:
        most = max((_packed(i.operands) for i in isa.instructions), default=0)
        size = 32
        while size < Record.OPERANDS + most:
            size *= 2
        return Record(size)


class Place(Struct, frozen=True):
    """An operand in a record: its offset and its bytes (1, 2, 4 or 8)."""

    offset: int
    bytes: int


def places(operands: Sequence[ir.OperandField]) -> dict[str, Place]:
    """Where the operands of an instruction lie, the widest first; those wider than 64 bits are in none."""
    found: dict[str, Place] = {}
    at = Record.OPERANDS
    for operand in sorted(operands, key=lambda o: (-_bytes(o.width), o.name)):
        if operand.width <= 64:
            found[operand.name] = Place(at, _bytes(operand.width))
            at += _bytes(operand.width)
    return found


def _bytes(width: int) -> int:
    return max(1 << (width - 1).bit_length() >> 3, 1)


def _packed(operands: Sequence[ir.OperandField]) -> int:
    """The bytes that operands take: the widest first, they leave no holes."""
    return sum(_bytes(operand.width) for operand in operands if operand.width <= 64)
