"""A block with other statements in place of some, however deep they are."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from analyzer import ir


def rewritten(block: ir.Block, become: Callable[[ir.Stmt, ir.Stmt | None], ir.Block]) -> ir.Block:
    """The block with what `become` makes of each statement that has no blocks in it, and of the one right before.

    >>> ways = ir.When(ir.TRUE, (ir.Done(),), (ir.Commit(),))
    >>> rewritten((ways,), lambda stmt, _: (ir.Commit(),) if isinstance(stmt, ir.Done) else (stmt,))[0].then
    (Commit(span=None),)
    """
    out: list[ir.Stmt] = []
    for before, stmt in zip((None, *block), block, strict=False):
        match stmt:
            case ir.When():
                out.append(replace(stmt, then=rewritten(stmt.then, become), other=rewritten(stmt.other, become)))
            case ir.Loop():
                body, exhausted = rewritten(stmt.body, become), rewritten(stmt.exhausted, become)
                out.append(replace(stmt, body=body, exhausted=exhausted))
            case _:
                out += become(stmt, before)
    return tuple(out)
