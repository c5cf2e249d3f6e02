"""The short way of `popek run`, beside the parser's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from commands.running import Run
from popek import VALUED, plain_run

HERE = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})"
START = "import sys; from popek import main; sys.argv[0] = 'popek'; main()"


def parsed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Run | None:
    """What the parser makes of arguments; None if it refuses them, or if they are of another command."""
    seen: list[Run] = []

    def run(told: Run) -> int:
        seen.append(told)
        return 0

    monkeypatch.setattr("commands.machine.run_program", run)
    CliRunner().invoke(app, words, prog_name="popek")
    return seen[0] if seen else None


@pytest.mark.parametrize(
    "words",
    [
        "run rv64 a.elf",
        "run rv64 --mem 1M a.elf",
        "run --board bare rv64 a.elf --budget 0x10 --tier reference",
        "run rv64 a.elf --disk x.img --stats json",
    ],
)
def test_both_ways_read_the_same(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = plain_run(words.split())
    assert short is not None
    assert short == parsed(words.split(), monkeypatch)


@pytest.mark.parametrize("name", VALUED)
def test_every_option_of_the_short_way_is_one_of_the_parser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "rv64", "a.elf", f"--{name}", "1"]
    assert plain_run(words) == parsed(words, monkeypatch) != plain_run(words[:3])


@pytest.mark.parametrize(
    "words",
    [
        "",
        "check rv64",
        "run",
        "run rv64",
        "run rv64 a.elf b.elf",
        "run rv64 a.elf --mem",
        "run rv64 a.elf --mem --trace",
        "run rv64 a.elf --mem=1M",
        "run rv64 a.elf --trace",
        "run rv64 a.elf --profile",
        "run rv64 a.elf -h",
        "run rv64 a.elf --mem 1 --mem 2",
        "run -- rv64 a.elf",
        "run rv64 a.elf mem 1",
    ],
)
def test_the_rest_is_for_the_parser(words: str) -> None:
    assert plain_run(words.split()) is None


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{HERE}; {START}", *words],
        cwd=folder,
        env=os.environ | {"POPEK_CACHE": str(folder / "kept")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_errors_are_told_as_always(tmp_path: Path) -> None:
    for words in (["run", "rv64", "none.elf"], ["run", "nosuch", "none.elf"], ["run", "rv64", ".", "--mem", "x"]):
        short, long = command(tmp_path, *words), CliRunner().invoke(app, words, prog_name="popek")
        assert short.returncode == long.exit_code == 2
        assert short.stderr == long.stderr != ""


def test_what_a_short_run_imports(tmp_path: Path) -> None:
    """Once all is kept, neither the parsers nor what writes code."""
    (tmp_path / "a.hex").write_text("00000013 0000006f")
    words = ["run", "rv64", "a.hex", "--board", "bare", "--budget", "10"]
    assert command(tmp_path, *words).returncode == 3
    heavy = {"typer", "rich", "pydantic", "lark", "z3", "networkx", "emulator.codegen.lower", "emulator.reference"}
    look = f"import atexit, sys; atexit.register(lambda: print(*{heavy!r} & set(sys.modules))); " + START
    done = subprocess.run(
        [sys.executable, "-c", f"{HERE}; {look}", *words],
        cwd=tmp_path,
        env=os.environ | {"POPEK_CACHE": str(tmp_path / "kept")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == []
    assert done.returncode == 3


IN_A_CALLBACK = """
import signal
from emulator.machine.native import NativeMachine

once = iter([signal.SIGINT])

def interrupted(*_):
    for number in once:
        signal.raise_signal(number)
    return 0

NativeMachine._device_read = interrupted
"""
IN_AN_IMPORT = """
import signal

class Interrupted:
    def find_spec(self, name, *_):
        if name == "commands.running":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupted())
"""
BUSY = """
loop: lbu x6, 5(x5)
      jal x0, loop
"""


@pytest.mark.parametrize(("before", "told"), [(IN_A_CALLBACK, "\ninterrupted\n"), (IN_AN_IMPORT, "")])
def test_an_interrupt_at_an_odd_time(before: str, told: str, tmp_path: Path) -> None:
    """Where nobody can catch it, or nobody does yet."""
    (tmp_path / "busy.s").write_text(".org 0x80000000\nlui x5, 0x10000\n" + BUSY)
    ran = subprocess.run(
        [sys.executable, "-c", f"{HERE}; {before}\n{START}", "run", "rv64", "busy.s"],
        cwd=tmp_path,
        env=os.environ | {"POPEK_CACHE": str(tmp_path / "kept")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (130, told)


def test_streams_that_are_closed(tmp_path: Path) -> None:
    """What is written there is lost, and nothing else."""
    (tmp_path / "busy.s").write_text(".org 0x80000000\nlui x5, 0x10000\nsb x5, 0(x5)\n" + BUSY)
    closing = (
        "import os, sys; [os.close(i) for i in range(3)]; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    words = ["run", "rv64", "busy.s", "--budget", "100"]
    ran = subprocess.run(
        [sys.executable, "-c", closing, "-c", f"{HERE}; {START}", *words],
        cwd=tmp_path,
        env=os.environ | {"POPEK_CACHE": str(tmp_path / "kept")},
        timeout=60,
        check=False,
    )
    assert ran.returncode == 3
