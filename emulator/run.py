"""Running a program on a board: what `popek run` does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.errors import UsageError
from emulator.board import Board, board_of
from emulator.devices.console import Console
from emulator.devices.virtio import MemoryDisk
from emulator.image import Format, content, load_image
from emulator.interface import Exit, Machine, Reason
from emulator.machine import Tier
from emulator.peek import Peek
from emulator.piece import Image
from emulator.system import Maker, System, assemble_system

if TYPE_CHECKING:
    from emulator.profile import Profile, Told

TIERS: tuple[Tier, ...] = get_args(Tier)

SLICE = 5_000_000
"""Steps between two looks at what is typed."""

LARGEST_DISK = 1 << 31
"""Bytes of the content of a disk, which is all in memory."""

UNASKED = 1 << 28
"""Steps at a time where nobody types: less than a second, after which an interrupt of the host is seen."""

Keyboard = Callable[[bool], bytes]
"""What was typed since the last call; it may wait for something if the argument says so.  Empty after waiting: the end
of the input."""

OK, FAILED, SPENT = 0, 1, 3


class Options(Struct, frozen=True):
    """`ram` is in units of the memory, `budget` in steps (None: none).  `loads` are further programs with the address
    at which raw units go (None: the board's)."""

    board: str | None = None
    ram: int | None = None
    budget: int | None = None
    loads: tuple[tuple[Path, int | None], ...] = ()
    disk: Path | None = None
    format: Format | None = None
    tier: Tier = "auto"


class Outcome(Struct, frozen=True):
    """How a run went: `seconds` are of processor time."""

    ended: Exit
    steps: int
    retired: int
    seconds: float
    pc: int
    mode: str

    @property
    def code(self) -> int:
        """The exit code: that of the program if it ended itself; 0 if the processor halted; 1 for an end that no
        program wants; 3 if the budget ran out."""
        match self.ended.reason:
            case Reason.STOPPED:
                return self.ended.code & 0xFF
            case Reason.HALTED:
                return OK
            case Reason.BUDGET:
                return SPENT
            case _:
                return FAILED

    @property
    def ended_itself(self) -> bool:
        """Whether the program came to an end of its own."""
        return self.ended.reason in (Reason.STOPPED, Reason.HALTED)

    @property
    def ended_by_device(self) -> bool:
        """Whether the program said that it ends."""
        return self.ended.reason is Reason.STOPPED

    def sentence(self) -> str:
        """How the run ended."""
        ended = self.ended
        place = f" (pc {self.pc:#x}, mode {self.mode})"
        match ended.reason:
            case Reason.STOPPED:
                return f"the program ended with code {ended.code}"
            case Reason.BUDGET:
                return f"{ended.reason.value}{place}"
            case Reason.ABSENT:
                return f"{ended.reason.value} {ended.memory}[{ended.address or 0:#x}]{place}"
            case _:
                return f"{ended.reason.value}{f': {ended.name}' if ended.name else ''}{place}"

    def as_data(self) -> dict[str, str | int | float]:
        """For `--stats json`."""
        return {
            "reason": self.ended.reason.name.lower(),
            "code": self.code,
            "steps": self.steps,
            "retired": self.retired,
            "seconds": round(self.seconds, 6),
            "steps_per_second": round(self.steps / self.seconds) if self.seconds else 0,
            "pc": self.pc,
            "mode": self.mode,
        }


def parsed_load(text: str) -> tuple[Path, int | None]:
    """`FILE` or `FILE@ADDRESS`.

    >>> parsed_load("a.bin@0x10")[1]
    16

    Raises:
        UsageError: the address is not a number.
    """
    file, at, address = text.rpartition("@")
    if not at:
        return Path(text), None
    try:
        return Path(file), int(address, 0)
    except ValueError:
        raise UsageError(f"{address} is not an address", "write FILE@ADDRESS") from None


def prepare(isa: ir.Isa, program: Path, options: Options, console: Console, make: Maker | None = None) -> System:
    """The machine with the program in it, at reset; `make` makes it, if it is another than the bare one.

    Raises:
        AssemblyError: the program or the board is wrong (PG50x to PG52x).
        OSError: a file cannot be read.
        UsageError: there is no such board, or what was asked for is not possible.
    """
    board = board_of(isa, options.board)
    if options.ram is not None and options.ram < 1:
        raise UsageError("a machine needs memory")
    images = [load_image(isa, program, board.load, board.target(), options.format)]
    images += [_further(isa, board, path, at) for path, at in options.loads]
    disk = None if options.disk is None else MemoryDisk(content(options.disk, LARGEST_DISK))
    return assemble_system(isa, board, images, console, ram=options.ram, disk=disk, tier=options.tier, make=make)


def _further(isa: ir.Isa, board: Board, path: Path, at: int | None) -> Image:
    return load_image(isa, path, board.load if at is None else at, board.target())


def run(
    isa: ir.Isa,
    program: Path,
    options: Options,
    console: Console,
    keyboard: Keyboard | None = None,
    trace: Callable[[str], None] | None = None,
    profiled: Callable[[Told], None] | None = None,
) -> Outcome:
    """Runs a program to its end, or until its budget is spent.  `trace` is given a line for each step, `profiled` where
    the steps were spent.

    Raises:
        AssemblyError, OSError, UsageError: as `prepare`.
    """
    system = prepare(isa, program, options, console)
    if profiled is None:
        return follow(system, options.budget, keyboard, trace)
    from emulator.profile import Profile

    profile = Profile()
    found = follow(system, options.budget, keyboard, trace, profile)
    profiled(profile.told(system.machine, system.image.symbols))
    return found


def follow(
    system: System,
    budget: int | None,
    keyboard: Keyboard | None = None,
    trace: Callable[[str], None] | None = None,
    profile: Profile | None = None,
) -> Outcome:
    """Runs a machine that is prepared."""
    machine = system.machine
    began = time.process_time()
    ended = _traced(machine, budget, trace) if trace else _run(system, budget, keyboard, profile)
    seconds = time.process_time() - began
    return outcome(machine, ended, seconds)


def outcome(machine: Machine, ended: Exit, seconds: float) -> Outcome:
    """What a run came to."""
    state = Peek(machine).state
    return Outcome(ended, machine.steps, machine.retired, seconds, state.pc(), state.mode())


def _run(system: System, budget: int | None, keyboard: Keyboard | None, profile: Profile | None) -> Exit:
    machine, taken = system.machine, 0
    most = SLICE if keyboard is not None else UNASKED
    while True:
        left = most if budget is None else min(budget - taken, most)
        ended = machine.run(left) if profile is None else profile.run(machine, left)
        taken += ended.steps
        waits = ended.reason is Reason.HALTED and system.awaits_keys
        if not waits and (ended.reason is not Reason.BUDGET or taken == budget):
            return replace(ended, steps=taken)
        typed = keyboard(waits) if keyboard is not None else b""
        if waits and not typed:
            return replace(ended, steps=taken)
        system.console.feed(typed)


def _traced(machine: Machine, budget: int | None, trace: Callable[[str], None]) -> Exit:
    from emulator.trace import traced

    for line in traced(machine, 1 << 62 if budget is None else budget):
        if isinstance(line, Exit):
            return line
        trace(line)
    raise AssertionError("a traced run has no end")
