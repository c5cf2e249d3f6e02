"""What constructs mean, shown by specs with examples that hold on the reference executor, and by the nearest ones that
do not check."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import ir
from analyzer.errors import SpecError
from analyzer.source import Source
from analyzer.syntax.load import load_source
from emulator.assemble import assemble_line
from emulator.disassemble import show
from emulator.examples import run_example


def spec(items: str) -> ir.Isa:
    """The machine of the paper with more items."""
    return load_source(Source("t.isa", f"isa t extends pg1974\n{items}"))[0]


def wrong(items: str) -> list[tuple[str, str]]:
    """What is wrong with the items: codes, and the text that each points at."""
    text = f"isa t extends pg1974\n{items}"
    with pytest.raises(SpecError) as caught:
        load_source(Source("t.isa", text))
    return [(d.code, text[d.span.start : d.span.end] if d.span else "") for d in caught.value.diagnostics]


HOLD = {
    "base without arguments has the operands of the override": """
        override instr "add {r1}, {r2}" = 0x01 r1 r2 _:50 { base();  r[7] = 1 }
        example "add r1, r2" from { r[1] = 5, r[2] = 7 } to { r[1] = 12, r[7] = 1 }
    """,
    "base under a condition": """
        override instr "add {r1}, {r2}" = 0x01 r1 r2 _:50 { if r1 != 0 { base() } else { r1 = 9 } }
        example "add r1, r2" from { r[1] = 5, r[2] = 7 } to { r[1] = 12 }
        example "add r1, r2" from { r[2] = 7 } to { r[1] = 9 }
    """,
    "base with other operands, by position in the assembly text or by name": """
        override instr "add {r1}, {r2}" = 0x01 r1 r2 _:50 { base(r2, r1);  base(r2 = r1) }
        example "add r1, r2" from { r[1] = 5, r[2] = 7 } to { r[1] = 10, r[2] = 12 }
    """,
    "base of a map is the address that it would give": """
        override map mem[a: 21] on E { trap memory if access == write and a == 3;  return base(a + 1) }
        instr "get {r1}, {a}" = 0x60 r1 _:32 a { r1 = mem[a] }
        instr "put {r1}, {a}" = 0x61 r1 _:32 a { mem[a] = r1 }
        example "get r1, 4" from { b = 100, l = 10, E[15] = 77, q = 1000 } to { r[1] = 77 }
        example "get r1, 4" from { b = 5, l = 10, E[15] = 77, q = 1000 } to trap memory
        example "put r1, 3" from { b = 100, q = 1000 } to trap memory
    """,
    "base of a map with arguments, and its defaults": """
        map other[a: 21] (from: 21 = l) on E { return from + a }
        override map other[a: 21] on E { return if a[0] then base(a, from = 100) else base(a) }
        instr "get {r1}, {a}" = 0x60 r1 _:32 a { r1 = other[a] }
        example "get r1, 3" from { l = 10, E[103] = 77, q = 1000 } to { r[1] = 77 }
        example "get r1, 2" from { l = 10, E[12] = 66, q = 1000 } to { r[1] = 66 }
    """,
    "bits of what a call returns": """
        fn twice(v: w) -> w = v + v
        instr "parity {r1}" = 0x60 r1 _:53 { r1 = zext(popcount(r1)[0]) }
        instr "low {r1}" = 0x61 r1 _:53 { r1 = zext(twice(r1)[7:4]) }
        instr "top {r1}" = 0x62 r1 _:53 { r1 = zext(zext(r1[3:0], 8)[5:2]) }
        example "parity r1" from { r[1] = 0x700 } to { r[1] = 1 }
        example "low r1" from { r[1] = 0x48 } to { r[1] = 9 }
        example "top r1" from { r[1] = 0x3C } to { r[1] = 3 }
    """,
    "conditions that tell encodings apart": """
        instr "even {r1}" = 0x60 r1 i:3 _:50 where not i[0] and i != 6 { r1 = 2 }
        instr "odd {r1}" = 0x60 r1 i:3 _:50 where i[0] or i == 6 { r1 = 1 }
        instr "wide {r1}" = 0x61 k:20 r1 _:33 where k < 7 { r1 = 2 }
        instr "far {r1}" = 0x61 k:20 r1 _:33 where k >= 7 { r1 = 1 }
        example "even r1" from { } to { r[1] = 2 }
        example "odd r1" from { } to { r[1] = 1 }
    """,
    "a number in a pattern, by its name and in some width": """
        param CODE = 0x61
        format G(op) = op 01 r1 _:51
        for { name | low
              "p"  | 5
              "q"  | 6 }
        instr "{name} {r1}" = CODE:8 low:3 r1 _:50 { r1 = low }
        instr "g {r1}" = G(0x60) { r1 = 1 }
        example "p r1" from { } to { r[1] = 5 }
        example "q r1" from { } to { r[1] = 6 }
        example "g r1" from { } to { r[1] = 1 }
    """,
}


@pytest.mark.parametrize("items", HOLD.values(), ids=HOLD)
def test_holds(items: str) -> None:
    isa = spec(items)
    own = [(i, e) for i in isa.instructions for e in i.examples if e.span is not None and e.span.file == "t.isa"]
    assert len(own) == items.count("example ")
    assert not [d for instruction, example in own for d in run_example(isa, instruction, example)]


OWNERS = {
    "the row that an example begins with": (
        """
        for { op | c
              "ax" | 0x60
              "bx" | 0x61 }
        instr "{op} {r1}" = c r1 _:53 { r1 = 1 }
        example "bx r1" from { } to { r[1] = 1 }
        """,
        {"bx": ["bx r1"]},
    ),
    "one of several templates in a block": (
        """
        for { op | c
              "x" | 0x60
              "y" | 0x61 } {
          instr R "{op}r {r1}" = c 0 r1 _:52 { r1 = 1 }
          instr I "{op}i {r1}" = c 1 r1 _:52 { r1 = 2 }
        }
        example "yi r1" from { } to { r[1] = 2 }
        example "xr r1" from { } to { r[1] = 1 }
        """,
        {"I.y": ["yi r1"], "R.x": ["xr r1"]},
    ),
    "an example after a list, and one of what is inherited": (
        """
        instr "ax {r1}" = 0x60 r1 _:53 { r1 = 1 }
        before ax { trap privileged if M == u }
        example "ax r1" from { M = u } to trap privileged
        example "sub r1, r1" from { r[1] = 4 } to { r[1] = 0 }
        """,
        {"ax": ["ax r1"], "sub": ["sub r1, r1"]},
    ),
    "words in braces, and the longest word": (
        """
        operand rep : 1
        operand cc : 1 names "eq ne"
        instr "{rep?rep }ax {r1}" = 0x60 rep r1 _:52 { r1 = 1 }
        instr "b{cc} {r1}" = 0x61 cc r1 _:52 { r1 = 2 }
        instr "bn{cc} {r1}" = 0x62 cc r1 _:52 { r1 = 3 }
        example "rep ax r1" from { } to { r[1] = 1 }
        example "bnne r1" from { } to { r[1] = 3 }
        example "beq r1" from { } to { r[1] = 2 }
        """,
        {"ax": ["rep ax r1"], "bn": ["bnne r1"], "b": ["beq r1"]},
    ),
    "what an extending spec removes or overrides takes its examples along": (
        """
        remove mov
        override instr "sub {r1}, {r2}" = 0x02 r1 r2 _:50 { r1 = 0 }
        """,
        {},
    ),
}


@pytest.mark.parametrize(("items", "expected"), OWNERS.values(), ids=OWNERS)
def test_examples_go_to_the_instruction_that_they_begin_with(items: str, expected: dict[str, list[str]]) -> None:
    found = {
        i.name: [e.asm for e in i.examples if e.span is not None and e.span.file == "t.isa"]
        for i in spec(items).instructions
    }
    assert {name: texts for name, texts in found.items() if texts} == expected


def test_examples_of_what_is_overridden_are_gone() -> None:
    base, changed = spec(""), spec(OWNERS["what an extending spec removes or overrides takes its examples along"][0])
    assert base.instruction("sub").examples
    assert not changed.instruction("sub").examples
    assert base.instruction("add").examples == changed.instruction("add").examples


WRONG = {
    "conditions that both hold": (
        'instr "even {r1}" = 0x60 r1 i:3 _:50 where not i[0] { r1 = 2 }\n'
        'instr "most {r1}" = 0x60 _:6 r1 _:47 where r1.code != 0 { r1 = 1 }',
        [("PG330", 'instr "most {r1}" = 0x60 _:6 r1 _:47 where r1.code != 0 { r1 = 1 }')],
    ),
    "a condition that holds for what another one fixes": (
        'instr "even {r1}" = 0x60 r1 i:3 _:50 where not i[0] { r1 = 2 }\n'
        'instr "two {r1}" = 0x60 r1 010 _:50 { r1 = 1 }',
        [("PG330", 'instr "two {r1}" = 0x60 r1 010 _:50 { r1 = 1 }')],
    ),
    "a base that is not `here`": (
        'operand near : 8 relative(P)\ninstr "x {near}" = 0x60 near _:48 { P = here + sext(near) }',
        [("PG216", "P")],
    ),
    "a base of what is not relative": (
        'operand near : 8 signed(here)\ninstr "x {near}" = 0x60 near _:48 { P = here + sext(near) }',
        [("PG264", "here")],
    ),
    "an example of nothing": (
        'before add { }\nexample "bogus r1" from { } to { r[1] = 1 }',
        [("PG274", '"bogus r1"')],
    ),
    "an example after something else": (
        'instr "ax {r1}" = 0x60 r1 _:53 { r1 = 1 }\nexample "bogus r1" from { } to { r[1] = 1 }',
        [("PG274", '"bogus r1"')],
    ),
    "a parameter of a format defines no field": (
        'format G(op) = op:8 r1 _:53\ninstr "g {r1}" = G(0x60) { r1 = 1 }',
        [("PG250", "op")],
    ),
    "a column defines no field": (
        'for { op  | value\n      "p" | 1 }\ninstr "{op} {r1}" = 0x60 op:5 r1 _:48 { r1 = value }',
        [("PG250", "op")],
    ),
    "a number that does not fit in its bits": (
        'param CODE = 9\ninstr "g {r1}" = 0x60 CODE:3 r1 _:50 { r1 = 1 }',
        [("PG212", "CODE")],
    ),
    "base wants what the override does not have": (
        'override instr "add {r1}, {a}" = 0x01 r1 _:32 a { base() }',
        [("PG222", "base()")],
    ),
    "base has no such operand": (
        'override instr "add {r1}, {r2}" = 0x01 r1 r2 _:50 { base(r3 = r1) }',
        [("PG222", "r3 = r1")],
    ),
    "base of a map outside of it": (
        'override map mem[a: 21] on E { return a }\ninstr "x {r1}" = 0x60 r1 _:53 { r1 = zext(base(0)) }',
        [("PG201", "base")],
    ),
    "bits of a call that there are not": (
        'instr "x {r1}" = 0x60 r1 _:53 { r1 = zext(popcount(r1)[64]) }',
        [("PG228", "64")],
    ),
}


JUMPS = """
operand near : 8 relative
operand counted : 8 relative(here)
instr "near {near}" = 0x60 near, k:16 { pc = here + 2 + sext(near) }
instr "counted {counted}" = 0x61 counted, k:16 { pc = here + sext(counted) }
instr "far {k:relative(here + 2)}" = 0x6200, k:16 { pc = here + 2 + sext(k) }
"""
"""Jumps of which the value counts from the end of its own word, from the instruction, and from its second word."""


@pytest.mark.parametrize(
    ("name", "operand", "value", "target"),
    [("near", "near", 4, 0x106), ("counted", "counted", 4, 0x104), ("far", "k", 4, 0x106), ("far", "k", 0xFFFE, 0x100)],
)
def test_relative_operands_count_from_where_they_say(name: str, operand: str, value: int, target: int) -> None:
    text = Path(__file__).parent.joinpath("golden/base.isa").read_text(encoding="utf-8").replace("isa base", "isa t")
    isa = load_source(Source("t.isa", text + JUMPS))[0]
    shown = show(isa, isa.instruction(name), {operand: value}, 0x100)
    assert shown == f"{name} {target:#x}"
    assert assemble_line(isa, shown, 0x100).operands[operand] == value


@pytest.mark.parametrize(("items", "expected"), WRONG.values(), ids=WRONG)
def test_is_refused(items: str, expected: list[tuple[str, str]]) -> None:
    assert wrong(items) == expected
