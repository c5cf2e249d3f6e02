"""What all tiers share: regions, wires, deadlines, clocks, and the loop around them.

A tier gives `_go` (run at most so many steps), the access to its state, and the number of steps inside an instruction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from analyzer import ir
from analyzer.errors import UsageError
from emulator.codegen.agreed import unspecified
from emulator.evaluate import hashed
from emulator.interface import ClockSource, Deadline, Exit, Reason, Region, Unspecified
from emulator.machine.timeline import Clock, Timeline
from emulator.state import State
from emulator.storage import Absent, Bank, Storage, storages


class Image(Struct, frozen=True):
    """A snapshot: the state without memory, and the banks."""

    elements: Mapping[str, int]
    files: Mapping[str, tuple[int, ...]]
    banks: tuple[bytes, ...]
    steps: int
    lost: int
    clocks: tuple[int, ...]


class BaseMachine(ABC):
    """A machine without the tier that runs it."""

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None = None,
        memories: Mapping[str, Storage] | None = None,
    ) -> None:
        self._isa = isa
        self._regions = tuple(regions)
        self._storages: dict[str, Storage] = storages(isa, regions) if memories is None else dict(memories)
        self._choices = State(isa, choices).choices
        self._timeline = Timeline()
        self._clocks: dict[str, Clock] = {}
        self._answers: dict[str, Unspecified] = {}
        self._steps = 0
        self._lost = 0  # steps that did not retire an instruction
        self._running = False

    # -- what a tier gives ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _go(self, most: int) -> Exit | None:
        """Runs at most `most` steps (at least one), counts them in `_steps` and `_lost`, and comes back when they are
        spent or a wire, a deadline or a stop was asked for (None), or at an end."""

    @abstractmethod
    def _get(self, element: str) -> int: ...

    @abstractmethod
    def _set(self, element: str, value: int) -> None: ...

    @abstractmethod
    def to_state(self) -> State: ...

    @abstractmethod
    def from_state(self, state: State) -> None: ...

    @abstractmethod
    def _wrote(self, memory: str, address: int, units: int) -> None:
        """RAM was written from outside."""

    # -- the interface -------------------------------------------------------------------------------------------------

    @property
    def isa(self) -> ir.Isa:
        return self._isa

    @property
    def regions(self) -> tuple[Region, ...]:
        return self._regions

    @property
    def steps(self) -> int:
        return self._steps

    @property
    def retired(self) -> int:
        return self._steps - self._lost

    def run(self, budget: int) -> Exit:
        if budget < 0:
            raise ValueError("the budget is negative")
        begin = self._steps
        end = begin + budget
        while True:
            self._timeline.fire(self._steps)
            self._drive()
            if self._timeline.stopped is not None:
                code, self._timeline.stopped = self._timeline.stopped, None
                return Exit(Reason.STOPPED, self._steps - begin, code)
            if self._steps >= end:
                return Exit(Reason.BUDGET, self._steps - begin)
            due = self._timeline.next()
            until = end if due is None else min(end, due)
            self._running = True
            try:
                ended = self._go(until - self._steps)
            except Absent as absent:
                ended = Exit(Reason.ABSENT, 0, memory=absent.memory, address=absent.address)
            finally:
                self._running = False
            if ended is None:
                continue
            if ended.reason is Reason.HALTED and due is not None and not self._timeline.lines:
                self._lost += until - self._steps  # it waits: time goes on
                self._steps = until
                continue
            self._drive()
            return Exit(ended.reason, self._steps - begin, ended.code, ended.name, ended.memory, ended.address)

    def _drive(self) -> None:
        """The wires change."""
        lines, self._timeline.lines = self._timeline.lines, []
        for element, value in lines:
            self._set(element, value)

    def set_line(self, element: str, value: int) -> None:
        declared = self._isa.elements.get(element)
        if declared is None:
            raise UsageError(f"there is no element {element} in {self._isa.name}")
        if not 0 <= value < 1 << declared.width:
            raise UsageError(f"{value:#x} does not fit in the {declared.width} bits of {element}")
        if self._running:
            self._timeline.lines.append((element, value))
        else:
            self._set(element, value)

    def at(self, due: int, call: Callable[[], None]) -> Deadline:
        return self._timeline.at(due, call)

    def cancel(self, deadline: Deadline) -> None:
        self._timeline.cancel(deadline)

    def stop(self, code: int = 0) -> None:
        self._timeline.stopped = code

    def _asked(self, until: int) -> bool:
        """Whether a device asked for something that cannot wait."""
        due = self._timeline.next()
        timeline = self._timeline
        return bool(timeline.lines) or timeline.stopped is not None or (due is not None and due < until)

    def clock(self, element: str, source: ClockSource, divide: int = 1) -> None:
        declared = self._isa.elements.get(element)
        if declared is None:
            raise UsageError(f"there is no element {element} in {self._isa.name}")
        if divide < 1 or divide & divide - 1:
            raise UsageError(f"a clock divides by a power of two, not by {divide}")
        clock = Clock(element, source, divide.bit_length() - 1, declared.width)
        value = self._get(element)
        clock.set(self._count(clock), value)
        self._clocks[element] = clock

    def _count(self, clock: Clock) -> int:
        return self.steps if clock.source == "steps" else self.retired

    def bind(self, name: str, answer: Unspecified) -> None:
        if all(name != known for known, _, _ in unspecified(self._isa)):
            raise UsageError(f"{self._isa.name} has no unspecified function {name}")
        self._answers[name] = answer

    def _arbitrary(self, name: str, args: tuple[int, ...], width: int) -> int:
        """The value of an unspecified function."""
        answer = self._answers.get(name)
        if answer is None:
            return hashed(name, args, width)
        return int(answer(*args)) & (1 << max(width, 1)) - 1

    # -- state ---------------------------------------------------------------------------------------------------------

    def read(self, place: str, index: int | None = None, bits: int | None = None) -> int:
        if index is not None and place in self._storages:
            width = bits or self._isa.spaces[place].unit
            self._of_ram(place, index, width // self._isa.spaces[place].unit)
            return self._storages[place].load(index, width)
        if index is None and place in self._isa.elements:
            return self._get(place)
        return self._view().read(place, index, bits)

    def write(self, place: str, value: int, index: int | None = None, bits: int | None = None) -> None:
        if index is not None and place in self._storages:
            unit = self._isa.spaces[place].unit
            width = bits or unit
            if not 0 <= value < 1 << width:
                raise UsageError(f"{value:#x} does not fit in {width} bits")
            self._of_ram(place, index, width // unit)
            self._storages[place].store(index, width, value)
            self._wrote(place, index, width // unit)
            return
        view = self._view()
        view.write(place, value, index, bits)
        self._take(view)

    @abstractmethod
    def _view(self) -> State:
        """The state without its memories: a copy, or the state itself."""

    @abstractmethod
    def _take(self, view: State) -> None:
        """Takes over a state of `_view` that has changed."""

    def _replace(self, memory: str, bank: Bank, image: bytes) -> None:
        """Fills a bank."""
        bank.cells.cast("B")[:] = image
        self._wrote(memory, bank.base, bank.size)

    def _of_ram(self, memory: str, address: int, units: int) -> None:
        if self._storages[memory].bank(address, units) is None:
            raise UsageError(f"no RAM holds {units} units at {memory}[{address:#x}]")

    def read_units(self, memory: str, address: int, count: int) -> bytes | list[int]:
        storage = self._storage(memory)
        bank = storage.bank(address, count)
        if bank is None:
            raise UsageError(f"no RAM holds {count} units at {memory}[{address:#x}]")
        cells = bank.cells[address - bank.base : address - bank.base + count]
        return cells.tobytes() if bank.cell == 1 else list(cells)

    def write_units(self, memory: str, address: int, units: bytes | list[int]) -> None:
        storage = self._storage(memory)
        bank = storage.bank(address, len(units))
        if bank is None:
            raise UsageError(f"no RAM holds {len(units)} units at {memory}[{address:#x}]")
        at = address - bank.base
        if bank.cell == 1:
            bank.cells[at : at + len(units)] = bytes(units)
        else:
            for i, unit in enumerate(units):
                if unit >> bank.unit:
                    raise UsageError(f"{unit:#x} does not fit in a unit of {bank.unit} bits")
                bank.cells[at + i] = unit
        self._wrote(memory, address, len(units))

    def _storage(self, memory: str) -> Storage:
        if memory not in self._storages:
            raise UsageError(f"there is no memory {memory}", f"there are {', '.join(self._storages)}")
        return self._storages[memory]

    def snapshot(self) -> Image:
        view = self._view()
        return Image(
            dict(view.elements),
            {name: tuple(entries) for name, entries in view.files.items()},
            tuple(bytes(bank.cells.cast("B")) for storage in self._storages.values() for bank in storage.banks),
            self._steps,
            self._lost,
            tuple(clock.offset for clock in self._clocks.values()),
        )

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, Image):
            raise UsageError("this is no snapshot of a machine")
        banks = [(name, bank) for name, storage in self._storages.items() for bank in storage.banks]
        if [len(image) for image in snapshot.banks] != [bank.cells.nbytes for _, bank in banks]:
            raise UsageError("the snapshot is of a machine with other regions")
        for (name, bank), image in zip(banks, snapshot.banks, strict=True):
            self._replace(name, bank, image)
        view = self._view()
        view.elements.update(snapshot.elements)
        for name, entries in snapshot.files.items():
            view.files[name][:] = entries
        self._take(view)
        self._steps, self._lost = snapshot.steps, snapshot.lost
        for clock, offset in zip(self._clocks.values(), snapshot.clocks, strict=True):
            clock.offset = offset
        self._clocks_were_set()

    def _clocks_were_set(self) -> None:  # noqa: B027  # only a tier that keeps them elsewhere must know
        """The offsets of clocks are others than before."""
