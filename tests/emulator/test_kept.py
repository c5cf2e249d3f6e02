"""Specs that were kept: found again as they were, and loaded anew when anything that they depend on has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer import ir
from analyzer.syntax.load import load
from emulator.codegen import agreed
from emulator.kept import kept
from emulator.machine.objects import Objects


def counted() -> tuple[list[str], Callable[[str], ir.Isa]]:
    """A loader, and what it was asked for."""
    loads: list[str] = []

    def loading(spec: str) -> ir.Isa:
        loads.append(spec)
        return load(spec)

    return loads, loading


def own_spec(folder: Path) -> Path:
    """A copy of a bundled spec."""
    bundled = Path(__file__).parents[2] / "isa_specs" / "pg1974.isa"
    mine = folder / "mine.isa"
    mine.write_text(bundled.read_text(encoding="utf-8"), encoding="utf-8")
    return mine


def test_it_is_loaded_once(tmp_path: Path) -> None:
    loads, loading = counted()
    objects = Objects(tmp_path)
    first, second = (kept("pg1974", loading, objects) for _ in range(2))
    assert loads == ["pg1974"]
    assert first == second == load("pg1974")


def test_what_takes_a_while_to_find_is_kept_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(tmp_path)
    kept("rv64", load, objects)
    again = kept("rv64", load, objects)
    monkeypatch.setattr(agreed, "blocks", lambda isa: pytest.fail("searched again"))
    found = agreed.unspecified(again)
    monkeypatch.undo()
    assert found == agreed.unspecified(load("rv64")) != []


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    loads, loading = counted()
    objects = Objects(tmp_path)
    kept("pg1974", loading, objects)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    kept("pg1974", loading, objects)
    assert loads == ["pg1974"] * 2


def test_a_spec_that_has_changed_is_loaded_anew(tmp_path: Path) -> None:
    mine = own_spec(tmp_path)
    loads, loading = counted()
    objects = Objects(tmp_path / "cache")
    kept(str(mine), loading, objects)
    mine.write_text(mine.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    kept(str(mine), loading, objects)
    assert loads == [str(mine)] * 2


def test_what_lies_beside_a_spec_counts(tmp_path: Path) -> None:
    mine = own_spec(tmp_path)
    loads, loading = counted()
    objects = Objects(tmp_path / "cache")
    kept(str(mine), loading, objects)
    (tmp_path / "other.isa").write_text("", encoding="utf-8")
    kept(str(mine), loading, objects)
    assert loads == [str(mine)] * 2
