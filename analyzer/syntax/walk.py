"""Every node of a tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import cache

from analyzer.syntax import ast


def children(node: ast.Node) -> Iterator[ast.Node]:
    """The nodes that a node holds, in order."""
    for name in names(type(node).__qualname__):
        value = getattr(node, name)
        if isinstance(value, ast.Node):
            yield value
        elif isinstance(value, tuple):
            yield from value


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """A node and all below it, a node before those that it holds.  Does not recurse: a tree may be deep."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack += reversed(tuple(children(top)))


@cache
def names(cls: str) -> tuple[str, ...]:
    """The fields of a class of nodes, but for the span."""
    return tuple(field.name for field in fields(getattr(ast, cls)) if field.name != "span")
