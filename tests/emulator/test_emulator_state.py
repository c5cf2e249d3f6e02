"""The concrete state: places by name, registers as layouts, sparse memory, differences."""

from __future__ import annotations

import random

import pytest
from toy import toy

from analyzer import ir
from analyzer.errors import UsageError
from emulator.state import State

ISA = toy()


def test_reset() -> None:
    state = State(ISA)
    assert state.read("frame") == 0x100
    assert state.read("ports", 11) == 0x11
    assert state.read("q") == (1 << 17) - 1, "a choice that sizes a memory starts at its greatest value"
    assert state.read("variant") == 0
    assert state.mode() == "super"


def test_a_register_is_its_parts() -> None:
    state = State(ISA)
    state.write("status", 0xFF)
    assert state.read("status") == 0xCD
    assert [state.read(e) for e in ("M", "W", "K", "Z")] == [1, 1, 3, 1]


def test_a_program_writes_a_register_by_its_rules() -> None:
    state = State(ISA)
    state.write("status", 0x44)  # W = 1, K = 1
    state.write_register("status", 0x8D)  # ro M, W kept by a 0, K = 3 is not legal, Z = 1
    assert [state.read(e) for e in ("M", "W", "K", "Z")] == [0, 1, 1, 1]
    state.write_register("status", 0x48)  # a 1 clears W
    assert [state.read(e) for e in ("M", "W", "K", "Z")] == [0, 0, 2, 0]


def test_hard_wired_and_missing_entries_ignore_writes() -> None:
    state = State(ISA)
    state.write("r", 5, 0)
    state.write("ports", 5, 15)
    assert state == State(ISA)
    assert state.read("ports", 15) == 0


@pytest.mark.parametrize(("endian", "units"), [("little", [0x34, 0x12]), ("big", [0x12, 0x34])])
def test_byte_order(endian: str, units: list[int]) -> None:
    state = State(toy(endian))  # type: ignore[arg-type]
    state.set(ir.Fact("phys", 0x1234, 0xFFFF, 16))
    assert [state.read("phys", 0xFFFF), state.read("phys", 0)] == units
    assert state.holds(ir.Fact("phys", 0x1234, 0xFFFF, 16))


def test_copies_are_independent() -> None:
    state = State(ISA)
    state.write("phys", 1, 5)
    copy = state.copy()
    assert copy == state
    state.write("phys", 2, 5)
    copy.write("phys", 3, 6)
    copy.write("r", 9, 1)
    assert [state.read("phys", 5), state.read("phys", 6), state.read("r", 1)] == [2, 0, 0]
    assert [str(d) for d in state.diff(copy)] == ["r[1]: 0x0 → 0x9", "phys[0x5]: 0x2 → 0x1", "phys[0x6]: 0x0 → 0x3"]


def test_unwritten_memory_is_equal_to_its_default() -> None:
    state = State(ISA)
    state.write("phys", 0, 7)
    assert state == State(ISA)


def test_random_states_are_reproducible_and_legal() -> None:
    a, b = (State.random(ISA, random.Random(3)) for _ in range(2))
    assert a.elements == b.elements
    assert a.files == b.files
    assert [a.read("phys", i) for i in range(64)] == [b.read("phys", i) for i in range(64)]
    assert a.read("r", 0) == 0
    assert all(State.random(ISA, random.Random(i)).read("K") in (0, 1, 2) for i in range(20))


@pytest.mark.parametrize(
    ("place", "value", "index"),
    [("nothing", 0, None), ("r", 0, None), ("pc", 0, 1), ("M", 2, None), ("r", 1 << 16, 1), ("pc", -1, None)],
)
def test_bad_writes(place: str, value: int, index: int | None) -> None:
    with pytest.raises(UsageError):
        State(ISA).write(place, value, index)
