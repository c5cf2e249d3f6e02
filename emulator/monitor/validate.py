"""The proof by running: the same guest on the bare machine and under the monitor, compared.

*Equivalence*: after each stretch of steps the whole states agree, as f relates them: here they are equal, because the
record is the virtual machine's own state.  *Resource control*: a `Breach` is a failure.  *Efficiency*: the counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain

from analyzer import ir
from analyzer.aim import Aims
from analyzer.errors import Breach
from emulator.evaluate import Environment, value_of
from emulator.interface import Exit, Machine, Ram, Reason
from emulator.monitor.aimed import guests as aimed
from emulator.monitor.coverage import Coverage, CoveredMachine
from emulator.monitor.edits import mutants
from emulator.monitor.guests import Change, Guest, Kind, Maker
from emulator.monitor.monitor import Monitor
from emulator.monitor.plan import Plan
from emulator.monitor.vm import VirtualMachine
from emulator.reference import Machine as Reference
from emulator.reference import Policy
from emulator.state import State

RAM = 1 << 14
"""Units of memory that generated guests have."""

STEPS = 24
"""Steps that a generated guest runs."""

STRETCH = 5
"""Most steps between two comparisons."""

MOST_SHRINKING = 400
"""Smaller guests that are tried for one that shows a difference."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """A guest that is not the same under the monitor, made small: after `steps` steps, these places differ, or `what`
    happened.  `instruction` is the one at which the two part, if there is one; a `breach` is of resource control."""

    guest: Guest
    steps: int
    what: str
    instruction: str | None = None
    breach: bool = False

    def __str__(self) -> str:
        at = f" at {self.instruction}" if self.instruction else ""
        start = ", ".join(map(str, self.guest.changes)) or "reset"
        return f"after {self.steps} steps{at}: {self.what}; from {start}"


@dataclass(slots=True)
class Validation:
    """What a campaign came to.  `untried` are the instructions and traps of the machine that no guest has come to."""

    spec: str
    scheme: str
    technique: str
    depth: int
    unsafe: bool
    seed: int
    guests: int = 0
    steps: int = 0
    direct: int = 0
    divergences: list[Divergence] = field(default_factory=list)
    exits: Counter[str] = field(default_factory=Counter)
    routines: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=Coverage)
    untried: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share of steps that ran directly."""
        return self.direct / self.steps if self.steps else 1.0

    def as_data(self) -> dict[str, object]:
        """For JSON."""
        return {
            "spec": self.spec,
            "scheme": self.scheme,
            "technique": self.technique,
            "depth": self.depth,
            "unsafe": self.unsafe,
            "seed": self.seed,
            "guests": self.guests,
            "steps": self.steps,
            "share_direct": round(self.share, 6),
            "divergences": [str(d) for d in self.divergences],
            "exits": dict(sorted(self.exits.items())),
            "routines": dict(sorted(self.routines.items())),
            "ends": dict(sorted(self.ends.items())),
            "coverage": self.coverage.as_data(),
            "untried": list(self.untried),
        }


Progress = Callable[[int, int, str], None]

Tamper = Callable[[VirtualMachine], None]
"""Breaks a virtual machine, to see that validation notices."""


class Bench:
    """A bare machine and a monitored one, side by side, for generated guests."""

    def __init__(self, plan: Plan, monitor: Monitor, tamper: Tamper | None = None, size: int = RAM) -> None:
        isa = plan.isa
        self.plan = plan
        self.monitor = monitor
        self.memory = next(s for s in isa.spaces.values() if isinstance(s, ir.Memory))
        regions = [Ram(self.memory.name, 0, size)]
        choices = State(isa).choices | {
            s.size.element: size
            for s in isa.spaces.values()
            if isinstance(s, ir.Memory) and isinstance(s.size, ir.Get) and s.size.element in isa.choices
        }
        self.bare = CoveredMachine(isa, regions, choices)
        self.vm = monitor.make(isa, regions, choices)
        self.choices = choices
        self.size = size
        asked = {e.name for i in isa.interrupts for e in ir.subterms(i.cond) if isinstance(e, ir.Arbitrary)}
        for machine in (self.bare, self.vm):
            for name in asked:  # no device requests anything
                machine.bind(name, lambda *args: 0)
        environment = {n: self.vm.record.elements[n] for n in plan.division.environment if n in self.vm.record.elements}
        assumed = tuple(a.expr for a in plan.scheme.guest if not a.prelude)
        assumed += tuple(i.expr for i in isa.invariants if not i.prelude)
        modes = frozenset(virtual for virtual, _ in plan.scheme.run)
        chosen = self.vm.grant.chosen
        self.kind = Kind(isa, self.memory.name, 0, size, choices, modes, assumed, chosen, environment)
        self.inside = value_of(isa.mode.expr, isa)
        if tamper is not None:
            tamper(self.vm)

    def load(self, guest: Guest) -> None:
        """Puts both machines into the state in which the guest begins."""
        state = guest.state(self.plan.isa, self.choices)
        blank: list[int] | bytes = bytes(self.size) if self.memory.unit == 8 else [0] * self.size
        for machine in (self.bare, self.vm):
            machine.write_units(self.memory.name, 0, blank)
            machine.from_state(state)

    def run(self, guest: Guest) -> tuple[Divergence | None, Exit | None]:
        """Runs a guest on both, in stretches; the first difference, and how it ended if it did."""
        self.load(guest)
        done, stretch = 0, 1
        while done < guest.steps:
            most = min(stretch, guest.steps - done)
            stretch = stretch % STRETCH + 1
            mine = self.bare.run(most)
            try:
                its = self.vm.run(most)
            except Breach as breach:
                self.vm.host.outside.clear()
                return Divergence(guest, done, str(breach), breach=True), None
            done += mine.steps
            if mine != its:
                return Divergence(guest, done, f"{told(mine)} on the bare machine, {told(its)} under the monitor"), None
            differing = self.differing()
            if differing:
                return Divergence(guest, done, differing), None
            if mine.reason is not Reason.BUDGET:
                return None, mine
            if not self._in_domain():
                return None, None
        return None, None

    def _in_domain(self) -> bool:
        """Is the machine in a mode of the scheme?"""
        state = self.bare._view()
        return self.inside(Environment(state.elements, state.files, state.choices, {}), {}) in self.kind.modes

    def differing(self) -> str:
        """Where the two machines differ, or nothing."""
        one, two = self.bare._view(), self.vm.record
        places = [n for n, v in one.elements.items() if two.elements[n] != v]
        places += [
            f"{n}[{i}]" for n, entries in one.files.items() for i, v in enumerate(entries) if two.files[n][i] != v
        ]
        cells = [m.read_units(self.memory.name, 0, self.size) for m in (self.bare, self.vm)]
        if cells[0] != cells[1]:
            at = next(i for i, (a, b) in enumerate(zip(*cells, strict=True)) if a != b)
            places.append(f"{self.memory.name}[{at:#x}]")
        return f"{', '.join(places[:6])} differ" if places else ""

    def shrunk(self, found: Divergence) -> Divergence:
        """A smaller guest that still differs."""
        tried = 0
        progress = True
        while progress and tried < MOST_SHRINKING:
            progress = False
            for smaller in found.guest.smaller():
                tried += 1
                again = self._differs(smaller)
                if again is not None:
                    found, progress = again, True
                    break
                if tried >= MOST_SHRINKING:
                    break
        return replace(found, instruction=self.parting(found.guest))

    def parting(self, guest: Guest) -> str | None:
        """The instruction at which a guest's runs part, step by step."""
        self.load(guest)
        for _ in range(guest.steps):
            name = self._next()
            one = self.bare.run(1)
            try:
                two = self.vm.run(1)
            except Breach:
                self.vm.host.outside.clear()
                return name
            if one != two or self.differing():
                return name
            if one.reason is not Reason.BUDGET:
                return None
        return None

    def _next(self) -> str | None:
        """The instruction that the bare machine is at."""
        isa, state = self.plan.isa, self.bare.to_state()
        event = Reference(isa, state, Policy(deliver=False)).step()
        instruction = getattr(event, "instruction", None)
        return None if instruction is None else instruction.name

    def _differs(self, guest: Guest) -> Divergence | None:
        state = guest.state(self.plan.isa, self.choices)
        environment = Environment(state.elements, state.files, state.choices, {})
        kind = self.kind
        if self.inside(environment, {}) not in kind.modes:
            return None
        if not all(value_of(e, kind.isa)(environment, dict(kind.chosen)) for e in kind.assumed):
            return None
        if any(state.elements[n] != v for n, v in kind.environment.items()):
            return None
        return self.run(guest)[0]


def told(ended: Exit) -> str:
    """How a run ended, in short."""
    name = f" {ended.name}" if ended.name else ""
    return f"{ended.reason.name.lower()}{name} after {ended.steps} steps"


def validate(
    monitor: Monitor,
    guests: int,
    seed: int = 0,
    steps: int = STEPS,
    tamper: Tamper | None = None,
    most: int = 1,
    progress: Progress | None = None,
    aims: Callable[[Bench], Aims] | None = None,
) -> Validation:
    """Runs generated guests; stops after `most` divergences, each made small.  With `aims`, there follow guests to
    which the statements matter of the routines that those have used, and of the delivery."""
    plan = monitor.plan
    bench = Bench(plan, monitor, tamper)
    maker = Maker(bench.kind, seed)
    out = Validation(plan.isa.name, plan.scheme.name, plan.technique, monitor.depth, plan.unsafe, seed)
    differing: list[Divergence] = []
    made = (maker.guest(steps) for _ in range(guests))
    for number, guest in enumerate(chain(made, at_routines(bench, aims(bench)) if aims else ())):
        if progress is not None:
            progress(number, max(guests, number + 1), plan.scheme.name)
        found, ended = bench.run(guest)
        out.guests += 1
        if ended is not None:
            out.ends[ended.reason.name.lower()] += 1
        if found is not None:
            differing.append(found)
            if len(differing) >= most:
                break
    counters = deepcopy(bench.vm.counters)
    out.steps, out.direct = counters.steps, counters.direct
    out.exits, out.routines = counters.exits, counters.routines
    out.coverage = deepcopy(bench.bare.coverage)
    out.untried = out.coverage.untried(plan.isa)
    out.divergences = [bench.shrunk(found) for found in differing]
    return out


def at_routines(bench: Bench, aims: Aims) -> Iterator[Guest]:
    """Guests for each statement of the routines that were used so far, and of the delivery: to these it matters."""
    for mutant in mutants(bench.plan.isa, sorted(bench.vm.counters.routines)):
        yield from aimed(bench.kind, aims.at(mutant.instruction, mutant.isa).beginnings)


def lockstep(bare: Machine, monitored: Machine, budget: int, stretch: int = 1) -> str | None:
    """Runs two machines with the same program in stretches; where they part, or None.  Their devices are their own."""
    done = 0
    while done < budget:
        one, two = bare.run(stretch), monitored.run(stretch)
        done += one.steps
        if one != two:
            return f"after {done} steps: {told(one)} and {told(two)}"
        places = bare.to_state().diff(monitored.to_state())
        if places:
            return f"after {done} steps: {', '.join(map(str, places[:6]))}"
        if one.reason is not Reason.BUDGET:
            return None
    return None


__all__ = ["Bench", "Change", "Divergence", "Guest", "Mapping", "Sequence", "Validation", "lockstep", "validate"]
