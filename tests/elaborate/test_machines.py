"""Fragments of machines with unusual encodings, and all bundled specs: they elaborate to well-formed IR."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import ir
from analyzer.passes import check
from analyzer.syntax.load import bundled, load

MACHINES = sorted((Path(__file__).parent / "machines").glob("*.isa"))


@pytest.mark.parametrize("name", [*bundled(), *map(str, MACHINES)], ids=lambda name: Path(name).stem)
def test_well_formed(name: str) -> None:
    assert check.check(load(name)) == []


def machine(stem: str) -> dict[str, ir.Instruction]:
    """The instructions of a fragment."""
    return {i.name: i for i in load(str(Path(__file__).parent / "machines" / f"{stem}.isa")).instructions}


def test_an_operand_nested_in_itself_is_one_deep() -> None:
    leaves = [operand.name for operand in machine("vax")["movpsl"].operands]
    assert sorted(leaves) == ["dstl", "dstl.base.k", "dstl.base.k8", "dstl.k", "dstl.k8"]


def test_what_cannot_be_written_traps_if_the_operand_says_so() -> None:
    body = machine("vax")["movpsl"].body
    assert any(isinstance(s, ir.Trap) and s.trap == "resaddr" for s in ir.statements(body))


def test_should_be_bits_are_checked_first() -> None:
    instruction = machine("armv7")["msr"]
    assert [o.name for o in instruction.operands if o.name.startswith("should_be")] == ["should_be", "should_be1"]
    assert isinstance(instruction.body[2], ir.When)
    assert isinstance(instruction.body[2].then[0], ir.Unpredictable)
