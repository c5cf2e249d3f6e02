"""What replays a witness, as the analyzer sees it: a machine state goes in, what happened comes out.

The replaying itself is handed in, because the analyzer runs without an emulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from analyzer import ir


class MachineState(Struct, frozen=True):
    """A whole state: what is not named is zero."""

    elements: Mapping[str, int]
    files: Mapping[str, Mapping[int, int]]
    memories: Mapping[str, Mapping[int, int]]


class Ran(Struct, frozen=True):
    """What the reference executor did with one state: `ending` is `completes`, `unpredictable`, or the name of the
    trap; `writes` are (space, address, bits, value) in order."""

    ending: str
    memory: bool
    elements: Mapping[str, int]
    files: Mapping[str, Mapping[int, int]]
    writes: tuple[tuple[str, int, int, int], ...]


class Replayer(Protocol):
    """The reference executor, as witnesses and examples need it."""

    def assembly(self, isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> tuple[str, str]:
        """The disassembled instruction, and its units in hex."""
        ...

    def run(self, isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int], start: MachineState) -> Ran:
        """Executes one instruction, the trap (if any) not delivered."""
        ...

    def failures(self, isa: ir.Isa, instruction: ir.Instruction) -> tuple[str, ...]:
        """Runs the examples that stand beside an instruction: where one does not come out as stated, and how."""
        ...
