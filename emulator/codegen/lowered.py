"""Blocks of a region: instructions with the guest's registers in values, checks instead of traps.

`region.py` tells what a region is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analyzer import ir
from emulator.codegen.direct import PC
from emulator.codegen.handler import CHEAP
from emulator.codegen.layout import slot
from emulator.codegen.lower import Arg, Lower, Snap
from emulator.codegen.plan import ENTRIES, ENTRY, LINE, SPAN
from emulator.codegen.values import LIKELY, UNLIKELY, Text, Unsupported, Value, ones, signed, ty
from emulator.codegen.variant import Instr

if TYPE_CHECKING:
    from emulator.codegen.region import Region

Key = tuple[str, str, int]
"""An element ("e", name, 0) or an entry ("f", file, index)."""

CACHED = 64
"""Files with no more entries are kept in values."""
RETURNS = 6
"""Known places that a computed jump is compared with."""
NEAR = 448
"""The units that accesses with a common check may span, if there are stores among them."""
TAKEN, LEFT = "TAKEN", re.compile(r"LEFT(\d+)")
"""In the text of a block, until they are known: its instructions, and those behind the first so many."""
FOLDED = 48
"""A map that comes to no more lines in the present context is evaluated in place."""


class HandOver(Unsupported):
    """The handler must execute the instruction."""


@dataclass(slots=True)
class Checkpoint:
    """A state to go back to: the values that differ from those at the beginning of the block."""

    label: str
    pc: int
    left: int  # instructions of the block from here on
    dirty: dict[Key, Value]
    used: bool = False


@dataclass(slots=True)
class Exit:
    """A way out of the region: where to (None: `target` is a value), by which routine, and what must be stored."""

    label: str
    pc: int | None
    target: Value
    how: str  # "jump", "handler", "check"
    refund: int
    dirty: dict[Key, Value]


@dataclass(frozen=True, slots=True)
class Touch:
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


@dataclass(frozen=True, slots=True)
class Group:
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


@dataclass(frozen=True, slots=True)
class Member:
    """An access of a group: its own root (equal to that of the others) and its distance from it."""

    group: Group
    root: tuple[str, int, int]
    away: int


@dataclass(slots=True)
class Block:
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


@dataclass(frozen=True, slots=True)
class Saved:
    """What differs between ways, besides values; `passed`: whether all that is required holds."""

    dirty: dict[Key, None]
    requires: list[Value]
    pending: list[tuple[str, int, int, Value]]
    written: set[str]
    passed: Value
    hosts: dict[Group, str]


@dataclass(slots=True)
class Mark:
    """Where the lowering of a block stood."""

    lines: int
    where: str
    known: dict[str, str]
    regs: dict[Hashable, Value]
    dirty: dict[Key, None]
    checkpoint: Checkpoint
    used: bool
    counts: tuple[int, int]
    sets: tuple[set[Key], set[int], set[int]]
    hosts: dict[Group, str]
    touches: int


class Lowered(Lower):
    """Lowers one block."""

    def __init__(self, region: Region, text: Text, pc: int, rounds: int = 1) -> None:
        super().__init__(region.plan.isa, text, region.plan.shape)
        self.region, self.plan = region, region.plan
        self.rounds = rounds  # that are still to be lowered, this one included
        self.block = Block(pc, [], 0)
        self.dirty: dict[Key, None] = {}
        self.requires: list[Value] = []
        self.pending: list[tuple[str, int, int, Value]] = []
        self.here = pc
        self.index = 0
        self.fixed: Mapping[str, int] = {}
        self.written: set[str] = set()
        self.checkpoint = self._checkpoint(pc, 0)
        self.regs[PC] = pc
        self.ended = False
        self.length = 0
        self.nofold = 0
        self.cached = False  # has an access gone by a translation cache?
        self.arms = 0
        self.ordinal = 0
        self.hosts: dict[Group, str] = {}

    # -- values --------------------------------------------------------------------------------------------------------

    def operand(self, name: str, width: int) -> Value:
        value = self.fixed.get(name)
        if value is None:
            raise HandOver("a wide operand")
        return value

    def get(self, element: str, width: int) -> Value:
        if element in self.plan.choices:
            return self.plan.choices[element]
        if element == self.plan.pc:
            return self.regs[PC]
        if element in self.region.known and element not in self.written:
            return self.region.known[element]
        if element in self.plan.clocks:
            raise HandOver("a clock")
        return self.reg(("e", element, 0), width)

    def reg(self, key: Key, width: int) -> Value:
        value = self.regs.get(key)
        if value is None:
            self.region.used[key] = width
            value = self.regs[key] = self.text.let(f"load {ty(width)}, ptr %{place(key)}")
        return value

    def reg_code(self, key: Hashable) -> tuple[str, int]:
        if key == PC:
            return "", self.plan.pc_width
        assert isinstance(key, tuple)
        width = self.region.width(key)
        self.region.used[key] = width
        return f"load {ty(width)}, ptr %{place(key)}", width

    def set(self, element: str, value: Value) -> None:
        if element == self.plan.pc:
            self.regs[PC] = value
            return
        width = self.isa.elements[element].width
        if element in self.region.known:
            if value != self.region.known[element]:
                raise HandOver("a change of context")
            return
        if element in self.plan.roots | self.plan.calm_inputs or element in self.plan.clocks:
            raise HandOver("a change of what translations or interrupts depend on")
        if element in self.plan.processor:
            raise HandOver("a change of what translations depend on")
        self.written.add(element)
        self.write(("e", element, 0), value, width)

    def write(self, key: Key, value: Value, width: int) -> None:
        self.region.used[key] = width
        self.regs[key] = value
        self.dirty[key] = None
        self.block.written.add(key)
        if value == self.here + self.length and self.length:
            self.block.links.add(self.here + self.length)

    def get_entry(self, file: ir.File, index: Value) -> Value:
        if isinstance(index, int):
            if index >= file.size or index in file.zeros:
                return 0
            if file.size <= CACHED:
                return self.reg(("f", file.name, index), file.width)
        if file.size <= CACHED:
            raise HandOver("a computed register")
        w = max(file.index_width, file.size.bit_length())
        wide = self.extend(index, file.index_width, w)
        if file.size < 1 << file.index_width:
            wide = self.select(self.compare("ult", wide, file.size, w), wide, file.size, w)
        start = self.text.pure(f"getelementptr i8, ptr %st, i64 {self.plan.layout.files[file.name]}")
        whole = slot(file.width) * 8
        at = self.text.pure(f"getelementptr i{whole}, ptr {start}, i64 {self.fit(wide, w, 64)}")
        return self.fit(self.text.let(f"load i{whole}, ptr {at}"), whole, file.width)

    def set_entry(self, file: ir.File, index: Value, value: Value) -> None:
        if not isinstance(index, int) or file.size > CACHED or file.name in self.plan.roots | self.plan.calm_inputs:
            raise HandOver("a computed register")
        if index < file.size and index not in file.zeros:
            self.written.add(file.name)
            self.write(("f", file.name, index), value, file.width)

    def arbitrary(self, name: str, args: list[tuple[Value, int]], width: int) -> Value:
        raise HandOver("something unspecified")

    def _lazily(self, cond: Value, then: ir.Expr, other: ir.Expr, width: int) -> Value:
        """An arm that asks for something unspecified is left to the interpreter."""
        self.require(cond if effect_free(then) else self.binary("xor", cond, 1, 1))
        return self.value(then if effect_free(then) else other)

    def lookup(self, table: ir.Table, index: Value) -> Value:
        if table.width > 64:
            raise HandOver("a wide table")
        name = f"@table.{table.name}"
        values = ", ".join(f"i64 {v}" for v in (*table.values, 0))
        self.region.globals[name] = f"{name} = private constant [{len(table.values) + 1} x i64] [{values}]"
        w = max(table.index_width, len(table.values).bit_length())
        wide = self.extend(index, table.index_width, w)
        wide = self.select(self.compare("ult", wide, len(table.values), w), wide, len(table.values), w)
        at = self.text.pure(f"getelementptr i64, ptr {name}, i64 {self.fit(wide, w, 64)}")
        return self.fit(self.text.let(f"load i64, ptr {at}"), 64, table.width)

    # -- checks --------------------------------------------------------------------------------------------------------

    def _checkpoint(self, pc: int, index: int) -> Checkpoint:
        found = Checkpoint(f"{self.text.prefix}bail.{index}", pc, -index, {})
        for key in self.dirty:
            found.dirty[key] = self.regs[key]
        self.block.checkpoints.append(found)
        return found

    def require(self, cond: Value) -> None:
        """Goes back unless `cond`; looked at before anything is written."""
        if cond != 1:
            self.requires.append(cond)

    def bail(self) -> str:
        self.checkpoint.used = True
        return self.checkpoint.label

    def check(self) -> None:
        """Looks at what is required."""
        cond: Value = 1
        for one in self.requires:
            cond = self.binary("and", cond, one, 1)
        self.requires = []
        if cond == 1:
            return
        if cond == 0:
            raise HandOver("what never passes")
        on = self.text.fresh("on")
        self.text.do(f"br i1 {cond}, label %{on}, label %{self.bail()}{LIKELY}")
        self.text.label(on)

    def split(self) -> None:
        self.check()

    def _when(self, cond: Value, stmt: ir.When, tail: bool) -> bool:
        """A way that only traps is a check."""
        if not isinstance(cond, int) and not tail:
            if stmt.then and isinstance(stmt.then[0], ir.Trap) and not stmt.other:
                self.require(self.binary("xor", cond, 1, 1))
                return True
            if len(stmt.other) == 1 and isinstance(stmt.other[0], ir.Trap):
                self.require(cond)
                return self.run(stmt.then)
        self.arms += 1
        live = super()._when(cond, stmt, tail)
        self.arms -= 1
        return live

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        self.leave_back()

    def leave_back(self) -> None:
        """This way is the interpreter's."""
        self.requires = []
        self.text.do(f"br label %{self.bail()}")

    def unpredictable(self) -> None:
        self.leave_back()

    def commit(self) -> bool:
        self.leave_back()
        return False

    def execute(self, word: Value, width: int, limit: int) -> None:
        self.leave_back()

    def probe(self, stmt: ir.Probe, address: Value, args: list[Arg]) -> Value:
        raise HandOver("a query of a map")

    keeps_registers = True

    def save(self) -> Saved:
        return Saved(
            dict(self.dirty),
            list(self.requires),
            list(self.pending),
            set(self.written),
            self.passed,
            dict(self.hosts),
        )

    def restore(self, saved: object) -> None:
        assert isinstance(saved, Saved)
        self.dirty, self.requires, self.pending = dict(saved.dirty), list(saved.requires), list(saved.pending)
        self.written, self.hosts = set(saved.written), dict(saved.hosts)

    def join_saved(self, blocks: list[str], saved: list[object]) -> None:
        ways = [one for one in saved if isinstance(one, Saved)]
        if any(way.pending != ways[0].pending for way in ways):
            raise HandOver("a store on one of several ways")
        self.pending = list(ways[0].pending)
        for way in ways:
            self.dirty |= way.dirty
            self.written |= way.written
        self.requires = []
        self.require(self._phi(blocks, [way.passed for way in ways], 1))

    def snap(self, join: str, result: Value | None = None) -> Snap:
        """What is required on this way is known where ways meet."""
        self.passed = 1
        for one in self.requires:
            self.passed = self.binary("and", self.passed, one, 1)
        return super().snap(join, result)

    passed: Value = 1

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
        if not span and self.folds(space, bits, kind, given):
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
        k = self.plan.page(space)
        number = self.plan.views.index(view)
        memory = self.isa.spaces[self.plan.bank.memory]
        member = self.grouped(address, space.address_width, units, units - 1 if aligned else 0, value, number)
        if member is not None:
            return self.touch(self._near(member, k), bits, memory.unit, value)
        self.check()

        def hits(tags: Sequence[Value]) -> Value:
            return self.in_page(wide, tags[0], k, units, aligned)

        low = units - 1 if aligned else 0
        host = self._through(wide, k, number, (0 if value is None else 8,), hits, low)
        return self.touch(host, bits, memory.unit, value)

    def _through(
        self,
        wide: Value,
        k: int,
        number: int,
        wanted: Sequence[int],
        hits: Callable[[Sequence[Value]], Value],
        low: int,
    ) -> str:
        """The host address of `wide` by the cache of a view: `hits` says whether the tags (those at offsets `wanted`
        of the entry) are right, and the bits under `low`.  What is tried first is a window where the view has some, and
        in a loop the page that the same access met last."""
        if number in self.region.windows:
            return self._window(wide, k, number, wanted, hits, low)
        site = self.region.site((self.block.pc, self.index, self.ordinal))
        scaled = self.binary("shl", wide, self.plan.bank.cell.bit_length() - 1, 64)
        if site is None:
            entry, first = self._entry(wide, k, number)
            self.require(hits([self.text.let(f"load i64, ptr {self.gep(entry, first + at)}") for at in wanted]))
            self.check()
            addend = self.text.let(f"load i64, ptr {self.gep(entry, first + 16)}")
            return self.text.let(f"inttoptr i64 {self.binary('add', scaled, addend, 64)} to ptr")
        page = self.text.let(f"load i64, ptr %{site}.page")
        again, other = self.text.fresh("again"), self.text.fresh("other")
        self.text.do(f"br i1 {hits([page] * len(wanted))}, label %{again}, label %{other}{LIKELY}")
        self.text.label(other)
        entry, first = self._entry(wide, k, number)
        self.require(hits([self.text.let(f"load i64, ptr {self.gep(entry, first + at)}") for at in wanted]))
        self.check()
        self.text.do(f"store i64 {self.binary('and', wide, ones(64) - ones(k), 64)}, ptr %{site}.page")
        addend = self.text.let(f"load i64, ptr {self.gep(entry, first + 16)}")
        self.text.do(f"store i64 {addend}, ptr %{site}.addend")
        self.text.do(f"br label %{again}")
        self.text.label(again)
        addend = self.text.let(f"load i64, ptr %{site}.addend")
        return self.text.let(f"inttoptr i64 {self.binary('add', scaled, addend, 64)} to ptr")

    def _window(
        self,
        wide: Value,
        k: int,
        number: int,
        wanted: Sequence[int],
        hits: Callable[[Sequence[Value]], Value],
        low: int,
    ) -> str:
        kind = "write" if 8 in wanted else "read"
        behind, edge, lead = (self.word(f"{kind}.{name}.{number}", "i64") for name in ("behind", "edge", "lead"))
        scaled = self.binary("shl", wide, self.plan.bank.cell.bit_length() - 1, 64)
        near, other, there = (self.text.fresh(stem) for stem in ("near", "other", "there"))
        close = self.compare("ult", edge, self.binary("sub", wide, behind, 64), 64)
        self.text.do(f"br i1 {close}, label %{near}, label %{other}{LIKELY}")
        self.text.label(near)
        fast = self.text.block
        if low:
            aligned = self.compare("eq", self.binary("and", wide, low, 64), 0, 64)
            self.text.do(f"br i1 {aligned}, label %{there}, label %{other}{LIKELY}")
        else:
            self.text.do(f"br label %{there}")
        self.text.label(other)
        entry, first = self._entry(wide, k, number)
        self.require(hits([self.text.let(f"load i64, ptr {self.gep(entry, first + at)}") for at in wanted]))
        self.check()
        addend = self.text.let(f"load i64, ptr {self.gep(entry, first + 16)}")
        slow = self.text.block
        self.text.do(f"br label %{there}")
        self.text.label(there)
        addend = self.text.let(f"phi i64 [{lead}, %{fast}], [{addend}, %{slow}]")
        return self.text.let(f"inttoptr i64 {self.binary('add', scaled, addend, 64)} to ptr")

    def _entry(self, wide: Value, k: int, number: int) -> tuple[str, int]:
        """The entry of an address in the caches, and how far behind it that of the view lies."""
        self.cached = True
        offset = self.binary("and", self.binary("lshr", wide, k - 5, 64), (ENTRIES - 1) * ENTRY, 64)
        entry = self.text.pure(f"getelementptr i8, ptr {self.word('dtlb', 'ptr')}, i64 {offset}")
        return entry, number * ENTRIES * ENTRY

    # -- accesses that share a check -----------------------------------------------------------------------------------

    def grouped(
        self, address: Value, width: int, units: int, low: int, value: Value | None, view: int | None, most: int = 0
    ) -> Member | None:
        """The place of an access in a group; notes the access."""
        here = (self.index, self.ordinal)
        self.ordinal += 1
        origin = self._affine(address, width)
        if origin is None or self.arms:
            return None
        root, away = origin
        self.block.touches.append(Touch(here, root, away, units, low, value is not None, view, most))
        group = self.region.groups.get((self.block.pc, *here))
        return None if group is None else Member(group, root, away)

    def _affine(self, address: Value, width: int) -> tuple[tuple[str, int, int], int] | None:
        """What an address is counted from (a value, its width, the width that is left of it), and by how much."""
        if isinstance(address, int):
            return None
        value, before = str(address), width
        if m := re.fullmatch(r"trunc i(\d+) (%[\w.]+) to i\d+", self.text.known_code(value) or ""):
            value, before = m[2], int(m[1])
        away = 0
        while m := re.fullmatch(r"add i\d+ (%[\w.]+), (\d+)", self.text.known_code(value) or ""):
            value, away = m[1], away + signed(int(m[2]), before)
        return (value, before, width), away

    def _base(self, member: Member) -> Value:
        """The first address of a group."""
        root, before, width = member.root
        start = self.binary("add", root, member.group.lo & ones(before), before)
        return self.extend(self.fit(start, before, width), width, 64)

    def _near(self, member: Member, page: int | None) -> str:
        """The host address of an access of a group; checks the group where it is met first."""
        group = member.group
        host = self.hosts.get(group)
        if host is None:
            base = self._base(member)
            host = self.hosts[group] = self._flat(group, base) if page is None else self._paged(group, base, page)
        distance = (member.away - group.lo) * self.plan.bank.cell
        return self.gep(host, distance)

    def _flat(self, group: Group, base: Value) -> str:
        span = group.hi - group.lo
        lines = (span + (1 << LINE) - 1 >> LINE) + 1 if group.stores else 0
        return self._plain(base, span, group.most, group.low, lines)

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
        return self._through(base, k, group.view, wanted, hits, group.low)

    def gep(self, base: str, offset: int) -> str:
        return base if not offset else self.text.let(f"getelementptr i8, ptr {base}, i64 {offset}")

    def folds(self, space: ir.Map, bits: int, kind: ir.AccessKind, given: tuple[Arg, ...]) -> bool:
        """Whether a map comes to little in this context."""
        if self.nofold:
            return False
        constant = tuple(g if isinstance(g, int) else None for g in given)
        key = (space.name, bits, kind, constant, tuple(isinstance(g, str) for g in given))
        known = self.region.folding.get(key)
        if known is None:
            known = self.region.folding[key] = self._try(space, bits, kind, given)
        return known

    def _try(self, space: ir.Map, bits: int, kind: ir.AccessKind, given: tuple[Arg, ...]) -> bool:
        """Lowers the map on trial."""
        if isinstance(self.isa.spaces[space.below], ir.Bus):
            return False
        trial = Lowered(self.region, Text("trial."), self.here)
        trial.nofold = 1
        try:
            trial.through(space, "%trial", bits, kind, [None if g is None else g for g in given])
        except Unsupported:
            return False
        return not trial.cached and len(trial.text.lines) + 3 * len(trial.requires) <= FOLDED

    def physical(self, space: ir.Memory, address: Value, bits: int, table: bool, value: Value | None) -> Value:
        bank, units = self.plan.bank, bits // space.unit
        if bits > 64 or bank.memory != space.name or bank.size < units:
            raise HandOver("other memory")
        if self.nofold:
            raise HandOver("a map that reads memory")
        wide, low, width = self._merged(address, space.address_width, units)
        within = self._within(self.extend(wide, width, 64))
        most = min([bank.size - units, *within.values()])
        member = self.grouped(wide, width, units, low, value, None, most)
        if member is not None:
            first = most - (member.away - member.group.lo)
            self.requires += within if first < member.group.most else ()
            return self.touch(self._near(member, None), bits, space.unit, value)
        host = self._plain(self.extend(wide, width, 64), units, most, low, 0 if value is None else 1)
        return self.touch(host, bits, space.unit, value)

    def _plain(self, address: Value, units: int, most: int, low: int, lines: int) -> str:
        """The host address of units of the bank, at most `most` from its beginning; the bits of the address under `low`
        must be 0.  Where they are written, there must be no marks on the `lines` lines from the first unit on: nearly
        always they are among the units that are known to have none."""
        bank = self.plan.bank
        offset = self.binary("sub", address, bank.base, 64)
        self.check()
        if not lines:
            self.require(self.inside(offset, max(most + 1, 0), low))
            self.check()
            return self._host(address, offset)
        clean, near, other = (self.text.fresh(stem) for stem in ("clean", "near", "other"))
        away = self.binary("sub", address, self.word("clean", "i64"), 64)
        close = self.compare("ult", away, self._room(offset, most, most < bank.size - units), 64)
        self.text.do(f"br i1 {close}, label %{near if low else clean}, label %{other}{LIKELY}")
        if low:
            self.text.label(near)
            aligned = self.compare("eq", self.binary("and", address, low, 64), 0, 64)
            self.text.do(f"br i1 {aligned}, label %{clean}, label %{other}{LIKELY}")
        self.text.label(other)
        self.require(self.inside(offset, max(most + 1, 0), low))
        self.check()
        first = self.binary("lshr", offset, LINE, 64)
        at = self.text.let(f"getelementptr i8, ptr {self._from_state('marks', 'ptr')}, i64 {first}")
        marks = self.text.let(f"load i{8 * lines}, ptr {at}, align 1")
        self.require(self.text.let(f"icmp eq i{8 * lines} {marks}, 0"))
        self.check()
        self.text.do(f"br label %{clean}")
        self.text.label(clean)
        if not self.tight:
            return self._host(address, offset)
        self.region.words["clean"] = "i64"
        self.region.free = True
        return self.text.let(f"getelementptr i8, ptr %free, i64 {self._scaled(away)}")

    def _room(self, offset: Value, most: int, bounded: bool) -> Value:
        """So many units from the first without marks on accesses may begin in; if they are `bounded`, no more than
        `most` from the bank's beginning.  Loops have what both come to beside each other, for nearly the same bounds
        once."""
        if not bounded:
            return self.word("room", "i64")
        if self.block.pc not in self.region.rounds or most < SPAN:
            self.require(self.compare("ule", offset, max(most, 0), 64))
            self.check()
            return self.word("room", "i64")
        self.region.words |= {"clean": "i64", "room": "i64"}
        end = most // SPAN * SPAN
        self.region.rooms.add(end)
        return f"%room.{end}"

    @property
    def tight(self) -> bool:
        """Whether the block is a loop by itself."""
        return self.region.rounds.get(self.block.pc) == 1

    def _scaled(self, units: Value) -> Value:
        """The bytes of the host that units of the bank take."""
        return self.binary("shl", units, self.plan.bank.cell.bit_length() - 1, 64)

    def _host(self, address: Value, offset: Value) -> str:
        """Where units of the bank lie.  If their address is the sum of one that no loop changes and another value, so
        is the pointer: then check and access do not wait for each other."""
        sum_ = re.fullmatch(r"add i64 (%[\w.]+), (%[\w.]+)", self.text.known_code(address) or "")
        if sum_ is not None and self.tight:
            steady = {value for key, value in self.regs.items() if key not in self.region.changing}
            for start, away in ((sum_[1], sum_[2]), (sum_[2], sum_[1])):
                if start in steady:
                    first = self._scaled(self.binary("sub", start, self.plan.bank.base, 64))
                    there = self.text.pure(f"getelementptr i8, ptr %ram, i64 {first}")
                    shift = re.fullmatch(r"shl i64 (%[\w.]+), (\d+)", self.text.known_code(away) or "")
                    if shift is not None:
                        away = self.binary("shl", self._anew(shift[1]), int(shift[2]), 64)
                    return self.text.let(f"getelementptr i8, ptr {there}, i64 {self._scaled(away)}")
        return self.text.let(f"getelementptr i8, ptr %ram, i64 {self._scaled(offset)}")

    def _anew(self, value: Value) -> Value:
        """The same value; LLVM takes it for another, and computes from it where that is asked."""
        return value if isinstance(value, int) else self.text.pure(f"call i64 @llvm.expect.i64(i64 {value}, i64 0)")

    def inside(self, offset: Value, most: int, low: int) -> Value:
        """Whether an offset is less than `most`, and its bits under `low` are 0; a mask for a power of two."""
        if not low:
            return self.compare("ult", offset, most, 64)
        size = most + low
        if self.tight and most and not size & size - 1:
            mask = ones(64) - (size - 1) | low
            return self.compare("eq", self.binary("and", self._anew(offset), mask, 64), 0, 64)
        n = low.bit_length()
        turned = self.text.pure(f"call i64 @llvm.fshr.i64(i64 {offset}, i64 {offset}, i64 {n})")
        return self.compare("ult", turned, most + low >> n, 64)

    def word(self, name: str, kind: str) -> str:
        """A word of the state, or of the caches, that does not change while a region runs; in a loop it is there
        already."""
        if self.block.pc in self.region.rounds:
            self.region.words[name] = kind
            return f"%{name}"
        return self._from_state(name, kind)

    def _from_state(self, name: str, kind: str) -> str:
        base, offset = self.region.place(name)
        if base != "st":
            base = self._from_state(base, "ptr")[1:]
        at = self.text.pure(f"getelementptr i8, ptr %{base}, i64 {offset}")
        return self.text.pure(f"load {kind}, ptr {at}")

    def _within(self, address: Value) -> dict[Value, int]:
        """Takes out what is required of the distance of an address from the bank's beginning, with the bounds."""
        offset = self.binary("sub", address, self.plan.bank.base, 64)
        found: dict[Value, int] = {}
        for cond in self.requires:
            code = self.text.known_code(self._plain_condition(cond)) or ""
            test = re.fullmatch(r"icmp ule i64 (%[\w.]+), (\d+)", code)
            if test and test[1] == offset:
                found[cond] = int(test[2])
        self.requires = [cond for cond in self.requires if cond not in found]
        return found

    def _plain_condition(self, cond: Value) -> Value:
        """A condition without what negates it twice."""
        while negated := re.fullmatch(r"xor i1 (%[\w.]+), 1", self.text.known_code(cond) or ""):
            twice = re.fullmatch(r"xor i1 (%[\w.]+), 1", self.text.known_code(negated[1]) or "")
            if not twice:
                break
            cond = twice[1]
        return cond

    def _merged(self, address: Value, width: int, units: int) -> tuple[Value, int, int]:
        """The address, a mask of low bits that must be 0, and the width of the address: what is required of single bits
        of it is taken over by the comparison with the bounds."""
        bank = self.plan.bank
        plain = self.extend(address, width, 64)
        if isinstance(address, int):
            return address, 0, width
        origin = self._origin(address)
        base, shown = origin if origin is not None else (str(plain), 64)
        kept: list[Value] = []
        high = low = 0
        for cond in self.requires:
            test = self._zero_test(cond)
            if test is None or test[0] not in (base, str(address), str(plain)):
                kept.append(cond)
                continue
            bits = test[1]
            if bits & bits + 1 == 0:
                low |= bits
            elif bits & ones(width) == 0:
                high |= bits
            else:
                kept.append(cond)
        if shown < 64 and base != str(plain):  # cut off high bits: only if they are required to be 0
            missing = ones(64) & ~ones(shown)
            if high & missing != missing:
                return address, 0, width
            address, width = base, 64
        if bank.base & low or (high and bank.base + bank.size > high & -high):
            return address, 0, width
        self.requires = kept
        return address, low, width

    def _origin(self, value: Value) -> tuple[str, int] | None:
        """The 64-bit value that one was cut from, and the bits that are left."""
        code = self.text.known_code(value)
        found = re.fullmatch(r"trunc i64 (%[\w.]+) to i(\d+)", code or "")
        return (found[1], int(found[2])) if found else None

    def _zero_test(self, cond: Value) -> tuple[str, int] | None:
        """(x, mask) if a condition says that the bits of x under the mask are 0."""
        code = self.text.known_code(cond) or ""
        negated = re.fullmatch(r"xor i1 (%[\w.]+), 1", code)
        if negated:
            inner = self.text.known_code(negated[1]) or ""
            twice = re.fullmatch(r"xor i1 (%[\w.]+), 1", inner)
            return self._zero_test(twice[1]) if twice else None
        test = re.fullmatch(r"icmp eq i(\d+) (%[\w.]+), 0", code)
        if not test:
            return None
        value, mask = test[2], ones(int(test[1]))
        while True:
            code = self.text.known_code(value) or ""
            if m := re.fullmatch(r"and i\d+ (%[\w.]+), (\d+)", code):
                value, mask = m[1], mask & int(m[2])
            elif m := re.fullmatch(r"zext i(\d+) (%[\w.]+) to i\d+", code):
                value, mask = m[2], mask & ones(int(m[1]))
            elif m := re.fullmatch(r"trunc i\d+ (%[\w.]+) to i\d+", code):
                value = m[1]
            elif m := re.fullmatch(r"lshr i(\d+) (%[\w.]+), (\d+)", code):
                value, mask = m[2], mask << int(m[3]) & ones(int(m[1]))
            else:
                return value, mask

    def touch(self, host: str, bits: int, unit: int, value: Value | None) -> Value:
        """Reads now, or writes at the end of the instruction."""
        if value is not None:
            self.pending.append((host, bits, unit, value))
            return 0
        if self.pending:
            raise HandOver("a load after a store")
        return host_load(self, host, bits, unit)

    def perform(self) -> None:
        """Writes what the instruction stores; there is no way back behind it."""
        self.check()
        for host, bits, unit, value in self.pending:
            host_store(self, host, bits, unit, value)
        if self.pending:
            self.pending = []
            self.stored = True

    stored = False

    # -- ends ----------------------------------------------------------------------------------------------------------

    def interrupts(self) -> None:
        """Leaves after the instruction if an interrupt may have become pending."""
        due = [i for i, inputs in enumerate(self.plan.interrupt_inputs) if inputs & self.written]
        if not due:
            return
        outer, self.locals = self.locals, {}
        wait: Value = 0
        for i in due:
            cond = self.isa.interrupts[i].cond
            if len(list(ir.subterms(cond))) > CHEAP * 4:
                raise HandOver("a long interrupt condition")
            wait = self.binary("or", wait, self.value(cond), 1)
        self.locals = outer
        self.check()
        if wait == 0:
            return
        self.perform()
        out, on = self.text.fresh("irq"), self.text.fresh("on")
        if wait == 1:
            raise HandOver("an interrupt")
        self.text.do(f"br i1 {wait}, label %{out}, label %{on}{UNLIKELY}")
        self.text.label(out)
        self.leave(None, self.regs[PC], "check", self.index + 1)
        self.text.label(on)
        for key, value in list(self.regs.items()):  # on this way it is false: a flag that is the condition is 0
            if value == wait:
                self.regs[key] = 0

    def end(self) -> None:
        """A way that ends the instruction, and with it the block."""
        self.interrupts()
        self.perform()
        self.ended = True
        pc = self.regs[PC]
        if isinstance(pc, int):
            self.goto(pc)
            return
        candidates = sorted(self.region.links)[:RETURNS]
        for link in candidates:
            yes, no = self.text.fresh("return"), self.text.fresh("on")
            same = self.compare("eq", pc, link, self.plan.pc_width)
            self.text.do(f"br i1 {same}, label %{yes}, label %{no}")
            self.text.label(yes)
            self.goto(link)
            self.text.label(no)
        self.leave(None, pc, "jump", self.index + 1)

    def goto(self, pc: int) -> None:
        """To another block of the region, or out of it."""
        self.block.next.add(pc)
        if pc not in self.region.members:
            self.leave(pc, pc, "jump", self.index + 1)
            return
        if pc == self.block.pc and self.rounds > 1:
            self._again()
            return
        for key in self.dirty:
            width = self.region.used[key]
            self.text.do(f"store {ty(width)} {self.regs[key]}, ptr %{place(key)}")
        if self.rounds > 1:  # the steps of the rounds that are left are not taken
            budget = self.text.let(f"call i64 @llvm.expect.i64(i64 %{self.text.prefix}b1, i64 0)")
            budget = self.text.let(f"add i64 {budget}, LEFT{self.index + 1}")
            self.text.do(f"store i64 {budget}, ptr %budget")
        self.text.do(f"br label %b{pc:x}")

    def _again(self) -> None:
        """Another round of the loop that the block is, behind this one."""
        saved = (self.index, self.here, self.ordinal, self.fixed, self.length, self.locals, self.checkpoint)
        frames, after, arms, flags = self.frames, self.after, self.arms, (self.stored, self.ended)
        self.frames, self.after, self.arms = [], False, 0
        self.checkpoint = self._checkpoint(self.block.pc, self.index + 1)
        self.rounds -= 1
        self._round(self.index + 1)
        self.rounds += 1
        self.index, self.here, self.ordinal, self.fixed, self.length, self.locals, self.checkpoint = saved
        self.frames, self.after, self.arms, (self.stored, self.ended) = frames, after, arms, flags

    def leave(self, pc: int | None, target: Value, how: str, done: int) -> None:
        """Leaves the region, with `done` instructions of the block executed."""
        label = f"{self.text.prefix}out.{len(self.block.exits)}"
        dirty = {key: self.regs[key] for key in self.dirty}
        self.block.exits.append(Exit(label, pc, target, how, -done, dirty))
        self.text.do(f"br label %{label}")

    # -- the block -----------------------------------------------------------------------------------------------------

    def lower(self, instrs: Sequence[Instr]) -> Block:
        """Lowers the instructions of the block; those of a loop, several rounds of it one behind the other."""
        block, text = self.block, self.text
        self.instrs = instrs
        text.label(f"b{block.pc:x}")
        n = text.prefix
        text.do(f"%{n}bb = load i64, ptr %budget")
        text.do(f"%{n}b0 = call i64 @llvm.expect.i64(i64 %{n}bb, i64 0)")
        text.do(f"%{n}b1 = sub i64 %{n}b0, {TAKEN}")
        text.do(f"br label %{n}go")
        text.label(f"{n}go")
        text.do(f"store i64 %{n}b1, ptr %budget")
        self._round(0)
        count = block.count
        lines = [line.replace(TAKEN, str(count)) for line in text.lines]
        block.lines = [LEFT.sub(lambda m: str(count - int(m[1])), line) for line in lines]
        return block

    def _round(self, done: int) -> None:
        """Lowers the instructions, `done` of them before."""
        block, instrs = self.block, self.instrs
        for i, instr in enumerate(instrs, done):
            self.index, self.here, self.ordinal = i, instr.pc, 0
            state = self._mark()
            try:
                if not self._instruction(instr):
                    block.count = max(block.count, i + 1)
                    break
            except Unsupported:
                self._back(state)
                self.leave(instr.pc, instr.pc, "handler", i)
                block.count = max(block.count, i)
                break
        else:
            last = instrs[-1]
            assert last.variant is not None
            self.index = done + len(instrs) - 1
            block.count = max(block.count, done + len(instrs))
            self.goto(last.pc + last.variant.length & ones(self.plan.pc_width))

    def _instruction(self, instr: Instr) -> bool:
        """Lowers one instruction; whether the block goes on behind it."""
        if instr.variant is None or instr.variant.trap is not None:
            raise HandOver("a trap")
        self.fixed, self.length = instr.operands, instr.variant.length
        self.locals, self.written, self.requires, self.pending = {}, set(), [], []
        self.regs[PC] = instr.pc
        self.stored, self.ended = False, False
        body = self.isa.instructions[instr.variant.instruction].body
        next_ = instr.pc + instr.variant.length & ones(self.plan.pc_width)
        inner = any(self.shape.jumps(stmt) for stmt in body if not isinstance(stmt, ir.Set))
        if not self.run(body, tail=inner):
            return False
        if self.ended:
            raise HandOver("several ends")
        if self.regs[PC] != next_:
            self.end()
            return False
        self.interrupts()
        self.perform()
        if self.stored:
            self.checkpoint = self._checkpoint(next_, self.index + 1)
        return True

    def _mark(self) -> Mark:
        text, block = self.text, self.block
        return Mark(
            len(text.lines),
            text.block,
            dict(text.known),
            dict(self.regs),
            dict(self.dirty),
            self.checkpoint,
            self.checkpoint.used,
            (len(block.checkpoints), len(block.exits)),
            (set(block.written), set(block.next), set(block.links)),
            dict(self.hosts),
            len(block.touches),
        )

    def _back(self, mark: Mark) -> None:
        """As if nothing had been lowered since."""
        text, block = self.text, self.block
        del text.lines[mark.lines :]
        text.block, text.known = mark.where, mark.known
        self.regs, self.dirty = mark.regs, mark.dirty
        self.checkpoint, self.checkpoint.used = mark.checkpoint, mark.used
        points, exits = mark.counts
        del block.checkpoints[points:], block.exits[exits:]
        block.written, block.next, block.links = mark.sets
        self.hosts, self.arms = mark.hosts, 0
        del block.touches[mark.touches :]
        self.nofold = 0
        self.frames.clear()
        self.requires, self.pending = [], []


def place(key: Key) -> str:
    """The name of the variable of a register."""
    kind, name, index = key
    return f"{kind}.{name}.{index}"


def effect_free(e: ir.Expr) -> bool:
    return not any(isinstance(term, ir.Arbitrary) for term in ir.subterms(e))


def host_load(code: Lowered, host: str, bits: int, unit: int) -> Value:
    """Reads units of RAM as one number."""
    cell, big = code.plan.bank.cell, code.isa.endian == "big"
    if unit == 8 and bits in (8, 16, 32, 64):
        value: Value = code.text.let(f"load i{bits}, ptr {host}, align 1")
        if big and bits > 8:
            value = code.text.let(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
        return value
    count = bits // unit
    total: Value = 0
    for i in range(count):
        at = code.text.let(f"getelementptr i8, ptr {host}, i64 {i * cell}") if i else host
        part = code.text.let(f"load i{cell * 8}, ptr {at}, align 1")
        low = ((count - 1 - i) if big else i) * unit
        one = code.extend(code.fit(part, cell * 8, unit), unit, bits)
        total = code.binary("or", total, code.binary("shl", one, low, bits), bits)
    return total


def host_store(code: Lowered, host: str, bits: int, unit: int, value: Value) -> None:
    """Writes a number to units of RAM."""
    cell, count, big = code.plan.bank.cell, bits // unit, code.isa.endian == "big"
    if unit == 8 and bits in (8, 16, 32, 64):
        if big and bits > 8:
            value = code.text.let(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
        code.text.do(f"store i{bits} {value}, ptr {host}, align 1")
        return
    for i in range(count):
        at = code.text.let(f"getelementptr i8, ptr {host}, i64 {i * cell}") if i else host
        low = ((count - 1 - i) if big else i) * unit
        part = code.extend(code.extract(value, bits, low + unit - 1, low), unit, cell * 8)
        code.text.do(f"store i{cell * 8} {part}, ptr {at}, align 1")
