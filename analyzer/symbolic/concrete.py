"""From a model of the definitions to a state that a machine can start in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analyzer import ir
from analyzer.replayer import MachineState
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.pair import Pair, Side
from analyzer.symbolic.placing import Home, KnownSmt, NoPlace, Placing, Spread, assignment, home_of, limits
from analyzer.symbolic.smt import Array
from analyzer.symbolic.windows import Cell, World, linear


@dataclass
class Shown:
    """One side of a model: what its accesses show."""

    pair: Pair
    side: Side
    number: Any  # of a term, as an int

    def shows(self, space: ir.Space, place: tuple[int, ...], bits: int, table: bool) -> int:
        """What a read of this place shows: of the window, of a table, or of physical memory."""
        frame, windows, smt = Frame({}, Changes(), Changes()), self.side.windows, self.pair.smt
        if isinstance(space, ir.Memory):
            return self._units(windows.memory(frame, space), linear(smt, space, place[-1]), bits, space)
        assert isinstance(space, ir.Map)
        if table:
            return self._units(windows.table(frame, space), linear(smt, space, place[-1]), bits, space)
        return self._units(windows.window(frame, space), Cell(windows, space, place), bits, space)

    def _units(self, array: Array, cell: Any, bits: int, space: ir.Space) -> int:
        return int(self.number(self.side.windows.units(array, cell, bits, space)))

    def refuses(self, space: ir.Map, args: tuple[int, ...], place: tuple[int, ...], access: ir.Access) -> bool:
        """Does the map, where it is abstract, fault here?"""
        shape, frame = self.pair.setting.shapes[space.name], Frame({}, Changes(), Changes())
        if shape.concrete or access.table:
            return False
        modes = tuple(args[i] for i in shape.privilege)
        windows, ex = self.side.windows, self.side.ex
        return bool(self.number(windows.fault(ex, frame, space, modes, place, access.kind, access.bits)))


@dataclass
class Concretizer:
    """Makes the two states of a witness from a model of a pair."""

    pair: Pair
    model: Any
    reads: tuple[Any, ...] = ()  # the terms that the witness's formula mentions
    operands: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.operands = {name: self.number(term) for name, term in self.pair.operands.items()}

    def number(self, term: Any) -> int:
        """A term's value in the model; what the model leaves open is 0."""
        if isinstance(term, bool | int):
            return int(term)
        return int(self.model.value(term))

    def state(self, side: Side) -> MachineState | None:
        """A state in which this side's accesses go as in the model: in the setting's home, or one made for it.  None if
        neither is found: the model asks of memory what the machine's own map does not give, or not within the
        budget."""
        return self._placed(side, home_of(self.pair.setting, side.name)) or self._placed(side, Home({}, {}, {}))

    def _placed(self, side: Side, home: Home) -> MachineState | None:
        setting, isa = self.pair.setting, self.pair.setting.isa
        smt = KnownSmt(self.pair.smt.rlimit, self.pair.smt)
        world = World(isa, smt, side.name, dict(self.operands))
        world.values |= home.elements
        for name, term in side.world.values.items():
            settled = name in side.touched or term in self.reads  # the rest is open, and memory may need it
            if settled and (name in isa.elements or name in isa.choices):
                world.values[name] = self.number(term)
        smt.known.cells = {f"{n}@{side.name}": dict(c) for n, c in home.cells.items()}
        for name, file in isa.files.items():
            entries = {**home.files.get(name, {}), **self._entries(side, name, file)}
            if setting.is_guest(name):
                world.values[name] = _array(smt, file, entries)
            elif entries:
                smt.known.cells[f"{name}@{side.name}"] = entries
        memories = Placing(isa, smt, world, setting.shapes, Shown(self.pair, side, self.number))
        ex = Executor(isa, smt, world, memories)
        memories.limits = limits(ex)
        try:
            ex.instruction(side.instruction.body)
            assigned = assignment(smt, smt.known, smt.and_(*memories.limits), 0, Spread())
        except NoPlace:
            return None
        if assigned is None:
            return None
        smt.known = smt.known.with_(assigned)
        return self._read_out(isa, world, smt)

    def _entries(self, side: Side, name: str, file: ir.File) -> dict[int, int]:
        """The entries of a file that the model speaks of."""
        array = side.world.values.get(name)
        if array is None:
            return {}
        if self.pair.setting.is_guest(name):
            return {i: self.model.cell(array, i) for i in range(min(file.size, 256))}
        mine = (r for r in self.reads if r.op == "select" and r.args[0] is array)
        return {self.number(r.args[1]): self.number(r) for r in mine}

    def _read_out(self, isa: ir.Isa, world: World, smt: KnownSmt) -> MachineState:
        def value(term: Any) -> int:
            return smt.known.number(term) if smt.known.has(term) else 0

        elements = {n: value(world.values[n]) for n in (*isa.elements, *isa.choices) if n in world.values}
        files: dict[str, dict[int, int]] = {}
        for name, file in isa.files.items():
            if name in world.values:
                cells = (smt.select(world.values[name], i, file.index_width) for i in range(file.size))
                files[name] = {i: v for i, cell in enumerate(cells) if (v := value(cell))}
        memories = {}
        for name, units in smt.known.cells.items():
            if name.startswith("memory "):
                space = name.removeprefix("memory ").rsplit("@", 1)[0]
                memories[space] = {at: unit for at, unit in sorted(units.items()) if unit}
        return MachineState(elements, files, memories)


def _array(smt: KnownSmt, file: ir.File, entries: dict[int, int]) -> Array:
    """A file with these entries, the others 0."""
    array = smt.fill(0, file.index_width, file.width)
    for index, value in sorted(entries.items()):
        if value:
            array = smt.store_at(array, index, value, file.width)
    return array


__all__ = ["Concretizer"]
