"""`popek vmm`, `popek vmm prove` and `popek validate`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Popek
from golden import assert_golden

HERE = Path(__file__).parent
OS = HERE.parents[1] / "benchmarks/guests/os"
HELLO = str(OS / "pg1974.s")
SLOW = ("--tier", "reference")  # a few steps need no compiler
SAID = "1axy2b!!3cde\ndone\n"


def test_a_program_under_the_monitor(popek: Popek) -> None:
    ran = popek("vmm", "pg1974", HELLO, *SLOW)
    assert (ran.code, ran.out) == (0, SAID)
    assert ran.err == (
        "the program ended with code 0\n"
        "plain monitor, scheme classic; resource control checked at every access and exit\n"
        "2083 steps: 96.78 % direct, 43 emulated, 24 reflected, 0 interpreted; 67 exits"
        " (25 privileged privileged, 22 call svc, 20 memory memory)\n"
    )


def test_run_may_be_named_and_options_may_come_first(popek: Popek) -> None:
    ran = popek("vmm", "run", "--quiet", "pg1974", HELLO, *SLOW)
    assert (ran.code, ran.out, ran.err) == (0, SAID, "")
    assert popek("vmm", "--quiet", "pg1974", HELLO, *SLOW) == ran


def test_on_generated_code(popek: Popek) -> None:
    ran = popek("vmm", "pg1974", HELLO)
    assert (ran.code, ran.out) == (0, SAID)
    assert "resource control: held state checked at every exit\n" in ran.err
    assert "2083 steps: 96.78 % direct, 43 emulated, 24 reflected" in ran.err


def test_exits_in_generated_code(popek: Popek) -> None:
    ran = popek("vmm", "pg1974", HELLO, "--no-check", "--stats", "json")
    found = json.loads(ran.err)
    assert (ran.code, ran.out, found["exits"]) == (0, SAID, "generated code")
    (counters,) = found["monitors"]
    assert (counters["emulated"], counters["reflected"]) == (43, 24)


def test_a_run_is_kept_and_goes_on_elsewhere(popek: Popek, tmp_path: Path) -> None:
    file = str(tmp_path / "kept")
    first = popek("vmm", "-q", "pg1974", HELLO, "--budget", "700", "--save", file, *SLOW)
    assert first.code == 3
    rest = popek("vmm", "-q", "pg1974", HELLO, "--restore", file, "--depth", "2", *SLOW)
    assert (rest.code, first.out + rest.out) == (0, SAID)
    assert first.out
    assert rest.out
    wrong = popek("vmm", "-q", "pg1974", HELLO, "--restore", HELLO, *SLOW)
    assert wrong.code == 2
    assert "kept" in wrong.err


def test_depth_and_stats(popek: Popek) -> None:
    ran = popek("vmm", "pg1974", HELLO, "--depth", "2", "--stats", "json", "--no-check", *SLOW)
    found = json.loads(ran.err)
    assert (ran.code, ran.out) == (0, SAID)
    assert (found["reason"], found["technique"], found["scheme"]) == ("stopped", "plain", "classic")
    assert (found["resource_control"], found["host"]) == ("resource control not checked", "reference")
    outer, inner = found["monitors"]
    assert inner["routines"] == {"lpsw": 24, "st": 19}
    assert outer["steps"] >= inner["direct"] > 0


def test_a_trace_of_exits(popek: Popek) -> None:
    ran = popek("vmm", "pg1974", HELLO, "--trace", "--budget", "80", *SLOW)
    assert ran.code == 3
    assert ran.err.splitlines()[:3] == [
        "      13  s  000056  privileged privileged  emulated               lpsw 104",
        "      18  u  000004  call svc               reflected              svc 1",
        "      76  s  000045  memory memory          emulated               st r1, 0(r2)",
    ]
    nested = popek("vmm", "pg1974", HELLO, "--trace", "--depth", "2", "--budget", "20", *SLOW).err.splitlines()
    assert nested[:2] == [
        "1        13  u  000056  privileged privileged  reflected              lpsw 104",
        "2        13  s  000056  privileged privileged  emulated               lpsw 104",
    ]


def test_what_the_verdict_forbids(popek: Popek) -> None:
    ran = popek("vmm", "pg1974-rdmode", HELLO)
    assert (ran.code, ran.out) == (1, "")
    assert "error[PG530]: there is no plain monitor for pg1974-rdmode under classic" in ran.err
    assert "Theorem 1 is violated (rdmode)" in ran.err
    assert "--technique hybrid" in ran.err
    for way in (("--technique", "hybrid"), ("--unsafe",)):
        assert popek("vmm", "pg1974-rdmode", HELLO, *way, *SLOW).out == SAID


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pg1974", "nothing.s"), "nothing.s"),
        (("pg1974", HELLO, "--scheme", "clasic"), "it has classic"),
        (("pg1974", HELLO, "--technique", "fast"), "there are plain, hybrid"),
        (("pg1974", HELLO, "--tier", "fast"), "there is no tier fast"),
        (("pg1974", HELLO, "--stats", "xml"), "there are no stats xml"),
        (("pg1974", HELLO, "--mem", "16"), "PG513"),
        (("pg1974",), "program"),
        (("nothing", HELLO), "nothing"),
    ],
)
def test_wrong_usage(popek: Popek, arguments: tuple[str, ...], told: str) -> None:
    ran = popek("vmm", *arguments)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_prove(popek: Popek) -> None:
    ran = popek("vmm", "prove", "pg1974")
    assert ran.code == 0
    header, *rest = ran.out.splitlines(keepends=True)
    assert re.fullmatch(r"popek \S+, z3 \S+, rlimit \d+, spec pg1974 [0-9a-f]{16}\n", header)
    assert_golden(HERE / "golden/pg1974.proof.txt", "".join(rest))


def test_a_proof_that_fails(popek: Popek) -> None:
    ran = popek("vmm", "prove", "pg1974-rdmode", "--only", "rdmode", "--table")
    assert ran.code == 1
    assert "PG534 direct rdmode: a hole\n" in ran.out
    assert "      ✔ rdmode\n" in ran.out
    assert "      ✘ rdmode\n" in ran.out


def test_a_proof_that_is_open(popek: Popek) -> None:
    ran = popek("vmm", "prove", "pg1974", "--only", "add", "--rlimit", "1")
    assert ran.code == 3
    assert "PG901" in ran.out


def test_a_proof_as_data(popek: Popek, tmp_path: Path) -> None:
    ran = popek("vmm", "prove", "pg1974", "-o", "json:proof.json", "-o", "human", "--ascii")
    assert ran.code == 0
    assert ran.out.isascii()
    found = json.loads((tmp_path / "proof.json").read_text(encoding="utf-8"))
    assert (found["schema"], found["spec"], found["scheme"]) == (1, "pg1974", "classic")
    assert {o["status"] for o in found["obligations"]} == {"holds"}
    assert [p["premise"] for p in found["premises"]] == [f"P{n}" for n in range(1, 10)]


def test_validate(popek: Popek) -> None:
    ran = popek("validate", "pg1974", "--guests", "60")
    assert ran.code == 0
    assert_golden(HERE / "golden/pg1974.validate.txt", ran.out)


def test_a_difference(popek: Popek) -> None:
    ran = popek("validate", "pg1974-rdmode", "--unsafe")
    assert ran.code == 1
    assert_golden(HERE / "golden/pg1974-rdmode.validate.txt", ran.out)
    assert popek("validate", "pg1974-rdmode").code == 1  # refused
    assert popek("validate", "pg1974-rdmode", "--technique", "hybrid", "--guests", "20").code == 0


def test_a_validation_as_data(popek: Popek) -> None:
    found = json.loads(popek("validate", "pg1974", "--guests", "5", "--depth", "2", "-o", "json").out)
    assert (found["spec"], found["depth"], found["guests"], found["divergences"]) == ("pg1974", 2, 5, [])
    assert set(found["coverage"]) == {"completed", "trapped"}


@pytest.mark.parametrize("arguments", [("-o", "xml"), ("--guests", "0"), ("--technique", "none")])
def test_wrong_validation(popek: Popek, arguments: tuple[str, ...]) -> None:
    assert popek("validate", "pg1974", *arguments).code == 2
