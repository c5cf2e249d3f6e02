"""Exits in generated code: the routines do what the slow monitor does, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

import msgspec
import pytest
from monitored import BUDGET, RAM, SYSTEMS, agree_until_the_end, plan_of, spec, system

from analyzer import ir
from analyzer.allocation import allocate
from analyzer.errors import Breach
from emulator.machine import Tier
from emulator.monitor import Monitor, Technique
from emulator.monitor.compiled import CompiledHost
from emulator.monitor.place import Placement
from emulator.monitor.rebind import Rebinding
from emulator.monitor.routines import Enter, Splicer
from emulator.monitor.validate import validate

Break = Callable[[pytest.MonkeyPatch], None]


def compiled(isa: ir.Isa, technique: Technique, scheme: str | None, tier: Tier = "interpreter") -> Monitor:
    plan = plan_of(isa, technique, scheme)
    return Monitor(plan, allocate, room=1, tier=tier, exits="compiled", check=False)


def slow(isa: ir.Isa, technique: Technique, scheme: str | None) -> Monitor:
    return Monitor(plan_of(isa, technique, scheme), allocate, room=1)


@pytest.mark.parametrize(("name", "guest", "technique", "scheme"), SYSTEMS)
def test_routines_are_the_slow_monitor(name: str, guest: str, technique: Technique, scheme: str | None) -> None:
    """The same state at every stop, the same transcript, and the same exits for the same causes."""
    isa, random = spec(name), Random(name)
    monitors = [slow(isa, technique, scheme), compiled(isa, technique, scheme)]
    (one, said), (two, heard) = (system(isa, guest, monitor, ram=RAM) for monitor in monitors)
    assert isinstance(monitors[1].host, CompiledHost)
    assert monitors[1].host.routed
    agree_until_the_end(one.machine, two.machine, random, 200)
    assert bytes(heard.transcript) == bytes(said.transcript) != b""
    assert one.machine.steps < BUDGET
    counted = [monitor.levels[0].counters for monitor in monitors]
    assert counted[0].as_data() == counted[1].as_data()
    assert counted[1].reflected > 0
    assert counted[1].emulated > 0 or technique == "hybrid"


@pytest.mark.parametrize(("name", "guest", "technique", "scheme"), SYSTEMS)
def test_most_exits_do_not_come_back(
    name: str, guest: str, technique: Technique, scheme: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer runs of the host than exits by traps that are not about memory: the routines deal with those."""
    isa, runs = spec(name), []
    whole = CompiledHost._direct
    monkeypatch.setattr(CompiledHost, "_direct", lambda *args: (runs.append(whole(*args)), runs[-1])[1])
    monitor = compiled(isa, technique, scheme)
    machine, _ = system(isa, guest, monitor, ram=RAM)
    machine.machine.run(BUDGET)
    back = sum(1 for left in runs if left.event is not None and "memory" not in left.event.kind.value)
    exits = sum(
        n for cause, n in monitor.levels[0].counters.exits.items() if cause.split()[0] not in ("memory", "shadow")
    )
    assert exits > 25
    assert back <= exits // 16


@pytest.mark.parametrize(
    ("name", "technique", "scheme", "guests"),
    [
        ("pg1974", "plain", None, 40),
        ("m68010", "plain", None, 12),
        ("m68000", "hybrid", None, 8),
        ("s370", "plain", None, 8),
        ("rv64", "plain", "m_to_u", 8),
    ],
)
def test_no_guest_tells_the_difference(name: str, technique: Technique, scheme: str | None, guests: int) -> None:
    assert validate(compiled(spec(name), technique, scheme), guests, seed=3).divergences == []


def test_code_runs_on_the_fastest_tier() -> None:
    """Routines in regions do what they do in handlers."""
    isa = spec("rv64")
    monitors = [compiled(isa, "plain", "m_to_u", tier) for tier in ("interpreter", "regions")]
    (one, _), (two, _) = (system(isa, "os/rv64.s", monitor, ram=RAM) for monitor in monitors)
    assert one.machine.run(BUDGET) == two.machine.run(BUDGET)
    assert one.machine.to_state() == two.machine.to_state()


def without_enter(patch: pytest.MonkeyPatch) -> None:
    """The allocator does nothing."""
    patch.setattr(Enter, "body", lambda self: ())


def misplaced(patch: pytest.MonkeyPatch) -> None:
    """Routines miss the place of the virtual machine."""
    whole = Rebinding._places

    def places(self: Rebinding, memory: ir.Memory, units: int) -> list[Placement]:
        return [replace(place, base=8) for place in whole(self, memory, units)]

    patch.setattr(Rebinding, "_places", places)


def real(element: str) -> Break:
    """Routines read an element of the host for that of the record."""

    def broken(patch: pytest.MonkeyPatch) -> None:
        whole = Rebinding.expr

        def expr(self: Rebinding, e: ir.Expr, locals_: Mapping[str, ir.Expr] | None = None) -> ir.Expr:
            return e if isinstance(e, ir.Get) and e.element == element else whole(self, e, locals_)

        patch.setattr(Rebinding, "expr", expr)

    return broken


def unreflected(patch: pytest.MonkeyPatch) -> None:
    """A trap without arguments is delivered as another one."""
    whole = Splicer.kinds

    def kinds(self: Splicer) -> list[ir.TrapKind]:
        found = list(whole(self))
        plain = [i for i, kind in enumerate(found) if kind.attributes and not self.isa.traps[kind.name[8:]].params]
        for i, j in zip(plain, plain[1:] + plain[:1], strict=True):
            found[i] = msgspec.structs.replace(found[i], attributes=whole(self)[j].attributes)
        return found

    patch.setattr(Splicer, "kinds", kinds)


@pytest.mark.parametrize(
    ("name", "scheme", "broken"),
    [
        ("pg1974", None, without_enter),
        ("m68010", None, without_enter),
        ("rv64", "s_to_u", without_enter),
        ("pg1974", None, misplaced),
        ("m68010", None, misplaced),
        ("s370", None, misplaced),
        ("pg1974", None, real("M")),
        ("m68010", None, real("sr.S")),
        ("s370", None, real("psw.EX")),
        ("rv64", "m_to_u", real("priv")),
        ("rv64", "m_to_u", real("mepc.ADDRESS")),
        ("rv64", "m_to_u", unreflected),
        ("m68010", None, unreflected),
    ],
)
def test_a_broken_routine_is_noticed(
    name: str, scheme: str | None, broken: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system in a virtual machine with broken routines ends otherwise, or leaves otherwise."""
    isa = spec(name)
    guest = f"os/{name}.s"
    sound = slow(isa, "plain", scheme)
    one, _ = system(isa, guest, sound, ram=RAM)
    broken(monkeypatch)
    unsound = compiled(isa, "plain", scheme)
    two, _ = system(isa, guest, unsound, ram=RAM)
    ended = one.machine.run(BUDGET)
    try:
        same = two.machine.run(BUDGET) == ended and two.machine.to_state() == one.machine.to_state()
    except Breach:
        return
    assert not same or sound.levels[0].counters.as_data() != unsound.levels[0].counters.as_data()
