"""From a model of the definitions to a state that a machine can start in.

The definitions see memory through a window and leave translation abstract.  To replay a witness, map registers, tables
and physical memory are needed that show exactly that window.  They are found by executing the instruction once more,
this time through the spec's own translation over physical memory, and asking for the least state that agrees with the
model wherever the model says something.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import z3

from analyzer import ir
from analyzer.replayer import MachineState
from analyzer.source import Span
from analyzer.symbolic.execute import Executor, Frame
from analyzer.symbolic.least import atoms, least_model
from analyzer.symbolic.pair import Pair, Side
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.windows import Cell, MapShape, Windows, World, linear

MAX_TRAPS = 16
"""Instructions with more ways to trap than this (far calls) are too large to execute through page walks."""

STATE_RLIMIT = 600_000
"""Work for finding a state at all; without one a witness is shown as not replayed."""

LEAST_RLIMIT = 100_000
"""Work for making a state the least one; where that is not enough, the solver's own is taken."""


@dataclass(slots=True)
class Seen:
    """A load through a map in the concrete run."""

    space: ir.Map
    place: tuple[Bits, ...]
    bits: int
    value: Bits
    table: bool = False


class Physical(Windows):
    """Memories in which every access is translated down to physical memory."""

    def __init__(self, isa: ir.Isa, smt: Smt, world: World, shapes: dict[str, MapShape]) -> None:
        super().__init__(isa, smt, world, shapes)
        self.seen: list[Seen] = []

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        space = self.isa.spaces[access.space]
        if not isinstance(space, ir.Map):
            return super().load(ex, frame, path, access, span)
        address = ex.value(access.address, frame)
        below, at = self.down(ex, frame, path, space, address, access, span)
        if isinstance(below, ir.Bus):
            args = tuple(ex.value(p.default, frame) for p in below.params if p.default is not None)
            value = self.bus_load(ex, frame, path, below, at, args, access.bits)
        else:
            assert isinstance(below, ir.Memory)
            value = self.physical_load(ex, frame, path, below, at, access.bits, span)
        args = self.arguments(ex, frame, space, access)
        place = (*(args[i] for i in self.shapes[space.name].plain), address)
        self.seen.append(Seen(space, place, access.bits, value, access.table))
        return value

    def store(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, value: Bits, span: Span | None) -> None:
        space = self.isa.spaces[access.space]
        if not isinstance(space, ir.Map):
            super().store(ex, frame, path, access, value, span)
            return
        below, at = self.down(ex, frame, path, space, ex.value(access.address, frame), access, span)
        if isinstance(below, ir.Bus):
            args = tuple(ex.value(p.default, frame) for p in below.params if p.default is not None)
            self.bus_store(ex, frame, path, below, at, args, value, access.bits)
        else:
            assert isinstance(below, ir.Memory)
            self.physical_store(ex, frame, path, below, at, value, access.bits, span)

    def down(
        self,
        ex: Executor,
        frame: Frame,
        path: Bool,
        space: ir.Map,
        address: Bits,
        access: ir.Access,
        span: Span | None,
    ) -> tuple[ir.Space, Bits]:
        """Translates through every map on the way; faults trap."""
        args = self.arguments(ex, frame, space, access)
        current: ir.Space = space
        while isinstance(current, ir.Map):
            fault, traps, below, after = self.evaluate(ex, frame, current, address, args, access.kind, access.bits)
            for trap in traps:
                ex.trap(frame, self.smt.and_(path, trap.guard), trap.trap, trap.args, span, True)
            if after is not None:
                frame.state.update(after)
            frame.alive = self.smt.and_(frame.alive, self.smt.not_(fault))
            path = self.smt.and_(path, self.smt.not_(fault))
            current, address = self.isa.spaces[current.below], below if below is not None else 0
            if isinstance(current, ir.Map):
                args = tuple(self.default(ex, frame, p, access.kind) for p in current.params)
        return current, address


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
        value = self.model.eval(term, model_completion=True)
        return int(z3.is_true(value)) if z3.is_bool(value) else value.as_long()

    def state(self, side: Side, ending: str) -> MachineState | None:
        """The least state in which this side's run goes as in the model and ends so: `completes`, `memory` or a trap's
        name.  None if there is none, or none was found within the budget."""
        if len(side.run.traps) > MAX_TRAPS:
            return None
        isa = self.pair.setting.isa
        smt = Smt(self.pair.smt.rlimit)
        world = World(isa, smt, side.name, dict(self.operands))
        mentioned = {n: t for n, t in side.world.values.items() if n in isa.elements or n in isa.choices}
        for name, term in mentioned.items():
            world.values[name] = self.number(term)
        memories = Physical(isa, smt, world, self.pair.setting.shapes)
        ex = Executor(isa, smt, world, memories)
        constraints: list[Bool] = self._files(side, world, smt)
        run = ex.instruction(side.instruction.body)
        constraints.append(self._ends(smt, run, ending))
        known: list[tuple[Any, Any]] = []
        for seen in memories.seen:
            constraints.append(self._shown(side, smt, seen, known))
        constraints += [
            ex.value(i.expr, Frame({}, run.after.__class__(), run.after.__class__()))
            for i in isa.invariants
            if not i.prelude
        ]
        for element in isa.elements.values():
            if element.legal is not None:
                value = world.element(element.name)
                constraints.append(smt.or_(*(smt.eq(value, v, element.width) for v in element.legal)))
        formula = smt.and_(*constraints)
        if formula is False:
            return None
        free = list(atoms(smt.formula(formula)))
        answer = smt.check(formula, rlimit=STATE_RLIMIT)
        smt.rlimit = min(smt.rlimit, LEAST_RLIMIT)
        model = least_model(smt, formula, free) or answer.model
        return None if model is None else self._read_out(isa, world, model, free)

    def _ends(self, smt: Smt, run: Any, ending: str) -> Bool:
        if ending == "completes":
            return run.completes
        if ending == "memory":
            return smt.or_(*(t.guard for t in run.traps if t.memory))
        return smt.or_(*(t.guard for t in run.traps if t.trap == ending))

    def _files(self, side: Side, world: World, smt: Smt) -> list[Bool]:
        """Files that the pair's formulas read are the model's, entry by entry, so that addresses made of them are
        numbers."""
        out: list[Bool] = []
        for name, file in self.pair.setting.isa.files.items():
            if not self.pair.setting.is_guest(name):
                out += self._mentioned_entries(name, file, side, world, smt)
            elif name in side.world.values:
                array = side.world.values[name]
                entries = {i: self.number(array[i]) for i in range(min(file.size, 256))}
                mine = z3.K(smt.sort(file.index_width), smt.bits(0, file.width))
                for i, value in entries.items():
                    if value:
                        mine = z3.Store(mine, smt.bits(i, file.index_width), smt.bits(value, file.width))
                world.values[name] = mine
        return out

    def _mentioned_entries(self, name: str, file: ir.File, side: Side, world: World, smt: Smt) -> list[Bool]:
        """Entries of a file that is not the guest's: only those that the formula mentions are the model's."""
        mine, out = world.file(name), []
        for read in self.reads:
            if z3.is_select(read) and str(read.arg(0).decl().name()) == f"{name}@{side.name}":
                index = smt.bits(self.number(read.arg(1)), file.index_width)
                out.append(mine[index] == self.number(read))
        return out

    def _shown(self, side: Side, smt: Smt, seen: Seen, known: list[tuple[Any, Any]]) -> Bool:
        """Memory shows what the window (or the table) shows.  `known` are earlier loads with their values, of which
        later addresses are made."""
        place = []
        for part in seen.place:
            if not isinstance(part, int):
                part = z3.simplify(z3.substitute(part, *known) if known else part)
                if not z3.is_bv_value(part):
                    return True
                part = part.as_long()
            place.append(part)
        if seen.table:
            frame = Frame({}, side.run.after.__class__(), side.run.after.__class__())
            table = side.windows.table(frame, seen.space)
            shown = side.windows.units(table, linear(self.pair.smt, seen.space, place[-1]), seen.bits, seen.space)
            return self._fixed(smt, seen, self.number(shown), known)
        cell = Cell(side.windows, seen.space, tuple(place))
        window = side.windows.window(Frame({}, side.run.after.__class__(), side.run.after.__class__()), seen.space)
        shown = side.windows.units(window, cell, seen.bits, seen.space)
        return self._fixed(smt, seen, self.number(shown), known)

    @staticmethod
    def _fixed(smt: Smt, seen: Seen, value: int, known: list[tuple[Any, Any]]) -> Bool:
        if not isinstance(seen.value, int):
            known.append((seen.value, smt.bits(value, seen.bits)))
        return smt.eq(seen.value, value, seen.bits)

    def _read_out(self, isa: ir.Isa, world: World, model: Any, free: list[Any]) -> MachineState:
        def value(term: Any) -> int:
            return term if isinstance(term, int) else model.eval(term, model_completion=True).as_long()

        elements = {n: value(world.values[n]) for n in (*isa.elements, *isa.choices) if n in world.values}
        files: dict[str, dict[int, int]] = {}
        memories: dict[str, dict[int, int]] = {}
        for name, file in isa.files.items():
            if name in world.values:
                files[name] = {i: v for i in range(file.size) if (v := value(z3.simplify(world.values[name][i])))}
        for term in free:
            if not z3.is_select(term):
                continue
            name = str(term.arg(0).decl().name())
            if name.startswith("memory "):
                space = name.removeprefix("memory ").rsplit("@", 1)[0]
                memories.setdefault(space, {})[value(term.arg(1))] = value(term)
        return MachineState(elements, files, memories)


__all__ = ["Concretizer", "Physical"]
