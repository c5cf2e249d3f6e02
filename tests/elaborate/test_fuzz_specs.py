"""Whatever a spec says, it loads to well-formed IR or gives coded diagnostics with places, and soon."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from sentences import mutated, pieces, sentence

from analyzer.errors import Diagnostic, SpecError
from analyzer.passes import check
from analyzer.source import Source
from analyzer.syntax.load import load_source

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests/elaborate/golden"
SECONDS = 6.0
"""For one text; a mutated one takes some ten milliseconds where this was written, and the worst here two seconds."""


def corpus() -> dict[str, str]:
    """Small specs that load, or nearly."""
    paths = [
        *sorted((ROOT / "isa_specs").glob("pg1974*.isa")),
        *sorted((ROOT / "tests/elaborate/machines").glob("*.isa")),
        *sorted(FOLDER.glob("*.isa")),
    ]
    found = {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in paths}
    page = (ROOT / "docs/language.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```isa\n(isa .*?)^```$", page, re.DOTALL | re.MULTILINE):
        found[f"language.md {block.split()[1]}"] = block
    return found


CORPUS = {name: pieces(text) for name, text in corpus().items()}
WORDS = sorted({part for parts in CORPUS.values() for part in parts if part.strip() and len(part) < 40})


def survive(text: str) -> tuple[Diagnostic, ...]:
    """Fails if anything but well-formed IR, or diagnostics with codes and places, comes of a text, or not soon."""
    start = time.process_time()
    try:
        isa, found = load_source(Source("fuzz.isa", text), FOLDER)
        assert check.check(isa) == []
    except SpecError as error:
        found = error.diagnostics
        assert found
    assert time.process_time() - start < SECONDS
    for diagnostic in found:
        assert re.fullmatch(r"PG[1-3]\d\d", diagnostic.code)
        assert diagnostic.message
        assert diagnostic.span is not None
    return found


def mutants(seed: str, count: int) -> None:
    rng = random.Random(seed)
    names = sorted(CORPUS)
    for _ in range(count):
        survive(mutated(CORPUS[rng.choice(names)], WORDS, rng))


def sentences(seed: str, count: int) -> set[str]:
    """The codes of random items, added to the machine of the paper."""
    rng = random.Random(seed)
    codes: set[str] = set()
    for _ in range(count):
        items = "\n".join(sentence(rng, rng.choice((15, 30, 60))) for _ in range(rng.choice((1, 2, 4))))
        codes.update(d.code for d in survive(f"isa t extends pg1974\n{items}"))
    return codes


def test_mutated_specs() -> None:
    mutants("quick", 60)


def test_sentences_of_the_grammar() -> None:
    assert len(sentences("quick", 25)) > 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_mutated_specs_at_length(seed: int) -> None:
    mutants(f"at length {seed}", 250)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_sentences_at_length(seed: int) -> None:
    sentences(f"at length {seed}", 150)


# -- work without bounds -----------------------------------------------------------------------------------------------


def body(text: str) -> str:
    return f'instr "x {{r1}}" = 0x60 r1 _:53 {{ {text} }}\n'


def doubling(count: int, line: str, last: str) -> str:
    """Lines about 0, 1, … that use the next ones."""
    lines = (line.replace("$next", str(i + 1)).replace("$", str(i)) for i in range(count))
    return "".join(lines) + last.replace("$", str(count))


def rows(tables: int, count: int) -> str:
    cells = "\n".join(f'"q{i}"' for i in range(count))
    return "".join(f"table T{k} {{ a{k}\n{cells} }}\n" for k in range(tables))


def chain(count: int, cell: str, last: str) -> str:
    """A table of one row, in which each cell uses the next one twice."""
    head = " | ".join(f"c{i}" for i in range(count))
    cells = " | ".join([cell.replace("$", f"c{i + 1}") for i in range(count - 1)] + [last])
    return f"for {{ {head}\n{cells} }}\n"


RETURNS = "; ".join(f"if r[1][{i}] {{ if r[2][{i}] {{ return {i} }} }}" for i in range(30))
ARMS = "; ".join(f"{i} => {i + 1}" for i in range(900))
LONG = "z" * 200

BOMBS = {
    "a for of 10^9": (body("for k in 0..1000000000 { r1 += 1 }"), "PG305"),
    "fors in fors": (body("for k in 0..999 { for l in 0..999 { for m in 0..999 { } } }"), "PG305"),
    "a loop of 10^9": (body("while r1 != 0 limit 1000000000 { r1 -= 1 }"), "PG305"),
    "an execute of 10^9": (body("execute r1 limit 1000000000"), "PG305"),
    "a width of 10^9": ("state guest z : 1000000000\n", "PG204"),
    "a width of 10^9, by zext": (body("r1 = zext(r1, 1000000000)[63:0]"), "PG204"),
    "a width that doubles": (body("let a0 = r1\n" + doubling(30, "let a$next = a$ ++ a$\n", "")), "PG204"),
    "an access of 10^9": (body("r1 = mem[0, 64000000000][63:0]"), "PG204"),
    "a file of 10^9": ("state guest z[1000000000] : 8\n", "PG223"),
    "a table of 10^5": (f"table t[n: 17] : 8 = {{ {', '.join(['0'] * 70_000)} }}\n", "PG223"),
    "an entry far away": (
        "enum Q : 64 { far = 1 << 60 }\ntable t[q: Q] : 8 = { far = 1 }\n",
        "PG223",
    ),
    "a number of 10^5 digits": (f"param X = {'9' * 100_000}\n", "PG212"),
    "a number that is shifted far": ("param X = 1 << 1000000000000\n", "PG305"),
    "a number that squares": ("param X0 = 99999999999\n" + doubling(30, "param X$next = X$ * X$\n", ""), "PG305"),
    "a product of tables": (rows(5, 60) + 'for T0, T1, T2, T3, T4 instr X "x" = 0x60 _:56 { }\n', "PG305"),
    "products of nothing": (rows(4, 60) + "for T0, T1, T2, T3 { when false { unit 8 } }\n", "PG305"),
    "views that double": (
        doubling(
            20, "view v$[n: 3] : 64 = if n == 1 then v$next[n] else v$next[n + 1]\n", "view v$[n: 3] : 64 = r[n]\n"
        ),
        "PG305",
    ),
    "cells that double": (chain(30, "($ + $)", "r1") + body("r1 = c0"), "PG305"),
    "texts that double": (chain(30, '"{$}{$}"', '"q"') + 'instr "{c0}" = 0x60 _:56 { }\n', "PG305"),
    "formats that double": (
        doubling(38, "format F$(x) = F$next(x) F$next(x)\n", "format F$(x) = x\n") + 'instr "x" = F0(0) { }\n',
        "PG304",
    ),
    "expansions that never end": (body("x(r1)"), "PG304"),
    "blocks that return on many paths": (f"view v : 64 {{ read {{ {RETURNS}; return 9 }} }}\n", "PG305"),
    "a long match": (body(f"r1 = match r1 {{ {ARMS}; _ => 0 }}"), "PG110"),
    "functions in functions": (
        doubling(500, "fn f$(a: 64) -> 64 { return f$next(a) }\n", "fn f$(a: 64) -> 64 { return a }\n"),
        "PG110",
    ),
    "views in views": (doubling(100, "view v$ : 64 = v$next\n", "view v$ : 64 = r[1]\n"), "PG304"),
    "sub-decoders that double": (
        doubling(30, "operand e$ : 64 { | 0 _:63, x:e$next, y:e$next => x\n | 1 n:63 => zext(n) }\n", "")
        + 'operand e30 : 64 { | n:64 => n }\ninstr "x {o}" = 0x60 _:56, o:e0 { r[1] = o }\n',
        "PG305",
    ),
    "names that are much alike": (
        "".join(f"state guest {LONG}{i} : 8\n" for i in range(1500))
        + "".join(f'instr "w{i}" = 0x60 {i:08b} _:48 {{ r[1] = {LONG}q{i} }}\n' for i in range(60)),
        "PG201",
    ),
}
"""Short texts that ask for much."""


@pytest.mark.parametrize(("items", "code"), BOMBS.values(), ids=BOMBS)
def test_endless_work_is_refused(items: str, code: str) -> None:
    assert code in {d.code for d in survive(f"isa t extends pg1974\n{items}")}


ONCE = ("views that double", "cells that double", "fors in fors", "a number that squares")


@pytest.mark.parametrize("name", ONCE)
def test_too_much_is_told_once(name: str) -> None:
    """However many bodies it makes too large."""
    found = survive(f"isa t extends pg1974\n{BOMBS[name][0]}")
    assert [d.code for d in found] == ["PG305"]


def test_each_limit_of_decoders_is_told_once() -> None:
    """Too many parts, and too much work; not the operands that are left without arms by that."""
    found = survive(f"isa t extends pg1974\n{BOMBS['sub-decoders that double'][0]}")
    assert [d.code for d in found] == ["PG305", "PG305"]
    assert len({d.message for d in found}) == 2


def test_each_cause_is_told() -> None:
    views = "".join(doubling(20, f"view {v}$ : 64 = {v}$next + {v}$next\n", f"view {v}$ : 64 = r[1]\n") for v in "vw")
    found = survive(f"isa t extends pg1974\n{views}")
    assert [d.code for d in found] == ["PG305", "PG305"]


SWALLOWED = (
    doubling(20, "view v$ : 64 = v$next + v$next\n", "view v$ : 64 = r[1]\n")
    + 'operand one : 3 as r\ninstr two "two {one}" = 0x60 _:53 one { one = 0 }\n'
)


@pytest.mark.parametrize("items", [SWALLOWED + body("two(v0)"), SWALLOWED + "override deliver t { r[1] = v0 }\n"])
def test_what_is_tried_first_is_still_told(items: str) -> None:
    """An argument is elaborated to see whether it is a number, a delivery to learn attributes: what is wrong with it
    must not count as told then."""
    assert "PG305" in {d.code for d in survive(f"isa t extends pg1974\n{items}")}


def test_a_failed_parameter_is_known() -> None:
    found = survive("isa t extends pg1974\nparam X = 1 << 1000000000000\nparam Y = X + 1\n" + body("r1 = Y"))
    assert [d.code for d in found] == ["PG305"]


@pytest.mark.parametrize("text", ["isa t\n" + "\0" * 50, "\ufeffisa t", "isa t extends \N{SNOWMAN}", "isa", ""])
def test_odd_texts(text: str) -> None:
    assert survive(text)
