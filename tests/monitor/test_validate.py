"""Generated guests find no difference, and find every monitor that was broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from monitored import monitor_of, spec
from msgspec.structs import replace

from analyzer import Options, analyze, ir
from emulator.monitor import Technique, VirtualMachine
from emulator.monitor.direct import DirectReference
from emulator.monitor.guests import Change, Guest
from emulator.monitor.plan import mode_values
from emulator.monitor.validate import Bench, validate
from emulator.reference import Policy

CAMPAIGNS: list[tuple[str, Technique, str | None, int, int]] = [
    ("pg1974", "plain", None, 1, 60),
    ("pg1974", "plain", None, 3, 20),
    ("m68010", "plain", None, 1, 30),
    ("s370", "plain", None, 1, 15),
    ("ka10", "hybrid", None, 1, 30),
    ("m68000", "hybrid", None, 1, 60),
    ("rv64", "plain", "m_to_u", 1, 15),
    ("rv64", "plain", "s_to_u", 1, 15),
]


@pytest.mark.parametrize(("name", "technique", "scheme", "depth", "guests"), CAMPAIGNS)
def test_no_guest_tells_the_difference(
    name: str, technique: Technique, scheme: str | None, depth: int, guests: int
) -> None:
    told = validate(monitor_of(spec(name), technique, scheme, depth), guests, seed=1)
    assert told.divergences == []
    assert told.guests == guests
    assert told.steps > guests
    assert told.exits


@pytest.mark.slow
@pytest.mark.parametrize(("name", "technique", "scheme", "depth", "guests"), CAMPAIGNS)
def test_no_guest_of_many_tells_the_difference(
    name: str, technique: Technique, scheme: str | None, depth: int, guests: int
) -> None:
    assert validate(monitor_of(spec(name), technique, scheme, depth), 20 * guests, seed=2).divergences == []


@pytest.mark.parametrize("depth", [1, 2])
def test_a_completion_is_reflected_as_it_stands(depth: int) -> None:
    """CHK sets flags and goes on to the next instruction before it traps: it must not be executed again."""
    monitor = monitor_of(spec("m68010"), depth=depth)
    changes = [("pc", None, 0xA50), ("sp", None, 0x2000), ("d", 4, 3), ("bus", 0xA50, 0x49), ("bus", 0xA51, 0xB5)]
    guest = Guest(tuple(Change(*change) for change in changes), 2)
    assert Bench(monitor.plan, monitor).run(guest)[0] is None
    assert monitor.machines[0].counters.exits["arithmetic chk"] == 1


def test_the_same_seed_makes_the_same_campaign() -> None:
    one, two = (validate(monitor_of(spec("pg1974")), 10, seed=3).as_data() for _ in range(2))
    assert one == two


# -- machines that cannot be virtualized ------------------------------------------------------------------------------


def test_a_plain_monitor_for_the_ka10_is_found_out() -> None:
    """Theorem 1 fails: the flags that JSR, JSP and PUSHJ save show the mode, and JRST 1 changes it."""
    (found,) = validate(monitor_of(spec("ka10"), "plain"), 300).divergences
    assert "differ" in found.what
    assert len(found.guest.changes) < 20


VARIANTS = ("decb", "halt", "jrst1", "lra", "nopr", "rdbase", "rdmode")
"""Machines of PG74 with one instruction that spoils them."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_plain_monitor_fails_by_the_instruction_that_the_analysis_names(variant: str) -> None:
    isa = spec(f"pg1974-{variant}")
    culprits = analyze(isa, Options(witnesses="none", graph=False)).schemes[0].theorems[0].culprits
    (found,) = validate(monitor_of(isa), 50).divergences
    assert found.instruction in culprits


def test_what_can_only_shrink_may_be_the_guests_own() -> None:
    """PG74, the discussion of Theorem 1: DECB does no harm where the bound is the guest's."""
    assert validate(monitor_of(spec("pg1974-decb"), scheme="own_bound"), 60).divergences == []


def test_a_hybrid_one_is_not() -> None:
    assert validate(monitor_of(spec("pg1974-rdmode"), "hybrid"), 60).divergences == []


# -- monitors that were broken -----------------------------------------------------------------------------------------


def the_mode(machine: VirtualMachine) -> None:
    """The guest runs in the monitor's mode."""
    plan = machine.plan
    values = mode_values(plan.isa, plan.scheme, plan.scheme.monitor, set(plan.division.held))
    machine.plan = dataclasses.replace(plan, modes=dict.fromkeys(plan.modes, values))


def the_composition(machine: VirtualMachine) -> None:
    """The guest's relocation goes into the hardware as it is."""
    machine._composed = {}
    machine._loaded = (*machine._loaded, "l", "b")
    machine._held = tuple(n for n in machine._held if n not in ("l", "b"))


def the_bound(machine: VirtualMachine) -> None:
    """The bound is not clamped."""
    machine._composed = {**machine._composed, "b": lambda state, _: state.elements["b"]}


def the_place(machine: VirtualMachine) -> None:
    """The guest is one word off."""
    machine.grant = dataclasses.replace(
        machine.grant, chosen={**machine.grant.chosen, "k": machine.grant.chosen["k"] + 1}
    )


def a_register_on_leaving(machine: VirtualMachine) -> None:
    machine._saved_files = ()


def a_register_on_entering(machine: VirtualMachine) -> None:
    machine._loaded_files = ()


def the_program_counter(machine: VirtualMachine) -> None:
    machine._saved = tuple(n for n in machine._saved if n != machine.isa.fetch.pc)


def tampered(machine: VirtualMachine, isa: ir.Isa) -> None:
    """The routines and deliveries are those of another Isa."""
    reference = DirectReference(isa, machine.record, Policy(arbitrary=machine._arbitrary))
    machine.reference = reference


def a_routine(machine: VirtualMachine) -> None:
    """LPSW forgets the bound."""
    isa = machine.isa
    lpsw = isa.instruction("lpsw")
    body = tuple(s for s in lpsw.body if not (isinstance(s, ir.Set) and s.element == "b"))
    changed = tuple(replace(i, body=body) if i is lpsw else i for i in isa.instructions)
    tampered(machine, replace(isa, instructions=changed))


def the_reflection(machine: VirtualMachine) -> None:
    """Deliveries forget the mode."""
    isa = machine.isa
    assert isa.deliver is not None
    body = tuple(s for s in isa.deliver.body if not (isinstance(s, ir.Set) and s.element == "M"))
    tampered(machine, replace(isa, deliver=replace(isa.deliver, body=body)))


FAULTS: list[Callable[[VirtualMachine], None]] = [
    the_mode,
    the_composition,
    the_bound,
    the_place,
    a_register_on_leaving,
    a_register_on_entering,
    the_program_counter,
    a_routine,
    the_reflection,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_monitor_is_found_out(fault: Callable[[VirtualMachine], None]) -> None:
    assert validate(monitor_of(spec("pg1974")), 300, tamper=fault).divergences
