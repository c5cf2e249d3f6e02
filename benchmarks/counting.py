"""Instructions that the host executes, counted by its processor: a measure that other work on the host does not change.

Linux, perf_event_open(2): a counter of the calling thread, of what runs in user mode.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

SYSCALL = {"x86_64": 298, "aarch64": 241}
HARDWARE, INSTRUCTIONS = 0, 1
EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR = 1 << 5, 1 << 6
ATTRIBUTES = "IIQQQQQIIQ"
"""struct perf_event_attr, version 0: type, size, config, period, sample type, read format, flags, the rest."""


class Counter:
    """Counts from when it is made; `value` is None where the host does not count."""

    def __init__(self) -> None:
        self._file = -1
        number = SYSCALL.get(platform.machine())
        if number is None or platform.system() != "Linux":
            return
        size, flags = struct.calcsize(ATTRIBUTES), EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR
        asked = struct.pack(ATTRIBUTES, HARDWARE, size, INSTRUCTIONS, 0, 0, 0, flags, 0, 0, 0)
        self._file = ctypes.CDLL(None).syscall(number, asked, 0, -1, -1, 0)

    @property
    def value(self) -> int | None:
        return None if self._file < 0 else int.from_bytes(os.read(self._file, 8), "little")
