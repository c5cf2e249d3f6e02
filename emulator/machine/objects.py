"""What is kept on disk between runs, by name."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import cached_property
from pathlib import Path


class Objects:
    """Objects and lists of lines on disk, by the digest of what they were made from.  A damaged file counts as none."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @cached_property
    def _names(self) -> set[str]:
        """The files that there are; what others add later is not missed."""
        try:
            return set() if self.folder is None else {path.name for path in self.folder.iterdir()}
        except OSError:
            return set()

    def get(self, digest: str) -> bytes | None:
        if self.folder is None or f"{digest}.o" not in self._names:
            return None
        try:
            data = (self.folder / f"{digest}.o").read_bytes()
        except OSError:
            return None
        check, body = data[:32], data[32:]
        return body if hashlib.sha256(digest.encode() + body).digest() == check else None

    def put(self, digest: str, body: bytes) -> None:
        """Keeps an object; where that is not possible, it is not kept."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f"{digest}.{os.getpid()}.{threading.get_ident()}"
            part.write_bytes(hashlib.sha256(digest.encode() + body).digest() + body)
            part.replace(self.folder / f"{digest}.o")
            self._names.add(f"{digest}.o")
        except OSError:
            return

    def add(self, digest: str, line: str) -> None:
        """Adds a line to a list; where that is not possible, it is not kept."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / f"{digest}.list").open("ab") as file:
                file.write(f"\n{_mark(digest, line)} {line}".encode())
        except OSError:
            return

    def lines(self, digest: str) -> list[str]:
        """The lines of a list; those that are damaged are left out."""
        if self.folder is None:
            return []
        try:
            text = (self.folder / f"{digest}.list").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        found = (line.partition(" ") for line in text.split("\n"))
        return [line for mark, _, line in found if mark == _mark(digest, line)]


def _mark(digest: str, line: str) -> str:
    return hashlib.sha256(f"{digest} {line}".encode()).hexdigest()[:32]


def default_folder() -> Path:
    """Where objects are kept: `POPEK_CACHE`, else the user's cache folder."""
    named = os.environ.get("POPEK_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "popek"
