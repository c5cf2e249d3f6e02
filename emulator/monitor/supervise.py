"""Running a program under a monitor: what `popek vmm` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from analyzer import ir
from analyzer.errors import UsageError
from emulator.devices.console import Console
from emulator.monitor.compiled import CompiledHost
from emulator.monitor.counters import Counters
from emulator.monitor.exits import Handled
from emulator.monitor.monitor import Monitor
from emulator.run import Keyboard, Options, Outcome, follow, prepare
from emulator.saved import keep, kept

MOST_EXITS = 6
"""Causes of exits that are named in a line."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """How a monitored run went: that of the program, and what each monitor counted, from the outermost on.  Guests ran
    on generated code (`compiled`), which dealt with most of their exits, too (`routed`)."""

    outcome: Outcome
    technique: str
    scheme: str
    checked: bool
    compiled: bool
    routed: bool
    levels: tuple[Counters, ...]

    def sentences(self) -> Iterator[str]:
        """For people: how the program ended, then a line for each monitor."""
        yield self.outcome.sentence()
        deep = f", {len(self.levels)} deep" if len(self.levels) > 1 else ""
        yield f"{self.technique} monitor, scheme {self.scheme}{deep}; {self.control()}"
        for number, counters in enumerate(self.levels, 1):
            head = f"monitor {number}: " if len(self.levels) > 1 else ""
            yield head + sentence(counters)

    def control(self) -> str:
        """What was looked at of resource control."""
        if not self.checked:
            return "resource control not checked"
        if self.compiled:  # where accesses go is proved of the map, and not looked at
            return "resource control: held state checked at every exit"
        return "resource control checked at every access and exit"

    def as_data(self) -> dict[str, object]:
        """For `--stats json`."""
        return {
            **self.outcome.as_data(),
            "technique": self.technique,
            "scheme": self.scheme,
            "resource_control": self.control(),
            "host": "generated code" if self.compiled else "reference",
            "exits": "generated code" if self.routed else "one by one",
            "monitors": [counters.as_data() for counters in self.levels],
        }


def sentence(counters: Counters) -> str:
    """What a monitor has counted.

    >>> sentence(Counters(direct=90, emulated=6, reflected=4))
    '100 steps: 90.00 % direct, 6 emulated, 4 reflected, 0 interpreted; 0 exits'
    """
    ways = f"{counters.emulated} emulated, {counters.reflected} reflected, {counters.interpreted} interpreted"
    exits = counters.exits.most_common()
    named = ", ".join(f"{number} {cause}" for cause, number in exits[:MOST_EXITS])
    total, more = sum(counters.exits.values()), ", …" if len(exits) > MOST_EXITS else ""
    causes = f" ({named}{more})" if named else ""
    return f"{counters.steps} steps: {100 * counters.share:.2f} % direct, {ways}; {total} exits{causes}"


def supervise(
    isa: ir.Isa,
    program: Path,
    options: Options,
    monitor: Monitor,
    console: Console,
    keyboard: Keyboard | None = None,
    tell: Callable[[str], None] | None = None,
    save: Path | None = None,
    restore: Path | None = None,
) -> Supervised:
    """Runs a program in a virtual machine to its end, or until its budget is spent; `tell` is given a line for each
    exit, with the number of its monitor where there are several.  It begins where another run was kept in the file
    `restore`, and is kept in `save`.

    Raises:
        AssemblyError: the program or the board is wrong (PG50x to PG52x).
        Refused: PG532, no virtual machine can be served.
        Breach: PG533, the guest has what is not its own.
        OSError: a file cannot be read or written.
        UsageError: there is no such board, what was asked for is not possible, or another system was kept.
    """
    system = prepare(isa, program, options, console, monitor.make)
    levels = monitor.levels
    routed = monitor.host is not None and monitor.host.routed
    if tell is not None and routed:
        raise UsageError(
            "exits that generated code deals with are not seen", "a monitor with `exits` seen tells of them"
        )
    if tell is not None:
        for number, level in enumerate(levels, 1):
            level.tell = _telling(tell, number if len(levels) > 1 else None)
    if restore is not None:
        keep(system, restore.read_text())
    outcome = follow(system, options.budget, keyboard)
    if save is not None:
        save.write_text(kept(system))
    counters = tuple(level.counters for level in levels)
    compiled = isinstance(monitor.host, CompiledHost)
    technique, scheme = monitor.plan.technique, monitor.plan.scheme.name
    return Supervised(outcome, technique, scheme, monitor.check, compiled, routed, counters)


def _telling(tell: Callable[[str], None], number: int | None) -> Callable[[Handled], None]:
    head = "" if number is None else f"{number}  "
    return lambda handled: tell(f"{head}{handled}".rstrip())
