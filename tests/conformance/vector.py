"""Test vectors, what an executor makes of them, and recordings of both.

A vector is one instruction with the state it starts in; an outcome is the state after that one instruction, trap
delivery included. The contract, the same for every executor:

- A register that the vector does not name has the machine's base value (`Oracle.base`).
- Memory is physical and reads as zero outside the vector's windows. The code is laid over the windows at the program
  counter (ia32: at cs.base + eip); where translation is on, leave `code` empty and put the instruction into `memory`.
- The windows of a vector are its memory and its code. Only changes inside them are reported: declare the stack.
- An executor leaves out of `Outcome.registers` what it cannot observe; a comparison uses the names both sides have.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Vector:
    """One instruction and the state it starts in.

    Attributes:
        name: unique within a recording.
        code: the instruction's bytes in the order of the guest's memory.
        registers: register name to unsigned value.
        memory: physical byte address to the bytes there; the windows, which must not overlap.

    Raises:
        ValueError: two windows overlap, or an address or register value is negative.
    """

    name: str
    code: bytes
    registers: Mapping[str, int]
    memory: Mapping[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        end = 0
        for address, data in sorted(self.memory.items()):
            if address < end:
                raise ValueError(f"{self.name}: the window at {address:#x} overlaps its predecessor")
            end = address + len(data)
        for register, value in self.registers.items():
            if value < 0:
                raise ValueError(f"{self.name}: {register} is negative")

    def image(self, code_address: int) -> dict[int, bytes]:
        """The windows with the code laid over them.

        >>> Vector("v", b"ab", {}, {8: b"0123"}).image(10)
        {8: b'01ab'}
        >>> Vector("v", b"ab", {}, {8: b"0123"}).image(11)
        {8: b'012ab'}
        """
        if not self.code:
            return dict(self.memory)
        start, stop = code_address, code_address + len(self.code)
        image: dict[int, bytes] = {}
        before = after = b""
        for address, data in sorted(self.memory.items()):
            end = address + len(data)
            if end < code_address or address > code_address + len(self.code):
                image[address] = data
                continue
            if address < start:
                start, before = address, data[: code_address - address]
            if end > stop:
                stop, after = end, data[code_address + len(self.code) - address :]
        image[start] = before + self.code + after
        return image


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state after one instruction, as delivered if it trapped.

    Attributes:
        registers: register name to unsigned value; names the executor cannot observe are absent.
        memory: physical address to new bytes, maximal runs of changed bytes inside the vector's windows.
        trap: the exception vector (m68k, ia32) or cause with its interrupt bit (rv64); None if there was none.
        error_code: the error code the trap delivered (ia32), None if it delivers none.
        failure: why there is no answer (a hang, a crash, a state the executor cannot be put into); the other fields
            are then void, and no comparison may count the vector as agreement.
    """

    registers: Mapping[str, int]
    memory: Mapping[int, bytes] = field(default_factory=dict)
    trap: int | None = None
    error_code: int | None = None
    failure: str | None = None


def changed_bytes(before: Mapping[int, bytes], after: Mapping[int, bytes]) -> dict[int, bytes]:
    """The maximal runs of `after` that differ from `before`; both have the same windows.

    >>> changed_bytes({4: b"abcdef"}, {4: b"aXXdeY"})
    {5: b'XX', 9: b'Y'}
    """
    changes: dict[int, bytes] = {}
    for address, old in sorted(before.items()):
        new = after[address]
        if new == old:
            continue
        start = None
        for index in range(len(old)):
            if old[index] != new[index]:
                start = index if start is None else start
            elif start is not None:
                changes[address + start] = new[start:index]
                start = None
        if start is not None:
            changes[address + start] = new[start:]
    return changes


def differences(expected: Outcome, observed: Outcome, delivers: bool = True) -> list[str]:
    """What two outcomes disagree on, one line each; registers that only one side has are not compared.

    A failure on either side is a difference. If the observer does not deliver traps (`Oracle.delivers`), the vectors
    of a trap and the registers that it does tell are compared, and nothing else.

    >>> differences(Outcome({"d0": 1}, trap=8), Outcome({"d0": 2}, trap=8))
    ['d0: expected 0x1, observed 0x2']
    >>> differences(Outcome({"eip": 1}, trap=13, error_code=0), Outcome({}, trap=13), delivers=False)
    []
    """
    if expected.failure is not None or observed.failure is not None:
        return [f"no answer: {expected.failure or observed.failure}"]
    lines: list[str] = []
    if expected.trap != observed.trap:
        lines.append(f"trap: expected {expected.trap}, observed {observed.trap}")
    whole = delivers or observed.trap is None
    if whole and expected.error_code != observed.error_code:
        lines.append(f"error code: expected {expected.error_code}, observed {observed.error_code}")
    for register in sorted(expected.registers.keys() & observed.registers.keys()):
        if expected.registers[register] != observed.registers[register]:
            lines.append(
                f"{register}: expected {expected.registers[register]:#x}, observed {observed.registers[register]:#x}"
            )
    if whole and expected.memory != observed.memory:
        lines.append(f"memory: expected {_memory_text(expected.memory)}, observed {_memory_text(observed.memory)}")
    return lines


def _memory_text(memory: Mapping[int, bytes]) -> str:
    return " ".join(f"{address:#x}:{data.hex()}" for address, data in sorted(memory.items())) or "no change"


def vector_to_json(vector: Vector) -> dict[str, Any]:
    """The vector as JSON values: integers stay integers, bytes become hex."""
    return {
        "name": vector.name,
        "code": vector.code.hex(),
        "registers": dict(sorted(vector.registers.items())),
        "memory": _memory_to_json(vector.memory),
    }


def vector_from_json(data: Mapping[str, Any]) -> Vector:
    """Inverse of `vector_to_json`; raises KeyError or ValueError on anything else."""
    return Vector(data["name"], bytes.fromhex(data["code"]), dict(data["registers"]), _memory_from_json(data["memory"]))


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON values; absent fields are None."""
    return {
        "registers": dict(sorted(outcome.registers.items())),
        "memory": _memory_to_json(outcome.memory),
        "trap": outcome.trap,
        "error_code": outcome.error_code,
        "failure": outcome.failure,
    }


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    """Inverse of `outcome_to_json`; raises KeyError or ValueError on anything else."""
    return Outcome(
        dict(data["registers"]),
        _memory_from_json(data["memory"]),
        data["trap"],
        data["error_code"],
        data["failure"],
    )


def _memory_to_json(memory: Mapping[int, bytes]) -> dict[str, str]:
    return {f"{address:x}": data.hex() for address, data in sorted(memory.items())}


def _memory_from_json(data: Mapping[str, str]) -> dict[int, bytes]:
    return {int(address, 16): bytes.fromhex(text) for address, text in data.items()}


@dataclass(frozen=True, slots=True)
class Recording:
    """What one version of one oracle answered for one machine."""

    oracle: str
    version: str
    machine: str
    entries: tuple[tuple[Vector, Outcome], ...]

    def to_bytes(self) -> bytes:
        """Gzip of JSON, one entry a line; the same recording always gives the same bytes (no time, no file name)."""
        header = {"format": FORMAT, "oracle": self.oracle, "version": self.version, "machine": self.machine}
        lines = [_dump(header)]
        lines += (_dump([vector_to_json(vector), outcome_to_json(outcome)]) for vector, outcome in self.entries)
        return gzip.compress("".join(line + "\n" for line in lines).encode("ascii"), compresslevel=9, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> Recording:
        """Inverse of `to_bytes`; raises ValueError if the format number is not ours."""
        header, *entries = (json.loads(line) for line in gzip.decompress(data).decode("ascii").splitlines())
        if header["format"] != FORMAT:
            raise ValueError(f"recording format {header['format']}, expected {FORMAT}")
        return cls(
            header["oracle"],
            header["version"],
            header["machine"],
            tuple((vector_from_json(vector), outcome_from_json(outcome)) for vector, outcome in entries),
        )

    def save(self, path: Path) -> None:
        """Write the recording; raises OSError."""
        path.write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a recording; raises OSError, ValueError."""
        return cls.from_bytes(path.read_bytes())


def record(oracle: str, version: str, machine: str, pairs: Iterable[tuple[Vector, Outcome]]) -> Recording:
    """A recording of the pairs, ordered by vector name.

    Raises:
        ValueError: two vectors share a name.
    """
    entries = tuple(sorted(pairs, key=lambda pair: pair[0].name))
    for (first, _), (second, _) in itertools.pairwise(entries):
        if first.name == second.name:
            raise ValueError(f"two vectors are called {first.name}")
    return Recording(oracle, version, machine, entries)


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
