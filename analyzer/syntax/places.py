"""Places: what can be read and, mostly, written.

`place` forms the place that an expression names, `read` and `write` access it.  A slice of a register goes to its
fields, and a slice of a choice to its arms, so that every access touches one role.

    view a[n : 3] : 32 = if n == 7 then sp else ra[n]

    a[n][15:0] = v      if n == 7 then sp := sp[31:16] ++ v else ra[n] := ra[n][31:16] ++ v
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from msgspec.structs import replace

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, calls, choices, expressions, fold, state, traps, typenames, views
from analyzer.syntax.body import Env, find
from analyzer.syntax.coerce import definite, from_bits, raw, to_type
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.scope import (
    BaseEntity,
    Cell,
    Entity,
    FileEntity,
    LookupEntity,
    PlaceEntity,
    SpaceEntity,
    TrapEntity,
    Variable,
    ViewEntity,
)
from analyzer.syntax.value_types import Bits, Bool, Enum, Type, describe, ir_width, width_of
from analyzer.syntax.values import (
    BitPlace,
    ChoicePlace,
    ConcatPlace,
    ElementPlace,
    EntryPlace,
    LayoutPart,
    LayoutPlace,
    MemoryPlace,
    Number,
    OperandPlace,
    Place,
    RaisePlace,
    RetypedPlace,
    SlicePlace,
    Value,
    ValuePlace,
    VariablePlace,
    ViewPlace,
)

# -- forming -----------------------------------------------------------------------------------------------------------


def place(node: ast.Expr, env: Env, want: Type | None = None) -> Place:
    """The place that an expression names; a value that is no place is one that cannot be written."""
    env.step(node.span)
    match node:
        case ast.Name():
            return name_place(node, env, want)
        case ast.Subscript():
            return subscript(node, env, want)
        case ast.Member():
            return member(node, env, want)
        case ast.Binary(op="++", left=left, right=right):
            return concatenated((*concat_parts(place(left, env)), *concat_parts(place(right, env))), node.span)
        case ast.Tuple(items=items):
            return concatenated(tuple(place(item, env) for item in items), node.span)
        case ast.IfExpr():
            return if_place(node, env, want)
        case ast.MatchExpr():
            return match_place(node, env, want)
        case ast.Call(args=args) if len(args) == 1:
            type_ = typenames.conversion(callee(node, env))
            if type_ is not None:
                return retype(place(args[0].value, env), type_, node.span)
        case _:
            pass
    return ValuePlace(as_value(node, env, want))


def as_value(node: ast.Expr, env: Env, want: Type | None) -> Value:
    """An expression that is no place."""
    val = expressions.value(node, env, want)
    return to_type(val, want, node.span) if want is not None and isinstance(val, Number) else definite(val, node.span)


def concatenated(parts: tuple[Place, ...], span: Span) -> ConcatPlace:
    """Places side by side, of a width that makes sense."""
    whole = ConcatPlace(parts)
    typenames.bits(whole.type.width, span)
    return whole


def concat_parts(part: Place) -> tuple[Place, ...]:
    """The parts of a concatenation, flat."""
    return part.parts if isinstance(part, ConcatPlace) else (part,)


def name_place(node: ast.Name, env: Env, want: Type | None) -> Place:
    """A scalar of the state, an operand, a variable, a view without index."""
    entity, home = find(env, node)
    match entity:
        case PlaceEntity(found):
            return found
        case Variable(local, type_):
            return VariablePlace(local, type_)
        case (ViewEntity() as view) | BaseEntity(of=ViewEntity() as view):
            return view_at(view, (), home, node.span)
        case Cell(column, inner) if not isinstance(inner, ast.String | ast.Number):
            with env.body.inside(entity.node, node.span):
                return place(inner, home.at(home.scope.hiding(column)), want)
        case _:
            return ValuePlace(as_value(node, env, want))


def subscript(node: ast.Subscript, env: Env, want: Type | None) -> Place:
    """`x[i]`, `mem[a, 32]`, `gpr(w)[n]`, `v[7:0]`, `v[i]`."""
    base = node.value
    if isinstance(base, ast.TableView):
        entity, _ = find(env, base.space)
        space = views.as_space(entity, env, base.space)
        return memory(space, node, env, table=True)
    if isinstance(base, ast.Call):
        match callee(base, env):
            case (ViewEntity() as view) | BaseEntity(of=ViewEntity() as view):
                return view_at(view, node.indices, env, node.span, base.args)
            case _:
                pass
    if isinstance(base, ast.Name):
        entity, _ = find(env, base)
        match entity:
            case FileEntity():
                index = index_value(only_index(node), Bits(entity.index_width), entity.name, env, entity.size)
                return state.file_entry(entity, index, env.machine)
            case SpaceEntity():
                return memory(entity, node, env, table=False)
            case ViewEntity() if entity.node.params:
                if base.text in env.machine.buses and not env.body.active.count(entity):
                    return memory(env.machine.buses[base.text], node, env, table=False)
                if is_bus_access(entity, node):
                    return memory(views.bus(entity, env.machine, base.span), node, env, table=False)
                return view_at(entity, node.indices, env, node.span)
            case BaseEntity(ViewEntity() as overridden):
                return view_at(overridden, node.indices, env, node.span)
            case LookupEntity():
                return ValuePlace(expressions.lookup(entity, node, env))
            case _:
                pass
    return bit_slice(place(base, env), node, env)


def callee(node: ast.Call, env: Env) -> Entity | None:
    """What is called, if it has been declared: built-in functions are not."""
    function = node.function
    if not isinstance(function, ast.Name) or env.scope.find(function.text) is None:
        return None
    return find(env, function)[0]


def is_bus_access(view: ViewEntity, node: ast.Subscript) -> bool:
    """`abs[a, 64]` of a view with one index: an access of a width."""
    positional = [i for i in node.indices if isinstance(i, ast.Index)]
    return len(positional) > len(view.node.params)


def only_index(node: ast.Subscript) -> ast.Expr:
    """The one index of `x[i]`."""
    match node.indices:
        case (ast.Index(high=high, low=None),):
            return high
        case _:
            raise failure("PG222", "one index is wanted here", node.span)


def index_value(node: ast.Expr, type_: Type, what: str, env: Env, size: int | None = None) -> ir.Expr:
    """An index: as wide as the array wants it, or narrower."""
    val = expressions.single(expressions.value(node, env, type_), node.span)
    width = width_of(type_)
    if isinstance(val, Number) and size is not None and not 0 <= val.value < size:
        raise failure("PG223", f"{what} has the entries 0 to {size - 1}, not {val.value}", node.span)
    if isinstance(type_, Enum) or isinstance(val, Number):
        return to_type(val, type_, node.span).expr
    expr = raw(val)
    have = ir.width(expr)
    if isinstance(expr, ir.Const) and expr.value < 1 << width:
        return ir.Const(width, expr.value)
    if have > width:
        raise failure(
            "PG224",
            f"{what} is indexed by {describe(Bits(width))}, and this has {have}",
            node.span,
            f"write a slice of {width} bits, or trunc(…, {width})",
        )
    return fold.extend(False, expr, width)


def memory(space: SpaceEntity, node: ast.Subscript, env: Env, table: bool) -> MemoryPlace:
    """`mem[address, bits, m = K]`."""
    positional = [i for i in node.indices if isinstance(i, ast.Index)]
    if not positional or any(i.low is not None for i in positional):
        raise failure("PG222", f"{space.name}[…] wants an address, then perhaps how many bits", node.span)
    address = expressions.typed(positional[0].high, env, space.index)
    bits = expressions.number(positional[1].high, env, "the width of an access") if len(positional) > 1 else space.unit
    named: dict[str, ast.Expr] = {i.name.text: i.value for i in node.indices if isinstance(i, ast.NamedIndex)}
    if "width" in named:
        bits = expressions.number(named.pop("width"), env, "the width of an access")
    if bits <= 0 or bits % space.unit:
        raise failure("PG225", f"{bits} bits are no multiple of the unit of {space.name}, {space.unit} bits", node.span)
    typenames.bits(bits, node.span)
    return MemoryPlace(
        space.name, address, bits, space_args(space, [i.high for i in positional[2:]], named, env, node.span), table
    )


def space_args(
    space: SpaceEntity, positional: Sequence[ast.Expr], named: Mapping[str, ast.Expr], env: Env, span: Span
) -> tuple[ir.Expr | None, ...]:
    """The further arguments of a map, in order; None for those that are left out."""
    names = [name for name, _, _ in space.params]
    if len(positional) > len(names):
        raise failure("PG222", f"{space.name} has {len(names)} further arguments, not {len(positional)}", span)
    given: dict[str, ast.Expr] = dict(zip(names, positional, strict=False))
    for name, arg in named.items():
        if name not in names:
            raise failure("PG222", f"{space.name} has no argument {name}", arg.span, did_you_mean(name, names))
        given[name] = arg
    args: list[ir.Expr | None] = []
    for name, type_, default in space.params:
        if name in given:
            args.append(fold.to_bits(e) if ir.width(e := expressions.typed(given[name], env, type_)) == 0 else e)
        elif default is None:
            raise failure("PG222", f"{space.name} wants a value for {name}", span)
        else:
            args.append(None)
    return tuple(args)


def view_at(
    view: ViewEntity,
    indices: Sequence[ast.Index | ast.NamedIndex],
    env: Env,
    span: Span,
    widths: Sequence[ast.Arg] = (),
) -> ViewPlace:
    """A view at an index: its parameters bound to what the index is."""
    node = view.node
    scope = view.scope.child()
    if len(widths) != len(node.widths):
        raise failure(
            "PG222", f"{node.name.text} wants {len(node.widths)} widths in parentheses, not {len(widths)}", span
        )
    for width_name, arg in zip(node.widths, widths, strict=True):
        scope.names[width_name.text] = Number(expressions.number(arg.value, env, "a width"))
    home = env.at(scope)
    if indices or node.params:
        calls.bind(node.name.text, node.params, _as_args(indices), env, home, span)
    return ViewPlace(view, home, typenames.type_of(node.type, home))


def _as_args(indices: Sequence[ast.Index | ast.NamedIndex]) -> list[ast.Arg]:
    args = []
    for index in indices:
        if isinstance(index, ast.NamedIndex):
            args.append(ast.Arg(index.name, index.value, span=index.span))
        elif index.low is not None:
            raise failure("PG222", "a view is indexed by values, not by a range of bits", index.span)
        else:
            args.append(ast.Arg(None, index.high, span=index.span))
    return args


def bit_slice(base: Place, node: ast.Subscript, env: Env) -> Place:
    """`v[7:0]`, `v[3]`, `v[i]`."""
    if len(node.indices) != 1 or not isinstance(node.indices[0], ast.Index):
        raise failure("PG222", "bits are written [high:low] or [bit]", node.span)
    index = node.indices[0]
    width = width_of(base.type)
    high = expressions.value(index.high, env)
    top = expressions.number_or_none(high)
    if index.low is None:
        if top is None:
            return dynamic_bit(base, definite(high, index.span), env)
        return slice_(base, *_bits(top, top, width, env, index.span))
    low = expressions.number_or_none(expressions.value(index.low, env))
    if top is None or low is None:
        raise failure(
            "PG216",
            "the bits of a slice must be known when the spec is elaborated",
            index.span,
            "shift first: (v >> n)[7:0]",
        )
    return slice_(base, *_bits(top, low, width, env, index.span))


def _bits(high: int, low: int, width: int, env: Env, span: Span) -> tuple[int, int]:
    """Checked bit numbers, counted from the least significant bit."""
    hi, lo = env.machine.bit(high, width), env.machine.bit(low, width)
    if not 0 <= lo <= hi < width:
        first, last = (0, width - 1) if env.machine.msb0 else (width - 1, 0)
        order = f"[{high}:{low}]" if high != low else f"[{high}]"
        raise failure("PG228", f"{order} is not inside the bits [{first}:{last}]", span)
    return hi, lo


def dynamic_bit(base: Place, index: Value, env: Env) -> Place:
    """The bit at a run-time index."""
    width = width_of(base.type)
    expr = raw(index)
    if env.machine.msb0:
        need = max(ir.width(expr), (width - 1).bit_length())
        expr = fold.binary("sub", fold.const(width - 1, need), fold.extend(False, expr, need))
    return BitPlace(base, expr)


def member(node: ast.Member, env: Env, want: Type | None) -> Place:
    """`register.FIELD`, `operand.code`, `operand.addr`, `enum.code`."""
    if isinstance(node.value, ast.Name):
        entity, _ = find(env, node.value)
        if isinstance(entity, SpaceEntity | FileEntity):
            raise failure(
                "PG222", f"{node.value.text} is an array: write {node.value.text}[…].{node.name.text}", node.span
            )
        if isinstance(entity, TrapEntity):
            return ValuePlace(definite(traps.attribute(entity, node.name, env, want), node.span))
    base = place(node.value, env)
    name = node.name.text
    if isinstance(base, OperandPlace) and name == "code":
        return ValuePlace(base.code)
    if name == "addr":
        return ValuePlace(address(base, env, node.span))
    if isinstance(base.type, Enum) and name == "code":
        return retype(base, Bits(base.type.width), node.span)
    return field(base, node.name)


def field(base: Place, name: ast.Name) -> Place:
    """A named part of a register."""
    parts = base.type.parts if isinstance(base.type, Bits) else ()
    part = next((p for p in parts if p.name == name.text), None)
    if part is None:
        if not parts:
            raise failure(
                "PG229", f"this has no part {name.text}: it is {describe(base.type)} without named parts", name.span
            )
        raise failure(
            "PG229",
            f"there is no field {name.text} here",
            name.span,
            did_you_mean(name.text, [p.name for p in parts]) or f"the fields are {' '.join(p.name for p in parts)}",
        )
    whole = base.place if isinstance(base, OperandPlace) and base.place is not None else base
    if isinstance(whole, LayoutPlace):
        for piece in whole.parts:
            if (piece.hi, piece.lo) == (part.hi, part.lo):
                return piece.place if piece.place.type == part.type else RetypedPlace(piece.place, part.type)
    inner = slice_(base, part.hi, part.lo)
    return inner if isinstance(part.type, Bits) and not part.type.parts else RetypedPlace(inner, part.type)


def retype(base: Place, type_: Type, span: Span) -> Place:
    """The bits of a place under another type of the same width."""
    if width_of(base.type) != width_of(type_):
        raise failure(
            "PG210", f"{describe(type_)} has {width_of(type_)} bits, and this has {width_of(base.type)}", span
        )
    return RetypedPlace(base, type_)


def if_place(node: ast.IfExpr, env: Env, want: Type | None) -> Place:
    """`if c then a else b` of places."""
    cond = expressions.condition(node.cond, env)
    if isinstance(cond, ir.BoolConst):
        return place(node.then if cond.value else node.other, env, want)
    nodes = [node.then, node.other]
    return choice([cond], nodes, env, want, node.span, exclusive=True)


def match_place(node: ast.MatchExpr, env: Env, want: Type | None) -> Place:
    """`match n { 6 => sp; 7 => pc; _ => g[n] }` of places."""
    clauses = choices.match_clauses(
        node.subject, [(a.labels, a.guard, a.value) for a in node.arms], env, node.span, True
    )
    if clauses.decided is not None:
        only = clauses.arms[clauses.decided]
        if not isinstance(only, ast.Raise | ast.Unpredictable):
            return place(only, env, want)
    return choice(clauses.conds, clauses.arms, env, want, node.span, clauses.exclusive)


def choice(
    conds: Sequence[ir.Expr],
    nodes: Sequence[ast.Expr | ast.Raise | ast.Unpredictable],
    env: Env,
    want: Type | None,
    span: Span,
    exclusive: bool,
) -> Place:
    """The place of the first arm whose condition holds; the last arm is taken otherwise."""
    body = env.body
    type_ = want
    arms: list[Place | None] = [None] * len(nodes)
    blocks: list[list[ir.Stmt]] = [[] for _ in nodes]
    raises = [isinstance(n, ast.Raise | ast.Unpredictable) for n in nodes]
    order = sorted(
        range(len(nodes)), key=lambda i: raises[i] or (type_ is None and choices.arm_needs_width(nodes[i], env))
    )
    for i in order:
        node = nodes[i]
        with body.block() as blocks[i]:
            if isinstance(node, ast.Raise | ast.Unpredictable):
                arms[i] = RaisePlace(traps.leave(node, env), type_ or Bits(1))
            else:
                arms[i] = place(node, env, type_)
        made = arms[i]
        assert made is not None
        if not raises[i]:
            if type_ is None:
                type_ = made.type
            elif width_of(made.type) != width_of(type_):
                raise failure("PG210", f"one arm has {describe(type_)} and another {describe(made.type)}", node.span)
            elif made.type != type_:
                arms[i] = RetypedPlace(made, type_)
    if any(blocks):
        conds = [body.keep_expr("cond", cond) for cond in conds]
        for i, made in enumerate(arms):
            assert made is not None
            with body.block() as frozen:
                arms[i] = freeze(made, env)
            blocks[i].extend(frozen)
        choices.emit_choice(list(zip(conds, blocks, strict=False)), blocks[-1], body, exclusive)
    found = [arm for arm in arms if arm is not None]
    return ChoicePlace(tuple(zip(conds, found, strict=False)), found[-1], type_ or Bits(1), exclusive)


# -- slices ------------------------------------------------------------------------------------------------------------


def slice_(base: Place, hi: int, lo: int) -> Place:
    """Bits hi..lo of a place, as near to its elements as can be."""
    width = width_of(base.type)
    if lo == 0 and hi == width - 1:
        return RetypedPlace(base, Bits(width)) if not isinstance(base.type, Bits) else base
    bits = Bits(hi - lo + 1)
    match base:
        case ValuePlace(val, ignores):
            return ValuePlace(Value(fold.extract(raw(val), hi, lo), bits), ignores)
        case LayoutPlace(parts):
            return LayoutPlace(tuple(_cut(p, hi, lo) for p in parts if p.lo <= hi and p.hi >= lo), bits)
        case ConcatPlace(parts):
            return _slice_concat(parts, hi, lo)
        case SlicePlace(inner, _, low, _):
            return SlicePlace(inner, low + hi, low + lo, bits)
        case RetypedPlace(inner, _):
            return slice_(inner, hi, lo)
        case ChoicePlace(arms, other, _, exclusive):
            return ChoicePlace(tuple((c, slice_(p, hi, lo)) for c, p in arms), slice_(other, hi, lo), bits, exclusive)
        case RaisePlace(stmt, _):
            return RaisePlace(stmt, bits)
        case OperandPlace(_, code, inner_place):
            return slice_(ValuePlace(code) if inner_place is None else inner_place, hi, lo)
        case _:
            return SlicePlace(base, hi, lo, bits)


def _cut(part: LayoutPart, hi: int, lo: int) -> LayoutPart:
    """A part of a register as seen through a slice."""
    top, bottom = min(part.hi, hi), max(part.lo, lo)
    return replace(part, hi=top - lo, lo=bottom - lo, place=slice_(part.place, top - part.lo, bottom - part.lo))


def _slice_concat(parts: Sequence[Place], hi: int, lo: int) -> Place:
    top = sum(width_of(p.type) for p in parts)
    found: list[Place] = []
    for part in parts:
        bottom = top - width_of(part.type)
        if bottom <= hi and top > lo:
            found.append(slice_(part, min(hi, top - 1) - bottom, max(lo, bottom) - bottom))
        top = bottom
    return found[0] if len(found) == 1 else ConcatPlace(tuple(found))


# -- reading -----------------------------------------------------------------------------------------------------------


def read(base: Place, env: Env, span: Span) -> Value:
    """The present value of a place; loads and checks are emitted."""
    body = env.body
    match base:
        case ElementPlace(element, type_):
            if element == env.machine.pc and body.position is not None:
                return Value(body.position, type_)
            return from_bits(ir.Get(element, width_of(type_)), type_)
        case EntryPlace(file, index, type_):
            return from_bits(ir.GetEntry(file, index, width_of(type_)), type_)
        case VariablePlace(local, type_):
            return Value(ir.Local(local, ir_width(type_)), type_)
        case ValuePlace(val):
            return val
        case LayoutPlace(parts, type_):
            return Value(fold.concat_all(raw(read(p.place, env, span)) for p in parts), type_)
        case SlicePlace(inner, hi, lo, type_):
            return Value(fold.extract(raw(read(inner, env, span)), hi, lo), type_)
        case BitPlace(inner, index):
            shifted = fold.shift("lshr", raw(read(inner, env, span)), index)
            return Value(fold.extract(shifted, 0, 0), Bits(1))
        case ConcatPlace(parts):
            return Value(fold.concat_all(raw(read(p, env, span)) for p in parts), base.type)
        case RetypedPlace(inner, type_):
            return from_bits(raw(read(inner, env, span)), type_)
        case ChoicePlace():
            return read_choice(base, env, span)
        case RaisePlace(stmt, type_):
            body.emit(stmt)
            return from_bits(ir.Const(width_of(type_), 0), type_)
        case MemoryPlace():
            access = access_of(base, "read", env, span)
            local = body.fresh("loaded")
            body.emit(ir.Load(local, access, body.span))
            return Value(ir.Local(local, base.bits), Bits(base.bits))
        case ViewPlace():
            return views.read(base, env, span)
        case OperandPlace(_, code, inner_place):
            return code if inner_place is None else read(inner_place, env, span)
        case _:
            assert_never(base)


def read_choice(base: ChoicePlace, env: Env, span: Span) -> Value:
    """The value of the arm that is chosen."""

    def reader(arm: Place) -> Callable[[Type | None], Value | None]:
        def get(_: Type | None) -> Value | None:
            if isinstance(arm, RaisePlace):
                env.body.emit(arm.stmt)
                return None
            return read(arm, env, span)

        return get

    arms = [(cond, reader(arm)) for cond, arm in base.arms]
    spans = [span] * (len(arms) + 1)
    val = choices.choose(arms, reader(base.other), spans, env, base.type, exclusive=base.exclusive)
    return to_type(val, base.type, span)


def access_of(base: MemoryPlace, kind: ir.AccessKind, env: Env, span: Span) -> ir.Access:
    """The access that reads or writes a memory place, with the defaults of its space filled in."""
    space = views.space(base.space, env.machine)
    args = tuple(
        views.default_arg(space, i, kind, env, span) if arg is None else arg for i, arg in enumerate(base.args)
    )
    given = tuple(arg is not None for arg in base.args)
    return ir.Access(base.space, base.address, base.bits, kind, args, given, base.table)


# -- writing -----------------------------------------------------------------------------------------------------------


def write(base: Place, expr: ir.Expr, env: Env, span: Span) -> None:
    """Emits the writes that make `expr` the value of a place of its type; a bool may come as a boolean or a bit."""
    body = env.body
    if ir.width(expr) == 0 and not isinstance(base, VariablePlace):
        expr = fold.to_bits(expr)
    match base:
        case ElementPlace(element, type_, legal):
            old = ir.Get(element, width_of(type_))
            body.emit(ir.Set(element, _legal(expr, old, legal), body.span))
        case EntryPlace(file, index, type_, legal):
            entry = ir.GetEntry(file, index, width_of(type_))
            body.emit(ir.SetEntry(file, index, _legal(expr, entry, legal), body.span))
        case VariablePlace(local, type_):
            body.emit(ir.Let(local, fold.to_bool(expr) if _bit_to_bool(expr, type_) else expr, body.span))
        case ValuePlace(val, ignores):
            if not ignores and not isinstance(val.expr, ir.Const):
                raise failure("PG230", "this is a value, not a place: it cannot be written", span)
        case LayoutPlace(parts):
            _write_layout(parts, expr, env, span)
        case SlicePlace(inner, hi, lo, _):
            _write_slice(inner, hi, lo, expr, env, span)
        case BitPlace(inner, index):
            _write_bit(inner, index, expr, env, span)
        case ConcatPlace(parts):
            _write_concat(parts, expr, env, span)
        case RetypedPlace(inner, _):
            write(inner, expr, env, span)
        case ChoicePlace():
            write_choice(base, expr, env, span)
        case RaisePlace(stmt, _):
            body.emit(stmt)
        case MemoryPlace():
            body.emit(ir.Store(access_of(base, "write", env, span), expr, body.span))
        case ViewPlace():
            views.write(base, expr, env, span)
        case OperandPlace(name, _, inner_place):
            if inner_place is None:
                raise failure("PG230", f"{name} is bits of the instruction, not a place: it cannot be written", span)
            write(_writable(inner_place, base.no_address, env), expr, env, span)
        case _:
            assert_never(base)


def _writable(base: Place, otherwise: ir.Stmt | None, env: Env) -> Place:
    """An operand whose arms that are values raise what the operand says; if it says nothing, their encodings are not
    encodings of the instruction."""
    if not isinstance(base, ChoicePlace):
        return base
    pairs = [*base.arms, (fold.not_(fold.any_of(c for c, _ in base.arms)), base.other)]
    kept: list[tuple[ir.Expr, Place]] = []
    for cond, arm in pairs:
        if not isinstance(arm, ValuePlace):
            kept.append((cond, arm))
        elif otherwise is not None:
            kept.append((cond, RaisePlace(otherwise, arm.type)))
        else:
            env.body.restrictions.append(fold.not_(cond))
    if not kept:
        return base
    return ChoicePlace(tuple(kept[:-1]), kept[-1][1], base.type, base.exclusive) if len(kept) > 1 else kept[0][1]


def _bit_to_bool(expr: ir.Expr, type_: Type) -> bool:
    return isinstance(type_, Bool) and ir.width(expr) == 1


def _legal(expr: ir.Expr, old: ir.Expr, legal: tuple[int, ...] | None) -> ir.Expr:
    """A write of a value that is not legal leaves the old one."""
    if legal is None:
        return expr
    width = ir.width(expr)
    allowed = fold.any_of(fold.compare("eq", expr, ir.Const(width, v)) for v in legal)
    return fold.if_(allowed, expr, old)


def _write_layout(parts: Sequence[LayoutPart], expr: ir.Expr, env: Env, span: Span) -> None:
    written = [p for p in parts if not p.ro and not isinstance(p.place, ValuePlace)]
    if len(written) > 1:
        expr = env.body.keep_expr("new", expr)
    for part in written:
        new = fold.extract(expr, part.hi, part.lo)
        if part.w1c:
            new = fold.binary("and", raw(read(part.place, env, span)), fold.unary("not", new))
        write(part.place, new, env, span)


def _write_slice(base: Place, hi: int, lo: int, expr: ir.Expr, env: Env, span: Span) -> None:
    if isinstance(base, ViewPlace) and not isinstance(base.view.node.body, ast.Selection | ast.Computed):
        with env.body.inside(base.view, span):
            write(slice_(views.target(base, env), hi, lo), expr, env, span)
        return
    width = width_of(base.type)
    old = raw(read(base, env, span))
    above = fold.extract(old, width - 1, hi + 1) if hi < width - 1 else ir.Const(0, 0)
    below = fold.extract(old, lo - 1, 0) if lo > 0 else ir.Const(0, 0)
    write(base, fold.concat_all([above, expr, below]), env, span)


def _write_bit(base: Place, index: ir.Expr, expr: ir.Expr, env: Env, span: Span) -> None:
    width = width_of(base.type)
    index = env.body.keep_expr("bit", index)
    old = raw(read(base, env, span))
    mask = fold.shift("shl", ir.Const(width, 1), index)
    bit = fold.shift("shl", fold.extend(False, expr, width), index)
    write(base, fold.binary("or", fold.binary("and", old, fold.unary("not", mask)), bit), env, span)


def _write_concat(parts: Sequence[Place], expr: ir.Expr, env: Env, span: Span) -> None:
    expr = env.body.keep_expr("new", expr)
    top = ir.width(expr)
    for part in parts:
        bottom = top - width_of(part.type)
        write(part, fold.extract(expr, top - 1, bottom), env, span)
        top = bottom


def write_choice(base: ChoicePlace, expr: ir.Expr, env: Env, span: Span) -> None:
    """Writes the arm that is chosen."""
    body = env.body
    expr = body.keep_expr("new", expr)
    blocks: list[list[ir.Stmt]] = []
    for arm in [*(arm for _, arm in base.arms), base.other]:
        with body.block() as block:
            write(arm, expr, env, span)
        blocks.append(block)
    choices.emit_choice(
        [(c, b) for (c, _), b in zip(base.arms, blocks, strict=False)], blocks[-1], body, base.exclusive
    )


# -- addresses ---------------------------------------------------------------------------------------------------------


def address(base: Place, env: Env, span: Span) -> Value:
    """`operand.addr`: the address of a memory place.

    Arms that are no memory raise what the operand says (`else trap x`); if it says nothing, their encodings are not
    encodings of the instruction.
    """
    no_address = base.no_address if isinstance(base, OperandPlace) else None
    found = _addresses(base)
    if not found or all(a is None for _, a in found):
        raise failure("PG232", "this is no place in memory: it has no address", span)
    body = env.body
    type_ = next(Bits(ir.width(a)) for _, a in found if a is not None)
    if any(a is not None and ir.width(a) != type_.width for _, a in found):
        raise failure("PG232", "the arms of this operand have addresses of different widths", span)
    if no_address is None:
        earlier: ir.Expr = ir.FALSE
        for cond, a in found:
            if a is None:
                body.restrictions.append(fold.not_(fold.logic("and", fold.not_(earlier), cond)))
            earlier = fold.logic("or", earlier, cond)
    blocks: list[list[ir.Stmt]] = [[] if a is not None or no_address is None else [no_address] for _, a in found]
    exprs = [a for _, a in found]
    conds = [c for c, _ in found][:-1]
    return Value(choices.select(conds, exprs, blocks, body, type_.width, True), type_)


def _addresses(base: Place) -> list[tuple[ir.Expr, ir.Expr | None]]:
    """Conditions and addresses, the last condition being true; None for what is no memory."""
    match base:
        case OperandPlace(_, _, inner) if inner is not None:
            return _addresses(inner)
        case MemoryPlace():
            return [(ir.TRUE, base.address)]
        case SlicePlace(inner) | RetypedPlace(inner, _):
            return _addresses(inner)
        case ChoicePlace(arms, other):
            pairs = [(fold.logic("and", c, c2), a) for c, arm in arms for c2, a in _addresses(arm)]
            return [*pairs, *_addresses(other)]
        case _:
            return [(ir.TRUE, None)]


# -- freezing ----------------------------------------------------------------------------------------------------------


def freeze_if_memory(base: Place, env: Env) -> Place:
    """A place that is read and then written: the address of a memory place is evaluated once."""
    match base:
        case MemoryPlace():
            return freeze(base, env)
        case SlicePlace() | RetypedPlace():
            return replace(base, base=freeze_if_memory(base.base, env))
        case _:
            return base


def freeze(base: Place, env: Env, local: str = "at") -> Place:
    """The same place, with its indices, addresses and conditions evaluated now: later writes do not move it."""
    body = env.body

    def kept(expr: ir.Expr) -> ir.Expr:
        return body.keep_expr(local, expr)

    match base:
        case EntryPlace():
            return replace(base, index=kept(base.index))
        case MemoryPlace():
            return replace(
                base, address=kept(base.address), args=tuple(None if a is None else kept(a) for a in base.args)
            )
        case SlicePlace() | RetypedPlace():
            return replace(base, base=freeze(base.base, env, local))
        case BitPlace():
            return BitPlace(freeze(base.base, env, local), kept(base.index))
        case ConcatPlace(parts):
            return ConcatPlace(tuple(freeze(p, env, local) for p in parts))
        case LayoutPlace():
            return replace(base, parts=tuple(replace(p, place=freeze(p.place, env, local)) for p in base.parts))
        case ChoicePlace(arms, other):
            frozen = tuple((body.keep_expr("cond", c), freeze(p, env, local)) for c, p in arms)
            return replace(base, arms=frozen, other=freeze(other, env, local))
        case ValuePlace(val, ignores):
            return ValuePlace(body.keep(local, val), ignores)
        case ViewPlace():
            return views.freeze(base, env, local)
        case ElementPlace() | VariablePlace() | RaisePlace() | OperandPlace():
            return base
        case _:
            assert_never(base)
