"""Hole conditions: their texts, and that they say where holes are, asked in another way than they are found.

That a hole implies its condition is one question to the solver.  That the condition implies a hole is asked state by
state: σ is fixed on models of the condition, and a real state is looked for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from golden import assert_golden

import analyzer.properties as pg
from analyzer import ir
from analyzer.classify import NO, YES, Asker, plain
from analyzer.conditions import TOO_LARGE, Condition, hole_condition, virtual_states
from analyzer.source import Source
from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import Pair, subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.term import Term
from analyzer.symbolic.terms import atoms
from analyzer.syntax.load import bundled, load, load_source

GOLDEN = Path(__file__).parent / "conditions"
QUICK = ("m68000", "m68010", "ka10")
STATES = 4
"""States that a condition is tried on, and as many on which it does not hold."""

MACHINE = """
isa probe extends pg1974
state map tables : 21
state control level, shadow : 8
unspecified drained(what: 8) -> 8 "what draining leaves"
operand S : 2 {
  | 0 reg:1 => r[zext(reg, 3)][7:0]
  | 1 _     => mem[r[7][20:0]][7:0]
}
memory T[a: 21] : 64
view entry[s: 8] : 64 = table T[tables + zext(s)]
"""

SCHEME = """
scheme tried {
  run s as u, u as u
  monitor s
  assume E[1][63:63] == 0 "the new PSW is the monitor's"
}
"""

PROBES = {
    "an answer from a table": (
        "let s = r2[7:0]; r1 = if s != 0 and entry[s][0] then 1 else 0",
        "r1 != 0 and r2 != 0 and r[r2][7:0] != 0",
    ),
    "a register loaded from a table": (
        "let s = r2[7:0]; trap illegal if s[1:0] != 3; level = entry[s][7:0]",
        "r2 != 0 and r[r2][1:0] == 3",
    ),
    "a table that leads to a table": (
        "let s = r2[7:0]; let t = entry[s][7:0]; trap illegal if t == s or entry[t] != 5; level = 1",
        "always",
    ),
    "one of two ways": (
        "let s = r2[7:0]; trap illegal if a[0] and s != 9; level = entry[s][7:0]",
        "a[0] == 0 or (r2 != 0 and r[r2][7:0] == 9)",
    ),
    "a state of its own": ("r1 = zext(level)", "r1 != 0"),
    "the guest's own value": ("level = r2[7:0]", "always"),
    "what is left open": ("trap illegal if a == 0; level = drained(level)", "a != 0"),
    "memory that is permitted": ("level = mem[a][7:0]", "mem[a] readable"),
    "a combination of both machines": ("trap illegal if level < 3; shadow = 1", "always"),
}
"""Bodies of an instruction `probe {r1}, {r2}, {a}`, and the conditions of their holes."""


@cache
def setting(body: str) -> Setting:
    spec = f'{MACHINE}\ninstr "probe {{r1}}, {{r2}}, {{a}}" = F(0x40) {{ {body} }}\n{SCHEME}'
    isa = load_source(Source("probe.isa", spec))[0]
    return Setting(isa, isa.scheme("tried"))


def hole(of: Setting, name: str) -> tuple[Pair, list[pg.Reason], Condition]:
    subject = next(s for s in subjects(of.isa) if s.name == name)
    asker = Asker(of, subject)
    reasons = [reason for reason, truth in asker.holes[1] if truth is YES]
    return asker.pair, reasons, hole_condition(asker.pair, reasons)


@pytest.mark.parametrize("what", PROBES)
def test_condition(what: str) -> None:
    body, text = PROBES[what]
    pair, reasons, found = hole(setting(body), "probe")
    assert found.exact
    assert found.text == text
    agrees(pair, reasons, found)


def agrees(pair: Pair, reasons: list[pg.Reason], found: Condition) -> None:
    """The condition holds where there is a hole, and nowhere else."""
    smt = pair.smt
    formula = smt.and_(pg.real_states(pair), smt.or_(*(reason.formula for reason in reasons)))
    assert smt.check(formula, smt.not_(found.formula)).status == "unsat"
    given = virtual_states(pair)
    tried: list[ir.Bool] = []
    for _ in range(STATES):
        answer = smt.check(given, found.formula, *tried)
        if answer.status == "unsat":
            break
        state = fixed(pair, [given, found.formula], answer.model)
        assert smt.check(formula, *state).status == "sat"
        tried.append(smt.not_(smt.and_(*state)))
    assert tried


def fixed(pair: Pair, formulas: list[object], model: Model) -> list[object]:
    """That everything that the formulas mention is as in the model; it is σ's or the encoding's."""
    mentioned = [t for t in atoms(pair.smt, *formulas) if t.op != "apply"]
    assert not any(t.name.endswith("@r") for t in mentioned)
    return [pair.smt.eq(t, model.value(t), t.width) for t in mentioned if isinstance(t, Term)]


# -- the bundled machines ----------------------------------------------------------------------------------------------


def quick(name: str) -> bool:
    return name in QUICK or name.startswith("pg1974")


NAMES = [name if quick(name) else pytest.param(name, marks=pytest.mark.slow) for name in bundled()]


@pytest.mark.parametrize("name", NAMES)
def test_bundled(name: str) -> None:
    """All holes of a machine have an exact condition, which is the text that we have read."""
    isa = load(name)
    lines = []
    for scheme in isa.schemes:
        of = Setting(isa, scheme)
        for subject in subjects(isa):
            if plain(of, subject.instruction):
                continue
            asker = Asker(of, subject)
            truth, found = asker.holes
            reasons = [reason for reason, t in found if t is YES]
            if truth is NO or not reasons:
                continue
            condition = hole_condition(asker.pair, reasons)
            assert condition.exact, f"{subject.name} under {scheme.name}"
            assert condition.text != TOO_LARGE
            lines.append(f"{scheme.name}  {subject.name:20}  {condition.text}")
    assert_golden(GOLDEN / f"{name}.txt", "".join(f"{line.rstrip()}\n" for line in lines))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lar.d", "verw", "pop_sreg.d", "popf.d", "mov_to_sreg ss", "jmp_far", "retf", "sgdt"])
def test_bundled_agrees(name: str) -> None:
    """Conditions of instructions that read tables, asked state by state."""
    isa = load("ia32")
    pair, reasons, found = hole(Setting(isa, isa.scheme("classic")), name)
    agrees(pair, reasons, found)
