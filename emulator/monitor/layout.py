"""How a host's memory is divided: pages of the monitor's own, and a place for each region of each virtual machine.

The monitor needs the cells that its invariants are about, and those that deliveries of traps touch: the slots of PG74,
vectors, stacks.  They are found by taking each trap once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analyzer import ir
from analyzer.errors import UsageError
from analyzer.replayer import MachineState
from emulator.interface import Ram, Region
from emulator.monitor.plan import Plan
from emulator.reference import Machine, Touch
from emulator.reference.run import LeaveTrap, Run
from emulator.state import State

PAGE = 1 << 12
"""Units to which regions are aligned, and of which the monitor's own memory is made."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The regions of a host, and in it the places of each virtual machine's regions of RAM."""

    regions: tuple[Ram, ...]
    places: tuple[tuple[int, ...], ...]
    choices: Mapping[str, int]


def lay(plan: Plan, held: MachineState, guests: Sequence[Sequence[Region]]) -> Layout:
    """Divides a host's memory for these guests.

    Raises:
        UsageError: the address space is too small.
    """
    isa = plan.isa
    pages = own_pages(plan, held)
    taken = {memory: sorted(at) for memory, at in pages.items()}
    regions: list[Ram] = []
    places = []
    for guest in guests:
        mine = []
        for region in guest:
            if isinstance(region, Ram):
                at = _gap(isa, region, taken.setdefault(region.memory, []))
                mine.append(at)
                size = -(-region.size // PAGE)
                taken[region.memory] = sorted({*taken[region.memory], *range(at, at + size * PAGE, PAGE)})
        places.append(tuple(mine))
    for memory, starts in taken.items():
        regions += _joined(isa, memory, starts)
    return Layout(tuple(regions), tuple(places), sizes(isa, regions))


def beside(isa: ir.Isa, regions: Sequence[Ram], memory: str, size: int) -> tuple[tuple[Ram, ...], int]:
    """The regions with `size` units more at the end of the largest one of a memory, and their address.

    Raises:
        UsageError: there is no room.
    """
    mine = sorted((r for r in regions if r.memory == memory), key=lambda r: r.base)
    largest = max(mine, key=lambda r: r.size)
    at, end = largest.base + largest.size, 1 << isa.spaces[memory].address_width
    after = min((r.base for r in mine if r.base >= at), default=end)
    if at + size > after:
        raise UsageError(f"{memory} has no room for {size:#x} units behind {at:#x}")
    wider = Ram(memory, largest.base, largest.size + size)
    return tuple(wider if r == largest else r for r in regions), at


def own_pages(plan: Plan, held: MachineState) -> dict[str, set[int]]:
    """The pages that the monitor needs itself, by memory."""
    pages: dict[str, set[int]] = {}
    for memory, cells in held.memories.items():
        for address in cells:
            pages.setdefault(memory, set()).add(address // PAGE * PAGE)
    for memory, address in touched(plan, held):
        pages.setdefault(memory, set()).add(address // PAGE * PAGE)
    return pages


def touched(plan: Plan, held: MachineState) -> Iterable[tuple[str, int]]:
    """Cells that deliveries of traps to the monitor touch."""
    isa = plan.isa
    for values in plan.modes.values():
        for kind in isa.traps.values():
            state = held_of(isa, held)
            state.elements.update(values)
            for touch in Landing(isa, state).land(kind):
                memory, address = touch.cell
                space = isa.spaces[memory]
                for i in range(max(1, touch.bits // space.unit)):
                    yield memory, address + i & (1 << space.address_width) - 1


class Landing(Machine):
    """A machine that takes traps out of nothing."""

    def land(self, kind: ir.TrapKind) -> list[Touch]:
        """Takes a trap, all of its arguments 0; what its delivery touches."""
        run = Run(self._code, self.state, self.policy)
        trap = LeaveTrap(kind.name, (0,) * len(kind.params), None)
        self._trapped(run, trap, self.state.pc(), 0, None)
        return run.accesses


def held_of(isa: ir.Isa, held: MachineState, choices: Mapping[str, int] | None = None) -> State:
    """The monitor's state as a state."""
    state = State(isa, choices)
    state.elements.update({n: v for n, v in held.elements.items() if n in state.elements})
    for name, entries in held.files.items():
        for index, entry in entries.items():
            state.files[name][index] = entry
    for memory, cells in held.memories.items():
        for address, unit in cells.items():
            state.memories[memory][address] = unit
    return state


def _gap(isa: ir.Isa, region: Ram, taken: Sequence[int]) -> int:
    """The region's own place, where that is free; else the lowest one, page by page, with room."""
    space = isa.spaces[region.memory]
    at, busy = 0, set(taken)
    if region.base % PAGE == 0 and not any(a in busy for a in range(region.base, region.base + region.size, PAGE)):
        return region.base
    while at + region.size <= 1 << space.address_width:
        hit = next((a for a in range(at, at + region.size, PAGE) if a in busy), None)
        if hit is None:
            return at
        at = hit + PAGE
    raise UsageError(f"{region.memory} has no room for {region.size:#x} units beside the monitor")


def _joined(isa: ir.Isa, memory: str, starts: Sequence[int]) -> list[Ram]:
    """Pages as regions."""
    end = 1 << isa.spaces[memory].address_width
    out: list[Ram] = []
    for start in starts:
        size = min(PAGE, end - start)
        if out and out[-1].base + out[-1].size == start:
            out[-1] = Ram(memory, out[-1].base, out[-1].size + size)
        else:
            out.append(Ram(memory, start, size))
    return out


def sizes(isa: ir.Isa, regions: Sequence[Ram]) -> dict[str, int]:
    """The choices that size memories: the end of their RAM."""
    out = {}
    for space in isa.spaces.values():
        if isinstance(space, ir.Memory) and isinstance(space.size, ir.Get) and space.size.element in isa.choices:
            choice = isa.choices[space.size.element]
            end = max((r.base + r.size for r in regions if r.memory == space.name), default=0)
            out[choice.name] = min(end, (1 << choice.width) - 1)
    return out
