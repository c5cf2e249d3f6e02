"""The committed recordings: `python -m conformance.recordings [MACHINE …]` makes them anew with the installed oracles.

A recording holds the first QUICK vectors of seed SEED that the oracle answers, so that the specs are compared where no
oracle is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.generate import vectors
from conformance.machines import MACHINES, adapter_of
from conformance.vector import record

FOLDER = Path(__file__).with_name("recordings")
QUICK, SPARE = 560, 40
SEED = 1974
LARGEST = 400_000
"""Bytes a recording may have."""


def path_of(machine: str) -> Path:
    """The file of a machine's recording."""
    return FOLDER / f"{machine}.jsonl.gz"


def main(machines: tuple[str, ...]) -> None:
    """Records."""
    FOLDER.mkdir(exist_ok=True)
    for machine in machines:
        adapter = adapter_of(machine)
        oracle = adapter.oracles()[0]
        with oracle:
            pool = list(vectors(adapter, QUICK + SPARE, SEED))
            pairs = zip(pool, oracle.run(pool), strict=True)
            answered = [(vector, outcome) for vector, outcome in pairs if outcome.failure is None]
            record(oracle.name, oracle.version, machine, answered[:QUICK]).save(path_of(machine))


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or MACHINES)
