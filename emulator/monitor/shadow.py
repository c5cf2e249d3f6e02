"""The shadow map: what a virtual machine's resource map and its placement come to, filled on misses.

It stands where a real monitor has shadow page tables.  An entry is made by asking the virtual machine's own map (its
IR, on the monitor's record) and placing the answer.  These are the rules:

SHADOW-CONTAINED
    An entry is made only for an access that the virtual map permits, to memory of the virtual machine that is RAM.
SHADOW-QUIET
    And only if the virtual map has no side effect in granting it: while an accessed or modified bit is still to be set,
    the access is emulated, and the record's own map sets it.
SHADOW-TRACED
    The cells of the tables that an entry was made from are never writable through an entry; a write to one is emulated,
    and takes away the entries that came from it.
SHADOW-CONTEXT
    Entries hold in the context that they were made in: the values of all elements and files that the map reads, guest
    state aside, of which it does not depend (P1).  Where monitors nest, the inner shadow's context is part of it.

SHADOW-NATURAL
    An entry for all naturally aligned accesses to a granule, of all widths that the Isa uses there, is made only if the
    virtual map treats them alike.

SHADOW-FLAT
    No entries are needed in a context in which the virtual map passes all addresses of the guest's RAM on as they are
    (proved), as long as no cell of it must be traced.  Of a virtual machine with a monitor in it, that RAM is what the
    innermost guest has.

On the reference executor a shadow is asked at each translation, in place of the host's own map.  A host with tables of
the machine's own format would have them filled instead; the rules are the same.  A host on generated code has a mirror
of the entries (`emulator.monitor.table`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from analyzer import ir
from analyzer.allocator import Flat, never
from emulator.codegen.plan import blocks
from emulator.evaluate import Environment, value_of
from emulator.monitor.direct import DirectRun, Miss, Shadow
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan, map_reads
from emulator.reference.run import Args, Leave, Run
from emulator.state import State

Key = tuple[str, int, int, ir.AccessKind, tuple[int | None, ...]]
"""Map, address (of the granule), width with low bits and `WHOLE`, or `NATURAL`, kind, arguments as the spec gave them,
those that do not decide left out."""

WHOLE = 40
"""The bit of a key that says that the entry is for a granule, and not for one access."""

NATURAL = 1 << 41
"""The width of an entry for all naturally aligned accesses to a granule."""

Context = tuple[object, ...]
Unit = tuple[str, int]

Epoch = tuple[bool, bool, tuple[int, ...]]

MOST_ENTRIES = 1 << 14
"""Entries of all contexts; past them the shadow starts anew, so that no guest exhausts the memory of the host."""

SETTLED = 24
"""Entries that are filled before it is asked whether a context is flat."""

LINE = 6
"""The logarithm of the units that writable entries are kept account of together."""

TRACED_INDEX, TRACED_BITS = 6, 6
"""The logarithms of the words that say which lines are watched, and of their bits."""

SPREAD = 0x9E3779B97F4A7C15
"""An odd number that spreads lines over those bits."""

MOST_LINES = 1 << 16
"""Writable lines that are kept account of; past them the shadow starts anew, too."""

MOST_TOKENS = 256
"""Contents of files that are told apart; the same of them."""

ALIGNED_BITS = 3
"""Low address bits that may matter to a map beside the granule's: how an access is aligned."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An access at offset 0 of the granule goes to the host's `real`; `units` of the host it covers, from `real` on."""

    memory: ir.Memory
    real: int
    units: int


class Mirror(Protocol):
    """What keeps a copy of the entries."""

    def entered(self, at: tuple[Context, Key], entry: Entry) -> None: ...

    def dropped(self, at: tuple[Context, Key]) -> None: ...

    def flushed(self) -> None: ...


class ShadowMap:
    """The shadow of one virtual machine.  `granules` gives for maps the number of low address bits below which they
    translate alike (proved, see `analyzer.obligations`); a map without one is shadowed access by access.  `block` is
    the memory of the machine that flat contexts lead to; None: all of it."""

    def __init__(
        self,
        plan: Plan,
        record: State,
        placements: Sequence[Placement],
        granules: Mapping[str, int],
        flat: Flat = never,
        block: Placement | None = None,
    ) -> None:
        self.version = 0
        self.stayed = False
        """The guest has run for long."""
        self.filled = self.refused = self.invalidated = 0
        self.covers = frozenset(plan.shadowed)
        self._isa = plan.isa
        self._record = record
        self._placements = placements
        self._granules = granules
        self._passes = flat
        self._block = block
        self._watched = 0
        """Traced units in the block."""
        self._lines: list[int] | None = None
        self._flat: dict[tuple[int, ...], bool] = {}
        names = sorted(set().union(*(_reads(plan.isa, name) for name in plan.shadowed)))
        elements, files = plan.isa.elements, plan.isa.files
        passed = set(plan.division.passed)
        self._held = tuple(n for n in names if n in elements and n not in passed)
        own = {n for n in passed if n in elements and elements[n].role is not ir.Role.GUEST}
        self._passed = tuple(n for n in names if n in own)
        self._files = tuple(n for n in names if n in files)
        self.entries: dict[tuple[Context, Key], Entry] = {}
        self.mirror: Mirror | None = None
        self._widths = {name: widths(plan.isa, name) for name in plan.shadowed}
        self._deciding = {name: _decides(plan.isa, name) for name in plan.shadowed}
        self._tables: dict[Unit, set[tuple[Context, Key]]] = {}
        self._writable: dict[Unit, set[tuple[Context, Key]]] = {}
        self._seen: dict[str, tuple[list[int], int]] = {}
        self._issued = 0
        self._tokens: dict[tuple[str, tuple[int, ...]], int] = {}
        self._outer: Shadow | None = None
        self._context: Context | None = None

    # -- asked by the host ---------------------------------------------------------------------------------------------

    def find(
        self, run: Run, space: ir.Map, address: int, bits: int, kind: ir.AccessKind, args: Args
    ) -> tuple[ir.Memory, int] | None:
        """The host's memory and address for an access, or None."""
        context = self.present(run.state)
        for key, offset in self._keys(space, address, bits, kind, args):
            entry = self.entries.get((context, key))
            if entry is not None:
                return entry.memory, entry.real + offset
        return None

    def _keys(
        self, space: ir.Map, address: int, bits: int, kind: ir.AccessKind, args: Args
    ) -> Iterator[tuple[Key, int]]:
        """The keys of an access, the widest first, and its offset in the granule."""
        low = self._granules.get(space.name, 0)
        offset, units = address & (1 << low) - 1, bits // space.unit
        decides = self._deciding[space.name]
        given = tuple(args[i] if i < len(args) and each else None for i, each in enumerate(decides))
        if space.name not in self._granules or offset + units > 1 << low:  # by itself
            yield (space.name, address, bits, kind, given), 0
            return
        if low >= ALIGNED_BITS and natural(offset, units):
            yield (space.name, address >> low, NATURAL, kind, given), offset
        aligned = offset & (1 << min(low, ALIGNED_BITS)) - 1
        yield (space.name, address >> low, bits << ALIGNED_BITS | aligned | 1 << WHOLE, kind, given), offset

    def present(self, state: State) -> Context:
        """The context: what the map reads, from the record, and what passes from where the guest runs."""
        if self._context is None:
            elements = self._record.elements
            held = tuple(elements[n] for n in self._held)
            self._context = (held, tuple(self._token(n) for n in self._files))
        if not self._passed and self._outer is None:
            return self._context
        outer = () if self._outer is None else self._outer.context(state)
        return (*self._context, outer, *(state.elements[n] for n in self._passed))

    def flat(self, state: State) -> bool:
        """Do all maps pass on all addresses of the virtual machine as they are, in the present context, and is no table
        to be watched (SHADOW-FLAT)?  Asked of the solver where a guest stays for long."""
        if self._outer is not None or self._watched or self._passed:
            return False
        held = tuple(self._record.elements[n] for n in self._held)
        known = self._flat.get(held)
        if known is None and self.settled:
            if len(self._flat) >= MOST_TOKENS:
                self._flat.clear()
            values = dict(zip(self._held, held, strict=True))
            known = self._flat[held] = all(self._passes(name, values) for name in sorted(self.covers))
        return bool(known)

    def lines(self) -> Sequence[int]:
        """Which lines are watched (SHADOW-TRACED): a bit of a word for each (`spot`), which some share."""
        if self._lines is None:
            self._lines = [0] * (1 << TRACED_INDEX)
            for line in {address >> LINE for _, address in self._tables}:
                word, bit = spot(line)
                self._lines[word] |= 1 << bit
        return self._lines

    def _in_block(self, unit: Unit) -> bool:
        block = self._block
        return block is None or (unit[0] == block.memory and block.holds(unit[1]))

    @property
    def settled(self) -> bool:
        """Does the guest stay for long enough to ask whether its contexts are flat?"""
        return self.stayed or self.filled >= SETTLED

    def epoch(self) -> Epoch:
        """What contexts and their answers depend on besides elements: the same as long as they stay true."""
        return bool(self._watched), self.settled, tuple(self._token(n) for n in self._files)

    def default(self, param: ir.MapParam, kind: ir.AccessKind) -> int:
        """What the state makes of an argument that the spec does not give: that of the innermost machine."""
        if self._outer is not None:
            return self._outer.default(param, kind)
        if param.default is None:
            return 0
        record = self._record
        value = value_of(param.default, self._isa)
        environment = Environment(record.elements, record.files, record.choices, {})
        return int(value(environment, {"access": ir.ACCESS_CODE[kind]}))

    def _token(self, name: str) -> int:
        """A number for what a file holds: the same for the same entries.  Files are long, and seldom change."""
        entries = self._record.files[name]
        last, token = self._seen.get(name, ([], 0))
        if last != entries:
            if len(self._tokens) >= MOST_TOKENS:
                self.flush()
            self._issued += 1  # a number is never given again
            token = self._tokens.setdefault((name, tuple(entries)), self._issued)
            self._seen[name] = (list(entries), token)
        return token

    def context(self, state: State) -> Context:
        """What an answer of this shadow depends on, for those who keep it; `state` is where the guest runs."""
        return (self.version, *self.present(state))

    # -- kept by the monitor -------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """The record has changed: the context is another (SHADOW-CONTEXT)."""
        self._context = None

    def nested(self, outer: Shadow | None) -> None:
        """The virtual machine's own map is a shadow too, that of the monitor in it (None: it is not)."""
        self._outer = outer

    def fill(self, run: DirectRun, miss: Miss) -> bool:
        """Makes the entry for a miss, `run` being a step on the record.  False: the rules do not allow one, and the
        access is to be emulated."""
        space = self._isa.spaces[miss.space]
        assert isinstance(space, ir.Map)
        for key, offset in self._keys(space, miss.address, miss.bits, miss.kind, miss.args):
            start = miss.address - offset
            asked = self._alike(run, space, miss, start) if key[2] == NATURAL else self._asked(run, space, miss)
            if asked is None:
                continue
            memory, address, tables = asked
            whole = key[2] >= 1 << WHOLE
            units = 1 << self._granules[space.name] if whole else miss.bits // memory.unit
            first = address - offset if whole and key[2] != NATURAL else address
            real = self._real(memory.name, first, units)
            if real is None or (miss.kind == "write" and self._traced(memory.name, first, units, tables)):
                continue
            at = self.present(run.state), key
            self._enter(at, Entry(memory, real, units), first, tables, miss.kind)
            return True
        return self._refuse()

    def _alike(
        self, run: DirectRun, space: ir.Map, miss: Miss, start: int
    ) -> tuple[ir.Memory, int, tuple[Unit, ...]] | None:
        """What the virtual map says of all natural accesses to the granule at `start`; None if it is not one answer,
        moved by their distance."""
        found: tuple[ir.Memory, int] | None = None
        tables: dict[Unit, None] = {}
        for bits in self._widths[space.name]:
            units = bits // space.unit
            if bits == miss.bits or (miss.kind != "fetch" and natural(0, units)):
                for away in range(0, 1 << ALIGNED_BITS, units):
                    asked = self._asked(run, space, replace(miss, address=start + away, bits=bits))
                    if asked is None or found not in (None, (asked[0], asked[1] - away)):
                        return None
                    found = asked[0], asked[1] - away
                    tables |= dict.fromkeys(asked[2])
        return None if found is None else (*found, tuple(tables))

    def _refuse(self) -> bool:
        self.refused += 1
        return False

    def _asked(self, run: DirectRun, space: ir.Map, miss: Miss) -> tuple[ir.Memory, int, tuple[Unit, ...]] | None:
        """What the virtual map says: memory and address below, and the cells of tables that it read; None if it traps,
        has a side effect, or ends elsewhere than in memory."""
        try:
            below, address, _ = run._locate(space.name, miss.address, miss.bits, miss.kind, miss.args)
        except Leave:
            run.undo()
            return None
        marked = bool(run.journal)
        run.undo()
        if marked or not isinstance(below, ir.Memory):
            return None
        unit = below.unit
        tables = tuple(
            (touch.cell[0], touch.cell[1] + i) for touch in run.accesses for i in range(max(1, touch.bits // unit))
        )
        return below, address, tables

    def _real(self, memory: str, address: int, units: int) -> int | None:
        for placement in self._placements:
            if placement.memory == memory:
                real = placement.real(address, units)
                if real is not None:
                    return real
        return None

    def _traced(self, memory: str, address: int, units: int, tables: Sequence[Unit]) -> bool:
        """Is one of these units a cell that an entry came from, or one of `tables`, that another is to come from?"""
        if any(m == memory and address <= a < address + units for m, a in tables):
            return True
        if units < len(self._tables):
            return any((memory, address + i) in self._tables for i in range(units))
        return any(m == memory and address <= a < address + units for m, a in self._tables)

    def _enter(
        self,
        at: tuple[Context, Key],
        entry: Entry,
        start: int,
        tables: tuple[Unit, ...],
        kind: ir.AccessKind,
    ) -> None:
        if len(self.entries) >= MOST_ENTRIES or len(self._writable) + (entry.units >> LINE) > MOST_LINES:
            self.flush()
        self.filled += 1
        for unit in tables:
            if unit not in self._tables:
                self._tables[unit] = set()
                self._watched += self._in_block(unit)
                self._lines = None
            self._tables[unit].add(at)
            self._drop(self._writable.pop((unit[0], unit[1] >> LINE), set()))  # SHADOW-TRACED
        self.entries[at] = entry
        if self.mirror is not None:
            self.mirror.entered(at, entry)
        if kind == "write":
            for line in range(start >> LINE, (start + entry.units - 1 >> LINE) + 1):
                self._writable.setdefault((entry.memory.name, line), set()).add(at)

    def wrote(self, memory: str, address: int, units: int) -> None:
        """The virtual machine's memory was written other than through an entry."""
        if self._tables:
            written: Iterable[Unit] = ((memory, address + i) for i in range(units))
            if units > len(self._tables):
                written = [unit for unit in self._tables if unit[0] == memory and 0 <= unit[1] - address < units]
            for unit in written:
                gone = self._tables.pop(unit, None)
                if gone is not None:
                    self._watched -= self._in_block(unit)
                    self._lines = None
                    self._drop(gone)

    def _drop(self, gone: set[tuple[Context, Key]]) -> None:
        for at in gone:
            if self.entries.pop(at, None) is not None:
                self.invalidated += 1
                if self.mirror is not None:
                    self.mirror.dropped(at)
        if gone:
            self.version += 1

    def flush(self) -> None:
        """Forgets everything."""
        self.invalidated += len(self.entries)
        self.entries.clear()
        if self.mirror is not None:
            self.mirror.flushed()
        self._tokens.clear()
        self._seen.clear()
        self._context = None
        self._tables.clear()
        self._watched, self._lines = 0, None
        self._writable.clear()
        self.version += 1


def spot(line: int) -> tuple[int, int]:
    """The word and the bit in it that say of a line whether it is watched.

    >>> spot(0), spot(1)
    ((0, 0), (39, 35))
    """
    mixed = line * SPREAD >> 64 - TRACED_INDEX - TRACED_BITS & (1 << TRACED_INDEX + TRACED_BITS) - 1
    return mixed >> TRACED_BITS, mixed & (1 << TRACED_BITS) - 1


def _reads(isa: ir.Isa, name: str) -> set[str]:
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    return map_reads(isa, space)[0]


# -- what a map makes of an access -------------------------------------------------------------------------------------


def natural(offset: int, units: int) -> bool:
    """Is an access of so many units there naturally aligned, and no wider than the alignment that matters?

    >>> natural(6, 2), natural(6, 4), natural(0, 3)
    (True, False, False)
    """
    return 0 < units <= 1 << ALIGNED_BITS and units & units - 1 == 0 and offset % units == 0


def widths(isa: ir.Isa, name: str) -> tuple[int, ...]:
    """The widths in bits of all accesses of an Isa to a space."""
    found = {isa.fetch.parcel} if isa.fetch.space == name else set()
    for block in blocks(isa):
        for stmt in ir.statements(block):
            if isinstance(stmt, ir.Load | ir.Store | ir.Probe) and stmt.access.space == name:
                found.add(stmt.access.bits)
    return tuple(sorted(found))


def deciding(isa: ir.Isa, space: ir.Map) -> frozenset[str]:
    """The parameters of a map on which more depends than the arguments of its traps."""
    return frozenset(p.name for p in space.params if _used(isa, space.body, p.name, frozenset()))


def _decides(isa: ir.Isa, name: str) -> tuple[bool, ...]:
    """Of each parameter of a map: is it one of `deciding`?"""
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    found = deciding(isa, space)
    return tuple(p.name in found for p in space.params)


def _used(isa: ir.Isa, block: ir.Block, name: str, within: frozenset[str]) -> bool:
    for stmt in ir.statements(block):
        match stmt:
            case ir.Trap():
                continue
            case ir.Call():
                procedure = isa.procedures[stmt.procedure]
                for (param, _), arg in zip(procedure.params, stmt.args, strict=True):
                    if not _mentions(arg, name):
                        continue
                    if not isinstance(arg, ir.Local) or procedure.name in within:
                        return True
                    if _used(isa, procedure.body, param, within | {procedure.name}):
                        return True
            case _:
                if any(_mentions(expr, name) for expr in ir.expressions(stmt)):
                    return True
    return False


def _mentions(expr: ir.Expr, name: str) -> bool:
    return any(isinstance(term, ir.Local) and term.name == name for term in ir.subterms(expr))
