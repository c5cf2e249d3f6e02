"""Spreading work over processes."""

from __future__ import annotations

import gc
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from msgspec import Struct

from analyzer.interrupts import uninterrupted

T = TypeVar("T")

FEW = 8
"""Not more pieces of work than these are not worth a process."""

RARELY = 1_000_000
"""Objects made between two looks for garbage in a worker: terms live as long as what they are about."""


class Common(Struct, frozen=True):
    """What all pieces need: works whose results every process is told before it does a piece."""

    works: Sequence[Callable[[], Any]] = ()
    tell: Callable[[list[Any]], None] = lambda results: None


def spread(
    pieces: Sequence[tuple[int, Callable[[], T]]], jobs: int, common: Common | None = None, early: int = 0
) -> Iterator[T]:
    """The results of pieces of work, in order, each given with its weight: the heaviest are begun first, so that no
    process is left with one.  The first ones (`early`) need nothing common and are begun at once.  Few pieces are done
    here.

    Raises:
        KeyboardInterrupt: an interrupt ended a worker, whether or not it has come here too.
        BrokenProcessPool: something else did.
    """
    common = common or Common()
    if jobs < 2 or len(pieces) <= FEW:
        with rarely_collected():
            common.tell([work() for work in common.works])
            yield from (work() for _, work in pieces)
        return
    global _TELL
    _TELL = common.tell
    _WORK[:] = [*(work for _, work in pieces), *common.works]
    heaviest_first = sorted(range(early, len(pieces)), key=lambda i: -pieces[i][0])
    gc.freeze()
    others = active_children()
    workers: set[BaseProcess] = set()
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("fork"), initializer=_begin)
    try:
        with uninterrupted():
            found = [pool.submit(_work_on, i) for i in range(len(pieces), len(_WORK))]
            futures = {i: pool.submit(_work_on, i) for i in range(early)}
            workers.update(active_children())
        results = [f.result() for f in found]
        common.tell(results)
        with uninterrupted():
            futures |= {i: pool.submit(_work_on, i, pickle.dumps(results)) for i in heaviest_first}
            workers.update(active_children())
        for i in range(len(pieces)):
            yield futures.pop(i).result()
    except BrokenProcessPool as error:
        pool.shutdown()
        if any(worker.exitcode == -signal.SIGINT for worker in workers.difference(others)):
            raise KeyboardInterrupt from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)  # nobody waits for the rest if this ends early
        gc.unfreeze()


_WORK: list[Callable[[], Any]] = []
_TELL: Callable[[list[Any]], None] | None = None
"""What forked workers inherit: Isas are large, and need not be sent."""


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Garbage is looked for less often."""
    before = gc.get_threshold()
    gc.set_threshold(RARELY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _begin() -> None:
    gc.set_threshold(RARELY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work_on(index: int, told: bytes = b"") -> Any:
    """One piece, after what is common was told, the first time.  An interrupt ends the worker while it works, and not
    while it hands over a result: half of one would be waited for without end."""
    global _TELL
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if told and _TELL is not None:
            _TELL(pickle.loads(told))
            _TELL = None
        return _WORK[index]()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
