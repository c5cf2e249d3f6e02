"""An interrupt while z3 searches."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from analyzer.symbolic.smt import Smt


def test_an_interrupt_is_no_answer() -> None:
    """z3 would say `unknown`, and nobody would hear of the interrupt."""
    smt = Smt(rlimit=3_000_000)
    one, two = (smt.symbol(name, 64) for name in ("one", "two"))
    product = smt.eq(smt.op("mul", one, two, 64), 0xFFFF_FFFF_FFFF_FFC5, 64)
    bounded = (smt.compare("ule", x, 1 << 34, 64) for x in (one, two))
    solver = smt.solver(product, *bounded)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        solver.check()
    assert time.monotonic() - began > 0.05  # it had begun
