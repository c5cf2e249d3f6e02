"""OpenSBI, as the distribution builds it, boots and starts a supervisor program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from specs import spec

from emulator.devices.console import Console
from emulator.image import assembled
from emulator.interface import Reason
from emulator.run import Options, run

FIRMWARE = Path("/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.elf")
PAYLOAD = Path(__file__).parents[2] / "benchmarks/guests/sbi/payload.s"
START = 0x8020_0000


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    """The supervisor program as a raw image."""
    program = assembled(spec("rv64"), PAYLOAD, PAYLOAD.read_bytes(), START)
    path = tmp_path / "payload.bin"
    path.write_bytes(bytes(program.cells.get(at, 0) for at in range(START, max(program.cells) + 1)))
    return path


@pytest.mark.slow
def test_it_boots_into_a_supervisor_program(payload: Path) -> None:
    if not FIRMWARE.exists() and "CI_ORACLES" in os.environ:
        pytest.fail("OpenSBI is not installed")
    if not FIRMWARE.exists():
        pytest.skip("OpenSBI is not installed")
    console = Console()
    outcome = run(spec("rv64"), FIRMWARE, Options(budget=20_000_000, loads=((payload, START),)), console)
    text = console.transcript.decode().replace("\r", "")
    assert outcome.ended.reason is Reason.STOPPED, outcome.sentence()
    assert outcome.code == 0
    assert "OpenSBI v" in text
    assert "Platform Name             : popek,virt" in text
    assert "Boot HART Base ISA        : rv64imac" in text
    assert text.endswith("Hello from supervisor mode\ntick\ntick\ntick\nGood bye\n")
