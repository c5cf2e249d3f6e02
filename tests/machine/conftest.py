"""One compiler for all tests; its objects are kept in pytest's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

from emulator.machine.engine import Engine, Objects


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Engine:
    return Engine(Objects(Path(str(pytestconfig.rootpath)) / ".pytest_cache" / "objects"))
