"""Looking into solver terms, for those who put them into words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

MEMORIES = ("window ", "memory ", "table ", "other ")
"""How the names of arrays begin that stand for memory."""


def is_cell(term: Any) -> bool:
    """Is the term a read of an array?"""
    return bool(z3.is_select(term))


def cell_at(cell: Any, index: int) -> Any:
    """The cell of the same array at a number."""
    return z3.Select(cell.arg(0), z3.BitVecVal(index, cell.arg(1).size(), cell.ctx))


def stored_indices(array: Any, holds: Callable[[Any], bool]) -> list[Any]:
    """The indices that an array was stored at, the last first; `holds` decides its conditionals."""
    out: list[Any] = []
    stack = [array]
    while stack:
        array = stack.pop()
        kind = array.decl().kind()
        if kind == z3.Z3_OP_STORE:
            out.append(array.arg(1))
            stack.append(array.arg(0))
        elif kind == z3.Z3_OP_ITE:
            stack.append(array.arg(1) if holds(array.arg(0)) else array.arg(2))
    return out


def testable(literal: Any) -> bool:
    """Does it speak of registers and operands of the real machine only?"""
    stack = [literal]
    while stack:
        t = stack.pop()
        if z3.is_select(t) and str(t.arg(0).decl().name()).startswith(MEMORIES):
            return False
        unknown = z3.is_app(t) and t.decl().kind() == z3.Z3_OP_UNINTERPRETED
        if unknown and (t.num_args() or "@v" in str(t.decl().name())):
            return False
        stack.extend(t.children())
    return True
