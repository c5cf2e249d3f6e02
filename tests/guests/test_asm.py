"""Programs in assembly, one a board: they say hello, and end as they should."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs import spec

from emulator.devices.console import Console
from emulator.interface import Reason
from emulator.machine import Tier
from emulator.run import TIERS, Options, run

ASM = Path(__file__).parents[2] / "benchmarks/guests/asm"

TRANSCRIPTS = {
    "rv64": (b"Hello from rv64\n", 0, 89),
    "pg1974": (b"Hello from pg1974\n", 0, 97),
    "s370": (b"Hello from s370\n", 0, 87),
    "m68000": (b"Hello from m68000\n...\n", 7, 389),
    "ka10": (b"Hello from ka10\n", 0, 84),
    "ia32": (b"Hello from ia32\n", 0, 102),
}


def test_each_is_run() -> None:
    assert {path.stem for path in ASM.glob("*.s")} == set(TRANSCRIPTS)


def check(name: str, tier: Tier) -> None:
    transcript, code, steps = TRANSCRIPTS[name]
    console = Console()
    outcome = run(spec(name), ASM / f"{name}.s", Options(budget=10_000, tier=tier), console)
    assert outcome.ended.reason is Reason.STOPPED
    assert (bytes(console.transcript), outcome.code, outcome.steps) == (transcript, code, steps)


@pytest.mark.parametrize("name", sorted(TRANSCRIPTS))
def test_transcript(name: str) -> None:
    check(name, "reference")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TRANSCRIPTS))
@pytest.mark.parametrize("tier", sorted(set(TIERS) - {"reference"}))
def test_transcript_on_other_tiers(name: str, tier: Tier) -> None:
    check(name, tier)
