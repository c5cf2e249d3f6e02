"""Every rewrite is an identity, and evaluation, propagation and repair mean what the solver means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import z3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.symbolic.guess import repaired
from analyzer.symbolic.least import least_model
from analyzer.symbolic.model import Entries, Model
from analyzer.symbolic.propagate import simplified
from analyzer.symbolic.smt import Smt
from analyzer.symbolic.term import Term, apart, conjuncts, nodes, symbols
from analyzer.symbolic.terms import atoms

sys.path.insert(0, str(Path(__file__).parent))

from random_terms import INDEX, Maker

slow = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


WORK = 300_000
"""For one question: a random division of products is as hard as factoring, and tells no more than an easy one."""


class SmtMaker(Maker):
    """Makes its terms in a solver's builder."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__(data)
        self.smt = Smt(WORK)
        self.builder = self.smt


def in_z3(term: Any, width: int) -> Any:
    """A builder's term as a z3 term, its text read anew: independent of how the solver's layer makes it."""
    if not isinstance(term, Term):
        return z3.BoolVal(term) if width == 0 else z3.BitVecVal(term, width)
    done: dict[Term, Any] = {}

    def z(t: Any, w: int) -> Any:
        if not isinstance(t, Term):
            return z3.BoolVal(t) if w == 0 else z3.BitVecVal(t, w)
        if t not in done:
            done[t] = make(t)
        return done[t]

    def make(t: Term) -> Any:
        w = t.width
        match t.op:
            case "symbol":
                return z3.BitVec(t.data, w)
            case "array":
                return z3.Array(t.data, z3.BitVecSort(t.index), z3.BitVecSort(w))
            case "apply":
                sorts = [*(z3.BitVecSort(n) for n in t.data.widths), z3.BitVecSort(w) if w else z3.BoolSort()]
                return z3.Function(t.data.name, *sorts)(*map(z, t.args, t.data.widths))
            case "not":
                return z3.Not(z(t.args[0], 0))
            case "and":
                return z3.And(*(z(a, 0) for a in t.args))
            case "or":
                return z3.Or(*(z(a, 0) for a in t.args))
            case "xor":
                return z3.Xor(z(t.args[0], 0), z(t.args[1], 0))
            case "ite":
                return z3.If(z(t.args[0], 0), z(t.args[1], w), z(t.args[2], w))
            case "eq":
                return z(t.args[0], t.data) == z(t.args[1], t.data)
            case "ule":
                return z3.ULE(z(t.args[0], t.data), z(t.args[1], t.data))
            case "sle":
                return z(t.args[0], t.data) <= z(t.args[1], t.data)
            case "extract":
                return z3.Extract(*t.data, z(t.args[0], 0))
            case "concat":
                return z3.Concat(*map(z, t.args, t.data))
            case "sext":
                return z3.SignExt(w - t.args[0].width, z(t.args[0], 0))
            case "select":
                return z3.Select(z(t.args[0], 0), z(t.args[1], t.args[0].index))
            case "store":
                return z3.Store(z(t.args[0], 0), z(t.args[1], t.index), z(t.args[2], w))
            case "fill":
                return z3.K(z3.BitVecSort(t.index), z(t.args[0], w))
            case "flip":
                return z3.Map((~z3.BitVec("entry", w)).decl(), z(t.args[0], 0))
            case "same":
                return z(t.args[0], 0) == z(t.args[1], 0)
            case "bvnot":
                return ~z(t.args[0], w)
            case "neg":
                return -z(t.args[0], w)
        from random_terms import _Z3

        name = {"bvand": "and", "bvor": "or", "bvxor": "xor"}.get(t.op, t.op)
        return _Z3[name](z(t.args[0], w), z(t.args[1], w))

    return z(term, width)


def proved(formula: Any) -> bool:
    return solver_of(z3.Not(formula)).check() != z3.sat


def solver_of(*formulas: Any) -> z3.Solver:
    solver = z3.Solver()
    solver.set("rlimit", WORK)
    solver.add(*formulas)
    return solver


@slow
@given(st.data(), st.sampled_from((1, 3, 8)))
def test_bits_mean_what_was_said(data: st.DataObject, width: int) -> None:
    term, meaning = Maker(data).bits(width, 4)
    assert proved(in_z3(term, width) == meaning)


@slow
@given(st.data())
def test_truths_mean_what_was_said(data: st.DataObject) -> None:
    term, meaning = Maker(data).truth(4)
    assert proved(in_z3(term, 0) == meaning)


@slow
@given(st.data())
def test_replacing_is_replacing(data: st.DataObject) -> None:
    maker = Maker(data)
    term, meaning = maker.truth(4)
    (x, zx), (value, zvalue) = (maker.builder.symbol("x8", 8), z3.BitVec("x8", 8)), maker.bits(8, 1)
    replaced = maker.builder.substituted(term, [(x, value)])
    assert proved(in_z3(replaced, 0) == z3.substitute(meaning, (zx, zvalue)))


numbers = st.integers(0, 255)


@slow
@given(st.data())
def test_values_are_those_of_the_solver(data: st.DataObject) -> None:
    maker = Maker(data)
    term, _ = maker.bits(8, 4)
    pairs, arrays = [], []
    mine: tuple[dict[str, int], dict[str, Entries], dict[str, Entries]] = ({}, {}, {})
    for t in nodes(term):
        if t.op == "symbol":
            mine[0][t.data] = data.draw(numbers) & (1 << t.width) - 1
            pairs.append((z3.BitVec(t.data, t.width), z3.BitVecVal(mine[0][t.data], t.width)))
        elif t.op == "array":
            values = [data.draw(numbers) & (1 << t.width) - 1 for _ in range(1 << INDEX)]
            mine[1][t.data] = Entries(dict(enumerate(values[:-1])), values[-1])
            filled = z3.K(z3.BitVecSort(INDEX), z3.BitVecVal(values[-1], t.width))
            for at, v in enumerate(values[:-1]):
                filled = z3.Store(filled, at, z3.BitVecVal(v, t.width))
            arrays.append((z3.Array(t.data, z3.BitVecSort(INDEX), z3.BitVecSort(t.width)), filled))
        elif t.op == "apply":
            mine[2][t.data.name] = Entries({(1,): data.draw(numbers) & (1 << t.width) - 1}, 0)
    model = Model(*mine)
    meant = z3.substitute(in_z3(term, 8), *pairs, *arrays)
    for name, entries in mine[2].items():
        width = int(name[1:])
        x = z3.BitVec("argument", 3)
        body = z3.If(x == 1, z3.BitVecVal(entries.known[(1,)], width), z3.BitVecVal(0, width))
        f = z3.Function(name, z3.BitVecSort(3), z3.BitVecSort(width))
        meant = z3.substitute_funs(meant, (f, z3.substitute(body, (x, z3.Var(0, z3.BitVecSort(3))))))
    assert proved(meant == model.value(term))


@slow
@given(st.data())
def test_answers_are_those_of_the_solver(data: st.DataObject) -> None:
    maker = SmtMaker(data)
    parts = [maker.truth(3) for _ in range(3)]
    answer = maker.smt.check(*(p for p, _ in parts))
    meant = str(solver_of(*(z for _, z in parts)).check())
    assert answer.status == meant or "unknown" in (answer.status, meant)
    if answer.status == "sat":
        assert all(answer.model.holds(p) for p, _ in parts)


@slow
@given(st.data())
def test_simplifying_keeps_models(data: st.DataObject) -> None:
    maker = SmtMaker(data)
    formula = maker.smt.and_(*(maker.truth(3)[0] for _ in range(4)))
    rest = simplified(maker.smt, formula)
    flat = maker.smt.and_(*rest.parts)
    answers = [solver_of(in_z3(f, 0)).check() for f in (formula, flat)]
    assert answers[0] == answers[1] or z3.unknown in answers
    near = repaired(list(conjuncts(flat)), Model()) if flat is not False else None
    if near is not None:
        assert rest.completed(near).holds(formula)


@slow
@given(st.data())
def test_least_models_are_least(data: st.DataObject) -> None:
    maker = SmtMaker(data)
    formula = maker.smt.and_(*(maker.truth(3)[0] for _ in range(2)))
    ordered = symbols(formula)
    model = least_model(maker.smt, formula, [*ordered, *(a for a in atoms(maker.smt, formula) if a.op != "symbol")])
    known = [in_z3(formula, 0)]
    if model is None:
        return  # it has none, or that took too much
    assert model.holds(formula)
    for symbol in ordered:
        z = z3.BitVec(symbol.data, symbol.width)
        assert solver_of(*known, z3.ULT(z, model.value(symbol))).check() != z3.sat
        known.append(z == model.value(symbol))


def test_least_models_may_have_to_tell_arrays_apart() -> None:
    smt = Smt()
    x, a, b = smt.symbol("x", 1), smt.array("a", 3, 8), smt.array("b", 3, 8)
    model = least_model(smt, smt.eq(x, smt.ite(smt.same(a, b), 1, 0, 1), 1), [x])
    assert model is not None
    assert (model.value(x), model.same(a, b)) == (0, False)


@slow
@given(st.data())
def test_indices_that_are_apart(data: st.DataObject) -> None:
    maker = Maker(data)
    (a, za), (b, zb) = maker.bits(8, 3), maker.bits(8, 3)
    match apart(a, b):
        case True:
            assert proved(za != zb)
        case False:
            assert proved(za == zb)


def test_equal_terms_are_one() -> None:
    b = Smt()
    x, y = b.symbol("x", 8), b.symbol("y", 8)
    assert b.op("add", x, y, 8) is b.op("add", y, x, 8)
    assert b.eq(b.op("add", x, 3, 8), 5, 8) is b.eq(x, 2, 8)
    assert b.and_(b.eq(x, 1, 8), b.eq(x, 2, 8)) is False
    assert b.or_(b.eq(x, y, 8), b.not_(b.eq(y, x, 8))) is True
