"""The allocator's questions, answered by the solver."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer import ir
from analyzer.allocator import Allocation, Request
from analyzer.symbolic.allocating import choose, granule, held_state
from analyzer.symbolic.setting import Setting

__all__ = ["allocate"]


def allocate(isa: ir.Isa, scheme: ir.Scheme, request: Request, composed: tuple[str, ...]) -> Allocation | None:
    """`analyzer.allocator.Allocator`.  Where several maps are composed, one choice has to serve them all."""
    setting = Setting(isa, scheme)
    chosen: Mapping[str, int] = {}
    for name in composed:
        found = choose(setting, name, request)
        if found is None or (chosen and found != chosen):
            return None
        chosen = found
    held = held_state(setting, chosen, request.real)
    if held is None:
        return None
    granules = {name: granule(setting, name) for name in setting.shapes if name not in composed}
    return Allocation(chosen, held, {name: low for name, low in granules.items() if low is not None})
