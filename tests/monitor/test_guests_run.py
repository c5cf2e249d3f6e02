"""Programs on the bare machine and under the monitor: the same steps, the same transcript, the same state."""

from __future__ import annotations

import pytest
from monitored import BUDGET, RAM, monitor_of, plan_of, spec, system

from analyzer import Options, analyze
from emulator.interface import Machine, Reason
from emulator.monitor import Monitor, Technique, VirtualMachine
from emulator.monitor.validate import lockstep
from emulator.peek import Peek

HELLOS: list[tuple[str, str, Technique, str | None]] = [
    ("pg1974", "asm/pg1974.s", "plain", None),
    ("m68010", "asm/m68000.s", "plain", None),
    ("m68000", "asm/m68000.s", "hybrid", None),
    ("s370", "asm/s370.s", "plain", None),
    ("ka10", "asm/ka10.s", "hybrid", None),
    ("rv64", "asm/rv64.s", "plain", "m_to_u"),
]


@pytest.mark.parametrize(("name", "guest", "technique", "scheme"), HELLOS)
def test_a_program_runs_alike(name: str, guest: str, technique: Technique, scheme: str | None) -> None:
    isa = spec(name)
    bare, said = system(isa, guest)
    monitored, heard = system(isa, guest, monitor_of(isa, technique, scheme))
    ended = bare.machine.run(BUDGET)
    assert ended.reason is Reason.STOPPED
    assert monitored.machine.run(BUDGET) == ended
    assert bytes(heard.transcript) == bytes(said.transcript) != b""
    assert monitored.machine.to_state() == bare.machine.to_state()
    assert monitored.machine.retired == bare.machine.retired


SYSTEMS: list[tuple[str, str, Technique, str | None, bytes]] = [
    ("pg1974", "os/pg1974.s", "plain", None, b"1axy2b!!3cde\ndone\n"),
    ("m68010", "os/m68010.s", "plain", None, b"aaababbbabababababababab!\n"),
    ("m68000", "os/m68010.s", "hybrid", None, b"aaababbbabababababababab!\n"),
    ("s370", "os/s370.s", "plain", None, b"aaabbbaabbaaabbaabbaabbb!\n"),
    ("ka10", "os/ka10.s", "hybrid", None, b"aaaaabbbcabcc!aaaaaabbbbbbbb\n"),
    ("rv64", "os/rv64.s", "plain", "m_to_u", b"abaababbababaababaababb!b!\n"),
    ("rv64", "os/rv64.s", "plain", "s_to_u", b"abaababbababaababaababb!b!\n"),
]
"""Tasks, system calls, preemption (but on pg1974, which has no interrupts), and the end of a task that goes too far."""

RAM_OF = {"ka10": 0x4000}
"""Where an address space has not room for several of that."""


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("name", "guest", "technique", "scheme", "transcript"), SYSTEMS)
def test_an_operating_system_runs_alike_at_each_depth(
    name: str, guest: str, technique: Technique, scheme: str | None, transcript: bytes, depth: int
) -> None:
    isa = spec(name)
    ram = RAM_OF.get(name, RAM)
    bare, said = system(isa, guest, ram=ram)
    monitor = monitor_of(isa, technique, scheme, depth)
    monitored, heard = system(isa, guest, monitor, ram=ram)
    ended = bare.machine.run(BUDGET)
    assert ended.reason is Reason.STOPPED
    assert monitored.machine.run(BUDGET) == ended
    assert bytes(heard.transcript) == bytes(said.transcript) == transcript
    assert monitored.machine.to_state() == bare.machine.to_state()
    assert len(monitor.levels) == depth
    assert all(level.counters.direct > 0 for level in monitor.levels)


@pytest.mark.parametrize(
    ("name", "guest", "instruction"), [("ka10", "os/ka10.s", "jrst.2"), ("m68000", "os/m68010.s", "move_from_sr")]
)
def test_an_operating_system_shows_a_plain_monitor_that_is_forced(name: str, guest: str, instruction: str) -> None:
    """Theorem 1 fails: the system itself stumbles over an instruction that the analysis names."""
    isa = spec(name)
    report = analyze(isa, Options(witnesses="none", graph=False)).schemes[0]
    ram = RAM_OF.get(name, RAM)
    bare, said = system(isa, guest, ram=ram)
    monitored, heard = system(isa, guest, monitor_of(isa), ram=ram)
    assert parting(bare.machine, monitored.machine) == instruction
    assert instruction in report.theorems[0].culprits
    for machine in (bare.machine, monitored.machine):
        machine.run(BUDGET)
    assert bytes(heard.transcript) != bytes(said.transcript)


def parting(bare: Machine, monitored: Machine) -> str | None:
    """The instruction after which the two are no longer the same."""
    for _ in range(BUDGET):
        decoded = Peek(bare).instruction()
        bare.run(1)
        monitored.run(1)
        if bare.to_state() != monitored.to_state():
            return None if decoded is None else decoded.instruction.name
    return None


def test_in_lock_step() -> None:
    isa = spec("pg1974")
    bare, _ = system(isa, "os/pg1974.s", ram=0x600)
    monitored, _ = system(isa, "os/pg1974.s", monitor_of(isa), ram=0x600)
    assert lockstep(bare.machine, monitored.machine, 400) is None


def test_what_is_emulated_and_what_is_reflected() -> None:
    """Privileged instructions of the virtual supervisor are emulated, traps of virtual tasks reflected."""
    isa = spec("pg1974")
    monitor = monitor_of(isa)
    monitored, _ = system(isa, "os/pg1974.s", monitor, ram=0x1000)
    monitored.machine.run(BUDGET)
    (machine,) = monitor.machines
    counters = machine.counters
    assert counters.routines == {"lpsw": 24, "st": 19}  # the last one ends the run; the stores are to devices
    assert counters.exits == {"privileged privileged": 25, "call svc": 22, "memory memory": 20}
    assert counters.reflected == 24  # 22 calls, one `lrb`, one store out of bounds
    assert counters.steps == monitored.machine.steps


def test_several_virtual_machines_take_turns_and_do_not_meet() -> None:
    isa = spec("pg1974")
    monitor = Monitor(plan_of(isa), monitor_of(isa).allocator, room=3)
    guests = ["os/pg1974.s", "asm/pg1974.s", "os/pg1974.s"]
    consoles = [system(isa, guest, monitor, ram=0x1000)[1] for guest in guests]
    ended = monitor.run(BUDGET, quantum=50)
    assert {number: exit_.reason for number, exit_ in ended.items()} == dict.fromkeys(range(3), Reason.STOPPED)
    alone = []
    for guest in guests:
        bare, said = system(isa, guest, ram=0x1000)
        bare.machine.run(BUDGET)
        alone.append(bytes(said.transcript))
    assert [bytes(console.transcript) for console in consoles] == alone
    places = [machine.placements[0] for machine in monitor.machines]
    assert len({place.at for place in places}) == 3


def test_a_snapshot_of_a_virtual_machine_goes_on_in_another() -> None:
    isa = spec("pg1974")
    (first, _), (second, heard) = (system(isa, "os/pg1974.s", monitor_of(isa), ram=0x1000) for _ in range(2))
    first.machine.run(700)
    assert isinstance(second.machine, VirtualMachine)
    second.machine.from_state(first.machine.to_state())
    assert second.machine.run(BUDGET).reason is Reason.STOPPED
    assert b"1axy2b!!3cde\ndone\n".endswith(bytes(heard.transcript))
