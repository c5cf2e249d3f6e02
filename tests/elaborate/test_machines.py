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


def fragment(stem: str) -> ir.Isa:
    return load(str(Path(__file__).parent / "machines" / f"{stem}.isa"))


def machine(stem: str) -> dict[str, ir.Instruction]:
    """The instructions of a fragment."""
    return {i.name: i for i in fragment(stem).instructions}


def traps(instruction: ir.Instruction) -> list[str]:
    """The traps that an instruction raises itself, in order."""
    return [s.trap for s in ir.statements(instruction.body) if isinstance(s, ir.Trap)]


def test_an_exit_comes_before_what_is_inherited() -> None:
    isa = fragment("ia32-vtx")
    assert traps(isa.instruction("hlt")) == ["vmexit", "gp0"]
    assert traps(load("ia32").instruction("hlt")) == ["gp0"]
    assert {n for n, e in isa.elements.items() if e.role is ir.Role.INTERCEPT} == {
        "proc.HLT",
        "proc.RDTSC",
        "desc_exiting",
        "exc",
    }
    assert len(isa.mode.modes()) == 8


def test_a_status_word_in_memory_is_its_fields() -> None:
    bus = fragment("pdp11").spaces["bus"]
    assert isinstance(bus, ir.Bus)
    assert bus.write is not None
    written = {s.element for s in ir.statements(bus.write.body) if isinstance(s, ir.Set)}
    assert {"psw.CM", "psw.C", "mmr0.ON"} <= written


def test_autoincrement_steps_after_the_address_is_taken() -> None:
    body = machine("pdp11")["mov"].body
    steps = [s for s in ir.statements(body) if isinstance(s, ir.SetEntry) and s.file == "g"]
    assert steps
    loads = [s for s in ir.statements(body) if isinstance(s, ir.Load)]
    assert all(not isinstance(load_.access.address, ir.GetEntry) for load_ in loads)


def test_banked_registers_are_chosen_by_the_mode() -> None:
    isa = fragment("armv7")
    banks = {e for e in (*isa.elements, *isa.files) if "fiq" in e}
    assert banks
    reads = {
        e.file
        for i in isa.instructions
        for s in ir.statements(i.body)
        for x in ir.expressions(s)
        for e in ir.subterms(x)
        if isinstance(e, ir.GetEntry)
    }
    assert reads & banks


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
