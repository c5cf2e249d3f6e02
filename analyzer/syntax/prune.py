"""Removes locals that nothing reads.

a := r[1]; b := r[2]; r[3] := a        a := r[1]; r[3] := a
"""

from __future__ import annotations

from collections import Counter

from analyzer import ir


def prune(block: ir.Block) -> ir.Block:
    """The block without `Let`s that nothing reads, and without the empty `When`s that they leave."""
    uses: Counter[str] = Counter()
    sets: dict[str, list[list[str]]] = {}
    for stmt in ir.statements(block):
        read: list[str] = []
        for expr in ir.expressions(stmt):
            _locals(expr, read)
        for name in read:
            uses[name] += 1
        if isinstance(stmt, ir.Let):
            sets.setdefault(stmt.local, []).append(read)
    dead: set[str] = set()
    waiting = [name for name in sets if not uses[name] and name != "here"]
    while waiting:
        name = waiting.pop()
        dead.add(name)
        for read in sets[name]:
            for other in read:
                uses[other] -= 1
                if not uses[other] and other in sets and other not in dead and other != "here":
                    waiting.append(other)
    return _without(block, dead) if dead else block


def _locals(expr: ir.Expr, found: list[str]) -> None:
    """The locals that an expression reads, as often as it reads them."""
    match expr:
        case ir.Local(name, _):
            found.append(name)
        case ir.Const() | ir.Operand() | ir.Get():
            pass
        case _:
            for child in ir.children(expr):
                _locals(child, found)


def _without(block: ir.Block, dead: set[str]) -> ir.Block:
    kept: list[ir.Stmt] = []
    for stmt in block:
        match stmt:
            case ir.Let(local) if local in dead:
                continue
            case ir.When(cond, then, other, span):
                then, other = _without(then, dead), _without(other, dead)
                if then or other:
                    kept.append(ir.When(cond, then, other, span))
            case ir.Loop(cond, limit, body, exhausted, carried, span):
                left = tuple(name for name in carried if name not in dead)
                kept.append(ir.Loop(cond, limit, _without(body, dead), _without(exhausted, dead), left, span))
            case _:
                kept.append(stmt)
    return tuple(kept)
