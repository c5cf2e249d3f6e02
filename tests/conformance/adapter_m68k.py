"""The MC68000 and MC68010 and their oracle, Musashi.

Vector v of the exception table leads to HANDLERS + 16 v. The stacks hold what RTE, RTR and RTS would find there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from analyzer import ir
from conformance.adapter import Adapter, Delivered, Scene, number
from conformance.oracles.musashi import Musashi
from conformance.oracles.oracle import Oracle
from conformance.vector import Vector
from emulator.reference.events import Trapped
from emulator.state import State

HANDLERS = 0x8000
CODE, DATA, USER_STACK, SYSTEM_STACK = 0x10000, 0x20000, 0x40000, 0x50000
REGION = 0x8000
SUPERVISOR = 0x2000
SR_BITS = 0xA71F
ADDRESS = 0xFF_FFFF
VECTORS = b"".join((HANDLERS + 16 * vector).to_bytes(4, "big") for vector in range(256))


class M68k(Adapter):
    """`m68000` or `m68010`."""

    memory = "bus"
    undefined = 6

    def __init__(self, machine: str) -> None:
        self.machine = machine
        super().__init__()
        self._oracle = Musashi(machine)

    def oracles(self) -> tuple[Oracle, ...]:
        return (self._oracle,)

    def scene(self, rng: random.Random, pointers: bool, instruction: ir.Instruction, mode: str | None) -> Scene:
        registers = {f"d{n}": number(rng, 32) for n in range(8)}
        if rng.random() < 0.1:
            registers = dict.fromkeys(registers, registers["d0"])
        for n in range(7):
            registers[f"a{n}"] = _address(rng, DATA) if pointers and rng.random() < 0.9 else number(rng, 32)
        registers["usp"], registers["ssp"] = _address(rng, USER_STACK, 2), _address(rng, SYSTEM_STACK, 2)
        registers["sr"] = rng.getrandbits(16) & (SR_BITS if rng.random() < 0.1 else SR_BITS & 0x7FFF)
        supervisor = rng.random() < 0.65 if mode is None else mode == "super"
        registers["sr"] = registers["sr"] & ~SUPERVISOR | supervisor * SUPERVISOR
        registers["pc"] = CODE + 2 * rng.randrange(REGION // 2)
        scene = Scene(registers, registers["pc"], rng.getrandbits(64))
        table = 0
        if self.machine == "m68010":
            registers["vbr"] = table = rng.choice((0, 0, 0x4000, 0x60000, 0x61234, 0x0100_0400))
            registers["sfc"], registers["dfc"] = rng.randrange(8), rng.randrange(8)
        scene.put(table & ADDRESS, VECTORS)
        for stack in (registers["usp"], registers["ssp"]):
            scene.put(stack & ADDRESS, self._frame(rng))
        return scene

    def _frame(self, rng: random.Random) -> bytes:
        """What a return instruction may find: an address, or a status register, an address and a format word."""
        target = (CODE + 2 * rng.randrange(REGION)).to_bytes(4, "big")
        if rng.random() < 0.4:
            return target
        status = rng.getrandbits(16) & (0xFFFF if rng.random() < 0.5 else 0x7FFF)
        shape = rng.choice((0, 0, 0, 0, 8, rng.randrange(16))) << 12 | rng.getrandbits(12)
        return status.to_bytes(2, "big") + target + shape.to_bytes(2, "big")

    def state(self, registers: Mapping[str, int]) -> State:
        state = State(self.isa)
        for n in range(8):
            state.write("d", registers[f"d{n}"], n)
        for n in range(7):
            state.write("ra", registers[f"a{n}"], n)
        supervisor = bool(registers["sr"] & SUPERVISOR)
        state.write("sp", registers["ssp" if supervisor else "usp"])
        state.write("osp", registers["usp" if supervisor else "ssp"])
        for name in ("sr", "pc", *(("vbr", "sfc", "dfc") if self.machine == "m68010" else ())):
            state.write(name, registers[name])
        return state

    def registers(self, state: State) -> dict[str, int]:
        values = {f"d{n}": state.read("d", n) for n in range(8)} | {f"a{n}": state.read("ra", n) for n in range(7)}
        own, other = ("ssp", "usp") if state.read("sr.S") else ("usp", "ssp")
        values |= {own: state.read("sp"), other: state.read("osp"), "sr": state.read("sr"), "pc": state.read("pc")}
        if self.machine == "m68010":
            values |= {name: state.read(name) for name in ("vbr", "sfc", "dfc")}
        return values

    def delivered(self, attributes: Mapping[str, int], event: Trapped) -> Delivered:
        return Delivered(attributes["vector"])

    def code_address(self, registers: Mapping[str, int]) -> int:
        return registers["pc"] & ADDRESS


def operation_word(word: int) -> Vector:
    """The word as an instruction of supervisor mode, with extension words that address data."""
    registers = {f"d{n}": 0x55 + n for n in range(8)} | {f"a{n}": DATA + 0x100 * n for n in range(7)}
    registers |= {"pc": CODE, "sr": SUPERVISOR, "usp": USER_STACK, "ssp": SYSTEM_STACK}
    code = bytes.fromhex(f"{word:04x} 2010 0004 0010 0004")
    near = {DATA + 0x100 * n - 0x40: bytes(0x80) for n in range(7)} | {SYSTEM_STACK - 0x40: bytes(0x80)}
    return Vector(f"{word:04x}", code, registers, {0: VECTORS, **near})


def _address(rng: random.Random, region: int, align: int = 0) -> int:
    """An address in a region, mostly even, sometimes with bits above the bus's 24."""
    step = align or (1 if rng.random() < 0.2 else 2)
    address = region + step * rng.randrange(REGION // step)
    return address | rng.getrandbits(8) << 24 if rng.random() < 0.1 else address
