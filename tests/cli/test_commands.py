"""Every other command: what it does, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Popek

from analyzer.syntax.format import format_source

ROOT = Path(__file__).parents[2]
POPEK = [sys.executable, "-c", "from cli import app; app(prog_name='popek')"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_start_is_fast(option: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*POPEK, option], env=ENVIRONMENT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.4


def test_without_a_command(popek: Popek) -> None:
    assert popek().code == 2
    assert popek("frobnicate").code == 2


# -- explain -----------------------------------------------------------------------------------------------------------


def test_explain_a_code(popek: Popek) -> None:
    ran = popek("explain", "pg001")
    assert ran.code == 0
    assert ran.out.startswith("# PG001: a hole")


def test_explain_an_instruction(popek: Popek, holed: str) -> None:
    ran = popek("explain", holed, "setmap")
    assert ran.code == 0
    for expected in (
        "under scheme classic",
        "not privileged",
        "sensitive: control",
        "hole      yes",
        "as found",
        "PG001",
    ):
        assert expected in ran.out
    assert "innocuous" in popek("explain", holed, "add").out
    assert "trap only" in popek("explain", holed, "call").out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["PG999"], "there is no diagnostic PG999"),
        (["what"], "explain what?"),
        (["tiny.isa", "stmap"], "did you mean setmap"),
        (["tiny.isa", "set map"], "did you mean setmap"),
        (["rv64", "satp"], 'did you mean "csrrw satp" or "csrrs satp"'),
        (["rv64", "csrrw nix"], "rv64 has no instruction csrrw nix"),
        (["nowhere", "add"], "there is no spec nowhere\n  hint: `popek list` names"),
        (["rv46", "add"], "did you mean rv64?"),
    ],
)
def test_explain_what(popek: Popek, tiny: str, args: list[str], told: str) -> None:
    ran = popek("explain", *args)
    assert ran.code == 2
    assert told in ran.err


# -- repair, intercepts, graph, replay ---------------------------------------------------------------------------------


def test_repair(popek: Popek, holed: str, tmp_path: Path) -> None:
    ran = popek("repair", holed, "--verify")
    assert ran.code == 0
    assert "before setmap { trap privileged if mode != super }" in ran.out
    assert "Theorem 1 holds" in ran.err
    assert popek("repair", holed, "-o", "repaired.isa").out == ""
    assert (tmp_path / "repaired.isa").read_text() == ran.out


def test_intercepts(popek: Popek, tiny: str) -> None:
    ran = popek("intercepts", tiny)
    assert ran.code == 2
    assert "no bits that the monitor may choose" in ran.err


INTERCEPTED = """
state intercept catch : bool reset 0
before setmap { trap privileged if catch and M == user }
scheme caught {
  run super as user, user as user
  monitor super
  choose catch
}
"""


def test_intercepts_that_catch(popek: Popek, holed: str, tmp_path: Path) -> None:
    with (tmp_path / holed).open("a") as file:
        file.write(INTERCEPTED)
    ran = popek("intercepts", holed)
    assert (ran.code, ran.out) == (0, "  catch catches setmap\nholed, scheme caught: set catch (all others 0)\n")
    assert popek("intercepts", holed, "--scheme", "classic").code == 2
    (tmp_path / holed).write_text((tmp_path / holed).read_text().replace("before setmap", "before settimer"))
    ran = popek("intercepts", holed, "--scheme", "caught")
    assert (ran.code, ran.out) == (1, "holed, scheme caught: no setting catches setmap\n")


def test_graph(popek: Popek, tiny: str) -> None:
    ran = popek("graph", tiny, "--ascii")
    assert ran.code == 0
    assert ran.out == (
        "  super -> user  by return\n"
        "  user -> super  by trap memory, privileged, call\n"
        "\n"
        "tiny: 2 ways between modes, no unguarded escalation\n"
    )
    dot = popek("graph", tiny, "--dot")
    assert dot.code == 0
    assert '"super" -> "user" [label="return"]' in dot.out


def test_an_escalation(popek: Popek, tiny: str, tmp_path: Path) -> None:
    path = tmp_path / tiny
    path.write_text(
        path.read_text().replace('instr "call" = 0x05 _:8 { trap call }', 'instr "call" = 0x05 _:8 { M = super }')
    )
    ran = popek("graph", tiny)
    assert ran.code == 1
    assert "PG003 from user to super without a trap: call" in ran.out


@pytest.mark.parametrize(
    ("at", "kind"),
    [
        ("phys[4]", "gate "),
        ("phys[zext(ra.code) + 4]", "gate "),
        ("if r[0] == 0 then phys[4] else timer", "gate "),
        ("phys[4] + ra", ""),
        ("mem[4]", ""),
        ("if r[0] == 0 then phys[4] else pc", ""),
        ("pc", ""),
    ],
)
def test_gates(popek: Popek, tiny: str, tmp_path: Path, at: str, kind: str) -> None:
    """A gate arrives where state says that is not the guest's, whatever the guest holds; it may choose which."""
    path = tmp_path / tiny
    with path.open("a") as file:
        file.write(f'instr "enter {{ra}}" = 0x20 ra _:6 {{ let to = {at}; M = super; pc = to }}\n')
    ran = popek("graph", tiny, "--ascii")
    assert f"  user -> super  by {kind}enter\n" in ran.out
    assert ("PG003" in ran.out) == (kind == "")
    assert ran.code == (0 if kind else 1)


def test_replay(popek: Popek, holed: str) -> None:
    ran = popek("replay", holed, "setmap")
    assert ran.code == 0
    assert "mode super" in ran.out
    assert "mode user" in ran.out
    assert ran.out.endswith("both runs went as claimed\n")


def test_the_command_that_is_printed_replays(popek: Popek, holed: str, tmp_path: Path) -> None:
    """Whatever the file is called, and however it was named: the line can be copied as it stands."""
    (tmp_path / "two words").mkdir()
    spec = tmp_path / "two words" / "an other; name.isa"
    (tmp_path / holed).rename(spec)
    with spec.open("a") as file:
        file.write("scheme second { run super as user, user as user; monitor super; expect not_virtualizable }\n")
    for given in (str(spec.relative_to(tmp_path)), str(spec)):
        for scheme in ("classic", "second"):
            told = popek("check", given, "--scheme", scheme).out
            (line,) = (line for line in told.splitlines() if line.startswith("    replay "))
            program, *words = shlex.split(line.removeprefix("    replay "))
            assert (program, words[:3]) == ("popek", ["replay", given, "setmap"])
            ran = popek(*words)
            assert ran.code == 0
            assert f"under scheme {scheme}" in ran.out
            assert ran.out.endswith("both runs went as claimed\n")
    assert shlex.split(line.removeprefix("    replay "))[1:] in shells(
        popek("check", given, "--scheme", "all", "-o", "json").out
    )


def shells(report: str) -> list[list[str]]:
    """The words of the commands in a report, without the program."""
    return [
        shlex.split(hole["witness"]["replay"])[1:]
        for scheme in json.loads(report)["schemes"]
        for hole in scheme["holes"]
    ]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["add"], "add has no hole under scheme classic"),
        (["nix"], "no instruction nix"),
        (["setmap", "--case", "x"], "setmap has no case x"),
        (["setmap", "--scheme", "x"], "no scheme x"),
    ],
)
def test_nothing_to_replay(popek: Popek, holed: str, args: list[str], told: str) -> None:
    ran = popek("replay", holed, *args)
    assert ran.code == 2
    assert told in ran.err


# -- fmt, asm, disasm, new ---------------------------------------------------------------------------------------------


def test_fmt(popek: Popek, tiny: str, tmp_path: Path) -> None:
    path = tmp_path / tiny
    neat = path.read_text()
    path.write_text(neat.replace("trap call : call", "trap   call:call"))
    untidy = path.read_text()
    assert popek("fmt", "--check", tiny).code == 1
    assert "-trap   call:call\n+trap call : call\n" in popek("fmt", "--diff", tiny).out
    assert path.read_text() == untidy
    assert popek("fmt", tiny).code == 0
    assert path.read_text() == neat
    assert popek("fmt", "--check", tiny).code == 0
    assert popek("fmt", "-", input=untidy).out == neat


def test_fmt_of_what_is_no_spec(popek: Popek, broken: str) -> None:
    assert popek("fmt", broken).code == 2
    assert popek("fmt", "nowhere.isa").code == 2


def test_fmt_of_several(popek: Popek, broken: str, tiny: str, tmp_path: Path) -> None:
    """Those that can be are formatted, and all that is wrong is told."""
    (tmp_path / "binary.isa").write_bytes(b"isa x\n\xff")
    path = tmp_path / tiny
    neat = path.read_text()
    path.write_text(neat.replace("trap call : call", "trap   call:call"))
    ran = popek("fmt", broken, "binary.isa", tiny)
    assert ran.code == 2
    assert path.read_text() == neat
    assert "--> binary.isa:2:1" in ran.err
    assert f"--> {broken}:" in ran.err
    assert ran.err.endswith("3 checked, 1 changed, 2 with errors\n")


def test_asm_and_disasm(popek: Popek, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "p.s").write_text("start: add r1, r2\n  .org 4\n  jump (r3)\n")
    listing = popek("asm", tiny, "p.s", "--origin", "0x10")
    assert listing.code == 0
    assert "000010  0160" in listing.out
    units = popek("asm", tiny, "p.s", "--hex")
    assert units.out == "@000000 0160\n@000004 04c0\n"
    back = popek("disasm", tiny, "-", input=units.out)
    assert back.code == 0
    assert [line.split("  ")[-1].strip() for line in back.out.splitlines()] == ["add r1, r2", "jump (r3)"]


@pytest.mark.parametrize(
    ("program", "told"),
    [("frob r1\n", "PG501"), ("add r1\n", "PG502"), (".bits 3, 1\n", "PG505"), ("add r1, r2\nx: x:\n", "PG50")],
)
def test_asm_of_what_is_no_program(popek: Popek, tiny: str, tmp_path: Path, program: str, told: str) -> None:
    (tmp_path / "p.s").write_text(program)
    ran = popek("asm", tiny, "p.s")
    assert ran.code == 2
    assert told in ran.err
    assert "--> p.s:" in ran.err


def test_disasm_of_what_is_no_instruction(popek: Popek, tiny: str) -> None:
    ran = popek("disasm", tiny, "ffff", "0160")
    assert ran.code == 1
    assert "; no instruction" in ran.out
    assert "add r1, r2" in ran.out
    assert popek("disasm", tiny, "xyz").code == 2
    assert popek("disasm", tiny, "01601").code == 2
    assert popek("disasm", tiny, "0160", "--origin", "-1").code == 2
    nothing = popek("disasm", tiny, "-", input="")
    assert (nothing.code, nothing.out) == (2, "")
    assert "nothing to disassemble" in nothing.err


def test_new(popek: Popek, tmp_path: Path) -> None:
    assert popek("new", "mine").code == 0
    text = (tmp_path / "mine.isa").read_text()
    assert text.startswith("isa mine ")
    assert format_source(text) == text
    assert popek("new", "mine").code == 2
    assert popek("new", "mine", "--force").code == 0
    assert popek("new", "two words").code == 2
    assert popek("new", "../out").code == 2
    assert popek("new", "if").code == 2
    assert "comes with popek" in popek("new", "ia32").err
    assert not (tmp_path / "ia32.isa").exists()


# -- whatever goes wrong -----------------------------------------------------------------------------------------------


def test_an_internal_error_is_short(popek: Popek, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ZeroDivisionError("ouch")

    monkeypatch.setattr("commands.verdict.load", fails)
    ran = popek("check", tiny)
    assert (ran.code, ran.out) == (70, "")
    assert ran.err.startswith("internal error, please report: ZeroDivisionError: ouch\n")


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("delay", [0.3, 1, 3])
def test_interrupted(jobs: str, delay: float) -> None:
    process = subprocess.Popen(
        [*POPEK, "check", "rv64", "-j", jobs, "--no-cache"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


IN_A_DESTRUCTOR = """
import os, signal, time
import cli
import commands.verdict

class Fragile:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)

def load(name):
    Fragile()
    time.sleep(30)

commands.verdict.load = load
cli.app(["check", "pg1974"])
"""

AT_THE_START = """
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
import cli
"""

AT_THE_END = """
import atexit, signal
import cli

atexit.register(signal.raise_signal, signal.SIGINT)
cli.app(["explain", "PG001"])
"""


@pytest.mark.parametrize(
    ("program", "told"), [(IN_A_DESTRUCTOR, "\ninterrupted\n"), (AT_THE_START, ""), (AT_THE_END, "")]
)
def test_interrupted_at_an_odd_time(program: str, told: str) -> None:
    """Where nobody can catch it, or nobody does yet, or any more."""
    ran = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, timeout=20)
    assert (ran.returncode, ran.stderr) == (130, told)


@pytest.mark.parametrize(
    "command", [["explain", "PG001"], ["list"], ["check", "pg1974"], ["check", "pg1974", "-o", "json"]]
)
def test_a_reader_that_has_seen_enough(command: list[str]) -> None:
    """What nobody reads is no finding."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*POPEK, *command], env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")
