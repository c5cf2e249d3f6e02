"""The smallest change that makes a machine virtualizable: for each hole the weakest privilege check that closes it.

A hole is closed by a trap in every real state that it can be met in, so the weakest guard is the hole with the virtual
state projected away: ∃σ hole.  A check stands before the operands are evaluated, where only registers and the encoding
can be tested; what a guard says of memory is dropped from it, which makes it stronger.  Every instruction with a hole
needs one, because no other instruction's trap helps it: the set of instructions is the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass

import analyzer.properties as pg
from analyzer import ir
from analyzer.conditions import TOO_LARGE, project, worded
from analyzer.properties import Reason
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.terms import testable


@dataclass(frozen=True, slots=True)
class Guard:
    """`trap privileged when …`: the weakest condition on the real state, and the part of it that a check before the
    instruction can test, as text of the language."""

    weakest: str
    testable: str


def weakest_guard(pair: Pair, reasons: list[Reason], project_it: bool = True) -> Guard:
    """The guard that closes these reasons; without `project_it` the plain one, on the mode alone."""
    smt = pair.smt
    if not project_it:
        plain = user_mode_text(pair.setting.isa, pair.user_modes)
        return Guard(plain, plain)
    condition = project(pair, pg.real_states(pair), [r.formula for r in reasons], "v", real_user_states(pair))
    isa = pair.setting.isa
    mode = user_mode_text(isa, pair.user_modes)
    cover = condition.cover
    registers = None if cover is None else [[lit for lit in product if testable(lit)] for product in cover]
    return Guard(_with(mode, condition.text), _with(mode, worded(isa, registers, "r")))


def real_user_states(pair: Pair) -> Bool:
    """What every real state of a guest satisfies, the monitor's invariants among it."""
    r, smt = pair.r, pair.smt
    terms = [r.where, pair.constraint, pair.in_modes(r, pair.user_modes), pg.monitor_invariants(pair)]
    terms += [r.start(i.expr, i.prelude) for i in pair.setting.isa.invariants]
    terms += [pair.legal(r, e) for e in pair.setting.isa.elements.values() if e.legal is not None]
    return smt.and_(*terms)


def _with(mode: str, condition: str) -> str:
    if condition in ("always", TOO_LARGE):
        return mode
    return f"{mode} and {f'({condition})' if ' or ' in condition else condition}"


def user_mode_text(isa: ir.Isa, codes: tuple[int, ...]) -> str:
    """The mode is one of the guest's, in the language."""
    others = [m for m in isa.mode.modes() if m.code not in codes]
    if len(others) == 1:
        return f"mode != {others[0].name}"
    return "(" + " or ".join(f"mode == {isa.mode.named(c)}" for c in codes) + ")"


def repaired_spec(isa: ir.Isa, guards: dict[str, str]) -> str:
    """A spec that extends this one with the guards; `guards` maps an instruction's family to its condition."""
    trap = privileged_trap(isa)
    lines = [f'isa {isa.name}-repaired extends {isa.name} "{isa.title or isa.name}, with the checks that it lacks"', ""]
    if trap is None:
        lines += ["trap repair : privileged", ""]
        trap = "repair"
    for family, guard in guards.items():
        lines.append(f"before {family.replace('.', '_')} {{ trap {trap} if {guard} }}")
    return "\n".join(lines) + "\n"


def privileged_trap(isa: ir.Isa) -> str | None:
    """The machine's own privilege trap, if it has one without parameters."""
    for trap in isa.traps.values():
        if trap.kind is ir.TrapClass.PRIVILEGED and not trap.params:
            return trap.name
    return None
