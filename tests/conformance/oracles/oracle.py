"""The oracle protocol, and the child process every engine runs in.

The engines are C and C++ libraries that hang, abort and dereference null pointers on some vectors. Each therefore runs
in a child (`worker.py`), which answers vector by vector; the parent waits a bounded time for each answer. A vector that
kills or stalls the child gets an `Outcome` with a `failure`, and a new child goes on with the next vector.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pickle
import select
import subprocess
import sys
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, Self

from conformance.vector import Outcome, Vector

START_SECONDS = 60.0
ANSWER_SECONDS = 15.0
BATCH = 512
LENGTH_BYTES = 4


class OracleError(Exception):
    """The driver was misused, or the engine does not start; never a verdict about a vector."""


class Engine(Protocol):
    """What runs inside the child; a driver module offers one as `engine(machine)`."""

    def run(self, vector: Vector) -> Outcome:
        """The outcome of one vector; raises ValueError if the vector names what the machine does not have."""
        ...


class Oracle(ABC):
    """An independent executor of one machine.

    Attributes:
        name: of the engine.
        machine: our name of the machine it executes.
        delivers: whether traps are delivered; if not, an outcome with a trap has no registers and no memory.
        base: the value of every register a vector may name, where it does not.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    delivers: ClassVar[bool] = True
    machine: str
    base: Mapping[str, int]

    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._child: _Child | None = None

    @property
    def version(self) -> str:
        """The installed version of the engine's package; raises PackageNotFoundError if there is none."""
        return importlib.metadata.version(self.package)

    @abstractmethod
    def available(self) -> str | None:
        """Why the oracle cannot run here, or None if it can."""

    def run(self, vectors: Sequence[Vector]) -> list[Outcome]:
        """One outcome a vector, in order.

        Raises:
            OracleError: a vector names an unknown register, or the engine does not start.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(vectors):
            if self._child is None:
                self._child = _Child(type(self).__module__, self.machine, self._answer_seconds)
            batch = vectors[len(outcomes) : len(outcomes) + BATCH]
            try:
                for outcome in self._child.answers(batch):
                    outcomes.append(outcome)
            except _Silence as silence:
                outcomes.append(Outcome({}, failure=str(silence)))
                self.close()
        return outcomes

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def missing_package(package: str) -> str | None:
    """A reason if the package is not installed, else None."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"the package {package} is not installed"
    return None


def read_frame(stream: IO[bytes]) -> Any:
    """The next length-prefixed pickle; raises EOFError at the end of the stream."""
    header = stream.read(LENGTH_BYTES)
    if len(header) < LENGTH_BYTES:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(header, "little")))


def write_frame(stream: IO[bytes], value: object) -> None:
    """Write and flush one length-prefixed pickle."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)
    stream.flush()


class _Silence(Exception):
    """The child gave no answer: it ended or stalled."""


class _Child:
    """A worker process; not restarted once it fell silent."""

    def __init__(self, module: str, machine: str, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        package = __name__.rpartition(".")[0]
        root = Path(__file__).resolve().parents[__name__.count(".")]
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{package}.worker", module, machine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._finalizer = weakref.finalize(self, _end, self._process, self._stderr)
        self._buffer = bytearray()
        try:
            self._read(START_SECONDS)
        except _Silence as silence:
            self.close()
            raise OracleError(f"{module} does not start: {silence}") from None

    def answers(self, vectors: Sequence[Vector]) -> Iterator[Outcome]:
        """One outcome a vector, as they arrive; raises _Silence in place of the first that does not."""
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, list(vectors))
        except BrokenPipeError:
            raise _Silence(self._obituary()) from None
        for _ in vectors:
            answer = self._read(self._answer_seconds)
            if isinstance(answer, str):
                raise OracleError(answer)
            yield answer

    def close(self) -> None:
        self._finalizer()

    def _read(self, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            size = int.from_bytes(self._buffer[:LENGTH_BYTES], "little") + LENGTH_BYTES
            if len(self._buffer) >= max(size, LENGTH_BYTES + 1):
                frame = bytes(self._buffer[LENGTH_BYTES:size])
                del self._buffer[:size]
                return pickle.loads(frame)
            self._buffer += self._receive(deadline, seconds)

    def _receive(self, deadline: float, seconds: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise _Silence(f"no answer within {seconds:g} s")
        data = os.read(descriptor, 1 << 16)
        if not data:
            raise _Silence(self._obituary())
        return data

    def _obituary(self) -> str:
        status = self._process.wait()
        cause = f"signal {-status}" if status < 0 else f"status {status}"
        self._stderr.seek(0)
        lines = [line for line in self._stderr.read().decode(errors="replace").splitlines() if line.strip()]
        return f"the engine ended with {cause}" + (f": {lines[-1][:200]}" if lines and status > 0 else "")


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
