"""Removes locals that nothing reads, and refuses what is too deep to be walked recursively.

a := r[1]; b := r[2]; r[3] := a        a := r[1]; r[3] := a
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax.problems import Failure, failure, too_deep

Names = frozenset[str]
NONE: Names = frozenset()

Look = tuple[ir.Expr | None, Names, int, int]
"""An expression, the locals that it reads, its depth, and its size with what it shares written out."""

LEAF: Look = (None, NONE, 1, 1)
LEAVES = frozenset({ir.Const, ir.BoolConst, ir.Operand, ir.Unknown})

DEEPEST, LARGEST = 300, 100_000
"""Levels and nodes of an expression; the bundled specs have up to 40 and 500."""


class Locals(Struct, frozen=True):
    """What is known of expressions and statements, found once for each node: bodies share much.  A node is known by
    its identity, so it is kept as long as what is known of it."""

    looks: dict[int, Look] = {}
    stmts: dict[int, tuple[ir.Stmt, Names, Names]] = {}
    state: set[str] = set()
    """The elements and files that are read or written anywhere."""
    traps: set[str] = set()
    """The traps that are raised anywhere."""

    def look(self, expr: ir.Expr) -> Look:
        """What is known of an expression."""
        if type(expr) is ir.Get:
            self.state.add(expr.element)
            return LEAF
        if type(expr) in LEAVES:
            return LEAF
        known = self.looks.get(id(expr))
        if known is None:
            names, depth, size = NONE, 0, 1
            for child in ir.children(expr):
                _, more, deep, large = self.look(child)
                names = names | more if names else more
                depth = max(depth, deep)
                size += large
            if type(expr) is ir.Local:
                names = frozenset((expr.name,))
            elif type(expr) is ir.GetEntry:
                self.state.add(expr.file)
            known = self.looks[id(expr)] = (expr, names, depth + 1, size)
        return known

    def read(self, expr: ir.Expr, span: Span | None) -> Names:
        """The locals that an expression reads.

        Raises a failure if it is too deep or too large.
        """
        _, names, depth, size = self.look(expr)
        if depth > DEEPEST:
            raise Failure(too_deep(span))
        if size > LARGEST:
            message = f"this has more than {LARGEST:,} parts, once functions, views and cells are put in place"
            raise failure("PG305", message, span, "keep what is used twice in a `let`")
        return names

    def within(self, stmt: ir.Stmt, span: Span | None = None) -> tuple[ir.Stmt, Names, Names]:
        """A statement, the locals that it and those in it read, and those that they let."""
        known = self.stmts.get(id(stmt))
        if known is not None:
            return known
        span = stmt.span or span
        inner = [self.within(s, span) for block in ir.nested(stmt) for s in block]
        read = union([*(self.read(expr, span) for expr in ir.expressions(stmt)), *(names for _, names, _ in inner)])
        let = union(names for _, _, names in inner)
        if type(stmt) is ir.Let:
            let = frozenset((stmt.local,))
        elif type(stmt) is ir.Set:
            self.state.add(stmt.element)
        elif type(stmt) is ir.SetEntry:
            self.state.add(stmt.file)
        elif type(stmt) is ir.Trap:
            self.traps.add(stmt.trap)
        self.stmts[id(stmt)] = stmt, read, let
        return stmt, read, let


def union(sets: Iterable[Names]) -> Names:
    return NONE.union(*sets)


def prune(block: ir.Block, known: Locals) -> ir.Block:
    """The block without `Let`s that nothing reads, and without the empty `When`s that they leave.

    Raises a failure if one of its expressions is too deep or too large.
    """
    while True:
        within = [known.within(stmt) for stmt in block]
        dead = union(let for _, _, let in within) - union(read for _, read, _ in within) - {"here"}
        if not dead:
            return block
        block = without(block, dead, known)


def without(block: ir.Block, dead: Names, known: Locals) -> ir.Block:
    """The block without what lets one of the dead locals."""
    kept: list[ir.Stmt] = []
    for stmt in block:
        if known.within(stmt)[2].isdisjoint(dead):
            kept.append(stmt)
            continue
        match stmt:
            case ir.When(cond, then, other, span):
                then, other = without(then, dead, known), without(other, dead, known)
                if then or other:
                    kept.append(ir.When(cond, then, other, span))
            case ir.Loop(cond, limit, body, exhausted, carried, span):
                left = tuple(name for name in carried if name not in dead)
                inner, last = without(body, dead, known), without(exhausted, dead, known)
                kept.append(ir.Loop(cond, limit, inner, last, left, span))
            case _:
                pass
    return tuple(kept)
