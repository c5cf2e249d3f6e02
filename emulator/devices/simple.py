"""Devices for small machines: a console of one register, a power switch, an interval timer.

They are ours, the least that a program needs to say something and to end; no manual describes them.
"""

from __future__ import annotations

from emulator.devices.attach import Kept, Peripheral, Wire, due, low_bits, nowhere
from emulator.devices.console import Console
from emulator.interface import Deadline


class CharacterPort:
    """Writing unit 0 prints the low 8 bits.  Reading unit 0 gives the next character typed, or all ones if none is
    there; the wire is active while one is."""

    def __init__(self, console: Console, irq: Wire = nowhere) -> None:
        self._console = console
        self._irq = irq
        console.listen(self._update)

    def read(self, offset: int, bits: int) -> int:
        character = self._console.get() if offset == 0 else None
        self._update()
        return low_bits(-1, bits) if character is None else character

    def write(self, offset: int, bits: int, value: int) -> None:
        if offset == 0:
            self._console.put(value & 0xFF)

    def _update(self) -> None:
        self._irq(int(self._console.ready))


class PowerSwitch(Peripheral):
    """Writing unit 0 ends the run with the low 8 bits as the exit code."""

    def read(self, offset: int, bits: int) -> int:
        return 0

    def write(self, offset: int, bits: int, value: int) -> None:
        if offset == 0:
            self.machine.stop(value & 0xFF)


class IntervalTimer(Peripheral):
    """Unit 0 is the period in steps, 0 for off: writing it starts the timer anew.  When a period is over, the wire
    becomes active; writing unit 1 makes it inactive.  Reading unit 0 gives the period, unit 1 whether the wire is
    active."""

    def __init__(self, irq: Wire = nowhere) -> None:
        self._irq = irq
        self._period = 0
        self._active = False
        self._deadline: Deadline | None = None

    def kept(self) -> Kept:
        return {"period": self._period, "active": self._active, "due": due(self._deadline)}

    def keep(self, kept: Kept) -> None:
        self._period, self._active = kept["period"], kept["active"]
        self._deadline = self._again(self._deadline, kept["due"], self._over)

    def read(self, offset: int, bits: int) -> int:
        return low_bits((self._period, int(self._active))[offset] if offset < 2 else 0, bits)

    def write(self, offset: int, bits: int, value: int) -> None:
        if offset == 0:
            self._period = value
            self._restart(self.machine.steps + value)
        elif offset == 1:
            self._drive(False)

    def _restart(self, then: int) -> None:
        if self._deadline is not None:
            self.machine.cancel(self._deadline)
            self._deadline = None
        if self._period:
            self._deadline = self.machine.at(then, self._over)

    def _over(self) -> None:
        self._deadline = None
        self._drive(True)
        self._restart(self.machine.steps + self._period)

    def _drive(self, active: bool) -> None:
        self._active = active
        self._irq(int(active))
