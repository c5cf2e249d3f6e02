"""The PDP-10, and the oracle of what the KA10 shares with the KS10, SIMH.

Memory is not relocated: in user mode all of it is in reach, from location 0 on.  Left out is what the two machines do
in their own ways: in-out that is permitted, and monitor calls but for the fact that they trap.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType

from analyzer import ir
from conformance.adapter import Adapter, Delivered, Scene, number
from conformance.oracles.oracle import Oracle
from conformance.oracles.simh import ACCUMULATORS, MONITOR_CALL, WORD_BYTES, Simh
from emulator.decode import encode
from emulator.reference.events import Completed, Event, Touch, Trapped
from emulator.state import State

FLAGS = {"AROV": 17, "CRY0": 16, "CRY1": 15, "FOV": 14, "BIS": 13, "USER": 12, "UIO": 11, "FXU": 6, "DCK": 5}
"""The bits of the left half of a PC word, counted from the right."""
MODES = {"exec": 0, "user_io": 1 << 12 | 1 << 11, "user": 1 << 12}
CODE, DATA, REGION = 0o10000, 0o20000, 0o10000
WORD, HALF = (1 << 36) - 1, (1 << 18) - 1
CALLED, JRST = (0o41, 0o61), 0o254
EVERYWHERE = 0xFF
IN_OUT = ("blki", "blko", "datai", "datao", "cono", "coni", "consz", "conso")
NOT_SHARED = {*range(0o40), *range(0o100, 0o200), 0o247, 0o254, 0o256, 0o257, *range(0o700, 0o1000)}
"""The codes that XCT does not lead to: another XCT, what the machines do not share, and what may execute that."""
NOT_EXECUTED = ("jrst", "luuo", "muuo", "unassigned", "blt", "nop247", "nop257", *IN_OUT)
"""What XCT does not lead to."""


class Ka10(Adapter):
    """`ka10`."""

    machine = "ka10"
    memory = "core"
    unit_bytes = WORD_BYTES
    modeled: Mapping[str, int] = MappingProxyType({"flags": sum(1 << bit for bit in FLAGS.values())})

    def __init__(self) -> None:
        super().__init__()
        self._oracle = Simh()

    def oracles(self) -> tuple[Oracle, ...]:
        return (self._oracle,)

    def scene(self, rng: random.Random, pointers: bool, instruction: ir.Instruction, mode: str | None) -> Scene:
        registers = {name: _word(rng, pointers) for name in ACCUMULATORS}
        if rng.random() < 0.1:
            registers = dict.fromkeys(registers, registers["ac0"])
        flags = sum(rng.randrange(2) << bit for name, bit in FLAGS.items() if name not in ("USER", "UIO"))
        if rng.random() < 0.7:
            flags &= ~(1 << FLAGS["BIS"])
        registers["flags"] = flags | MODES[rng.choice(tuple(MODES)) if mode is None else mode]
        registers["pc"] = CODE + rng.randrange(REGION - 2)
        scene = Scene(registers, registers["pc"] * WORD_BYTES, rng.getrandbits(64), unit=WORD_BYTES, first=0xF)
        if instruction.family == "blt":
            for name in ACCUMULATORS:
                registers[name] = (DATA + rng.randrange(0x100) << 18) | DATA + rng.randrange(0x100)
        for at in CALLED:
            scene.put(at * WORD_BYTES, self.packed([JRST << 27 | CODE + rng.randrange(REGION)]))
        words = [_word(rng, True) for _ in range(64)] if rng.random() < 0.5 else [_byte_pointer(rng) for _ in range(64)]
        if instruction.family == "xct":
            pool = [i for i in self.isa.instructions if i.family not in NOT_EXECUTED]
            words = [self._encoded(rng, rng.choice(pool)) for _ in range(64)]
        if instruction.family == "xct" or rng.random() < 0.8:
            scene.put(DATA * WORD_BYTES, self.packed(words * (REGION // len(words))))
        return scene

    def _encoded(self, rng: random.Random, instruction: ir.Instruction) -> int:
        operands = {o.name: rng.getrandbits(o.width) for o in instruction.operands}
        operands |= {name: self.operand(rng, instruction, name) or 0 for name in operands if name in ("y", "ea")}
        return encode(self.isa, instruction, operands)[0]

    def operand(self, rng: random.Random, instruction: ir.Instruction, name: str) -> int | None:
        """Effective addresses mostly lead to data, or to an accumulator."""
        address = DATA + rng.randrange(REGION) if rng.random() < 0.8 else rng.randrange(16)
        if name == "y":
            return address
        if name == "ea":
            indirect, index = rng.random() < 0.15, rng.randrange(16) if rng.random() < 0.2 else 0
            if instruction.family == "blt":
                return DATA + rng.randrange(0x110)
            if index and rng.random() < 0.8:
                address = rng.randrange(-64, 64) & HALF
            return indirect << 22 | index << 18 | address
        return None

    def state(self, registers: Mapping[str, int]) -> State:
        state = State(self.isa)
        for n, name in enumerate(ACCUMULATORS):
            state.write("ac", registers[name], n)
        for name, bit in FLAGS.items():
            state.write(name, registers["flags"] >> bit & 1)
        state.write("pc", registers["pc"])
        for name in ("Pl", "Ph"):
            state.write(name, EVERYWHERE)
        for name in ("Rl", "Rh", "WP", "apr", "pi", "PIR", "device"):
            state.write(name, 0)
        state.write("halted", registers["halted"])
        return state

    def registers(self, state: State) -> dict[str, int]:
        values = {name: state.read("ac", n) for n, name in enumerate(ACCUMULATORS)}
        values["flags"] = sum(state.read(name) << bit for name, bit in FLAGS.items())
        return values | {"pc": state.read("pc"), "halted": state.read("halted")}

    def delivered(self, attributes: Mapping[str, int], event: Trapped) -> Delivered:
        return Delivered(MONITOR_CALL)

    def trap(self, before: State, event: Trapped) -> Delivered | None:
        """The processor's traps only ask for an interrupt, which is off."""
        return super().trap(before, event) if event.trap in ("uuo", "illegal", "unassigned") else None

    def code_address(self, registers: Mapping[str, int]) -> int:
        return registers["pc"] * WORD_BYTES

    def addressable(self, address: int) -> bool:
        return address >= 16 * WORD_BYTES

    def always(self, scene: Scene) -> Iterable[int]:
        for at in CALLED:
            yield from range((at - 1) * WORD_BYTES, (at + 1) * WORD_BYTES)

    def again(self, event: Event, before: State, after: State) -> bool:
        """The spec moves one word of BLT at a time."""
        return isinstance(event, Completed) and event.instruction.family == "blt" and before.pc() == after.pc()

    def accepts(self, scene: Scene, event: Event, after: State, touched: Set[int]) -> bool:
        """Not in-out that is permitted, and not a chain of addresses that the spec begins again."""
        if not isinstance(event, (Completed, Trapped)) or event.instruction is None:
            return False
        family = event.instruction.family
        if family in ("xct", "blt") and not _is_plain(scene, family, event.accesses):
            return False
        again = after.pc() == scene.registers["pc"] and family != "blt"
        return isinstance(event, Trapped) or (family not in IN_OUT and not again)


def _is_plain(scene: Scene, family: str, accesses: Sequence[Touch]) -> bool:
    """Of XCT and BLT: whether the address is direct, and what is executed is shared."""
    word = next(touch.value for touch in accesses if touch.kind == "fetch")
    index = scene.registers[f"ac{word >> 18 & 0xF}"] if word >> 18 & 0xF else 0
    at = (word + index) & HALF
    read = [touch.value for touch in accesses if touch.kind == "read"]
    target = scene.registers[f"ac{at}"] if at < 16 else read[0] if read else 0
    return not word >> 22 & 1 and (family == "blt" or target >> 27 not in NOT_SHARED)


def _word(rng: random.Random, pointers: bool) -> int:
    """A number; with `pointers`, one whose right half is the address of data."""
    if not pointers or rng.random() < 0.1:
        return number(rng, 36) & WORD
    left = rng.choice((0, rng.getrandbits(18), HALF - rng.randrange(64), rng.getrandbits(4)))
    return left << 18 | DATA + rng.randrange(REGION)


def _byte_pointer(rng: random.Random) -> int:
    """A pointer to a byte of data, rarely indexed or indirect."""
    size = rng.choice((6, 7, 8, 9, 18, 36, rng.randrange(64)))
    position = rng.randrange(37 - size) if size <= 36 and rng.random() < 0.9 else rng.randrange(64)
    indirect, index = rng.random() < 0.1, rng.randrange(16) if rng.random() < 0.1 else 0
    return position << 30 | size << 24 | indirect << 22 | index << 18 | DATA + rng.randrange(REGION)
