"""Machines that run programs: one interface (`emulator.interface`), several tiers that give the same results.

`reference` is the reference executor with regions and devices, and `blocks` adds basic blocks as generated Python; they
need nothing and are slow.  `interpreter` is the threaded interpreter made by LLVM, `copies` adds stencils
one behind the other, and `regions` regions of hot code.
`auto` is the fastest that there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, assert_never

from analyzer import ir
from analyzer.errors import UsageError
from emulator.interface import Machine, Region

if TYPE_CHECKING:
    from emulator.storage import Storage

Tier = Literal["auto", "reference", "blocks", "interpreter", "copies", "regions", "background"]

HOT = 300
"""Jumps to an address after which it becomes the entry of a region."""
SHARE = 0.5
"""Of the time, that making regions may take."""
LASTING = 0.01
"""Of the time so far, that code must have been hot."""

__all__ = ["Tier", "build"]


def build(
    isa: ir.Isa,
    regions: Sequence[Region],
    choices: Mapping[str, int] | None = None,
    tier: Tier = "auto",
    hot: int = HOT,
    storages: Mapping[str, Storage] | None = None,
) -> Machine:
    """A machine at reset.  `hot` is for `regions`.  `storages` are those of another machine with the same regions, with
    which generated code has its memory in common.

    Raises:
        UsageError: the regions are not possible, or the tier needs llvmlite and it is not there.
    """
    compiled = find_spec("llvmlite") is not None
    match tier:
        case "reference":
            from emulator.machine.plain import PlainMachine

            return PlainMachine(isa, regions, choices)
        case "blocks":
            from emulator.machine.blocks import BlocksMachine

            return BlocksMachine(isa, regions, choices)
        case "auto" if not compiled:
            from emulator.machine.blocks import BlocksMachine

            return BlocksMachine(isa, regions, choices)
        case "interpreter" | "copies" | "regions" | "background" | "auto":
            if not compiled:
                raise UsageError(f"the tier {tier} needs llvmlite", "pip install llvmlite")
            from emulator.machine.native import NativeMachine
            from emulator.machine.tuning import Tuning

            hot, share = 0 if tier == "interpreter" else hot, None if tier == "copies" else SHARE
            tuning = Tuning(hot, share, LASTING, ahead=True, background=tier == "background")
            return NativeMachine(isa, regions, choices, tuning=tuning, storages=storages)
        case _:
            assert_never(tier)
