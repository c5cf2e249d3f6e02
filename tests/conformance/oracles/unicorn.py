"""Unicorn (QEMU's translator, modified), through the PyPI package unicorn: the machine ia32 in protected mode.

A second executor of ia32 that shares no code with Bochs. It names the vector of a trap but does not deliver it, so an
outcome with a trap has no memory, and of the registers CR2 alone, for a page fault. The hidden parts of the segment
registers cannot be set or read: they come from the descriptor tables in the vector's memory, and a vector whose hidden
parts say otherwise is a failure, as is one with a cs.base that is not 0. Rings 1 to 3 are entered by an IRET in a page
of the driver's own.
"""

from __future__ import annotations

import importlib
import struct
from types import MappingProxyType
from typing import Any

from conformance.oracles.bochs import ATTRIBUTES, BASE, CONTROL, GENERAL, MASK, PRESENT, TABLES
from conformance.oracles.oracle import Oracle, missing_package
from conformance.vector import Outcome, Vector, changed_bytes

PAGE = 4096
SCRATCH = 0xFFFF_0000  # the driver's page: its descriptor table, an IRET, and the stack that returns from
SCRATCH_GDT, SCRATCH_IRET, SCRATCH_STACK = SCRATCH, SCRATCH + 0x100, SCRATCH + 0x800
FLAT_CODE, FLAT_DATA = 0x08, 0x10
GDT = struct.pack("<QQQ", 0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF)
IRET = b"\xcf"
KEPT_PAGES = 16
INVALID_OPCODE, PAGE_FAULT = 6, 14
VM = 0x2_0000

DATA_SEGMENTS = ("ds", "es", "fs", "gs")
DEBUG = ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
REPORTED = (*GENERAL, "eip", "eflags", *CONTROL, "cs", "ss", *DATA_SEGMENTS, "ldtr", "tr")
UNREAD = ("ldtr", "tr", "cr2")  # two are read otherwise, and CR2 is lost after any use of paging but a fault


class Unicorn(Oracle):
    """The second oracle of `ia32`; it knows traps, but not their delivery."""

    name = "unicorn"
    package = "unicorn"
    machine = "ia32"
    delivers = False
    base = MappingProxyType(BASE)

    def available(self) -> str | None:
        return missing_package(self.package)


class Inexpressible(Exception):
    """The engine cannot be put into the vector's state."""


class Engine:
    """One Unicorn CPU, restored to the same context before every vector; pages are mapped on demand, zero."""

    def __init__(self) -> None:
        unicorn: Any = importlib.import_module("unicorn")
        names: Any = importlib.import_module("unicorn.x86_const")
        self._unicorn, self._names = unicorn, names
        self._number = {name: getattr(names, f"UC_X86_REG_{name.upper()}") for name in (*REPORTED, *TABLES)}
        self._traps: list[Outcome] = []
        self._open()

    def _open(self) -> None:
        unicorn, names = self._unicorn, self._names
        self._uc: Any = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self._pages: set[int] = set()
        self._uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        self._uc.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED, self._on_unmapped)
        self._uc.hook_add(unicorn.UC_HOOK_INSN, self._on_in, aux1=names.UC_X86_INS_IN)
        self._uc.hook_add(unicorn.UC_HOOK_INSN, self._on_out, aux1=names.UC_X86_INS_OUT)
        self._map(SCRATCH)
        self._pages.remove(SCRATCH)
        self._uc.mem_write(SCRATCH_GDT, GDT)
        self._uc.mem_write(SCRATCH_IRET, IRET)
        self._context = self._uc.context_save()

    def run(self, vector: Vector) -> Outcome:
        unknown = vector.registers.keys() - BASE.keys()
        if unknown:
            raise ValueError(f"no register {', '.join(sorted(unknown))}")
        registers = BASE | dict(vector.registers)
        image = vector.image((registers["cs.base"] + registers["eip"]) & MASK)
        try:
            self._write(image)
            self._set(registers)
            return self._execute(registers["eip"], image)
        except Inexpressible as reason:
            return Outcome({}, failure=str(reason))
        finally:
            if any(self._uc.reg_read(self._number[name]) != registers[name] for name in DEBUG):
                self._open()  # breakpoints survive the restoring of a context
            else:
                self._clear()

    def _execute(self, eip: int, image: dict[int, bytes]) -> Outcome:
        self._traps.clear()
        self._uc.ctl_remove_cache(eip, min(eip + 16, MASK))  # mem_write leaves stale translations
        error = None
        try:
            self._uc.emu_start(eip, MASK, count=1)
        except self._unicorn.UcError as raised:
            error = raised.errno
        if self._traps:
            return self._traps[0]
        if error == self._unicorn.UC_ERR_INSN_INVALID:
            return Outcome({}, trap=INVALID_OPCODE)
        if error is not None:
            raise Inexpressible(f"Unicorn error {error}")
        after = {name: self._uc.reg_read(self._number[name]) for name in REPORTED if name not in UNREAD}
        for name in ("ldtr", "tr"):
            after[name] = self._uc.reg_read(self._number[name])[0]
        for name in TABLES:
            _, base, limit, _ = self._uc.reg_read(self._number[name])
            after.update({name + ".base": base, name + ".limit": limit})
        changes = changed_bytes(image, {at: bytes(self._uc.mem_read(at, len(data))) for at, data in image.items()})
        return Outcome({name: value & MASK for name, value in after.items()}, changes)

    def _set(self, registers: dict[str, int]) -> None:
        cpl = registers["cs"] & 3
        if not registers["cr0"] & 1 or registers["eflags"] & VM or registers["cs.base"]:
            raise Inexpressible("real mode, virtual-8086 mode, or a cs.base that is not 0")
        for name in ("cs", "ss", *DATA_SEGMENTS):
            self._check_hidden(name, registers)
        self._uc.context_restore(self._context)
        write = self._write_register
        write("cr0", 0x11)
        write("gdtr", (0, SCRATCH_GDT, len(GDT) - 1, 0))
        write("cs", FLAT_CODE)
        write("ss", FLAT_DATA)
        for name in TABLES:
            write(name, (0, registers[name + ".base"], registers[name + ".limit"], 0))
        for name in ("ldtr", "tr"):
            flags = registers[name + ".attributes"] << 8
            write(name, (registers[name], registers[name + ".base"], registers[name + ".limit"], flags))
        if cpl:
            self._return_to_ring(registers)
        else:
            write("cs", registers["cs"])
            write("ss", registers["ss"])
        for name in DATA_SEGMENTS:
            write(name, registers[name])
        for name in (*GENERAL, "eflags", "cr4", "cr3", "cr2", "cr0", *DEBUG):
            write(name, registers[name])

    def _return_to_ring(self, registers: dict[str, int]) -> None:
        frame = struct.pack(
            "<5I", registers["eip"], registers["cs"], registers["eflags"], registers["esp"], registers["ss"]
        )
        self._uc.mem_write(SCRATCH_STACK, frame)
        self._write_register("esp", SCRATCH_STACK)
        self._traps.clear()
        try:
            self._uc.emu_start(SCRATCH_IRET, MASK, count=1)
        except self._unicorn.UcError as error:
            raise Inexpressible(f"IRET to ring {registers['cs'] & 3}: {error}") from None
        if self._traps or self._uc.reg_read(self._number["cs"]) != registers["cs"]:
            raise Inexpressible(f"IRET to ring {registers['cs'] & 3} trapped")

    def _check_hidden(self, name: str, registers: dict[str, int]) -> None:
        """Unicorn will load the descriptor from memory; raises Inexpressible if it is not what the vector says."""
        selector, attributes = registers[name], registers[name + ".attributes"]
        if selector & ~3 == 0:
            if attributes & PRESENT:
                raise Inexpressible(f"{name} is null, its hidden part is not")
            return
        table = "ldtr" if selector & 4 else "gdtr"
        address = self._backed(registers[table + ".base"] + (selector & ~7))
        low, high = struct.unpack("<II", self._uc.mem_read(address, 8))
        base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000
        limit = low & 0xFFFF | high & 0xF_0000
        limit = limit << 12 | 0xFFF if high & 0x80_0000 else limit
        if (base, limit, high >> 8 & ATTRIBUTES) != (registers[name + ".base"], registers[name + ".limit"], attributes):
            raise Inexpressible(f"the hidden part of {name} is not the descriptor in memory")

    def _write_register(self, name: str, value: object) -> None:
        try:
            self._uc.reg_write(self._number[name], value)
        except self._unicorn.UcError as error:
            raise Inexpressible(f"Unicorn refuses {name}: {error}") from None

    def _on_interrupt(self, _uc: object, vector: int, _data: object) -> None:
        registers = {"cr2": self._uc.reg_read(self._number["cr2"])} if vector == PAGE_FAULT else {}
        self._traps.append(Outcome(registers, trap=vector))
        self._uc.emu_stop()

    def _on_unmapped(self, _uc: object, _kind: int, address: int, size: int, _value: int, _data: object) -> bool:
        self._backed(address, size)
        return True

    def _on_in(self, _uc: object, _port: int, size: int, _data: object) -> int:
        return (1 << 8 * size) - 1

    def _on_out(self, _uc: object, _port: int, _size: int, _value: int, _data: object) -> None:
        return None

    def _backed(self, address: int, size: int = 8) -> int:
        for page in range(address & ~(PAGE - 1), address + size, PAGE):
            self._map(page & MASK)
        return address & MASK

    def _map(self, page: int) -> None:
        if page not in self._pages:
            self._uc.mem_map(page, PAGE)
            self._pages.add(page)

    def _write(self, image: dict[int, bytes]) -> None:
        for address, data in image.items():
            if address + len(data) > SCRATCH:
                raise Inexpressible(f"the window at {address:#x} is in the driver's page")
            self._backed(address, len(data))
            self._uc.mem_write(address, data)

    def _clear(self) -> None:
        """Zero every mapped page; which of them were written is not observable under translation."""
        zeros = bytes(PAGE)
        for page in list(self._pages):
            self._uc.mem_write(page, zeros)
            if len(self._pages) > KEPT_PAGES:
                self._uc.mem_unmap(page, PAGE)
                self._pages.remove(page)


def engine(machine: str) -> Any:
    """The engine of `machine`, for the child process."""
    assert machine == Unicorn.machine
    return Engine()
