"""The mode-transition graph: which instruction, or which trap, can move the machine from which mode to which.

Edges are derived by the solver from the instructions' and the delivery's own text.  An edge to a more privileged mode
that is not a trap is a finding: an unguarded way from user to supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    out: list[Transition] = []
    for subject in subjects(setting.isa):
        if _may_change_mode(setting, subject):
            out += _by_instruction(setting, subject)
    for trap in setting.isa.traps.values():
        out += _by_trap(setting, trap)
    return tuple(out)


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


def _may_change_mode(setting: Setting, subject: Subject) -> bool:
    return bool(setting.effects.block(subject.instruction.body).writes & _mode_elements(setting.isa))


def _by_instruction(setting: Setting, subject: Subject) -> list[Transition]:
    pair = Pair(setting, subject)
    side, smt, isa = pair.v, pair.smt, setting.isa
    width = pair.mode_width
    after = side.evaluate(side.run.after, isa.mode.expr)
    out = []
    for source in isa.mode.modes():
        start = smt.and_(pair.machine(), smt.eq(side.mode, source.code, width), side.run.completes)
        for target in isa.mode.modes():
            if target == source:
                continue
            answer = smt.check(start, smt.eq(after, target.code, width))
            if Truth.of(answer) is YES:
                out.append(Transition(source.name, target.name, subject.name, False))
    return out


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
    for source in isa.mode.modes():
        for target in isa.mode.modes():
            if source != target:
                there = smt.and_(smt.eq(before, source.code, width), smt.eq(after, target.code, width))
                if Truth.of(smt.check(there, inner.alive)) is YES:
                    out.append(Transition(source.name, target.name, trap.name, True))
    return out
