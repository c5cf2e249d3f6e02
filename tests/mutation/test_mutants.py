"""Removing or weakening any privilege check in any spec is noticed, and blamed on exactly that instruction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mutation.mutants import Mutant, mutants

from analyzer import ir
from analyzer.classify import NO, examine
from analyzer.symbolic.pair import Pair, Setting, Subject, subjects
from analyzer.syntax.load import bundled, load

pytestmark = pytest.mark.slow


def killed(isa: ir.Isa, scheme: ir.Scheme, mutant: Mutant) -> bool:
    """The mutant has a hole, or is stuck, where the original has none."""
    changed = replace(isa, instructions=(mutant.instruction,))
    setting = Setting(changed, scheme)
    return any(examine(setting, s).faithful.hole is not NO for s in subjects(changed))


def equivalent(isa: ir.Isa, scheme: ir.Scheme, mutant: Mutant) -> bool:
    """In every real state of a guest, the mutant does what the original does: proved, not sampled."""
    original = isa.instruction(mutant.instruction.name)
    for subject in subjects(replace(isa, instructions=(original,))):
        if not _same(Setting(isa, scheme), subject, mutant.instruction):
            return False
    return True


def _same(setting: Setting, subject: Subject, mutated: ir.Instruction) -> bool:
    pair = Pair(setting, subject)
    other = Pair(setting, replace(subject, instruction=mutated))
    other.smt, pair_smt = pair.smt, pair.smt
    from analyzer.symbolic.pair import Side

    changed = Side(setting, pair_smt, "r", pair.operands, mutated)
    differs = pair_smt.or_(
        pair_smt.xor(pair.r.stays(), changed.stays()),
        pair_smt.xor(pair.r.traps(), changed.traps()),
        *(
            pair_smt.not_(pair.r.equal(n, pair.r.final(n), changed.final(n)))
            for n in {*pair.r.after, *changed.after}
        ),
    )
    user = pair.in_modes(pair.r, pair.user_modes)
    return pair_smt.check(pair.machine(), user, differs).status == "unsat"


@pytest.mark.parametrize("name", bundled())
def test_every_mutant_is_killed_or_equivalent(name: str) -> None:
    isa = load(name)
    survivors = []
    for scheme in isa.schemes:
        holes = {s.name for s in subjects(isa)}
        del holes
        for mutant in mutants(isa):
            if not killed(isa, scheme, mutant) and not equivalent(isa, scheme, mutant):
                survivors.append(f"{scheme.name}: {mutant}")
    assert not survivors
