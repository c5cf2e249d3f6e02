"""Places: what can be read and, mostly, written.  `place` forms the place that an expression names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import accesses, ast, calls, choices, expressions, fold, state, traps, typenames, views
from analyzer.syntax.body import Env, find
from analyzer.syntax.coerce import definite, raw, to_type
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
from analyzer.syntax.value_types import Bits, Enum, Type, describe, width_of
from analyzer.syntax.values import (
    BitPlace,
    ChoicePlace,
    ConcatPlace,
    LayoutPlace,
    MemoryPlace,
    Number,
    OperandPlace,
    Place,
    RaisePlace,
    RetypedPlace,
    Value,
    ValuePlace,
    VariablePlace,
    ViewPlace,
)


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
        space.name,
        address,
        bits,
        space_args(space, [i.high for i in positional[2:]], named, env, node.span),
        table,
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
        return accesses.slice_(base, *_bits(top, top, width, env, index.span))
    low = expressions.number_or_none(expressions.value(index.low, env))
    if top is None or low is None:
        raise failure(
            "PG216",
            "the bits of a slice must be known when the spec is elaborated",
            index.span,
            "shift first: (v >> n)[7:0]",
        )
    return accesses.slice_(base, *_bits(top, low, width, env, index.span))


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
        return ValuePlace(accesses.address(base, env, node.span))
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
    inner = accesses.slice_(base, part.hi, part.lo)
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
                arms[i] = accesses.freeze(made, env)
            blocks[i].extend(frozen)
        choices.emit_choice(list(zip(conds, blocks, strict=False)), blocks[-1], body, exclusive)
    found = [arm for arm in arms if arm is not None]
    return ChoicePlace(tuple(zip(conds, found, strict=False)), found[-1], type_ or Bits(1), exclusive)
