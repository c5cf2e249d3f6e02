"""The program that runs vectors inside Hercules, a System/370 in extended-control mode without translation.

For each record it clears the test storage, lays the windows and the storage keys, sets the registers and loads the
vector's PSW.  Every new PSW of the vector points to an entry here.  An instruction that does not interrupt goes on at a
SUPERVISOR CALL, which the vector has to provide; one that does interrupt comes directly.  The entry saves the registers
into page 0, which needs no base register, and the rest goes into the record's result.

Assembled here, so that a host needs no tools; formats and codes are those of GA22-7000.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

STORAGE = 0x2_0000
"""The bytes of test storage, from absolute address 0 on."""
BLOCK = 0x800
BLOCKS = STORAGE // BLOCK
GUEST = 0x10_0000
RECORDS = 0x20_0000

# A record: what a vector starts with.
PSW, COMPARATOR, CONTROL, GENERAL, PREFIX, WINDOWS, LIST, RESULT, KEYS = 0, 8, 16, 80, 144, 148, 152, 156, 160
RECORD = KEYS + BLOCKS
ENTRY = 12  # of the list of windows: address, length, where its bytes are

# A result: real storage up to SAVED_REAL, the save area, the keys, the windows.
SAVED_REAL = 0xC0
SAVED_GENERAL = SAVED_REAL
SAVED_CLASS, SAVED_PREFIX, SAVED_COMPARATOR = SAVED_REAL + 0x40, SAVED_REAL + 0x44, SAVED_REAL + 0x48
SAVED_CONTROL = SAVED_REAL + 0x80
SAVED_KEYS = SAVED_CONTROL + 64
SAVED_WINDOWS = SAVED_KEYS + BLOCKS

# Page 0 of the vector (real): the interval timer, and what is the program's own.
TIMER = range(0x50, 0x54)
OWN = range(0xC00, 0x1000)
LOADED_PSW, LOADED_GENERAL, SAVE = 0xC00, 0xC40, 0xE00

CLASSES = {"external": 0x18, "svc": 0x20, "program": 0x28, "machine": 0x30, "io": 0x38}
"""The classes of interruption, by the address of the old PSW; the new one is 0x40 further on."""


@dataclass(slots=True)
class Program:
    """Machine code that grows; labels are addresses, `base` is what register 12 holds."""

    origin: int
    code: bytearray = field(default_factory=bytearray)
    labels: dict[str, int] = field(default_factory=dict)
    base: int = 0
    missing: list[tuple[int, str, int]] = field(default_factory=list)

    @property
    def here(self) -> int:
        """The address of the next instruction."""
        return self.origin + len(self.code)

    def label(self, name: str) -> None:
        """Names the present address."""
        self.labels[name] = self.here

    def using(self) -> None:
        """BALR 12,0, and the base from here on."""
        self.rr(0x05, 12, 0)
        self.base = self.here

    def data(self, name: str, value: bytes) -> None:
        """Constants, on a doubleword."""
        self.code += bytes(-len(self.code) % 8)
        self.label(name)
        self.code += value

    def rr(self, op: int, r1: int, r2: int) -> None:
        """op R1,R2."""
        self.code += bytes([op, r1 << 4 | r2])

    def rx(self, op: int, r1: int, at: int | str, base: int = 0, index: int = 0) -> None:
        """op R1,D2(X2,B2), op R1,R3,D2(B2) with R3 as the index; a label implies register 12."""
        self.code += bytes([op, r1 << 4 | index])
        self._address(at, base)

    def si(self, op: int, at: int | str, i2: int = 0, base: int = 0) -> None:
        """op D1(B1),I2."""
        self.code += bytes([op, i2])
        self._address(at, base)

    def s(self, op: int, at: int | str, base: int = 0) -> None:
        """op D2(B2) with an operation code of two bytes."""
        self.code += op.to_bytes(2, "big")
        self._address(at, base)

    def mvc(self, to: int, to_base: int, length: int, at: int | str, base: int = 0) -> None:
        """MVC D1(L,B1),D2(B2)."""
        self.code += bytes([0xD2, length - 1])
        self._address(to, to_base)
        self._address(at, base)

    def branch(self, mask: int, to: str) -> None:
        """BC mask,label."""
        self.rx(0x47, mask, to)

    def _address(self, at: int | str, base: int) -> None:
        if isinstance(at, str):
            self.missing.append((len(self.code), at, self.base))
            at, base = 0, 12
        self.code += (base << 12 | at).to_bytes(2, "big")

    def finished(self) -> bytes:
        """The code with all labels resolved."""
        for at, name, base in self.missing:
            displacement = self.labels[name] - base
            assert 0 <= displacement < 0x1000, name
            self.code[at : at + 2] = (12 << 12 | displacement).to_bytes(2, "big")
        return bytes(self.code)


SR, LR, LTR, MVCL, SSK, ISK = 0x1B, 0x18, 0x12, 0x0E, 0x08, 0x09
L, ST, LA, A, C, IC, STC, BCT, LM, STM = 0x58, 0x50, 0x41, 0x5A, 0x59, 0x43, 0x42, 0x46, 0x98, 0x90
LCTL, STCTL, LPSW, MVI = 0xB7, 0xB6, 0x82, 0x92
SCKC, SPT, SPX, STPX, STCKC, PTLB = 0xB206, 0xB208, 0xB210, 0xB211, 0xB207, 0xB20D
EQUAL, ALWAYS = 8, 15
EC_MODE, WAIT = 0x0008_0000, 0x0002_0000
LATE = 0x7FFF_FFFF


def _next(p: Program) -> None:
    """Sets the next vector up, and starts it."""
    p.label("next")
    p.rx(L, 9, "current")
    p.rx(C, 9, "end")
    p.branch(EQUAL, "done")
    p.rr(SR, 2, 2)
    p.rx(L, 3, "storage")
    p.rr(SR, 4, 4)
    p.rr(SR, 5, 5)
    p.rr(MVCL, 2, 4)
    p.rx(L, 6, WINDOWS, 9)
    p.rx(L, 7, LIST, 9)
    p.label("lay")
    p.rx(L, 2, 0, 7)
    p.rx(L, 3, 4, 7)
    p.rx(L, 4, 8, 7)
    p.rr(LR, 5, 3)
    p.rr(MVCL, 2, 4)
    p.rx(LA, 7, ENTRY, 7)
    p.rx(BCT, 6, "lay")
    p.rx(LA, 6, BLOCKS)
    p.rr(SR, 2, 2)
    p.rx(LA, 7, KEYS, 9)
    p.label("set key")
    p.rr(SR, 1, 1)
    p.rx(IC, 1, 0, 7)
    p.rr(SSK, 1, 2)
    p.rx(LA, 7, 1, 7)
    p.rx(A, 2, "block")
    p.rx(BCT, 6, "set key")
    p.s(SCKC, COMPARATOR, 9)
    p.s(SPT, "late")
    p.s(SPX, PREFIX, 9)
    p.mvc(TIMER.start, 0, 4, "late")
    p.mvc(LOADED_PSW, 0, 8, PSW, 9)
    p.mvc(LOADED_GENERAL, 0, 64, GENERAL, 9)
    p.s(PTLB, 0)
    p.rx(LCTL, 0, CONTROL, 9, 15)
    p.rx(LM, 0, LOADED_GENERAL, 0, 15)
    p.si(LPSW, LOADED_PSW)


def _collect(p: Program) -> None:
    """Saves what the vector left, and goes on with the next."""
    for name, old in CLASSES.items():
        p.label(name)
        p.rx(STM, 0, SAVE, 0, 15)
        p.si(MVI, SAVE + 0x40, old)
        p.using()
        p.branch(ALWAYS, "collect")
    p.label("collect")
    p.using()
    p.rx(STCTL, 0, SAVE + 0x80, 0, 15)
    p.s(STPX, SAVE + 0x44)
    p.s(STCKC, SAVE + 0x48)
    p.rx(L, 12, "base")
    p.base = p.labels["start"]
    p.rx(L, 9, "current")
    p.rx(L, 10, RESULT, 9)
    p.mvc(0, 10, SAVED_REAL, 0)
    p.mvc(SAVED_GENERAL, 10, SAVED_KEYS - SAVED_GENERAL, SAVE)
    p.rx(LCTL, 0, "control", 0, 15)
    p.s(SPX, "zero")
    p.rx(LA, 6, BLOCKS)
    p.rr(SR, 2, 2)
    p.rx(LA, 7, SAVED_KEYS, 10)
    p.label("get key")
    p.rr(ISK, 1, 2)
    p.rx(STC, 1, 0, 7)
    p.rx(LA, 7, 1, 7)
    p.rx(A, 2, "block")
    p.rx(BCT, 6, "get key")
    p.rx(L, 6, WINDOWS, 9)
    p.rx(L, 7, LIST, 9)
    p.rx(LA, 2, SAVED_WINDOWS, 10)
    p.label("take")
    p.rx(L, 3, 4, 7)
    p.rx(L, 4, 0, 7)
    p.rr(LR, 5, 3)
    p.rr(MVCL, 2, 4)
    p.rx(LA, 7, ENTRY, 7)
    p.rx(BCT, 6, "take")
    p.rx(LA, 9, RECORD, 9)
    p.rx(ST, 9, "current")
    p.branch(ALWAYS, "next")
    p.label("done")
    p.si(LPSW, "wait")


@cache
def guest(records: int) -> tuple[bytes, Mapping[str, int]]:
    """The program for so many records, to be loaded at GUEST, and its labels."""
    p = Program(GUEST)
    p.using()
    p.label("start")
    _next(p)
    _collect(p)
    p.data("current", RECORDS.to_bytes(4, "big"))
    p.data("end", (RECORDS + records * RECORD).to_bytes(4, "big"))
    p.data("storage", STORAGE.to_bytes(4, "big"))
    p.data("block", BLOCK.to_bytes(4, "big"))
    p.data("base", p.labels["start"].to_bytes(4, "big"))
    p.data("zero", bytes(4))
    p.data("late", struct.pack(">II", LATE, 0))
    p.data("control", bytes(64))
    p.data("wait", struct.pack(">II", EC_MODE | WAIT, 0))
    return p.finished(), p.labels


def entry(name: str) -> int:
    """The new PSW that leads to the entry of a class of interruption."""
    return EC_MODE << 32 | guest(0)[1][name]
