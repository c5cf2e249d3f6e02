"""Copies: code that is too cold for regions, as stencils one behind the other.

A *copy* is a block of a page: instructions one behind the other, up to one that jumps or one that has no stencil.  It
is entered by falling into it or by a jump, like a region, and counts jumps, so it may still become one.  Other copies
of the page lead to it directly, where they jump forward or fall into it; these jumps are not counted, but each loop has
one that goes back.  A copy takes the steps of all of its instructions when it begins.  Code that stores change is
forgotten with what was copied from it, and what led there goes by the record again.

Native code writes them (`codegen/copier.py`); what it works on is laid out here.
"""

from __future__ import annotations

import ctypes
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence

from msgspec import json, msgpack

from emulator.codegen.agreed import GLUE
from emulator.codegen.desk import DESK, ENTRY, LINK, LONGEST, MISSING, NEVER
from emulator.codegen.steps import ABSENT, uncopied
from emulator.codegen.variant import Variant
from emulator.machine.arena import Arena
from emulator.machine.engine import CopyType, Module, generator
from emulator.machine.linking import pieces
from emulator.machine.pages import Buffer, CodePage
from emulator.machine.records import PASSES, PATIENCE, VARIANTS, Records

ROOM = 1 << 26
"""Bytes that copies of a machine may take."""
OFTEN = 3 / 8
"""The part of it for what runs often.  The two must not lie a power of two apart: processors foresee jumps by the
lowest bits of addresses, and take those of one for those of the other (a sort of a PDP-10 takes a third more time)."""
LINKS = 1 << 20
"""Jumps of copies that may lead to others."""
WAITING = 1 << 16
"""Addresses that may wait."""
ALLOWANCE = 0.25
"""Seconds that stencils may take to make before they must keep to their share of the time."""
SHARE = 1.0
COPIER_PASSES = ("sroa", "instruction_combine", "simplify_cfg")

Stencils = dict[str, bytes]
"""Stencils by name, as they lie in memory."""


class Copies:
    """The copies of a page: where those are entered by others that begin at its records."""

    def __init__(self, page: CodePage) -> None:
        self._first, self._parcel = page.first, page.plan.per_parcel
        self.buffer = Buffer(page.buffer.size // page.stride * ENTRY)

    def _index(self, pc: int) -> int:
        return (pc - self._first) // self._parcel * (ENTRY // 8)

    def __contains__(self, pc: int) -> bool:
        return self.buffer.words[self._index(pc)] > NEVER

    def __iter__(self) -> Iterator[int]:
        words = self.buffer.words[:: ENTRY // 8].tolist()
        return (self._first + i * self._parcel for i, word in enumerate(words) if word > NEVER)

    def holding(self, lo: int, end: int, widest: int) -> list[int]:
        """Those that stand for any unit from one up to another; none stands for more than `widest`."""
        words, step = self.buffer.words, ENTRY // 8
        first = max(self._index(lo - widest), 0)
        homes = words[first : self._index(end - 1) + 1 : step].tolist()
        found = [first + i * step for i, home in enumerate(homes) if home > NEVER]
        entries = ((self._first + at // step * self._parcel, words[at + 1] >> 32) for at in found)
        return [pc for pc, units in entries if lo < pc + units]

    def links(self, pc: int) -> int:
        """The number of the first link that leads to an address."""
        return self.buffer.words[self._index(pc) + 1] & 0xFFFFFFFF

    def forget(self, pc: int, again: bool) -> None:
        """There is none that begins at an address; whether there may be one again."""
        self.buffer.words[self._index(pc)] = 0 if again else NEVER


class Copying(Records):
    """A machine that copies."""

    def _begin_records(self) -> None:
        super()._begin_records()
        self._arena: Arena | None = None
        self._objects: dict[str, Stencils] = {}
        self._in_memory: list[object] = []  # stencils
        self._looked = 0  # variants whose stencils were looked for among those that were kept
        self._absent: set[int] = set()  # those that had none
        lines = (line.split(" ", 2) for line in self._engine.noted([*self._name, "stencils"]))
        self._cut_before = {variant: (name, batch) for name, batch, variant in lines}

    def _copy(self, page: CodePage, entry: int, make: bool = True) -> bool:
        """Copies the block at an address and those that it leads to; whether that was possible.  If there is a copy
        already, the handler has to go on, so that something does.  Stencils that are missing are made only if `make` is
        set, for it takes as long as a million steps."""
        if not Arena.possible() or (page.copies is not None and entry in page.copies):
            return False
        make = make and self.stats["copy_seconds"] <= ALLOWANCE + SHARE * self._ran
        began = time.perf_counter()
        if self._arena is None:
            self._begin_copies()
        copies = page.copies = page.copies or Copies(page)
        self._take_kept()
        desk = self._desk
        desk["first"], desk["lo"], desk["hi"] = page.first, page.lo, page.hi
        desk["records"], desk["entries"] = page.address, copies.buffer.address
        desk["strict"] = ABSENT if make else 0
        desk.wait(entry)
        while self._copy_native(desk.buffer.address) == MISSING:
            self._take_stencils(self._missing(page, desk["missing"]))
        self.stats["copies"] = desk["made"]
        self.stats["copy_seconds"] += time.perf_counter() - began
        return entry in copies

    def _lacking(self, page: CodePage, pc: int) -> bool:
        """Whether the stencil of the instruction at an address was not made yet."""
        if self._arena is None:
            return False
        self._take_kept()
        return page.number(pc) in self._absent

    def _copied(self, page: CodePage, lo: int, end: int) -> list[int]:
        return [] if page.copies is None else page.copies.holding(lo, end, self._desk["widest"])

    def _drop(self, page: CodePage, entry: int) -> None:
        super()._drop(page, entry)
        if page.copies is None or self._arena is None or entry not in page.copies:
            return
        again = page.dropped.get(entry, 0) < PATIENCE
        page.copies.forget(entry, again)
        number = page.copies.links(entry)
        while number:
            at = number * LINK // 8
            place, way, _, number = self._links.words[at : at + 4]
            self._arena.lead(place, way)

    # -- what the copier works on --------------------------------------------------------------------------------------

    def _begin_copies(self) -> None:
        """The first copy: there is room for copies from now on."""

        def source() -> Module:
            from emulator.codegen.copier import copier

            return Module(copier(), ("copy",))

        made = self._engine.make(source, [generator()], COPIER_PASSES, "copier")
        self._kept.append(made.library)
        self._copy_native = CopyType(made.addresses["copy"])
        arena = self._arena = Arena(ROOM)
        self._links, self._stencils = Buffer(LINKS * LINK), Buffer(8 * VARIANTS)
        desk = self._desk = Desk()
        seldom = arena.address + int(ROOM * OFTEN)
        desk["often"], desk["often_end"] = arena.address, seldom
        desk["seldom"], desk["seldom_end"] = seldom, arena.address + ROOM
        desk["shift"] = arena.shift & 0xFFFFFFFFFFFFFFFF
        desk["parcel"], desk["stride"] = self._plan.per_parcel, self._layout.record.size
        desk["handlers"], desk["stencils"] = self._variants.address, self._stencils.address
        desk["links"], desk["linked"], desk["most"] = self._links.address, 1, LINKS
        glue = self._make_stencils("glue", [])
        for name in GLUE:
            desk[f"glue.{name}"] = self._put_in_memory(glue[f"glue.{name}"])

    def _put_in_memory(self, stencil: bytes) -> int:
        place = ctypes.create_string_buffer(stencil, len(stencil))
        self._in_memory.append(place)
        return ctypes.addressof(place)

    # -- stencils ------------------------------------------------------------------------------------------------------

    def _take_kept(self) -> None:
        """Takes the stencils that were made before, of all variants that are known by now."""
        known = self._known_variants.all
        for number in range(self._looked, len(known)):
            variant = known[number]
            if variant is None or variant.trap is not None:
                self._set_stencil(number, uncopied(0))
            elif (kept := self._kept_stencil(variant)) is not None:
                self._set_stencil(number, kept)
            else:
                self._absent.add(number)
                self._set_stencil(number, uncopied(variant.length, ABSENT))
        self._looked = len(known)

    def _kept_stencil(self, variant: Variant) -> bytes | None:
        """The stencil that was made before; None if none was, or if it is not there any more."""
        name, batch = self._cut_before.get(repr(variant), ("", ""))
        found = self._objects.get(batch)
        if found is None:
            kept = self._engine.kept_object([*self._name, batch], PASSES, "stencils") if batch else None
            if kept is None:
                return None
            found = self._objects[batch] = msgpack.decode(kept, type=Stencils)
        return found.get(name) or uncopied(variant.length)

    def _set_stencil(self, number: int, stencil: bytes) -> None:
        self._stencils.words[number] = self._put_in_memory(stencil)

    def _take_stencils(self, numbers: Iterable[int]) -> None:
        """Makes the stencils of these variants."""
        found = ((number, self._known_variants.all[number]) for number in dict.fromkeys(numbers))
        new = [(number, variant) for number, variant in found if variant is not None]
        wanted = [variant for _, variant in new]
        others = self._others(wanted) if not self._cut_before else []
        named = [(f"s{i}", variant) for i, variant in enumerate((*wanted, *others))]
        batch = hashlib.sha256(repr(named).encode()).hexdigest()
        made = self._make_stencils(batch, named)
        for name, variant in named:
            self._cut_before[repr(variant)] = (name, batch)
            self._engine.note([*self._name, "stencils"], f"{name} {batch} {variant!r}")
        for (number, variant), (name, _) in zip(new, named, strict=False):
            self._absent.discard(number)
            self._set_stencil(number, made.get(name) or uncopied(variant.length))

    def _missing(self, page: CodePage, pc: int) -> Iterator[int]:
        """The variants from an address on whose stencils are missing; they are made together."""
        for _ in range(LONGEST):
            number = page.number(pc)
            variant = self._known_variants.all[number]
            if variant is None or variant.trap is not None:
                break
            if number in self._absent:
                yield number
            pc += variant.length

    def _make_stencils(self, batch: str, named: Sequence[tuple[str, Variant]]) -> Stencils:
        """The stencils of these variants, made together if they are not kept; the glue if there are none."""

        def source() -> Module:
            from emulator.machine.sources import stencils_module

            return stencils_module(self._plan, named)

        def finish(note: str, code: bytes) -> bytes:
            return msgpack.encode(self._cut(named, note, code))

        made = self._engine.object(source, finish, [*self._name, batch], PASSES, "stencils")
        found = self._objects[batch] = msgpack.decode(made, type=Stencils)
        return found

    def _cut(self, named: Sequence[tuple[str, Variant]], note: str, code: bytes) -> Stencils:
        """The functions of an object as stencils."""
        from emulator.machine.cutting import cut

        formulas = json.decode(note, type=dict[str, tuple[dict[str, str], dict[str, str], list[str]]])
        variants, functions = dict(named), pieces(code)
        found = {}
        for name, known in formulas.items():
            variant = variants.get(name)
            places = () if variant is None else self._known_variants.places(variant.instruction)
            operands = {f"o{i}": place for i, (_, place) in enumerate(places)}
            found[name] = cut(functions[name], *known, operands, 0 if variant is None else variant.length)
        return found


class Desk:
    """The words that the copier works on."""

    def __init__(self) -> None:
        self.buffer = Buffer(8 * len(DESK))
        self._waiting = Buffer(8 * WAITING)
        self["waiting"] = self["top"] = self._waiting.address
        self["full"] = self._waiting.address + self._waiting.size

    def __getitem__(self, name: str) -> int:
        return self.buffer.words[DESK.index(name)]

    def __setitem__(self, name: str, value: int) -> None:
        self.buffer.words[DESK.index(name)] = value

    def wait(self, pc: int) -> None:
        """Lets one address wait, and no other."""
        self._waiting.words[0] = pc
        self["top"] = self["waiting"] + 8
