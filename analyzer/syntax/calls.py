"""Calls: functions, built-in ones, conversions, probes of the map, and other instructions (expansions).

A function whose body is an expression is put in place; one with statements becomes a procedure, one for each
combination of its compile-time parameters and widths.

    fn push(v : 16) { sp -= 2; mem[sp, 16] = v }        Procedure push(v : 16) { … }
    push(old)                                           Call push(old)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, expressions, fold, places, statements, typenames, views
from analyzer.syntax.body import Body, Env, find
from analyzer.syntax.coerce import definite, from_bits, raw, to_type, unify
from analyzer.syntax.machine import Instance
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.prune import prune
from analyzer.syntax.scope import (
    BaseEntity,
    EnumEntity,
    FnEntity,
    Scope,
    SpaceEntity,
    TypeEntity,
    UnspecifiedEntity,
    ViewEntity,
    kind_of,
)
from analyzer.syntax.value_types import BOOL, Bits, Type, describe, ir_width, width_of
from analyzer.syntax.values import MemoryPlace, Number, Val, Value

MOST_INSTANCES = 200
"""Procedures made of one function."""


def call_value(node: ast.Call, env: Env, want: Type | None) -> Val:
    """A call where a value is wanted."""
    if isinstance(node.function, ast.Member):
        return probe(node, node.function, env)
    if not isinstance(node.function, ast.Name):
        raise failure("PG217", "only a function can be called", node.span)
    name = node.function.text
    builtin = BUILTINS.get(name)
    if builtin is not None and env.scope.find(name) is None:
        return builtin(node, env, want)
    if name == "unknown":
        return _unknown(node, env)
    entity, _ = find(env, node.function)
    match entity:
        case FnEntity():
            result = call_fn(entity, node, env)
            if result is None:
                raise failure("PG233", f"{name} returns nothing", node.span, "write `-> width` in its declaration")
            return result
        case UnspecifiedEntity():
            return unspecified(entity, node, env)
        case EnumEntity(type_, _) | TypeEntity(type_, _):
            arg = only_arg(node)
            val = expressions.value(arg, env, Bits(width_of(type_)))
            return from_bits(raw(_bits_of(val, width_of(type_), arg.span)), type_)
        case BaseEntity(FnEntity() as overridden):
            result = call_fn(overridden, node, env)
            if result is None:
                raise failure("PG233", "what is overridden returns nothing", node.span)
            return result
        case BaseEntity(SpaceEntity() as space):
            return _base_map(space, node, env)
        case ViewEntity():
            raise failure("PG222", f"{name} is a view: write {name}(…)[…]", node.span)
        case _:
            raise failure("PG217", f"{name} is {kind_of(entity)}, and cannot be called", node.span)


def _bits_of(val: Val, width: int, span: Span) -> Value:
    if isinstance(val, Value) and width_of(val.type) == width:
        return val
    return to_type(val, Bits(width), span)


def _base_map(space: SpaceEntity, node: ast.Call, env: Env) -> Value:
    """`base(a, m = K)` in a map: the address that the overridden map would give, or its traps."""
    if env.body.kind != "map" or env.body.returns is None or space.node is None or space.scope is None:
        raise failure("PG217", f"`base` of {space.name} is known only in the map that overrides it", node.span)
    home = env.at(space.scope.child())
    bind("base", (space.node.index, *space.node.params), node.args, env, home, node.span)
    if space.overridden is not None:
        home = home.child({"base": BaseEntity(space.overridden)})
    with env.body.inside(space, node.span):
        val = statements.result(space.node.body, home, env.body.returns)
    return fallback(env.body.returns) if val is None else to_type(val, env.body.returns, node.span)


def fallback(type_: Type) -> Value:
    """What stands for a value where every path has left."""
    return from_bits(ir.Const(width_of(type_), 0), type_)


def only_arg(node: ast.Call) -> ast.Expr:
    """The one argument of a call."""
    if len(node.args) != 1 or node.args[0].name is not None:
        raise failure("PG222", "one argument is wanted here", node.span)
    return node.args[0].value


# -- arguments ---------------------------------------------------------------------------------------------------------


def match_args(
    name: str, params: Sequence[ast.Parameter], args: Sequence[ast.Arg], span: Span
) -> list[ast.Expr | None]:
    """The argument of each parameter, by position or name; None: its default."""
    names = [p.name.text for p in params]
    given: dict[str, ast.Expr] = {}
    for i, arg in enumerate(args):
        if arg.name is None and i >= len(names):
            raise failure("PG222", f"{name} takes {len(names)} arguments, not {len(args)}", span)
        key = names[i] if arg.name is None else arg.name.text
        if key not in names:
            raise failure("PG222", f"{name} has no parameter {key}", arg.span, did_you_mean(key, names))
        if key in given:
            raise failure("PG222", f"{key} is given twice", arg.span)
        given[key] = arg.value
    for param in params:
        if param.name.text not in given and param.default is None:
            raise failure("PG222", f"{name} wants a value for {param.name.text}", span)
    return [given.get(p.name.text) for p in params]


def evaluate(
    name: str, params: Sequence[ast.Parameter], args: Sequence[ast.Arg], env: Env, home: Env, span: Span, keep: bool
) -> list[tuple[str, Number | Value, Type | None]]:
    """Arguments in order, bound in the scope of `home`; the type is None for compile-time parameters.

    `v : w` with a `w` that means nothing else takes its width from the argument, and binds `w`.
    """
    bound: list[tuple[str, Number | Value, Type | None]] = []
    for param, arg in zip(params, match_args(name, params, args, span), strict=True):
        node, where = (arg, env) if arg is not None else (param.default, home)
        assert node is not None
        val, type_ = _argument(param, node, where, home)
        if type_ is not None and keep and isinstance(val, Value):
            val = env.body.keep(param.name.text, val)
        home.scope.names[param.name.text] = val
        bound.append((param.name.text, val, type_))
    return bound


def _argument(param: ast.Parameter, node: ast.Expr, env: Env, home: Env) -> tuple[Number | Value, Type | None]:
    if param.type is None:
        val = expressions.single(expressions.value(node, env), node.span)
        if isinstance(val, Number) or isinstance(val.expr, ir.Const | ir.BoolConst):
            return val, None
        raise failure(
            "PG216",
            f"{param.name.text} must be known when the spec is elaborated",
            node.span,
            f"or declare its width: `{param.name.text} : 32`",
        )
    if isinstance(param.type, ast.NamedType) and not param.type.args and not typenames.is_type(param.type.name, home):
        val = expressions.known(node, env)
        width = width_of(val.type)
        home.scope.names[param.type.name.text] = Number(width)
        return Value(raw(val), Bits(width)), Bits(width)
    type_ = typenames.type_of(param.type, home)
    return to_type(expressions.value(node, env, type_), type_, node.span), type_


def bind(name: str, params: Sequence[ast.Parameter], args: Sequence[ast.Arg], env: Env, home: Env, span: Span) -> None:
    """Binds arguments to parameters in `home`, each evaluated once."""
    evaluate(name, params, args, env, home, span, keep=True)


# -- functions ---------------------------------------------------------------------------------------------------------


def call_fn(fn: FnEntity, node: ast.Call, env: Env) -> Value | Number | None:
    """What a call returns; None if nothing."""
    body = env.body
    if fn in body.active or fn in env.machine.making:
        raise failure("PG304", f"{fn.node.name.text} calls itself", node.span, "write a loop with a bound")
    if isinstance(fn.node.body, ast.Block) and not body.pure:
        return call_procedure(fn, node, env)
    home = env.at(fn_scope(fn))
    bind(fn.node.name.text, fn.node.params, node.args, env, home, node.span)
    result = None if fn.node.result is None else typenames.type_of(fn.node.result, home)
    with body.inside(fn, node.span):
        if isinstance(fn.node.body, ast.Block):
            val = statements.result(fn.node.body, home, result)
            if val is None:
                raise failure("PG231", f"{fn.node.name.text} traps, and this must be free of effects", node.span)
        else:
            val = expressions.single(expressions.value(fn.node.body, home, result), fn.node.body.span)
    return val if result is None else to_type(val, result, fn.node.body.span)


def fn_scope(fn: FnEntity) -> Scope:
    """The scope that a function's parameters are bound in."""
    return fn.scope.child() if fn.overridden is None else fn.scope.child({"base": BaseEntity(fn.overridden)})


def call_procedure(fn: FnEntity, node: ast.Call, env: Env) -> Value | None:
    """Calls the procedure that stands for a function with statements."""
    machine, body = env.machine, env.body
    home = env.at(fn_scope(fn))
    bound = evaluate(fn.node.name.text, fn.node.params, node.args, env, home, node.span, keep=False)
    widths = tuple((n, v.value) for n, v in home.scope.names.items() if isinstance(v, Number))
    consts = tuple((n, v) for n, v, type_ in bound if type_ is None)
    runtime = [(n, v, type_) for n, v, type_ in bound if type_ is not None]
    key = (fn, widths, consts, tuple(type_ for _, _, type_ in runtime))
    instance = machine.instances.get(key)
    if instance is None:
        instance = make_procedure(fn, [(n, t) for n, _, t in runtime], dict(consts), widths, env, node.span)
        machine.instances[key] = instance
    args = [v.expr for _, v, _ in runtime if isinstance(v, Value)]
    args += [captured(name, env, node.span) for name in instance.captured]
    local = body.fresh(fn.node.name.text) if instance.returns is not None else None
    body.emit(ir.Call(instance.name, tuple(args), local, body.span))
    if instance.returns is None or local is None:
        return None
    return Value(ir.Local(local, ir_width(instance.returns)), instance.returns)


def captured(name: str, env: Env, span: Span) -> ir.Expr:
    """The argument for `here` or a prefix that a procedure reads."""
    val = expressions.symbol("here", env, None, span) if name == "here" else expressions.prefix(name, env, span)
    assert isinstance(val, Value)
    return val.expr


def make_procedure(
    fn: FnEntity,
    params: Sequence[tuple[str, Type]],
    consts: Mapping[str, Number | Value],
    widths: Sequence[tuple[str, int]],
    env: Env,
    span: Span,
) -> Instance:
    """Elaborates the body of a function for some constants and widths."""
    machine = env.machine
    if sum(key[0] is fn for key in machine.instances) >= MOST_INSTANCES:
        raise failure(
            "PG305", f"{fn.node.name.text} is needed for more than {MOST_INSTANCES} different constants", span
        )
    name = _procedure_name(fn, consts, widths, env)
    body = Body("procedure", pc=machine.pc, here=ir.Local("here", machine.pc_width or 1))
    body.used = {p for p, _ in params} | {"here"}
    scope = fn_scope(fn)
    for const, val in [*((w, Number(n)) for w, n in widths), *consts.items()]:
        scope.names[const] = val
    for param, type_ in params:
        scope.names[param] = Value(ir.Local(param, ir_width(type_)), type_)
    home = Env(machine, body, scope)
    returns = None if fn.node.result is None else typenames.type_of(fn.node.result, home)
    body.returns = returns
    machine.making.append(fn)
    before = machine.problems.count
    try:
        assert isinstance(fn.node.body, ast.Block)
        statements.block(fn.node.body, home)
    finally:
        machine.making.pop()
    if returns is not None and not statements.ends(body.out) and machine.problems.count == before:
        machine.problems.report("PG302", f"{fn.node.name.text} can end without `return`", fn.node.name.span)
    extra = [(c, ir.width(e)) for c, e in body.captured.items()]
    machine.procedures[name] = ir.Procedure(
        name,
        (*((p, ir_width(t)) for p, t in params), *extra),
        None if returns is None else ir_width(returns),
        prune(tuple(body.out), machine.locals),
        fn.node.name.span,
    )
    return Instance(name, tuple(params), returns, tuple(body.captured))


def _procedure_name(
    fn: FnEntity, consts: Mapping[str, Number | Value], widths: Sequence[tuple[str, int]], env: Env
) -> str:
    """A name for a procedure, with the constants that it is made for."""
    parts = [fn.node.name.text]
    for val in [*consts.values(), *(Number(w) for n, w in widths if n not in consts)]:
        number = expressions.number_or_none(val)
        parts.append(str(number))
    name = ".".join(parts)
    n = 1
    unique = name
    while unique in env.machine.procedures:
        n += 1
        unique = f"{name}.{n}"
    return unique


def unspecified(entity: UnspecifiedEntity, node: ast.Call, env: Env) -> Value:
    """A call of a function that nobody knows, the same in every run."""
    decl = entity.node
    home = env.at(entity.scope.child())
    bound = evaluate(decl.name.text, decl.params, node.args, env, home, node.span, keep=False)
    type_ = typenames.type_of(decl.result, home)
    args = tuple(raw(v) for _, v, _ in bound if isinstance(v, Value))
    widths = "".join(f".{v.value}" for _, v in home.scope.names.items() if isinstance(v, Number))
    return from_bits(ir.Arbitrary(decl.name.text + widths, args, width_of(type_)), type_)


def call_statement(node: ast.Call, env: Env) -> None:
    """A call that stands alone: a function with effects, or another instruction."""
    if not isinstance(node.function, ast.Name):
        raise failure("PG217", "a probe has a value: use it", node.span)
    name = node.function.text
    entity = env.scope.find(name)
    match entity:
        case FnEntity():
            if call_fn(entity, node, env) is not None and not isinstance(entity.node.body, ast.Block):
                env.machine.problems.report("PG234", f"what {name} returns is not used", node.span, None, "warning")
        case BaseEntity():
            env.machine.call_base(entity, node, env)
        case None:
            if not env.machine.expand(name, node, env):
                known = env.scope.known() | {i.name.replace(".", "_") for i in env.machine.instrs}
                raise failure(
                    "PG201",
                    f"there is no function or instruction {name}",
                    node.function.span,
                    did_you_mean(name, known),
                )
        case _:
            call_value(node, env, None)
            env.machine.problems.report("PG234", f"what {name} returns is not used", node.span, None, "warning")


# -- probes ------------------------------------------------------------------------------------------------------------


def probe(node: ast.Call, function: ast.Member, env: Env) -> Value:
    """`mem.fault(a, read, width = 32, m = K)`, `mem.translate(a, read)`."""
    if not isinstance(function.value, ast.Name):
        raise failure("PG217", "only a function can be called", node.span)
    entity, _ = find(env, function.value)
    space = views.as_space(entity, env, function.value)
    what = function.name.text
    if what not in {"fault", "translate"}:
        raise failure("PG229", f"{space.name} has no {what}", function.name.span, "the probes are fault and translate")
    if what == "translate" and space.kind != "map":
        raise failure("PG217", f"{space.name} is no map: its addresses are not translated", node.span)
    positional = [a.value for a in node.args if a.name is None]
    named = {a.name.text: a.value for a in node.args if a.name is not None}
    if len(positional) < 2:
        raise failure("PG222", f"write {space.name}.{what}(address, read): a probe says for which access", node.span)
    kind = expressions.value(positional[1], env, expressions.ACCESS)
    if not isinstance(kind, Value) or kind.type != expressions.ACCESS or not isinstance(kind.expr, ir.Const):
        raise failure("PG222", "the second argument of a probe is fetch, read or write", positional[1].span)
    kinds: tuple[ir.AccessKind, ...] = ("fetch", "read", "write")
    access_kind = kinds[kind.expr.value]
    address = expressions.typed(positional[0], env, space.index)
    bits = space.unit
    for word in ("width", "bits"):
        if word in named:
            bits = expressions.number(named.pop(word), env, "the width of an access")
    args = places.space_args(space, positional[2:], named, env, node.span)
    access = places.access_of(MemoryPlace(space.name, address, bits, args, False), access_kind, env, node.span)
    local = env.body.fresh(what)
    if what == "fault":
        env.body.emit(ir.Probe(local, access, "fault", env.body.span))
        return Value(ir.Local(local, 0), BOOL)
    assert space.below is not None
    width = views.space(space.below, env.machine).index.width
    env.body.emit(ir.Probe(local, access, "translate", env.body.span))
    return Value(ir.Local(local, width), Bits(width))


# -- built-in functions ------------------------------------------------------------------------------------------------


def _extension(is_signed: bool) -> Callable[[ast.Call, Env, Type | None], Val]:
    def extension(node: ast.Call, env: Env, want: Type | None) -> Val:
        inner, width = _resized(node, env, want)
        if isinstance(inner, Number):
            return inner if width is None else to_type(inner, Bits(width), node.span)
        have = width_of(inner.type)
        if width is None:
            raise failure(
                "PG215", "nothing here says how wide this becomes", node.span, "give the width as a second argument"
            )
        if have > width:
            raise failure(
                "PG210", f"this has {have} bits already, more than {width}", node.span, f"write trunc(…, {width})"
            )
        return Value(fold.extend(is_signed, raw(inner), width), Bits(width))

    return extension


def _resized(node: ast.Call, env: Env, want: Type | None) -> tuple[Number | Value, int | None]:
    if not 1 <= len(node.args) <= 2:
        raise failure("PG222", "one value, and perhaps a width, are wanted here", node.span)
    inner = expressions.single(expressions.value(node.args[0].value, env), node.span)
    if len(node.args) == 2:
        width = expressions.number(node.args[1].value, env, "a width")
        return inner, typenames.bits(width, node.args[1].span).width
    return inner, width_of(want) if want is not None else None


def _trunc(node: ast.Call, env: Env, want: Type | None) -> Val:
    inner, width = _resized(node, env, want)
    if isinstance(inner, Number):
        inner = definite(inner, node.span)
    if width is None:
        raise failure(
            "PG215", "nothing here says how wide this becomes", node.span, "give the width as a second argument"
        )
    if width_of(inner.type) < width:
        raise failure(
            "PG210", f"this has {describe(inner.type)} only, less than {width}", node.span, f"write zext(…, {width})"
        )
    return Value(fold.extract(raw(inner), width - 1, 0), Bits(width))


def _zeros(node: ast.Call, env: Env, want: Type | None) -> Val:
    width = expressions.number(only_arg(node), env, "a width")
    return Number(0, 0) if width == 0 else Value(ir.Const(width, 0), typenames.bits(width, node.span))


def _ones(node: ast.Call, env: Env, want: Type | None) -> Val:
    type_ = typenames.bits(expressions.number(only_arg(node), env, "a width"), node.span)
    return Value(fold.const(-1, type_.width), type_)


def _unknown(node: ast.Call, env: Env) -> Val:
    type_ = typenames.bits(expressions.number(only_arg(node), env, "a width"), node.span)
    return Value(ir.Unknown(env.machine.site(), type_.width), type_)


def _extreme(op: ir.CompareOp, least: bool) -> Callable[[ast.Call, Env, Type | None], Val]:
    def extreme(node: ast.Call, env: Env, want: Type | None) -> Val:
        if len(node.args) != 2:
            raise failure("PG222", "two values are wanted here", node.span)
        first, second = node.args[0].value, node.args[1].value
        left, right = expressions.both(first, second, env, want)
        if isinstance(left, Number) and isinstance(right, Number):
            return Number(min(left.value, right.value) if least else max(left.value, right.value))
        a, b = unify(left, right, first.span, second.span, node.span)
        a, b = env.body.keep("a", a), env.body.keep("b", b)
        less = fold.compare(op, a.expr, b.expr)
        return Value(fold.if_(less, a.expr, b.expr) if least else fold.if_(less, b.expr, a.expr), a.type)

    return extreme


def _rotate(right: bool) -> Callable[[ast.Call, Env, Type | None], Val]:
    def rotate(node: ast.Call, env: Env, want: Type | None) -> Val:
        if len(node.args) != 2:
            raise failure("PG222", "a value and a count are wanted here", node.span)
        val = env.body.keep("a", definite(expressions.value(node.args[0].value, env, want), node.span))
        width = width_of(val.type)
        count = expressions.single(expressions.value(node.args[1].value, env), node.span)
        if isinstance(count, Number):
            n = count.value % width if right else -count.value % width
            expr = val.expr
            return Value(
                fold.concat(fold.extract(expr, n - 1, 0), fold.extract(expr, width - 1, n)) if n else expr, val.type
            )
        amount = raw(count)
        wide = max(ir.width(amount), width.bit_length(), width)
        reduced = fold.binary("urem", fold.extend(False, amount, wide), fold.const(width, wide))
        reduced = env.body.keep_expr("count", fold.resize(reduced, width))
        back = fold.binary("sub", fold.const(width, width), reduced)
        down, up = (reduced, back) if right else (back, reduced)
        return Value(fold.binary("or", fold.binary("lshr", val.expr, down), fold.binary("shl", val.expr, up)), val.type)

    return rotate


MOST_COUNTED = 128
"""Bits that `popcount` and `clz` look at, one after the other."""


def counted(val: Value, word: str, span: Span) -> int:
    """The width of a value whose bits are counted."""
    width = width_of(val.type)
    if width > MOST_COUNTED:
        raise failure("PG219", f"`{word}` is for at most {MOST_COUNTED} bits, not {width}", span, "add up its parts")
    return width


def _popcount(node: ast.Call, env: Env, want: Type | None) -> Val:
    val = env.body.keep("a", definite(expressions.value(only_arg(node), env, want), node.span))
    width = counted(val, "popcount", node.span)
    total: ir.Expr = ir.Const(width, 0)
    for i in range(width):
        total = fold.binary("add", total, fold.extend(False, fold.extract(val.expr, i, i), width))
    return Value(total, Bits(width))


def _clz(node: ast.Call, env: Env, want: Type | None) -> Val:
    val = env.body.keep("a", definite(expressions.value(only_arg(node), env, want), node.span))
    width = counted(val, "clz", node.span)
    if width.bit_length() > width:
        raise failure("PG219", "`clz` wants at least 3 bits, for its result has as many", node.span)
    result: ir.Expr = fold.const(width, width)
    for i in range(width):
        result = fold.if_(fold.to_bool(fold.extract(val.expr, i, i)), fold.const(width - 1 - i, width), result)
    return Value(result, Bits(width))


BUILTINS: Mapping[str, Callable[[ast.Call, Env, Type | None], Val]] = {
    "zext": _extension(False),
    "sext": _extension(True),
    "trunc": _trunc,
    "zeros": _zeros,
    "ones": _ones,
    "min": _extreme("ult", True),
    "max": _extreme("ult", False),
    "mins": _extreme("slt", True),
    "maxs": _extreme("slt", False),
    "ror": _rotate(True),
    "rol": _rotate(False),
    "popcount": _popcount,
    "clz": _clz,
}
