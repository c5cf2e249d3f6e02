"""Memory as it is: accesses go through the maps' own text down to physical memory, and where a virtual machine's lies.

`Physical` gives each memory of the Isa one array.  That the memory of a virtual machine may be taken for one, although
it is a part of the host's with devices around it, is the lemma that a `Placed` memory states: what is read at a is what
was last written there, and no other unit of the host has changed.
"""

from __future__ import annotations

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.symbolic.execute import Executor, Frame
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.windows import MapShape, Windows, World, linear


class Physical(Windows):
    """Memories in which every access goes down to physical memory."""

    def __init__(self, isa: ir.Isa, smt: Smt, world: World, shapes: dict[str, MapShape]) -> None:
        super().__init__(isa, smt, world, shapes)
        for space in isa.spaces.values():
            if isinstance(space, ir.Memory):
                world.array(f"memory {space.name}", space.address_width, space.unit, False)

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        space, address, args = self.down(ex, frame, path, access, span)
        if isinstance(space, ir.Bus):
            return self.bus_load(ex, frame, path, space, address, args, access.bits)
        self.beyond(ex, frame, path, space, address, span)
        return self.units(self.memory(frame, space), linear(self.smt, space, address), access.bits, space)

    def store(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, value: Bits, span: Span | None) -> None:
        space, address, args = self.down(ex, frame, path, access, span)
        if isinstance(space, ir.Bus):
            self.bus_store(ex, frame, path, space, address, args, value, access.bits)
            return
        self.beyond(ex, frame, path, space, address, span)
        cell, old = linear(self.smt, space, address), self.memory(frame, space)
        frame.state[f"memory {space.name}"] = self.written(old, cell, value, access.bits, space)

    def down(
        self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None
    ) -> tuple[ir.Memory | ir.Bus, Bits, tuple[Bits, ...]]:
        """Goes through the maps.  Their traps are memory traps."""
        space = self.isa.spaces[access.space]
        address = ex.value(access.address, frame)
        if isinstance(space, ir.Bus):
            return space, address, tuple(ex.value(a, frame) for a in access.args)
        args = self.arguments(ex, frame, space, access) if isinstance(space, ir.Map) else ()
        while isinstance(space, ir.Map):
            fault, traps, address, after = self.evaluate(ex, frame, space, address, args, access.kind, access.bits)
            for trap in traps:
                ex.trap(frame, self.smt.and_(path, trap.guard), trap.trap, trap.args, span, True)
            if after is not None:
                frame.state.update(after)
            frame.alive = self.smt.and_(frame.alive, self.smt.not_(fault))
            space = self.isa.spaces[space.below]
            params = space.params if isinstance(space, ir.Map | ir.Bus) else ()
            args = tuple(0 if p.default is None else self.default(ex, frame, p, access.kind) for p in params)
        return space, address, args


# -- where the memory of a virtual machine lies ------------------------------------------------------------------------


class Placed(Struct, frozen=True):
    """A memory of a virtual machine in the host's, for all places and sizes.

    Unit a with `base <= a < base + size` is the host's unit r(a) = `at + (a - base)`; other units are devices'.
    """

    smt: Smt
    space: ir.Memory

    @property
    def width(self) -> int:
        """The width of an address."""
        return self.space.address_width

    def _symbol(self, name: str) -> Bits:
        return self.smt.symbol(name, self.width)

    def holds(self, address: Bits) -> Bool:
        """Is this unit RAM of the virtual machine?"""
        offset = self.smt.op("sub", address, self._symbol("base"), self.width)
        return self.smt.compare("ult", offset, self._symbol("size"), self.width)

    def real(self, address: Bits) -> Bits:
        """r."""
        offset = self.smt.op("sub", address, self._symbol("base"), self.width)
        return self.smt.op("add", offset, self._symbol("at"), self.width)

    def owns(self, real: Bits) -> Bool:
        """Is this unit of the host the virtual machine's?"""
        offset = self.smt.op("sub", real, self._symbol("at"), self.width)
        return self.smt.compare("ult", offset, self._symbol("size"), self.width)

    def wrong(self) -> list[tuple[str, Bool]]:
        """What would make it no memory: none of these may be possible.

        One unit is written, and another read; what the arrays of host and device give for it is put in by the axiom of
        arrays (the written unit's value at the written place, else what was there).
        """
        smt, unit, width = self.smt, self.space.unit, self.width
        host, device = (smt.array(name, width, unit) for name in ("host", "device"))
        one, two, value = self._symbol("written"), self._symbol("read"), smt.symbol("value", unit)
        there = smt.symbol("any unit of the host", width)
        equal = smt.eq(one, two, width)
        ram, other = smt.select_at(host, self.real(two)), smt.select_at(device, two)
        hit = smt.and_(self.holds(one), smt.eq(self.real(one), self.real(two), width))
        after_ram = smt.ite(hit, value, ram, unit)
        after_other = smt.ite(smt.and_(smt.not_(self.holds(one)), equal), value, other, unit)
        after = smt.ite(self.holds(two), after_ram, after_other, unit)
        expected = smt.ite(equal, value, smt.ite(self.holds(two), ram, other, unit), unit)
        changed = smt.and_(self.holds(one), smt.eq(self.real(one), there, width))
        return [
            ("two units have one place", smt.and_(smt.not_(equal), smt.eq(self.real(one), self.real(two), width))),
            ("a unit lies outside of its region", smt.xor(self.holds(one), self.owns(self.real(one)))),
            ("a write changes memory of others", smt.and_(changed, smt.not_(self.owns(there)))),
            ("a read does not give what was last written", smt.not_(smt.eq(after, expected, unit))),
        ]
