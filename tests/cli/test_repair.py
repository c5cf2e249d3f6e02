"""Repairs of every machine that is not virtualizable: what is written, and that it is virtualizable."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Popek

from analyzer import catalog, ir
from analyzer.render.repaired import among, one_of, privilege_trap
from analyzer.symbolic.pair import Subject
from analyzer.syntax.load import load
from emulator.examples import run_examples

PG1974 = {
    "pg1974-decb": "decb",
    "pg1974-halt": "halt",
    "pg1974-jrst1": "jrst1",
    "pg1974-lra": "lra",
    "pg1974-nopr": "nopr",
    "pg1974-rdbase": "rdbase",
    "pg1974-rdmode": "rdmode",
}

CHECKS = {("classic", name): f"before {instr} {{ trap privileged if mode != s }}" for name, instr in PG1974.items()} | {
    ("classic", "m68000"): "before move_from_sr { trap privilege if mode != super }",
    ("classic", "ka10"): "before jsr, jsp, pushj, jrst_1, jrst_2, jrst_3 { trap illegal(0) if mode == user }",
    ("classic", "ia32"): """\
before push_sreg, push_fs_gs, pop_sreg, pop_fs_gs, les_lds, lss_lfs_lgs, pushf, popf, lar, lsl, verr, verw,
  mov_from_sreg, mov_to_sreg, sldt, str, smsw, sgdt, sidt, jmp_far, jmp_far_M, call_far, call_far_M, retf, retf_I,
  iretd {
    trap gp0 if mode == 3
  }""",
    ("umip", "ia32-umip"): """\
before push_sreg, push_fs_gs, pop_sreg, pop_fs_gs, les_lds, lss_lfs_lgs, pushf, popf, lar, lsl, verr, verw,
  mov_from_sreg, mov_to_sreg, jmp_far, jmp_far_M, call_far, call_far_M, retf, retf_I, iretd {
    trap gp0 if mode == 3
  }""",
    ("s_in_s_open", "rv64"): """\
state intercept caught : bool reset 0

before csrrw, csrrs, csrrc, csrrwi, csrrsi, csrrci { trap illegal if caught and mode == S and csrn.code == 0x180 }
before sfence_vma { trap illegal if caught and mode == S }""",
}
"""What each machine lacks.  That of `rv64` is what version 1.10 of its privileged architecture added, and calls TVM."""

SLOW = ("ia32", "ia32-umip", "rv64")

EVERY = [
    pytest.param(scheme, name, marks=[pytest.mark.slow] if name in SLOW else [], id=f"{name}-{scheme}")
    for scheme, name in CHECKS
]


@pytest.mark.parametrize(("scheme", "name"), EVERY)
def test_repair(popek: Popek, tmp_path: Path, scheme: str, name: str) -> None:
    """The checks are these; the repaired machine is virtualizable, and does what its spec now says of it."""
    ran = popek("repair", name, "--scheme", scheme, "--verify", "-o", "mended.isa")
    assert f"analysed again: Theorem 1 holds under scheme {scheme}" in ran.err
    assert (ran.code, ran.out) == (0, "")
    text = (tmp_path / "mended.isa").read_text()
    assert f"\n\n{CHECKS[scheme, name]}\n" in text
    assert popek("fmt", "--check", "mended.isa").code == 0
    repaired = load(str(tmp_path / "mended.isa"))
    assert run_examples(repaired) == ()
    before = load(name)
    assert [i.name for i in repaired.instructions] == [i.name for i in before.instructions]
    assert shown(repaired) == shown(before)


def shown(isa: ir.Isa) -> set[tuple[str, tuple[ir.Fact, ...]]]:
    """The texts of the examples with the states that they begin in."""
    return {(example.asm, example.before) for i in isa.instructions for example in i.examples}


def test_every_machine_is_repaired() -> None:
    broken = {
        (e.name, s.name) for e in catalog.recorded() for s in e.schemes if s.theorems[0] == "violated" and s.holes
    }
    known = {(name, scheme) for scheme, name in CHECKS}
    assert {name for name, _ in broken} == {name for name, _ in known}
    assert known <= broken


# -- machines of one's own ---------------------------------------------------------------------------------------------

CASES = """isa cases extends pg1974
view creg[n: 4] : 21 = match n { 0 => b; 2..4 => l; 5 => r[1][20:0]; 6 => mem[0][20:0]; _ => r[2][20:0] }
operand c : 4 as creg
instr "get {r1}, {c}" = 0x30 r1 c _:49 { r1 = zext(c) }
instr "drop {r1}" = 0x31 r1 _:53 { b = b - 1 }
scheme classic { expect not_virtualizable }
"""


def test_only_the_cases_that_need_it(popek: Popek, tmp_path: Path) -> None:
    (tmp_path / "cases.isa").write_text(CASES)
    ran = popek("repair", "cases.isa", "--verify")
    assert ran.code == 0, ran.err
    assert ran.out == (
        'isa cases-repaired extends cases "cases, with the checks that it lacks"\n'
        "\n"
        "before get { trap privileged if mode != s and (c.code == 0x0 or (0x2 <= c.code and c.code <= 0x4)) }\n"
        "before drop { trap privileged if mode != s }\n"
        "expect no_hole : get\n"
        "expect privileged : drop\n"
        "\n"
        "scheme classic {\n"
        "  expect virtualizable\n"
        "}\n"
    )


def case(name: str, *values: int) -> Subject:
    return Subject(load("pg1974").instructions[0], name, "c", values)


def test_conditions_on_an_operand() -> None:
    one, two, three, other = case("one", 5), case("two", 6, 7), case("three", 1), case("other")
    assert among([one]) == "c.code == 0x5"
    assert among([one, two]) == "(0x5 <= c.code and c.code <= 0x7)"
    assert among([one, two, three]) == "(c.code == 0x1 or (0x5 <= c.code and c.code <= 0x7))"
    assert one_of([one, other], [one, two, three, other]) == "not (c.code == 0x1 or (0x6 <= c.code and c.code <= 0x7))"


def test_where_it_is_written(popek: Popek, holed: str, tmp_path: Path) -> None:
    """Beside the file that it extends, whatever machine is in that."""
    (tmp_path / holed).rename(tmp_path / "other.isa")
    ran = popek("repair", "other.isa")
    assert ran.out.startswith("isa holed-repaired extends other ")
    assert popek("repair", "other.isa", "-o", str(tmp_path / "mended.isa")).code == 0
    assert (tmp_path / "mended.isa").read_text() == ran.out
    assert popek("check", "mended.isa").code == 0
    (tmp_path / "out").mkdir()
    ran = popek("repair", "other.isa", "-o", "out/mended.isa")
    assert (ran.code, list((tmp_path / "out").iterdir())) == (2, [])
    assert "must stand beside it" in ran.err
    (tmp_path / "other.isa").rename(tmp_path / "an other.isa")
    assert "a spec cannot extend an other.isa" in popek("repair", "an other.isa").err


@pytest.mark.parametrize(
    ("name", "trap"),
    [
        ("pg1974", "privileged"),
        ("m68010", "privilege"),  # and not `format_error`
        ("s370", "privop"),  # its parameter has a default
        ("ia32", "gp0"),
        ("ka10", "illegal(0)"),
        ("rv64", "illegal"),  # what its privilege checks raise
    ],
)
def test_the_machine_s_own_trap(name: str, trap: str) -> None:
    assert privilege_trap(load(name)) == trap


def test_a_trap_of_its_own(popek: Popek, tmp_path: Path) -> None:
    """Where nothing is refused yet, the check has a trap of its own."""
    spec = (
        "isa bare\nunit 8 big\nenum Mode : 1 { s = 0, u = 1 }\nstate mode m : Mode\nstate guest pc, r : 8\n"
        "state map l : 8\nstate control old : 8\nmode = m order s > u\ntrap call : call\nmemory E[a: 9] : 8\n"
        "map V[a: 8] on E { return zext(l, 9) + zext(a, 9) }\nfetch 8 from V at pc\n"
        "deliver t { old = pc; m = s; pc = 0 }\n"
        'instr "call" = 0x01 { trap call }\ninstr "rd" = 0x02 { r = l }\n'
        "scheme classic { run s as u, u as u; monitor s }\n"
    )
    (tmp_path / "bare.isa").write_text(spec)
    ran = popek("repair", "bare.isa", "--verify")
    assert ran.code == 0, ran.err
    assert "trap repair : privileged\n\nbefore rd { trap repair if mode != s }\n" in ran.out


def test_what_checks_do_not_mend(popek: Popek) -> None:
    """Addresses that are out of reach in user mode: no instruction is to blame."""
    stuck = Path(__file__).parents[1] / "theory/cases/case16.isa"
    ran = popek("repair", str(stuck))
    assert (ran.code, ran.out) == (1, "")
    assert "nothing to repair with checks under scheme classic: no hole, but not direct" in ran.err


def test_nothing_to_repair(popek: Popek, tiny: str) -> None:
    ran = popek("repair", tiny)
    assert (ran.code, ran.out) == (0, "")
    assert "nothing to repair with checks under scheme classic: no hole" in ran.err
