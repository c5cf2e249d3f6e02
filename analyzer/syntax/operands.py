"""Operands: what the bits of an encoding name.

A plain operand is its bits, or the place that they number (`as x`).  A decoded one has arms; the arm is chosen by bits
of the instruction, may have a further part in the stream, effects, and a place.

    operand ea(w) : 6 {
      | 000 n:3       => d[n][w-1:0]
      | 101 n:3, k:16 => mem[a[n] + sext(k), w] }

    dst : 6, dst.k : 16 present when dst[5:3] == 5;  When(dst[5:3] == 5) { dst.addr := … };  the place is a choice
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.syntax import ast, choices, encodings, expressions, fold, places, state, statements, traps, typenames
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import definite, from_bits
from analyzer.syntax.encodings import Laid, TooDeep, Use
from analyzer.syntax.machine import Formed, Machine
from analyzer.syntax.problems import failure, reported
from analyzer.syntax.scope import EnumEntity, FileEntity, OperandEntity, PlaceEntity, ViewEntity
from analyzer.syntax.value_types import Bits, Bool, Type, describe, width_of
from analyzer.syntax.values import (
    ChoicePlace,
    ConcatPlace,
    MemoryPlace,
    OperandPlace,
    Place,
    RetypedPlace,
    SlicePlace,
    Value,
    ValuePlace,
    ViewPlace,
)


MOST_LEAVES = 200
"""Parts of one operand in the stream, over all its arms."""


class TailSegment(Struct):
    """A segment of an operand in the stream: `path` orders it among those of one operand, and `column` is that of the
    arm's own group that it follows or is."""

    path: tuple[int, ...]
    column: int
    width: int
    leaf: str
    cond: ir.Expr


class DecodedArm(Struct, eq=False):
    """An arm: when it is chosen, its fields, and how far it reaches in the stream."""

    node: ast.OperandArm
    cond: ir.Expr
    fields: dict[str, Operand]
    mask: int
    value: int
    units: int
    where: bool
    groups: list[ir.Expr]
    tails: list[TailSegment]

    @property
    def deeper(self) -> bool:
        """Whether bits in the stream decide, too."""
        return any(group != ir.TRUE for group in self.groups[1:])

    def upto(self, column: int) -> ir.Expr:
        """What holds of the groups before a column."""
        return fold.all_of(self.groups[:column])


class Operand(Struct, eq=False):
    """An operand of an instruction: its bits `code`, and its arms if it is decoded further."""

    use: Use
    name: str
    code: ir.Expr
    arms: list[DecodedArm] = []
    tails: list[TailSegment] = []
    leaves: dict[str, int] = {}
    valid: ir.Expr = ir.TRUE

    @property
    def otherwise(self) -> ast.Raise | None:
        """`else trap x`."""
        for node in (self.use.declared, self.use.decoder.node if self.use.decoder else None):
            if node is not None and node.otherwise is not None:
                return node.otherwise
        return None


# -- structure ---------------------------------------------------------------------------------------------------------


def decode(use: Use, name: str, code: ir.Expr, machine: Machine, active: tuple[OperandEntity, ...] = ()) -> Operand:
    """The structure of an operand: its arms, their conditions over the bits, and what stands in the stream."""
    operand = Operand(use, name, code)
    if use.decoder is None or use.scope is None:
        return operand
    entity = use.decoder
    args = tuple(use.scope.names.items())
    key = (entity, args, name, code, active)
    known = machine.decoded.get(key)
    if known is not None:
        operand.arms, operand.tails, operand.leaves, operand.valid = known  # type: ignore[assignment]
        return operand
    for node in entity.node.arms:
        with machine.problems.catch(node.span):
            try:
                arm = _arm(node, operand, machine, (*active, entity))
            except TooDeep:
                continue
            if arm is not None:
                operand.arms.append(arm)
    if not operand.arms:
        raise failure("PG253", f"no arm of operand {use.name} remains here", use.span)
    _specialise(operand, machine)
    operand.valid = ir.TRUE if _total(operand) else fold.any_of(arm.cond for arm in operand.arms)
    _merge_tails(operand)
    machine.decoded[key] = (operand.arms, operand.tails, operand.leaves, operand.valid)
    return operand


def _arm(
    node: ast.OperandArm, operand: Operand, machine: Machine, active: tuple[OperandEntity, ...]
) -> DecodedArm | None:
    use = operand.use
    assert use.scope is not None
    env = state.pure(machine, use.scope)
    pattern = encodings.expand(node.pattern, env, active)
    first = encodings.lay(pattern.groups[0])
    if first.width != use.width:
        raise failure(
            "PG254",
            f"this arm has {first.width} bits before the comma, and the operand has {use.width}",
            node.pattern.span,
        )
    wholes: list[tuple[ir.Expr, Laid]] = [(operand.code, first)]
    groups = [_fixed(operand.code, first)]
    tails: list[TailSegment] = []
    units = 0
    for i, group in enumerate(pattern.groups[1:], 1):
        laid = encodings.lay(group)
        groups.append(ir.TRUE)
        if laid.width == 0:
            continue
        if laid.width % machine.unit:
            raise failure(
                "PG303",
                f"these are {laid.width} bits, no multiple of the unit of {machine.unit} bits",
                pattern.spans[i],
            )
        leaf = _leaf(operand, i, laid)
        tails.append(TailSegment((i, 0), i, laid.width, leaf, ir.TRUE))
        wholes.append((ir.Operand(leaf, laid.width), laid))
        groups[-1] = _fixed(ir.Operand(leaf, laid.width), laid)
        units += laid.width // machine.unit
    fields = _fields(operand, pattern, wholes, machine, active)
    nested = [(f, _place_in(f.use, pattern)) for f in fields.values() if f.arms]
    conds = [f.valid for f, _ in nested if f.otherwise is None]
    partial = any(cond != ir.TRUE for cond in conds)
    where = env.scope.child({n: PlaceEntity(OperandPlace(n, code_value(f), None)) for n, f in fields.items()})
    for cond, scope in [*([(node.where, where)] if node.where is not None else []), *pattern.wheres]:
        conds.append(expressions.condition(cond, state.pure(machine, scope)))
        partial = partial or conds[-1] != ir.TRUE
    columns = {tail.leaf: tail.column for tail in tails}
    for expr in conds:
        names = [e.name for e in ir.subterms(expr) if isinstance(e, ir.Operand)]
        column = max((columns.get(n, len(groups) - 1 if n in operand.leaves else 0) for n in names), default=0)
        groups[column] = fold.logic("and", groups[column], expr)
    cond_ = fold.all_of(groups)
    if cond_ == ir.FALSE:
        return None
    for inner, position in nested:
        operand.leaves.update(inner.leaves)
        if len(operand.leaves) > MOST_LEAVES:
            message = f"operand {use.name} can have more than {MOST_LEAVES} parts in the stream"
            raise failure("PG305", message, node.span, "nest its sub-decoders less")
        tails.extend(replace(tail, path=(position, 1, *tail.path), column=position + 1) for tail in inner.tails)
    return DecodedArm(node, cond_, fields, first.mask, first.value, units, partial, groups, tails)


def _place_in(use: Use, pattern: encodings.Pattern) -> int:
    """After which group the rest of a nested operand stands."""
    places_ = [
        i
        for i, group in enumerate(pattern.groups)
        if any(isinstance(p, encodings.TailHere) and p.use is use for p in group)
    ] or [
        i for i, group in enumerate(pattern.groups) if any(isinstance(p, encodings.Bit) and p.use is use for p in group)
    ]
    return places_[-1] if places_ else 0


def _fixed(whole: ir.Expr, laid: Laid) -> ir.Expr:
    """When the fixed bits of a group are there: one comparison for each run of them."""
    conds = []
    bit = laid.width - 1
    while bit >= 0:
        if not laid.mask >> bit & 1:
            bit -= 1
            continue
        low = bit
        while low > 0 and laid.mask >> (low - 1) & 1:
            low -= 1
        bits = fold.extract(whole, bit, low)
        conds.append(fold.compare("eq", bits, fold.const(laid.value >> low, bit - low + 1)))
        bit = low - 1
    return fold.all_of(conds)


def _leaf(operand: Operand, column: int, laid: Laid) -> str:
    """The name of a segment in the stream, as an operand: one for all arms that have its width at this place."""
    for arm in operand.arms:
        for tail in arm.tails:
            if tail.path == (column, 0) and tail.width == laid.width:
                return tail.leaf
    names = [use.name for use, *_ in laid.fields]
    name = f"{operand.name}.{'_'.join(dict.fromkeys(names)) or f'word{column}'}"
    unique, n = name, laid.width
    while unique in operand.leaves:
        unique, n = f"{name}{n}", n + 1
    operand.leaves[unique] = laid.width
    return unique


def _fields(
    operand: Operand,
    pattern: encodings.Pattern,
    wholes: Sequence[tuple[ir.Expr, Laid]],
    machine: Machine,
    active: tuple[OperandEntity, ...],
) -> dict[str, Operand]:
    fields: dict[str, Operand] = {}
    for name, use in pattern.uses.items():
        located = [(whole, olo, slo, n) for whole, laid in wholes for u, olo, slo, n in laid.fields if u is use]
        code = encodings.gather(use, located)
        fields[name] = decode(use, f"{operand.name}.{name}", code, machine, active)
    return fields


def _specialise(operand: Operand, machine: Machine) -> None:
    """Of two arms that match the same bits the one with more fixed bits wins."""
    arms = operand.arms
    beats: list[list[DecodedArm]] = [[] for _ in arms]
    for i, arm in enumerate(arms):
        for j, other in enumerate(arms):
            if i == j or (arm.value ^ other.value) & arm.mask & other.mask:
                continue
            if fold.logic("and", arm.cond, other.cond) == ir.FALSE:
                continue
            rank = _rank(other) - _rank(arm)
            if rank > 0:
                beats[i].append(other)
            elif rank == 0 and i < j and not (arm.where and other.where) and not (arm.deeper and other.deeper):
                machine.problems.report(
                    "PG255",
                    f"this arm of operand {operand.use.name} and the one at {arm.node.span} match the same bits",
                    other.node.span,
                    "fix more bits in one of them, or add `where`",
                )
    for arm, others in zip(arms, beats, strict=True):
        others = [o for o in others if not any(p is not o and _inside(o, p) for p in others)]
        for tail in arm.tails:
            here = [arm.upto(tail.column), tail.cond]
            prefix = arm.upto(tail.column)
            here.extend(fold.not_(o.upto(tail.column)) for o in others if o.upto(tail.column) != prefix)
            operand.tails.append(replace(tail, cond=fold.all_of(here)))
        arm.cond = fold.all_of([arm.cond, *(fold.not_(_beyond(o, arm)) for o in others)])


def _beyond(other: DecodedArm, arm: DecodedArm) -> ir.Expr:
    """What an arm asks for beyond what another one does."""
    pairs = zip_longest(other.groups, arm.groups, fillvalue=ir.TRUE)
    return fold.all_of(mine for mine, theirs in pairs if mine != theirs)


def _inside(arm: DecodedArm, other: DecodedArm) -> bool:
    """Whether all bits that an arm matches are matched by another one, by its first bits alone."""
    if other.where or other.deeper or other.mask & ~arm.mask:
        return False
    return arm.value & other.mask == other.value


def _rank(arm: DecodedArm) -> int:
    fixed = bin(arm.mask).count("1") * 1000 + (100 if arm.deeper else 0)
    return fixed + (1 if arm.where else 0)


def _total(operand: Operand) -> bool:
    """Whether every value of the bits has an arm."""
    width = operand.use.width
    if width > 12:
        return False
    cubes = [(a.mask, a.value) for a in operand.arms if not a.where and not a.deeper]
    if any(mask == 0 for mask, _ in cubes):
        return True
    return bool(cubes) and all(any(code & mask == value for mask, value in cubes) for code in range(1 << width))


def _merge_tails(operand: Operand) -> None:
    """Segments at one place, of one width and leaf, are one segment."""
    merged: dict[tuple[tuple[int, ...], str], TailSegment] = {}
    for tail in operand.tails:
        key = (tail.path, tail.leaf)
        if key in merged:
            merged[key].cond = fold.logic("or", merged[key].cond, tail.cond)
        else:
            merged[key] = tail
    operand.tails = sorted(merged.values(), key=lambda t: t.path)


def code_value(operand: Operand) -> Value:
    """The bits of an operand under its type."""
    return from_bits(operand.code, operand.use.type or Bits(operand.use.width))


# -- places ------------------------------------------------------------------------------------------------------------


def plain(operand: Operand, env: Env) -> OperandPlace:
    """An operand that is its bits, or what they number."""
    return OperandPlace(operand.name, code_value(operand), numbered(operand, env))


def numbered(operand: Operand, env: Env) -> Place | None:
    """The place that `as x` names."""
    use = operand.use
    if use.declared is None or use.scope is None:
        return None
    style = next((s for s in use.declared.styles if isinstance(s, ast.AsStyle)), None)
    if style is None:
        return None
    entity = use.scope.find(style.name.text)
    match entity:
        case FileEntity():
            if use.width > entity.index_width:
                raise failure(
                    "PG224",
                    f"{use.name} has {use.width} bits, and {entity.name} is numbered by {entity.index_width}",
                    use.span,
                )
            return state.file_entry(entity, fold.extend(False, operand.code, entity.index_width), env.machine)
        case ViewEntity():
            scope = entity.scope.child()
            home = env.at(scope)
            index = entity.node.params[:1]
            if not index or index[0].type is None:
                raise failure("PG222", f"{style.name.text} has no index", style.span)
            type_ = typenames.type_of(index[0].type, home)
            if width_of(type_) != use.width:
                raise failure(
                    "PG224",
                    f"{use.name} has {use.width} bits, and {style.name.text} is numbered by {width_of(type_)}",
                    use.span,
                )
            scope.names[index[0].name.text] = from_bits(operand.code, type_)
            for param in entity.node.params[1:]:
                if param.default is None or param.type is None:
                    raise failure("PG222", f"{style.name.text} wants a value for {param.name.text}", style.span)
            _defaults(entity, home)
            return ViewPlace(entity, home, typenames.type_of(entity.node.type, home))
        case EnumEntity(type_, _):
            if type_.width != use.width:
                raise failure("PG224", f"{use.name} has {use.width} bits, and {type_.name} {type_.width}", use.span)
            return ValuePlace(Value(operand.code, type_))
        case _:
            raise failure("PG201", f"there is no file, view or enumeration {style.name.text}", style.span)


def _defaults(entity: ViewEntity, home: Env) -> None:
    """Further parameters of a view take their defaults."""
    for param in entity.node.params[1:]:
        assert param.type is not None
        assert param.default is not None
        type_ = typenames.type_of(param.type, home)
        home.scope.names[param.name.text] = Value(expressions.typed(param.default, home, type_), type_)


def form(operand: Operand, env: Env, start: ir.Expr | None) -> OperandPlace:
    """Evaluates a decoded operand: emits the effects of the arm that is chosen, and returns the choice of places.

    `start` is the address after everything before the operand's own part of the stream.  Instructions with the same
    operand at the same place share its statements, so its locals are named after it.
    """
    machine, body = env.machine, env.body
    key = (id(operand.arms), start)
    known = machine.formed.get(key)
    if known is None:
        known = _form_anew(operand, env, start)
        machine.formed[key] = known
    formed, place, no_address, names, restrictions = known
    body.used |= names
    body.restrictions.extend(restrictions)
    for stmt in formed:
        body.emit(stmt)
    return OperandPlace(operand.name, code_value(operand), place, no_address)


def _form_anew(operand: Operand, env: Env, start: ir.Expr | None) -> Formed:
    body = env.body
    before, span, prefix, used = body.position, body.span, body.prefix, body.used
    body.prefix, body.used = f"{operand.name}.", set()
    outer, body.restrictions = body.restrictions, []
    restrictions: list[ir.Expr] = []
    made: list[tuple[ir.Expr, Place]] = []
    with body.block() as formed:
        try:
            for arm in operand.arms:
                with body.block() as emitted:
                    body.position = None if start is None else _after(start, arm, operand, env)
                    body.span = arm.node.span
                    with env.machine.problems.catch(arm.node.span):
                        made.append((arm.cond, _arm_place(arm, operand, env, start)))
                choices.emit_when(arm.cond, emitted, (), body)
                restrictions += [fold.logic("or", fold.not_(arm.cond), r) for r in body.restrictions]
                body.restrictions = []
            no_address: ir.Stmt | None = None
            if operand.otherwise is not None and operand.use.scope is not None:
                no_address = traps.leave(operand.otherwise, env.at(operand.use.scope))
                if operand.valid != ir.TRUE:
                    choices.emit_when(fold.not_(operand.valid), [no_address], (), body)
        finally:
            names = frozenset(body.used)
            body.position, body.span, body.prefix, body.used = before, span, prefix, used
            body.restrictions = outer
    if len(made) != len(operand.arms):
        raise reported()
    return tuple(formed), _choice(made, operand), no_address, names, tuple(restrictions)


def _after(start: ir.Expr, arm: DecodedArm, operand: Operand, env: Env) -> ir.Expr:
    """The program counter just past the part of an arm in the stream."""
    width = ir.width(start)
    total = fold.binary("add", start, ir.Const(width, arm.units))
    for inner in arm.fields.values():
        total = fold.binary("add", total, length_of(inner.tails, width, env.machine))
    return total


def length_of(tails: Sequence[TailSegment], width: int, machine: Machine) -> ir.Expr:
    """The units of segments that may be there."""
    total: ir.Expr = ir.Const(width, 0)
    for tail in tails:
        units = fold.if_(tail.cond, ir.Const(width, tail.width // machine.unit), ir.Const(width, 0))
        total = fold.binary("add", total, units)
    return total


def _arm_place(arm: DecodedArm, operand: Operand, env: Env, start: ir.Expr | None) -> Place:
    """The place of an arm, fixed: later writes do not move it."""
    own = None if start is None else fold.binary("add", start, ir.Const(ir.width(start), arm.units))
    assert operand.use.scope is not None
    home = env.at(operand.use.scope.child())
    for name, inner in arm.fields.items():
        place = form(inner, home, own) if inner.arms else plain(inner, home)
        home.scope.names[name] = PlaceEntity(place)
    body = arm.node.body
    if isinstance(body, ast.Block):
        found: list[Place] = []
        place_ = block_place(body, home, found)
    else:
        place_ = places.place(body, home)
    return _frozen(place_, operand, home)


def block_place(node: ast.Block, env: Env, found: list[Place]) -> Place:
    """The place that a block of an arm returns at its end."""
    inner = env.child()
    if not node.stmts or not isinstance(node.stmts[-1], ast.Return):
        val = statements.result(node, env, None)
        if val is None:
            raise failure("PG302", "this arm never returns a place", node.span)
        return ValuePlace(definite(val, node.span))
    statements.run(node.stmts[:-1], inner)
    return places.place(node.stmts[-1].value, inner)


def _frozen(place: Place, operand: Operand, env: Env) -> Place:
    """Memory places of one operand share a local for their address."""
    body = env.body
    match place:
        case ConcatPlace(parts) if all(_is_value(part) for part in parts):
            return _frozen(ValuePlace(places.read(place, env, operand.use.span)), operand, env)
        case MemoryPlace():
            args = tuple(
                None if arg is None else _shared(f"{operand.name}.{place.space}{i}", arg, body)
                for i, arg in enumerate(place.args)
            )
            return replace(place, address=_shared(f"{operand.name}.addr", place.address, body), args=args)
        case SlicePlace() | RetypedPlace():
            return replace(place, base=_frozen(place.base, operand, env))
        case OperandPlace(_, code, inner):
            return _frozen(ValuePlace(code) if inner is None else inner, operand, env)
        case ValuePlace(val) if not _encoded(val.expr):
            local = f"{operand.name}.value{width_of(val.type)}"
            body.used.add(local)
            body.emit(ir.Let(local, val.expr, body.span))
            return ValuePlace(Value(ir.Local(local, ir.width(val.expr)), val.type))
        case _:
            return places.freeze(place, env, "at")


def _is_value(place: Place) -> bool:
    """Whether a place is a value, and cannot be written."""
    match place:
        case ValuePlace() | OperandPlace(_, _, None):
            return True
        case ConcatPlace(parts):
            return all(_is_value(part) for part in parts)
        case _:
            return False


def _encoded(expr: ir.Expr) -> bool:
    """Whether a value is made of bits of the instruction only, and so need not be kept."""
    if isinstance(expr, ir.Get | ir.GetEntry | ir.Local | ir.Unknown | ir.Arbitrary):
        return False
    return all(_encoded(child) for child in ir.children(expr))


def _shared(local: str, expr: ir.Expr, body: Body) -> ir.Local:
    """A local that all arms of an operand set: then their places are one."""
    body.used.add(local)
    body.emit(ir.Let(local, expr, body.span))
    return ir.Local(local, ir.width(expr))


def _choice(made: Sequence[tuple[ir.Expr, Place]], operand: Operand) -> Place:
    """The places of all arms as one; equal ones are joined, memory comes last."""
    groups: list[tuple[ir.Expr, Place]] = []
    type_: Type = made[0][1].type
    for (cond, place), arm in zip(made, operand.arms, strict=True):
        if width_of(place.type) != width_of(type_):
            raise failure(
                "PG256",
                f"this arm of operand {operand.use.name} is {describe(place.type)}, and the first is {describe(type_)}",
                arm.node.span,
            )
        if isinstance(place.type, Bool) or place.type != type_:
            place = RetypedPlace(place, Bits(width_of(type_)))
        for i, (other_cond, other) in enumerate(groups):
            if other == place:
                groups[i] = (fold.logic("or", other_cond, cond), other)
                break
        else:
            groups.append((cond, place))
    groups.sort(key=lambda g: isinstance(g[1], MemoryPlace))
    if len(groups) == 1:
        return groups[0][1]
    return ChoicePlace(tuple(groups[:-1]), groups[-1][1], Bits(width_of(type_)), exclusive=True)
