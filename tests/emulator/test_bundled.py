"""Every bundled spec: decoding, assembly, its examples, and that nothing crashes the reference executor."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from analyzer import ir
from analyzer.syntax.load import load
from emulator.assemble import assemble_line
from emulator.decode import PREFIX_PARCELS, Decoded, completed, decode_units, encode, length
from emulator.disassemble import disassemble, show
from emulator.evaluate import Environment, constant_operands, made
from emulator.examples import run_examples
from emulator.reference import Halted, Machine, Policy
from emulator.state import State

SPECS = sorted(path.stem for path in (Path(__file__).parents[2] / "isa_specs").glob("*.isa"))
ENCODINGS = 800
"""About so many encodings are tried of each spec, and at least one of each instruction."""
ADDRESS = 0x1000

isa_of = functools.cache(load)


@functools.cache
def reset(spec: str) -> State:
    return State(isa_of(spec))


def drawn(spec: str, instruction: ir.Instruction, seed: int) -> Mapping[str, int] | None:
    """Random operands that the instruction can have at reset; None if none were found."""
    isa, state, generator = isa_of(spec), reset(spec), random.Random(f"{spec} {instruction.name} {seed}")
    for attempt in range(200):
        operands = {o.name: 0 for o in instruction.operands}
        for prefix in isa.prefixes:
            values = [prefix.default, *(v for _, v in prefix.values)]
            operands[prefix.name] = generator.choice(values) if attempt % 4 == 3 else prefix.default
        operands = completed(isa, instruction, operands)
        environment = Environment(state.elements, state.files, state.choices, operands)
        for segment in instruction.segments:
            if segment.when is None or made(segment.when, isa)(environment, {}):
                for f in segment.fields:
                    operands[f.operand] |= generator.getrandbits(f.length) << f.operand_lo
        if instruction.where is None or made(instruction.where, isa)(environment, {}):
            return completed(isa, instruction, operands)
    return None


@functools.cache
def encodings(spec: str) -> list[tuple[ir.Instruction, Mapping[str, int], tuple[int, ...]]]:
    """Some encodings of every instruction that has any at reset."""
    isa = isa_of(spec)
    return [
        (instruction, operands, encode(isa, instruction, operands))
        for instruction in isa.instructions
        for seed in range(1 + min(9, ENCODINGS // len(isa.instructions)))
        if (operands := drawn(spec, instruction, seed)) is not None
    ]


@pytest.mark.parametrize("spec", SPECS)
def test_every_instruction_can_be_encoded(spec: str) -> None:
    """At reset or in a state that a random one comes to; what no state decodes would be dead text."""
    isa = isa_of(spec)
    found = {instruction.name for instruction, _, _ in encodings(spec)}
    assert [i.name for i in isa.instructions if i.name not in found and not _reads_state(i)] == []


def _reads_state(instruction: ir.Instruction) -> bool:
    where = instruction.where
    return where is not None and any(isinstance(e, (ir.Get, ir.GetEntry)) for e in ir.subterms(where))


@pytest.mark.parametrize("spec", SPECS)
def test_decoding_inverts_encoding(spec: str) -> None:
    isa = isa_of(spec)
    for instruction, operands, units in encodings(spec):
        decoded = decode_units(isa, units)
        assert decoded is not None, (instruction.name, operands)
        assert decoded.instruction.name == instruction.name
        assert decoded.operands == operands
        assert decoded.length == len(units) == length(isa, instruction, operands)


@pytest.mark.parametrize("spec", SPECS)
def test_assembly_inverts_disassembly(spec: str) -> None:
    """Text means an instruction with this text, and the very same one unless it has bits that the text does not tell:
    ignored ones, or a shorter encoding that the manual writes the same way."""
    isa = isa_of(spec)
    for instruction, operands, units in encodings(spec):
        text = disassemble(isa, Decoded(instruction, operands, len(units)), ADDRESS)
        again = assemble_line(isa, text, ADDRESS)
        assert show(isa, again.instruction, again.operands, ADDRESS) == text
        decoded = decode_units(isa, again.units)
        assert decoded is not None
        assert (decoded.instruction, decoded.operands) == (again.instruction, again.operands)
        shorter = len(again.units) < len(units)
        if again.instruction is instruction and not shorter and tells_all(isa, instruction, operands):
            assert again.units == units, (instruction.name, text, operands, dict(again.operands))


def tells_all(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> bool:
    """Whether the text, and the conditions on it, speak of every operand bit that is set."""
    told: dict[str, int] = {}

    def note(expr: ir.Expr, mask: int) -> None:
        match expr:
            case ir.Operand():
                told[expr.name] = told.get(expr.name, 0) | mask
            case ir.Extract():
                note(expr.arg, mask << expr.lo)
            case _:
                for child in ir.children(expr):
                    note(child, (1 << (ir.width(child) or 1)) - 1)

    def walk(syntax: ir.Syntax) -> bool:
        for piece in syntax:
            if isinstance(piece, ir.Show):
                note(piece.expr, (1 << (ir.width(piece.expr) or 1)) - 1)
            elif isinstance(piece, ir.Choose):
                for cond, arm in piece.arms:
                    note(cond, 1)
                    if made(cond, isa)(constant_operands(operands), {}):
                        if not walk(arm):
                            return False
                        break
                else:
                    return False  # an encoding that the manual has no text for
        return True

    if not walk(instruction.syntax):
        return False
    if instruction.where is not None:
        note(instruction.where, 1)
    return all(not value & ~told.get(name, 0) for name, value in operands.items() if name != PREFIX_PARCELS)


@pytest.mark.parametrize("spec", SPECS)
def test_examples(spec: str) -> None:
    assert "\n".join(map(str, run_examples(isa_of(spec)))) == ""


def check(state: State) -> None:
    """Every value fits its place."""
    for name, element in state.isa.elements.items():
        assert 0 <= state.elements[name] < 1 << element.width, name
        assert element.legal is None or state.elements[name] in element.legal, name
    for name, file in state.isa.files.items():
        assert all(0 <= v < 1 << file.width for v in state.files[name]), name


@pytest.mark.parametrize("spec", SPECS)
def test_random_programs_never_crash_the_executor(spec: str) -> None:
    isa = isa_of(spec)
    for seed in range(4):
        machine = Machine(isa, State.random(isa, random.Random(seed)), Policy(budget=5000))
        for _ in range(40):
            event = machine.step()
            if isinstance(event, Halted):
                machine.state.elements[event.element] = 0
        check(machine.state)


@pytest.mark.parametrize("spec", SPECS)
def test_every_instruction_runs_in_random_states(spec: str) -> None:
    isa, generator = isa_of(spec), random.Random(spec)
    for instruction, operands, units in encodings(spec):
        state = State.random(isa, generator)
        before = state.copy()
        machine = Machine(isa, state, Policy(budget=5000, deliver=False))
        machine.execute(instruction, operands, len(units))
        check(state)
        before.diff(state)


@pytest.mark.parametrize("spec", SPECS)
def test_instructions_run_from_memory(spec: str) -> None:
    """Straight-line code of each instruction once, from reset, where fetching works at all."""
    isa = isa_of(spec)
    machine = Machine(isa, reset(spec).copy(), Policy(budget=5000))
    for _, _, units in encodings(spec):
        for cells in machine.state.memories.values():
            for address, unit in enumerate(units, machine.state.pc()):
                cells[address] = unit
        event = machine.step()
        if isinstance(event, Halted):
            machine.state.elements[event.element] = 0
    check(machine.state)
