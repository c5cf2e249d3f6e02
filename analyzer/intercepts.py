"""Intercept synthesis: a setting of the bits that choose which instructions trap, under which nothing is left to fix.

∃ setting ∀ states: no hole.  Each instruction depends on few of the bits, so its holes are tabulated over those; then
settings are tried in order of what they cost: instructions caught that had no hole, then bits set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product

import analyzer.properties as pg
from analyzer import ir
from analyzer.classify import NO, UNKNOWN, YES, Asker, Truth, plain
from analyzer.passes.effects import EffectsOf
from analyzer.symbolic.pair import Subject, subjects
from analyzer.symbolic.setting import Setting

MAX_BITS = 16
"""More intercept bits than this are not searched exhaustively."""


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The result.  `setting` names the bits to set (None: no setting works); `uncaught` are the instructions that no
    setting catches; `undecided` those whose queries ran out of budget."""

    setting: tuple[str, ...] | None
    uncaught: tuple[str, ...]
    undecided: tuple[str, ...]


def synthesize(isa: ir.Isa, scheme: ir.Scheme, rlimit: int | None = None) -> Synthesis:
    """Searches the scheme's `choose` elements.  Assumptions that pin them are set aside."""
    bits = [n for n in isa.elements if n in set(scheme.choose) or n.rsplit(".", 1)[0] in scheme.choose]
    effects = EffectsOf(isa)
    kept = tuple(
        a for a in scheme.assume if not set(bits) & effects.block((*a.prelude, ir.Let("assume", a.expr))).reads
    )
    setting = Setting(isa, replace(scheme, assume=kept))
    tables = [Table(setting, s, bits, rlimit) for s in subjects(isa) if not plain(setting, s.instruction)]
    undecided = tuple(t.subject.name for t in tables if UNKNOWN in t.hole.values())
    uncaught = tuple(t.subject.name for t in tables if NO not in t.hole.values())
    if uncaught:
        return Synthesis(None, uncaught, undecided)
    relevant = [b for b in bits if any(b in t.bits for t in tables)][:MAX_BITS]
    for count in range(len(relevant) + 1):
        fitting = [chosen for chosen in combinations(relevant, count) if all(t.at(chosen) is NO for t in tables)]
        if fitting:
            best = min(fitting, key=lambda chosen: sum(t.needless(chosen) for t in tables))
            return Synthesis(best, (), undecided)
    return Synthesis(None, tuple(t.subject.name for t in tables if t.at(tuple(relevant)) is not NO), undecided)


class Table:
    """One subject's holes, and whether it traps, for each setting of the bits that its text can meet."""

    def __init__(self, setting: Setting, subject: Subject, bits: list[str], rlimit: int | None) -> None:
        self.subject = subject
        reads = setting.effects.block(subject.instruction.body).reads
        self.bits = [b for b in bits if b in reads][:MAX_BITS]
        self.hole: dict[tuple[int, ...], Truth] = {}
        self.traps: dict[tuple[int, ...], bool] = {}
        asker = Asker(setting, subject, rlimit)
        pair, smt = asker.pair, asker.pair.smt
        real = pg.real_states(pair)
        reasons = [r.formula for r in pg.unfaithful(pair)]
        for values in product((0, 1), repeat=len(self.bits)):
            here = smt.and_(
                *(
                    smt.eq(pair.r.world.element(b), v, isa_width(setting.isa, b))
                    for b, v in zip(self.bits, values, strict=True)
                )
            )
            self.hole[values] = asker.exists_any(smt.and_(real, here), reasons)
            self.traps[values] = smt.check(real, here, pair.r.traps(), pair.v.stays()).status == "sat"

    def key(self, chosen: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(int(b in chosen) for b in self.bits)

    def at(self, chosen: tuple[str, ...]) -> Truth:
        """Is there a hole under this setting?"""
        return self.hole[self.key(chosen)]

    def needless(self, chosen: tuple[str, ...]) -> bool:
        """Does the setting catch an instruction that has no hole without it?"""
        key, none = self.key(chosen), (0,) * len(self.bits)
        return self.traps[key] and not self.traps[none] and self.hole[none] is not YES


def isa_width(isa: ir.Isa, element: str) -> int:
    """The width of an element."""
    return isa.elements[element].width
