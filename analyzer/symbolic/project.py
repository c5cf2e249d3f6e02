"""Instances of the symbols of one side, for eliminating them from a formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import z3

from analyzer import ir
from analyzer.symbolic.least import atoms
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.walk import nodes, symbols, wrapped


@dataclass(frozen=True, slots=True)
class Pin:
    """Bits of a symbol or cell that the formula determines, as (high, low, term)."""

    base: Any
    pieces: list[tuple[int, int, Any]]

    def filled(self, free: Any) -> Any:
        """The whole value, bits without a pin from `free`."""
        parts, top = [], self.base.size() - 1
        for hi, lo, term in sorted(self.pieces, key=lambda piece: -piece[0]):
            if hi < top:
                parts.append(z3.Extract(top, hi + 1, free))
            parts.append(term)
            top = lo - 1
        if top >= 0:
            parts.append(z3.Extract(top, 0, free))
        return parts[0] if len(parts) == 1 else z3.Concat(*parts)


class Projection:
    """How the symbols of `side` in `formula` may be replaced by terms over everything else."""

    def __init__(self, pair: Pair, formula: Bool, side: str) -> None:
        self.pair = pair
        self.formula = pair.smt.formula(formula)
        self.side = side
        self.other = "v" if side == "r" else "r"
        self.definitions: list[Any] = []
        self.ones: dict[int, Any] = {}
        self.formula = self._without_side_conditions()
        self.shared = self._shared()
        self.faults = self._faults()
        self.pinned = self._pinned()
        self.arrays = self._arrays()

    # -- what need not be replaced -------------------------------------------------------------------------------------

    def _without_side_conditions(self) -> Any:
        """Drops conjuncts on this side alone that values of symbols found nowhere else make true: an invariant of the
        monitor about registers that the instruction does not touch."""
        conjuncts = list(_conjuncts(self.formula))
        uses: dict[int, int] = {}
        for conjunct in conjuncts:
            for symbol in symbols(conjunct):
                uses[symbol.get_id()] = uses.get(symbol.get_id(), 0) + 1
        kept = []
        for conjunct in conjuncts:
            local = [s for s in symbols(conjunct) if uses[s.get_id()] == 1 and self._pinnable(s)]
            if not local or not self._satisfiable_by(conjunct, local):
                kept.append(conjunct)
        return z3.And(*kept) if kept else z3.BoolVal(True, self.formula.ctx)

    def _satisfiable_by(self, conjunct: Any, local: list[Any]) -> bool:
        """Can the local symbols alone make the conjunct true, whatever the others are?"""
        answer = self.pair.smt.check(conjunct)
        if answer.status != "sat":
            return False
        values = [(s, answer.model.eval(s, model_completion=True)) for s in local]
        if z3.is_true(z3.simplify(z3.substitute(conjunct, *values))):
            return True
        zeros = [(s, z3.BitVecVal(0, s.size(), s.ctx)) for s in local if z3.is_bv(s)]
        return bool(zeros) and z3.is_true(z3.simplify(z3.substitute(conjunct, *zeros)))

    def _shared(self) -> set[str]:
        """Arrays that a top-level equation makes the other side's."""
        out = set()
        for conjunct in _conjuncts(self.formula):
            if z3.is_eq(conjunct) and z3.is_array(conjunct.arg(0)):
                out |= {n for n in map(_symbol, conjunct.children()) if n is not None and n.endswith(f"@{self.side}")}
        return out

    # -- what can be replaced ------------------------------------------------------------------------------------------

    def mine(self, name: str) -> bool:
        return name.endswith(f"@{self.side}") or name.startswith("chosen ")

    def _faults(self) -> list[tuple[Any, Any]]:
        """A fault of this side becomes the other side's at the same place, when the map is abstract (the monitor
        permits what the guest permits) or when they are proved equal; the other side's concrete ones become named
        atoms."""
        pair, smt = self.pair, self.pair.smt
        one, two = (pair.r, pair.v) if self.side == "r" else (pair.v, pair.r)
        out = []
        for event in one.run.events:
            if isinstance(event.fault, bool):
                continue
            fault, _ = two.windows.fault_at(two.ex, event)
            named = self.named(two, event, fault)
            if not pair.setting.shapes[event.key[0]].concrete:
                out.append((event.fault, smt.formula(fault)))
            elif smt.check(self.formula, smt.xor(event.fault, fault)).status == "unsat":
                out.append((event.fault, named))
        for event in two.run.events:
            if pair.setting.shapes[event.key[0]].concrete and not isinstance(event.fault, bool):
                out.append((event.fault, self.named(two, event, event.fault)))
        return out

    def named(self, side: Any, event: Any, fault: Any) -> Any:
        """A concrete fault as an atom that prints as an access; what it stands for goes to `definitions`."""
        pair = self.pair
        space = pair.setting.isa.spaces[event.key[0]]
        if isinstance(fault, bool) or not isinstance(space, ir.Map) or not pair.setting.shapes[space.name].concrete:
            return pair.smt.formula(fault)
        name, kind, bits = event.key
        index = side.windows.index(space, event.place, 0)
        width = pair.setting.shapes[name].index_width(space)
        function = pair.smt.function(f"fault {name} {kind} {bits}@{side.name}", (width,), 0)
        atom = function(pair.smt.bits(index, width))
        self.definitions.append(atom == fault)
        return atom

    def _pinned(self) -> dict[int, Pin]:
        """Symbols and cells of which a top-level equation determines some bits by the other side's, and deprivileged
        modes."""
        out: dict[int, Pin] = {}
        for base, term in self._mode():
            out[base.get_id()] = Pin(base, [(base.size() - 1, 0, term)])
        for conjunct in _conjuncts(self.formula):
            if not z3.is_eq(conjunct) or z3.is_array(conjunct.arg(0)):
                continue
            for a, b in ((conjunct.arg(0), conjunct.arg(1)), (conjunct.arg(1), conjunct.arg(0))):
                base, hi, lo = _slice(a)
                if not self._pinnable(base) or self._mentions(b):
                    continue
                pin = out.setdefault(base.get_id(), Pin(base, []))
                if all(lo > top or hi < bottom for top, bottom, _ in pin.pieces):
                    pin.pieces.append((hi, lo, b))
                    break
        return out

    def _pinnable(self, base: Any) -> bool:
        name = _symbol(base)
        if name is None and z3.is_select(base):
            name = _symbol(base.arg(0))
        return name is not None and name.endswith(f"@{self.side}")

    def _mode(self) -> list[tuple[Any, Any]]:
        pair = self.pair
        if self.side != "r" or not isinstance(pair.setting.isa.mode.expr, ir.Get):
            return []
        width = pair.mode_width
        term: Any = pair.setting.scheme.run[-1][1]
        for virtual, real in pair.setting.scheme.run[:-1]:
            term = pair.smt.ite(pair.smt.eq(pair.v.mode, virtual, width), real, term, width)
        return [(pair.r.mode, pair.smt.bits(term, width))]

    def _mentions(self, term: Any) -> bool:
        """Does a term mention symbols of this side other than the monitor's choices?"""
        return any(str(a.decl().name()).endswith(f"@{self.side}") for a in symbols(term))

    def _arrays(self) -> list[Any]:
        """Array symbols of this side."""
        seen: dict[str, Any] = {}
        for address, kind, count in nodes(self.formula):
            if kind == z3.Z3_OP_UNINTERPRETED and not count:
                term = wrapped(self.formula, address)
                if z3.is_array(term) and self.mine(str(term.decl().name())):
                    seen[str(term.decl().name())] = term
        return [seen[n] for n in sorted(seen)]

    # -- replacing -----------------------------------------------------------------------------------------------------

    def instance(self, model: Any | None) -> Any:
        """The formula with this side's symbols replaced: as unlike the other side's as can be, or as in the model."""
        term = z3.substitute(self.formula, *self.faults) if self.faults else self.formula
        apart: list[Any] = []
        self.ones = {} if model is None else self._generous(term, model)
        if model is not None:
            term, apart = self._as_read(term, model)
        for _ in range(3):  # pinned terms may mention pinned symbols
            cells = [(p.base, self._value(p.base, model)) for p in self.pinned.values() if z3.is_select(p.base)]
            term = z3.substitute(term, *cells) if cells else term
            replaced = [(a, self._value(a, model)) for a in symbols(term) if self.mine(str(a.decl().name()))]
            replaced += [(a, self._array(a, model)) for a in self.arrays]
            if not replaced:
                break
            term = z3.substitute(term, *replaced)
            apart = [z3.substitute(t, *replaced) for t in apart]
        return z3.simplify(z3.And(term, *apart)) if apart else z3.simplify(term)

    def _generous(self, term: Any, model: Any) -> dict[int, Any]:
        """Free symbols of this side that can be all ones, everything else being as in the model: limits that then do
        not bind."""
        ones: dict[int, tuple[Any, Any]] = {}
        for symbol in symbols(term):
            if not self._pinnable(symbol) or symbol.get_id() in self.pinned or not z3.is_bv(symbol):
                continue
            tried = [*ones.values(), (symbol, z3.BitVecVal(-1, symbol.size(), symbol.ctx))]
            if z3.is_true(model.eval(z3.substitute(term, *tried), model_completion=True)):
                ones[symbol.get_id()] = tried[-1]
        return {key: value for key, (_, value) in ones.items()}

    def _as_read(self, term: Any, model: Any) -> tuple[Any, list[Any]]:
        """Cells of this side's tables become what the model has there, whatever their addresses; returned with the
        conditions that cells with different contents lie apart."""
        reads = [r for r in atoms(term) if z3.is_select(r) and self._pinnable(r) and r.get_id() not in self.pinned]
        known = [(r, model.eval(r, model_completion=True)) for r in reads]
        apart = []
        for i, (one, a) in enumerate(known):
            for two, b in known[i + 1 :]:
                if one.arg(0).eq(two.arg(0)) and not a.eq(b):
                    differ = z3.simplify(one.arg(1) != two.arg(1))
                    if not z3.is_true(differ):
                        apart.append(one.arg(1) != two.arg(1))
        return (z3.substitute(term, *known) if known else term), apart

    def _counterpart(self, symbol: Any) -> Any:
        if z3.is_select(symbol):
            return z3.Select(self._counterpart(symbol.arg(0)), symbol.arg(1))
        name = str(symbol.decl().name()).removesuffix(f"@{self.side}") + f"@{self.other}"
        return z3.Const(name, symbol.sort())

    def _value(self, symbol: Any, model: Any | None) -> Any:
        name = str(symbol.decl().name())
        if name.startswith(("chosen ", "unknown ")):
            value = 1 if model is None else model.eval(symbol, model_completion=True).as_long()
            return z3.BitVecVal(value, symbol.size(), symbol.ctx)
        free = self._free(symbol, model)
        pin = self.pinned.get(symbol.get_id())
        return free if pin is None else pin.filled(free)

    def _free(self, symbol: Any, model: Any | None) -> Any:
        """Bits that nothing pins: the opposite of the other side's, or relative to them as in the model."""
        other = self._counterpart(symbol)
        if model is None:
            return ~other
        if symbol.get_id() in self.ones:
            return self.ones[symbol.get_id()]
        mine, theirs = (model.eval(t, model_completion=True) for t in (symbol, other))
        if mine.eq(theirs):
            return other
        return ~other if mine.as_long() == ~theirs.as_long() & ((1 << symbol.size()) - 1) else mine

    def _array(self, array: Any, model: Any | None) -> Any:
        other = self._counterpart(array)
        if str(array.decl().name()) in self.shared:
            return other
        if model is not None and not _differs(model, array, other):
            return other
        element = z3.Const("element", array.range())
        return z3.Map((~element).decl(), other)


def _differs(model: Any, a: Any, b: Any) -> bool:
    return not z3.is_true(model.eval(a == b, model_completion=True))


def _conjuncts(term: Any) -> Any:
    if z3.is_and(term):
        for child in term.children():
            yield from _conjuncts(child)
    else:
        yield term


def _slice(term: Any) -> tuple[Any, int, int]:
    """A term as bits hi..lo of a base."""
    if term.decl().kind() == z3.Z3_OP_EXTRACT:
        hi, lo = term.params()
        return term.arg(0), hi, lo
    return term, term.size() - 1 if z3.is_bv(term) else 0, 0


def _symbol(term: Any) -> str | None:
    plain = z3.is_app(term) and term.num_args() == 0 and term.decl().kind() == z3.Z3_OP_UNINTERPRETED
    return str(term.decl().name()) if plain else None
