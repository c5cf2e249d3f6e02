"""What the tests of the monitor share: plans, and systems on the bare machine and under it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from analyzer import ir, load
from analyzer.allocation import allocate
from emulator.board import board_of
from emulator.devices.console import Console
from emulator.image import load_image
from emulator.interface import Machine, Reason
from emulator.machine import Tier
from emulator.monitor import Monitor, Plan, Technique, generate
from emulator.system import System, assemble_system

GUESTS = Path(__file__).parents[2] / "benchmarks/guests"

BUDGET = 20_000
"""Steps: more than any of `SYSTEMS` takes."""

RAM = 0x20000

SYSTEMS: list[tuple[str, str, Technique, str | None]] = [
    ("pg1974", "os/pg1974.s", "plain", None),
    ("m68010", "os/m68010.s", "plain", None),
    ("m68000", "os/m68010.s", "hybrid", None),
    ("s370", "os/s370.s", "plain", None),
    ("rv64", "os/rv64.s", "plain", "m_to_u"),
    ("rv64", "os/rv64.s", "plain", "s_to_u"),
]
"""Operating systems whose exits generated code can deal with: machine, guest, technique, scheme."""

spec = cache(load)
"""Each spec is loaded once."""


def plan_of(isa: ir.Isa, technique: Technique = "plain", scheme: str | None = None) -> Plan:
    """A plan without asking for the verdict, which takes a while; what it says is tested elsewhere."""
    return generate(isa, None, scheme, technique, unsafe=True)


def monitor_of(
    isa: ir.Isa,
    technique: Technique = "plain",
    scheme: str | None = None,
    depth: int = 1,
    tier: Tier = "reference",
) -> Monitor:
    """A monitor that checks everything, with room for a neighbor: the end of a machine is not that of memory."""
    return Monitor(plan_of(isa, technique, scheme), allocate, depth=depth, room=2, tier=tier)


def system(isa: ir.Isa, guest: str, monitor: Monitor | None = None, ram: int = 0x10000) -> tuple[System, Console]:
    """A guest on its board: bare on the reference tier, or in a virtual machine."""
    board, console = board_of(isa, None), Console()
    image = load_image(isa, GUESTS / guest, board.load, None)
    if monitor is None:
        return assemble_system(isa, board, [image], console, ram=ram, tier="reference"), console
    return assemble_system(isa, board, [image], console, ram=ram, make=monitor.make), console


def agree_until_the_end(one: Machine, two: Machine, random: Random, longest: int) -> None:
    """Runs both in stretches of less than `longest` steps until the guest stops; after each they are in one state."""
    while True:
        stretch = random.randrange(1, longest)
        ended = one.run(stretch)
        assert two.run(stretch) == ended
        assert two.to_state() == one.to_state()
        assert two.retired == one.retired
        if ended.reason is not Reason.BUDGET:
            break
    assert ended.reason is Reason.STOPPED
