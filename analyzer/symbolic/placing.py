"""Placing memory: what a map leaves open, settled so that accesses go as a model has them.

The definitions see memory through a window and leave translation abstract.  Here an instruction is executed once more,
on the model's numbers: at each access the spec's own map is asked, and what it still leaves open (registers that the
model does not mention, cells of its tables) is given values that make it permit or refuse the access as in the model.
Then the cells that it leads to are given what the model shows there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import or_
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.symbolic.builder import Substitution
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.model import Entries, Model
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import DEFAULT_RLIMIT, Array, Bits, Bool, Smt
from analyzer.symbolic.term import Term, bit_of
from analyzer.symbolic.terms import atoms
from analyzer.symbolic.windows import MapShape, Windows, World, linear

PLACING_RLIMIT = 100_000
"""Work for finding the values for one access."""

PLACE_BITS = 16
"""Places that lie apart are this many address bits large."""

FIRST_UNITS = 8
"""Units that can be reached at a home of every space."""

MEETINGS = 8
"""Times that known cells may be told before a place is given up."""

ATTEMPTS = 4
"""Places tried for one access before the state is given up."""


class NoPlace(Exception):
    """The machine's own map cannot show what the model shows."""


class KnownSmt(Smt):
    """Terms over arrays of which some cells are known: a read of one is its number."""

    def __init__(self, rlimit: int, beside: Smt | None = None) -> None:
        super().__init__(rlimit, beside)
        self.known = Known(self)

    def select(self, array: Array, index: Bits, index_width: int) -> Bits:
        cell = super().select(array, index, index_width)
        if isinstance(cell, Term) and cell.op == "select" and isinstance(cell.args[1], int):
            return self.known.cells.get(cell.args[0].name, {}).get(cell.args[1], cell)
        return cell

    def once(self, what: str, a: Any, b: Any, make: Any) -> Any:
        """Reads are made anew when more cells are known."""
        if what != "select":
            return super().once(what, a, b, make)
        reads = self.known.reads
        if (a, b) not in reads:
            reads[a, b] = make(a, b)
        return reads[a, b]


class Known:
    """What has been settled of the symbols of one state."""

    def __init__(self, smt: KnownSmt) -> None:
        self.smt = smt
        self.pins: dict[Term, int] = {}
        self.cells: dict[str, dict[int, int]] = {}  # of arrays, by their names
        self.reads: dict[tuple[Array, Bits], Bits] = {}
        self._replacing: Substitution | None = None

    def pin(self, atom: Term, value: int) -> None:
        """Settles a symbol, or a cell whose index is a number."""
        if atom.op == "select":
            self.cells.setdefault(atom.args[0].name, {})[atom.args[1]] = value
        else:
            self.pins[atom] = value
        self.reads.clear()
        self._replacing = None

    def with_(self, assigned: list[tuple[Term, int]]) -> Known:
        """What is known when these atoms are settled too."""
        other = Known(self.smt)
        other.pins = dict(self.pins)
        other.cells = {n: dict(c) for n, c in self.cells.items()}
        for atom, value in assigned:
            other.pin(atom, value)
        return other

    def term(self, term: Any) -> Any:
        """A term with everything settled put in."""
        if not isinstance(term, Term):
            return term
        before, self.smt.known = self.smt.known, self
        if self._replacing is None:
            self._replacing = self.smt.substitution(self.pins.items(), reduce(or_, map(bit_of, self.cells), 0))
        try:
            return self._replacing(term)
        finally:
            self.smt.known = before

    def number(self, value: Bits) -> int:
        """A term whose value is settled.

        Raises:
            NoPlace: it is not.
        """
        term = self.term(value)
        if not isinstance(term, int):
            raise NoPlace
        return int(term)

    def has(self, value: Bits) -> bool:
        """Whether a term is settled."""
        return isinstance(self.term(value), int)

    def truth(self, value: Bool) -> bool | None:
        """Whether a formula is settled, and how."""
        term = self.term(value)
        return term if isinstance(term, bool) else None


class Shows(Protocol):
    """What accesses show, and which are refused."""

    def shows(self, space: ir.Space, place: tuple[int, ...], bits: int, table: bool) -> int: ...

    def refuses(self, space: ir.Map, args: tuple[int, ...], place: tuple[int, ...], access: ir.Access) -> bool: ...


class Placing(Windows):
    """Memories in which every access is translated down to physical memory, and finds there what the model shows."""

    def __init__(self, isa: ir.Isa, smt: KnownSmt, world: World, shapes: dict[str, MapShape], model: Shows) -> None:
        super().__init__(isa, smt, world, shapes)
        self.plain = Spread()
        self.model = model
        self.terms = smt
        self.limits: list[Bool] = []  # what must hold of the state besides
        self.touched: set[tuple[str, int]] = set()  # cells that the instruction itself has written
        self.walks = 0  # maps being evaluated: what they read is their own affair

    @property
    def known(self) -> Known:
        return self.terms.known

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        space = self.isa.spaces[access.space]
        if self.walks or isinstance(space, ir.Bus):
            return super().load(ex, frame, path, access, span)
        if self.known.truth(path) is False:
            return 0
        address = self.known.number(ex.value(access.address, frame))
        place = self._place(ex, frame, space, address, access)
        value = self.model.shows(space, place, access.bits, access.table)
        below, at = self.down(ex, frame, path, space, address, access, span, value)
        if isinstance(below, ir.Bus):
            args = tuple(ex.value(p.default, frame) for p in below.params if p.default is not None)
            return self.bus_load(ex, frame, path, below, at, args, access.bits)
        if frame.alive is False:
            return 0
        assert isinstance(below, ir.Memory)
        self._put(below, at, value, access.bits)
        return self.known_units(frame, below, at, access.bits)

    def store(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, value: Bits, span: Span | None) -> None:
        space = self.isa.spaces[access.space]
        if self.walks or isinstance(space, ir.Bus):
            super().store(ex, frame, path, access, value, span)
            return
        if self.known.truth(path) is False:
            return
        address = self.known.number(ex.value(access.address, frame))
        below, at = self.down(ex, frame, path, space, address, access, span, None)
        if isinstance(below, ir.Bus):
            args = tuple(ex.value(p.default, frame) for p in below.params if p.default is not None)
            self.bus_store(ex, frame, path, below, at, args, value, access.bits)
            return
        assert isinstance(below, ir.Memory)
        for i in range(access.bits // below.unit):
            self.touched.add((below.name, at + i & (1 << below.address_width) - 1))
        old = self.memory(frame, below)
        frame.state[f"memory {below.name}"] = self.written(old, linear(self.smt, below, at), value, access.bits, below)

    def evaluate(self, *args: Any) -> tuple[Bool, tuple[Any, ...], Bits, Changes | None]:
        self.walks += 1
        try:
            return super().evaluate(*args)
        finally:
            self.walks -= 1

    # -- placing -------------------------------------------------------------------------------------------------------

    def down(
        self,
        ex: Executor,
        frame: Frame,
        path: Bool,
        space: ir.Space,
        address: int,
        access: ir.Access,
        span: Span | None,
        value: int | None,
    ) -> tuple[ir.Space, int]:
        """Translates through every map on the way to physical memory, which is to have `value`."""
        formula: Bool = True
        at: Bits = address
        current = space
        args = self._args(ex, frame, space, access)
        refused = isinstance(space, ir.Map) and self.model.refuses(
            space, args, self._place(ex, frame, space, address, access), access
        )
        traps: list[Any] = []
        while isinstance(current, ir.Map):
            fault, raised, below, after = self.evaluate(ex, frame, current, at, args, access.kind, access.bits)
            traps += raised
            if after is not None:
                frame.state.update(after)
            formula = self.smt.and_(formula, self.smt.not_(fault))
            current, at = self.isa.spaces[current.below], below if below is not None else 0
            if isinstance(current, ir.Map):
                args = tuple(self.default(ex, frame, p, access.kind) for p in current.params)
        if isinstance(current, ir.Memory) and not refused:
            self.beyond(ex, frame, path, current, at, span)
            formula = self.smt.and_(formula, frame.alive)
        self._settle(self.smt.not_(formula) if refused else formula, current, at, None if refused else value, access)
        if refused:
            for trap in traps:
                ex.trap(frame, self.smt.and_(path, trap.guard), trap.trap, trap.args, span, True)
            frame.alive = False
            return current, 0
        return current, self.known.number(at)

    def _settle(self, formula: Bool, below: ir.Space, at: Bits, value: int | None, access: ir.Access) -> None:
        """Gives what is open in the formula the least values that make it true, and lead to a place that may have the
        value."""
        apart: list[Bool] = []
        for _ in range(ATTEMPTS):
            goal = self.smt.and_(formula, *self.limits, *apart)
            assigned = assignment(self.terms, self.known, goal, at, self.plain)
            if assigned is None:
                raise NoPlace
            trial = self.known.with_(assigned)
            here = trial.number(at)
            if value is None or not isinstance(below, ir.Memory) or self._fits(trial, below, here, value, access.bits):
                self.terms.known = trial
                return
            apart.append(self.smt.not_(self.smt.eq(at, here, below.address_width)))
        raise NoPlace

    def _spread(self, below: ir.Memory, at: int, bits: int) -> list[int]:
        return [at + i & (1 << below.address_width) - 1 for i in range(bits // below.unit)]

    def _fits(self, trial: Known, below: ir.Memory, at: int, value: int, bits: int) -> bool:
        """Whether the units there are free, or have the value already, or were written by the instruction itself."""
        known = trial.cells.get(f"memory {below.name}@{self.world.name}", {})
        for cell, part in zip(self._spread(below, at, bits), self.parts(value, bits, below.unit), strict=True):
            if (below.name, cell) not in self.touched and known.get(cell, part) != part:
                return False
        return True

    def _put(self, below: ir.Memory, at: int, value: int, bits: int) -> None:
        """Physical memory has the value at the beginning."""
        initial = self.world.array(f"memory {below.name}", below.address_width, below.unit, False)
        known = self.known.cells.get(f"memory {below.name}@{self.world.name}", {})
        for cell, part in zip(self._spread(below, at, bits), self.parts(value, bits, below.unit), strict=True):
            if (below.name, cell) not in self.touched and cell not in known:
                self.known.pin(self.smt.select_at(initial, cell), part)

    def known_units(self, frame: Frame, below: ir.Memory, at: int, bits: int) -> Bits:
        """What the instruction reads there: what it wrote itself, or the beginning's."""
        return self.known.number(self.units(self.memory(frame, below), linear(self.smt, below, at), bits, below))

    # -- arguments -----------------------------------------------------------------------------------------------------

    def _args(self, ex: Executor, frame: Frame, space: ir.Space, access: ir.Access) -> tuple[int, ...]:
        if not isinstance(space, ir.Map):
            return ()
        return tuple(self.known.number(a) for a in self.arguments(ex, frame, space, access))

    def _place(self, ex: Executor, frame: Frame, space: ir.Space, address: int, access: ir.Access) -> tuple[int, ...]:
        if not isinstance(space, ir.Map):
            return (address,)
        args = self._args(ex, frame, space, access)
        return (*(args[i] for i in self.shapes[space.name].plain), address)


def assignment(smt: KnownSmt, known: Known, formula: Bool, at: Bits, plain: Spread) -> list[tuple[Term, int]] | None:
    """Values of what is open in a formula that make it true, and settle the term `at`; None if there are none."""
    goal, at = known.term(formula), known.term(at)
    if goal is False:
        return None
    if goal is True and isinstance(at, int):
        return []
    asking = _Asking(smt, known, goal)
    model = asking.model(True)
    if model is None:
        return None
    for wish in plain.wishes(smt, goal, at):
        wished = asking.model(wish)
        if wished is not None:
            asking.wanted = smt.and_(asking.wanted, wish)
            model = wished
    return _assigned(smt, goal, at, model.value)


class _Asking:
    """Questions about a goal in which cells are read at open addresses: where these meet cells that are known, that is
    told when a model has it otherwise."""

    def __init__(self, smt: KnownSmt, known: Known, goal: Bool) -> None:
        self.smt = smt
        self.known = known
        self.wanted = goal
        self.reads = [a for a in atoms(smt, goal) if a.op == "select" and not isinstance(a.args[1], int)]
        smt.suggest(Model(arrays={n: Entries(c) for n, c in known.cells.items()}))

    def model(self, wish: Bool) -> Model | None:
        """A model of what is wanted and the wish, and of the known cells; None if none was found."""
        for _ in range(MEETINGS):
            model: Model | None = self.smt.check(self.wanted, wish, rlimit=PLACING_RLIMIT).model
            if model is None:
                return None
            met = [fact for read in self.reads if (fact := self._violated(read, model)) is not None]
            if not met:
                return model
            self.wanted = self.smt.and_(self.wanted, *met)
        return None

    def _violated(self, read: Term, model: Model) -> Bool | None:
        array, index = read.args
        at = model.value(index)
        cell = self.known.cells.get(array.name, {}).get(at)
        if cell is None or cell == model.value(read):
            return None
        here = self.smt.eq(index, at, array.index)
        return self.smt.implies(here, self.smt.eq(read, cell, array.width))


def _assigned(smt: Smt, goal: Bool, at: Bits, value: Callable[[Any], int]) -> list[tuple[Term, int]] | None:
    """Gives values to what is open: first to symbols, then to the cells that still matter.  None if the goal is then
    not true."""
    assigned: list[tuple[Term, int]] = []
    while goal is not False:
        found = list(atoms(smt, goal, at))
        ready = [a for a in found if a.op != "select"]
        ready = ready or [a for a in found if isinstance(a.args[1], int)]
        if not ready:
            return assigned if goal is True and not found else None
        step = [(a, value(a)) for a in ready]
        replacement = smt.substitution((a, v if a.width else bool(v)) for a, v in step)
        goal, at = replacement(goal), replacement(at)
        assigned += step
    return None


class Spread:
    """Wishes that everything lies apart: what can be an address gets a place of its own."""

    def __init__(self) -> None:
        self.given = 0

    def wishes(self, smt: Smt, goal: Bool, at: Bits) -> Iterator[Bool]:
        """That registers hold places of their own, and the addresses of cells and of the access itself lie there."""
        found = list(atoms(smt, goal))
        cells = [a.args[1] for a in found if a.op == "select" and not _addressing(a)]
        for term in (*(a for a in found if _addressing(a)), *cells, at):
            if isinstance(term, Term) and term.width > PLACE_BITS + 4:
                self.given += 1
                place = smt.op("lshr", term, PLACE_BITS, term.width)
                yield smt.eq(place, self.given, term.width)


def _addressing(atom: Term) -> bool:
    """A register (or an entry of a file of them) that is wide enough for an address."""
    memory = atom.op == "select" and atom.args[0].name.startswith("memory ")
    return not memory and atom.width > PLACE_BITS + 4


# -- homes -------------------------------------------------------------------------------------------------------------


class Home(Struct, frozen=True):
    """Map registers and tables of one world under which the first addresses of every space can be read and written, at
    places of their own."""

    elements: dict[str, int]
    files: dict[str, dict[int, int]]
    cells: dict[str, dict[int, int]]


class Permissive:
    """A model in which every access is permitted, and nothing is read."""

    def shows(self, space: ir.Space, place: tuple[int, ...], bits: int, table: bool) -> int:
        return 0

    def refuses(self, space: ir.Map, args: tuple[int, ...], place: tuple[int, ...], access: ir.Access) -> bool:
        return False


_homes: WeakKeyDictionary[Setting, dict[str, Home]] = WeakKeyDictionary()


def home_of(setting: Setting, name: str) -> Home:
    """The home of the world `v` or `r` of a setting: the same for all instructions, so that witnesses need not look for
    one each."""
    homes = _homes.setdefault(setting, {})
    if name not in homes:
        homes[name] = _found_home(setting, name)
    return homes[name]


def know_home(setting: Setting, name: str, home: Home) -> None:
    """The home that another process has found."""
    _homes.setdefault(setting, {})[name] = home


def _found_home(setting: Setting, name: str) -> Home:
    isa, smt = setting.isa, KnownSmt(DEFAULT_RLIMIT)
    world = World(isa, smt, name)
    placing = Placing(isa, smt, world, setting.shapes, Permissive())
    ex = Executor(isa, smt, world, placing)
    virtual, real = setting.scheme.run[-1]
    mode = ex.value(isa.mode.expr, Frame({}, Changes(), Changes()))
    placing.limits = [*limits(ex), smt.eq(mode, virtual if name == "v" else real, ir.width(isa.mode.expr))]
    if name == "r":
        placing.limits += [setting.assumed(ex, a) for a in setting.scheme.assume if not a.free and not a.prelude]
    for access in _first_accesses(isa):
        try:
            placing.down(ex, Frame({}, Changes(), Changes()), True, isa.spaces[access.space], 0, access, None, None)
        except NoPlace:
            continue
    known = placing.known
    elements = {n: known.number(t) for n, t in world.values.items() if n in isa.elements and known.has(t)}
    suffix = f"@{name}"
    cells = {n.removesuffix(suffix): dict(c) for n, c in known.cells.items()}
    files = {n: c for n, c in cells.items() if n in isa.files}
    return Home(elements, files, {n: c for n, c in cells.items() if n.startswith("memory ")})


def limits(ex: Executor) -> list[Bool]:
    """Invariants of the machine and legal values."""
    isa, smt = ex.isa, ex.smt
    out: list[Bool] = [ex.value(i.expr, Frame({}, Changes(), Changes())) for i in isa.invariants if not i.prelude]
    for element in isa.elements.values():
        if element.legal is not None:
            value = ex.world.element(element.name)
            out.append(smt.or_(*(smt.eq(value, v, element.width) for v in element.legal)))
    return out


def _first_accesses(isa: ir.Isa) -> Iterator[ir.Access]:
    """A write and a read at the first address of every space that maps have, in each of its small subspaces."""
    for space in isa.spaces.values():
        if not isinstance(space, ir.Map):
            continue
        chosen = next((i for i, p in enumerate(space.params) if isinstance(p.default, ir.Const)), None)
        width = 0 if chosen is None else space.params[chosen].width
        for value in range(1 << width) if 0 < width <= 4 else (None,):
            given = tuple(value is not None and i == chosen for i in range(len(space.params)))
            chosen_value = 0 if value is None else value
            args = tuple(ir.Const(p.width, chosen_value * g) for p, g in zip(space.params, given, strict=True))
            for kind in ("write", "read"):
                yield ir.Access(
                    space.name, ir.Const(space.address_width, 0), FIRST_UNITS * space.unit, kind, args, given
                )
