"""Weaker conditions: each lets something pass that the condition of a check refuses.

Smallest changes first to last: a conjunct or disjunct goes, a comparison moves by one or loses a side, a mode or an
ordinary register's value is let through, and in the end the whole check is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from analyzer.source import Span
from analyzer.syntax import ast
from analyzer.syntax.load import text_of


def weaker(cond: ast.Expr, denies: bool) -> Iterator[tuple[str, ast.Expr]]:
    """Conditions that hold in fewer cases where `cond` denies, in more where it does not; never the constant."""
    match cond:
        case ast.Unary(op="not"):
            for how, arg in weaker(cond.arg, not denies):
                yield how, negated(arg)
        case ast.Binary(op="and" | "or"):
            yield from junction(cond, denies)
        case ast.IfExpr():
            for how, then in weaker(cond.then, denies):
                yield how, with_arms(cond, then, cond.other)
            for how, other in weaker(cond.other, denies):
                yield how, with_arms(cond, cond.then, other)
            constant = truth(not denies, cond.span)
            yield f"without {words(cond.then)}", with_arms(cond, constant, cond.other)
            yield f"without {words(cond.other)}", with_arms(cond, cond.then, constant)
        case ast.Binary() if cond.op in BOUNDARY:
            yield from moved(cond, denies)
        case ast.Binary(op="!=") if denies and not isinstance(cond.right, ast.Number):
            for op in ("<", ">"):
                yield f"{op} in {words(cond)}", ast.Binary(op=op, left=cond.left, right=cond.right, span=cond.span)
        case _:
            pass


def junction(cond: ast.Binary, denies: bool) -> Iterator[tuple[str, ast.Expr]]:
    """A part goes where that weakens, and each part is weakened."""
    if (cond.op == "or") == denies:
        yield f"without {words(cond.left)}", cond.right
        yield f"without {words(cond.right)}", cond.left
    for how, left in weaker(cond.left, denies):
        yield how, ast.Binary(op=cond.op, left=left, right=cond.right, span=cond.span)
    for how, right in weaker(cond.right, denies):
        yield how, ast.Binary(op=cond.op, left=cond.left, right=right, span=cond.span)


BOUNDARY = {"<": 1, "<=": 0, ">": -1, ">=": 0}
"""Comparisons, and what is added to the left side where it first holds: it then equals the right side."""


def moved(cond: ast.Binary, denies: bool) -> Iterator[tuple[str, ast.Expr]]:
    """The comparison moves by one: it no longer holds at its boundary, or holds one step further."""
    step = BOUNDARY[cond.op] if denies else BOUNDARY[cond.op] + (-1 if cond.op in ("<", "<=") else 1)
    edge: ast.Expr = cond.left
    if step:
        one = ast.Number(text="1", span=cond.span)
        edge = ast.Binary(op="+" if step > 0 else "-", left=cond.left, right=one, span=cond.span)
    at_edge = ast.Binary(op="==", left=edge, right=cond.right, span=cond.span)
    yield f"one off in {words(cond)}", except_where(cond, at_edge, denies)


def except_where(cond: ast.Expr, lets_through: ast.Expr, denies: bool) -> ast.Expr:
    """The condition, with some cases let through."""
    if denies:
        return ast.Binary(op="and", left=cond, right=negated(lets_through), span=cond.span)
    return ast.Binary(op="or", left=cond, right=lets_through, span=cond.span)


def words(node: ast.Node) -> str:
    """The node as the spec has it."""
    return f"`{' '.join(source(node.span.file)[node.span.start : node.span.end].split())}`"


@cache
def source(file: str) -> str:
    return text_of(file)


def negated(cond: ast.Expr) -> ast.Expr:
    return ast.Unary(op="not", arg=cond, span=cond.span)


def truth(value: bool, span: Span) -> ast.Expr:
    return ast.Name(text="true" if value else "false", span=span)


def with_arms(cond: ast.IfExpr, then: ast.Expr, other: ast.Expr) -> ast.Expr:
    return ast.IfExpr(cond=cond.cond, then=then, other=other, span=cond.span)
