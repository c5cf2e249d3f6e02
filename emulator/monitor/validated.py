"""A validation in words: the three properties of PG74, what showed them, and what did not."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

from emulator.monitor.validate import Divergence, Validation

WIDTH = 110
"""Columns of a line that lists names."""

MOST_NAMED = 24
"""Names in such a list."""


def lines(told: Validation) -> Iterator[str]:
    """The report of a campaign; the last line is a count."""
    deep = f", {told.depth} deep" if told.depth > 1 else ""
    forced = ", whatever the verdict is" if told.unsafe else ""
    yield f"A {told.technique} monitor of {told.spec} under scheme {told.scheme}{deep}{forced}; seed {told.seed}"
    yield ""
    steps = sum(told.coverage.completed.values()) + sum(told.coverage.trapped.values())
    same = "not the same as on the bare machine" if told.divergences else "the same states as on the bare machine"
    yield f"  equivalence       {told.guests} guests, {steps} steps: {same}"
    breached = sum(d.breach for d in told.divergences)
    kept = f"broken {breached} times" if breached else "kept"
    yield f"  resource control  checked at {sum(told.exits.values())} exits: {kept}"
    yield f"  efficiency        {100 * told.share:.2f} % of {told.steps} steps ran directly"
    yield ""
    yield from _listed("exits", told.exits)
    yield from _listed("emulated", told.routines)
    yield from _listed("guests ended", told.ends)
    yield from _named("untried", told.untried)
    for each in told.divergences:
        yield ""
        yield from _divergence(each)
    yield ""
    yield _count(told)


def _listed(head: str, counted: Counter[str]) -> Iterator[str]:
    yield from _named(head, tuple(f"{number} {name}" for name, number in counted.most_common()))


def _named(head: str, names: tuple[str, ...]) -> Iterator[str]:
    if not names:
        return
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    text = ", ".join(names[:MOST_NAMED]) + more
    yield from textwrap.wrap(text, WIDTH, initial_indent=f"  {head:<18}", subsequent_indent=" " * 20)


def _divergence(found: Divergence) -> Iterator[str]:
    at = f" at {found.instruction}" if found.instruction else ""
    yield f"PG535{at}: after {found.steps} steps, {found.what}"
    start = ", ".join(map(str, found.guest.changes)) or "reset"
    yield from textwrap.wrap(f"from {start}", WIDTH, initial_indent="    ", subsequent_indent="      ")


def _count(told: Validation) -> str:
    tried = told.coverage.tried
    known = tried + len(told.untried)
    number = len(told.divergences)
    found = "no difference" if not number else f"{number} difference{'' if number == 1 else 's'}"
    return f"{told.guests} guests, {tried} of {known} instructions and traps tried: {found}"
