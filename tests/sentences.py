"""Random texts of the language, for the fuzzers: sentences of its grammar, and mutations of other texts."""

from __future__ import annotations

import random
from collections.abc import Sequence

from analyzer.source import Source
from analyzer.syntax import grammar
from analyzer.syntax.grammar import END
from analyzer.syntax.lalr import advance
from analyzer.syntax.lines import scan

KNOWN = """
    M s u l b P r halted R PSW memory privileged illegal svc E mem r1 r2 a F Mode t access width bits here length pc
    unknown zext sext trunc zeros ones min popcount clz ror x n v w q read write fetch base bool little msb0 classic
    add sub mov halt relative signed hex code addr fault translate true false sensitive not_user
"""
NAMES = KNOWN.split()
"""Names that mean something in the machine of the paper, and some that do not."""

SPELLINGS = {
    "NAME": NAMES,
    "NUM": ["0", "1", "2", "3", "5", "8", "16", "21", "64", "01", "0000", "101"],
    "BASED": ["0x01", "0x60", "0xFF", "0b1", "0o7"],
    "STRING": ['"x {r1}"', '"why"', '"{r1}, {r2}"', '"a b"', '""', '"{x}"', '"{a:hex}"', '"{n?s|t}"'],
    "_NL": ["\n"],
    "CMP": ["==", "!=", "<", "<=", "<s", ">=s"],
    "SHIFT": ["<<", ">>", ">>s"],
    "MUL": ["*", "/", "%", "/s"],
    "ASSIGN": ["+=", "-="],
}
CLOSING = ("RBRACE", "RPAR", "RSQB", "_NL")
SHORT = ("NAME", "NUM", "EQUAL", "LBRACE", "THEN", "ELSE", "YIELDS", "COLON")
WEIGHT = {"NAME": 4, "NUM": 2, "RBRACE": 2, "RPAR": 2, "RSQB": 2, "_NL": 2, "EQUAL": 2, "DOT": 2, "LSQB": 2}
HUGE = ["0", "4096", "4097", "65536", "1000000000", "18446744073709551616", "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"]
SMALL = ["0", "1", "2", "3", "7", "8", "16", "31", "32", "33", "64", "65"]


def sentence(rng: random.Random, most: int) -> str:
    """Some items, by a random walk through the automaton of the grammar; after `most` tokens it takes the short way."""
    tables = grammar.load()
    stack, out = [tables.start["items"]], list[str]()
    while len(out) < 4 * most:
        able = []
        for kind in tables.terminals:
            after = list(stack)
            state = advance(tables, after, kind)
            if state and kind not in ("COMMENT", END):
                able.append((kind, [*after, state]))
        if not able or (advance(tables, list(stack), END) and (len(out) > most or rng.random() < 0.05)):
            break
        if len(out) > most:
            able = [a for a in able if a[0] in CLOSING] or [a for a in able if a[0] in SHORT] or able
        kind, stack = rng.choices(able, [WEIGHT.get(kind, 1) for kind, _ in able])[0]
        words = {kind: word for word, kind in tables.keywords.items()}
        out.append(rng.choice(SPELLINGS.get(kind) or [tables.spelling.get(kind) or words[kind]]))
    return " ".join(out)


def pieces(text: str) -> list[str]:
    """The text cut into tokens and what is between them."""
    out, end = [], 0
    for token in scan(Source("t.isa", text), grammar.load()):
        out += [text[end : token.start], token.text]
        end = token.end
    return [*out, text[end:]]


def mutated(parts: Sequence[str], words: Sequence[str], rng: random.Random) -> str:
    """A text with a few tokens or lines deleted, doubled, exchanged or replaced."""
    parts = list(parts)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 6))):
        tokens = [i for i, part in enumerate(parts) if part.strip()]
        numbers = [i for i in tokens if parts[i][0].isdigit()]
        if not tokens:
            break
        i, j = rng.choice(tokens), rng.choice(tokens)
        match rng.randrange(9):
            case 0:
                parts[i] = ""
            case 1:
                parts[i] += f" {parts[j]} "
            case 2:
                parts[i], parts[j] = parts[j], parts[i]
            case 3:
                parts[i] = parts[j]
            case 4 | 5:
                parts[i] = f" {rng.choice(words)} "
            case 6 if numbers:
                parts[rng.choice(numbers)] = rng.choice(HUGE)
            case 7 if numbers:
                parts[rng.choice(numbers)] = rng.choice(SMALL)
            case _:
                lines = "".join(parts).split("\n")
                k = rng.randrange(len(lines))
                lines[k : k + rng.randrange(2)] = rng.choices(lines, k=rng.randrange(3))
                parts = pieces("\n".join(lines))
    return "".join(parts)
