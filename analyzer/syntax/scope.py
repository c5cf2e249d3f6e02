"""What names stand for, and the body that statements are emitted into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast
from analyzer.syntax.fold import is_fixed
from analyzer.syntax.problems import Failure, did_you_mean, failure, reported
from analyzer.syntax.value_types import Bits, Enum, Type, ir_width
from analyzer.syntax.values import Group, Number, Place, Value, bits_value

if TYPE_CHECKING:
    from analyzer.syntax.machine import Machine

MOST_STATEMENTS = 50_000
"""In one body; more is a loop that was unrolled by mistake."""

DEEPEST = 40
"""How deep views, functions, cells and operands may be nested in each other."""

# -- what a name can stand for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Variable:
    """A `var`: a local that may be set again."""

    local: str
    type: Type


@dataclass(slots=True)
class Cell:
    """A column of a `for`, in one row.  It means its text wherever it is used; `as_bits` once a pattern has used it."""

    column: str
    node: ast.Expr | ast.String
    as_bits: bool = False


@dataclass(frozen=True, slots=True)
class Poison:
    """A name whose declaration failed: its uses are not reported again."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A column inside its own cell, where nothing else has its name."""


@dataclass(frozen=True, slots=True)
class EnumEntity:
    type: Enum
    members: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Enumerators:
    """A name that one or several enumerations give a value to."""

    values: tuple[tuple[Enum, int], ...]


@dataclass(frozen=True, slots=True)
class TypeEntity:
    """A `type` declaration."""

    type: Bits
    layout: ast.Layout


@dataclass(frozen=True, slots=True)
class PlaceEntity:
    """A scalar of the state, an operand, a parameter of an expanded instruction."""

    place: Place


@dataclass(frozen=True, slots=True)
class FileEntity:
    """An array of state: a register file, perhaps of registers with fields."""

    name: str
    size: int
    index_width: int
    type: Type


@dataclass(frozen=True, slots=True)
class SpaceEntity:
    """A memory or a map."""

    name: str
    index: Bits
    unit: int
    params: tuple[tuple[str, Type, ast.Expr | None], ...]
    kind: Literal["memory", "map", "bus"]
    below: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ViewEntity:
    node: ast.View
    scope: Scope
    overridden: ViewEntity | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FnEntity:
    node: ast.Fn
    scope: Scope
    overridden: FnEntity | None = None


@dataclass(frozen=True, slots=True, eq=False)
class UnspecifiedEntity:
    node: ast.Unspecified
    scope: Scope


@dataclass(frozen=True, slots=True)
class LookupEntity:
    name: str
    index: Type
    type: Type


@dataclass(frozen=True, slots=True, eq=False)
class OperandEntity:
    node: ast.Operand
    scope: Scope
    overridden: OperandEntity | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FormatEntity:
    node: ast.Format
    scope: Scope
    overridden: FormatEntity | None = None


@dataclass(frozen=True, slots=True)
class GroupsEntity:
    """An argument of a format: atoms, in the scope of the caller."""

    group: ast.Group
    scope: Scope


@dataclass(frozen=True, slots=True)
class BaseEntity:
    """`base` inside an override."""

    of: object


@dataclass(frozen=True, slots=True)
class PrefixEntity:
    """An operand in prefixes: every instruction has it."""

    name: str
    node: ast.Operand


@dataclass(frozen=True, slots=True)
class TrapEntity:
    """`t` in a delivery; `known` are the kinds that it can be here (None: any)."""

    known: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SymbolEntity:
    """A word with a meaning of its own: `unknown`, `here`, `read` …"""

    word: str


Entity = (
    Number
    | Value
    | Group
    | Variable
    | Cell
    | Poison
    | Missing
    | EnumEntity
    | Enumerators
    | TypeEntity
    | PlaceEntity
    | FileEntity
    | SpaceEntity
    | ViewEntity
    | FnEntity
    | UnspecifiedEntity
    | LookupEntity
    | OperandEntity
    | FormatEntity
    | GroupsEntity
    | BaseEntity
    | PrefixEntity
    | TrapEntity
    | SymbolEntity
)

KINDS: Mapping[type, str] = {
    Number: "a number",
    Value: "a value",
    Variable: "a variable",
    EnumEntity: "an enumeration",
    Enumerators: "an enumerator",
    TypeEntity: "a type",
    PlaceEntity: "a place",
    FileEntity: "an array of registers",
    SpaceEntity: "a memory",
    ViewEntity: "a view",
    FnEntity: "a function",
    UnspecifiedEntity: "a function",
    LookupEntity: "a table",
    OperandEntity: "an operand",
    FormatEntity: "a format",
    TrapEntity: "the trap",
}


def kind_of(entity: Entity) -> str:
    """What an entity is, in the user's words."""
    return KINDS.get(type(entity), "something else")


Space = Literal["value", "operand", "format"]


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """Names, and the scope around them.  Values, operands and formats have names of their own."""

    parent: Scope | None = None
    names: dict[tuple[Space, str], Entity] = field(default_factory=dict)

    def find(self, name: str, space: Space = "value") -> Entity | None:
        """What `name` stands for here."""
        scope: Scope | None = self
        while scope is not None:
            entity = scope.names.get((space, name))
            if entity is not None:
                return None if isinstance(entity, Missing) else entity
            scope = scope.parent
        return None

    def holder(self, name: str, space: Space = "value") -> Scope | None:
        """The scope that gives `name` its meaning."""
        scope: Scope | None = self
        while scope is not None and (space, name) not in scope.names:
            scope = scope.parent
        return scope

    def child(self, names: Mapping[str, Entity] | None = None) -> Scope:
        """A scope inside this one."""
        return Scope(self, {("value", name): entity for name, entity in (names or {}).items()})

    def hiding(self, column: str) -> Scope:
        """This scope as a cell of `column` sees it: there, the column's name means what it means outside."""
        holder = self.holder(column)
        outer = holder.parent.find(column) if holder is not None and holder.parent is not None else None
        return self.child({column: Missing() if outer is None else outer})

    def known(self, space: Space = "value") -> set[str]:
        """All names that can be used here."""
        scope: Scope | None = self
        names: set[str] = set()
        while scope is not None:
            names.update(name for kind, name in scope.names if kind == space)
            scope = scope.parent
        return names


# -- bodies ------------------------------------------------------------------------------------------------------------

BodyKind = Literal["instruction", "procedure", "map", "deliver", "advance", "pure", "assume"]


@dataclass(slots=True, eq=False)
class Body:
    """A body in the making.  `out` is the block that statements go to now.

    `pure`: only an expression is wanted, so nothing may be emitted.  `access` is what is known of the access (in maps
    and views).  `position` is what the program counter reads as while an operand is evaluated.
    """

    kind: BodyKind
    out: list[ir.Stmt] = field(default_factory=list)
    span: Span | None = None
    pure: bool = False
    pc: str | None = None
    returns: Type | None = None
    access: ir.Expr | None = None
    position: ir.Expr | None = None
    here: ir.Expr | None = None
    length: ir.Expr | None = None
    mutable: set[str] = field(default_factory=set)
    captured: dict[str, ir.Expr] = field(default_factory=dict)
    active: list[object] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    prefix: str = ""
    restrictions: list[ir.Expr] = field(default_factory=list)
    emitted: int = 0

    def emit(self, stmt: ir.Stmt) -> None:
        """Adds a statement."""
        if self.pure:
            raise failure(
                "PG231",
                "this expression must be free of effects, and it accesses memory or calls a procedure with statements",
                self.span,
                "state the condition over registers, operands and constants",
            )
        self.emitted += 1
        if self.emitted > MOST_STATEMENTS:
            raise failure(
                "PG305", f"this body has more than {MOST_STATEMENTS} statements once it is unrolled", self.span
            )
        self.out.append(stmt)

    @contextmanager
    def block(self) -> Iterator[list[ir.Stmt]]:
        """Statements emitted inside go to a new block."""
        outer, self.out = self.out, []
        try:
            yield self.out
        finally:
            self.out = outer

    @contextmanager
    def inside(self, what: object, span: Span) -> Iterator[None]:
        """Guards against endless recursion."""
        if len(self.active) >= DEEPEST:
            raise failure("PG304", f"this is nested more than {DEEPEST} deep; does something refer to itself?", span)
        self.active.append(what)
        try:
            yield
        finally:
            self.active.pop()

    def fresh(self, name: str) -> str:
        """A name for a local that no other local of this body has."""
        name = self.prefix + name
        if name not in self.used:
            self.used.add(name)
            return name
        n = 1
        while f"{name}.{n}" in self.used:
            n += 1
        self.used.add(f"{name}.{n}")
        return f"{name}.{n}"

    def local(self, name: str, value: Value) -> Value:
        """Sets a new local to `value`."""
        local = self.fresh(name)
        self.emit(ir.Let(local, value.expr, self.span))
        return Value(ir.Local(local, ir_width(value.type)), value.type)

    def fixed(self, expr: ir.Expr) -> bool:
        """Whether `expr` keeps its value through the rest of the body."""
        return is_fixed(expr, self.mutable)

    def keep(self, name: str, value: Value) -> Value:
        """`value`, put into a local unless it is a constant or small and unchanging."""
        if self.pure or (self.fixed(value.expr) and _cheap(value.expr)):
            return value
        return self.local(name, value)

    def keep_expr(self, name: str, expr: ir.Expr) -> ir.Expr:
        """As `keep`, on an expression."""
        return self.keep(name, bits_value(expr)).expr


def _cheap(expr: ir.Expr) -> bool:
    match expr:
        case ir.Unknown() | ir.Arbitrary():
            return False
        case ir.Extract(arg, _, _) | ir.ToBool(arg) | ir.ToBits(arg) | ir.Extend(_, arg, _) | ir.Not(arg):
            return _cheap(arg)
        case ir.Concat(left, right) | ir.Compare(_, left, right) | ir.Logic(_, left, right):
            return _cheap(left) and _cheap(right)
        case _:
            return not ir.children(expr)


@dataclass(frozen=True, slots=True, eq=False)
class Env:
    """Where an expression stands: its names, and the body that it emits loads into."""

    machine: Machine
    body: Body
    scope: Scope

    def child(self, names: Mapping[str, Entity] | None = None) -> Env:
        """Inside this place, with more names."""
        return Env(self.machine, self.body, self.scope.child(names))

    def at(self, scope: Scope) -> Env:
        """The same body under another scope."""
        return Env(self.machine, self.body, scope)


def find(env: Env, name: ast.Name) -> tuple[Entity, Env]:
    """What a name stands for; through cells that are names.

    Raises a failure for a name that is not declared.
    """
    for _ in range(DEEPEST):
        entity = env.scope.find(name.text)
        match entity:
            case None:
                raise undefined(env, name)
            case Poison():
                raise reported()
            case Cell(column, ast.Name() as inner):
                env, name = env.at(env.scope.hiding(column)), inner
            case _:
                return entity, env
    raise failure("PG304", f"{name.text} refers to itself", name.span)


def undefined(env: Env, name: ast.Name) -> Failure:
    """There is no such name: what it may have meant instead."""
    if env.scope.find(name.text, "operand") is not None:
        return failure(
            "PG202",
            f"{name.text} is an operand, and the encoding here does not have it",
            name.span,
            f"put {name.text} into the pattern",
        )
    if name.text in env.machine.trap_names:
        return failure("PG201", f"{name.text} is a trap, not a value", name.span)
    return failure("PG201", f"{name.text} is not declared", name.span, did_you_mean(name.text, env.scope.known()))
