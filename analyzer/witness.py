"""Witnesses: two runs that differ, the least ones, replayed before anyone sees them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import chain
from typing import Any

from msgspec import Struct

import analyzer.properties as pg
from analyzer import ir
from analyzer.properties import Reason
from analyzer.replayer import MachineState, Ran, Replayer
from analyzer.source import Span
from analyzer.symbolic.builder import Substitution
from analyzer.symbolic.concrete import Concretizer
from analyzer.symbolic.execute import Changes
from analyzer.symbolic.least import least_model
from analyzer.symbolic.pair import Pair, Side
from analyzer.symbolic.smt import Bool
from analyzer.symbolic.term import Term
from analyzer.symbolic.terms import atoms, base_name, is_cell, stored_indices
from analyzer.symbolic.wording import Wording


class Line(Struct, frozen=True):
    """A named value in both runs, as text; None where a run has no such value."""

    name: str
    virtual: str | None
    real: str | None


class FoundWitness(Struct, frozen=True):
    """A witness with the two machine states that show it."""

    operands: Mapping[str, int]
    inputs: tuple[Line, ...]
    outcome: tuple[Line, ...]
    parted: Span | None
    virtual: MachineState | None
    real: MachineState | None
    replayed: bool
    assembly: str
    encoding: str


STEP_RLIMIT = 150_000
"""Work for one step of making a witness the least one."""

MAX_REASONS = 2
"""Reasons that a witness is sought for, the plainest first, before one that could not be replayed is shown."""


def find_witness(pair: Pair, reasons: list[Reason], replayer: Replayer | None) -> FoundWitness | None:
    """The least witness of the first reason that has one which can be replayed."""
    best: FoundWitness | None = None
    for reason in reasons[:MAX_REASONS]:
        found = witness_of(pair, reason, replayer)
        if found is not None and (found.replayed or best is None):
            best = found
        if best is not None and best.replayed:
            return best
    return best


def witness_of(pair: Pair, reason: Reason, replayer: Replayer | None) -> FoundWitness | None:
    """The least witness of one reason."""
    formula = pair.smt.and_(pg.real_states(pair), reason.formula)
    mentioned = in_order(pair, formula)
    model = least_within(pair, formula, mentioned)
    if model is None:
        return None
    matter = mattering(pair, reason.formula, in_order(pair, reason.formula), model)
    return Telling(pair, model, matter, mentioned).witness(replayer)


def least_within(pair: Pair, formula: Bool, ordered: list[Any]) -> Any | None:
    """The least model, each step within `STEP_RLIMIT`; the solver's own where that is not enough."""
    allowed, pair.smt.rlimit = pair.smt.rlimit, STEP_RLIMIT
    try:
        model = least_model(pair.smt, formula, ordered)
    finally:
        pair.smt.rlimit = allowed
    return model if model is not None else pair.smt.check(formula).model


def in_order(pair: Pair, formula: Bool) -> list[Any]:
    """The terms that a formula mentions, in declared order: operands, then elements with the mode first, then entries,
    cells and permissions."""
    isa = pair.setting.isa
    rank: dict[str, int] = {}
    operands = [f"operand {n}" for n in pair.operands]
    by_mode = sorted(isa.elements, key=lambda n: isa.elements[n].role is not ir.Role.MODE)
    for name in (*operands, *isa.choices, *by_mode):
        rank.setdefault(name, len(rank))

    def key(item: tuple[int, Any]) -> tuple[int, int, int]:
        position, term = item
        base, _, side = term.name.partition("@")
        if term.op == "symbol" and base in rank:
            return rank[base], "vr".find(side) if side else 0, position
        return len(rank) + (term.op != "symbol"), 0, position

    terms = list(enumerate(atoms(pair.smt, formula)))
    return [t for _, t in sorted(terms, key=key)]


def mattering(pair: Pair, formula: Bool, ordered: list[Any], model: Any) -> list[Any]:
    """Of the terms in order those that the formula asks for: their values are put in one after another, and what has
    vanished from it before its turn has no say, whatever its value."""
    steps: list[Substitution] = []
    matter = []
    for term in ordered:
        image: Any = term
        for step in steps:
            image = step(image)
        if not isinstance(image, Term):
            matter.append(term)
        elif image in atoms(pair.smt, formula):
            matter.append(term)
            value = model.value(term)
            steps.append(pair.smt.substitution([(image, value if image.width else bool(value))]))
            formula = steps[-1](formula)
    return matter


class Telling:
    """Puts a model into words."""

    def __init__(self, pair: Pair, model: Any, ordered: list[Any], mentioned: list[Any]) -> None:
        self.pair = pair
        self.model = model
        self.ordered = ordered
        self.isa = pair.setting.isa
        self.words = Wording(self.isa)
        self.concrete = Concretizer(pair, model, tuple(mentioned))

    def witness(self, replayer: Replayer | None) -> FoundWitness:
        pair, operands = self.pair, self.concrete.operands
        ends = self.ending(pair.v), self.ending(pair.r)
        outcome = self.outcome(ends)
        parted = self.parted(outcome)
        instruction = pair.subject.instruction
        if replayer is None:
            return FoundWitness(operands, self.inputs(), outcome, parted, None, None, False, "", "")
        assembly, encoding = replayer.assembly(self.isa, instruction, operands)
        virtual = self.start(pair.v, ends[0], replayer)
        real = self.start(pair.r, ends[1], replayer)
        return FoundWitness(
            operands,
            self.inputs(),
            outcome,
            parted,
            virtual,
            real,
            virtual is not None and real is not None,
            assembly,
            encoding,
        )

    def start(self, side: Side, ending: str, replayer: Replayer) -> MachineState | None:
        """A state in which the reference executor does what the model says; None if none was found."""
        state = self.concrete.state(side)
        if state is None:
            return None
        ran = replayer.run(self.isa, side.instruction, self.concrete.operands, state)
        return state if self.agrees(side, ending, ran) else None

    # -- values --------------------------------------------------------------------------------------------------------

    def value(self, term: Any) -> Any:
        return self.concrete.number(term)

    def holds(self, formula: Bool) -> bool:
        return bool(self.value(formula))

    def shown(self, name: str, value: int) -> str:
        element = self.isa.elements.get(name)
        if element is None:
            return f"{value:#x}"
        return self.words.number(value, element.width, element.enum)

    def ending(self, side: Side) -> str:
        """`completes`, `memory`, `unpredictable`, or a trap's name."""
        if self.holds(side.run.unpredictable):
            return "unpredictable"
        for trap in side.run.traps:
            if self.holds(trap.guard):
                return "memory" if trap.memory else str(trap.trap)
        return "completes"

    def ended(self, ending: str) -> str:
        """An ending in words."""
        match ending:
            case "completes" | "unpredictable":
                return ending
            case "memory":
                return "memory trap"
        return f"trap {ending}"

    # -- the three parts -----------------------------------------------------------------------------------------------

    def inputs(self) -> tuple[Line, ...]:
        """What matters of the beginnings: both modes, then what the formula mentions."""
        mode = [self.isa.mode.named(self.value(s.mode)) for s in (self.pair.v, self.pair.r)]
        lines = {"mode": Line("mode", mode[0], mode[1])}
        modes = {t.element for t in ir.subterms(self.isa.mode.expr) if isinstance(t, ir.Get)}
        for term in self.ordered:
            name = base_name(term)
            if term.op == "symbol" and not name.startswith(("operand ", "chosen ", "unknown ")):
                base = name.partition("@")[0]
                if base not in modes and base not in lines and not base.startswith("arbitrary "):
                    lines[base] = self.input(base)
            elif is_cell(term):
                text = self.cell(term)
                number = self.value(term)
                text, _, _ = text.partition(" of the real machine")
                line = lines.get(text, Line(text, None, None))
                shown = f"{number:#x}"
                if "@r" in name:
                    lines[text] = Line(text, line.virtual, shown)
                elif "@v" in name:
                    lines[text] = Line(text, shown, line.real)
                else:
                    lines[text] = Line(text, shown, shown)
        return tuple(lines.values())

    def input(self, name: str) -> Line:
        sides = [self.shown(name, self.value(s.ex.initial(name))) for s in (self.pair.v, self.pair.r)]
        return Line(name, sides[0], sides[1])

    def cell(self, term: Any) -> str:
        """An array's cell with the index as a number."""
        array, index = term.args
        text = self.words.text(self.pair.smt.select_at(array, self.value(index)))
        return text.removeprefix("real(").removesuffix(")") if text.startswith("real(") else text

    def outcome(self, ends: tuple[str, str]) -> tuple[Line, ...]:
        """How the runs end, and what then differs or was changed under the monitor."""
        lines = [Line("ends", self.ended(ends[0]), self.ended(ends[1]))]
        sides = self.pair.v, self.pair.r
        left = [self.left(side, end) for side, end in zip(sides, ends, strict=True)]
        for name in dict.fromkeys(chain(*(side.after for side in sides), *(state or () for state in left))):
            finals = [
                None if state is None else state[name] if name in state else side.ex.initial(name)
                for side, state in zip(sides, left, strict=True)
            ]
            if name not in self.isa.elements:
                lines += self.cells_after(name, finals)
                continue
            after = [None if final is None else self.value(final) for final in finals]
            before = [self.value(side.ex.initial(name)) for side in sides]
            held = not self.pair.setting.passes(name)
            changed = held and any(a is not None and a != b for a, b in zip(after, before, strict=True))
            if changed or (not held and after[0] != after[1]):
                shown = [None if a is None else self.shown(name, a) for a in after]
                lines.append(Line(name, shown[0], shown[1]))
        return tuple(lines)

    def left(self, side: Side, ending: str) -> Changes | None:
        """What a run leaves changed: all that it did, or what a trap did not undo.  The program counter is the trap's
        to say.  None where everything was undone."""
        if ending == "completes":
            return side.after
        trap = next((t for t in side.run.traps if self.holds(t.guard)), None)
        if trap is None or not trap.restored:
            return None
        return Changes({name: term for name, term in trap.restored.items() if name != self.isa.fetch.pc})

    def cells_after(self, name: str, finals: list[Any]) -> list[Line]:
        """Entries of a file, or cells of a window, that differ."""
        lines = []
        for cell in self.touched(finals):
            values = [None if final is None else self.concrete.model.cell(final, cell) for final in finals]
            if values[0] != values[1]:
                text = self.cell(self.pair.smt.select_at(self.pair.v.ex.initial(name), cell))
                lines.append(Line(text, *(None if v is None else f"{v:#x}" for v in values)))
        return lines

    def touched(self, finals: list[Any]) -> list[int]:
        """The indices at which either run stores."""
        stored = (stored_indices(final, self.holds) for final in finals if final is not None)
        return sorted(set(map(self.value, chain(*stored))))

    def parted(self, outcome: tuple[Line, ...]) -> Span | None:
        """The first write or trap that differs, or that only one run makes, and that shows in the outcome; if none
        does, the first."""
        virtual, real = (self.steps(side) for side in (self.pair.v, self.pair.r))
        apart = [
            step
            for tag, i, j, k, m in SequenceMatcher(None, virtual, real, autojunk=False).get_opcodes()
            if tag != "equal"
            for step in (*virtual[i:j], *real[k:m])
            if step[2] is not None
        ]
        shown = {line.name for line in outcome}
        seen = (step for step in apart if step[0] in shown or step[0] not in self.isa.elements)
        first = next(chain(seen, apart), None)
        return self._held_write() if first is None else first[2]

    def steps(self, side: Side) -> list[tuple[str, int | None, Span | None]]:
        """The writes and traps of a run: what, with which value, where."""
        return [
            (s.what, None if s.value is None else self.value(s.value), s.span)
            for s in side.run.log
            if self.holds(s.guard)
        ]

    def _held_write(self) -> Span | None:
        """Both runs do the same: the first write to state that the monitor holds."""
        for side in (self.pair.v, self.pair.r):
            for step in side.run.log:
                if (
                    step.what in self.isa.elements
                    and not self.pair.setting.passes(step.what)
                    and self.holds(step.guard)
                ):
                    return step.span
        return None

    def agrees(self, side: Side, ending: str, ran: Ran) -> bool:
        """The reference executor did what the model says."""
        if ending == "memory":
            return ran.memory
        if ran.ending != ending:
            return False
        if ending != "completes":
            return True
        return all(
            self.value(side.final(n)) == ran.elements.get(n, self.value(side.final(n)))
            for n in side.after
            if n in self.isa.elements and not self._open(n, side)
        )

    def _open(self, name: str, side: Side) -> bool:
        """Values that a run may choose (UNKNOWN, unspecified functions) are not compared."""
        term = side.after[name]
        if isinstance(term, int):
            return False
        return any(a.name.startswith(("unknown ", "arbitrary ")) for a in atoms(self.pair.smt, term))
