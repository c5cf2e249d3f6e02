"""What nothing uses is checked, too."""

from __future__ import annotations

from analyzer import ir
from analyzer.syntax import ast, calls, expressions, state, statements, typenames
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import parameter, to_type
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import failure
from analyzer.syntax.prune import Locals
from analyzer.syntax.scope import FnEntity, Scope, ViewEntity
from analyzer.syntax.sections import Sections
from analyzer.syntax.values import ViewPlace
from analyzer.syntax.views import read


def functions(sections: Sections) -> None:
    """Functions that nothing calls are checked, too, unless they have compile-time parameters."""
    machine = sections.machine
    called = {key[0] for key in machine.instances}
    kept, machine.locals, known = dict(machine.procedures), Locals(), machine.locals
    for node, piece in sections.of(ast.Fn):
        entity = piece.scope.find(node.name.text)
        if not isinstance(entity, FnEntity) or entity in called or entity.node is not node:
            continue
        if any(p.type is None for p in node.params):
            continue
        with machine.problems.catch(node.span):
            _check_function(entity, machine)
    machine.procedures, machine.locals = kept, known


def views(sections: Sections) -> None:
    """Views are read once on their own, so that one that nothing uses is checked, too."""
    machine = sections.machine
    kept, machine.locals, known = dict(machine.procedures), Locals(), machine.locals
    for node, piece in sections.of(ast.View):
        if not node.widths:
            with machine.problems.catch(node.span):
                _check_view(node, piece.scope, machine)
    machine.procedures, machine.locals = kept, known


def _check_view(node: ast.View, scope: Scope, machine: Machine) -> None:
    entity = scope.find(node.name.text)
    readable = not isinstance(node.body, ast.Computed) or any(
        isinstance(p, ast.Read | ast.Place) for p in node.body.parts
    )
    if not isinstance(entity, ViewEntity) or entity.node is not node or not readable:
        return
    env = state.pure(machine, scope)
    body = Body("instruction", pc=machine.pc, here=ir.Local("here", machine.pc_width or 1), span=node.span)
    home = Env(machine, body, entity.scope.child())
    for param in node.params:
        if param.type is None:
            raise failure("PG208", f"{param.name.text} needs a width", param.span)
        type_ = typenames.type_of(param.type, env)
        home.scope.names[param.name.text] = parameter(param.name.text, type_)
    read(ViewPlace(entity, home, typenames.type_of(node.type, home)), home, node.name.span)


def _check_function(entity: FnEntity, machine: Machine) -> None:
    node = entity.node
    env = state.pure(machine, entity.scope)
    body = Body("instruction", pc=machine.pc, here=ir.Local("here", machine.pc_width or 1), span=node.span)
    home = Env(machine, body, calls.fn_scope(entity))
    for param in node.params:
        assert param.type is not None
        if isinstance(param.type, ast.NamedType) and not typenames.is_type(param.type.name, env):
            return
        type_ = typenames.type_of(param.type, env)
        home.scope.names[param.name.text] = parameter(param.name.text, type_)
    result = None if node.result is None else typenames.type_of(node.result, home)
    body.kind, body.returns = "procedure", result
    before = machine.problems.count
    if isinstance(node.body, ast.Block):
        statements.block(node.body, home)
        if result is not None and not statements.ends(body.out) and machine.problems.count == before:
            machine.problems.report("PG302", f"{node.name.text} can end without `return`", node.name.span)
    else:
        val = expressions.value(node.body, home, result)
        if result is not None:
            to_type(val, result, node.body.span)
