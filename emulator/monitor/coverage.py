"""What generated guests have tried: instructions and traps, in each virtual mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analyzer import ir
from emulator.evaluate import Environment, value_of
from emulator.interface import Exit, Region
from emulator.machine.plain import PlainMachine
from emulator.reference.events import Completed, Trapped


@dataclass(slots=True)
class Coverage:
    """How often instructions completed and traps were delivered, by virtual mode and name."""

    completed: Counter[tuple[str, str]] = field(default_factory=Counter)
    trapped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def untried(self, isa: ir.Isa) -> tuple[str, ...]:
        """Instructions that completed in no mode, and traps that were delivered from none."""
        completed, trapped = ({name for _, name in counter} for counter in (self.completed, self.trapped))
        instructions = tuple(i.name for i in isa.instructions if i.name not in completed)
        return (*instructions, *(f"trap {name}" for name in isa.traps if name not in trapped))

    @property
    def tried(self) -> int:
        """The number of instructions and traps of which the contrary is true."""
        return len({name for _, name in self.completed}) + len({name for _, name in self.trapped})

    def as_data(self) -> dict[str, object]:
        """For JSON: by mode."""
        return {"completed": _by_mode(self.completed), "trapped": _by_mode(self.trapped)}


def _by_mode(counter: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for (mode, name), number in sorted(counter.items()):
        out.setdefault(mode, {})[name] = number
    return out


class CoveredMachine(PlainMachine):
    """A bare machine that keeps account of what runs on it."""

    def __init__(self, isa: ir.Isa, regions: Sequence[Region], choices: Mapping[str, int] | None = None) -> None:
        super().__init__(isa, regions, choices)
        self.coverage = Coverage()
        self._mode = value_of(isa.mode.expr, isa)

    def _step(self) -> Exit | None:
        state = self._state
        mode = self._mode(Environment(state.elements, state.files, state.choices, {}), {})
        ended = super()._step()
        match self._last:
            case Completed(instruction=instruction):
                self.coverage.completed[self._isa.mode.named(int(mode)), instruction.name] += 1
            case Trapped(trap=trap, delivered=True):
                self.coverage.trapped[self._isa.mode.named(int(mode)), trap] += 1
            case _:
                pass
        return ended
