"""The machines that are compared with an independent implementation."""

from __future__ import annotations

from functools import cache

from conformance.adapter import Adapter
from conformance.adapter_ia32 import Ia32
from conformance.adapter_ka10 import Ka10
from conformance.adapter_m68k import M68k
from conformance.adapter_rv64 import Rv64
from conformance.adapter_s370 import S370

MACHINES = ("m68000", "m68010", "rv64", "ia32", "s370", "ka10")


@cache
def adapter_of(machine: str) -> Adapter:
    """The adapter of a machine.

    Raises:
        KeyError: there is none.
    """
    return {
        "m68000": lambda: M68k("m68000"),
        "m68010": lambda: M68k("m68010"),
        "rv64": Rv64,
        "ia32": Ia32,
        "s370": S370,
        "ka10": Ka10,
    }[machine]()
