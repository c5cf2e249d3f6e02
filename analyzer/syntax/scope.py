"""What names stand for, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from analyzer.errors import Diagnostic
from analyzer.syntax import ast
from analyzer.syntax.value_types import Bits, Enum, Type
from analyzer.syntax.values import Group, Number, Place, Value

if TYPE_CHECKING:
    from analyzer.syntax.machine import InstrItem

# -- what a name can stand for -----------------------------------------------------------------------------------------


class Variable(Struct, frozen=True):
    """A `var`: a local that may be set again."""

    local: str
    type: Type


class Cell(Struct):
    """A column of a `for`, in one row.  It means its text wherever it is used; `as_bits` once a pattern has used it."""

    column: str
    node: ast.Expr | ast.String
    as_bits: bool = False


class Poison(Struct, frozen=True):
    """A name whose declaration failed: its uses are not reported again.  Or one that must not be used, and why."""

    why: Diagnostic | None = None


class Missing(Struct, frozen=True):
    """A column inside its own cell, where nothing else has its name."""


MISSING = Missing()


class EnumEntity(Struct, frozen=True):
    type: Enum
    members: Mapping[str, int]


class Enumerators(Struct, frozen=True):
    """A name that one or several enumerations give a value to."""

    values: tuple[tuple[Enum, int], ...]


class TypeEntity(Struct, frozen=True):
    """A `type` declaration."""

    type: Bits
    layout: ast.Layout


class PlaceEntity(Struct, frozen=True):
    """A scalar of the state, an operand, a parameter of an expanded instruction."""

    place: Place


class FileEntity(Struct, frozen=True):
    """An array of state: a register file, perhaps of registers with fields."""

    name: str
    size: int
    index_width: int
    type: Type


class SpaceEntity(Struct, frozen=True, eq=False):
    """A memory, a map, or a view used as one; a map has its declaration, and what it overrides."""

    name: str
    index: Bits
    unit: int
    params: tuple[tuple[str, Type, ast.Expr | None], ...]
    kind: Literal["memory", "map", "bus"]
    below: str | None = None
    node: ast.Map | None = None
    scope: Scope | None = None
    overridden: SpaceEntity | None = None


class ViewEntity(Struct, frozen=True, eq=False):
    node: ast.View
    scope: Scope
    overridden: ViewEntity | None = None


class FnEntity(Struct, frozen=True, eq=False):
    node: ast.Fn
    scope: Scope
    overridden: FnEntity | None = None


class DeliverEntity(Struct, frozen=True, eq=False):
    node: ast.Deliver
    scope: Scope
    overridden: DeliverEntity | None = None


class UnspecifiedEntity(Struct, frozen=True, eq=False):
    node: ast.Unspecified
    scope: Scope


class LookupEntity(Struct, frozen=True):
    name: str
    index: Type
    type: Type


class OperandEntity(Struct, frozen=True, eq=False):
    node: ast.Operand
    scope: Scope
    overridden: OperandEntity | None = None


class FormatEntity(Struct, frozen=True, eq=False):
    node: ast.Format
    scope: Scope
    overridden: FormatEntity | None = None


class GroupsEntity(Struct, frozen=True):
    """An argument of a format: atoms, in the scope of the caller."""

    group: ast.Group
    scope: Scope


class BaseEntity(Struct, frozen=True, eq=False):
    """`base` inside an override: what it replaces."""

    of: ViewEntity | FnEntity | SpaceEntity | DeliverEntity | InstrItem


class PrefixEntity(Struct, frozen=True):
    """An operand in prefixes: every instruction has it."""

    name: str
    node: ast.Operand


class TrapEntity(Struct, frozen=True):
    """`t` in a delivery; `known` are the kinds that it can be here (None: any)."""

    known: frozenset[str] | None = None


class SymbolEntity(Struct, frozen=True):
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
    BaseEntity: "what is overridden",
    TrapEntity: "the trap",
    Poison: "a name whose declaration failed",
}


def kind_of(entity: Entity) -> str:
    """What an entity is, in the user's words."""
    return KINDS.get(type(entity), "something else")


class Scope(Struct, frozen=True, eq=False):
    """Names, and the scope around them.  Operands and formats have names of their own."""

    parent: Scope | None = None
    names: dict[str, Entity] = {}
    operands: dict[str, OperandEntity] = {}
    formats: dict[str, FormatEntity] = {}

    def around(self) -> Iterator[Scope]:
        """This scope and those around it, from the inside."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def find(self, name: str) -> Entity | None:
        """What `name` stands for here."""
        scope: Scope | None = self
        while scope is not None:
            entity = scope.names.get(name)
            if entity is not None:
                return None if type(entity) is Missing else entity
            scope = scope.parent
        return None

    def operand(self, name: str) -> OperandEntity | None:
        """The operand of this name."""
        return next((scope.operands[name] for scope in self.around() if name in scope.operands), None)

    def format(self, name: str) -> FormatEntity | None:
        """The format of this name."""
        return next((scope.formats[name] for scope in self.around() if name in scope.formats), None)

    def child(self, names: Mapping[str, Entity] | None = None) -> Scope:
        """A scope inside this one."""
        return Scope(self, {} if names is None else dict(names))

    def hiding(self, column: str) -> Scope:
        """This scope as a cell of `column` sees it: there, the column's name means what it means outside."""
        holder = self
        while column not in holder.names and holder.parent is not None:
            holder = holder.parent
        outer = None if holder.parent is None else holder.parent.find(column)
        return Scope(self, {column: MISSING if outer is None else outer})

    def known(self) -> set[str]:
        """All names that can be used here, but for those of operands and formats."""
        names: set[str] = set()
        hidden: set[str] = set()
        for scope in self.around():
            for name, entity in scope.names.items():
                if name not in names and name not in hidden:
                    (hidden if isinstance(entity, Missing) else names).add(name)
        return names

    def known_operands(self) -> set[str]:
        return {name for scope in self.around() for name in scope.operands}

    def known_formats(self) -> set[str]:
        return {name for scope in self.around() for name in scope.formats}
