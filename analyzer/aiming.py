"""Aiming at a statement: the solver finds states of the virtual machine in which it matters.

Guests made by chance come to most of what a monitor does; a bit of one register of forty that a routine writes under
one condition they seldom see.  Here the text of a routine, or of the delivery, is compared with another: in what
states, with what operands, do the two part?  Either there are none in this scheme, which is then proved, or a guest can
begin in one.  So guests are made of the spec alone, whatever is wrong with the monitor that they try.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analyzer import ir
from analyzer.aim import Aim, Beginning, Domain
from analyzer.obligations import Square, case_of, operands, runs_apart
from analyzer.symbolic.execute import Changes, Executor, Frame, Run
from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import Subject, next_pc, subjects
from analyzer.symbolic.setting import Setting, deliver
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.term import Term, nodes

RLIMIT = 4_000_000
"""Work for a question."""

LISTED = 256
"""Entries of a file that are all told."""

SOURCES = 8
"""Instructions that are tried for a trap of one kind."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What a guest begins with: an instruction, or an interrupt that is due (no instruction)."""

    square: Square
    subject: Subject | None
    run: Run
    given: Bool


class Aiming:
    """Finds states for guests of a scheme in this domain."""

    def __init__(self, setting: Setting, domain: Domain, rlimit: int = RLIMIT) -> None:
        self.setting = setting
        self.domain = domain
        self.rlimit = rlimit
        self.isa = setting.isa

    def at(self, instruction: str | None, other: ir.Isa) -> Aim:
        """Where an instruction (None: the delivery) does something else than in `other`."""
        return self._at_delivery(other) if instruction is None else self._at_instruction(instruction, other)

    # -- an instruction ------------------------------------------------------------------------------------------------

    def _at_instruction(self, name: str, other: ir.Isa) -> Aim:
        body = other.instruction(name).body
        beginnings: list[Beginning] = []
        undecided = False
        for subject in subjects(self.isa):
            if subject.instruction.name != name:
                continue
            source = self._instruction(subject)
            changed = source.square.executor().instruction(body)
            for _, wrong in runs_apart(source.square, source.run, changed):
                found, decided = self._begin(source, wrong)
                beginnings += found
                undecided |= not decided
        return Aim(tuple(beginnings), undecided)

    def _instruction(self, subject: Subject) -> _Source:
        square = Square.of(self.setting, self.rlimit, lambda smt: operands(smt, self.isa, subject))
        run = square.executor().instruction(subject.instruction.body)
        smt = square.smt
        given = smt.and_(
            square.machine(subject.instruction.where),
            case_of(square, subject),
            self._domain(square),
            self._fetches(square),
        )
        return _Source(square, subject, run, given)

    # -- the delivery --------------------------------------------------------------------------------------------------

    def _at_delivery(self, isa: ir.Isa) -> Aim:
        """Of each kind of trap that is delivered otherwise: guests that are interrupted so, or trap so."""
        other = Setting(isa, self.setting.scheme)
        beginnings: list[Beginning] = []
        undecided = False
        for kind in self.isa.traps.values():
            if not self._matters(kind, other):
                continue
            reached = False
            for source in self._sources[kind.name]:
                found, _ = self._delivered(source, kind, other)
                beginnings += found
                reached = bool(found)
                if reached:
                    break
            undecided |= not reached
        return Aim(tuple(beginnings), undecided)

    def _matters(self, kind: ir.TrapKind, other: Setting) -> bool:
        """May a trap of this kind, wherever it comes from, be delivered otherwise?"""
        square = Square.of(self.setting, self.rlimit)
        smt, pc = square.smt, self.isa.elements[self.isa.fetch.pc]
        at = smt.symbol("where the trap leaves the program counter", pc.width)
        terms = [(smt.symbol(f"trap {name}", width or 1), width) for name, width in kind.params]
        args = tuple(term if width else smt.to_bool(term) for term, width in terms)
        wrong = self._apart(square, kind, other, args, Changes(), at)
        return wrong is not False and smt.check(square.machine(), self._domain(square), wrong).status != "unsat"

    def _delivered(self, source: _Source, kind: ir.TrapKind, other: Setting) -> tuple[list[Beginning], bool]:
        square, smt = source.square, source.square.smt
        ways = []
        for trap in source.run.traps:
            if trap.trap != kind.name or trap.guard is False:
                continue
            at = None
            if source.subject is not None and kind.resume == "next":
                at = next_pc(square.world, source.subject.instruction, lambda e: self._start(square, e))
            apart = self._apart(square, kind, other, trap.args, trap.restored, at)
            ways.append(smt.and_(trap.guard, apart))
        return self._begin(source, smt.or_(*ways))

    def _apart(
        self, square: Square, kind: ir.TrapKind, other: Setting, args: tuple[Any, ...], restored: Changes, at: Any
    ) -> Bool:
        """Where a delivery leads to another state, or ends another way."""
        ways = []
        for text in (self.setting, other):
            ex = square.executor()
            ways.append((deliver(text, ex, kind, args, restored, at).state, ex.run))
        (v, one), (m, two) = ways
        apart = square.smt.and_(square.apart(v, m), square.smt.not_(one.unpredictable))
        return square.smt.or_(apart, *(wrong for _, wrong in runs_apart(square, one, two)[1:]))

    @cached_property
    def _sources(self) -> dict[str, list[_Source]]:
        """What leads to a trap of each kind."""
        found: dict[str, list[_Source]] = {name: [] for name in self.isa.traps}
        for number, interrupt in enumerate(self.isa.interrupts):
            found[interrupt.trap].append(self._interrupt(number))
        for subject in subjects(self.isa):
            effects = self.setting.effects.block(subject.instruction.body)
            raised = effects.traps.union(*(self.setting.effects.map(name).traps for name in effects.windows))
            if any(len(found[name]) < SOURCES for name in raised):
                source = self._instruction(subject)
                for name in dict.fromkeys(str(t.trap) for t in source.run.traps if t.guard is not False):
                    found[name].append(source)
        source = self._unfetched()
        for name in dict.fromkeys(str(t.trap) for t in source.run.traps):
            found[name].append(source)
        return found

    def _unfetched(self) -> _Source:
        """An instruction that cannot be fetched."""
        square = Square.of(self.setting, self.rlimit)
        ex = square.executor()
        self._fetched(square, ex)
        given = square.smt.and_(square.machine(), self._domain(square), self._fetches(square))
        return _Source(square, None, ex.run, given)

    def _fetches(self, square: Square) -> Bool:
        """Is an instruction fetched: does the processor run, and is no interrupt due?"""
        smt, isa = square.smt, self.isa
        stopped = (
            smt.not_(smt.eq(self._start(square, ir.Get(e.name, e.width)), 0, e.width))
            for e in isa.elements.values()
            if e.role is ir.Role.PROCESSOR
        )
        return smt.not_(smt.or_(*stopped, *(self._due(square, i) for i in isa.interrupts)))

    def _fetched(self, square: Square, ex: Executor) -> Bool:
        """Is the first parcel fetched from the middle of RAM?"""
        fetch, smt = self.isa.fetch, square.smt
        pc = self.isa.elements[fetch.pc]
        access = ir.Access(fetch.space, ir.Get(pc.name, pc.width), fetch.parcel, "fetch", fetch.args, fetch.given)
        frame = Frame({}, Changes(), Changes())
        if isinstance(self.isa.spaces[fetch.space], ir.Bus):
            here = self._depends(square, ex, frame, access)
        else:
            space, address, _ = square.memories.down(ex, frame, True, access, None)
            here = smt.eq(address, self._middle, space.address_width) if space.name == self.domain.memory else False
        return smt.and_(here, frame.alive, *(smt.not_(trap.guard) for trap in ex.run.traps))

    def _depends(self, square: Square, ex: Executor, frame: Frame, access: ir.Access) -> Bool:
        """Does what is read through a bus depend on the middle of RAM?"""
        smt, memories, memory = square.smt, square.memories, self.isa.spaces[self.domain.memory]
        assert isinstance(memory, ir.Memory)
        before = memories.load(ex, frame, True, access, None)
        there = smt.symbol("another unit", memory.unit)
        old = memories.memory(frame, memory)
        frame.state[f"memory {memory.name}"] = memories.written(old, lambda _: self._middle, there, memory.unit, memory)
        return smt.not_(smt.eq(before, memories.load(ex, frame, True, access, None), access.bits))

    @property
    def _middle(self) -> int:
        return self.domain.base + self.domain.size // 2

    def _interrupt(self, number: int) -> _Source:
        """An interrupt that is due, and none before it."""
        interrupt = self.isa.interrupts[number]
        square = Square.of(self.setting, self.rlimit)
        smt, ex = square.smt, square.executor()
        before = (smt.not_(self._due(square, each)) for each in self.isa.interrupts[:number])
        given = smt.and_(square.machine(), self._domain(square), self._due(square, interrupt), *before)
        frame = Frame({}, Changes(), Changes())
        run = ex.run
        ex.trap(frame, True, interrupt.trap, tuple(ex.value(a, frame) for a in interrupt.args), None, False)
        return _Source(square, None, run, given)

    # -- what guests are -----------------------------------------------------------------------------------------------

    def _domain(self, square: Square) -> Bool:
        """What all guests are: in a mode of the scheme, as it assumes, in the environment that they are given."""
        smt, world, domain = square.smt, square.world, self.domain
        ex = square.executor()
        mode = self._start(square, self.isa.mode.expr)
        width = ir.width(self.isa.mode.expr)
        terms = [smt.or_(*(smt.eq(mode, code, width) for code in sorted(domain.modes)))]
        terms += [self.setting.assumed(ex, assume) for assume in self.setting.scheme.guest]
        for name, value in domain.chosen.items():
            term = smt.symbol(f"chosen {name}", dict(self.setting.scheme.chosen)[name])
            terms.append(smt.eq(term, value, term.width))
        for name, value in domain.environment.items():
            terms.append(smt.eq(world.element(name), value, self.isa.elements[name].width))
        for name, value in domain.choices.items():
            terms.append(smt.eq(world.element(name), value, self.isa.choices[name].width))
        return smt.and_(*terms)

    @staticmethod
    def _start(square: Square, e: ir.Expr) -> Any:
        """An expression at the beginning."""
        return square.executor().value(e, Frame({}, Changes(), Changes()))

    def _due(self, square: Square, interrupt: ir.Interrupt) -> Bool:
        """Is an interrupt due?  No device requests one."""
        due = self._start(square, interrupt.cond)
        silent = ((t, 0) for t in nodes(due) if t.op == "symbol" and t.name.startswith("unknown "))
        return square.smt.substituted(due, list(silent))

    # -- from a model to a state ---------------------------------------------------------------------------------------

    def _begin(self, source: _Source, wrong: Bool) -> tuple[list[Beginning], bool]:
        """A state in which something is wrong, if there is one, and whether the question is settled."""
        smt = source.square.smt
        answer = smt.check(source.given, wrong) if wrong is not False else None
        if answer is None or answer.status == "unsat":
            return [], True
        nearer = (smt.check(source.given, wrong, near) for near in self._nearer(source, wrong))
        found = next((each for each in nearer if each.status == "sat"), answer)
        return ([self._beginning(source, found.model)], True) if found.status == "sat" else ([], False)

    def _nearer(self, source: _Source, wrong: Bool) -> Iterator[Bool]:
        """What makes it likely that the state can be made: the maps as after reset, the program counter and what is
        accessed in RAM."""
        square, smt, domain = source.square, source.square.smt, self.domain
        at = self._middle
        here = True if source.subject is None else self._fetched(square, square.executor())
        maps = [
            smt.eq(term, self.isa.elements[name].reset or 0, term.width)
            for name, term in square.world.values.items()
            if name in self.isa.elements and self.isa.elements[name].role is ir.Role.MAP and isinstance(term, Term)
        ]
        array = square.world.values.get(f"memory {domain.memory}")
        cells = smt.and_(source.given, wrong, here)
        read = {t.args[1] for t in nodes(cells) if t.op == "select" and t.args[0] is array}
        places = read | {t.args[1] for t in nodes(cells) if t.op == "store" and t.args[0] is array}
        inside = [
            smt.compare("ult", smt.op("sub", p, domain.base, p.width), domain.size, p.width)
            for p in places
            if isinstance(p, Term)
        ]
        beside = [
            smt.or_(smt.compare("ult", p, at, p.width), smt.not_(smt.compare("ult", p, at + 16, p.width)))
            for p in places
            if isinstance(p, Term)
        ]
        for parts in ((here, *maps, *inside, *beside), (here, *inside, *beside), (here, *maps), (here,)):
            yield smt.and_(*parts)

    def _beginning(self, source: _Source, model: Model) -> Beginning:
        """The state of a model: what the question does not speak of is left as it is."""
        isa, values = self.isa, source.square.world.values
        files = {}
        for name in isa.files.keys() & values.keys():
            file, entries = isa.files[name], model.entries(values[name])
            every = range(file.size) if file.size <= LISTED else (i for i in entries.known if i < file.size)
            files[name] = {i: entries.known.get(i, entries.default) for i in every if i not in file.zeros}
        memory = values.get(f"memory {self.domain.memory}")
        return Beginning(
            {name: model.value(values[name]) for name in isa.elements if name in values},
            files,
            {} if memory is None else {i: v for i, v in sorted(model.entries(memory).known.items()) if self._in_ram(i)},
            None if source.subject is None else source.subject.instruction.name,
            {name: model.value(term) for name, term in source.square.world.operands.items()},
        )

    def _in_ram(self, cell: int) -> bool:
        return self.domain.base <= cell < self.domain.base + self.domain.size
