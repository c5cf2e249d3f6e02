"""Small specs beside what they become: the IR as text, or what is wrong with them.

`POPEK_GOLDEN=1` writes the expected texts anew; read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from diagnosed import told

from analyzer import ir
from analyzer.errors import SpecError
from analyzer.hints import HINTS
from analyzer.passes import check, show
from analyzer.source import Source
from analyzer.syntax.load import load, load_source, load_with_warnings

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path for path in FOLDER.glob("*.isa") if path.stem != "base")


def outcome(path: Path) -> str:
    """The IR without what all cases share, and warnings; or the diagnostics."""
    source = Source(str(path), path.read_text(encoding="utf-8", errors="replace"))
    try:
        isa, warnings = load_with_warnings(str(path))
    except SpecError as error:
        return told(error.diagnostics, source).replace(f"{FOLDER}/", "")
    assert check.check(isa) == []
    shared = set(show.show(base()).splitlines())
    lines = show.show(isa).splitlines()
    own = "".join(f"{line}\n" for line in lines if line not in shared or line.startswith(" "))
    return (own + told(warnings, source)).replace(f"{FOLDER}/", "")


def base() -> ir.Isa:
    """What the cases extend."""
    return load(str(FOLDER / "base.isa"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    text = outcome(path)
    expected = path.with_suffix(".txt")
    if os.environ.get("POPEK_GOLDEN"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    assert ("error PG" in text) == path.stem.startswith("err_")


def pinned() -> set[str]:
    """The codes whose text, place and hint a golden pins; PG111 is in `test_parse`, for its file would be large."""
    texts = [*FOLDER.glob("*.txt"), *(FOLDER.parents[1] / "syntax/golden").glob("*.txt")]
    found = re.findall(r"(?:error|warning) (PG\d{3}): ", "".join(path.read_text(encoding="utf-8") for path in texts))
    return {*found, "PG111"}


def raised() -> set[str]:
    """The codes that the front end can give."""
    modules = (ROOT / "analyzer/syntax").glob("*.py")
    return set(re.findall(r'"(PG\d{3})"', "".join(path.read_text(encoding="utf-8") for path in modules)))


def test_every_code_is_pinned() -> None:
    pages = {path.stem for path in (ROOT / "analyzer/diagnostics").glob("PG[123]*.md")}
    assert raised() == pages
    assert pinned() == pages


def test_every_error_has_a_hint() -> None:
    assert {code for code in HINTS if code < "PG332"} == {c for c in raised() if c < "PG332"}
    for path in CASES:
        if path.stem.startswith("err_"):
            with pytest.raises(SpecError) as caught:
                load(str(path))
            assert [str(d) for d in caught.value.diagnostics if d.severity == "error" and not d.hint] == []


PAGES = sorted(path for path in (ROOT / "analyzer/diagnostics").glob("PG[23]*.md") if path.stem != "PG322")


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
