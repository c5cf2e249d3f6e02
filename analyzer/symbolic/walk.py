"""Going through terms, fast: z3's own handles are walked, and only what is wanted is wrapped in Python objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import z3
from z3 import z3core


def nodes(term: Any) -> Iterator[tuple[Any, int, int]]:
    """The applications in a term, each once, in order of first appearance: (handle, kind of its operator, number of
    arguments)."""
    ref = term.ctx.ref()
    seen: set[int] = set()
    stack = [term.as_ast()]
    while stack:
        ast = stack.pop()
        key = z3core.Z3_get_ast_id(ref, ast)
        if key in seen:
            continue
        seen.add(key)
        if z3core.Z3_get_ast_kind(ref, ast) not in (z3.Z3_APP_AST, z3.Z3_NUMERAL_AST):
            continue
        app = z3core.Z3_to_app(ref, ast)
        count = z3core.Z3_get_app_num_args(ref, app)
        yield ast, z3core.Z3_get_decl_kind(ref, z3core.Z3_get_app_decl(ref, app)), count
        for i in range(count - 1, -1, -1):
            stack.append(z3core.Z3_get_app_arg(ref, app, i))


def wrapped(term: Any, ast: Any) -> Any:
    """A handle inside `term` as a Python term."""
    return z3.z3._to_expr_ref(ast, term.ctx)


def size(term: Any, limit: int) -> int:
    """The number of different terms in a term, counted as far as `limit`."""
    count = 0
    for _ in nodes(term):
        count += 1
        if count > limit:
            break
    return count


def conditional(term: Any) -> Any | None:
    """The condition of some innermost conditional in a term."""
    found = None
    for ast, kind, _ in nodes(term):
        if kind == z3.Z3_OP_ITE:
            found = ast
    return None if found is None else wrapped(term, found).arg(0)


def symbols(term: Any) -> list[Any]:
    """The symbols in a term that are no arrays, in order of first appearance."""
    out = []
    for ast, kind, count in nodes(term):
        if kind == z3.Z3_OP_UNINTERPRETED and not count:
            symbol = wrapped(term, ast)
            if not z3.is_array(symbol):
                out.append(symbol)
    return out
