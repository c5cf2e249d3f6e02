"""The whole analysis: an Isa in, a `Report` out.

Each subject is examined on its own, in a solver context of its own, so the result does not depend on how the work is
spread; `jobs` processes share it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from analyzer import ir, report
from analyzer.classify import NO, YES, Asker, Finding, Truth, examine, judge, plain
from analyzer.conditions import hole_condition
from analyzer.expectations import expectations
from analyzer.graph import Transition, graph_of, may_change_mode, moves, transitions
from analyzer.passes.show import show
from analyzer.premises import caveats, premises
from analyzer.repair import weakest_guard
from analyzer.replayer import Replayer
from analyzer.source import Span
from analyzer.stuck import stuck_addresses
from analyzer.symbolic.pair import Subject, subjects
from analyzer.symbolic.placing import home_of
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import DEFAULT_RLIMIT, z3_version
from analyzer.theorems import Status, Theorem, theorems
from analyzer.witness import FoundWitness, find_witness

Progress = Callable[[int, int, str], None]
"""Called with the number of subjects done, their total, and the last one's name."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to analyse.  `only` restricts to instructions of these names or families; `schemes` to schemes."""

    jobs: int = 1
    rlimit: int = DEFAULT_RLIMIT
    witnesses: bool = True
    graph: bool = True
    only: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """A finding with what is told of its hole, and the modes that it moves between."""

    finding: Finding
    hole: report.Hole | None
    moves: tuple[Transition, ...] = ()


def analyze(
    isa: ir.Isa,
    options: Options | None = None,
    replayer: Replayer | None = None,
    progress: Progress | None = None,
) -> report.Report:
    """Analyses a spec under its schemes."""
    options = options or Options()
    chosen = [s for s in isa.schemes if not options.schemes or s.name in options.schemes]
    reports: list[report.SchemeReport] = []
    edges: tuple[report.Edge, ...] = ()
    for scheme in chosen:
        setting = Setting(isa, scheme)
        graph = options.graph and scheme is chosen[0] and len(isa.mode.modes()) > 1
        examined = tuple(examine_all(setting, replace(options, graph=graph), replayer, progress))
        reports.append(scheme_report(setting, examined))
        if graph:
            edges = mode_edges(setting, {e.finding.name: e.moves for e in examined})
    return report.Report(
        isa.name, isa.title, tool_version(), z3_version(), options.rlimit, spec_hash(isa), tuple(reports), edges
    )


def analyze_scheme(
    isa: ir.Isa,
    scheme: ir.Scheme,
    options: Options,
    replayer: Replayer | None = None,
    progress: Progress | None = None,
) -> report.SchemeReport:
    """Analyses a spec under one scheme."""
    setting = Setting(isa, scheme)
    return scheme_report(setting, tuple(examine_all(setting, options, replayer, progress)))


def scheme_report(setting: Setting, examined: tuple[Examined, ...]) -> report.SchemeReport:
    """What the findings under one scheme add up to."""
    isa, scheme = setting.isa, setting.scheme
    findings = tuple(e.finding for e in examined)
    stuck = stuck_addresses(setting)
    proved = theorems(setting, findings)
    if stuck:
        proved = (replace_status(proved[0], stuck), replace_status(proved[1], stuck), proved[2])
    sources = Sources()
    results = tuple(theorem_result(t) for t in proved)
    return report.SchemeReport(
        scheme.name,
        scheme.title,
        tuple((isa.mode.named(v), isa.mode.named(r)) for v, r in scheme.run),
        isa.mode.named(scheme.monitor),
        rows(findings, sources),
        results,
        tuple(e.hole for e in examined if e.hole is not None),
        stuck,
        premises(setting, findings, stuck),
        caveats(setting, findings),
        expectations(setting, findings, results, sources.place),
    )


def replace_status(theorem: Theorem, stuck: tuple[str, ...]) -> Theorem:
    """Stuck addresses leave Theorem 1 without efficiency."""
    if theorem.status is not Status.HOLDS:
        return theorem
    return replace(theorem, status=Status.VIOLATED, why="no hole, but not direct: " + "; ".join(stuck))


# -- examining ---------------------------------------------------------------------------------------------------------


def examine_all(
    setting: Setting, options: Options, replayer: Replayer | None, progress: Progress | None
) -> Iterator[Examined]:
    """Every subject, in the order of the spec."""
    todo = [s for s in subjects(setting.isa) if wanted(s, options.only)]
    work = partial(examine_one, setting, options, replayer)
    for trap in dict.fromkeys(t for s in todo for t in sorted(setting.effects.block(s.instruction.body).traps)):
        setting.always_arrives(trap)
    if options.witnesses:
        for world in ("v", "r"):
            home_of(setting, world)  # found once, before the workers are forked
    if options.jobs > 1 and len(todo) > 8:
        global _WORK
        _WORK = (work, todo)
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            results = pool.map(_work_on, range(len(todo)), chunksize=2)
            yield from _told(results, todo, progress)
    else:
        yield from _told(map(work, todo), todo, progress)


_WORK: tuple[Callable[[Subject], Examined], list[Subject]] | None = None
"""What forked workers inherit: Isas are large, and need not be sent."""


def _work_on(index: int) -> Examined:
    assert _WORK is not None
    work, todo = _WORK
    return work(todo[index])


def _told(results: Iterator[Examined], todo: list[Subject], progress: Progress | None) -> Iterator[Examined]:
    for i, (subject, result) in enumerate(zip(todo, results, strict=True)):
        if progress is not None:
            progress(i + 1, len(todo), subject.name)
        yield result


def wanted(subject: Subject, only: tuple[str, ...]) -> bool:
    """Is the subject among those asked for?"""
    return not only or subject.instruction.name in only or subject.instruction.family in only or subject.name in only


def examine_one(setting: Setting, options: Options, replayer: Replayer | None, subject: Subject) -> Examined:
    """One subject: its classes and, where it has a hole, the hole's condition, guard and witness."""
    if plain(setting, subject.instruction):
        return Examined(examine(setting, subject), None)
    asker = Asker(setting, subject, options.rlimit)
    finding = judge(asker)
    changes = moves(asker.pair) if options.graph and may_change_mode(setting, subject) else ()
    if finding.faithful.hole is NO or not options.witnesses:
        return Examined(finding, None, changes)
    _, found = asker.holes
    reasons = [r for r, t in found if t is YES]
    if not reasons:
        return Examined(finding, None, changes)
    condition = hole_condition(asker.pair, reasons)
    guard = weakest_guard(asker.pair, reasons, project_it=condition.exact)
    witness = find_witness(asker.pair, reasons, replayer)
    sources = Sources()
    told = None if witness is None else witness_report(setting, subject, witness, sources)
    hole = report.Hole(
        subject.name,
        tuple(str(r) for r in reasons),
        condition.text,
        condition.exact,
        guard.testable,
        told,
        sources.place(subject.instruction.span),
    )
    return Examined(finding, hole, changes)


def witness_report(setting: Setting, subject: Subject, found: FoundWitness, sources: Sources) -> report.Witness:
    """A witness as the report has it."""
    command = f"popek replay {setting.isa.name} {subject.instruction.name}"
    if subject.case is not None:
        command += f" --case {subject.case}"
    if setting.scheme is not setting.isa.schemes[0]:
        command += f" --scheme {setting.scheme.name}"
    return report.Witness(
        found.assembly,
        found.encoding,
        tuple(report.Cell(x.name, x.virtual, x.real) for x in found.inputs),
        tuple(report.Cell(x.name, x.virtual, x.real) for x in found.outcome),
        sources.place(found.parted),
        found.replayed,
        command,
    )


# -- rows --------------------------------------------------------------------------------------------------------------


def rows(findings: tuple[Finding, ...], sources: Sources) -> tuple[report.Row, ...]:
    """The instruction table: cases of one instruction that agree share a row."""
    out: dict[tuple[object, ...], report.Row] = {}
    for finding in findings:
        row = row_of(finding, sources)
        key = (row.instruction, replace(row, cases=()))
        if key in out:
            row = replace(row, cases=(*out[key].cases, *row.cases))
        out[key] = row
    return tuple(out.values())


def row_of(finding: Finding, sources: Sources) -> report.Row:
    """One finding as a row."""
    classes, column, faithful = finding.classes, finding.classes_1974, finding.faithful
    instruction = finding.subject.instruction
    literal = [n for n in ("privileged", "control", "location", "mode") if getattr(column, n) is YES]
    return report.Row(
        instruction.name,
        instruction.family,
        () if finding.subject.case is None else (finding.subject.case,),
        classes.privileged.value,
        classes.privileged_monitored.value,
        classes.trap_only.value,
        classes.innocuous().value,
        classes.control.value,
        classes.classical_control.value,
        classes.user_control.value,
        tuple(c for c, t in classes.causes.items() if t is not NO),
        tuple(c for c, t in classes.user_causes.items() if t is not NO),
        faithful.hole.value,
        faithful.hole_direct.value,
        faithful.stuck.value,
        finding.plain,
        tuple(literal),
        finding.time.value,
        finding.executes,
        sources.place(instruction.span),
        instruction.source,
    )


def theorem_result(theorem: Theorem) -> report.TheoremResult:
    """A theorem as the report has it."""
    return report.TheoremResult(
        theorem.number,
        theorem.title,
        theorem.status.value,
        theorem.culprits,
        theorem.setwise.value,
        theorem.setwise_culprits,
        theorem.literal.value,
        theorem.literal_culprits,
        theorem.why,
    )


# -- the mode graph ----------------------------------------------------------------------------------------------------


def mode_edges(setting: Setting, known: Mapping[str, tuple[Transition, ...]] | None = None) -> tuple[report.Edge, ...]:
    """The mode-transition graph, parallel transitions put together."""
    graph = graph_of(transitions(setting, known), setting.isa)
    merged: dict[tuple[str, str, bool], list[str]] = {}
    for source, target, data in graph.edges(data=True):
        merged.setdefault((source, target, data["trap"]), []).append(data["by"])
    return tuple(report.Edge(s, t, tuple(by), trap) for (s, t, trap), by in merged.items())


# -- provenance --------------------------------------------------------------------------------------------------------


class Sources:
    """Turns spans into places with their text; reads each file once."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def place(self, span: Span | None) -> report.Place | None:
        """The place of a span; its text is empty when the file cannot be read."""
        if span is None:
            return None
        if span.file not in self._lines:
            try:
                self._lines[span.file] = Path(span.file).read_text(encoding="utf-8").splitlines()
            except OSError:
                self._lines[span.file] = []
        lines = self._lines[span.file]
        text = lines[span.line - 1] if span.line <= len(lines) else ""
        end = span.column + span.end - span.start
        return report.Place(Path(span.file).name, span.line, span.column, span.line, min(end, len(text) + 1), text)


def tool_version() -> str:
    """popek's own version."""
    try:
        return version("popek")
    except PackageNotFoundError:
        return "0+source"


def spec_hash(isa: ir.Isa) -> str:
    """The first 16 hex digits of the SHA-256 of the printed IR: what was analysed, whatever file it came from."""
    return hashlib.sha256(show(isa).encode()).hexdigest()[:16]


def truth(value: str) -> Truth:
    """A truth from its text in a report."""
    return Truth(value)
