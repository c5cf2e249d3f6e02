"""The mutation score of the monitor: each statement of a routine, and of the delivery, is broken in turn, and
validation notices.  docs/monitor.md has the table."""

from __future__ import annotations

import pytest
from monitored import monitor_of, spec

from analyzer import ir
from analyzer.obligations import same
from analyzer.symbolic.setting import Setting
from emulator.monitor.direct import DirectReference
from emulator.monitor.mutants import Mutant, Score, Tests, mutants, score
from emulator.reference import Policy


def scored(name: str, scheme: str | None, guests: int, most: int | None) -> tuple[Score, tuple[str, ...]]:
    isa = spec(name)
    tests = Tests(monitor_of(isa, scheme=scheme), guests, seed=5)
    names = tests.emulated()
    setting = Setting(isa, isa.scheme(scheme))
    return score(tests, names, lambda m: same(setting, m.isa, m.instruction), most), names


def test_each_mutant_is_another_text() -> None:
    isa = spec("m68010")
    made = list(mutants(isa, ["move_from_sr", "stop"]))
    assert {mutant.fault for mutant in made} > {"drops", "writes another value"}
    assert {mutant.instruction for mutant in made} == {"move_from_sr", "stop", None}
    texts: set[tuple[str | None, ir.Block]] = set()
    for mutant in made:
        assert mutant.isa.deliver is not None
        name = mutant.instruction
        body = mutant.isa.deliver.body if name is None else mutant.isa.instruction(name).body
        assert isa.deliver is not None
        assert body != (isa.deliver.body if name is None else isa.instruction(name).body)
        texts.add((name, body))
    assert len(texts) == len(made)


def test_a_few_mutants_are_caught() -> None:
    isa = spec("pg1974")
    tests = Tests(monitor_of(isa), 200, seed=5)
    lrb: list[Mutant] = [m for m in mutants(isa, ["lrb"]) if m.instruction == "lrb" and m.fault == "drops"]
    missed = [m for m in lrb if not tests.finds(m)]
    assert len(lrb) > 2
    assert all(same(Setting(isa, isa.scheme()), m.isa, m.instruction) for m in missed)


@pytest.mark.slow
def test_every_mutant_of_pg1974_is_caught() -> None:
    found, names = scored("pg1974", None, 2_000, None)
    assert names == ("halt", "lpsw", "lra", "lrb")
    assert found.survivors == []
    assert {str(m) for m in found.equivalent} == {"lpsw 1 drops", "lpsw 1 writes another value"}


def test_only_guests_that_reach_the_text_matter() -> None:
    isa = spec("pg1974")
    tests = Tests(monitor_of(isa), 40, seed=7)
    for name in ("lrb", None):
        made, reaching = list(tests.made(name)), tests.reaching(name)
        assert 10 < len(reaching) <= len(made)
        others = [guest for guest in made if guest not in reaching]
        for mutant in mutants(isa, ["lrb"] if name else []):
            if mutant.instruction == name:
                broken = DirectReference(mutant.isa, tests.bench.vm.record, Policy())
                assert not tests._under(broken, others)
