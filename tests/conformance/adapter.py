"""What every adapter offers: a spec's machine seen through an oracle's register names.

An adapter knows facts about a machine (its register names, where its stack grows, what a descriptor looks like) because
it belongs to the tests. It makes scenes for random vectors, turns vectors into states of the spec and states into
outcomes, and says what of an oracle's registers the spec describes.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from analyzer import ir
from analyzer.syntax.load import load
from conformance.oracles.oracle import Oracle
from conformance.vector import Vector
from emulator.evaluate import Environment
from emulator.reference.code import code
from emulator.reference.events import Event, Trapped
from emulator.state import State, scrambled

EDGES = (0, 1, 2, 3, 7, 8, 9, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
"""Values at which some width, count or carry turns over; their negatives too."""


@dataclass(slots=True)
class Scene:
    """The state that a random vector starts in, and what its memory holds where the vector will look.

    Attributes:
        registers: the oracle's names.
        code: the physical address of the instruction.
        seed: where no region lies, the bytes of memory depend on it and the address, unless all are `fill`.
        translated: whether the program counter is not a physical address.
        regions: physical address to bytes, the topmost first.
        unit: the bytes that stand for a unit of memory, of whose first only `first` bits are used.
    """

    registers: dict[str, int]
    code: int
    seed: int
    translated: bool = False
    regions: list[tuple[int, bytes]] = field(default_factory=list)
    fill: int | None = None
    unit: int = 1
    first: int = 0xFF

    def put(self, address: int, data: bytes) -> None:
        """Lays bytes into memory, over what is there."""
        self.regions.insert(0, (address, data))

    def content(self) -> Callable[[int], int]:
        """From a physical address to its byte."""
        noise, fill = scrambled(self.seed, 8), self.fill

        def byte(address: int) -> int:
            for start, data in self.regions:
                if start <= address < start + len(data):
                    return data[address - start]
            value = noise(address) if fill is None else fill
            return value if address % self.unit else value & self.first

        return byte


@dataclass(frozen=True, slots=True)
class Delivered:
    """A trap by number, as the oracle would name it."""

    trap: int
    error_code: int | None = None


class Adapter(ABC):
    """One machine: its spec, its oracle, and the way between them.

    Attributes:
        machine: the name of the spec and of the machine of the oracle.
        modeled: the bits of an oracle's register that the spec describes, where it does not describe all.
        undefined: how many of a hundred vectors are encodings that no instruction has.
        memory: the name of the spec's physical memory.
        unit_bytes: how many bytes of a vector's memory stand for a unit of the spec's.
        oracle_stops_at: the code after which the oracle takes an instruction for done, if it needs one.
    """

    machine: str
    memory: str
    oracle_stops_at: bytes = b""
    unit_bytes: int = 1
    modeled: Mapping[str, int] = {}
    undefined: int = 0

    def __init__(self) -> None:
        self.isa: ir.Isa = load(self.machine)

    @abstractmethod
    def oracles(self) -> tuple[Oracle, ...]:
        """The oracles, the first of which is recorded."""

    @abstractmethod
    def scene(self, rng: random.Random, pointers: bool, instruction: ir.Instruction, mode: str | None) -> Scene:
        """A random state, in a mode or any; with `pointers`, registers mostly hold addresses of memory."""

    @abstractmethod
    def state(self, registers: Mapping[str, int]) -> State:
        """The state of the spec in which the oracle's registers have these values; memory is zero."""

    @abstractmethod
    def registers(self, state: State) -> dict[str, int]:
        """The oracle's registers in a state."""

    @abstractmethod
    def delivered(self, attributes: Mapping[str, int], event: Trapped) -> Delivered:
        """The trap's number, from its attributes."""

    @abstractmethod
    def code_address(self, registers: Mapping[str, int]) -> int:
        """Where the code of a vector lies if nothing is translated."""

    def operand(self, rng: random.Random, instruction: ir.Instruction, name: str) -> int | None:
        """A value with which an operand of this name is more interesting than with a random one, if there is one."""
        return None

    def addressable(self, address: int) -> bool:
        """Whether the oracle has memory at a physical address."""
        return True

    def goes_on(self, event: Event) -> bool:
        """Whether the oracle may look at the instruction that follows in the vector's memory."""
        return True

    def landing(self, event: Event, after: State) -> int | None:
        """The physical address where `oracle_stops_at` has to be, or None if it need not be anywhere."""
        return None

    def accepts(self, scene: Scene, event: Event, after: State, touched: Set[int]) -> bool:
        """Whether the oracle can be shown this, given the physical addresses that the instruction touches."""
        return True

    def unmodeled(self, vector: Vector, event: Event) -> Mapping[str, int]:
        """The bits of the oracle's registers that the spec does not describe in this case, beside those that it never
        does."""
        return {}

    def again(self, event: Event, before: State, after: State) -> bool:
        """Whether the oracle's one instruction goes on where the spec's step ended."""
        return False

    def always(self, scene: Scene) -> Iterable[int]:
        """Physical addresses that belong to the windows even if the spec does not touch them."""
        return ()

    def undescribed(self, before: State, after: State, vector: Vector) -> str | None:
        """Why the spec does not describe what happens here, or None."""
        return None

    def arbitrary(self, name: str, args: Sequence[int], width: int) -> int | None:
        """The oracle's choice for an unspecified function; None if it is not known."""
        return None

    def before(self, vector: Vector) -> State:
        """The state of the spec that the vector starts in."""
        state = self.state({**self.oracles()[0].base, **vector.registers})
        cells = state.memories[self.memory]
        for address, data in vector.image(self.code_address(vector.registers)).items():
            for at in range(0, len(data), self.unit_bytes):
                unit = int.from_bytes(data[at : at + self.unit_bytes], "big")
                if unit:
                    cells[(address + at) // self.unit_bytes] = unit
        return state

    def packed(self, units: Iterable[int]) -> bytes:
        """The bytes of a vector's memory that stand for units of the spec's."""
        return (
            bytes(units) if self.unit_bytes == 1 else b"".join(unit.to_bytes(self.unit_bytes, "big") for unit in units)
        )

    def trap(self, before: State, event: Trapped) -> Delivered | None:
        """What the oracle reports of a trap that was taken from the state `before`; None if it does not know it."""
        kind = self.isa.traps[event.trap]
        environment = Environment(before.elements, before.files, before.choices, {})
        params = {name: value for (name, _), value in zip(kind.params, event.args, strict=True)}
        values = {name: int(value(environment, params)) for name, value in code(self.isa).attributes[kind.name]}
        return self.delivered(values, event)


def number(rng: random.Random, width: int) -> int:
    """A value of `width` bits, often at an edge."""
    mask = (1 << width) - 1
    match rng.randrange(8):
        case 0 | 1 | 2:
            return rng.getrandbits(width)
        case 3:
            return rng.choice(EDGES) & mask if rng.random() < 0.7 else 0
        case 4:
            return -rng.choice(EDGES) & mask
        case 5:
            return (1 << width - 1) - rng.randrange(2)
        case 6:
            return rng.getrandbits(rng.randrange(1, width + 1))
        case _:
            return rng.getrandbits(8) * int.from_bytes(b"\x01" * (width // 8 or 1)) & mask
