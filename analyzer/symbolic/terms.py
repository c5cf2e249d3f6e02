"""Looking into solver terms, for those who put them into words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from analyzer.symbolic.smt import Array, Bits, Smt
from analyzer.symbolic.term import Term, nodes

MEMORIES = ("window ", "memory ", "table ", "other ")
"""How the names of arrays begin that stand for memory."""


def atoms(smt: Smt, *terms: Bits) -> Iterator[Term]:
    """The symbols, reads of array symbols and applications of unknown functions in terms, each once, in order of first
    appearance."""
    told: dict[Any, None] = {}
    bases: dict[Array, list[Array]] = {}
    for root in terms:
        for term in nodes(root):
            if term.op in ("symbol", "apply"):
                if term not in told:
                    told[term] = None
                    yield term
            elif term.op == "select":
                array, index = term.args
                if array not in bases:
                    bases[array] = [t for t in nodes_of_array(array) if t.op == "array"]
                for base in bases[array]:
                    cell = smt.select_at(base, index)
                    if isinstance(cell, Term) and cell not in told:
                        told[cell] = None
                        yield cell


def nodes_of_array(array: Array) -> Iterator[Term]:
    """The arrays that an array is made of by stores and conditionals, itself included."""
    seen: set[Term] = set()
    stack = [array]
    while stack:
        array = stack.pop()
        if array in seen:
            continue
        seen.add(array)
        yield array
        match array.op:
            case "store" | "flip":
                stack.append(array.args[0])
            case "ite":
                stack += (array.args[2], array.args[1])


def is_cell(term: Any) -> bool:
    """Is the term a read of an array?"""
    return isinstance(term, Term) and term.op == "select"


def base_name(term: Term) -> str:
    """The name of a symbol or function, or of the array that is read."""
    return term.args[0].name if term.op == "select" else term.name


def stored_indices(array: Array, holds: Callable[[Any], bool]) -> list[Any]:
    """The indices that an array was stored at, the last first; `holds` decides its conditionals."""
    out: list[Any] = []
    while True:
        match array.op:
            case "store":
                out.append(array.args[1])
                array = array.args[0]
            case "ite":
                array = array.args[1] if holds(array.args[0]) else array.args[2]
            case _:
                return out
