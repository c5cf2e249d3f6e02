"""Two runs of a witness, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from analyzer.render.lines import Look, note, side_by_side, styled
from analyzer.witness import FoundWitness

Trace = tuple[str, ...]


def replayed_lines(
    subject: str, scheme: str, found: FoundWitness, virtual: Trace | None, real: Trace | None, look: Look
) -> Iterator[Text]:
    """The claim, the two traces, and whether the runs went as claimed."""
    yield from styled(_lines(subject, scheme, found, virtual, real), look)


def _lines(subject: str, scheme: str, found: FoundWitness, virtual: Trace | None, real: Trace | None) -> Iterator[Text]:
    yield Text.assemble((subject, "bold"), f" under scheme {scheme}: {found.assembly}   {found.encoding}")
    yield Text()
    yield Text("  claimed")
    for line in found.outcome:
        yield note("", f"{line.name}: {line.virtual or '—'} in the virtual machine, {line.real or '—'} on the real one")
    yield Text()
    if virtual is None or real is None:
        missing = "virtual" if virtual is None else "real"
        yield Text(f"no {missing} state shows this within the budget: not replayed", style="bold yellow")
        return
    yield Text("  on the reference executor")
    yield from side_by_side(("virtual machine", "real machine"), virtual, real)
    yield Text()
    if found.replayed:
        yield Text("both runs went as claimed", style="bold green")
    else:
        yield Text("the runs did not go as claimed: please report this", style="bold red")
