"""A bare machine: interrupts, fetch, one instruction, and the delivery of what it traps.

A trap undoes the instruction; then the program counter is the instruction's own address, or for a trap that resumes
`next` that address plus the instruction's length, and the delivery procedure runs.  A trap in a delivery undoes that
delivery and is delivered in its place; after `Policy.nested` of them the machine is in a double fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from analyzer import ir
from analyzer.errors import UsageError
from emulator.decode import completed, decoder, length
from emulator.evaluate import Locals, value_of
from emulator.reference.code import code
from emulator.reference.events import (
    Completed,
    DoubleFault,
    Event,
    Halted,
    Policy,
    Stuck,
    Trapped,
    Undefined,
    Unpredicted,
)
from emulator.reference.run import (
    Leave,
    LeaveDone,
    LeaveStuck,
    LeaveTrap,
    LeaveUndefined,
    LeaveUnpredictable,
    Run,
    bind,
)
from emulator.state import State


class Machine:
    """A bare machine: a state that steps."""

    run_type: ClassVar[type[Run]] = Run
    """What makes a step; one that knows devices may stand in its place."""

    def __init__(self, isa: ir.Isa, state: State | None = None, policy: Policy | None = None) -> None:
        self.isa = isa
        self.state = State(isa) if state is None else state
        self.policy = policy or Policy()
        self._code = code(isa)
        self._decoder = decoder(isa)
        undefined = self.policy.undefined
        if undefined is None:
            undefined = next(
                (t.name for t in isa.traps.values() if t.kind is ir.TrapClass.ILLEGAL and not t.params), None
            )
        self._undefined = undefined

    def step(self) -> Event:
        """Takes an interrupt, or fetches, decodes and executes one instruction."""
        run = self.run_type(self._code, self.state, self.policy)
        for trap, cond, args in self._code.interrupts:
            if cond(run, {}):
                taken = LeaveTrap(trap, tuple(a(run, {}) for a in args), None)
                return self._trapped(run, taken, self.state.pc(), 0, None)
        for element in self._code.processor:
            if self.state.elements[element]:
                return Halted(element, shutdown=element in self._code.shutdowns)
        return self._run(run, None, {}, 0)

    def run(self, steps: int) -> tuple[int, Event]:
        """Steps until something else happens than a completed instruction or a delivered trap, at most `steps` times.
        The number of steps, and the last event.

        Raises:
            ValueError: `steps` is not positive.
        """
        if steps < 1:
            raise ValueError("at least one step")
        taken, event = 1, self.step()
        while taken < steps and (isinstance(event, Completed) or (isinstance(event, Trapped) and event.delivered)):
            taken, event = taken + 1, self.step()
        return taken, event

    def execute(self, instruction: ir.Instruction, operands: Mapping[str, int], length_: int | None = None) -> Event:
        """Executes one instruction as if it stood at the program counter, `length_` units long (None: as encoded)."""
        given = completed(self.isa, instruction, operands)
        if length_ is None:
            length_ = length(self.isa, instruction, given)
        return self._run(self.run_type(self._code, self.state, self.policy), instruction, given, length_)

    def load(self, space: str, address: int, bits: int, kind: ir.AccessKind = "read") -> int:
        """What an access to any space reads in the present state; the state does not change.

        Raises:
            UsageError: it traps, or there is no such space.
        """
        run = self._access_run(space)
        try:
            return run.load(space, address, bits, kind, (), False)
        except Leave as leave:
            raise UsageError(f"reading {space}[{address:#x}] traps: {leave}") from None
        finally:
            run.undo()

    def store(self, space: str, address: int, bits: int, value: int) -> None:
        """Makes an access to any space.

        Raises:
            UsageError: it traps, or there is no such space.
        """
        run = self._access_run(space)
        try:
            run.store(space, address, bits, value, (), False)
        except Leave as leave:
            run.undo()
            raise UsageError(f"writing {space}[{address:#x}] traps: {leave}") from None

    def _access_run(self, space: str) -> Run:
        if space not in self.isa.spaces:
            raise UsageError(f"there is no space {space}", f"there are {', '.join(self.isa.spaces)}")
        return self.run_type(self._code, self.state, self.policy)

    def _fetcher(self, run: Run) -> Callable[[int], int]:
        """Reads parcels at the program counter, up to the limit of the Isa."""
        fetch, start = self.isa.fetch, self.state.pc()
        per = fetch.parcel // self.isa.unit
        wrap = (1 << self.isa.spaces[fetch.space].address_width) - 1
        args = tuple(None if a is None else a(run, {}) for a in self._code.fetch_args)

        def parcel(i: int) -> int:
            if fetch.limit is not None and i >= fetch.limit and fetch.beyond is not None:
                beyond = fetch.beyond
                raise LeaveTrap(beyond.trap, tuple(value_of(a, self.isa)(run, {}) for a in beyond.args), beyond.span)
            return run.load(fetch.space, start + i * per & wrap, fetch.parcel, "fetch", args, False)

        return parcel

    def _run(self, run: Run, instruction: ir.Instruction | None, operands: Mapping[str, int], length_: int) -> Event:
        """Runs one instruction (None: the one at the program counter) to its event."""
        here = run.here
        try:
            if instruction is None:
                decoded = self._decoder.decode(self._fetcher(run), self.state)
                if decoded is None:
                    fetched = sum(touch.kind == "fetch" for touch in run.accesses)
                    length_ = fetched * self.isa.fetch.parcel // self.isa.unit
                    raise LeaveUndefined
                instruction, operands, length_ = decoded.instruction, decoded.operands, decoded.length
            run.operands = operands
            locals_: Locals = {}
            for step in self._code.body(instruction):
                step(run, locals_)
        except LeaveDone:
            pass
        except LeaveTrap as trap:
            return self._trapped(run, trap, here, length_, instruction)
        except LeaveUndefined:
            if self._undefined is not None:
                return self._trapped(run, LeaveTrap(self._undefined, (), None), here, length_, None)
            run.undo()
            return Undefined(tuple(run.accesses))
        except LeaveUnpredictable as unpredictable:
            run.undo()
            if self.policy.unpredictable == "skip":
                self._go(run, here + length_)
            assert instruction is not None
            return Unpredicted(instruction, tuple(run.accesses), unpredictable.span)
        except (LeaveStuck, RecursionError) as stuck:
            run.undo()
            return Stuck(str(stuck), instruction, stuck)
        except BaseException:  # a device raised it, or it is an interrupt
            run.undo()
            raise
        assert instruction is not None
        return Completed(instruction, tuple(run.accesses))

    def _trapped(self, run: Run, trap: LeaveTrap, here: int, length_: int, instruction: ir.Instruction | None) -> Event:
        """Undoes, sets the program counter and delivers."""
        run.undo()
        raised: list[str] = []
        while True:
            kind = self.isa.traps[trap.trap]
            if not raised:
                self._go(run, here if kind.resume == "here" else here + length_)
                run.journal.clear()
            event = Trapped(
                trap.trap,
                trap.values,
                ir.TrapClass.MEMORY if trap.memory else kind.kind,
                delivered=True,
                instruction=instruction,
                memory=trap.memory,
                during=tuple(raised),
                accesses=tuple(run.accesses),
                span=trap.span,
            )
            if self.isa.deliver is None or not self.policy.deliver:
                return _undelivered(event)
            try:
                self._deliver(run, kind, trap.values)
            except LeaveDone:
                return _delivered(event, run)
            except LeaveTrap as nested:
                run.undo()
                raised.append(trap.trap)
                trap = nested
                if len(raised) > self.policy.nested:
                    return DoubleFault(tuple(raised), instruction)
            except (LeaveUnpredictable, LeaveUndefined):
                run.undo()
                return _undelivered(event)
            except (LeaveStuck, RecursionError) as stuck:
                run.undo()
                self._go(run, here)
                return Stuck(str(stuck), instruction, stuck)
            except BaseException:
                run.undo()
                self._go(run, here)
                raise
            else:
                return _delivered(event, run)

    def _deliver(self, run: Run, kind: ir.TrapKind, args: tuple[int, ...]) -> None:
        """Runs the delivery procedure with the trap's number as `t` and its attributes and parameters as `t.name`."""
        deliver = self.isa.deliver
        assert deliver is not None
        params = bind(kind.params, args)
        locals_: Locals = dict(self._code.no_attributes)
        locals_ |= {f"t.{name}": value for name, value in params.items()}
        locals_ |= {f"t.{name}": value(run, params) for name, value in self._code.attributes[kind.name]}
        locals_["t"] = self._code.numbers[kind.name]
        run.call(self._code.procedure(deliver), locals_)

    def _go(self, run: Run, address: int) -> None:
        pc = self.isa.fetch.pc
        run.set_element(pc, address & (1 << self.isa.elements[pc].width) - 1)


def _delivered(event: Trapped, run: Run) -> Trapped:
    return replace(event, delivery=tuple(run.accesses[len(event.accesses) :]))


def _undelivered(event: Trapped) -> Trapped:
    return replace(event, delivered=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one instruction did: the state after it (after the delivery too, if it trapped), and the event."""

    after: State
    event: Event


def execute(
    isa: ir.Isa,
    instruction: ir.Instruction,
    operands: Mapping[str, int],
    state: State,
    length: int | None = None,
    policy: Policy | None = None,
) -> Outcome:
    """Executes one instruction without fetching it, as if it stood at the program counter of `state`.

    `length` is in units (None: as it would be encoded).  `state` does not change.
    """
    machine = Machine(isa, state.copy(), policy)
    return Outcome(machine.state, machine.execute(instruction, operands, length))
