"""Removes locals that nothing reads.

    a := r[1]; b := r[2]; r[3] := a        a := r[1]; r[3] := a
"""

from __future__ import annotations

from analyzer import ir


def prune(block: ir.Block) -> ir.Block:
    """The block without `Let`s, and without empty `When`s, that have no effect."""
    while True:
        used = {
            e.name
            for stmt in ir.statements(block)
            for expr in ir.expressions(stmt)
            for e in ir.subterms(expr)
            if isinstance(e, ir.Local)
        }
        smaller = _without(block, used)
        if smaller == block:
            return block
        block = smaller


def _without(block: ir.Block, used: set[str]) -> ir.Block:
    kept: list[ir.Stmt] = []
    for stmt in block:
        match stmt:
            case ir.Let(local) if local not in used and local != "here":
                continue
            case ir.When(cond, then, other, span):
                then, other = _without(then, used), _without(other, used)
                if then or other:
                    kept.append(ir.When(cond, then, other, span))
            case ir.Loop(cond, limit, body, exhausted, carried, span):
                kept.append(ir.Loop(cond, limit, _without(body, used), _without(exhausted, used), carried, span))
            case _:
                kept.append(stmt)
    return tuple(kept)
