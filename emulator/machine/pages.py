"""Contexts and their pages of code: the records of decoded instructions, and where they lie."""

from __future__ import annotations

import ctypes
import mmap
import struct
from dataclasses import dataclass, field

from emulator.codegen.layout import Record
from emulator.codegen.lowered import Instr
from emulator.codegen.plan import CODE_ENTRIES, CODE_ENTRY, CODE_PAGE, ENTRIES, ENTRY, Plan

HEAD = struct.Struct("<QQQ")  # falling into, jumping to, the variant with a count of 0


class Buffer:
    """Memory of the host, 0 at first, with its address."""

    __slots__ = ("address", "data", "size", "words")

    def __init__(self, size: int) -> None:
        self.size = (size + 4095) // 4096 * 4096
        self.data = mmap.mmap(-1, self.size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.data))
        self.words = memoryview(self.data).cast("Q")


class CodePage:
    """Records for the instructions at virtual `lo` to `hi` (included), which lie at physical `base` and on.

    There are records for the whole pages of the fetch cache that these addresses are in, and one more; those outside of
    the range look for a page of their own.
    """

    def __init__(self, plan: Plan, lo: int, hi: int, base: int, fresh: tuple[int, int], outside: int) -> None:
        self.plan, self.lo, self.hi, self.base = plan, lo, hi, base
        granule = 1 << CODE_PAGE
        self.first = lo // granule * granule
        count = ((hi // granule + 1) * granule - self.first) // plan.per_parcel
        self.stride = plan.layout.record.size
        self.buffer = Buffer((count + 1) * self.stride)
        self.address = self.buffer.address
        self.end = self.address + (count + 1) * self.stride
        blank = bytearray(self.stride)
        blank[0:8] = blank[8:16] = outside.to_bytes(8, "little")
        self.outside = bytes(blank)
        blank[0:8] = fresh[0].to_bytes(8, "little")
        blank[8:16] = fresh[1].to_bytes(8, "little")
        self.blank = bytes(blank)
        before = (lo - self.first) // plan.per_parcel
        within = (hi - lo + 1) // plan.per_parcel
        self.buffer.data[: before * self.stride] = self.outside * before
        self.buffer.data[before * self.stride : (before + within) * self.stride] = self.blank * within
        after = count + 1 - before - within
        start = (before + within) * self.stride
        self.buffer.data[start : start + after * self.stride] = self.outside * after
        self.decoded: dict[int, Instr] = {}  # by virtual address
        self.regions: dict[int, tuple[frozenset[int], object]] = {}  # by entry: the addresses they stand for, the code

        self.dropped: dict[int, int] = {}  # by entry: how many regions were made in vain, for the code changed

    def offset(self, pc: int) -> int:
        """The offset of a record in the buffer."""
        return (pc - self.first) // self.plan.per_parcel * self.stride

    def record(self, pc: int) -> int:
        """The address of a record."""
        return self.address + self.offset(pc)

    def contents(self) -> list[tuple[int, str, tuple[int, ...]]]:
        """All that has been decoded, in order."""
        return [(pc, repr(instr.variant), tuple(instr.operands.values())) for pc, instr in sorted(self.decoded.items())]

    def physical(self, pc: int) -> int:
        return self.base + (pc - self.lo)

    def set(self, pc: int, handler: int, jump: int, variant: int, operands: bytes) -> None:
        at = self.offset(pc)
        self.buffer.data[at : at + self.stride] = HEAD.pack(handler, jump, variant) + operands

    def install(self, pc: int, handler: int, jump: int) -> None:
        """Lets a record lead to other code."""
        at = self.offset(pc) // 8
        self.buffer.words[at] = handler
        self.buffer.words[at + 1] = jump

    def cool(self, pc: int) -> None:
        """Counts the jumps to an address from 0 again."""
        at = self.offset(pc) + Record.COUNT
        self.buffer.data[at : at + 4] = bytes(4)

    def clear(self, pc: int) -> None:
        """Makes a record unknown again, as it stands; operands stay, for a handler that is running."""
        at = self.offset(pc)
        self.buffer.data[at : at + Record.OPERANDS] = self.blank[: Record.OPERANDS]
        self.decoded.pop(pc, None)


@dataclass(slots=True)
class Context:
    """The caches of one assignment of the key, and its pages."""

    key: int
    itlb: Buffer
    dtlb: Buffer
    generation: int
    pages: dict[tuple[int, int, int], CodePage] = field(default_factory=dict)

    @staticmethod
    def new(plan: Plan, key: int, generation: int) -> Context:
        itlb = Buffer(CODE_ENTRIES * CODE_ENTRY)
        dtlb = Buffer(max(len(plan.views), 1) * ENTRIES * ENTRY)
        for buffer in (itlb, dtlb):
            buffer.data[:] = b"\xff" * buffer.size
        return Context(key, itlb, dtlb, generation)

    def enter(self, page: CodePage, pc: int) -> None:
        """Lets the fetch cache know the page of an address."""
        granule = pc >> CODE_PAGE << CODE_PAGE
        at = (pc >> CODE_PAGE & CODE_ENTRIES - 1) * CODE_ENTRY // 8
        self.itlb.words[at] = granule
        self.itlb.words[at + 1] = page.record(granule)
