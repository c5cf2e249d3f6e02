"""Symbols in place of the terms that an instruction's locals hold: smaller formulas, of which more holds.

The locals of an instruction have names (`let p = …`), and so have the place and the value of an operand that is looked
for in memory (`Ew.addr`, `Ew`).  A model of a formula is one of the formula with names, the symbols having the values
of what they stand for.  So what is refuted with names is refuted; a model found with names still has to be made one of
the terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analyzer import ir
from analyzer.symbolic.builder import Builder
from analyzer.symbolic.model import Model
from analyzer.symbolic.term import Term, nodes, size

MIN_NAMED = 12
"""Smaller terms are their own names, and what they say of each other is not given away; words of memory excepted."""


class Naming:
    """Terms with symbols in place of what has a name, and back.  `values` are the symbols with their terms and names
    in the spec; a symbol's own name begins with `kind`, so that those of two namings are different."""

    def __init__(self, builder: Builder, kind: str, locals: Mapping[str, Any], body: ir.Block) -> None:
        self.values: dict[Term, tuple[Term, str]] = {}
        for term, name in _values(locals, body).items():
            self.values[builder.symbol(f"{kind} {name}", term.width)] = term, name
        named = [(term, symbol) for symbol, (term, _) in self.values.items()]
        cells = [pair for symbol, (term, _) in self.values.items() for pair in _cells(builder, symbol, term)]
        self._of = builder.substitution([*cells, *named])
        self._back = builder.substitution((symbol, term) for symbol, (term, _) in self.values.items())

    def __call__(self, term: Any) -> Any:
        """The term with names."""
        return self._of(term)

    def concrete(self, term: Any) -> Any:
        """The term without."""
        return self._back(term)

    def told(self, model: Model) -> Model:
        """The model with the values that the names have in it."""
        values = {symbol.name: model.value(term) for symbol, (term, _) in self.values.items()}
        return Model({**model.symbols, **values}, model.arrays, model.functions)

    def agreed(self, builder: Builder, model: Model) -> Iterator[Any]:
        """That the terms have the values which their names have in a model."""
        for symbol, (term, _) in self.values.items():
            yield builder.eq(term, model.value(symbol), symbol.width)


def _cells(builder: Builder, symbol: Term, term: Term) -> Iterator[tuple[Any, Any]]:
    """The cells of a word of memory as parts of its symbol."""
    if _is_word(term):
        low = term.width
        for piece, width in zip(term.args, term.data, strict=True):
            low -= width
            yield piece, builder.extract(symbol, low + width - 1, low, term.width)


def _values(locals: Mapping[str, Any], body: ir.Block) -> dict[Term, str]:
    """Terms by the locals that hold them at the end of the body; the first of two names counts."""
    operands = _operand_values(body)
    out: dict[Term, str] = {}
    for local, term in locals.items():
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
