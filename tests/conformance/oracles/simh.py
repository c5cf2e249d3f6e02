"""SIMH 3.8.1, the Debian package simh: a KS10, with which the machine ka10 is compared in what the two share.

SIMH is driven by a file of its commands; `ex` prints a register or a word as NAME:<tab>OCTAL.  Paging is off, so that a
program in user mode sees memory as executive mode does.  The KS10 has no monitor calls in locations 40 and 41: it
leaves them, and instructions that user mode may not execute, in its user process table (a page beyond the 18 bits of
an address), where the driver finds them.

A vector's memory has WORD_BYTES bytes for each word of 36 bits, the first of them the upper four bits.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from conformance.oracles.oracle import Oracle, OracleError
from conformance.vector import Outcome, Vector, changed_bytes

COMMAND = "pdp10"
BATCH = 500
SECONDS = 60
WORD_BYTES = 5
ACCUMULATORS = tuple(f"ac{n}" for n in range(16))
TABLE = 0o1000 << 9
"""Where the user process table is; its page number is in UBR."""
CALL, NEW_PCS = TABLE + 0o424, range(TABLE + 0o430, TABLE + 0o440)
MONITOR = 0o777000
MONITOR_CALL = 1
"""The one trap: a monitor call, or an instruction that acts like one."""
BLT = 0o251
HALTED = "HALT instruction"


class Simh(Oracle):
    """The oracle of `ka10`; it knows monitor calls, but not the KA10's way to deliver them.

    `flags` is the left half of a PC word, `halted` is 1 after HALT.
    """

    name = "simh"
    machine = "ka10"
    package = "simh"
    delivers = False
    base = MappingProxyType(dict.fromkeys((*ACCUMULATORS, "pc", "flags", "halted"), 0))

    @property
    def version(self) -> str:
        """The version that the simulator names."""
        text = _simh("quit\n")
        return next(line.split()[-1] for line in text.splitlines() if line.startswith("PDP-10 simulator"))

    def available(self) -> str | None:
        return None if shutil.which(COMMAND) else f"{COMMAND} (of the package simh) is not installed"

    def run(self, vectors: Sequence[Vector]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(vectors):
            batch = vectors[len(outcomes) : len(outcomes) + BATCH]
            for vector in batch:
                unknown = vector.registers.keys() - self.base.keys()
                if unknown:
                    raise OracleError(f"{vector.name}: no register {', '.join(sorted(unknown))}")
            done = list(_outcomes(batch))
            outcomes += done
            if len(done) < len(batch):
                outcomes.append(Outcome({}, failure="the simulator did not come back"))
        return outcomes


def _image(vector: Vector) -> dict[int, bytes]:
    return vector.image(vector.registers.get("pc", 0) * WORD_BYTES)


def _words(image: Mapping[int, bytes]) -> Iterator[tuple[int, int]]:
    """The addresses of an image and the words there."""
    for start, data in sorted(image.items()):
        for offset in range(0, len(data), WORD_BYTES):
            yield (start + offset) // WORD_BYTES, int.from_bytes(data[offset : offset + WORD_BYTES], "big")


def _outcomes(vectors: Sequence[Vector]) -> Iterator[Outcome]:
    """The outcomes of the first vectors, up to one after which the simulator did not come back."""
    script = [f"d ubr {TABLE >> 9:o}", "d ebr 0"]
    script += [f"d {at:o} {MONITOR:o}" for at in NEW_PCS]
    for vector in vectors:
        script += _commands(vector)
    pieces = _simh("\n".join([*script, "quit", ""])).split("vector\n")[1:]
    for vector, piece in zip(vectors, pieces, strict=False):
        if "end\n" in piece:
            yield _outcome(vector, piece)


def _commands(vector: Vector) -> Iterator[str]:
    """What makes SIMH run a vector and print its outcome."""
    values = Simh.base | dict(vector.registers)
    words = dict(_words(_image(vector)))
    yield "echo vector"
    yield from (f"d {at:o} {word:o}" for at, word in words.items())
    yield from (f"d {name[:2]}{int(name[2:]):o} {values[name]:o}" for name in ACCUMULATORS)
    yield f"d flags {values['flags']:o}"
    yield f"d pc {values['pc']:o}"
    yield f"d {CALL:o} 0"
    if next(word for at, word in words.items() if at == values["pc"]) >> 27 == BLT:  # one step may be a part of it
        yield from (f"br {values['pc'] + 1:o}", "go", "nobr all")
    else:
        yield "step"
    yield f"ex pc,flags,ac0-ac17,{CALL:o}"
    yield from (f"ex {at:o}" for at in words)
    yield "echo end"
    yield from (f"d {at:o} 0" for at in words)


def _simh(script: str) -> str:
    """What SIMH prints for a script; what it printed so far, if it does not end."""
    with tempfile.NamedTemporaryFile("w", suffix=".do") as file:
        file.write(script)
        file.flush()
        try:
            process = subprocess.run(
                [COMMAND, file.name], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
            )
            output = process.stdout
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout or b""
    return output.decode("ascii", errors="replace").replace("\r", "")


def _outcome(vector: Vector, text: str) -> Outcome:
    """What SIMH printed about a vector."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        name, tab, value = line.partition(":\t")
        if tab:
            values[name] = int(value, 8)
    if values[f"{CALL:o}"]:
        return Outcome({}, trap=MONITOR_CALL)
    registers = {name: values[f"AC{int(name[2:]):o}"] for name in ACCUMULATORS}
    registers |= {"pc": values["PC"], "flags": values["FLAGS"], "halted": int(HALTED in text)}
    image = _image(vector)
    after = {
        start: b"".join(
            values[f"{(start + offset) // WORD_BYTES:o}"].to_bytes(WORD_BYTES, "big")
            for offset in range(0, len(data), WORD_BYTES)
        )
        for start, data in image.items()
    }
    return Outcome(registers, changed_bytes(image, after))
