"""Instructions that execute others stay in generated code."""

from __future__ import annotations

import pytest

from emulator.interface import Exit, Ram
from emulator.machine.base import BaseMachine
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.plain import PlainMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

KA10 = {
    0o100: "again:\nxct 0o200\nxct 0o201(1)\nxct 0o210\naddi 1, 1\nandi 1, 3\nxct 0o204\njrst again\njrst again\n",
    0o200: "addi 2, 1\nmove 4, 3\nmovem 4, 0o300\naddi 5, 7\naose 1, 0o301\nskipa 7, 0o300\n",
    0o210: "xct 0o211\nxct 0o212\naddi 6, 1\n",
}
"""One that adds, one of four by an index, one three deep, and one that skips or jumps."""

S370 = {
    0x400: "again:\nex r2, 0x500\nex r0, 0x506\nex r3, 0x510\nbct r4, 0x400\nbc 15, 0x400\n",
    0x500: "mvc 0x800(1), 0x900\n",
    0x506: "ar r5, r2\n",
    0x510: "bcr 0, r6\n",
}
"""A move whose length is in a register, a sum, a jump or none by the mask in a register."""


def machines(engine: Engine, name: str, memory: str, texts: dict[int, str], hot: int) -> list[BaseMachine]:
    isa, regions = spec(name), [Ram(memory, 0, 1 << 14)]
    found: list[BaseMachine] = [
        PlainMachine(isa, regions),
        NativeMachine(isa, regions, None, engine, Tuning(hot, share=1e9, eager=1)),
    ]
    for machine in found:
        for at, text in texts.items():
            for address, unit in assemble(isa, text, at).cells.items():
                machine.write(memory, unit, address)
    return found


def agree(found: list[BaseMachine], stops: list[int]) -> None:
    plain, mine = found
    for steps in stops:
        assert plain.run(steps) == mine.run(steps)
        assert not plain.to_state().diff(mine.to_state())


@pytest.fixture
def references(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the reference has executed steps."""
    found: list[int] = []
    step = NativeMachine._reference_step

    def noted(machine: NativeMachine) -> Exit | None:
        found.append(machine._pc())
        return step(machine)

    monkeypatch.setattr(NativeMachine, "_reference_step", noted)
    return found


@pytest.mark.parametrize("hot", [0, 3], ids=["interpreter", "regions"])
def test_executed_words_of_a_pdp10(hot: int, engine: Engine, references: list[int]) -> None:
    found = machines(engine, "ka10", "core", KA10, hot)
    for machine in found:
        machine.write("pc", 0o100)
    agree(found, [1, 2, 5, 40, 1, 1, 1, 300, 17, 1000])
    assert not references


@pytest.mark.parametrize("hot", [0, 3], ids=["interpreter", "regions"])
def test_executed_words_of_a_system_370(hot: int, engine: Engine, references: list[int]) -> None:
    found = machines(engine, "s370", "core", S370, hot)
    for machine in found:
        machine.write("psw", 0x0008000000000400)
        for index, value in ((2, 7), (3, 0), (4, 50), (6, 0x400)):
            machine.write("r", value, index)
    agree(found, [1, 2, 5, 40])
    for length in (1, 3, 200):
        for machine in found:
            machine.write("r", length, 2)
        agree(found, [3, 30, 1])
    for machine in found:
        machine.write("r", 0xF0, 3)  # the mask of the jump: now it is taken, to the beginning
    agree(found, [3, 3, 30])
    assert not references


def test_a_trap_in_an_executed_word_is_that_of_the_instruction(engine: Engine) -> None:
    """EX of an instruction that is privileged: the interruption tells where EX ends."""
    found = machines(engine, "s370", "core", S370 | {0x500: "lpsw 0x800\n"}, 0)
    for machine in found:
        machine.write("psw", 0x0009000000000400)  # in the problem state
        machine.write("core", 0x0008000000000400, 0x68, 64)
    agree(found, [1])
    assert found[1].read("core", 0x28, 64) == 0x0009000000000404
    agree(found, [1, 3, 1, 20])


def test_words_that_execute_one_another_end(engine: Engine) -> None:
    """Five deep is one too much for this processor."""
    chain = {0o100: "xct 0o200\n", 0o200: "xct 0o201\nxct 0o202\nxct 0o203\nxct 0o204\nxct 0o205\naddi 1, 1\n"}
    found = machines(engine, "ka10", "core", chain, 0)
    for machine in found:
        machine.write("pc", 0o100)
    agree(found, [1])
