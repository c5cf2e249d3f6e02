"""Spreading work over processes."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")

FEW = 8
"""Not more pieces of work than these are not worth a process, unless one knows better."""

RARELY = 100_000
"""Objects made between two looks for garbage in a worker: terms live as long as what they are about."""


def spread(pieces: Sequence[tuple[int, Callable[[], T]]], jobs: int, few: int = FEW) -> Iterator[T]:
    """The results of pieces of work, in order, each given with its weight: the heaviest are begun first, so that no
    process is left with one.  Not more pieces than `few` are done here."""
    if jobs < 2 or len(pieces) <= few:
        yield from (work() for _, work in pieces)
        return
    global _WORK
    _WORK = [work for _, work in pieces]
    heaviest_first = sorted(range(len(pieces)), key=lambda i: -pieces[i][0])
    gc.freeze()
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("fork"), initializer=_begin)
    try:
        with uninterrupted():
            futures = {i: pool.submit(_work_on, i) for i in heaviest_first}
        for i in range(len(pieces)):
            yield futures.pop(i).result()
    finally:
        pool.shutdown(cancel_futures=True)  # nobody waits for the rest if this ends early
        gc.unfreeze()


_WORK: list[Callable[[], Any]] = []
"""What forked workers inherit: Isas are large, and need not be sent."""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """An interrupt waits until this is done: a pool that is half begun cannot be ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    gc.set_threshold(RARELY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work_on(index: int) -> Any:
    """One piece.  An interrupt ends the worker while it works, and not while it hands over a result: half of one would
    be waited for without end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return _WORK[index]()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
