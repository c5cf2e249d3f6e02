"""Deliveries and interrupts."""

from __future__ import annotations

from analyzer import ir
from analyzer.syntax import ast, expressions, schemes, state, statements, traps
from analyzer.syntax.body import Body, Env
from analyzer.syntax.problems import Problems
from analyzer.syntax.prune import prune
from analyzer.syntax.scope import BaseEntity, DeliverEntity, Entity, TrapEntity
from analyzer.syntax.sections import Sections
from analyzer.syntax.value_types import Bits, width_of


def deliver(sections: Sections) -> None:
    """The delivery procedure, and the attributes that it reads.  Where only the delivery says how wide an attribute
    is, it is elaborated twice."""
    machine = sections.machine
    with machine.problems.catch():
        traps.find_attributes(machine)
    if any(type_ is None for type_ in machine.attributes.values()):
        _learn(sections)
    traps.settle_attributes(machine)
    body = _deliver_body(sections)
    traps.finish(machine)
    if body is not None:
        params = [("t", traps.TRAP_WIDTH)]
        params += [(f"t.{name}", width_of(t)) for name, t in machine.attributes.items() if t is not None]
        sections.deliver = ir.Procedure(
            "deliver", tuple(params), None, prune(tuple(body.out), machine.locals), body.span
        )


def _learn(sections: Sections) -> None:
    machine = sections.machine
    problems, machine.problems = machine.problems, Problems()
    procedures, instances, buses, spaces = (
        dict(machine.procedures),
        dict(machine.instances),
        dict(machine.buses),
        dict(machine.spaces),
    )
    for _ in range(3):
        before = dict(machine.learned)
        _deliver_body(sections)
        for name, width in machine.learned.items():
            if machine.attributes.get(name) is None:
                machine.attributes[name] = Bits(width)
        if machine.learned == before:
            break
    machine.problems = problems
    machine.procedures, machine.instances, machine.buses, machine.spaces = procedures, instances, buses, spaces


def _deliver_body(sections: Sections) -> Body | None:
    machine = sections.machine
    found = sections.last(ast.Deliver)
    if found is None:
        return None
    node, piece = found
    body = Body("deliver", pc=machine.pc, span=node.span)
    body.used = {"t", *(f"t.{name}" for name in machine.attributes)}
    names: dict[str, Entity] = {node.param.text: TrapEntity()}
    if piece.override:
        inherited: DeliverEntity | None = None
        for other, where in sections.of(ast.Deliver)[:-1]:
            inherited = DeliverEntity(other, where.scope, inherited)
        if inherited is None:
            machine.problems.report("PG246", "there is no inherited delivery to override", node.span)
        else:
            names["base"] = BaseEntity(inherited)
    statements.block(node.body, Env(machine, body, piece.scope.child(names)))
    return body


def interrupts(sections: Sections) -> None:
    """`interrupt t when e`, and machine invariants."""
    machine = sections.machine
    for node, piece in sections.of(ast.Interrupt):
        with machine.problems.catch(node.span):
            env = state.pure(machine, piece.scope)
            env.body.span = node.span
            raised = traps.raise_(node.trap, node.args, env, node.span)
            sections.interrupts.append(ir.Interrupt(raised.trap, raised.args, expressions.condition(node.cond, env)))
    for stated, piece in sections.of(ast.Invariant):
        with machine.problems.catch(stated.span):
            sections.invariants.append(schemes.invariant(stated, piece.scope, machine))
