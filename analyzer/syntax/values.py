"""What expressions mean while a spec is elaborated: compile-time numbers, values with IR, and places.

A *place* can be read and, mostly, written.  Places are data; `places` reads, writes and slices them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from analyzer import ir
from analyzer.syntax.value_types import BOOL, Bits, Type, width_of

if TYPE_CHECKING:
    from analyzer.syntax.body import Env
    from analyzer.syntax.scope import ViewEntity


class Number(Struct, frozen=True):
    """A compile-time number; `width` if its spelling gives one (`0x1F` has 8 bits)."""

    value: int
    width: int | None = None


class Value(Struct, frozen=True):
    """An expression of the IR with its type."""

    expr: ir.Expr
    type: Type


class Group(Struct, frozen=True):
    """`(a, b)`."""

    items: tuple[Number | Value, ...]


Val = Number | Value | Group


def bits_value(expr: ir.Expr) -> Value:
    """A value whose type is what the IR says: a boolean or plain bits."""
    width = ir.width(expr)
    return Value(expr, Bits(width) if width else BOOL)


# -- places ------------------------------------------------------------------------------------------------------------


class ElementPlace(Struct, frozen=True):
    """`mstatus.TVM`, `pc`; `legal` are the values that it takes."""

    element: str
    type: Type
    legal: tuple[int, ...] | None = None


class EntryPlace(Struct, frozen=True):
    """`x[i]`."""

    file: str
    index: ir.Expr
    type: Type
    legal: tuple[int, ...] | None = None


class VariablePlace(Struct, frozen=True):
    """A `var`."""

    local: str
    type: Type


class ValuePlace(Struct, frozen=True):
    """A value where a place might stand; `ignores`: it is a constant part of a register, and writes do nothing."""

    value: Value
    ignores: bool = False

    @property
    def type(self) -> Type:
        return self.value.type


class LayoutPart(Struct, frozen=True):
    """Bits hi..lo of a register are `place`."""

    hi: int
    lo: int
    place: Place
    ro: bool = False
    w1c: bool = False


class LayoutPlace(Struct, frozen=True):
    """A register: its parts cover it, from the left."""

    parts: tuple[LayoutPart, ...]
    type: Bits
    name: str = ""


class SlicePlace(Struct, frozen=True):
    """Bits hi..lo of a place that has no parts."""

    base: Place
    hi: int
    lo: int
    type: Type


class BitPlace(Struct, frozen=True):
    """The bit at a run-time index (from the least significant) of a place."""

    base: Place
    index: ir.Expr

    @property
    def type(self) -> Type:
        return Bits(1)


class ConcatPlace(Struct, frozen=True):
    """`a ++ b`, the first leftmost."""

    parts: tuple[Place, ...]

    @property
    def type(self) -> Bits:
        return Bits(sum(width_of(part.type) for part in self.parts))


class RetypedPlace(Struct, frozen=True):
    """The same bits under another type, `Mode(priv)`, `priv.code`."""

    base: Place
    type: Type


class ChoicePlace(Struct, frozen=True):
    """The place of the first arm whose condition holds, or `other`.  `exclusive`: at most one condition holds."""

    arms: tuple[tuple[ir.Expr, Place], ...]
    other: Place
    type: Type
    exclusive: bool = False


class RaisePlace(Struct, frozen=True):
    """`trap illegal` or `unpredictable` in place of a place."""

    stmt: ir.Stmt
    type: Type


class MemoryPlace(Struct, frozen=True):
    """`mem[a, 32]`; `args` and `given` as in `ir.Access` (None: the default, evaluated at the access)."""

    space: str
    address: ir.Expr
    bits: int
    args: tuple[ir.Expr | None, ...]
    table: bool

    @property
    def type(self) -> Type:
        return Bits(self.bits)


class ViewPlace(Struct, frozen=True):
    """A view with its index bound in `env`; each access elaborates it anew."""

    view: ViewEntity
    env: Env
    type: Type


class OperandPlace(Struct, frozen=True):
    """An operand: its encoded bits and the place that they name (None: the bits themselves)."""

    name: str
    code: Value
    place: Place | None
    no_address: ir.Stmt | None = None

    @property
    def type(self) -> Type:
        return self.code.type if self.place is None else self.place.type


Place = (
    ElementPlace
    | EntryPlace
    | VariablePlace
    | ValuePlace
    | LayoutPlace
    | SlicePlace
    | BitPlace
    | ConcatPlace
    | RetypedPlace
    | ChoicePlace
    | RaisePlace
    | MemoryPlace
    | ViewPlace
    | OperandPlace
)
