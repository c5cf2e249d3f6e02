"""What a spec calls the terms of the virtual run.

The locals of an instruction have names (`let p = …`), and so have the place and the value of an operand that is looked
for in memory (`Ew.addr`, `Ew`).  A formula with these names as symbols in place of the terms is smaller, and a
condition on it reads like the spec.  Conditions have names too: an access that is permitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from analyzer import ir
from analyzer.symbolic.pair import Pair, Side
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.term import Term, conjuncts, nodes, size, symbols

MIN_NAMED = 12
"""Smaller terms are their own names, and what they say of each other is not given away; words of memory excepted."""


@dataclass(frozen=True, slots=True)
class Permission:
    """An access through the window: the map, the kind, how many bits, the index and its width; the operand whose place
    it is, if it is one's; which encodings make it, and whether it faults."""

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
    """Symbols that stand for terms, with the terms and their names; the accesses that can be told of; conditions that
    have a name."""

    values: dict[Term, tuple[Term, str]] = field(default_factory=dict)
    permissions: tuple[Permission, ...] = ()
    conditions: dict[Term, str] = field(default_factory=dict)


class Abstraction:
    """Terms with symbols in place of what has a name, and back.

    A model of a formula is one of the formula with names, the symbols having the values of what they stand for.  So
    what is refuted with names is refuted.
    """

    def __init__(self, pair: Pair) -> None:
        smt = pair.smt
        values: dict[Term, tuple[Term, str]] = {}
        for term, name in _values(pair.v).items():
            values[smt.symbol(f"value {name}", term.width)] = term, name
        named = [(term, symbol) for symbol, (term, _) in values.items()]
        cells = [pair for symbol, (term, _) in values.items() for pair in _cells(smt, symbol, term)]
        self._of = smt.substitution([*cells, *named])
        self._back = smt.substitution((symbol, term) for symbol, (term, _) in values.items())
        self.names = Vocabulary(values, tuple(_permissions(pair, self)))

    def __call__(self, term: Any) -> Any:
        """The term with names."""
        return self._of(term)

    def concrete(self, term: Any) -> Any:
        """The term without."""
        return self._back(term)


def _cells(smt: Smt, symbol: Term, term: Term) -> Iterator[tuple[Any, Any]]:
    """The cells of a word of memory as parts of its symbol."""
    if _is_word(term):
        low = term.width
        for piece, width in zip(term.args, term.data, strict=True):
            low -= width
            yield piece, smt.extract(symbol, low + width - 1, low, term.width)


def _values(side: Side) -> dict[Term, str]:
    """Terms by the locals that hold them at the end of the body; the first of two names counts."""
    operands = _operand_values(side.instruction.body)
    out: dict[Term, str] = {}
    for local, term in side.run.locals.items():
        name = operands.get(local, local)
        if isinstance(term, Term) and _worth_a_name(term) and not _made_up(name) and not _held(term):
            out.setdefault(term, name)
    return out


def _worth_a_name(term: Term) -> bool:
    return term.width > 0 and not term.index and (_is_word(term) or size(term, MIN_NAMED) >= MIN_NAMED)


def _is_word(term: Term) -> bool:
    """Is it made of cells?"""
    return term.op == "concat" and all(isinstance(p, Term) and p.op == "select" for p in term.args)


def _held(term: Term) -> bool:
    """Does it speak of state that is not the guest's?"""
    return any(t.op in ("symbol", "array") and t.name.endswith(("@v", "@r")) for t in nodes(term))


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


def _permissions(pair: Pair, named: Abstraction) -> Iterator[Permission]:
    """The accesses of both runs in the virtual machine, those of operands and those through a map that registers
    make."""
    windows, ex = pair.v.windows, pair.v.ex
    for event in (*pair.v.run.events, *pair.r.run.events):
        fault = named(windows.fault_at(ex, event)[0])
        operand = _operand_at(named(event.place[-1]))
        space = pair.setting.isa.spaces[event.key[0]]
        assert isinstance(space, ir.Map)
        shape = pair.setting.shapes[space.name]
        if not isinstance(fault, bool) and (operand is not None or shape.concrete):
            index = named(windows.index(space, event.place, 0))
            made: Bool = True if operand is None else _by_encoding(pair, event.guard)
            yield Permission(*event.key, index, shape.index_width(space), operand, made, fault)


def _operand_at(address: Bits) -> str | None:
    """The operand whose place is accessed, as a whole."""
    name = address.name if isinstance(address, Term) else ""
    return name.removeprefix("value ").removesuffix(".addr") if name.endswith(".addr") else None


def _by_encoding(pair: Pair, guard: Bool) -> Bool:
    """The part of a guard that the encoding decides."""
    parts = (p for p in conjuncts(guard) if all(s.name.startswith("operand ") for s in symbols(p)))
    return pair.smt.and_(*parts)
