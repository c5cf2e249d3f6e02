"""The grammar as tables: made by lark from `isa.lark`, kept in `isa.tables.json`, read back in milliseconds.

Building LALR tables takes a second, so they are generated once and shipped beside the grammar, as plain JSON, with the
digest of the grammar that they were made from.  If the grammar was edited since, the tables are made in memory; a test
compares the file.  To write the file anew: `python -m analyzer.syntax.grammar`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from msgspec import Struct

GRAMMAR, TABLES = "isa.lark", "isa.tables.json"
STARTS = ("start", "items")
END = "$END"


class Child(Struct, frozen=True):
    """A child that a rule keeps: symbol `index` of its right side after `nones` absent optional parts; `inline` if the
    symbol is a helper whose children are the rule's own."""

    index: int
    inline: bool
    nones: int


class Rule(Struct, frozen=True):
    """`origin: …` with `length` symbols.  `name` is the function that builds its value, None if the value is that of
    its only child; helpers (`_` in front) just collect."""

    origin: str
    name: str | None
    length: int
    children: tuple[Child, ...]
    trailing: int


class Grammar(Struct, frozen=True, eq=False):
    """`actions[state]` maps a terminal to what to do: n > 0 shifts to state n, n < 0 reduces by rule -n - 1; `default`
    has the rule (so coded) of states that can only reduce, else 0.  `accept` has the final state of each start."""

    scanner: re.Pattern[str]
    terminals: tuple[str, ...]
    keywords: Mapping[str, str]
    spelling: Mapping[str, str]
    rules: tuple[Rule, ...]
    actions: tuple[Mapping[str, int], ...]
    default: tuple[int, ...]
    goto: tuple[Mapping[str, int], ...]
    start: Mapping[str, int]
    accept: Mapping[str, int]


@cache
def load() -> Grammar:
    """The grammar, from the generated tables if they are of the grammar as it is now."""
    folder = resources.files("analyzer.syntax")
    text = folder.joinpath(GRAMMAR).read_text(encoding="utf-8")
    try:
        tables = json.loads(folder.joinpath(TABLES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        tables = {}
    return decode(tables if tables.get("grammar") == digest(text) else generate(text))


def digest(text: str) -> str:
    """Names the version of a grammar, whatever the line ends of the checkout."""
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def decode(tables: Mapping[str, Any]) -> Grammar:
    """The tables as they are used."""
    terminals, nonterminals = tables["terminals"], tables["nonterminals"]
    rows = [dict(zip((terminals[t] for t in row[::2]), row[1::2], strict=True)) for row in tables["rows"]]
    jumps = [dict(zip((nonterminals[n] for n in row[::2]), row[1::2], strict=True)) for row in tables["jumps"]]
    patterns = "|".join(f"(?P<{name}>{pattern})" for name, pattern in tables["patterns"])
    return Grammar(
        scanner=re.compile(rf"[ \t]+|{patterns}|(?P<ODD>.)"),
        terminals=tuple(terminals),
        keywords=tables["keywords"],
        spelling=tables["spelling"],
        rules=tuple(
            Rule(
                nonterminals[origin], name, length, tuple(Child(i, bool(inline), n) for i, inline, n in kept), trailing
            )
            for origin, name, length, kept, trailing in tables["rules"]
        ),
        actions=tuple(rows[row] for row, _, _ in tables["states"]),
        default=tuple(default for _, default, _ in tables["states"]),
        goto=tuple(jumps[row] for _, _, row in tables["states"]),
        start=tables["start"],
        accept=tables["accept"],
    )


def generate(text: str) -> dict[str, Any]:
    """The tables of a grammar, by lark.  They depend on the text alone: states and rules are numbered as one meets
    them from the start states, symbols in alphabetical order."""
    from lark import Lark  # a second to import and build, which only who edits the grammar has to wait
    from lark.lexer import PatternStr
    from lark.parsers.lalr_analysis import Shift

    lark = Lark(text, parser="lalr", lexer="basic", postlex=_Filter(), maybe_placeholders=True, start=list(STARTS))
    parser: Any = lark.parser
    table = parser.parser._parse_table

    terminals = sorted({*(t.name for t in lark.terminals), END})
    order = sorted(lark.terminals, key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name))
    name_pattern = next(t.pattern.to_regexp() for t in lark.terminals if t.name == "NAME")
    words = {
        t.pattern.value: t.name
        for t in lark.terminals
        if isinstance(t.pattern, PatternStr) and re.fullmatch(name_pattern, t.pattern.value)
    }
    patterns = [
        (t.name, t.pattern.to_regexp())
        for t in order
        if (t.name not in words.values() and t.name not in lark.ignore_tokens) or t.name == "COMMENT"
    ]

    numbers = {table.start_states[start]: i for i, start in enumerate(STARTS)}
    queue = list(numbers)
    for state in queue:
        for symbol in sorted(table.states[state]):
            action, target = table.states[state][symbol]
            if action is Shift and target not in numbers:
                numbers[target] = len(numbers)
                queue.append(target)

    nonterminals = sorted({rule.origin.name for rule in lark.rules})
    rules: dict[Any, int] = {}
    rows: dict[tuple[int, ...], int] = {}
    jumps: dict[tuple[int, ...], int] = {}
    states = []
    for state in queue:
        row: list[int] = []
        jump: list[int] = []
        for symbol in sorted(table.states[state]):
            action, target = table.states[state][symbol]
            if action is not Shift:
                row += terminals.index(symbol), -rules.setdefault(target, len(rules)) - 1
            elif symbol in terminals:
                row += terminals.index(symbol), numbers[target]
            else:
                jump += nonterminals.index(symbol), numbers[target]
        only = set(row[1::2])
        default = row[1] if len(only) == 1 and row[1] < 0 else 0
        states.append((rows.setdefault(tuple(row), len(rows)), default, jumps.setdefault(tuple(jump), len(jumps))))
    return {
        "grammar": digest(text),
        "terminals": terminals,
        "nonterminals": nonterminals,
        "patterns": patterns,
        "keywords": dict(sorted(words.items())),
        "spelling": {t.name: t.pattern.value for t in order if isinstance(t.pattern, PatternStr)},
        "rules": [_rule(rule, nonterminals) for rule in rules],
        "rows": list(rows),
        "jumps": list(jumps),
        "states": states,
        "start": {start: numbers[table.start_states[start]] for start in STARTS},
        "accept": {start: numbers[table.end_states[start]] for start in STARTS},
    }


class _Filter:
    """Tells lark that a filter stands between lexer and parser."""

    always_accept = ()

    def process(self, stream: Iterable[Any]) -> Iterable[Any]:
        return stream


def _rule(rule: Any, nonterminals: list[str]) -> tuple[Any, ...]:
    """How the value of a rule is built, as lark's own tree builder would: punctuation is left out, absent optional
    parts are None, helpers are spliced, and a `?` rule with one child is that child."""
    marks = "".join("1" if absent else "0" for absent in rule.options.empty_indices)
    absent = [len(ones) for ones in marks.split("0")] if marks else [0] * (len(rule.expansion) + 1)
    kept: list[tuple[int, int, int]] = []
    nones = 0
    for i, symbol in enumerate(rule.expansion):
        nones += absent[i]
        if rule.options.keep_all_tokens or not (symbol.is_term and symbol.filter_out):
            kept.append((i, int(not symbol.is_term and symbol.name.startswith("_")), nones))
            nones = 0
    nones += absent[len(rule.expansion)]
    single = len(kept) == 1 and not nones and not kept[0][1] and not kept[0][2]
    origin = rule.origin.name
    passes = rule.options.expand1 and single and not rule.alias
    name = rule.alias or origin
    if origin.startswith("_") or passes:
        name = None if len(rule.expansion) == 1 or origin.startswith("_") else "only"
    return nonterminals.index(origin), name, len(rule.expansion), kept, nones


def encode(tables: Mapping[str, Any]) -> str:
    """The tables as the text of their file: a line an entry where that keeps diffs readable."""
    lines = []
    for key, value in tables.items():
        if key in {"rules", "rows", "jumps", "states"}:
            entries = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in value)
            lines.append(f'"{key}":[\n{entries}\n]')
        else:
            lines.append(f'"{key}":{json.dumps(value, separators=(",", ":"))}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    _folder = Path(__file__).parent
    _folder.joinpath(TABLES).write_text(
        encode(generate((_folder / GRAMMAR).read_text(encoding="utf-8"))), encoding="utf-8"
    )
