"""Spreading work over processes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")

FEW = 8
"""Not more pieces of work than these are not worth a process."""

RARELY = 100_000
"""Objects made between two looks for garbage in a worker: terms live as long as what they are about."""


def spread(pieces: Sequence[tuple[int, Callable[[], T]]], jobs: int) -> Iterator[T]:
    """The results of pieces of work, in order, each given with its weight: the heaviest are begun first, so that no
    process is left with one."""
    if jobs < 2 or len(pieces) <= FEW:
        yield from (work() for _, work in pieces)
        return
    global _WORK
    _WORK = [work for _, work in pieces]
    heaviest_first = sorted(range(len(pieces)), key=lambda i: -pieces[i][0])
    gc.freeze()
    try:
        with ProcessPoolExecutor(jobs, mp_context=get_context("fork"), initializer=_begin) as pool:
            futures = {i: pool.submit(_work_on, i) for i in heaviest_first}
            for i in range(len(pieces)):
                yield futures.pop(i).result()
    finally:
        gc.unfreeze()


_WORK: list[Callable[[], Any]] = []
"""What forked workers inherit: Isas are large, and need not be sent."""


def _begin() -> None:
    gc.set_threshold(RARELY)


def _work_on(index: int) -> Any:
    return _WORK[index]()
