"""What a block of a region is when it has been lowered: its text, its ways out, and its accesses to memory.

`region.py` tells what a region is.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from emulator.codegen.values import Unsupported, Value
from emulator.codegen.variant import Instr

Key = tuple[str, str, int]


class HandOver(Unsupported):
    """The handler must execute the instruction."""


class Checkpoint(Struct):
    """A state to go back to: the values that differ from those at the beginning of the block."""

    label: str
    pc: int
    left: int  # instructions of the block from here on
    dirty: dict[Key, Value]
    used: bool = False


class Exit(Struct):
    """A way out of the region: where to (None: `target` is a value), by which routine, and what must be stored."""

    label: str
    pc: int | None
    target: Value
    how: str  # "jump", "handler", "check"
    refund: int
    dirty: dict[Key, Value]


class Touch(Struct, frozen=True):
    """An access of a block: its place there (instruction, ordinal), what its address is counted from and by how much,
    its units, how many low bits of its address must be 0, and the cache that it goes by (None: none, and it is at most
    `most` units from the bank's beginning)."""

    place: tuple[int, int]
    root: tuple[str, int, int]
    away: int
    units: int
    low: int
    store: bool
    view: int | None
    most: int


class Group(Struct, frozen=True):
    """Accesses at known distances from one root, which share one check: units `lo` up to `hi` from it, the first at
    most `most` units from the bank's beginning.  `number` is different for each group of a block."""

    number: int
    lo: int
    hi: int
    low: int
    loads: bool
    stores: bool
    view: int | None
    most: int


class Member(Struct, frozen=True):
    """An access of a group: its own root (equal to that of the others) and its distance from it."""

    group: Group
    root: tuple[str, int, int]
    away: int


class Block(Struct):
    """A block of the region as it was lowered: `count` instructions, in all of its rounds."""

    pc: int
    lines: list[str]
    count: int
    checkpoints: list[Checkpoint] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    written: set[Key] = field(default_factory=set)
    next: set[int] = field(default_factory=set)
    links: set[int] = field(default_factory=set)
    touches: list[Touch] = field(default_factory=list)
    first: dict[Key, str] = field(default_factory=dict)  # the lines that read registers on the way that all others take


class Sketch(Struct, frozen=True):
    """What is known of a block once it has been lowered on trial, and what it was lowered from: `links` are the places
    that its computed jumps were compared with."""

    links: tuple[int, ...]
    instrs: list[Instr]
    count: int
    lines: int
    next: frozenset[int]
    after: frozenset[int]
    """Where calls in it come back to."""
    written: frozenset[Key]
    touches: tuple[Touch, ...]


class Sketches:
    """What regions of a page have found out, so that others need not: the sketches of blocks by their addresses, and
    what maps come to (`Paged.folded`)."""

    def __init__(self) -> None:
        self._under: object = None
        self.blocks: dict[int, Sketch] = {}
        self.folding: dict[object, Any] = {}

    def under(self, context: object) -> Sketches:
        """All of it is true in one context."""
        if context != self._under:
            self._under, self.blocks, self.folding = context, {}, {}
        return self


def place(key: Key) -> str:
    """The name of the variable of a register."""
    kind, name, index = key
    return f"{kind}.{name}.{index}"
