"""The report for a terminal: for each scheme its findings with their source lines, then the theorems; then a count."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from analyzer.render.findings import Exit, alike, exit_code, findings, published, row_name, summary, verdict
from analyzer.render.lines import Look, excerpt, note, styled
from analyzer.report import Cell, Hole, Report, Row, SchemeReport, TheoremResult

STATUS_STYLE = {
    "holds": "bold green",
    "violated": "bold red",
    "inconclusive": "bold yellow",
    "vacuous": "yellow",
    "not applicable": "dim",
}
MARK = {"holds": "✔", "violated": "✘", "inconclusive": "?", "vacuous": "∅", "not applicable": "–"}
SUMMARY_STYLE = {Exit.AS_EXPECTED: "bold green", Exit.FINDINGS: "bold red", Exit.INCONCLUSIVE: "bold yellow"}
MAX_NAMED = 12
MAX_REASONS = 3
MAX_CAVEAT = 160


def human(report: Report, look: Look | None = None) -> Iterator[Text]:
    """The report's lines."""
    look = look or Look()
    yield from styled(lines(report, look), look)


def lines(report: Report, look: Look) -> Iterator[Text]:
    """The report's lines, in any characters."""
    yield header(report)
    if report.title:
        yield Text(report.title, style="bold")
    for scheme in report.schemes:
        yield Text()
        yield from scheme_lines(report, scheme, look)
    for warning in report.warnings:
        yield Text()
        yield Text.assemble(("PG401", "bold red"), " ", warning)
    yield Text()
    yield Text(summary(report), style=SUMMARY_STYLE[exit_code(report)])


def header(report: Report) -> Text:
    """What made this: versions, budget, and the hash of what was analysed."""
    made = f"popek {report.version}, z3 {report.z3_version}, rlimit {report.rlimit}"
    return Text(f"{made}, spec {report.spec} {report.spec_hash}", style="dim")


def scheme_lines(report: Report, scheme: SchemeReport, look: Look) -> Iterator[Text]:
    """One scheme: its verdict, its findings, its table if asked for, its theorems."""
    yield Text.assemble(
        (report.spec, "bold"),
        " is ",
        (verdict(scheme), STATUS_STYLE[scheme.theorems[0].status]),
        f" under scheme {scheme.name}: {running(scheme)}",
    )
    if not look.quiet:
        for first, *others in alike(scheme):
            yield Text()
            yield from hole_lines(scheme, first)
            for other in others:
                yield note("likewise", other.instruction + also(first, other))
        for finding in findings(report):
            if finding.scheme == scheme.name and finding.code != "PG001":
                yield Text()
                style = "bold red" if finding.code == "PG402" else "bold yellow"
                yield Text.assemble((finding.code, style), " ", (finding.subject, "bold"), finding.message)
                yield from excerpt(finding.place)
    if look.table:
        yield Text()
        yield from table_lines(scheme)
    yield Text()
    for theorem in scheme.theorems:
        yield from theorem_lines(theorem)
    yield from premise_lines(scheme)


def running(scheme: SchemeReport) -> str:
    """How the scheme runs the machine's modes; modes with one fate together."""
    by_real: dict[str, list[str]] = {}
    for virtual, real in scheme.run:
        by_real.setdefault(real, []).append(virtual)
    runs = [f"{', '.join(v)} {'runs' if len(v) == 1 else 'run'} in {real}" for real, v in by_real.items()]
    return "; ".join([*runs, f"the monitor in {scheme.monitor}"])


# -- findings ----------------------------------------------------------------------------------------------------------


def hole_lines(scheme: SchemeReport, hole: Hole) -> Iterator[Text]:
    """A hole with the statement where the runs part, its condition, its witness and its repair."""
    yield Text.assemble(("PG001", "bold red"), " ", (hole.instruction, "bold"), " is sensitive and does not trap")
    witness = hole.witness
    yield from excerpt(witness.parted if witness and witness.parted else hole.head)
    yield note("when", hole.condition + ("" if hole.exact else "   (implies the hole; not proved equivalent)"))
    for i, reason in enumerate(hole.reasons[:MAX_REASONS]):
        yield note("because" if i == 0 else "", reason)
    if len(hole.reasons) > MAX_REASONS:
        yield note("", f"and {len(hole.reasons) - MAX_REASONS} more of the kind")
    if witness is not None:
        unsure = "" if witness.replayed else "   (not replayed)"
        yield note("shown by", f"{witness.assembly}   {witness.encoding}{unsure}".rstrip())
        yield from witness_lines(witness.inputs, witness.outcome)
    if hole.guard is not None:
        yield note("repair", f"trap privileged when {hole.guard}")
    if cited := published(scheme, hole.instruction, "hole"):
        yield note("known", cited)
    if witness is not None and witness.replayed:
        yield note("replay", witness.replay)


def also(first: Hole, other: Hole) -> str:
    """What is different about another hole of the same family."""
    proved = "" if other.witness is None or other.witness.replayed else "   (not replayed)"
    return (f", when {other.condition}" if other.condition != first.condition else "") + proved


def witness_lines(inputs: tuple[Cell, ...], outcome: tuple[Cell, ...]) -> Iterator[Text]:
    """The two states, before and after, side by side."""
    cells = [*inputs, *outcome]
    name = max(9, *(len(c.name) + 2 for c in cells))
    virtual = max(7, *(len(c.virtual or "") for c in cells))
    real = max(4, *(len(c.real or "") for c in cells))

    def row(label: str, one: str, two: str) -> Text:
        return note("", f"{label:<{name}}  {one:>{virtual}}  {two:>{real}}".rstrip())

    yield row("before", "virtual", "real")
    yield from (row(f"  {c.name}", c.virtual or "—", c.real or "—") for c in inputs)
    yield row("after", "", "")
    yield from (row(f"  {c.name}", c.virtual or "—", c.real or "—") for c in outcome)


# -- the table and the theorems ----------------------------------------------------------------------------------------


def table_lines(scheme: SchemeReport) -> Iterator[Text]:
    """Every instruction with its classes."""
    rows = [(clipped(row_name(r.instruction, r.cases), 40), *classes(r)) for r in scheme.rows]
    head = ("instruction", "privileged", "class", "hole", "1974")
    widths = [max(len(cells[i]) for cells in (head, *rows)) for i in range(len(head))]
    for i, cells in enumerate((head, *rows)):
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        yield Text(f"  {text}".rstrip(), style="bold" if i == 0 else "")


def classes(row: Row) -> tuple[str, str, str, str]:
    """Privileged, the class, hole and the classes of 1974, as cells; what does not hold is empty."""
    privileged: str = "" if row.privileged == "no" else row.privileged
    if row.privileged == "no" and row.privileged_monitored == "yes":
        privileged = "monitor"
    sensitive = ", ".join((*(("control",) if row.control == "yes" else ()), *row.causes))
    hole: str = "" if row.hole == "no" else row.hole
    if row.stuck == "yes":
        hole = "stuck"
    class_ = "trap only" if row.trap_only == "yes" else "innocuous" if row.innocuous == "yes" else sensitive
    return privileged, class_, hole, ", ".join(row.literal)


def clipped(text: str, width: int) -> str:
    """Text of at most so many characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def theorem_lines(theorem: TheoremResult) -> Iterator[Text]:
    """A theorem, pointwise first, and the set-wise readings where they say something else."""
    yield Text.assemble(
        (f"  {MARK[theorem.status]} ", STATUS_STYLE[theorem.status]),
        f"Theorem {theorem.number} ({theorem.title}): ",
        (theorem.status, STATUS_STYLE[theorem.status]),
        some(theorem.culprits),
    )
    if theorem.why:
        yield Text(f"      {theorem.why}", style="dim")
    for reading, status, culprits in (
        ("set-wise", theorem.setwise, theorem.setwise_culprits),
        ("1974 to the letter", theorem.literal, theorem.literal_culprits),
    ):
        if status != theorem.status or set(culprits) != set(theorem.culprits):
            yield Text(f"      {reading}: {status}{some(culprits)}", style="dim")


def some(names: tuple[str, ...]) -> str:
    """Names after a colon, the first few of them."""
    if not names:
        return ""
    return f": {few(grouped(names))}"


def few(names: list[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def grouped(names: tuple[str, ...]) -> list[str]:
    """Cases of one instruction together.

    >>> grouped(("add", "csrrw satp", "csrrw sie"))
    ['add', 'csrrw (satp, sie)']
    """
    cases: dict[str, list[str]] = {}
    for name in names:
        instruction, _, case = name.partition(" ")
        cases.setdefault(instruction, []).append(case)
    return [i if c == [""] else f"{i} {c[0]}" if len(c) == 1 else f"{i} ({few(c)})" for i, c in cases.items()]


def premise_lines(scheme: SchemeReport) -> Iterator[Text]:
    """The premises that fail, and what the verdict leaves out of account."""
    for premise in scheme.premises:
        if premise.status == "fails":
            detail = f": {clipped(premise.detail, MAX_CAVEAT)}" if premise.detail else ""
            yield Text.assemble(("  ! ", "bold yellow"), f"{premise.name} fails: {premise.text}{detail}")
    for caveat in scheme.caveats:
        yield Text(f"    caveat: {clipped(caveat, MAX_CAVEAT)}", style="dim")
