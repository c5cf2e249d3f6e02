"""State: registers, their fields, register files, choices and memories.

    state control sr : 16 { S[13] guest { C[0] } }     Element sr.S, Element sr.C, Register sr { 0 sr.S 0 sr.C }

Bits that no field names read as 0 and ignore writes.  A field with one legal value is a constant.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, expressions, traps, typenames
from analyzer.syntax.body import Body, Env
from analyzer.syntax.coerce import from_bits, raw, to_type
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import Failure, did_you_mean, failure
from analyzer.syntax.scope import (
    Entity,
    EnumEntity,
    Enumerators,
    FileEntity,
    LookupEntity,
    PlaceEntity,
    Poison,
    Scope,
    SpaceEntity,
    SymbolEntity,
    TypeEntity,
    kind_of,
)
from analyzer.syntax.value_types import Bits, Enum, Part, Type, describe, width_of
from analyzer.syntax.values import ElementPlace, EntryPlace, LayoutPart, LayoutPlace, Number, Place, Value, ValuePlace

LARGEST_FILE = 1 << 20


def add(name: ast.Name, entity: Entity, scope: Scope, machine: Machine) -> None:
    """Declares a name.

    Raises a failure if it is declared already.
    """
    old = scope.names.get(name.text)
    if old is not None and not isinstance(old, SymbolEntity):
        first = machine.first_spans.get(name.text)
        where = f", at {first}" if first is not None else ""
        raise failure("PG205", f"{name.text} is declared already, as {kind_of(old)}{where}", name.span)
    scope.names[name.text] = entity
    machine.first_spans[name.text] = name.span


def pure(machine: Machine, scope: Scope | None = None) -> Env:
    """Where a constant is elaborated."""
    return Env(machine, Body("pure", pure=True), scope or machine.globals)


# -- types -------------------------------------------------------------------------------------------------------------


def enum(node: ast.Enum, scope: Scope, machine: Machine) -> None:
    """`enum Mode : 2 { K = 0, U = 3 }`."""
    env = pure(machine, scope)
    type_ = Enum(node.name.text, width_of(typenames.type_of(node.type, env)))
    members: dict[str, int] = {}
    codes: set[int] = set()
    for member in node.members:
        code = expressions.number(member.value, env, "the code of an enumerator")
        if not 0 <= code < 1 << type_.width:
            raise failure("PG212", f"{code} does not fit in {describe(Bits(type_.width))}", member.value.span)
        if member.name.text in members:
            raise failure("PG205", f"{member.name.text} is declared already in {node.name.text}", member.name.span)
        if code in codes:
            raise failure("PG205", f"two values of {node.name.text} have the code {code}", member.span)
        members[member.name.text] = code
        codes.add(code)
    add(node.name, EnumEntity(type_, members), scope, machine)
    machine.enums[node.name.text] = ir.EnumType(node.name.text, type_.width, tuple(members.items()))
    for member in node.members:
        old = scope.names.get(member.name.text)
        same = old.values if isinstance(old, Enumerators) else ()
        if not same:
            add(member.name, Enumerators(((type_, members[member.name.text]),)), scope, machine)
        else:
            values = (*same, (type_, members[member.name.text]))
            scope.names[member.name.text] = Enumerators(values)


def type_decl(node: ast.TypeDecl, scope: Scope, machine: Machine) -> None:
    """`type Desc { base : 32  limit : 32 }`."""
    env = pure(machine, scope)
    width = None if node.type is None else width_of(typenames.type_of(node.type, env))
    fields = layout(node.layout, width, env)
    total = width if width is not None else sum(f.hi - f.lo + 1 for f in fields)
    add(node.name, TypeEntity(Bits(total, tuple(f.part for f in fields)), node.layout), scope, machine)


MOST_ENTRIES = 1 << 16
"""Of a table."""


def lookup(node: ast.Lookup, scope: Scope, machine: Machine) -> None:
    """`table bank[m : Mode] : 3 = { usr = 0, svc = 3 }`."""
    env = pure(machine, scope)
    if node.index.type is None:
        raise failure("PG208", f"the index of table {node.name.text} needs a width", node.index.span)
    index, type_ = typenames.type_of(node.index.type, env), typenames.type_of(node.type, env)
    values: dict[int, int] = {}
    at = 0
    most = min(1 << width_of(index), MOST_ENTRIES)
    if len(node.entries) > most:
        raise failure("PG223", f"table {node.name.text} has at most {most} entries", node.entries[most].span)
    for entry in node.entries:
        env.body.steps = 0
        if entry.name is not None:
            at = _key(entry.name, index, env)
        if at >= most:
            raise failure("PG223", f"table {node.name.text} has at most {most} entries", entry.span)
        if at in values:
            raise failure("PG205", f"entry {at} of table {node.name.text} is given twice", entry.span)
        expr = raw(to_type(expressions.value(entry.value, env, type_), type_, entry.value.span))
        if not isinstance(expr, ir.Const):
            raise failure("PG216", "an entry of a table must be a constant", entry.value.span)
        values[at] = expr.value
        at += 1
    add(node.name, LookupEntity(node.name.text, index, type_), scope, machine)
    entries = tuple(values.get(i, 0) for i in range(max(values, default=0) + 1))
    machine.tables[node.name.text] = ir.Table(node.name.text, width_of(index), width_of(type_), entries)


def _key(name: ast.Name, index: Type, env: Env) -> int:
    expr = raw(to_type(expressions.value(name, env, index), index, name.span))
    if not isinstance(expr, ir.Const):
        raise failure("PG216", f"{name.text} is no constant", name.span)
    return expr.value


def param(node: ast.Param, scope: Scope, machine: Machine) -> None:
    """`param n = 32`: a constant of the spec; its name is known even if it fails."""
    try:
        value = _constant(node, scope, machine)
    except (Failure, RecursionError):
        add(node.name, Poison(), scope, machine)
        raise
    add(node.name, value, scope, machine)


def _constant(node: ast.Param, scope: Scope, machine: Machine) -> Number | Value:
    env = pure(machine, scope)
    type_ = None if node.type is None else typenames.type_of(node.type, env)
    val = expressions.single(expressions.value(node.value, env, type_), node.value.span)
    if expressions.number_or_none(val) is None:
        raise failure("PG216", f"{node.name.text} must be a constant", node.value.span)
    return val if type_ is None else to_type(val, type_, node.value.span)


def choice(node: ast.Choice, scope: Scope, machine: Machine) -> None:
    """`choice q : 21`: an implementation-defined constant."""
    type_ = typenames.type_of(node.type, pure(machine, scope))
    width = width_of(type_)
    add(node.name, from_bits(ir.Get(node.name.text, width), type_), scope, machine)
    machine.choices[node.name.text] = ir.Choice(node.name.text, width, node.note.text if node.note else None)


# -- layouts -----------------------------------------------------------------------------------------------------------


class Field(Struct, frozen=True):
    """A field of a layout, at bits hi..lo from the least significant; `role` None: that of the register."""

    name: str
    hi: int
    lo: int
    type: Type
    role: ast.Name | None
    ro: bool
    w1c: bool
    legal: tuple[int, ...] | None
    reset: int | None
    span: Span

    @property
    def part(self) -> Part:
        return Part(self.name, self.hi, self.lo, self.type)


class _Raw(NamedTuple):
    node: ast.Field
    role: ast.Name | None


def _flat(node: ast.Layout, role: ast.Name | None) -> list[_Raw]:
    found: list[_Raw] = []
    for part in node.parts:
        if isinstance(part, ast.RoleGroup):
            found.extend(_flat(part.layout, part.role))
        else:
            found.append(_Raw(part, role))
    return found


def layout(node: ast.Layout, width: int | None, env: Env) -> list[Field]:
    """The fields of a layout, the most significant first."""
    parts = _flat(node, None)
    packed = [p for p in parts if p.node.high is None]
    if packed and len(packed) != len(parts):
        positioned = next(p for p in packed)
        raise failure(
            "PG240", f"{positioned.node.name.text} has no position, and other fields have one", positioned.node.span
        )
    if width is None:
        width = sum(_packed_width(p.node, env) for p in parts) if packed else 0
        if not packed:
            raise failure(
                "PG240", "a type whose fields have positions needs a width", node.span, "write `type Name : 32 { … }`"
            )
    top = width
    fields: list[Field] = []
    for raw_field in parts:
        if packed:
            size = _packed_width(raw_field.node, env)
            hi, lo = top - 1, top - size
            top -= size
        else:
            hi, lo = _position(raw_field.node, width, env)
        fields.append(_field(raw_field, hi, lo, env))
    if packed and top != 0:
        raise failure("PG240", f"the fields have {width - top} bits together, and the register {width}", node.span)
    return _ordered(fields)


def _packed_width(node: ast.Field, env: Env) -> int:
    return 1 if node.type is None else width_of(typenames.type_of(node.type, env))


def _position(node: ast.Field, width: int, env: Env) -> tuple[int, int]:
    assert node.high is not None
    high = expressions.number(node.high, env, "a position")
    low = high if node.low is None else expressions.number(node.low, env, "a position")
    hi, lo = env.machine.bit(high, width), env.machine.bit(low, width)
    if not 0 <= lo <= hi < width:
        order = f"[{high}:{low}]" if node.low is not None else f"[{high}]"
        hint = "the higher bit comes first" if lo > hi and not env.machine.msb0 else None
        raise failure("PG228", f"{node.name.text}{order} is not inside the {width} bits", node.span, hint)
    return hi, lo


def _field(found: _Raw, hi: int, lo: int, env: Env) -> Field:
    node = found.node
    width = hi - lo + 1
    type_: Type = Bits(width)
    if node.type is not None:
        type_ = typenames.type_of(node.type, env)
        if width_of(type_) != width:
            raise failure("PG210", f"{node.name.text} has {width} bits, and its type {width_of(type_)}", node.type.span)
    ro = w1c = False
    legal: tuple[int, ...] | None = None
    reset: int | None = None
    for attr in node.attrs:
        match attr:
            case ast.ReadOnly():
                ro = True
            case ast.WriteOneClear():
                w1c = True
            case ast.Legal(values=values):
                legal = tuple(constant(v, type_, env) for v in values)
            case ast.Reset(value=value):
                reset = constant(value, type_, env)
    return Field(node.name.text, hi, lo, type_, found.role, ro, w1c, legal, reset, node.span)


def constant(node: ast.Expr, type_: Type, env: Env) -> int:
    """A constant of a type, as a number."""
    expr = raw(to_type(expressions.value(node, env, type_), type_, node.span))
    if not isinstance(expr, ir.Const):
        raise failure("PG216", "a constant is wanted here", node.span)
    return expr.value


def _ordered(fields: list[Field]) -> list[Field]:
    """Sorted from the left.

    Raises a failure if two overlap or have one name.
    """
    fields = sorted(fields, key=lambda f: -f.hi)
    names: set[str] = set()
    for i, field in enumerate(fields):
        if field.name in names:
            raise failure("PG205", f"there are two fields {field.name}", field.span)
        names.add(field.name)
        if i and field.hi >= fields[i - 1].lo:
            raise failure("PG241", f"{field.name} and {fields[i - 1].name} overlap", field.span)
    return fields


# -- registers ---------------------------------------------------------------------------------------------------------


class _Attrs(NamedTuple):
    reset: ast.Expr | None
    zeros: frozenset[int]
    caveat: str | None
    preserved: bool


def _attrs(node: ast.Decl) -> _Attrs:
    reset: ast.Expr | None = None
    zeros: set[int] = set()
    caveat: str | None = None
    preserved = False
    for attr in node.attrs:
        match attr:
            case ast.Reset(value=value):
                reset = value
            case ast.Hardwired(entry=entry):
                zeros.add(int(entry.text))
            case ast.Caveat(note=note):
                caveat = note.text
            case ast.Preserved():
                preserved = True
    return _Attrs(reset, frozenset(zeros), caveat, preserved)


def role_of(name: ast.Name) -> ir.Role:
    """The role that a word names."""
    roles = {role.value: role for role in ir.Role}
    if name.text not in roles:
        hint = did_you_mean(name.text, roles) or f"the roles are {', '.join(roles)}"
        raise failure("PG242", f"{name.text} is no role", name.span, hint)
    return roles[name.text]


def declare(node: ast.State, scope: Scope, machine: Machine) -> None:
    """`state role { … }`: each declaration on its own."""
    role = role_of(node.role)
    for decl in node.decls:
        with machine.problems.catch(decl.span):
            _declare(decl, role, scope, machine)


def _declare(node: ast.Decl, role: ir.Role, scope: Scope, machine: Machine) -> None:
    env = pure(machine, scope)
    type_ = typenames.type_of(node.type, env)
    fields = layout(node.layout, width_of(type_), env) if node.layout is not None else None
    if fields is None and isinstance(type_, Bits) and type_.parts and isinstance(node.type, ast.NamedType):
        entity = env.scope.find(node.type.name.text)
        if isinstance(entity, TypeEntity):
            fields = layout(entity.layout, type_.width, env)
    attrs = _attrs(node)
    for declarator in node.declarators:
        name = declarator.name.text
        size = None if declarator.size is None else int(declarator.size.text)
        if size is not None and not 0 < size <= LARGEST_FILE:
            raise failure("PG223", f"a file has 1 to {LARGEST_FILE} entries, not {size}", declarator.span)
        if size is None and attrs.zeros:
            raise failure("PG222", f"{name} is no array: `zero` names one of its entries", node.span, "drop `zero`")
        if size is not None and any(z >= size for z in attrs.zeros):
            raise failure("PG223", f"{name} has the entries 0 to {size - 1}", node.span)
        if fields is not None:
            entity_: Entity = _register(declarator, size, type_, fields, role, attrs, env)
        elif size is not None:
            entity_ = _file(declarator, name, size, type_, role, attrs, env)
        else:
            entity_ = _element(declarator, type_, role, attrs, env)
        add(declarator.name, entity_, scope, machine)


def index_width(size: int) -> int:
    """The width of an index of an array."""
    return max(1, (size - 1).bit_length())


def _element(node: ast.Declarator, type_: Type, role: ir.Role, attrs: _Attrs, env: Env) -> PlaceEntity:
    name = node.name.text
    reset = None if attrs.reset is None else constant(attrs.reset, type_, env)
    enum_name = type_.name if isinstance(type_, Enum) else None
    env.machine.elements[name] = ir.Element(
        name, width_of(type_), role, enum_name, reset, None, attrs.preserved, attrs.caveat, node.span
    )
    return PlaceEntity(ElementPlace(name, type_))


def _file(
    node: ast.Declarator, name: str, size: int, type_: Type, role: ir.Role, attrs: _Attrs, env: Env
) -> FileEntity:
    reset = None if attrs.reset is None else constant(attrs.reset, type_, env)
    width = index_width(size)
    env.machine.files[name] = ir.File(
        name, size, width, width_of(type_), role, attrs.zeros, reset, attrs.caveat, node.span
    )
    return FileEntity(name, size, width, type_)


def _register(
    node: ast.Declarator, size: int | None, type_: Type, fields: list[Field], role: ir.Role, attrs: _Attrs, env: Env
) -> Entity:
    """A register with fields: an element (or a file) for each, and the layout over them."""
    machine = env.machine
    name = node.name.text
    whole = None if attrs.reset is None else constant(attrs.reset, Bits(width_of(type_)), env)
    parts: list[ir.RegisterPart] = []
    pieces: list[LayoutPart] = []
    top = width_of(type_)
    for field in [*fields, None]:
        high = field.hi if field is not None else -1
        if high + 1 < top:
            parts.append(ir.RegisterPart(top - 1, high + 1, constant=0))
            pieces.append(LayoutPart(top - 1, high + 1, _zero(top - high - 1)))
        if field is None:
            break
        top = field.lo
        part, place = _field_state(name, size, field, role, attrs, whole, machine)
        parts.append(part)
        pieces.append(LayoutPart(field.hi, field.lo, place, field.ro, field.w1c))
    machine.registers[name] = ir.Register(name, width_of(type_), tuple(parts), size)
    bits = Bits(width_of(type_), tuple(f.part for f in fields))
    if size is not None:
        return FileEntity(name, size, index_width(size), bits)
    return PlaceEntity(LayoutPlace(tuple(pieces), bits, name))


def _zero(width: int) -> ValuePlace:
    return ValuePlace(Value(ir.Const(width, 0), Bits(width)), ignores=True)


def _field_state(
    register: str, size: int | None, field: Field, role: ir.Role, attrs: _Attrs, whole: int | None, machine: Machine
) -> tuple[ir.RegisterPart, Place]:
    width = field.hi - field.lo + 1
    if field.legal is not None and len(set(field.legal)) == 1:
        value = field.legal[0]
        place: Place = ValuePlace(from_bits(ir.Const(width, value), field.type), ignores=True)
        return ir.RegisterPart(field.hi, field.lo, constant=value), place
    full = f"{register}.{field.name}"
    own_role = role if field.role is None else role_of(field.role)
    reset = field.reset
    if reset is None and whole is not None:
        reset = (whole >> field.lo) % (1 << width)
    if size is not None:
        if field.legal is not None:
            machine.legal[full] = field.legal
        machine.files[full] = ir.File(
            full, size, index_width(size), width, own_role, attrs.zeros, reset, attrs.caveat, field.span
        )
        return ir.RegisterPart(field.hi, field.lo, file=full, ro=field.ro, w1c=field.w1c), EntryPlace(
            full, ir.Const(index_width(size), 0), field.type, field.legal
        )
    enum_name = field.type.name if isinstance(field.type, Enum) else None
    machine.elements[full] = ir.Element(
        full, width, own_role, enum_name, reset, field.legal, attrs.preserved, attrs.caveat, field.span
    )
    part = ir.RegisterPart(field.hi, field.lo, element=full, ro=field.ro, w1c=field.w1c)
    return part, ElementPlace(full, field.type, field.legal)


def file_entry(entity: FileEntity, index: ir.Expr, machine: Machine) -> Place:
    """Entry `index` of a file, or of a file of registers."""
    register = machine.registers.get(entity.name)
    if register is None:
        return EntryPlace(entity.name, index, entity.type)
    assert isinstance(entity.type, Bits)
    pieces = []
    named = {(p.hi, p.lo): p for p in entity.type.parts}
    for part in register.parts:
        width = part.hi - part.lo + 1
        type_ = named[part.hi, part.lo].type if (part.hi, part.lo) in named else Bits(width)
        place: Place
        if part.file is None:
            place = ValuePlace(from_bits(ir.Const(width, part.constant or 0), type_), ignores=True)
        else:
            place = EntryPlace(part.file, index, type_, machine.legal.get(part.file))
        pieces.append(LayoutPart(part.hi, part.lo, place, part.ro, part.w1c))
    return LayoutPlace(tuple(pieces), entity.type, entity.name)


# -- memories and maps -------------------------------------------------------------------------------------------------


def index_type(node: ast.Parameter, env: Env) -> Bits:
    """The type of an address."""
    if node.type is None:
        raise failure("PG208", f"the address {node.name.text} needs a width", node.span)
    return Bits(width_of(typenames.type_of(node.type, env)))


def memory(node: ast.Memory, scope: Scope, machine: Machine) -> None:
    """`memory E[a : 21] : 64 size q else trap memory`."""
    env = pure(machine, scope)
    index = index_type(node.index, env)
    unit = width_of(typenames.type_of(node.type, env))
    if node.word is not None:
        raise failure(
            "PG243", f"{node.word.text} means nothing here: physical memory is held by the monitor", node.word.span
        )
    add(node.name, SpaceEntity(node.name.text, index, unit, (), "memory"), scope, machine)
    machine.spaces[node.name.text] = ir.Memory(node.name.text, index.width, unit, span=node.name.span)


def finish_memory(node: ast.Memory, scope: Scope, machine: Machine) -> None:
    """The size of a memory, which may read choices and constants, and what is raised beyond it."""
    old = machine.spaces.get(node.name.text)
    if not isinstance(old, ir.Memory):
        return
    env = pure(machine, scope)
    size: ir.Expr | None = None
    beyond: ir.Trap | None = None
    if node.size is not None and node.beyond is not None:
        size = expressions.typed(node.size, env, Bits(old.address_width))
        stmt = traps.leave(node.beyond, env)
        assert isinstance(stmt, ir.Trap)
        beyond = stmt
    machine.spaces[node.name.text] = ir.Memory(
        old.name, old.address_width, old.unit, old.role, size, beyond, node.name.span
    )
