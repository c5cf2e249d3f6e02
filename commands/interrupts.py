"""The command as a process: an interrupt ends it with 130 and without a traceback, whenever it comes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

INTERRUPTED = 130


@contextmanager
def interruptible() -> Iterator[None]:
    """What is done in here ends with an interrupt, even one in a callback of native code or in a destructor."""
    open_all()
    sys.unraisablehook = unraisable
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        end_at_once()
    finally:
        nothing_left()


def open_all() -> None:
    """What was closed when the process began leads nowhere: nothing is typed there, and what is written is lost."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 (for good)


def interrupted() -> int:
    """Says that it was, and gives the exit code for it."""
    nothing_left()
    print("\ninterrupted", file=sys.stderr, flush=True)
    silence(sys.stderr)  # what is torn down complains
    return INTERRUPTED


def silence(stream: TextIO) -> None:
    """Sends all that still goes there nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def nothing_left() -> None:
    """From now on there is nothing to do but to tear down, and an interrupt need not wait for that."""
    signal.signal(signal.SIGINT, end_at_once)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def end_at_once(*_: object) -> None:
    os._exit(INTERRUPTED)


def unraisable(lost: sys.UnraisableHookArgs) -> None:
    """An interrupt in a destructor or a callback, from where it cannot be raised, comes again a millisecond later."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.001)
    else:
        sys.__unraisablehook__(lost)
