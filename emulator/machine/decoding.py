"""From memory to records: what a page of code holds, as variants of handlers and operands."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from emulator.codegen.agreed import contextual, executed
from emulator.codegen.layout import Place, Record, places
from emulator.codegen.plan import Plan
from emulator.codegen.variant import Control, Variant, control, fixed
from emulator.decode import Decoded, decoder
from emulator.machine.pages import CodePage
from emulator.state import State, join, split
from emulator.storage import Bank


class Found(Struct, frozen=True):
    """What is at an address: a variant with its operands, and these as they lie in a record.  A variant of None is an
    encoding for which there is no trap."""

    variant: Variant | None
    operands: Mapping[str, int]
    packed: bytes


class _Over(Exception):
    """The instruction runs into the next page."""


class _Beyond(Exception):
    """The instruction is longer than an instruction may be."""


class Decoding:
    """Decodes instructions in the RAM of a machine; equal ones are found only once."""

    def __init__(self, plan: Plan, bank: Bank) -> None:
        self.isa, self.plan, self.bank = plan.isa, plan, bank
        self.decoder = decoder(plan.isa)
        self.numbers = {instruction.name: i for i, instruction in enumerate(plan.isa.instructions)}
        self.contextual = contextual(plan.isa)
        self.undefined = next(
            (t.name for t in plan.isa.traps.values() if t.kind is ir.TrapClass.ILLEGAL and not t.params), None
        )
        self._found: dict[int, tuple[Decoded, Found]] = {}
        self._shapes: dict[int, tuple[Control, tuple[tuple[str, Place], ...]]] = {}
        self._nothing = bytes(plan.layout.record.size - Record.OPERANDS)

    def at(self, page: CodePage, pc: int, state: State | None) -> Found | None:
        """What is at an address of a page; None if it runs into the next one."""
        fetch, per = self.isa.fetch, self.plan.per_parcel
        offset, left = page.physical(pc) - self.bank.base, (page.hi - pc + 1) // per
        most = left if fetch.limit is None else min(left, fetch.limit)
        cells, endian, unit = self.bank.cells, self.isa.endian, self.isa.unit
        count = 0

        def parcel(i: int) -> int:
            nonlocal count
            if i >= most:
                raise _Over if i >= left else _Beyond
            count = max(count, i + 1)
            start = offset + i * per
            if per == 1:
                return cells[start]
            if unit == 8:
                return int.from_bytes(cells[start : start + per], endian)
            return join(iter(cells[start : start + per]), unit, endian)

        try:
            decoded = self.decoder.decode(parcel, state)
        except _Over:
            return None
        except _Beyond:
            assert fetch.beyond is not None
            args = tuple(arg.value if isinstance(arg, ir.Const) else 0 for arg in fetch.beyond.args)
            return Found(Variant(0, (), 0, (fetch.beyond.trap, args)), {}, self._nothing)
        if decoded is None:
            variant = None if self.undefined is None else Variant(0, (), count * per, (self.undefined, ()))
            return Found(variant, {}, self._nothing)
        known = self._found.get(id(decoded))
        if known is None or known[0] is not decoded:
            known = self._found[id(decoded)] = (decoded, self._find(decoded))
        return known[1]

    def executed(self, word: int, how: int) -> Found | None:
        """What a word is that an instruction executes (`agreed.executing`); None if it is nothing."""
        length, depth, bits = executed(how)
        parcels = split(word, bits, self.isa.fetch.parcel, self.isa.endian)

        def parcel(i: int) -> int:
            if i >= len(parcels):
                raise _Beyond
            return parcels[i]

        try:
            decoded = self.decoder.decode(parcel, None)
        except _Beyond:
            return None
        if decoded is None:
            return None
        found = self._find(decoded)
        assert found.variant is not None
        variant = replace(found.variant, length=length, executed=(decoded.length, depth))
        return Found(variant, found.operands, found.packed)

    def _find(self, decoded: Decoded) -> Found:
        number = self.numbers[decoded.instruction.name]
        shape = self._shapes.get(number)
        if shape is None:
            shape = self._shapes[number] = (
                control(self.isa, decoded.instruction),
                tuple(places(decoded.instruction.operands).items()),
            )
        wanted, spots = shape
        operands = decoded.operands
        packed = bytearray(self._nothing)
        for name, place in spots:
            at = place.offset - Record.OPERANDS
            packed[at : at + place.bytes] = operands.get(name, 0).to_bytes(place.bytes, "little")
        variant = Variant(number, fixed(wanted, operands), decoded.length)
        return Found(variant, decoded.operands, bytes(packed))
