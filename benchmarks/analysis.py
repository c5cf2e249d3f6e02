"""How long an analysis takes: per machine, instruction and query, and how it grows with the number of instructions.

    python benchmarks/analysis.py [--rounds N] [--save]

Times are process CPU seconds, medians over rounds; growth is the time for the first quarter, half, three quarters and
all of a machine's instructions, with the exponent of the best power law (1 is linear).  `--save` writes the figures to
`benchmarks/results/analysis.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from analyzer import ir
from analyzer.analysis import analyze_scheme
from analyzer.classify import examine
from analyzer.options import Options
from analyzer.symbolic.pair import subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Smt, z3_version
from analyzer.syntax.load import bundled, load

RESULTS = Path(__file__).parent / "results" / "analysis.json"


def main() -> int:
    """Measures every bundled machine and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    figures = {name: measure(name, args.rounds) for name in args.names or bundled()}
    print(
        f"{'machine':<16}{'subjects':>9}{'load s':>8}{'check s':>9}{'ms/subject':>12}{'ms/query':>10}{'exponent':>10}"
    )
    for name, f in figures.items():
        print(
            f"{name:<16}{f['subjects']:>9}{f['load_s']:>8.2f}{f['check_s']:>9.2f}"
            f"{f['median_ms_per_subject']:>12.2f}{f['median_ms_per_query']:>10.2f}{f['growth_exponent']:>10.2f}"
        )
    if args.save:
        RESULTS.parent.mkdir(exist_ok=True)
        machine = {"python": platform.python_version(), "z3": z3_version(), "date": time.strftime("%Y-%m-%d")}
        RESULTS.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n")
    return 0


def measure(name: str, rounds: int) -> dict[str, Any]:
    """All figures of one machine."""
    loads, checks = [], []
    for _ in range(rounds):
        start = time.process_time()
        isa = load(name)
        loads.append(time.process_time() - start)
        start = time.process_time()
        analyze_scheme(isa, isa.schemes[0], Options())
        checks.append(time.process_time() - start)
    per_subject, per_query = times(isa)
    return {
        "subjects": len(subjects(isa)),
        "load_s": round(statistics.median(loads), 3),
        "check_s": round(statistics.median(checks), 3),
        "median_ms_per_subject": round(statistics.median(per_subject) * 1000, 3),
        "median_ms_per_query": round(statistics.median(per_query or [0.0]) * 1000, 3),
        "slowest_query_ms": round(max(per_query or [0.0]) * 1000, 1),
        "growth_exponent": round(growth(isa), 2),
    }


def times(isa: ir.Isa) -> tuple[list[float], list[float]]:
    """Seconds for each subject, and for each query."""
    setting = Setting(isa, isa.schemes[0])
    queries: list[float] = []
    original = Smt.ask

    def timed(self: Smt, *args: Any) -> Any:
        start = time.process_time()
        answer = original(self, *args)
        queries.append(time.process_time() - start)
        return answer

    Smt.ask = timed  # type: ignore[method-assign]
    try:
        out = []
        for subject in subjects(isa):
            start = time.process_time()
            examine(setting, subject)
            out.append(time.process_time() - start)
    finally:
        Smt.ask = original  # type: ignore[method-assign]
    return out, queries


def growth(isa: ir.Isa) -> float:
    """The exponent of time against the number of instructions, by least squares on logarithms.  Instructions are taken
    round robin, so that each part has the same mix."""
    points = []
    for quarter in (4, 3, 2, 1):
        part = tuple(i for k, i in enumerate(isa.instructions) if k % 4 < 5 - quarter)
        if len(part) < 4:
            continue
        start = time.process_time()
        some = replace(isa, instructions=part)
        setting = Setting(some, some.schemes[0])
        for subject in subjects(some):
            examine(setting, subject)
        points.append((math.log(len(part)), math.log(max(time.process_time() - start, 1e-6))))
    if len(points) < 2:
        return 1.0
    mx, my = (statistics.mean(c) for c in zip(*points, strict=True))
    return sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)


if __name__ == "__main__":
    sys.exit(main())
