"""Systems that are kept in the middle of a run, devices and all, and go on under another monitor."""

from __future__ import annotations

from pathlib import Path

import pytest
from monitored import GUESTS, monitor_of, plan_of, spec

from analyzer.allocation import allocate
from analyzer.errors import UsageError
from emulator.board import board_of
from emulator.devices.console import Console
from emulator.devices.virtio import SECTOR, MemoryDisk
from emulator.image import load_image
from emulator.interface import Exit, Reason
from emulator.monitor import Monitor
from emulator.saved import keep, kept
from emulator.system import System, assemble_system

BUDGET = 20_000
DISK = Path(__file__).with_name("disk.s")
CONTENT = b"".join(bytes((letter,)) * SECTOR for letter in b"DISK")

CASES: list[tuple[str, Path, str | None, tuple[int, ...]]] = [
    ("rv64", DISK, "m_to_u", (100, 110, 130, 150, 260)),  # a request is served, pending, claimed
    ("rv64", GUESTS / "os/rv64.s", "s_to_u", (1403,)),  # the timer is set
    ("s370", GUESTS / "os/s370.s", None, (357, 600)),
    ("m68010", GUESTS / "os/m68010.s", None, (1201,)),
]


def made(name: str, guest: Path, monitor: Monitor | None) -> tuple[System, Console]:
    isa, console = spec(name), Console(typed=b"unread")
    board = board_of(isa, None)
    image = load_image(isa, guest, board.load, None)
    make = None if monitor is None else monitor.make
    disk = MemoryDisk(CONTENT) if guest == DISK else None
    return assemble_system(isa, board, [image], console, ram=0x20000, disk=disk, tier="reference", make=make), console


def compiled(name: str, scheme: str | None, depth: int) -> Monitor:
    plan = plan_of(spec(name), "plain", scheme)
    return Monitor(plan, allocate, depth=depth, tier="interpreter", exits="compiled", check=False)


def ended(system: System) -> Exit:
    return system.machine.run(BUDGET)


@pytest.mark.parametrize(("name", "guest", "scheme", "stops"), CASES)
def test_a_run_migrates_with_its_devices(name: str, guest: Path, scheme: str | None, stops: tuple[int, ...]) -> None:
    """From the bare machine into a monitor, and from monitor to monitor: one transcript, one end, one state."""
    whole, said = made(name, guest, None)
    end = ended(whole)
    assert end.reason is Reason.STOPPED
    assert end.code == 0
    there, heard = made(name, guest, None)
    transcript = b""
    at = 0
    for number, stop in enumerate(stops):
        there.machine.run(stop - at)
        transcript, at = transcript + bytes(heard.transcript), stop
        monitor = monitor_of(spec(name), "plain", scheme) if number % 2 else compiled(name, scheme, 1)
        text = kept(there)
        there, heard = made(name, guest, monitor)
        keep(there, text)
        assert kept(there) == text
        assert there.machine.steps == stop
    assert ended(there).code == 0
    assert transcript + bytes(heard.transcript) == bytes(said.transcript) != b""
    assert there.machine.to_state() == whole.machine.to_state()
    assert (there.machine.steps, there.machine.retired) == (whole.machine.steps, whole.machine.retired)


@pytest.mark.parametrize("device", ["virtio-block", "plic"])
def test_a_device_that_is_left_behind_is_noticed(device: str) -> None:
    """Without its state the run ends otherwise."""
    there, _ = made("rv64", DISK, None)
    there.machine.run(110)
    text = kept(there)
    moved, heard = made("rv64", DISK, None)
    fresh = moved.keeping[device].kept()
    keep(moved, text)
    moved.keeping[device].keep(fresh)
    moved.machine.run(BUDGET)
    assert bytes(heard.transcript) != b"DISK"


def test_what_does_not_fit_is_refused() -> None:
    system, _ = made("rv64", DISK, None)
    other, _ = made("s370", GUESTS / "os/s370.s", None)
    for text in ("", "{}", "[1]", kept(other)):
        with pytest.raises(UsageError):
            keep(system, text)
