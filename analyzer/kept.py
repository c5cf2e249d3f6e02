"""Whole reports in the cache: found again without loading the solver."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec.structs import replace

from analyzer import ir
from analyzer.cache import Cache, digest, engine
from analyzer.interrupts import uninterrupted
from analyzer.options import Options
from analyzer.passes.show import spec_hash
from analyzer.report import Report


def kept_report(cache: Cache, isa: ir.Isa, options: Options) -> Report | None:
    """The report that `keep_report` kept of the same spec under the same options."""
    for _, value in cache.get_all([_report_key(isa, options)]):
        with suppress(msgspec.DecodeError), uninterrupted():
            return msgspec.json.decode(value, type=Report)
    return None


def keep_report(cache: Cache, isa: ir.Isa, options: Options, report: Report) -> None:
    """Keeps a whole report."""
    cache.put(_report_key(isa, options), msgspec.json.encode(report))


def _report_key(isa: ir.Isa, options: Options) -> str:
    return digest(engine(), "report", isa.name, spec_hash(isa), replace(options, jobs=1, cache=None))
