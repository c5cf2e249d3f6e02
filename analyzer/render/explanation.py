"""One instruction at length, or a diagnostic code's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

from rich.text import Text

from analyzer.errors import UsageError
from analyzer.render.findings import row_name, told
from analyzer.render.human import header, hole_lines, running
from analyzer.render.lines import Look, excerpt, note, styled
from analyzer.report import Answer, Report, Row, SchemeReport

PAGES = files("analyzer") / "diagnostics"


def codes() -> tuple[str, ...]:
    """Every code that has a page."""
    return tuple(sorted(p.name.removesuffix(".md") for p in PAGES.iterdir() if p.name.endswith(".md")))


def is_code(text: str) -> bool:
    """Does it look like a diagnostic code?

    >>> is_code("PG001"), is_code("pg1974")
    (True, False)
    """
    return re.fullmatch(r"(?i)PG\d{3}", text) is not None


def page(code: str) -> str:
    """The Markdown page of a code.

    Raises:
        UsageError: there is no such code.
    """
    if code.upper() not in codes():
        near = [c for c in codes() if c[:3] == code.upper()[:3]]
        raise UsageError(f"there is no diagnostic {code}", f"there are {', '.join(near or codes())}")
    return (PAGES / f"{code.upper()}.md").read_text(encoding="utf-8")


def explain(report: Report, look: Look | None = None) -> Iterator[Text]:
    """A report on few instructions, each at length, under every scheme."""
    look = look or Look()
    yield from styled(_explained(report), look)


def _explained(report: Report) -> Iterator[Text]:
    yield header(report)
    heads = {row.instruction: row for scheme in report.schemes for row in scheme.rows}
    for row in heads.values():
        yield Text()
        yield Text.assemble((row.instruction, "bold"), f"  {row.source}" if row.source else "")
        yield from excerpt(row.head)
        for scheme in report.schemes:
            yield Text()
            yield Text.assemble("  under scheme ", (scheme.name, "bold"), f": {running(scheme)}")
            yield from _under(scheme, row.instruction)


def _under(scheme: SchemeReport, instruction: str) -> Iterator[Text]:
    rows = [r for r in scheme.rows if r.instruction == instruction]
    for row in rows:
        if len(rows) > 1:
            yield Text(f"  {row_name(row.instruction, row.cases)}", style="bold")
        yield from (note(label, text) for label, text in class_notes(row))
    for e in scheme.expectations:
        if e.subject == instruction:
            outcome = "as found" if e.met else "undecided" if e.undecided else f"but found {e.found}"
            yield note("published", f"{told(e)}: {outcome}")
    for hole in scheme.holes:
        if hole.instruction.split(" ")[0] == instruction:
            yield Text()
            yield from hole_lines(scheme, hole)


def class_notes(row: Row) -> Iterator[tuple[str, str]]:
    """The classes of a row, as labelled sentences."""
    if row.trap_only == "yes":
        yield "class", "trap only: it always traps, so it is no obstacle"
    elif row.innocuous == "yes":
        why = " (by its text: it touches guest state only)" if row.by_text else ""
        yield "class", f"innocuous: neither privileged nor sensitive{why}"
    else:
        monitored = row.privileged == "no" and row.privileged_monitored == "yes"
        yield "class", f"{SAID[row.privileged]}privileged{'; privileged under the monitor' if monitored else ''}"
        causes = (*(("control",) if row.control == "yes" else ()), *row.causes)
        yield "", f"sensitive: {', '.join(causes)}" if causes else "not sensitive"
        user = (*(("control",) if row.user_control == "yes" else ()), *row.user_causes)
        yield "", f"user sensitive: {', '.join(user)}" if user else "not user sensitive"
    if row.literal:
        yield "1974", f"by the formulas to the letter: {', '.join(row.literal)}"
    direct = ", also in a mode that a hybrid monitor runs directly" if row.hole_direct == "yes" else ""
    yield "hole", {"yes": f"yes{direct}", "no": "none", "unknown": "undecided: the budget ran out"}[row.hole]
    if row.stuck != "no":
        yield "stuck", {"yes": "it cannot run directly", "unknown": "undecided: the budget ran out"}[row.stuck]
    if row.time == "yes":
        yield "time", "depends on time"
    if row.executes:
        yield "executes", "another instruction, and is as sensitive as that one"


SAID: dict[Answer, str] = {"yes": "", "no": "not ", "unknown": "perhaps "}
