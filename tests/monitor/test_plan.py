"""Who holds what, and for which machines there is no monitor."""

from __future__ import annotations

import pytest
from monitored import spec

from analyzer import Options, analyze, ir
from analyzer.obligations import mode_assignment
from analyzer.report import SchemeReport
from analyzer.symbolic.setting import Setting
from emulator.monitor import Refused, generate
from emulator.monitor.plan import division, maps

SCHEMES = [
    (name, scheme.name) for name in ("pg1974", "m68010", "s370", "ka10", "rv64") for scheme in spec(name).schemes
]


@pytest.mark.parametrize(("name", "scheme"), SCHEMES)
def test_the_division_is_that_of_the_proofs(name: str, scheme: str) -> None:
    isa = spec(name)
    setting = Setting(isa, isa.scheme(scheme))
    divided = division(isa, setting.scheme)
    names = [n for n, _ in setting.state()]
    assert set(divided.passed) == {n for n in names if setting.passes(n)}
    assert set(divided.environment) == {n for n in names if n in setting.environment and not setting.passes(n)}
    assert sorted((*divided.passed, *divided.environment, *divided.held)) == sorted(names)


@pytest.mark.parametrize("name", ["pg1974", "m68010", "s370", "ka10"])
def test_the_modes_are_those_of_the_proofs(name: str) -> None:
    isa = spec(name)
    plan = generate(isa, None, unsafe=True)
    setting = Setting(isa, plan.scheme)
    for virtual, real in plan.scheme.run:
        assert plan.modes[virtual] == mode_assignment(setting, real)


def test_maps_are_composed_where_registers_serve() -> None:
    assert maps(spec("pg1974"), spec("pg1974").scheme()) == (("mem",), ())
    assert maps(spec("ka10"), spec("ka10").scheme()) == (("mem",), ())
    assert maps(spec("s370"), spec("s370").scheme()) == ((), ("logical",))


def report_of(isa: ir.Isa) -> SchemeReport:
    return analyze(isa, Options(witnesses="none", graph=False)).schemes[0]


def test_a_verdict_of_yes_gives_a_plan() -> None:
    isa = spec("pg1974")
    plan = generate(isa, report_of(isa))
    assert plan.direct == {0, 1}


def test_a_verdict_of_no_is_refused_with_the_culprits() -> None:
    isa = spec("pg1974-jrst1")
    report = report_of(isa)
    with pytest.raises(Refused, match=r"Theorem 1 is violated \(.*jrst1") as refused:
        generate(isa, report)
    assert refused.value.diagnostic.code == "PG530"
    assert "hybrid" in (refused.value.diagnostic.hint or "")
    assert generate(isa, report, technique="hybrid").direct == {1}
    assert generate(isa, None, unsafe=True).unsafe


def test_a_hybrid_is_refused_where_theorem_3_fails() -> None:
    isa = spec("pg1974-rdbase")
    with pytest.raises(Refused, match="Theorem 3"):
        generate(isa, report_of(isa), technique="hybrid")


def test_without_a_report_only_unsafe() -> None:
    with pytest.raises(Refused, match="needs the analysis"):
        generate(spec("pg1974"), None)


def test_there_is_no_such_scheme() -> None:
    with pytest.raises(Refused) as refused:
        generate(spec("pg1974"), None, "clasic", unsafe=True)
    assert refused.value.diagnostic.code == "PG531"
    assert refused.value.diagnostic.hint == "there are: classic"
