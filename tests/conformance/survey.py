"""Compares a spec with its oracles on random vectors: `python -m conformance.survey MACHINE N SEED [ORACLE]`.

Prints how many vectors agree, which known deviations were met, what differs, by instruction family with the example
that differs least, and which instructions were reached too rarely.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from analyzer import ir
from conformance.adapter import Adapter
from conformance.compare import Expectation, Verdict, expect, judge
from conformance.coverage import LEAST, Reached, exception_of, is_wanting, needless, wanting
from conformance.deviation import Deviation
from conformance.generate import directed, vectors
from conformance.machines import adapter_of
from conformance.oracles.oracle import Oracle
from conformance.vector import Outcome, Vector
from emulator.reference.events import Completed, Trapped

BATCH = 500


@dataclass(slots=True)
class Survey:
    """The tally of a comparison."""

    counts: Counter[str] = field(default_factory=Counter)
    known: Counter[Deviation] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    differing: dict[str, list[tuple[Vector, Outcome, Verdict]]] = field(default_factory=dict)
    traps: Counter[int | None] = field(default_factory=Counter)
    reached: Reached = field(default_factory=Reached)

    def add(self, vector: Vector, expected: Expectation, observed: Outcome, verdict: Verdict) -> None:
        """Counts one vector."""
        instruction = executed(expected)
        self.counts[verdict.kind] += 1
        if verdict.kind == "agrees":
            self.traps[observed.trap] += 1
        if verdict.compared and instruction is not None:
            self.reached.add((instruction.name, expected.mode), isinstance(expected.event, Completed))
        if verdict.deviation is not None:
            self.known[verdict.deviation] += 1
        if verdict.open_reason is not None:
            self.reasons[verdict.open_reason] += 1
        if verdict.kind == "differs":
            family = "(none)" if instruction is None else instruction.family
            self.differing.setdefault(family, []).append((vector, observed, verdict))


def executed(expected: Expectation) -> ir.Instruction | None:
    """The instruction that was executed, or None if there was none."""
    return expected.event.instruction if isinstance(expected.event, (Completed, Trapped)) else None


def survey(adapter: Adapter, oracle: Oracle, count: int, seed: int) -> Survey:
    """Compares `count` random vectors."""
    tally = Survey()
    _compare(adapter, oracle, vectors(adapter, count, seed), tally)
    return tally


def complete(adapter: Adapter, oracle: Oracle, tally: Survey, seed: int) -> None:
    """Compares further vectors of the instructions that were reached too rarely, as far as there are any."""
    for place in wanting(adapter, tally.reached):
        pool = directed(adapter, *place, seed)
        if exception_of(adapter.machine, place) is None:
            pool = (vector for vector in pool if isinstance(expect(adapter, vector).event, Completed))
        while is_wanting(adapter.machine, tally.reached, place) and (some := list(itertools.islice(pool, LEAST))):
            _compare(adapter, oracle, some, tally)


def _compare(adapter: Adapter, oracle: Oracle, pool: Iterable[Vector], tally: Survey) -> None:
    for batch in _batches(pool):
        for vector, observed in zip(batch, oracle.run(batch), strict=True):
            expected = expect(adapter, vector)
            tally.add(vector, expected, observed, judge(adapter, oracle.name, vector, expected, observed))


def _batches(pool: Iterable[Vector]) -> Iterator[list[Vector]]:
    source = iter(pool)
    while batch := list(itertools.islice(source, BATCH)):
        yield batch


def report(tally: Survey) -> str:
    """The tally as text."""
    lines = [", ".join(f"{count} {kind}" for kind, count in tally.counts.most_common())]
    traps = ", ".join(f"{'none' if trap is None else trap}: {count}" for trap, count in tally.traps.most_common())
    lines.append(f"agreeing by trap: {traps}")
    for deviation, count in tally.known.most_common():
        lines.append(f"  {'bits ' if deviation.partial else 'known'} {count:6}  {deviation.reason}")
    lines += [f"  open  {count:6}  {reason}" for reason, count in tally.reasons.most_common()]
    for family, cases in sorted(tally.differing.items(), key=lambda item: -len(item[1])):
        vector, _, verdict = min(cases, key=lambda case: (len(case[2].lines), sum(map(len, case[2].lines))))
        lines.append(f"{family}: {len(cases)}, for example {vector.name}  [{vector.code.hex()}]")
        lines += [f"    {line}" for line in verdict.lines]
        shown = {name: value for name, value in vector.registers.items() if value}
        lines.append(f"    {' '.join(f'{name}={value:#x}' for name, value in shown.items())}")
        lines.append(f"    {' '.join(f'{address:x}:{data.hex()}' for address, data in vector.memory.items())}")
    return "\n".join(lines) + "\n"


def coverage(adapter: Adapter, tally: Survey) -> str:
    """What was reached too rarely, and what is listed as an exception without being one, as text."""
    lines: list[str] = []
    for title, found in (
        ("too rare", wanting(adapter, tally.reached)),
        ("needless", needless(adapter, tally.reached)),
    ):
        for mode in adapter.isa.mode.modes():
            names = [
                f"{name} {tally.reached.completed[name, where]}/{tally.reached.compared[name, where]}"
                for name, where in found
                if where == mode.name
            ]
            if names:
                lines.append(f"{title} in {mode.name}: {', '.join(names)}")
    return "".join(line + "\n" for line in lines)


def main(machine: str, count: str, seed: str = "1", name: str = "") -> None:
    """Prints the report of one machine."""
    adapter = adapter_of(machine)
    for oracle in adapter.oracles():
        if name in ("", oracle.name):
            with oracle:
                tally = survey(adapter, oracle, int(count), int(seed))
                reached = ""
                if oracle is adapter.oracles()[0]:
                    complete(adapter, oracle, tally, int(seed))
                    reached = coverage(adapter, tally)
                sys.stdout.write(f"{machine} and {oracle.name}: {report(tally)}{reached}")


if __name__ == "__main__":
    main(*sys.argv[1:])
