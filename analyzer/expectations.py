"""Published classes held against those that were found."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import and_

from analyzer import ir
from analyzer.classify import CAUSES, NO, UNKNOWN, YES, Classes, Finding, Truth
from analyzer.report import ExpectationResult, Place, TheoremResult
from analyzer.source import Span
from analyzer.symbolic.setting import Setting

Placing = Callable[[Span | None], Place | None]


def expectations(
    setting: Setting, findings: tuple[Finding, ...], theorems: tuple[TheoremResult, ...], place: Placing
) -> tuple[ExpectationResult, ...]:
    """Every `expect` that concerns this scheme: those of instructions that name it (or name none, for the first
    scheme), and the scheme's own."""
    out = []
    first = setting.scheme.name == setting.isa.schemes[0].name
    by_instruction: dict[str, list[Finding]] = {}
    for finding in findings:
        by_instruction.setdefault(finding.subject.instruction.name, []).append(finding)
    for instruction in setting.isa.instructions:
        found = by_instruction.get(instruction.name)
        for expect in instruction.expects:
            if found and (expect.scheme == setting.scheme.name or (expect.scheme is None and first)):
                out.append(_held(expect, instruction.name, words_of(found), place))
    for expect in setting.scheme.expects:
        out.append(_held(expect, f"scheme {setting.scheme.name}", scheme_words(theorems), place))
    return tuple(out)


def _held(expect: ir.Expect, subject: str, found: dict[str, Truth], place: Placing) -> ExpectationResult:
    met = reduce(and_, (meets(word, found) for word in expect.words), YES)
    left_out = () if about_causes(expect) else CAUSES  # of which perhaps not each was asked about
    told = " ".join(w if t is YES else f"{w}?" for w, t in found.items() if t is not NO and w not in left_out)
    return ExpectationResult(
        subject, expect.words, expect.citation, met is YES, told or "nothing", place(expect.span), met is UNKNOWN
    )


def about_causes(expect: ir.Expect) -> bool:
    """Does it speak of a single cause of sensitivity?"""
    return any(word.removeprefix("not_") in CAUSES for word in expect.words)


def meets(word: str, found: dict[str, Truth]) -> Truth:
    """Is an expected word what was found?"""
    if word.startswith("not_"):
        return ~found.get(word.removeprefix("not_"), NO)
    if word == "unprivileged":
        return ~found["privileged"]
    if word == "no_hole":
        return ~found["hole"]
    if word == "user_innocuous":
        return ~found["user"]
    return found.get(word, NO)


def words_of(findings: list[Finding]) -> dict[str, Truth]:
    """The words of an instruction: existential classes hold when some case has them, privileged and trap-only when all
    have."""
    classes = [f.classes for f in findings]
    completing = [c for c in classes if c.trap_only is not YES] or classes
    some: dict[str, Callable[[Classes], Truth]] = {
        "sensitive": Classes.sensitive,
        "control": lambda c: c.control,
        "user": Classes.classically_user_sensitive,
        "location": lambda c: c.causes.get("location", NO),
        "mode": lambda c: c.causes.get("mode", NO),
        "configuration": lambda c: c.causes.get("configuration", NO),
    }
    out = {
        "privileged": _all([c.privileged for c in completing]),
        "privileged_monitored": _all([c.privileged_monitored for c in completing]),
        "trap_only": _all([c.trap_only for c in classes]),
        "innocuous": _all([c.innocuous() for c in classes]),
    }
    for word, of in some.items():
        out[word] = _some([of(c) for c in classes])
    out["hole"] = _some([f.faithful.hole for f in findings])
    out["stuck"] = _some([f.faithful.stuck for f in findings])
    return out


def scheme_words(theorems: tuple[TheoremResult, ...]) -> dict[str, Truth]:
    """The words of a scheme."""
    names = {1: "virtualizable", 2: "recursive", 3: "hybrid"}
    truths = {"holds": YES, "violated": NO}
    return {names[t.number]: truths.get(t.status, UNKNOWN) for t in theorems}


def _some(truths: list[Truth]) -> Truth:
    out = NO
    for t in truths:
        out = out | t
    return out


def _all(truths: list[Truth]) -> Truth:
    return ~_some([~t for t in truths])
