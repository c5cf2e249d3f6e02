"""Which guest elements a resource map depends on: premise P1.

By the text a map may read a guest element only to tell a trap about it, so the solver is asked: is there a state in
which another value of the element, and of nothing else, changes whether an access is permitted, where it goes, or which
table entries are read?
"""

from __future__ import annotations

from typing import Any

from analyzer import ir
from analyzer.source import Span
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.windows import FreeTables, World

KINDS: tuple[ir.AccessKind, ...] = ("read", "write", "fetch")


class AskedTables(FreeTables):
    """Free tables that remember where they were read."""

    def __init__(self, setting: Setting, smt: Smt, world: World) -> None:
        super().__init__(setting.isa, smt, world, setting.shapes)
        self.asked: list[tuple[Bits, int]] = []

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits:
        self.asked.append((ex.value(access.address, frame), ir.width(access.address)))
        return super().load(ex, frame, path, access, span)


def guest_dependence(setting: Setting, name: str) -> tuple[str, ...]:
    """The guest elements that the map of this name depends on, in alphabetical order; one that the solver cannot
    settle is among them."""
    read = sorted(n for n in setting.effects.map(name).reads if setting.is_guest(n))
    return tuple(n for n in read if any(_matters(setting, name, n, kind) for kind in KINDS))


def _matters(setting: Setting, name: str, guest: str, kind: ir.AccessKind) -> bool:
    smt = Smt()
    (one, asked), (two, asked_too) = (_ways(setting, smt, name, kind, g) for g in ({}, {guest: f"{guest} changed"}))
    below = setting.isa.spaces[setting.isa.spaces[name].below]  # type: ignore[union-attr]  # it is a map
    moved = smt.not_(smt.eq(one[1], two[1], below.address_width))
    apart = [smt.xor(one[0], two[0]), smt.and_(smt.not_(one[0]), smt.not_(two[0]), moved)]
    apart += [smt.not_(smt.eq(a, b, w)) for (a, w), (b, _) in zip(asked, asked_too, strict=True)]
    return smt.check(smt.or_(*apart)).status != "unsat"


def _ways(
    setting: Setting, smt: Smt, name: str, kind: ir.AccessKind, renamed: dict[str, str]
) -> tuple[tuple[Bool, Bits], list[tuple[Bits, int]]]:
    """The fault condition and the address below of an access, and the table addresses asked on the way."""
    isa = setting.isa
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    world = World(isa, smt, "v")
    for guest, other in renamed.items():
        world.values[guest] = _symbol(isa, smt, guest, other)
    tables = AskedTables(setting, smt, world)
    ex = Executor(isa, smt, world, tables)
    frame = Frame({}, Changes(), Changes())
    args = tuple(
        smt.symbol(f"argument {p.name}", p.width) if p.default is None else tables.default(ex, frame, p, kind)
        for p in space.params
    )
    address = smt.symbol("address", space.address_width)
    fault, _, below, _ = tables.evaluate(ex, frame, space, address, args, kind, space.unit)
    return (fault, below), tables.asked


def _symbol(isa: ir.Isa, smt: Smt, name: str, symbol: str) -> Any:
    if name in isa.elements:
        return smt.symbol(symbol, isa.elements[name].width)
    file = isa.files[name]
    return smt.array(symbol, file.index_width, file.width)
