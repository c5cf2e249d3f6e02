"""`popek run`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Popek

ASM = Path(__file__).parents[2] / "benchmarks/guests/asm"


HELLO = ("run", "pg1974", "hello.s", "--tier", "reference")  # a few steps need no compiler


@pytest.fixture(autouse=True)
def hello(tmp_path: Path) -> None:
    (tmp_path / "hello.s").write_bytes((ASM / "pg1974.s").read_bytes())


def test_what_the_program_prints(popek: Popek) -> None:
    ran = popek(*HELLO)
    assert (ran.code, ran.out, ran.err) == (0, "Hello from pg1974\n", "")


def test_the_exit_code_is_the_programs(popek: Popek) -> None:
    assert popek("run", "m68000", str(ASM / "m68000.s"), "--tier", "reference").code == 7


def test_the_budget(popek: Popek) -> None:
    ran = popek(*HELLO, "--budget", "0x28")
    assert (ran.code, ran.out) == (3, "Hello f")
    assert ran.err == "the budget is spent (pc 0x15, mode s)\n"


def test_stats(popek: Popek) -> None:
    found = json.loads(popek(*HELLO, "--stats", "json").err)
    assert found["reason"] == "stopped"
    assert (found["code"], found["steps"], found["retired"], found["mode"]) == (0, 97, 97, "s")


def test_a_trace(popek: Popek) -> None:
    ran = popek(*HELLO, "--trace", "--budget", "2")
    assert ran.err.splitlines()[:2] == [
        "       1  s  000010  li r1, 0",
        "       2  s  000011  li r2, 1  ; r[2] = 0x1",
    ]


def test_a_profile(popek: Popek) -> None:
    ran = popek("run", "m68000", str(ASM / "m68000.s"), "--tier", "reference", "--profile")
    assert ran.code == 7
    assert ran.err.startswith("profile: ")
    found = json.loads(popek(*HELLO, "--profile", "--stats", "json").err)
    assert found["profile"] == [], "it ends before the first look"
    refused = popek(*HELLO, "--profile", "--trace")
    assert (refused.code, "has no profile" in refused.err) == (2, True)


def test_a_spec_without_a_board_runs_in_bare_memory(popek: Popek, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "p.s").write_text("add r1, r2\n", encoding="utf-8")
    ran = popek("run", tiny, "p.s", "--budget", "1")
    assert ran.code == 3


def test_memory_in_units_with_a_letter(popek: Popek) -> None:
    assert popek(*HELLO, "--mem", "2K").code == 0
    ran = popek(*HELLO, "--mem", "16")
    assert ran.code == 2
    assert "PG513" in ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing.s",), "nothing.s"),
        (("hello.s", "--board", "virt"), "PG521"),
        (("hello.s", "--board", "none"), "there is no board none"),
        (("hello.s", "--board", "none.toml"), "none.toml"),
        (("hello.s", "--format", "coff"), "there is no format coff"),
        (("hello.s", "--stats", "xml"), "there are no stats xml"),
        (("hello.s", "--budget", "much"), "muc"),
        (("hello.s", "--mem", "0"), "memory"),
        (("hello.s", "--load", "hello.s@zz"), "zz"),
        (("hello.s", "--disk", "none.img"), "none.img"),
        (("hello.s", "--format", "elf"), "PG511"),
        (("hello.s", "--tier", "fast"), "there is no tier fast"),
    ],
)
def test_wrong_usage(popek: Popek, arguments: tuple[str, ...], told: str) -> None:
    ran = popek("run", "pg1974", *arguments)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_errors_in_a_program_are_shown_where_they_are(popek: Popek, tmp_path: Path) -> None:
    (tmp_path / "p.s").write_text("l: foo r1\n  add r1, r9\n", encoding="utf-8")
    ran = popek("run", "pg1974", "p.s")
    assert ran.code == 2
    assert "p.s:1:4" in ran.err
    assert "p.s:2:3" in ran.err
    assert "2 errors" in ran.err
