"""The mode-transition graph: which instruction, or which trap, can move the machine from which mode to which.

Edges are derived by the solver from the instructions' and the delivery's own text.  An edge to a more privileged mode
that is neither a trap nor a gate is a finding: an unguarded way from user to supervisor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from analyzer import ir
from analyzer.classify import YES, Truth
from analyzer.gates import gated
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.model import Model
from analyzer.symbolic.pair import Pair, Subject, subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.windows import Windows, World

if TYPE_CHECKING:
    import networkx as nx


class Transition(Struct, frozen=True):
    """`by` can move the machine from mode `source` to mode `target`; `trap` says that it is a trap's name, `gate` that
    it is an instruction which raises privilege and arrives where the more privileged software has said."""

    source: str
    target: str
    by: str
    trap: bool
    gate: bool = False


def transitions(setting: Setting) -> tuple[Transition, ...]:
    """All transitions between different modes."""
    moving = (s for s in subjects(setting.isa) if may_change_mode(setting, s))
    return (*(t for s in moving for t in moves(Pair(setting, s))), *trap_moves(setting))


def graph_of(found: tuple[Transition, ...], isa: ir.Isa) -> nx.MultiDiGraph[str]:
    """The graph: modes as nodes with their rank, transitions as edges with `by` and `guarded`."""
    import networkx as nx  # slow to load, and most verdicts do without

    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for rank, modes in enumerate(isa.mode.ranks):
        for mode in modes:
            graph.add_node(mode.name, rank=rank)
    for t in found:
        graph.add_edge(t.source, t.target, by=t.by, guarded=t.trap or t.gate)
    return graph


def escalations(found: tuple[Transition, ...], isa: ir.Isa) -> tuple[Transition, ...]:
    """Unguarded transitions to a more privileged mode."""
    return tuple(t for t in found if not (t.trap or t.gate) and _raises(isa, t.source, t.target))


def _raises(isa: ir.Isa, source: str, target: str) -> bool:
    """Is the target more privileged?"""
    rank = {m.name: i for i, modes in enumerate(isa.mode.ranks) for m in modes}
    return rank[target] < rank[source]


def _mode_elements(isa: ir.Isa) -> set[str]:
    return {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}


def may_change_mode(setting: Setting, subject: Subject) -> bool:
    """Does the subject's text write what the mode is made of?"""
    return bool(setting.effects.block(subject.instruction.body).writes & _mode_elements(setting.isa))


def moves(pair: Pair) -> tuple[Transition, ...]:
    """The transitions that an instruction can make by completing."""
    side, smt, isa = pair.v, pair.smt, pair.setting.isa
    after = side.evaluate(side.run.after, isa.mode.expr)
    completes = smt.and_(pair.machine(), side.run.completes)

    def by_gate(source: str, target: str) -> bool:
        width, code = ir.width(isa.mode.expr), {m.name: m.code for m in isa.mode.modes()}
        move = smt.and_(smt.eq(side.mode, code[source], width), smt.eq(after, code[target], width))
        return _raises(isa, source, target) and gated(pair, smt.and_(completes, move))

    changes = _changes(isa, smt, completes, side.mode, after, {})
    return tuple(Transition(a, b, pair.subject.name, False, by_gate(a, b)) for a, b in changes)


def trap_moves(setting: Setting) -> tuple[Transition, ...]:
    """The transitions that each trap can make.  Traps are delivered much alike, so each is first asked for the moves of
    the one before, near the models that showed them."""
    smt = Smt()
    shown: dict[tuple[int, int], Model] = {}
    return tuple(t for trap in setting.isa.traps.values() for t in _by_trap(setting, smt, trap, shown))


def _changes(
    isa: ir.Isa, smt: Smt, given: Bool, before: Bits, after: Bits, shown: dict[tuple[int, int], Model]
) -> list[tuple[str, str]]:
    """The pairs of different modes that `before` and `after` can be: first those that were `shown` before, then all at
    once, and each model shows one that need not be asked for again."""
    width, modes = ir.width(isa.mode.expr), isa.mode.modes()
    open_ = {
        (a.code, b.code): smt.and_(smt.eq(before, a.code, width), smt.eq(after, b.code, width))
        for a in modes
        for b in modes
        if a != b
    }
    found: set[tuple[int, int]] = set()
    for pair in [p for p in shown if p in open_]:
        smt.suggest(shown[pair])
        answer = smt.check(given, open_[pair])
        if answer.status != "unknown":
            del open_[pair]
        if answer.model is not None:
            found.add(pair)
            shown[pair] = answer.model
    while open_:
        answer = smt.check(given, smt.or_(*open_.values()))
        if answer.status == "unsat":
            break
        if answer.status == "unknown":  # one by one, then
            found |= {pair for pair, way in open_.items() if Truth.of(smt.check(given, way)) is YES}
            break
        pair = answer.model.value(before), answer.model.value(after)
        shown[pair] = answer.model
        found.add(pair)
        del open_[pair]
    return [(a.name, b.name) for a in modes for b in modes if (a.code, b.code) in found]


def _by_trap(setting: Setting, smt: Smt, trap: ir.TrapKind, shown: dict[tuple[int, int], Model]) -> list[Transition]:
    isa = setting.isa
    if isa.deliver is None:
        return []
    world = World(isa, smt, "v")
    ex = Executor(isa, smt, world, Windows(isa, smt, world, setting.shapes))
    frame = Frame({}, Changes(), Changes())
    before = ex.value(isa.mode.expr, frame)
    for name, width in trap.params:
        frame.let(name, smt.symbol(f"trap {name}", width), width)
    values = {"t": list(isa.traps).index(trap.name)}
    values |= {f"t.{name}": ex.value(expr, frame) for name, expr in trap.attributes}
    inner = Frame({}, frame.state, frame.restart)
    ex.body(inner, isa.deliver, tuple(values.get(name, 0) for name, _ in isa.deliver.params), True)
    after = ex.value(isa.mode.expr, inner)
    changes = _changes(isa, smt, inner.alive, before, after, shown)
    return [Transition(source, target, trap.name, True) for source, target in changes]
