"""Monitors that were broken, and whether validation finds them out: the mutation score.

A mutant is the machine with one statement other than it is, in the text of an instruction or of the delivery.  A
virtual machine whose routines and deliveries are the mutant's, on a host that is not, is a monitor with one routine
broken.  Procedures that instructions call are not broken.

Every statement is tried: a write, a call or a trap is dropped, what is written is another number, a condition has its
ways exchanged, another trap is raised.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from analyzer import ir
from emulator.monitor.direct import DirectReference
from emulator.monitor.guests import Guest, Maker
from emulator.monitor.monitor import Monitor
from emulator.monitor.plan import asks
from emulator.monitor.validate import STEPS, Bench
from emulator.reference import Policy
from emulator.reference.events import Event, Halted, Undefined
from emulator.reference.run import LeaveTrap, Run
from emulator.state import State

Fault = Literal["drops", "writes another value", "exchanges the ways", "raises another trap"]

Edit = tuple[str, Fault, ir.Block]
"""Where, what is done, and the block after it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A machine whose instruction (None: whose delivery) has one statement other than it is.  `place` counts
    statements, of nested ones with those around them."""

    instruction: str | None
    place: str
    fault: Fault
    isa: ir.Isa

    def __str__(self) -> str:
        return f"{self.instruction or 'delivery'} {self.place} {self.fault}"


@dataclass(slots=True)
class Score:
    """Mutants by fault, those that no guest has found out, and those of them that are no others."""

    tried: Counter[str] = field(default_factory=Counter)
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


# -- mutants -----------------------------------------------------------------------------------------------------------


def mutants(isa: ir.Isa, names: Sequence[str]) -> Iterator[Mutant]:
    """The mutants of these instructions, and of the delivery."""
    for instruction in isa.instructions:
        if instruction.name in names:
            for place, fault, body in edits(isa, instruction.body):
                changed = replace(instruction, body=body)
                others = tuple(changed if each is instruction else each for each in isa.instructions)
                yield Mutant(instruction.name, place, fault, replace(isa, instructions=others, digest=""))
    if isa.deliver is not None:
        for place, fault, body in edits(isa, isa.deliver.body):
            changed_delivery = replace(isa.deliver, body=body)
            yield Mutant(None, place, fault, replace(isa, deliver=changed_delivery, digest=""))


def edits(isa: ir.Isa, block: ir.Block, around: str = "") -> Iterator[Edit]:
    """The block with one statement other than it is."""
    for i, stmt in enumerate(block):
        place = f"{around}{i}"
        if isinstance(stmt, ir.Set | ir.SetEntry | ir.Store | ir.When | ir.Call | ir.Trap) and not _names(stmt):
            yield place, "drops", (*block[:i], *block[i + 1 :])
        for where, fault, other in _changed(isa, stmt, place):
            yield where, fault, (*block[:i], other, *block[i + 1 :])


def _changed(isa: ir.Isa, stmt: ir.Stmt, place: str) -> Iterator[tuple[str, Fault, ir.Stmt]]:
    """Other statements in place of one."""
    match stmt:
        case ir.Set() | ir.SetEntry() | ir.Store():
            width = ir.width(stmt.value)
            if width:
                other = ir.Binary("xor", stmt.value, ir.Const(width, 1))
                yield place, "writes another value", replace(stmt, value=other)
        case ir.When():
            if not _names(stmt):
                yield place, "exchanges the ways", replace(stmt, cond=ir.Not(stmt.cond))
            for where, fault, block in edits(isa, stmt.then, f"{place}."):
                yield where, fault, replace(stmt, then=block)
            for where, fault, block in edits(isa, stmt.other, f"{place}.else."):
                yield where, fault, replace(stmt, other=block)
        case ir.Loop():
            for where, fault, block in edits(isa, stmt.body, f"{place}."):
                yield where, fault, replace(stmt, body=block)
        case ir.Trap() if _told(isa):
            widths = [w for _, w in isa.traps[stmt.trap].params]
            alike = (n for n, kind in isa.traps.items() if n != stmt.trap and [w for _, w in kind.params] == widths)
            other_trap = next(alike, None)
            if other_trap is not None:
                yield place, "raises another trap", replace(stmt, trap=other_trap)
        case _:
            pass


def _told(isa: ir.Isa) -> bool:
    """Does the delivery depend on which trap it is?  If not, another trap is no other."""
    body = () if isa.deliver is None else isa.deliver.body
    terms = (e for stmt in ir.statements(body) for expr in ir.expressions(stmt) for e in ir.subterms(expr))
    return any(isinstance(e, ir.Local) and (e.name == "t" or e.name.startswith("t.")) for e in terms)


def _names(stmt: ir.Stmt) -> bool:
    """Does it set a local?  Without it what follows may have no meaning."""
    match stmt:
        case ir.Let() | ir.Load() | ir.Probe():
            return True
        case ir.Call():
            return stmt.local is not None
        case ir.When():
            return any(_names(each) for each in (*stmt.then, *stmt.other))
        case _:
            return False


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

    def finds(self, mutant: Mutant) -> bool:
        """Does a guest tell the monitor whose texts are the mutant's?"""
        machine = self.bench.vm
        broken = DirectReference(mutant.isa, machine.record, Policy(arbitrary=machine._arbitrary))
        return self._under(broken, self.reaching(mutant.instruction))


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
    equivalent: Callable[[Mutant], bool],
    most: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Score:
    """Tries the mutants of these instructions and of the delivery, at most `most` of them (a sample, the same one for
    the same seed).  What survives is asked of `equivalent`: is it no other machine?"""
    every = list(mutants(tests.bench.plan.isa, names))
    if most is not None and most < len(every):
        every = random.Random(tests.seed).sample(every, most)
    out = Score()
    for number, mutant in enumerate(every):
        if progress is not None:
            progress(number, len(every), str(mutant))
        out.tried[mutant.fault] += 1
        if not tests.finds(mutant):
            (out.equivalent if equivalent(mutant) else out.survivors).append(mutant)
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
    yield f"{found.caught} of {found.others} mutants are found out"


__all__ = ["Mutant", "Score", "Tests", "lines", "mutants", "score"]
