"""The place where the parser got stuck, and the words for it."""

from __future__ import annotations

import re

from msgspec import Struct

from analyzer.errors import Diagnostic
from analyzer.source import Source, Span
from analyzer.syntax.grammar import END, Grammar
from analyzer.syntax.lines import CLOSE, GOES_ON_BEFORE, OPEN, Token

ITEM_WORDS = {
    "ADVANCE", "BEFORE", "CHOICE", "DELIVER", "ENABLE", "ENUM", "EXAMPLE", "EXPECT", "FEATURE", "FETCH", "FN", "FOR",
    "FORMAT", "IMPORT", "INSTR", "INTERRUPT", "INVARIANT", "MAP", "MEMORY", "MODE", "OPERAND", "OVERRIDE", "PARAM",
    "REMOVE", "SCHEME", "SOURCE", "STATE", "TABLE", "TRAP", "TYPE", "UNIT", "UNSPECIFIED", "VIEW", "WHEN",
}  # fmt: skip
"""The terminals that begin an item."""


SOFT = {
    "READ", "WRITE", "CHECK", "PLACE", "AT", "NEXT", "TO", "FROM", "LIMIT", "SIZE", "ON", "OF", "FETCH", "RUN",
    "MONITOR", "SOURCE", "SET", "NAMES", "OWN", "GUEST", "DIRECT", "COMPOSE", "ENVIRONMENT", "CHOOSE", "FEATURE",
    "ENABLE",
}  # fmt: skip
"""The words that are names wherever a name may stand (`ident` in the grammar)."""


class Scene(Struct, frozen=True):
    """A token that does not fit, and what is around it."""

    source: Source
    grammar: Grammar
    tokens: tuple[Token, ...]
    expected: frozenset[str]

    @property
    def found(self) -> Token:
        return self.tokens[-1]

    @property
    def before(self) -> Token:
        return next((token for token in reversed(self.tokens[:-1]) if token.kind != "_NL"), Token("_NL", "", 0, 0))

    @property
    def missing(self) -> bool:
        """Whether the line or the block ends before what should stand there."""
        if self.found.kind in {"_NL", END, "RBRACE"}:
            return self.before.end > 0
        ended = len(self.tokens) > 1 and self.tokens[-2].kind == "_NL"
        return self.first_on_line and not ended and self.found.kind not in GOES_ON_BEFORE

    @property
    def first_on_line(self) -> bool:
        """Whether the line of the token begins with it."""
        return "\n" in self.source.text[self.before.end : self.found.start]

    @property
    def place(self) -> Span:
        """The token; or, where something is missing, just after the token before."""
        if self.missing:
            return self.source.span(self.before.end, self.before.end)
        return self.source.span(self.found.start, self.found.end)

    @property
    def found_span(self) -> Span:
        return self.source.span(self.found.start, self.found.end)

    @property
    def at_margin(self) -> bool:
        """Whether the token is the first on its line and nothing is left of it."""
        return self.found.start == 0 or self.source.text[self.found.start - 1] == "\n"

    def rest_of_line(self) -> str:
        """The text from the token to the end of its line."""
        return re.split(r"[\n;]", self.source.text[self.found.start :], maxsplit=1)[0]

    def open_brackets(self) -> list[Token]:
        """The brackets that are open before the token, the innermost last."""
        stack: list[Token] = []
        for token in self.tokens[:-1]:
            if token.kind in OPEN:
                stack.append(token)
            elif token.kind in CLOSE and stack:
                stack.pop()
        return stack

    def statement(self) -> list[Token]:
        """The tokens before this one, back to the beginning of the statement, arm or item; brackets count as one."""
        tokens: list[Token] = []
        depth = 0
        for token in reversed(self.tokens[:-1]):
            if token.kind in CLOSE:
                if depth == 0 and token.kind == "RBRACE":
                    break
                depth += 1
            elif token.kind in OPEN:
                if depth == 0:
                    break
                depth -= 1
            elif depth == 0 and token.kind == "_NL":
                break
            if depth == 0:
                tokens.append(token)
        return tokens[::-1]

    def report(self, code: str, message: str, hint: str | None = None, span: Span | None = None) -> Diagnostic:
        return Diagnostic(code, message, span or self.place, hint)


def spoken(token: Token) -> str:
    """A token as it is shown in a message."""
    match token.kind:
        case "STRING":
            return token.text if len(token.text) <= 24 else token.text[:20] + '…"'
        case "_NL":
            return "`;`" if token.text == ";" else "the end of the line"
        case "$END":
            return "the end of the file"
        case _:
            return f"`{token.text}`" if len(token.text) <= 40 else f"`{token.text[:36]}…`"
