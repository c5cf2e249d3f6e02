"""Core-local interruptor: software interrupt and timer of one hart.

SiFive FU540-C000 manual, v1p4, chapter 9: `msip` at 0x0, `mtimecmp` at 0x4000, `mtime` at 0xBFF8, for hart 0.  The time
is an element of the machine's state that counts steps, so that a program reads it without asking a device, and exactly.
"""

from __future__ import annotations

from emulator.devices.attach import Kept, Peripheral, Wire, due, low_bits, nowhere
from emulator.interface import Deadline, Machine

MSIP, MTIMECMP, MTIME = 0x0, 0x4000, 0xBFF8
ALL = (1 << 64) - 1
NEVER = 1 << 60
"""Ticks that nobody waits for: what a program sets to have no timer."""


class Clint(Peripheral):
    """`time` names the element (64 bits) that holds the time; `divide` steps are one tick of it."""

    def __init__(self, time: str, software: Wire = nowhere, timer: Wire = nowhere, divide: int = 1) -> None:
        self._time = time
        self._software = software
        self._timer = timer
        self._divide = divide
        self._pending = 0
        self._compare = ALL
        self._deadline: Deadline | None = None

    def attach(self, machine: Machine) -> None:
        super().attach(machine)
        machine.clock(self._time, "steps", self._divide)
        self._compared()

    def kept(self) -> Kept:
        return {"pending": self._pending, "compare": self._compare, "due": due(self._deadline)}

    def keep(self, kept: Kept) -> None:
        self._pending, self._compare = kept["pending"], kept["compare"]
        self._deadline = self._again(self._deadline, kept["due"], self._compared)

    def read(self, offset: int, bits: int) -> int:
        match offset & ~7:
            case 0x0:
                word = self._pending
            case 0x4000:
                word = self._compare
            case 0xBFF8:
                word = self._now()
            case _:
                word = 0
        return low_bits(word >> 8 * (offset & 7), bits)

    def write(self, offset: int, bits: int, value: int) -> None:
        def merged(old: int) -> int:
            shift = 8 * (offset & 7)
            mask = ((1 << bits) - 1) << shift
            return (old & ~mask | value << shift & mask) & ALL

        match offset & ~7:
            case 0x0:
                self._pending = merged(self._pending) & 1
                self._software(self._pending)
            case 0x4000:
                self._compare = merged(self._compare)
                self._compared()
            case 0xBFF8:
                now = merged(self._now())
                self.machine.set_line(self._time, now)  # after this step
                self._compared(now, 1)
            case _:
                pass

    def _now(self) -> int:
        return self.machine.read(self._time)

    def _compared(self, now: int | None = None, later: int = 0) -> None:
        """Drives the timer's wire, and comes again when it changes by itself; `now` is the time `later` steps on."""
        if self._deadline is not None:
            self.machine.cancel(self._deadline)
            self._deadline = None
        remaining = self._compare - (self._now() if now is None else now)
        self._timer(int(remaining <= 0))
        if 0 < remaining < NEVER:
            then = self.machine.steps + later + remaining * self._divide
            self._deadline = self.machine.at(then, self._compared)
