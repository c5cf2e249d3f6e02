"""The examples of a spec, run on the reference executor: a spec's unit tests."""

from __future__ import annotations

from collections.abc import Callable

from analyzer import ir
from analyzer.errors import AssemblyError, Diagnostic, UsageError
from emulator.assemble import assemble_line
from emulator.reference import Completed, DoubleFault, Event, Halted, Machine, Stuck, Trapped, Undefined, Unpredicted
from emulator.state import State


def run_examples(isa: ir.Isa) -> tuple[Diagnostic, ...]:
    """A PG401 for every example of the Isa that does not come out as stated.  One that stands beside a whole table is
    run once."""
    examples = {example: instruction for instruction in isa.instructions for example in instruction.examples}
    return tuple(f for example, instruction in examples.items() for f in run_example(isa, instruction, example))


def run_example(isa: ir.Isa, instruction: ir.Instruction, example: ir.Example) -> tuple[Diagnostic, ...]:
    """The failures (PG401) of one example, which stands beside `instruction` and may show another row of its table.

    The state is that at reset with the facts before.  An example `to trap` states the trap that is raised; one `to`
    facts states them after the instruction, and after the delivery if it traps.
    """

    def failure(message: str, hint: str | None = None) -> tuple[Diagnostic, ...]:
        return (Diagnostic("PG401", f"example `{example.asm}`: {message}", example.span or instruction.span, hint),)

    machine = Machine(isa, State(isa))
    try:
        for fact in example.before:
            _set(machine, fact)
        assembled = assemble_line(isa, example.asm, machine.state.pc(), state=machine.state)
    except UsageError as error:
        return failure(str(error), error.hint)
    except AssemblyError as error:
        return failure(error.diagnostic.message, error.diagnostic.hint)
    event = machine.execute(assembled.instruction, assembled.operands, len(assembled.units))
    if example.trap is not None:
        if isinstance(event, Trapped) and (event.during or (event.trap,))[0] == example.trap:
            return ()
        return failure(f"should trap `{example.trap}`, but {told(event)}")
    failures: list[Diagnostic] = []
    for fact in example.after:
        try:
            value = _get(machine, fact)
        except UsageError as error:
            return failure(str(error), error.hint)
        if value != fact.value:
            place = fact.place if fact.index is None else f"{fact.place}[{fact.index}]"
            surprise = "" if isinstance(event, Completed) else f"; {told(event)}"
            failures += failure(f"{place} is {value:#x}, not {fact.value:#x}{surprise}")
    return tuple(failures)


def fails_on(isa: ir.Isa) -> Callable[[ir.Example], bool]:
    """Whether an example, of this Isa or of one that it extends, comes out otherwise on it."""
    return lambda example: bool(run_example(isa, isa.instructions[0], example))


def told(event: Event) -> str:
    """An event in words that continue a sentence about an instruction."""
    match event:
        case Completed():
            return "it completed"
        case Trapped(delivered=delivered):
            return f"it trapped `{event.trap}`" + ("" if delivered else ", which is not delivered")
        case Undefined():
            return "its encoding is undefined"
        case Unpredicted():
            return "it is unpredictable"
        case Halted():
            return f"the processor is halted ({event.element})"
        case DoubleFault():
            return f"its delivery trapped again and again ({', '.join(event.traps)})"
        case Stuck():
            return f"the executor gave up: {event.reason}"


def _is_seen(isa: ir.Isa, fact: ir.Fact) -> bool:
    """Whether a fact is about a space that only accesses reach: a map or a bus."""
    return fact.index is not None and isinstance(isa.spaces.get(fact.place), (ir.Map, ir.Bus))


def _set(machine: Machine, fact: ir.Fact) -> None:
    if _is_seen(machine.isa, fact):
        bits = fact.bits or machine.isa.spaces[fact.place].unit
        machine.store(fact.place, fact.index or 0, bits, fact.value)
    else:
        machine.state.set(fact)


def _get(machine: Machine, fact: ir.Fact) -> int:
    if _is_seen(machine.isa, fact):
        bits = fact.bits or machine.isa.spaces[fact.place].unit
        return machine.load(fact.place, fact.index or 0, bits)
    return machine.state.read(fact.place, fact.index, fact.bits)
