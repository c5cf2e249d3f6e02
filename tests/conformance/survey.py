"""Compares a spec with its oracles on random vectors: `python -m conformance.survey MACHINE N SEED [ORACLE]`.

Prints how many vectors agree, which known deviations were met, and what differs, by instruction family with the example
that differs least.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

from conformance.adapter import Adapter
from conformance.compare import Verdict, expect, judge
from conformance.generate import vectors
from conformance.known import Deviation
from conformance.machines import adapter_of
from conformance.oracles.oracle import Oracle
from conformance.vector import Outcome, Vector
from emulator.reference.events import Completed, Trapped

BATCH = 500


@dataclass(slots=True)
class Survey:
    """The tally of a comparison."""

    counts: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    differing: dict[str, list[tuple[Vector, Outcome, Verdict]]] = field(default_factory=dict)
    traps: Counter[int | None] = field(default_factory=Counter)

    def add(self, family: str, vector: Vector, observed: Outcome, verdict: Verdict, trap: int | None) -> None:
        """Counts one vector."""
        self.counts[verdict.kind] += 1
        if verdict.kind == "agrees":
            self.traps[trap] += 1
        if isinstance(verdict.deviation, Deviation):
            self.known[verdict.deviation.reason] += 1
        if verdict.open_reason is not None:
            self.reasons[verdict.open_reason] += 1
        if verdict.kind == "differs":
            self.differing.setdefault(family, []).append((vector, observed, verdict))


def survey(adapter: Adapter, oracle: Oracle, count: int, seed: int) -> Survey:
    """Compares `count` vectors."""
    tally = Survey()
    batch: list[Vector] = []
    for vector in vectors(adapter, count, seed):
        batch.append(vector)
        if len(batch) == BATCH:
            _compare(adapter, oracle, batch, tally)
            batch.clear()
    _compare(adapter, oracle, batch, tally)
    return tally


def _compare(adapter: Adapter, oracle: Oracle, batch: list[Vector], tally: Survey) -> None:
    for vector, observed in zip(batch, oracle.run(batch), strict=True):
        expected = expect(adapter, vector)
        family = "(none)"
        if isinstance(expected.event, (Completed, Trapped)) and expected.event.instruction is not None:
            family = expected.event.instruction.family
        verdict = judge(adapter, oracle.name, vector, expected, observed)
        tally.add(family, vector, observed, verdict, observed.trap)


def report(tally: Survey) -> str:
    """The tally as text."""
    lines = [", ".join(f"{count} {kind}" for kind, count in tally.counts.most_common())]
    traps = ", ".join(f"{'none' if trap is None else trap}: {count}" for trap, count in tally.traps.most_common())
    lines.append(f"agreeing by trap: {traps}")
    lines += [f"  known {count:6}  {reason}" for reason, count in tally.known.most_common()]
    lines += [f"  open  {count:6}  {reason}" for reason, count in tally.reasons.most_common()]
    for family, cases in sorted(tally.differing.items(), key=lambda item: -len(item[1])):
        vector, _, verdict = min(cases, key=lambda case: (len(case[2].lines), sum(map(len, case[2].lines))))
        lines.append(f"{family}: {len(cases)}, for example {vector.name}  [{vector.code.hex()}]")
        lines += [f"    {line}" for line in verdict.lines]
        shown = {name: value for name, value in vector.registers.items() if value}
        lines.append(f"    {' '.join(f'{name}={value:#x}' for name, value in shown.items())}")
        lines.append(f"    {' '.join(f'{address:x}:{data.hex()}' for address, data in vector.memory.items())}")
    return "\n".join(lines) + "\n"


def main(machine: str, count: str, seed: str = "1", name: str = "") -> None:
    """Prints the report of one machine."""
    adapter = adapter_of(machine)
    for oracle in adapter.oracles():
        if name in ("", oracle.name):
            with oracle:
                sys.stdout.write(
                    f"{machine} and {oracle.name}: {report(survey(adapter, oracle, int(count), int(seed)))}"
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
