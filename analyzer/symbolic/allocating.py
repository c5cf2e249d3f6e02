"""What a monitor's allocator has to find out about a machine: values that make the scheme's promises true.

`choose` finds what the scheme lets the monitor choose, so that the composed map leads each access of the virtual
machine to its place, and nowhere else (MAP-COMPOSE).  `held_state` finds state in which the monitor's invariants hold.
`granule` finds how many low address bits a map passes on unseen, `flat` where it passes all of them on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from analyzer import ir
from analyzer.allocator import Request
from analyzer.replayer import MachineState
from analyzer.source import Span
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.physical import Physical
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import DEFAULT_RLIMIT, Bits, Bool, Smt
from analyzer.symbolic.staging import Staging, reset_value
from analyzer.symbolic.term import Term
from analyzer.symbolic.windows import World

ROUNDS = 40
"""Proposals for what the monitor chooses that are tried."""

GRANULES = range(12, 3, -1)
"""Low address bits that are tried, the most first."""

KINDS: tuple[ir.AccessKind, ...] = ("fetch", "read", "write")

NATURAL = (1, 2, 4, 8)
"""Units of naturally aligned accesses."""

ALIGNED_BITS = 3
"""The lowest bits, which may matter all the same: alignment."""


# -- what the monitor chooses ------------------------------------------------------------------------------------------


@dataclass
class Composed:
    """A composed map, at an arbitrary access from an arbitrary virtual state: `permits` in the real machine, leading to
    `below`; `right` if the virtual machine permits it too, at the unit `own` whose place that is."""

    smt: Smt
    symbols: list[Any]
    cases: list[tuple[Bool, Bits, Bool]]
    width: int
    assumed: Bool
    choices: dict[str, Any]

    def bad(self) -> Bool:
        """The real map permits what it should not."""
        return self.smt.or_(*(self.smt.and_(p, self.smt.not_(right)) for p, _, right in self.cases))

    def reaches(self, unit: int, copy: str) -> Bool:
        """Some virtual state reaches this unit directly."""
        smt = self.smt
        some = smt.or_(*(smt.and_(p, smt.eq(own, unit, self.width)) for p, own, _ in self.cases))
        pairs = [(s, smt.symbol(f"{s.name} {copy}", s.width)) for s in self.symbols]
        return smt.substituted(smt.and_(self.assumed, some), pairs)


def choose(setting: Setting, name: str, place: Request, rlimit: int = DEFAULT_RLIMIT) -> Mapping[str, int] | None:
    """Values of what the scheme lets the monitor choose, with which the map of this name is composed right: each access
    that the real map permits is permitted by the virtual one, and goes to its place; the first and the last unit can be
    reached.  None: there are none, or they were not found."""
    composed = compose(setting, name, place, rlimit)
    smt, bad = composed.smt, composed.bad()
    wanted = [composed.reaches(place.base, "first"), composed.reaches(place.base + place.size - 1, "last")]
    for _ in range(ROUNDS):
        answer = smt.check(*wanted)
        if answer.status != "sat":
            return None
        proposed = {n: answer.model.value(term) for n, term in composed.choices.items()}
        fixed = [(composed.choices[n], v) for n, v in proposed.items()]
        wrong = smt.substituted(smt.and_(composed.assumed, bad), fixed)
        refuted = smt.check(wrong)
        if refuted.status == "unsat":
            return proposed
        if refuted.status == "unknown":
            return None
        at = [(s, refuted.model.value(s)) for s in composed.symbols]
        wanted.append(smt.not_(smt.substituted(smt.and_(composed.assumed, bad), at)))
    return None


def compose(setting: Setting, name: str, place: Request, rlimit: int) -> Composed:
    """The map of the virtual machine beside the composed one."""
    isa, scheme, smt = setting.isa, setting.scheme, Smt(rlimit)
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    below = isa.spaces[space.below]
    chosen = {n: smt.symbol(f"chosen {n}", w) for n, w in scheme.chosen}
    address = smt.symbol("address", space.address_width)
    virtual = World(isa, smt, "v")
    virtual.values.update(place.virtual)
    memories = Physical(isa, smt, virtual, setting.shapes)
    ex = Executor(isa, smt, virtual, memories)
    start = Frame({}, Changes(), Changes())
    for n, w in scheme.chosen:
        start.let(n, chosen[n], w)
    mode, mode_width = ex.value(isa.mode.expr, start), ir.width(isa.mode.expr)
    cases: list[tuple[Bool, Bits, Bool]] = []
    assumed = [setting.assumed(ex, a) for a in scheme.guest]
    assumed += [setting.assumed(ex, ir.Assume(i.expr, None, (), i.prelude)) for i in isa.invariants]
    worlds = [virtual]
    for guest, real in scheme.run:
        host = World(isa, smt, "r")
        worlds.append(host)
        host.values.update(place.real)
        for n, e in isa.elements.items():
            if setting.passes(n):
                host.values[n] = virtual.element(n)
            elif e.role is ir.Role.MODE:
                host.values[n] = smt.symbol(f"{n}@r", e.width)
        for each in scheme.compose:
            host.values[each.element] = ex.value(each.value, start)
        mine = Physical(isa, smt, host, setting.shapes)
        its = Executor(isa, smt, host, mine)
        frame = Frame({}, Changes(), Changes())
        modes = smt.and_(smt.eq(mode, guest, mode_width), smt.eq(its.value(isa.mode.expr, frame), real, mode_width))
        promised = [setting.assumed(its, a) for a in scheme.assume if not a.free and not a.prelude]
        for kind in ("fetch", "read", "write"):
            plain = {i: smt.symbol(f"argument {i}", space.params[i].width) for i in setting.shapes[name].plain}
            ways = []
            for memory, one in ((memories, ex), (mine, its)):
                at = Frame({}, Changes(), Changes())
                args = tuple(
                    plain[i] if i in plain else memory.default(one, at, p, kind) for i, p in enumerate(space.params)
                )
                ways.append(memory.evaluate(one, at, space, address, args, kind, below.unit))
            (fault, _, own, _), (refused, _, to, _) = ways
            width = below.address_width
            inside = smt.compare("ult", smt.op("sub", own, place.base, width), place.size, width)
            placed = smt.op("add", smt.op("sub", own, place.base, width), place.at, width)
            permits = smt.and_(modes, *promised, smt.not_(refused))
            cases.append((permits, own, smt.and_(smt.not_(fault), inside, smt.eq(to, placed, width))))
    terms = [address, *(t for world in worlds for t in world.values.values())]
    symbols = list(dict.fromkeys(t for t in terms if isinstance(t, Term) and t.op == "symbol"))
    return Composed(smt, symbols, cases, below.address_width, smt.and_(*assumed), chosen)


# -- the monitor's own state -------------------------------------------------------------------------------------------


class Recorded(Physical):
    """Memory whose reads at known addresses are noted."""

    def __init__(self, isa: ir.Isa, smt: Smt, world: World, setting: Setting) -> None:
        super().__init__(isa, smt, world, setting.shapes)
        self.cells: dict[tuple[str, int], Any] = {}

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        space = self.isa.spaces[access.space]
        address = ex.value(access.address, frame)
        if isinstance(space, ir.Memory) and isinstance(address, int):
            array = self.memory(frame, space)
            for i in range(access.bits // space.unit):
                unit = address + i & (1 << space.address_width) - 1
                self.cells[space.name, unit] = self.smt.select_at(array, unit)
        return super().load(ex, frame, path, access, span)


def held_state(
    setting: Setting, chosen: Mapping[str, int], choices: Mapping[str, int], rlimit: int = DEFAULT_RLIMIT
) -> MachineState | None:
    """State in which the monitor's invariants hold, and in which the machine runs and takes no interrupt: as after
    reset, but for what that is about, and that as after reset where it may be.  The memory cells in it are the least.
    What is not `chosen` is free.  None: there is none, or none was found."""
    holding = Holding(setting, Smt(rlimit), dict(chosen), dict(choices))
    for name in holding.free():  # one after the other, so that addresses become numbers
        some = holding.model()
        if some is None:
            return holding.staged()
        first = reset_value(setting.isa.elements[name])
        model, world = some
        other = model.value(world.element(name))
        holding.settled[name] = first
        if first != other and holding.model() is None:
            holding.settled[name] = other
    return holding.least()


@dataclass
class Holding:
    """What is settled of the monitor's state so far."""

    setting: Setting
    smt: Smt
    chosen: dict[str, int]
    choices: dict[str, int]
    settled: dict[str, int] = field(default_factory=dict)

    def free(self) -> list[str]:
        """The elements that are open: those that invariants or interrupts are about."""
        isa, scheme = self.setting.isa, self.setting.scheme
        blocks = [(*a.prelude, ir.Let("assumed", a.expr)) for a in scheme.assume]
        blocks += [(ir.Let("pending", i.cond),) for i in isa.interrupts]
        about = {n for block in blocks for n in self.setting.effects.block(block).reads}
        return [n for n in isa.elements if n in about or isa.elements[n].role is ir.Role.MODE]

    def model(self, *more: Bool) -> tuple[Any, World] | None:
        """A model of what must hold, and the world that it is of."""
        built = self._built()
        answer = self.smt.check(*built[0], *more)
        return (answer.model, built[1]) if answer.status == "sat" else None

    def _built(self) -> tuple[list[Bool], World, Recorded]:
        setting, isa, smt = self.setting, self.setting.isa, self.smt
        world = World(isa, smt, "r")
        open_ = set(self.free()) - set(self.settled)
        world.values.update({n: reset_value(e) for n, e in isa.elements.items() if n not in open_})
        world.values.update(self.settled)
        world.values.update(self.choices)
        memories = Recorded(isa, smt, world, setting)
        ex = Executor(isa, smt, world, memories)
        terms = list(self.said(ex))
        for name, element in isa.elements.items():
            if element.legal is not None:
                terms.append(smt.or_(*(smt.eq(world.element(name), v, element.width) for v in element.legal)))
        widths = dict(setting.scheme.chosen)
        terms += [smt.eq(smt.symbol(f"chosen {n}", widths[n]), v, widths[n]) for n, v in self.chosen.items()]
        return terms, world, memories

    def said(self, ex: Executor) -> Iterator[Bool]:
        """The monitor's invariants; that no interrupt is pending, the processor runs, and the guest's mode is real."""
        isa, smt, scheme = ex.isa, ex.smt, self.setting.scheme
        for assume in scheme.assume:
            for bound in _instances(self.setting, assume):
                yield self.setting.assumed(ex, assume, **bound)
        frame = Frame({}, Changes(), Changes())
        for interrupt in isa.interrupts:
            yield smt.not_(ex.value(interrupt.cond, frame))
        for name, element in isa.elements.items():
            if element.role is ir.Role.PROCESSOR:
                yield smt.eq(ex.world.element(name), 0, element.width)
        yield smt.eq(ex.value(isa.mode.expr, frame), scheme.run[0][1], ir.width(isa.mode.expr))

    def staged(self) -> MachineState | None:
        """The state where a map lies between the invariants and memory."""
        isa = self.setting.isa
        if self.chosen:
            return None
        free = set(self.free())
        maps = {n for name in self.setting.shapes for n in self.setting.effects.map(name).reads}
        fixed = {n: reset_value(e) for n, e in isa.elements.items() if n not in free and n not in maps}
        return Staging(self.setting, self.smt.rlimit, {**fixed, **self.choices}, tuple(self.free()), self.said).state()

    def least(self) -> MachineState | None:
        """The state, every element being settled: its cells of memory bit by bit the least."""
        terms, _, memories = self._built()
        smt = self.smt
        if smt.check(*terms).status != "sat":
            return None
        memory: dict[str, dict[int, int]] = {}
        for (name, unit), cell in sorted(memories.cells.items(), key=lambda item: item[0]):
            value, width = 0, self.setting.isa.spaces[name].unit
            for bit in reversed(range(width)):
                zero = smt.eq(smt.extract(cell, bit, bit, width), 0, 1)
                if smt.check(*terms, zero).status != "sat":
                    zero = smt.not_(zero)
                    value |= 1 << bit
                terms.append(zero)
            memory.setdefault(name, {})[unit] = value
        elements = {n: self.settled.get(n, reset_value(e)) for n, e in self.setting.isa.elements.items()}
        return MachineState(elements, {}, memory)


def _instances(setting: Setting, assume: ir.Assume) -> Iterator[dict[str, tuple[Bits, int]]]:
    """An invariant's free parameters, as the kinds of traps have them: constants among their attributes."""
    if not assume.free:
        yield {}
        return
    seen = set()
    for kind in setting.isa.traps.values():
        values = dict(kind.attributes)
        found = [(n, w, values.get(n)) for n, w in assume.free]
        if all(isinstance(e, ir.Const) for _, _, e in found):
            bound = {n: (e.value, w) for n, w, e in found if isinstance(e, ir.Const)}
            key = tuple(v for v, _ in bound.values())
            if key not in seen:
                seen.add(key)
                yield bound


# -- granules ----------------------------------------------------------------------------------------------------------


def granule(setting: Setting, name: str, rlimit: int = DEFAULT_RLIMIT) -> int | None:
    """The greatest number n of low address bits such that two accesses whose addresses agree above them, and in how
    they are aligned, are refused alike and otherwise lie as far apart below the map as above it.  None: not found."""
    return next((n for n in GRANULES if _passes_on(setting, name, n, rlimit)), None)


def _passes_on(setting: Setting, name: str, low: int, rlimit: int) -> bool:
    isa, smt = setting.isa, Smt(rlimit)
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    below = isa.spaces[space.below]
    world = World(isa, smt, "v")
    high = smt.symbol("granule", space.address_width - low)
    aligned = smt.symbol("aligned", ALIGNED_BITS)
    bits = smt.symbol("width", 16)
    for kind in KINDS:
        ways = []
        args: tuple[Bits, ...] | None = None
        for which in ("one", "two"):
            memories = Physical(isa, smt, world, setting.shapes)
            ex = Executor(isa, smt, world, memories)
            frame = Frame({}, Changes(), Changes())
            middle = smt.concat(smt.symbol(which, low - ALIGNED_BITS), low - ALIGNED_BITS, aligned, ALIGNED_BITS)
            address = smt.concat(high, space.address_width - low, middle, low)
            if args is None:
                args = tuple(smt.symbol(f"argument {p.name}", p.width) for p in space.params)
            fault, _, to, after = memories.evaluate(ex, frame, space, address, args, kind, bits)
            ways.append((fault, to, after, middle))
        (fault, to, after, offset), (other_fault, other, other_after, other_offset) = ways
        if set(after or ()) != set(other_after or ()):
            return False
        width = below.address_width
        start, other_start = (
            smt.op("sub", there, smt.extend(o, low, width, False), width)
            for there, o in ((to, offset), (other, other_offset))
        )
        alike = smt.eq(start, other_start, width)
        marks = [_alike(setting, smt, n, v, other_after[n]) for n, v in (after or {}).items() if other_after]
        wrong = smt.or_(smt.xor(fault, other_fault), smt.and_(smt.not_(fault), smt.not_(smt.and_(alike, *marks))))
        if wrong is not False and smt.check(wrong).status != "unsat":
            return False
    return True


# -- blocks ------------------------------------------------------------------------------------------------------------


def flat(
    setting: Setting, name: str, held: Mapping[str, int], base: int, size: int, rlimit: int = DEFAULT_RLIMIT
) -> bool:
    """With these values of held elements: do all naturally aligned accesses to `size` units from `base` on go to the
    same addresses below, whatever the rest of the state and their arguments are, without a trap or a trace?"""
    isa, smt = setting.isa, Smt(rlimit)
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    width = isa.spaces[space.below].address_width
    world = World(isa, smt, "v")
    world.values.update(held)
    address = smt.symbol("address", space.address_width)
    args = tuple(smt.symbol(f"argument {p.name}", p.width) for p in space.params)
    wide = space.address_width
    wrong: list[Bool] = []
    for kind, units in product(KINDS, NATURAL):
        memories = Physical(isa, smt, world, setting.shapes)
        ex = Executor(isa, smt, world, memories)
        frame = Frame({}, Changes(), Changes())
        fault, _, to, after = memories.evaluate(ex, frame, space, address, args, kind, units * space.unit)
        if not all(name in isa.elements or name in isa.files for name in after or ()):
            return False
        traces = [smt.not_(_alike(setting, smt, n, v, ex.initial(n))) for n, v in (after or {}).items()]
        there = smt.eq(smt.extend(to, width, wide, False) if width < wide else to, address, wide)
        aligned = smt.eq(smt.op("and", address, units - 1, wide), 0, wide)
        wrong.append(smt.and_(aligned, smt.or_(fault, smt.not_(there), *traces)))
    inside = smt.compare("ule", smt.op("sub", address, base, wide), size - max(NATURAL), wide)
    return width <= wide and smt.check(smt.and_(inside, smt.or_(*wrong))).status == "unsat"


def _alike(setting: Setting, smt: Smt, name: str, one: Any, two: Any) -> Bool:
    """Two values of one element, file or memory are equal."""
    element = setting.isa.elements.get(name)
    return smt.same(one, two) if element is None else smt.eq(one, two, element.width)
