"""Guests that are aimed: they begin where a statement of a routine, or of the delivery, is known to matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analyzer.aim import Beginning, Domain
from analyzer.errors import UsageError
from emulator.decode import encode, fitting
from emulator.monitor.guests import Change, Guest, Kind, cell_of

STEPS = 3
"""Steps of a guest: the instruction, and what its handler begins with."""


def domain_of(kind: Kind) -> Domain:
    """What guests of a kind are."""
    return Domain(kind.memory, kind.base, kind.size, kind.modes, kind.environment, kind.choices, kind.chosen)


def guests(kind: Kind, beginnings: Iterable[Beginning]) -> Iterator[Guest]:
    """Guests that begin so, without those whose instruction cannot lie where it is fetched."""
    for beginning in beginnings:
        changes = [Change(name, None, value) for name, value in beginning.elements.items()]
        for name, entries in beginning.files.items():
            changes += [Change(name, i, value) for i, value in entries.items()]
        changes += [Change(kind.memory, i, unit) for i, unit in beginning.cells.items()]
        placed = _placed(kind, beginning, changes)
        if placed is not None:
            yield Guest((*changes, *placed), STEPS)


def _placed(kind: Kind, beginning: Beginning, changes: list[Change]) -> list[Change] | None:
    """The instruction where the program counter stands; None if it cannot be there."""
    isa = kind.isa
    if beginning.instruction is None:
        return []
    instruction = isa.instruction(beginning.instruction)
    try:
        units = encode(isa, instruction, fitting(isa, instruction, dict(beginning.operands)))
    except UsageError:
        return None
    state = Guest(tuple(changes), 0).state(isa, kind.choices)
    wrap = (1 << isa.spaces[isa.fetch.space].address_width) - 1
    cells = [cell_of(kind, state, state.pc() + i & wrap) for i in range(len(units))]
    placed = [Change(kind.memory, cell, unit) for cell, unit in zip(cells, units, strict=True) if cell is not None]
    return placed if len(placed) == len(units) else None
