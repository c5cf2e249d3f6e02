"""The bundled specs, each loaded once a run."""

from __future__ import annotations

from functools import cache

from analyzer import ir, load


@cache
def spec(name: str) -> ir.Isa:
    """The bundled spec of this name."""
    return load(name)
