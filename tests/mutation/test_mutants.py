"""Removing or weakening any privilege check in any spec is noticed, and blamed on exactly what it guards.

What a check guards is read off the IR; all other instructions are what they were, and so are their verdicts.
docs/mutation.md has the figures.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from judge import Fate, Judged, judged
from mutants import Mutant, applied, mutants, reached
from specs import spec

from analyzer import ir
from analyzer.analysis import analyze
from analyzer.options import Options
from analyzer.passes.effects import EffectsOf
from analyzer.report import Report
from analyzer.syntax.load import bundled

TABLE = (Path(__file__).parents[2] / "docs" / "mutation.md").read_text("utf-8").splitlines()

UNNEEDED: dict[str, dict[tuple[str, str], str]] = {
    "ia32": {
        ("rdtsc", "*"): "time is equal in both runs; Theorem 2 lists who reads it",
        ("rdpmc", "*"): "as rdtsc",
    },
    "m68010": {
        ("moves_*", "*"): "there is no memory management unit, so the function code that they choose selects nothing",
    },
    "rv64": {
        ("csr* scounteren", "*"): "it is the guest's own under every scheme",
        ("csr* pmpregs[[]n[]]", "*"): "without the feature `pmp` they read as zero and ignore writes: II, 3.7.1",
        ("csr* menvcfg", "letting S through"): "read-only zero, and of M, which is environment where S is a real mode",
        ("csr* mcountinhibit", "letting S through"): "as menvcfg",
        ("csr* mip", "letting S through"): "the writable bits are the guest's own where S is a real mode",
        ("csr[rsc]* cycle", "*"): "time is equal in both runs; Theorem 2 lists who reads it",
        ("csr[rsc]* time", "*"): "as cycle",
        ("csr[rsc]* instret", "*"): "as cycle",
        ("wfi", "*S *"): "a wait that an interrupt ends passes: the monitor may, and need not, set TW",
        ("sret", "*S *"): "what it changes in S is the guest's own: the monitor may, and need not, set TSR",
    },
}
"""Faithful mutants: subjects and changes, with the reason for which the check protects nothing that a monitor holds."""


def quick(name: str) -> bool:
    """Is the machine small enough for every day?"""
    return name.startswith("pg1974") or name in ("m68000", "m68010", "s370")


NAMES = [name if quick(name) else pytest.param(name, marks=pytest.mark.slow) for name in bundled()]


@cache
def made(name: str) -> list[Mutant]:
    return list(mutants(spec(name)))


@pytest.mark.parametrize("name", NAMES)
def test_every_mutant_is_killed_or_harmless(name: str) -> None:
    found = list(judged(spec(name), made(name)))
    unneeded = UNNEEDED.get(name, {})
    faithful = [j for j in found if j.fate is Fate.FAITHFUL]
    assert [str(j) for j in found if j.fate is Fate.UNDECIDED] == []
    assert [str(j) for j in faithful if not any(covers(pattern, j) for pattern in unneeded)] == []
    assert [pattern for pattern in unneeded if not any(covers(pattern, j) for j in faithful)] == []
    line = row(name, found)
    assert line in TABLE, line


def covers(pattern: tuple[str, str], found: Judged) -> bool:
    subject, how = pattern
    return fnmatch(found.subject, subject) and fnmatch(found.mutant.how, how)


def row(name: str, found: list[Judged]) -> str:
    """The machine's line in the table of the documentation."""
    fates = Counter(j.fate for j in found)
    checks = {j.mutant.check.node.span for j in found}
    changes = {id(j.mutant) for j in found}
    figures = [len(checks), len(changes), len(found), *(fates[fate] for fate in Fate)]
    return f"| `{name}` | " + " | ".join(map(str, figures)) + " |"


@pytest.mark.parametrize("name", NAMES)
def test_no_guard_is_overlooked(name: str) -> None:
    """Every instruction that the IR shows to raise a privileged trap conditionally has a check that was removed."""
    isa = spec(name)
    effects = EffectsOf(isa)
    guarded = {i.name for i in isa.instructions if guards(isa, effects, i.body)}
    removed = {i.name for m in made(name) if m.how == "removed" for i in m.changed}
    assert guarded - removed == set()


def guards(isa: ir.Isa, effects: EffectsOf, body: ir.Block) -> bool:
    """Does it raise a privileged trap on a condition, or one of kind `illegal` on one that reads the mode?"""
    modes = {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}
    blocks = [body, *(isa.procedures[name].body for name in reached(isa, body))]
    for stmt in (s for block in blocks for s in ir.statements(block)):
        if not isinstance(stmt, ir.When):
            continue
        kinds = {isa.traps[s.trap].kind for s in (*stmt.then, *stmt.other) if isinstance(s, ir.Trap)}
        by_mode = effects.block((ir.Let("cond", stmt.cond),)).reads & modes
        if ir.TrapClass.PRIVILEGED in kinds or (ir.TrapClass.ILLEGAL in kinds and by_mode):
            return True
    return False


# -- the whole verdict -------------------------------------------------------------------------------------------------

SOUND = ["pg1974", *(pytest.param(name, marks=pytest.mark.slow) for name in ("m68010", "s370"))]
"""Machines without a hole."""


@pytest.mark.parametrize("name", SOUND)
def test_the_verdict_flips_and_names_it(name: str) -> None:
    isa = spec(name)
    assert culprits(isa) == set()
    for mutant in made(name):
        killed = {j.subject for j in judged(isa, [mutant]) if j.fate is Fate.KILLED}
        assert culprits(applied(isa, mutant)) == killed, str(mutant)


def culprits(isa: ir.Isa) -> set[str]:
    """Those of Theorem 1, under the only scheme."""
    report: Report = analyze(isa, Options(witnesses="none", graph=False))
    return set(report.schemes[0].theorems[0].culprits)
