"""Broken text of all kinds: only `SpecError` is ever raised, and soon; what parses obeys the formatter's laws."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from sentences import pieces

from analyzer.errors import Diagnostic, SpecError
from analyzer.source import Source
from analyzer.syntax import grammar
from analyzer.syntax.format import format_source
from analyzer.syntax.parse import parse

ROOT = Path(__file__).parents[2]
FRAGMENTS = sorted((ROOT / "tests/fragments").glob("*.isa"))
SECONDS = 2.0
"""For one text of a hundred lines; one takes some ten milliseconds where this was written."""


def survive(text: str) -> bool:
    """Whether the text parses; fails if anything but diagnostics with places in the text comes of it."""
    start = time.process_time()
    found: tuple[Diagnostic, ...] = ()
    tree = None
    try:
        tree = parse(Source("fuzz.isa", text))
    except SpecError as error:
        found = error.diagnostics
    assert time.process_time() - start < SECONDS
    if tree is None:
        check(text, found)
        return False
    formatted = format_source(text)
    assert parse(Source("fuzz.isa", formatted)) == tree
    assert format_source(formatted) == formatted
    return True


def check(text: str, found: tuple[Diagnostic, ...]) -> None:
    source = Source("fuzz.isa", text)
    spans = [diagnostic.span for diagnostic in found if diagnostic.span]
    assert len(spans) == len(found) > 0
    assert all(diagnostic.code.startswith("PG1") and diagnostic.message for diagnostic in found)
    assert all(span == source.span(span.start, span.end) and span.end <= len(text) for span in spans)
    assert [span.start for span in spans] == sorted(span.start for span in spans)


ODDMENTS = ["(", ")", "{", "}", "[", "]", '"', ";", "\n", "|", "=", "&", "0x", "\t", "é", "\0"]


def mutate(parts: list[str], rng: random.Random) -> str:
    parts = list(parts)
    tokens = [i for i, part in enumerate(parts) if part.strip()]
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        i, j = rng.choice(tokens), rng.choice(tokens)
        match rng.randrange(6):
            case 0:
                parts[i] = ""
            case 1:
                parts[i] = f"{parts[i]} {parts[j]} "
            case 2:
                parts[i], parts[j] = parts[j], parts[i]
            case 3:
                parts[i] = parts[j]
            case 4:
                parts[i] = rng.choice(ODDMENTS)
            case _:
                cut = rng.randrange(len(parts[i]) + 1)
                parts[i] = parts[i][:cut] + rng.choice(["", " ", "\n", "_"]) + parts[i][cut + 1 :]
    return "".join(parts)


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_mutated_specs(path: Path) -> None:
    rng = random.Random(path.stem)
    parts = pieces(path.read_text(encoding="utf-8"))
    survived = [survive(mutate(parts, rng)) for _ in range(12)]
    assert not all(survived)


@pytest.mark.slow
@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_mutated_specs_at_length(path: Path) -> None:
    rng = random.Random(f"{path.stem} at length")
    parts = pieces(path.read_text(encoding="utf-8"))
    for _ in range(300):
        survive(mutate(parts, rng))


@pytest.mark.parametrize("path", FRAGMENTS[:4], ids=lambda path: path.stem)
def test_truncated_specs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for end in range(0, len(text), 149):
        survive(text[:end])


def test_random_bytes() -> None:
    rng = random.Random(74)
    for _ in range(300):
        survive(rng.randbytes(rng.randrange(400)).decode("latin-1"))
        survive("isa t\n" + rng.randbytes(rng.randrange(100)).decode("utf-8", errors="replace"))


def test_random_words() -> None:
    rng = random.Random(17)
    tables = grammar.load()
    signs = [sign for sign in tables.spelling.values() if not sign.isalnum()]
    words = [*tables.keywords, *signs, "<", "==", "a", "b", "0", "01", "0x1F", '"s"', "\n"]
    for _ in range(300):
        survive("isa t\n" + " ".join(rng.choices(words, k=rng.randrange(60))))


PIECES = ["(", "{", "}", '"', "a ", "\n", ";", "instr ", "0", "a[", "- ", "| ", "if a ", "// \n", "&", "{ } "]


@pytest.mark.parametrize("piece", PIECES)
def test_long_repetitions_take_no_time(piece: str) -> None:
    survive("isa t\n" + piece * (40_000 // len(piece)))
    survive("isa t\nparam x = " + piece * (40_000 // len(piece)))
