"""Calls: functions, built-in ones, conversions, probes of the map, and other instructions (expansions).

A function whose body is an expression is put in place; one with statements becomes a procedure, one for each
combination of its compile-time parameters and widths.

    fn push(v : 16) { sp -= 2; mem[sp, 16] = v }        Procedure push(v : 16) { … }
    push(old)                                           Call push(old)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import accesses, ast, builtins, expressions, places, statements, typenames, views
from analyzer.syntax.body import Body, Env, find, undefined
from analyzer.syntax.coerce import from_bits, raw, to_type
from analyzer.syntax.machine import Instance
from analyzer.syntax.problems import arguments, did_you_mean, failure
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
from analyzer.syntax.value_types import BOOL, Bits, Type, ir_width, width_of
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
    builtin = builtins.BUILTINS.get(name)
    if builtin is not None and env.scope.find(name) is None:
        return builtin(node, env, want)
    if name == "unknown":
        return builtins._unknown(node, env)
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
            raise failure("PG222", f"{name} takes {arguments(len(names))}, not {len(args)}", span)
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
        case None if name == "base":
            raise undefined(env, node.function)
        case None if name not in builtins.BUILTINS:
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
    access = accesses.access_of(MemoryPlace(space.name, address, bits, args, False), access_kind, env, node.span)
    local = env.body.fresh(what)
    if what == "fault":
        env.body.emit(ir.Probe(local, access, "fault", env.body.span))
        return Value(ir.Local(local, 0), BOOL)
    if space.below is None:
        raise failure("PG217", f"{space.name} stands on no other memory: its addresses are final", node.span)
    width = views.space(space.below, env.machine).index.width
    env.body.emit(ir.Probe(local, access, "translate", env.body.span))
    return Value(ir.Local(local, width), Bits(width))
