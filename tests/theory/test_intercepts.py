"""Intercept synthesis: the cheapest setting of the bits that leaves no hole and stops nothing, or why there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from analyzer.analysis import analyze
from analyzer.intercepts import Synthesis, synthesize
from analyzer.options import Options
from analyzer.source import Source
from analyzer.syntax.load import load, load_source

CASES = Path(__file__).parent / "cases"
sys.path.insert(0, str(CASES))

from expected import INTERCEPTS  # noqa: E402

MACHINE = """isa machine
unit 8 big

enum Mode : 1 {{ super = 0, user = 1 }}

state mode m : Mode reset super
state guest pc, r : 8
state map l, b, c : 8
state control saved : 8
{bits}

mode = m order super > user
trap memory : memory
trap privileged : privileged
memory E[a: 9] : 8
map V[a: 8] on E {{ return zext(l, 9) + zext(a, 9) }}
fetch 8 from V at pc

deliver t {{
  saved = pc
  m = super
  pc = 0
}}

fn caught(bits: bool) {{ trap privileged if m == user and bits }}

instr "setb" = 0x01 {{
  caught({setb})
  b = b + 1 if r[7]
}}

instr "setc" = 0x02 {{
  caught({setc})
  c = r
}}

instr "nop" = 0x03 {{ caught({nop}) }}

scheme classic {{
  run super as user, user as user
  monitor super
  choose {chosen}
  {assume}
}}
"""


def machine(bits: str, setb: str = "true", setc: str = "true", nop: str = "false", assume: str = "") -> ir.Isa:
    """A machine with two instructions that need catching, and one that does not; `bits` declares the intercepts."""
    names = ", ".join(part.strip() for part in bits.partition(" : ")[0].split(","))
    text = MACHINE.format(
        bits=f"state intercept {bits}", setb=setb, setc=setc, nop=nop, chosen=names, assume=assume
    ).replace("  \n}", "}")
    return load_source(Source("machine.isa", text), Path())[0]


def found(isa: ir.Isa, rlimit: int | None = None) -> Synthesis:
    return synthesize(isa, isa.schemes[0], rlimit)


def setting(isa: ir.Isa) -> list[str]:
    """The bits to set, where there is one cheapest setting."""
    synthesis = found(isa)
    assert synthesis.setting is not None
    assert synthesis.others == synthesis.undecided == ()
    return [bit for bit, _ in synthesis.setting]


def test_nothing_to_set() -> None:
    assert setting(machine("A : bool")) == []


def test_what_each_bit_catches() -> None:
    isa = machine("A, B, C : bool", setb="A", setc="B", nop="C")
    assert found(isa).setting == (("A", ("setb",)), ("B", ("setc",)))


def test_one_bit_rather_than_two() -> None:
    assert setting(machine("A, B, C : bool", setb="A or C", setc="B or C")) == ["C"]


def test_two_bits_rather_than_an_innocuous_instruction_caught() -> None:
    assert setting(machine("A, B, C : bool", setb="A or C", setc="B or C", nop="C")) == ["A", "B"]


def test_caught_only_where_there_is_a_hole() -> None:
    assert setting(machine("A, B : bool", setb="A or (B and r[7])")) == ["B"]
    assert setting(machine("A, B : bool", setb="A or (B and not r[7])")) == ["A"]


def test_a_bit_that_undoes_another() -> None:
    assert setting(machine("A, D, F : bool", setb="A and not D", setc="D or F")) == ["A", "F"]


def test_bits_that_work_together() -> None:
    assert setting(machine("A, B, C : bool", setb="A and B", setc="A xor C")) == ["A", "B"]
    assert setting(machine("A, B, C : bool", setb="A and B", setc="B and C")) == ["A", "B", "C"]


def test_a_bit_that_is_clear_to_catch() -> None:
    """The virtual machine intercepts nothing, so its own bit is clear too, and there it is no hole to trap."""
    isa = machine("A, B : bool", setb="not A", setc="not A or B")
    assert setting(isa) == []


def test_bits_of_a_wider_element() -> None:
    assert setting(machine("x : 40", setb="x[33]", setc="x[7:6] == 2")) == ["x[7]", "x[33]"]


def test_a_word_indexed_by_the_guest() -> None:
    """Bit r decides: all must be set, and each is needed."""
    isa = machine("x : 8", setb="x[r[2:0]] or r[6]")
    assert found(isa).setting == tuple((f"x[{i}]", ("setb",)) for i in range(8))


def test_settings_that_the_machine_does_not_have() -> None:
    assert setting(machine("x : 3 { V[1:0] legal (0, 2) }", setb="x.V != 0")) == ["x.V[1]"]


def test_what_the_scheme_assumes_of_the_setting_is_sought_and_the_rest_is_kept() -> None:
    setb = "A or B and saved == 5"
    assert setting(machine("A, B : bool", setb=setb, assume='assume not A and B "as it is set"')) == ["A"]
    isa = machine("A, B : bool", setb=setb, assume='assume A and not B and saved == 5 "as it is set"')
    assert found(isa) == Synthesis((("A", ("setb",)),), others=(("B",),))
    impossible = 'assume not A or l == 1 and l == 2 "A has a price"'
    assert setting(machine("A, B : bool", setb="A or B", assume=impossible)) == ["B"]


def test_settings_that_are_as_good() -> None:
    synthesis = found(machine("A, B, C : bool", setb="A or B", setc="B or C or A and r[0]"))
    assert synthesis.setting == (("B", ("setb", "setc")),)
    synthesis = found(machine("A, B, C : bool", setb="A or B", setc="C"))
    assert synthesis.setting is not None
    assert [bit for bit, _ in synthesis.setting] == ["A", "C"]
    assert synthesis.others == (("B", "C"),)


def test_an_instruction_that_no_setting_catches() -> None:
    assert found(machine("A : bool", setb="false")) == Synthesis(None, uncaught=("setb",))
    assert found(machine("A : bool", setb="A and r != 0x87", setc="A and false")).uncaught == ("setb", "setc")


def test_instructions_that_no_setting_catches_together() -> None:
    synthesis = found(machine("A, B : bool", setb="A", setc="not A", nop="B"))
    assert (synthesis.setting, synthesis.uncaught) == (None, ())
    assert synthesis.apart == ("setb", "setc")


def test_an_innocuous_instruction_must_run() -> None:
    synthesis = found(machine("A : bool", setb="A", nop="A"))
    assert (synthesis.setting, synthesis.apart, synthesis.stopped) == (None, ("setb",), ("nop",))
    assert setting(machine("A : bool", setb="A", nop="A and l == 0")) == ["A"]  # another map lets it run


@pytest.mark.parametrize("rlimit", [1, 20, 1_000])
def test_a_budget_that_runs_out_is_told(rlimit: int) -> None:
    isa = machine("A, B : bool", setb="A and r * r * r != b * 7 + 3 or B", nop="A")
    synthesis = found(isa, rlimit)
    assert synthesis.setting == (("B", ("setb",)),) or synthesis.undecided


# -- the machines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "scheme"), [*INTERCEPTS, ("case32", "bare")])
def test_cases(name: str, scheme: str) -> None:
    expected = next(values for (machine, _), values in INTERCEPTS.items() if machine == name)
    isa = load(str(CASES / f"{name}.isa"))
    synthesis = synthesize(isa, isa.scheme(scheme))
    assert synthesis.setting is not None
    assert {bit for bit, _ in synthesis.setting} == {bit for bit, value in expected.items() if value}


SATP = tuple(f"{op} satp" for op in ("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"))


@pytest.mark.parametrize(("scheme", "jobs"), [("s_in_s", 2), pytest.param("s_in_s_open", 1, marks=pytest.mark.slow)])
def test_rv64_needs_tvm_only(scheme: str, jobs: int) -> None:
    """The RISC-V Instruction Set Manual, volume II, 3.1.6.5, names TVM, TW and TSR: the others are for the monitor's
    convenience, not for equivalence."""
    isa = spec("rv64")
    looked: list[tuple[int, int]] = []
    synthesis = synthesize(isa, isa.scheme(scheme), None, jobs, lambda done, total, name: looked.append((done, total)))
    assert synthesis == Synthesis((("mstatus.TVM", (*SATP, "sfence.vma")),))
    assert looked == [(i + 1, len(looked)) for i in range(len(looked))]


def test_what_is_found_is_virtualizable() -> None:
    """The settings around it, and what the analysis says of them."""
    for given, status in (("A and B", "holds"), ("A and not B", "violated"), ("not A and B", "violated")):
        isa = machine("A, B : bool", setb="A", setc="B", assume=f'assume {given} "as set"')
        report = analyze(isa, Options(graph=False, witnesses="none"))
        assert report.schemes[0].theorems[0].status == status
        assert setting(isa) == ["A", "B"]
