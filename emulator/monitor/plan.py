"""The plan of a monitor: what the scheme and the report say of who holds what, and whether there may be a monitor.

A plan is read off the IR, the scheme and the report; nothing in it is about one instruction set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

from analyzer import ir
from analyzer.errors import Diagnostic, Refused
from analyzer.report import SchemeReport, TheoremResult
from emulator.evaluate import Environment, value_of
from emulator.state import State

Technique = Literal["plain", "hybrid"]
"""`plain` runs every virtual mode directly (Theorem 1), `hybrid` interprets those that the scheme does not name as
direct (Theorem 3)."""

TECHNIQUES: tuple[Technique, ...] = get_args(Technique)

THEOREM: Mapping[Technique, int] = {"plain": 1, "hybrid": 3}

MOST_MODE_BITS = 12
"""Bits of mode elements over which the values that make up a mode are searched."""


# -- who holds what ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Division:
    """The elements and files of an Isa by who holds their value while a guest runs.

    `passed` hold the guest's own value in hardware, `environment` belongs to modes outside the scheme and is the same
    for both, `held` hold the monitor's value, and the guest's is in the monitor's record.  `inner` are those of a
    monitor that the virtual machine has in it: the hardware has no such state, so they are in the record alone.
    """

    passed: tuple[str, ...]
    environment: tuple[str, ...]
    held: tuple[str, ...]
    inner: tuple[str, ...] = ()

    @property
    def virtual(self) -> tuple[str, ...]:
        """What only the record has the virtual machine's value of."""
        return (*self.held, *self.inner)


def division(isa: ir.Isa, scheme: ir.Scheme) -> Division:
    """Divides the state as the scheme says; time and declared waiting pass as they are."""
    own = {name for o in scheme.own for name in o.names}
    environment = set(scheme.environment)
    passed, shared, held = [], [], []
    for name, role, waits in _states(isa):
        if role in (ir.Role.GUEST, ir.Role.TIME) or waits or _covered(name, own):
            passed.append(name)
        elif _covered(name, environment):
            shared.append(name)
        else:
            held.append(name)
    return Division(tuple(passed), tuple(shared), tuple(held))


def polled(isa: ir.Isa, division: Division) -> tuple[ir.Interrupt, ...]:
    """The interrupts that guest state alone may raise in the virtual machine, and that the real one, whose masks are
    the monitor's, does not take."""
    timed = {e.name for e in isa.elements.values() if e.role in (ir.Role.TIME, ir.Role.PROCESSOR)}
    passed, held = set(division.passed) - timed, set(division.held)
    return tuple(i for i in isa.interrupts if asks(i) & passed and asks(i) & held)


def asks(interrupt: ir.Interrupt) -> frozenset[str]:
    """The elements that its condition depends on."""
    return frozenset(e.element for e in ir.subterms(interrupt.cond) if isinstance(e, ir.Get))


def _states(isa: ir.Isa) -> Iterator[tuple[str, ir.Role, bool]]:
    """Every element and file with its role, and whether it is waiting that an interrupt ends."""
    for element in isa.elements.values():
        yield element.name, element.role, element.role is ir.Role.PROCESSOR and element.caveat is not None
    for file in isa.files.values():
        yield file.name, file.role, False


def _covered(name: str, listed: set[str]) -> bool:
    return name in listed or name.rsplit(".", 1)[0] in listed


# -- the plan ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What a monitor for this Isa under this scheme does.

    `direct` are the virtual modes that run on the hardware; the others are interpreted.  `modes` gives for each of them
    the mode elements of the real machine (MODE-SHADOW).  `composed` are the maps that work with the registers that the
    scheme composes, `shadowed` those that need a shadow (MAP-COMPOSE).  `inside` are the real modes of guests.
    """

    isa: ir.Isa
    scheme: ir.Scheme
    technique: Technique
    unsafe: bool
    division: Division
    direct: frozenset[int]
    modes: Mapping[int, Mapping[str, int]]
    composed: tuple[str, ...]
    shadowed: tuple[str, ...]

    def around(self, isa: ir.Isa) -> Plan:
        """The plan for virtual machines of `isa`, which is this machine with a monitor in it."""
        known = {*self.isa.elements, *self.isa.files}
        inner = tuple(name for name in (*isa.elements, *isa.files) if name not in known)
        return replace(self, isa=isa, division=replace(self.division, inner=inner))

    @property
    def inside(self) -> frozenset[int]:
        """φ(dom φ): the real modes in which guests run."""
        return frozenset(real for _, real in self.scheme.run)


def generate(
    isa: ir.Isa,
    report: SchemeReport | None,
    scheme: str | None = None,
    technique: Technique = "plain",
    *,
    unsafe: bool = False,
) -> Plan:
    """The plan of a monitor for `isa` under the scheme of this name (None: the first).

    `report` is the analysis of that scheme; without one only an unsafe monitor is made.

    Raises:
        Refused: PG530, the verdict forbids it; the message names the culprits.  PG531, the machine has no such scheme,
            or a real mode has no encoding.
    """
    try:
        chosen = isa.scheme(scheme)
    except KeyError:
        known = ", ".join(s.name for s in isa.schemes) or "none"
        raise Refused(
            Diagnostic("PG531", f"{isa.name} has no scheme {scheme or ''}", hint=f"there are: {known}")
        ) from None
    if not unsafe:
        permit(isa, chosen, report, technique)
    divided = division(isa, chosen)
    composed, shadowed = maps(isa, chosen)
    domain = frozenset(virtual for virtual, _ in chosen.run)
    direct = domain if technique == "plain" else frozenset(direct_modes(isa, chosen))
    held = set(divided.held)
    modes = {virtual: mode_values(isa, chosen, real, held) for virtual, real in chosen.run}
    return Plan(isa, chosen, technique, unsafe, divided, direct, modes, composed, shadowed)


def permit(isa: ir.Isa, scheme: ir.Scheme, report: SchemeReport | None, technique: Technique) -> None:
    """Does the verdict permit this technique?

    Raises:
        Refused: PG530.
    """
    what = f"{technique} monitor for {isa.name} under {scheme.name}"
    if report is None or report.name != scheme.name:
        message = f"a {what} needs the analysis of that scheme"
        raise Refused(Diagnostic("PG530", message, scheme.span, "an unsafe monitor needs none"))
    theorem = report.theorems[THEOREM[technique] - 1]
    if theorem.status == "holds":
        return
    names = ", ".join(theorem.culprits) or theorem.why or "see the report"
    message = f"there is no {what}: Theorem {theorem.number} is {theorem.status} ({names})"
    diagnostic = Diagnostic("PG530", message, scheme.span, way_out(report.theorems, technique))
    raise Refused(diagnostic, inconclusive=theorem.status == "inconclusive")


def way_out(theorems: tuple[TheoremResult, ...], technique: Technique) -> str:
    """What else can be done."""
    if technique == "plain" and len(theorems) > 2 and theorems[2].status == "holds":
        return "Theorem 3 holds: a hybrid monitor can be made (--technique hybrid)"
    return "an unsafe monitor can be made to see it fail (--unsafe)"


def direct_modes(isa: ir.Isa, scheme: ir.Scheme) -> tuple[int, ...]:
    """The virtual modes that a hybrid monitor runs directly: as the scheme says, or all but the most privileged."""
    if scheme.direct:
        return scheme.direct
    order = [mode.code for mode in isa.mode.modes()]
    supervisor = min((virtual for virtual, _ in scheme.run), key=order.index)
    return tuple(virtual for virtual, _ in scheme.run if virtual != supervisor)


# -- modes -------------------------------------------------------------------------------------------------------------


def mode_values(isa: ir.Isa, scheme: ir.Scheme, real: int, held: set[str]) -> Mapping[str, int]:
    """Values of the held mode elements with which the machine is in the mode with code `real`; the least.

    Raises:
        Refused: PG531, there are none.
    """
    names = [e.name for e in isa.elements.values() if e.role is ir.Role.MODE and e.name in held and _reads(isa, e.name)]
    if not names:
        return {}
    elements = [isa.elements[name] for name in names]
    if sum(e.width for e in elements) <= MOST_MODE_BITS:
        state = State(isa)
        code = value_of(isa.mode.expr, isa)
        for values in product(*(e.legal or range(1 << e.width) for e in elements)):
            state.elements.update(zip(names, values, strict=True))
            if code(Environment(state.elements, state.files, state.choices, {}), {}) == real:
                return dict(zip(names, values, strict=True))
    message = f"no value of {', '.join(names)} is mode {isa.mode.named(real)}"
    raise Refused(Diagnostic("PG531", message, scheme.span))


def _reads(isa: ir.Isa, name: str) -> bool:
    """Does the mode depend on this element?"""
    return any(isinstance(e, ir.Get) and e.element == name for e in ir.subterms(isa.mode.expr))


# -- maps --------------------------------------------------------------------------------------------------------------


def maps(isa: ir.Isa, scheme: ir.Scheme) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The maps that the scheme's composed registers serve, and those that need a shadow: a map is composed when it
    translates by registers alone and one of them is composed."""
    registers = {compose.element for compose in scheme.compose}
    composed: list[str] = []
    shadowed: list[str] = []
    for space in isa.spaces.values():
        if isinstance(space, ir.Map):
            reads, loads = map_reads(isa, space)
            (composed if reads & registers and not loads else shadowed).append(space.name)
    return tuple(composed), tuple(shadowed)


def map_reads(isa: ir.Isa, space: ir.Map) -> tuple[set[str], bool]:
    """The elements and files that a map's translation and the defaults of its arguments may read, and whether it loads
    from memory."""
    names: set[str] = set()
    loads = False
    blocks: list[ir.Block] = [space.body]
    seen: set[str] = set()
    for param in space.params:
        if param.default is not None:
            names |= reads(param.default)
    while blocks:
        for stmt in ir.statements(blocks.pop()):
            for expr in ir.expressions(stmt):
                names |= reads(expr)
            match stmt:
                case ir.Call() if stmt.procedure not in seen:
                    seen.add(stmt.procedure)
                    blocks.append(isa.procedures[stmt.procedure].body)
                case ir.Load() | ir.Store() | ir.Probe():
                    loads = True
                case _:
                    pass
    return names, loads


def reads(expr: ir.Expr) -> set[str]:
    """The elements and files that an expression reads."""
    names = set()
    for term in ir.subterms(expr):
        match term:
            case ir.Get():
                names.add(term.element)
            case ir.GetEntry():
                names.add(term.file)
            case _:
                pass
    return names
