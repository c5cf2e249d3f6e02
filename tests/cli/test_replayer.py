"""The reference executor as the analyzer sees it."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from analyzer import ir
from analyzer.replayer import MachineState, Ran, Replayer
from analyzer.syntax.load import load
from emulator.replay import ReferenceReplayer, replay_of, trace

REPLAYER: Replayer = ReferenceReplayer()


@functools.cache
def isa() -> ir.Isa:
    return load("pg1974")


def run(name: str, operands: Mapping[str, int], memory: Mapping[int, int] | None = None, **elements: int) -> Ran:
    start = MachineState({"q": 1000, "b": 10, **elements}, {"r": {1: 5, 2: 7}}, {"E": memory or {}})
    return REPLAYER.run(isa(), isa().instruction(name), operands, start)


def test_completes() -> None:
    ran = run("add", {"r1": 1, "r2": 2})
    assert (ran.ending, ran.memory) == ("completes", False)
    assert ran.files["r"][1] == 12
    assert ran.elements["P"] == 1


def test_what_is_not_named_is_zero() -> None:
    ran = run("add", {"r1": 3, "r2": 4})
    assert ran.files["r"][3] == 0
    assert ran.elements["M"] == 0


def test_a_trap_is_not_delivered() -> None:
    ran = run("lpsw", {"a": 1}, M=1)
    assert (ran.ending, ran.memory) == ("privileged", False)
    assert ran.elements["M"] == 1
    assert ran.writes == ()


def test_a_memory_trap() -> None:
    ran = run("ld", {"r1": 1, "a": 10})
    assert (ran.ending, ran.memory) == ("memory", True)


def test_writes() -> None:
    ran = run("st", {"r1": 1, "r2": 0, "a": 3}, l=100)
    assert ran.writes == (("mem", 3, 64, 5),)


def test_memory() -> None:
    assert run("ld", {"r1": 1, "a": 3}, {103: 77}, l=100).files["r"][1] == 77


def test_operands_without_an_encoding() -> None:
    assert run("add", {"r1": 8}).ending == "not encodable"
    assert REPLAYER.assembly(isa(), isa().instruction("add"), {"nope": 1})[1] == ""


def test_assembly() -> None:
    text, units = REPLAYER.assembly(isa(), isa().instruction("add"), {"r1": 1, "r2": 2})
    assert text == "add r1, r2"
    assert units == "0128000000000000"


def test_trace() -> None:
    start = MachineState({"q": 1000, "b": 10, "l": 100}, {"r": {1: 5}}, {})
    done = replay_of(isa(), isa().instruction("st"), {"r1": 1, "a": 3}, start)
    assert trace(done) == (
        "mode s, P 0x0",
        "writes mem[0x3] at E[0x67]: 0x5",
        "P: 0x0 -> 0x1",
        "E[0x67]: 0x0 -> 0x5",
        "completes",
    )
    trapped = replay_of(isa(), isa().instruction("ld"), {"r1": 1, "a": 30}, start)
    assert trace(trapped)[-1] == "memory trap memory, everything undone"
