"""The items of a spec by kind, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from msgspec import Struct

from analyzer import ir
from analyzer.syntax import ast
from analyzer.syntax.machine import Machine, Piece
from analyzer.syntax.scope import Scope

N = TypeVar("N", bound=ast.Node)


class Sections(Struct, eq=False):
    """The pieces of a spec (of the file with this header, and what it extends), and what becomes of those that stand
    alone."""

    header: ast.Header
    pieces: list[Piece]
    machine: Machine
    mode: ir.ModeOrder | None = None
    deliver: ir.Procedure | None = None
    fetch: ir.Fetch | None = None
    interrupts: list[ir.Interrupt] = []
    invariants: list[ir.Invariant] = []
    schemes: list[ir.Scheme] = []
    instructions: list[ir.Instruction] = []

    def of(self, kind: type[N]) -> list[tuple[N, Piece]]:
        """The items of a kind, in order, with their pieces."""
        return [(piece.node, piece) for piece in self.pieces if type(piece.node) is kind]

    def each(self, kind: type[N], declare: Callable[[N, Scope, Machine], None]) -> None:
        """Declares the items of a kind; one that fails does not keep the others from it."""
        for node, piece in self.of(kind):
            with self.machine.problems.catch(node.span):
                declare(node, piece.scope, self.machine)

    def last(self, kind: type[N]) -> tuple[N, Piece] | None:
        """The item that counts where only one can: that of the file that extends the others.

        Reports a second one in the same file.
        """
        found = self.of(kind)
        for (node, first), (_, second) in pairwise(found):
            if first.rank == second.rank and not second.override and first.row == second.row == ():
                self.machine.problems.report(
                    "PG205", "this is stated already", second.node.span, f"first at {node.span}"
                )
        return found[-1] if found else None
