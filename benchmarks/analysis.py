"""How long an analysis takes: per machine, instruction and query, and how it grows with the number of instructions.

    python benchmarks/analysis.py [--save] [MACHINE…]

`check` is what `popek check MACHINE` takes on two processes without its cache, from the start of the process to its
end: seconds of a clock, the median of three.  The other times are seconds of processor time on one core: of an analysis
of the machine's first scheme with every witness, condition and guard.  Growth is measured on machines made for it, of
100 to 800 instructions; the exponent is that of the best power law (1 is linear).  `--save` writes what was measured to
`benchmarks/results/analysis.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analyzer import ir
from analyzer.examine import Wanted, examine_one
from analyzer.kin import in_kin
from analyzer.source import Source
from analyzer.sources import Sources
from analyzer.symbolic.echo import Question
from analyzer.symbolic.pair import subjects
from analyzer.symbolic.setting import Setting
from analyzer.symbolic.smt import Smt, z3_version
from analyzer.syntax.load import bundled, load, load_source
from emulator.replay import ReferenceReplayer

RESULTS = Path(__file__).parent / "results" / "analysis.json"
SIZES = (100, 200, 400, 800)

COLUMNS = {
    "instructions": "instructions",
    "subjects": "subjects",
    "check_s": "check s",
    "load_s": "load s",
    "analysis_s": "analysis s",
    "ms_per_instruction": "ms/instr",
    "median_ms_per_subject": "median ms",
    "slowest_ms": "slowest ms",
    "queries": "queries",
    "median_ms_per_query": "ms/query",
}


def main() -> int:
    """Measures, and prints tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("machines", nargs="*")
    args = parser.parse_args()
    print(f"{'machine':<14}" + "".join(f"{title:>13}" for title in COLUMNS.values()))
    machines = {}
    for name in args.machines or bundled():
        machines[name] = measured(name)
        print(f"{name:<14}" + "".join(f"{machines[name][key]:>13}" for key in COLUMNS), flush=True)
    grown = [made(n) for n in SIZES]
    print()
    for g in grown:
        print(f"{g['instructions']} instructions: load {g['load_s']} s, analysis {g['analysis_s']} s")
    growth = {key: exponent([(g["instructions"], g[key]) for g in grown]) for key in ("load_s", "analysis_s")}
    print(f"exponents: load {growth['load_s']}, analysis {growth['analysis_s']}")
    if args.save:
        RESULTS.parent.mkdir(exist_ok=True)
        figures = {"host": host(), "machines": machines, "made": grown, "exponents": growth}
        RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


# -- a bundled machine -------------------------------------------------------------------------------------------------


def measured(name: str) -> dict[str, Any]:
    """All figures of one machine."""
    start = time.process_time()
    isa = load(name)
    loaded = time.process_time() - start
    with timed_queries() as queries:
        times = analysed(isa)
    return {
        "instructions": len(isa.instructions),
        "subjects": len(times) - 1,
        "check_s": round(checked(name), 2),
        "load_s": round(loaded, 3),
        "analysis_s": round(sum(times), 3),
        "ms_per_instruction": round(sum(times) / len(isa.instructions) * 1000, 2),
        "median_ms_per_subject": round(statistics.median(times[1:]) * 1000, 2),
        "slowest_ms": round(max(times[1:]) * 1000, 1),
        "queries": len(queries),
        "median_ms_per_query": round(statistics.median(queries or [0.0]) * 1000, 2),
    }


def checked(name: str) -> float:
    """The seconds of a clock that a check takes, the median of three."""
    command = [sys.executable, "-c", "from cli import app; app()", "check", name, "--no-cache", "-j", "2"]
    out = []
    for _ in range(3):
        start = time.perf_counter()
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if code not in (0, 1):
            raise SystemExit(f"popek check {name} ended with {code}")
        out.append(time.perf_counter() - start)
    return statistics.median(out)


def analysed(isa: ir.Isa) -> list[float]:
    """The seconds of everything that is asked about a machine: what all subjects share, then each of them."""
    start = time.process_time()
    setting = Setting(isa, isa.schemes[0])
    out = [time.process_time() - start]
    replayer, sources = ReferenceReplayer(), Sources()
    for kin in in_kin(setting, [(Wanted(), s) for s in subjects(isa)]):
        asked: list[list[Question]] = []
        for wanted, subject in kin:
            start = time.process_time()
            examine_one(setting, wanted, replayer, sources, subject, asked)
            out.append(time.process_time() - start)
    return out


@contextmanager
def timed_queries() -> Iterator[list[float]]:
    """Gathers the seconds of each question that reaches the solver."""
    queries: list[float] = []
    original = Smt.asked

    def timed(self: Smt, *args: Any) -> Any:
        start = time.process_time()
        answer = original(self, *args)
        queries.append(time.process_time() - start)
        return answer

    Smt.asked = timed  # type: ignore[method-assign]
    try:
        yield queries
    finally:
        Smt.asked = original  # type: ignore[method-assign]


# -- machines made to measure ------------------------------------------------------------------------------------------


def made(count: int) -> dict[str, Any]:
    """The machine of the paper with so many more instructions: of four, two compute, one is privileged, and one has a
    hole."""
    rows = "\n".join(f"      {k} | 0b{k:029b}" for k in range(count // 4))
    spec = f"""isa made extends pg1974
for {{ k | code
{rows} }} {{
  instr "sum{{k}} {{r1}}, {{r2}}, {{a}}" = 0x80 r1 r2 code a {{ r1 = r1 + r2 + zext(a) }}
  instr "get{{k}} {{r1}}, {{a}}" = 0x81 r1 _:3 code a {{ r1 = mem[a] }}
  instr "set{{k}} {{r1}}" = 0x82 r1 _:3 code _:21 {{ trap privileged if M == u; R = r1[41:0] }}
  instr "see{{k}} {{r1}}" = 0x83 r1 _:3 code _:21 {{ r1 = zext(R) }}
}}
"""
    start = time.process_time()
    isa, _ = load_source(Source("made.isa", spec))
    loaded = time.process_time() - start
    return {
        "instructions": len(isa.instructions),
        "load_s": round(loaded, 3),
        "analysis_s": round(sum(analysed(isa)), 3),
    }


def exponent(points: list[tuple[int, float]]) -> float:
    """Of the power law that fits best: least squares on logarithms."""
    logs = [(math.log(n), math.log(max(seconds, 1e-6))) for n, seconds in points]
    mx, my = (statistics.mean(c) for c in zip(*logs, strict=True))
    return round(sum((x - mx) * (y - my) for x, y in logs) / sum((x - mx) ** 2 for x, _ in logs), 2)


def host() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "z3": z3_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    sys.exit(main())
