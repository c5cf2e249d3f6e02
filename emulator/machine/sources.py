"""The modules that a machine has made, as text.  What writes one is imported when it was not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec import json

from emulator.codegen.block import Sketches
from emulator.codegen.plan import Plan
from emulator.codegen.values import PROFILES, Unsupported
from emulator.codegen.variant import Instr, Variant
from emulator.machine.engine import Module

SWAPS = "".join(f"declare i{n} @llvm.bswap.i{n}(i{n})\n" for n in (16, 32, 64))


def runtime_module(plan: Plan) -> Module:
    """The routines that a machine needs once."""
    from emulator.codegen.runtime import Runtime

    runtime = Runtime(plan)
    return Module(runtime.text(), tuple(runtime.exports()))


def decoder_module(plan: Plan) -> Module:
    """The decoder: `decode`."""
    from emulator.codegen.decoder import decoder

    return Module(PROFILES + SWAPS + decoder(plan), ("decode",))


def handlers_module(plan: Plan, named: Sequence[tuple[str, Variant]]) -> Module:
    """Handlers by their names; those that have no code are left out."""
    from emulator.codegen.handler import handler

    texts = {}
    for name, variant in named:
        with suppress(Unsupported):
            texts[name] = handler(plan, variant, name)
    return Module(PROFILES + SWAPS + "\n".join(texts.values()), tuple(texts))


def stencils_module(plan: Plan, named: Sequence[tuple[str, Variant]]) -> Module:
    """Stencils by their names, and what their symbols stand for; those that there are not are left out.  The glue if
    none are named."""
    from emulator.codegen.glue import glue
    from emulator.codegen.stencil import Holes, stencil, stencils

    found: dict[str, Holes] = {each.name: each for each in glue(plan).values()} if not named else {}
    for name, variant in named:
        with suppress(Unsupported):
            found[name] = stencil(plan, variant, name)
    known = {
        name: (each.numbers(), {symbol: formula for formula, symbol in each.exits.items()}, each.never)
        for name, each in found.items()
    }
    return Module(PROFILES + SWAPS + stencils(found.values()), tuple(found), json.encode(known).decode())


def region_module(
    plan: Plan,
    known: Mapping[str, int],
    page: Mapping[int, Instr],
    bounds: tuple[int, int],
    windows: frozenset[int],
    pc: int,
    sketches: Sketches,
) -> tuple[Module, set[int]]:
    """The region that begins at an address of a page, and the addresses of its instructions; the module has no symbols
    if there is no such region.  `sketches` are those of the page."""
    from emulator.codegen.region import DECLARATIONS, Region

    region = Region(plan, known, page, bounds, windows=windows, sketches=sketches)
    text = region.function(pc, "region")
    if text is None:
        return Module("", ()), set()
    return Module(PROFILES + DECLARATIONS + text, ("region",)), region.covered
