"""What has to be true of a generated monitor, and the proof of it.

PG74 asks that f(i(S)) = v_i(f(S)) for the map f from virtual to real states (section 3, "The virtual machine map").
The monitor holds the virtual machine as a record beside the host, with the memory in the host's; its routine v_i is the
text of i on that.  The square commutes when

    place    the placed memory is a memory: reads give what was last written, and nothing else of the host changes;
    emulate  on such a state, i and v_i take the same traps and leave the same state, for all states and operands;
    reflect  the same of the delivery of each kind of trap;
    frame    from what a trap's delivery leaves, the state of the guest that it interrupted can be told;
    mode     what the monitor loads makes up the real mode of the scheme;
    direct   what runs on the hardware is faithful (from the report).

The placement is arbitrary in these queries, so they are about every virtual machine that a monitor may make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.report import SchemeReport, Status
from analyzer.symbolic.execute import Changes, Executor, Frame, Run, TrapExit
from analyzer.symbolic.pair import Subject, subjects
from analyzer.symbolic.physical import Physical, Placed
from analyzer.symbolic.setting import Setting, deliver
from analyzer.symbolic.smt import DEFAULT_RLIMIT, Answer, Bool, Smt
from analyzer.symbolic.windows import World

Kind = Literal["place", "emulate", "reflect", "frame", "mode", "direct"]


class Obligation(Struct, frozen=True):
    """One thing to be proved; `why` says what is wrong, or why it is open."""

    kind: Kind
    name: str
    status: Status
    why: str | None = None


class Discharge(Struct, frozen=True):
    """A premise of the step from instructions to the monitor, and where it is discharged: `proved` in the report,
    `by` a named place of the monitor, `assumed`, or `fails`."""

    premise: str
    text: str
    status: Literal["proved", "monitor", "assumed", "fails"]
    where: str


class Proof(Struct, frozen=True):
    """All obligations of the monitor of a spec under a scheme, and the premises."""

    spec: str
    scheme: str
    obligations: tuple[Obligation, ...]
    premises: tuple[Discharge, ...]

    def of(self, kind: Kind) -> tuple[Obligation, ...]:
        """The obligations of a kind."""
        return tuple(o for o in self.obligations if o.kind == kind)

    @property
    def open(self) -> tuple[Obligation, ...]:
        """What is not proved: checked by running, and listed."""
        return tuple(o for o in self.obligations if o.status == "inconclusive")

    @property
    def broken(self) -> tuple[Obligation, ...]:
        """What is refuted: an error."""
        return tuple(o for o in self.obligations if o.status == "violated")


Progress = Callable[[int, int, str], None]


def prove(
    setting: Setting,
    report: SchemeReport | None = None,
    rlimit: int = DEFAULT_RLIMIT,
    progress: Progress | None = None,
    only: tuple[str, ...] = (),
) -> Proof:
    """Proves the monitor of a setting.  With the report of the scheme, what runs directly is listed too, and the
    premises that the report settles.  `only` restricts to instructions of these names or families."""
    isa = setting.isa
    wanted = [s for s in subjects(isa) if not only or {s.name, s.instruction.name, s.instruction.family} & set(only)]
    traps = list(isa.traps.values()) if isa.deliver is not None and not only else []
    out: list[Obligation] = []
    total = len(wanted) + len(traps)
    for subject in wanted:
        out.append(emulates(setting, subject, rlimit))
        if progress is not None:
            progress(len(out), total, subject.name)
    for kind in traps:
        out.append(reflects(setting, kind, rlimit))
        if progress is not None:
            progress(len(out), total, kind.name)
    out += [recovers(setting, kind, rlimit) for kind in traps]
    out += [deprivileges(setting, virtual, real, rlimit) for virtual, real in setting.scheme.run]
    out += [places(space, rlimit) for space in isa.spaces.values() if isinstance(space, ir.Memory)]
    out += direct(report) if report is not None else ()
    return Proof(isa.name, setting.scheme.name, tuple(out), premises(report))


# -- the homomorphism --------------------------------------------------------------------------------------------------


@dataclass
class Square:
    """The two ways round: both begin in the same state of the virtual machine."""

    setting: Setting
    smt: Smt
    world: World
    memories: Physical

    @staticmethod
    def of(setting: Setting, rlimit: int, operands: Callable[[Smt], dict[str, Any]] = lambda smt: {}) -> Square:
        smt = Smt(rlimit)
        world = World(setting.isa, smt, "v", operands(smt))
        return Square(setting, smt, world, Physical(setting.isa, smt, world, setting.shapes))

    def executor(self) -> Executor:
        """Of one way."""
        return Executor(self.setting.isa, self.smt, self.world, self.memories)

    def apart(self, one: Changes, two: Changes) -> Bool:
        """The two states differ."""
        return self.smt.or_(*(self._differs(name, one, two) for name in sorted({*one, *two})))

    def _differs(self, name: str, one: Changes, two: Changes) -> Bool:
        element = self.setting.isa.elements.get(name)
        initial = self.world.element(name) if element is not None else self.world.values.get(name)
        if initial is None:
            initial = self.world.file(name)
        a, b = one.get(name, initial), two.get(name, initial)
        return self.smt.not_(self.smt.same(a, b) if element is None else self.smt.eq(a, b, element.width))

    def machine(self, where: ir.Expr | None = None) -> Bool:
        """Machine invariants and legal values of the virtual machine, a decoder's restriction."""
        isa, smt, ex = self.setting.isa, self.smt, self.executor()
        terms = [self.setting.assumed(ex, ir.Assume(i.expr, None, (), i.prelude)) for i in isa.invariants]
        for element in isa.elements.values():
            if element.legal is not None:
                value = self.world.element(element.name)
                terms.append(smt.or_(*(smt.eq(value, v, element.width) for v in element.legal)))
        if where is not None:
            terms.append(ex.value(where, Frame({}, Changes(), Changes())))
        return smt.and_(*terms)


def decide(smt: Smt, kind: Kind, name: str, assumed: Callable[[], Bool], wrong: list[tuple[str, Bool]]) -> Obligation:
    """Is everything that is wrong impossible?  What folded to false needs no solver."""
    wrong = [(what, formula) for what, formula in wrong if formula is not False]
    given = assumed() if wrong else True
    for what, formula in wrong:
        answer = ask(smt, given, formula)
        if answer.status == "sat":
            return Obligation(kind, name, "violated", what)
        if answer.status == "unknown":
            return Obligation(kind, name, "inconclusive", f"{what}: {answer.reason}")
    return Obligation(kind, name, "holds")


def ask(smt: Smt, *formulas: Bool) -> Answer:
    """Plain search first: with arrays it is often the better way."""
    if any(f is False for f in formulas):
        return Answer("unsat")
    answer = smt.ask(smt.solver(*formulas))
    return answer if answer.status != "unknown" else smt.check(*formulas)


def emulates(
    setting: Setting, subject: Subject, rlimit: int = DEFAULT_RLIMIT, routine: ir.Block | None = None
) -> Obligation:
    """v_i is i.  `routine` is the text of v_i, if it is another than that of i."""
    instruction = subject.instruction
    square = Square.of(setting, rlimit, lambda smt: operands(smt, setting.isa, subject))
    v = square.executor().instruction(instruction.body)
    m = square.executor().instruction(instruction.body if routine is None else routine)

    def assumed() -> Bool:
        return square.smt.and_(square.machine(instruction.where), case_of(square, subject))

    return decide(square.smt, "emulate", subject.name, assumed, runs_apart(square, v, m))


def operands(smt: Smt, isa: ir.Isa, subject: Subject) -> dict[str, Any]:
    """A symbol for each operand; the number of the case, if there is only one."""
    out: dict[str, Any] = {p.name: smt.symbol(f"operand {p.name}", p.width) for p in isa.prefixes}
    if out:
        out["prefix_parcels"] = smt.symbol("operand prefix_parcels", 8)
    out |= {o.name: smt.symbol(f"operand {o.name}", o.width) for o in subject.instruction.operands}
    if subject.operand is not None and len(subject.values) == 1:
        out[subject.operand] = subject.values[0]
    return out


def case_of(square: Square, subject: Subject) -> Bool:
    """The operand is one of the subject's case."""
    if subject.operand is None or len(subject.values) == 1:
        return True
    width = next(o.width for o in subject.instruction.operands if o.name == subject.operand)
    term, smt = square.world.operands[subject.operand], square.smt
    named = [v for o in subject.instruction.operands if o.name == subject.operand for _, vs in o.cases for v in vs]
    mine = smt.or_(*(smt.eq(term, v, width) for v in subject.values or named))
    return mine if subject.values else smt.not_(mine)


def runs_apart(square: Square, v: Run, m: Run) -> list[tuple[str, Bool]]:
    """The ways in which two runs of one text differ."""
    smt = square.smt
    out = [("one completes, the other does not", smt.xor(v.completes, m.completes))]
    out.append(("one is unpredictable", smt.xor(v.unpredictable, m.unpredictable)))
    out.append(("states differ after completion", smt.and_(v.completes, square.apart(v.after, m.after))))
    if [(t.trap, t.guard) for t in v.traps] != [(t.trap, t.guard) for t in m.traps]:
        return out + traps_apart(square, v, m)
    for one, two in zip(v.traps, m.traps, strict=True):
        args, left = trap_apart(square, one, two)
        out.append((f"the arguments of {one.trap} differ", smt.and_(one.guard, args)))
        out.append((f"{one.trap} leaves another state", smt.and_(one.guard, left)))
    return out


def traps_apart(square: Square, v: Run, m: Run) -> list[tuple[str, Bool]]:
    """The same where the texts do not have the same traps under the same conditions."""
    smt, out = square.smt, []
    for name in dict.fromkeys(t.trap for t in (*v.traps, *m.traps)):
        ones, twos = ([t for t in run.traps if t.trap == name] for run in (v, m))
        taken = smt.or_(*(t.guard for t in ones)), smt.or_(*(t.guard for t in twos))
        out.append((f"only one takes the trap {name}", smt.xor(*taken)))
        for one, two in product(ones, twos):
            args, left = trap_apart(square, one, two)
            both = smt.and_(one.guard, two.guard)
            out.append((f"the arguments of {name} differ", smt.and_(both, args)))
            out.append((f"{name} leaves another state", smt.and_(both, left)))
    return out


def trap_apart(square: Square, one: TrapExit, two: TrapExit) -> tuple[Bool, Bool]:
    """Do two traps of one kind have other arguments; do they leave other states?"""
    smt, kind = square.smt, square.setting.isa.traps[str(one.trap)]
    same = (
        smt.eq(a, b, w) if w else smt.not_(smt.xor(a, b))
        for a, b, (_, w) in zip(one.args, two.args, kind.params, strict=True)
    )
    return smt.not_(smt.and_(*same)), square.apart(one.restored, two.restored)


def reflects(
    setting: Setting, kind: ir.TrapKind, rlimit: int = DEFAULT_RLIMIT, delivery: Setting | None = None
) -> Obligation:
    """The delivery of a trap on the record is that of the virtual machine.  `delivery` is the setting whose text the
    monitor delivers by, if it is another."""
    square = Square.of(setting, rlimit)
    pc = setting.isa.elements[setting.isa.fetch.pc]
    at = square.smt.symbol("where the trap leaves the program counter", pc.width)
    args = tuple(
        square.smt.symbol(f"trap {name}", width) if width else square.smt.to_bool(square.smt.symbol(f"trap {name}", 1))
        for name, width in kind.params
    )
    ways = []
    for text in (setting, setting if delivery is None else delivery):
        ex = square.executor()
        ways.append((deliver(text, ex, kind, args, Changes(), at), ex.run))
    (v, ran), (m, run) = ways
    wrong = [("states differ after the delivery", square.apart(v.state, m.state)), *runs_apart(square, ran, run)[1:]]
    return decide(square.smt, "reflect", kind.name, square.machine, wrong)


def places(space: ir.Memory, rlimit: int = DEFAULT_RLIMIT) -> Obligation:
    """MEMORY-PLACED."""
    smt = Smt(rlimit)
    return decide(smt, "place", space.name, lambda: True, Placed(smt, space).wrong())


class Interrupted(World):
    """The beginning of one of two runs that share what the monitor holds and its memory, and nothing of the guest."""

    def __init__(self, setting: Setting, smt: Smt, which: str, held: World) -> None:
        super().__init__(setting.isa, smt, which)
        self.setting = setting
        self.held = held

    def element(self, name: str) -> Any:
        if name not in self.isa.elements or not self.setting.passes(name):
            return self.held.element(name)
        if name not in self.values:
            self.values[name] = self.smt.symbol(f"{name}@{self.name}", self.isa.elements[name].width)
        return self.values[name]

    def file(self, name: str) -> Any:
        if name not in self.isa.files or not self.setting.passes(name):
            return self.held.values[name] if name in self.held.values else self.held.file(name)
        if name not in self.values:
            file = self.isa.files[name]
            self.values[name] = self.smt.array(f"{name}@{self.name}", file.index_width, file.width)
        return self.values[name]

    def array(self, name: str, index_width: int, width: int, shared: bool) -> Any:
        return self.held.array(name, index_width, width, shared)


def recovers(setting: Setting, kind: ir.TrapKind, rlimit: int = DEFAULT_RLIMIT) -> Obligation:
    """Two guests that are interrupted by a trap of this kind under the same monitor, and leave the same state after its
    delivery, are in the same state themselves: the monitor can tell it (P3, P4).

    Time and waiting are not asked for, and a trap that does not arrive at the monitor has nothing to tell.  A trap's
    arguments are any: what is lost with some that may never occur is inconclusive.
    """
    isa, smt = setting.isa, Smt(rlimit)
    held = World(isa, smt, "r")
    ways = [interrupted(setting, kind, smt, Interrupted(setting, smt, which, held)) for which in ("one", "two")]
    (one, after, given), (two, other, also) = ways

    def same(name: str, a: Any, b: Any) -> Bool:
        element = isa.elements.get(name)
        return smt.same(a, b) if element is None else smt.eq(a, b, element.width)

    passed = {n: role for n, role in setting.state() if setting.passes(n)}
    names = sorted({*after, *other, *passed})
    alike = [same(n, after.get(n, one.initial(n)), other.get(n, two.initial(n))) for n in names]
    asked = [n for n, role in passed.items() if role not in (ir.Role.TIME, ir.Role.PROCESSOR)]
    wrong = [(f"{n} is lost", smt.not_(same(n, one.initial(n), two.initial(n)))) for n in asked]
    found = decide(smt, "frame", kind.name, lambda: smt.and_(given, also, *alike), wrong)
    if found.status == "violated" and kind.params:
        return replace(found, status="inconclusive", why=f"{found.why}, with some arguments")
    return found


def interrupted(setting: Setting, kind: ir.TrapKind, smt: Smt, world: Interrupted) -> tuple[Executor, Changes, Bool]:
    """A delivery in a guest's mode, with any arguments: the executor, the state after, and that it is one to the
    monitor."""
    isa = setting.isa
    ex = Executor(isa, smt, world, Physical(isa, smt, world, setting.shapes))
    terms = [(smt.symbol(f"trap {name} {world.name}", width or 1), width) for name, width in kind.params]
    args = tuple(term if width else smt.eq(term, 1, 1) for term, width in terms)
    delivery = deliver(setting, ex, kind, args, Changes(), world.element(isa.fetch.pc))
    mode, width = ex.value(isa.mode.expr, Frame({}, Changes(), Changes())), ir.width(isa.mode.expr)
    guests = smt.or_(*(smt.eq(mode, real, width) for _, real in setting.scheme.run))
    known = [setting.assumed(ex, a) for a in setting.scheme.assume if not a.free]
    known += [setting.assumed(ex, ir.Assume(i.expr, None, (), i.prelude)) for i in isa.invariants]
    ran = smt.not_(ex.run.unpredictable)
    return ex, delivery.state, smt.and_(guests, delivery.arrives, ran, *known, *delivery.assumptions)


# -- modes -------------------------------------------------------------------------------------------------------------


def mode_assignment(setting: Setting, real: int) -> dict[str, int] | None:
    """Values of the held mode elements that make up the real mode, whatever the other elements are; the least.  None if
    there are none."""
    isa = setting.isa
    reads = {e.element for e in ir.subterms(isa.mode.expr) if isinstance(e, ir.Get)}
    names = [n for n in isa.elements if n in reads and setting.role(n) is ir.Role.MODE and not setting.passes(n)]
    for values in _products([isa.elements[n] for n in names]):
        assigned = dict(zip(names, values, strict=True))
        if names and _is_mode(setting, assigned, real, DEFAULT_RLIMIT) == "unsat":
            return assigned
    return None


def _products(elements: list[ir.Element]) -> Iterable[tuple[int, ...]]:
    if not elements:
        return [()]
    first = elements[0].legal or range(1 << elements[0].width)
    return ((value, *rest) for value in first for rest in _products(elements[1:]))


def _is_mode(setting: Setting, assigned: dict[str, int], real: int, rlimit: int) -> str:
    """`unsat` if every state with these values is in the mode."""
    smt = Smt(rlimit)
    world = World(setting.isa, smt, "r")
    world.values.update(assigned)
    memories = Physical(setting.isa, smt, world, setting.shapes)
    ex = Executor(setting.isa, smt, world, memories)
    code = ex.value(setting.isa.mode.expr, Frame({}, Changes(), Changes()))
    return smt.check(smt.not_(smt.eq(code, real, ir.width(setting.isa.mode.expr)))).status


def deprivileges(setting: Setting, virtual: int, real: int, rlimit: int = DEFAULT_RLIMIT) -> Obligation:
    """MODE-SHADOW: what the monitor loads is the real mode of the virtual one.  A mode that the guest holds itself is
    loaded as it is."""
    order = setting.isa.mode
    name = f"{order.named(virtual)} as {order.named(real)}"
    reads = {e.element for e in ir.subterms(order.expr) if isinstance(e, ir.Get)}
    held = [n for n in reads if setting.role(n) is ir.Role.MODE and not setting.passes(n)]
    if not held:
        holds = virtual == real and all(setting.passes(n) for n in reads)
        return Obligation("mode", name, "holds" if holds else "violated")
    found = mode_assignment(setting, real) is not None
    return Obligation("mode", name, "holds" if found else "inconclusive", None if found else "no values were found")


# -- from the report ---------------------------------------------------------------------------------------------------

HOLE: dict[str, Status] = {"no": "holds", "yes": "violated", "unknown": "inconclusive"}


def direct(report: SchemeReport) -> tuple[Obligation, ...]:
    """Faithfulness of what runs directly, as the report has it."""
    out = []
    for row in report.rows:
        name = row.instruction if not row.cases else f"{row.instruction} {', '.join(row.cases)}"
        out.append(Obligation("direct", name, HOLE[row.hole], None if row.hole == "no" else "a hole"))
    return tuple(out)


DISCHARGED: dict[str, str] = {
    "P3": "VirtualMachine.enter sets every passed and held element (RECORD-TRUE)",
    "P5": "VirtualMachine.dispatch emulates where a shadow entry does not help; direct runs have a budget of steps",
    "P6": "VirtualMachine._pending asks the virtual machine's own conditions before each direct run",
    "P7": "placements do not overlap (MEMORY-PLACED); maps are composed (MAP-COMPOSE) or contained (SHADOW-CONTAINED)",
}
"""Where the generated monitor discharges a premise."""

TEXTS = {
    "P1": "the composed map depends on no guest element",
    "P2": "invariants are preserved",
    "P3": "the monitor can load all guest and own state and enter the guest in one step",
    "P4": "every trap can be restarted",
    "P5": "progress after a map miss; direct runs are cut by an interrupt",
    "P6": "external interrupts arrive whatever guest and own state are",
    "P7": "monitor frames lie outside the window; guest DMA is translated",
    "P8": "nothing innocuous is stuck",
    "P9": "time and load-reserved/store-conditional are out of account",
}


def premises(report: SchemeReport | None) -> tuple[Discharge, ...]:
    """P1 to P9, each with where it is discharged."""
    known = {p.name: p for p in report.premises} if report is not None else {}
    out = []
    for name, text in TEXTS.items():
        found = known.get(name)
        status = found.status if found is not None else "monitor" if name in DISCHARGED else "assumed"
        where = found.detail if found is not None and found.detail else {"proved": "the analysis"}.get(status, "")
        if name in DISCHARGED and status != "fails":
            where = "; ".join(filter(None, (DISCHARGED[name], where if where != "the analysis" else None)))
        out.append(Discharge(name, text, status, where or ("without a report" if found is None else "the scheme")))
    return tuple(out)
