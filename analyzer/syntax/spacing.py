"""How much space stands between two tokens of a line: none or one, or two between things that no mark separates.

Most of it follows from the tokens; where one spelling serves several purposes (`:`, `|`, `(`, `-`), the tree tells.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from analyzer.syntax import ast
from analyzer.syntax.lines import Token
from analyzer.syntax.walk import walk

NONE_AFTER = {"LPAR", "LSQB", "DOT", "TILDE", "RANGE"}
NONE_BEFORE = {"RPAR", "RSQB", "COMMA", "DOT", "RANGE", "TAIL", "LSQB"}
ARITHMETIC = {"+", "-", "*", "/", "%"}


class Tight(Struct):
    """Offsets of tokens that the tree wants with no space `before` or `after` them, or with two before (`apart`)."""

    before: set[int] = set()
    after: set[int] = set()
    apart: set[int] = set()

    def both(self, token: Token) -> None:
        self.before.add(token.start)
        self.after.add(token.start)


def gap(left: Token, right: Token, tight: Tight) -> str:
    """What stands between two neighbours in a line."""
    if left.kind in NONE_AFTER or right.kind in NONE_BEFORE or right.text == ";":
        return ""
    if left.start in tight.after or right.start in tight.before:
        return ""
    return "  " if right.start in tight.apart else " "


def tightness(file: ast.File, tokens: Sequence[Token]) -> Tight:
    """What the tree says about spaces."""
    tight = Tight()
    starts = [token.start for token in tokens]

    def following(offset: int, kind: str) -> Token:
        """The first token of this kind from `offset` on."""
        i = bisect_left(starts, offset)
        while tokens[i].kind != kind:
            i += 1
        return tokens[i]

    def between(start: int, end: int) -> Sequence[Token]:
        return tokens[bisect_left(starts, start) : bisect_left(starts, end)]

    def narrow(lefts: Iterable[ast.Expr]) -> None:
        """The operators after these operands stand close, but for `w %s`, which would be another operator."""
        for left in lefts:
            i = bisect_left(starts, left.span.end)
            if not tokens[i + 1].text.startswith("s"):
                tight.both(tokens[i])

    for node in walk(file):
        match node:
            case ast.Header(name=name, base=base):
                for part in (name, base):
                    if part is not None:
                        for token in between(part.span.start, part.span.end):
                            if token.kind == "MINUS":
                                tight.both(token)
            case ast.Layout(parts=(_, *rest)) | ast.Computed(parts=(_, *rest)):
                tight.apart |= {part.span.start for part in rest}
            case ast.Name(span=span):  # what follows a name is its arguments
                i = bisect_left(starts, span.end)
                if i < len(tokens) and tokens[i].kind == "LPAR":
                    tight.before.add(tokens[i].start)
            case ast.Call(function=function):
                tight.before.add(following(function.span.end, "LPAR").start)
            case ast.Unary(op="-", span=span):
                tight.after.add(span.start)
            case ast.Parameter(name=name, type=type_) if type_ is not None:
                tight.before.add(following(name.span.end, "COLON").start)
            case ast.FieldDef(name=name):
                tight.both(following(name.span.end, "COLON"))
            case ast.Sized(value=value):
                tight.both(following(value.span.end, "COLON"))
            case ast.Scatter(span=span):
                for token in between(span.start, span.end):
                    if token.kind in {"VBAR", "COLON"}:
                        tight.both(token)
            case ast.Index(high=high, low=low) | ast.Field(high=high, low=low) if high is not None and low is not None:
                operators = [*arithmetic(high), *arithmetic(low)]
                narrow(operators)
                if len(operators) <= 1 and simple(high) and simple(low):
                    tight.both(following(high.span.end, "COLON"))
            case ast.Subscript(indices=(ast.Index(high=high, low=None),)) if simple(high):
                narrow(arithmetic(high))
            case _:
                pass
    return tight


def arithmetic(expr: ast.Expr) -> Iterator[ast.Expr]:
    """The left operands of the sums and products that a bound of a slice is made of."""
    match expr:
        case ast.Binary(op=op, left=left, right=right) if op in ARITHMETIC:
            yield from arithmetic(left)
            yield left
            yield from arithmetic(right)
        case _:
            pass


def simple(expr: ast.Expr) -> bool:
    """Whether a bound of a slice is short enough to need no space around the colon."""
    match expr:
        case ast.Binary(op=op, left=left, right=right):
            return op in ARITHMETIC and simple(left) and simple(right)
        case ast.Member(value=value):
            return simple(value)
        case _:
            return isinstance(expr, ast.Name | ast.Number)
