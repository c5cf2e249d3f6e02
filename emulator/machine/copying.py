"""Copies: code that is too cold for regions, as stencils one behind the other.

A *copy* is a block of a page: instructions one behind the other, up to one that jumps or one that has no stencil.  It
is entered by falling into it or by a jump, like a region, and counts jumps, so it may still become one.  Other copies
of the page lead to it directly, where they jump forward or fall into it; these jumps are not counted, but each loop has
one that goes back.  A copy takes the steps of all of its instructions when it begins.  Code that stores change is
forgotten with what was copied from it, and what led there goes by the record again.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import json

from emulator.codegen.agreed import GLUE
from emulator.codegen.variant import Variant
from emulator.machine.arena import Arena
from emulator.machine.cutting import Cut, cut
from emulator.machine.draft import Draft, Stencil
from emulator.machine.engine import Module
from emulator.machine.linking import Piece, pieces
from emulator.machine.pages import CodePage
from emulator.machine.records import PASSES, Records

ROOM = 1 << 26
"""Bytes that copies of a machine may take."""
LONGEST = 48
"""Instructions of a copy."""
TOGETHER = 256
"""Copies that are made at once: a block that is hot and those that it leads to."""
ALLOWANCE = 0.25
"""Seconds that copies may take to make before they must keep to their share of the time."""
SHARE = 1.0

SIZES = {1: "B", 2: "H", 4: "I", 8: "Q"}
Formulas = dict[str, tuple[dict[str, str], dict[str, str], list[str]]]
"""By function: the formulas of the numbers and of the addresses that its symbols stand for, and of what must not be."""


class Copying(Records):
    """A machine that copies."""

    def _begin_records(self) -> None:
        super()._begin_records()
        self._arena: Arena | None = None
        self._glue: dict[str, Cut] = {}
        self._stencils: dict[int, Stencil | None] = {}  # by the number of the variant
        self._objects: dict[str, tuple[Formulas, Mapping[str, Piece]]] = {}
        lines = (line.split(" ", 2) for line in self._engine.noted([*self._name, "stencils"]))
        self._cut_before = {variant: (name, batch) for name, batch, variant in lines}

    def _copy(self, page: CodePage, entry: int) -> bool:
        """Copies the block at an address and those that it leads to, if that is worth it; whether it did.  If there is
        a copy already, the handler has to go on, so that something does."""
        if entry in page.copies or not Arena.possible():
            return False
        if self.stats["copy_seconds"] > ALLOWANCE + SHARE * self._ran:
            return False
        began = time.perf_counter()
        waiting, seen = [entry], set[int]()
        while waiting and len(seen) < TOGETHER:
            pc = waiting.pop(0)
            if pc not in seen and pc not in page.copies and pc not in page.regions and pc in page:
                seen.add(pc)
                waiting[:0] = self._copy_block(page, pc)
        self.stats["copy_seconds"] += time.perf_counter() - began
        return entry in page.copies

    # -- stencils ------------------------------------------------------------------------------------------------------

    def _take_stencils(self, numbers: Iterable[int]) -> None:
        """Makes or takes the stencils of these variants."""
        new: list[tuple[Variant, int]] = []
        for number in dict.fromkeys(numbers):
            variant = self._known_variants.all[number]
            known = self._cut_before.get(repr(variant))
            if variant is None or variant.trap is not None:
                self._stencils[number] = None
            elif known is None:
                new.append((variant, number))
            else:
                self._stencils[number] = self._stencil(variant, *known)
        if new:
            wanted = [variant for variant, _ in new]
            others = self._others(wanted) if not self._cut_before else []
            named = [(f"s{i}", variant) for i, variant in enumerate((*wanted, *others))]
            batch = hashlib.sha256(repr(named).encode()).hexdigest()
            self._object(batch, named)
            for name, variant in named:
                self._cut_before[repr(variant)] = (name, batch)
                self._engine.note([*self._name, "stencils"], f"{name} {batch} {variant!r}")
            for variant, number in new:
                self._stencils[number] = self._stencil(variant, *self._cut_before[repr(variant)])

    def _stencil(self, variant: Variant, name: str, batch: str) -> Stencil | None:
        formulas, functions = self._object(batch, [])
        if name not in formulas:
            return None
        places = self._known_variants.places(variant.instruction)
        made = cut(functions[name], *formulas[name], ("pc", "left", *(f"o{i}" for i in range(len(places)))))
        if made is None:
            return None
        operands = struct.Struct("<" + "".join(SIZES[place.bytes] for _, place in places))
        return Stencil(made, variant.length, operands.unpack_from)

    def _object(self, batch: str, named: Sequence[tuple[str, Variant]]) -> tuple[Formulas, Mapping[str, Piece]]:
        """The functions that were made together, and the formulas of their numbers and addresses."""
        found = self._objects.get(batch)
        if found is None:

            def source() -> Module:
                from emulator.machine.sources import stencils_module

                return stencils_module(self._plan, named)

            note, code = self._engine.object(source, [*self._name, batch], PASSES, "stencils")
            found = self._objects[batch] = (json.decode(note, type=Formulas), pieces(code))
        return found

    def _begin_arena(self) -> Arena:
        """The first copy: there is room for copies from now on, and what stands between stencils."""
        formulas, functions = self._object("glue", [])
        for name, arguments in GLUE.items():
            made = cut(functions[f"glue.{name}"], *formulas[f"glue.{name}"], arguments)
            assert made is not None
            self._glue[name] = made
        self._arena = Arena(ROOM)
        return self._arena

    # -- copies --------------------------------------------------------------------------------------------------------

    def _block(self, page: CodePage, entry: int) -> list[tuple[int, Stencil]]:
        """The instructions of the copy at an address, with their stencils."""
        found: list[tuple[int, Stencil]] = []
        pc = entry
        while len(found) < LONGEST and (pc not in page.copies or pc == entry):
            number = page.number(pc)
            if not number:
                break
            if number not in self._stencils:
                self._take_stencils(self._missing(page, pc))
            stencil = self._stencils[number]
            if stencil is None:
                break
            found.append((pc, stencil))
            pc += stencil.length
            if stencil.cut.jumps or not stencil.cut.falls:
                break
        return found

    def _missing(self, page: CodePage, pc: int) -> Iterator[int]:
        """The variants from an address on for which no stencil was looked for; they are made together."""
        for _ in range(LONGEST):
            number = page.number(pc)
            variant = self._known_variants.all[number]
            if variant is None or variant.trap is not None:
                yield number
                break
            if number not in self._stencils:
                yield number
            pc += variant.length

    def _copy_block(self, page: CodePage, entry: int) -> list[int]:
        """Copies one block; the addresses of the page that it leads to."""
        arena = self._arena or self._begin_arena()
        block = self._block(page, entry)
        if not block:
            return []
        draft = Draft(self._glue, page, entry)
        while not draft.write(block):
            if draft.refused == 0:
                return [entry + block[0][1].length]
            block = block[: draft.refused]
            draft = Draft(self._glue, page, entry)
        places = arena.room(len(draft.often), len(draft.seldom))
        if places is None:
            return []
        often, seldom = places
        draft.connect(often, seldom)
        arena.put(draft.often, draft.seldom)
        page.install(entry, seldom + draft.fallen, seldom)
        page.copies[entry] = (draft.behind, often)
        self.stats["copies"] += 1
        for place, target, way in draft.links:
            page.links.setdefault(target, []).append((often + place, seldom + way))
            if target in page.copies:
                arena.lead(often + place, page.copies[target][1])
        for place, _ in page.links.get(entry, ()):
            arena.lead(place, often)
        return draft.inside

    def _drop(self, page: CodePage, entry: int) -> None:
        super()._drop(page, entry)
        if page.copies.pop(entry, None) is not None and self._arena is not None:
            for place, way in page.links.get(entry, ()):
                self._arena.lead(place, way)
