"""Removing or weakening any privilege check in any spec is noticed, and blamed on exactly that instruction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mutants import Mutant, mutants

from analyzer import ir
from analyzer.classify import NO, examine
from analyzer.symbolic.pair import Pair, Side, Subject, subjects
from analyzer.symbolic.setting import Setting
from analyzer.syntax.load import bundled, load


def quick(name: str) -> bool:
    """Is the machine small enough for every day?"""
    return name.startswith("pg1974") or name == "m68010"


UNNEEDED = {
    "m68010": {"moves_to", "moves_from"},  # no MMU: the function code that they choose selects nothing
}
"""Families whose check protects nothing, as the spec has it: without it they are not privileged, and have no hole."""

NAMES = [name if quick(name) else pytest.param(name, marks=pytest.mark.slow) for name in bundled()]


def killed(isa: ir.Isa, scheme: ir.Scheme, mutant: Mutant) -> bool:
    """The mutant has a hole, or may have one."""
    changed = replace(isa, instructions=(mutant.instruction,))
    setting = Setting(changed, scheme)
    return any(examine(setting, s).faithful.hole is not NO for s in subjects(changed))


def equivalent(isa: ir.Isa, scheme: ir.Scheme, mutant: Mutant) -> bool:
    """In every real state of a guest, the mutant does what the original does: proved, not sampled."""
    original = isa.instruction(mutant.instruction.name)
    setting = Setting(isa, scheme)
    return all(same(setting, s, mutant.instruction) for s in subjects(replace(isa, instructions=(original,))))


def same(setting: Setting, subject: Subject, mutated: ir.Instruction) -> bool:
    """No real state of a guest tells a subject from its mutant."""
    pair = Pair(setting, subject)
    smt, real = pair.smt, pair.r
    changed = Side(setting, smt, "r", pair.operands, mutated)
    differs = smt.or_(
        smt.xor(real.stays(), changed.stays()),
        smt.xor(real.traps(), changed.traps()),
        *(smt.not_(real.equal(n, real.final(n), changed.final(n))) for n in {*real.after, *changed.after}),
    )
    user = pair.in_modes(real, pair.user_modes)
    return smt.check(pair.machine(), user, differs).status == "unsat"


@pytest.mark.parametrize("name", NAMES)
def test_every_mutant_is_killed_or_equivalent(name: str) -> None:
    isa = load(name)
    survivors = [
        (mutant.instruction.family, f"{scheme.name}: {mutant}")
        for scheme in isa.schemes
        for mutant in mutants(isa)
        if not killed(isa, scheme, mutant) and not equivalent(isa, scheme, mutant)
    ]
    unneeded = UNNEEDED.get(name, set())
    assert [told for family, told in survivors if family not in unneeded] == []
    assert {family for family, _ in survivors} == unneeded
