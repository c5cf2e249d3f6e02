"""The monitor: virtual machines on a host, made, scheduled and stacked.

A monitor is a maker of machines.  `Monitor.make` has the signature that a board wants of one, so a system is assembled
in a virtual machine exactly as on the bare machine, devices and all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from analyzer import ir
from analyzer.allocator import Allocation, Allocator, Request
from analyzer.errors import Diagnostic, Refused, UsageError
from emulator.interface import Exit, Ram, Reason, Region
from emulator.machine import Tier
from emulator.monitor.compiled import CompiledHost
from emulator.monitor.direct import Host, HostMachine
from emulator.monitor.exiting import forms, objection
from emulator.monitor.layout import beside, held_of, lay, sizes
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan
from emulator.monitor.table import SIZE
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
        self._outer: list[VirtualMachine] = []
        self._turn = 0

    def make(self, isa: ir.Isa, regions: Sequence[Region], choices: Mapping[str, int]) -> VirtualMachine:
        """A virtual machine with these regions.

        Raises:
            Refused: PG532, no values were found with which the scheme's map serves it.
            UsageError: the host has no room.
        """
        machine = self._stacked(regions, choices) if self.depth > 1 else self._made(regions, choices)
        self.machines.append(machine)
        return machine

    def _made(self, regions: Sequence[Region], choices: Mapping[str, int]) -> VirtualMachine:
        if self.host is None:
            first = self._allocate(regions, choices, None, {})
            layout = lay(self.plan, first.held, [regions] * self.room)
            alone = _placed(regions, layout.places[0]) if self.room == 1 else None
            self.host = self._host(layout.regions, {**choices, **layout.choices}, first.granules, alone, choices)
            self._places = list(layout.places)
        return self._on(self.host, self._places.pop(0), regions, choices)

    def _stacked(self, regions: Sequence[Region], choices: Mapping[str, int]) -> VirtualMachine:
        """From the inside out: what a machine needs of its host, and its host of its own."""
        first = self._allocate(regions, choices, None, {})
        held = first.held
        wanted: list[tuple[Sequence[Region], Mapping[str, int], tuple[int, ...]]] = []
        inner, its = regions, choices
        for _ in range(self.depth):
            layout = lay(self.plan, held, [inner])
            wanted.append((inner, its, layout.places[0]))
            inner, its = layout.regions, {**choices, **layout.choices}
        self.host = self._host(inner, its, first.granules)
        machine: VirtualMachine | None = None
        for each, chosen, places in reversed(wanted):
            host: Host = self.host if machine is None else machine
            if machine is not None:
                self._outer.append(machine)
            machine = self._on(host, places, each, chosen)
        assert machine is not None
        return machine

    def _host(
        self,
        regions: Sequence[Region],
        choices: Mapping[str, int],
        granules: Mapping[str, int],
        alone: Sequence[Placement] | None = None,
        virtual: Mapping[str, int] | None = None,
    ) -> HostMachine | CompiledHost:
        """The machine at the bottom.  A virtual machine that is alone on it has these places, and these choices.

        Raises:
            UsageError: guests of this plan cannot run on generated code.
        """
        isa = self.plan.isa
        known = forms(self.plan, granules)
        found = {name: form for name, form in known.items() if form is not None}
        why = objection(self.plan, known)
        if self.tier == "reference" or (self.tier == "auto" and (self.plan.unsafe or why is not None)):
            return HostMachine(isa, regions, choices)
        if why is not None:
            raise UsageError(f"guests of {isa.name} cannot run on generated code: {why}", "the tier `reference` can")
        rams = tuple(r for r in regions if isinstance(r, Ram))
        at = 0
        for memory in {form.memory.name for form in found.values()}:
            rams, at = beside(isa, rams, memory, SIZE)
        blocks = alone if alone is not None and len(alone) == 1 else ()
        routed = alone is not None and self.exits == "compiled" and self.tier in ("auto", "interpreter", "regions")
        resident = (self.plan, alone or (), State(isa, virtual).choices) if routed else None
        passed = self.plan.division.passed
        return CompiledHost(isa, rams, {**choices, **sizes(isa, rams)}, found, at, self.tier, blocks, resident, passed)

    def _on(
        self, host: Host, at: tuple[int, ...], regions: Sequence[Region], choices: Mapping[str, int]
    ) -> VirtualMachine:
        """Grants a place on a host."""
        allocation = self._allocate(regions, choices, at, host.state.choices)
        for memory, cells in allocation.held.memories.items():
            unit = self.plan.isa.spaces[memory].unit
            for address, value in cells.items():
                host.storages[memory].store(address, unit, value)
        held = held_of(self.plan.isa, allocation.held, host.state.choices)
        grant = Grant(at, allocation.chosen, held, allocation.granules, allocation.flat)
        machine = VirtualMachine(self.plan, host, grant, regions, choices, check=self.check)
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
                ended[number] = replace(left, steps=self.machines[number].steps)
        return ended

    @property
    def levels(self) -> tuple[VirtualMachine, ...]:
        """With several monitors: the virtual machines from the outermost on."""
        return (*self._outer, *self.machines)


def _placed(regions: Sequence[Region], at: tuple[int, ...]) -> tuple[Placement, ...]:
    """The places of a virtual machine's regions of RAM."""
    rams = [r for r in regions if isinstance(r, Ram)]
    return tuple(Placement(r.memory, r.base, r.size, place) for r, place in zip(rams, at, strict=True))
