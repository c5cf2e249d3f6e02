"""Renderers on a report with one of everything: all show the same findings, and change no text of the user's."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from golden import assert_golden
from msgspec.structs import replace
from sample import FINE, REPORT, expectation, scheme, theorem

from analyzer.errors import Diagnostic
from analyzer.render.findings import Exit, exit_code, findings, needless, summary
from analyzer.render.human import human
from analyzer.render.json import from_json, schema_text, to_json
from analyzer.render.lines import Look, diagnostic_lines, excerpt, plain, side_by_side
from analyzer.render.markdown import to_markdown
from analyzer.render.svg import to_svg
from analyzer.report import Place, Report
from analyzer.source import Source

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def human_text(report: Report, look: Look | None = None) -> str:
    return "".join(f"{line.plain}\n" for line in human(report, look))


def test_human() -> None:
    assert_golden(HERE / "golden" / "sample.txt", human_text(REPORT, Look(table=True)))


def test_ascii() -> None:
    text = human_text(REPORT, Look(ascii=True, table=True))
    assert text.isascii()
    assert_golden(HERE / "golden" / "sample.ascii.txt", text)


def test_markdown() -> None:
    assert_golden(HERE / "golden" / "sample.md", to_markdown(REPORT))


def test_json_goes_around() -> None:
    assert from_json(to_json(REPORT)) == REPORT
    assert to_json(from_json(to_json(REPORT))) == to_json(REPORT)


def test_schema_is_committed() -> None:
    """A change of the report's shape is a change for its users: see `SCHEMA_VERSION`."""
    assert_golden(ROOT / "docs" / "json-schema.json", schema_text())


def test_every_text_has_every_finding() -> None:
    texts = [human_text(REPORT), to_markdown(REPORT)]
    for finding in findings(REPORT):
        for text in texts:
            assert finding.code in text
            assert finding.message.strip(": ") in text
    assert all(summary(REPORT) in text for text in texts)


def test_svg_is_xml_and_the_same_again() -> None:
    picture = to_svg(human(REPORT), "popek check toy")
    ElementTree.fromstring(picture)
    assert picture == to_svg(human(REPORT), "popek check toy")
    assert "smode&#160;[esp]" in picture


# -- findings and exit codes -------------------------------------------------------------------------------------------


def test_findings() -> None:
    assert [(f.code, f.subject) for f in findings(REPORT)] == [
        ("PG001", "smode [esp]"),
        ("PG002", "seg"),
        ("PG002", ""),
        ("PG402", "lpsw"),
        ("PG403", "smode"),
        ("PG901", "slow"),
    ]
    assert findings(REPORT)[0].expected == "PG74"


def test_needless() -> None:
    """The same authority saying the same again, and nothing else."""
    first = expectation("a", "control", "hole", citation="x")
    assert needless((first, expectation("a", "hole", citation="x", line=2))) != ()
    assert needless((first, expectation("a", "hole", citation="y", line=2))) == ()
    assert needless((first, expectation("b", "hole", citation="x", line=2))) == ()
    assert needless((first, expectation("a", "mode", citation="x", line=2))) == ()
    assert needless((first, first)) == ()  # one statement about several rows


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (REPORT, Exit.FINDINGS),
        (replace(REPORT, schemes=(FINE,), warnings=()), Exit.AS_EXPECTED),
        (replace(REPORT, schemes=(FINE,)), Exit.FINDINGS),  # a failed example
        (replace(REPORT, schemes=(FINE, scheme(expectations=())), warnings=()), Exit.AS_EXPECTED),  # the first decides
        (
            replace(REPORT, schemes=(replace(FINE, theorems=(theorem(1, "inconclusive"),)),), warnings=()),
            Exit.INCONCLUSIVE,
        ),
        (
            replace(REPORT, schemes=(replace(FINE, expectations=(expectation("add", "x", met=False),)),), warnings=()),
            Exit.FINDINGS,
        ),
    ],
)
def test_exit_code(report: Report, code: Exit) -> None:
    assert exit_code(report) is code


# -- lines -------------------------------------------------------------------------------------------------------------


def lines(*given: object) -> list[str]:
    return [line.plain for line in given]  # type: ignore[attr-defined]


def test_the_caret_stands_under_the_span() -> None:
    wide = Place("a.isa", 7, 3, 7, 5, "\t日x = 1")
    assert lines(*excerpt(wide)) == ["   --> a.isa:7:3", "  7 │ \t日x = 1", "    │ \t  ^^"]


def test_the_caret_leaves_a_comment_alone() -> None:
    place = Place("a.isa", 7, 1, 7, 20, "r = 1 {      // why")
    assert lines(*excerpt(place))[-1] == "    │ ^^^^^^^"


def test_control_characters_do_not_reach_the_terminal() -> None:
    source = Source("nowhere.isa", "x")
    text = "\n".join(lines(*diagnostic_lines(Diagnostic("PG101", "odd \x1b[31m text", source.span(0, 1), "no \x07"))))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_markup_is_text() -> None:
    (head,) = lines(*diagnostic_lines(Diagnostic("PG101", "[bold]x[/bold] [esp]")))
    assert head == "error[PG101]: [bold]x[/bold] [esp]"


def test_columns() -> None:
    assert lines(*side_by_side(("one", "two"), ("a", "b"), ("a", "c", "d"))) == [
        "    one     two",
        "    a       a",
        "         |  c",
        "    b    |  d",
    ]


def test_columns_of_runs_that_part() -> None:
    """What both change faces each other, whatever one of them does besides."""
    left = ("mode s", "r[1]: 0 -> 1", "M: 0 -> 1", "completes")
    right = ("mode u", "q: 0 -> 2", "r[1]: 0 -> 1", "trap privileged")
    assert lines(*side_by_side(("one", "two"), left, right))[1:] == [
        "    mode s        |  mode u",
        "                  |  q: 0 -> 2",
        "    r[1]: 0 -> 1     r[1]: 0 -> 1",
        "    M: 0 -> 1     |",
        "    completes     |  trap privileged",
    ]


def test_plain() -> None:
    assert plain("✔ a ⊆ b … “c”") == 'ok a subset of b ... "c"'
