"""The definitions against micro-machines whose answers were derived by hand (`cases/expected.py`)."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

from analyzer import ir
from analyzer.classify import NO, YES, Asker, Finding, examine
from analyzer.conditions import hole_condition, virtual_states
from analyzer.source import Source
from analyzer.symbolic.pair import Subject, subjects
from analyzer.symbolic.setting import Setting
from analyzer.syntax.load import load, load_source

CASES = Path(__file__).parent / "cases"
sys.path.insert(0, str(CASES))

from expected import EXPECTED, NOT_APPLICABLE, Expected  # noqa: E402


@cache
def machine(name: str) -> ir.Isa:
    return load(str(CASES / f"{name}.isa"))


@cache
def setting(name: str, scheme: str) -> Setting:
    isa = machine(name)
    out = Setting(isa, isa.scheme(scheme))
    out.quiet_maps = (name, scheme) != ("case25", "plain")  # row 25 asks for both readings
    return out


def subject(row: Expected) -> Subject:
    for found in subjects(machine(row.machine)):
        if found.instruction.name == row.instruction and found.case == row.operand:
            return found
    raise AssertionError(f"{row.machine} has no {row.instruction} {row.operand}")


def label(row: Expected) -> str:
    return " ".join(filter(None, (row.machine, row.scheme, row.instruction, row.operand)))


@cache
def finding(row: Expected) -> Finding:
    return examine(setting(row.machine, row.scheme), subject(row))


rows = pytest.mark.parametrize("row", EXPECTED, ids=label)


@rows
def test_classes(row: Expected) -> None:
    found = finding(row).classes
    classes = {name for name, t in found.causes.items() if t is YES}
    classes |= {f"user_{name}" for name, t in found.user_causes.items() if t is YES}
    classes |= {n for n in ("control", "user_control") if getattr(found, n) is YES}
    assert classes - row.may == row.classes - row.may


@rows
def test_privileged(row: Expected) -> None:
    found = finding(row).classes
    assert (found.trap_only is YES) == row.trap_only
    if not row.trap_only:
        assert (found.privileged is YES) == row.privileged
        if row.monitored is not None:
            assert (found.privileged_monitored is YES) == row.monitored


@rows
def test_1974(row: Expected) -> None:
    column = finding(row).classes_1974
    if row.pg74_privileged is not None:
        assert (column.privileged is YES) == row.pg74_privileged
    if row.pg74_sensitive is not None:
        assert (column.sensitive() is YES) == row.pg74_sensitive


@rows
def test_hole(row: Expected) -> None:
    assert (finding(row).faithful.hole is not NO) == (row.hole is not None)


@pytest.mark.parametrize("row", [r for r in EXPECTED if r.hole is not None], ids=label)
def test_hole_condition(row: Expected) -> None:
    """The condition found is proved equivalent to the one derived by hand."""
    asker = Asker(setting(row.machine, row.scheme), subject(row))
    _, found = asker.holes
    condition = hole_condition(asker.pair, [reason for reason, _ in found])
    assert condition.exact
    pair, smt = asker.pair, asker.pair.smt
    assert row.hole is not None
    if pair.operands:
        expr, prelude = with_operands(row, row.hole)
    else:
        expr, prelude = guest(row, row.hole).expr, guest(row, row.hole).prelude
    mine = pair.v.start(expr, prelude)
    fetched = guest(row, "pc < b") if "b" in machine(row.machine).elements else None
    given = [virtual_states(pair)]
    if fetched is not None:
        given.append(pair.v.start(fetched.expr, fetched.prelude))
    answer = smt.check(*given, smt.xor(condition.formula, mine))
    assert answer.status == "unsat", f"found: {condition.text}"


@cache
def guest(row: Expected, text: str) -> ir.Assume:
    """An expression over the virtual state, elaborated in the machine's own names."""
    isa = machine(row.machine)
    run = ", ".join(f"{isa.mode.named(v)} as {isa.mode.named(r)}" for v, r in isa.scheme(row.scheme).run)
    monitor = isa.mode.named(isa.scheme(row.scheme).monitor)
    spec = f"isa probe extends {isa.name}\nscheme probe {{\n  run {run}\n  monitor {monitor}\n  guest {text}\n}}\n"
    return load_source(Source("probe.isa", spec), CASES)[0].scheme("probe").guest[0]


def with_operands(row: Expected, text: str) -> tuple[ir.Expr, ir.Block]:
    """The same for an expression that names operands: read off an instruction that has them."""
    instruction = subject(row).instruction
    names = ", ".join(o.name for o in instruction.operands)
    width = sum(s.width for s in instruction.segments)
    pad = width - sum(o.width for o in instruction.operands)
    fields = " ".join(o.name for o in instruction.operands)
    spec = (
        f"isa probe extends {row.machine}\n"
        f'instr probe "probe {{{names}}}" = 0b{"1" * pad} {fields} {{ trap memory if {text} }}\n'
    )
    body = load_source(Source("probe.isa", spec), CASES)[0].instruction("probe").body
    guard = next(s for s in ir.statements(body) if isinstance(s, ir.When))
    return guard.cond, tuple(s for s in body[: body.index(guard)] if isinstance(s, ir.Let))


@rows
def test_stuck(row: Expected) -> None:
    from analyzer.stuck import stuck_addresses

    found = finding(row).faithful.stuck is YES or bool(stuck_addresses(setting(row.machine, row.scheme)))
    if row.machine not in NOT_APPLICABLE:
        assert found == (row.stuck is not None)


@rows
def test_time(row: Expected) -> None:
    assert (finding(row).time is YES) == row.time
