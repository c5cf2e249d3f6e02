"""What devices share: the machine they are attached to, and the wires that leave them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from emulator.interface import Machine

Wire = Callable[[int], None]
"""Drives a wire to a level: 0, or what it is when it is active."""


def nowhere(level: int) -> None:
    """The end of a wire that leads nowhere."""


class Peripheral:
    """A device that uses its machine: it is attached once, before the machine runs."""

    _machine: Machine | None = None

    @property
    def machine(self) -> Machine:
        """The machine.

        Raises:
            RuntimeError: the device is not attached yet.
        """
        if self._machine is None:
            raise RuntimeError(f"{type(self).__name__} is not attached to a machine")
        return self._machine

    def attach(self, machine: Machine) -> None:
        self._machine = machine


@dataclass(slots=True)
class Pin:
    """A wire to an element of the machine's state; `active` is the element's value while the wire is active."""

    element: str
    active: int = 1
    level: int = field(default=0, init=False)
    machine: Machine | None = field(default=None, init=False)

    def __call__(self, level: int) -> None:
        value = self.active if level else 0
        if self.machine is not None and value != self.level:
            self.level = value
            self.machine.set_line(self.element, value)


def low_bits(value: int, bits: int) -> int:
    """The `bits` least significant bits."""
    return value & ((1 << bits) - 1)
