"""How to analyse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from analyzer.cache import Cache

Progress = Callable[[int, int, str], None]
"""Called with the number of subjects done, their total, and the last one's name."""


Witnesses = Literal["each", "first", "none"]
"""Which holes are told with a witness: each; the first of each family, the others with their conditions; or none, and
without conditions."""


class Options(Struct, frozen=True):
    """How to analyse.  `rlimit` is the budget of a query (None: the default); `only` restricts to instructions of these
    names or families, `schemes` to schemes.  `called` is the spec as commands name it (its path; None: the name that it
    has itself).  `cache` keeps what is found, and does not change it.  `examples` are
    run if there is what to run them on.  Without `causes` one cause of behavior sensitivity answers for all."""

    jobs: int = 1
    rlimit: int | None = None
    witnesses: Witnesses = "each"
    graph: bool = True
    only: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    called: str | None = None
    cache: Cache | None = None
    examples: bool = True
    causes: bool = True
