"""Text to tokens, and which line ends count.

A line end or `;` ends a statement, an item, a row.  But a line goes on where it cannot end: inside `( )` and `[ ]`,
after an operator, `,`, `=` or `{`, and before `=`, `{`, `}`, `where`, `else`, `then`, `|` and every infix operator but
`-`, which may begin an arm or a row.  (The parser looks one token ahead, so this cannot be said in the grammar.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from analyzer.source import Source
from analyzer.syntax.grammar import END, Grammar

OPEN = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSE = {closer: opener for opener, closer in OPEN.items()}

INFIX = {"PLUS", "MUL", "JOIN", "SHIFT", "CMP", "MORETHAN", "AND", "OR", "XOR", "ASSIGN", "EQUAL", "COMMA", "VBAR"}
GOES_ON_AFTER = INFIX | {"MINUS", "LBRACE", "COLON", "RANGE", "YIELDS", "ARROW", "NOT", "THEN", "ELSE", "WHERE"}
GOES_ON_BEFORE = INFIX | {"LBRACE", "RBRACE", "YIELDS", "ARROW", "THEN", "ELSE", "WHERE"}


class Token(Struct, frozen=True, gc=False):
    """A word of the text at characters [start, end); `kind` is a terminal of the grammar, `COMMENT` or `ODD`."""

    kind: str
    text: str
    start: int
    end: int


def scan(source: Source, grammar: Grammar) -> list[Token]:
    """All tokens in order, with comments, line ends (also those that do not count) and odd characters."""
    keywords = grammar.keywords
    tokens = []
    start = 1 if source.text.startswith("\ufeff") else 0
    for found in grammar.scanner.finditer(source.text, start):
        kind = found.lastgroup
        if kind is None:
            continue
        text = found.group()
        tokens.append(Token(keywords.get(text, kind) if kind == "NAME" else kind, text, *found.span()))
    return tokens


def significant(tokens: Sequence[Token], first: int = 0) -> Iterator[Token]:
    """What the grammar sees of the tokens from number `first` on: no comments, no odd characters, and of the line ends
    between two tokens one if it counts.  The last token is the end of the text."""
    brackets: list[str] = []
    before = "LBRACE"
    line_end: Token | None = None
    for number in range(first, len(tokens)):
        token = tokens[number]
        kind = token.kind
        if kind == "_NL":
            if line_end is None or token.text == ";":
                line_end = token
            continue
        if kind == "COMMENT" or kind == "ODD":
            continue
        if line_end is not None:
            if _counts(line_end, before, kind, brackets):
                yield line_end
            line_end = None
        if kind in OPEN:
            brackets.append(kind)
        elif kind in CLOSE and brackets:
            brackets.pop()
        yield token
        before = kind
    end = tokens[-1].end if tokens else 0
    yield Token(END, "", end, end)


def _counts(line_end: Token, before: str, after: str, brackets: list[str]) -> bool:
    """Whether a line end between tokens of these kinds ends something."""
    if line_end.text == ";":
        return before != "LBRACE" and after != "RBRACE"
    inside = bool(brackets) and brackets[-1] != "LBRACE"
    return not inside and before not in GOES_ON_AFTER and after not in GOES_ON_BEFORE
