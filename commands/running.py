"""What `popek run` does, and what other commands that run programs share with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer import ir
    from emulator.profile import Told
    from emulator.run import Options


class Run(Struct):
    """What `popek run` was told: its arguments, as they were written."""

    spec: str
    program: Path
    board: str | None = None
    mem: str | None = None
    budget: str | None = None
    loads: Sequence[str] = ()
    disk: Path | None = None
    format: str | None = None
    trace: bool = False
    gdb: int | None = None
    stats: str | None = None
    tier: str = "auto"
    profile: bool = False


def run(told: Run) -> int:
    """Runs a program on the bare machine, with the terminal as its console; the exit code.

    Raises:
        Whatever is wrong with the spec, the program or the board.
    """
    from emulator.devices.console import Console
    from emulator.kept import kept
    from emulator.run import run
    from emulator.terminal import Terminal

    options = run_options(told.board, told.mem, told.budget, told.loads, told.disk, told.format, told.tier)
    known_stats(told.stats)
    isa = kept(told.spec, load)
    found: list[Told] = []
    if told.profile and (told.trace or told.gdb is not None):
        raise UsageError("a run that is traced or debugged has no profile")
    if told.gdb is not None:
        from emulator.gdb import debug

        outcome = debug(isa, told.program, options, Console(show), told.gdb, say)
    else:
        with Terminal(sys.stdin) as keyboard:
            profiled = found.append if told.profile else None
            outcome = run(isa, told.program, options, Console(show), keyboard, say if told.trace else None, profiled)
    if told.stats:
        import json

        say(json.dumps(outcome.as_data() | ({"profile": found[0].as_data()} if found else {})))
    elif told.trace or not outcome.ended_by_device:
        say(outcome.sentence())
    if found and not told.stats:
        say("\n".join(found[0].lines()))
    return outcome.code


def load(spec: str) -> ir.Isa:
    """The machine of this name or path."""
    from analyzer.syntax.load import load as load_spec

    if not Path(spec).name:
        raise UsageError(f"there is no spec {spec}", "`popek list` names the bundled ones")
    return load_spec(spec)


def run_options(
    board: str | None,
    mem: str | None,
    budget: str | None,
    loads: Sequence[str],
    disk: Path | None,
    format_: str | None,
    tier: str,
) -> Options:
    """How to run a program."""
    from emulator.image import FORMATS
    from emulator.run import TIERS, Options, parsed_load

    chosen = next((f for f in FORMATS if f == format_), None)
    if format_ is not None and chosen is None:
        raise UsageError(f"there is no format {format_}", f"there are {', '.join(FORMATS)}")
    executed = next((known for known in TIERS if known == tier), None)
    if executed is None:
        raise UsageError(f"there is no tier {tier}", f"there are {', '.join(TIERS)}")
    ram, steps = quantity("--mem", mem), quantity("--budget", budget)
    return Options(board, ram, steps, tuple(map(parsed_load, loads)), disk, chosen, executed)


def known_stats(stats: str | None) -> None:
    if stats not in (None, "json"):
        raise UsageError(f"there are no stats {stats}", "there are json")


def number(text: str) -> int:
    """A number in any base."""
    try:
        value = int(text, 0)
    except ValueError:
        raise UsageError(f"{text or 'nothing'} is not a number") from None
    if value < 0:
        raise UsageError(f"{text} is negative")
    return value


def quantity(option: str, text: str | None) -> int | None:
    """A number in any base, perhaps in K, M or G: times 2**10, 2**20 or 2**30."""
    if text is None:
        return None
    scale = {"k": 10, "m": 20, "g": 30}.get(text[-1:].lower(), 0)
    try:
        return number(text[:-1] if scale else text) << scale
    except UsageError as error:
        hint = "10, 0x10 and 10K are numbers; K, M and G are 2**10, 2**20 and 2**30"
        raise UsageError(f"{option}: {error}", hint) from None


def show(written: bytes) -> None:
    """What a guest writes to its console."""
    sys.stdout.buffer.write(written)
    sys.stdout.flush()


def say(line: str) -> None:
    """A line of its own beside a guest's console."""
    print(line, file=sys.stderr)
