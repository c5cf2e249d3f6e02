"""The monitor: virtual machines on a host, made, scheduled and stacked.

A monitor is a maker of machines.  `Monitor.make` has the signature that a board wants of one, so a system is assembled
in a virtual machine exactly as on the bare machine, devices and all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from msgspec import structs

from analyzer import ir
from analyzer.allocator import Allocation, Allocator, Request
from analyzer.errors import Diagnostic, Refused, UsageError
from emulator.interface import Exit, Machine, Ram, Reason, Region
from emulator.machine import Tier, build
from emulator.machine.base import BaseMachine
from emulator.monitor.compiled import CompiledHost, Outfit
from emulator.monitor.direct import Host, HostMachine
from emulator.monitor.exiting import forms, objection
from emulator.monitor.layout import Layout, beside, held_of, lay, sizes
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan
from emulator.monitor.table import SIZE, Form, passes
from emulator.monitor.vm import Grant, VirtualMachine
from emulator.state import State

Exits = Literal["seen", "compiled"]

QUANTUM = 10_000
"""Steps that a virtual machine runs before the next one has its turn."""


class Monitor:
    """Makes and runs virtual machines of one plan.

    `depth` is the number of monitors on top of one another: with 2, each virtual machine that is made runs under a
    monitor that itself runs in a virtual machine.  `room` is the number of machines that the host has memory for; they
    are all as large as the first.  `check` looks after RESOURCE-CONTROL on every exit.  Guests run on the `tier`:
    `auto` is the fastest that serves the plan, the reference for an unsafe one, whose guests may do anything.

    `exits` says who deals with exits: routines in generated code (`compiled`), as far as they can, which nobody looks
    at; or always Python (`seen`), which RESOURCE-CONTROL at every exit and traces of exits need.
    """

    def __init__(
        self,
        plan: Plan,
        allocator: Allocator,
        *,
        depth: int = 1,
        room: int = 1,
        check: bool = True,
        tier: Tier = "reference",
        exits: Exits = "seen",
    ) -> None:
        self.plan = plan
        self.allocator = allocator
        self.depth = depth
        self.room = room
        self.check = check
        self.tier = tier
        self.exits = exits
        self.machines: list[VirtualMachine] = []
        self.host: HostMachine | CompiledHost | None = None
        self._places: list[tuple[int, ...]] = []
        self._layout: Layout | None = None
        self._outer: list[VirtualMachine] = []
        self._turn = 0

    def make(self, isa: ir.Isa, regions: Sequence[Region], choices: Mapping[str, int]) -> VirtualMachine:
        """A virtual machine with these regions.

        Raises:
            Refused: PG532, no values were found with which the scheme's map serves it.
            UsageError: the host has no room.
        """
        machine = self._routed(regions, choices)
        if machine is None:
            machine = self._stacked(regions, choices) if self.depth > 1 else self._made(regions, choices)
        self.machines.append(machine)
        return machine

    def _made(self, regions: Sequence[Region], choices: Mapping[str, int]) -> VirtualMachine:
        """The only machine of its host, or one of several."""
        if self.host is None:
            first = self._allocate(regions, choices, None, {})
            layout = lay(self.plan, first.held, [regions] * self.room)
            alone = _placed(regions, layout.places[0]) if self.room == 1 else ()
            self.host = self._host(layout.regions, {**choices, **layout.choices}, first.granules, alone)
            self._places = list(layout.places)
        return self._on(self.host, self._places.pop(0), regions, choices)

    def _stacked(self, regions: Sequence[Region], choices: Mapping[str, int]) -> VirtualMachine:
        """From the inside out: what a machine needs of its host, and its host of its own."""
        first = self._allocate(regions, choices, None, {})
        wanted: list[_Wanted] = []
        inner, its = regions, choices
        for _ in range(self.depth):
            layout = lay(self.plan, first.held, [inner])
            wanted.append(_Wanted(inner, its, layout.places))
            inner, its = layout.regions, {**choices, **layout.choices}
        self.host = self._host(inner, its, first.granules)
        machine: VirtualMachine | None = None
        for each in reversed(wanted):
            host: Host = self.host if machine is None else machine
            if machine is not None:
                self._outer.append(machine)
            machine = self._on(host, each.places[0], each.regions, each.choices)
        assert machine is not None
        return machine

    def _routed(self, regions: Sequence[Region], choices: Mapping[str, int]) -> VirtualMachine | None:
        """A machine whose monitors, one on top of the other, are in generated code; None if that cannot be.

        The innermost monitor makes an instruction set of the machine's, the one below it makes another of that, and so
        on.  Each machine of several has code of its own, and a table; they have the host's memory in common.
        """
        if self.exits != "compiled" or self.tier not in ("auto", "interpreter", "regions"):
            return None
        first = self._allocate(regions, choices, None, {})
        if not self._compiles(first.granules):
            return None
        isa, number = self.plan.isa, len(self.machines)
        wanted: list[_Wanted] = []
        outfits: list[Outfit] = []
        plan, inner, its = self.plan, regions, choices
        blocks: tuple[Placement, ...] = ()
        for level in range(self.depth):
            room, mine = (self.room, number) if level == self.depth - 1 else (1, 0)
            if level < self.depth - 1:
                layout = lay(self.plan, first.held, [inner])
            else:  # that of the first machine holds for all
                layout = self._layout = self._layout or lay(self.plan, first.held, [inner] * room)
            rams, table = self._tabled(layout.regions, first.granules, room)
            places = _placed(inner, layout.places[mine])
            inside = blocks[0] if blocks else None
            blocks = _through(blocks, places) if level else places[: len(places) == 1]
            resident = places, State(isa, its).choices
            found = self._forms(plan, first.granules)
            outfit = replace(Outfit.of(isa, plan, found, table + mine * SIZE, blocks, resident), inner=inside)
            if outfit.routines is None:
                return None
            outfits.append(outfit)
            wanted.append(_Wanted(inner, its, layout.places[mine:]))
            inner, its = rams, {**choices, **layout.choices, **sizes(isa, rams)}
            plan = self.plan.around(outfit.isa)
        shared = self.host.storages if isinstance(self.host, CompiledHost) else None
        machine: Machine = build(outfits[-1].isa, inner, its, self.tier, storages=shared)
        for outfit, each in zip(reversed(outfits), reversed(wanted), strict=True):
            assert isinstance(machine, BaseMachine)
            host = CompiledHost(outfit, machine)
            self.host = self.host or host
            machine = self._on(host, each.places[0], each.regions, each.choices, outfit)
            self._outer.append(machine)
        return self._outer.pop()

    def _forms(self, plan: Plan, granules: Mapping[str, int]) -> Mapping[str, Form]:
        """How the maps of a machine are looked up."""
        return {name: form for name, form in forms(plan, granules).items() if form is not None}

    def _tabled(
        self, regions: Sequence[Region], granules: Mapping[str, int], tables: int = 1
    ) -> tuple[tuple[Ram, ...], int]:
        """The regions of a host with room for so many tables, and where the first is; its maps may need none."""
        rams = tuple(r for r in regions if isinstance(r, Ram))
        at = 0
        for memory in {form.memory.name for form in self._forms(self.plan, granules).values()}:
            rams, at = beside(self.plan.isa, rams, memory, SIZE * tables)
        return rams, at

    def _compiles(self, granules: Mapping[str, int]) -> bool:
        """Do guests run on generated code?

        Raises:
            UsageError: they are to, and guests of this plan cannot.
        """
        isa, why = self.plan.isa, objection(self.plan, forms(self.plan, granules))
        if self.tier == "reference" or (self.tier == "auto" and (self.plan.unsafe or why is not None)):
            return False
        if why is not None:
            raise UsageError(f"guests of {isa.name} cannot run on generated code: {why}", "the tier `reference` can")
        return True

    def _host(
        self,
        regions: Sequence[Region],
        choices: Mapping[str, int],
        granules: Mapping[str, int],
        alone: tuple[Placement, ...] = (),
    ) -> HostMachine | CompiledHost:
        """The machine at the bottom, whose monitors are in Python.  A virtual machine that is alone on it has the
        places `alone`.

        Raises:
            UsageError: guests of this plan cannot run on generated code.
        """
        isa = self.plan.isa
        if not self._compiles(granules):
            return HostMachine(isa, regions, choices)
        rams, table = self._tabled(regions, granules)
        outfit = Outfit.of(isa, self.plan, self._forms(self.plan, granules), table, alone[: len(alone) == 1])
        machine = build(outfit.isa, rams, {**choices, **sizes(isa, rams)}, self.tier)
        assert isinstance(machine, BaseMachine)
        return CompiledHost(outfit, machine)

    def _on(
        self,
        host: Host,
        at: tuple[int, ...],
        regions: Sequence[Region],
        choices: Mapping[str, int],
        outfit: Outfit | None = None,
    ) -> VirtualMachine:
        """Grants a place on a host."""
        plan = self.plan if outfit is None else outfit.plan
        allocation = self._allocate(regions, choices, at, host.state.choices)
        for memory, cells in allocation.held.memories.items():
            unit = self.plan.isa.spaces[memory].unit
            for address, value in cells.items():
                host.storages[memory].store(address, unit, value)
        held = held_of(self.plan.isa, allocation.held, host.state.choices)
        grant = Grant(at, allocation.chosen, held, allocation.granules, allocation.flat)
        if outfit is not None and plan is not self.plan:  # its map is that of the monitor in it
            grant = replace(grant, flat=passes, block=outfit.inner)
        machine = VirtualMachine(plan, host, grant, regions, choices, check=self.check)
        for name in self.plan.division.environment:
            if name in machine.record.elements:
                machine.record.elements[name] = held.elements[name]
        return machine

    def _allocate(
        self,
        regions: Sequence[Region],
        choices: Mapping[str, int],
        at: tuple[int, ...] | None,
        real: Mapping[str, int],
    ) -> Allocation:
        """Asks the allocator; without a place, only for the monitor's own state."""
        rams = [r for r in regions if isinstance(r, Ram)]
        composed = self.plan.composed if at is not None else ()  # without a place, what is chosen is free
        if composed and len(rams) != 1:
            raise self._refused(f"{', '.join(composed)} is composed, which serves one region of RAM, not {len(rams)}")
        place = Placement(rams[0].memory, rams[0].base, rams[0].size, 0 if at is None else at[0])
        request = Request(place.base, place.size, place.at, dict(choices), dict(real))
        found = self.allocator(self.plan.isa, self.plan.scheme, request, composed)
        if found is None:
            raise self._refused(f"no values serve {place.size:#x} units at {place.memory}[{place.at:#x}]")
        return found

    def _refused(self, why: str) -> Refused:
        return Refused(Diagnostic("PG532", f"{self.plan.scheme.name}: {why}", self.plan.scheme.span))

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, budget: int, quantum: int = QUANTUM) -> dict[int, Exit]:
        """Runs the machines in turn until all have ended or taken `budget` steps together; how each that ended did.

        A turn is a number of steps: the host's timer, which no guest can mask (P5).
        """
        ended: dict[int, Exit] = {}
        while budget > 0 and len(ended) < len(self.machines):
            number = self._turn % len(self.machines)
            self._turn += 1
            if number in ended:
                continue
            left = self.machines[number].run(min(quantum, budget))
            budget -= max(left.steps, 1)
            if left.reason is not Reason.BUDGET:
                ended[number] = structs.replace(left, steps=self.machines[number].steps)
        return ended

    @property
    def levels(self) -> tuple[VirtualMachine, ...]:
        """With several monitors: the virtual machines from the outermost on."""
        return (*self._outer, *self.machines)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A machine that is to be made: its regions and choices, and where its host has room for such machines."""

    regions: Sequence[Region]
    choices: Mapping[str, int]
    places: Sequence[tuple[int, ...]]


def _through(blocks: Sequence[Placement], places: Sequence[Placement]) -> tuple[Placement, ...]:
    """Blocks of a guest's RAM, which lie in a virtual machine's, as they lie in its host's."""
    found = []
    for block in blocks:
        for place in places:
            real = place.real(block.at, block.size)
            if place.memory == block.memory and real is not None:
                found.append(replace(block, at=real))
    return tuple(found)


def _placed(regions: Sequence[Region], at: tuple[int, ...]) -> tuple[Placement, ...]:
    """The places of a virtual machine's regions of RAM."""
    rams = [r for r in regions if isinstance(r, Ram)]
    return tuple(Placement(r.memory, r.base, r.size, place) for r, place in zip(rams, at, strict=True))
