"""The report as a Markdown summary, for pull requests and documentation."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.render.findings import findings, row_name, summary, verdict
from analyzer.render.human import classes, running
from analyzer.report import Cell, Hole, Report, Row, SchemeReport


def to_markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(lines(report)) + "\n"


def lines(report: Report) -> Iterator[str]:
    """The report's lines."""
    made = f"popek {report.version}, z3 {report.z3_version}, rlimit {report.rlimit}"
    yield f"# {report.title or report.spec}"
    yield ""
    yield f"{made}, spec {code(report.spec)} {code(report.spec_hash)}"
    for scheme in report.schemes:
        yield ""
        yield from scheme_lines(report, scheme)
    if report.warnings:
        yield ""
        yield "## Failed examples"
        yield ""
        yield from (f"- PG401 {warning}" for warning in report.warnings)
    yield ""
    yield f"**{summary(report)}**"


def scheme_lines(report: Report, scheme: SchemeReport) -> Iterator[str]:
    """One scheme."""
    yield f"## Scheme {code(scheme.name)}: {verdict(scheme)}"
    yield ""
    yield f"{running(scheme)}."
    yield ""
    yield "| theorem | pointwise | set-wise | 1974 to the letter | culprits |"
    yield "|---|---|---|---|---|"
    for t in scheme.theorems:
        culprits = ", ".join(map(cell, t.culprits))
        yield f"| {t.number} {t.title} | {t.status} | {t.setwise} | {t.literal} | {culprits} |"
    for hole in scheme.holes:
        yield ""
        yield from hole_lines(hole)
    others = [f for f in findings(report) if f.scheme == scheme.name and f.code != "PG001"]
    if others:
        yield ""
        yield "### Other findings"
        yield ""
        yield from (f"- {f.code} {code(f.subject) if f.subject else ''}{f.message}" for f in others)
    yield ""
    yield "### Premises and caveats"
    yield ""
    for premise in scheme.premises:
        yield f"- {premise.name} {premise.status}: {premise.text}" + (f" ({premise.detail})" if premise.detail else "")
    yield from (f"- {caveat}" for caveat in scheme.caveats)
    yield ""
    yield "### Instructions"
    yield ""
    yield "| instruction | privileged | class | hole | 1974 |"
    yield "|---|---|---|---|---|"
    yield from map(row_line, scheme.rows)


def row_line(row: Row) -> str:
    """One row of the table."""
    return f"| {cell(row_name(row.instruction, row.cases))} | {' | '.join(classes(row))} |"


def hole_lines(hole: Hole) -> Iterator[str]:
    """One hole with its witness."""
    yield f"### PG001 {code(hole.instruction)} is sensitive and does not trap"
    yield ""
    yield f"- when {code(hole.condition)}" + ("" if hole.exact else " (implies the hole; not proved equivalent)")
    yield from (f"- {reason}" for reason in hole.reasons)
    if hole.guard:
        yield f"- repair: trap privileged when {code(hole.guard)}"
    if hole.witness is None:
        return
    unsure = "" if hole.witness.replayed else " (not replayed)"
    yield f"- shown by {code(hole.witness.assembly)}{unsure}; replay with {code(hole.witness.replay)}"
    yield ""
    yield "| | virtual | real |"
    yield "|---|---|---|"
    yield from (cell_line("before: ", c) for c in hole.witness.inputs)
    yield from (cell_line("after: ", c) for c in hole.witness.outcome)


def cell_line(when: str, shown: Cell) -> str:
    """One line of a witness."""
    return f"| {when}{cell(shown.name)} | {shown.virtual or '–'} | {shown.real or '–'} |"


def code(text: str) -> str:
    """Text in backticks, more of them where it has some itself.

    >>> code("a"), code("a`b")
    ('`a`', '``a`b``')
    """
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def cell(text: str) -> str:
    """Text in backticks inside a table."""
    return code(text).replace("|", "\\|")
