"""Constant expressions of assembly text.

A term is a number (decimal, `0x`, `0o`, `0b`), a label, `.` (the address of the line), `1b` or `1f` (the nearest local
label `1:` before or after), a parenthesised expression, `sext(e, n)` (the low n bits of e, as a signed number), or one
of these cut to bits, `e[hi:lo]` or `e[bit]`.  Operators are those of C, from loose to tight:

    == != < <= > >=    |    ^    &    << >>    + -    * / %    - ~ +

A comparison is 1 or 0.  Numbers have no width: they are integers.  A value that depends on a label that is not known
yet is None.

An instruction's operand can stop anywhere, as `4(x2)` stops before the parenthesis, so `readings` gives every prefix
that is an expression, the longest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field

MAX_SHIFT = 4096
"""A shift by more bits is an error: numbers are as long as they need to be, but not longer than anyone needs."""

MAX_DEPTH = 50
"""How deep terms may nest: parentheses, cuts, and one sign before another."""
MAX_DIGITS = 4096
"""Of a number as it is written."""

_NUMBER = re.compile(r"0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+(?!\w)|[0-9][0-9_]*")
_LOCAL = re.compile(r"[0-9]+[bf](?![\w.$])")
_SYMBOL = re.compile(r"[A-Za-z_.$][\w.$]*")
_NAME = re.compile(rf"(?<![\w.$]){_SYMBOL.pattern}")
_WORD = re.compile(r"[\w.]")
_OPERATOR = re.compile(r"<<|>>|[=!<>]=|[-+*/%&|^<>]")

Value = int | None
"""None where a label is not known yet."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """What names mean in a line at `address`.  `lenient`: an unknown one is not an error, its operand is 0 for now."""

    address: int
    values: Mapping[str, int]
    lenient: bool = False


class Objection(Exception):
    """Why a text that reads as an expression has no value: a code and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_LEVELS: tuple[Mapping[str, Callable[[int, int], int]], ...] = (
    {
        "==": lambda a, b: int(a == b),
        "!=": lambda a, b: int(a != b),
        "<": lambda a, b: int(a < b),
        "<=": lambda a, b: int(a <= b),
        ">": lambda a, b: int(a > b),
        ">=": lambda a, b: int(a >= b),
    },
    {"|": lambda a, b: a | b},
    {"^": lambda a, b: a ^ b},
    {"&": lambda a, b: a & b},
    {"<<": lambda a, b: a << _shift(b), ">>": lambda a, b: a >> _shift(b)},
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: _product(a, b), "/": lambda a, b: _quotient(a, b), "%": lambda a, b: _rest(a, b)},
)
"""The binary operators, loosest first; all are left associative."""

_TIGHTNESS = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}


def _shift(count: int) -> int:
    if not 0 <= count <= MAX_SHIFT:
        raise Objection("PG503", f"a shift by {count} bits")
    return count


def _product(a: int, b: int) -> int:
    if a.bit_length() + b.bit_length() > MAX_SHIFT:
        raise Objection("PG503", "a product of more than 4096 bits")
    return a * b


def _quotient(a: int, b: int) -> int:
    """Towards zero, as in C."""
    if b == 0:
        raise Objection("PG503", "a division by zero")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _rest(a: int, b: int) -> int:
    return a - b * _quotient(a, b)


@dataclass(slots=True)
class _Reader:
    """Reads expressions in one line; `objections` are why some of them have no value."""

    text: str
    symbols: Symbols
    radix: int
    labels: bool
    objections: list[tuple[str, str]] = field(default_factory=list)
    depth: int = 0

    def chain(self, at: int) -> tuple[list[Value], list[str], list[int]]:
        """Terms with operators between them, as far as they go: values, operators, and where each term ends."""
        terms: list[Value] = []
        operators: list[str] = []
        ends: list[int] = []
        position, pending = at, ""
        while True:
            try:
                term = self.term(self.space(position), first=not terms)
            except Objection as objection:
                self.objections.append((objection.code, objection.message))
                break
            if term is None:
                break
            position, value = term
            if pending:
                operators.append(pending)
            terms.append(value)
            ends.append(position)
            operator = _OPERATOR.match(self.text, self.space(position))
            if not operator:
                break
            pending, position = operator[0], operator.end()
        return terms, operators, ends

    def whole(self, at: int) -> tuple[int, Value] | None:
        """The longest expression from `at` on."""
        terms, operators, ends = self.chain(at)
        return (ends[-1], combined(terms, operators)) if terms else None

    def space(self, at: int) -> int:
        return at + 1 if self.text[at : at + 1] == " " else at

    def term(self, at: int, first: bool = False) -> tuple[int, Value] | None:
        """One term with its signs and cuts."""
        if self.depth == MAX_DEPTH:
            raise Objection("PG505", f"terms nest more than {MAX_DEPTH} deep")
        self.depth += 1
        try:
            return self.signed(at, first)
        finally:
            self.depth -= 1

    def signed(self, at: int, first: bool) -> tuple[int, Value] | None:
        sign = self.text[at : at + 1]
        if sign and sign in "-~+":
            inner = self.term(self.space(at + 1))
            if inner is None:
                return None
            end, value = inner
            return end, None if value is None else {"-": -value, "~": ~value, "+": value}[sign]
        plain = self.plain(at, first)
        while plain is not None and self.text[plain[0] : plain[0] + 1] == "[":
            cut = self.cut(*plain)
            if cut is None:
                break
            plain = cut
        return plain

    def plain(self, at: int, first: bool) -> tuple[int, Value] | None:
        """A number, a label, a parenthesised expression or `sext(…)`.  A label does not begin in the middle of a
        word."""
        if self.text[at : at + 1] == "(":
            return self.parenthesised(at)
        local = _LOCAL.match(self.text, at) if self.labels else None
        if local:
            return local.end(), self.named(local[0])
        number = _NUMBER.match(self.text, at)
        if number:
            digits = number[0].replace("_", "")
            radix = 0 if digits[1:2].isalpha() else self.radix
            if len(digits) > MAX_DIGITS:
                raise Objection("PG503", f"a number of more than {MAX_DIGITS} digits")
            octal = radix == 8 and not set(digits) <= set("01234567")
            return None if octal else (number.end(), int(digits, radix))
        symbol = _SYMBOL.match(self.text, at) if self.labels else None
        if not symbol or (first and at > 0 and _WORD.match(self.text[at - 1])):
            return None
        if symbol[0] == "sext" and self.text[symbol.end() : symbol.end() + 1] == "(":
            return self.extended(symbol.end())
        return symbol.end(), self.symbols.address if symbol[0] == "." else self.named(symbol[0])

    def named(self, name: str) -> Value:
        if name in self.symbols.values:
            return self.symbols.values[name]
        if not self.symbols.lenient:
            raise Objection("PG504", f"there is no label `{name}`")
        return None

    def parenthesised(self, at: int) -> tuple[int, Value] | None:
        inner = self.whole(at + 1)
        if inner is None or self.text[(end := self.space(inner[0])) : end + 1] != ")":
            return None
        return end + 1, inner[1]

    def extended(self, at: int) -> tuple[int, Value] | None:
        """`(e, n)`: the low n bits of e, signed."""
        inner = self.whole(at + 1)
        if inner is None or self.text[inner[0] : inner[0] + 1] != ",":
            return None
        bits = self.whole(inner[0] + 1)
        if bits is None or self.text[bits[0] : bits[0] + 1] != ")":
            return None
        if inner[1] is None or bits[1] is None:
            return bits[0] + 1, None
        if not 1 <= bits[1] <= MAX_SHIFT:
            raise Objection("PG503", f"a number of {bits[1]} bits")
        half = 1 << (bits[1] - 1)
        return bits[0] + 1, (inner[1] + half & 2 * half - 1) - half

    def cut(self, at: int, value: Value) -> tuple[int, Value] | None:
        """`[hi:lo]` or `[bit]` after a term: bit 0 is the least significant."""
        high = self.whole(at + 1)
        if high is None:
            return None
        low = self.whole(high[0] + 1) if self.text[high[0] : high[0] + 1] == ":" else high
        if low is None or self.text[low[0] : low[0] + 1] != "]":
            return None
        if value is None or high[1] is None or low[1] is None:
            return low[0] + 1, None
        if not 0 <= low[1] <= high[1] <= MAX_SHIFT:
            raise Objection("PG503", f"there are no bits {high[1]} to {low[1]}")
        return low[0] + 1, value >> low[1] & (1 << (high[1] - low[1] + 1)) - 1


def named(text: str) -> Set[str]:
    """The names in an expression.

    >>> sorted(named("a1 + 0x1b * (b.c - 2)"))
    ['a1', 'b.c']
    """
    return {found[0] for found in _NAME.finditer(text)}


def combined(terms: list[Value], operators: list[str]) -> Value:
    """The value of terms with operators between them.

    >>> combined([1, 2, 3], ["+", "*"])
    7
    """
    values, pending = [terms[0]], list[str]()

    def reduce(level: int) -> None:
        while pending and _TIGHTNESS[pending[-1]] >= level:
            operator, right, left = pending.pop(), values.pop(), values.pop()
            apply = _LEVELS[_TIGHTNESS[operator]][operator]
            values.append(None if left is None or right is None else apply(left, right))

    for operator, term in zip(operators, terms[1:], strict=True):
        reduce(_TIGHTNESS[operator])
        pending.append(operator)
        values.append(term)
    reduce(0)
    return values[0]


def readings(
    text: str,
    at: int,
    symbols: Symbols,
    objections: list[tuple[str, str]],
    radix: int = 10,
    labels: bool = True,
) -> Iterator[tuple[int, Value]]:
    """Every expression from `at` on, the longest first: where it ends, and its value.  Why one has no value (an unknown
    label, a division by zero) goes to `objections`."""
    reader = _Reader(text, symbols, radix, labels, objections)
    terms, operators, ends = reader.chain(reader.space(at))
    for count in range(len(terms), 0, -1):
        try:
            value = combined(terms[:count], operators[: count - 1])
        except Objection as objection:
            objections.append((objection.code, objection.message))
            continue
        yield ends[count - 1], value
