"""Loops of generated instructions on generated code, bare and monitored: long runs find no difference."""

from __future__ import annotations

import pytest
from monitored import plan_of, spec

from analyzer.allocation import allocate
from emulator.board import board_of
from emulator.monitor import Monitor, Technique
from emulator.monitor.campaign import Campaign, Loops
from emulator.monitor.monitor import Exits
from emulator.monitor.twins import Dose
from emulator.program import assemble

Case = tuple[str, Technique, str | None, Exits, bool, int]
"""A machine, technique and scheme, who deals with exits, whether loops run in user mode, and steps."""

FEW: list[Case] = [
    ("pg1974", "plain", None, "compiled", False, 5_000),
    ("pg1974", "plain", None, "compiled", True, 100_000),
    ("s370", "plain", None, "seen", True, 100_000),
    ("s370", "plain", None, "compiled", True, 100_000),
    ("m68010", "plain", None, "seen", False, 3_000),
    ("m68010", "plain", None, "compiled", True, 100_000),
    ("m68000", "hybrid", None, "seen", True, 100_000),
    ("ka10", "hybrid", None, "seen", True, 100_000),
    ("rv64", "plain", "m_to_u", "compiled", False, 1_000_000),
]

MANY: list[Case] = [
    ("pg1974", "plain", None, "compiled", False, 200_000),
    ("pg1974", "plain", None, "compiled", True, 100_000_000),
    ("s370", "plain", None, "seen", False, 50_000_000),
    ("s370", "plain", None, "seen", True, 75_000_000),
    ("s370", "plain", None, "compiled", True, 75_000_000),
    ("m68010", "plain", None, "compiled", False, 500_000),
    ("m68010", "plain", None, "seen", True, 75_000_000),
    ("m68010", "plain", None, "compiled", True, 75_000_000),
    ("m68000", "hybrid", None, "compiled", True, 50_000_000),
    ("ka10", "hybrid", None, "seen", True, 10_000_000),
    ("ka10", "hybrid", None, "compiled", True, 50_000_000),
    ("rv64", "plain", "m_to_u", "compiled", False, 250_000_000),
    ("rv64", "plain", "s_to_u", "compiled", False, 250_000_000),
]


def loops(name: str, technique: Technique, scheme: str | None, exits: Exits, user: bool, seed: int) -> Loops:
    isa = spec(name)
    monitor = Monitor(plan_of(isa, technique, scheme), allocate, tier="regions", exits=exits)
    return Loops(isa, board_of(isa, None), monitor, seed, user=user)


def campaign(case: Case, seed: int) -> Campaign:
    *which, steps = case
    out = loops(*which, seed=seed).run(steps)
    assert out.difference is None
    assert out.steps >= steps
    return out


@pytest.mark.parametrize("case", FEW, ids=str)
def test_loops_run_alike(case: Case) -> None:
    out = campaign(case, seed=3)
    assert out.exits
    assert out.direct


def test_many_are_a_thousand_million() -> None:
    assert sum(case[-1] for case in MANY) > 10**9


@pytest.mark.slow
@pytest.mark.parametrize("case", MANY, ids=str)
def test_a_thousand_million_steps_show_no_difference(case: Case) -> None:
    out = campaign(case, seed=4)
    assert len(out.instructions) > len(spec(case[0]).instructions) // 4


def test_a_trace_exception_leaves_the_guest() -> None:
    """The guest's own T flag makes it: no trap of an instruction, and no interrupt of the host's devices."""
    running = loops("m68010", "plain", None, "seen", False, 0)
    text = "ori.w #0x8000, sr\nlea (0x3000).l, a7\nnop\nbra.w 0x1000"
    running.twins.begin(Dose({("sp", None): 0x3000}, assemble(spec("m68010"), text, 0x1000).cells))
    one, two = (machine.run(500) for machine in running.twins.machines)
    assert one == two
    assert not running.twins.parted().places
    assert running.twins.machines[1].counters.exits["breakpoint trace"] > 10


@pytest.mark.parametrize("exits", ["seen", "compiled"])
def test_an_overflow_interrupts_at_its_step(exits: Exits) -> None:
    """The flag is the guest's own, and the mask, which the monitor holds, is the record's."""
    running = loops("ka10", "hybrid", None, exits, True, 0)
    text = "again: addi 1, 1\njumpa 0, again"
    places = {("ac", 1): (1 << 35) - 100, ("apr.OVEN", None): 1}
    running.twins.begin(Dose(places, assemble(spec("ka10"), text, 0o10000).cells))
    for steps in (150, 1, 50, 1_000):
        one, two = (machine.run(steps) for machine in running.twins.machines)
        assert one == two
        assert not running.twins.parted().places
    counters = running.twins.machines[1].counters
    assert running.twins.machines[0].read("pi.PIH")
    assert counters.interpreted < 20
