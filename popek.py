"""Where the command `popek` begins.  A plain `popek run SPEC PROGRAM` is done here, the rest by `cli`.

A program may run for a tenth of a second, and importing what parses the arguments of twenty commands takes twice as
long.  So what `run` is given most often is read here; whatever else there is among the arguments (another option, two
of a kind, a mistake) is for the parser, which knows more and says what is wrong.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer import ir
    from emulator.run import Options

RARELY = 500_000
"""Objects made between two looks for garbage: nearly all that a command makes, it keeps until it ends."""

VALUED = ("board", "mem", "budget", "disk", "stats", "tier")
"""Options of `run` that take one value."""


@dataclass
class Run:
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


def plain_run(words: Sequence[str]) -> Run | None:
    """What the arguments say, if it is a run with options of `VALUED` alone.

    >>> plain_run(["run", "rv64", "a.elf", "--mem", "1M"]).mem
    '1M'
    >>> plain_run(["run", "rv64", "--trace", "a.elf"]), plain_run(["check", "rv64"])
    (None, None)
    """
    if words[:1] != ["run"]:
        return None
    places: list[str] = []
    values: dict[str, str] = {}
    rest = iter(words[1:])
    for word in rest:
        if not word.startswith("-"):
            places.append(word)
            continue
        name, value = word.removeprefix("--"), next(rest, "-")
        if name not in VALUED or f"--{name}" != word or name in values or value.startswith("-"):
            return None
        values[name] = value
    if len(places) != 2:
        return None
    given = Run(places[0], Path(places[1]), tier=values.get("tier", "auto"))
    given.board, given.mem, given.budget = values.get("board"), values.get("mem"), values.get("budget")
    given.disk, given.stats = Path(values["disk"]) if "disk" in values else None, values.get("stats")
    return given


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
    if told.gdb is not None:
        from emulator.gdb import debug

        outcome = debug(isa, told.program, options, Console(show), told.gdb, say)
    else:
        with Terminal(sys.stdin) as keyboard:
            outcome = run(isa, told.program, options, Console(show), keyboard, say if told.trace else None)
    if told.stats:
        import json

        say(json.dumps(outcome.as_data()))
    elif told.trace or not outcome.ended_by_device:
        say(outcome.sentence())
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
    return Options(board, quantity(mem), quantity(budget), tuple(map(parsed_load, loads)), disk, chosen, executed)


def known_stats(stats: str | None) -> None:
    if stats not in (None, "json"):
        raise UsageError(f"there are no stats {stats}", "there are json")


def number(text: str) -> int:
    """A number in any base."""
    try:
        value = int(text, 0)
    except ValueError:
        raise UsageError(f"{text} is not a number") from None
    if value < 0:
        raise UsageError(f"{text} is negative")
    return value


def quantity(text: str | None) -> int | None:
    """A number in any base, perhaps in K, M or G: times 2**10, 2**20 or 2**30."""
    if text is None:
        return None
    scale = {"k": 10, "m": 20, "g": 30}.get(text[-1:].lower(), 0)
    return number(text[:-1] if scale else text) << scale


def show(written: bytes) -> None:
    """What a guest writes to its console."""
    sys.stdout.buffer.write(written)
    sys.stdout.flush()


def say(line: str) -> None:
    """A line of its own beside a guest's console."""
    print(line, file=sys.stderr)


def main() -> NoReturn:
    """The command.  In its end, nothing is looked at for garbage: all of it goes with the process."""
    gc.set_threshold(RARELY)
    try:
        command(sys.argv[1:])
    finally:
        gc.freeze()


def command(words: Sequence[str]) -> NoReturn:
    """What these arguments ask for."""
    told = plain_run(words)
    if told is None:
        from cli import app

        app(words)
        sys.exit()
    try:
        code = run(told)
    except BaseException as error:
        from cli import ended_by

        code = ended_by(error)
    sys.exit(code)


if __name__ == "__main__":
    main()
