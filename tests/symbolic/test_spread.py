"""What ends a worker, ends the whole."""

from __future__ import annotations

import os
import signal
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import pytest

from analyzer.spread import FEW, spread


@pytest.mark.parametrize(
    ("deadly", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGKILL, BrokenProcessPool)]
)
def test_a_worker_that_is_ended(deadly: signal.Signals, raised: type[BaseException]) -> None:
    """An interrupt that only a worker has seen is an interrupt; anything else is an error."""
    caller = os.getpid()

    def work(number: int) -> int:
        if number == FEW:
            assert os.getpid() != caller
            os.kill(os.getpid(), deadly)
        return number

    with pytest.raises(raised):
        list(spread([(1, partial(work, i)) for i in range(2 * FEW)], jobs=2))


def test_results_are_in_order() -> None:
    assert list(spread([(i % 3, partial(int, i)) for i in range(20)], jobs=2)) == list(range(20))
