"""Witnesses, executed on the reference: what the analyzer is handed so that it never shows an unreplayed claim.

One instruction runs from a whole state, without fetching and without delivering its trap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analyzer import ir
from analyzer.errors import UsageError
from analyzer.replayer import MachineState, Ran
from emulator.decode import encode
from emulator.disassemble import show
from emulator.examples import run_example
from emulator.reference import Completed, Event, Policy, Stuck, Touch, Trapped, Undefined, Unpredicted, execute
from emulator.state import Difference, State

UNDELIVERED = Policy(deliver=False)


@dataclass(frozen=True, slots=True)
class Replay:
    """One run: the state before and after, and the event.  A trap has undone the writes and is not delivered."""

    before: State
    after: State
    event: Event

    def ending(self) -> str:
        """`completes`, `unpredictable`, the name of the trap, or why the executor gave up."""
        match self.event:
            case Completed():
                return "completes"
            case Unpredicted():
                return "unpredictable"
            case Trapped():
                return self.event.trap
            case Undefined():
                return "undefined"
            case Stuck():
                return f"gave up: {self.event.reason}"
            case _:
                return type(self.event).__name__.lower()

    def accesses(self) -> tuple[Touch, ...]:
        """The accesses that were made, in order."""
        match self.event:
            case Completed() | Trapped() | Undefined() | Unpredicted():
                return self.event.accesses
            case _:
                return ()

    def changes(self) -> tuple[Difference, ...]:
        """What the run left different."""
        return self.before.diff(self.after)


class ReferenceReplayer:
    """`analyzer.replayer.Replayer` on the reference executor."""

    def assembly(self, isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int]) -> tuple[str, str]:
        """The disassembled instruction, and its units in hex, separated by spaces; no units if these operands have no
        encoding."""
        try:
            units = encode(isa, instruction, operands)
        except UsageError:
            units = ()
        digits = (isa.unit + 3) // 4
        return show(isa, instruction, operands), " ".join(f"{unit:0{digits}x}" for unit in units)

    def run(self, isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int], start: MachineState) -> Ran:
        """Executes one instruction, the trap (if any) not delivered.  An ending that no model has
        (`not encodable`) says that no instruction has these operands."""
        try:
            replay = replay_of(isa, instruction, operands, start)
        except UsageError:
            return Ran("not encodable", False, {}, {}, ())
        after = replay.after
        return Ran(
            replay.ending(),
            isinstance(replay.event, Trapped) and replay.event.memory,
            dict(after.elements),
            {name: dict(enumerate(entries)) for name, entries in after.files.items()},
            tuple((t.space, t.address, t.bits, t.value) for t in replay.accesses() if t.kind == "write"),
        )

    def failures(self, isa: ir.Isa, instruction: ir.Instruction) -> tuple[str, ...]:
        """Runs the examples that stand beside an instruction: where one does not come out as stated, and how."""
        found = (d for example in instruction.examples for d in run_example(isa, instruction, example))
        return tuple(f"{d.span}: {d.message}" for d in found)


def replay_of(isa: ir.Isa, instruction: ir.Instruction, operands: Mapping[str, int], start: MachineState) -> Replay:
    """Executes one instruction as if it stood at the program counter.

    Raises:
        UsageError: the operands have no encoding.
    """
    encode(isa, instruction, operands)
    before = state_of(isa, start)
    outcome = execute(isa, instruction, operands, before, policy=UNDELIVERED)
    return Replay(before, outcome.after, outcome.event)


def state_of(isa: ir.Isa, start: MachineState) -> State:
    """The state of the reference that the analyzer's state stands for; what that does not name is 0."""
    state = State(isa, dict.fromkeys(isa.choices, 0))
    for name in state.elements:
        state.elements[name] = start.elements.get(name, 0)
    for name in state.choices:
        state.choices[name] = start.elements.get(name, 0)
    for name, entries in state.files.items():
        given = start.files.get(name, {})
        fixed = isa.files[name].zeros
        entries[:] = [0 if i in fixed else given.get(i, 0) for i in range(len(entries))]
    for name, units in start.memories.items():
        for address, unit in units.items():
            state.memories[name][address] = unit
    return state


def trace(replay: Replay) -> tuple[str, ...]:
    """A run in lines: where it starts, each access, what it changes, and how it ends."""
    lines = [f"mode {replay.before.mode()}, {replay.before.isa.fetch.pc} {replay.before.pc():#x}"]
    for touch in replay.accesses():
        verb = {"read": "reads", "write": "writes", "fetch": "fetches"}[touch.kind]
        space, address = touch.cell
        cell = "" if touch.cell == (touch.space, touch.address) else f" at {space}[{address:#x}]"
        lines.append(f"{verb} {touch.space}[{touch.address:#x}]{cell}: {touch.value:#x}")
    if isinstance(replay.event, Completed):
        lines += [f"{change.place}: {change.before:#x} -> {change.after:#x}" for change in replay.changes()]
        lines.append("completes")
    elif isinstance(replay.event, Trapped):
        kind = "memory trap" if replay.event.memory else "trap"
        args = ", ".join(f"{value:#x}" for value in replay.event.args)
        kept = [f"{change.place}: {change.before:#x} -> {change.after:#x}" for change in replay.changes()]
        lines += kept
        undone = "all else undone" if kept else "everything undone"
        lines.append(f"{kind} {replay.event.trap}{f' ({args})' if args else ''}, {undone}")
    else:
        lines.append(replay.ending())
    return tuple(lines)
