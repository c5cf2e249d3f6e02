"""The mutation score of the monitor: each statement of a routine, and of the delivery, is taken away in turn, and
validation notices.  docs/monitor.md has the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from monitored import monitor_of, spec
from msgspec.structs import replace

from analyzer import ir
from emulator.monitor import VirtualMachine
from emulator.monitor.direct import DirectReference
from emulator.monitor.validate import validate
from emulator.reference import Policy

GUESTS = 2_000

ROUTINES = {"pg1974": ("lpsw", "lrb", "lra", "halt")}
"""Instructions that monitors of these machines emulate."""

EQUIVALENT = {"pg1974": {"lpsw 1"}}
"""Mutants that are no others: LPSW need not go on to the next instruction before it loads where to go."""


def without(block: ir.Block) -> Iterator[tuple[int, ir.Block]]:
    """The block without one of its statements that does something: writes, traps, and the branches that hold them."""
    for i, stmt in enumerate(block):
        if isinstance(stmt, ir.Set | ir.SetEntry | ir.Store | ir.When | ir.Trap | ir.Call):
            yield i, (*block[:i], *block[i + 1 :])


def mutants(isa: ir.Isa) -> Iterator[tuple[str, ir.Isa]]:
    """The machine with one statement less, in a routine or in the delivery."""
    for instruction in isa.instructions:
        if instruction.name in ROUTINES[isa.name]:
            for i, body in without(instruction.body):
                changed = replace(instruction, body=body)
                others = tuple(changed if each is instruction else each for each in isa.instructions)
                yield f"{instruction.name} {i}", replace(isa, instructions=others, digest="")
    assert isa.deliver is not None
    for i, body in without(isa.deliver.body):
        yield f"deliver {i}", replace(isa, deliver=replace(isa.deliver, body=body), digest="")


def caught(isa: ir.Isa, mutant: ir.Isa) -> bool:
    """Does validation notice a monitor whose routines and deliveries are the mutant's?"""

    def tamper(machine: VirtualMachine) -> None:
        machine.reference = DirectReference(mutant, machine.record, Policy(arbitrary=machine._arbitrary))

    return bool(validate(monitor_of(isa), GUESTS, seed=5, tamper=tamper).divergences)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTINES)
def test_every_mutant_is_caught(name: str) -> None:
    isa = spec(name)
    known = {instruction.name for instruction in isa.instructions}
    assert set(ROUTINES[name]) <= known
    missed = {what for what, mutant in mutants(isa) if not caught(isa, mutant)}
    assert missed == EQUIVALENT[name]
