"""What a step of a machine comes to, and the policy that settles what an architecture leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from analyzer import ir
from analyzer.source import Span
from emulator.evaluate import ArbitraryPolicy, UnknownPolicy, hashed, zeros


@dataclass(frozen=True, slots=True)
class Policy:
    """How the executor settles what the architecture leaves open, and its limits.

    `undefined` names the trap of an encoding that no instruction has; None stands for the first trap kind of class
    illegal that has no parameters.  `unpredictable` says whether an unpredictable instruction is skipped, or stays.
    `nested` is the number of traps that one delivery may raise, `budget` the loop rounds, calls and accesses of a step.
    """

    unknown: UnknownPolicy = zeros
    arbitrary: ArbitraryPolicy = hashed
    unpredictable: Literal["skip", "stay"] = "skip"
    undefined: str | None = None
    deliver: bool = True
    nested: int = 3
    budget: int = 100_000


@dataclass(frozen=True, slots=True)
class Touch:
    """An access that was made: the space and address as named by the program, and the physical `cell` (a memory or bus,
    and the address there)."""

    space: str
    address: int
    bits: int
    kind: ir.AccessKind
    value: int
    cell: tuple[str, int]
    table: bool = False


@dataclass(frozen=True, slots=True)
class Completed:
    """The instruction ran to its end."""

    instruction: ir.Instruction
    accesses: tuple[Touch, ...] = ()


@dataclass(frozen=True, slots=True)
class Trapped:
    """The instruction trapped.  `memory` says that a map raised it, which makes it a memory trap whatever its kind.
    `instruction` is None if there was none yet (an interrupt, a fetch, an undefined encoding).  `during` are traps that
    were raised before, whose delivery this one ended.  `accesses` are those of the instruction, `delivery` those that
    the delivery made."""

    trap: str
    args: tuple[int, ...]
    kind: ir.TrapClass
    delivered: bool
    instruction: ir.Instruction | None = None
    memory: bool = False
    during: tuple[str, ...] = ()
    accesses: tuple[Touch, ...] = ()
    span: Span | None = None
    delivery: tuple[Touch, ...] = ()


@dataclass(frozen=True, slots=True)
class Undefined:
    """No instruction has this encoding, and no trap is declared for it; nothing changed."""

    accesses: tuple[Touch, ...] = ()


@dataclass(frozen=True, slots=True)
class Unpredicted:
    """The instruction is unpredictable here; what it wrote is undone."""

    instruction: ir.Instruction
    accesses: tuple[Touch, ...] = ()
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Halted:
    """The processor is halted or waits (an element of role `processor` is not 0) and no interrupt comes.  `shutdown`
    says that it stopped by itself, because a trap could not be delivered."""

    element: str
    shutdown: bool = False


@dataclass(frozen=True, slots=True)
class DoubleFault:
    """Delivery trapped again and again; nothing of it is left."""

    traps: tuple[str, ...]
    instruction: ir.Instruction | None = None


@dataclass(frozen=True, slots=True)
class Stuck:
    """The step exceeded a limit of the executor; what it wrote is undone.  `cause` is the error that said so."""

    reason: str
    instruction: ir.Instruction | None = None
    cause: Exception | None = field(default=None, compare=False)


Event = Completed | Trapped | Undefined | Unpredicted | Halted | DoubleFault | Stuck
