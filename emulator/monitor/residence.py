"""A virtual machine between its record and the host whose routines run it: what goes in before a run, and comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from emulator.monitor.counters import Counters
from emulator.monitor.direct import Resident, Shadow
from emulator.monitor.rebind import TRACED, VIRTUAL
from emulator.monitor.routines import CHOSEN, REFLECTED, Routines
from emulator.monitor.shadow import Epoch, ShadowMap
from emulator.monitor.table import ShadowTable
from emulator.state import State


@dataclass(slots=True)
class Residence:
    """Moves the state that `routines` keep, and takes their counts.  `epoch` is that of the contexts that they know."""

    routines: Routines
    held: Mapping[str, str] = field(init=False)
    epoch: tuple[int, Epoch] | None = None
    _counted: Counter[str] = field(default_factory=Counter)
    _reflected: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held = {VIRTUAL + name: name for name in self.routines.held}

    def load(self, state: State, resident: Resident, shadow: Shadow | None, table: ShadowTable | None) -> None:
        """Puts the record's own into the host's state, and what is known of its present context."""
        routines, record = self.routines, resident.record
        for here, name in self.held.items():
            state.elements[here] = record.elements[name]
        for name in routines.files:
            if state.files[VIRTUAL + name] != record.files[name]:
                state.files[VIRTUAL + name][:] = record.files[name]
        for name in routines.chosen:
            state.elements[CHOSEN + name] = resident.chosen[name]
        if routines.contexts is not None:
            assert isinstance(shadow, ShadowMap)
            assert table is not None
            state.files[TRACED][:] = shadow.lines()
            epoch = table.flushes, shadow.epoch()
            if epoch != self.epoch:
                self.epoch = epoch
                routines.contexts.forget(state.files)
            routines.contexts.enter(state.files, record.elements, state.elements)

    def store(self, state: State, resident: Resident) -> Counters | None:
        """Takes the record's own back; what the routines did since the last time, if they did anything."""
        routines, record, elements = self.routines, resident.record, state.elements
        for here, name in self.held.items():
            record.elements[name] = elements[here]
        for name in routines.shared:
            record.elements[name] = elements[name]
        for name in routines.files:
            if record.files[name] != state.files[VIRTUAL + name]:
                record.files[name][:] = state.files[VIRTUAL + name]
        counters = Counters()
        for name, (instruction, cause) in routines.emulated.items():
            number = elements[name] - self._counted[name]
            if number:
                self._counted[name] = elements[name]
                counters.emulated += number
                counters.routines[instruction] += number
                counters.exits[cause] += number
        counts = state.files[REFLECTED]
        before = self._reflected or [0] * len(counts)
        if counts != before:
            self._reflected = list(counts)
            more = [now - then for now, then in zip(counts, before, strict=True)]
            counters.reflected = sum(more)
            for counted, number in zip(routines.causes, more, strict=True):
                if number and counted is not None:
                    counters.exits[counted] += number
        return counters if counters.steps else None
