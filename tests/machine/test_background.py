"""Regions that are made while the program goes on: taken when they are there, if the code still is."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from emulator.interface import Ram
from emulator.machine import coming, regions
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.objects import Objects
from emulator.machine.plain import PlainMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

SIZE = 1 << 16

LOOP = """
again:
addi x5, x5, 1
changed:
addi x6, x6, 2
addi x2, x2, -1
bne x2, x0, again
sw x10, 4(x0)
fence.i
addi x2, x0, 50
jal x0, again
"""
"""Rounds over a loop; in between the instruction at `changed` is written."""
SAME, OTHER = 0x00230313, 0x00730313  # addi x6, x6, 2 and addi x6, x6, 7

Made = Callable[..., Any]


class Later(Executor):
    """Does nothing before it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Made]] = []

    def submit(self, fn: Made, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def work(self) -> None:
        """Does all of it."""
        while self.waiting:
            future, make = self.waiting.pop()
            future.set_result(make())


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    found = Later()
    monkeypatch.setattr(coming, "worker", lambda: found)
    return found


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> tuple[PlainMachine, NativeMachine]:
    """The reference and a machine that keeps nothing, with the loop."""
    monkeypatch.setattr(regions, "FAST", -1.0)
    isa, memory = spec("rv64"), [Ram("phys", 0, SIZE)]
    tuning = Tuning(hot=2, share=1e9, eager=1, background=True)
    found = PlainMachine(isa, memory), NativeMachine(isa, memory, None, Engine(Objects(None)), tuning)
    for machine in found:
        for address, unit in assemble(isa, LOOP, 0).cells.items():
            machine.write("phys", unit, address)
        machine.write("x", 50, 2)
        machine.write("x", SAME, 10)
    return found


def alike(plain: PlainMachine, mine: NativeMachine, steps: int) -> None:
    assert plain.run(steps) == mine.run(steps)
    assert (plain.read("pc"), plain.steps) == (mine.read("pc"), mine.steps)
    assert [plain.read("x", i) for i in range(32)] == [mine.read("x", i) for i in range(32)]


def test_the_program_goes_on_until_a_region_is_there(pair: tuple[PlainMachine, NativeMachine], later: Later) -> None:
    plain, mine = pair
    alike(plain, mine, 1000)
    assert len(later.waiting) == 1, "one at a time"
    assert not mine.stats["regions"]
    later.work()
    alike(plain, mine, 1000)
    assert mine.stats["regions"] == 1


def test_it_is_not_taken_if_the_code_has_changed(pair: tuple[PlainMachine, NativeMachine], later: Later) -> None:
    plain, mine = pair
    alike(plain, mine, 150)
    assert later.waiting
    for machine in pair:
        machine.write("x", OTHER, 10)
    alike(plain, mine, 150)
    assert mine.read("phys", 4, 32) == OTHER
    later.work()
    for machine in pair:
        machine.write("x", SAME, 10)
    alike(plain, mine, 8)
    assert not mine.stats["regions"]
    alike(plain, mine, 200)
    assert mine.read("phys", 4, 32) == SAME
    for _ in range(2):  # one was begun before the store
        later.work()
        alike(plain, mine, 200)
    assert mine.stats["regions"] == 1, "it is made again of what is there now"


def test_it_is_not_taken_by_a_machine_that_has_begun_anew(
    pair: tuple[PlainMachine, NativeMachine], later: Later
) -> None:
    plain, mine = pair
    alike(plain, mine, 1000)
    for machine in pair:
        machine.clock("mcycle", "steps")
    waiting, later.waiting = later.waiting, []
    mine.run(0)
    later.waiting = waiting
    later.work()
    alike(plain, mine, 60)
    assert not mine.stats["regions"]
    alike(plain, mine, 1000)
    later.work()
    alike(plain, mine, 1000)
    assert mine.stats["regions"] == 1


def test_what_fails_there_is_raised_here(pair: tuple[PlainMachine, NativeMachine], later: Later) -> None:
    _, mine = pair
    mine.run(1000)
    (future, _), *_ = later.waiting
    future.set_exception(MemoryError("no more"))
    with pytest.raises(MemoryError, match="no more"):
        mine.run(1000)
    later.waiting.clear()
    mine.run(1000)
    later.work()
    mine.run(1000)
    assert mine.stats["regions"] == 1


def test_beside_the_reference_with_a_thread(pair: tuple[PlainMachine, NativeMachine]) -> None:
    plain, mine = pair
    until = time.monotonic() + 60
    while not mine.stats["regions"] and time.monotonic() < until:
        alike(plain, mine, 777)
    alike(plain, mine, 7777)
    assert mine.stats["regions"]
