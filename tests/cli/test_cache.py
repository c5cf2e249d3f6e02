"""The cache gives back what was found, never what was not, and never stands in the way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from analyzer.analysis import analyze
from analyzer.cache import Cache
from analyzer.kept import keep_report, kept_report
from analyzer.options import Options
from analyzer.report import Report
from analyzer.source import Source
from analyzer.syntax.load import load, load_source
from emulator.replay import ReferenceReplayer

SPEC = Path(__file__).parents[2] / "isa_specs" / "pg1974.isa"


def analysed(cache: Cache | None, text: str) -> Report:
    isa, _ = load_source(Source("pg1974.isa", text))
    return analyze(isa, Options(cache=cache), ReferenceReplayer())


@pytest.fixture
def text() -> str:
    return SPEC.read_text(encoding="utf-8")


def test_the_same_report(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path / "results.sqlite")
    fresh = analysed(None, text)
    assert analysed(cache, text) == fresh
    assert cache.stats().results > 0
    assert analysed(cache, text) == fresh


def test_only_what_changed_is_found_again(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path / "results.sqlite")
    analysed(cache, text)
    before = cache.stats().results
    last = text.rindex("\ninstr ")
    changed = text[:last] + text[last:].replace("{", "{  // a comment moves nothing before it\n ", 1)
    assert changed != text
    analysed(cache, changed)
    assert 0 < cache.stats().results - before <= 2


def test_a_changed_machine_is_another(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path / "results.sqlite")
    isa, _ = load_source(Source("pg1974.isa", text))
    other, _ = load_source(Source("pg1974.isa", text + "\n"))
    options = Options(cache=cache)
    keep_report(cache, isa, options, analyze(isa, Options(graph=False, witnesses="none")))
    assert kept_report(cache, isa, options) is not None
    assert kept_report(cache, other, options) is None
    assert kept_report(cache, isa, Options(cache=cache, only=("lpsw",))) is None


def test_what_was_tampered_with_is_not_there(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.sqlite"
    fresh = analysed(Cache(path), text)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET value = replace(CAST(value AS TEXT), 'no', 'yes')")
    assert analysed(Cache(path), text) == fresh


def test_a_broken_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(b"this is no database" * 100)
    cache = Cache(path)
    assert analysed(cache, text) == analysed(None, text)
    assert cache.stats().results == 0


def test_a_place_that_cannot_be_written(tmp_path: Path, text: str) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    cache = Cache(occupied / "results.sqlite")
    assert analysed(cache, text) == analysed(None, text)


def test_a_comment_in_an_excerpt(tmp_path: Path) -> None:
    """The line that a hole is shown with is part of what was found."""
    spec, cache = tmp_path / "rd.isa", Cache(tmp_path / "results.sqlite")
    for comment in ("one", "two"):
        spec.write_text(
            f'isa rd extends pg1974\ninstr "rd {{r1}}" = 0x31 r1 _:53 {{ r1 = zext(M.code) }}  // {comment}\n'
        )
        report = analyze(load(str(spec)), Options(cache=cache, graph=False), ReferenceReplayer())
        (hole,) = report.schemes[0].holes
        assert hole.head is not None
        assert hole.head.text.endswith(f"// {comment}")


def test_a_spec_that_extends_another_finds_what_that_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "results.sqlite")
    analyze(load("pg1974"), Options(cache=cache), ReferenceReplayer())
    before = cache.stats().results
    mine, _ = load_source(
        Source("mine.isa", 'isa mine extends pg1974 "Mine"\nbefore add { trap privileged if M == u }\n')
    )
    report = analyze(mine, Options(cache=cache), ReferenceReplayer())
    assert report.title == "Mine"
    assert cache.stats().results - before == 1
