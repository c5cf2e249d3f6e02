"""The allocator's questions, answered by the solver."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from analyzer import ir
from analyzer.allocator import Allocation, Request
from analyzer.replayer import MachineState
from analyzer.symbolic.allocating import choose, flat, granule, held_state
from analyzer.symbolic.setting import Setting

__all__ = ["allocate"]


KEPT = 8
"""Settings whose granules are kept: they do not depend on the request."""

_kept: list[tuple[Setting, Mapping[str, int]]] = []

Values = tuple[tuple[str, int], ...]

_kept_states: WeakKeyDictionary[Setting, dict[tuple[Values, Values], MachineState | None]] = WeakKeyDictionary()


def allocate(isa: ir.Isa, scheme: ir.Scheme, request: Request, composed: tuple[str, ...]) -> Allocation | None:
    """`analyzer.allocator.Allocator`.  Where several maps are composed, one choice has to serve them all."""
    setting, granules = _known(isa, scheme)
    chosen: Mapping[str, int] = {}
    for name in composed:
        found = choose(setting, name, request)
        if found is None or (chosen and found != chosen):
            return None
        chosen = found
    held = _held(setting, chosen, request.real)
    if held is None:
        return None

    def passes(name: str, values: Mapping[str, int]) -> bool:
        return flat(setting, name, values, request.base, request.size)

    return Allocation(chosen, held, granules, passes)


def _held(setting: Setting, chosen: Mapping[str, int], real: Mapping[str, int]) -> MachineState | None:
    """The monitor's state, which does not depend on where the machine lies."""
    held = _kept_states.setdefault(setting, {})
    key = tuple(sorted(chosen.items())), tuple(sorted(real.items()))
    if key not in held:
        held[key] = held_state(setting, chosen, real)
    return held[key]


def _known(isa: ir.Isa, scheme: ir.Scheme) -> tuple[Setting, Mapping[str, int]]:
    """A setting, and the granules of its maps."""
    for setting, granules in _kept:
        if setting.isa is isa and setting.scheme is scheme:
            return setting, granules
    setting = Setting(isa, scheme)
    found = {name: granule(setting, name) for name in setting.shapes}
    _kept[:] = [(setting, {name: low for name, low in found.items() if low is not None}), *_kept[: KEPT - 1]]
    return _kept[0]
