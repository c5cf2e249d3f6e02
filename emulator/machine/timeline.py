"""What happens to a machine from outside while it runs: deadlines, wires, clocks, and the wish to stop."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from msgspec import Struct

from emulator.interface import ClockSource, Deadline


class Clock(Struct):
    """An element that counts: `(steps or retired >> shift) + offset`, modulo 2**width."""

    element: str
    source: ClockSource
    shift: int
    width: int
    offset: int = 0

    def value(self, count: int) -> int:
        return (count >> self.shift) + self.offset & (1 << self.width) - 1

    def set(self, count: int, value: int) -> None:
        self.offset = value - (count >> self.shift) & (1 << self.width) - 1


class Timeline:
    """Deadlines in order, and what devices asked for while an instruction ran."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._numbers = 0
        self.lines: list[tuple[str, int]] = []
        self.stopped: int | None = None

    def at(self, due: int, call: Callable[[], None]) -> Deadline:
        self._numbers += 1
        heapq.heappush(self._queue, (due, self._numbers, call))
        return Deadline(due, self._numbers)

    def cancel(self, deadline: Deadline) -> None:
        if any(number == deadline.number for _, number, _ in self._queue):
            self._cancelled.add(deadline.number)

    def next(self) -> int | None:
        """When the next call is due."""
        while self._queue and self._queue[0][1] in self._cancelled:
            self._cancelled.discard(heapq.heappop(self._queue)[1])
        return self._queue[0][0] if self._queue else None

    def fire(self, now: int) -> None:
        """Makes the calls that are due."""
        while (due := self.next()) is not None and due <= now:
            heapq.heappop(self._queue)[2]()
