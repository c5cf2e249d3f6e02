"""The witness of one instruction's hole, found again: what `popek replay` runs."""

from __future__ import annotations

import shlex

from analyzer import ir
from analyzer.classify import NO, YES, Asker
from analyzer.errors import EngineError, UsageError
from analyzer.named import unknown_instruction
from analyzer.replayer import Replayer
from analyzer.symbolic.pair import Subject, subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import DEFAULT_RLIMIT
from analyzer.witness import FoundWitness, find_witness


def replay_command(spec: str, isa: ir.Isa, scheme: ir.Scheme, subject: Subject) -> str:
    """The command that shows a hole's witness again; `spec` is the machine's name or path, as the user gave it."""
    words = ["popek", "replay", spec, subject.instruction.name]
    if subject.case is not None:
        words += ["--case", subject.case]
    if scheme is not isa.schemes[0]:
        words += ["--scheme", scheme.name]
    return shlex.join(words)


def witness_of_hole(
    isa: ir.Isa,
    scheme: ir.Scheme,
    subject: Subject,
    replayer: Replayer,
    rlimit: int = DEFAULT_RLIMIT,
) -> FoundWitness:
    """The least witness of a hole: the one that the report shows.

    Raises:
        UsageError: the instruction has no hole under the scheme.
        EngineError: the budget ran out before that was known.
    """
    asker = Asker(Setting(isa, scheme), subject, rlimit)
    hole, found = asker.holes
    reasons = [reason for reason, truth in found if truth is YES]
    witness = find_witness(asker.pair, reasons, replayer) if reasons else None
    if witness is not None:
        return witness
    if reasons or hole is not NO:
        raise EngineError(f"the budget ran out on {subject.name} under scheme {scheme.name}: give a larger --rlimit")
    raise UsageError(
        f"{subject.name} has no hole under scheme {scheme.name}, so there is nothing to replay",
        "`popek check` lists the holes",
    )


def subject_of(isa: ir.Isa, name: str, case: str | None = None) -> Subject:
    """The subject of this name; of an instruction with a dispatch space, that of the case (None: the first).

    Raises:
        UsageError: there is none.
    """
    named = [s for s in subjects(isa) if name in (s.instruction.name, s.name)]
    if not named:
        raise unknown_instruction(isa, name)
    for subject in named:
        if case is None or subject.case == case:
            return subject
    cases = ", ".join(s.case for s in named if s.case is not None)
    raise UsageError(f"{name} has no case {case}", f"it has {cases}" if cases else "it is not split into cases")
