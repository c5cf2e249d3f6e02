"""Shadow maps: what is filled, what is not, what is taken away; and monitors whose shadow is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from monitored import monitor_of, spec, system

from emulator.interface import Machine, Reason
from emulator.monitor import Breach, VirtualMachine
from emulator.monitor.shadow import ShadowMap
from emulator.monitor.validate import lockstep

BUDGET = 8_000


def of(machine: Machine) -> ShadowMap:
    assert isinstance(machine, VirtualMachine)
    assert machine.shadow is not None
    return machine.shadow


def test_tables_are_traced_and_marks_are_the_guests() -> None:
    """The kernel marks pages in its tables on page faults, and takes rights away; each time what came from the entry
    goes."""
    guest, _ = system(spec("rv64"), "os/rv64.s", monitor_of(spec("rv64"), scheme="m_to_u"), ram=0x20000)
    assert guest.machine.run(BUDGET).reason is Reason.STOPPED
    shadow = of(guest.machine)
    assert shadow.filled > 20
    assert shadow.invalidated >= 4  # two tasks, the bits A and D
    assert shadow.refused > 0  # devices, and stores to tables


def test_what_was_filled_is_there_again_after_a_switch() -> None:
    """Entries hold for a table's origin, so that tasks do not lose theirs."""
    guest, _ = system(spec("rv64"), "os/rv64.s", monitor_of(spec("rv64"), scheme="m_to_u"), ram=0x20000)
    guest.machine.run(3_000)
    filled = of(guest.machine).filled
    guest.machine.run(900)
    assert of(guest.machine).filled - filled <= 2


def no_tracing(shadow: ShadowMap) -> None:
    """Writes to tables are not noticed."""
    shadow.wrote = lambda memory, address, units: None  # type: ignore[method-assign]
    shadow._traced = lambda memory, address, units, tables: False  # type: ignore[method-assign]


def no_context(shadow: ShadowMap) -> None:
    """A change of the table's origin, or of the mode, is not noticed."""
    shadow._held = ()


def no_renewal(shadow: ShadowMap) -> None:
    """The context is that of the beginning."""
    shadow.renew = lambda: None  # type: ignore[method-assign]


def no_placement(shadow: ShadowMap) -> None:
    """Entries lead to where the guest thinks that its memory is."""
    shadow._real = lambda memory, address, units: address  # type: ignore[method-assign]


def no_notice(shadow: ShadowMap) -> None:
    """Entries stay when a table that they came from is written."""
    shadow.wrote = lambda memory, address, units: None  # type: ignore[method-assign]


def no_dropping(shadow: ShadowMap) -> None:
    """Entries are taken away nowhere: not when a table is written, not when a writable cell becomes one of a table."""
    shadow._drop = lambda gone: None  # type: ignore[method-assign]


FAULTS: list[Callable[[ShadowMap], None]] = [
    no_tracing,
    no_context,
    no_renewal,
    no_placement,
    no_notice,
    no_dropping,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_shadow_is_found_out(fault: Callable[[ShadowMap], None]) -> None:
    isa = spec("rv64")
    bare, said = system(isa, "os/rv64.s", ram=0x20000)
    guest, heard = system(isa, "os/rv64.s", monitor_of(isa, scheme="m_to_u"), ram=0x20000)
    fault(of(guest.machine))
    try:
        parted = lockstep(bare.machine, guest.machine, BUDGET, stretch=200)
    except Breach as breach:
        parted = str(breach)
    assert parted is not None or bytes(said.transcript) != bytes(heard.transcript)
