"""Instances of the symbols of one side, for eliminating them from a formula."""

from __future__ import annotations

from typing import Any

import z3

from analyzer import ir
from analyzer.symbolic.least import atoms
from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Bool


class Projection:
    """How the symbols of `side` in `formula` may be replaced by terms over everything else."""

    def __init__(self, pair: Pair, formula: Bool, side: str) -> None:
        self.pair = pair
        self.formula = pair.smt.bool(formula)
        self.side = side
        self.other = "v" if side == "r" else "r"
        self.faults = self._faults()
        self.pinned = self._pinned()
        self.arrays = self._arrays()

    # -- what can be replaced ------------------------------------------------------------------------------------------

    def mine(self, name: str) -> bool:
        return name.endswith(f"@{self.side}") or name.startswith("chosen ")

    def _faults(self) -> list[tuple[Any, Any]]:
        """An abstract fault of this side becomes the other side's at the same place: the monitor permits what the guest
        permits."""
        pair = self.pair
        one, two = (pair.r, pair.v) if self.side == "r" else (pair.v, pair.r)
        out = []
        for event in one.run.events:
            if not isinstance(event.fault, bool) and not pair.setting.shapes[event.key[0]].concrete:
                fault, _ = two.windows.fault_at(two.ex, event)
                out.append((event.fault, pair.smt.bool(fault)))
        return out

    def _pinned(self) -> dict[str, Any]:
        """Symbols that a top-level equation determines by the other side's, and deprivileged modes."""
        out = dict(self._mode())
        for conjunct in _conjuncts(self.formula):
            if not z3.is_eq(conjunct) or z3.is_array(conjunct.arg(0)):
                continue
            for a, b in ((conjunct.arg(0), conjunct.arg(1)), (conjunct.arg(1), conjunct.arg(0))):
                name = _symbol(a)
                if name and name.endswith(f"@{self.side}") and name not in out and not self._mentions(b):
                    out[name] = b
        return out

    def _mode(self) -> dict[str, Any]:
        pair = self.pair
        if self.side != "r" or not isinstance(pair.setting.isa.mode.expr, ir.Get):
            return {}
        element = pair.setting.isa.mode.expr.element
        width = pair.mode_width
        term: Any = pair.setting.scheme.run[-1][1]
        for virtual, real in pair.setting.scheme.run[:-1]:
            term = pair.smt.ite(pair.smt.eq(pair.v.mode, virtual, width), real, term, width)
        return {f"{element}@r": pair.smt.bits(term, width)}

    def _mentions(self, term: Any) -> bool:
        """Does a term mention symbols of this side other than the monitor's choices?"""
        return any(str(a.decl().name()).endswith(f"@{self.side}") for a in _symbols(term))

    def _arrays(self) -> list[Any]:
        """Array symbols of this side."""
        seen: dict[str, Any] = {}
        stack, visited = [self.formula], set()
        while stack:
            t = stack.pop()
            if t.get_id() in visited:
                continue
            visited.add(t.get_id())
            if z3.is_array(t) and t.decl().kind() == z3.Z3_OP_UNINTERPRETED and self.mine(str(t.decl().name())):
                seen[str(t.decl().name())] = t
            stack.extend(t.children())
        return [seen[n] for n in sorted(seen)]

    # -- replacing -----------------------------------------------------------------------------------------------------

    def instance(self, model: Any | None) -> Any:
        """The formula with this side's symbols replaced: as unlike the other side's as can be, or as in the model."""
        term = z3.substitute(self.formula, *self.faults) if self.faults else self.formula
        for _ in range(3):  # pinned terms may mention pinned symbols
            replaced = [(a, self._value(a, model)) for a in _symbols(term) if self.mine(str(a.decl().name()))]
            replaced += [(a, self._array(a, model)) for a in self.arrays]
            if not replaced:
                break
            term = z3.substitute(term, *replaced)
        return z3.simplify(term)

    def _counterpart(self, symbol: Any) -> Any:
        name = str(symbol.decl().name()).removesuffix(f"@{self.side}") + f"@{self.other}"
        return z3.Const(name, symbol.sort())

    def _value(self, symbol: Any, model: Any | None) -> Any:
        name = str(symbol.decl().name())
        if name in self.pinned:
            return self.pinned[name]
        if name.startswith(("chosen ", "unknown ")):
            value = 1 if model is None else model.eval(symbol, model_completion=True).as_long()
            return z3.BitVecVal(value, symbol.size(), symbol.ctx)
        other = self._counterpart(symbol)
        if model is None:
            return ~other
        mine, theirs = (model.eval(t, model_completion=True) for t in (symbol, other))
        if mine.eq(theirs):
            return other
        return ~other if mine.as_long() == ~theirs.as_long() & ((1 << symbol.size()) - 1) else mine

    def _array(self, array: Any, model: Any | None) -> Any:
        other = self._counterpart(array)
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


def _symbol(term: Any) -> str | None:
    plain = z3.is_app(term) and term.num_args() == 0 and term.decl().kind() == z3.Z3_OP_UNINTERPRETED
    return str(term.decl().name()) if plain else None


def _symbols(term: Any) -> list[Any]:
    return [a for a in atoms(term) if a.num_args() == 0]
