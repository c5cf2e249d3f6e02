"""Decoding and encoding."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import pytest
from toy import toy

from analyzer import load
from analyzer.errors import UsageError
from emulator.decode import PREFIX_PARCELS, completed, decode, decode_units, encode, fitting, length
from emulator.state import State

ISA = toy()


def fetched(units: list[int], state: State | None = None) -> tuple[str | None, int]:
    """The instruction's name, and how many parcels were fetched."""
    asked: list[int] = []

    def fetch(i: int) -> int:
        asked.append(i)
        return units[i]

    decoded = decode(ISA, fetch, state)
    assert asked == list(range(len(asked))), "each parcel is fetched once, in order"
    return decoded and decoded.instruction.name, len(asked)


@pytest.mark.parametrize(
    ("units", "name"),
    [
        ([0x01, 0x11], "add"),
        ([0x09, 0x34, 0x12], "ldi"),
        ([0x10, 0x22], "ld"),
        ([0x10, 0x32, 0xFB, 0xFF], "ld"),
        ([0x30], "svc"),
        ([0x66, 0x66, 0x30], "svc"),
    ],
)
def test_no_more_is_fetched_than_needed(units: list[int], name: str) -> None:
    assert fetched(units) == (name, len(units))


def test_undefined() -> None:
    assert fetched([0xFF]) == (None, 1)
    assert fetched([0x01, 0xC0]) == (None, 2)
    assert decode_units(ISA, [0x01]) is None
    assert decode_units(ISA, [0x66] * 200) is None


def test_conditional_segments() -> None:
    decoded = decode_units(ISA, encode(ISA, ISA.instruction("ld"), {"a": 1, "ea": 0b10010, "ea.k": 0xFFFE}))
    assert decoded is not None
    assert (dict(decoded.operands), decoded.length) == (
        {"a": 1, "ea": 0b10010, "ea.k": 0xFFFE, "wide": 0, PREFIX_PARCELS: 0},
        4,
    )
    decoded = decode_units(ISA, encode(ISA, ISA.instruction("ld"), {"a": 1, "ea": 0b00010}))
    assert decoded is not None
    assert (decoded.operands["ea.k"], decoded.length) == (0, 2)


def test_prefixes_and_state_choose_the_instruction() -> None:
    state = State(ISA)
    names = []
    for d in (0, 1):
        state.write("D", d)
        names.append([fetched(units, state)[0] for units in ([0x59], [0x66, 0x59], [0x66, 0x66, 0x59])])
    assert names == [["clrb", "clrw", "clrw"], ["clrw", "clrb", "clrb"]]


@pytest.mark.parametrize("endian", ["little", "big"])
def test_encode_and_decode_are_inverse(endian: str) -> None:
    isa, generator = toy(endian), random.Random(1)  # type: ignore[arg-type]
    for instruction in isa.instructions:
        for _ in range(20):
            operands = {o.name: generator.getrandbits(o.width) for o in instruction.operands}
            operands["wide"] = generator.getrandbits(1)
            try:
                units = encode(isa, instruction, operands)
            except UsageError:
                assert operands.get("ea", 0b10000) >> 3 != 2, "only an operand without its segment does not encode"
                continue
            assert length(isa, instruction, operands) == len(units)
            decoded = decode_units(isa, units)
            if decoded is None or decoded.instruction is not instruction:
                assert instruction.where is not None
            else:
                assert decoded.operands == completed(isa, instruction, operands)
                assert decoded.length == len(units)


@pytest.mark.parametrize("operands", [{"a": 8}, {"z": 0}, {"a": -1}, {"wide": 2}])
def test_bad_operands(operands: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        encode(ISA, ISA.instruction("clrb"), operands)


def test_what_has_no_place_is_left_out() -> None:
    """Of the operands of MOVE on the 68000, most have a place only in extension words that are there or not."""
    isa = load("m68000")
    move = isa.instruction("move.w")
    chance = random.Random(1)
    operands = [{o.name: chance.getrandbits(o.width) for o in move.operands} for _ in range(200)]
    lengths = Counter(len(encode(isa, move, fitting(isa, move, each))) for each in operands)
    assert lengths[2] > 10, "register to register"
    assert lengths.keys() >= {2, 4, 6, 8}
    with pytest.raises(UsageError, match="have no place"):
        list(map(partial(encode, isa, move), operands))


def test_what_has_a_place_stays() -> None:
    isa = load("pg1974")
    for instruction in isa.instructions:
        operands = {o.name: (1 << o.width) - 1 for o in instruction.operands}
        assert fitting(isa, instruction, operands) == operands
