"""Every diagnostic code that the sources use has a page, and every page's code is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path for path in (ROOT / "analyzer/diagnostics").glob("*.md")}


def used() -> dict[str, str]:
    """The codes in string literals, docstrings aside, each with a file that has it."""
    found: dict[str, str] = {}
    folders = ("analyzer", "emulator", "commands")
    for path in [ROOT / "cli.py", *(path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                found |= dict.fromkeys(re.findall(r"PG\d{3}\b", node.value), str(path.relative_to(ROOT)))
    return found


def test_codes_have_pages() -> None:
    assert {code: path for code, path in used().items() if code not in PAGES} == {}


def test_pages_have_codes() -> None:
    assert sorted(set(PAGES) - set(used())) == []


@pytest.mark.parametrize("code", sorted(PAGES))
def test_a_page_begins_with_its_code(code: str) -> None:
    head, blank, *rest = PAGES[code].read_text(encoding="utf-8").split("\n")
    assert re.fullmatch(rf"# {code}: [^.]+", head)
    assert blank == ""
    assert rest
