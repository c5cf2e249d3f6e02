"""Encodings: patterns to segments.

A pattern becomes groups of pieces (fixed bits, bits of operands, ignored bits), with formats put in place; each becomes
a `Segment`.

    imm[4:1|11] 1100011     fields imm 4..1 at 8, imm 11..11 at 7;  mask 0x7F, value 0x63
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, expressions, fold, typenames
from analyzer.syntax.body import Env
from analyzer.syntax.coerce import literal
from analyzer.syntax.expressions import is_bits
from analyzer.syntax.problems import arguments, did_you_mean, failure
from analyzer.syntax.scope import Cell, GroupsEntity, OperandEntity, Scope
from analyzer.syntax.value_types import Type, width_of
from analyzer.syntax.values import Number, Value

# -- pieces ------------------------------------------------------------------------------------------------------------


class Fixed(Struct, frozen=True):
    """Bits that must be so."""

    value: int
    width: int


class Ignored(Struct, frozen=True):
    """Bits that may be anything."""

    width: int


class Should(Struct, frozen=True):
    """Bits that must be so, or else the instruction is unpredictable."""

    value: int
    width: int


class Bit(Struct, frozen=True):
    """Bits hi..lo of an operand."""

    use: Use
    hi: int
    lo: int

    @property
    def width(self) -> int:
        return self.hi - self.lo + 1


class TailHere(Struct, frozen=True):
    """Where the rest of an operand stands in the stream."""

    use: Use

    @property
    def width(self) -> int:
        return 0


Piece = Fixed | Ignored | Should | Bit | TailHere


class Use(Struct, eq=False):
    """An operand in a pattern.  `decoder` has its arms, with `scope` for its parameters; `type` if it was given one."""

    name: str
    width: int
    span: Span
    declared: ast.Operand | None = None
    decoder: OperandEntity | None = None
    scope: Scope | None = None
    type: Type | None = None
    taken: int = 0
    tailed: bool = False


class Pattern(Struct):
    """A pattern, its formats put in place."""

    groups: list[list[Piece]] = []
    spans: list[Span] = []
    uses: dict[str, Use] = {}
    wheres: list[tuple[ast.Expr, Scope]] = []
    prologues: list[tuple[ast.Block, Scope]] = []
    active: tuple[OperandEntity, ...] = ()
    site: Scope = field(default_factory=Scope)

    def width(self, group: int) -> int:
        """The bits of a group."""
        return sum(piece.width for piece in self.groups[group])


class TooDeep(Exception):
    """An arm that holds the operand itself, more than once deep: it is no arm there."""


def expand(node: ast.Pattern, env: Env, active: tuple[OperandEntity, ...] = ()) -> Pattern:
    """The groups of a pattern.  `active` are the operands that this pattern is part of."""
    pattern = Pattern(active=active, site=env.scope)
    for i, group in enumerate(node.groups):
        if i or not pattern.groups:
            _open(pattern, group.span)
        for atom in group.atoms:
            _atom(atom, env, pattern)
    return pattern


def _open(pattern: Pattern, span: Span) -> None:
    pattern.groups.append([])
    pattern.spans.append(span)


def _put(pattern: Pattern, piece: Piece) -> None:
    pattern.groups[-1].append(piece)


def _atom(atom: ast.Atom, env: Env, pattern: Pattern) -> None:
    match atom:
        case ast.FieldUse(name=name):
            _field_use(name, env, pattern)
        case ast.Bits(text=text):
            _put(pattern, bits(text, atom.span))
        case ast.Scatter(name=name, slices=slices):
            use = find_use(name, env, pattern)
            for index in slices:
                _slice(use, index, env, pattern)
        case ast.Sized(value=value, type=type_):
            _put(pattern, _sized(literal(value).value, type_, env, atom.span))
        case ast.ShouldBe(text=text):
            if not is_bits(text):
                raise failure("PG250", f"~{text} is no row of bits", atom.span)
            _put(pattern, Should(int(text, 2), len(text)))
        case ast.FieldDef(name=name, type=type_):
            number = _number(name, env)
            if number is None:
                _field_def(name, type_, env, pattern)
            else:
                _put(pattern, _sized(number, type_, env, name.span))
        case ast.FormatUse(name=name, args=args):
            _format(name, args, env, pattern)
        case ast.Tail(name=name):
            use = find_use(name, env, pattern)
            if use.decoder is None:
                raise failure("PG251", f"{name.text} has no rest in the stream: it is not decoded further", atom.span)
            if use.tailed:
                raise failure("PG251", f"the rest of {name.text} stands twice in this pattern", atom.span)
            use.tailed = True
            _put(pattern, TailHere(use))


def _sized(number: int, type_: ast.Type, env: Env, span: Span) -> Fixed:
    """`5:3`"""
    width = width_of(typenames.type_of(type_, env))
    if not 0 <= number < 1 << width:
        raise failure("PG212", f"{number} does not fit in {width} bits", span)
    return Fixed(number, width)


def bits(text: str, span: Span) -> Fixed:
    """Bits as a pattern spells them: `0101` is four, `0x4E` eight."""
    clean = text.replace("_", "")
    if not clean.startswith("0x") and not clean.startswith("0o") and not clean.startswith("0b"):
        if not is_bits(clean):
            raise failure(
                "PG250",
                f"{text} is no row of bits: a pattern has only 0 and 1",
                span,
                f"write {text}:width for a number",
            )
        return Fixed(int(clean, 2), len(clean))
    number = literal(ast.Number(clean, span=span))
    return Fixed(number.value, number.width or 1)


def _field_use(name: ast.Name, env: Env, pattern: Pattern) -> None:
    """A name in a pattern: an argument of the format, a cell, or an operand."""
    entity = env.scope.find(name.text)
    match entity:
        case GroupsEntity(group, scope):
            with env.body.inside(group, name.span):
                for atom in group.atoms:
                    _atom(atom, env.at(scope), pattern)
            return
        case Cell(column, node):
            with env.body.inside(node, name.span):
                _cell(entity, node, env.at(env.scope.hiding(column)), pattern, name.span)
            return
        case _:
            pass
    use = find_use(name, env, pattern)
    _take(use, use.width - 1, 0, name.span)
    _put(pattern, Bit(use, use.width - 1, 0))


def _cell(cell: Cell, node: ast.Expr | ast.String, env: Env, pattern: Pattern, span: Span) -> None:
    match node:
        case ast.Number(text=text):
            cell.as_bits = is_bits(text)
            _put(pattern, bits(text, node.span))
        case ast.Name():
            _field_use(node, env, pattern)
        case ast.Subscript(value=ast.Name() as name, indices=indices):
            use = find_use(name, env, pattern)
            for index in indices:
                if not isinstance(index, ast.Index):
                    raise failure("PG250", f"the cell {cell.column} is no part of a pattern", node.span)
                _slice(use, index, env, pattern)
        case _:
            raise failure("PG250", f"the cell {cell.column} of this row is no part of a pattern", node.span)


def find_use(name: ast.Name, env: Env, pattern: Pattern) -> Use:
    """The operand of this name in a pattern."""
    if name.text in pattern.uses:
        return pattern.uses[name.text]
    entity = pattern.site.operand(name.text) or env.scope.operand(name.text)
    if entity is None:
        value = env.scope.find(name.text)
        if isinstance(value, Number) and value.width is not None:
            raise failure("PG250", f"{name.text} is a number: write {name.text}:width", name.span)
        hint = did_you_mean(name.text, env.scope.known_operands() | set(pattern.uses))
        hint = hint or f"declare it, or write {name.text}:width"
        raise failure("PG201", f"there is no operand {name.text}", name.span, hint)
    use = declared_use(name.text, entity, name.span, env, pattern)
    pattern.uses[name.text] = use
    return use


def declared_use(name: str, entity: OperandEntity, span: Span, env: Env, pattern: Pattern) -> Use:
    """An operand as its declaration says."""
    node = entity.node
    home = env.at(entity.scope)
    if node.arms:
        return decoder_use(name, entity, (), span, home, pattern, node)
    if isinstance(node.type, ast.NamedType):
        inner = entity.scope.operand(node.type.name.text)
        if isinstance(inner, OperandEntity) and inner is not entity:
            return decoder_use(name, inner, node.type.args, span, home, pattern, node)
    if node.type is None:
        raise failure("PG208", f"operand {name} needs a width", span)
    type_ = typenames.type_of(node.type, home)
    return Use(name, width_of(type_), span, node, None, entity.scope, type_)


def decoder_use(
    name: str,
    entity: OperandEntity,
    args: Sequence[ast.Arg],
    span: Span,
    env: Env,
    pattern: Pattern,
    declared: ast.Operand | None = None,
) -> Use:
    """An operand that is decoded further, for the arguments of its declaration."""
    if not entity.node.arms and isinstance(entity.node.type, ast.NamedType):
        inner = entity.scope.operand(entity.node.type.name.text)
        if isinstance(inner, OperandEntity) and inner is not entity:
            return decoder_use(name, inner, entity.node.type.args, span, env.at(entity.scope), pattern, declared)
    if pattern.active.count(entity) >= 2:
        raise TooDeep
    scope = entity.scope.child()
    params = entity.node.params
    if len(args) > len(params):
        raise failure("PG222", f"{entity.node.names[0].text} takes {arguments(len(params))}, not {len(args)}", span)
    for i, param in enumerate(params):
        if i < len(args):
            val = expressions.single(expressions.value(args[i].value, env), args[i].span)
        elif entity in pattern.active:
            found = env.scope.find(param.name.text)
            assert isinstance(found, Number | Value)
            val = found
        else:
            raise failure("PG222", f"{entity.node.names[0].text} wants a value for {param.name.text}", span)
        scope.names[param.name.text] = val
    width = decoder_width(entity, scope, env, (*pattern.active, entity))
    return Use(name, width, span, declared or entity.node, entity, scope)


def decoder_width(entity: OperandEntity, scope: Scope, env: Env, active: tuple[OperandEntity, ...]) -> int:
    """The bits of an operand that stand in the instruction's own word."""
    node = entity.node
    if isinstance(node.type, ast.WidthType):
        return width_of(typenames.type_of(node.type, env.at(scope)))
    for arm in node.arms:
        try:
            return expand(arm.pattern, env.at(scope), active).width(0)
        except TooDeep:
            continue
    raise failure("PG208", f"operand {node.names[0].text} needs a width", node.span)


def _number(name: ast.Name, env: Env) -> int | None:
    """The number of `CODE:8`; None if `code:8` is a field of the instruction."""
    match env.scope.find(name.text):
        case Number(value=number):
            return number
        case Cell(node=ast.Number() as node):
            return literal(node).value
        case Cell():
            message = f"{name.text} is a column of the row, and its cell is no number"
            raise failure("PG250", message, name.span, "give the field another name")
        case GroupsEntity():
            hint = f"write {name.text} alone; its width is given where the format is used"
            raise failure("PG250", f"{name.text} is a parameter of the format, not a field of its own", name.span, hint)
        case _:
            return None


def _field_def(name: ast.Name, type_: ast.Type, env: Env, pattern: Pattern) -> None:
    """`n:4`, `k:ea(w)`, `_:3`."""
    if isinstance(type_, ast.NamedType):
        entity = env.scope.operand(type_.name.text)
        if entity is not None:
            _new(decoder_use(name.text, entity, type_.args, name.span, env, pattern), pattern)
            return
    field_type = typenames.type_of(type_, env)
    if name.text == "_":
        _put(pattern, Ignored(width_of(field_type)))
        return
    _new(Use(name.text, width_of(field_type), name.span, None, None, None, field_type), pattern)


def _new(use: Use, pattern: Pattern) -> None:
    if use.name in pattern.uses:
        raise failure("PG205", f"{use.name} stands twice in this pattern", use.span)
    pattern.uses[use.name] = use
    _take(use, use.width - 1, 0, use.span)
    _put(pattern, Bit(use, use.width - 1, 0))


def _slice(use: Use, index: ast.Index, env: Env, pattern: Pattern) -> None:
    high = expressions.number(index.high, env, "a bit of an operand")
    low = high if index.low is None else expressions.number(index.low, env, "a bit of an operand")
    hi, lo = env.machine.bit(high, use.width), env.machine.bit(low, use.width)
    if not 0 <= lo <= hi < use.width:
        raise failure("PG228", f"{use.name} has {use.width} bits: there is no [{high}:{low}]", index.span)
    _take(use, hi, lo, index.span)
    _put(pattern, Bit(use, hi, lo))


def _take(use: Use, hi: int, lo: int, span: Span) -> None:
    mask = ((1 << (hi - lo + 1)) - 1) << lo
    if use.taken & mask:
        raise failure("PG252", f"bits of {use.name} stand twice in this pattern", span)
    use.taken |= mask


def _format(name: ast.Name, args: Sequence[ast.Group], env: Env, pattern: Pattern) -> None:
    """`F(00, rd)`: its groups in place; its first joins what stands before it."""
    entity = env.scope.format(name.text)
    if entity is None:
        hint = did_you_mean(name.text, env.scope.known_formats())
        raise failure("PG201", f"there is no format {name.text}", name.span, hint)
    node = entity.node
    if len(args) != len(node.params):
        raise failure("PG222", f"{name.text} takes {arguments(len(node.params))}, not {len(args)}", name.span)
    scope = entity.scope.child({p.text: GroupsEntity(a, env.scope) for p, a in zip(node.params, args, strict=True)})
    with env.body.inside(entity, name.span):
        for i, group in enumerate(node.pattern.groups):
            if i:
                _open(pattern, name.span)
            for atom in group.atoms:
                _atom(atom, env.at(scope), pattern)
    if node.where is not None:
        pattern.wheres.append((node.where, scope))
    if node.prologue is not None:
        pattern.prologues.append((node.prologue, scope))


def is_prefix(operand: ast.Operand) -> bool:
    """Whether an operand declares prefix parcels."""
    return any(isinstance(style, ast.PlainStyle) and style.word.text == "prefix" for style in operand.styles)


# -- segments ----------------------------------------------------------------------------------------------------------


class Laid(Struct, frozen=True):
    """A group as a segment: fixed bits, where operand bits lie, where should-be bits lie."""

    width: int
    mask: int
    value: int
    fields: tuple[tuple[Use, int, int, int], ...]  # use, lowest operand bit, lowest segment bit, length
    shoulds: tuple[tuple[int, int, int], ...]  # value, lowest segment bit, length


def lay(pieces: Sequence[Piece]) -> Laid:
    """Pieces from the left, at their bits."""
    top = width = sum(p.width for p in pieces)
    mask = value = 0
    fields: list[tuple[Use, int, int, int]] = []
    shoulds: list[tuple[int, int, int]] = []
    for piece in pieces:
        low = top - piece.width
        match piece:
            case Fixed(number, bits_):
                mask |= ((1 << bits_) - 1) << low
                value |= number << low
            case Bit(use, _, lo):
                fields.append((use, lo, low, piece.width))
            case Should(number, bits_):
                shoulds.append((number, low, bits_))
            case Ignored() | TailHere():
                pass
        top = low
    return Laid(width, mask, value, tuple(fields), tuple(shoulds))


def gather(use: Use, located: Sequence[tuple[ir.Expr, int, int, int]]) -> ir.Expr:
    """The value of an operand whose bits lie in several places (the whole, operand bit, bit there, length)."""
    parts: list[ir.Expr] = []
    top = use.width
    for whole, operand_lo, lo, length in sorted(located, key=lambda item: -item[1]):
        high = operand_lo + length
        if high < top:
            parts.append(ir.Const(top - high, 0))
        parts.append(fold.extract(whole, lo + length - 1, lo))
        top = operand_lo
    if top:
        parts.append(ir.Const(top, 0))
    return fold.concat_all(parts)
