"""The monitor's own state where its invariants read tables through a map: found in two stages.

What such an invariant says (every gate leads to the monitor) is about what a map shows; where that lies in memory is
the map's affair.  First elements, and what the tables show, are found with the map left abstract, tables at places of
their own.  Then each invariant, and each delivery, is executed once more, and memory placed under it so that the
machine's own map shows just that (`placing`).  The state is believed when all invariants are true of it as it is
(CONFIRMED).

A monitor has to get into its guests (P3): some instruction of the machine leads from its mode to theirs.  What that
one reads in tables is there, and what it leaves in held registers is what they hold while a guest runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.replayer import MachineState
from analyzer.source import Span
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.physical import Physical
from analyzer.symbolic.placing import PLACE_BITS, KnownSmt, NoPlace, Placing, Spread, assignment, limits
from analyzer.symbolic.setting import Setting, deliver
from analyzer.symbolic.smt import Array, Bits, Bool, Smt
from analyzer.symbolic.windows import MapShape, Windows, World, linear

Said = Callable[[Executor], Iterable[Bool]]
"""What must hold, in the words of an executor."""


@dataclass
class Staging:
    """The search.  `fixed` are elements and choices that are not open, `free` those that what is `said` is about."""

    setting: Setting
    rlimit: int
    fixed: Mapping[str, int]
    free: tuple[str, ...]
    said: Said
    settled: dict[str, int] = field(default_factory=dict)

    def state(self) -> MachineState | None:
        """The state; None: not found."""
        smt = Smt(self.rlimit)
        for place, name in enumerate(self.free, 1):
            if not any(self._settle(smt, name, value) for value in self._wishes(name, place)):
                return None
        found = self._entered(smt) or self._model(smt)
        if found is None:
            return None
        state = self._placed(found)
        return state if state is not None and self._confirmed(state) else None

    # -- what the tables show ------------------------------------------------------------------------------------------

    def _wishes(self, name: str, place: int) -> Iterable[int | None]:
        """Values for an element, the best first; None is whatever the solver says.  What can be an address gets a place
        of its own."""
        element = self.setting.isa.elements[name]
        if element.width > PLACE_BITS + 4:
            yield place << PLACE_BITS
        yield reset_value(element)
        yield None

    def _settle(self, smt: Smt, name: str, value: int | None) -> bool:
        if value is None:
            found = self._model(smt)
            if found is None:
                return False
            value = found.number(found.stage.world.element(name))
        self.settled[name] = value
        if self._model(smt) is not None:
            return True
        del self.settled[name]
        return False

    def _model(self, smt: Smt) -> Found | None:
        """A model of what must hold."""
        stage = self._stage(smt)
        answer = smt.check(*self.said(stage.ex), *limits(stage.ex))
        return Found(answer.model, stage) if answer.status == "sat" else None

    def _stage(self, smt: Smt, **values: Any) -> Stage:
        """The state as far as it is settled, its tables what they like."""
        isa = self.setting.isa
        world = World(isa, smt, "r")
        world.values.update({**self.fixed, **self.settled, **values})
        memories = Noting(isa, smt, world, self.setting.shapes)
        return Stage(world, memories, Executor(isa, smt, world, memories))

    def _entered(self, smt: Smt) -> Found | None:
        """A model in which some instruction leads from the monitor's mode to the guests', with what it leaves in held
        registers."""
        isa, scheme = self.setting.isa, self.setting.scheme
        modes = {n for n in self.settled if isa.elements[n].role is ir.Role.MODE}
        mode, width = isa.mode.expr, ir.width(isa.mode.expr)
        start: dict[str, Any] = {n: smt.symbol(f"{n}@entering", isa.elements[n].width) for n in modes}
        start |= {n: _file(smt, f) for n, f in isa.files.items() if not self.setting.passes(n)}
        for instruction in isa.instructions:
            if not self.setting.effects.block(instruction.body).writes & modes:
                continue
            before, guest = self._stage(smt, **start), self._stage(smt)
            fields = {o.name: smt.symbol(f"operand {o.name}", o.width) for o in instruction.operands}
            before.world.operands = {"prefix_parcels": 0, **{p.name: p.default for p in isa.prefixes}, **fields}
            beginning = Frame({}, Changes(), Changes())
            first = before.ex.value(mode, beginning)
            encoded = True if instruction.where is None else before.ex.value(instruction.where, beginning)
            run = before.ex.instruction(instruction.body)
            last = before.ex.value(mode, Frame({}, Changes(run.after), Changes()))
            kept = [smt.eq(run.after[n], v, isa.elements[n].width) for n, v in self.settled.items() if n in run.after]
            terms = [*self.said(guest.ex), *limits(guest.ex), encoded, run.completes, *kept]
            terms += [smt.eq(first, scheme.monitor, width), smt.eq(last, scheme.run[0][1], width)]
            answer = smt.check(*terms)
            if answer.status == "sat":
                found = Found(answer.model, before)
                for name, term in run.after.items():
                    if name in isa.elements and name not in self.settled and not self.setting.passes(name):
                        found.elements[name] = found.number(term)
                    elif name in isa.files and not self.setting.passes(name):
                        file = isa.files[name]
                        found.files[name] = {i: answer.model.cell(term, i) for i in range(file.size)}
                found.tables = [r for r in before.memories.noted if found.number(r.path)]
                return found
        return None

    # -- memory under them ---------------------------------------------------------------------------------------------

    def _placed(self, found: Found) -> MachineState | None:
        isa = self.setting.isa
        smt = KnownSmt(self.rlimit)
        world = World(isa, smt, "r")
        world.values.update({**self.fixed, **found.elements, **self.settled})
        memories = Placing(isa, smt, world, self.setting.shapes, _Tables(isa, found.number, found.stage.memories))
        ex = Executor(isa, smt, world, memories)
        memories.limits = limits(ex)
        try:
            for _ in self.said(ex):
                pass
            for read in found.tables:
                memories.load(ex, Frame({}, Changes(), Changes()), True, read.access(found.number), None)
            for kind in isa.traps.values() if isa.deliver is not None else ():  # deliveries find what they write to
                deliver(self.setting, ex, kind, (0,) * len(kind.params), Changes(), 0)
            assigned = assignment(smt, smt.known, smt.and_(*memories.limits), 0, Spread())
        except NoPlace:
            return None
        if assigned is None:
            return None
        known = smt.known.with_(assigned)
        elements = {}
        for name, element in isa.elements.items():
            term = world.values.get(name, reset_value(element))
            elements[name] = known.number(term) if known.has(term) else reset_value(element)
        cells = {n.removeprefix("memory ").rsplit("@", 1)[0]: c for n, c in known.cells.items() if n.startswith("mem")}
        return MachineState(elements, found.files, {n: dict(sorted(c.items())) for n, c in cells.items()})

    def _confirmed(self, state: MachineState) -> bool:
        """Is all that is said true of the state, memory as it is?"""
        isa, smt = self.setting.isa, Smt(self.rlimit)
        world = World(isa, smt, "r")
        world.values.update({**self.fixed, **state.elements})
        for name, cells in state.memories.items():
            space = isa.spaces[name]
            array: Array = smt.fill(0, space.address_width, space.unit)
            for at, unit in cells.items():
                array = smt.store_at(array, at, unit, space.unit)
            world.values[f"memory {name}"] = array
        ex = Executor(isa, smt, world, Physical(isa, smt, world, self.setting.shapes))
        return all(said is True for said in self.said(ex))


class Read(Struct, frozen=True):
    """A read of a table: under which condition, where, and with what arguments."""

    path: Bool
    of: ir.Access
    address: Bits
    args: tuple[Bits, ...]

    def access(self, number: Callable[[Any], int]) -> ir.Access:
        """The access, as numbers."""
        at = ir.Const(ir.width(self.of.address), number(self.address))
        args = tuple(ir.Const(ir.width(e), number(a)) for e, a in zip(self.of.args, self.args, strict=True))
        return replace(self.of, address=at, args=args)


class Noting(Windows):
    """Memories that note what is read in tables."""

    def __init__(self, isa: ir.Isa, smt: Smt, world: World, shapes: dict[str, MapShape]) -> None:
        super().__init__(isa, smt, world, shapes)
        self.noted: list[Read] = []

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        if access.table:
            args = tuple(ex.value(a, frame) for a in access.args)
            self.noted.append(Read(self.smt.and_(path, frame.alive), access, ex.value(access.address, frame), args))
        return super().load(ex, frame, path, access, span)


class Stage(Struct, frozen=True):
    """A state in the first stage: its symbols, its tables, and what executes on them."""

    world: World
    memories: Noting
    ex: Executor


@dataclass
class Found:
    """A model of the first stage, and what the way into guests leaves and reads."""

    model: Any
    stage: Stage
    elements: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[int, int]] = field(default_factory=dict)
    tables: list[Read] = field(default_factory=list)

    def number(self, term: Any) -> int:
        """A term's value."""
        return int(term) if isinstance(term, bool | int) else int(self.model.value(term))


class _Tables(Struct, frozen=True):
    """What the tables of a model show.  Nothing is refused."""

    isa: ir.Isa
    number: Callable[[Any], int]
    windows: Windows

    def shows(self, space: ir.Space, place: tuple[int, ...], bits: int, table: bool) -> int:
        frame, windows = Frame({}, Changes(), Changes()), self.windows
        assert isinstance(space, ir.Memory | ir.Map)
        array = windows.memory(frame, space) if isinstance(space, ir.Memory) else windows.table(frame, space)
        at: Bits = linear(windows.smt, space, place[-1])
        return self.number(windows.units(array, at, bits, space))

    def refuses(self, space: ir.Map, args: tuple[int, ...], place: tuple[int, ...], access: ir.Access) -> bool:
        return False


def _file(smt: Smt, file: ir.File) -> Array:
    """A file as after reset."""
    return smt.fill(file.reset or 0, file.index_width, file.width)


def reset_value(element: ir.Element) -> int:
    """The value after reset; 0 or the first legal value where that is left open."""
    if element.reset is not None:
        return element.reset
    return element.legal[0] if element.legal and 0 not in element.legal else 0
