"""A machine as those see it who build boards, devices, monitors and commands.

A machine is made from an Isa, a list of regions and nothing else (`emulator.machine.build`); every tier has this
interface, and all give the same results, instruction for instruction.

Time
    A *step* is one instruction, one trapped instruction with its delivery, or one interrupt with its delivery.  `run`
    takes a budget in steps and is exact.  Deadlines and clocks count steps, so runs are reproducible.

Memory
    A physical address belongs to one region of its memory.  `Ram` is fast.  `Mmio` calls its device with the offset
    from the region's base, in units of the memory.  What no region holds is `ABSENT`: an access to it ends the run,
    with nothing of the instruction done.

Lines
    A device never writes the state of the machine.  It calls `set_line` with an element of the spec that stands for a
    wire (an interrupt-pending bit, the level on a pin); the element changes between instructions: after the one that
    accessed the device, before the interrupts of the next are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Literal, Protocol

from msgspec import Struct

from analyzer import ir
from emulator.state import State

# -- regions -----------------------------------------------------------------------------------------------------------


class Device(Protocol):
    """What answers in an `Mmio` region.

    `offset` counts units of the memory from the base of the region; `bits` is the width of the access, a multiple of
    the unit; values are numbers in the byte order of the Isa.  A device may call `Machine.set_line`, `at` and `stop`;
    an error that it raises ends the run and passes through `Machine.run`.
    """

    def read(self, offset: int, bits: int) -> int:
        """The `bits` bits at `offset`."""
        ...

    def write(self, offset: int, bits: int, value: int) -> None:
        """Takes `bits` bits."""
        ...


class Ram(Struct, frozen=True):
    """`size` units of memory from `base` on, 0 at first.  `memory` names a `Memory` of the Isa."""

    memory: str
    base: int
    size: int


class Mmio(Struct, frozen=True):
    """`size` units from `base` on that a device answers."""

    memory: str
    base: int
    size: int
    device: Device


Region = Ram | Mmio

# -- exits -------------------------------------------------------------------------------------------------------------


class Reason(Enum):
    """Why a run ended."""

    BUDGET = "the budget is spent"
    STOPPED = "a device or the caller stopped the machine"
    HALTED = "the processor is halted or waits, and no interrupt comes"
    SHUTDOWN = "the processor shut itself down, because a trap could not be delivered"
    UNDELIVERED = "a trap that the instruction set does not deliver"
    DOUBLE_FAULT = "the delivery of a trap trapped again and again"
    UNDEFINED = "no instruction has this encoding, and no trap is declared for it"
    ABSENT = "no region holds the address"
    DEBUGGER = "the debugger has gone"
    STUCK = "one instruction takes more work than the limit"


class Exit(Struct, frozen=True):
    """How a run ended.  `steps` were taken in it.

    `code` is what `stop` was given; `name` the element that halts, or the trap (for `DOUBLE_FAULT` the last one);
    `address` the physical address of `ABSENT`, in `memory`.  After `UNDELIVERED`, `DOUBLE_FAULT`, `UNDEFINED`, `ABSENT`
    and `STUCK` nothing of the last step is left, but for `UNDELIVERED` the program counter stands where the trap left
    it.
    """

    reason: Reason
    steps: int
    code: int = 0
    name: str | None = None
    memory: str | None = None
    address: int | None = None


# -- the machine -------------------------------------------------------------------------------------------------------

Unspecified = Callable[..., int]
"""Answers for an `unspecified` function of the spec: its arguments in order, as integers, to the value."""

ClockSource = Literal["steps", "retired"]


class Deadline(Struct, frozen=True):
    """A call that is due; give it to `Machine.cancel`."""

    due: int
    number: int


class Snapshot(Protocol):
    """All of a machine that changes as it runs, without its devices: opaque, immutable, costs a copy of the RAM."""


class Machine(Protocol):
    """A machine that runs."""

    @property
    def isa(self) -> ir.Isa: ...

    @property
    def regions(self) -> tuple[Region, ...]: ...

    @property
    def steps(self) -> int:
        """Steps since the machine was made; exact also inside a device's `read` or `write` (the accessing instruction
        not counted yet)."""
        ...

    @property
    def retired(self) -> int:
        """Steps that were completed instructions: no trap, no interrupt."""
        ...

    def run(self, budget: int) -> Exit:
        """Takes `budget` steps, or fewer if something ends the run; the next call goes on from there.

        Raises:
            ValueError: the budget is negative.
        """
        ...

    # -- state: elements, `file` with an index, registers, memories --

    def read(self, place: str, index: int | None = None, bits: int | None = None) -> int:
        """The value of an element, choice, register, entry, or of `bits` bits of a memory (as `State.read`).

        Raises:
            UsageError: there is no such place.
        """
        ...

    def write(self, place: str, value: int, index: int | None = None, bits: int | None = None) -> None:
        """Sets a place (as `State.write`); also code and tables in memory may be written so.

        Raises:
            UsageError: there is no such place, the value does not fit, or no RAM holds the address.
        """
        ...

    def read_units(self, memory: str, address: int, count: int) -> bytes | list[int]:
        """`count` units of RAM: bytes where the unit is 8 bits, else numbers.

        Raises:
            UsageError: no RAM holds them.
        """
        ...

    def write_units(self, memory: str, address: int, units: bytes | list[int]) -> None:
        """Writes units to RAM (loaders, DMA).

        Raises:
            UsageError: no RAM holds them.
        """
        ...

    def to_state(self) -> State:
        """A copy of everything as a `State` (memories: the RAM that is not 0)."""
        ...

    def from_state(self, state: State) -> None:
        """Takes over elements, files and the written cells of memories; choices must be those of the machine.

        Raises:
            UsageError: a written cell is in no RAM, or a choice differs.
        """
        ...

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot) -> None: ...

    # -- for devices and boards --

    def set_line(self, element: str, value: int) -> None:
        """Drives a wire.  While an instruction runs, the element changes right after it; else at once.  Several calls
        take effect in order.

        Raises:
            UsageError: there is no such element, or the value does not fit.
        """
        ...

    def at(self, due: int, call: Callable[[], None]) -> Deadline:
        """Calls `call` when `steps` is `due` (at once before the next step if that is past), before the interrupts of
        that step are looked at.  Calls that are due together come in the order in which they were asked for."""
        ...

    def cancel(self, deadline: Deadline) -> None:
        """Takes back a deadline; one that is past is ignored."""
        ...

    def stop(self, code: int = 0) -> None:
        """Ends the run after the present instruction (`Reason.STOPPED`); outside of a run, the next one at once."""
        ...

    def clock(self, element: str, source: ClockSource, divide: int = 1) -> None:
        """Makes an element count, from its present value on: steps or retired instructions, one per `divide` (a power
        of two) of them.  Programs that write it set it.

        Raises:
            UsageError: there is no such element, or `divide` is not a power of two.
        """
        ...

    def bind(self, name: str, answer: Unspecified) -> None:
        """Lets a function answer for an `unspecified` function of the spec (default: a fixed hash of the arguments).
        It is called once for each evaluation, and so may stand for a device behind an I/O instruction.

        Raises:
            UsageError: the spec has no such function.
        """
        ...
