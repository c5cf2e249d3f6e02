"""The specs agree with independent implementations, up to the deviations of `known.py`.

Always: on the recorded answers of the oracles. Where an oracle is installed: live, on as many vectors; slow: on 20,000
vectors of another seed, and on more until each instruction was compared often enough in each mode (`coverage.py`). A
missing oracle is a skip with its reason, and a failure where CI_ORACLES is set.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

import pytest

from analyzer import ir
from conformance.adapter import Adapter
from conformance.adapter_m68k import operation_word
from conformance.compare import expect, judge
from conformance.generate import Barren, vector_of, vectors
from conformance.machines import MACHINES, adapter_of
from conformance.oracles.oracle import Oracle
from conformance.recordings import LARGEST, QUICK, SEED, path_of
from conformance.survey import complete, coverage, report, survey
from conformance.vector import Outcome, Recording, Vector

MANY = 20_000
ALWAYS = 500
"""How many vectors of a machine are compared in every run of the tests."""
COMPARED = 0.9
"""The part of the vectors that must agree, but for single bits: what a deviation excuses whole, and what the
architecture leaves open, are rare."""

ORACLES = [(machine, oracle.name) for machine in MACHINES for oracle in adapter_of(machine).oracles()]


def installed(machine: str, name: str) -> Oracle:
    """The oracle; skips, or fails where CI_ORACLES is set, if it cannot run here."""
    oracle = next(oracle for oracle in adapter_of(machine).oracles() if oracle.name == name)
    reason = oracle.available()
    if reason is not None:
        (pytest.fail if os.environ.get("CI_ORACLES") else pytest.skip)(reason)
    return oracle


def compare(adapter: Adapter, oracle: str, pairs: Iterable[tuple[Vector, Outcome]]) -> int:
    """Fails on the first differences; how many vectors agree, but for single bits."""
    differing: list[str] = []
    agreeing = total = 0
    for vector, observed in pairs:
        verdict = judge(adapter, oracle, vector, expect(adapter, vector), observed)
        total += 1
        agreeing += verdict.compared
        if verdict.kind == "differs":
            differing.append("\n  ".join((vector.name, *verdict.lines)))
    assert not differing, "\n".join(differing[:10])
    assert agreeing >= (COMPARED if adapter.oracles()[0].name == oracle else 0) * total
    return agreeing


@pytest.mark.parametrize("machine", MACHINES)
def test_the_spec_agrees_with_the_recording(machine: str) -> None:
    adapter = adapter_of(machine)
    recording = Recording.load(path_of(machine))
    assert (recording.machine, recording.oracle) == (machine, adapter.oracles()[0].name)
    assert compare(adapter, recording.oracle, recording.entries) >= ALWAYS


@pytest.mark.parametrize("machine", MACHINES)
def test_a_recording_is_small_and_complete(machine: str) -> None:
    assert path_of(machine).stat().st_size < LARGEST
    assert len(Recording.load(path_of(machine)).entries) == QUICK


@pytest.mark.parametrize(("machine", "oracle"), ORACLES)
def test_the_spec_agrees_with_the_oracle(machine: str, oracle: str) -> None:
    adapter = adapter_of(machine)
    with installed(machine, oracle) as live:
        pool = list(vectors(adapter, QUICK, SEED + 1))
        compare(adapter, oracle, zip(pool, live.run(pool), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "oracle"), ORACLES)
def test_the_spec_agrees_with_the_oracle_on_many_vectors(machine: str, oracle: str) -> None:
    adapter = adapter_of(machine)
    with installed(machine, oracle) as live:
        tally = survey(adapter, live, MANY, SEED + 2)
        if live is adapter.oracles()[0]:
            complete(adapter, live, tally, SEED + 2)
    assert not tally.differing, report(tally)
    if live is adapter.oracles()[0]:
        assert coverage(adapter, tally) == ""


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["m68000", "m68010"])
def test_every_operation_word_is_the_same_instruction_or_none(machine: str) -> None:
    adapter = adapter_of(machine)
    with installed(machine, "musashi") as live:
        pool = [operation_word(word) for word in range(1 << 16)]
        compare(adapter, live.name, zip(pool, live.run(pool), strict=True))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_instruction_has_vectors(machine: str) -> None:
    adapter = adapter_of(machine)
    for instruction in adapter.isa.instructions:
        assert any(made(adapter, instruction, seed) for seed in range(20)), instruction.name


def made(adapter: Adapter, instruction: ir.Instruction, seed: int) -> bool:
    """Whether this seed makes a vector of the instruction."""
    try:
        made = vector_of(adapter, random.Random(seed), instruction, 0)
    except Barren:
        return False
    return f" {instruction.name}: " in made.name


@pytest.mark.parametrize("machine", MACHINES)
def test_vectors_depend_on_their_seed_alone(machine: str) -> None:
    adapter = adapter_of(machine)
    assert list(vectors(adapter, 5, 1)) == list(vectors(adapter, 5, 1))
    assert list(vectors(adapter, 5, 1)) != list(vectors(adapter, 5, 2))
