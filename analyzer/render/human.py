"""The report for a terminal: findings with their source line, then the theorems, then a count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from analyzer.report import Cell, ExpectationResult, Hole, Place, Report, SchemeReport, TheoremResult

STATUS_STYLE = {
    "holds": "bold green",
    "violated": "bold red",
    "inconclusive": "bold yellow",
    "vacuous": "yellow",
    "not applicable": "dim",
}
MARK = {"holds": "✔", "violated": "✘", "inconclusive": "?", "vacuous": "∅", "not applicable": "–"}
ASCII_MARK = {"holds": "ok", "violated": "no", "inconclusive": "??", "vacuous": "--", "not applicable": "--"}
MAX_NAMED = 12


@dataclass(frozen=True, slots=True)
class Look:
    """How to print: `ascii` avoids other characters, `table` adds the instruction table, `quiet` leaves findings out."""

    ascii: bool = False
    table: bool = False
    quiet: bool = False


def human(report: Report, look: Look | None = None) -> Iterator[Text]:
    """The report's lines."""
    look = look or Look()
    yield Text(
        f"popek {report.version}, z3 {report.z3_version}, rlimit {report.rlimit}, spec {report.spec} {report.spec_hash}",
        style="dim",
    )
    for scheme in report.schemes:
        yield Text()
        yield from scheme_lines(report, scheme, look)
    yield Text()
    yield summary(report)


def scheme_lines(report: Report, scheme: SchemeReport, look: Look) -> Iterator[Text]:
    """One scheme: its findings, its table if asked for, its theorems."""
    run = ", ".join(f"{v} as {r}" for v, r in scheme.run)
    yield Text.assemble(
        (f"{report.title or report.spec}", "bold"), f": scheme {scheme.name} (run {run}; monitor {scheme.monitor})"
    )
    if not look.quiet:
        for hole in scheme.holes:
            yield Text()
            yield from hole_lines(hole, look)
        for stuck in (*(r.instruction for r in scheme.rows if r.stuck == "yes"), *scheme.stuck_maps):
            yield Text()
            yield Text.assemble(("PG002", "bold yellow"), " no hole, but not direct: ", (stuck, "bold"))
    for expectation in scheme.expectations:
        if not expectation.met:
            yield Text()
            yield from expectation_lines(expectation, look)
    if look.table:
        yield Text()
        yield from table_lines(scheme)
    yield Text()
    for theorem in scheme.theorems:
        yield from theorem_lines(theorem, look)


# -- findings ----------------------------------------------------------------------------------------------------------


def hole_lines(hole: Hole, look: Look) -> Iterator[Text]:
    """A hole with the statement where the runs part, its condition, its witness and its repair."""
    yield Text.assemble(("PG001", "bold red"), " ", (hole.instruction, "bold"), " is sensitive and does not trap")
    witness = hole.witness
    place = witness.parted if witness and witness.parted else hole.head
    yield from excerpt(place, look)
    yield note("when", hole.condition + ("" if hole.exact else "   (implies the hole; not proved equivalent)"))
    for i, reason in enumerate(hole.reasons[:3]):
        yield note("because" if i == 0 else "", reason)
    if len(hole.reasons) > 3:
        yield note("", f"and {len(hole.reasons) - 3} more of the kind")
    if witness is not None:
        proved = "" if witness.replayed else "   (not replayed)"
        yield note("shown by", f"{witness.assembly}   {witness.encoding}{proved}")
        yield from columns(witness.inputs, witness.outcome, look)
    if hole.guard is not None:
        yield note("repair", f"trap privileged when {hole.guard}")
    if witness is not None and witness.replayed:
        yield note("replay", witness.replay)


def excerpt(place: Place | None, look: Look) -> Iterator[Text]:
    """The source line with a caret under the span.  Never wrapped."""
    if place is None:
        return
    number = str(place.line)
    bar = "|" if look.ascii else "│"
    gutter = " " * len(number)
    yield Text(f"  {gutter}--> {place.file}:{place.line}:{place.column}", style="blue")
    if place.text:
        yield Text.assemble((f"  {number} {bar} ", "blue"), place.text)
        width = max(1, min(place.end_column, len(place.text) + 1) - place.column)
        yield Text.assemble((f"  {gutter} {bar} ", "blue"), " " * (place.column - 1), ("^" * width, "bold red"))


def note(label: str, text: str) -> Text:
    """An indented line with a label."""
    return Text.assemble((f"    {label:<9}", "cyan"), text)


def columns(inputs: tuple[Cell, ...], outcome: tuple[Cell, ...], look: Look) -> Iterator[Text]:
    """The two states, before and after, side by side."""
    cells = [*inputs, *outcome]
    names = max(len(c.name) for c in cells)
    widths = max(len(c.virtual or "") for c in cells), max(len(c.real or "") for c in cells)
    widths = max(widths[0], 7), max(widths[1], 4)
    dash = "-" if look.ascii else "—"
    yield note("", f"{'before':<{names}}  {'virtual':>{widths[0]}}  {'real':>{widths[1]}}")
    for cell in inputs:
        yield note("", _row(cell, names, widths, dash))
    yield note("", "after")
    for cell in outcome:
        yield note("", _row(cell, names, widths, dash))


def _row(cell: Cell, names: int, widths: tuple[int, int], dash: str) -> str:
    return f"  {cell.name:<{names - 2}}  {cell.virtual or dash:>{widths[0]}}  {cell.real or dash:>{widths[1]}}"


def expectation_lines(expectation: ExpectationResult, look: Look) -> Iterator[Text]:
    """An expectation that was not met."""
    words = " ".join(expectation.words)
    cited = f" ({expectation.citation})" if expectation.citation else ""
    yield Text.assemble(
        ("PG402", "bold red"), " ", (expectation.subject, "bold"), f": expected {words}{cited}; found {expectation.found}"
    )
    yield from excerpt(expectation.place, look)


# -- the table and the theorems ----------------------------------------------------------------------------------------


def table_lines(scheme: SchemeReport) -> Iterator[Text]:
    """Every instruction with its classes."""
    width = max((len(_name(r.instruction, r.cases)) for r in scheme.rows), default=0)
    width = min(width, 40)
    yield Text(f"  {'instruction':<{width}}  {'privileged':<10}  {'sensitive':<34}  {'hole':<4}  1974", style="bold")
    for row in scheme.rows:
        sensitive = (["control"] if row.control == "yes" else []) + list(row.causes)
        told = "trap only" if row.trap_only == "yes" else ", ".join(sensitive)
        privileged = row.privileged if row.privileged != "no" else ("monitor" if row.privileged_monitored == "yes" else "")
        hole = row.hole if row.hole != "no" else ""
        name = _name(row.instruction, row.cases)
        name = name if len(name) <= width else name[: width - 1] + "…"
        yield Text(f"  {name:<{width}}  {privileged:<10}  {told:<34}  {hole:<4}  {', '.join(row.literal)}")


def _name(instruction: str, cases: tuple[str, ...]) -> str:
    return instruction if not cases else f"{instruction} {', '.join(cases)}"


def theorem_lines(theorem: TheoremResult, look: Look) -> Iterator[Text]:
    """A theorem, pointwise first, and the set-wise readings where they say something else."""
    mark = (ASCII_MARK if look.ascii else MARK)[theorem.status]
    yield Text.assemble(
        (f"  {mark} ", STATUS_STYLE[theorem.status]),
        f"Theorem {theorem.number} ({theorem.title}): ",
        (theorem.status, STATUS_STYLE[theorem.status]),
        _named(theorem.culprits),
    )
    if theorem.why:
        yield Text(f"      {theorem.why}", style="dim")
    for reading, status, culprits in (
        ("set-wise", theorem.setwise, theorem.setwise_culprits),
        ("1974 to the letter", theorem.literal, theorem.literal_culprits),
    ):
        if status != theorem.status or set(culprits) != set(theorem.culprits):
            yield Text(f"      {reading}: {status}{_named(culprits)}", style="dim")


def _named(culprits: tuple[str, ...]) -> str:
    if not culprits:
        return ""
    shown = ", ".join(culprits[:MAX_NAMED])
    more = f" and {len(culprits) - MAX_NAMED} more" if len(culprits) > MAX_NAMED else ""
    return f": {shown}{more}"


def summary(report: Report) -> Text:
    """The last line: always a count."""
    holes = sum(len(s.holes) for s in report.schemes)
    unmet = sum(not e.met for s in report.schemes for e in s.expectations)
    rows = report.schemes[0].rows if report.schemes else ()
    counts = {
        "privileged": sum(r.privileged == "yes" for r in rows),
        "innocuous": sum(r.innocuous == "yes" for r in rows),
        "trap only": sum(r.trap_only == "yes" for r in rows),
    }
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    text = f"{len(rows)} rows ({told}), {holes} {'hole' if holes == 1 else 'holes'}, {unmet} unmet expectations"
    style = "bold red" if report.verdict() == "findings" else "bold green"
    return Text(text, style=style)
