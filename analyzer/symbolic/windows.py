"""Memory as the definitions see it.

Memory through the map is a *window*: an array V over (space, virtual address), the same in both runs of a query,
because the runs are those of one virtual machine.  Whether an access is permitted depends on the resource map, and
differs between runs.  A map whose translation reads registers only is evaluated; one that walks tables is abstract:
its faults are an unknown function of everything that the walk may depend on, one function a run.

Physical memory and tables that belong to the map are state of the machine, not of the guest: each run has its own.

The *space* of an access is the part of a map's arguments that does not follow from the state (a segment number).
An argument whose default reads the mode or other non-guest state is *privilege-like*; one that the spec writes out
(LDRT, MFPI) makes the access *explicit*: a read of the map rather than an access through the current window, unless it
names the current mode after all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from analyzer import ir
from analyzer.passes.effects import EffectsOf
from analyzer.source import Span
from analyzer.symbolic.execute import Changes, Event, Executor, Frame
from analyzer.symbolic.smt import Array, Bits, Bool, Smt

# -- what is known of a map before any query ---------------------------------------------------------------------------


class MapShape(Struct, frozen=True):
    """`concrete`: translation reads registers only.  `plain` and `privilege` are the positions of parameters.
    `spaces`: privilege-like arguments choose a space, not only a permission."""

    name: str
    concrete: bool
    quiet: bool
    plain: tuple[int, ...]
    privilege: tuple[int, ...]
    reads_mode: bool
    spaces: bool
    procedure: ir.Procedure

    def index_width(self, space: ir.Map) -> int:
        """The width of an index into the window."""
        return sum(space.params[i].width for i in self.plain) + space.address_width


def shape_of(isa: ir.Isa, effects: EffectsOf, name: str, spaces: bool = True) -> MapShape:
    """Reads a map's shape off its text."""
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    of = effects.map(name)
    privilege: list[int] = []
    plain: list[int] = []
    for i, param in enumerate(space.params):
        reads = set() if param.default is None else _reads(param.default)
        (privilege if any(_held(isa, n) for n in reads) else plain).append(i)
    params = (
        (space.address, space.address_width),
        *((p.name, p.width) for p in space.params),
        ("access", 2),
        ("bits", 16),
    )
    below = isa.spaces.get(space.below)
    walks = bool(of.tables or of.physical or isinstance(below, ir.Map)) and not isinstance(below, ir.Bus)
    mode = {n for n in of.reads if n in isa.elements and isa.elements[n].role is ir.Role.MODE}
    return MapShape(
        name,
        concrete=not walks,
        quiet=not any(_held(isa, n) for n in effects.block(space.body).writes),
        plain=tuple(plain),
        privilege=tuple(privilege),
        reads_mode=bool(mode),
        spaces=spaces,
        procedure=ir.Procedure(f"map {name}", params, isa.spaces[space.below].address_width, space.body),
    )


def _held(isa: ir.Isa, name: str) -> bool:
    state = isa.elements.get(name) or isa.files.get(name)
    return state is not None and state.role is not ir.Role.GUEST


def _reads(expr: ir.Expr) -> set[str]:
    names = set()
    for term in ir.subterms(expr):
        match term:
            case ir.Get():
                names.add(term.element)
            case ir.GetEntry():
                names.add(term.file)
            case _:
                pass
    return names


# -- worlds ------------------------------------------------------------------------------------------------------------


class World:
    """The symbols of one run.  Guest state, windows, operands and choices have one name in all worlds; the rest carries
    the world's."""

    def __init__(self, isa: ir.Isa, smt: Smt, name: str, operands: dict[str, Any] | None = None) -> None:
        self.isa = isa
        self.smt = smt
        self.name = name
        self.operands = operands or {}
        self.values: dict[str, Any] = {}

    def element(self, name: str) -> Bits:
        if name not in self.values:
            element = self.isa.elements.get(name)
            if element is None:
                self.values[name] = self.smt.symbol(name, self.isa.choices[name].width)
            else:
                shared = element.role is ir.Role.GUEST
                self.values[name] = self.smt.symbol(name if shared else f"{name}@{self.name}", element.width)
        return self.values[name]

    def file(self, name: str) -> Array:
        """A file, `memory M` or `table M` of this world, or a `window M` or `other M`."""
        if name not in self.values:
            file = self.isa.files.get(name)
            if file is not None:
                shared = file.role is ir.Role.GUEST
                term = self.smt.array(name if shared else f"{name}@{self.name}", file.index_width, file.width)
            else:
                raise KeyError(name)
            self.values[name] = term
        return self.values[name]

    def array(self, name: str, index_width: int, width: int, shared: bool) -> Array:
        """An array that is no file, made on first use."""
        if name not in self.values:
            self.values[name] = self.smt.array(name if shared else f"{name}@{self.name}", index_width, width)
        return self.values[name]

    def operand(self, name: str) -> Bits:
        return self.operands[name]

    def unknown(self, site: int, width: int) -> Bits:
        return self.smt.symbol(f"unknown {site}@{self.name}", width)


class Cell(Struct, frozen=True):
    """A place in a window: called with a unit's number it gives that unit's index."""

    windows: Windows
    space: ir.Map
    place: tuple[Bits, ...]

    def __call__(self, unit: int) -> Bits:
        return self.windows.index(self.space, self.place, unit)


def linear(smt: Smt, space: ir.Space, address: Bits) -> Callable[[int], Bits]:
    """Units from an address on."""
    return lambda unit: smt.op("add", address, unit & ((1 << space.address_width) - 1), space.address_width)


# -- the memories ------------------------------------------------------------------------------------------------------


class Windows:
    """The memories of one world.  `shapes` are those of all maps of the Isa."""

    def __init__(self, isa: ir.Isa, smt: Smt, world: World, shapes: dict[str, MapShape]) -> None:
        self._answered: Bool = False  # memory, and no register, answered an access through a bus
        self.isa = isa
        self.smt = smt
        self.world = world
        self.shapes = shapes
        self._cells: list[tuple[ir.Map, Cell]] = []  # the window cell that physical memory stands for, inside a bus

    # -- the executor's calls ------------------------------------------------------------------------------------------

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        space = self.isa.spaces[access.space]
        address = ex.value(access.address, frame)
        if isinstance(space, ir.Memory):
            return self.physical_load(ex, frame, path, space, address, access.bits, span)
        if isinstance(space, ir.Bus):
            args = tuple(ex.value(a, frame) for a in access.args)
            return self.bus_load(ex, frame, path, space, address, args, access.bits)
        if access.table:
            return self.units(self.table(frame, space), linear(self.smt, space, address), access.bits, space)
        cell, modes, same = self.translate(ex, frame, path, space, address, access, span)
        if isinstance(self.isa.spaces[space.below], ir.Bus):
            return self.through_bus(ex, frame, path, space, cell, access.bits, None)
        value = self.units(self.window(frame, space), cell, access.bits, space)
        if same is True or not self.shapes[space.name].spaces:
            return value
        other = self.units(self.other(frame, space), self.other_cell(space, modes, cell), access.bits, space)
        return self.smt.ite(same, value, other, access.bits)

    def store(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, value: Bits, span: Span | None) -> None:
        space = self.isa.spaces[access.space]
        address = ex.value(access.address, frame)
        if isinstance(space, ir.Memory):
            self.physical_store(ex, frame, path, space, address, value, access.bits, span)
            return
        if isinstance(space, ir.Bus):
            args = tuple(ex.value(a, frame) for a in access.args)
            self.bus_store(ex, frame, path, space, address, args, value, access.bits)
            return
        if access.table:
            cell = linear(self.smt, space, address)
            frame.state[f"table {space.name}"] = self.written(self.table(frame, space), cell, value, access.bits, space)
            return
        cell, modes, same = self.translate(ex, frame, path, space, address, access, span)
        if isinstance(self.isa.spaces[space.below], ir.Bus):
            self.through_bus(ex, frame, path, space, cell, access.bits, value)
            return
        old = self.window(frame, space)
        new = self.written(old, cell, value, access.bits, space)
        if same is True or not self.shapes[space.name].spaces:
            frame.state[f"window {space.name}"] = new
            return
        frame.state[f"window {space.name}"] = self.smt.ite_array(same, new, old)
        old = self.other(frame, space)
        new = self.written(old, self.other_cell(space, modes, cell), value, access.bits, space)
        frame.state[f"other {space.name}"] = self.smt.ite_array(same, old, new)

    def probe(
        self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, what: str, span: Span | None
    ) -> tuple[Any, int]:
        """Asks the run's own map, table walks included."""
        space = self.isa.spaces[access.space]
        assert isinstance(space, ir.Map)
        address = ex.value(access.address, frame)
        args = self.arguments(ex, frame, space, access)
        fault, traps, result, _ = self.evaluate(ex, frame, space, address, args, access.kind, access.bits)
        if what == "fault":
            return fault, 0
        for trap in traps:
            ex.trap(frame, self.smt.and_(path, trap.guard), trap.trap, trap.args, span)
        frame.alive = self.smt.and_(frame.alive, self.smt.not_(fault))
        return result, self.isa.spaces[space.below].address_width

    # -- translation ---------------------------------------------------------------------------------------------------

    def translate(
        self,
        ex: Executor,
        frame: Frame,
        path: Bool,
        space: ir.Map,
        address: Bits,
        access: ir.Access,
        span: Span | None,
    ) -> tuple[Cell, tuple[Bits, ...], Bool]:
        """The access's cell in the window, its privilege-like arguments, and whether these are the current ones.
        Records the event and its traps."""
        shape = self.shapes[space.name]
        args = self.arguments(ex, frame, space, access)
        modes = tuple(args[i] for i in shape.privilege)
        same: Bool = True
        named = any(access.given[i] for i in shape.privilege if i < len(access.given))
        if named:
            for i in shape.privilege:
                default = self.default(ex, frame, space.params[i], access.kind)
                same = self.smt.and_(same, self.smt.eq(args[i], default, space.params[i].width))
        place = (*(args[i] for i in shape.plain), address)
        if shape.concrete:
            fault, traps, _, after = self.evaluate(ex, frame, space, address, args, access.kind, access.bits)
        else:
            fault, traps, after = self.fault(ex, frame, space, modes, place, access.kind, access.bits), (), None
        key = (space.name, access.kind, access.bits)
        event = Event(path, key, place, modes, named, same, fault, span)
        ex.run.events.append(event)
        for trap in traps:
            ex.trap(frame, self.smt.and_(path, trap.guard), trap.trap, trap.args, span, True, event)
        if not shape.concrete:
            ex.trap(frame, self.smt.and_(path, fault), None, (), span, True, event)
        if after is not None:
            frame.state.update(after)
        frame.alive = self.smt.and_(frame.alive, self.smt.not_(fault))
        return Cell(self, space, place), modes, same

    def arguments(self, ex: Executor, frame: Frame, space: ir.Map, access: ir.Access) -> tuple[Bits, ...]:
        """All of a map's arguments, defaults filled in."""
        args = []
        for i, param in enumerate(space.params):
            if i < len(access.args) and (i >= len(access.given) or access.given[i]):
                args.append(ex.value(access.args[i], frame))
            else:
                args.append(self.default(ex, frame, param, access.kind))
        return tuple(args)

    def default(self, ex: Executor, frame: Frame, param: ir.MapParam, kind: str) -> Bits:
        assert param.default is not None
        inner = Frame({}, frame.state, frame.restart)
        inner.let("access", ir.ACCESS_CODE[kind], 2)
        return ex.value(param.default, inner)

    def evaluate(
        self,
        ex: Executor,
        frame: Frame,
        space: ir.Map,
        address: Bits,
        args: tuple[Bits, ...],
        kind: str,
        bits: int,
    ) -> tuple[Bool, tuple[Any, ...], Bits, Changes | None]:
        """Runs the map's body: its fault condition, its traps, the address below, and the state if it writes any."""
        scratch = Frame({}, Changes(frame.state), frame.restart)
        first = len(ex.run.traps)
        events = len(ex.run.events)
        procedure = self.shapes[space.name].procedure
        result = ex.body(scratch, procedure, (address, *args, ir.ACCESS_CODE[kind], bits), True)
        traps = tuple(ex.run.traps[first:])
        del ex.run.traps[first:]
        del ex.run.events[events:]
        fault = self.smt.or_(*(t.guard for t in traps))
        written = {n: v for n, v in scratch.state.items() if frame.state.get(n) is not v}
        return fault, traps, result, Changes(written) if written else None

    def fault(
        self,
        ex: Executor,
        frame: Frame,
        space: ir.Map,
        modes: tuple[Bits, ...],
        place: tuple[Bits, ...],
        kind: str,
        bits: int,
    ) -> Bool:
        """The abstract fault condition: an unknown function of this run."""
        shape = self.shapes[space.name]
        args = [(m, space.params[i].width) for m, i in zip(modes, shape.privilege, strict=True)]
        if shape.reads_mode:
            args.append((ex.value(self.isa.mode.expr, frame), ir.width(self.isa.mode.expr)))
        args.append((self.index(space, place, 0), shape.index_width(space)))
        f = self.smt.function(f"fault {space.name} {kind} {bits}@{self.world.name}", (w for _, w in args), 0)
        return self.smt.apply(f, (a for a, _ in args))

    def fault_at(self, ex: Executor, event: Event) -> tuple[Bool, Bool]:
        """Would this world, at its beginning and in its current mode, fault on the access of `event`?  And would the
        access have a side effect on the map?"""
        name, kind, bits = event.key
        space = self.isa.spaces[name]
        assert isinstance(space, ir.Map)
        shape = self.shapes[name]
        frame = Frame({}, Changes(), Changes())
        plain = dict(zip(shape.plain, event.place, strict=False))
        args = tuple(plain[i] if i in plain else self.default(ex, frame, p, kind) for i, p in enumerate(space.params))
        if shape.concrete:
            fault, _, _, after = self.evaluate(ex, frame, space, event.place[-1], args, kind, bits)
            touched = [
                self.smt.not_(self.smt.eq(v, self.world.element(n), self.isa.elements[n].width))
                for n, v in (after or {}).items()
                if n in self.isa.elements
            ]
            return fault, self.smt.or_(*touched)
        modes = tuple(args[i] for i in shape.privilege)
        return self.fault(ex, frame, space, modes, event.place, kind, bits), False

    # -- cells ---------------------------------------------------------------------------------------------------------

    def index(self, space: ir.Map, place: tuple[Bits, ...], unit: int) -> Bits:
        """The index of the `unit`-th unit from `place` on, its arguments above its address."""
        shape = self.shapes[space.name]
        width = space.address_width
        index = self.smt.op("add", place[-1], unit & ((1 << width) - 1), width)
        for i, value in zip(reversed(shape.plain), reversed(place[:-1]), strict=True):
            index = self.smt.concat(value, space.params[i].width, index, width)
            width += space.params[i].width
        return index

    def other_cell(self, space: ir.Map, modes: tuple[Bits, ...], cell: Cell) -> Callable[[int], Bits]:
        """The same place in the space that the privilege-like arguments name."""
        shape = self.shapes[space.name]

        def at(unit: int) -> Bits:
            index, width = cell(unit), shape.index_width(space)
            for i, mode in zip(shape.privilege, modes, strict=True):
                index = self.smt.concat(mode, space.params[i].width, index, width)
                width += space.params[i].width
            return index

        return at

    def other_width(self, space: ir.Map) -> int:
        shape = self.shapes[space.name]
        return shape.index_width(space) + sum(space.params[i].width for i in shape.privilege)

    def named(self, frame: Frame, name: str, index_width: int, width: int, shared: bool) -> Array:
        initial = self.world.array(name, index_width, width, shared)
        return frame.state.get(name, initial)

    def window(self, frame: Frame, space: ir.Map) -> Array:
        return self.named(frame, f"window {space.name}", self.shapes[space.name].index_width(space), space.unit, True)

    def other(self, frame: Frame, space: ir.Map) -> Array:
        return self.named(frame, f"other {space.name}", self.other_width(space), space.unit, False)

    def table(self, frame: Frame, space: ir.Map) -> Array:
        return self.named(frame, f"table {space.name}", space.address_width, space.unit, False)

    def memory(self, frame: Frame, space: ir.Memory) -> Array:
        return self.named(frame, f"memory {space.name}", space.address_width, space.unit, False)

    def units(self, array: Array, cell: Callable[[int], Bits], bits: int, space: ir.Space) -> Bits:
        """`bits` bits from `cell` on, in the Isa's byte order."""
        return self.joined([self.smt.select_at(array, cell(i)) for i in range(bits // space.unit)], space.unit)

    def joined(self, cells: list[Bits], unit: int) -> Bits:
        """Units in address order as one number."""
        if self.isa.endian == "little":
            cells = cells[::-1]
        value, width = cells[0], unit
        for cell in cells[1:]:
            value = self.smt.concat(value, width, cell, unit)
            width += unit
        return value

    def written(self, array: Array, cell: Callable[[int], Bits], value: Bits, bits: int, space: ir.Space) -> Array:
        """The array with `bits` bits stored from `cell` on."""
        unit = space.unit
        for i, part in enumerate(self.parts(value, bits, unit)):
            array = self.smt.store_at(array, cell(i), part, unit)
        return array

    def parts(self, value: Bits, bits: int, unit: int) -> list[Bits]:
        """A number as units in address order."""
        count = bits // unit
        lows = [(count - 1 - i if self.isa.endian == "big" else i) * unit for i in range(count)]
        return [self.smt.extract(value, lo + unit - 1, lo, bits) for lo in lows]

    # -- physical memory and buses -------------------------------------------------------------------------------------

    def physical_load(
        self, ex: Executor, frame: Frame, path: Bool, space: ir.Memory, address: Bits, bits: int, span: Span | None
    ) -> Bits:
        if self._cells:
            through, cell = self._cells[-1]
            self._answered = self.smt.or_(self._answered, path)
            return self.units(self.window(frame, through), cell, bits, space)
        self.beyond(ex, frame, path, space, address, span)
        return self.units(self.memory(frame, space), linear(self.smt, space, address), bits, space)

    def physical_store(
        self,
        ex: Executor,
        frame: Frame,
        path: Bool,
        space: ir.Memory,
        address: Bits,
        value: Bits,
        bits: int,
        span: Span | None,
    ) -> None:
        if self._cells:
            through, cell = self._cells[-1]
            self._answered = self.smt.or_(self._answered, path)
            old = self.window(frame, through)
            frame.state[f"window {through.name}"] = self.written(old, cell, value, bits, space)
            return
        self.beyond(ex, frame, path, space, address, span)
        old = self.memory(frame, space)
        frame.state[f"memory {space.name}"] = self.written(old, linear(self.smt, space, address), value, bits, space)

    def beyond(
        self, ex: Executor, frame: Frame, path: Bool, space: ir.Memory, address: Bits, span: Span | None
    ) -> None:
        """The trap of an access past the end of physical memory."""
        if space.size is None or space.beyond is None:
            return
        size, width = ex.value(space.size, frame), ir.width(space.size)
        wide = max(width, space.address_width)
        inside = self.smt.compare(
            "ult",
            self.smt.extend(address, space.address_width, wide, False),
            self.smt.extend(size, width, wide, False),
            wide,
        )
        fault = self.smt.not_(inside)
        args = tuple(ex.value(a, frame) for a in space.beyond.args)
        ex.trap(frame, self.smt.and_(path, fault), space.beyond.trap, args, span)
        frame.alive = self.smt.and_(frame.alive, inside)

    def through_bus(
        self, ex: Executor, frame: Frame, path: Bool, space: ir.Map, cell: Cell, bits: int, value: Bits | None
    ) -> Bits:
        """An access through a map on a bus: the registers that answer are the machine's, the memory is the window's."""
        bus = self.isa.spaces[space.below]
        assert isinstance(bus, ir.Bus)
        kind = "read" if value is None else "write"
        plain = dict(zip(self.shapes[space.name].plain, cell.place, strict=False))
        args = tuple(plain[i] if i in plain else self.default(ex, frame, p, kind) for i, p in enumerate(space.params))
        _, _, below, _ = self.evaluate(ex, frame, space, cell.place[-1], args, kind, bits)
        self._cells.append((space, cell))
        self._answered = False
        here = self.smt.and_(path, frame.alive)
        try:
            args = tuple(ex.value(p.default, frame) for p in bus.params if p.default is not None)
            if value is None:
                return self.bus_load(ex, frame, path, bus, below, args, bits)
            self.bus_store(ex, frame, path, bus, below, args, value, bits)
            return None
        finally:
            self._cells.pop()
            reached = self.smt.and_(here, self.smt.not_(self._answered))
            ex.run.registers = self.smt.or_(ex.run.registers, reached)

    def bus_load(
        self, ex: Executor, frame: Frame, path: Bool, bus: ir.Bus, address: Bits, args: tuple[Bits, ...], bits: int
    ) -> Bits:
        cells = []
        for i in range(bits // bus.unit):
            at = self.smt.op("add", address, i, bus.address_width)
            cells.append(ex.body(frame, bus.read, (at, *args), path))
        return self.joined(cells, bus.unit)

    def bus_store(
        self,
        ex: Executor,
        frame: Frame,
        path: Bool,
        bus: ir.Bus,
        address: Bits,
        args: tuple[Bits, ...],
        value: Bits,
        bits: int,
    ) -> None:
        assert bus.write is not None
        for i, part in enumerate(self.parts(value, bits, bus.unit)):
            ex.body(frame, bus.write, (self.smt.op("add", address, i, bus.address_width), *args, part), path)


class FreeTables(Windows):
    """Memories whose tables hold whatever the monitor likes: each load is a value of its own."""

    def __init__(self, isa: ir.Isa, smt: Smt, world: World, shapes: dict[str, MapShape]) -> None:
        super().__init__(isa, smt, world, shapes)
        self.loaded: list[Any] = []

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        term = self.smt.symbol(f"table entry {len(self.loaded)}@{self.world.name}", access.bits)
        self.loaded.append(term)
        return term

    def store(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, value: Bits, span: Span | None) -> None:
        return None
