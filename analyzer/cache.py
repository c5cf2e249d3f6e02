"""What was found before: texts by key, in one SQLite file.

A key is a digest of everything that an answer depends on, so nothing in the file is ever wrong, only unused.  A file
that cannot be read or written is as good as none: the cache never stops an analysis.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from platformdirs import user_cache_path

from analyzer.version import solver_version, tool_version

BATCH = 500
"""Keys asked for in one query."""

LARGEST = 256 << 20
"""The file is emptied when it has grown past this many bytes."""


class Stats(Struct, frozen=True):
    """The file, how many results it has, and its bytes."""

    path: Path
    results: int
    size: int


class Cache:
    """Results by key.  Each value carries a digest of its own, and one that does not match is not there."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = default_path() if path is None else path
        self._connection: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size > LARGEST:
                self.path.unlink()
            connection = sqlite3.connect(self.path, timeout=2.0, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, digest TEXT, value BLOB)")
            self._connection = connection

    def get_all(self, keys: list[str]) -> Iterator[tuple[int, bytes]]:
        """Those of the keys that are there, by position, with their values."""
        if self._connection is None:
            return
        where = {key: i for i, key in enumerate(keys)}
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            marks = ", ".join("?" * len(some))
            rows: list[tuple[str, str, object]] = []
            with suppress(sqlite3.Error):
                query = f"SELECT key, digest, value FROM results WHERE key IN ({marks})"  # only marks are put in
                rows = self._connection.execute(query, some).fetchall()
            for key, digest, value in rows:
                if isinstance(value, bytes) and _digest(value) == digest:
                    yield where[key], value

    def put(self, key: str, value: bytes) -> None:
        """Keeps a value."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute(
                    "INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (key, _digest(value), value)
                )

    def stats(self) -> Stats:
        """What there is."""
        results = 0
        if self._connection is not None:
            with suppress(sqlite3.Error):
                (results,) = self._connection.execute("SELECT count(*) FROM results").fetchone()
        size = self.path.stat().st_size if self.path.exists() else 0
        return Stats(self.path, results, size)

    def clear(self) -> None:
        """Forgets everything."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("DELETE FROM results")
                self._connection.execute("VACUUM")


def default_path() -> Path:
    """`POPEK_CACHE`, or a file in the user's cache directory."""
    given = os.environ.get("POPEK_CACHE")
    return Path(given) if given else user_cache_path("popek") / "results.sqlite"


@functools.cache
def engine() -> str:
    """What the answers depend on besides the question: the versions of popek and of z3, and popek's own files."""
    here = Path(__file__).parents[1]
    files = sorted(p for package in ("analyzer", "emulator") for p in (here / package).rglob("*.py"))
    stamps = [(str(p.relative_to(here)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return _digest(repr((tool_version(), solver_version(), stamps)).encode())


def digest(*parts: object) -> str:
    """The digest of values that print as what they are."""
    return _digest(repr(parts).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
