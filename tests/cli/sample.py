"""A report with one of everything, made by hand."""

from __future__ import annotations

from analyzer.report import (
    Cell,
    Edge,
    ExpectationResult,
    Hole,
    Place,
    Premise,
    Report,
    Row,
    SchemeReport,
    TheoremResult,
    Witness,
)

PLACE = Place("toy.isa", 12, 3, 12, 8, "  r1 = M  // the mode")


def row(instruction: str, **more: object) -> Row:
    truths = ("privileged", "privileged_monitored", "trap_only", "innocuous", "control", "classical_control")
    given: dict[str, object] = dict.fromkeys((*truths, "user_control", "hole", "hole_direct", "stuck", "time"), "no")
    given |= {"family": instruction, "cases": (), "causes": (), "user_causes": (), "by_text": False, "literal": ()}
    given |= {"executes": False, "head": PLACE, "source": None}
    return Row(instruction=instruction, **(given | more))  # type: ignore[arg-type]


HOLE = Hole(
    "smode [esp]",
    ("r differs", "b", "c", "d"),
    "M == s | r1 != 0",
    False,
    "mode != s",
    Witness(
        "smode [esp]",
        "21 00",
        (Cell("mode", "s", "u"), Cell("only here", None, "0x1")),
        (Cell("ends", "completes", "completes"), Cell("r[1]", "0x0", "0x1")),
        PLACE,
        True,
        "popek replay toy smode",
    ),
    PLACE,
)


def theorem(number: int, status: str, *culprits: str) -> TheoremResult:
    titles = {1: "virtual machine monitor", 2: "recursive virtualization", 3: "hybrid monitor"}
    return TheoremResult(
        number, titles[number], status, culprits, "holds", (), "inconclusive", ("lpsw",), None  # type: ignore[arg-type]
    )  # fmt: skip


def expectation(
    subject: str, *words: str, met: bool = True, citation: str | None = None, line: int = 1
) -> ExpectationResult:
    place = Place("toy.isa", line, 1, line, 7, "expect …")
    return ExpectationResult(subject, words, citation, met, "innocuous", place)


def scheme(**more: object) -> SchemeReport:
    given: dict[str, object] = {
        "name": "classic",
        "title": None,
        "run": (("s", "u"), ("u", "u")),
        "monitor": "s",
        "rows": (
            row("add", innocuous="yes", by_text=True),
            row("lpsw", privileged="yes", control="yes", literal=("privileged", "control")),
            row("svc", trap_only="yes"),
            row("smode", cases=("[esp]", "[ebp]"), hole="yes", causes=("mode",)),
            row("slow", hole="unknown"),
            row("seg", stuck="yes", innocuous="yes"),
        ),
        "theorems": (
            theorem(1, "violated", "smode [esp]", "smode [ebp]"),
            theorem(2, "not applicable"),
            theorem(3, "holds"),
        ),
        "holes": (HOLE,),
        "stuck_maps": ("mem: read from 0x80 on, permitted in mode s, trap in mode u under every map",),
        "premises": (Premise("P1", "the map is fine", "proved"), Premise("P4", "restartable", "fails", "smode")),
        "caveats": ("timer: not modeled",),
        "expectations": (
            expectation("smode", "hole", "mode", citation="PG74"),
            expectation("smode", "hole", citation="PG74", line=2),
            expectation("smode", "hole", citation="another", line=3),
            expectation("lpsw", "innocuous", met=False, citation="[1]", line=4),
        ),
    }
    return SchemeReport(**(given | more))  # type: ignore[arg-type]


REPORT = Report(
    "toy",
    "A toy — with everything",
    "0.1.0",
    "4.0",
    1000,
    "0123456789abcdef",
    (scheme(),),
    (Edge("s", "u", ("lpsw",), False),),
    warnings=("toy.isa:9:1: example `add`: r[1] is 0x1, not 0x2",),
)

FINE = scheme(
    rows=(row("add", innocuous="yes"),),
    theorems=(theorem(1, "holds"), theorem(2, "holds"), theorem(3, "holds")),
    holes=(),
    stuck_maps=(),
    expectations=(expectation("add", "innocuous"),),
)
