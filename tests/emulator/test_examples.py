"""A spec's examples."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from toy import toy

from analyzer import ir
from analyzer.source import Span
from emulator.examples import run_example, run_examples

ISA = toy()
SPAN = Span("toy.isa", 10, 20, 2, 3)


def test_good_examples() -> None:
    assert run_examples(ISA) == ()


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (ir.Example("add r1, r2", (), (ir.Fact("r", 1, 1),)), "r[1] is 0x0, not 0x1"),
        (ir.Example("add r1", ()), "fits no form"),
        (ir.Example("add r1, r2", (ir.Fact("zz", 1),)), "there is no place zz"),
        (ir.Example("add r1, r2", (), (ir.Fact("zz", 1),)), "there is no place zz"),
        (ir.Example("add r1, r2", (), trap="memory"), "should trap `memory`, but it completed"),
    ],
)
def test_bad_examples(example: ir.Example, message: str) -> None:
    (failure,) = run_example(ISA, ISA.instruction("add"), replace(example, span=SPAN))
    assert (failure.code, failure.span) == ("PG401", SPAN)
    assert message in failure.message


def test_memory_through_the_map() -> None:
    before = (
        ir.Fact("base", 0x200),
        ir.Fact("bound", 0x100),
        ir.Fact("M", 1),
        ir.Fact("mem", 0x1234, 0x20, 16),
        ir.Fact("r", 0x20, 2),
    )
    after = (ir.Fact("r", 0x1234, 1), ir.Fact("phys", 0x1234, 0x220, 16), ir.Fact("mem", 0x1234, 0x20, 16))
    assert run_example(ISA, ISA.instruction("ld"), ir.Example("ld r1, (r2)", before, after)) == ()
