"""The examples of the language reference: whole specs load and their examples hold, and items parse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyzer.source import Source
from analyzer.syntax import grammar
from analyzer.syntax.grammar import END
from analyzer.syntax.lines import scan, significant
from analyzer.syntax.load import load_source
from analyzer.syntax.parse import parse
from emulator.examples import run_examples

PAGE = Path(__file__).parent.parent / "docs" / "language.md"
BLOCKS = re.findall(r"^```isa\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
SPECS = [text for text in BLOCKS if text.startswith("isa ")]
ITEMS = [text for text in BLOCKS if not text.startswith("isa ")]


def test_there_are_enough() -> None:
    assert len(SPECS) >= 8


@pytest.mark.parametrize("text", SPECS, ids=lambda text: text.split()[1])
def test_specs_load(text: str) -> None:
    isa, warnings = load_source(Source("language.md", text))
    assert isa.name == text.split()[1]
    assert isa.instructions
    assert not warnings
    assert not run_examples(isa)


@pytest.mark.parametrize("text", ITEMS, ids=lambda text: text.split()[0])
def test_items_parse(text: str) -> None:
    assert parse(Source("language.md", f"isa t\n{text}")).items


def constructs(text: str) -> set[str]:
    """The rules of the grammar by which a text is read."""
    tables = grammar.load()
    stack, used = [tables.start["start"]], set[str]()
    for token in significant(scan(Source("language.md", text), tables)):
        while (action := tables.default[stack[-1]] or tables.actions[stack[-1]][token.kind]) < 0:
            rule = tables.rules[-action - 1]
            used.add(rule.name or rule.origin)
            del stack[len(stack) - rule.length :]
            stack.append(tables.goto[stack[-1]][rule.origin])
            if token.kind == END and stack[-1] in tables.accept.values():
                return used
        stack.append(action)
    return used


def test_every_construct_has_an_example() -> None:
    shown = {c for text in BLOCKS for c in constructs(text if text in SPECS else f"isa t\n{text}")}
    known = {rule.name or rule.origin for rule in grammar.load().rules}
    assert sorted(name for name in known - shown if not name.startswith("_")) == []
