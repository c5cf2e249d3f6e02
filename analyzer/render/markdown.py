"""The report as a Markdown summary, for pull requests and documentation."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.report import Cell, Hole, Report, Row, SchemeReport


def to_markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(lines(report)) + "\n"


def lines(report: Report) -> Iterator[str]:
    """The report's lines."""
    yield f"# {report.title or report.spec}"
    yield ""
    yield f"popek {report.version}, z3 {report.z3_version}, rlimit {report.rlimit}, spec `{report.spec}` `{report.spec_hash}`"
    for scheme in report.schemes:
        yield ""
        yield from scheme_lines(scheme)


def scheme_lines(scheme: SchemeReport) -> Iterator[str]:
    """One scheme."""
    run = ", ".join(f"{v} as {r}" for v, r in scheme.run)
    yield f"## Scheme {scheme.name}: run {run}; monitor {scheme.monitor}"
    yield ""
    yield "| theorem | pointwise | set-wise | 1974 to the letter | culprits |"
    yield "|---|---|---|---|---|"
    for t in scheme.theorems:
        yield f"| {t.number} {t.title} | {t.status} | {t.setwise} | {t.literal} | {', '.join(map(code, t.culprits))} |"
    for hole in scheme.holes:
        yield ""
        yield from hole_lines(hole)
    unmet = [e for e in scheme.expectations if not e.met]
    if unmet:
        yield ""
        yield "### Expectations that are not met"
        yield ""
        for e in unmet:
            yield f"- {code(e.subject)}: expected {' '.join(e.words)}; found {e.found}"
    yield ""
    yield "### Instructions"
    yield ""
    yield "| instruction | privileged | sensitive | hole | 1974 |"
    yield "|---|---|---|---|---|"
    for row in scheme.rows:
        yield row_line(row)


def row_line(row: Row) -> str:
    """One row of the table."""
    name = row.instruction if not row.cases else f"{row.instruction} {', '.join(row.cases)}"
    sensitive = "trap only" if row.trap_only == "yes" else ", ".join((*(("control",) if row.control == "yes" else ()), *row.causes))
    return f"| {code(name)} | {row.privileged} | {sensitive} | {row.hole} | {', '.join(row.literal)} |"


def hole_lines(hole: Hole) -> Iterator[str]:
    """One hole with its witness."""
    yield f"### {hole.instruction}"
    yield ""
    yield f"- when {code(hole.condition)}" + ("" if hole.exact else " (implies the hole)")
    for reason in hole.reasons:
        yield f"- {reason}"
    if hole.guard:
        yield f"- repair: trap privileged when {code(hole.guard)}"
    if hole.witness is not None:
        yield ""
        yield f"{code(hole.witness.assembly)}:"
        yield ""
        yield "| | virtual | real |"
        yield "|---|---|---|"
        for cell in hole.witness.inputs:
            yield cell_line("before: ", cell)
        for cell in hole.witness.outcome:
            yield cell_line("after: ", cell)


def cell_line(when: str, cell: Cell) -> str:
    """One line of a witness."""
    return f"| {when}{code(cell.name)} | {cell.virtual or '–'} | {cell.real or '–'} |"


def code(text: str) -> str:
    """Text in backticks, safe inside a table."""
    return f"`{text}`".replace("|", "\\|")
