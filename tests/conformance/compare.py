"""What a spec expects of a vector, as far as the architecture says it, and the judgment of an oracle's outcome.

Where the spec says UNKNOWN, or asks an unspecified function whose answer the adapter does not know, the reference runs
again with other values. A bit that is not the same in all runs is open and takes the oracle's value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from conformance.adapter import Adapter, Delivered
from conformance.deviation import Case, Deviation, Excuse
from conformance.known import deviations
from conformance.vector import Outcome, Vector, changed_bytes, differences
from emulator.evaluate import hashed
from emulator.reference.events import Completed, DoubleFault, Event, Policy, Stuck, Trapped, Undefined
from emulator.reference.machine import Machine
from emulator.state import State

VARIATIONS = 6
"""How many runs settle what is open: all zeros, all ones, and pseudo-random values."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the spec expects.

    Attributes:
        event: of the first run.
        outcome: of the first run.
        mode: in which the instruction is executed.
        open_bits: register to the bits that are open.
        open_bytes: physical address to the bits that are open.
        open_reason: why nothing at all can be compared, or None.
    """

    event: Event
    outcome: Outcome
    mode: str
    open_bits: Mapping[str, int]
    open_bytes: Mapping[int, int]
    open_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgment of one vector: `lines` say what is different, `deviation` what excuses it, `open_reason` why there
    is nothing to compare."""

    kind: Literal["agrees", "open", "known", "differs"]
    lines: tuple[str, ...] = ()
    deviation: Deviation | None = None
    open_reason: str | None = None

    @property
    def compared(self) -> bool:
        """Whether the outcomes agree, be it but for single bits that a deviation excuses."""
        return self.kind == "agrees" or (self.deviation is not None and self.deviation.partial)


class _Variation:
    """Settles in one way what is open, and remembers whether anything was."""

    def __init__(self, adapter: Adapter, number: int) -> None:
        self._adapter = adapter
        self._number = number
        self._uses = 0
        self.used = False

    def unknown(self, site: int, width: int) -> int:
        self.used = True
        self._uses += 1
        return self._value(f"{site} {self._uses}", (), width)

    def arbitrary(self, name: str, args: tuple[int, ...], width: int) -> int:
        chosen = self._adapter.arbitrary(name, args, width)
        if chosen is not None:
            return chosen
        self.used = True
        return self._value(name, args, width)

    def _value(self, name: str, args: tuple[int, ...], width: int) -> int:
        ones = (1 << max(width, 1)) - 1
        if self._number < 2:
            return self._number * ones
        return hashed(f"{self._number} {name}", args, max(width, 1))


def expect(adapter: Adapter, vector: Vector) -> Expectation:
    """What the spec expects of a vector.

    Raises:
        RuntimeError: the reference exceeded its limits, which is a bug.
    """
    before = adapter.before(vector)
    mode = before.mode()
    image = vector.image(adapter.code_address(vector.registers))
    event, outcome, reason, after, used = _run(adapter, vector, before, image, 0)
    if reason is not None:
        return Expectation(event, outcome, mode, {}, {}, reason)
    bits: dict[str, int] = {}
    byte_bits: dict[int, int] = {}
    for number in range(1, VARIATIONS if used else 1):
        _, other, reason, other_after, _ = _run(adapter, vector, before, image, number)
        if reason is not None:
            return Expectation(event, outcome, mode, {}, {}, reason)
        if (other.trap, other.error_code) != (outcome.trap, outcome.error_code):
            return Expectation(event, outcome, mode, {}, {}, "whether it traps is open")
        for name, value in outcome.registers.items():
            if value != other.registers.get(name, value):
                bits[name] = bits.get(name, 0) | value ^ other.registers[name]
        for address, data in after.items():
            for at, (left, right) in enumerate(zip(data, other_after[address], strict=True), address):
                if left != right:
                    byte_bits[at] = byte_bits.get(at, 0) | left ^ right
    return Expectation(event, outcome, mode, bits, byte_bits)


def _run(
    adapter: Adapter, vector: Vector, before: State, image: Mapping[int, bytes], number: int
) -> tuple[Event, Outcome, str | None, dict[int, bytes], bool]:
    """One run: the event, the outcome, why it cannot be compared, the windows afterwards, and whether any value was
    open."""
    variation = _Variation(adapter, number)
    state = before.copy()
    machine = Machine(adapter.isa, state, Policy(variation.unknown, variation.arbitrary))
    event = machine.step()
    while adapter.again(event, before, state):
        event = machine.step()
    if isinstance(event, Stuck):
        raise RuntimeError(f"{vector.name}: {event.reason}")
    cells = state.memories[adapter.memory]
    per = adapter.unit_bytes
    after = {
        address: adapter.packed(cells[at // per] for at in range(address, address + len(data), per))
        for address, data in image.items()
    }
    trap = adapter.trap(before, event) if isinstance(event, Trapped) else None
    outcome = Outcome(
        adapter.registers(state),
        changed_bytes(image, after),
        None if trap is None else trap.trap,
        None if trap is None else trap.error_code,
    )
    return event, outcome, _open_reason(adapter, event, before, state, vector), after, variation.used


def _open_reason(adapter: Adapter, event: Event, before: State, after: State, vector: Vector) -> str | None:
    match event:
        case Trapped(during=(_, *_)):
            return "a trap in the delivery of a trap"
        case Completed() | Trapped(delivered=True):
            return adapter.undescribed(before, after, vector)
        case DoubleFault():
            return "a trap in the delivery of a trap"
        case Undefined():
            return "an encoding without an instruction"
        case _:
            return f"{type(event).__name__.lower()}"


def judge(adapter: Adapter, oracle: str, vector: Vector, expected: Expectation, observed: Outcome) -> Verdict:
    """Whether an oracle did what the spec expects, and if not, whether a known deviation excuses it."""
    if expected.open_reason is not None:
        return Verdict("open", open_reason=expected.open_reason)
    delivers = next(o.delivers for o in adapter.oracles() if o.name == oracle)
    settled = _settled(adapter, vector, expected, observed)
    lines = tuple(differences(expected.outcome, settled, delivers))
    if not lines:
        return Verdict("agrees")
    at = adapter.code_address(vector.registers)
    case = Case(adapter.machine, vector, expected.event, expected.outcome, settled, lines, at, adapter.before)
    known = [deviation for deviation in deviations(oracle, adapter.machine) if deviation.applies(case)]
    partial = [deviation for deviation in known if deviation.partial]
    if partial:
        excused = _settled(adapter, vector, expected, observed, [deviation.excuses(case) for deviation in partial])
        if not differences(expected.outcome, excused, delivers):
            return Verdict("known", lines, partial[0])
    whole = next((deviation for deviation in known if not deviation.partial), None)
    return Verdict("differs" if whole is None else "known", lines, whole)


def _settled(
    adapter: Adapter, vector: Vector, expected: Expectation, observed: Outcome, excuses: Sequence[Excuse] = ()
) -> Outcome:
    """The observed outcome with what the spec expects in all bits that are open, that it does not describe, or that
    are excused; registers that the spec does not have are left out."""
    registers: dict[str, int] = {}
    unmodeled = adapter.unmodeled(vector, expected.event)
    for name, value in observed.registers.items():
        wanted = expected.outcome.registers.get(name)
        if wanted is None:
            continue
        ignored = expected.open_bits.get(name, 0) | unmodeled.get(name, 0)
        for excuse in excuses:
            ignored |= excuse.registers.get(name, 0)
        if name in adapter.modeled:
            ignored |= ~adapter.modeled[name]
        registers[name] = value & ~ignored | wanted & ignored
    ignored_bytes = dict(expected.open_bytes)
    for excuse in excuses:
        for at, bits in excuse.memory.items():
            ignored_bytes[at] = ignored_bytes.get(at, 0) | bits
    memory = observed.memory
    if ignored_bytes and observed.failure is None and observed.registers:
        image = vector.image(adapter.code_address(vector.registers))
        memory = _settled_memory(image, expected.outcome, observed, ignored_bytes)
    error_code = observed.error_code
    if error_code is not None and expected.outcome.error_code is not None:
        for excuse in excuses:
            error_code = error_code & ~excuse.error_code | expected.outcome.error_code & excuse.error_code
    return Outcome(registers, memory, observed.trap, error_code, observed.failure)


def _settled_memory(
    image: Mapping[int, bytes], expected: Outcome, observed: Outcome, ignored: Mapping[int, int]
) -> dict[int, bytes]:
    """The memory changes of the observed outcome, with what the spec expects in the ignored bits of bytes."""
    sides: list[dict[int, bytearray]] = []
    for outcome in (expected, observed):
        side = {address: bytearray(data) for address, data in image.items()}
        for start, run in outcome.memory.items():
            window = _window(side, start)
            side[window][start - window : start - window + len(run)] = run
        sides.append(side)
    for at, bits in ignored.items():
        window = _window(image, at)
        wanted, seen = (side[window][at - window] for side in sides)
        sides[1][window][at - window] = seen & ~bits & 0xFF | wanted & bits
    return changed_bytes(image, {address: bytes(data) for address, data in sides[1].items()})


def _window(windows: Mapping[int, bytes | bytearray], address: int) -> int:
    """Where the window of an address begins."""
    return next(start for start, data in windows.items() if start <= address < start + len(data))


__all__ = ["Delivered", "Expectation", "Verdict", "expect", "judge"]
