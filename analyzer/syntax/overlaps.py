"""Encodings that overlap: two instructions that match the same bits.

Where both have only fixed bits, that is a comparison of masks.  Conditions (`where`) are tabulated over the bits that
they mention, if these are few (`truth`); what they say about more bits is left to the decoder, which takes the first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import reduce
from itertools import islice
from operator import and_

from msgspec import Struct

from analyzer import ir
from analyzer.syntax import truth
from analyzer.syntax.machine import Machine

MOST_PAIRS = 5_000
"""Pairs of encodings that are compared; ia32 has 300 whose fixed bits agree."""


class Stream(Struct, frozen=True):
    """The beginning of an instruction, before its first conditional segment, in stream order from the top: its fixed
    bits, and where bits of operands stand (`places`, counted from the first bit of the stream)."""

    instruction: ir.Instruction
    width: int
    mask: int
    value: int
    places: dict[tuple[str, int], int]


def stream(instruction: ir.Instruction, isa: ir.Isa) -> Stream:
    """The bits that are there before the first conditional segment."""
    width = mask = value = 0
    places: dict[tuple[str, int], int] = {}
    for segment in instruction.segments:
        if segment.when is not None:
            break
        count = segment.width // isa.unit
        order = list(range(count) if isa.endian == "little" else reversed(range(count)))
        for k in order:
            mask = mask << isa.unit | segment.mask >> (k * isa.unit) & ((1 << isa.unit) - 1)
            value = value << isa.unit | segment.value >> (k * isa.unit) & ((1 << isa.unit) - 1)
        for f in segment.fields:
            for i in range(f.length):
                unit, bit = divmod(f.segment_lo + i, isa.unit)
                places[f.operand, f.operand_lo + i] = width + order.index(unit) * isa.unit + isa.unit - 1 - bit
        width += segment.width
    return Stream(instruction, width, mask, value, places)


def overlaps(isa: ir.Isa, machine: Machine) -> None:
    """Reports two instructions that match the same bits."""
    streams = [stream(instruction, isa) for instruction in isa.instructions]
    for first, second in islice(_pairs(streams), MOST_PAIRS):
        names = f"the encodings of {first.instruction.name} and {second.instruction.name} match the same bits"
        where = f"{first.instruction.name} is at {first.instruction.span}"
        if first.instruction.where is None and second.instruction.where is None:
            hint = "fix more bits in one of them, or add `where`"
            machine.problems.report("PG330", f"{names}; {where}", second.instruction.span, hint)
            continue
        example = conflict(first, second)
        if example is not None:
            hint = "let the `where` of one of them exclude the other's"
            machine.problems.report("PG330", f"{names}, as {example}; {where}", second.instruction.span, hint)


def _pairs(streams: list[Stream]) -> Iterator[tuple[Stream, Stream]]:
    """The pairs whose fixed bits agree, over the length that both have."""
    width = max((s.width for s in streams), default=0)
    return _agreeing([(s, s.mask << (width - s.width), s.value << (width - s.width)) for s in streams], -1)


def _agreeing(aligned: Sequence[tuple[Stream, int, int]], unused: int) -> Iterator[tuple[Stream, Stream]]:
    """As `_pairs`.  Where all streams fix some of the `unused` bits, only those that agree in them are compared."""
    common = reduce(and_, (mask for _, mask, _ in aligned), unused)
    if common > 0 and len(aligned) > 1:
        groups: dict[int, list[tuple[Stream, int, int]]] = {}
        for entry in aligned:
            groups.setdefault(entry[2] & common, []).append(entry)
        for group in groups.values():
            yield from _agreeing(group, unused & ~common)
        return
    for k, (first, mask, value) in enumerate(aligned):
        for second, other_mask, other_value in aligned[k + 1 :]:
            if not (value ^ other_value) & mask & other_mask:
                yield first, second


def conflict(first: Stream, second: Stream) -> str | None:
    """Bits that match both, in hexadecimal; None if their conditions exclude each other, or mention too much."""
    fixed = {**fixed_bits(first), **fixed_bits(second)}

    def source(stream: Stream) -> truth.Source:
        def bit(name: str, number: int) -> Hashable | bool:
            place = stream.places.get((name, number))
            if place is None:  # in a segment that may be absent, or state
                own = stream.instruction.name if any(o.name == name for o in stream.instruction.operands) else None
                return (own, name, number)
            return fixed.get(place, place)

        return bit

    conds = [(s.instruction.where, source(s)) for s in (first, second)]
    try:
        values = truth.together((cond, read) for cond, read in conds if cond is not None)
    except truth.Unclear:
        return None
    if values is None:
        return None
    width = max(first.width, second.width)
    known = {**{place: value for place, value in values.items() if isinstance(place, int)}, **fixed}
    bits = sum(1 << (width - 1 - place) for place, value in known.items() if value)
    return f"0x{bits:0{(width + 3) // 4}x}"


def fixed_bits(stream: Stream) -> dict[int, bool]:
    """The fixed bits by their place in the stream."""
    top = stream.width - 1
    return {p: bool(stream.value >> (top - p) & 1) for p in range(stream.width) if stream.mask >> (top - p) & 1}
