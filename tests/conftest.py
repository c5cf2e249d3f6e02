"""Tests neither use nor leave anything in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache file of this test run, for commands in this process and in those that it starts."""
    path = tmp_path_factory.mktemp("cache") / "results.sqlite"
    before = os.environ.get("POPEK_CACHE")
    os.environ["POPEK_CACHE"] = str(path)
    yield path
    if before is None:
        del os.environ["POPEK_CACHE"]
    else:
        os.environ["POPEK_CACHE"] = before
