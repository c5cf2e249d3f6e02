"""Monitors that were broken, and whether validation finds them out: the mutation score.

A virtual machine whose routines and deliveries are a mutant's (`edits`), on a host that is not, is a monitor with one
routine broken.  Guests that are aimed at what was changed come first, then those made by chance.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from analyzer import ir
from analyzer.aim import Aims
from emulator.monitor.aimed import guests
from emulator.monitor.direct import DirectReference
from emulator.monitor.edits import Mutant, mutants
from emulator.monitor.guests import Guest, Maker
from emulator.monitor.monitor import Monitor
from emulator.monitor.plan import asks
from emulator.monitor.validate import STEPS, Bench
from emulator.reference import Policy
from emulator.reference.events import Event, Halted, Undefined
from emulator.reference.run import LeaveTrap, Run
from emulator.state import State


@dataclass(slots=True)
class Score:
    """Mutants by fault; those that no guest has found out, and those that are proved to be no others to the guests of
    the scheme.  `aimed`: how many a guest found out that was aimed at them."""

    tried: Counter[str] = field(default_factory=Counter)
    aimed: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    equivalent: list[Mutant] = field(default_factory=list)

    @property
    def others(self) -> int:
        """Mutants that are other machines."""
        return self.tried.total() - len(self.equivalent)

    @property
    def caught(self) -> int:
        """Those that were found out."""
        return self.others - len(self.survivors)


# -- the score ---------------------------------------------------------------------------------------------------------


class Observed(DirectReference):
    """The machine of the record, which notes the texts that it executes: instructions, and None for the delivery."""

    def __init__(self, isa: ir.Isa, state: State, policy: Policy) -> None:
        super().__init__(isa, state, policy)
        self.texts: set[str | None] = set()

    def _run(self, run: Run, instruction: ir.Instruction | None, operands: Mapping[str, int], length_: int) -> Event:
        event = super()._run(run, instruction, operands, length_)
        executed = None if isinstance(event, Undefined | Halted) else event.instruction
        if executed is not None:
            other = any(isinstance(stmt, ir.Execute) for stmt in ir.statements(executed.body))
            self.texts |= {each.name for each in self.isa.instructions} if other else {executed.name}
        return event

    def _trapped(self, run: Run, trap: LeaveTrap, here: int, length_: int, instruction: ir.Instruction | None) -> Event:
        self.texts.add(None)
        return super()._trapped(run, trap, here, length_, instruction)


class Tests:
    """Runs generated guests on the machine and on one whose monitor is broken, one after the other on one bench."""

    __test__ = False

    def __init__(self, monitor: Monitor, guests: int, seed: int = 0) -> None:
        self.bench = Bench(monitor.plan, monitor)
        self.guests = guests
        self.seed = seed
        self._reaching: dict[str | None, list[Guest]] = {}

    def emulated(self) -> tuple[str, ...]:
        """The instructions that guests were seen to have emulated."""
        maker = Maker(self.bench.kind, self.seed)
        for _ in range(self.guests):
            self.bench.run(maker.guest(STEPS))
        return tuple(sorted(self.bench.vm.counters.routines))

    def reaching(self, name: str | None) -> list[Guest]:
        """The guests with which the record executes an instruction (None: the delivery) under the sound monitor.  What
        is broken in its text makes no difference to the others."""
        found = self._reaching.get(name)
        if found is None:
            found = self._reaching[name] = [guest for guest in self.made(name) if name in self._texts(guest)]
        return found

    def made(self, name: str | None) -> Iterator[Guest]:
        """The guests for an instruction (None: for the delivery)."""
        focus, due = (_waking(self.bench.plan.isa), 0.5) if name is None else ((name,), 0.0)
        maker = Maker(self.bench.kind, self.seed, focus, due)
        return (maker.guest(STEPS) for _ in range(self.guests))

    def _texts(self, guest: Guest) -> set[str | None]:
        """What the record executes of a guest."""
        machine = self.bench.vm
        observed = Observed(machine.isa, machine.record, Policy(arbitrary=machine._arbitrary))
        self._under(observed, [guest])
        return observed.texts

    def _under(self, reference: DirectReference, guests: Iterable[Guest]) -> bool:
        """Does one of the guests tell a monitor with these texts?"""
        machine, sound = self.bench.vm, self.bench.vm.reference
        machine.reference = reference
        try:
            return any(self.bench.run(guest)[0] is not None for guest in guests)
        finally:
            machine.reference = sound

    def finds(self, mutant: Mutant, guests: Iterable[Guest] | None = None) -> bool:
        """Does a guest (if none are given, one made by chance) tell the monitor whose texts are the mutant's?"""
        machine = self.bench.vm
        broken = DirectReference(mutant.isa, machine.record, Policy(arbitrary=machine._arbitrary))
        return self._under(broken, self.reaching(mutant.instruction) if guests is None else guests)


def _waking(isa: ir.Isa) -> tuple[str, ...]:
    """The instructions that stop the processor, or set what interrupts depend on and few others set."""
    wanted = {e.name for e in isa.elements.values() if e.role is ir.Role.PROCESSOR}.union(*map(asks, isa.interrupts))
    sets = {i.name: {s.element for s in ir.statements(i.body) if isinstance(s, ir.Set)} for i in isa.instructions}
    times = Counter(name for elements in sets.values() for name in elements)
    wanted = {name for name in wanted if times[name] < len(sets) // 4}
    return tuple(name for name, elements in sets.items() if elements & wanted)


def score(
    tests: Tests,
    names: Sequence[str],
    aims: Aims,
    most: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Score:
    """Tries the mutants of these instructions and of the delivery, at most `most` of them (a sample, the same one for
    the same seed)."""
    every = list(mutants(tests.bench.plan.isa, names))
    if most is not None and most < len(every):
        every = random.Random(tests.seed).sample(every, most)
    out = Score()
    for number, mutant in enumerate(every):
        if progress is not None:
            progress(number, len(every), str(mutant))
        out.tried[mutant.fault] += 1
        aim = aims.at(mutant.instruction, mutant.isa)
        if aim.harmless:
            out.equivalent.append(mutant)
        elif tests.finds(mutant, guests(tests.bench.kind, aim.beginnings)):
            out.aimed += 1
        elif not tests.finds(mutant):
            out.survivors.append(mutant)
    return out


def lines(name: str, found: Score, names: Sequence[str]) -> Iterator[str]:
    """The score in words."""
    yield f"Mutants of {len(names)} routines and of the delivery of {name}"
    yield ""
    for fault, number in sorted(found.tried.items()):
        yield f"  {fault:<22}{number}"
    yield f"  {'no others (proved)':<22}{', '.join(map(str, found.equivalent)) or 'none'}"
    yield f"  {'survive':<22}{', '.join(map(str, found.survivors)) or 'none'}"
    yield ""
    yield f"{found.caught} of {found.others} mutants are found out, {found.aimed} by guests that were aimed at them"


__all__ = ["Mutant", "Score", "Tests", "lines", "mutants", "score"]
