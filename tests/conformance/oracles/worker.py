"""The child process of an oracle: `python -m ….oracles.worker MODULE MACHINE`.

Reads frames that are lists of vectors from standard input, and answers each vector with a frame: its outcome, or a
string if the vector is not one the machine can take. Whatever an engine prints goes to standard error.
"""

from __future__ import annotations

import importlib
import os
import sys

from conformance.oracles.oracle import Engine, read_frame, write_frame


def main(module: str, machine: str) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    engine: Engine = importlib.import_module(module).engine(machine)
    write_frame(answers, "ready")
    while True:
        try:
            vectors = read_frame(sys.stdin.buffer)
        except EOFError:
            return
        for vector in vectors:
            try:
                write_frame(answers, engine.run(vector))
            except ValueError as error:
                write_frame(answers, f"{vector.name}: {error}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
    sys.stdout.flush()
    os._exit(0)
