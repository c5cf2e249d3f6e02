"""Where an interrupt has to wait."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """An interrupt waits until this is done.

    So it is with what cannot be left halfway: a pool of processes that begins, and msgspec while it looks at a type
    that it is to decode (an exception there, and the process crashes).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
