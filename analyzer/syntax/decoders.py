"""Operands that are decoded further: their arms, when each is chosen, and what each has in the stream."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.syntax import ast, encodings, expressions, fold, state
from analyzer.syntax.coerce import from_bits
from analyzer.syntax.encodings import Laid, TooDeep, Use
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import failure, reported
from analyzer.syntax.scope import OperandEntity, PlaceEntity
from analyzer.syntax.value_types import Bits
from analyzer.syntax.values import OperandPlace, Value

MOST_LEAVES = 200
"""Parts of one operand in the stream, over all its arms."""


DECODING = 40
"""The work of an operand's structure, in steps."""


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
    overdone: bool = False
    """An arm, here or further in, had too many parts, and is left out."""

    @property
    def otherwise(self) -> ast.Raise | None:
        """`else trap x`."""
        for node in (self.use.declared, self.use.decoder.node if self.use.decoder else None):
            if node is not None and node.otherwise is not None:
                return node.otherwise
        return None


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
        operand.arms, operand.tails, operand.leaves, operand.valid, operand.overdone = known  # type: ignore[assignment]
        return operand
    state.pure(machine, use.scope).step(use.span, DECODING)
    failed = False
    for node in entity.node.arms:
        arm_failed = True
        with machine.problems.catch(node.span):
            try:
                arm = _arm(node, operand, machine, (*active, entity))
            except TooDeep:
                arm = None
            arm_failed = False
            if arm is not None:
                operand.arms.append(arm)
        failed = failed or arm_failed
    if not operand.arms and failed:
        raise reported()
    if not operand.arms:
        raise failure("PG253", f"no arm of operand {use.name} remains here", use.span)
    _specialise(operand, machine)
    operand.valid = ir.TRUE if _total(operand) else fold.any_of(arm.cond for arm in operand.arms)
    _merge_tails(operand)
    machine.decoded[key] = (operand.arms, operand.tails, operand.leaves, operand.valid, operand.overdone)
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
    known = any(inner.overdone for inner, _ in nested)
    operand.overdone = operand.overdone or known
    for inner, position in nested:
        operand.leaves.update(inner.leaves)
        if len(operand.leaves) > MOST_LEAVES:
            operand.overdone = True
            if known:
                raise reported()
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
