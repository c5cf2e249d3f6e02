"""Memory for code that comes in small pieces: one side of it can be written, the other one executed."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref

from emulator.machine.linking import DISTANCE

PIECE = 16
"""Pieces begin at multiples of so many bytes."""


class Arena:
    """So many bytes, mapped twice.  What runs often goes to its beginning, one piece behind the other, and what runs
    seldom to its end, so the two do not share pages of the host."""

    def __init__(self, size: int) -> None:
        handle = os.memfd_create("popek")
        try:
            os.ftruncate(handle, size)
            self._written = mmap.mmap(handle, size)
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
            libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
            found = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED, handle, 0)
        finally:
            os.close(handle)
        if found in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "memory cannot be made executable")
        self.address: int = found
        self._first, self._last = 0, size
        weakref.finalize(self, libc.munmap, self.address, size)

    @staticmethod
    def possible() -> bool:
        """Does this host have such memory?"""
        return hasattr(os, "memfd_create")

    def room(self, often: int, seldom: int) -> tuple[int, int] | None:
        """The addresses where so many bytes of either kind go; None if they are too many."""
        first = self._first + often + PIECE
        last = (self._last - seldom) // PIECE * PIECE
        return (self.address + self._first, self.address + last) if first <= last else None

    def put(self, often: bytearray, seldom: bytearray) -> None:
        """Writes code where `room` told."""
        self._written[self._first : self._first + len(often)] = often
        self._first = -(-(self._first + len(often)) // PIECE) * PIECE
        self._last = (self._last - len(seldom)) // PIECE * PIECE
        self._written[self._last : self._last + len(seldom)] = seldom

    def lead(self, distance: int, to: int) -> None:
        """Lets a jump whose distance is at an address lead to another."""
        DISTANCE.pack_into(self._written, distance - self.address, to - distance - DISTANCE.size)
