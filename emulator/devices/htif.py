"""Berkeley host-target interface: two double words in memory through which a program talks to the host.

RISC-V ISA simulator (Spike), fesvr/device.h and syscall.cc: a command in `tohost` has the device in bits 63..56, the
command in 55..48 and a payload below.  Device 0, command 0: with bit 0 of the payload set, the program ends with the
code in the other bits; else the payload is the address of a system call, of which `write` to the console is answered.
Device 1 is the console: command 1 writes a character, command 0 asks for one.

Spike looks at `tohost` from time to time, and so do we: every 256 steps at first, less often while nothing is there.
"""

from __future__ import annotations

from analyzer.errors import UsageError
from emulator.devices.attach import Kept, Peripheral, due
from emulator.devices.console import Console
from emulator.interface import Deadline, Machine

SOONEST, LATEST = 256, 1 << 22
"""Steps between two looks."""

SYS_WRITE, SYS_EXIT = 64, 93
MOST_WRITTEN = 1 << 16
NO_SUCH_CALL, BAD_ADDRESS = (1 << 64) - 38, (1 << 64) - 14  # ENOSYS and EFAULT


class Htif(Peripheral):
    """`tohost` and `fromhost` are addresses in `memory`, whose unit is a byte."""

    def __init__(self, memory: str, tohost: int, fromhost: int | None, console: Console) -> None:
        self._memory = memory
        self._tohost = tohost
        self._fromhost = fromhost
        self._console = console
        self._interval = SOONEST
        self._asked = False
        self._deadline: Deadline | None = None

    def attach(self, machine: Machine) -> None:
        super().attach(machine)
        self._deadline = machine.at(machine.steps + self._interval, self._look)

    def kept(self) -> Kept:
        return {"interval": self._interval, "asked": self._asked, "due": due(self._deadline)}

    def keep(self, kept: Kept) -> None:
        self._interval, self._asked = kept["interval"], kept["asked"]
        self._deadline = self._again(self._deadline, kept["due"], self._look)

    def _look(self) -> None:
        command = self.machine.read(self._memory, self._tohost, 64)
        if command:
            self.machine.write(self._memory, 0, self._tohost, 64)
            self._obey(command >> 56, command >> 48 & 0xFF, command & (1 << 48) - 1)
            self._interval = SOONEST
        else:
            self._interval = min(self._interval * 2, LATEST)
        if self._asked and self._console.ready:
            self._asked = False
            self._answer(1 << 56 | (self._console.get() or 0))
        self._deadline = self.machine.at(self.machine.steps + self._interval, self._look)

    def _obey(self, device: int, command: int, payload: int) -> None:
        match device, command:
            case 0, 0 if payload & 1:
                self.machine.stop(payload >> 1 & 0xFFFFFFFF)
            case 0, 0:
                self._call(payload)
            case 1, 1:
                self._console.put(payload & 0xFF)
                self._answer(1 << 56 | 1 << 48)
            case 1, 0:
                self._asked = True
            case _:
                pass

    def _call(self, block: int) -> None:
        """A system call: eight double words, number and arguments; the result goes where the number was.  One that is
        not in memory is ignored."""
        try:
            number, first, text, length = (self.machine.read(self._memory, block + 8 * i, 64) for i in range(4))
        except UsageError:
            return
        if number == SYS_EXIT:
            self.machine.stop(first & 0xFF)
        known = number == SYS_WRITE and first in (1, 2) and length <= MOST_WRITTEN
        self.machine.write(self._memory, self._write(text, length) if known else NO_SUCH_CALL, block, 64)
        self._answer(1)

    def _write(self, text: int, length: int) -> int:
        """Characters for the console; the result of the call."""
        try:
            characters = self.machine.read_units(self._memory, text, length)
        except UsageError:
            return BAD_ADDRESS
        for character in characters:
            self._console.put(character)
        return length

    def _answer(self, word: int) -> None:
        if self._fromhost is not None:
            self.machine.write(self._memory, word, self._fromhost, 64)
