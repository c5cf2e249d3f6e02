"""What a spec calls the terms of a run.

The locals of an instruction have names (`let p = …`), and so have the place and the value of an operand that is looked
for in memory (`Ew.addr`, `Ew`).  Terms that are too long to print are printed by these.  Conditions have names too: an
access that is permitted, a run that completes.  They are terms like others, so nothing rests on a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from analyzer import ir
from analyzer.symbolic.execute import Event
from analyzer.symbolic.pair import Pair, Side
from analyzer.symbolic.smt import Bits, Bool
from analyzer.symbolic.term import Term, conjuncts, symbols

@dataclass(frozen=True, slots=True)
class Permission:
    """An access through the window: the map, the kind, how many bits, the index and its width; the operand whose place it is, if it is
    one's; which encodings make it, and whether it faults."""

    space: str
    kind: str
    bits: int
    index: Bits
    width: int
    operand: str | None
    made: Bool
    fault: Bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names of terms over one side; the accesses at operands; conditions that have a name."""

    values: dict[Term, str] = field(default_factory=dict)
    permissions: tuple[Permission, ...] = ()
    conditions: dict[Term, str] = field(default_factory=dict)


def vocabulary(pair: Pair, side: Side) -> Vocabulary:
    """The names that the instruction's text gives to terms of this side."""
    values = _values(side)
    return Vocabulary(values, tuple(_permissions(pair, side, values)))


def _values(side: Side) -> dict[Term, str]:
    """Terms by the locals that hold them at the end of the body; the first of two names counts."""
    operands = _operand_values(side.instruction.body)
    out: dict[Term, str] = {}
    for local, term in side.run.locals.items():
        name = operands.get(local, local)
        if isinstance(term, Term) and term.args and not _made_up(name):
            out.setdefault(term, name)
    return out


def _made_up(local: str) -> bool:
    """Is it a name that no spec has given?"""
    return local.partition(".")[0] in ("here", "loaded", "tmp", "cond") or local.rpartition(".")[2].isdigit()


def _operand_values(body: ir.Block) -> dict[str, str]:
    """The locals that hold what is read at the place of an operand, with the operand's name."""
    out: dict[str, str] = {}
    for block in _blocks(body):
        for stmt in block:
            match stmt:
                case ir.Load(local, ir.Access(address=ir.Local(name))) if name.endswith(".addr"):
                    out[local] = name.removesuffix(".addr")
                case ir.Let(local, ir.Local(name)) if name in out:
                    out[local] = out.pop(name)  # merged with the operand in a register
                case _:
                    pass
    return out


def _blocks(body: ir.Block) -> list[ir.Block]:
    """A block and those in it."""
    inner = [b for s in ir.statements(body) if isinstance(s, ir.When) for b in (s.then, s.other)]
    return [body, *inner]


# -- permissions -------------------------------------------------------------------------------------------------------


def _permissions(pair: Pair, side: Side, values: dict[Term, str]) -> Iterator[Permission]:
    """The accesses of both runs, those of operands and those through a map that registers make."""
    for event in (*pair.v.run.events, *pair.r.run.events):
        operand = _operand_at(event, values)
        fault, _ = side.windows.fault_at(side.ex, event)
        space = pair.setting.isa.spaces[event.key[0]]
        assert isinstance(space, ir.Map)
        if not isinstance(fault, bool) and (operand is not None or pair.setting.shapes[space.name].concrete):
            index = side.windows.index(space, event.place, 0)
            made: Bool = True if operand is None else _by_encoding(pair, event.guard)
            yield Permission(*event.key, index, pair.setting.shapes[space.name].index_width(space), operand, made, fault)


def _operand_at(event: Event, values: dict[Term, str]) -> str | None:
    """The operand whose place is accessed, as a whole."""
    name = values.get(event.place[-1], "") if isinstance(event.place[-1], Term) else ""
    return name.removesuffix(".addr") if name.endswith(".addr") else None


def _by_encoding(pair: Pair, guard: Bool) -> Bool:
    """The part of a guard that the encoding decides."""
    parts = (p for p in conjuncts(guard) if all(s.name.startswith("operand ") for s in _inputs(p)))
    return pair.smt.and_(*parts)


def _inputs(term: Any) -> list[Any]:
    return symbols(term)
