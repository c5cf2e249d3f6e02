"""Choices: `if` and `match` as values, and the blocks that conditional evaluation makes.

match n { 6 => sp; 7 => pc; _ => g[n] }       if n == 6 then sp else if n == 7 then pc else g[n]
if c then mem[a] else 0                       When(c) { Load t := mem[a] } else { t := 0 }
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, expressions, fold, traps
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import from_bits, raw, to_type
from analyzer.syntax.problems import failure
from analyzer.syntax.scope import TrapEntity
from analyzer.syntax.value_types import BOOL, Bits, Bool, Enum, Type, ir_width, width_of
from analyzer.syntax.values import Group, Number, Val, Value

Arm = Callable[[Type | None], Val | None]
"""Elaborates an arm in the current block; None if it leaves by a trap."""


def _arm(node: ast.Expr | ast.Raise | ast.Unpredictable, env: Env) -> Arm:
    return lambda hint: arm_value(node, env, hint)


def if_value(node: ast.IfExpr, env: Env, want: Type | None) -> Val:
    """`if c then a else b`."""
    cond = expressions.condition(node.cond, env)
    if isinstance(cond, ir.BoolConst):
        return expressions.value(node.then if cond.value else node.other, env, want)
    sides = [node.then, node.other]
    order = [1, 0] if want is None and expressions.needs_width(node.then, env) else [0, 1]
    arms = [_arm(side, env) for side in sides]
    return choose([(cond, arms[0])], arms[1], [s.span for s in sides], env, want, order)


def choose(
    arms: Sequence[tuple[ir.Expr, Arm]],
    other: Arm,
    spans: Sequence[Span],
    env: Env,
    want: Type | None,
    order: Sequence[int] | None = None,
    exclusive: bool = False,
) -> Val:
    """The value of the first arm whose condition holds; anything if all arms trap."""
    val = choose_or_leave(arms, other, spans, env, want, exclusive, order)
    return _left(want) if val is None else val


def choose_or_leave(
    arms: Sequence[tuple[ir.Expr, Arm]],
    other: Arm,
    spans: Sequence[Span],
    env: Env,
    want: Type | None,
    exclusive: bool = False,
    order: Sequence[int] | None = None,
) -> Val | None:
    """The value of the first arm whose condition holds; None if all arms trap.

    Without effects it is a chain of if-then-else; arms with effects become a `When` that sets a local:

        if c then mem[a] else 0      When(c) { Load t := mem[a] … } else { t := 0 }
    """
    body = env.body
    all_arms = [arm for _, arm in arms] + [other]
    blocks: list[list[ir.Stmt]] = [[] for _ in all_arms]
    vals: list[Val | None] = [None] * len(all_arms)
    hint = want
    for i in order or range(len(all_arms)):
        with body.block() as blocks[i]:
            vals[i] = all_arms[i](hint)
        if hint is None and isinstance(vals[i], Value):
            hint = expressions.type_of(vals[i] or Number(0))
    present = [v for v in vals if v is not None]
    if not present:
        emit_choice([(c, b) for (c, _), b in zip(arms, blocks, strict=False)], blocks[-1], body, exclusive)
        return None
    if any(isinstance(v, Group) for v in present):
        return choose_groups(arms, vals, blocks, spans, env)
    conds = [c for c, _ in arms]
    type_ = joint_type(present, spans, want)
    if type_ is None:
        if len({v.value for v in present if isinstance(v, Number)}) == 1 and not any(blocks):
            return present[0]
        raise failure(
            "PG215", "nothing here says how wide this is", spans[0], "give one arm a width, as with zext(…, n)"
        )
    exprs = [None if v is None else to_type(v, type_, s).expr for v, s in zip(vals, spans, strict=True)]
    return Value(select(conds, exprs, blocks, body, ir_width(type_), exclusive), type_)


def joint_type(vals: Sequence[Val], spans: Sequence[Span], want: Type | None) -> Type | None:
    """The type that all arms have or take."""
    types = [v.type for v in vals if isinstance(v, Value)]
    if types:
        return BOOL if any(isinstance(t, Bool) for t in types) else types[0]
    widths = {v.width for v in vals if isinstance(v, Number)}
    if want is not None:
        return want
    only = widths.pop() if len(widths) == 1 else None
    return None if only is None else Bits(only)


def select(
    conds: Sequence[ir.Expr],
    exprs: Sequence[ir.Expr | None],
    blocks: Sequence[list[ir.Stmt]],
    body: Body,
    width: int,
    exclusive: bool,
) -> ir.Expr:
    """Merges arms: the last has no condition; None is an arm that has left."""
    exprs = [None if e is not None and leaves(b) and len(exprs) > 1 else e for e, b in zip(exprs, blocks, strict=True)]
    live = [i for i, e in enumerate(exprs) if e is not None]
    if not live:
        emit_choice(list(zip(conds, blocks, strict=False)), blocks[-1], body, exclusive)
        return ir.Const(width, 0) if width else ir.FALSE
    if not any(blocks[i] for i in live):
        emit_leaving(conds, exprs, blocks, body, exclusive)
        result = exprs[live[-1]]
        assert result is not None
        for i in reversed(live[:-1]):
            expr = exprs[i]
            assert expr is not None
            result = fold.if_(conds[i], expr, result)
        return result
    local = body.fresh("tmp")
    for block, expr in zip(blocks, exprs, strict=True):
        if expr is not None:
            block.append(ir.Let(local, expr, body.span))
    emit_choice(list(zip(conds, blocks, strict=False)), blocks[-1], body, exclusive)
    return ir.Local(local, width)


def leaves(stmts: Sequence[ir.Stmt]) -> bool:
    """Whether a block ends by leaving the body."""
    return bool(stmts) and isinstance(stmts[-1], ir.Trap | ir.Unpredictable | ir.Return | ir.Done)


def emit_leaving(
    conds: Sequence[ir.Expr],
    exprs: Sequence[ir.Expr | None],
    blocks: Sequence[list[ir.Stmt]],
    body: Body,
    exclusive: bool,
) -> None:
    """Emits the arms that trap, each under its condition and not those before it."""
    for i, expr in enumerate(exprs):
        if expr is None:
            own = conds[i] if i < len(conds) else ir.TRUE
            alone = exclusive and i < len(conds)
            cond = own if alone else fold.logic("and", fold.not_(fold.any_of(conds[:i])), own)
            emit_when(cond, blocks[i], (), body)


def emit_when(cond: ir.Expr, then: Sequence[ir.Stmt], other: Sequence[ir.Stmt], body: Body) -> None:
    """Emits a conditional block; constant conditions vanish."""
    if isinstance(cond, ir.BoolConst):
        for stmt in then if cond.value else other:
            body.emit(stmt)
    elif then:
        body.emit(ir.When(cond, tuple(then), tuple(other), body.span))
    elif other:
        body.emit(ir.When(fold.not_(cond), tuple(other), (), body.span))


def emit_choice(
    arms: Sequence[tuple[ir.Expr, Sequence[ir.Stmt]]], other: Sequence[ir.Stmt], body: Body, exclusive: bool = False
) -> None:
    """Emits a chain of conditional blocks; side by side if their conditions exclude each other."""
    if exclusive and len(arms) > 1:
        arms = [(body.keep_expr("cond", cond), block) for cond, block in arms]
        for cond, block in arms:
            emit_when(cond, block, (), body)
        emit_when(fold.not_(fold.any_of(cond for cond, _ in arms)), other, (), body)
        return
    rest = list(other)
    for cond, block in reversed(arms[1:]):
        with body.block() as chained:
            emit_when(cond, block, rest, body)
        rest = chained
    if arms:
        emit_when(arms[0][0], arms[0][1], rest, body)
    else:
        for stmt in rest:
            body.emit(stmt)


def choose_groups(
    arms: Sequence[tuple[ir.Expr, Arm]],
    vals: Sequence[Val | None],
    blocks: Sequence[list[ir.Stmt]],
    spans: Sequence[Span],
    env: Env,
) -> Val:
    """`if c then (a, b) else (d, e)`: item by item."""
    if any(blocks):
        raise failure(
            "PG211", "arms that are tuples must be free of effects here", spans[0], "read memory into a `let` first"
        )
    sizes = {len(v.items) if isinstance(v, Group) else 1 for v in vals if v is not None}
    if len(sizes) != 1:
        raise failure("PG211", "all arms must be tuples of one length", spans[0])
    items: list[Number | Value] = []
    for k in range(sizes.pop()):
        column = [v.items[k] for v in vals if isinstance(v, Group)]
        type_ = joint_type(column, spans, None)
        if type_ is None:
            raise failure("PG215", f"nothing here says how wide item {k + 1} is", spans[0])
        exprs: list[ir.Expr | None] = [to_type(v, type_, s).expr for v, s in zip(column, spans, strict=False)]
        items.append(
            Value(select([c for c, _ in arms], exprs, [[] for _ in exprs], env.body, ir_width(type_), False), type_)
        )
    return Group(tuple(items))


def match_value(node: ast.MatchExpr, env: Env, want: Type | None) -> Val:
    """`match e { a => x; b..c => y; _ => z }`."""
    clauses = match_clauses(
        node.subject, [(arm.labels, arm.guard, arm) for arm in node.arms], env, node.span, total=True
    )
    arms = [_arm(arm.value, env) for arm in clauses.arms]
    spans = [arm.value.span for arm in clauses.arms]
    if clauses.decided is not None:
        val = arms[clauses.decided](want)
        return val if val is not None else _left(want)
    order = sorted(range(len(arms)), key=lambda i: want is None and arm_needs_width(clauses.arms[i].value, env))
    pairs = list(zip(clauses.conds, arms, strict=False))
    return choose(pairs, arms[-1], spans, env, want, order, clauses.exclusive)


def _left(want: Type | None) -> Val:
    """What stands for the value of an expression that has trapped."""
    return from_bits(ir.Const(width_of(want), 0), want) if want is not None else Number(0)


def arm_needs_width(node: ast.Expr | ast.Raise | ast.Unpredictable, env: Env) -> bool:
    """Whether an arm takes its width from the others."""
    return isinstance(node, ast.Raise | ast.Unpredictable) or expressions.needs_width(node, env)


def arm_value(node: ast.Expr | ast.Raise | ast.Unpredictable, env: Env, want: Type | None) -> Val | None:
    """The value of an arm; None if it traps."""
    if isinstance(node, ast.Raise | ast.Unpredictable):
        env.body.emit(traps.leave(node, env))
        return None
    return expressions.value(node, env, want)


A = TypeVar("A")


class Clauses(Struct, Generic[A], frozen=True):
    """The arms of a match that can be taken.

    There is a condition for each arm; with `total`, for all but the last, which is taken otherwise.  `exclusive`: at
    most one condition holds.
    """

    arms: Sequence[A]
    conds: Sequence[ir.Expr]
    total: bool
    exclusive: bool

    @property
    def decided(self) -> int | None:
        """The arm that is always taken, if it is known."""
        return 0 if self.total and len(self.arms) == 1 else None


Clause = tuple[tuple[ast.Label, ...], ast.Expr | None, A]


def match_clauses(subject: ast.Expr, clauses: Sequence[Clause[A]], env: Env, span: Span, total: bool) -> Clauses[A]:
    """The arms of `match subject` with their conditions.

    Raises a failure if `total` is asked for and some value of the subject has no arm.
    """
    if isinstance(subject, ast.Name) and isinstance(env.scope.find(subject.text), TrapEntity):
        val: Number | Value = traps.trap_number(env, subject.span)
    else:
        val = expressions.single(expressions.value(subject, env), subject.span)
    if isinstance(val, Value):
        val = env.body.keep("subject", val) if not fold.is_small(val.expr) else val
    arms: list[A] = []
    conds: list[ir.Expr] = []
    seen: list[tuple[int, int]] = []
    exclusive = True
    for labels, guard, payload in clauses:
        rest = any(isinstance(label.low, ast.Name) and label.low.text == "_" for label in labels)
        cond: ir.Expr = ir.TRUE
        if not rest:
            spans = [label_range(label, val, env) for label in labels]
            cond = fold.any_of(label_cond(label, r, val, env) for label, r in zip(labels, spans, strict=True))
            exclusive = exclusive and not any(r is None or any(_overlap(r, s) for s in seen) for r in spans)
            if guard is None:
                seen.extend(r for r in spans if r is not None)
        if guard is not None:
            if cond == ir.FALSE:
                continue
            cond = fold.logic("and", cond, expressions.condition(guard, env))
            exclusive = exclusive and not rest
        if cond == ir.FALSE:
            continue
        arms.append(payload)
        conds.append(cond)
        if cond == ir.TRUE:
            return Clauses(arms, conds[:-1], True, exclusive)
    if arms and clauses[-1][1] is None and covers(seen, val, env):
        return Clauses(arms, conds[:-1], True, exclusive)
    if total:
        raise failure(
            "PG220",
            f"this match does not say what holds otherwise{_missing(seen, val, env)}",
            span,
            "add an arm `_ => …`",
        )
    return Clauses(arms, conds, False, exclusive)


def label_range(label: ast.Label, subject: Number | Value, env: Env) -> tuple[int, int] | None:
    """The values that a label names, if they are constant."""
    ends = [
        expressions.number_or_none(label_value(node, subject, env))
        for node in (label.low, label.high)
        if node is not None
    ]
    low, high = ends[0], ends[-1]
    if low is None or high is None:
        return None
    if label.high is not None and low > high:
        raise failure("PG221", f"the range {low}..{high} is empty", label.span)
    return low, high


def label_value(node: ast.Expr, subject: Number | Value, env: Env) -> Number | Value:
    """A label under the type of the subject."""
    if isinstance(node, ast.Name) and isinstance(subject, Value):
        trap = env.machine.trap_names.get(node.text)
        if trap is not None and subject.expr == ir.Local("t", traps.TRAP_WIDTH):
            return Value(ir.Const(traps.TRAP_WIDTH, trap.number), subject.type)
    if isinstance(subject, Number):
        return expressions.single(expressions.value(node, env), node.span)
    return to_type(expressions.value(node, env, subject.type), subject.type, node.span)


def label_cond(label: ast.Label, known_range: tuple[int, int] | None, subject: Number | Value, env: Env) -> ir.Expr:
    """When a label names the subject."""
    if isinstance(subject, Number):
        if known_range is None:
            raise failure("PG216", "this label must be known when the spec is elaborated", label.span)
        return fold.boolean(known_range[0] <= subject.value <= known_range[1])
    expr = raw(subject)
    width = width_of(subject.type)
    if known_range is None:
        low = label_value(label.low, subject, env)
        assert isinstance(low, Value)
        if label.high is not None:
            raise failure("PG216", "the ends of a range must be known when the spec is elaborated", label.span)
        return fold.compare("eq", expr, raw(low))
    first, last = (fold.const(n, width) for n in known_range)
    if first == last:
        return fold.compare("eq", expr, first)
    above = ir.TRUE if first.value == 0 else fold.compare("ule", first, expr)
    below = ir.TRUE if last.value == (1 << width) - 1 else fold.compare("ule", expr, last)
    return fold.logic("and", above, below)


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def covers(ranges: Sequence[tuple[int, int]], subject: Number | Value, env: Env) -> bool:
    """Whether the ranges name every value of the subject (of an enumeration: every enumerator)."""
    return _first_missing(ranges, subject, env) is None


def _first_missing(ranges: Sequence[tuple[int, int]], subject: Number | Value, env: Env) -> int | None:
    if isinstance(subject, Number):
        return subject.value
    if isinstance(subject.type, Enum) and subject.type != expressions.ACCESS:
        members = [code for _, code in env.machine.enums[subject.type.name].members]
        return next((c for c in members if not any(low <= c <= high for low, high in ranges)), None)
    limit = 3 if subject.type == expressions.ACCESS else 1 << width_of(subject.type)
    reached = 0
    for low, high in sorted(ranges):
        if low > reached:
            break
        reached = max(reached, high + 1)
    return reached if reached < limit else None


def _missing(ranges: Sequence[tuple[int, int]], subject: Number | Value, env: Env) -> str:
    code = _first_missing(ranges, subject, env)
    if code is None or isinstance(subject, Number):
        return ""
    if isinstance(subject.type, Enum) and subject.type != expressions.ACCESS:
        names = {c: n for n, c in env.machine.enums[subject.type.name].members}
        return f", as for {names[code]}"
    return f", as for {code}"
