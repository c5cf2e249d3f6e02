"""Small specs beside what they become: the IR as text, or what is wrong with them.

`POPEK_GOLDEN=1` writes the expected texts anew; read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from analyzer import ir
from analyzer.errors import SpecError
from analyzer.passes import check, show
from analyzer.source import Source
from analyzer.syntax.load import load_source

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path for path in FOLDER.glob("*.isa") if path.stem != "base")


def outcome(path: Path) -> str:
    """The IR without what all cases share, and warnings; or the diagnostics."""
    source = Source(path.name, path.read_text(encoding="utf-8"))
    try:
        isa, warnings = load_source(source, FOLDER)
    except SpecError as error:
        return listed(error.diagnostics)
    assert check.check(isa) == []
    shared = set(show.show(base()).splitlines())
    lines = show.show(isa).splitlines()
    own = [line for line in lines if line not in shared or line.startswith(" ")]
    return listed([*own, *warnings])


def listed(items: Iterable[object]) -> str:
    """One a line, without the folder of the cases."""
    return "".join(f"{item}\n" for item in items).replace(f"{FOLDER}/", "")


def base() -> ir.Isa:
    """What the cases extend."""
    return load_source(Source("base.isa", (FOLDER / "base.isa").read_text(encoding="utf-8")), FOLDER)[0]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    text = outcome(path)
    expected = path.with_suffix(".txt")
    if os.environ.get("POPEK_GOLDEN"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


def test_many_diagnostics_are_pinned() -> None:
    codes = {
        word
        for path in FOLDER.glob("err_*.txt")
        for word in path.read_text(encoding="utf-8").split()
        if word.startswith("PG")
    }
    assert len(codes) >= 35


PAGES = sorted(
    path for path in (Path(__file__).parents[2] / "analyzer/diagnostics").glob("PG[23]*.md") if path.stem != "PG322"
)


def codes(text: str) -> set[str]:
    """The codes of what is wrong with a spec, or with a few lines after the spec that all cases share."""
    source = Source("t.isa", text if text.startswith("isa ") else f"isa t extends base\n{text}")
    try:
        _, warnings = load_source(source, FOLDER)
    except SpecError as error:
        return {d.code for d in error.diagnostics}
    return {d.code for d in warnings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_show_their_error(path: Path) -> None:
    broken, mended = re.findall(r"```isa\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    assert path.stem in codes(broken)
    unused = {"PG332", "PG333", "PG334"}
    assert codes(mended) - (unused - {path.stem}) <= ({path.stem} & unused)
    assert path.stem not in codes(mended) or path.stem in codes("")
