"""The definitions, in the paper's words.

Each function gives a formula over the two runs of a `Pair`; a class holds when its formula is satisfiable (existential
classes) or unsatisfiable (`privileged`: no user state escapes).  PG74 is Popek and Goldberg, CACM 17(7), 1974; the
corrected classes and the pointwise criterion are explained in docs/theory.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Literal, TypeVar

from msgspec import Struct

from analyzer import ir
from analyzer.ir import Role
from analyzer.symbolic.execute import Event
from analyzer.symbolic.pair import Ending, Pair, Side
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Bool

Profile = Literal["classical", "extended"]
"""`classical` is mode and map, as in 1974; `extended` has control and processor state too."""

Cause = Literal["location", "mode", "configuration", "combined"]

CHANGED: dict[Profile, tuple[Role, ...]] = {
    "classical": (Role.MODE, Role.MAP),
    "extended": (Role.MODE, Role.MAP, Role.CONTROL, Role.PROCESSOR, Role.INTERCEPT, Role.TIME),
}
"""What control sensitivity is about, by profile."""

T = TypeVar("T")


def once(definition: Callable[[Pair], T]) -> Callable[[Pair], T]:
    """A definition that is stated once for a pair, however often it is asked about."""

    @wraps(definition)
    def stated(pair: Pair) -> T:
        if definition not in pair.stated:
            pair.stated[definition] = definition(pair)
        return pair.stated[definition]  # type: ignore[no-any-return]

    return stated


# -- traps -------------------------------------------------------------------------------------------------------------


def escapes(pair: Pair, *, monitored: bool = False) -> Bool:
    """Not privileged: from some user state the instruction does not trap.  With `monitored`, only states that satisfy
    the monitor's invariants count.  A step after which the instruction runs again (an endless indirection, one round of
    a repetition) is no evidence: the check may come later."""
    side = pair.r
    user = pair.in_modes(side, pair.user_modes)
    return pair.smt.and_(
        user, side.stays(), pair.smt.not_(side.run.unfinished), monitor_invariants(pair) if monitored else True
    )


def executes(pair: Pair) -> Bool:
    """Some supervisor state executes it."""
    return pair.smt.and_(pair.in_modes(pair.v, (supervisor(pair),)), pair.v.stays())


def supervisor(pair: Pair) -> int:
    """The most privileged mode of dom φ."""
    return supervisor_mode(pair.setting)


def supervisor_mode(setting: Setting) -> int:
    """The most privileged mode of dom φ."""
    order = [m.code for m in setting.isa.mode.modes()]
    return min((v for v, _ in setting.scheme.run), key=order.index)


def direct_modes(setting: Setting) -> tuple[int, ...]:
    """The virtual modes that a hybrid monitor runs directly: as the scheme says, or all but the most privileged."""
    if setting.scheme.direct:
        return setting.scheme.direct
    return tuple(v for v, _ in setting.scheme.run if v != supervisor_mode(setting))


def completes(pair: Pair) -> Bool:
    """It is not trap-only: some state of dom φ or φ(dom φ) completes."""
    return pair.smt.and_(pair.in_modes(pair.v, {*pair.virtual_modes, *pair.user_modes}), pair.v.run.completes)


# -- control sensitivity -----------------------------------------------------------------------------------------------


def control_sensitive(pair: Pair, profile: Profile, *, user: bool = False) -> Bool:
    """From some state (some user state) it goes on, and a mode or map element has another value after; in the extended
    profile a control or processor element too."""
    return pair.smt.and_(goes_on(pair, user=user), pair.smt.or_(*control_changes(pair, profile)))


def goes_on(pair: Pair, *, user: bool) -> Bool:
    """The run starts in a mode of the virtual machine (a user mode), and goes on."""
    side = pair.v
    modes = pair.user_modes if user else {*pair.virtual_modes, *pair.user_modes}
    return pair.smt.and_(pair.in_modes(side, modes), side.stays(), defined(pair, side))


def control_changes(pair: Pair, profile: Profile) -> list[Bool]:
    """For each element that control sensitivity is about: it has another value after.  Whole arrays come last."""
    side = pair.v
    about = CHANGED[profile]
    names = [n for n in side.after if pair.setting.role(n) in about and not pair.setting.waits(n)]
    names = [n for n in names if pair.setting.role(n) is not Role.TIME or is_clock(pair.setting, n)]
    return [side.changed(n) for n in sorted(names, key=lambda n: n not in pair.setting.isa.elements)]


def is_clock(setting: Setting, name: str) -> bool:
    """Time that is not the guest's own.  All read the same, so an instruction that sets it sets it for all."""
    return setting.role(name) is Role.TIME and name not in setting.own


def defined(pair: Pair, side: Side) -> Bool:
    """The run is predictable, and no access through the window reaches a register: that counts as a memory trap."""
    return pair.smt.and_(pair.smt.not_(side.run.unpredictable), pair.smt.not_(side.run.registers))


# -- behavior sensitivity ----------------------------------------------------------------------------------------------


def behavior_sensitive(pair: Pair, cause: Cause, *, user: bool = False, trap_differences: bool = True) -> Bool:
    """Two states with equal guest parts that differ in `cause` only (`combined`: in anything), not both trapping:
    exactly one traps, or both go on and guest parts or program counters differ.

    A memory trap in one run is excused when the other run makes the same access through the window.
    `trap_differences=False` leaves out the first disjunct.
    """
    smt, v, r = pair.smt, pair.v, pair.r
    modes = pair.user_modes if user else {*pair.virtual_modes, *pair.user_modes}
    both = smt.and_(v.stays(), r.stays(), defined(pair, v), defined(pair, r))
    differ = smt.and_(both, pair.guest_differs())
    if trap_differences:
        differ = smt.or_(differ, one_traps(pair, v, r), one_traps(pair, r, v))
    alike = pair.equal_roles(Role.MODE) if user else True
    return smt.and_(pair.in_modes(v, modes), pair.in_modes(r, modes), alike, differs_only_in(pair, cause), differ)


def differs_only_in(pair: Pair, cause: Cause) -> Bool:
    """What is equal at the beginning, for a single cause."""
    smt = pair.smt
    control = (Role.CONTROL, Role.PROCESSOR, Role.INTERCEPT)
    preserved = smt.and_(*(pair.start_equal(e.name) for e in pair.setting.isa.elements.values() if e.preserved))
    match cause:
        case "location":
            return smt.and_(pair.equal_roles(Role.MODE, *_without_memory(control)), _equal_control(pair), preserved)
        case "mode":
            return smt.and_(pair.equal_roles(Role.MAP, *control), pair.same_map_function())
        case "configuration":
            return pair.equal_roles(Role.MODE, Role.MAP, Role.INTERCEPT)
        case "combined":
            return smt.and_(preserved, pair.equal_roles(Role.INTERCEPT))


def _without_memory(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    return tuple(r for r in roles if r is not Role.CONTROL)


def _equal_control(pair: Pair) -> Bool:
    """Control elements are equal; physical memory, whose place is the map's affair, may differ."""
    names = [n for n in pair.names() if pair.setting.role(n) is Role.CONTROL and not n.startswith("memory ")]
    return pair.smt.and_(*(pair.start_equal(n) for n in names))


def one_traps(pair: Pair, one: Side, two: Side) -> Bool:
    """`one` traps and `two` goes on, the memory traps that are excused left out."""
    smt = pair.smt
    terms = []
    for ending in one.endings:
        trap = ending.trap
        if trap is None:
            continue
        excused: Bool = False
        if trap.memory and trap.access is not None and not trap.access.named:
            excused = makes(pair, two, trap.access)
        terms.append(smt.and_(ending.guard, ending.to_monitor, smt.not_(excused)))
    return smt.and_(smt.or_(*terms), two.stays(), defined(pair, two))


def makes(pair: Pair, side: Side, access: Event) -> Bool:
    """This run makes the same access."""
    smt, isa = pair.smt, pair.setting.isa
    terms = []
    for event in side.run.events:
        if event.key != access.key or event.named:
            continue
        space = isa.spaces[event.key[0]]
        assert isinstance(space, ir.Map)
        shape = pair.setting.shapes[space.name]
        widths = (*(space.params[i].width for i in shape.plain), space.address_width)
        same = [smt.eq(a, b, w) for a, b, w in zip(event.place, access.place, widths, strict=True)]
        terms.append(smt.and_(event.guard, *same))
    return smt.or_(*terms)


# -- faithfulness ------------------------------------------------------------------------------------------------------


class Reason(Struct, frozen=True):
    """One way in which an instruction fails to be faithful; `name` is the state concerned."""

    kind: Literal["escaped trap", "guest", "held by guest", "held by real", "not restartable", "unpredictable"]
    name: str | None
    formula: Bool

    def __str__(self) -> str:
        match self.kind:
            case "escaped trap":
                return "the virtual machine traps, the real run goes on"
            case "guest":
                return f"{self.name} differs"
            case "held by guest":
                return f"the virtual machine changes {self.name}, and the monitor does not see it"
            case "held by real":
                return f"the real run changes {self.name}, which the monitor holds"
            case "not restartable":
                return "the trap leaves a changed guest state behind"
            case "unpredictable":
                return "the real run is unpredictable where the virtual machine is not"


@once
def real_states(pair: Pair) -> Bool:
    """s ∈ real(σ, μ): guest and own elements as in σ, mode φ(m), held elements the monitor's, and a contained map."""
    return pair.smt.and_(
        pair.machine(),
        pair.deprivileged(),
        own_equal(pair),
        composed(pair),
        monitor_invariants(pair),
        guest_assumptions(pair),
        contained(pair),
        not_intercepted(pair),
    )


def not_intercepted(pair: Pair) -> Bool:
    """The intercept bits that the monitor sets are not there for the guest: the virtual machine intercepts nothing."""
    isa = pair.setting.isa
    return pair.smt.and_(
        *(
            pair.smt.eq(pair.v.world.element(n), 0, isa.elements[n].width)
            for n in isa.elements
            if n in pair.setting.chosen
        )
    )


def own_equal(pair: Pair) -> Bool:
    """Own and environment elements, and waiting, are σ's."""
    setting = pair.setting
    names = [n for n, _ in setting.state() if not setting.is_guest(n)]
    shared = [n for n in names if n in setting.own or n in setting.environment or setting.waits(n)]
    return pair.smt.and_(*(pair.start_equal(n) for n in shared))


def composed(pair: Pair) -> Bool:
    """Held elements that the scheme composes from the guest's value and the monitor's choice."""
    smt, isa = pair.smt, pair.setting.isa
    chosen = {n: (smt.symbol(f"chosen {n}", w), w) for n, w in pair.setting.scheme.chosen}
    terms = []
    for compose in pair.setting.scheme.compose:
        value = pair.v.start(compose.value, (), **chosen)
        width = isa.elements[compose.element].width
        terms.append(smt.eq(pair.r.world.element(compose.element), value, width))
    return smt.and_(*terms)


def monitor_invariants(pair: Pair) -> Bool:
    """The monitor's invariants, true of the real state only."""
    pair.r.stays()  # deliveries instantiate the parametrised ones
    terms = [pair.r.assumed(a) for a in pair.setting.scheme.assume if not a.free]
    return pair.smt.and_(*terms, *pair.r.assumptions)


def guest_assumptions(pair: Pair) -> Bool:
    """What is assumed of the guest: true of the virtual state."""
    return pair.smt.and_(*(pair.v.assumed(a) for a in pair.setting.scheme.guest))


def contained(pair: Pair) -> Bool:
    """What the real map permits, σ's map permits at the same cell, without a side effect on either map."""
    smt = pair.smt
    terms = []
    for event in pair.r.run.events:
        fault, touched = pair.v.windows.fault_at(pair.v.ex, event)
        _, marks = pair.r.windows.fault_at(pair.r.ex, event)
        quiet = smt.and_(smt.not_(touched), smt.not_(marks)) if pair.setting.quiet_maps else True
        allowed = smt.and_(smt.not_(fault), quiet)
        terms.append(smt.or_(smt.not_(event.current), event.fault, allowed))
    return smt.and_(*terms)


@once
def unfaithful(pair: Pair) -> list[Reason]:
    """The ways in which (T) and (C) both fail, under `real_states`.  (T): the real run traps to the monitor,
    restartably.  (C): neither run is at the monitor, guest and own elements agree, and held elements keep their
    values."""
    smt, v, r, setting = pair.smt, pair.v, pair.r, pair.setting
    defined = smt.not_(v.run.unpredictable)
    on = smt.and_(r.stays(), smt.not_(r.run.unpredictable), defined)
    both = smt.and_(on, v.stays())
    reasons = [Reason("escaped trap", None, smt.and_(v.traps(), on))]
    for name in pair.written():
        if setting.passes(name) and not is_clock(setting, name):
            reasons.append(Reason("guest", name, smt.and_(both, pair.differs(name, v))))
        else:
            reasons.append(Reason("held by guest", name, smt.and_(both, v.changed(name))))
            reasons.append(Reason("held by real", name, smt.and_(on, r.changed(name))))
    reasons.append(Reason("not restartable", None, not_restartable(pair)))
    reasons.append(Reason("unpredictable", None, smt.and_(r.run.unpredictable, defined)))
    elements = setting.isa.elements
    reasons.sort(key=lambda reason: reason.name is not None and reason.name not in elements)  # whole arrays last
    return [reason for reason in reasons if reason.formula is not False]


def not_restartable(pair: Pair) -> Bool:
    """The real run traps to the monitor with guest parts that are neither those before nor those that σ's run
    leaves."""
    smt, v, r = pair.smt, pair.v, pair.r
    isa = pair.setting.isa
    pc = isa.fetch.pc  # a trap restores it
    terms = []
    for ending in r.endings:
        if ending.trap is None or ending.trap.trap is None or not ending.trap.restored:
            continue
        restored = ending.trap.restored
        changed = [n for n in restored if pair.setting.passes(n) and n != pc]
        before = smt.and_(*(r.equal(n, restored[n], r.ex.initial(n)) for n in changed))
        stands = r.next_pc() if isa.traps[ending.trap.trap].resume == "next" else r.ex.initial(pc)
        same_pc = smt.eq(stands, v.final(pc), isa.elements[pc].width)
        names = {*changed, *(n for n in v.after if pair.setting.passes(n) and n != pc)}
        same = (v.equal(n, restored.get(n, r.ex.initial(n)), v.final(n)) for n in sorted(names))
        as_after = smt.and_(v.stays(), same_pc, *same)
        alike = smt.or_(as_after, *(trapped_alike(pair, ending, other) for other in v.endings))
        terms.append(smt.and_(ending.guard, ending.to_monitor, smt.not_(before), smt.not_(alike)))
    return smt.or_(*terms)


def trapped_alike(pair: Pair, real: Ending, virtual: Ending) -> Bool:
    """σ's run takes the same trap and leaves the same guest parts: the monitor reflects it as it stands."""
    if real.trap is None or virtual.trap is None or real.trap.trap != virtual.trap.trap:
        return False
    mine, theirs = real.trap.restored, virtual.trap.restored
    names = sorted(n for n in {*mine, *theirs} if pair.setting.passes(n))
    equal = (pair.v.equal(n, mine.get(n, pair.r.ex.initial(n)), theirs.get(n, pair.v.ex.initial(n))) for n in names)
    return pair.smt.and_(virtual.guard, *(pair.same_choices(e) for e in equal))


# -- 1974, to the letter -----------------------------------------------------------------------------------------------


def memory_trap(pair: Pair, side: Side) -> Bool:
    """MT(i, S)."""
    return pair.smt.or_(*(t.guard for t in side.run.traps if t.memory))


def privileged_1974_fails(pair: Pair) -> Bool:
    """Some e, p, r without a memory trap in either state: no trap in user mode, or one in supervisor mode that mentions
    the mode (other supervisor traps are excused)."""
    smt, v, r = pair.smt, pair.v, pair.r
    about_mode = smt.or_(*(t.guard for t in v.run.traps if t.trap is not None and _by_mode(pair, t.trap)))
    return smt.and_(
        pair.in_modes(v, (supervisor(pair),)),
        pair.in_modes(r, pair.user_modes),
        pair.equal_roles(Role.MAP, Role.CONTROL, Role.PROCESSOR, Role.INTERCEPT),
        pair.same_map_function(),
        smt.not_(memory_trap(pair, v)),
        smt.not_(memory_trap(pair, r)),
        smt.or_(r.stays(), about_mode),
    )


def _by_mode(pair: Pair, trap: str) -> bool:
    return pair.setting.isa.traps[trap].kind in (ir.TrapClass.PRIVILEGED, ir.TrapClass.CALL)


def control_1974(pair: Pair, *, user: bool = False) -> Bool:
    """Some S1 without a memory trap: i(S1) has another r or another m."""
    return pair.smt.and_(control_sensitive(pair, "classical", user=user), pair.smt.not_(memory_trap(pair, pair.v)))


def behavior_1974(pair: Pair, cause: Cause, *, user: bool = False) -> Bool:
    """Two states without a memory trap in either, differing in x or in the mode: windows or program counters differ."""
    return pair.smt.and_(
        behavior_sensitive(pair, cause, user=user, trap_differences=False),
        pair.smt.not_(memory_trap(pair, pair.v)),
        pair.smt.not_(memory_trap(pair, pair.r)),
    )
