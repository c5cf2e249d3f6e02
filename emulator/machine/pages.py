"""Contexts and their pages of code: the records of decoded instructions, and where they lie."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Mapping
from copy import copy
from typing import TYPE_CHECKING

from msgspec import Struct, field

from emulator.codegen.block import Sketches
from emulator.codegen.layout import Place, Record, places
from emulator.codegen.plan import CODE_ENTRIES, CODE_ENTRY, CODE_PAGE, Plan
from emulator.codegen.variant import Instr, Variant, control
from emulator.storage import LARGE, MOST, private

if TYPE_CHECKING:
    from emulator.machine.copying import Copies

HEAD = struct.Struct("<QQQ")  # falling into, jumping to, the variant with a count


CHUNK = 4096
"""Bytes that are written at a time where much is filled."""


class Buffer:
    """Memory of the host, 0 at first, with its address; `filled`: all of it is about to be written."""

    __slots__ = ("address", "data", "size", "words")

    def __init__(self, size: int, filled: bool = False) -> None:
        self.size = (size + 4095) // 4096 * 4096
        self.data = private(self.size, LARGE // 2 if filled else MOST, filled)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.data))
        self.words = memoryview(self.data).cast("Q")

    def still(self) -> Buffer:
        """What is in it by now; generated code has no use for that."""
        found = object.__new__(Buffer)
        found.size, found.address = self.size, 0
        found.data = memoryview(bytearray(self.data))
        found.words = memoryview(found.data).cast("Q")
        return found

    def fill(self, first: int, last: int, pattern: bytes) -> None:
        """Repeats a pattern from one offset up to another; what lies between is a multiple of its length."""
        chunk = pattern * max(min(CHUNK, last - first) // len(pattern), 1)
        for at in range(first, last - len(chunk) + 1, len(chunk)):
            self.data[at : at + len(chunk)] = chunk
        left = (last - first) % len(chunk)
        self.data[last - left : last] = chunk[:left]


class Variants:
    """The variants of a machine by number, from 1 on; 0 stands for what is not decoded."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.all: list[Variant | None] = [None]
        self.numbers: dict[Variant | None, int] = {}
        self._places: dict[int, tuple[tuple[str, Place], ...]] = {}

    def add(self, variant: Variant | None) -> int:
        self.numbers[variant] = len(self.all)
        self.all.append(variant)
        return len(self.all) - 1

    def places(self, instruction: int) -> tuple[tuple[str, Place], ...]:
        """Where the operands of an instruction lie in a record."""
        found = self._places.get(instruction)
        if found is None:
            operands = self.plan.isa.instructions[instruction].operands
            found = self._places[instruction] = tuple(places(operands).items())
        return found

    def operands(self, variant: Variant, record: memoryview | bytes) -> dict[str, int]:
        """The operands of a record: what is in no place is a prefix, whose value the variant has."""
        wanted = control(self.plan.isa, self.plan.isa.instructions[variant.instruction])
        found = {name: bits for name, bits in variant.fixed if wanted[name] is None}
        for name, place in self.places(variant.instruction):
            found[name] = int.from_bytes(record[place.offset : place.offset + place.bytes], "little")
        return found


class CodePage(Mapping[int, Instr]):
    """Records for the instructions at virtual `lo` to `hi` (included), which lie at physical `base` and on, and in the
    host at `host`.  As a mapping it has the instructions that are decoded, by their virtual addresses.

    There are records for the whole pages of the fetch cache that these addresses are in, and one more; those outside of
    the range look for a page of their own.
    """

    def __init__(
        self,
        variants: Variants,
        lo: int,
        hi: int,
        base: int,
        host: int,
        fresh: tuple[int, int],
        outside: int,
        beyond: int,
    ) -> None:
        self.variants, self.plan = variants, variants.plan
        self.lo, self.hi, self.base, self.host = lo, hi, base, host
        plan, granule = self.plan, 1 << CODE_PAGE
        self.first = lo // granule * granule
        count = ((hi // granule + 1) * granule - self.first) // plan.per_parcel
        self.stride = plan.layout.record.size
        self.buffer = Buffer((count + 1) * self.stride, filled=True)
        self.address = self.buffer.address
        self.end = self.address + (count + 1) * self.stride
        blank = bytearray(self.stride)
        blank[0:8] = blank[8:16] = outside.to_bytes(8, "little")
        self.outside = bytes(blank)
        blank[0:8] = fresh[0].to_bytes(8, "little")
        blank[8:16] = fresh[1].to_bytes(8, "little")
        self.blank = bytes(blank)
        before = (lo - self.first) // plan.per_parcel
        self._before, self._within = before, (hi - lo + 1) // plan.per_parcel
        within = self._within
        start, end = before * self.stride, (before + within) * self.stride
        self.buffer.fill(0, start, self.outside)
        self.buffer.fill(start, end, self.blank)
        self.buffer.fill(end, (count + 1) * self.stride, self.outside)
        self.buffer.words[count * self.stride // 8] = beyond  # control falls into another page of the fetch cache
        self.regions: dict[int, tuple[set[int], object]] = {}  # by entry: the addresses they stand for, the code
        self.copies: Copies | None = None
        self.early: set[int] = set()  # entries that were copied, or tried, before they became hot
        self.dropped: dict[int, int] = {}  # by entry: how many regions were made in vain, for the code changed
        self.visits: dict[int, int] = {}  # by entry: how often it has become hot
        self.hot_since: dict[int, float] = {}  # by entry: what of the time had passed when it first was
        self.sketches = Sketches()
        self._known: dict[int, Instr] = {}
        self._halves = memoryview(self.buffer.data).cast("I")

    # -- what is decoded -----------------------------------------------------------------------------------------------

    def number(self, pc: int) -> int:
        """The number of the variant at an address; 0 if nothing is decoded there."""
        if not self.lo <= pc <= self.hi or (pc - self.first) % self.plan.per_parcel:
            return 0
        return self.buffer.words[(self.offset(pc) + Record.VARIANT) // 8] & 0xFFFFFFFF

    def __contains__(self, pc: object) -> bool:
        return isinstance(pc, int) and self.number(pc) != 0

    def __getitem__(self, pc: int) -> Instr:
        known = self._known.get(pc)
        if known is None:
            number = self.number(pc)
            if not number:
                raise KeyError(pc)
            variant = self.variants.all[number]
            at = self.offset(pc)
            record = self.buffer.data[at : at + self.stride]
            plain = variant is None or variant.trap is not None
            operands = {} if variant is None or plain else self.variants.operands(variant, record)
            known = self._known[pc] = Instr(pc, variant, operands)
        return known

    def _numbers(self, first: int, count: int) -> list[int]:
        """The numbers of the variants in so many records."""
        start, step = (first * self.stride + Record.VARIANT) // 4, self.stride // 4
        found: list[int] = self._halves[start : start + count * step : step].tolist()
        return found

    def decoded(self, first: int, last: int) -> list[tuple[int, Variant | None]]:
        """What is decoded at the addresses from one to another, with the variants."""
        per = self.plan.per_parcel
        first, last = max(first, self.lo), min(last, self.hi)
        first += (self.first - first) % per
        count = (last - first) // per + 1
        numbers = self._numbers((first - self.first) // per, count) if count > 0 else []
        if not any(numbers):
            return []
        return [(first + i * per, self.variants.all[number]) for i, number in enumerate(numbers) if number]

    def __iter__(self) -> Iterator[int]:
        return (pc for pc, _ in self.decoded(self.lo, self.hi))

    def __len__(self) -> int:
        return sum(map(bool, self._numbers(self._before, self._within)))

    def still(self) -> CodePage:
        """What is decoded by now, whatever becomes of the page."""
        found = copy(self)
        found.buffer = self.buffer.still()
        found._known, found._halves = {}, memoryview(found.buffer.data).cast("I")
        return found

    # -- records -------------------------------------------------------------------------------------------------------

    def offset(self, pc: int) -> int:
        """The offset of a record in the buffer."""
        return (pc - self.first) // self.plan.per_parcel * self.stride

    def record(self, pc: int) -> int:
        """The address of a record."""
        return self.address + self.offset(pc)

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
        self._known.pop(pc, None)


class Context(Struct):
    """The caches of one assignment of the key, and its pages."""

    key: int
    itlb: Buffer
    dtlb: Buffer
    generation: int
    pages: dict[tuple[int, int, int], CodePage] = field(default_factory=dict)
    proved: list[CodePage] = field(default_factory=list)
    """The pages that were proved uniform `since` a generation began.  Where protection or tables part a page of the
    fetch cache in several, control goes from one of them to the other and back."""
    since: int = 0

    @staticmethod
    def new(plan: Plan, key: int, generation: int) -> Context:
        itlb = Buffer(CODE_ENTRIES * CODE_ENTRY)
        dtlb = Buffer(plan.translations, filled=True)
        for buffer in (itlb, dtlb):
            buffer.fill(0, buffer.size, b"\xff")
        return Context(key, itlb, dtlb, generation)

    def holding(self, pc: int, generation: int) -> CodePage | None:
        """The page that was proved to hold an address in this generation."""
        if self.since != generation:
            self.proved.clear()
            self.since = generation
        return next((page for page in self.proved if page.lo <= pc <= page.hi), None)

    def enter(self, page: CodePage, pc: int) -> None:
        """Lets the fetch cache know the page of an address."""
        granule = pc >> CODE_PAGE << CODE_PAGE
        at = (pc >> CODE_PAGE & CODE_ENTRIES - 1) * CODE_ENTRY // 8
        host = page.host + (granule - page.lo) * page.plan.bank.cell & 0xFFFFFFFFFFFFFFFF
        for i, word in enumerate((granule, page.record(granule), host, page.hi)):
            self.itlb.words[at + i] = word
