"""Instances of the real side's symbols, for eliminating them from a formula.

What the scheme pins is put in; faults are σ's at the same place; everything else is the monitor's, which may hold
anything: as unlike the guest's as can be, or as a model has it.  Of a model only contents are taken: a cell that is
read has the value that it has there, wherever that is, on condition that cells with different values lie apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec import Struct

from analyzer import ir
from analyzer.symbolic.builder import Substitution
from analyzer.symbolic.model import Entries, Model
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Array, Bits, Bool, Smt
from analyzer.symbolic.term import Term, conjuncts, mask, nodes, symbols
from analyzer.symbolic.terms import MEMORIES, atoms, base_name
from analyzer.symbolic.vocabulary import Abstraction


class Pin(Struct, frozen=True):
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
    read: list[tuple[Any, tuple[Bits, ...], int]] = field(default_factory=list)  # array or function, where, what

    def put(self, term: Any, pairs: list[tuple[Any, Any]]) -> Any:
        """One more replacement, made in a term that all earlier ones were made in."""
        if not pairs:
            return term
        step = self.smt.substitution(pairs)
        self.steps.append(step)
        self.apart = [step(a) for a in self.apart]
        self.read = [(source, tuple(map(step, at)), value) for source, at, value in self.read]
        return step(term)

    def read_as(self, cell: Term, value: int) -> None:
        """A cell has this value, and what has another lies apart."""
        array = cell.op == "select"
        source = cell.args[0] if array else cell.data
        at, widths = _at(cell), (source.index,) if array else source.widths
        for other, where, what in self.read:
            if (other is source or other == source) and what != value:
                same = (self.smt.eq(a, b, w) for a, b, w in zip(at, where, widths, strict=True))
                self.apart.append(self.smt.not_(self.smt.and_(*same)))
        self.read.append((source, at, value))

    def __call__(self, term: Any) -> Any:
        """A term with everything put in."""
        for step in self.steps:
            term = step(term)
        return term


class Projection:
    """How the real side's symbols in a formula and a goal may be replaced by terms over everything else."""

    def __init__(self, pair: Pair, formula: Bool, goal: Bool, named: Abstraction) -> None:
        self.pair = pair
        self.named = named
        self.smt = pair.smt
        self.formula = formula
        self.goal = goal
        self.formula = self._without_side_conditions()
        self.shared = self._shared()
        self.loose = self._loose()
        self.bounds = dict(self._bounds())
        self.faults = self._faults()
        self.pinned = self._pinned()

    # -- what need not be replaced -------------------------------------------------------------------------------------

    def _without_side_conditions(self) -> Bool:
        """Drops conjuncts that values of symbols found nowhere else make true: an invariant of the monitor about
        registers that the instruction does not touch."""
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
        """Arrays that a top-level equation makes the virtual side's."""
        out = set()
        for conjunct in conjuncts(self.formula):
            if isinstance(conjunct, Term) and conjunct.op == "same":
                out |= {a.name for a in conjunct.args if a.op == "array" and a.name.endswith("@r")}
        return out

    def _loose(self) -> set[str]:
        """Functions that the architecture leaves open, of real state: what they give is as free as that, for some
        implementation gives it."""
        found = [t for t in nodes(self.smt.and_(self.formula, self.goal)) if t.name.startswith("arbitrary ")]
        return {t.name for t in found if t.op == "apply" and any(self.mine(a.name) for a in symbols(t))}

    def _bounds(self) -> Iterator[tuple[Term, Bits]]:
        """The largest values of choices that a conjunct `a + zext(choice) <= limit` bounds."""
        for conjunct in conjuncts(self.formula):
            if not isinstance(conjunct, Term) or conjunct.op != "ule":
                continue
            total, limit = conjunct.args
            if isinstance(total, Term) and total.op == "add":
                choice = self._extended(total.args[1])
                if choice is not None:
                    most, rest = (self.smt.extract(x, choice.width - 1, 0, total.width) for x in (limit, total.args[0]))
                    yield choice, self.smt.op("sub", most, rest, choice.width)

    def _extended(self, term: Bits) -> Term | None:
        """The monitor's choice that a term is, extended by zeros."""
        choices = (s for s in symbols(term) if s.name.startswith("chosen "))
        return next((c for c in choices if term is self.smt.extend(c, c.width, term.width, False)), None)

    # -- what can be replaced ------------------------------------------------------------------------------------------

    def mine(self, name: str) -> bool:
        """Is it to be replaced?"""
        return name.endswith("@r") or name.startswith("chosen ")

    def _faults(self) -> list[tuple[Any, Any]]:
        """A fault becomes σ's at the same place, when the map is abstract (the monitor permits what the guest permits)
        or when they are proved equal."""
        pair, smt = self.pair, self.pair.smt
        out = []
        for event in pair.r.run.events:
            if isinstance(event.fault, bool):
                continue
            mine, theirs = map(self.named, (event.fault, pair.v.windows.fault_at(pair.v.ex, event)[0]))
            abstract = not pair.setting.shapes[event.key[0]].concrete
            if abstract or smt.check(self.formula, self.goal, smt.xor(mine, theirs)).status == "unsat":
                out.append((mine, theirs))
        return out

    def _pinned(self) -> dict[Term, Pin]:
        """Symbols and cells of which a top-level equation determines some bits by the virtual side's, and deprivileged
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
        return base.op in ("symbol", "select") and base_name(base).endswith("@r")

    def _mode(self) -> list[tuple[Any, Any]]:
        """What the mode of the real run says of the elements that it is made of."""
        pair, smt = self.pair, self.smt
        if not isinstance(pair.setting.isa.mode.expr, ir.Get):
            return list(self._constant(symbols(pair.r.mode)))
        width = pair.mode_width
        term: Any = pair.setting.scheme.run[-1][1]
        for virtual, real in pair.setting.scheme.run[:-1]:
            term = smt.ite(smt.eq(pair.v.mode, virtual, width), real, term, width)
        return [(pair.r.mode, term)]

    def _constant(self, listed: list[Term]) -> Iterator[tuple[Term, int]]:
        """Those of the symbols that have one value in all real modes of a guest."""
        real = self.pair.in_modes(self.pair.r, self.pair.user_modes)
        answer = self.smt.check(real)
        for symbol in listed if answer.model is not None else ():
            value = answer.model.value(symbol)
            if self.smt.check(real, self.smt.not_(self.smt.eq(symbol, value, symbol.width))).status == "unsat":
                yield symbol, value

    def _mentions(self, term: Bits) -> bool:
        """Does a term mention real symbols other than the monitor's choices?"""
        return any(a.name.endswith("@r") for a in symbols(term))

    # -- replacing -----------------------------------------------------------------------------------------------------

    def instance(self, model: Model | None, goal: Bool) -> Instance:
        """What to put for the real symbols: as unlike the virtual ones as can be, or as in the model."""
        out = Instance(self.smt)
        term = out.put(self.smt.and_(self.formula, goal), self.faults)
        if model is not None:
            model = self._generous(term, model)
            term = self._as_read(out, term, model)
            term = out.put(term, self._placed(out, term))
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

    def _placed(self, out: Instance, term: Bool) -> list[tuple[Any, Any]]:
        """Symbols that only say where cells lie: evenly over their range, so that the cells lie apart."""
        used = set(symbols(term))
        found = dict.fromkeys(s for a in out.apart for s in symbols(a) if self.mine(s.name) and s not in used)
        return _spread([s for s in found if s not in self.pinned])

    def _generous(self, term: Bool, model: Model) -> Model:
        """The model with all ones where that may be: limits then do not bind; and with choices of 1."""
        for tried in self._more(term, model):
            if tried(model).holds(term):
                model = tried(model)
        return model

    def _more(self, term: Bool, model: Model) -> Iterator[Callable[[Model], Model]]:
        """Changes to a model, one a symbol, one a choice, one a cell that is read."""
        found = symbols(term)
        for symbol in (s for s in found if self._pinnable(s) and s not in self.pinned and s.width):
            yield partial(_with_symbol, symbol=symbol, value=mask(symbol.width))
        for symbol in (s for s in found if s.name.startswith("chosen ") and s not in self.bounds):
            yield partial(self._chosen, symbol=symbol, value=1)
        for cell in (c for c in self._reads(term) if c.op == "select"):
            yield partial(_with_cell, cell=cell, value=mask(cell.width))

    def _chosen(self, model: Model, symbol: Term, value: int) -> Model:
        """The model with another choice, and what follows from it."""
        model = _with_symbol(model, symbol, value)
        for other, most in self.bounds.items():
            model = _with_symbol(model, other, model.value(most))
        for pin in self.pinned.values():
            if pin.base.op == "symbol":
                model = _with_symbol(model, pin.base, model.value(pin.filled(self.smt, model.value(pin.base))))
        return model

    def _as_read(self, out: Instance, term: Bool, model: Model) -> Bool:
        """Cells of real arrays become what the model has there, whatever their addresses: those first whose addresses
        have no such cell in them."""
        done: set[Term] = set()
        while True:
            found = [r for r in self._reads(term) if r not in done and not any(map(self._inner, _at(r)))]
            if not found:
                return term
            done.update(found)
            known = [(r, model.value(r)) for r in found]
            for cell, value in known:
                out.read_as(cell, value)
            term = out.put(term, known)

    def _reads(self, term: Bool) -> list[Term]:
        """The cells of real arrays in a term, and what functions give that are left open."""
        found = atoms(self.smt, term)
        return [r for r in found if self._is_cell(r) and r not in self.pinned]

    def _is_cell(self, term: Term) -> bool:
        return (term.op == "select" and self._pinnable(term)) or (term.op == "apply" and term.name in self.loose)

    def _inner(self, term: Bits) -> bool:
        """Is there such a cell in a term?"""
        return any((t.op == "array" and self.mine(t.name)) or self._is_cell(t) for t in nodes(term))

    def layout(self, term: Bool) -> list[Bool]:
        """Values of symbols that say where the monitor's memory lies: evenly over their range, so that what is read at
        one does not meet what is read at another."""
        cells = [r for r in self._reads(term) if r.op == "select"]
        found = dict.fromkeys(s for r in cells for s in symbols(r.args[1]) if self._pinnable(s))
        return [self.smt.eq(s, v, s.width) for s, v in _spread([s for s in found if s not in self.pinned])]

    def reads_tables(self, term: Bool) -> bool:
        """Does it read memory of the monitor's, or ask what is left open?"""
        return any(r.op == "apply" or r.args[0].name.startswith(MEMORIES) for r in self._reads(term))

    def _counterpart(self, symbol: Term) -> Any:
        if symbol.op == "select":
            return self.smt.select_at(self._counterpart(symbol.args[0]), symbol.args[1])
        name = symbol.name.removesuffix("@r") + "@v"
        if symbol.op == "array":
            return self.smt.array(name, symbol.index, symbol.width)
        return self.smt.symbol(name, symbol.width)

    def _value(self, symbol: Term, model: Model | None) -> Bits:
        if model is not None and symbol in self.bounds:
            return self.bounds[symbol]
        if symbol.name.startswith(("chosen ", "unknown ")):
            return 1 if model is None else model.value(symbol)
        free = self._free(symbol, model)
        pin = self.pinned.get(symbol)
        return free if pin is None else pin.filled(self.smt, free)

    def _free(self, symbol: Term, model: Model | None) -> Bits:
        """Bits that nothing pins: the opposite of the virtual ones, or as in the model."""
        return self.smt.invert(self._counterpart(symbol), symbol.width) if model is None else model.value(symbol)

    def _array(self, array: Array, model: Model | None, read: list[Any]) -> Array:
        """An array as a whole: the virtual one inverted, or that of the model with what was read of it."""
        smt = self.smt
        if array.name in self.shared:
            return self._counterpart(array)
        if model is None:
            return smt.flip(self._counterpart(array))
        entries = model.entries(array)
        out = smt.fill(entries.default, array.index, array.width)
        for index, value in (*sorted(entries.known.items()), *((at[0], v) for a, at, v in read if a is array)):
            out = smt.store_at(out, index, value, array.width)
        return out


def _spread(listed: list[Term]) -> list[tuple[Any, Any]]:
    """Symbols with values that lie evenly over their range."""
    bits = (len(listed) + 1).bit_length()
    return [(s, (i + 1 << max(s.width - bits, 0)) & mask(s.width)) for i, s in enumerate(listed)]


def _at(cell: Term) -> tuple[Bits, ...]:
    """Where a cell lies, or what a function is given."""
    return cell.args[1:] if cell.op == "select" else cell.args


def _with_symbol(model: Model, symbol: Term, value: int) -> Model:
    return Model({**model.symbols, symbol.name: value}, model.arrays, model.functions)


def _with_cell(model: Model, cell: Term, value: int) -> Model:
    name, at = cell.args[0].name, model.value(cell.args[1])
    old = model.arrays.get(name, Entries({}))
    arrays = {**model.arrays, name: Entries({**old.known, at: value}, old.default)}
    return Model(model.symbols, arrays, model.functions)


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
