"""Can this instruction set be virtualized?  A spec in, a report out.

>>> import analyzer
>>> report = analyzer.analyze(analyzer.load("pg1974-rdmode"), analyzer.Options(witnesses="none", graph=False))
>>> [theorem.status for theorem in report.schemes[0].theorems]
['violated', 'violated', 'holds']

The names are looked up at their first use, so that importing this package is quick and does not load z3.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.analysis import analyze
    from analyzer.options import Options
    from analyzer.report import Report
    from analyzer.syntax.load import load
else:
    HOMES = {
        "Options": "analyzer.options",
        "Report": "analyzer.report",
        "analyze": "analyzer.analysis",
        "load": "analyzer.syntax.load",
    }

    def __getattr__(name: str) -> object:
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(HOMES[name]), name)


__all__ = ["Options", "Report", "analyze", "load"]
