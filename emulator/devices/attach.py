"""What devices share: the machine they are attached to, and the wires that leave them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from emulator.interface import Deadline, Machine

Kept = Mapping[str, Any]
"""What a device keeps between two accesses, in numbers, texts and lists of them: what a file can hold."""


@runtime_checkable
class Keeps(Protocol):
    """A device that keeps something: it gives a copy of it, and takes one in place of what it has.  Wires are not
    driven: their levels are kept beside."""

    def kept(self) -> Kept: ...

    def keep(self, kept: Kept) -> None: ...


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

    def _again(self, deadline: Deadline | None, due: int | None, call: Callable[[], None]) -> Deadline | None:
        """The deadline at `due` (None: none) in place of another."""
        if deadline is not None:
            self.machine.cancel(deadline)
        return None if due is None else self.machine.at(due, call)


class Pin(Struct):
    """A wire to an element of the machine's state; `active` is the element's value while the wire is active."""

    element: str
    active: int = 1
    level: int = 0
    machine: Machine | None = None

    def __call__(self, level: int) -> None:
        value = self.active if level else 0
        if self.machine is not None and value != self.level:
            self.level = value
            self.machine.set_line(self.element, value)


def due(deadline: Deadline | None) -> int | None:
    """When a deadline is due, for what is kept."""
    return None if deadline is None else deadline.due


def low_bits(value: int, bits: int) -> int:
    """The `bits` least significant bits."""
    return value & ((1 << bits) - 1)
