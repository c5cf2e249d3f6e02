"""Hercules 3.13, the Debian package hercules: the machine s370, a System/370 in extended-control mode.

Hercules is a program with a console, whose scripts can only wait for whole seconds; so a batch of vectors is run by a
program inside the machine (`hercules_guest.py`), from one image of storage to another.  A vector has to point its new
PSWs to the entries of that program (`new_psws`), in each page that may become its page 0, and to hold LANDING where
its instruction goes on.  Test storage is STORAGE bytes from address 0 on; OWN and TIMER of page 0 are not the vector's.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from conformance.oracles import hercules_guest as guest
from conformance.oracles.oracle import Oracle, OracleError
from conformance.vector import Outcome, Vector, changed_bytes

COMMAND = "hercules"
BATCH = 1000
WAITS = (1, 5, 30)
"""How many seconds a batch may take, one try after the other."""
GIVE_UP_SECONDS = 60
LANDING = b"\x0a\xff"
"""SVC 255, at which a vector ends; no vector may execute it itself."""

GENERAL = tuple(f"r{n}" for n in range(16))
CONTROL = tuple(f"c{n}" for n in range(16))
KEYS = tuple(f"k{n}" for n in range(guest.BLOCKS))
EC_PSW = 0x0008_0000_0000_0000
ADDRESS = 0xFF_FFFF
CPU_ID = 0xFD_654321_3033_0000
CONFIGURATION = """\
ARCHMODE S/370
CPUSERIAL 654321
CPUMODEL 3033
CPUVERID FD
MAINSIZE 16
NUMCPU 1
TIMERINT 1000000
OSTAILOR QUIET
FE5E 1403 printer.txt
"""
COMMANDS = """\
sysclear
loadcore image.bin 0
restart
pause {seconds}
stop
pause 1
savecore result.bin {current:x} {last:x}
quit
"""


class Hercules(Oracle):
    """The oracle of `s370`.

    Traps are numbered by the address of the old PSW, in the upper half, and the interruption code.
    """

    name = "hercules"
    machine = "s370"
    package = "hercules"
    base = MappingProxyType(
        dict.fromkeys((*GENERAL, *CONTROL, *KEYS, "prefix"), 0) | {"psw": EC_PSW, "comparator": (1 << 64) - 1}
    )

    @property
    def version(self) -> str:
        """The version that Hercules names."""
        text = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=False, timeout=60)
        return next(line.split()[-1] for line in (text.stdout + text.stderr).splitlines() if "Version" in line)

    def available(self) -> str | None:
        return None if shutil.which(COMMAND) else f"{COMMAND} is not installed"

    def run(self, vectors: Sequence[Vector]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(vectors):
            batch = vectors[len(outcomes) : len(outcomes) + BATCH]
            for vector in batch:
                _check(vector)
            done = _batch(batch)
            outcomes += done
            if len(done) < len(batch):
                outcomes.append(Outcome({}, failure="the machine did not come back"))
        return outcomes


@cache
def new_psws() -> bytes:
    """The new PSWs, for real address 0x58."""
    return b"".join(guest.entry(name).to_bytes(8, "big") for name in guest.CLASSES)


def _check(vector: Vector) -> None:
    """Raises OracleError if the vector is not one that can be run."""
    unknown = vector.registers.keys() - Hercules.base.keys()
    if unknown:
        raise OracleError(f"{vector.name}: no register {', '.join(sorted(unknown))}")
    for address, data in _image(vector).items():
        if address + len(data) > guest.STORAGE:
            raise OracleError(f"{vector.name}: the window at {address:#x} is outside the test storage")


def _image(vector: Vector) -> dict[int, bytes]:
    return vector.image(vector.registers.get("psw", EC_PSW) & ADDRESS)


def _batch(vectors: Sequence[Vector]) -> list[Outcome]:
    """The outcomes of the first vectors, up to one after which the machine did not come back."""
    image, results = _storage(vectors)
    after, done, before = b"", 0, -1
    for seconds in WAITS:
        after = _run(image, results[-1], seconds)
        done = (int.from_bytes(after[:4], "big") - guest.RECORDS) // guest.RECORD
        if done in (len(vectors), before):
            break
        before = done
    current = guest.guest(len(vectors))[1]["current"]
    return [_outcome(vectors[n], after[results[n] - current : results[n + 1] - current]) for n in range(done)]


def _storage(vectors: Sequence[Vector]) -> tuple[bytes, list[int]]:
    """The image of storage, and where the results are, with the end of the last."""
    code, _ = guest.guest(len(vectors))
    records, data = bytearray(), bytearray()
    at = guest.RECORDS + len(vectors) * guest.RECORD
    results: list[int] = []
    free = at + sum(_data_size(vector) for vector in vectors)
    for vector in vectors:
        image = sorted(_image(vector).items())
        results.append(free)
        records += _record(vector, len(image), at + len(data), free)
        source = at + len(data) + guest.ENTRY * len(image)
        for address, content in image:
            data += struct.pack(">III", address, len(content), source)
            source += len(content)
        data += b"".join(content for _, content in image)
        free += guest.SAVED_WINDOWS + sum(len(content) for _, content in image)
    low = (EC_PSW | guest.GUEST).to_bytes(8, "big")
    image_bytes = low + bytes(guest.GUEST - len(low)) + code
    image_bytes += bytes(guest.RECORDS - len(image_bytes)) + records + data
    return image_bytes, [*results, free]


def _data_size(vector: Vector) -> int:
    return sum(guest.ENTRY + len(content) for content in _image(vector).values())


def _record(vector: Vector, windows: int, at: int, result: int) -> bytes:
    """The record of a vector whose windows are listed at an address."""
    values = Hercules.base | dict(vector.registers)
    record = struct.pack(">QQ", values["psw"], values["comparator"])
    record += b"".join(values[name].to_bytes(4, "big") for name in (*CONTROL, *GENERAL))
    record += struct.pack(">IIII", values["prefix"] << 12, windows, at, result)
    return record + bytes(values[name] << 1 for name in KEYS)


def _run(image: bytes, last: int, seconds: int) -> bytes:
    """Storage from `current` on, after a run.

    Raises:
        OracleError: Hercules did not end, or left no result.
    """
    current = guest.guest(0)[1]["current"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hercules.cnf").write_text(CONFIGURATION)
        (folder / "commands").write_text(COMMANDS.format(seconds=seconds, current=current, last=last))
        (folder / "image.bin").write_bytes(image)
        environment = {"HERCULES_RC": "commands", "PATH": _search_path()}
        process = subprocess.run(
            [COMMAND, "-d", "-f", "hercules.cnf"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=GIVE_UP_SECONDS + seconds,
        )
        result = folder / "result.bin"
        if not result.exists():
            raise OracleError(f"{COMMAND} left no result: {process.stdout[-500:].decode(errors='replace')}")
        return result.read_bytes()


def _search_path() -> str:
    folder = shutil.which(COMMAND)
    assert folder is not None
    return str(Path(folder).parent)


def _outcome(vector: Vector, result: bytes) -> Outcome:
    """What the program in the machine saved of a vector."""
    word = struct.Struct(">I")
    registers = {
        name: word.unpack_from(result, at + 4 * n)[0]
        for names, at in ((GENERAL, guest.SAVED_GENERAL), (CONTROL, guest.SAVED_CONTROL))
        for n, name in enumerate(names)
    }
    registers |= {name: result[guest.SAVED_KEYS + n] >> 1 for n, name in enumerate(KEYS)}
    registers["prefix"] = word.unpack_from(result, guest.SAVED_PREFIX)[0] >> 12
    registers["comparator"] = int.from_bytes(result[guest.SAVED_COMPARATOR :][:8], "big")
    old = result[guest.SAVED_CLASS]
    code = int.from_bytes(result[_code_at(old) : _code_at(old) + 2], "big")
    landed = (old, code) == (guest.CLASSES["svc"], LANDING[1])
    at = old if landed else old + 0x40
    registers["psw"] = int.from_bytes(result[at : at + 8], "big")
    image = _image(vector)
    after, offset = {}, guest.SAVED_WINDOWS
    for address, content in sorted(image.items()):
        after[address] = result[offset : offset + len(content)]
        offset += len(content)
    pages = {registers["prefix"], Hercules.base["prefix"], vector.registers.get("prefix", 0)}
    own = {(page << 12) + at for page in pages for at in guest.TIMER}
    if landed:
        registers["psw"] = registers["psw"] & ~ADDRESS | registers["psw"] - len(LANDING) & ADDRESS
        page = registers["prefix"] << 12
        own |= {page + at + i for at, size in ((old, 8), (_code_at(old) - 2, 4)) for i in range(size)}
    restored = {
        start: bytes(image[start][i] if start + i in own else byte for i, byte in enumerate(content))
        for start, content in after.items()
    }
    return Outcome(registers, changed_bytes(image, restored), None if landed else old << 16 | code)


def _code_at(old: int) -> int:
    """Where the interruption code of a class is, by the address of its old PSW."""
    return {0x18: 0x86, 0x20: 0x8A, 0x28: 0x8E, 0x38: 0xBA}.get(old, 0)
