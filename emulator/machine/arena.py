"""Memory for code that comes in small pieces: one side of it can be written, the other one executed."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref

from emulator.machine.linking import DISTANCE


class Arena:
    """So many bytes, mapped twice: they are written at one address, and executed at the other, `shift` bytes behind."""

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
        weakref.finalize(self, libc.munmap, found, size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._written))
        self.size, self.shift = size, found - self.address

    @staticmethod
    def possible() -> bool:
        """Does this host have such memory?"""
        return hasattr(os, "memfd_create")

    def lead(self, distance: int, to: int) -> None:
        """Lets a jump whose distance is written at an address lead to where something is executed."""
        there = distance + self.shift + DISTANCE.size
        DISTANCE.pack_into(self._written, distance - self.address, to - there)
