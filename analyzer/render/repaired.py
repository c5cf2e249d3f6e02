"""From a report to the spec that repairs the machine, and a place to analyse that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from analyzer.report import Report


def guards_of(report: Report) -> tuple[dict[str, str], tuple[str, ...]]:
    """The guard of each instruction with a hole under the first scheme, and the instructions without one.

    Cases of one instruction share a guard: either case's condition is enough.
    """
    found: dict[str, list[str]] = {}
    unrepaired = []
    for hole in report.schemes[0].holes:
        name = hole.instruction.split(" ")[0]
        if hole.guard is None:
            unrepaired.append(hole.instruction)
        elif hole.guard not in found.setdefault(name, []):
            found[name].append(hole.guard)
    guards = {n: g[0] if len(g) == 1 else " or ".join(f"({one})" for one in g) for n, g in found.items()}
    return guards, tuple(unrepaired)


@contextmanager
def beside(files: tuple[str, ...], name: str, text: str) -> Iterator[Path]:
    """The path of a temporary spec of this name and text that stands beside copies of the files it extends."""
    with TemporaryDirectory(prefix="popek-") as folder:
        for file in files:
            if Path(file).is_file():
                shutil.copy(file, folder)
        path = Path(folder) / f"{name}.isa"
        path.write_text(text, encoding="utf-8")
        yield path
