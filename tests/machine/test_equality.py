"""All tiers give the same results, instruction for instruction, for every spec."""

from __future__ import annotations

import pytest

from analyzer import ir
from emulator.machine.base import BaseMachine
from emulator.machine.blocks import BlocksMachine
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.tuning import Tuning
from tests.machine import programs
from tests.machine.compare import Company
from tests.specs import spec

SPECS = ("pg1974", "ka10", "s370", "m68000", "m68010", "ia32", "rv64")

HOT: dict[str, tuple[int, float | None]] = {
    "interpreter": (0, None),
    "copies": (2, None),
    "early": (5, None),
    "regions": (2, 1e9),
}
"""By tier: jumps after which an address is hot, and the share of time that regions may take (None: none are made).
What is `early` is copied before it is hot, where stencils were kept."""
SAMPLE, STOPS = 1, 24
"""The program of the sample, and its stops."""

STOPS_OF_ALL, MANY, AGAIN, TOGETHER = 100_000, 400, 19, 10
"""In the slow suite: stops for each spec, stops of a program, how many times it runs again, and programs that the same
machines run."""


def machines(isa: ir.Isa, engine: Engine) -> dict[str, BaseMachine]:
    """One of each tier."""
    regions, choices = programs.regions(isa), programs.choices(isa)
    found: dict[str, BaseMachine] = {"blocks": BlocksMachine(isa, regions, choices, warm=2, most=6)}
    for tier, (hot, share) in HOT.items():
        found[tier] = NativeMachine(isa, regions, choices, engine, Tuning(hot, share, eager=1))
    return found


@pytest.mark.parametrize("name", SPECS)
def test_sample(name: str, engine: Engine) -> None:
    isa = spec(name)
    everyone = machines(isa, engine)
    company = Company(isa, everyone)
    assert company.stops(SAMPLE, STOPS, again=2) > company.retired > STOPS
    assert company.compared > 2 * STOPS
    native = everyone["interpreter"]
    assert isinstance(native, NativeMachine)
    assert len(native._known_variants.numbers) > len(isa.instructions) // 20, "it runs on the reference"
    copies = everyone["copies"]
    assert isinstance(copies, NativeMachine)
    assert copies.stats["copies"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_many(name: str, engine: Engine) -> None:
    """Hours for the large machines: programs begin at seed 0, so that parts can be run apart."""
    isa, seed, compared = spec(name), 0, 0
    while compared < STOPS_OF_ALL:
        company = Company(isa, machines(isa, engine))
        for _ in range(TOGETHER):
            company.stops(seed, MANY, AGAIN)
            seed += 1
        compared += company.compared
