"""Asks the solver which classes an instruction is in, and whether it is faithful.

An instruction whose text touches guest state only is settled by that (`plain`); for the others each definition of
`properties` is one query.  Answers are yes, no or unknown; unknown is never taken for either.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cached_property, partial
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

import analyzer.properties as pg
from analyzer import ir
from analyzer.properties import Cause, Reason
from analyzer.symbolic.pair import Pair, Subject
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import QUICK_RLIMIT, Answer, Bool
from analyzer.symbolic.term import Term, nodes


class Truth(Enum):
    """The answer to an existential question, or to a class."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @staticmethod
    def of(answer: Answer) -> Truth:
        return {"sat": Truth.YES, "unsat": Truth.NO, "unknown": Truth.UNKNOWN}[answer.status]

    def __invert__(self) -> Truth:
        return Truth.NO if self is Truth.YES else Truth.YES if self is Truth.NO else Truth.UNKNOWN

    def __and__(self, other: Truth) -> Truth:
        if self is Truth.NO or other is Truth.NO:
            return Truth.NO
        return Truth.YES if self is other is Truth.YES else Truth.UNKNOWN

    def __or__(self, other: Truth) -> Truth:
        if self is Truth.YES or other is Truth.YES:
            return Truth.YES
        return Truth.NO if self is other is Truth.NO else Truth.UNKNOWN


YES, NO, UNKNOWN = Truth.YES, Truth.NO, Truth.UNKNOWN
CAUSES: tuple[Cause, ...] = ("location", "mode", "configuration")
COMBINED: Cause = "combined"


class Classes(Struct, frozen=True):
    """The classes of one subject under one scheme.

    `control` and `user_control` are in the extended profile, the `classical_` ones in that of 1974.  `causes` names the
    single causes of behavior sensitivity (`combined` when only the joint query finds one); for a privileged instruction
    the trap itself is not counted as a cause.
    """

    privileged: Truth = NO
    privileged_monitored: Truth = NO
    trap_only: Truth = NO
    control: Truth = NO
    classical_control: Truth = NO
    user_control: Truth = NO
    classical_user_control: Truth = NO
    causes: dict[str, Truth] = field(default_factory=dict)
    user_causes: dict[str, Truth] = field(default_factory=dict)

    def behavior(self) -> Truth:
        """Behavior sensitive, by any cause."""
        return _any(self.causes.values())

    def sensitive(self) -> Truth:
        """Sensitive in the extended profile."""
        return self.control | self.behavior()

    def classically_sensitive(self) -> Truth:
        """Sensitive in the classical profile: mode and map only."""
        causes = [v for k, v in self.causes.items() if k != "configuration"]
        return self.classical_control | _any(causes)

    def user_sensitive(self) -> Truth:
        """User sensitive, extended: control, location or configuration within user states."""
        return self.user_control | _any(self.user_causes.values())

    def classically_user_sensitive(self) -> Truth:
        """User sensitive as in 1974: control or location within user states."""
        return self.classical_user_control | self.user_causes.get("location", NO)

    def innocuous(self) -> Truth:
        """Some pair of runs completes, and it is neither privileged nor sensitive."""
        return ~self.trap_only & ~self.privileged & ~self.sensitive()


class Classes1974(Struct, frozen=True):
    """The column of 1974, by the formulas to the letter."""

    privileged: Truth = NO
    control: Truth = NO
    location: Truth = NO
    mode: Truth = NO
    user_control: Truth = NO
    user_location: Truth = NO

    def sensitive(self) -> Truth:
        return self.control | self.location | self.mode

    def user_sensitive(self) -> Truth:
        return self.user_control | self.user_location


class Faithfulness(Struct, frozen=True):
    """Is the instruction faithful?  `reasons` say how it is not; `hole_direct` is the same for virtual modes that a
    hybrid monitor runs directly."""

    hole: Truth
    reasons: tuple[str, ...] = ()
    stuck: Truth = NO
    hole_direct: Truth = NO
    note: str | None = None


class Finding(Struct, frozen=True):
    """All that is known of one subject."""

    subject: Subject
    plain: bool
    classes: Classes
    classes_1974: Classes1974
    faithful: Faithfulness
    executes: bool = False
    time: Truth = NO
    checks: int = 0

    @property
    def name(self) -> str:
        return self.subject.name


def _is_told(found: dict[Cause, Truth]) -> bool:
    """Is there a single cause, or none at all?"""
    return found.get(COMBINED) is NO or any(t is YES for c, t in found.items() if c != COMBINED)


def _any(truths: Any) -> Truth:
    out = NO
    for truth in truths:
        out = out | truth
    return out


# -- settled by the text -----------------------------------------------------------------------------------------------


def plain(setting: Setting, instruction: ir.Instruction) -> bool:
    """Reads and writes guest state only, through quiet maps, in the current mode; its traps help."""
    effects = setting.effects.block(instruction.body)
    if not all(setting.always_arrives(trap) for trap in effects.traps):
        return False
    if effects.physical or effects.tables or effects.probes or effects.unpredictable or effects.executes:
        return False
    names = effects.reads | effects.writes
    if instruction.where is not None:
        names = names | setting.effects.block((ir.Let("where", instruction.where),)).reads
    if not all(setting.is_guest(n) for n in names):
        return False
    for name in effects.windows:
        shape = setting.shapes[name]
        space = setting.isa.spaces[name]
        assert isinstance(space, ir.Map)
        if not shape.quiet or isinstance(setting.isa.spaces.get(space.below), ir.Bus):
            return False
    return not any(i in setting.shapes[name].privilege for name, i in effects.given)


def told_causes(found: dict[Cause, Truth]) -> dict[str, Truth]:
    """The single causes, in their order; the joint one where there is no other."""
    if found.get(COMBINED) is NO:
        return {}
    single: dict[str, Truth] = {c: found[c] for c in CAUSES if found.get(c, NO) is not NO}
    return single or ({COMBINED: found[COMBINED]} if COMBINED in found else {})


# -- asked of the solver -----------------------------------------------------------------------------------------------


class Asker:
    """Queries about one subject.  Not `each_cause` of behavior sensitivity need be found: one answers for all."""

    def __init__(self, setting: Setting, subject: Subject, rlimit: int | None = None, each_cause: bool = True) -> None:
        self.setting = setting
        self.each_cause = each_cause
        self.subject = subject
        self.pair = Pair(setting, subject, rlimit)
        self._base: list[Bool] = []

    def exists(self, *formulas: Bool) -> Truth:
        """Can the formulas hold together, in legal states?"""
        if any(f is False for f in formulas):
            return NO
        return Truth.of(self.pair.smt.check(self.machine(), *formulas))

    def exists_any(self, base: Bool, ways: list[Bool]) -> Truth:
        """Can the base hold together with one of these?"""
        return Truth.of(self.any_way(base, ways))

    def any_way(self, base: Bool, ways: list[Bool]) -> Answer:
        """The base together with one of these.  Asked together first, within a small budget, then one by one: a
        disjunction of changes to large arrays is much harder than its parts."""
        ways = [w for w in ways if w is not False]
        if not ways or base is False:
            return Answer("unsat")
        smt = self.pair.smt
        answer = smt.check(base, smt.or_(*ways), rlimit=QUICK_RLIMIT, thorough=False)
        if answer.status != "unknown":
            return answer
        undecided = None
        for way in ways:
            answer = smt.check(base, way)
            if answer.status == "sat":
                return answer
            if answer.status == "unknown":
                undecided = answer
        return undecided or Answer("unsat")

    def controls(self, profile: pg.Profile, *, user: bool = False) -> Truth:
        """Control sensitive in this profile (from a user state)."""
        base = self.pair.smt.and_(self.machine(), pg.goes_on(self.pair, user=user))
        return self.exists_any(base, pg.control_changes(self.pair, profile))

    def machine(self) -> Bool:
        """Legal states, of both runs."""
        if not self._base:
            self._base.append(self.pair.machine())
        return self._base[0]

    def nested(self, wide: Callable[[], Truth], narrow: Callable[[], Truth]) -> tuple[Truth, Truth]:
        """Two questions, of which the second implies the first.  Where there is a hole, yes is likely, and the model of
        the narrow one answers the wide one too; where there is none, the wide one's no answers both."""
        if self.holes[0] is YES:
            second = narrow()
            return YES if second is YES else wide(), second
        first = wide()
        return first, NO if first is NO else narrow()

    def classes(self) -> Classes:
        """All classes of §3."""
        pair = self.pair
        completes = self.exists(pg.completes(pair))
        if completes is NO:
            return Classes(trap_only=YES)
        executes = self.exists(pg.executes(pair))
        privileged = executes & ~self.exists(pg.escapes(pair))
        monitored = privileged if privileged is YES else executes & ~self.exists(pg.escapes(pair, monitored=True))
        if privileged is YES:
            control, user = self.controls("extended"), NO
            classical, user_classical = NO if control is NO else self.controls("classical"), NO
        else:
            control, user = self.controls_too("extended")
            classical, user_classical = (NO, NO) if control is NO else self.controls_too("classical")
        causes, user_causes = self.causes(privileged is YES)
        return Classes(
            privileged=privileged,
            privileged_monitored=monitored,
            trap_only=~completes,
            control=control,
            classical_control=classical,
            user_control=user,
            classical_user_control=user_classical,
            causes=causes,
            user_causes=user_causes,
        )

    def controls_too(self, profile: pg.Profile) -> tuple[Truth, Truth]:
        """Control sensitive in this profile; and from a user state."""
        return self.nested(lambda: self.controls(profile), lambda: self.controls(profile, user=True))

    def causes(self, privileged: bool) -> tuple[dict[str, Truth], dict[str, Truth]]:
        """The single causes of behavior sensitivity, or `combined`: from any state, and from a user state.  If not each
        cause is to be found, the first one of either will do; the classes of 1974 do not count the last."""
        found: dict[Cause, Truth] = {}
        user: dict[Cause, Truth] = {}
        for cause in (*CAUSES, COMBINED) if self.holes[0] is YES else (COMBINED, *CAUSES):
            if found.get(COMBINED) is NO:
                break  # each single cause implies the joint one
            enough = _is_told(found)
            if enough and (privileged or _is_told(user)) and (cause == COMBINED or not self.each_cause):
                break
            if enough and not self.each_cause and cause == "mode":
                continue  # there is no mode to differ in among user states
            wide = partial(self.behaves, cause, False, not privileged)
            if privileged or cause == "mode" or user.get(COMBINED) is NO:
                found[cause] = wide()
            else:
                found[cause], user[cause] = self.nested(wide, partial(self.behaves, cause, True, True))
        return told_causes(found), told_causes(user)

    def behaves(self, cause: Cause, user: bool, traps: bool) -> Truth:
        """Behavior sensitive by this cause."""
        return self.exists(pg.behavior_sensitive(self.pair, cause, user=user, trap_differences=traps))

    def classes_1974(self) -> Classes1974:
        """The column of 1974."""
        pair = self.pair
        untrapped = pair.smt.not_(pg.memory_trap(pair, pair.v))
        changes = pg.control_changes(pair, "classical")

        def controls(user: bool) -> Truth:
            return self.exists_any(pair.smt.and_(self.machine(), pg.goes_on(pair, user=user), untrapped), changes)

        def moves(user: bool) -> Truth:
            return self.exists(pg.behavior_1974(pair, "location", user=user))

        control, user_control = self.nested(partial(controls, False), partial(controls, True))
        location, user_location = self.nested(partial(moves, False), partial(moves, True))
        return Classes1974(
            privileged=self.exists(pg.executes(pair)) & ~self.exists(pg.privileged_1974_fails(pair)),
            control=control,
            location=location,
            mode=self.exists(pg.behavior_1974(pair, "mode")),
            user_control=user_control,
            user_location=user_location,
        )

    @cached_property
    def holes(self) -> tuple[Truth, list[tuple[Reason, Truth]]]:
        """Whether it is unfaithful, and by which reasons."""
        reasons = pg.unfaithful(self.pair)
        if not reasons:
            return NO, []
        real = pg.real_states(self.pair)
        joint = self.exists_any(real, [r.formula for r in reasons])
        if joint is NO:
            return NO, []
        found = [(r, Truth.of(self.pair.smt.check(real, r.formula, rlimit=QUICK_RLIMIT))) for r in reasons]
        found = [(r, t) for r, t in found if t is not NO]
        return joint, found

    def hole_direct(self) -> Truth:
        """Is there a hole at a state in a directly executed virtual mode?"""
        reasons = pg.unfaithful(self.pair)
        real = pg.real_states(self.pair)
        direct = pg.direct_modes(self.setting)
        there = self.pair.smt.and_(real, self.pair.in_modes(self.pair.v, direct))
        return self.exists_any(there, [r.formula for r in reasons])

    def stuck(self, classes: Classes, given: Bool = True) -> Truth:
        """Completes somewhere in σ, depends on and changes nothing held, and traps in the real machine under every map
        that the monitor may load (accesses are taken as permitted: the map's own stuck addresses are a question of its
        own).  `given` restricts the real states."""
        if classes.sensitive() is not NO or classes.trap_only is YES:
            return NO
        pair, smt = self.pair, self.pair.smt
        if any(self.setting.waits(name) for name in pair.v.after):
            return NO  # waiting is an effect, and the monitor's to give
        denied = smt.or_(*(smt.and_(e.current, e.fault) for e in pair.r.run.events))
        refused = smt.and_(pair.r.traps(), smt.not_(denied))
        real = smt.and_(pg.real_states(pair), given)
        some = Truth.of(smt.check(real, pair.v.stays(), refused))
        if some is NO:
            return NO
        return self.always_traps(real)

    def always_traps(self, real: Bool) -> Truth:
        """∃σ ∀ real(σ, μ): σ goes on and the real run traps.  The universal part ranges over the real side's own
        symbols."""
        pair, smt = self.pair, self.pair.smt
        bound = [t for n, t in pair.r.world.values.items() if not pair.setting.is_guest(n) and isinstance(t, Term)]
        bound = [t for t in bound if t.name.endswith("@r")]
        if not bound:
            return Truth.of(smt.check(real, pair.v.stays(), pair.r.traps()))
        claim = smt.forall(bound, smt.implies(real, pair.r.traps()))
        return Truth.of(smt.check(real, pair.v.stays(), claim))

    def depends_on_time(self) -> Truth:
        """A time element is part of what it leaves in guest state."""
        reads = self.setting.effects.block(self.subject.instruction.body).reads
        time = {n for n in reads if self.setting.role(n) is ir.Role.TIME}
        if not time:
            return NO
        left = (term for n, term in self.pair.v.after.items() if self.setting.is_guest(n))
        return YES if any(t.name.partition("@")[0] in time for term in left for t in nodes(term)) else NO


def examine(setting: Setting, subject: Subject, rlimit: int | None = None) -> Finding:
    """Everything about one subject that its text or queries tell."""
    if plain(setting, subject.instruction):
        trapping = not _can_complete(subject.instruction.body)
        none = Classes(trap_only=YES) if trapping else Classes()
        return Finding(subject, True, none, Classes1974(), Faithfulness(NO))
    return judge(Asker(setting, subject, rlimit))


def judge(asker: Asker) -> Finding:
    """Everything about one subject that queries tell.  Holes come first: their models answer many of the others."""
    hole, reasons = asker.holes
    direct = asker.hole_direct() if hole is not NO else NO
    early = asker.classes_1974() if hole is YES else None  # they imply the others
    classes = asker.classes()
    stuck = asker.stuck(classes) if hole is NO else NO
    executes = bool(asker.setting.effects.block(asker.subject.instruction.body).executes)
    column = early or (Classes1974() if classes.trap_only is YES else asker.classes_1974())
    faithful = Faithfulness(hole, tuple(str(r) for r, _ in reasons), stuck, direct)
    time = asker.depends_on_time()
    return Finding(asker.subject, False, classes, column, faithful, executes, time, asker.pair.smt.checks)


def _can_complete(body: ir.Block) -> bool:
    """Does some path fall off the end or meet `Done`?  (By the text alone: conditions count as open.)"""

    def ends(block: ir.Block) -> tuple[bool, bool]:  # (falls off the end, some Done)
        done = False
        for stmt in block:
            match stmt:
                case ir.Done():
                    return False, True
                case ir.Trap():
                    return False, done
                case ir.When():
                    then, other = ends(stmt.then), ends(stmt.other)
                    done = done or then[1] or other[1]
                    if not (then[0] or other[0]):
                        return False, done
                case _:
                    pass
        return True, done

    falls, done = ends(body)
    return falls or done


def with_stuck(finding: Finding, stuck: Truth) -> Finding:
    """The finding with another answer about being stuck."""
    return replace(finding, faithful=replace(finding.faithful, stuck=stuck))
