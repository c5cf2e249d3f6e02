"""Intercept synthesis: a setting of the bits that choose which instructions trap, under which nothing is left to fix.

∃ setting ∀ states: no hole, and nothing stuck.  Only the instructions that have a hole under some setting need be
asked.  The search is guided by counterexamples: the cheapest setting that nothing speaks against is tried; what it
leaves open or catches without need is learned as cubes of settings; and the next one is tried, until one is as cheap as
was thought.  It is then the cheapest of all: fewest instructions caught at states that are no holes, then fewest bits,
then those that were declared first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.catching import Bit, Catcher, Choice, Cube, Survey, bits_of, open_scheme, survey, within
from analyzer.classify import NO, UNKNOWN, YES, plain
from analyzer.errors import EngineError
from analyzer.spread import spread
from analyzer.symbolic.least import least_model
from analyzer.symbolic.pair import subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Bool, Smt

MAX_OTHERS = 7
"""Other settings, as good as the one that is found, that are told."""

Told = Callable[[int, int, str], None]
"""Called with the number of subjects looked at, their total, and the last one's name."""


class Synthesis(Struct, frozen=True):
    """The result.

    `setting` are the bits to set (None: no setting works), each with the instructions whose holes it closes; `others`
    are as good.  Where no setting works, `uncaught` are the instructions that none catches, and if each can be caught,
    `apart` are those that no single setting catches together, `stopped` the innocuous ones that would then be stuck.
    `undecided` are the instructions whose queries ran out of budget.
    """

    setting: tuple[tuple[str, tuple[str, ...]], ...] | None
    others: tuple[tuple[str, ...], ...] = ()
    uncaught: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


def synthesize(
    isa: ir.Isa, scheme: ir.Scheme, rlimit: int | None = None, jobs: int = 1, progress: Told | None = None
) -> Synthesis:
    """Searches the settings of the bits that the scheme lets the monitor choose, whatever it assumes of them.

    Raises:
        EngineError: the budget ran out while a setting was chosen.
    """
    bits = bits_of(isa, Setting(isa, scheme).chosen)
    setting = Setting(isa, replace(scheme, assume=open_scheme(Setting(isa, scheme), bits)))
    todo = [s for s in subjects(isa) if not plain(setting, s.instruction)]
    elements = frozenset(f"{b.element}@r" for b in bits)
    looks: list[Survey] = []
    pieces = [(0, partial(survey, setting, elements, rlimit, subject)) for subject in todo]
    for found in spread(pieces, jobs):
        looks.append(found)
        if progress is not None:
            progress(len(looks), len(todo), todo[len(looks) - 1].name)
    concerned = [(s, look) for s, look in zip(todo, looks, strict=True) if look.hole is not NO or look.catches]
    catchers = [(Catcher(setting, s, bits, rlimit), look) for s, look in concerned]
    return Search(bits, [c for c, look in catchers if look.hole is not NO], [c for c, _ in catchers]).result()


@dataclass
class Search:
    """What is known of settings.  `leaky` have a hole under some setting; the traps of `catchers` depend on it.

    `barred` are cubes of settings that do not work, with what they leave open or stop; `needless` are, for each
    instruction, cubes of settings that catch it without need.
    """

    bits: tuple[Bit, ...]
    leaky: list[Catcher]
    catchers: list[Catcher]
    barred: list[tuple[Cube, str, str]] = field(default_factory=list)
    needless: dict[str, list[Cube]] = field(default_factory=dict)

    def result(self) -> Synthesis:
        """The cheapest setting that works, or why there is none."""
        found = self.best()
        if found is None:
            return self.none_works()
        best, undecided = found
        others: list[Choice] = []
        chosen = best
        for _ in range(MAX_OTHERS):
            self.barred.append((frozenset((b, True) for b in chosen), "told", ""))
            other = self.best(limit=self.price(best))
            if other is None:
                break
            chosen, more = other
            undecided = {**undecided, **more}
            others.append(chosen)
        return Synthesis(
            tuple((b.name, self.closed_by(b, best)) for b in self.bits if b in best),
            tuple(tuple(b.name for b in self.bits if b in other) for other in others),
            undecided=tuple(undecided),
        )

    def best(self, limit: tuple[int, int] | None = None) -> tuple[Choice, dict[str, None]] | None:
        """The cheapest setting that works, no dearer than the limit, and what was undecided of it; None if there is
        none."""
        while True:
            choice = self.cheapest()
            if choice is None or (limit is not None and self.price(choice) > limit):
                return None
            undecided: dict[str, None] = {}
            if not any(learn(choice, undecided) for learn in (self.learn_holes, self.learn_needless, self.learn_stuck)):
                return choice, undecided

    # -- learning ------------------------------------------------------------------------------------------------------

    def learn_holes(self, choice: Choice, undecided: dict[str, None]) -> bool:
        """Learns what a setting leaves open; False if that is nothing."""
        return sum(self._learn_hole(c, choice, undecided) for c in self.leaky) > 0

    def _learn_hole(self, catcher: Catcher, choice: Choice, undecided: dict[str, None]) -> bool:
        for question, what in ((catcher.impossible, "impossible"), (catcher.hole, "hole")):
            truth, cube = question(choice)
            if truth is YES:
                self.barred.append((cube, what, catcher.name))
                return True
            if truth is UNKNOWN:
                undecided[catcher.name] = None
        return False

    def learn_needless(self, choice: Choice, undecided: dict[str, None]) -> bool:
        """Learns what a setting catches without need, and was not known; False if that is nothing."""
        learned = False
        for catcher in self.catchers:
            cubes = self.needless.setdefault(catcher.name, [])
            if any(within(choice, cube) for cube in cubes):
                continue
            truth, cube = catcher.needless(choice)
            if truth is YES:
                cubes.append(cube)
                learned = True
            elif truth is UNKNOWN:
                undecided[catcher.name] = None
        return learned

    def learn_stuck(self, choice: Choice, undecided: dict[str, None]) -> bool:
        """Learns which innocuous instructions a setting stops; False if that is none."""
        learned = False
        for catcher in self.catchers:
            if catcher in self.leaky or not any(within(choice, cube) for cube in self.needless[catcher.name]):
                continue
            truth, cube = catcher.stuck(choice)
            if truth is YES:
                self.barred.append((cube, "stuck", catcher.name))
                learned = True
            elif truth is UNKNOWN:
                undecided[catcher.name] = None
        return learned

    # -- choosing ------------------------------------------------------------------------------------------------------

    def price(self, choice: Choice) -> tuple[int, int]:
        """What a setting costs, by what is known."""
        caught = sum(any(within(choice, cube) for cube in cubes) for cubes in self.needless.values())
        return caught, len(choice)

    def cheapest(self) -> Choice | None:
        """The cheapest setting that is not barred; None if there is none.  What nothing speaks of is not set."""
        smt = Smt()
        cubes = [*(cube for cube, _, _ in self.barred), *(c for cubes in self.needless.values() for c in cubes)]
        spoken = {bit for cube in cubes for bit, _ in cube}
        symbols = {b: smt.symbol(b.name, 1) for b in self.bits if b in spoken}

        def inside(cube: Cube) -> Bool:
            return smt.and_(*(smt.eq(symbols[b], int(v), 1) for b, v in sorted(cube, key=lambda x: x[0].name)))

        allowed = smt.and_(*(smt.not_(inside(cube)) for cube, _, _ in self.barred))
        if smt.check(allowed).status == "unsat":
            return None
        caught = _count(smt, [smt.or_(*map(inside, cubes)) for cubes in self.needless.values()])
        set_ = _count(smt, [smt.to_bool(s) for s in symbols.values()])
        clear = [smt.eq(s, 0, 1) for s in symbols.values()]  # their least values set what was declared first
        model = least_model(smt, allowed, [t for t in (caught, set_, *clear) if not isinstance(t, int)])
        if model is None:
            raise EngineError("the budget ran out while a setting of the intercept bits was chosen")
        return frozenset(b for b, s in symbols.items() if model.value(s))

    def closed_by(self, bit: Bit, choice: Choice) -> tuple[str, ...]:
        """The instructions that have a hole again without this bit."""
        without = choice - {bit}
        open_ = {name for cube, what, name in self.barred if what == "hole" and within(without, cube)}
        return tuple(c.name for c in self.leaky if c.name in open_ or self._opens(c, without))

    def _opens(self, catcher: Catcher, choice: Choice) -> bool:
        return catcher.hole(choice)[0] is YES

    # -- where none works ----------------------------------------------------------------------------------------------

    def none_works(self) -> Synthesis:
        """Why there is no setting: instructions that none catches, or some that none catches together."""
        alone = [c.name for c in self.leaky if Search(self.bits, [c], []).best() is None]
        if alone:
            return Synthesis(None, uncaught=tuple(alone))
        barred, core = self.barred, self.barred
        for name in dict.fromkeys(n for _, _, n in barred):
            self.barred = [b for b in core if b[2] != name]
            if self.cheapest() is None:
                core = self.barred
        self.barred = barred
        names = dict.fromkeys((what, name) for _, what, name in core)
        return Synthesis(
            None,
            apart=tuple(n for what, n in names if what == "hole"),
            stopped=tuple(n for what, n in names if what == "stuck"),
        )


def _count(smt: Smt, flags: list[Bool]) -> int:
    """How many of these hold, as bits."""
    width = max(len(flags), 1).bit_length()
    total: int = 0
    for flag in flags:
        total = smt.op("add", total, smt.ite(flag, 1, 0, width), width)
    return total
