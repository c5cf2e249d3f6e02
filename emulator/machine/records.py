"""Records of a machine: the instructions that are decoded, and the handlers that they need."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from analyzer import ir
from emulator.codegen.agreed import EXECUTED, KEYS, MIX, contextual, place
from emulator.codegen.variant import Variant, key, plain
from emulator.interface import Region
from emulator.machine.contexts import EMPTY, Contexts
from emulator.machine.decoding import Decoding, Found
from emulator.machine.engine import Engine, Made, Module
from emulator.machine.pages import HEAD, Buffer, CodePage, Variants
from emulator.machine.tuning import Tuning
from emulator.state import State
from emulator.storage import Storage

PASSES = ("instruction_combine", "simplify_cfg")
VARIANTS = 1 << 20
"""Handlers that a machine may have."""
PATIENCE = 8
"""Regions, and copies, that are made at one address, if the code there changes again and again."""
AHEAD = 32
"""Instructions that the driver decodes together."""


class Records(Contexts):
    """A machine that decodes."""

    _name: list[str]
    """What its code is made from."""
    _kept: list[object]
    """What holds its code in memory."""

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None,
        engine: Engine,
        tuning: Tuning,
        storages: Mapping[str, Storage] | None,
    ) -> None:
        super().__init__(isa, regions, choices, storages)
        self._engine, self._tuning = engine, tuning
        self._ran = 0.0  # seconds in generated code
        self.stats: dict[str, float] = {"regions": 0, "region_seconds": 0.0, "copies": 0, "copy_seconds": 0.0}
        self._variants = Buffer(8 * VARIANTS)
        self._decoded = 0  # instructions, by the driver
        self._executed = Buffer(EXECUTED * (32 + self._layout.record.size))  # the table, and the records

    def _begin_records(self) -> None:
        """Nothing is decoded."""
        if self._bank.size:
            bank = self._storages[self._bank.memory].bank(self._bank.base)
            assert bank is not None
            self._decoding = Decoding(self._plan, bank)
        self._batches: dict[str, Made] = {}  # of handlers, by a digest of the variants that were made together
        lines = (line.split(" ", 2) for line in self._engine.noted(self._name))
        self._noted = {variant: (name, batch) for name, batch, variant in lines}
        self._keys = Buffer(16 * KEYS)
        self._put("keys", self._keys.address)
        self._put("variants", self._variants.address)
        self._put("executed", self._executed.address)
        self._executed.data[:] = bytes(self._executed.size)
        self._put("counter", self._code["count"] if self._tuning.hot else 0)
        self._variants.words[0] = self._code["undecoded"]
        self._begin_contexts(Variants(self._plan))
        self._number(None, self._code["undefined"])

    def _take_decoder(self, make: bool) -> None:
        """Lets native code decode; if `make` is not set, only if the decoder was made before."""
        self._put("decode", 0)
        if contextual(self._isa) or not self._bank.size:
            return

        def source() -> Module:
            from emulator.machine.sources import decoder_module

            return decoder_module(self._plan)

        asked = (self._name, PASSES, "decoder")
        made = self._engine.make(source, *asked) if make else self._engine.kept(*asked)
        if made is not None:
            self._kept.append(made.library)
            self._put("decode", made.addresses["decode"])

    def _decode_at(self, pc: int, record: int) -> bool:
        """Decodes an instruction and some that follow, and makes the handlers that are missing, all at once; whether
        that was possible."""
        page = self._page_of(record)
        assert page is not None
        state = self._view() if self._decoding.contextual else None
        found = self._found(page, pc, state)
        if not found or state is not None:  # what depends on the state is decoded each time
            return False
        self._enter(page, found)
        self._decoded += len(found)
        if self._decoded - len(found) < self._tuning.eager <= self._decoded:
            self._take_decoder(make=True)
        return True

    def _execute_at(self, word: int, how: int) -> int | None:
        """Makes the record of a word that an instruction executes (`agreed.executing`); the address of the record.
        None if the reference must do it."""
        if self._decoding.contextual:
            return None
        found = self._decoding.executed(word, how)
        if found is None or found.variant is None:
            return None
        self._make([found.variant])
        number = self._known_variants.numbers[found.variant]
        handler, size = self._variants.words[number], self._layout.record.size
        if handler == self._code["reference"]:
            return None
        index = ((word ^ how << 48) * MIX & EMPTY) >> 65 - EXECUTED.bit_length()
        at = EXECUTED * 32 + index * size
        self._executed.data[at : at + size] = HEAD.pack(handler, handler, number) + found.packed
        record = self._executed.address + at
        for i, value in enumerate((word, how, record)):
            self._executed.words[index * 4 + i] = value
        return record

    def _found(self, page: CodePage, pc: int, state: State | None) -> list[tuple[int, Found]]:
        """What is at an address and behind it, some instructions, up to one that is decoded already; no more than the
        first if native code decodes the others, and its handler need not be made."""
        found: list[tuple[int, Found]] = []
        at = pc
        while len(found) < AHEAD and at <= page.hi and at not in page:
            got = self._decoding.at(page, at, state)
            if got is None:
                break
            if got.variant is None or got.variant.trap is not None:
                found += [] if found else [(at, got)]  # what lies behind code is often data
                break
            found.append((at, got))
            if state is not None:
                break
            if self._word("decode") and repr(found[0][1].variant) in self._noted:
                break
            at += got.variant.length
        return found

    def _enter(self, page: CodePage, found: Sequence[tuple[int, Found]]) -> None:
        """Writes the records of instructions that lie one behind the other."""
        self._make([got.variant for _, got in found if got.variant is not None])
        for at, got in found:
            self._fill(page, at, got)
        (first, _), (last, got) = found[0], found[-1]
        length = self._plan.per_parcel if got.variant is None else max(got.variant.length, self._plan.per_parcel)
        self._mark(page.physical(first), last + length - first)

    def _make(self, variants: Sequence[Variant]) -> None:
        """Makes the handlers that are missing."""
        numbers = self._known_variants.numbers
        missing = [v for v in dict.fromkeys(variants) if v not in numbers]
        if not missing:
            return
        if len(numbers) + len(missing) >= VARIANTS:
            raise MemoryError(f"a program that needs more than {VARIANTS} handlers")
        missing = [v for v in missing if not self._take_handler(v)]
        if not missing:
            return
        others = self._others(missing) if not self._noted else []
        named = [(f"h{i}", variant) for i, variant in enumerate((*missing, *others))]

        def source() -> Module:
            from emulator.machine.sources import handlers_module

            return handlers_module(self._plan, named)

        batch = hashlib.sha256(repr(named).encode()).hexdigest()
        self._batches[batch] = self._engine.make(source, [*self._name, batch], PASSES, "handlers")
        for name, variant in named:
            self._noted[repr(variant)] = (name, batch)
            self._engine.note(self._name, f"{name} {batch} {variant!r}")
        for variant in missing:
            self._take_handler(variant)

    def _others(self, variants: Sequence[Variant]) -> list[Variant]:
        """What most programs need, besides these."""
        return [each for each in plain(self._isa) if each not in variants] if self._tuning.ahead else []

    def _take_handler(self, variant: Variant) -> bool:
        """Takes a handler from among those that were made with it for an earlier program, if they were kept."""
        noted = self._noted.get(repr(variant))
        if noted is None:
            return False
        name, batch = noted
        made = self._batches.get(batch) or self._engine.kept([*self._name, batch], PASSES, "handlers")
        if made is None:
            return False
        self._batches[batch] = made
        self._number(variant, made.addresses.get(name, self._code["reference"]))
        return True

    def _number(self, variant: Variant | None, address: int) -> None:
        """Gives a variant its number; the decoder finds it by its key."""
        number = self._known_variants.add(variant)
        self._variants.words[number] = address
        packed = None if variant is None else key(self._isa, variant)
        if packed is not None and number < KEYS * 2 // 3:
            place(self._keys.words, packed, number)

    def _fill(self, page: CodePage, pc: int, found: Found) -> None:
        """Writes a record."""
        number = self._known_variants.numbers[found.variant]
        address = self._variants.words[number]
        jump = self._code["count"] if self._tuning.hot else address
        page.set(pc, address, jump, number | self._word("young"), found.packed)

    def _invalidate(self, address: int, units: int) -> None:
        """Forgets what was decoded from these units of the bank."""
        longest = 64 * self._plan.per_parcel
        for page in self._pages:
            length = page.hi - page.lo + 1
            first, last = address - longest, address + units
            if page.base >= last or page.base + length <= first:
                continue
            lo, end = page.lo + max(first - page.base, 0), page.lo + last - page.base
            found = page.decoded(lo, end - 1)
            if not found and not page.regions and page.copies is None:
                continue
            for pc, variant in found:
                size = 1 if variant is None else max(variant.length, 1) + (0 if variant.trap is None else longest)
                if page.physical(pc) + size > address:
                    page.clear(pc)
            changed = range(lo, end)
            made = [entry for entry, (covered, _) in page.regions.items() if not covered.isdisjoint(changed)]
            made += self._copied(page, page.lo + max(address - page.base, 0), end)
            for entry in made:
                self._drop(page, entry)
                page.dropped[entry] = page.dropped.get(entry, 0) + 1
                instr = page.get(entry)
                if instr is not None:
                    number = self._known_variants.numbers[instr.variant]
                    page.install(entry, self._variants.words[number], self._code["count"])

    def _copied(self, page: CodePage, lo: int, end: int) -> list[int]:
        """The entries of copies that stand for any unit from one up to another."""
        return []

    def _drop(self, page: CodePage, entry: int) -> None:
        """Forgets what code was made from an address."""
        page.regions.pop(entry, None)
