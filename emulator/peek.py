"""Looking into a machine without changing it, and changing its memory as a debugger does.

Registers are copied when `refresh` is called; memory is read through when it is needed.  Maps are evaluated by the
reference, so a debugger sees what the program sees.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from analyzer import ir
from analyzer.errors import UsageError
from emulator.decode import Decoded, decoder
from emulator.interface import Machine
from emulator.state import Cells, State

if TYPE_CHECKING:
    from emulator.reference.machine import Machine as Reference


class Peek:
    """A view of a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.isa = machine.isa
        self.state = State(self.isa)
        self._spaces = tuple(self.state.memories)
        self.refresh()

    @cached_property
    def _reference(self) -> Reference:
        from emulator.reference.machine import Machine as Reference

        return Reference(self.isa, self.state)

    def refresh(self) -> None:
        """Takes the machine's present registers."""
        machine, state = self._machine, self.state
        for name in state.elements:
            state.elements[name] = machine.read(name)
        for name, entries in state.files.items():
            entries[:] = [machine.read(name, i) for i in range(len(entries))]
        for name in state.choices:
            state.choices[name] = machine.read(name)
        for name in self._spaces:
            state.memories[name] = Cells(partial(self._unit, name))

    def _unit(self, memory: str, address: int) -> int:
        """A unit of RAM; where a device or nothing answers, 0: looking must have no effect."""
        try:
            return self._machine.read(memory, address)
        except UsageError:
            return 0

    def read(self, space: str, address: int, bits: int, kind: ir.AccessKind = "read") -> int | None:
        """What an access reads; None if it traps."""
        try:
            return self._reference.load(space, address, bits, kind)
        except UsageError:
            return None

    def write(self, space: str, address: int, bits: int, value: int) -> bool:
        """Writes to RAM where an access would write; False if it would trap, or where there is no RAM."""
        try:
            self._reference.store(space, address, bits, value)
            for name in self._spaces:
                for cell in self.state.memories[name]:
                    self._machine.write(name, self.state.memories[name][cell], cell)
        except UsageError:
            return False
        return True

    def instruction(self, address: int | None = None) -> Decoded | None:
        """The instruction at an address (None: the program counter) as it would be fetched; None if there is none."""
        fetch = self.isa.fetch
        start = self.state.pc() if address is None else address
        per = fetch.parcel // self.isa.unit
        wrap = (1 << self.isa.spaces[fetch.space].address_width) - 1

        def parcel(i: int) -> int:
            if fetch.limit is not None and i >= fetch.limit:
                raise _NoInstruction
            found = self.read(fetch.space, start + i * per & wrap, fetch.parcel, "fetch")
            if found is None:
                raise _NoInstruction
            return found

        try:
            return decoder(self.isa).decode(parcel, self.state)
        except _NoInstruction:
            return None


class _NoInstruction(Exception):
    pass
