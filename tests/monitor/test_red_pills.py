"""Red pills: holes as programs, which print REAL on the machine and VIRTUAL under a plain monitor that is forced.

The programs are brewed from the witnesses, and then run like any other; the instruction in them is the one that the
analysis names.  A hybrid monitor interprets it, where the hole is in supervisor mode alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from monitored import monitor_of, plan_of, spec, system

from analyzer import Options, analyze
from analyzer.allocation import allocate
from analyzer.errors import UsageError
from analyzer.report import Hole, SchemeReport
from emulator.board import board_of
from emulator.interface import Reason
from emulator.monitor import Monitor
from emulator.monitor.pills import Brewer, Pill
from emulator.replay import ReferenceReplayer

BUDGET = 2_000

RAM = 1 << 14

SILENT = {"halt", "sfence.vma"}
"""What no program sees: the machine stops under both; and what a model has of caches is not to be read."""


def report_of(name: str, scheme: str | None, only: tuple[str, ...] = ()) -> SchemeReport:
    isa = spec(name)
    options = Options(witnesses="each", graph=False, only=only, schemes=(isa.scheme(scheme).name,))
    return analyze(isa, options, ReferenceReplayer()).schemes[0]


def brewer(name: str, scheme: str | None) -> Brewer:
    isa = spec(name)
    return Brewer(isa, board_of(isa, None), Monitor(plan_of(isa, scheme=scheme), allocate, check=False))


def forced(name: str, scheme: str | None) -> Monitor:
    return Monitor(plan_of(spec(name), scheme=scheme), allocate, check=False)


def said(name: str, pill: Pill, folder: Path, monitor: Monitor | None) -> bytes:
    path = folder / pill.file
    path.write_text(pill.program, encoding="utf-8")
    guest, console = system(spec(name), str(path), monitor, ram=RAM)
    assert guest.machine.run(BUDGET).reason is Reason.STOPPED
    return bytes(console.transcript)


def swallowed(name: str, scheme: str | None, holes: tuple[Hole, ...], folder: Path) -> set[str]:
    """Brews a pill for each hole, and runs it as a program of its own; the holes that have none."""
    making = brewer(name, scheme)
    silent = set()
    for hole in holes:
        pill = making.brew(hole)
        if pill is None:
            silent.add(hole.instruction)
            continue
        assert said(name, pill, folder, None) == b"REAL"
        assert said(name, pill, folder, forced(name, scheme)) == b"VIRTUAL"
    return silent


SAMPLE = [
    ("pg1974-rdmode", None, "rdmode"),
    ("pg1974-rdbase", None, "rdbase"),
    ("pg1974-lra", None, "lra"),
    ("pg1974-jrst1", None, "jrst1"),
    ("pg1974-nopr", None, "nopr"),
    ("pg1974-decb", None, "decb"),
    ("m68000", None, "move_from_sr"),
    ("ka10", None, "jsp"),
    ("ia32", None, "sgdt"),
]


@pytest.mark.parametrize(("name", "scheme", "instruction"), SAMPLE)
def test_a_hole_tells_a_plain_monitor_from_the_machine(
    name: str, scheme: str | None, instruction: str, tmp_path: Path
) -> None:
    holes = report_of(name, scheme, (instruction,)).holes
    assert [hole.instruction for hole in holes] == [instruction]
    assert swallowed(name, scheme, holes, tmp_path) == set()


@pytest.mark.parametrize("variant", ["rdmode", "jrst1", "nopr"])
def test_a_hybrid_monitor_does_not_show(variant: str, tmp_path: Path) -> None:
    """The programs run in supervisor mode, which it interprets."""
    name = f"pg1974-{variant}"
    (hole,) = report_of(name, None, (variant,)).holes
    pill = brewer(name, None).brew(hole)
    assert pill is not None
    assert said(name, pill, tmp_path, monitor_of(spec(name), "hybrid")) == b"REAL"


def test_what_no_program_sees_has_none(tmp_path: Path) -> None:
    """HALT takes the whole machine: the hole is there, and nobody who could say so."""
    holes = report_of("pg1974-halt", None, ("halt",)).holes
    assert swallowed("pg1974-halt", None, holes, tmp_path) == {"halt"}


ALL = [("ia32", None, 51), ("ka10", None, 6), ("m68000", None, 1), ("rv64", "s_in_s_open", 7)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scheme", "count"), ALL)
def test_every_hole_is_a_program(name: str, scheme: str | None, count: int, tmp_path: Path) -> None:
    holes = report_of(name, scheme).holes
    assert len(holes) == count
    assert swallowed(name, scheme, holes, tmp_path) <= SILENT


def test_a_board_that_does_not_speak() -> None:
    isa = spec("pg1974")
    with pytest.raises(UsageError, match="does not say how a program speaks"):
        Brewer(isa, board_of(isa, "bare"), forced("pg1974", None))
