"""Work spread over processes: results come in the order of what was to be done, whatever the number of processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

FEWEST = 8
"""As many pieces of work, or fewer, are done in this process."""

_WORK: tuple[Callable[[Any], Any], Sequence[Any]] | None = None
"""What forked workers inherit: Isas are large, and need not be sent."""


def spread(work: Callable[[T], R], todo: Sequence[T], jobs: int) -> Iterator[R]:
    """The results of `work` on each piece, computed by so many processes."""
    if jobs <= 1 or len(todo) <= FEWEST:
        yield from map(work, todo)
        return
    global _WORK
    _WORK = (work, todo)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(_work_on, range(len(todo)), chunksize=2)


def _work_on(index: int) -> Any:
    assert _WORK is not None
    work, todo = _WORK
    return work(todo[index])
