"""Accesses of a region that go through a map: by the caches of translations, or by the map itself where it is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from analyzer import ir
from emulator.codegen.banked import Banked, Straight
from emulator.codegen.block import Group, HandOver
from emulator.codegen.lower import Arg
from emulator.codegen.plan import ENTRIES, ENTRY
from emulator.codegen.values import LIKELY, Text, Unsupported, Value, ones

FOLDED = 48
"""A map that comes to no more lines in the present context is evaluated in place."""


class Look(Struct, frozen=True):
    """An address of 64 bits that is looked up in the caches of a view, in pages of 2^`page` units.  `hits` says whether
    the tags of an entry (those at the offsets `wanted`) are right, and the bits of the address under `low`."""

    address: Value
    page: int
    view: int
    wanted: Sequence[int]
    hits: Callable[[Sequence[Value]], Value]
    low: int


Folded = Straight | Literal["in place"]
"""What a map may come to."""


class Paged(Banked):
    """Code that reads and writes memory below a map."""

    cached = False  # has an access gone by a translation cache?

    # -- memory --------------------------------------------------------------------------------------------------------

    def mapped(
        self,
        space: ir.Map,
        address: Value,
        bits: int,
        kind: ir.AccessKind,
        args: list[Arg],
        table: bool,
        value: Value | None,
        span: bool,
    ) -> Value:
        if bits > 64:
            raise HandOver("a wide access")
        given = tuple(args[i] if i < len(args) else None for i in range(len(space.params)))
        folded = None if span else self.folded(space, bits, kind, given)
        if isinstance(folded, Straight) and isinstance(address, str):
            memory = self.isa.spaces[space.below]
            assert isinstance(memory, ir.Memory)
            return self.located(memory, address, bits, folded.low, folded.width, {}, value)
        if folded is not None:
            self.nofold += 1
            below = self.through(space, address, bits, kind, list(given))
            self.nofold -= 1
            return self.access(space.below, below, bits, kind, [], table, value, False)
        view = (space.name, tuple(g if isinstance(g, int) else None for g in given))
        units = bits // space.unit
        aligned = self.shape.sized(space) and units > 1
        if view not in self.plan.views or any(isinstance(g, str) for g in given) or (aligned and units & units - 1):
            raise HandOver("an access without a cache")
        if self.written & self.plan.roots:
            raise HandOver("an access after a change of the map")
        wide = self.extend(address, space.address_width, 64)
        k = self.plan.pages[space.name]
        number = self.plan.views.index(view)
        memory = self.isa.spaces[self.plan.bank.memory]
        member = self.grouped(address, space.address_width, units, units - 1 if aligned else 0, value, number)
        if member is not None:
            host = self.near(member, lambda group, base: self._paged(group, base, k))
            return self.touch(host, bits, memory.unit, value)
        self.check()
        low = units - 1 if aligned else 0

        def hits(tags: Sequence[Value]) -> Value:
            return self.in_page(wide, tags[0], k, units, aligned)

        host = self._through(Look(wide, k, number, (0 if value is None else 8,), hits, low))
        return self.touch(host, bits, memory.unit, value)

    def _through(self, look: Look) -> str:
        """The host address.  What is tried first is a window where the view has some, and in a loop the page that the
        same access met last."""
        scaled = self.scaled(look.address)
        if look.view in self.region.windows:
            addend = self._window(look)
        elif (site := self.region.site((self.block.pc, self.index, self.ordinal))) is not None:
            addend = self._site(look, site)
        else:
            addend = self._cache(look)
        return self.text.let(f"inttoptr i64 {self.binary('add', scaled, addend, 64)} to ptr")

    def _cache(self, look: Look) -> str:
        """What leads from the address to the host, by the entry of its page; goes back if there is none."""
        self.cached = True
        offset = self.binary("and", self.binary("lshr", look.address, look.page - 5, 64), (ENTRIES - 1) * ENTRY, 64)
        entry = self.text.pure(f"getelementptr i8, ptr {self.word('dtlb', 'ptr')}, i64 {offset}")
        first = look.view * ENTRIES * ENTRY
        tags = [self.text.let(f"load i64, ptr {self.gep(entry, first + at)}") for at in look.wanted]
        self.require(look.hits(tags))
        self.check()
        return self.text.let(f"load i64, ptr {self.gep(entry, first + 16)}")

    def _site(self, look: Look, site: str) -> str:
        """The same, by the page that the access met last, or else the cache."""
        page = self.text.let(f"load i64, ptr %{site}.page")
        again, other = self.text.fresh("again"), self.text.fresh("other")
        self.text.do(f"br i1 {look.hits([page] * len(look.wanted))}, label %{again}, label %{other}{LIKELY}")
        self.text.label(other)
        addend = self._cache(look)
        self.text.do(f"store i64 {self.binary('and', look.address, ones(64) - ones(look.page), 64)}, ptr %{site}.page")
        self.text.do(f"store i64 {addend}, ptr %{site}.addend")
        self.text.do(f"br label %{again}")
        self.text.label(again)
        return self.text.let(f"load i64, ptr %{site}.addend")

    def _window(self, look: Look) -> str:
        """The same, by the window of the view, or else the cache."""
        kind = "write" if 8 in look.wanted else "read"
        names = (f"{kind}.{part}.{look.view}" for part in ("behind", "edge", "lead"))
        behind, edge, lead = (self.word(name, "i64") for name in names)
        near, other, there = (self.text.fresh(stem) for stem in ("near", "other", "there"))
        close = self.compare("ult", edge, self.binary("sub", look.address, behind, 64), 64)
        self.text.do(f"br i1 {close}, label %{near}, label %{other}{LIKELY}")
        self.text.label(near)
        fast = self.text.block
        if look.low:
            aligned = self.compare("eq", self.binary("and", look.address, look.low, 64), 0, 64)
            self.text.do(f"br i1 {aligned}, label %{there}, label %{other}{LIKELY}")
        else:
            self.text.do(f"br label %{there}")
        self.text.label(other)
        addend = self._cache(look)
        slow = self.text.block
        self.text.do(f"br label %{there}")
        self.text.label(there)
        return self.text.let(f"phi i64 [{lead}, %{fast}], [{addend}, %{slow}]")

    def _paged(self, group: Group, base: Value, k: int) -> str:
        """All of the group is in one page, which is in the cache for all that the group does."""
        assert group.view is not None
        self.check()
        last = self.binary("add", base, group.hi - group.lo - 1, 64)

        def hits(tags: Sequence[Value]) -> Value:
            pages = ones(64) - ones(k)
            first = self.binary("and", base, pages | group.low, 64)
            fits = self.compare("eq", first, tags[0], 64)
            for tag in dict.fromkeys(tags[1:]):
                fits = self.binary("and", fits, self.compare("eq", first, tag, 64), 1)
            return self.binary("and", fits, self.compare("eq", self.binary("and", last, pages, 64), tags[0], 64), 1)

        wanted = [offset for there, offset in ((group.loads, 0), (group.stores, 8)) if there]
        return self._through(Look(base, k, group.view, wanted, hits, group.low))

    def gep(self, base: str, offset: int) -> str:
        return base if not offset else self.text.let(f"getelementptr i8, ptr {base}, i64 {offset}")

    def folded(self, space: ir.Map, bits: int, kind: ir.AccessKind, given: tuple[Arg, ...]) -> Folded | None:
        """What a map comes to in this context, if that is little."""
        if self.nofold:
            return None
        constant = tuple(g if isinstance(g, int) else None for g in given)
        key = (space.name, bits, kind, constant, tuple(isinstance(g, str) for g in given))
        folding: dict[object, Folded | None] = self.region.sketches.folding
        if key not in folding:
            folding[key] = self._try(space, bits, kind, given)
        return folding[key]

    def _try(self, space: ir.Map, bits: int, kind: ir.AccessKind, given: tuple[Arg, ...]) -> Folded | None:
        """Lowers the map on trial."""
        memory = self.isa.spaces[space.below]
        if isinstance(memory, ir.Bus):
            return None
        trial, used = type(self)(self.region, Text("trial."), self.here), dict(self.region.used)
        trial.nofold = 1
        try:
            below = trial.through(space, "%trial", bits, kind, list(given))
            size = len(trial.text.lines) + 3 * len(trial.requires)
            if trial.cached or size > FOLDED:
                return None
            straight = trial.straight(memory, "%trial", bits, below) if isinstance(memory, ir.Memory) else None
            return straight or "in place"
        except Unsupported:
            return None
        finally:
            self.region.used = used
