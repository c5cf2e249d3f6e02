"""What a report finds against a machine, as one flat list: every renderer, and the exit code, read the same one."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from analyzer.report import ExpectationResult, Hole, Place, Premise, Report, Row, SchemeReport


class Exit(IntEnum):
    """The exit codes of every command; they never depend on the format of the output."""

    AS_EXPECTED = 0
    FINDINGS = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INTERNAL = 70
    INTERRUPTED = 130


class Finding(Struct, frozen=True):
    """One thing found under a scheme: `subject` and `message` make a sentence.  `expected`: the spec states it, with
    this citation ("" without one)."""

    code: str
    scheme: str
    subject: str
    message: str
    place: Place | None
    expected: str | None = None


def findings(report: Report) -> tuple[Finding, ...]:
    """Every finding, scheme by scheme, in the order of the codes and then of the spec."""
    return tuple(f for scheme in report.schemes for f in _of_scheme(scheme))


def _of_scheme(scheme: SchemeReport) -> tuple[Finding, ...]:
    out = [
        Finding(
            "PG001",
            scheme.name,
            hole.instruction,
            " is sensitive and does not trap",
            hole.witness.parted if hole.witness and hole.witness.parted else hole.head,
            published(scheme, hole.instruction, "hole"),
        )
        for hole in scheme.holes
    ]
    out += [
        Finding("PG002", scheme.name, row_name(r.instruction, r.cases), " has no hole, but cannot run directly", r.head)
        for r in scheme.rows
        if held_up(r)
    ]
    out += [Finding("PG002", scheme.name, "", text, None) for text in scheme.stuck_maps]
    out += [
        Finding("PG004", scheme.name, "", f"not every step preserves the invariants: {p.detail}", None)
        for p in scheme.premises
        if is_broken(p)
    ]
    first = scheme.theorems[0]
    if first.status == "vacuous":
        out.append(Finding("PG005", scheme.name, "", f"the verdict is vacuous: {first.why}", None))
    out += [
        Finding("PG402", scheme.name, e.subject, f": expected {told(e)}; found {e.found}", e.place)
        for e in scheme.expectations
        if not e.met and not e.undecided
    ]
    out += [
        Finding("PG403", scheme.name, e.subject, f": `expect {told(e)}` is said already", e.place)
        for e in needless(scheme.expectations)
    ]
    out += [
        Finding("PG901", scheme.name, row_name(r.instruction, r.cases), " is undecided: the budget ran out", r.head)
        for r in scheme.rows
        if "unknown" in (r.hole, r.stuck)
    ]
    out += [
        Finding("PG901", scheme.name, e.subject, f": whether it is {told(e)} is undecided", e.place)
        for e in scheme.expectations
        if e.undecided
    ]
    return tuple(out)


def alike(scheme: SchemeReport) -> tuple[tuple[Hole, ...], ...]:
    """The holes, those of one family (the widths of one instruction, the registers of one MOV) together."""
    family = {r.instruction: r.family for r in scheme.rows}
    groups: dict[str, list[Hole]] = {}
    for hole in scheme.holes:
        name = hole.instruction.split(" ")[0]
        groups.setdefault(family.get(name, name), []).append(hole)
    return tuple(tuple(group) for group in groups.values())


def held_up(row: Row) -> bool:
    """Stuck, and not because it is privileged: a privileged instruction traps by right, and the monitor emulates it."""
    return row.stuck == "yes" and row.privileged != "yes"


def is_broken(premise: Premise) -> bool:
    """What all runs were assumed to satisfy is not so: a verdict that rests on it says nothing."""
    return premise.name == "P2" and premise.status == "fails"


def exit_code(report: Report) -> Exit:
    """Findings: Theorem 1 fails or is vacuous under the first scheme, or rests on invariants that are not preserved; an
    expectation is unmet or needless; an example failed."""
    if report.verdict() == "findings" or report.warnings:
        return Exit.FINDINGS
    if report.schemes and any(f.code in ("PG004", "PG005") for f in _of_scheme(report.schemes[0])):
        return Exit.FINDINGS
    if any(needless(s.expectations) for s in report.schemes):
        return Exit.FINDINGS
    return Exit.INCONCLUSIVE if report.verdict() == "inconclusive" else Exit.AS_EXPECTED


def needless(expectations: tuple[ExpectationResult, ...]) -> tuple[ExpectationResult, ...]:
    """The met expectations that another one about the same subject says already, by the same authority.

    A second authority that confirms the first is no needless one.
    """
    out = []
    for i, later in enumerate(expectations):
        for earlier in expectations[:i]:
            same = (earlier.subject, earlier.citation) == (later.subject, later.citation)
            if same and later.met and earlier.place != later.place and set(later.words) <= set(earlier.words):
                out.append(later)
                break
    return tuple(out)


def published(scheme: SchemeReport, subject: str, word: str) -> str | None:
    """The citation of a met expectation of this word about an instruction, "" if it cites nothing, None without one."""
    for e in scheme.expectations:
        if e.met and e.subject == subject.split(" ")[0] and word in e.words:
            return e.citation or ""
    return None


def told(expectation: ExpectationResult) -> str:
    """The words of an expectation and its authority."""
    cited = f" ({expectation.citation})" if expectation.citation else ""
    return " ".join(expectation.words) + cited


def row_name(instruction: str, cases: tuple[str, ...]) -> str:
    """How a row of the table is called."""
    return instruction if not cases else f"{instruction} {', '.join(cases)}"


VERDICTS = {
    "holds": "virtualizable",
    "violated": "not virtualizable",
    "inconclusive": "undecided",
    "vacuous": "vacuous",
    "not applicable": "not applicable",
}


def verdict(scheme: SchemeReport) -> str:
    """The verdict on a scheme, in words."""
    return VERDICTS[scheme.theorems[0].status]


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> counted(1, "hole"), counted(0, "hole"), counted(2, "entry", "entries")
    ('1 hole', '0 holes', '2 entries')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def summary(report: Report) -> str:
    """The last line of every text: the verdicts, and a count of everything, also when there is nothing to count."""
    parts = []
    for scheme in report.schemes:
        stuck = sum(map(held_up, scheme.rows)) + len(scheme.stuck_maps)
        told = f", {stuck} stuck" if stuck else ""
        parts.append(f"{scheme.name}: {verdict(scheme)}, {counted(len(scheme.holes), 'hole')}{told}")
    rows = report.schemes[0].rows if report.schemes else ()
    counts = {
        "privileged": sum(r.privileged == "yes" for r in rows),
        "innocuous": sum(r.innocuous == "yes" for r in rows),
        "trap only": sum(r.trap_only == "yes" for r in rows),
    }
    parts.append(f"{counted(len(rows), 'row')} ({', '.join(f'{n} {name}' for name, n in counts.items())})")
    stated = [e for s in report.schemes for e in s.expectations]
    kinds = {"unmet": sum(not (e.met or e.undecided) for e in stated), "undecided": sum(e.undecided for e in stated)}
    open_ = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
    parts.append(f"{counted(len(stated), 'expectation')}, {open_ or 'all met'}")
    if report.warnings:
        parts.append(f"{counted(len(report.warnings), 'failed example')}")
    if report.unasked:
        parts.append(f"not asked about: {', '.join(report.unasked)} (--scheme all)")
    return "; ".join(parts)
