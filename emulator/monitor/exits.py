"""Exits in lines: where control left the guest, why, and what the monitor did about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analyzer import ir
from emulator.disassemble import disassemble
from emulator.interface import Machine
from emulator.peek import Peek

SHADOW_MISS = "shadow miss"
"""The cause of an exit for which the shadow has no entry."""

Done = Literal["emulated", "reflected", "interpreted", "filled", "ended"]
"""An interpreter routine completed the instruction, or its trap was delivered on the record; the step was made in a
mode that does not run directly; the shadow has an entry more; the machine cannot go on."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Where the monitor begins a step for a guest: the step's number, the virtual mode and program counter (in so many
    hexadecimal digits), the instruction there as text, and the cause."""

    step: int
    mode: str
    pc: int
    digits: int
    text: str
    cause: str


@dataclass(frozen=True, slots=True)
class Handled:
    """What the monitor did; `trap` was delivered on the record.

    >>> print(Handled(Noted(12, "s", 16, 6, "lpsw 0x20", "privileged privileged"), "emulated"))
          12  s  000010  privileged privileged  emulated               lpsw 0x20
    """

    noted: Noted
    done: Done
    trap: str | None = None

    def __str__(self) -> str:
        at = self.noted
        other = self.trap is not None and not at.cause.endswith(f" {self.trap}")
        done = f"{self.done}: {self.trap}" if other else self.done
        return f"{at.step:>8}  {at.mode}  {at.pc:0{at.digits}x}  {at.cause:<21}  {done:<21}  {at.text}"


def cause(kind: ir.TrapKind) -> str:
    """An exit by a trap of this kind, as it is counted."""
    return f"{kind.kind.value} {kind.name}"


Tell = Callable[[Handled], None]


def note(machine: Machine, cause: str) -> Noted:
    """Looks at a virtual machine before the monitor makes a step for it."""
    isa, peek = machine.isa, Peek(machine)
    pc = peek.state.pc()
    decoded = peek.instruction()
    text = "no instruction" if decoded is None else disassemble(isa, decoded, pc)
    digits = min((isa.elements[isa.fetch.pc].width + 3) // 4, 16)
    return Noted(machine.steps + 1, peek.state.mode(), pc, digits, text, cause)
