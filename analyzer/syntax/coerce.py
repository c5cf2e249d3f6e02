"""Values to the types that their places want: literals take a width, a bool and one bit convert, nothing else does."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import assert_never

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, fold
from analyzer.syntax.problems import failure
from analyzer.syntax.value_types import BOOL, WIDEST, Bits, Bool, Enum, Type, describe, width_of
from analyzer.syntax.values import Group, Number, Val, Value

LONGEST = WIDEST // 4 + 2
"""Digits of a number in the text: those of the widest bit vector, in hexadecimal."""


def literal(node: ast.Number) -> Number:
    """The number that a spelling means in an expression.

    `0x1F` has 8 bits, `0o17` 6, `0b010` 3; `17` has none of its own.
    """
    if len(node.text) > LONGEST:
        raise failure("PG212", f"this number has {len(node.text):,} digits", node.span, f"{LONGEST:,} are enough")
    return spelled(node.text)


@cache
def spelled(text: str) -> Number:
    """As `literal`, for a spelling."""
    text = text.replace("_", "")
    for prefix, base, digit in (("0x", 16, 4), ("0o", 8, 3), ("0b", 2, 1)):
        if text.startswith(prefix):
            return Number(int(text[2:], base), digit * (len(text) - 2))
    return Number(int(text))


def fits(value: int, width: int) -> bool:
    """Whether a number can be written in `width` bits, unsigned or in two's complement."""
    return -(1 << (width - 1)) <= value < 1 << width if width > 0 else False


def to_type(val: Val, want: Type, span: Span) -> Value:
    """`val` as a value of type `want`.

    Raises a failure if it has another type, or is a literal that does not fit.
    """
    match val:
        case Value(expr, have):
            return val if _is_already(have, want) else _converted(expr, have, want, span)
        case Number(number, _):
            return _number(number, want, span)
        case Group(items):
            raise failure("PG211", f"one value of {describe(want)} is wanted here, and there are {len(items)}", span)
        case _:
            assert_never(val)


def _number(number: int, want: Type, span: Span) -> Value:
    match want:
        case Bits(width):
            if not fits(number, width):
                raise failure("PG212", f"{number} does not fit in {describe(want)}", span)
            return number_bits(number, width)
        case Bool():
            if number not in (0, 1):
                raise failure("PG212", f"{number} is not a bool", span, "a bool is 0 or 1")
            return Value(fold.boolean(bool(number)), BOOL)
        case Enum(name, _):
            raise failure(
                "PG213", f"a value of {name} is wanted here, not a number", span, f"name it, or write {name}({number})"
            )
        case _:
            assert_never(want)


@lru_cache(maxsize=4096)
def number_bits(number: int, width: int) -> Value:
    """A number as bits, one value for all its uses."""
    return Value(fold.const(number, width), Bits(width))


def _is_already(have: Type, want: Type) -> bool:
    return have is want or (have == want and not (isinstance(want, Bits) and want.parts))


def _converted(expr: ir.Expr, have: Type, want: Type, span: Span) -> Value:
    match have, want:
        case Bits(a), Bits(b) if a == b:
            return Value(expr, want)
        case Bool(), Bits(1):
            return Value(fold.to_bits(expr), want)
        case Bits(1), Bool():
            return Value(fold.to_bool(expr), want)
        case Bits(a), Bits(b):
            hint = f"write zext(…) or sext(…) to make it {b}" if a < b else f"write trunc(…) or a slice to make it {b}"
            raise failure("PG210", f"{describe(want)} {_are(b)} wanted here, and this has {describe(have)}", span, hint)
        case Bits(a), Bool():
            raise failure(
                "PG214", f"a condition is wanted here, and this has {describe(have)}", span, "compare it: `… != 0`"
            )
        case Enum(name, _), Bool():
            raise failure(
                "PG214", f"a condition is wanted here, and this is a {name}", span, f"compare it with one of {name}"
            )
        case ((Bits() | Bool()), Enum(name, _)):
            raise failure(
                "PG213", f"a value of {name} is wanted here, and this has {describe(have)}", span, f"write {name}(…)"
            )
        case Enum(name, _), Bits():
            raise failure(
                "PG213",
                f"{describe(want)} {_are(width_of(want))} wanted here, and this is a {name}",
                span,
                "write ….code",
            )
        case Enum(a), Enum(b):
            raise failure("PG213", f"a value of {b} is wanted here, and this is a {a}", span)
        case _:
            raise failure(
                "PG210", f"{describe(want)} {_are(width_of(want))} wanted here, and this is a {describe(have)}", span
            )


def _are(width: int) -> str:
    return "is" if width == 1 else "are"


def definite(val: Val, span: Span) -> Value:
    """`val` as a value with a width of its own.

    Raises a failure for `5`: nothing says how wide it is.
    """
    match val:
        case Number(number, None):
            raise failure(
                "PG215",
                f"nothing here says how wide {number} is",
                span,
                "write 0x…, 0o… or 0b… with all digits, or zext(…, n)",
            )
        case Number(number, width):
            assert width is not None
            return _number(number, Bits(width), span)
        case Value():
            return val
        case Group():
            raise failure("PG211", "one value is wanted here, and this is a tuple", span)
        case _:
            assert_never(val)


def raw(val: Value) -> ir.Expr:
    """The bits of a value; a bool is one bit."""
    return fold.to_bits(val.expr) if type(val.type) is Bool else val.expr


def from_bits(expr: ir.Expr, want: Type) -> Value:
    """Bits under another type of the same width."""
    return Value(fold.to_bool(expr) if type(want) is Bool else expr, want)


def parameter(name: str, type_: Type) -> Value:
    """A local that holds the bits of a parameter (a bool is one bit), as a value of its type."""
    return from_bits(ir.Local(name, width_of(type_)), type_)


def unify(left: Val, right: Val, left_span: Span, right_span: Span, span: Span) -> tuple[Value, Value]:
    """Two values of one type: literals take the other's, a bool and one bit meet as bools.

    Raises a failure if their widths differ.
    """
    match left, right:
        case Number(), Value(_, type_):
            return to_type(left, type_, left_span), right
        case Value(_, type_), Number():
            return left, to_type(right, type_, right_span)
        case Value(_, Bool()), Value(_, Bits(1)):
            return left, to_type(right, BOOL, right_span)
        case Value(_, Bits(1)), Value(_, Bool()):
            return to_type(left, BOOL, left_span), right
        case Value(_, Bits(a)), Value(_, Bits(b)) if a != b:
            raise failure(
                "PG210",
                f"the left side has {describe(left.type)} and the right side {describe(right.type)}",
                span,
                _widen(a, b),
            )
        case Value(_, a_type), Value(_, b_type):
            if a_type != b_type:
                raise failure(
                    "PG213",
                    f"the left side is {describe(a_type)} and the right side {describe(b_type)}",
                    span,
                    _mixed(a_type, b_type),
                )
            return left, right
        case _:
            return definite(left, left_span), definite(right, right_span)


def _widen(a: int, b: int) -> str:
    side = "left" if a < b else "right"
    return f"extend the {side} side: zext(…) or sext(…)"


def _mixed(a: Type, b: Type) -> str | None:
    enum = next((t for t in (a, b) if isinstance(t, Enum)), None)
    if enum is not None:
        return f"write {enum.name}(…) of the bits, or .code of the {enum.name}"
    if isinstance(a, Bool) or isinstance(b, Bool):
        return "`and`, `or` and `not` bind less tightly than comparisons; add parentheses"
    return None
