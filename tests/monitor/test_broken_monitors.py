"""The mutation score of the monitor: each statement of a routine, and of the delivery, is broken in turn, and
validation notices.  docs/monitor.md has the table."""

from __future__ import annotations

import pytest
from monitored import monitor_of, spec

from analyzer import ir
from analyzer.aiming import Aiming
from analyzer.symbolic.setting import Setting
from emulator.monitor.aimed import domain_of, guests
from emulator.monitor.direct import DirectReference
from emulator.monitor.edits import Mutant, mutants
from emulator.monitor.mutants import Score, Tests, score
from emulator.reference import Policy


def scored(name: str, scheme: str | None, chance: int, most: int | None) -> tuple[Score, tuple[str, ...]]:
    isa = spec(name)
    tests = Tests(monitor_of(isa, scheme=scheme), chance, seed=5)
    names = tests.emulated()
    return score(tests, names, aiming(tests), most), names


def aiming(tests: Tests) -> Aiming:
    plan = tests.bench.plan
    return Aiming(Setting(plan.isa, plan.scheme), domain_of(tests.bench.kind))


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
    assert all(aiming(tests).at(m.instruction, m.isa).harmless for m in missed)


def test_what_is_aimed_at_is_found_out() -> None:
    """By guests that run alike under a sound monitor; and what is proved harmless no guest made by chance tells."""
    isa = spec("pg1974")
    tests = Tests(monitor_of(isa), 60, seed=5)
    aims = aiming(tests)
    harmless = []
    for mutant in mutants(isa, ["lpsw", "lrb"]):
        aim = aims.at(mutant.instruction, mutant.isa)
        begun = list(guests(tests.bench.kind, aim.beginnings))
        if aim.harmless:
            harmless.append(str(mutant))
            assert not tests.finds(mutant)
        else:
            assert tests.finds(mutant, begun), str(mutant)
        assert all(tests.bench.run(guest)[0] is None for guest in begun)
    assert harmless == ["lpsw 1 drops", "lpsw 1 writes another value"]


def test_register_of_many_is_aimed_at() -> None:
    """What one of forty registers of rv64 is written matters to few guests made by chance."""
    isa = spec("rv64")
    tests = Tests(monitor_of(isa, scheme="s_to_u"), 1, seed=5)
    aims = aiming(tests)
    found = [aims.at(m.instruction, m.isa) for m in mutants(isa, ["csrrs"]) if m.fault == "writes another value"]
    assert sum(bool(aim.beginnings) for aim in found) > 5
    assert sum(aim.harmless for aim in found) > 5


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
