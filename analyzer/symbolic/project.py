"""Instances of the symbols of one side, for eliminating them from a formula."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analyzer import ir
from analyzer.symbolic.builder import Substitution
from analyzer.symbolic.model import Entries, Model
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Array, Bits, Bool, Smt
from analyzer.symbolic.term import Term, conjuncts, mask, nodes, symbols
from analyzer.symbolic.terms import MEMORIES, atoms, base_name


@dataclass(frozen=True, slots=True)
class Pin:
    """Bits of a symbol or cell that the formula determines, as (high, low, term)."""

    base: Term
    pieces: list[tuple[int, int, Any]]

    def filled(self, smt: Smt, free: Bits) -> Bits:
        """The whole value, bits without a pin from `free`."""
        width = self.base.width
        parts, top = [], width - 1
        for hi, lo, term in sorted(self.pieces, key=lambda piece: -piece[0]):
            if hi < top:
                parts.append((smt.extract(free, top, hi + 1, width), top - hi))
            parts.append((term, hi - lo + 1))
            top = lo - 1
        if top >= 0:
            parts.append((smt.extract(free, top, 0, width), top + 1))
        return smt.joined(parts)


@dataclass(slots=True)
class Instance:
    """Replacements one after another; the cells that were replaced, and the conditions under which that is
    consistent."""

    smt: Smt
    steps: list[Substitution] = field(default_factory=list)
    apart: list[Bool] = field(default_factory=list)
    read: list[tuple[Array, Bits, int]] = field(default_factory=list)

    def put(self, term: Any, pairs: list[tuple[Any, Any]]) -> Any:
        """One more replacement, made in a term that all earlier ones were made in."""
        if not pairs:
            return term
        step = self.smt.substitution(pairs)
        self.steps.append(step)
        self.apart = [step(a) for a in self.apart]
        self.read = [(array, step(index), value) for array, index, value in self.read]
        return step(term)

    def __call__(self, term: Any) -> Any:
        """A term with everything put in."""
        for step in self.steps:
            term = step(term)
        return term


class Projection:
    """How the symbols of `side` in `formula` may be replaced by terms over everything else."""

    def __init__(self, pair: Pair, formula: Bool, goal: Bool, side: str) -> None:
        self.pair = pair
        self.smt = pair.smt
        self.formula = formula
        self.goal = goal
        self.side = side
        self.other = "v" if side == "r" else "r"
        self.definitions: list[Bool] = []
        self.formula = self._without_side_conditions()
        self.shared = self._shared()
        self.faults = self._faults()
        self.pinned = self._pinned()

    # -- what need not be replaced -------------------------------------------------------------------------------------

    def _without_side_conditions(self) -> Bool:
        """Drops conjuncts on this side alone that values of symbols found nowhere else make true: an invariant of the
        monitor about registers that the instruction does not touch."""
        listed = [(conjunct, symbols(conjunct)) for conjunct in conjuncts(self.formula)]
        uses = dict.fromkeys(symbols(self.goal), 1)
        for _, mentioned in listed:
            for symbol in mentioned:
                uses[symbol] = uses.get(symbol, 0) + 1
        kept = []
        for conjunct, mentioned in listed:
            local = [s for s in mentioned if uses[s] == 1 and self._pinnable(s)]
            if not local or not self._satisfiable_by(conjunct, local):
                kept.append(conjunct)
        return self.smt.and_(*kept)

    def _satisfiable_by(self, conjunct: Bool, local: list[Term]) -> bool:
        """Can the local symbols alone make the conjunct true, whatever the others are?"""
        if self.smt.substituted(conjunct, [(s, 0) for s in local]) is True:
            return True
        answer = self.smt.check(conjunct)
        if answer.status != "sat":
            return False
        return self.smt.substituted(conjunct, [(s, answer.model.value(s)) for s in local]) is True

    def _shared(self) -> set[str]:
        """Arrays that a top-level equation makes the other side's."""
        out = set()
        for conjunct in conjuncts(self.formula):
            if isinstance(conjunct, Term) and conjunct.op == "same":
                out |= {a.name for a in conjunct.args if a.op == "array" and a.name.endswith(f"@{self.side}")}
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
                out.append((event.fault, fault))
            elif smt.check(self.formula, self.goal, smt.xor(event.fault, fault)).status == "unsat":
                out.append((event.fault, named))
        for event in two.run.events:
            if pair.setting.shapes[event.key[0]].concrete and not isinstance(event.fault, bool):
                out.append((event.fault, self.named(two, event, event.fault)))
        return out

    def named(self, side: Any, event: Any, fault: Bool) -> Bool:
        """A concrete fault as an atom that prints as an access; what it stands for goes to `definitions`."""
        pair, smt = self.pair, self.pair.smt
        space = pair.setting.isa.spaces[event.key[0]]
        if isinstance(fault, bool) or not isinstance(space, ir.Map) or not pair.setting.shapes[space.name].concrete:
            return fault
        name, kind, bits = event.key
        index = side.windows.index(space, event.place, 0)
        width = pair.setting.shapes[name].index_width(space)
        atom = smt.apply(smt.function(f"fault {name} {kind} {bits}@{side.name}", (width,), 0), (index,))
        self.definitions.append(smt.iff(atom, fault))
        return atom

    def _pinned(self) -> dict[Term, Pin]:
        """Symbols and cells of which a top-level equation determines some bits by the other side's, and deprivileged
        modes."""
        out: dict[Term, Pin] = {}
        for base, term in self._mode():
            out[base] = Pin(base, [(base.width - 1, 0, term)])
        for conjunct in conjuncts(self.formula):
            for left, right in _equations(conjunct):
                for a, b in ((left, right), (right, left)):
                    if not isinstance(a, Term):
                        continue
                    base, hi, lo = _slice(a)
                    if not self._pinnable(base) or self._mentions(b):
                        continue
                    pin = out.setdefault(base, Pin(base, []))
                    if all(lo > top or hi < bottom for top, bottom, _ in pin.pieces):
                        pin.pieces.append((hi, lo, b))
                        break
        return out

    def _pinnable(self, base: Term) -> bool:
        return base.op in ("symbol", "select") and base_name(base).endswith(f"@{self.side}")

    def _mode(self) -> list[tuple[Any, Any]]:
        pair = self.pair
        if self.side != "r" or not isinstance(pair.setting.isa.mode.expr, ir.Get):
            return []
        width = pair.mode_width
        term: Any = pair.setting.scheme.run[-1][1]
        for virtual, real in pair.setting.scheme.run[:-1]:
            term = pair.smt.ite(pair.smt.eq(pair.v.mode, virtual, width), real, term, width)
        return [(pair.r.mode, term)]

    def _mentions(self, term: Bits) -> bool:
        """Does a term mention symbols of this side other than the monitor's choices?"""
        return any(a.name.endswith(f"@{self.side}") for a in symbols(term))

    # -- replacing -----------------------------------------------------------------------------------------------------

    def instance(self, model: Model | None, goal: Bool) -> Instance:
        """What to put for this side's symbols: as unlike the other side's as can be, or as in the model."""
        out = Instance(self.smt)
        term = out.put(self.smt.and_(self.formula, goal), self.faults)
        if model is not None:
            model = self._generous(term, model)
            term = self._as_read(out, term, model)
            term = out.put(term, self._spread(out, term))
        for _ in range(3):  # pinned terms may mention pinned symbols
            cells = [(p.base, self._value(p.base, model)) for p in self.pinned.values() if p.base.op == "select"]
            term = out.put(term, cells)
            replaced = [(a, self._value(a, model)) for a in symbols(term) if self.mine(a.name)]
            if not replaced:
                break
            term = out.put(term, replaced)
        arrays = [(a, self._array(a, model, out.read)) for a in nodes(term) if a.op == "array" and self.mine(a.name)]
        out.put(term, arrays)
        return out

    def _spread(self, out: Instance, term: Bool) -> list[tuple[Any, Any]]:
        """Symbols that only say where cells lie: evenly over their range, so that the cells lie apart."""
        used = set(symbols(term))
        found = dict.fromkeys(s for a in out.apart for s in symbols(a) if self.mine(s.name) and s not in used)
        return _spread([s for s in found if s not in self.pinned])

    def _generous(self, term: Bool, model: Model) -> Model:
        """The model with all ones where that may be: limits then do not bind."""
        free = [s for s in symbols(term) if self._pinnable(s) and s not in self.pinned and s.width]
        for symbol in free:
            tried = Model({**model.symbols, symbol.name: mask(symbol.width)}, model.arrays, model.functions)
            if tried.holds(term):
                model = tried
        for cell in self._reads(term):
            name, at = cell.args[0].name, model.value(cell.args[1])
            entries = model.arrays.get(name, Entries({}))
            filled = Entries({**entries.known, at: mask(cell.width)}, entries.default)
            tried = Model(model.symbols, {**model.arrays, name: filled}, model.functions)
            if tried.holds(term):
                model = tried
        return model

    def _as_read(self, out: Instance, term: Bool, model: Model) -> Bool:
        """Cells of this side's arrays become what the model has there, whatever their addresses: those first whose
        addresses have no such cell in them.  Cells with different contents lie apart."""
        done: set[Term] = set()
        while True:
            found = [r for r in self._reads(term) if not any(map(self._is_mine, nodes(r.args[1]))) and r not in done]
            if not found:
                return term
            done.update(found)
            known = [(r, model.value(r)) for r in found]
            for cell, value in known:
                array, index = cell.args
                differing = (i for a, i, v in out.read if a is array and v != value)
                out.apart += [self.smt.not_(self.smt.eq(index, i, array.index)) for i in differing]
                out.read.append((array, index, value))
            term = out.put(term, known)

    def layout(self, term: Bool) -> list[Bool]:
        """Values of symbols that say where memory of this side's own lies: evenly over their range, so that what is
        read at one does not meet what is read at another."""
        found = dict.fromkeys(s for r in self._reads(term) for s in symbols(r.args[1]) if self._pinnable(s))
        return [self.smt.eq(s, v, s.width) for s, v in _spread([s for s in found if s not in self.pinned])]

    def reads_tables(self, term: Bool) -> bool:
        """Does it read memory of this side's own?"""
        return any(r.args[0].name.startswith(MEMORIES) for r in self._reads(term))

    def _reads(self, term: Bool) -> list[Term]:
        """The cells of this side's arrays in a term."""
        found = atoms(self.smt, term)
        return [r for r in found if r.op == "select" and self._pinnable(r) and r not in self.pinned]

    def _is_mine(self, term: Term) -> bool:
        return term.op == "array" and self.mine(term.name)

    def _counterpart(self, symbol: Term) -> Any:
        if symbol.op == "select":
            return self.smt.select_at(self._counterpart(symbol.args[0]), symbol.args[1])
        name = symbol.name.removesuffix(f"@{self.side}") + f"@{self.other}"
        if symbol.op == "array":
            return self.smt.array(name, symbol.index, symbol.width)
        return self.smt.symbol(name, symbol.width)

    def _value(self, symbol: Term, model: Model | None) -> Bits:
        if symbol.name.startswith(("chosen ", "unknown ")):
            return 1 if model is None else model.value(symbol)
        free = self._free(symbol, model)
        pin = self.pinned.get(symbol)
        return free if pin is None else pin.filled(self.smt, free)

    def _free(self, symbol: Term, model: Model | None) -> Bits:
        """Bits that nothing pins: the opposite of the other side's, or as in the model."""
        return self.smt.invert(self._counterpart(symbol), symbol.width) if model is None else model.value(symbol)

    def _array(self, array: Array, model: Model | None, read: list[tuple[Array, Bits, int]]) -> Array:
        """An array as a whole: the other side's inverted, or that of the model, with what was read of it."""
        smt = self.smt
        if array.name in self.shared:
            return self._counterpart(array)
        if model is None:
            return smt.flip(self._counterpart(array))
        entries = model.entries(array)
        out = smt.fill(entries.default, array.index, array.width)
        for index, value in (*sorted(entries.known.items()), *((i, v) for a, i, v in read if a is array)):
            out = smt.store_at(out, index, value, array.width)
        return out


def _spread(listed: list[Term]) -> list[tuple[Any, Any]]:
    """Symbols with values that lie evenly over their range."""
    bits = (len(listed) + 1).bit_length()
    return [(s, (i + 1 << max(s.width - bits, 0)) & mask(s.width)) for i, s in enumerate(listed)]


def _equations(conjunct: Bool) -> list[tuple[Bits, Bits]]:
    """The equation that a literal is, as left and right sides."""
    if not isinstance(conjunct, Term):
        return []
    if conjunct.op == "eq":
        return [(conjunct.args[0], conjunct.args[1])]
    if conjunct.op == "not" and conjunct.args[0].op == "eq" and conjunct.args[0].data == 1:
        a, b = conjunct.args[0].args
        if isinstance(b, int):
            return [(a, 1 - b)]
    return []


def _slice(term: Term) -> tuple[Term, int, int]:
    """A term as bits hi..lo of a base."""
    if term.op == "extract":
        return term.args[0], term.data[0], term.data[1]
    return term, term.width - 1, 0
