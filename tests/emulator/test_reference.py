"""The reference executor, one rule of the IR at a time."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from msgspec.structs import replace
from toy import add, c, procedure, toy

from analyzer import ir
from emulator.evaluate import scripted
from emulator.program import assemble
from emulator.reference import (
    Completed,
    DoubleFault,
    Event,
    Halted,
    Machine,
    Policy,
    Stuck,
    Touch,
    Trapped,
    Undefined,
    Unpredicted,
    execute,
)
from emulator.state import State

ISA = toy()


def machine(program: str, isa: ir.Isa = ISA, policy: Policy | None = None, **places: int) -> Machine:
    """A machine with a program at address 0x10, in physical memory."""
    made = Machine(isa, policy=policy)
    assemble(isa, program, 0x10).write(made.state, "phys")
    made.state.write("pc", 0x10)
    for place, value in places.items():
        if place[0] == "r":
            made.state.write("r", value, int(place[1:]))
        else:
            made.state.write(place, value)
    return made


def changes(m: Machine, before: State) -> Mapping[str, int]:
    return {d.place: d.after for d in before.diff(m.state)}


def stepped(m: Machine) -> tuple[Event, Mapping[str, int]]:
    before = m.state.copy()
    event = m.step()
    return event, changes(m, before)


def test_an_instruction_completes() -> None:
    event, after = stepped(machine("add r1, r2", r1=5, r2=7))
    assert isinstance(event, Completed)
    assert event.instruction.name == "add"
    assert after == {"pc": 0x12, "r[1]": 12}
    assert [t.kind for t in event.accesses] == ["fetch", "fetch"]


def test_a_trap_undoes_and_is_delivered() -> None:
    m = machine("st r1, (r2)+", r1=0x1234, r2=0x50, M=1, base=0, bound=0x40)
    event, after = stepped(m)
    assert isinstance(event, Trapped)
    assert (event.trap, event.args, event.kind, event.delivered) == ("memory", (0x50, 2), ir.TrapClass.MEMORY, True)
    # accessed was set by the fetch, and is undone with the rest
    assert after == {"pc": 0x80, "M": 0, "phys[0x100]": 0x10, "phys[0x103]": 2, "phys[0x104]": 0x80}


def test_a_trap_that_resumes_next() -> None:
    event, after = stepped(machine("svc", M=1, bound=0x40))
    assert isinstance(event, Trapped)
    assert event.args == (9,)
    assert after == {"pc": 0x80, "M": 0, "phys[0x100]": 0x11, "phys[0x102]": 2, "phys[0x103]": 9, "phys[0x104]": 0x80}


def test_a_commit_survives_the_trap() -> None:
    m = machine("move r1, r2", r1=0x200, r2=0x300, r7=9)
    m.state.write("phys", 0xAABB, 0x300, 16)
    event, after = stepped(m)
    assert isinstance(event, Completed)
    assert after == {"r[1]": 0x208, "r[2]": 0x308, "r[7]": 5, "phys[0x200]": 0xBB, "phys[0x201]": 0xAA}, "pc stays"
    m = machine("move r1, r2", r1=0x3E, r2=0x20, r7=2, M=1, bound=0x40)
    event, after = stepped(m)
    assert isinstance(event, Trapped)
    assert (after["r[1]"], after["r[2]"], after["r[7]"], after["phys[0x100]"]) == (0x40, 0x22, 1, 0x10)


def test_privileged() -> None:
    event, _ = stepped(machine("setm r1", M=1, bound=0x40))
    assert isinstance(event, Trapped)
    assert event.kind is ir.TrapClass.PRIVILEGED
    event, after = stepped(machine("setm r1", r1=1))
    assert after == {"pc": 0x11, "M": 1}


def test_the_map() -> None:
    m = machine("nop:\n ld r1, 2(r2)", r2=0x20, M=1, base=0, bound=0x40)
    m.state.write("phys", 0x1234, 0x22, 16)
    event, after = stepped(m)
    assert after == {"pc": 0x14, "accessed": 1, "r[1]": 0x1234}
    assert isinstance(event, Completed)
    assert event.accesses[-1] == Touch("mem", 0x22, 16, "read", 0x1234, ("phys", 0x22))


def test_memory_ends_at_its_size() -> None:
    event, _ = stepped(machine("ld r1, (r2)", r2=0x7FF, q=0x800))
    assert isinstance(event, Trapped)
    assert event.trap == "bus", "the last unit is past the end"
    event, _ = stepped(machine("ld r1, (r2)", r2=0x7FE, q=0x800))
    assert isinstance(event, Completed)


def test_fetch_traps() -> None:
    event, after = stepped(machine("svc", pc=0x50, M=1, bound=0x40))
    assert isinstance(event, Trapped)
    assert (event.trap, event.args, event.memory, event.instruction) == ("memory", (0x50, 0), True, None)
    assert after["phys[0x100]"] == 0x50


def test_undefined_encodings() -> None:
    event, after = stepped(machine(".byte 0xFF"))
    assert isinstance(event, Trapped)
    assert (event.trap, after["phys[0x100]"]) == ("illegal", 0x10)
    traps = {n: t for n, t in ISA.traps.items() if n != "illegal"}
    isa = replace(ISA, traps=traps, fetch=replace(ISA.fetch, limit=None, beyond=None))
    event, after = stepped(machine(".byte 0xFF", isa))
    assert isinstance(event, Undefined)
    assert after == {}


def test_an_instruction_may_not_be_longer_than_the_limit() -> None:
    event, _ = stepped(machine(".bits 72, 0x666666666666666666"))
    assert isinstance(event, Trapped)
    assert event.trap == "illegal"


def test_probes_leave_nothing() -> None:
    event, after = stepped(machine("lra r1, r2", r2=0x20, base=0x300, bound=0x40, M=0))
    assert after == {"pc": 0x12, "r[1]": 0x20}
    m = machine("lra r1, r2", r2=0x20, M=1, base=0, bound=0x40)
    event, after = stepped(m)
    assert after == {"pc": 0x12, "r[1]": 0x20, "accessed": 1}, "by the fetch"
    event, after = stepped(machine("lra r1, r2", r2=0x50, M=1, base=0, bound=0x40))
    assert isinstance(event, Trapped), "translate traps as the access would"
    assert event.trap == "memory"


@pytest.mark.parametrize(("endian", "value"), [("little", 0x2211), ("big", 0x1122)])
def test_buses(endian: str, value: int) -> None:
    m = machine("in r1, 3\n out r2, 5", toy(endian), r2=0xAABB)  # type: ignore[arg-type]
    m.state.write("ports", 0x22, 4)
    m.step()
    assert m.state.read("r", 1) == value
    m.step()
    assert m.state.read("ports", 5) == (0xBB if endian == "little" else 0xAA)


def test_execute_another() -> None:
    event, after = stepped(machine("ex r1", r1=0x0A01, r2=5))  # add r2, r1
    assert isinstance(event, Completed)
    assert after == {"pc": 0x11, "r[2]": 0x0A01 + 5}
    event, after = stepped(machine("ex r1", r1=0x4141))  # ex r1, forever
    assert isinstance(event, Stuck)
    assert after == {}


def test_what_is_executed_stands_where_the_other_does() -> None:
    event, after = stepped(machine("ex r1", r1=0x2C32, r2=0x40, r4=0x40, r7=9))  # move r4, r5: four words, then again
    assert isinstance(event, Completed)
    assert "pc" not in after, "the one that executes it is to run again"
    assert after["r[7]"] == 5


def test_executing_something_undefined() -> None:
    event, _ = stepped(machine("ex r1", r1=0xFFFF))
    assert isinstance(event, Trapped)
    assert event.trap == "illegal"


def test_unknown_values() -> None:
    for policy, value in ((Policy(), 0), (Policy(unknown=scripted({7: 0xABC})), 0xABC)):
        m = machine("unk r1", policy=policy, r1=1)
        m.step()
        assert m.state.read("r", 1) == value


def test_unspecified_functions() -> None:
    m = machine("dev r1\ndev r2", r1=5, r2=5)
    m.run(2)
    assert m.state.read("r", 1) == m.state.read("r", 2)
    m = machine("dev r1", policy=Policy(arbitrary=lambda name, args, width: args[0] * 2), r1=5)
    m.step()
    assert m.state.read("r", 1) == 10


def test_unpredictable() -> None:
    event, after = stepped(machine("unp"))
    assert isinstance(event, Unpredicted)
    assert after == {"pc": 0x11}
    event, after = stepped(machine("unp", policy=Policy(unpredictable="stay")))
    assert after == {}


def test_interrupts_come_first() -> None:
    event, after = stepped(machine("halt", tick=1, halted=1))
    assert isinstance(event, Trapped)
    assert (event.trap, event.instruction) == ("tick", None)
    assert after["phys[0x100]"] == 0x10


def test_halted() -> None:
    m = machine("halt")
    assert m.run(10) == (2, Halted("halted"))


def test_a_delivery_that_traps_is_a_double_fault() -> None:
    event, after = stepped(machine("svc", frame=0xBAD))
    assert event == DoubleFault(("svc", "privileged", "privileged", "privileged"), ISA.instruction("svc"))
    assert after == {"pc": 0x11}, "nothing of a delivery is left"


def test_without_delivery() -> None:
    event, after = stepped(machine("svc", policy=Policy(deliver=False)))
    assert isinstance(event, Trapped)
    assert not event.delivered
    assert after == {"pc": 0x11}


def test_endless_loops_end() -> None:
    event, after = stepped(machine("spin", policy=Policy(budget=1000)))
    assert isinstance(event, Stuck)
    assert after == {}


def test_a_procedure_that_calls_itself_ends() -> None:
    again = procedure("again", (), None, ir.Call("again", ()))
    body = (ir.Set("pc", add(ir.Get("pc", 16), c(16, 1))), ir.Call("again", ()))
    svc = replace(ISA.instruction("svc"), body=body)
    isa = replace(ISA, procedures={"again": again})
    outcome = execute(isa, svc, {}, State(isa))
    assert isinstance(outcome.event, Stuck)
    assert outcome.after == State(isa)


def test_procedures_return() -> None:
    double = procedure(
        "double", [("x", 16)], 16, ir.When(ir.TRUE, (ir.Return(add(ir.Local("x", 16), ir.Local("x", 16))),))
    )
    body = (ir.Call("double", (c(16, 21),), "v"), ir.SetEntry("r", c(3, 1), ir.Local("v", 16)))
    isa = replace(ISA, procedures={"double": double})
    outcome = execute(isa, replace(ISA.instruction("svc"), body=body), {}, State(isa))
    assert outcome.after.read("r", 1) == 42


def test_execute_leaves_its_state_alone() -> None:
    state = State(ISA)
    outcome = execute(ISA, ISA.instruction("ldi"), {"a": 3, "k": 77}, state)
    assert isinstance(outcome.event, Completed)
    assert state == State(ISA)
    assert {d.place: d.after for d in state.diff(outcome.after)} == {"pc": 3, "r[3]": 77}


@pytest.mark.parametrize("seed", range(30))
def test_random_states_never_crash_it(seed: int) -> None:
    m = Machine(ISA, State.random(ISA, random.Random(seed)), Policy(budget=2000))
    for _ in range(50):
        m.step()
        for name, element in ISA.elements.items():
            assert 0 <= m.state.elements[name] < 1 << element.width
        m.state.elements["halted"] = 0
        m.state.elements["tick"] = 0
