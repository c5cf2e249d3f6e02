"""The library as the commands call it: schemes by name, reports from the cache, monitors that the verdict permits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from analyzer.errors import Diagnostic, SpecError, UsageError
from commands.printing import Progress

if TYPE_CHECKING:
    from analyzer import ir
    from analyzer.options import Witnesses
    from analyzer.report import Report
    from emulator.machine import Tier
    from emulator.monitor import Monitor
    from emulator.monitor.monitor import Exits


def scheme_of(isa: ir.Isa, name: str | None) -> ir.Scheme:
    """The scheme of this name, or the first one.

    Raises:
        SpecError: PG404, the machine has no scheme at all.
        UsageError: it has none of this name.
    """
    if not isa.schemes:
        without = f"{isa.name} has no scheme: nothing says how to virtualize it"
        raise SpecError((Diagnostic("PG404", without, isa.span),))
    try:
        return isa.scheme(name)
    except KeyError:
        known = ", ".join(s.name for s in isa.schemes)
        raise UsageError(f"{isa.name} has no scheme {name}", f"it has {known}") from None


def schemes_of(isa: ir.Isa, names: list[str] | None) -> list[str]:
    """The schemes of these names: all of them, or the first one if none is named."""
    if names and "all" in names:
        return [s.name for s in isa.schemes]
    return names or [scheme_of(isa, None).name]


def analyzed(
    isa: ir.Isa,
    jobs: int = 1,
    rlimit: int | None = None,
    schemes: list[str] | None = None,
    only: list[str] | None = None,
    *,
    quiet: bool,
    witnesses: Witnesses = "each",
    graph: bool = True,
    causes: bool = True,
    cache: bool = True,
    called: str | None = None,
) -> Report:
    """The report on a spec, its examples run; what was found before is taken from the cache.  `called` is the spec as
    the user names it."""
    from analyzer.cache import Cache
    from analyzer.kept import keep_report, kept_report
    from analyzer.named import check_names
    from analyzer.options import Options

    for scheme in schemes or (None,):
        scheme_of(isa, scheme)
    check_names(isa, only or [])
    options = Options(
        processes(jobs),
        rlimit,
        witnesses,
        graph and not only,
        tuple(only or ()),
        tuple(schemes or ()),
        called,
        Cache() if cache else None,
        causes=causes,
    )
    if options.cache is not None:
        kept = kept_report(options.cache, isa, options)
        if kept is not None:
            return kept
    from analyzer.analysis import analyze
    from emulator.replay import ReferenceReplayer

    with Progress(isa.name, quiet) as progress:
        report = analyze(isa, options, ReferenceReplayer(), progress)
    if options.cache is not None:
        keep_report(options.cache, isa, options, report)
    return report


def monitor_of(
    isa: ir.Isa,
    scheme: str | None,
    technique: str,
    unsafe: bool,
    depth: int,
    check: bool,
    tier: Tier = "reference",
    exits: Exits = "seen",
) -> Monitor:
    """The monitor of a machine; the verdict is asked for, unless it is not to count."""
    from analyzer.allocation import allocate
    from emulator.monitor import TECHNIQUES, Monitor, generate

    known = next((known for known in TECHNIQUES if known == technique), None)
    if known is None:
        raise UsageError(f"there is no technique {technique}", f"there are {', '.join(TECHNIQUES)}")
    chosen = scheme_of(isa, scheme)
    report = None
    if not unsafe:
        report = analyzed(isa, 0, None, [chosen.name], quiet=False, witnesses="none", graph=False).schemes[0]
    plan = generate(isa, report, chosen.name, known, unsafe=unsafe)
    return Monitor(plan, allocate, depth=depth, check=check, tier=tier, exits=exits)


def processes(jobs: int) -> int:
    """How many processes to use; 0 is one a processor."""
    return jobs or len(os.sched_getaffinity(0))
