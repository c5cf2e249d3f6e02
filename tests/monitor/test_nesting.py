"""Monitors on monitors, and several machines on a host, with exits in generated code."""

from __future__ import annotations

from random import Random

import pytest
from monitored import BUDGET, RAM, agree_until_the_end, plan_of, spec, system

from analyzer.allocation import allocate
from emulator.interface import Reason
from emulator.monitor import Monitor
from emulator.monitor.compiled import CompiledHost
from emulator.monitor.shadow import TRACED_INDEX, ShadowMap


def stacked(name: str, scheme: str | None, depth: int, room: int = 1) -> Monitor:
    plan = plan_of(spec(name), "plain", scheme)
    return Monitor(plan, allocate, depth=depth, room=room, tier="interpreter", exits="compiled", check=False)


@pytest.mark.parametrize(
    ("name", "scheme", "depth"),
    [("pg1974", None, 4), ("m68010", None, 3), ("s370", None, 3), ("rv64", "m_to_u", 2), ("rv64", "s_to_u", 3)],
)
def test_a_system_under_monitors_in_generated_code(
    name: str, scheme: str | None, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bare machine's states, and each level deals with the exits of the innermost; few of them come back."""
    isa, random, back = spec(name), Random(name), []
    whole = CompiledHost._direct
    monkeypatch.setattr(CompiledHost, "_direct", lambda *args: (back.append(whole(*args)), back[-1])[1])
    monitor = stacked(name, scheme, depth)
    (bare, said), (deep, heard) = system(isa, f"os/{name}.s", ram=RAM), system(isa, f"os/{name}.s", monitor, ram=RAM)
    assert monitor.host is not None
    assert monitor.host.routed
    agree_until_the_end(bare.machine, deep.machine, random, 400)
    assert bytes(heard.transcript) == bytes(said.transcript) != b""
    levels = [level.counters for level in monitor.levels]
    assert len(levels) == depth
    quick = [{c: n for c, n in level.exits.items() if c.split()[0] not in ("memory", "shadow")} for level in levels]
    assert quick == [quick[0]] * depth  # what leaves the guest leaves the guest's host, and so on
    trapped = sum(left.event is not None and "memory" not in left.event.kind.value for left in back)
    assert trapped <= sum(quick[0].values()) // 16


def test_machines_take_turns_on_a_host_whose_code_they_do_not_share() -> None:
    """Each has routines of its own; memory is the host's, and theirs do not meet."""
    monitor, isa = stacked("rv64", "s_to_u", 1, room=2), spec("rv64")
    consoles = [system(isa, "os/rv64.s", monitor, ram=RAM)[1] for _ in range(2)]
    ended = monitor.run(2 * BUDGET, quantum=70)
    assert {number: exit_.reason for number, exit_ in ended.items()} == dict.fromkeys(range(2), Reason.STOPPED)
    bare, said = system(isa, "os/rv64.s", ram=RAM)
    bare.machine.run(BUDGET)
    assert [bytes(console.transcript) for console in consoles] == [bytes(said.transcript)] * 2
    first, second = monitor.machines
    assert isinstance(first.host, CompiledHost)
    assert isinstance(second.host, CompiledHost)
    assert first.host.storages["phys"] is second.host.storages["phys"]
    assert abs(first.placements[0].at - second.placements[0].at) >= RAM
    for machine in monitor.machines:
        assert machine.host.routed
        assert machine.to_state() == bare.machine.to_state()


def unsettled(patch: pytest.MonkeyPatch) -> None:
    """Every line of memory may be watched, so that no routine stores."""
    patch.setattr(ShadowMap, "lines", lambda self: [(1 << 64) - 1] * (1 << TRACED_INDEX))


@pytest.mark.parametrize("depth", [1, 2])
def test_an_interrupt_that_its_routine_leaves_is_taken_once(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    unsettled(monkeypatch)
    isa, monitor = spec("s370"), stacked("s370", None, depth)
    (bare, said), (deep, heard) = system(isa, "os/s370.s", ram=RAM), system(isa, "os/s370.s", monitor, ram=RAM)
    assert deep.machine.run(BUDGET) == bare.machine.run(BUDGET)
    assert deep.machine.to_state() == bare.machine.to_state()
    assert deep.machine.retired == bare.machine.retired
    assert bytes(heard.transcript) == bytes(said.transcript) != b""


@pytest.mark.parametrize("stack", [RAM + 2, 0x30000, 0xFFFFFE])
def test_a_delivery_that_meets_an_absent_address_is_no_step(stack: int) -> None:
    """A trace exception whose frame has no place: the run ends there, on the bare machine and in a routine."""
    isa = spec("m68010")
    ends = []
    for monitor in (None, stacked("m68010", None, 1), stacked("m68010", None, 2)):
        made, _ = system(isa, "os/m68010.s", monitor, ram=RAM)
        made.machine.run(40)
        made.machine.write("sr.T", 1)
        made.machine.write("sp", stack)
        ends.append((made.machine.run(10), made.machine.steps, made.machine.retired, made.machine.to_state()))
    assert ends[0][0].reason is Reason.ABSENT
    assert ends[0][0].steps == 1
    assert ends[1:] == ends[:1] * 2
