"""Reading and writing places, parts of them, their addresses; and places that no later write moves.

A slice of a register goes to its fields, and a slice of a choice to its arms, so that every access touches one role.

    view a[n : 3] : 32 = if n == 7 then sp else ra[n]

    a[n][15:0] = v      if n == 7 then sp := sp[31:16] ++ v else ra[n] := ra[n][31:16] ++ v
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from msgspec.structs import replace

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, choices, fold, views
from analyzer.syntax.body import Env
from analyzer.syntax.coerce import from_bits, raw, to_type
from analyzer.syntax.problems import failure
from analyzer.syntax.value_types import Bits, Bool, Type, ir_width, width_of
from analyzer.syntax.values import (
    BitPlace,
    ChoicePlace,
    ConcatPlace,
    ElementPlace,
    EntryPlace,
    LayoutPart,
    LayoutPlace,
    MemoryPlace,
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


def read(base: Place, env: Env, span: Span) -> Value:
    """The present value of a place; loads and checks are emitted."""
    body = env.body
    match base:
        case ValuePlace(val):
            return val
        case EntryPlace(file, index, type_):
            return from_bits(ir.GetEntry(file, index, width_of(type_)), type_)
        case OperandPlace(_, code, inner_place):
            return code if inner_place is None else read(inner_place, env, span)
        case ElementPlace(element, type_):
            if element == env.machine.pc and body.position is not None:
                return Value(body.position, type_)
            return from_bits(ir.Get(element, width_of(type_)), type_)
        case SlicePlace(inner, hi, lo, type_):
            return Value(fold.extract(raw(read(inner, env, span)), hi, lo), type_)
        case ChoicePlace():
            return read_choice(base, env, span)
        case ViewPlace():
            return views.read(base, env, span)
        case MemoryPlace():
            access = access_of(base, "read", env, span)
            local = body.fresh("loaded")
            body.emit(ir.Load(local, access, body.span))
            return Value(ir.Local(local, base.bits), Bits(base.bits))
        case VariablePlace(local, type_):
            return Value(ir.Local(local, ir_width(type_)), type_)
        case LayoutPlace(parts, type_):
            return Value(fold.concat_all(raw(read(p.place, env, span)) for p in parts), type_)
        case BitPlace(inner, index):
            shifted = fold.shift("lshr", raw(read(inner, env, span)), index)
            return Value(fold.extract(shifted, 0, 0), Bits(1))
        case ConcatPlace(parts):
            return Value(fold.concat_all(raw(read(p, env, span)) for p in parts), base.type)
        case RetypedPlace(inner, type_):
            return from_bits(raw(read(inner, env, span)), type_)
        case RaisePlace(stmt, type_):
            body.emit(stmt)
            return from_bits(ir.Const(width_of(type_), 0), type_)
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
