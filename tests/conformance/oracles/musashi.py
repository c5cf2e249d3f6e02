"""Musashi, through the PyPI package machine68k: the machines m68000 and m68010.

Traps are delivered through the vector table in the guest's memory, so the vector that was taken is read off the bus
trace: the last access of a trapping instruction is the long read of the table entry, after the writes of the frame
(M68000PRM appendix B, exception processing). All 16 MiB of the 24-bit address space is RAM, and MOVES reaches the same
memory under every function code.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import Any, NamedTuple

from conformance.oracles.oracle import ANSWER_SECONDS, Oracle, missing_package
from conformance.vector import Outcome, Vector, changed_bytes

ADDRESS_SPACE = 1 << 24
SUPERVISOR = 0x2000
TABLE_BYTES = 1024
LONG = 2  # the trace's code for a 32-bit access

DATA_AND_ADDRESS = (*(f"d{n}" for n in range(8)), *(f"a{n}" for n in range(7)))
REGISTERS = {
    "m68000": (*DATA_AND_ADDRESS, "usp", "ssp", "sr", "pc"),
    "m68010": (*DATA_AND_ADDRESS, "usp", "ssp", "sr", "pc", "vbr", "sfc", "dfc"),
}


class Musashi(Oracle):
    """The oracle of `m68000` and `m68010`.

    Raises:
        ValueError: another machine.
    """

    name = "musashi"
    package = "machine68k"

    def __init__(self, machine: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(answer_seconds)
        if machine not in REGISTERS:
            raise ValueError(f"{self.name} does not execute {machine}")
        self.machine = machine
        self.base = MappingProxyType(dict.fromkeys(REGISTERS[machine], 0))

    def available(self) -> str | None:
        return missing_package(self.package)


class Access(NamedTuple):
    """One bus access, as the trace reports it."""

    kind: str
    width: int
    address: int
    value: int


class Engine:
    """One Musashi CPU, reset to the same context before every vector."""

    def __init__(self, machine: str) -> None:
        machine68k: Any = importlib.import_module("machine68k")
        kind = {"m68000": machine68k.CPUType.M68000, "m68010": machine68k.CPUType.M68010}[machine]
        self._machine = machine68k.Machine(kind, ADDRESS_SPACE // 1024)
        self._cpu, self._memory = self._machine.cpu, self._machine.mem
        self._names = REGISTERS[machine]
        self._code = {
            name: getattr(machine68k.Register, name.upper()) for name in self._names if name not in ("usp", "ssp")
        }
        self._a7 = machine68k.Register.A7
        self._accesses: list[Access] = []
        self._cpu.pulse_reset()
        self._cpu.execute(60)  # consumes the cycles of the reset, over the zeros at address 0
        self._context = self._cpu.get_cpu_context()
        self._memory.set_trace_func(lambda *access: self._accesses.append(Access(*access)))
        self._memory.set_trace_mode(1)

    def run(self, vector: Vector) -> Outcome:
        registers = dict.fromkeys(self._names, 0)
        unknown = vector.registers.keys() - registers.keys()
        if unknown:
            raise ValueError(f"no register {', '.join(sorted(unknown))}")
        registers.update(vector.registers)
        image = vector.image(registers["pc"])
        for address, data in image.items():
            if address + len(data) > ADDRESS_SPACE:
                raise ValueError(f"the window at {address:#x} is beyond the 24-bit address space")
            self._memory.w_block(address, data)
        self._set(registers)
        self._accesses.clear()
        self._cpu.execute(1)
        after = self._get()
        trap = self._trap(after)
        changes = changed_bytes(image, {at: self._memory.r_block(at, len(data)) for at, data in image.items()})
        self._clear(image)
        return Outcome(after, changes, trap)

    def _set(self, registers: dict[str, int]) -> None:
        cpu = self._cpu
        cpu.set_cpu_context(self._context)  # also leaves the stopped state
        cpu.w_sr(registers["sr"])  # does not exchange the stack pointers, so they come after it
        supervisor = bool(registers["sr"] & SUPERVISOR)
        cpu.w_reg(self._a7, registers["ssp" if supervisor else "usp"])
        (cpu.w_usp if supervisor else cpu.w_isp)(registers["usp" if supervisor else "ssp"])
        for name, code in self._code.items():
            if name not in ("sr", "pc"):
                cpu.w_reg(code, registers[name])
        cpu.w_pc(registers["pc"])

    def _get(self) -> dict[str, int]:
        cpu = self._cpu
        registers = {name: cpu.r_reg(code) for name, code in self._code.items()}
        return registers | {"sr": cpu.r_sr(), "pc": cpu.r_pc(), "usp": cpu.r_usp(), "ssp": cpu.r_isp()}

    def _trap(self, after: dict[str, int]) -> int | None:
        if not after["sr"] & SUPERVISOR or not any(access.kind == "W" for access in self._accesses):
            return None
        last = self._accesses[-1]
        offset = (last.address - after.get("vbr", 0)) % ADDRESS_SPACE
        taken = (last.kind, last.width) == ("R", LONG) and last.value == after["pc"]
        return offset // 4 if taken and offset < TABLE_BYTES and offset % 4 == 0 else None

    def _clear(self, image: dict[int, bytes]) -> None:
        for address, data in image.items():
            self._memory.clear_block(address, len(data), 0)
        for access in self._accesses:
            if access.kind == "W":
                self._memory.clear_block(access.address, min(1 << access.width, ADDRESS_SPACE - access.address), 0)


def engine(machine: str) -> Any:
    """The engine of `machine`, for the child process."""
    return Engine(machine)
