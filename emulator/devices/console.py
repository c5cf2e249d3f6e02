"""The host's end of a console: where a guest's characters go, and where they come from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

Sink = Callable[[bytes], None]


class Console:
    """Characters both ways.  What the guest writes goes to `sink` at once, and is kept in `transcript` up to `keep`
    bytes; what is fed waits until the guest reads it."""

    def __init__(self, sink: Sink | None = None, typed: bytes = b"", keep: int = 1 << 20) -> None:
        self.transcript = bytearray()
        self._sink = sink
        self._keep = keep
        self._waiting: deque[int] = deque(typed)
        self._listeners: list[Callable[[], None]] = []

    def put(self, character: int) -> None:
        """The guest writes a character (8 bits)."""
        if len(self.transcript) < self._keep:
            self.transcript.append(character)
        if self._sink is not None:
            self._sink(bytes((character,)))

    def get(self) -> int | None:
        """The guest reads a character; None if none waits."""
        return self._waiting.popleft() if self._waiting else None

    @property
    def ready(self) -> bool:
        """Whether a character waits."""
        return bool(self._waiting)

    def feed(self, typed: Iterable[int]) -> None:
        """Characters are typed."""
        self._waiting.extend(typed)
        for listener in self._listeners:
            listener()

    def kept(self) -> list[int]:
        """What was typed and not read."""
        return list(self._waiting)

    def keep(self, waiting: Iterable[int]) -> None:
        """Puts that in place of what waits; no device is told."""
        self._waiting = deque(waiting)

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls a device whenever something was typed."""
        self._listeners.append(listener)
