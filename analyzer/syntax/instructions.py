"""Instructions: an encoding, an assembly text and a body each.

The order of a body: `here := pc`, advance, `before` statements, should-be bits, the format's beginning, the effects of
operands in stream order, the statements of the instruction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct, field

from analyzer import ir
from analyzer.errors import Diagnostic
from analyzer.syntax import (
    accesses,
    assembly_text,
    ast,
    calls,
    decoders,
    encodings,
    expressions,
    fold,
    operands,
    places,
    state,
    statements,
)
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import to_type
from analyzer.syntax.decoders import Operand
from analyzer.syntax.encodings import Laid, Pattern
from analyzer.syntax.machine import InstrItem, Machine
from analyzer.syntax.problems import Failure, did_you_mean, failure, reported
from analyzer.syntax.prune import prune
from analyzer.syntax.scope import (
    BaseEntity,
    Cell,
    DeliverEntity,
    Entity,
    FnEntity,
    PlaceEntity,
    Poison,
    Scope,
    TrapEntity,
    ViewEntity,
)
from analyzer.syntax.value_types import Bits, width_of
from analyzer.syntax.values import EntryPlace, MemoryPlace, Number, OperandPlace, Place, Value

# -- encodings ---------------------------------------------------------------------------------------------------------


class Encoded(Struct):
    """An encoding: its segments, its operands, where parts of the stream end, and how long it is."""

    pattern: Pattern
    segments: list[ir.Segment] = []
    operands: dict[str, Operand] = {}
    leaves: dict[str, ir.OperandField] = {}
    shoulds: list[tuple[str, int, int]] = []
    starts: dict[str, ir.Expr] = {}
    last: dict[str, bool] = {}
    bases: dict[str, ir.Expr] = {}
    order: list[str] = []
    length: ir.Expr = field(default_factory=lambda: ir.Const(1, 0))
    where: list[ir.Expr] = []


def encode(node: ast.Instr, scope: Scope, machine: Machine) -> Encoded:
    """The segments and operands of a pattern."""
    env = state.pure(machine, scope)
    pattern = encodings.expand(node.pattern, env)
    encoded = Encoded(pattern)
    width = machine.pc_width or 1
    laids = [encodings.lay(group) for group in pattern.groups]
    for name, use in pattern.uses.items():
        encoded.operands[name] = decoders.decode(use, name, _code(use, laids), machine)
    position: ir.Expr = ir.Const(width, 0)
    if machine.prefixes:
        position = fold.resize(ir.Operand("prefix_parcels", 8), width)
        position = fold.binary("mul", position, ir.Const(width, _parcel_units(machine)))
    for i, (group, laid) in enumerate(zip(pattern.groups, laids, strict=True)):
        if laid.width:
            if laid.width % machine.unit:
                raise failure(
                    "PG303",
                    f"this group has {laid.width} bits, no multiple of the unit of {machine.unit} bits",
                    pattern.spans[i],
                    _sum_hint(group),
                )
            encoded.segments.append(_segment(laid, encoded))
            position = fold.binary("add", position, ir.Const(width, laid.width // machine.unit))
            for use, *_ in laid.fields:
                encoded.bases[use.name] = position
        for operand in _tails_after(i, pattern, encoded):
            encoded.starts[operand.name] = position
            encoded.order.append(operand.name)
            position = _tails(operand, position, encoded, machine)
    for operand in encoded.operands.values():
        if operand.arms and operand.name not in encoded.order:
            encoded.order.append(operand.name)
            encoded.starts[operand.name] = position
        if operand.arms and operand.otherwise is None:
            encoded.where.append(operand.valid)
    for operand in encoded.operands.values():
        encoded.leaves.setdefault(operand.name, ir.OperandField(operand.name, operand.use.width, _cases(operand)))
    encoded.length = position
    return encoded


def _parcel_units(machine: Machine) -> int:
    return max(1, machine.parcel // machine.unit)


def _sum_hint(group: Sequence[encodings.Piece]) -> str:
    return "its parts have " + " + ".join(str(p.width) for p in group if p.width) + " bits"


def _code(use: encodings.Use, laids: Sequence[Laid]) -> ir.Expr:
    """The bits of an operand; those that the encoding leaves out are 0."""
    whole = ir.Operand(use.name, use.width)
    located = [(whole, olo, olo, n) for laid in laids for u, olo, _, n in laid.fields if u is use]
    return encodings.gather(use, located)


def _segment(laid: Laid, encoded: Encoded) -> ir.Segment:
    fields = [ir.FieldSlice(use.name, olo, slo, n) for use, olo, slo, n in laid.fields]
    for value, low, n in laid.shoulds:
        name = f"should_be{len(encoded.shoulds) or ''}"
        encoded.shoulds.append((name, value, n))
        encoded.leaves[name] = ir.OperandField(name, n)
        fields.append(ir.FieldSlice(name, 0, low, n))
    return ir.Segment(laid.width, laid.mask, laid.value, tuple(fields))


def _tails_after(group: int, pattern: Pattern, encoded: Encoded) -> list[Operand]:
    """The operands whose rest stands after a group: where `dst...` is, else where their last bits are."""
    found = []
    for piece in pattern.groups[group]:
        match piece:
            case encodings.TailHere(use):
                found.append(encoded.operands[use.name])
            case encodings.Bit(use, _, _):
                operand = encoded.operands[use.name]
                if not use.tailed and operand.arms and operand not in found and _last_group(use, pattern) == group:
                    found.append(operand)
            case _:
                pass
    return found


def _last_group(use: encodings.Use, pattern: Pattern) -> int:
    groups = [i for i, g in enumerate(pattern.groups) if any(isinstance(p, encodings.Bit) and p.use is use for p in g)]
    return groups[-1] if groups else 0


def _tails(operand: Operand, position: ir.Expr, encoded: Encoded, machine: Machine) -> ir.Expr:
    """The conditional segments of an operand in the stream."""
    width = ir.width(position)
    for tail in operand.tails:
        units = tail.width // machine.unit
        whole = (ir.FieldSlice(tail.leaf, 0, 0, tail.width),)
        when = None if tail.cond == ir.TRUE else tail.cond
        encoded.segments.append(ir.Segment(tail.width, 0, 0, whole, when))
        encoded.leaves[tail.leaf] = ir.OperandField(tail.leaf, tail.width)
        encoded.bases[tail.leaf] = fold.binary("add", position, ir.Const(width, units))
        position = fold.binary("add", position, operands.length_of([tail], width, machine))
    return position


def _cases(operand: Operand) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The numbers of a dispatch space: one case for each arm of the view."""
    use = operand.use
    if use.declared is None or use.scope is None:
        return ()
    style = next((s for s in use.declared.styles if isinstance(s, ast.AsStyle)), None)
    entity = use.scope.find(style.name.text) if style is not None else None
    if entity is None or not isinstance(entity, ViewEntity):
        return ()
    arms = assembly_text.cases(entity, use.width)
    if arms is None:
        return ()
    cases: dict[str, list[int]] = {}
    for name, values, _ in arms:
        if values:
            cases.setdefault(name, []).extend(values)
    return (*((name, tuple(values)) for name, values in cases.items()), ("other", ()))


# -- bodies ------------------------------------------------------------------------------------------------------------


def elaborate(item: InstrItem, machine: Machine) -> ir.Instruction:
    """The instruction of the IR."""
    node = item.node
    encoded = encode(node, item.scope, machine)
    body = Body("instruction", pc=machine.pc, span=node.span)
    body.used = {"here", *encoded.leaves}
    body.here = ir.Local("here", machine.pc_width)
    _start(body, encoded.length, machine)
    env = Env(machine, body, item.scope.child())
    for name, operand in encoded.operands.items():
        env.scope.names[name] = PlaceEntity(operands.plain(operand, env))
    _run_before(item, env)
    _run_shoulds(encoded, body)
    _run_body(item, encoded.pattern, encoded, env)
    conds = [*encoded.where, *_wheres(item, encoded, env), *body.restrictions]
    where = fold.all_of(conds)
    context = assembly_text.Context(machine, encoded.operands, item.scope, encoded.bases, node.asm.span)
    text: ir.Syntax = ()
    with machine.problems.catch(node.asm.span):
        text = assembly_text.syntax(node.asm.text, context)
    if where == ir.FALSE:
        raise failure(
            "PG257", f"no encoding of {item.name} remains: its conditions exclude each other", node.pattern.span
        )
    return ir.Instruction(
        item.name,
        item.family,
        text,
        tuple(encoded.segments),
        tuple(encoded.leaves.values()),
        prune(tuple(body.out), machine.locals),
        None if where == ir.TRUE else where,
        item.source,
        tuple(item.expects),
        (),
        node.span,
    )


def _start(body: Body, length: ir.Expr, machine: Machine) -> None:
    """`here := pc`, and `advance`: by default `pc = pc + length`."""
    if machine.pc is None:
        raise reported()
    here = ir.Get(machine.pc, machine.pc_width)
    body.emit(ir.Let("here", here, body.span))
    body.length = length
    if machine.advance is None:
        body.emit(ir.Set(machine.pc, fold.binary("add", ir.Local("here", machine.pc_width), length), body.span))
    else:
        statements.block(machine.advance.body, Env(machine, body, machine.globals))
    body.length = None


def _run_before(item: InstrItem, env: Env) -> None:
    """The `before` lists that name the instruction: those of what extends come first."""
    for before in item.befores:
        scope = before.scope.child({n: e for n, e in env.scope.names.items() if isinstance(e, PlaceEntity)})
        statements.block(before.node.body, env.at(scope))


def _run_shoulds(encoded: Encoded, body: Body) -> None:
    for name, value, n in encoded.shoulds:
        wrong = fold.not_(fold.compare("eq", ir.Operand(name, n), ir.Const(n, value)))
        body.emit(ir.When(wrong, (ir.Unpredictable(body.span),), (), body.span))


def _run_body(item: InstrItem, pattern: Pattern, encoded: Encoded, env: Env) -> None:
    """The format's beginning, the operands, and the statements."""
    machine, body = env.machine, env.body
    for prologue, scope in pattern.prologues:
        statements.block(prologue, env.at(_with_operands(scope, env.scope)))
    for i, name in enumerate(encoded.order):
        operand = encoded.operands[name]
        start = None
        if i + 1 < len(encoded.order) or _more_follows(encoded, operand) or machine.advance is not None:
            start = fold.binary("add", ir.Local("here", machine.pc_width), encoded.starts[name])
        body.span = item.node.pattern.span
        env.scope.names[name] = Poison()
        with machine.problems.catch(item.node.span):
            env.scope.names[name] = PlaceEntity(operands.form(operand, env, start))
    body.span = item.node.span
    scope = env.scope
    if item.overridden is not None:
        scope = scope.child({"base": BaseEntity(item.overridden)})
    statements.block(item.node.body, env.at(scope))


def _more_follows(encoded: Encoded, operand: Operand) -> bool:
    """Whether something stands in the stream after an operand's part."""
    return fold.binary(
        "add", encoded.starts[operand.name], ir.Const(ir.width(encoded.length), 0)
    ) != encoded.length and (
        not operand.tails
        or encoded.segments[-1].fields[:1] != (ir.FieldSlice(operand.tails[-1].leaf, 0, 0, operand.tails[-1].width),)
    )


def _with_operands(scope: Scope, operands_: Scope) -> Scope:
    """A scope in which the names of operands mean those of an instruction."""
    return scope.child({n: e for n, e in operands_.names.items() if isinstance(e, PlaceEntity)})


def _wheres(item: InstrItem, encoded: Encoded, env: Env) -> list[ir.Expr]:
    """The conditions of the instruction and of its formats on the encoding."""
    machine = env.machine
    body = Body("pure", pure=True)
    home = Env(machine, body, item.scope.child())
    for name, operand in encoded.operands.items():
        place = OperandPlace(
            name, decoders.code_value(operand), None if operand.arms else operands.numbered(operand, home)
        )
        home.scope.names[name] = PlaceEntity(place)
    conds = []
    stated = [(cond, home.at(_with_operands(scope, home.scope))) for cond, scope in encoded.pattern.wheres]
    for cond, env in [*stated, *([(item.node.where, home)] if item.node.where is not None else [])]:
        body.span = cond.span
        conds.append(expressions.condition(cond, env))
    return conds


# -- expansions --------------------------------------------------------------------------------------------------------


def find_expansion(name: str, machine: Machine) -> InstrItem | None:
    """The instruction that a call means."""
    exact = [item for item in machine.instrs if item.name == name]
    found = exact or [item for item in machine.instrs if item.name.replace(".", "_") == name]
    return found[0] if found else None


def asm_order(node: ast.Instr, scope: Scope, names: Sequence[str]) -> list[str]:
    """Operands in the order of the assembly text, then the others."""
    order = [m for m in re.findall(r"\{(\w+)", node.asm.text) if m in names]
    for cell in (scope.find(m) for m in re.findall(r"\{(\w+)", node.asm.text)):
        if isinstance(cell, Cell) and isinstance(cell.node, ast.String):
            order.extend(m for m in re.findall(r"\{(\w+)", cell.node.text) if m in names)
    return list(dict.fromkeys([*order, *names]))


def expand(name: str, node: ast.Call, env: Env) -> bool:
    """Another instruction's body, put in place with other operands: `addi(rd, rd, sext(i))`; false if there is none."""
    item = find_expansion(name, env.machine)
    if item is None:
        return False
    _expand(item, node, env)
    return True


def _expand(item: InstrItem, node: ast.Call, env: Env) -> None:
    machine, body = env.machine, env.body
    if body.kind != "instruction":
        raise failure("PG235", f"{item.name} is an instruction: only an instruction can expand to it", node.span)
    pattern = encodings.expand(item.node.pattern, state.pure(machine, item.scope))
    given = _given(item.name, item, node, list(pattern.uses))
    missing = next((name for name in pattern.uses if name not in given), None)
    if missing is not None:
        raise failure("PG222", f"{item.name} wants a value for {missing}", node.span)
    inner = env.at(item.scope.child())
    for name, use in pattern.uses.items():
        inner.scope.names[name] = PlaceEntity(_argument(use, given[name], env, inner))
    with body.inside(item, node.span):
        _run_before(item, inner)
        for prologue, scope in pattern.prologues:
            statements.block(prologue, env.at(_with_operands(scope, inner.scope)))
        statements.block(item.node.body, inner)


def _given(called: str, item: InstrItem, node: ast.Call, names: Sequence[str]) -> dict[str, ast.Expr]:
    """The arguments of a call of an instruction, by the operands that they are for."""
    order = asm_order(item.node, item.scope, names)
    given: dict[str, ast.Expr] = {}
    for i, arg in enumerate(node.args):
        if arg.name is None and i >= len(order):
            raise failure("PG222", f"{called} has {len(order)} operands, not {len(node.args)}", node.span)
        name = arg.name.text if arg.name is not None else order[i]
        if name not in names:
            raise failure("PG222", f"{called} has no operand {name}", arg.span, did_you_mean(name, names))
        if name in given:
            raise failure("PG222", f"{name} is given twice", arg.span)
        given[name] = arg.value
    return given


def _base(item: InstrItem, node: ast.Call, env: Env) -> None:
    """`base(…)` in an instruction: the body of the one that it overrides.  Operands that are not given are those of the
    same name."""
    uses = encodings.expand(item.node.pattern, state.pure(env.machine, item.scope)).uses
    given = _given("base", item, node, list(uses))
    inner = env.at(item.scope.child())
    for name, use in uses.items():
        own = env.scope.find(name)
        if name in given:
            inner.scope.names[name] = PlaceEntity(_argument(use, given[name], env, inner))
        elif isinstance(own, PlaceEntity):
            inner.scope.names[name] = own
        else:
            hint = f"write base({name} = …)"
            inner.scope.names[name] = Poison(Diagnostic("PG222", f"base wants a value for {name}", node.span, hint))
    if item.overridden is not None:
        inner = inner.child({"base": BaseEntity(item.overridden)})
    with env.body.inside(item, node.span):
        statements.block(item.node.body, inner)


def _argument(use: encodings.Use, node: ast.Expr, env: Env, inner: Env) -> Place:
    """An operand of an expanded instruction: a place, or the bits that would be encoded."""
    numbered = use.declared is not None and any(isinstance(s, ast.AsStyle) for s in use.declared.styles)
    if not numbered and use.decoder is None:
        val = to_type(expressions.value(node, env, Bits(use.width)), Bits(use.width), node.span)
        return OperandPlace(use.name, val, None)
    if numbered and isinstance(expressions_number(node, env), Number):
        code = to_type(expressions.value(node, env), Bits(use.width), node.span)
        return operands.plain(Operand(use, use.name, code.expr), inner)
    place = places.place(node, env)
    match place:
        case OperandPlace():
            return OperandPlace(use.name, place.code, place.place or place, place.no_address)
        case EntryPlace(_, index, _):
            return OperandPlace(use.name, Value(fold.resize(index, use.width), Bits(use.width)), place)
        case MemoryPlace():
            return OperandPlace(use.name, Value(ir.Const(use.width, 0), Bits(use.width)), accesses.freeze(place, env))
        case _ if numbered and width_of(place.type) == use.width:
            code = to_type(accesses.read(place, env, node.span), Bits(use.width), node.span)
            return operands.plain(Operand(use, use.name, code.expr), inner)
        case _:
            return OperandPlace(use.name, Value(ir.Const(use.width, 0), Bits(use.width)), place)


def expressions_number(node: ast.Expr, env: Env) -> object:
    """The number that a literal or a constant is."""
    try:
        return expressions.value(node, env) if isinstance(node, ast.Number | ast.Name) else None
    except Failure:
        return None


def call_base(entity: BaseEntity, node: ast.Call, env: Env) -> None:
    """`base(…)` as a statement of an override: what was overridden, put in place."""
    match entity.of:
        case InstrItem() as item:
            _base(item, node, env)
        case FnEntity() as fn:
            calls.call_fn(fn, node, env)
        case DeliverEntity(node=ast.Deliver(param=param, body=block), scope=scope, overridden=inherited):
            outer = env.scope.find(_trap_name(node, param.text))
            if not isinstance(outer, TrapEntity):
                raise failure("PG222", "write base(t), with the name of the trap", node.span)
            names: dict[str, Entity] = {param.text: outer}
            if inherited is not None:
                names["base"] = BaseEntity(inherited)
            statements.block(block, env.at(scope.child(names)))
        case _:
            raise failure("PG217", "`base` cannot be called here", node.span)


def _trap_name(node: ast.Call, default: str) -> str:
    if node.args and isinstance(node.args[0].value, ast.Name):
        return node.args[0].value.text
    return default
