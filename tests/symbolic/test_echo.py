"""A question that differs from another in names only has its answer; one that differs in anything else has not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.classify import YES
from analyzer.examine import Wanted, examine_one
from analyzer.kin import examine_kin
from analyzer.sources import Sources
from analyzer.symbolic.echo import Echo, Question
from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Smt
from analyzer.symbolic.solver import Answer
from analyzer.symbolic.term import Term
from analyzer.syntax.load import load

sys.path.insert(0, str(Path(__file__).parent))

from random_terms import Maker

WORK = 300_000
UNSAT = Answer("unsat")


def alike(theirs: Any, ours: Any) -> bool:
    """Does the one formula's answer answer the other?"""
    return Echo([Question((theirs,), None, UNSAT)]).answer((ours,), None) is not None


def segment(smt: Smt, name: str, number: int, other: str = "", at: Any = None) -> Any:
    """What loading a segment register is about: its selector, its entry of a file, and a register beside it."""
    hidden = smt.array("hidden@v", 3, 8)
    entry = smt.select_at(hidden, number)
    parts = [smt.eq(smt.symbol(name, 16), 5, 16), smt.not_(smt.eq(entry, 7, 8))]
    if other:
        parts.append(smt.eq(smt.symbol(other, 16), 5, 16))
    if at is not None:
        parts.append(smt.eq(smt.select_at(hidden, at), 9, 8))
    return smt.and_(*parts)


def test_names_and_constant_indices_do_not_matter() -> None:
    one, two = Smt(), Smt()
    assert alike(segment(one, "es@v", 0), segment(two, "ds@v", 3))


def test_two_names_stay_two() -> None:
    assert alike(segment(Smt(), "es@v", 0, "fs@v"), segment(Smt(), "ds@v", 3, "gs@v"))

    def below(smt: Smt, name: str) -> Any:
        a, b = smt.symbol("a", 8), smt.symbol("b", 8)
        return smt.compare("ule", a if name == "a" else b, smt.op("add", a, 1, 8), 8)

    assert alike(below(Smt(), "b"), below(Smt(), "b"))
    assert not alike(below(Smt(), "b"), below(Smt(), "a"))


def test_an_array_that_is_looked_at_anywhere_keeps_its_indices() -> None:
    one, two, three = Smt(), Smt(), Smt()
    theirs = segment(one, "es@v", 0, at=one.symbol("n", 3))
    assert alike(theirs, segment(two, "ds@v", 0, at=two.symbol("n", 3)))
    assert not alike(theirs, segment(three, "ds@v", 3, at=three.symbol("n", 3)))


def entries(smt: Smt, *numbers: int) -> Any:
    """Some entries of a file have certain values."""
    hidden = smt.array("hidden", 3, 8)
    return smt.and_(*(smt.eq(smt.select_at(hidden, n), 2 * i, 8) for i, n in enumerate(numbers)))


def test_indices_are_renamed_one_to_one() -> None:
    assert alike(entries(Smt(), 0, 1), entries(Smt(), 1, 0))
    assert alike(entries(Smt(), 0, 1), entries(Smt(), 5, 0))
    one, two = Smt(), Smt()
    echo = Echo([Question((entries(one, *numbers),), None, UNSAT) for numbers in ((0, 1), (0, 2))])
    assert echo.answer((entries(two, 4, 5),), None) is not None
    assert echo.answer((entries(two, 4, 5),), None) is None
    assert echo.answer((entries(two, 3, 6),), None) is None, "0 is 4 by now"
    assert echo.answer((entries(two, 4, 6),), None) is not None


def test_a_model_is_renamed() -> None:
    smt, ours = Smt(), Smt()
    answer = smt.check(segment(smt, "es@v", 0, "fs@v"))
    echo = Echo([Question((segment(smt, "es@v", 0, "fs@v"),), None, answer)])
    formula = segment(ours, "ds@v", 3, "gs@v")
    heard = echo.answer((formula,), None)
    assert heard is not None
    assert isinstance(heard.model, Model)
    assert heard.model.holds(formula)


class Renamer:
    """A term in another solver's builder, its names changed, and its constant indices."""

    def __init__(self, smt: Smt, turn: int) -> None:
        self.smt = smt
        self.turn = turn

    def __call__(self, t: Any) -> Any:
        if not isinstance(t, Term):
            return t
        if t.op == "symbol":
            return self.smt.symbol(f"{t.data} of ours", t.width)
        if t.op == "array":
            return self.smt.array(f"{t.data} of ours", t.index, t.width)
        args = [self(a) for a in t.args]
        if t.op in ("select", "store") and isinstance(args[1], int):
            args[1] = (args[1] + self.turn) % 8
        return self.smt.rebuilt(t, args)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_heard_is_true(data: st.DataObject) -> None:
    theirs, ours = Smt(WORK), Smt(WORK)
    maker = Maker(data)
    maker.builder = theirs
    formula, _ = maker.truth(3)
    renamed = Renamer(ours, data.draw(st.integers(0, 1)))(formula)
    heard = Echo([Question((formula,), None, theirs.check(formula))]).answer((renamed,), None)
    direct = ours.check(renamed)
    if heard is None or "unknown" in (heard.status, direct.status):
        return
    assert heard.status == direct.status
    if heard.model is not None and isinstance(renamed, Term):
        assert heard.model.holds(renamed)


def test_a_twin_is_found_as_it_is_by_itself() -> None:
    isa = load("ia32")
    setting = Setting(isa, isa.schemes[0])
    wanted = Wanted(witnesses=False, moves=False)
    kin = [s for s in subjects(isa) if s.name in ("mov_from_sreg es", "mov_from_sreg fs", "mov_from_sreg gs")]
    together = examine_kin(setting, None, Sources(), [(wanted, s) for s in kin])
    alone = [examine_one(setting, wanted, None, Sources(), s) for s in kin]
    assert [e.finding.checks > 0 for e in together] == [True, False, False]
    assert all(e.finding.faithful.hole is YES for e in together)
    for one, other in zip(together, alone, strict=True):
        assert one.hole == other.hole
        assert (one.finding.classes, one.finding.classes_1974) == (other.finding.classes, other.finding.classes_1974)
        assert one.finding.faithful == other.finding.faithful
