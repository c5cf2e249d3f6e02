"""A machine of nothing but time, wires and RAM, to try devices on."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from analyzer.errors import UsageError
from emulator.interface import Deadline, Machine
from emulator.machine.timeline import Timeline

SIZE = 0x10000


class Bench:
    """What a device asks of a machine; `pass_` lets steps pass."""

    def __init__(self) -> None:
        self.steps = 0
        self.elements: dict[str, int] = {}
        self.ram = bytearray(SIZE)
        self.stopped: int | None = None
        self._timeline = Timeline()
        self._clocks: dict[str, int] = {}

    def as_machine(self) -> Machine:
        return cast(Machine, self)

    def pass_(self, steps: int) -> None:
        """Time goes on, from deadline to deadline."""
        end = self.steps + steps
        while True:
            due = self._timeline.next()
            self.steps = end if due is None else max(self.steps, min(due, end))
            self._timeline.fire(self.steps)
            if self.steps == end and (self._timeline.next() or end + 1) > end:
                return

    def at(self, due: int, call: Callable[[], None]) -> Deadline:
        return self._timeline.at(due, call)

    def cancel(self, deadline: Deadline) -> None:
        self._timeline.cancel(deadline)

    def clock(self, element: str, source: str, divide: int = 1) -> None:
        assert source == "steps"
        self._clocks[element] = divide
        self.elements.setdefault(element, 0)

    def set_line(self, element: str, value: int) -> None:
        if element in self._clocks:
            value -= self.steps // self._clocks[element]
        self.elements[element] = value

    def stop(self, code: int = 0) -> None:
        self.stopped = code

    def read(self, place: str, index: int | None = None, bits: int = 8) -> int:
        if index is not None:
            return int.from_bytes(self.read_units(place, index, bits // 8), "little")
        if place in self._clocks:
            return self.elements[place] + self.steps // self._clocks[place]
        return self.elements[place]

    def write(self, place: str, value: int, index: int, bits: int = 8) -> None:
        self.write_units(place, index, value.to_bytes(bits // 8, "little"))

    def read_units(self, memory: str, address: int, count: int) -> bytes:
        if address + count > SIZE:
            raise UsageError("no RAM")
        return bytes(self.ram[address : address + count])

    def write_units(self, memory: str, address: int, units: bytes) -> None:
        if address + len(units) > SIZE:
            raise UsageError("no RAM")
        self.ram[address : address + len(units)] = units


class Line:
    """The end of a wire, which remembers its levels."""

    def __init__(self) -> None:
        self.level = 0
        self.changes: list[int] = []

    def __call__(self, level: int) -> None:
        if level != self.level:
            self.level = level
            self.changes.append(level)
