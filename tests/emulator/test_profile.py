"""Profiles: the same in every tier, whose steps come to those of the run, under the names of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.devices.console import Console
from emulator.interface import Reason
from emulator.machine import Tier
from emulator.profile import FIRST, MOST, Profile, deciding
from emulator.run import Options, follow, prepare
from tests.specs import spec

TEXT = """
start:
addi x5, x0, 100
light:
addi x5, x5, -1
bne x5, x0, light
lui x6, 1
heavy:
addi x7, x7, 1
addi x6, x6, -1
bne x6, x0, heavy
jal x0, start
"""
"""Rounds of 1 + 200 + 1 + 3 * 4096 + 1 steps."""


def profiled(tmp_path: Path, tier: Tier, budget: int) -> Profile:
    program = tmp_path / "program.s"
    program.write_text(TEXT, encoding="utf-8")
    system = prepare(spec("rv64"), program, Options(tier=tier), Console())
    profile = Profile()
    ran = follow(system, budget, profile=profile)
    assert (ran.ended.reason, ran.ended.steps, ran.steps) == (Reason.BUDGET, budget, budget)
    return profile


def test_all_tiers_see_the_same(tmp_path: Path) -> None:
    pytest.importorskip("llvmlite")
    plain, fast = profiled(tmp_path, "reference", 20_000), profiled(tmp_path, "regions", 20_000)
    assert plain.steps == fast.steps
    assert plain.looks == 20_000 // FIRST


def test_shares_come_to_what_is_executed(tmp_path: Path) -> None:
    budget = 10_000_000
    program = tmp_path / "program.s"
    program.write_text(TEXT, encoding="utf-8")
    system = prepare(spec("rv64"), program, Options(), Console())
    profile = Profile()
    follow(system, budget, profile=profile)
    assert profile.distance > FIRST
    assert profile.looks < 3 * MOST
    assert budget - profile.distance <= sum(profile.steps.values()) <= budget
    told = profile.told(system.machine, system.image.symbols)
    shares = {data["symbol"]: 0 for data in told.as_data()}
    for data in told.as_data():
        shares[data["symbol"]] += data["steps"]
        assert data["mode"] == "M"
    whole = 1 + 200 + 1 + 3 * 4096 + 1
    assert shares["heavy"] / sum(shares.values()) == pytest.approx((3 * 4096 + 1) / whole, abs=0.01)
    assert shares["light"] / sum(shares.values()) == pytest.approx(201 / whole, abs=0.01)
    head, first, second, *rest = told.lines()
    assert head.startswith("profile: ")
    assert first.endswith(" %  heavy")
    assert second.endswith(" %  light")
    assert any("addi x7, x7, 1" in line and line.endswith("heavy") for line in rest)
    assert any("bne x6, x0, " in line and line.endswith("heavy+0x8") for line in rest)


@pytest.mark.parametrize("name", ["pg1974", "ka10", "s370", "m68000", "ia32", "rv64"])
def test_what_modes_depend_on_is_known(name: str) -> None:
    isa = spec(name)
    assert deciding(isa)
    assert set(deciding(isa)) <= set(isa.elements)
