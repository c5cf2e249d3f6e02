"""Checks of the whole, once it is elaborated."""

from __future__ import annotations

from analyzer import ir
from analyzer.syntax.machine import Machine


def wellformed(isa: ir.Isa, machine: Machine) -> None:
    """Reports what only the whole shows."""
