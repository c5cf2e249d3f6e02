"""Types of the language: bit vectors (perhaps with named parts), booleans and enumerations."""

from __future__ import annotations

from typing import assert_never, final

from msgspec import Struct

WIDEST = 4096
"""No value has more bits, and no number of the text is longer."""


class Part(Struct, frozen=True):
    """A named part of a bit vector: bits hi..lo, counted from the least significant."""

    name: str
    hi: int
    lo: int
    type: Type


class Bits(Struct, frozen=True):
    """`32`; `parts` are the fields that `.name` finds, and do not make another type."""

    width: int
    parts: tuple[Part, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bits) and self.width == other.width

    def __hash__(self) -> int:
        return hash(self.width)


@final
class Bool(Struct, frozen=True):
    """`bool`; converts to and from one bit."""


class Enum(Struct, frozen=True):
    """`Mode`: its own kind of value, though bits in the IR."""

    name: str
    width: int


Type = Bits | Bool | Enum
BOOL = Bool()


def width_of(type_: Type) -> int:
    """The number of bits; a boolean has one."""
    return 1 if type(type_) is Bool else type_.width


def ir_width(type_: Type) -> int:
    """The width in the IR's sense: 0 for a boolean."""
    return 0 if type(type_) is Bool else type_.width


def describe(type_: Type) -> str:
    """The type in the user's words.

    >>> describe(Bits(1)), describe(Bits(32)), describe(BOOL), describe(Enum("Mode", 2))
    ('1 bit', '32 bits', 'bool', 'Mode')
    """
    match type_:
        case Bits(width):
            return "1 bit" if width == 1 else f"{width} bits"
        case Bool():
            return "bool"
        case Enum(name, _):
            return name
        case _:
            assert_never(type_)
