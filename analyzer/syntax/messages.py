"""What the parser could not read, in words.

The automaton knows what would have fitted; that gives the general message (PG101), after the `mistakes` that have
messages of their own.  Text that is no token at all is found before parsing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from analyzer.errors import Diagnostic
from analyzer.source import Source
from analyzer.syntax.grammar import END, Grammar
from analyzer.syntax.lalr import Stuck
from analyzer.syntax.lines import GOES_ON_AFTER, Token
from analyzer.syntax.mistakes import MISTAKES
from analyzer.syntax.scene import ITEM_WORDS, SOFT, Scene, spoken

MOST = 6
"""How many alternatives a message lists."""


def explain(source: Source, grammar: Grammar, stuck: Stuck) -> Diagnostic:
    """The diagnostic for the place where the parser got stuck."""
    scene = Scene(source, grammar, stuck.tokens, stuck.expected)
    if stuck.overflow:
        return too_much_open(scene)
    return next((d for mistake in MISTAKES if (d := mistake(scene))), None) or misfit(scene)


def too_much_open(scene: Scene) -> Diagnostic:
    return scene.report(
        "PG110", "this is nested too deep", "name parts of it with `let`, or move them to an `fn`", scene.found_span
    )


# -- the general message -----------------------------------------------------------------------------------------------


def misfit(scene: Scene) -> Diagnostic:
    """PG101: what stands here, and what could."""
    never = {"_NL"} if scene.before.kind in GOES_ON_AFTER else set()
    wanted = listing(words(scene.grammar, scene.expected - never))
    if scene.missing and scene.found.kind != "RBRACE":
        where = "the end of the file" if scene.found.kind == END else "the end of the line"
        return scene.report("PG101", f"expected {wanted} before {where}")
    if scene.missing:
        return scene.report("PG101", f"expected {wanted} before `}}`")
    return scene.report("PG101", f"expected {wanted}, not {spoken(scene.found)}")


def listing(alternatives: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`; no more than `MOST`."""
    shown = list(alternatives[:MOST])
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " or " + shown[-1]


PHRASES: tuple[tuple[str, frozenset[str]], ...] = (
    ("a statement", frozenset({"LET", "RETURN", "DONE"})),
    ("an item (`state`, `operand`, `instr` …)", frozenset({"INSTR", "STATE", "ENUM"})),
    ("an expression", frozenset({"NAME", "NUM", "MINUS", "LPAR"})),
    ("bits or a field", frozenset({"NAME", "NUM", "TILDE"})),
    ("a type or width", frozenset({"NAME", "NUM", "LPAR"})),
    ("an operator", frozenset({"PLUS", "MUL"})),
    ("a number", frozenset({"NUM"})),
    ("a name", frozenset({"NAME"})),
    ("a text in quotes", frozenset({"STRING"})),
)
"""What sets of terminals are called, the first that fits; each stands for all that `COVERED` says."""

COVERED: dict[str, frozenset[str]] = {
    "an expression": frozenset({"NAME", "NUM", "BASED", "MINUS", "NOT", "LPAR", "IF", "MATCH", "TABLE", "MODE"} | SOFT),
    "a statement": frozenset(
        {"LET", "VAR", "RETURN", "DONE", "AGAIN", "COMMIT", "EXECUTE", "UNPREDICTABLE", "TRAP", "IF", "MATCH", "FOR"}
        | {"WHILE", "NAME", "NUM", "BASED", "LPAR", "TABLE", "MODE"}
        | SOFT
    ),
    "an item (`state`, `operand`, `instr` …)": frozenset(ITEM_WORDS),
    "bits or a field": frozenset({"NAME", "NUM", "BASED", "TILDE"} | SOFT),
    "a type or width": frozenset({"NAME", "NUM", "LPAR"}),
    "an operator": frozenset(
        {"PLUS", "MINUS", "MUL", "JOIN", "SHIFT", "CMP", "MORETHAN", "AND", "OR", "XOR", "DOT", "LSQB", "LPAR"}
    ),
    "a number": frozenset({"NUM", "BASED"}),
    "a name": frozenset({"NAME"} | SOFT),
    "a text in quotes": frozenset({"STRING"}),
}

FIRST = [
    "EQUAL",
    "LBRACE",
    "COLON",
    "RPAR",
    "RSQB",
    "RBRACE",
    "COMMA",
    "YIELDS",
    "ARROW",
    "VBAR",
    "LPAR",
    "LSQB",
    "DOT",
]
"""Punctuation in the order in which a message lists it."""


def words(grammar: Grammar, expected: frozenset[str]) -> list[str]:
    """The terminals in words: kinds of phrases, punctuation, an operator, the end of the line, other words."""
    left = set(expected)
    phrases: list[str] = []
    for phrase, signs in PHRASES:
        if signs <= left:
            phrases.append(phrase)
            left -= COVERED[phrase]
    last = [phrase for phrase in phrases if phrase == "an operator"]
    phrases = [phrase for phrase in phrases if phrase != "an operator"]
    if "_NL" in left:
        last.append("the end of the line")
    elif END in left:
        last.append("the end of the file")
    left -= {"_NL", END}
    marks = [f"`{spell(grammar, kind)}`" for kind in FIRST if kind in left]
    others = sorted(f"`{spell(grammar, kind)}`" for kind in left - set(FIRST))
    return [*phrases, *marks, *last, *others] or ["nothing"]


PATTERN_NAMES = {"CMP": "==", "SHIFT": "<<", "MUL": "*", "ASSIGN": "+=", "NUM": "0", "BASED": "0x0", "OR": "or"}


def spell(grammar: Grammar, kind: str) -> str:
    """How a terminal is written; an example where there are several ways."""
    return PATTERN_NAMES.get(kind) or grammar.spelling.get(kind, kind.lower())


# -- text that is no token ---------------------------------------------------------------------------------------------

FOREIGN = {
    "&": "write `and`, for bits too",
    "&&": "write `and`",
    "^": "write `xor`, for bits too",
    "!": "write `not`",
    "?": "write `if cond then a else b`",
}
"""Operators of other languages with characters that ours does not use."""

TYPOGRAPHY = {
    "'": 'texts stand in double quotes: `"…"`; based numbers are written `0xFF`',
    "#": "comments begin with `//`",
    "\\": "a line goes on after an operator or a comma, and inside brackets",
    "\r": "end lines with a line feed",
}


PERHAPS_ODD = {"ODD", "STRING", "COMMENT", "NUM", "BASED"}


def odd_text(source: Source, tokens: Sequence[Token]) -> Iterator[Diagnostic]:
    """What is wrong with the text before it is parsed: one diagnostic a line."""
    line = 0
    for i, token in enumerate(tokens):
        diagnostic = odd_token(source, tokens, i, token) if token.kind in PERHAPS_ODD else None
        if diagnostic and diagnostic.span and diagnostic.span.line > line:
            line = diagnostic.span.line
            yield diagnostic


def odd_token(source: Source, tokens: Sequence[Token], i: int, token: Token) -> Diagnostic | None:
    match token.kind:
        case "ODD":
            return odd_character(source, token)
        case "STRING" | "COMMENT":
            return control_character(source, token)
        case "NUM" | "BASED":
            return malformed_number(source, tokens, i)
        case _:
            return None


def odd_character(source: Source, token: Token) -> Diagnostic:
    text = token.text
    if text == '"':
        end = source.text.find("\n", token.start)
        span = source.span(token.start, len(source.text) if end < 0 else end)
        return Diagnostic("PG103", "this text has no closing quote", span, 'a text ends with `"` on its own line')
    if source.text.startswith(text * 2, token.start) and text * 2 in FOREIGN:
        text *= 2
    span = source.span(token.start, token.start + len(text))
    if text in FOREIGN:
        return Diagnostic("PG108", f"there is no operator `{text}`", span, FOREIGN[text])
    return Diagnostic("PG102", f"{character(text)} has no meaning here", span, advice(text))


def character(text: str) -> str:
    """A character as a message shows it."""
    name = unicodedata.name(text, "")
    if not text.isprintable() or text.isspace():
        return f"the character U+{ord(text):04X}" + (f" ({name.lower()})" if name else "")
    return f"`{text}`"


def advice(text: str) -> str | None:
    """What was probably meant by a character."""
    if text in TYPOGRAPHY:
        return TYPOGRAPHY[text]
    match unicodedata.category(text):
        case "Zs":
            return "use an ordinary space"
        case "Pd":
            return "use an ordinary hyphen, `-`"
        case "Pi" | "Pf":
            return 'use the straight quote `"`'
        case "Lu" | "Ll" | "Lt" | "Lm" | "Lo" | "Nd":
            return "names are of the letters A–Z and a–z, digits and `_`"
        case _:
            return {"≠": "write `!=`", "≤": "write `<=`", "≥": "write `>=`", "×": "write `*`"}.get(text)


def control_character(source: Source, token: Token) -> Diagnostic | None:
    odd = next((i for i, c in enumerate(token.text) if (c < " " and c != "\t") or c == "\x7f"), None)
    if odd is None and token.kind == "STRING" and "\t" in token.text:
        odd = token.text.index("\t")
    if odd is None or token.text[odd:] == "\r":
        return None
    span = source.span(token.start + odd, token.start + odd + 1)
    return Diagnostic("PG102", f"{character(token.text[odd])} has no meaning here", span, "delete it")


DIGITS = {
    "0x": "after `0x` come the digits 0–9 and A–F",
    "0o": "after `0o` come the digits 0–7",
    "0b": "after `0b` come the digits 0 and 1",
}


def malformed_number(source: Source, tokens: Sequence[Token], i: int) -> Diagnostic | None:
    """Digits that run into letters, or a base without digits."""
    first = tokens[i]
    end, last = first.end, i
    while last + 1 < len(tokens) and tokens[last + 1].start == end and is_word(tokens[last + 1]):
        last += 1
        end = tokens[last].end
    if (last == i and first.text[2:].strip("_") != "") or (last == i and first.kind == "NUM"):
        return None
    text = source.text[first.start : end]
    hint = DIGITS.get(text[:2].lower(), "a name begins with a letter; bits and names stand apart: `01 rd`")
    shown = text if len(text) <= 40 else text[:36] + "…"
    return Diagnostic("PG113", f"`{shown}` is not a number", source.span(first.start, end), hint)


def is_word(token: Token) -> bool:
    return token.text[0].isalnum() or token.text[0] == "_"
