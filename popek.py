"""Where the command `popek` begins.  A plain `popek run SPEC PROGRAM` is done here, the rest by `cli`.

A program may run for a tenth of a second, and importing what parses the arguments of twenty commands takes twice as
long.  So what `run` is given most often is read here; whatever else there is among the arguments (another option, two
of a kind, a mistake) is for the parser, which knows more and says what is wrong.
"""

from __future__ import annotations

import os

try:
    import gc
    import sys
    from collections.abc import Sequence
    from pathlib import Path
    from typing import NoReturn

    from commands.interrupts import interrupted, interruptible
    from commands.running import Run, run
except KeyboardInterrupt:
    os._exit(130)  # nothing has begun

RARELY = 500_000
"""Objects made between two looks for garbage: nearly all that a command makes, it keeps until it ends."""

VALUED = ("board", "mem", "budget", "disk", "stats", "tier")
"""Options of `run` that take one value."""


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
    with interruptible():
        try:
            code = run(told)
        except KeyboardInterrupt:
            code = interrupted()
        except BaseException as error:
            from cli import ended_by

            code = ended_by(error)
    sys.exit(code)


if __name__ == "__main__":
    main()
