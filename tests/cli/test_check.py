"""`popek check`: verdicts, formats, and exit codes that do not depend on the format."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Popek

from analyzer.render.json import from_json

FORMATS = ("human", "json", "markdown", "svg")


@pytest.mark.parametrize("format_", FORMATS)
def test_as_expected(popek: Popek, tiny: str, format_: str) -> None:
    ran = popek("check", tiny, "--output", format_, "-j", "1")
    assert (ran.code, ran.err) == (0, "")
    assert "tiny" in ran.out


@pytest.mark.parametrize("format_", FORMATS)
def test_findings(popek: Popek, holed: str, format_: str) -> None:
    ran = popek("check", holed, "--output", format_, "-j", "1")
    assert (ran.code, ran.err) == (1, "")
    assert "setmap" in ran.out


def test_the_hole_is_shown_with_everything(popek: Popek, holed: str) -> None:
    out = popek("check", holed).out
    for expected in (
        "PG001 setmap is sensitive and does not trap",
        "--> holed.isa:",
        "^^^^^^",
        "shown by  setmap r",
        "repair    trap privileged when mode != super",
        "replay    popek replay holed.isa setmap",
        "Theorem 1 (virtual machine monitor): violated: setmap",
        "classic: not virtualizable, 1 hole; 8 rows",
    ):
        assert expected in out


def test_the_last_line_is_a_count(popek: Popek, tiny: str) -> None:
    last = popek("check", tiny).out.splitlines()[-1]
    assert last == (
        "classic: virtualizable, 0 holes; 8 rows (3 privileged, 4 innocuous, 1 trap only); 9 expectations, all met"
    )


def test_exit_zero(popek: Popek, holed: str) -> None:
    assert popek("check", holed, "--exit-zero").code == 0


def test_quiet_and_table(popek: Popek, holed: str) -> None:
    quiet = popek("check", holed, "--quiet").out
    assert "PG001" not in quiet
    assert "violated: setmap" in quiet
    assert "  instruction  privileged  class" in popek("check", holed, "--table").out


def test_ascii(popek: Popek, holed: str) -> None:
    assert popek("check", holed, "--ascii", "--table").out.isascii()


def test_several_outputs_of_one_analysis(popek: Popek, tiny: str, tmp_path: Path) -> None:
    ran = popek("check", tiny, "-o", "json:a.json", "-o", "markdown:a.md", "-o", "human")
    assert ran.code == 0
    report = from_json((tmp_path / "a.json").read_text())
    assert report.spec == "tiny"
    assert (tmp_path / "a.md").read_text().startswith("# A small machine")
    assert ran.out.startswith("popek ")


def test_only(popek: Popek, holed: str) -> None:
    report = from_json(popek("check", holed, "--only", "setmap", "-o", "json").out)
    assert [row.instruction for row in report.schemes[0].rows] == ["setmap"]


def test_an_unmet_expectation(popek: Popek, tiny: str, tmp_path: Path) -> None:
    path = tmp_path / tiny
    path.write_text(path.read_text().replace("expect trap_only", "expect privileged"))
    ran = popek("check", tiny)
    assert ran.code == 1
    assert "PG402 call: expected privileged; found trap_only" in ran.out


@pytest.mark.parametrize(
    ("condition", "codes", "message"),
    [
        ("invariant false", {"PG004", "PG005"}, "no state in mode s, u satisfies the invariants and what the scheme"),
        ("invariant M == u", {"PG004", "PG005"}, "no state in mode s satisfies"),
        ('invariant M == u "never s"', {"PG004", "PG005"}, "not every step preserves the invariants: reset: never s"),
        ('invariant r[1] == 0 "zero"', {"PG004"}, "not every step preserves the invariants: add: zero, sub: zero"),
        ("invariant r[0] == 0", set(), "classic: virtualizable"),
        ("scheme classic { guest M == u }", {"PG005"}, "it is vacuous under scheme classic"),
        ("scheme classic { guest false }", {"PG005"}, "no state in mode s, u satisfies"),
        ("scheme classic { guest l < 0x1000 }", set(), "classic: virtualizable"),
    ],
)
def test_what_contradicts_itself_is_no_verdict(
    popek: Popek, tmp_path: Path, condition: str, codes: set[str], message: str
) -> None:
    """Every statement is true of no state: convention 3."""
    (tmp_path / "it.isa").write_text(f"isa it extends pg1974\n{condition}\n")
    ran = popek("check", "it.isa", "--no-cache")
    assert message in ran.out
    assert {code for code in ("PG004", "PG005") if code in ran.out} == codes
    assert ran.code == (0 if "classic: virtualizable" in ran.out and not codes else 1)


def test_a_failed_example(popek: Popek, tiny: str, tmp_path: Path) -> None:
    path = tmp_path / tiny
    path.write_text(path.read_text().replace("r[1] = 12", "r[1] = 13"))
    ran = popek("check", tiny)
    assert ran.code == 1
    assert "PG401" in ran.out
    assert "r[1] is 0xc, not 0xd" in ran.out
    assert ran.out.splitlines()[-1].endswith("1 failed example")


def test_a_budget_that_runs_out_is_no_verdict(popek: Popek) -> None:
    ran = popek("check", "pg1974-lra", "--rlimit", "1")  # a machine that simplifying alone does not settle
    assert ran.code in (1, 3)
    assert ran.out.splitlines()[-1].startswith("classic: undecided, 0 holes")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nothing-of-this-name"], "there is no spec nothing-of-this-name"),
        (["pg1947"], "did you mean pg1974"),
        (["tiny.isa", "--scheme", "no"], "tiny has no scheme no"),
        (["tiny.isa", "--only", "setmpa"], "did you mean setmap"),
        (["tiny.isa", "--output", "pdf"], "there is no output format pdf"),
        (["tiny.isa", "--output", "json:no/such/folder"], "No such file or directory"),
        (["tiny.isa", "--rlimit", "many"], "is not a valid int"),
        (["."], "there is no spec ."),
    ],
)
def test_wrong_usage(popek: Popek, tiny: str, args: list[str], told: str) -> None:
    ran = popek("check", *args)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_a_spec_that_does_not_check(popek: Popek, broken: str) -> None:
    ran = popek("check", broken)
    assert (ran.code, ran.out) == (2, "")
    assert "--> broken.isa:" in ran.err
    assert "^" in ran.err
    assert "popek explain PG" in ran.err


@pytest.mark.parametrize("command", [["check"], ["repair"], ["explain", "add"], ["replay", "add"]])
def test_a_spec_without_a_scheme(popek: Popek, tiny: str, tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / tiny
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("scheme ")], encoding="utf-8")
    ran = popek(command[0], tiny, *command[1:])
    assert (ran.code, ran.out) == (2, "")
    line = text[: text.index("isa tiny")].count("\n") + 1
    assert ran.err.startswith("error[PG404]: tiny has no scheme: nothing says how to virtualize it\n")
    assert f"--> tiny.isa:{line}:5\n" in ran.err
    assert "hint: add one, as `scheme classic {" in ran.err
    assert "popek explain PG404" in ran.err


def test_a_spec_that_is_no_text(popek: Popek, tmp_path: Path) -> None:
    (tmp_path / "bad.isa").write_bytes(b"\xff\xfe\x00")
    ran = popek("check", "bad.isa")
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_the_first_hole_of_a_family_has_the_witness(popek: Popek, family: str, tmp_path: Path) -> None:
    """The first one of a family may have no hole; a report for machines has a witness for each hole."""
    out = popek("check", family).out
    assert out.count("shown by") == 1
    assert "shown by  map two " in out
    assert "likewise  setmap.three" in out
    popek("check", family, "-o", "human:told.txt", "-o", "json:report.json")
    assert (tmp_path / "told.txt").read_text(encoding="utf-8") == out
    holes = from_json((tmp_path / "report.json").read_text(encoding="utf-8")).schemes[0].holes
    assert [(h.instruction, h.witness is not None and h.witness.replayed) for h in holes] == [
        ("setmap.two", True),
        ("setmap.three", True),
    ]


def test_schemes(popek: Popek, family: str) -> None:
    """The first scheme, unless others are named; the last line says which were left out."""
    one, two, every = (
        popek("check", family, "-q", *args).out for args in ((), ("--scheme", "second"), ("--scheme", "all"))
    )
    assert "under scheme classic" in one
    assert one.endswith("; not asked about: second (--scheme all)\n")
    assert two.endswith("; not asked about: classic (--scheme all)\n")
    assert "under scheme classic" in every
    assert "under scheme second" in every
    assert "not asked about" not in every
