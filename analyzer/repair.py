"""The smallest change that makes a machine virtualizable: for each hole a privilege check that closes it.

A check stands before the operands are evaluated: it tells modes apart and encodings (the cases of a dispatch space are
subjects of their own), and not what registers and memory hold.  So the weakest one that closes a hole is the trap in
those real modes in which the hole can be met: ∃σ, ∃μ hole, with all but the mode projected away.  Every instruction
with a hole needs one, because no other instruction's trap helps it: the set of instructions is the smallest.
"""

from __future__ import annotations

import analyzer.properties as pg
from analyzer import ir
from analyzer.properties import Reason
from analyzer.symbolic.pair import Pair


def weakest_guard(pair: Pair, reasons: list[Reason]) -> str:
    """`trap privileged when …`, as text of the language."""
    hole = pair.smt.and_(pg.real_states(pair), pair.smt.or_(*(r.formula for r in reasons)))
    modes = pair.user_modes
    if len(modes) > 1:  # else there is nothing to tell apart; a mode that is not known to be safe counts as open
        modes = tuple(m for m in modes if pair.smt.check(hole, pair.in_modes(pair.r, (m,))).status != "unsat")
    return modes_text(pair.setting.isa, modes)


def modes_text(isa: ir.Isa, codes: tuple[int, ...]) -> str:
    """The mode is one of these, in the language."""
    others = [m for m in isa.mode.modes() if m.code not in codes]
    if len(others) == 1:
        return f"mode != {others[0].name}"
    return " or ".join(f"mode == {isa.mode.named(c)}" for c in codes)
