"""Whether there is anything to speak of (convention 3): virtual modes in which no state is left, and invariants that
the machine does not begin with.

"No hole" is a universal statement.  Invariants, assumptions of the guest and guarantees of the monitor that contradict
each other leave it without cases, and every theorem would hold.
"""

from __future__ import annotations

from msgspec.structs import replace

from analyzer.properties import real_states
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.pair import Pair, Subject
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Smt
from analyzer.symbolic.windows import Windows, World
from analyzer.theorems import Status, Theorem


def empty_modes(setting: Setting) -> tuple[str, ...]:
    """The virtual modes in which no state may be run directly, before it is asked what runs."""
    nothing = replace(setting.isa.instructions[0], name="nothing", segments=(), operands=(), body=(), where=None)
    pair = Pair(setting, Subject(nothing))
    states = real_states(pair)
    virtual = (v for v, _ in setting.scheme.run)
    empty = [v for v in virtual if pair.smt.check(states, pair.in_modes(pair.v, (v,))).status == "unsat"]
    pair.smt.close()
    return tuple(setting.isa.mode.named(v) for v in empty)


def false_at_reset(setting: Setting) -> tuple[str, ...]:
    """The machine invariants that no state after reset satisfies: what is preserved must also once have been true."""
    smt, isa = Smt(), setting.isa
    world = World(isa, smt, "v")
    ex = Executor(isa, smt, world, Windows(isa, smt, world, setting.shapes))
    reset = [smt.eq(world.element(n), e.reset, e.width) for n, e in isa.elements.items() if e.reset is not None]
    out = []
    for invariant in isa.invariants:
        frame = Frame({}, Changes(), Changes())
        ex.block(invariant.prelude, frame, True)
        if smt.check(*reset, ex.value(invariant.expr, frame)).status == "unsat":
            out.append(f"reset: {invariant.reason or 'an invariant'}")
    smt.close()
    return tuple(out)


def vacuous(theorem: Theorem, empty: tuple[str, ...]) -> Theorem:
    """A theorem that holds of modes without states is not proved of the machine."""
    if theorem.status is not Status.HOLDS or not empty:
        return theorem
    why = f"no state in mode {', '.join(empty)} satisfies the invariants and what the scheme assumes"
    return replace(theorem, status=Status.VACUOUS, culprits=(), why=why)
