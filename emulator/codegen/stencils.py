"""Stencils: handlers that go on at the symbol `next` instead of the handler of the next record.

Their machine code is copied, one copy behind the other (`emulator/machine/copies.py`): code without loops then runs
without the jumps of the threaded interpreter, which no processor foresees where there are many instructions.  All else
is as in handlers, operands are read from the records; so a copy may be entered and left at any instruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from emulator.codegen.handler import CONVENTION, NEXT, PARAMETERS, handler
from emulator.codegen.layout import Record
from emulator.codegen.plan import Plan
from emulator.codegen.runtime import Runtime
from emulator.codegen.values import PROFILES, Unsupported
from emulator.codegen.variant import Variant

THROUGH, COUNT = "through", "count"
"""To the handler of the record; a jump is counted."""


def stencils(plan: Plan, variants: Mapping[str, Variant]) -> tuple[str, tuple[str, ...]]:
    """A module with the stencils of variants by name, as far as there are any, and of what is common to all of them."""
    through = f"""define {CONVENTION} void @{THROUGH}({PARAMETERS}) nounwind {{
  %place = getelementptr i8, ptr %rec, i64 {Record.HANDLER}
  %handler = load ptr, ptr %place
  musttail call {CONVENTION} void %handler(ptr %st, ptr %rec, ptr %ram, i64 %b, i64 %pc, i64 %x)
  ret void
}}
"""
    texts = {THROUGH: through, COUNT: Runtime(plan).counting(COUNT, NEXT)}
    for name, variant in variants.items():
        with suppress(Unsupported):
            texts[name] = handler(plan, variant, name, NEXT)
    declared = "".join(f"declare i{n} @llvm.bswap.i{n}(i{n})\n" for n in (16, 32, 64))
    declared += f"declare {CONVENTION} void {NEXT}({PARAMETERS})\n"
    return PROFILES + declared + "\n".join(texts.values()), tuple(texts)
