"""Code that is made while the program goes on.

One thread of the process makes it.  It works on a copy of the records and of the code as they were, and touches nothing
of the machine, so when it is done the driver has to look whether all of that is still so.  Python lets the driver in
whenever generated code returns, and LLVM works without Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from emulator.machine.engine import Made
from emulator.machine.pages import CodePage

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

TURN = 0.0005
"""Seconds that one thread may keep the other one waiting for Python."""


class Coming:
    """What is being made for an address of a page; `told` is called when it is there, by whoever made it."""

    def __init__(self, page: CodePage, pc: int, make: Callable[[], Made], told: Callable[[], None]) -> None:
        self.page, self.pc = page, pc
        self._result: Future[Made] = worker().submit(make)
        self._result.add_done_callback(lambda _: told())

    @property
    def there(self) -> bool:
        return self._result.done()

    def take(self) -> Made:
        """What was made.

        Raises:
            Whatever making it raised.
        """
        return self._result.result()


@cache
def worker() -> Executor:
    """The thread."""
    from concurrent.futures import ThreadPoolExecutor

    sys.setswitchinterval(min(sys.getswitchinterval(), TURN))
    return ThreadPoolExecutor(1, "popek")
