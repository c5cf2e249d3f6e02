"""The mistakes that people make, recognised where the parser gets stuck: most are habits from other languages.

Each function of `MISTAKES` looks at the scene and gives a diagnostic if it is the mistake that it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from analyzer.errors import Diagnostic
from analyzer.syntax.grammar import END
from analyzer.syntax.lines import CLOSE, OPEN, Token
from analyzer.syntax.scene import ITEM_WORDS, SOFT, Scene, spoken

SYMBOL = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"}

STRUCTURE = {
    "IF", "THEN", "ELSE", "MATCH", "AND", "OR", "XOR", "NOT", "FOR", "WHILE", "IN", "WHERE", "AS", "LET", "VAR",
    "RETURN", "TRAP", "EXECUTE", "WHEN",
}  # fmt: skip
"""Reserved words that stand where a name should be because something is missing, not because they are names."""

BODIES = {
    "IF": "if cond { … }",
    "ELSE": "else { … }",
    "WHILE": "while cond limit 64 { … }",
    "FOR": "for i in 0..7 { … }",
    "MATCH": "match e { label => … }",
    "DELIVER": "deliver t { … }",
    "ADVANCE": "advance { … }",
    "BEFORE": "before name, name { … }",
    "MAP": "map mem[a : 32] on phys { … }",
    "CHECK": "check { … }",
    "READ": "read { … }",
    "WRITE": "write v { … }",
    "FN": "fn f(a : 8) -> 8 { … }` or `fn f(a : 8) -> 8 = e",
    "INSTR": 'instr "text" = pattern { … }',
    "SCHEME": "scheme name { … }",
}
"""What needs a body in braces, and how it looks."""


def no_header(scene: Scene) -> Diagnostic | None:
    if "ISA" in scene.expected:
        message = "a spec begins with `isa` and its name"
        return scene.report("PG112", message, 'for example `isa tiny "A small machine"`', scene.found_span)
    if scene.found.kind == "ISA":
        return scene.report("PG112", "a file has one `isa` line, its first", "put the other machine into its own file")
    return None


def bracket(scene: Scene) -> Diagnostic | None:
    """A bracket that is not closed, or closed by another one, or closes nothing."""
    found, opened = scene.found, scene.open_brackets()
    if not opened:
        if found.kind in CLOSE:
            return scene.report(
                "PG104", f"`{found.text}` closes nothing", "delete it, or open it before", scene.found_span
            )
        return None
    inner = opened[-1]
    line = scene.source.span(inner.start, inner.end).line
    closer = SYMBOL[OPEN[inner.kind]]
    if found.kind in CLOSE and found.kind != OPEN[inner.kind]:
        return scene.report(
            "PG104", f"expected `{closer}` to close the `{inner.text}` of line {line}, before `{found.text}`"
        )
    if inner.kind != "LBRACE" and scene.first_on_line and OPEN[inner.kind] in scene.expected and found.kind != END:
        return scene.report("PG104", f"expected `{closer}` to close the `{inner.text}` of line {line}")
    if found.kind == END or (found.kind in ITEM_WORDS and scene.at_margin):
        span = scene.source.span(inner.start, inner.end)
        return scene.report("PG104", f"this `{inner.text}` is never closed", intruder(scene, inner), span)
    return None


def intruder(scene: Scene, opened: Token) -> str:
    """What to do about an open bracket; names the first item that begins at the left margin after it."""
    for token in scene.tokens:
        if token.start > opened.start and token.kind in ITEM_WORDS:
            span = scene.source.span(token.start, token.end)
            if span.column == 1:
                return f"close it before line {span.line}, where `{token.text}` begins"
    return f"close it with `{SYMBOL[OPEN[opened.kind]]}`"


def reserved_word(scene: Scene) -> Diagnostic | None:
    found = scene.found
    if found.text not in scene.grammar.keywords or found.kind in STRUCTURE or "NAME" not in scene.expected:
        return None
    if scene.missing or (found.kind in SOFT and "NUM" in scene.expected):
        return None
    return scene.report(
        "PG105", f"`{found.text}` is a reserved word, so nothing can have this name", f"write `{found.text}_`"
    )


def chained_comparison(scene: Scene) -> Diagnostic | None:
    if scene.found.kind not in {"CMP", "MORETHAN"} or "AND" not in scene.expected or "CMP" in scene.expected:
        return None
    return scene.report("PG106", "comparisons do not chain", "write `a < b and b < c`")


def equals(scene: Scene) -> Diagnostic | None:
    """`=` for `==`, and the other way round."""
    found, head = scene.found, scene.statement()
    if "EQUAL" in scene.expected and found.kind in {"MUL", "SHIFT", "VBAR"}:
        shown = f"{found.text}=" if scene.source.text.startswith("=", found.end) else found.text
        return scene.report("PG108", f"`{shown}` does not assign", "only `=`, `+=` and `-=` write a place")
    if found.kind == "EQUAL" and scene.before.kind == "COLON":
        return scene.report("PG108", "there is no operator `:=`", "write `=`; a type stands between: `let x : 8 = 0`")
    if found.kind == "EQUAL" and "AND" in scene.expected:
        if any(token.kind == "EQUAL" for token in head) and "WHERE" not in {token.kind for token in head}:
            return scene.report("PG107", "a second `=` in one statement", "write `==` to compare, or two assignments")
        return scene.report("PG107", "`=` does not compare", "write `==`")
    if found.text == "==" and "EQUAL" in scene.expected:
        return scene.report("PG107", "`==` compares, it does not assign", "write `=`")
    return None


def foreign(scene: Scene) -> Diagnostic | None:
    """The operators and words of other languages."""
    found, before, expected = scene.found, scene.before, scene.expected
    touching = before.end == found.start
    if found.kind == "VBAR" and ("OR" in expected or (before.kind == "VBAR" and touching)):
        double = scene.source.text.startswith("||", found.start) or before.kind == "VBAR"
        sign = "||" if double else "|"
        span = scene.source.span(found.start, found.start + len(sign)) if before.kind != "VBAR" else None
        return scene.report("PG108", f"there is no operator `{sign}`", "write `or`, for bits too", span)
    if found.kind == "TILDE":
        return scene.report("PG108", "`~` stands only before should-be bits in a pattern", "write `not`, for bits too")
    if "/*" in (scene.source.text[found.start : found.start + 2], before.text + found.text):
        return scene.report("PG108", "comments are not `/* … */`", "begin each line with `//`", scene.found_span)
    if found.kind == "MUL" and before.kind == "MUL" and touching:
        return scene.report("PG108", f"there is no operator `{before.text}{found.text}`")
    if found.kind == "JOIN" and "EQUAL" in expected:
        return scene.report("PG108", "`++` joins bits, it does not count", "write `x += 1`")
    if found.text in {"elif", "elsif", "elseif"}:
        return scene.report("PG108", f"`{found.text}` is written `else if`")
    if "YIELDS" in expected and found.kind in {"ARROW", "COLON", "EQUAL"}:
        return scene.report("PG108", f"expected `=>`, not `{found.text}`", "an arm is written `label => value`")
    if "ARROW" in expected and found.kind in {"YIELDS", "COLON"}:
        return scene.report("PG108", f"expected `->`, not `{found.text}`", "what an `fn` returns is written `-> 8`")
    if "RANGE" in expected and found.kind == "TAIL":
        return scene.report("PG108", "a range is written `a..b`", "both ends are included")
    return None


def missing_braces(scene: Scene) -> Diagnostic | None:
    statement = scene.statement()
    if "LBRACE" not in scene.expected or not statement:
        return None
    head = statement[0]
    shape = BODIES.get(head.kind)
    if shape is None or (not scene.missing and "{" in scene.rest_of_line() and scene.found.kind != "COLON"):
        return None
    return scene.report("PG109", f"the body of `{head.text}` stands in braces", f"write `{shape}`")


def missing_part(scene: Scene) -> Diagnostic | None:
    """A part that the language wants and others do not."""
    statement, found, expected = scene.statement(), scene.found, scene.expected
    if not statement:
        return None
    head = statement[0].kind
    if head == "STATE" and len(statement) == 2 and found.kind in {"COLON", "COMMA", "LSQB"}:
        name = statement[1].text
        hint = f"the role comes first: `state guest {name} : 32`, or `mode`, `map`, `control` …"
        return scene.report(
            "PG114", f"`{name}` has no role", hint, scene.source.span(statement[1].start, statement[1].end)
        )
    if head == "WHILE" and "LIMIT" in expected and found.kind == "LBRACE":
        return scene.report("PG114", "this loop has no bound", "write `while cond limit 64 { … }`")
    if head == "MAP" and "ON" in expected and found.kind == "LBRACE":
        return scene.report("PG114", "this map is on no memory", "write `map mem[a : 32] on phys { … }`")
    if head == "TRAP" and "COLON" in expected and (scene.missing or found.kind in {"LBRACE", "EQUAL"}):
        name = statement[1].text if len(statement) > 1 else "x"
        return scene.report(
            "PG114", f"trap `{name}` has no kind", f"write `trap {name} : privileged`, or `memory`, `call` …"
        )
    if head in {"VIEW", "MEMORY", "ENUM"} and "COLON" in expected and found.kind in {"EQUAL", "LBRACE", "_NL"}:
        word, name = statement[0].text, statement[1].text if len(statement) > 1 else "x"
        return scene.report("PG114", f"this {word} has no width", f"write `{word} {name} : 32`, and then the rest")
    if scene.before.kind == "RETURN" and scene.missing:
        return scene.report("PG114", "`return` has no value", "write `done` to end an instruction early")
    return None


def misplaced_statement(scene: Scene) -> Diagnostic | None:
    if "INSTR" not in scene.expected or scene.found.kind not in {
        "NAME",
        "IF",
        "LET",
        "VAR",
        "MATCH",
        "WHILE",
        "RETURN",
    }:
        return None
    items = [scene.grammar.spelling[kind] for kind in sorted(ITEM_WORDS)]
    word = scene.found.text
    near = [item for item in items if len(item) > 2 and word.startswith(item)] or get_close_matches(word, items, 1, 0.7)
    hint = "an item begins with a word such as `state`, `operand` or `instr`; statements stand between braces"
    if near and scene.found.kind == "NAME":
        hint = f"did you mean `{near[0]}`?"
    return scene.report("PG101", f"expected an item, not {spoken(scene.found)}", hint, scene.found_span)


MISTAKES: tuple[Callable[[Scene], Diagnostic | None], ...] = (
    no_header,
    bracket,
    chained_comparison,
    equals,
    foreign,
    missing_part,
    missing_braces,
    misplaced_statement,
    reserved_word,
)
