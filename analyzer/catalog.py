"""The bundled machines: their names, and their verdicts as they were when last computed."""

from __future__ import annotations

from importlib.resources import files

import msgspec
from msgspec import Struct

from analyzer.interrupts import uninterrupted
from analyzer.report import Report, SchemeReport, Status

SPECS = files("isa_specs")
STARTER = files("analyzer") / "starter.isa"


class SchemeVerdict(Struct, frozen=True):
    """The theorems under a scheme, in order, and the number of holes."""

    name: str
    theorems: tuple[Status, ...]
    holes: int


class Entry(Struct, frozen=True):
    """A bundled machine.  `spec_hash` says what was analysed, so that drift shows without analysing again."""

    name: str
    title: str | None
    instructions: int
    spec_hash: str
    schemes: tuple[SchemeVerdict, ...]


def bundled() -> tuple[str, ...]:
    """The names of the bundled specs."""
    return tuple(sorted(p.name.removesuffix(".isa") for p in SPECS.iterdir() if p.name.endswith(".isa")))


def recorded() -> tuple[Entry, ...]:
    """The verdicts that are kept with the specs, in the order of their names."""
    text = (SPECS / "verdicts.json").read_text(encoding="utf-8")
    with uninterrupted():
        return tuple(msgspec.json.decode(text, type=list[Entry]))


def to_text(entries: tuple[Entry, ...]) -> str:
    """The file that `recorded` reads."""
    return msgspec.json.format(msgspec.json.encode(list(entries)), indent=2).decode() + "\n"


def entry_of(name: str, report: Report) -> Entry:
    """A machine's entry, from its report."""
    return Entry(
        name,
        report.title,
        len({row.instruction for row in report.schemes[0].rows}) if report.schemes else 0,
        report.spec_hash,
        tuple(SchemeVerdict(s.name, tuple(t.status for t in s.theorems), holes(s)) for s in report.schemes),
    )


def holes(scheme: SchemeReport) -> int:
    """How many instructions, or cases of one, have a hole; known without their witnesses."""
    return sum(len(row.cases) or 1 for row in scheme.rows if row.hole == "yes")


def starter(name: str) -> str:
    """A small commented spec, to begin with."""
    return STARTER.read_text(encoding="utf-8").replace("NAME", name)
