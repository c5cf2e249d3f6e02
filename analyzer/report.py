"""The report: what an analysis found, as data.  Every renderer is a pure function of it.

Values are strings, numbers and tuples only, so that a report goes through JSON and back unchanged.  Truths are
"yes", "no" or "unknown"; statuses "holds", "violated", "inconclusive", "vacuous" or "not applicable".
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Answer = Literal["yes", "no", "unknown"]
Status = Literal["holds", "violated", "inconclusive", "vacuous", "not applicable"]

SCHEMA_VERSION = 1


class Place(Struct, frozen=True):
    """A place in a source file: line and column of its start and end, from 1; `text` is the first line's text."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str


class Cell(Struct, frozen=True):
    """One row of a witness: a name, its value in the virtual machine and on the real one, as text (None: not there)."""

    name: str
    virtual: str | None
    real: str | None


class Witness(Struct, frozen=True):
    """Two runs that differ.  `assembly` is the concrete instruction, `encoding` its units in hex; `inputs` say what
    matters of the states before, `outcome` what differs after; `parted` is the statement where the runs part.
    `replayed` says that the reference executor did the same; `replay` is the command that shows it again."""

    assembly: str
    encoding: str
    inputs: tuple[Cell, ...]
    outcome: tuple[Cell, ...]
    parted: Place | None
    replayed: bool
    replay: str


class Hole(Struct, frozen=True):
    """An instruction that is not faithful.  `condition` is over the virtual state and operands; `exact` says that it
    was proved equivalent to the hole.  `guard` is the weakest privilege check that would close it, on the mode of
    the real machine."""

    instruction: str
    reasons: tuple[str, ...]
    condition: str
    exact: bool
    guard: str | None
    witness: Witness | None
    head: Place | None


class Row(Struct, frozen=True):
    """One line of the instruction table.  `cases` are the names of a dispatch space that share the row (CSR names)."""

    instruction: str
    family: str
    cases: tuple[str, ...]
    privileged: Answer
    privileged_monitored: Answer
    trap_only: Answer
    innocuous: Answer
    control: Answer
    classical_control: Answer
    user_control: Answer
    causes: tuple[str, ...]
    user_causes: tuple[str, ...]
    hole: Answer
    hole_direct: Answer
    stuck: Answer
    by_text: bool
    literal: tuple[str, ...]
    time: Answer
    executes: bool
    head: Place | None
    source: str | None


class TheoremResult(Struct, frozen=True):
    """A theorem under a scheme, in its three readings: pointwise (decides), set-wise, and 1974 to the letter."""

    number: int
    title: str
    status: Status
    culprits: tuple[str, ...]
    setwise: Status
    setwise_culprits: tuple[str, ...]
    literal: Status
    literal_culprits: tuple[str, ...]
    why: str | None = None


class Premise(Struct, frozen=True):
    """P1–P9: what the step from "no hole" to a monitor needs; `status` "proved", "assumed", "fails" or "monitor" (the
    generated monitor discharges it)."""

    name: str
    text: str
    status: Literal["proved", "assumed", "fails", "monitor"]
    detail: str | None = None


class ExpectationResult(Struct, frozen=True):
    """An `expect` of the spec: met, or what was found instead; `undecided` if that does not say which."""

    subject: str
    words: tuple[str, ...]
    citation: str | None
    met: bool
    found: str
    place: Place | None
    undecided: bool = False


class Edge(Struct, frozen=True):
    """The instruction, or the trap, can move the machine from one mode to another; `guarded`: by a trap, or
    through a gate that the more privileged software has set up."""

    source: str
    target: str
    by: tuple[str, ...]
    guarded: bool


class SchemeReport(Struct, frozen=True):
    """Everything found under one scheme."""

    name: str
    title: str | None
    run: tuple[tuple[str, str], ...]
    monitor: str
    rows: tuple[Row, ...]
    theorems: tuple[TheoremResult, ...]
    holes: tuple[Hole, ...]
    stuck_maps: tuple[str, ...]
    premises: tuple[Premise, ...]
    caveats: tuple[str, ...]
    expectations: tuple[ExpectationResult, ...]
    intercepts: tuple[str, ...] | None = None


class Report(Struct, frozen=True):
    """An analysis of one spec; `unasked` are the schemes of the spec that were not asked about."""

    spec: str
    title: str | None
    version: str
    z3_version: str
    rlimit: int
    spec_hash: str
    schemes: tuple[SchemeReport, ...]
    graph: tuple[Edge, ...] = ()
    schema: int = SCHEMA_VERSION
    warnings: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()

    def verdict(self) -> Literal["as expected", "findings", "inconclusive"]:
        """What the exit code says: an unmet expectation, or a violated Theorem 1 of the first scheme, is a finding."""
        unmet = [e for s in self.schemes for e in s.expectations if not e.met]
        first = self.schemes[0].theorems[0].status if self.schemes else "vacuous"
        if first == "violated" or not all(e.undecided for e in unmet):
            return "findings"
        return "inconclusive" if first == "inconclusive" or unmet else "as expected"
