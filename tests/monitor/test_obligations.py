"""The proofs of a monitor: all hold for the text as it is, and none for a text that was tampered with."""

from __future__ import annotations

import pytest
from monitored import spec
from msgspec.structs import replace

from analyzer import Options, analyze, ir
from analyzer.obligations import Proof, emulates, mode_assignment, places, prove, recovers, reflects
from analyzer.symbolic.pair import Subject
from analyzer.symbolic.setting import Setting


def setting_of(name: str, scheme: str | None = None) -> Setting:
    isa = spec(name)
    return Setting(isa, isa.scheme(scheme))


def without(block: ir.Block, element: str) -> ir.Block:
    """The block without its writes of an element."""
    out: list[ir.Stmt] = []
    for stmt in block:
        match stmt:
            case ir.Set() if stmt.element == element:
                continue
            case ir.When():
                out.append(replace(stmt, then=without(stmt.then, element), other=without(stmt.other, element)))
            case _:
                out.append(stmt)
    return tuple(out)


def test_all_of_pg1974_is_proved() -> None:
    proof = prove(setting_of("pg1974"))
    assert not proof.open
    assert not proof.broken
    isa = spec("pg1974")
    assert [o.name for o in proof.of("emulate")] == [i.name for i in isa.instructions]
    assert [o.name for o in proof.of("reflect")] == list(isa.traps)
    assert [o.name for o in proof.of("mode")] == ["s as u", "u as u"]
    assert {o.status for o in proof.obligations} == {"holds"}


def test_with_a_report_the_direct_ones_and_the_premises_are_listed() -> None:
    isa = spec("pg1974-jrst1")
    report = analyze(isa, Options(witnesses="none", graph=False)).schemes[0]
    proof = prove(Setting(isa, isa.scheme()), report, only=("lpsw",))
    assert [o.name for o in proof.broken] == [row.instruction for row in report.rows if row.hole == "yes"] != []
    assert [p.premise for p in proof.premises] == [f"P{n}" for n in range(1, 10)]
    assert all(p.where for p in proof.premises)
    known = {p.name: p.status for p in report.premises}
    assert {p.premise: p.status for p in proof.premises} == known


def test_without_a_report_nothing_is_called_proved() -> None:
    assert {p.status for p in prove(setting_of("pg1974"), only=("add",)).premises} == {"monitor", "assumed"}


@pytest.mark.parametrize(("name", "element"), [("lpsw", "M"), ("lpsw", "l"), ("lrb", "b"), ("bal", "P")])
def test_a_routine_that_forgets_an_element_is_refuted(name: str, element: str) -> None:
    setting = setting_of("pg1974")
    instruction = setting.isa.instruction(name)
    routine = without(instruction.body, element)
    assert routine != instruction.body
    assert emulates(setting, Subject(instruction)).status == "holds"
    told = emulates(setting, Subject(instruction), routine=routine)
    assert (told.status, told.why) == ("violated", "states differ after completion")


def test_a_routine_without_its_check_is_refuted() -> None:
    setting = setting_of("pg1974")
    instruction = setting.isa.instruction("lpsw")
    routine = tuple(s for s in instruction.body if not isinstance(s, ir.When))
    assert emulates(setting, Subject(instruction), routine=routine).status == "violated"


def test_a_delivery_that_forgets_an_element_is_refuted() -> None:
    setting = setting_of("pg1974")
    deliver = setting.isa.deliver
    assert deliver is not None
    other = replace(setting.isa, deliver=replace(deliver, body=without(deliver.body, "b")))
    kind = setting.isa.traps["svc"]
    assert reflects(setting, kind).status == "holds"
    assert reflects(setting, kind, delivery=Setting(other, setting.scheme)).status == "violated"


@pytest.mark.parametrize("name", ["pg1974", "m68010", "s370", "ka10", "rv64"])
def test_a_placed_memory_is_a_memory(name: str) -> None:
    memories = [s for s in spec(name).spaces.values() if isinstance(s, ir.Memory)]
    assert [places(space).status for space in memories] == ["holds"] * len(memories)


def test_a_small_budget_is_inconclusive_and_listed() -> None:
    (memory,) = (s for s in spec("rv64").spaces.values() if isinstance(s, ir.Memory))
    told = places(memory, rlimit=1)
    assert told.status == "inconclusive"
    assert Proof("rv64", "s_to_u", (told,), ()).open == (told,)


def test_modes_without_values_are_not_proved() -> None:
    assert mode_assignment(setting_of("pg1974"), 2) is None


@pytest.mark.parametrize("name", ["pg1974", "m68010", "rv64"])
def test_frames_tell_the_guests_state(name: str) -> None:
    setting = setting_of(name)
    assert {recovers(setting, kind).status for kind in setting.isa.traps.values()} == {"holds"}


def test_the_address_error_of_the_68000_does_not() -> None:
    """Its frame does not have the address of the instruction: UM 6.3.9, and what the 68010 mended."""
    setting = setting_of("m68000")
    told = recovers(setting, setting.isa.traps["address"])
    assert told.status != "holds"
    assert "pc is lost" in (told.why or "")


def test_a_frame_without_the_program_counter_does_not() -> None:
    setting = setting_of("pg1974")
    deliver = setting.isa.deliver
    assert deliver is not None
    slots = tuple(s for s in deliver.body if not isinstance(s, ir.Store))
    other = replace(setting.isa, deliver=replace(deliver, body=slots))
    told = recovers(Setting(other, setting.scheme), other.traps["svc"])
    assert (told.status, told.why) == ("violated", "P is lost")


UNTOLD = {"ka10": {"pushdown"}, "s370": {"protection", "translation"}}
"""Frames that do not tell the guest's state with arguments that no instruction gives: the length of the instruction, or
where it leads."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scheme"),
    [("m68010", "classic"), ("s370", "classic"), ("rv64", "s_to_u"), ("rv64", "m_to_u"), ("ka10", "classic")],
)
def test_all_of_a_monitor_is_proved(name: str, scheme: str) -> None:
    proof = prove(setting_of(name, scheme))
    assert proof.broken == ()
    assert {(o.kind, o.name) for o in proof.open} == {("frame", kind) for kind in UNTOLD.get(name, set())}
    assert all("with some arguments" in (o.why or "") for o in proof.open)
