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

On the reference executor a shadow is asked at each translation, in place of the host's own map.  A host with tables of
the machine's own format would have them filled instead; the rules are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analyzer import ir
from emulator.monitor.direct import DirectRun, Miss, Shadow
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan, map_reads
from emulator.reference.run import Args, Leave, Run
from emulator.state import State

Key = tuple[str, int, int, str, tuple[int | None, ...]]
"""Map, address (of the granule), width with low bits and `WHOLE`, kind, arguments as the spec gave them."""

WHOLE = 40
"""The bit of a key that says that the entry is for a granule, and not for one access."""

Context = tuple[object, ...]
Unit = tuple[str, int]

MOST_ENTRIES = 1 << 14
"""Entries of all contexts; past them the shadow starts anew, so that no guest exhausts the memory of the host."""

MOST_UNITS = 1 << 20
"""Writable units that are kept account of; the same of them."""

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


class ShadowMap:
    """The shadow of one virtual machine.  `granules` gives for maps the number of low address bits below which they
    translate alike (proved, see `analyzer.obligations`); a map without one is shadowed access by access."""

    def __init__(self, plan: Plan, record: State, placements: Sequence[Placement], granules: Mapping[str, int]) -> None:
        self.version = 0
        self.filled = self.refused = self.invalidated = 0
        self.covers = frozenset(plan.shadowed)
        self._isa = plan.isa
        self._record = record
        self._placements = placements
        self._granules = granules
        names = sorted(set().union(*(_reads(plan.isa, name) for name in plan.shadowed)))
        elements, files = plan.isa.elements, plan.isa.files
        passed = set(plan.division.passed)
        self._held = tuple(n for n in names if n in elements and n not in passed)
        own = {n for n in passed if n in elements and elements[n].role is not ir.Role.GUEST}
        self._passed = tuple(n for n in names if n in own)
        self._files = tuple(n for n in names if n in files)
        self._entries: dict[tuple[Context, Key], Entry] = {}
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
        key, offset = self._key(space, address, bits, kind, args)
        entry = self._entries.get((self._present(run.state), key))
        return None if entry is None else (entry.memory, entry.real + offset)

    def _key(self, space: ir.Map, address: int, bits: int, kind: ir.AccessKind, args: Args) -> tuple[Key, int]:
        """The key of an access, and its offset in the granule."""
        low = self._granules.get(space.name, 0)
        offset = address & (1 << low) - 1
        units = bits // space.unit
        if space.name not in self._granules or offset + units > 1 << low:  # by itself
            return (space.name, address, bits, kind, args), 0
        aligned = offset & (1 << min(low, ALIGNED_BITS)) - 1
        return (space.name, address >> low, bits << ALIGNED_BITS | aligned | 1 << WHOLE, kind, args), offset

    def _present(self, state: State) -> Context:
        """The context: what the map reads, from the record, and what passes from where the guest runs."""
        if self._context is None:
            elements = self._record.elements
            held = tuple(elements[n] for n in self._held)
            self._context = (held, tuple(self._token(n) for n in self._files))
        if not self._passed and self._outer is None:
            return self._context
        outer = () if self._outer is None else self._outer.context(state)
        return (*self._context, outer, *(state.elements[n] for n in self._passed))

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
        return (self.version, *self._present(state))

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
        key, offset = self._key(space, miss.address, miss.bits, miss.kind, miss.args)
        asked = self._asked(run, space, miss)
        if asked is None:
            return self._refuse()
        memory, address, tables = asked
        whole = key[2] >> WHOLE & 1
        units = 1 << self._granules[space.name] if whole else miss.bits // memory.unit
        start = address - offset if whole else address
        real = self._real(memory.name, start, units)
        if real is None or (miss.kind == "write" and self._traced(memory.name, start, units)):
            return self._refuse()
        at = self._present(run.state), key
        self._enter(at, Entry(memory, real, units), start, tables, miss.kind)
        return True

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

    def _traced(self, memory: str, address: int, units: int) -> bool:
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
        if len(self._entries) >= MOST_ENTRIES or len(self._writable) + entry.units > MOST_UNITS:
            self.flush()
        self.filled += 1
        for unit in tables:
            self._tables.setdefault(unit, set()).add(at)
            self._drop(self._writable.pop(unit, set()))  # SHADOW-TRACED
        self._entries[at] = entry
        if kind == "write":
            for i in range(entry.units):
                self._writable.setdefault((entry.memory.name, start + i), set()).add(at)

    def wrote(self, memory: str, address: int, units: int) -> None:
        """The virtual machine's memory was written other than through an entry."""
        if self._tables:
            for i in range(units):
                self._drop(self._tables.pop((memory, address + i), set()))

    def _drop(self, gone: set[tuple[Context, Key]]) -> None:
        for at in gone:
            if self._entries.pop(at, None) is not None:
                self.invalidated += 1
        if gone:
            self.version += 1

    def flush(self) -> None:
        """Forgets everything."""
        self.invalidated += len(self._entries)
        self._entries.clear()
        self._tokens.clear()
        self._seen.clear()
        self._context = None
        self._tables.clear()
        self._writable.clear()
        self.version += 1


def _reads(isa: ir.Isa, name: str) -> set[str]:
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    return map_reads(isa, space)[0]
