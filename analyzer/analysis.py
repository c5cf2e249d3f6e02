"""The whole analysis: an Isa in, a `Report` out.

Each subject is examined on its own, in a solver context of its own, so the result does not depend on how the work is
spread; `jobs` processes share it.  What was found before is taken from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir, report
from analyzer.classify import NO, YES, Finding
from analyzer.examine import Examined, Wanted, examine_one
from analyzer.expectations import about_causes, expectations
from analyzer.explain import replay_command
from analyzer.graph import Transition, graph_of, trap_moves
from analyzer.kin import examine_kin, in_kin
from analyzer.memo import context_key, recalled, subject_key, to_store
from analyzer.options import Options, Progress
from analyzer.passes.show import spec_hash
from analyzer.premises import caveats, premises
from analyzer.replayer import Replayer
from analyzer.sources import Sources
from analyzer.spread import Common, spread
from analyzer.stuck import stuck_addresses
from analyzer.symbolic.pair import Subject, subjects
from analyzer.symbolic.placing import home_of, know_home
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import DEFAULT_RLIMIT, z3_version
from analyzer.theorems import Status, Theorem, theorems
from analyzer.vacuity import empty_modes, false_at_reset, vacuous
from analyzer.version import tool_version


def analyze(
    isa: ir.Isa,
    options: Options | None = None,
    replayer: Replayer | None = None,
    progress: Progress | None = None,
) -> report.Report:
    """Analyses a spec under its schemes."""
    options = options or Options()
    budget = options.rlimit or DEFAULT_RLIMIT
    chosen = [s for s in isa.schemes if not options.schemes or s.name in options.schemes]
    reports = []
    edges: tuple[report.Edge, ...] = ()
    failed: tuple[str, ...] = ()
    for i, scheme in enumerate(chosen):
        graph = options.graph and i == 0 and len(isa.mode.modes()) > 1
        found, besides = analyze_scheme(isa, scheme, replace(options, graph=graph, examples=i == 0), replayer, progress)
        reports.append(found)
        failed += besides.failed
        edges = edges_of(besides.moves, isa) if graph else edges
    return report.Report(
        isa.name,
        isa.title,
        tool_version(),
        z3_version(),
        budget,
        spec_hash(isa),
        tuple(reports),
        edges,
        warnings=failed,
        unasked=tuple(s.name for s in isa.schemes if s not in chosen),
    )


def analyze_scheme(
    isa: ir.Isa,
    scheme: ir.Scheme,
    options: Options,
    replayer: Replayer | None = None,
    progress: Progress | None = None,
) -> tuple[report.SchemeReport, Besides]:
    """Analyses a spec under one scheme: the report, and what concerns the machine as a whole."""
    setting = Setting(isa, scheme)
    examined, besides = examine_all(setting, options, replayer, progress)
    findings = tuple(e.finding for e in examined)
    stuck = besides.stuck
    proved = theorems(setting, findings)
    if stuck:
        proved = (replace_status(proved[0], stuck), replace_status(proved[1], stuck), proved[2])
    proved = tuple(vacuous(theorem, besides.empty) for theorem in proved)
    sources = Sources()
    results = tuple(theorem_result(t) for t in proved)
    told = report.SchemeReport(
        scheme.name,
        scheme.title,
        tuple((isa.mode.named(v), isa.mode.named(r)) for v, r in scheme.run),
        isa.mode.named(scheme.monitor),
        rows(findings, sources),
        results,
        tuple(holes(setting, options.called or isa.name, examined)),
        stuck,
        premises(setting, findings, stuck, (*besides.broken, *(b for e in examined for b in e.broken))),
        caveats(setting, findings),
        expectations(setting, findings, results, sources.place),
    )
    moved = tuple(m for e in examined for m in e.moves)
    return told, replace(besides, moves=(*moved, *besides.moves))


def holes(setting: Setting, called: str, examined: tuple[Examined, ...]) -> Iterator[report.Hole]:
    """What is told of the holes; each witness with the command that replays it."""
    for e in examined:
        if e.hole is not None and e.hole.witness is not None:
            command = replay_command(called, setting.isa, setting.scheme, e.finding.subject)
            yield replace(e.hole, witness=replace(e.hole.witness, replay=command))
        elif e.hole is not None:
            yield e.hole


def replace_status(theorem: Theorem, stuck: tuple[str, ...]) -> Theorem:
    """Stuck addresses leave Theorem 1 without efficiency."""
    if theorem.status is not Status.HOLDS:
        return theorem
    return replace(theorem, status=Status.VIOLATED, why="no hole, but not direct: " + "; ".join(stuck))


def edges_of(found: tuple[Transition, ...], isa: ir.Isa) -> tuple[report.Edge, ...]:
    """The mode-transition graph, parallel transitions put together."""
    merged: dict[tuple[str, str, bool], list[str]] = {}
    for source, target, data in graph_of(found, isa).edges(data=True):
        merged.setdefault((source, target, data["guarded"]), []).append(data["by"])
    return tuple(report.Edge(s, t, tuple(by), guarded) for (s, t, guarded), by in merged.items())


# -- examining ---------------------------------------------------------------------------------------------------------


def examine_all(
    setting: Setting, options: Options, replayer: Replayer | None, progress: Progress | None
) -> tuple[tuple[Examined, ...], Besides]:
    """Every subject, in the order of the spec, and what is asked of the machine as a whole."""
    todo = [s for s in subjects(setting.isa) if is_wanted(s, options.only)]
    wanted = list(_wanted(todo, options))
    keys = [""] * len(todo)
    known: dict[int, Examined] = {}
    if options.cache is not None:
        contexts = {w: context_key(setting, w, replayer is not None) for w in dict.fromkeys(wanted)}
        sources = Sources()
        keys = [subject_key(contexts[w], setting, s, sources) for w, s in zip(wanted, todo, strict=True)]
        for i, stored in options.cache.get_all(keys):
            found = recalled(stored, todo[i])
            if found is not None:
                known[i] = found
    unknown = [(w, s) for i, (w, s) in enumerate(zip(wanted, todo, strict=True)) if i not in known]
    fresh, besides = _examined(setting, replayer, unknown, options)
    for i, subject in enumerate(todo):
        if i not in known:
            known[i] = next(fresh)
            if options.cache is not None:
                options.cache.put(keys[i], to_store(known[i]))
        if progress is not None:
            progress(i + 1, len(todo), subject.name)
    for i in _unshown([known[i] for i in range(len(todo))]) if options.witnesses == "first" else ():
        known[i] = examine_one(setting, replace(wanted[i], witnesses=True), replayer, Sources(), todo[i])
    return tuple(known[i] for i in range(len(todo))), besides


def _wanted(todo: list[Subject], options: Options) -> Iterator[Wanted]:
    """What is asked of each subject.  The first one of a family is most likely its first with a hole."""
    met: set[str] = set()
    for subject in todo:
        first = subject.instruction.family not in met
        met.add(subject.instruction.family)
        yield Wanted(
            options.witnesses != "none",
            options.witnesses == "each" or (options.witnesses == "first" and first),
            options.graph,
            options.rlimit or DEFAULT_RLIMIT,
            options.causes or any(about_causes(e) for e in subject.instruction.expects),
        )


def _unshown(examined: list[Examined]) -> Iterator[int]:
    """The first holes of families that have no witness."""
    met: set[str] = set()
    for i, e in enumerate(examined):
        family = e.finding.subject.instruction.family
        if e.hole is not None and family not in met:
            met.add(family)
            if e.hole.witness is None:
                yield i


def _examined(
    setting: Setting, replayer: Replayer | None, todo: list[tuple[Wanted, Subject]], options: Options
) -> tuple[Iterator[Examined], Besides]:
    """Each of these, in order, and what is asked of the machine as a whole; the work is spread over processes."""
    sources = Sources()
    pieces: list[tuple[int, Callable[[], Any]]] = [(0, partial(_besides, setting, replayer, options))]
    for kin in in_kin(setting, todo):
        work = sum(weight(setting, w, s) for w, s in kin)
        pieces.append((work, partial(examine_kin, setting, replayer, sources, kin)))
    results = spread(pieces, options.jobs, _common(setting, [s for _, s in todo], options), early=1)
    besides = next(results)
    return chain.from_iterable(results), besides


def _common(setting: Setting, todo: list[Subject], options: Options) -> Common:
    """What many subjects need."""
    worlds = ("v", "r") if options.witnesses != "none" and todo else ()
    blocks = (setting.effects.block(s.instruction.body) for s in todo)
    traps = list(dict.fromkeys(t for block in blocks for t in sorted(block.traps)))

    def tell(found: list[Any]) -> None:
        *homes, arrivals = found
        for world, home in zip(worlds, homes, strict=True):
            know_home(setting, world, home)
        setting.know_arrivals(arrivals)

    works: list[Callable[[], Any]] = [partial(home_of, setting, world) for world in worlds]
    return Common([*works, partial(setting.arrivals, traps)], tell)


class Besides(Struct, frozen=True):
    """What is asked of the machine as a whole: its stuck addresses, virtual modes without a state, invariants that are
    false at reset, the moves that traps make, the examples that come out otherwise."""

    stuck: tuple[str, ...]
    empty: tuple[str, ...]
    broken: tuple[str, ...]
    moves: tuple[Transition, ...]
    failed: tuple[str, ...]


def _besides(setting: Setting, replayer: Replayer | None, options: Options) -> Besides:
    isa, asked = setting.isa, {name.split(" ")[0] for name in options.only}
    wanted = [i for i in isa.instructions if not asked or not asked.isdisjoint((i.name, i.family))]
    failed = (f for i in wanted for f in replayer.failures(isa, i)) if replayer and options.examples else ()
    return Besides(
        stuck_addresses(setting),
        empty_modes(setting),
        false_at_reset(setting),
        trap_moves(setting) if options.graph else (),
        tuple(failed),
    )


def weight(setting: Setting, wanted: Wanted, subject: Subject) -> int:
    """About how much work a subject is: what touches more state is more, and half of it is for the witness."""
    effects = setting.effects.block(subject.instruction.body)
    return (len(effects.reads | effects.writes) + 8 * effects.tables) * (2 if wanted.witnesses else 1)


def is_wanted(subject: Subject, only: tuple[str, ...]) -> bool:
    """Is the subject among those asked for?"""
    return not only or subject.instruction.name in only or subject.instruction.family in only or subject.name in only


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
