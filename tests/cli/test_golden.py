"""What the command prints for the variants of the paper's machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Popek
from golden import assert_golden

HERE = Path(__file__).parent
VARIANTS = ("pg1974", "pg1974-rdmode", "pg1974-jrst1", "pg1974-decb", "pg1974-lra")
EXIT = {"pg1974": 0}


@pytest.mark.parametrize("spec", VARIANTS)
def test_check(popek: Popek, spec: str) -> None:
    ran = popek("check", spec, "--scheme", "all")
    assert ran.code == EXIT.get(spec, 1)
    header, *rest = ran.out.splitlines(keepends=True)
    assert re.fullmatch(rf"popek \S+, z3 \S+, rlimit \d+, spec {spec} [0-9a-f]{{16}}\n", header)
    assert_golden(HERE / "golden" / f"{spec}.txt", "".join(rest))


@pytest.mark.parametrize("spec", VARIANTS[1:2])
def test_replay(popek: Popek, spec: str) -> None:
    ran = popek("replay", spec, spec.partition("-")[2])
    assert ran.code == 0
    assert_golden(HERE / "golden" / f"{spec}.replay.txt", ran.out)
