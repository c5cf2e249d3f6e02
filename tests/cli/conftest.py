"""Commands run in this process, and a machine to run them on: the starter spec, whole or with a check missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analyzer.catalog import starter
from cli import app

CHECK_OF_SETMAP = "  trap privileged if M == user  // remove this line, and `popek check` shows a hole\n"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Popek = Callable[..., Ran]


@pytest.fixture
def popek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Popek:
    """Runs a command in a folder of its own: `popek("check", "tiny.isa")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("POPEK_DEBUG", raising=False)

    def run(*args: str, input: str | None = None) -> Ran:
        result = CliRunner().invoke(app, list(args), input=input, prog_name="popek")
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """The starter: virtualizable."""
    (tmp_path / "tiny.isa").write_text(starter("tiny"), encoding="utf-8")
    return "tiny.isa"


@pytest.fixture
def holed(tmp_path: Path) -> str:
    """The starter without the check of `setmap`, and without the expectations that this breaks."""
    text = starter("holed")
    assert CHECK_OF_SETMAP in text
    text = text.replace(CHECK_OF_SETMAP, "")
    head, _, tail = text.rpartition("expect privileged control\n")
    tail = tail.replace("expect virtualizable", "expect not_virtualizable")
    (tmp_path / "holed.isa").write_text(head + "expect unprivileged control hole\n" + tail, encoding="utf-8")
    return "holed.isa"


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A spec with two errors."""
    text = starter("broken").replace("ra = ra + rb", "ra = ra + rx").replace("pc = ra }", "pc = rb[3 }")
    (tmp_path / "broken.isa").write_text(text, encoding="utf-8")
    return "broken.isa"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache file of this test run, for commands in this process and in those that it starts."""
    path = tmp_path_factory.mktemp("cache") / "results.sqlite"
    before = os.environ.get("POPEK_CACHE")
    os.environ["POPEK_CACHE"] = str(path)
    yield path
    if before is None:
        del os.environ["POPEK_CACHE"]
    else:
        os.environ["POPEK_CACHE"] = before


@pytest.fixture
def family(tmp_path: Path) -> str:
    """The starter with three ways to set the map, of which only the first has its check; and with a second scheme."""
    head, _, tail = starter("family").partition('instr "setmap')
    _, _, tail = tail.partition("// Everything runs")
    rows = """table Way { z | way | safe
            "one" | 00 | 1
            "two" | 01 | 0
            "three" | 10 | 0 }
for Way { instr setmap "map {z} {ra}, {rb}" = 0x12 ra rb way _:2 {
  trap privileged if M == user and safe == 1
  base = ra
  bound = rb
} }
"""
    second = "scheme second { run super as user, user as user; monitor super; expect not_virtualizable }\n"
    tail = tail.replace("expect virtualizable", "expect not_virtualizable")
    (tmp_path / "family.isa").write_text(f"{head}{rows}//{tail}{second}", encoding="utf-8")
    return "family.isa"
