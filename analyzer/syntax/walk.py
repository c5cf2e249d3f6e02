"""Every node of a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.syntax import ast

LEAVES = frozenset({ast.Name, ast.Number, ast.String})


def children(node: ast.Node) -> Sequence[ast.Node]:
    """The nodes that a node holds, in order."""
    found: list[ast.Node] = []
    if type(node) not in LEAVES:
        for name in node.__struct_fields__:
            value = getattr(node, name)
            if isinstance(value, ast.Node):
                found.append(value)
            elif isinstance(value, tuple):
                found += value
    return found


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """A node and all below it, a node before those that it holds.  Does not recurse: a tree may be deep."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack += reversed(children(top))
