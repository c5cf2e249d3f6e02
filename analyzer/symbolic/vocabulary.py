"""What a spec calls the terms of the virtual run: the values of locals, and conditions that have a name, such as that
an access is permitted.  A condition with these names reads like the spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from analyzer import ir
from analyzer.symbolic.naming import Naming
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Bits, Bool
from analyzer.symbolic.term import Term, conjuncts, symbols


class Permission(Struct, frozen=True):
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


class Vocabulary(Struct, frozen=True):
    """Symbols that stand for terms, with the terms and their names; the accesses that can be told of; conditions that
    have a name."""

    values: dict[Term, tuple[Term, str]] = field(default_factory=dict)
    permissions: tuple[Permission, ...] = ()
    conditions: dict[Term, str] = field(default_factory=dict)


class Abstraction(Naming):
    """Terms with names in place of what the virtual run's locals hold, and the vocabulary that this makes."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair.smt, "value", pair.v.run.locals, pair.subject.instruction.body)
        self.names = Vocabulary(self.values, tuple(_permissions(pair, self)))


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
