"""The mode-transition graph: which instruction, or which trap, can move the machine from which mode to which.

Edges are derived by the solver from the instructions' and the delivery's own text.  An edge to a more privileged mode
that is not a trap is a finding: an unguarded way from user to supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import networkx as nx

from analyzer import ir
from analyzer.classify import YES, Truth
from analyzer.symbolic.execute import Changes, Executor, Frame
from analyzer.symbolic.pair import Pair, Subject, subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Smt
from analyzer.symbolic.windows import Windows, World


@dataclass(frozen=True, slots=True)
class Transition:
    """`by` can move the machine from mode `source` to mode `target`; `trap` says that it is a trap's name."""

    source: str
    target: str
    by: str
    trap: bool


def transitions(setting: Setting) -> tuple[Transition, ...]:
    """All transitions between different modes."""
    moving = (s for s in subjects(setting.isa) if may_change_mode(setting, s))
    return (*(t for s in moving for t in moves(Pair(setting, s))), *trap_moves(setting))


def graph_of(found: tuple[Transition, ...], isa: ir.Isa) -> nx.MultiDiGraph[str]:
    """The graph: modes as nodes with their rank, transitions as edges with `by` and `trap`."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for rank, modes in enumerate(isa.mode.ranks):
        for mode in modes:
            graph.add_node(mode.name, rank=rank)
    for t in found:
        graph.add_edge(t.source, t.target, by=t.by, trap=t.trap)
    return graph


def escalations(found: tuple[Transition, ...], isa: ir.Isa) -> tuple[Transition, ...]:
    """Unguarded transitions to a more privileged mode."""
    rank = {m.name: i for i, modes in enumerate(isa.mode.ranks) for m in modes}
    return tuple(t for t in found if not t.trap and rank[t.target] < rank[t.source])


def _mode_elements(isa: ir.Isa) -> set[str]:
    return {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}


def may_change_mode(setting: Setting, subject: Subject) -> bool:
    """By its text, does the instruction write what the mode is made of?"""
    return bool(setting.effects.block(subject.instruction.body).writes & _mode_elements(setting.isa))


def moves(pair: Pair) -> tuple[Transition, ...]:
    """Which mode the instruction of a pair can move to which."""
    side, smt, isa = pair.v, pair.smt, pair.setting.isa
    width = pair.mode_width
    after = side.evaluate(side.run.after, isa.mode.expr)
    completes = smt.and_(pair.machine(), side.run.completes)
    out = []
    for source, target in permutations(isa.mode.modes(), 2):
        there = smt.and_(smt.eq(side.mode, source.code, width), smt.eq(after, target.code, width))
        if Truth.of(smt.check(completes, there)) is YES:
            out.append(Transition(source.name, target.name, pair.subject.name, False))
    return tuple(out)


def trap_moves(setting: Setting) -> tuple[Transition, ...]:
    """Which mode each trap can move to which."""
    return tuple(t for trap in setting.isa.traps.values() for t in _by_trap(setting, trap))


def _by_trap(setting: Setting, trap: ir.TrapKind) -> list[Transition]:
    isa = setting.isa
    if isa.deliver is None:
        return []
    smt = Smt()
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
    width = ir.width(isa.mode.expr)
    out = []
    for source, target in permutations(isa.mode.modes(), 2):
        there = smt.and_(smt.eq(before, source.code, width), smt.eq(after, target.code, width))
        if Truth.of(smt.check(there, inner.alive)) is YES:
            out.append(Transition(source.name, target.name, trap.name, True))
    return out
