"""Schemes, expectations, examples and the mode.

run S as U          the codes of modes
own mstatus.FS      the elements that a place is made of
compose l = l + k   an element and the value that the monitor gives it
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, expressions, fold, places, state, typenames, views
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import definite, parameter, raw, to_type
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import did_you_mean, failure, reported
from analyzer.syntax.prune import prune
from analyzer.syntax.scope import FileEntity, Scope, SpaceEntity
from analyzer.syntax.sections import Sections
from analyzer.syntax.value_types import BOOL, Bits, Enum, Type, width_of
from analyzer.syntax.values import (
    BitPlace,
    ChoicePlace,
    ConcatPlace,
    ElementPlace,
    EntryPlace,
    Group,
    LayoutPlace,
    MemoryPlace,
    OperandPlace,
    Place,
    RaisePlace,
    RetypedPlace,
    SlicePlace,
    Val,
    Value,
    ValuePlace,
    VariablePlace,
    ViewPlace,
)

WORDS = frozenset(
    (
        *("privileged", "unprivileged", "sensitive", "innocuous", "control", "location", "mode", "configuration"),
        *("user", "trap_only", "hole", "no_hole"),
    )
)
SCHEME_WORDS = frozenset(("virtualizable", "hybrid"))

# -- modes -------------------------------------------------------------------------------------------------------------


def mode_order(node: ast.Mode, scope: Scope, machine: Machine) -> ir.ModeOrder:
    """`mode = e order A, B > C`."""
    env = state.pure(machine, scope)
    body = env.body
    body.span = node.value.span
    expr = raw(definite(expressions.current_mode(ast.CurrentMode(span=node.span), env), node.value.span))
    ranks: list[tuple[ir.Mode, ...]] = []
    seen: dict[int, str] = {}
    for rank in node.ranks:
        modes = []
        for item in rank.modes:
            code, name = mode_code(item, machine), mode_name(item)
            if code in seen:
                raise failure("PG205", f"mode {name} is ranked twice", item.span)
            seen[code] = name
            modes.append(ir.Mode(name, code))
        ranks.append(tuple(modes))
    return ir.ModeOrder(expr, tuple(ranks))


def mode_name(node: ast.Expr) -> str:
    """A mode as it is written; `(root, 0)` is root.0."""
    match node:
        case ast.Name(text=text) | ast.Number(text=text):
            return text
        case ast.Tuple(items=items):
            return ".".join(mode_name(item) for item in items)
        case ast.Member(name=name):
            return name.text
        case ast.Call(args=(ast.Arg(value=value),)):
            return mode_name(value)
        case _:
            return "mode"


def mode_code(node: ast.Expr, machine: Machine) -> int:
    """The code of a mode."""
    assert machine.mode is not None
    env = state.pure(machine, machine.mode_scope)
    types = mode_types(machine)
    items = node.items if isinstance(node, ast.Tuple) else (node,)
    if len(items) != len(types):
        raise failure("PG211", f"a mode is {len(types)} values here, not {len(items)}", node.span)
    code = 0
    for item, type_ in zip(items, types, strict=True):
        code = code << width_of(type_) | state.constant(item, type_, env)
    return code


def mode_types(machine: Machine) -> list[Type]:
    """The types of the parts of the mode expression."""
    assert machine.mode is not None
    env = state.pure(machine, machine.mode_scope)
    val: Val = expressions.value(machine.mode.value, env)
    items = val.items if isinstance(val, Group) else (val,)
    return [definite(item, machine.mode.value.span).type for item in items]


# -- expectations ------------------------------------------------------------------------------------------------------


def expect(node: ast.Expect | ast.SchemeExpect, known: frozenset[str], scheme: str | None) -> ir.Expect:
    """A published class; each word is checked."""
    for word in node.words:
        bare = word.text.removeprefix("not_")
        if bare not in known:
            hint = did_you_mean(word.text, known) or f"the words are {' '.join(sorted(known))}, and not_ before any"
            raise failure("PG270", f"{word.text} is no class", word.span, hint)
    citation = node.citation.text if node.citation is not None else None
    return ir.Expect(tuple(w.text for w in node.words), scheme, citation, node.span)


# -- examples ----------------------------------------------------------------------------------------------------------


def example(node: ast.Example, scope: Scope, machine: Machine) -> ir.Example:
    """Facts before and after, in the names of the spec."""
    trap: str | None = None
    if node.trap is not None:
        trap = node.trap.text
        if trap not in machine.trap_names:
            raise failure("PG206", f"there is no trap {trap}", node.trap.span, did_you_mean(trap, machine.trap_names))
    env = state.pure(machine, scope)
    before = tuple(f for fact in node.before for f in facts(fact, env))
    after = tuple(f for fact in node.after for f in facts(fact, env))
    return ir.Example(node.asm.text, before, after, trap, node.span)


def facts(node: ast.Fact, env: Env) -> list[ir.Fact]:
    """A fact about each part of a place."""
    env.body.span = node.span
    place = places.place(node.place, env)
    type_ = (
        Bits(place.type.width) if isinstance(place.type, Enum) and isinstance(node.value, ast.Number) else place.type
    )
    return list(_facts(place, state.constant(node.value, type_, env), env, node.place.span))


def _facts(place: Place, value: int, env: Env, span: Span) -> Iterable[ir.Fact]:
    match place:
        case ElementPlace(element):
            yield ir.Fact(element, value)
        case EntryPlace(file, ir.Const(_, index)):
            yield ir.Fact(file, value, index)
        case MemoryPlace(space, ir.Const(_, address), bits):
            yield ir.Fact(space, value, address, bits)
        case ValuePlace(Value(ir.Get(name, _), _)):
            yield ir.Fact(name, value)
        case ValuePlace(Value(ir.Const(), _)):
            return
        case RetypedPlace(base):
            yield from _facts(base, value, env, span)
        case LayoutPlace(parts):
            for part in parts:
                yield from _facts(part.place, value >> part.lo & ((1 << (part.hi - part.lo + 1)) - 1), env, span)
        case ConcatPlace(parts):
            low = width_of(place.type)
            for piece in parts:
                low -= width_of(piece.type)
                yield from _facts(piece, value >> low & ((1 << width_of(piece.type)) - 1), env, span)
        case ViewPlace(view) if isinstance(view.node.body, ast.Selection):
            yield from _facts(views.selection(place, view.node.body, env), value, env, span)
        case ViewPlace(view) if not isinstance(view.node.body, ast.Computed | ast.Selection):
            yield from _facts(views.target(place, env), value, env, span)
        case _:
            raise failure(
                "PG271", "a fact is about a register, a field, an entry or a memory cell at a constant address", span
            )


# -- schemes -----------------------------------------------------------------------------------------------------------


def schemes(sections: Sections) -> None:
    """All schemes; those of one name are one."""
    machine = sections.machine
    if machine.mode is None or sections.mode is None:
        return
    by_name: dict[str, list[tuple[ast.Scheme, Scope]]] = {}
    for node, piece in sections.of(ast.Scheme):
        by_name.setdefault(node.name.text, []).append((node, piece.scope))
    for found in by_name.values():
        with machine.problems.catch(found[0][0].span):
            sections.schemes.append(scheme([node for node, _ in found], found[0][1], machine))


def names_of(node: ast.Expr, env: Env) -> tuple[str, ...]:
    """The elements and files that a place is made of."""
    if isinstance(node, ast.Name):
        entity = env.scope.find(node.text)
        if isinstance(entity, FileEntity):
            register = env.machine.registers.get(entity.name)
            if register is None:
                return (entity.name,)
            return tuple(part.file for part in register.parts if part.file is not None)
        if isinstance(entity, SpaceEntity) and entity.kind == "memory":
            return (entity.name,)
    if isinstance(node, ast.Member) and isinstance(node.value, ast.Name):
        entity = env.scope.find(node.value.text)
        name = f"{node.value.text}.{node.name.text}"
        if isinstance(entity, FileEntity) and name in env.machine.files:
            return (name,)
    found = tuple(dict.fromkeys(_names(places.place(node, env), env)))
    if not found:
        raise failure("PG272", "this is no state", node.span, "name registers, fields or register files")
    return found


def _names(place: Place, env: Env) -> Iterable[str]:
    match place:
        case ElementPlace(element):
            yield element
        case EntryPlace(file):
            yield file
        case LayoutPlace(parts):
            for part in parts:
                yield from _names(part.place, env)
        case ConcatPlace(parts):
            for piece in parts:
                yield from _names(piece, env)
        case SlicePlace(base) | RetypedPlace(base) | BitPlace(base):
            yield from _names(base, env)
        case ChoicePlace(arms, other):
            for _, arm in arms:
                yield from _names(arm, env)
            yield from _names(other, env)
        case MemoryPlace(space):
            yield space
        case ViewPlace(view) if isinstance(view.node.body, ast.Selection):
            yield from _names(views.selection(place, view.node.body, env), env)
        case ViewPlace(view) if not isinstance(view.node.body, ast.Computed | ast.Selection):
            yield from _names(views.target(place, env), env)
        case ValuePlace() | VariablePlace() | RaisePlace() | OperandPlace() | ViewPlace():
            return


def scheme(nodes: Sequence[ast.Scheme], scope: Scope, machine: Machine) -> ir.Scheme:
    """A scheme: what an extending spec says of it is added, and its expectations replace the inherited ones."""
    last_expects = next((n for n in reversed(nodes) if any(isinstance(p, ast.SchemeExpect) for p in n.parts)), None)
    parts = [p for n in nodes for p in n.parts if not isinstance(p, ast.SchemeExpect) or n is last_expects]
    first = nodes[0]
    chosen: dict[str, Type] = {}
    for part in parts:
        if isinstance(part, ast.Chosen):
            with machine.problems.catch(part.span):
                if part.name.text in chosen:
                    raise failure("PG205", f"{part.name.text} is chosen twice", part.name.span)
                chosen[part.name.text] = typenames.type_of(part.type, state.pure(machine, scope))
    values = {n: Value(ir.Local(n, width_of(t)), Bits(width_of(t))) for n, t in chosen.items()}
    inner = scope.child(values)
    made = _Parts()
    for part in parts:
        with machine.problems.catch(part.span):
            _part(part, inner, machine, made)
    if any(isinstance(p, ast.Run) for p in parts) and not made.run:
        raise reported()
    if any(isinstance(p, ast.Monitor) for p in parts) and made.monitor is None:
        raise reported()
    if not made.run or made.monitor is None:
        missing = "run" if not made.run else "monitor"
        raise failure("PG273", f"scheme {first.name.text} has no `{missing}`", first.name.span)
    title = next((n.title.text for n in reversed(nodes) if n.title is not None), None)
    return ir.Scheme(
        first.name.text,
        title,
        tuple(made.run.items()),
        made.monitor,
        tuple(made.own),
        tuple(made.assume),
        tuple(made.guest),
        tuple((n, width_of(t)) for n, t in chosen.items()),
        tuple(made.compose),
        tuple(dict.fromkeys(made.choose)),
        tuple(dict.fromkeys(made.environment)),
        tuple(made.direct),
        tuple(made.expects),
        first.span,
    )


class _Parts:
    """The parts of a scheme in the making."""

    def __init__(self) -> None:
        self.run: dict[int, int] = {}
        self.monitor: int | None = None
        self.own: list[ir.Own] = []
        self.assume: list[ir.Assume] = []
        self.guest: list[ir.Assume] = []
        self.compose: list[ir.Compose] = []
        self.choose: list[str] = []
        self.environment: list[str] = []
        self.direct: list[int] = []
        self.expects: list[ir.Expect] = []


def _part(part: ast.SchemePart, scope: Scope, machine: Machine, made: _Parts) -> None:
    env = state.pure(machine, scope)
    match part:
        case ast.Run(pairs=pairs):
            for pair in pairs:
                virtual = mode_code(pair.virtual, machine)
                if virtual in made.run:
                    raise failure("PG205", f"{mode_name(pair.virtual)} runs twice", pair.span)
                made.run[virtual] = mode_code(pair.real, machine)
        case ast.Monitor(mode=mode):
            made.monitor = mode_code(mode, machine)
        case ast.Own(places=nodes, reason=reason):
            names = tuple(n for node in nodes for n in names_of(node, env))
            made.own.append(ir.Own(names, reason.text if reason is not None else None))
        case ast.Assume(cond=cond, params=params, reason=reason):
            made.assume.append(assume(cond, params, reason, scope, machine, part.span))
        case ast.GuestAssume(cond=cond, reason=reason):
            made.guest.append(assume(cond, (), reason, scope, machine, part.span))
        case ast.Chosen():
            pass
        case ast.Compose(place=place, value=value):
            made.compose.extend(_compose(place, value, env))
        case ast.Choose(places=nodes):
            made.choose.extend(n for node in nodes for n in names_of(node, env))
        case ast.Environment(places=nodes):
            made.environment.extend(n for node in nodes for n in names_of(node, env))
        case ast.Direct(modes=modes):
            made.direct.extend(mode_code(mode, machine) for mode in modes)
        case ast.SchemeExpect():
            made.expects.append(expect(part, SCHEME_WORDS, None))


def assume(
    cond: ast.Expr,
    params: Sequence[ast.Parameter],
    reason: ast.String | None,
    scope: Scope,
    machine: Machine,
    span: Span,
) -> ir.Assume:
    """A condition with its loads and calls."""
    body = Body("assume", span=span, pc=machine.pc)
    env = Env(machine, body, scope.child())
    free: list[tuple[str, int]] = []
    for param in params:
        if param.type is None:
            raise failure("PG208", f"{param.name.text} needs a width", param.span)
        type_ = typenames.type_of(param.type, env)
        free.append((param.name.text, width_of(type_)))
        body.used.add(param.name.text)
        env.scope.names[param.name.text] = parameter(param.name.text, type_)
    expr = to_type(expressions.value(cond, env, BOOL), BOOL, cond.span).expr
    return ir.Assume(
        expr, reason.text if reason is not None else None, tuple(free), _prelude(body.out, expr, machine), span
    )


def _prelude(out: Sequence[ir.Stmt], expr: ir.Expr, machine: Machine) -> ir.Block:
    kept = prune((*out, ir.Return(expr)), machine.locals)
    return kept[:-1]


def invariant(node: ast.Invariant, scope: Scope, machine: Machine) -> ir.Invariant:
    """`invariant e "why"`: a machine invariant."""
    made = assume(node.cond, (), node.reason, scope, machine, node.span)
    return ir.Invariant(made.expr, made.reason, made.prelude, node.span)


def _compose(node: ast.Expr, value: ast.Expr, env: Env) -> list[ir.Compose]:
    place = places.place(node, env)
    expr = raw(to_type(expressions.value(value, env, place.type), place.type, value.span))
    found: list[ir.Compose] = []
    for element, lo, width in _elements(place, 0, env):
        found.append(ir.Compose(element, fold.extract(expr, lo + width - 1, lo)))
    if not found:
        raise failure("PG272", "this is no state", node.span, "name a register or a field")
    return found


def _elements(place: Place, low: int, env: Env) -> Iterable[tuple[str, int, int]]:
    """The elements of a place, with their lowest bit in it and their width."""
    match place:
        case ElementPlace(element, type_):
            yield element, low, width_of(type_)
        case LayoutPlace(parts):
            for part in parts:
                yield from _elements(part.place, low + part.lo, env)
        case ConcatPlace(parts):
            top = width_of(place.type)
            for piece in parts:
                top -= width_of(piece.type)
                yield from _elements(piece, low + top, env)
        case RetypedPlace(base):
            yield from _elements(base, low, env)
        case ViewPlace(view) if not isinstance(view.node.body, ast.Computed | ast.Selection):
            yield from _elements(views.target(place, env), low, env)
        case _:
            return
