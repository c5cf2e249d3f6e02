"""SAME-BYTES: the report depends on the spec and the budget, and on nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from cli import app; app(prog_name='popek')", "check"]
OPTIONS = ["-o", "json:{0}.json", "-o", "human:{0}.txt", "-o", "markdown:{0}.md", "--table"]


def check(spec: str, folder: Path, name: str, jobs: str, seed: str) -> dict[str, bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
    options = [option.format(name) for option in OPTIONS]
    ran = subprocess.run(
        [*COMMAND, spec, "-j", jobs, *options], env=environment, cwd=folder, capture_output=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stderr
    return {suffix: (folder / f"{name}.{suffix}").read_bytes() for suffix in ("json", "txt", "md")}


def test_jobs_and_hash_seeds(tmp_path: Path) -> None:
    first = check("pg1974-nopr", tmp_path, "a", "1", "0")
    assert check("pg1974-nopr", tmp_path, "b", "2", "1") == first
