"""Statements: syntax to the IR.

`block` runs statements where they stand.  `result` and `inline` put a block in place that ends with `return` (views,
operands): what follows a conditional `return` goes to the other arm.

    read { return 0 if off; return r }        if off then 0 else r
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import accesses, ast, calls, choices, expressions, fold, operators, places, traps, typenames
from analyzer.syntax.body import Env
from analyzer.syntax.coerce import definite, raw, to_type
from analyzer.syntax.problems import failure
from analyzer.syntax.scope import Poison, Variable
from analyzer.syntax.value_types import Bits, Type, describe
from analyzer.syntax.values import ConcatPlace, Group, Number, Place, Val, Value

MOST_ROUNDS = 4096
"""Rounds of a `for`, which is unrolled."""

DEEPEST_EXECUTE = 64


def block(node: ast.Block, env: Env) -> None:
    """Statements with names of their own."""
    run(node.stmts, env.child())


def run(stmts: Sequence[ast.Stmt], env: Env) -> None:
    """Statements in order; one that fails is reported, and the others go on."""
    for stmt in stmts:
        guarded(stmt, env)


def guarded(stmt: ast.Stmt, env: Env) -> None:
    """One statement; what it declares is known afterwards even if it fails."""
    failed = True
    with env.machine.problems.catch(stmt.span):
        statement(stmt, env)
        failed = False
    if failed and isinstance(stmt, ast.Let | ast.Var):
        env.scope.names[stmt.name.text] = Poison()


def statement(stmt: ast.Stmt, env: Env) -> None:
    """One statement."""
    body = env.body
    before = body.span
    if not body.pure:  # there the place of the whole expression says more
        body.span = stmt.span
    try:
        _statement(stmt, env)
    finally:
        body.span = before


def _statement(stmt: ast.Stmt, env: Env) -> None:
    env.step(stmt.span)
    body = env.body
    match stmt:
        case ast.Let():
            let(stmt, env)
        case ast.Var():
            var(stmt, env)
        case ast.Assign(target=ast.Tuple() as target, value=value):
            assign_tuple(target, value, env)
        case ast.Assign(target=target, value=value):
            assign(target, value, env)
        case ast.Update():
            update(stmt, env)
        case ast.CallStmt(call=call):
            calls.call_statement(call, env)
        case ast.Raise() | ast.Unpredictable():
            body.emit(traps.leave(stmt, env))
        case ast.Done():
            in_instruction(env, "done", stmt.span)
            body.emit(ir.Done(stmt.span))
        case ast.Again():
            again(stmt, env)
        case ast.Commit():
            if body.kind == "deliver":
                raise failure("PG235", "a delivery cannot be interrupted, so it cannot `commit`", stmt.span)
            body.emit(ir.Commit(stmt.span))
        case ast.Execute(word=word, limit=limit):
            in_instruction(env, "execute", stmt.span)
            expr = raw(expressions.known(word, env))
            depth = expressions.number(limit, env, "the limit of `execute`")
            if not 0 < depth <= DEEPEST_EXECUTE:
                raise failure("PG305", f"the limit of `execute` is 1 to {DEEPEST_EXECUTE}, not {depth}", limit.span)
            body.emit(ir.Execute(expr, depth, stmt.span))
        case ast.Return(value=value):
            return_(stmt, value, env)
        case ast.Guarded(stmt=inner, cond=cond):
            conditional(cond, (inner,), (), env)
        case ast.If(cond=cond, then=then, other=other):
            conditional(cond, then.stmts, other.stmts if other is not None else (), env)
        case ast.Match():
            match_(stmt, env)
        case ast.ForRange():
            for i in rounds(stmt, env):
                env.step(stmt.span)
                run(stmt.body.stmts, env.child({stmt.name.text: Number(i)}))
        case ast.While():
            while_(stmt, env)


def in_instruction(env: Env, word: str, span: Span) -> None:
    """Fails outside of instructions."""
    if env.body.kind != "instruction":
        raise failure("PG235", f"`{word}` has a meaning only in instructions", span)


def again(stmt: ast.Again, env: Env) -> None:
    """`again`: commit, and this instruction once more."""
    in_instruction(env, "again", stmt.span)
    body = env.body
    body.emit(ir.Commit(stmt.span))
    if body.pc is not None and body.here is not None:
        body.emit(ir.Set(body.pc, body.here, stmt.span))
    body.emit(ir.Done(stmt.span, unfinished=True))


def return_(stmt: ast.Return, value: ast.Expr, env: Env) -> None:
    """`return e` of a procedure or a map."""
    body = env.body
    if body.kind not in {"procedure", "map"}:
        raise failure("PG235", "there is nothing to return from here", stmt.span, "`done` ends an instruction")
    if body.returns is None:
        raise failure("PG233", "this function returns nothing", stmt.span, "write `-> width` in its declaration")
    body.emit(ir.Return(expressions.typed(value, env, body.returns), stmt.span))


# -- locals ------------------------------------------------------------------------------------------------------------


def declare(name: ast.Name, env: Env) -> None:
    """Fails if this block has the name already."""
    if name.text in env.scope.names:
        raise failure("PG205", f"{name.text} is declared already in this block", name.span)


def let(stmt: ast.Let, env: Env) -> None:
    """`let x = e`: a constant stays one, anything else becomes a local."""
    declare(stmt.name, env)
    want = None if stmt.type is None else typenames.type_of(stmt.type, env)
    val = expressions.value(stmt.value, env, want)
    if want is not None:
        val = to_type(val, want, stmt.value.span)
    if isinstance(val, Group):
        val = Group(tuple(v if isinstance(v, Number) else env.body.keep(stmt.name.text, v) for v in val.items))
    elif isinstance(val, Value):
        val = named(stmt.name.text, val, env)
    env.scope.names[stmt.name.text] = val


def named(name: str, val: Value, env: Env) -> Value:
    """A value under the name that the spec gives it: a load that was just emitted is renamed."""
    body = env.body
    last = body.out[-1] if body.out else None
    if isinstance(val.expr, ir.Local) and _sets(last, val.expr.name) and val.expr.name not in body.mutable:
        local = body.fresh(name)
        match last:
            case ir.Load():
                body.out[-1] = ir.Load(local, last.access, last.span)
            case ir.Probe():
                body.out[-1] = ir.Probe(local, last.access, last.what, last.span)
            case ir.Call():
                body.out[-1] = ir.Call(last.procedure, last.args, local, last.span)
        return Value(ir.Local(local, val.expr.width), val.type)
    return body.keep(name, val)


def _sets(stmt: ir.Stmt | None, local: str) -> bool:
    return isinstance(stmt, ir.Load | ir.Probe | ir.Call) and stmt.local == local


def var(stmt: ast.Var, env: Env) -> None:
    """`var x = e`: a local that may be set again."""
    declare(stmt.name, env)
    want = None if stmt.type is None else typenames.type_of(stmt.type, env)
    val = definite(expressions.value(stmt.value, env, want), stmt.value.span)
    if want is not None:
        val = to_type(val, want, stmt.value.span)
    body = env.body
    local = body.fresh(stmt.name.text)
    body.mutable.add(local)
    body.emit(ir.Let(local, val.expr, stmt.span))
    env.scope.names[stmt.name.text] = Variable(local, val.type)


# -- assignments -------------------------------------------------------------------------------------------------------


def assign(target: ast.Expr, value: ast.Expr, env: Env) -> None:
    """`place = e`: the right side is evaluated first."""
    body = env.body
    with body.block() as forming:
        place = places.place(target, env)
    val = to_type(expressions.value(value, env, place.type), place.type, value.span)
    val = to_type(operators.before_effects(val, forming, env), place.type, value.span)
    body.out.extend(forming)
    accesses.write(place, val.expr, env, target.span)


def update(stmt: ast.Update, env: Env) -> None:
    """`place += e`."""
    place = accesses.freeze_if_memory(places.place(stmt.target, env), env)
    if not isinstance(place.type, Bits):
        raise failure("PG219", f"`{stmt.op}` has no meaning for {describe(place.type)}", stmt.span)
    old = accesses.read(place, env, stmt.target.span)
    amount = expressions.typed(stmt.value, env, place.type)
    accesses.write(place, fold.binary("add" if stmt.op == "+=" else "sub", raw(old), amount), env, stmt.target.span)


def assign_tuple(target: ast.Tuple, value: ast.Expr, env: Env) -> None:
    """`(a, b) = (c, d)`: all of the right side is read first; `(a, b) = e` cuts the bits of e."""
    body = env.body
    with body.block() as forming:
        targets = [places.place(item, env) for item in target.items]
    sources = items_of(value, len(targets))
    if sources is None:
        val = expressions.value(value, env)
        if isinstance(val, Group):
            if len(val.items) != len(targets):
                raise failure("PG211", f"{len(targets)} values are wanted, and there are {len(val.items)}", value.span)
            pairs = zip(val.items, targets, strict=True)
            write_all(targets, [to_type(v, t.type, value.span) for v, t in pairs], target, forming, env)
            return
        whole = ConcatPlace(tuple(targets))
        expr = to_type(val, whole.type, value.span).expr
        body.out.extend(forming)
        accesses.write(whole, expr, env, target.span)
        return
    if len(sources) != len(targets):
        raise failure("PG211", f"{len(targets)} values are wanted, and there are {len(sources)}", value.span)
    values: list[Value] = []
    for node, place in zip(sources, targets, strict=True):
        with body.block() as after:
            val = to_type(expressions.value(node, env, place.type), place.type, node.span)
        if operators.changes_state(after):
            values = [v if body.fixed(v.expr) else body.local("tmp", v) for v in values]
        body.out.extend(after)
        values.append(val)
    write_all(targets, values, target, forming, env)


def items_of(node: ast.Expr, count: int) -> Sequence[ast.Expr] | None:
    """The items of a tuple, or of a choice between tuples."""
    match node:
        case ast.Tuple(items=items):
            return items
        case ast.IfExpr(cond=cond, then=then, other=other):
            first, second = items_of(then, count), items_of(other, count)
            if first is None or second is None or len(first) != len(second):
                return None
            return [ast.IfExpr(cond, a, b, span=node.span) for a, b in zip(first, second, strict=True)]
        case _:
            return None


def write_all(
    targets: Sequence[Place], values: Sequence[Value], node: ast.Tuple, forming: list[ir.Stmt], env: Env
) -> None:
    """Writes values that have been read to their places, in order."""
    body = env.body
    kept = [v if i == 0 and not forming else _kept(v, env) for i, v in enumerate(values)]
    body.out.extend(forming)
    for place, val, item in zip(targets, kept, node.items, strict=True):
        accesses.write(place, val.expr, env, item.span)


def _kept(val: Value, env: Env) -> Value:
    return val if env.body.fixed(val.expr) else env.body.local("tmp", val)


# -- control -----------------------------------------------------------------------------------------------------------


def conditional(cond: ast.Expr, then: Sequence[ast.Stmt], other: Sequence[ast.Stmt], env: Env) -> None:
    """`if c { … } else { … }`; a constant condition leaves one side, and the other is not checked."""
    body = env.body
    test = expressions.condition(cond, env)
    if isinstance(test, ir.BoolConst):
        run(then if test.value else other, env.child())
        return
    with body.block() as yes:
        run(then, traps.narrowed(cond, env).child())
    with body.block() as no:
        run(other, traps.narrowed(cond, env, False).child())
    choices.emit_when(test, yes, no, body)


def match_(stmt: ast.Match, env: Env) -> None:
    """`match e { a => …; _ => … }`."""
    body = env.body
    clauses = choices.match_clauses(stmt.subject, [(a.labels, a.guard, a) for a in stmt.arms], env, stmt.span, False)
    if clauses.decided is not None:
        run(clauses.arms[clauses.decided].body.stmts, env.child())
        return
    blocks: list[list[ir.Stmt]] = []
    for arm in clauses.arms:
        with body.block() as made:
            run(arm.body.stmts, traps.narrowed_to(stmt.subject, arm.labels, env).child())
        blocks.append(made)
    other = blocks[-1] if clauses.total else []
    choices.emit_choice(list(zip(clauses.conds, blocks, strict=False)), other, body, False)


def rounds(stmt: ast.ForRange, env: Env) -> range:
    """The values of the variable of a `for`, both ends included; it may count down."""
    first = expressions.number(stmt.first, env, "the beginning of a `for`")
    last = expressions.number(stmt.last, env, "the end of a `for`")
    if abs(last - first) >= MOST_ROUNDS:
        raise failure("PG305", f"a `for` has at most {MOST_ROUNDS} rounds", stmt.span, "use `while … limit n`")
    return range(first, last + 1) if first <= last else range(first, last - 1, -1)


def while_(stmt: ast.While, env: Env) -> None:
    """`while c limit n { … } else { … }`; a condition that loads is evaluated before each round."""
    body = env.body
    limit = expressions.number(stmt.limit, env, "the limit of a loop")
    if not 0 < limit <= 1 << 16:
        raise failure("PG305", f"the limit of a loop is 1 to {1 << 16}, not {limit}", stmt.limit.span)
    outside = set(body.mutable)
    with body.block() as testing:
        test = expressions.condition(stmt.cond, env)
    if test == ir.FALSE:
        return
    if testing:
        going = body.fresh("going")
        body.mutable.add(going)
        outside.add(going)
        again_ = [*testing, ir.Let(going, test, stmt.cond.span)]
        for s in again_:
            body.emit(s)
        test = ir.Local(going, 0)
    else:
        again_ = []
    with body.block() as inner:
        block(stmt.body, env)
        body.out.extend(again_)
    with body.block() as exhausted:
        if stmt.exhausted is not None:
            block(stmt.exhausted, env)
    set_inside = {s.local for s in ir.statements(tuple(inner)) if isinstance(s, ir.Let)}
    carried = tuple(sorted(set_inside & outside))
    body.emit(ir.Loop(test, limit, tuple(inner), tuple(exhausted), carried, stmt.span))


def ends(stmts: Sequence[ir.Stmt]) -> bool:
    """Whether every path through a block leaves it."""
    for stmt in stmts:
        match stmt:
            case ir.Return() | ir.Trap() | ir.Done() | ir.Unpredictable():
                return True
            case ir.When(_, then, other) if ends(then) and ends(other):
                return True
            case _:
                pass
    return ends_side_by_side(stmts)


def ends_side_by_side(stmts: Sequence[ir.Stmt]) -> bool:
    """Whether the last statements are conditional blocks of which one is taken."""
    conds = []
    for stmt in reversed(stmts):
        if not isinstance(stmt, ir.When) or stmt.other or not ends(stmt.then):
            return False
        conds.append(stmt.cond)
        if len(conds) > 1 and conds[0] == fold.not_(fold.any_of(reversed(conds[1:]))):
            return True
    return False


# -- blocks put in place -----------------------------------------------------------------------------------------------

Rest = Sequence[tuple[Sequence[ast.Stmt], Env]]
"""What follows a block: statements and where they stand, the nearest first."""


def result(node: ast.Block, env: Env, want: Type | None) -> Number | Value | None:
    """The value that a block returns, put in place; None if it traps on every path."""

    def returned(value: ast.Expr, at: Env, hint: Type | None) -> Val:
        return expressions.single(expressions.value(value, at, hint), value.span)

    val = tail([(node.stmts, env.child())], env, want, returned, node.span)
    return None if val is None else expressions.single(val, node.span)


def inline(node: ast.Block, env: Env) -> None:
    """A block without a value, put in place."""
    block(node, env)


Returned = Callable[[ast.Expr, Env, Type | None], Val]


def tail(rest: Rest, env: Env, want: Type | None, returned: Returned, span: Span) -> Val | None:
    """Runs statements up to the `return` that ends each path, and merges what is returned."""
    following = _next(rest)
    if following is None:
        raise failure("PG302", "this can end without `return`", span)
    stmts, at, after = following
    body = env.body
    for i, stmt in enumerate(stmts):
        follows: Rest = [(stmts[i + 1 :], at), *after]
        body.span = stmt.span if body.span is None else body.span
        match stmt:
            case ast.Return(value=value):
                return returned(value, at, want)
            case ast.Raise() | ast.Unpredictable():
                statement(stmt, at)
                return None
            case ast.Guarded(stmt=inner, cond=cond) if _leaves((inner,)):
                return _tail_if(cond, (inner,), (), follows, at, want, returned, span)
            case ast.If(cond=cond, then=then, other=other) if _leaves(then.stmts) or (other and _leaves(other.stmts)):
                return _tail_if(cond, then.stmts, other.stmts if other else (), follows, at, want, returned, span)
            case ast.Match() if any(_leaves(arm.body.stmts) for arm in stmt.arms):
                return _tail_match(stmt, follows, at, want, returned, span)
            case _:
                guarded(stmt, at)
    return tail(after, env, want, returned, span)


def _next(rest: Rest) -> tuple[Sequence[ast.Stmt], Env, Rest] | None:
    return next(((stmts, env, rest[i + 1 :]) for i, (stmts, env) in enumerate(rest) if stmts), None)


def _leaves(stmts: Sequence[ast.Stmt]) -> bool:
    """Whether a block holds a `return`."""
    for stmt in stmts:
        match stmt:
            case ast.Return():
                return True
            case ast.Guarded(stmt=inner) if _leaves((inner,)):
                return True
            case ast.If(then=then, other=other) if _leaves(then.stmts) or (other is not None and _leaves(other.stmts)):
                return True
            case ast.Match(arms=arms) if any(_leaves(arm.body.stmts) for arm in arms):
                return True
            case _:
                pass
    return False


def _tail_if(
    cond: ast.Expr,
    then: Sequence[ast.Stmt],
    other: Sequence[ast.Stmt],
    follows: Rest,
    env: Env,
    want: Type | None,
    returned: Returned,
    span: Span,
) -> Val | None:
    test = expressions.condition(cond, env)
    if isinstance(test, ir.BoolConst):
        return tail([(then if test.value else other, env.child()), *follows], env, want, returned, span)

    def side(stmts: Sequence[ast.Stmt]) -> choices.Arm:
        inner: Rest = [(stmts, env.child()), *((s, e.child()) for s, e in follows)]
        return lambda hint: tail(inner, env, hint, returned, span)

    return choices.choose_or_leave([(test, side(then))], side(other), [span, span], env, want)


def _tail_match(
    stmt: ast.Match, follows: Rest, env: Env, want: Type | None, returned: Returned, span: Span
) -> Val | None:
    clauses = choices.match_clauses(stmt.subject, [(a.labels, a.guard, a) for a in stmt.arms], env, stmt.span, False)

    def side(stmts: Sequence[ast.Stmt]) -> choices.Arm:
        inner: Rest = [(stmts, env.child()), *((s, e.child()) for s, e in follows)]
        return lambda hint: tail(inner, env, hint, returned, span)

    sides = [side(arm.body.stmts) for arm in clauses.arms]
    if not clauses.total:
        sides.append(side(()))
    if len(sides) == 1:
        return sides[0](want)
    spans = [span] * len(sides)
    pairs = list(zip(clauses.conds, sides, strict=False))
    return choices.choose_or_leave(pairs, sides[-1], spans, env, want, clauses.exclusive)
