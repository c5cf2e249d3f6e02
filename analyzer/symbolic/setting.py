"""An Isa under a scheme: what all queries about its instructions share, and how its traps are delivered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.passes.effects import EffectsOf
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.windows import FreeTables, MapShape, Windows, World, shape_of


class Setting:
    """An Isa under a scheme: everything that queries about different instructions share."""

    def __init__(self, isa: ir.Isa, scheme: ir.Scheme) -> None:
        self.isa = isa
        self.scheme = scheme
        self.effects = EffectsOf(isa)
        maps = [s.name for s in isa.spaces.values() if isinstance(s, ir.Map)]
        self.shapes: dict[str, MapShape] = {name: shape_of(isa, self.effects, name) for name in maps}
        own = {name for o in scheme.own for name in o.names}
        self.own = {n for n in (*isa.elements, *isa.files) if _covered(n, own)}
        self.environment = {n for n in (*isa.elements, *isa.files) if _covered(n, set(scheme.environment))}
        self.chosen = {n for n in isa.elements if _covered(n, set(scheme.choose))}
        self._arrivals: dict[str, bool] = {}
        self._roles = dict(self.state())
        self.quiet_maps = True  # containment asks that the real map permits only what has no side effect on it
        for name, shape in self.shapes.items():
            if shape.privilege and not self._chooses_space(name):
                self.shapes[name] = replace(shape, spaces=False)

    def _chooses_space(self, name: str) -> bool:
        """Do a map's privilege-like arguments choose where an access goes, and not only whether it may?"""
        smt = Smt()
        space = self.isa.spaces[name]
        assert isinstance(space, ir.Map)
        address = smt.symbol("address", space.address_width)
        ways = []
        for way in ("one", "two"):
            world = World(self.isa, smt, "v")
            memories = FreeTables(self.isa, smt, world, self.shapes)
            ex = Executor(self.isa, smt, world, memories)
            args = tuple(
                smt.symbol(f"{p.name} {way if i in self.shapes[name].privilege else ''}", p.width)
                for i, p in enumerate(space.params)
            )
            frame = Frame({}, Changes(), Changes())
            fault, _, below, _ = memories.evaluate(ex, frame, space, address, args, "read", space.unit)
            ways.append((fault, below))
        (fault, below), (other_fault, other) = ways
        apart = smt.not_(smt.eq(below, other, self.isa.spaces[space.below].address_width))
        return smt.check(smt.not_(fault), smt.not_(other_fault), apart).status != "unsat"

    def always_arrives(self, trap: str) -> bool:
        """Proved: from every user mode, under the monitor's invariants, a trap of this kind arrives in the monitor's
        mode.  Such a trap *helps* whatever the state is."""
        if trap not in self._arrivals:
            self.know_arrivals(self.arrivals([trap]))
        return self._arrivals[trap]

    def arrivals(self, traps: Iterable[str]) -> dict[str, bool]:
        """Which of these traps always arrive.  Mostly all do, so they are asked about together first."""
        kinds = [self.isa.traps[trap] for trap in traps]
        if self.isa.deliver is None or (len(kinds) > 1 and self._prove_arrival(kinds)):
            return dict.fromkeys(traps, True)
        return {kind.name: self._prove_arrival([kind]) for kind in kinds}

    def know_arrivals(self, arrivals: Mapping[str, bool]) -> None:
        """What has been proved of traps."""
        self._arrivals.update(arrivals)

    def assumed(self, ex: Executor, assume: ir.Assume, **free: tuple[Bits, int]) -> Bool:
        """An assumption at the beginning of a run, its free parameters bound."""
        frame = Frame({}, Changes(), Changes())
        for name, width in self.scheme.chosen:
            frame.let(name, ex.smt.symbol(f"chosen {name}", width), width)
        for name, (value, width) in free.items():
            frame.let(name, value, width)
        ex.block(assume.prelude, frame, True)
        return ex.value(assume.expr, frame)

    def _prove_arrival(self, kinds: list[ir.TrapKind]) -> bool:
        """Does every trap of these kinds arrive?"""
        smt = Smt()
        world = World(self.isa, smt, "r")
        windows = Windows(self.isa, smt, world, self.shapes)
        ex = Executor(self.isa, smt, world, windows)
        here = world.element(self.isa.fetch.pc)
        frames = [trap_frame(self, kind, self._any_arguments(smt, kind), Changes(), here) for kind in kinds]
        values = [trap_values(self, ex, kind, frame) for kind, frame in zip(kinds, frames, strict=True)]
        if len({frozenset((n, w) for n, (_, w) in known.items()) for known in values}) > 1:
            return False  # they have not the same attributes, and are not to be told of together
        trap = smt.symbol("trap", 8)
        merged = values[-1]
        for one in values[:-1]:
            number = smt.eq(trap, one["t"][0], 8)
            merged = {n: (smt.ite(number, one[n][0], v, w), w) for n, (v, w) in merged.items()}
        delivery = delivered(self, ex, merged, frames[-1])
        frame = Frame({}, Changes(), Changes())
        mode, width = ex.value(self.isa.mode.expr, frame), ir.width(self.isa.mode.expr)
        user = smt.or_(*(smt.eq(mode, real, width) for _, real in self.scheme.run))
        known = [self.assumed(ex, a) for a in self.scheme.assume if not a.free]
        known += [self.assumed(ex, ir.Assume(i.expr, i.reason, (), i.prelude)) for i in self.isa.invariants]
        given = smt.and_(user, *known)
        answer = smt.check(given, *delivery.assumptions, smt.not_(delivery.arrives), guess=False)
        return answer.status == "unsat"

    def _any_arguments(self, smt: Smt, kind: ir.TrapKind) -> tuple[Bits, ...]:
        return tuple(smt.symbol(f"trap {name} {width}", width) for name, width in kind.params)

    @cached_property
    def concerned(self) -> frozenset[str]:
        """What the machine's invariants are about, and the elements that have illegal values."""
        names = {n for n, e in self.isa.elements.items() if e.legal is not None}
        for invariant in self.isa.invariants:
            names |= self.effects.block((*invariant.prelude, ir.Let("invariant", invariant.expr))).reads
        return frozenset(names)

    def state(self) -> Iterable[tuple[str, ir.Role]]:
        """Every element and file with its role."""
        yield from ((n, e.role) for n, e in self.isa.elements.items())
        yield from ((n, f.role) for n, f in self.isa.files.items())

    def is_guest(self, name: str) -> bool:
        """Guest state proper."""
        return self.role(name) is ir.Role.GUEST

    def role(self, name: str) -> ir.Role:
        """The role of an element, a file, or an array of a world: windows are guest state, tables belong to the map,
        and so does what another space shows; physical memory is control."""
        if name not in self._roles:
            self._roles[name] = ir.Role.GUEST if name.startswith("window ") else ir.Role.MAP
            if name.startswith("memory "):
                self._roles[name] = ir.Role.CONTROL
        return self._roles[name]

    def waits(self, name: str) -> bool:
        """Processor state that an interrupt ends: declared with a caveat."""
        element = self.isa.elements.get(name)
        return element is not None and element.role is ir.Role.PROCESSOR and element.caveat is not None

    def passes(self, name: str) -> bool:
        """Does the element hold the guest's own value while the guest runs?"""
        return self.is_guest(name) or name in self.own or self.role(name) is ir.Role.TIME or self.waits(name)


def _covered(name: str, listed: set[str]) -> bool:
    return name in listed or name.rsplit(".", 1)[0] in listed


# -- delivery ----------------------------------------------------------------------------------------------------------


class Delivery(Struct, frozen=True):
    """What the delivery procedure does: the state it leaves, whether that is in the monitor's mode, and the monitor's
    parametrised invariants, instantiated with the trap's attributes."""

    state: Changes
    arrives: Bool
    assumptions: tuple[Bool, ...]


def deliver(
    setting: Setting, ex: Executor, kind: ir.TrapKind, args: tuple[Any, ...], restored: Changes, at: Bits | None
) -> Delivery:
    """Runs the delivery procedure of a trap from the state that the trap restored; `at` is where the program counter
    stands, None for where it stood."""
    frame = trap_frame(setting, kind, args, restored, at)
    return delivered(setting, ex, trap_values(setting, ex, kind, frame), frame)


def trap_frame(setting: Setting, kind: ir.TrapKind, args: tuple[Any, ...], restored: Changes, at: Bits | None) -> Frame:
    """Where a trap is delivered from."""
    pc = setting.isa.fetch.pc
    frame = Frame({}, Changes(restored), Changes())
    frame.state.pop(pc, None)
    if at is not None:
        frame.state[pc] = at
    for (name, width), value in zip(kind.params, args, strict=True):
        frame.let(name, value, width)
    return frame


def trap_values(setting: Setting, ex: Executor, kind: ir.TrapKind, frame: Frame) -> dict[str, tuple[Bits, int]]:
    """What a delivery knows of a trap, by name, with widths: its number `t`, and its attributes."""
    values: dict[str, tuple[Bits, int]] = {"t": (list(setting.isa.traps).index(kind.name), 8)}
    for name, expr in kind.attributes:
        values[f"t.{name}"] = (ex.value(expr, frame), ir.width(expr))
    return values


def delivered(setting: Setting, ex: Executor, values: Mapping[str, tuple[Bits, int]], frame: Frame) -> Delivery:
    """Runs the delivery procedure for a trap of which these values are known."""
    isa, smt = setting.isa, ex.smt
    assert isa.deliver is not None
    assumptions = []
    for assume in setting.scheme.assume:
        if assume.free and all(f"t.{n}" in values for n, _ in assume.free):
            free = {n: values[f"t.{n}"] for n, _ in assume.free}
            fresh = Executor(isa, smt, ex.world, ex.memories)
            assumptions.append(setting.assumed(fresh, assume, **free))
    inner = Frame({}, frame.state, frame.restart)
    arguments = tuple(values[name][0] if name in values else 0 for name, _ in isa.deliver.params)
    ex.body(inner, isa.deliver, arguments, True)
    mode = ex.value(isa.mode.expr, inner)
    arrives = smt.eq(mode, setting.scheme.monitor, ir.width(isa.mode.expr))
    return Delivery(inner.state, smt.and_(arrives, inner.alive), tuple(assumptions))
