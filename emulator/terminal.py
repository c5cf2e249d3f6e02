"""The host's terminal as a keyboard: what is typed goes to the guest at once, without echo."""

from __future__ import annotations

import os
import select
from types import TracebackType
from typing import TextIO


class Terminal:
    """A keyboard on an input stream; as a context manager it takes the line discipline out of the way, if the stream is
    a terminal, and puts it back."""

    MOST = 4096

    def __init__(self, stream: TextIO) -> None:
        try:
            self._file: int | None = stream.fileno()
        except (OSError, ValueError):  # a stream without a file has nothing to type
            self._file = None
        self._saved: list[object] | None = None

    def __enter__(self) -> Terminal:
        if self._file is not None and os.isatty(self._file):
            import termios
            import tty

            self._saved = termios.tcgetattr(self._file)
            tty.setcbreak(self._file)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._saved is not None and self._file is not None:
            import termios

            termios.tcsetattr(self._file, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]  # as it was got

    def __call__(self, wait: bool) -> bytes:
        """What was typed since the last call, or, to wait, what is typed next; empty at the end of the input."""
        if self._file is None:
            return b""
        ready, _, _ = select.select([self._file], [], [], None if wait else 0)
        if not ready:
            return b""
        typed = os.read(self._file, self.MOST)
        if not typed:
            self._file = None
        return typed
