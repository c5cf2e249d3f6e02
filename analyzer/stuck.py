"""Addresses that are stuck: permitted in a virtual mode, and refused in the real one under every map.

The fixed kernel segments of MIPS are the classic: a kernel that lives there cannot run in user mode whatever the
monitor puts into the map.  This is a property of the map, asked once a map and not once an instruction.
"""

from __future__ import annotations

from analyzer import ir
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Bool, Smt
from analyzer.symbolic.windows import FreeTables, World

KINDS: tuple[ir.AccessKind, ...] = ("read", "write", "fetch")


def stuck_addresses(setting: Setting) -> tuple[str, ...]:
    """A sentence for each map, virtual mode and kind of access with stuck addresses, naming the least one."""
    out = []
    for name in setting.shapes:
        for virtual, real in setting.scheme.run:
            if virtual == real:
                continue
            kinds = [k for k in KINDS if _least_stuck(setting, name, virtual, real, k) is not None]
            if kinds:
                least = min(a for k in kinds if (a := _least_stuck(setting, name, virtual, real, k)) is not None)
                mode, run = setting.isa.mode.named(virtual), setting.isa.mode.named(real)
                out.append(
                    f"{name}: {' and '.join(kinds)} from {least:#x} on, permitted in mode {mode}, "
                    f"trap in mode {run} under every map"
                )
    return tuple(out)


def _least_stuck(setting: Setting, name: str, virtual: int, real: int, kind: ir.AccessKind) -> int | None:
    """The least stuck address, or None."""
    isa = setting.isa
    space = isa.spaces[name]
    assert isinstance(space, ir.Map)
    smt = Smt()
    address = smt.symbol("address", space.address_width)
    sides = []
    for side, mode in (("v", virtual), ("r", real)):
        world = World(isa, smt, side)
        memories = FreeTables(isa, smt, world, setting.shapes)
        ex = Executor(isa, smt, world, memories)
        frame = Frame({}, Changes(), Changes())
        in_mode = smt.eq(ex.value(isa.mode.expr, frame), mode, ir.width(isa.mode.expr))
        args = tuple(memories.default(ex, frame, p, kind) if p.default is not None else 0 for p in space.params)
        bits = isa.fetch.parcel if kind == "fetch" else space.unit
        fault, _, _, _ = memories.evaluate(ex, frame, space, address, args, kind, bits)
        sides.append((in_mode, fault, world, memories))
    (v_mode, v_fault, _, _), (r_mode, r_fault, r_world, r_memories) = sides
    if r_fault is False:
        return None
    invariants = _monitor(setting, smt, r_world)
    simple = smt.check(v_mode, smt.not_(v_fault), r_mode, r_fault)
    if simple.status != "sat":
        return None
    bound = [t for n, t in r_world.values.items() if not setting.is_guest(n) and n not in isa.choices]
    bound += r_memories.loaded
    bound += [smt.symbol(f"chosen {n}", w) for n, w in setting.scheme.chosen]
    claim = smt.forall(bound, smt.implies(smt.and_(r_mode, invariants), r_fault))
    answer = smt.check(v_mode, smt.not_(v_fault), claim)
    if answer.status != "sat":
        return None
    return int(answer.model.value(address))


def _monitor(setting: Setting, smt: Smt, world: World) -> Bool:
    """The monitor's invariants that need no memory."""
    ex = Executor(setting.isa, smt, world, FreeTables(setting.isa, smt, world, setting.shapes))
    return smt.and_(*(setting.assumed(ex, a) for a in setting.scheme.assume if not a.free and not a.prelude))
