"""Loops of generated instructions on generated code, bare and monitored: long runs find no difference."""

from __future__ import annotations

import pytest
from monitored import plan_of, spec

from analyzer.allocation import allocate
from emulator.board import board_of
from emulator.monitor import Monitor
from emulator.monitor.campaign import Campaign, Loops
from emulator.monitor.monitor import Exits
from emulator.monitor.twins import Dose
from emulator.program import assemble


def loops(name: str, scheme: str | None, exits: Exits, seed: int) -> Loops:
    isa = spec(name)
    monitor = Monitor(plan_of(isa, scheme=scheme), allocate, tier="regions", exits=exits)
    return Loops(isa, board_of(isa, None), monitor, seed)


def campaign(name: str, scheme: str | None, exits: Exits, steps: int, seed: int) -> Campaign:
    out = loops(name, scheme, exits, seed).run(steps)
    assert out.difference is None
    assert out.steps >= steps
    return out


@pytest.mark.parametrize(
    ("name", "scheme", "exits", "steps"),
    [("pg1974", None, "compiled", 5_000), ("m68010", None, "seen", 3_000), ("rv64", "m_to_u", "compiled", 2_000_000)],
)
def test_loops_run_alike(name: str, scheme: str | None, exits: Exits, steps: int) -> None:
    assert campaign(name, scheme, exits, steps, seed=3).exits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scheme", "exits", "steps"),
    [
        ("pg1974", None, "compiled", 1_000_000),
        ("m68010", None, "seen", 2_000_000),
        ("rv64", "m_to_u", "compiled", 500_000_000),
        ("rv64", "s_to_u", "compiled", 500_000_000),
    ],
)
def test_a_thousand_million_steps_show_no_difference(name: str, scheme: str | None, exits: Exits, steps: int) -> None:
    out = campaign(name, scheme, exits, steps, seed=4)
    assert len(out.instructions) > len(spec(name).instructions) // 4


def test_a_trace_exception_leaves_the_guest() -> None:
    """The guest's own T flag makes it: no trap of an instruction, and no interrupt of the host's devices."""
    running = loops("m68010", None, "seen", 0)
    text = "ori.w #0x8000, sr\nlea (0x3000).l, a7\nnop\nbra.w 0x1000"
    running.twins.begin(Dose({("sp", None): 0x3000}, assemble(spec("m68010"), text, 0x1000).cells))
    one, two = (machine.run(500) for machine in running.twins.machines)
    assert one == two
    assert not running.twins.parted().places
    assert running.twins.machines[1].counters.exits["breakpoint trace"] > 10
