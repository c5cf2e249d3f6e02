"""Hosts on generated code: what the reference host shows, they show, exit by exit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from monitored import BUDGET, RAM, SYSTEMS, monitor_of, plan_of, spec, system
from msgspec.structs import replace

from analyzer import ir
from analyzer.allocation import allocate
from analyzer.errors import Breach, UsageError
from analyzer.symbolic.allocating import flat
from analyzer.symbolic.setting import Setting
from emulator.interface import Reason
from emulator.machine import Tier
from emulator.machine.native import NativeMachine
from emulator.machine.tuning import Tuning
from emulator.monitor import Monitor, Technique, VirtualMachine
from emulator.monitor.compiled import CompiledHost
from emulator.monitor.exiting import COMMITTED, LEFT, committed, exiting, objection
from emulator.monitor.guests import Change, Guest
from emulator.monitor.shadow import Context, ShadowMap, deciding, widths
from emulator.monitor.table import Form, ShadowTable
from emulator.monitor.validate import Bench, validate


@pytest.mark.parametrize(("tier", "depth"), [("regions", 1), ("blocks", 2)])
@pytest.mark.parametrize(("name", "guest", "technique", "scheme"), SYSTEMS)
def test_the_monitor_sees_the_same_on_both_hosts(
    name: str, guest: str, technique: Technique, scheme: str | None, tier: Tier, depth: int
) -> None:
    """The same end, state, transcript, and the same exits for the same causes."""
    isa = spec(name)
    monitors = [monitor_of(isa, technique, scheme, depth, which) for which in ("reference", tier)]
    (slow, said), (fast, heard) = (system(isa, guest, monitor, ram=RAM) for monitor in monitors)
    ended = slow.machine.run(BUDGET)
    assert ended.reason is Reason.STOPPED
    assert fast.machine.run(BUDGET) == ended
    assert bytes(heard.transcript) == bytes(said.transcript) != b""
    assert fast.machine.to_state() == slow.machine.to_state()
    assert fast.machine.retired == slow.machine.retired
    counted = [[level.counters.as_data() for level in monitor.levels] for monitor in monitors]
    assert counted[0] == counted[1]
    assert isinstance(monitors[1].host, CompiledHost)


@pytest.mark.parametrize("stretch", [1, 7, 61])
def test_runs_end_at_the_step(stretch: int) -> None:
    """An exit takes no step of the guest's, wherever the budget ends."""
    isa = spec("pg1974")
    (slow, _), (fast, _) = (
        system(isa, "os/pg1974.s", monitor_of(isa, tier=tier), ram=0x1000) for tier in ("reference", "blocks")
    )
    for _ in range(1_000 // stretch):
        one, two = slow.machine.run(stretch), fast.machine.run(stretch)
        assert one == two
        assert slow.machine.to_state() == fast.machine.to_state()
        assert slow.machine.retired == fast.machine.retired


@pytest.mark.parametrize(
    ("name", "technique", "scheme", "guests"),
    [("pg1974", "plain", None, 40), ("m68010", "plain", None, 15), ("rv64", "plain", "m_to_u", 10)],
)
def test_no_guest_tells_the_difference(name: str, technique: Technique, scheme: str | None, guests: int) -> None:
    assert validate(monitor_of(spec(name), technique, scheme, tier="blocks"), guests, seed=4).divergences == []


def test_a_completion_is_reflected_as_it_stands() -> None:
    """CHK sets flags before it traps: the commit makes the exit another one."""
    monitor = monitor_of(spec("m68010"), tier="blocks")
    changes = [("pc", None, 0xA50), ("sp", None, 0x2000), ("d", 4, 3), ("bus", 0xA50, 0x49), ("bus", 0xA51, 0xB5)]
    guest = Guest(tuple(Change(*change) for change in changes), 2)
    assert Bench(monitor.plan, monitor).run(guest)[0] is None
    assert monitor.machines[0].counters.exits["arithmetic chk"] == 1


# -- the instruction set that guests run on ----------------------------------------------------------------------------


def test_every_trap_of_it_halts() -> None:
    isa = exiting(spec("pg1974"), {}, 0)
    assert isa.elements[LEFT].role is ir.Role.PROCESSOR
    assert {kind.resume for name, kind in isa.traps.items() if not name.startswith(COMMITTED)} == {"here"}
    assert isa.interrupts == ()
    assert [i.name for i in isa.instructions] == [i.name for i in spec("pg1974").instructions]


def test_a_trap_after_a_commit_is_another_one() -> None:
    trap = ir.Trap("chk")
    assert committed((ir.Commit(), trap)) == (ir.Commit(), ir.Trap(COMMITTED + "chk"))
    assert committed((trap,)) == (trap,)


@pytest.mark.parametrize("name", ["pg1974", "m68000", "m68010", "s370", "ka10", "rv64", "ia32"])
def test_no_bundled_machine_is_in_the_way(name: str) -> None:
    plan = plan_of(spec(name))
    assert objection(plan, {}) is None


def test_a_trap_long_after_a_commit_is_in_the_way() -> None:
    isa = spec("pg1974")
    body = (ir.Commit(), ir.When(ir.BoolConst(True), (ir.Trap("svc"),)))
    plan = plan_of(isa)
    (first, *others) = isa.instructions
    changed = replace(isa, instructions=(replace(first, body=body), *others))
    why = f"{first.name} may trap after it has committed a part of what it does"
    assert objection(dataclasses.replace(plan, isa=changed), {}) == why
    with pytest.raises(UsageError, match=re.escape(why)):
        Monitor(dataclasses.replace(plan, isa=changed), allocate, tier="blocks")._host((), {}, {})


def test_what_decides_on_a_translation() -> None:
    """The address after the instruction only goes into the trap; the mode of the access does not."""
    s370, rv64 = spec("s370"), spec("rv64")
    logical, mem = s370.spaces["logical"], rv64.spaces["mem"]
    assert isinstance(logical, ir.Map)
    assert isinstance(mem, ir.Map)
    assert deciding(s370, logical) == set()
    assert deciding(rv64, mem) == {"m"}
    assert widths(rv64, "mem") == (8, 16, 32, 64)


def test_a_map_without_a_granule_has_no_form() -> None:
    assert Form.of(plan_of(spec("rv64"), scheme="m_to_u"), "mem", None) is None
    assert Form.of(plan_of(spec("rv64"), scheme="m_to_u"), "mem", 12) is not None


# -- hosts that were broken --------------------------------------------------------------------------------------------


def no_dropping(table: ShadowTable) -> None:
    """Entries that the shadow takes away stay in the table."""
    table.dropped = lambda at: None  # type: ignore[method-assign]


def one_context(table: ShadowTable) -> None:
    """A change of the mode or of the table's origin finds the entries of before."""
    real = table.context

    def context(shadow: ShadowMap, present: Context) -> int:
        table.defaults[0] = table.defaults[real(shadow, present)]
        table._contexts[present] = 0
        return 0

    table.context = context  # type: ignore[method-assign]


def on_the_table(fault: Callable[[ShadowTable], None]) -> Callable[[CompiledHost], None]:
    def break_(host: CompiledHost) -> None:
        assert host.table is not None
        fault(host.table)

    return break_


FAULTS: list[tuple[str, Callable[[CompiledHost], None]]] = [
    ("no_dropping", on_the_table(no_dropping)),
    ("one_context", on_the_table(one_context)),
]


@pytest.mark.parametrize("fault", [fault for _, fault in FAULTS], ids=[name for name, _ in FAULTS])
def test_a_broken_table_is_found_out(fault: Callable[[CompiledHost], None]) -> None:
    isa = spec("rv64")
    bare, said = system(isa, "os/rv64.s", ram=RAM)
    monitor = monitor_of(isa, scheme="m_to_u", tier="blocks")
    guest, heard = system(isa, "os/rv64.s", monitor, ram=RAM)
    assert isinstance(monitor.host, CompiledHost)
    fault(monitor.host)
    try:
        ended = guest.machine.run(BUDGET)
    except Breach:
        return
    alike = ended == bare.machine.run(BUDGET) and bytes(heard.transcript) == bytes(said.transcript)
    assert not alike or guest.machine.to_state() != bare.machine.to_state()


def patched(tier: Tier) -> int:
    """What a loop counts whose second instruction is written while it runs."""
    monitor = Monitor(plan_of(spec("rv64"), scheme="m_to_u"), allocate, tier=tier)
    guest, _ = system(spec("rv64"), "asm/rv64.s", monitor, ram=RAM)
    machine = guest.machine
    assert isinstance(machine, VirtualMachine)
    assert isinstance(monitor.host, CompiledHost)
    at = machine.read("pc")
    machine.write("phys", 0x00158593, at, 32)  # addi x11, x11, 1
    machine.write("phys", 0x00150513, at + 4, 32)  # addi x10, x10, 1
    machine.write("phys", 0xFF9FF06F, at + 8, 32)  # jal x0, -8
    machine.write("x", 0, 10)
    machine.run(1500)
    machine.write("phys", 0x00250513, at + 4, 32)  # addi x10, x10, 2
    machine.run(150)
    return machine.read("x", 10)


@pytest.mark.parametrize("tier", ["interpreter", "regions"])
def test_code_that_was_written_other_than_by_the_guest_runs(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    """As devices and emulated stores write it; a host that is not told runs the old."""
    assert patched(tier) == 500 + 100
    monkeypatch.setattr(CompiledHost, "wrote", lambda self, memory, address, units: None)
    assert patched(tier) == 500 + 50


# -- guests whose own map is off ---------------------------------------------------------------------------------------


def test_a_map_that_is_off_is_flat_and_one_that_is_on_is_not() -> None:
    isa = spec("rv64")
    setting = Setting(isa, isa.scheme("m_to_u"))
    held = {name: 0 for name in isa.elements if name.startswith("atp")}
    paging = next(name for name in held if isa.elements[name].width == 4)
    assert flat(setting, "mem", held, 0x80000000, RAM)
    assert not flat(setting, "mem", {**held, paging: 8}, 0x80000000, RAM)
    assert not flat(setting, "mem", {}, 0x80000000, RAM)


LOOP = """
        .org 0x80000000
        auipc x5, 1
        addi x6, x0, 200
1:      slli x7, x6, 12
        add x7, x7, x5
        sd x6, 0(x7)
        ld x28, 0(x7)
        add x29, x29, x28
        addi x6, x6, -1
        bne x6, x0, 1b
2:      jal x0, 2b
"""


def test_a_flat_guest_needs_no_entries(tmp_path: Path) -> None:
    """It touches 200 pages; after some of them it is asked whether the map is off, and no more entries are made."""
    isa = spec("rv64")
    path = tmp_path / "loop.s"
    path.write_text(LOOP, encoding="utf-8")
    monitor = Monitor(plan_of(isa, scheme="m_to_u"), allocate, tier="blocks")
    (bare, _), (guest, _) = system(isa, str(path), ram=0x100000), system(isa, str(path), monitor, ram=0x100000)
    assert guest.machine.run(2_000) == bare.machine.run(2_000)
    assert guest.machine.to_state() == bare.machine.to_state()
    shadow = monitor.machines[0].shadow
    assert shadow is not None
    assert 20 < shadow.filled < 40


WALK = """
        .org 0x80000000
        auipc x20, 0x100                  ; the end of RAM
        addi x7, x20, -2048
        addi x7, x7, -2048
        addi x7, x7, ALIGN
"""
LOOPS = {
    "accesses that share a check": """
1:      ld x6, 0(x7)
        ld x8, 8(x7)
        add x6, x6, x8
        sd x7, 16(x7)
        addi x7, x7, 8
        bne x7, x0, 1b
""",
    "a load": """
1:      ld x6, 0(x7)
        add x8, x8, x6
        addi x7, x7, 8
        jal x0, 1b
""",
    "a store": """
1:      sh x7, 0(x7)
        addi x7, x7, 8
        jal x0, 1b
""",
    "stores without a loop": """
1:      auipc x31, 1
        jalr x1, 0(x31)
        addi x7, x7, 8
        jal x0, 1b
        .org 0x80001010
        sd x7, 0(x7)
        sd x7, 8(x7)
        jalr x0, 0(x1)
""",
}


@pytest.mark.parametrize("align", [-8, 0])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_flat_guest_meets_the_end_of_its_memory(loop: str, align: int, tmp_path: Path) -> None:
    """In hot code, too: behind its RAM lies the monitor's, in the same bank of the host."""
    isa = spec("rv64")
    path = tmp_path / "walk.s"
    path.write_text(WALK.replace("ALIGN", str(align)) + LOOPS[loop], encoding="utf-8")
    monitor = Monitor(plan_of(isa, scheme="m_to_u"), allocate, tier="regions", exits="compiled", check=False)
    (bare, _), (guest, _) = system(isa, str(path), ram=0x100000), system(isa, str(path), monitor, ram=0x100000)
    machine, host = guest.machine, monitor.host
    assert isinstance(machine, VirtualMachine)
    assert isinstance(host, CompiledHost)
    assert isinstance(host.machine, NativeMachine)
    assert machine.shadow is not None
    machine.shadow.stayed = True
    host.machine._tuning = Tuning(2, 1e9)  # regions, at once
    ended = machine.run(6_000)
    assert ended == bare.machine.run(6_000)
    assert ended.reason is Reason.ABSENT
    assert machine.to_state() == bare.machine.to_state()
    assert host.table is not None
    assert host.table.base == 0x80100000
    assert host.machine.stats["regions"] > 0
