"""What is told of a witness: what differs, what matters, and where the runs part."""

from __future__ import annotations

import functools
from importlib.resources import files

from analyzer.explain import subject_of, witness_of_hole
from analyzer.syntax.load import load
from analyzer.witness import FoundWitness, Line
from emulator.replay import ReferenceReplayer


@functools.cache
def told(spec: str, scheme: str, instruction: str, case: str | None = None) -> FoundWitness:
    isa = load(spec)
    chosen = next(s for s in isa.schemes if s.name == scheme)
    found = witness_of_hole(isa, chosen, subject_of(isa, instruction, case), ReferenceReplayer())
    assert found.replayed
    return found


def test_what_a_trap_leaves_differs() -> None:
    """`commit` keeps the PC word that was stored before the trap."""
    found = told("ka10", "classic", "pushj")
    assert found.outcome[0] == Line("ends", "trap pushdown", "trap pushdown")
    assert [line.name for line in found.outcome[1:]] == ["ac[1]"]


def parted(found: FoundWitness) -> str:
    span = found.parted
    assert span is not None
    text = next(line for n, line in enumerate(source(span.file), 1) if n == span.line)
    return text[span.column - 1 :].strip()


def source(file: str) -> list[str]:
    return (files("isa_specs") / file).read_text(encoding="utf-8").splitlines()


def test_runs_part_where_it_shows() -> None:
    """At the write of IOPL that only the real run makes, not at those of equal effect after it."""
    assert parted(told("ia32", "classic", "popf.w")).startswith("eflags.IOPL =")


def test_what_does_not_matter_is_not_told() -> None:
    names = [line.name for line in told("rv64", "s_in_s_open", "csrrs", "satp").inputs]
    assert "mconfigptr.VALUE" not in names
    assert {"mode", "mstatus.TVM", "atp.MODE", "x[1]"} <= set(names)
