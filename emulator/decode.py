"""Decoding and encoding, derived from the segments of the instructions.

The stream is seen in *parcels* (`Fetch.parcel` bits).  Every instruction stands, for each distinct mask of its first
parcel, in a table under the value it wants there; looking a parcel up in these few tables leaves a handful of
candidates.  They are then tried together, parcel by parcel, so no parcel is fetched that the instruction does not need.
Encodings are disjoint, so the first candidate that is complete is the instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from analyzer import ir
from analyzer.errors import UsageError
from emulator.evaluate import Environment, Value, made, value_of
from emulator.state import State, join, split

FetchParcel = Callable[[int], int]
"""From the number of a parcel, counted from the beginning of the instruction, to its value."""

PREFIX_PARCELS = "prefix_parcels"
"""The operand (8 bits) that is the number of prefix parcels before an instruction, where an Isa has prefixes."""

MAX_PARCELS = 64
"""No instruction is longer, whatever its prefixes, where the Isa does not say its own limit."""


class Decoded(Struct, frozen=True):
    """An instruction and its operands (prefix operands too; those of absent segments are 0); `length` in units."""

    instruction: ir.Instruction
    operands: Mapping[str, int]
    length: int


class _Segment(Struct, frozen=True):
    """A segment, ready to match: `tests` are (mask, value) of each parcel, `checks` the parts of the instruction's
    `where` that can be decided after it."""

    segment: ir.Segment
    tests: tuple[tuple[int, int], ...]
    fields: tuple[tuple[str, int, int, int], ...]  # operand, shift in the segment, mask, shift in the operand
    when: Value | None
    checks: tuple[Value, ...]


class _Pattern(Struct, frozen=True):
    instruction: ir.Instruction
    operands: Mapping[str, int]
    checks: tuple[Value, ...]
    segments: tuple[_Segment, ...]
    contextual: bool  # `where` reads state


MEMO = 100_000
"""How many decodings are remembered: those that depend on no state."""

_Attempt = Literal["fails", "wants more"] | Decoded


class Decoder:
    """The decoder of one Isa."""

    def __init__(self, isa: ir.Isa) -> None:
        self.isa = isa
        self._per_unit = isa.fetch.parcel // isa.unit
        self._prefixes: dict[int, list[tuple[str, int]]] = {}
        for prefix in isa.prefixes:
            for parcel, value in prefix.values:
                self._prefixes.setdefault(parcel, []).append((prefix.name, value))
        self._defaults = {prefix.name: prefix.default for prefix in isa.prefixes}
        if isa.prefixes:
            self._defaults[PREFIX_PARCELS] = 0
        self._tables: dict[int, dict[int, list[_Pattern]]] = {}
        for instruction in isa.instructions:
            pattern = self._pattern(instruction)
            mask, value = (0, 0)
            if pattern.segments and pattern.segments[0].when is None:
                mask, value = pattern.segments[0].tests[0]
            self._tables.setdefault(mask, {}).setdefault(value, []).append(pattern)
        self._reset: State | None = None
        self._known: dict[tuple[int, ...], Decoded | Literal["wants more"]] = {}

    def decode(self, fetch: FetchParcel, state: State | None = None) -> Decoded | None:
        """The instruction at the parcels that `fetch` returns; None if the encoding is undefined.

        `state` is for encodings that depend on it (None: the state at reset).  What `fetch` raises passes through.
        """
        if state is None:
            state = self._reset = self._reset or State(self.isa)
        prefixes, skipped = self._defaults, 0
        parcel = fetch(0)
        while parcel in self._prefixes:
            prefixes = prefixes | dict(self._prefixes[parcel])
            skipped += 1
            if skipped == MAX_PARCELS:
                return None
            parcel = fetch(skipped)
        if skipped:
            prefixes = {**prefixes, PREFIX_PARCELS: skipped}
        parcels = [parcel]
        while (known := self._known.get(tuple(parcels))) is not None and not skipped:
            if isinstance(known, Decoded):
                return known
            parcels.append(fetch(len(parcels)))
        environment = Environment(state.elements, state.files, state.choices, {})
        live = [p for mask, table in self._tables.items() for p in table.get(parcel & mask, ())]
        remember = not skipped and len(self._known) < MEMO and not any(p.contextual for p in live)
        while live:
            waiting = []
            for pattern in live:
                attempt = self._attempt(pattern, parcels, prefixes, skipped, environment)
                if isinstance(attempt, Decoded):
                    if remember:
                        self._known[tuple(parcels)] = attempt
                    return attempt
                if attempt == "wants more":
                    waiting.append(pattern)
            live = waiting
            if live:
                if skipped + len(parcels) == MAX_PARCELS:
                    return None
                if remember:
                    self._known[tuple(parcels)] = "wants more"
                parcels.append(fetch(skipped + len(parcels)))
        return None

    def _attempt(
        self,
        pattern: _Pattern,
        parcels: list[int],
        prefixes: Mapping[str, int],
        skipped: int,
        environment: Environment,
    ) -> _Attempt:
        """Matches one pattern against the parcels that are there."""
        operands = {**prefixes, **pattern.operands} if prefixes else dict(pattern.operands)
        environment.operands = operands
        if not all(check(environment, {}) for check in pattern.checks):
            return "fails"
        position = 0
        for segment in pattern.segments:
            if segment.when is None or segment.when(environment, {}):
                end = position + len(segment.tests)
                there = parcels[position:end]
                for parcel, (mask, value) in zip(there, segment.tests, strict=False):
                    if parcel & mask != value:
                        return "fails"
                if end > len(parcels):
                    return "wants more"
                word = there[0] if len(there) == 1 else join(iter(there), self.isa.fetch.parcel, self.isa.endian)
                for operand, lo, mask, shift in segment.fields:
                    operands[operand] |= (word >> lo & mask) << shift
                position = end
            for check in segment.checks:
                if not check(environment, {}):
                    return "fails"
        return Decoded(pattern.instruction, operands, (skipped + position) * self._per_unit)

    def _pattern(self, instruction: ir.Instruction) -> _Pattern:
        """Each conjunct of `where` goes to the first segment after which all its operands are known."""
        pending: list[ir.Expr] = [] if instruction.where is None else list(_conjuncts(instruction.where))
        known = set(self._defaults)

        def decidable() -> tuple[Value, ...]:
            ready = [c for c in pending if _operands(c) <= known]
            pending[:] = [c for c in pending if c not in ready]
            return tuple(value_of(c, self.isa) for c in ready)

        checks = decidable()
        segments = []
        remaining = list(instruction.segments)
        while remaining:
            segment = remaining.pop(0)
            later = {f.operand for s in remaining for f in s.fields}
            known |= {f.operand for f in segment.fields} - later
            if not remaining:
                known |= {o.name for o in instruction.operands}
            segments.append(
                _Segment(
                    segment,
                    self._tests(segment),
                    tuple((f.operand, f.segment_lo, (1 << f.length) - 1, f.operand_lo) for f in segment.fields),
                    None if segment.when is None else value_of(segment.when, self.isa),
                    decidable(),
                )
            )
        contextual = instruction.where is not None and any(
            isinstance(e, (ir.Get, ir.GetEntry)) for e in ir.subterms(instruction.where)
        )
        operands = {o.name: 0 for o in instruction.operands}
        return _Pattern(instruction, operands, checks, tuple(segments), contextual)

    def _tests(self, segment: ir.Segment) -> tuple[tuple[int, int], ...]:
        parcel, endian = self.isa.fetch.parcel, self.isa.endian
        masks = split(segment.mask, segment.width, parcel, endian)
        return tuple(zip(masks, split(segment.value & segment.mask, segment.width, parcel, endian), strict=True))


def decode(isa: ir.Isa, fetch: FetchParcel, state: State | None = None) -> Decoded | None:
    """The instruction at the parcels that `fetch` returns; None if the encoding is undefined.

    `fetch` gets the number of a parcel (`Fetch.parcel` bits), from 0.  `state` is for encodings that depend on it
    (None: the state at reset).  What `fetch` raises passes through.
    """
    return decoder(isa).decode(fetch, state)


def decode_units(isa: ir.Isa, units: Sequence[int], state: State | None = None) -> Decoded | None:
    """The instruction at the beginning of `units`; None if it is undefined or cut off."""
    per = isa.fetch.parcel // isa.unit

    def fetch(i: int) -> int:
        return join(iter(units[i * per : (i + 1) * per]), isa.unit, isa.endian)

    def within(i: int) -> int:
        if (i + 1) * per > len(units):
            raise IndexError(i)
        return fetch(i)

    try:
        return decode(isa, within, state)
    except IndexError:
        return None


_decoders: list[Decoder] = []


def decoder(isa: ir.Isa) -> Decoder:
    """The decoder of an Isa; the last few are kept."""
    for known in _decoders:
        if known.isa is isa:
            return known
    _decoders[:] = [Decoder(isa), *_decoders[:15]]
    return _decoders[0]


# -- encoding ----------------------------------------------------------------------------------------------------------


def encode(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> tuple[int, ...]:
    """The units of an instruction, prefixes first; ignored bits are 0, missing operands 0 or the prefix's default.

    `where` is not looked at: it may need a state.

    Raises:
        UsageError: an operand does not exist or does not fit, a value is one that no prefix gives, or bits are set
            that no segment holds.
    """
    widths = {o.name: o.width for o in instruction.operands} | {p.name: p.width for p in isa.prefixes}
    if isa.prefixes:
        widths[PREFIX_PARCELS] = 8
    for name, value in operands.items():
        if name not in widths:
            raise UsageError(f"{instruction.name} has no operand {name}", _names(widths))
        if not 0 <= value < 1 << widths[name]:
            raise UsageError(f"{value} does not fit in the {widths[name]} bits of operand {name} of {instruction.name}")
    units: list[int] = []
    for parcel in _prefix_parcels(isa, operands):
        units += split(parcel, isa.fetch.parcel, isa.unit, isa.endian)
    unplaced = {o.name: operands.get(o.name, 0) for o in instruction.operands}
    for segment in present(isa, instruction, operands):
        word = segment.value & segment.mask
        for f in segment.fields:
            mask = (1 << f.length) - 1
            word |= (operands.get(f.operand, 0) >> f.operand_lo & mask) << f.segment_lo
            unplaced[f.operand] &= ~(mask << f.operand_lo)
        units += split(word, segment.width, isa.unit, isa.endian)
    for name, bits in unplaced.items():
        if bits:
            raise UsageError(f"bits {bits:#x} of operand {name} have no place in the encoding of {instruction.name}")
    return tuple(units)


def fitting(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> dict[str, int]:
    """The operands without the bits that no segment holds: those of an extension word that is not there, or the low
    ones of an offset.  What is made by chance would rarely be an instruction otherwise."""
    held = dict.fromkeys((o.name for o in instruction.operands), 0)
    for segment in present(isa, instruction, operands):
        for f in segment.fields:
            held[f.operand] |= (1 << f.length) - 1 << f.operand_lo
    return {name: value & held.get(name, value) for name, value in operands.items()}


def length(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> int:
    """The length in units of an instruction with these operands.

    Raises:
        UsageError: as for `encode`.
    """
    prefixes = len(_prefix_parcels(isa, operands)) * isa.fetch.parcel
    return (prefixes + sum(s.width for s in present(isa, instruction, operands))) // isa.unit


def completed(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> dict[str, int]:
    """All operands of an instruction: missing ones are 0, or the prefix's default."""
    full = {p.name: p.default for p in isa.prefixes} | {o.name: 0 for o in instruction.operands} | dict(operands)
    if isa.prefixes and PREFIX_PARCELS not in full:
        full[PREFIX_PARCELS] = sum(full[p.name] != p.default for p in isa.prefixes)
    return full


def present(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> Iterator[ir.Segment]:
    """The segments that are there with these operands."""
    environment = Environment({}, {}, {}, completed(isa, instruction, operands))
    for segment in instruction.segments:
        if segment.when is None or made(segment.when, isa)(environment, {}):
            yield segment


def _prefix_parcels(isa: ir.Isa, operands: Mapping[str, int]) -> list[int]:
    parcels = []
    for prefix in isa.prefixes:
        wanted = operands.get(prefix.name, prefix.default)
        if wanted != prefix.default:
            found = next((parcel for parcel, value in prefix.values if value == wanted), None)
            if found is None:
                raise UsageError(f"no prefix gives operand {prefix.name} the value {wanted}")
            parcels.append(found)
    return parcels


def _conjuncts(expr: ir.Expr) -> Iterator[ir.Expr]:
    if isinstance(expr, ir.Logic) and expr.op == "and":
        yield from _conjuncts(expr.left)
        yield from _conjuncts(expr.right)
    else:
        yield expr


def _operands(expr: ir.Expr) -> set[str]:
    return {e.name for e in ir.subterms(expr) if isinstance(e, ir.Operand)}


def _names(names: Mapping[str, int]) -> str:
    return f"it has {', '.join(names)}" if names else "it has none"
