"""Constant expressions of assembly text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.expressions import Symbols, readings

SYMBOLS = Symbols(0x100, {"a": 5, "table": 0x12345678, "1b": 0x80, "1f": 0x90})


def read(text: str) -> tuple[list[tuple[int, int | None]], list[tuple[str, str]]]:
    objections: list[tuple[str, str]] = []
    return list(readings(text, 0, SYMBOLS, objections)), objections


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17", 17),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("1_000", 1000),
        ("a+2*3", 11),
        ("(a+2)*3", 21),
        ("-a", -5),
        ("~0", -1),
        ("- -1", 1),
        (".-0x10", 0xF0),
        ("1f-1b", 0x10),
        ("7/2", 3),
        ("-7/2", -3),
        ("-7%3", -1),
        ("1<<4|1", 17),
        ("6&3^1", 3),
        ("1+1==2", 1),
        ("2<1", 0),
        ("table[31:12]", 0x12345),
        ("table[3]", 1),
        ("(table+0x988)[31:12]", 0x12346),
        ("sext(table, 12)", 0x678),
        ("sext(0xFFF,12)", -1),
        ("sext(table[11:0] + 0x900, 12)", -0x88),
    ],
)
def test_value(text: str, value: int) -> None:
    found, objections = read(text.replace(", ", ","))
    assert found[0] == (len(text.replace(", ", ",")), value)
    assert objections == []


def test_prefixes_the_longest_first() -> None:
    found, _ = read("4+a*2(x2)")
    assert found == [(5, 14), (3, 9), (1, 4)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nowhere", "PG504"),
        ("1/0", "PG503"),
        ("1<<5000", "PG503"),
        ("a[0:4]", "PG503"),
        ("sext(1,0)", "PG503"),
        ("(" * 60 + "1" + ")" * 60, "PG505"),
        ("~" * 20_000 + "1", "PG505"),
        ("sext(" * 60 + "1", "PG505"),
        ("9" * 20_000, "PG503"),
    ],
)
def test_objections(text: str, code: str) -> None:
    found, objections = read(text)
    assert all(end < len(text) for end, _ in found)
    assert [c for c, _ in objections] == [code]


def test_a_label_that_is_not_known_yet_has_no_value() -> None:
    objections: list[tuple[str, str]] = []
    lenient = Symbols(0, {}, lenient=True)
    assert next(readings("later+4", 0, lenient, objections)) == (7, None)
    assert objections == []


numbers = st.integers(0, 1 << 40).map(str)
expressions = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "&", "|", "^", "<<", ">>"]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        inner.map(lambda text: f"~{text}"),
    ),
    max_leaves=8,
)


@given(expressions)
def test_as_python(text: str) -> None:
    """The operators bind as in Python, except that comparisons are not among them here."""
    found, objections = read(text)
    if any(code == "PG503" for code, _ in objections):
        return  # a shift or a product that is too large, which Python would compute
    assert found[0] == (len(text), eval(text))


@given(st.text(alphabet="a1(+-*/)[:]<>=|&^%~.,sext ", max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    found, objections = read(text)
    assert all(0 < end <= len(text) for end, _ in found)
    assert all(code.startswith("PG50") for code, _ in objections)
