"""Bochs, through the PyPI package bochscpu-python: the machine ia32 in protected mode.

Interrupts and exceptions are delivered through the IDT and TSS in the guest's memory, error codes included. Every
segment register has its hidden part: `cs.base`, `cs.limit` (in bytes) and `cs.attributes`, which are bits 8 to 23 of
the descriptor's high doubleword with the limit's nibble zero (SDM volume 3, figure 3-8). A register that holds no
usable segment has attributes 0, and its base and limit are not reported. The ports are an open bus. A triple fault is a
failure.

The arithmetic flags of Bochs are lazy and absent from the state the package offers; three C++ functions of the library
set them, settle them and discard a page's decoded instructions. `bochs_shim.c` says what else the package needs.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import mmap
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conformance.oracles.oracle import Oracle, missing_package
from conformance.vector import Outcome, Vector, changed_bytes

PAGE = 4096
POOL_PAGES = 1024
WHOLE_PAGE = 0xFFFF_FFFF  # a bit for each 128 bytes
MASK = 0xFFFF_FFFF
ATTRIBUTES = 0xF0FF
PRESENT = 0x80
ERROR_CODE_VECTORS = {8, 10, 11, 12, 13, 14, 17}  # SDM volume 3, table 6-1

GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
CONTROL = ("cr0", "cr2", "cr3", "cr4", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
SELECTORS = ("cs", "ss", "ds", "es", "fs", "gs", "ldtr", "tr")
TABLES = ("gdtr", "idtr")

FLAT = {".base": 0, ".limit": MASK}
BASE: dict[str, int] = (
    dict.fromkeys((*GENERAL, "eip", *CONTROL), 0)
    | {"eflags": 2, "cr0": 0x11, "dr6": 0xFFFF_0FF0, "dr7": 0x400}
    | {f"cs{part}": value for part, value in {"": 0x08, **FLAT, ".attributes": 0xC09B}.items()}
    | {
        f"{name}{part}": value
        for name in ("ss", "ds", "es", "fs", "gs")
        for part, value in {"": 0x10, **FLAT, ".attributes": 0xC093}.items()
    }
    | {f"ldtr{part}": 0 for part in ("", ".base", ".limit", ".attributes")}
    | {"tr": 0, "tr.base": 0, "tr.limit": 0x67, "tr.attributes": 0x8B}
    | {f"{name}{part}": value for name in TABLES for part, value in {".base": 0, ".limit": 0xFFFF}.items()}
)


class Bochs(Oracle):
    """The oracle of `ia32`. Its base state is flat ring 0 with null LDTR, no paging, and tables at address 0."""

    name = "bochs"
    package = "bochscpu-python"
    machine = "ia32"
    base = MappingProxyType(BASE)

    def available(self) -> str | None:
        if shutil.which("gcc") is None:
            return "gcc is not installed"
        return missing_package(self.package)


class Engine:
    """One Bochs CPU; every page the guest touches is mapped on demand, zero, and unmapped after the vector."""

    def __init__(self) -> None:
        self._library = _load()
        self._bochs: Any = importlib.import_module("bochscpu._bochscpu")
        self._physical: Any = importlib.import_module("bochscpu.memory")
        self._pool = mmap.mmap(-1, POOL_PAGES * PAGE)
        self._pool_address = ctypes.addressof(ctypes.c_char.from_buffer(self._pool))
        self._mapped: dict[int, int] = {}  # guest page number to offset in the pool
        self._session = self._bochs.Session()
        self._session.missing_page_handler = lambda address: self._map(address // PAGE)
        self._hook = self._bochs.Hook()
        self._hook.before_execution = self._before
        self._hook.after_execution = lambda *_: self._session.stop()
        self._hook.exception = self._exception
        self._hook.interrupt = self._interrupt
        self._started = 0
        self._raised: list[tuple[int, int]] = []  # exceptions with the code Bochs gives them, 0 if they have none
        self._delivered: list[tuple[int, int | None]] = []

    def run(self, vector: Vector) -> Outcome:
        unknown = vector.registers.keys() - BASE.keys()
        if unknown:
            raise ValueError(f"no register {', '.join(sorted(unknown))}")
        registers = BASE | dict(vector.registers)
        if not registers["cr0"] & 1:
            raise ValueError("cr0.PE is clear: not protected mode")
        image = vector.image((registers["cs.base"] + registers["eip"]) & MASK)
        for address, data in image.items():
            self._write(address, data)
        self._set(registers)
        self._started = 0
        self._raised.clear()
        self._delivered.clear()
        self._session.run([self._hook])
        after = self._get()
        changes = changed_bytes(image, {address: self._read(address, len(data)) for address, data in image.items()})
        self._unmap()
        trap, error_code = self._delivered[-1] if self._delivered else (None, None)
        return Outcome(after, changes, trap, error_code)

    def _before(self, *_: object) -> None:
        """Called before the vector's instruction, unless its fetch faults, and at the handler of a fault it raised."""
        self._started += 1
        if self._started > 1 or self._delivered:
            self._session.stop()

    def _exception(self, _session: object, _cpu: object, vector: int, error: int) -> None:
        self._raised.append((vector, error))

    def _interrupt(self, _session: object, _cpu: object, vector: int) -> None:
        """Called when the delivery of an exception or of INT begins; the last delivery is the one that succeeds."""
        exceptions, self._raised = self._raised, []
        has_code = vector in ERROR_CODE_VECTORS and bool(exceptions) and exceptions[-1][0] == vector
        self._delivered.append((vector, exceptions[-1][1] if has_code else None))

    def _set(self, registers: dict[str, int]) -> None:
        state = self._bochs.State()
        for name in GENERAL:
            setattr(state, "r" + name[1:], registers[name])
        state.rip, state.rflags = registers["eip"], registers["eflags"]
        for name in CONTROL:
            setattr(state, name, registers[name])
        for name in SELECTORS:
            segment = self._bochs.Segment()
            segment.selector = registers[name]
            segment.base, segment.limit = registers[name + ".base"], registers[name + ".limit"]
            segment.attr = registers[name + ".attributes"]
            segment.present = bool(registers[name + ".attributes"] & PRESENT)
            setattr(state, name, segment)
        for name in TABLES:
            table = self._bochs.GlobalSegment()
            table.base, table.limit = registers[name + ".base"], registers[name + ".limit"]
            setattr(state, name, table)
        self._session.cpu.state = state
        self._library.set_flags(registers["eflags"])

    def _get(self) -> dict[str, int]:
        self._library.settle_flags()
        state = self._session.cpu.state
        after = {name: getattr(state, "r" + name[1:]) & MASK for name in GENERAL}
        after.update({name: getattr(state, name) & MASK for name in CONTROL})
        after.update({"eip": state.rip & MASK, "eflags": state.rflags & MASK})
        for name in SELECTORS:
            segment = getattr(state, name)
            after[name] = segment.selector
            after[name + ".attributes"] = segment.attr & ATTRIBUTES if segment.present else 0
            if segment.present:
                after.update({name + ".base": segment.base & MASK, name + ".limit": segment.limit & MASK})
        for name in TABLES:
            table = getattr(state, name)
            after.update({name + ".base": table.base & MASK, name + ".limit": table.limit & 0xFFFF})
        return after

    def _map(self, page: int) -> int:
        if page not in self._mapped:
            offset = len(self._mapped) * PAGE
            if offset == len(self._pool):
                raise MemoryError(f"a vector touches more than {POOL_PAGES} pages")
            self._mapped[page] = offset
            self._physical.page_insert(page * PAGE, self._pool_address + offset)
        return self._mapped[page]

    def _unmap(self) -> None:
        for page in self._mapped:
            self._library.discard_decoded(page * PAGE, WHOLE_PAGE)
            self._physical.page_remove(page * PAGE)
        used = len(self._mapped) * PAGE
        self._pool[:used] = bytes(used)
        self._mapped.clear()

    def _write(self, address: int, data: bytes) -> None:
        done = 0
        while done < len(data):
            page, within = divmod((address + done) & MASK, PAGE)
            part = data[done : done + PAGE - within]
            start = self._map(page) + within
            self._pool[start : start + len(part)] = part
            done += len(part)

    def _read(self, address: int, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            page, within = divmod(address & MASK, PAGE)
            start = self._map(page) + within
            part = self._pool[start : start + min(size, PAGE - within)]
            parts.append(part)
            address, size = address + len(part), size - len(part)
        return b"".join(parts)


class _Library:
    """The library's C++ functions we call directly, by their mangled names."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.set_flags: Any = library._ZN8BX_CPU_C9setEFlagsEj
        self.set_flags.argtypes = [ctypes.c_uint32]
        self.settle_flags: Any = library._ZN8BX_CPU_C11force_flagsEv
        self.discard_decoded: Any = library._Z9handleSMCmj
        self.discard_decoded.argtypes = [ctypes.c_uint64, ctypes.c_uint32]
        self.discard_decoded.restype = None


def _load() -> _Library:
    """Load the shim, then the package's library, and tell the shim what it wraps; raises OSError, AttributeError."""
    with tempfile.TemporaryDirectory() as folder:
        shim_path = Path(folder) / "shim.so"
        source = Path(__file__).with_name("bochs_shim.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(shim_path), str(source)], check=True)
        shim = ctypes.CDLL(str(shim_path), mode=ctypes.RTLD_GLOBAL)
    spec = importlib.util.find_spec("bochscpu")
    assert spec is not None
    assert spec.origin is not None
    (library_path,) = Path(spec.origin).parent.glob("_bochscpu*.so")
    library = ctypes.CDLL(str(library_path))
    for name in ("get_param_bool", "new_param_bool"):
        function = ctypes.cast(getattr(library, f"sim_{name}"), ctypes.c_void_p).value
        ctypes.c_void_p.in_dll(shim, f"shim_{name}").value = function
    return _Library(library)


def engine(machine: str) -> Any:
    """The engine of `machine`, for the child process."""
    assert machine == Bochs.machine
    return Engine()
