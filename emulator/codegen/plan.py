"""What generated code agrees on for one machine: layout, contexts, translation caches, routines, clocks.

A *context* is one assignment of the small elements that the cached maps (and the map of instruction fetch) read: the
mode, a key, whether paging is on.  Each has its own translation caches and its own code, so a change of mode flushes
nothing.  What else those maps read (roots of tables, bounds) are the *roots*: where one of them changes, all
translations are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import msgspec
from msgspec import Struct, field

from analyzer import ir
from emulator.codegen.layout import Bank, Layout
from emulator.codegen.shape import Shape
from emulator.stopping import shutdowns, stopping

ENTRIES = 1024
"""Entries of a data cache, for each view."""
ENTRY = 32
RANGES = (30, 21)
"""The logarithms of the units of ranges that are tried as a whole; what is uniform of them is a *window* of a view."""
WINDOW = 64
"""Bytes behind all entries, for each view: three words of the window of reads, three of that of writes, and two that
are 0 if these were looked for since translations were dropped last.  The words of a window: the address behind the last
at which an access may begin, what an address less that must exceed, and what leads from an address to the host."""
CODE_ENTRIES = 256
CODE_ENTRY = 32
"""Bytes: the address of the page, its first record, the host address of its first unit, its last address."""
CODE_PAGE = 12
"""The logarithm of the units that an entry of the fetch cache stands for."""
CODE_SHIFT = CODE_PAGE - CODE_ENTRY.bit_length() + 1
"""From an address to the offset of its entry, by shifting right and `CODE_MASK`."""
CODE_MASK = (CODE_ENTRIES - 1) * CODE_ENTRY
LINE = 6
"""The logarithm of the units that one mark stands for."""
OVERHANG = 8
"""A mark also stands for that many units before it, so that the first unit of an access tells."""

SPAN = 512
"""The most units of accesses that are checked together against the units without marks."""

OFTEN = 16
"""Instructions that write an element, from which on it changes often."""

MARK_CODE = 1
MARK_TABLE = 2

View = tuple[str, tuple[int | None, ...]]
"""A map with the arguments that are given, as far as they are; what has a cache of its own."""


class Facts(msgspec.Struct, frozen=True):
    """What running code has to know of a spec: it takes a while to find, and is kept beside the code.

    `key` are the elements that make up the key of a context, 64 bits at most; `roots` elements and files whose change
    drops all translations; `views` those of cached maps that have a data cache, at most eight; `processor` the elements
    that stop the processor, and `shutdowns` those of them that say that it shut itself down."""

    key: tuple[str, ...]
    roots: frozenset[str]
    views: tuple[View, ...]
    processor: tuple[str, ...]
    shutdowns: frozenset[str]


class Plan(Struct, frozen=True, dict=True):
    """The agreement; see the module."""

    isa: ir.Isa
    choices: Mapping[str, int]
    bank: Bank
    clocks: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # element: source, shift
    ghosts: frozenset[str] = frozenset()
    known: Facts | None = None

    @cached_property
    def facts(self) -> Facts:
        if self.known is not None:
            return self.known
        key = self._key()
        return Facts(key, frozenset(self._read) - set(key), self._views(), stopping(self.isa), shutdowns(self.isa))

    @property
    def key(self) -> tuple[str, ...]:
        return self.facts.key

    @property
    def roots(self) -> frozenset[str]:
        return self.facts.roots

    @property
    def views(self) -> tuple[View, ...]:
        return self.facts.views

    @property
    def processor(self) -> tuple[str, ...]:
        return self.facts.processor

    @property
    def shutdowns(self) -> frozenset[str]:
        return self.facts.shutdowns

    @cached_property
    def shape(self) -> Shape:
        return Shape(self.isa)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.isa)

    @property
    def pc(self) -> str:
        return self.isa.fetch.pc

    @cached_property
    def pc_width(self) -> int:
        return self.isa.elements[self.pc].width

    @cached_property
    def per_parcel(self) -> int:
        """Units in a parcel."""
        return self.isa.fetch.parcel // self.isa.unit

    # -- what maps read ------------------------------------------------------------------------------------------------

    @cached_property
    def _read(self) -> dict[str, None]:
        """Elements and files that decide on a cached translation, in the order of the spec."""
        found: set[str] = set()
        for space in self.isa.spaces.values():
            if isinstance(space, ir.Map) and (not self.shape.inlined(space) or space.name in self._fetch_chain):
                self._reads_of_map(space, found)
        for name in self._fetch_chain:
            space = self.isa.spaces[name]
            if isinstance(space, ir.Bus):  # the entries that it answers with decide on nothing
                for stmt in ir.statements(space.read.body):
                    if isinstance(stmt, ir.When | ir.Load):
                        for expr in ir.expressions(stmt):
                            self._reads_of(expr, found)
        for expr in self.isa.fetch.args:
            self._reads_of(expr, found)
        found.discard(self.pc)
        return {name: None for name in (*self.isa.elements, *self.isa.files) if name in found}

    @cached_property
    def _fetch_chain(self) -> tuple[str, ...]:
        chain, space = [], self.isa.spaces[self.isa.fetch.space]
        while True:
            chain.append(space.name)
            if isinstance(space, ir.Map):
                space = self.isa.spaces[space.below]
            elif isinstance(space, ir.Bus) and any(isinstance(s, ir.Load) for s in ir.statements(space.read.body)):
                load = next(s for s in ir.statements(space.read.body) if isinstance(s, ir.Load))
                space = self.isa.spaces[load.access.space]
            else:
                return tuple(chain)

    def _reads_of_map(self, space: ir.Map, found: set[str]) -> None:
        self._reads_of_block(space.body, found, set())
        for param in space.params:
            if param.default is not None:
                self._reads_of(param.default, found)

    def _reads_of_block(self, block: ir.Block, found: set[str], seen: set[str]) -> None:
        """What is read but for the arguments of traps: those do not decide on a translation."""
        for stmt in ir.statements(block):
            if isinstance(stmt, ir.Trap):
                continue
            for expr in ir.expressions(stmt):
                self._reads_of(expr, found)
            if isinstance(stmt, ir.Call) and stmt.procedure not in seen:
                seen.add(stmt.procedure)
                self._reads_of_block(self.isa.procedures[stmt.procedure].body, found, seen)

    @cached_property
    def maps_read_pc(self) -> bool:
        """Whether what a map answers, or a trap that it raises, depends on the program counter."""
        maps = [space for space in self.isa.spaces.values() if isinstance(space, ir.Map)]
        exprs = [p.default for space in maps for p in space.params if p.default is not None]
        left, seen = [space.body for space in maps], set[str]()
        while left:
            for stmt in ir.statements(left.pop()):
                exprs += ir.expressions(stmt)
                if isinstance(stmt, ir.Call) and stmt.procedure not in seen:
                    seen.add(stmt.procedure)
                    left.append(self.isa.procedures[stmt.procedure].body)
        found: set[str] = set()
        for expr in exprs:
            self._reads_of(expr, found)
        return self.pc in found

    def _reads_of(self, expr: ir.Expr, found: set[str]) -> None:
        for term in ir.subterms(expr):
            if isinstance(term, ir.Get) and term.element in self.isa.elements:
                found.add(term.element)
            elif isinstance(term, ir.GetEntry):
                found.add(term.file)

    def _key(self) -> tuple[str, ...]:
        found, total = [], 0
        elements = [self.isa.elements[name] for name in self._read if name in self.isa.elements]
        for element in sorted(elements, key=lambda e: e.width):
            if element.width <= 24 and total + element.width <= 64:
                found.append(element.name)
                total += element.width
        return tuple(found)

    @cached_property
    def interrupt_inputs(self) -> tuple[frozenset[str], ...]:
        """The elements and files that each interrupt condition reads."""
        inputs = []
        for interrupt in self.isa.interrupts:
            found: set[str] = set()
            self._reads_of(interrupt.cond, found)
            inputs.append(frozenset(found))
        return tuple(inputs)

    @cached_property
    def calm(self) -> tuple[tuple[ir.Expr, ...], ...]:
        """For each interrupt, the conjuncts of its condition that read nothing which changes often: while one of them
        is false in each, no interrupt comes.  Often changes what the delivery writes, or many instructions."""
        often = {s.element for s in _sets(() if self.isa.deliver is None else self.isa.deliver.body)}
        count: dict[str, int] = {}
        for instruction in self.isa.instructions:
            for name in {s.element for s in _sets(instruction.body)}:
                count[name] = count.get(name, 0) + 1
        often |= {name for name, n in count.items() if n > OFTEN}
        found = []
        for interrupt in self.isa.interrupts:
            quiet: list[ir.Expr] = []
            for conjunct in _conjuncts(interrupt.cond):
                inputs: set[str] = set()
                self._reads_of(conjunct, inputs)
                unspecified = any(isinstance(term, ir.Arbitrary) for term in ir.subterms(conjunct))
                if inputs and not inputs & often and not unspecified:
                    quiet.append(conjunct)
            found.append(tuple(quiet))
        return tuple(found)

    @cached_property
    def calm_inputs(self) -> frozenset[str]:
        """The elements and files that `calm` reads."""
        found: set[str] = set()
        for conjuncts in self.calm:
            for conjunct in conjuncts:
                self._reads_of(conjunct, found)
        return frozenset(found)

    # -- caches --------------------------------------------------------------------------------------------------------

    def _views(self) -> tuple[View, ...]:
        found: dict[View, None] = {}
        for space in self.shape.cached:
            found[space.name, (None,) * len(space.params)] = None
        for block in blocks(self.isa):
            for stmt in ir.statements(block):
                if isinstance(stmt, ir.Load | ir.Store):
                    used = self.isa.spaces[stmt.access.space]
                    if isinstance(used, ir.Map) and used in self.shape.cached:
                        view = _given(stmt.access, len(used.params))
                        if view is not None:
                            found[used.name, view] = None
        return tuple(found)[:8]

    def window(self, view: int, write: bool) -> int:
        """The offset of a window in the caches."""
        return len(self.views) * ENTRIES * ENTRY + view * WINDOW + 24 * write

    @cached_property
    def translations(self) -> int:
        """The bytes of all data caches of a context."""
        return max(len(self.views), 1) * (ENTRIES * ENTRY + WINDOW)

    @cached_property
    def pages(self) -> Mapping[str, int]:
        """The logarithm of the units that one entry of a map's cache stands for: the least place where its body cuts
        an address, from 512 units on.  A guess that costs time where it is wrong, and nothing else."""
        return {name: self._page(space) for name, space in self.isa.spaces.items() if isinstance(space, ir.Map)}

    def _page(self, space: ir.Map) -> int:
        cuts = [12]
        seen: set[str] = set()

        def look(block: ir.Block) -> None:
            loaded = {stmt.local for stmt in ir.statements(block) if isinstance(stmt, ir.Load)}
            for stmt in ir.statements(block):
                for expr in ir.expressions(stmt):
                    for term in ir.subterms(expr):
                        if isinstance(term, ir.Extract) and 9 <= term.lo <= 12:
                            if isinstance(stmt, ir.Let) and _names(term) & loaded:
                                loaded.add(stmt.local)
                            if not _names(term) & loaded:
                                cuts.append(term.lo)
                if isinstance(stmt, ir.Let) and any(_names(e) & loaded for e in ir.expressions(stmt)):
                    loaded.add(stmt.local)
                if isinstance(stmt, ir.Call) and stmt.procedure not in seen:
                    seen.add(stmt.procedure)
                    look(self.isa.procedures[stmt.procedure].body)

        look(space.body)
        return min(cuts)

    # -- routines ------------------------------------------------------------------------------------------------------

    @cached_property
    def routines(self) -> tuple[str, ...]:
        """The routines of the spec, by the place of their address in the state."""
        names = [f"translate.{s.name}" for s in self.isa.spaces.values() if isinstance(s, ir.Map)]
        for s in self.isa.spaces.values():
            if not isinstance(s, ir.Bus):
                names += [f"load.{s.name}", f"store.{s.name}"]
        names += [f"deliver.{name}" for name in self.isa.traps]
        return tuple(names)

    def routine(self, name: str) -> int:
        """The offset of a routine's address in the state."""
        return self.layout.routines + 8 * self.routines.index(name)


def _sets(block: ir.Block) -> list[ir.Set]:
    return [stmt for stmt in ir.statements(block) if isinstance(stmt, ir.Set)]


def _conjuncts(expr: ir.Expr) -> list[ir.Expr]:
    if isinstance(expr, ir.Logic) and expr.op == "and":
        return [*_conjuncts(expr.left), *_conjuncts(expr.right)]
    return [expr]


def _names(expr: ir.Expr) -> set[str]:
    return {term.name for term in ir.subterms(expr) if isinstance(term, ir.Local)}


def _given(access: ir.Access, count: int) -> tuple[int | None, ...] | None:
    """The constant arguments of an access; None if one is given that is not constant."""
    found: list[int | None] = []
    for i in range(count):
        given = i < len(access.args) and (i >= len(access.given) or access.given[i])
        if not given:
            found.append(None)
        elif isinstance(arg := access.args[i], ir.Const | ir.BoolConst):
            found.append(int(arg.value))
        else:
            return None
    return tuple(found)


def blocks(isa: ir.Isa) -> list[ir.Block]:
    """All blocks of an Isa."""
    found = [i.body for i in isa.instructions] + [p.body for p in isa.procedures.values()]
    for space in isa.spaces.values():
        if isinstance(space, ir.Map):
            found.append(space.body)
        elif isinstance(space, ir.Bus):
            found += [space.read.body] + ([] if space.write is None else [space.write.body])
    if isa.deliver is not None:
        found.append(isa.deliver.body)
    return found
