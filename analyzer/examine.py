"""Everything that is asked about one subject: a piece of work of its own.

A subject is examined in a solver context of its own, so what is found does not depend on how the work is spread.
"""

from __future__ import annotations

from msgspec import Struct

from analyzer import report
from analyzer.classify import NO, YES, Asker, Finding, examine, judge, plain
from analyzer.conditions import hole_condition
from analyzer.graph import Transition, may_change_mode, moves
from analyzer.premises import broken_by, concerns
from analyzer.repair import weakest_guard
from analyzer.replayer import Replayer
from analyzer.sources import Sources
from analyzer.symbolic.echo import Question
from analyzer.symbolic.pair import Pair, Subject
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import DEFAULT_RLIMIT
from analyzer.witness import FoundWitness, find_witness


class Wanted(Struct, frozen=True):
    """What is asked besides the classes: each cause of behavior sensitivity, the conditions of holes, their witnesses
    too, the moves between modes; and the budget of a query."""

    conditions: bool = True
    witnesses: bool = True
    moves: bool = True
    rlimit: int = DEFAULT_RLIMIT
    causes: bool = True


class Examined(Struct, frozen=True):
    """A finding, what is told of its hole, the moves between modes that the instruction makes, and the invariants that
    it breaks."""

    finding: Finding
    hole: report.Hole | None = None
    moves: tuple[Transition, ...] = ()
    broken: tuple[str, ...] = ()


def examine_one(
    setting: Setting,
    wanted: Wanted,
    replayer: Replayer | None,
    sources: Sources,
    subject: Subject,
    asked: list[list[Question]] | None = None,
) -> Examined:
    """One subject: its classes and, where it has a hole, the hole's condition, guard and witness.  What others were
    `asked` answers the same questions; if it does not answer all, this one's are put beside it."""
    moving = wanted.moves and may_change_mode(setting, subject)
    concerned = concerns(setting, subject)
    if plain(setting, subject.instruction):
        pair = Pair(setting, subject, wanted.rlimit) if concerned else None
        return Examined(examine(setting, subject), broken=() if pair is None else broken_by(pair))
    asker = Asker(setting, subject, wanted.rlimit, wanted.causes)
    smt = asker.pair.smt
    if asked is not None:
        smt.listen(asked)
    finding = judge(asker)
    told = finding.faithful.hole is not NO and wanted.conditions
    examined = Examined(
        finding,
        hole_of(asker, wanted, replayer, sources) if told else None,
        moves(asker.pair) if moving else (),
        broken_by(asker.pair) if concerned else (),
    )
    if asked is not None and smt.checks:
        asked.append(smt.questions)
    smt.close()
    return examined


def hole_of(asker: Asker, wanted: Wanted, replayer: Replayer | None, sources: Sources) -> report.Hole | None:
    """The hole with its condition, guard and witness; None if no reason was proved to apply."""
    _, found = asker.holes
    reasons = [r for r, t in found if t is YES]
    if not reasons:
        return None
    pair, subject = asker.pair, asker.subject
    condition = hole_condition(pair, reasons)
    guard = weakest_guard(pair, reasons)
    witness = find_witness(pair, reasons, replayer) if wanted.witnesses else None
    return report.Hole(
        subject.name,
        tuple(str(r) for r in reasons),
        condition.text,
        condition.exact,
        guard,
        None if witness is None else witness_report(witness, sources),
        sources.place(subject.instruction.span),
    )


def witness_report(found: FoundWitness, sources: Sources) -> report.Witness:
    """A witness as the report has it, but for the command that replays it: how the spec is called is the caller's to
    know."""
    return report.Witness(
        found.assembly,
        found.encoding,
        tuple(report.Cell(x.name, x.virtual, x.real) for x in found.inputs),
        tuple(report.Cell(x.name, x.virtual, x.real) for x in found.outcome),
        sources.place(found.parted),
        found.replayed,
        "",
    )
