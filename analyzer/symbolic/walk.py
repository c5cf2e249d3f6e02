"""Going through terms, fast.

z3 is asked about each term of a context once; after that a walk touches Python objects only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import z3
from z3 import z3core

Node = tuple[int, tuple[int, ...]]
"""The kind of a term's operator, and the addresses of its arguments."""

_APPLICATIONS = (z3.Z3_APP_AST, z3.Z3_NUMERAL_AST)


class Mirror:
    """What is known of the terms of one context, by address.  Terms that are known are kept alive, because z3 gives the
    addresses of dead ones to others."""

    def __init__(self, ctx: z3.Context) -> None:
        self._ref = ctx.ref()
        self._handles: dict[int, Any] = {}
        self._nodes: dict[int, Node | None] = {}

    def address(self, handle: Any) -> int:
        """The address of a handle, which is kept."""
        address = int(handle.value)
        if address not in self._handles:
            z3core.Z3_inc_ref(self._ref, handle)
            self._handles[address] = handle
        return address

    def handle(self, address: int) -> Any:
        """The handle at an address."""
        return self._handles[address]

    def node(self, address: int) -> Node | None:
        """What is at an address; None for what is no application (a quantifier)."""
        if address not in self._nodes:
            self._nodes[address] = self._asked(self._handles[address])
        return self._nodes[address]

    def _asked(self, handle: Any) -> Node | None:
        ref = self._ref
        if z3core.Z3_get_ast_kind(ref, handle) not in _APPLICATIONS:
            return None
        app = z3core.Z3_to_app(ref, handle)
        count = z3core.Z3_get_app_num_args(ref, app)
        kind = z3core.Z3_get_decl_kind(ref, z3core.Z3_get_app_decl(ref, app))
        return kind, tuple(self.address(z3core.Z3_get_app_arg(ref, app, i)) for i in range(count))


_mirrors: WeakKeyDictionary[z3.Context, Mirror] = WeakKeyDictionary()


def mirror(ctx: z3.Context) -> Mirror:
    """The mirror of a context."""
    known = _mirrors.get(ctx)
    if known is None:
        known = _mirrors[ctx] = Mirror(ctx)
    return known


def nodes(term: Any) -> Iterator[tuple[int, int, int]]:
    """The applications in a term, each once, in order of first appearance: (address, kind of its operator, number of
    arguments)."""
    known = mirror(term.ctx)
    seen: set[int] = set()
    stack = [known.address(term.as_ast())]
    while stack:
        address = stack.pop()
        if address in seen:
            continue
        seen.add(address)
        node = known.node(address)
        if node is not None:
            kind, args = node
            yield address, kind, len(args)
            stack.extend(reversed(args))


def wrapped(term: Any, address: int) -> Any:
    """What is at an address inside `term`, as a Python term."""
    return z3.z3._to_expr_ref(mirror(term.ctx).handle(address), term.ctx)


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
    for address, kind, _ in nodes(term):
        if kind == z3.Z3_OP_ITE:
            found = address
    return None if found is None else wrapped(term, found).arg(0)


def symbols(term: Any) -> list[Any]:
    """The symbols in a term that are no arrays, in order of first appearance."""
    out = []
    for address, kind, count in nodes(term):
        if kind == z3.Z3_OP_UNINTERPRETED and not count:
            symbol = wrapped(term, address)
            if not z3.is_array(symbol):
                out.append(symbol)
    return out
