"""Programs in C, compiled by the distribution's cross compiler: they print what they print under QEMU.

The expected texts in `benchmarks/guests/c/golden` came from QEMU; where it is installed they are compared again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from emulator.devices.console import Console
from emulator.machine import Tier
from emulator.run import TIERS, Options, Outcome, run

ROOT = Path(__file__).parents[2]
GUESTS = ROOT / "benchmarks/guests"


@pytest.fixture(scope="module", autouse=True)
def _path() -> Iterator[None]:
    sys.path.insert(0, str(GUESTS))
    yield
    sys.path.remove(str(GUESTS))


NAMES = tuple(sorted(p.stem for p in (GUESTS / "c").glob("*.c") if p.stem != "tiny"))
QUICK = ("queens", "traps")
"""Programs of a few thousand steps, which the reference runs in no time."""

BUDGET = 6_000_000


def needs(*tools: str) -> None:
    import build

    missing = build.missing(*tools)
    if missing and "CI_ORACLES" in os.environ:
        pytest.fail(f"{missing} is not installed")
    if missing:
        pytest.skip(f"{missing} is not installed")


@pytest.fixture(scope="module")
def isa() -> ir.Isa:
    return spec("rv64")


def golden(name: str) -> bytes:
    return (GUESTS / f"c/golden/{name}.txt").read_bytes()


def ran(isa: ir.Isa, name: str, out: Path, tier: Tier) -> tuple[Outcome, bytes]:
    import build

    needs(build.COMPILER)
    console = Console()
    outcome = run(isa, build.build(name, out), Options(budget=BUDGET, tier=tier, disk=build.disk(out)), console)
    return outcome, bytes(console.transcript)


def test_each_has_its_text() -> None:
    assert {path.stem for path in (GUESTS / "c/golden").glob("*.txt")} == set(NAMES)
    assert len(NAMES) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiles(name: str, tmp_path: Path) -> None:
    import build

    needs(build.COMPILER)
    assert build.build(name, tmp_path).read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize("name", QUICK)
def test_prints_what_it_should(name: str, isa: ir.Isa, tmp_path: Path) -> None:
    outcome, text = ran(isa, name, tmp_path, "reference")
    assert (outcome.code, text) == (0, golden(name)), outcome.sentence()


@pytest.mark.parametrize(
    "tier", [tier if tier == "regions" else pytest.param(tier, marks=pytest.mark.slow) for tier in TIERS]
)
@pytest.mark.parametrize("name", NAMES)
def test_prints_what_it_should_on_every_tier(name: str, tier: Tier, isa: ir.Isa, tmp_path: Path) -> None:
    outcome, text = ran(isa, name, tmp_path, tier)
    assert (outcome.code, text) == (0, golden(name)), outcome.sentence()


@pytest.mark.parametrize("name", NAMES)
def test_prints_the_same_under_qemu(name: str, tmp_path: Path) -> None:
    import build

    needs(build.COMPILER, build.QEMU)
    assert build.under_qemu(build.build(name, tmp_path)) == (golden(name), 0)
