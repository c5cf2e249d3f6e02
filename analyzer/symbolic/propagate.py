"""Simplifying a conjunction by what its own parts say.

A part `symbol == term` defines the symbol, which is replaced everywhere and needs no further thought; any other literal
is a fact, by which the remaining parts are simplified.  Most questions are about two runs that begin in mostly equal
states, so this leaves little of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analyzer.symbolic.builder import Builder, Substitution
from analyzer.symbolic.model import Model
from analyzer.symbolic.term import Bool, Term, conjuncts, nodes

ROUNDS = 6
"""Passes over a formula; each costs as much as it has terms."""

MAX_DEFINITION = 40
"""Larger terms define nothing."""


@dataclass(slots=True)
class Simplified:
    """What remains of a conjunction, and the definitions of what was replaced, batch by batch; those of a batch are in
    terms of what is replaced later, if at all."""

    parts: list[Bool]
    batches: list[dict[Term, Any]] = field(default_factory=list)
    steps: list[Substitution] = field(default_factory=list)

    def image(self, term: Any) -> Any:
        """A term with the definitions put in."""
        for step in self.steps:
            term = step(term)
        return term

    def and_(self, more: Simplified) -> Simplified:
        """This one's definitions, and what became of its parts together with others' images."""
        return Simplified(more.parts, [*self.batches, *more.batches], [*self.steps, *more.steps])

    def completed(self, model: Model) -> Model:
        """A model of the remaining parts as one of the whole."""
        if not self.batches:
            return model
        symbols, arrays = dict(model.symbols), dict(model.arrays)
        for batch in reversed(self.batches):
            now = Model(dict(symbols), dict(arrays), model.functions)
            for term, value in batch.items():
                if term.op == "array":
                    arrays[term.data] = now.entries(value)
                else:
                    symbols[term.data] = now.value(value)
        return Model(symbols, arrays, model.functions)


def simplified(builder: Builder, formula: Bool) -> Simplified:
    """An equisatisfiable conjunction; a part is `False` if it has no model."""
    out = Simplified(list(conjuncts(formula)))
    facts: dict[Any, Any] = {}
    for _ in range(ROUNDS):
        definitions = _definitions(builder, out.parts)
        if definitions:
            out.batches.append(definitions)
            replace = builder.substitution(definitions.items())
            out.steps.append(replace)
            out.parts = list(conjuncts(builder.and_(*map(replace, out.parts))))
            continue
        before = len(facts)
        facts = _facts(out.parts)
        if len(facts) == before:
            break
        simplify = builder.substitution(facts.items())
        kept = [p if _is_fact(p) else simplify(p) for p in out.parts]
        out.parts = list(conjuncts(builder.and_(*kept)))
    return out


def _definitions(builder: Builder, parts: list[Bool]) -> dict[Term, Any]:
    """Symbols and arrays with the terms that the parts equate them with; none of the terms has one of them in it."""
    found: dict[Term, Any] = {}
    used: set[Term] = set()
    for part in parts:
        for symbol, value in _equation(part):
            if symbol in found or symbol in used:
                continue
            inside = builder.once("leaves", value, MAX_DEFINITION, _leaves)
            if inside is None or symbol in inside or not inside.isdisjoint(found):
                continue
            found[symbol] = value
            used |= inside
            break
    return found


def _equation(part: Bool) -> list[tuple[Term, Any]]:
    """The ways to read a part as a definition; the real side is preferred to be defined by the virtual one."""
    if not isinstance(part, Term):
        return []
    if part.op == "not" and part.args[0].op == "eq" and part.args[0].data == 1 and type(part.args[0].args[1]) is int:
        a: Any = part.args[0].args[0]
        return [(a, 0)] if a.op == "symbol" else []
    if part.op not in ("eq", "same"):
        return []
    a, b = part.args
    ways = [(x, y) for x, y in ((b, a), (a, b)) if isinstance(x, Term) and x.op in ("symbol", "array")]
    return sorted(ways, key=lambda way: not way[0].data.endswith("@r"))


def _leaves(value: Any, limit: int) -> set[Term] | None:
    """The symbols and arrays in a term; None if it has more nodes than that."""
    out: set[Term] = set()
    for count, t in enumerate(nodes(value)):
        if count > limit:
            return None
        if t.op in ("symbol", "array"):
            out.add(t)
    return out


def _is_fact(part: Bool) -> bool:
    """A literal; disjunctions and the like are what facts simplify."""
    if not isinstance(part, Term):
        return False
    atom = part.args[0] if part.op == "not" else part
    return atom.op in ("eq", "ule", "sle", "apply", "same")


def _facts(parts: list[Bool]) -> dict[Any, Any]:
    """What the literals among the parts say: the value of a term, or the truth of an atom."""
    facts: dict[Any, Any] = {}
    for part in parts:
        if not _is_fact(part):
            continue
        assert isinstance(part, Term)
        if part.op == "not":
            atom = part.args[0]
            facts[atom] = False
            if atom.op == "eq" and atom.data == 1 and type(atom.args[1]) is int:
                facts[atom.args[0]] = 0
        else:
            facts[part] = True
            if part.op == "eq" and type(part.args[1]) is int:
                facts[part.args[0]] = part.args[1]
    return facts
