"""The recorded verdicts are those of the specs as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Popek
from golden import assert_golden

from analyzer.analysis import analyze
from analyzer.catalog import bundled, entry_of, recorded, to_text
from analyzer.options import Options
from analyzer.passes.show import spec_hash
from analyzer.syntax.load import load

RECORDED = Path(__file__).parents[2] / "isa_specs" / "verdicts.json"
NAMES = bundled()
ENTRIES = {entry.name: entry for entry in recorded()}


def test_what_is_recorded_is_bundled() -> None:
    """That every machine is recorded is for the slow test, which computes what is missing."""
    assert tuple(ENTRIES) == tuple(name for name in NAMES if name in ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_the_record_is_of_this_spec(name: str) -> None:
    """A hash tells without analysing; what the analysis itself changes is for the slow test."""
    entry, isa = ENTRIES[name], load(name)
    assert (entry.title, entry.spec_hash) == (isa.title, spec_hash(isa)), (
        "POPEK_GOLDEN=1 pytest tests/cli/test_catalog.py"
    )
    assert tuple(s.name for s in entry.schemes) == tuple(s.name for s in isa.schemes)


@pytest.mark.slow
def test_the_verdicts_are_as_recorded() -> None:
    options = Options(jobs=len(os.sched_getaffinity(0)), witnesses="none", graph=False)
    entries = tuple(entry_of(name, analyze(load(name), options)) for name in NAMES)
    assert_golden(RECORDED, to_text(entries))


def test_list(popek: Popek) -> None:
    ran = popek("list")
    assert ran.code == 0
    for name in ENTRIES:
        assert f"\n{name} " in f"\n{ran.out}"
    assert ran.out.splitlines()[-1].startswith(f"{len(ENTRIES)} machines, ")
    assert popek("list", "--ascii").out.isascii()
