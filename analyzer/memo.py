"""What is kept of an examined subject, and under which key.

The key is a digest of everything that the examination reads: the instruction with its places in the source, the
procedures that it can call, and the machine without its other instructions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir, report
from analyzer.cache import digest, engine
from analyzer.classify import Classes, Classes1974, Faithfulness, Finding, Truth
from analyzer.examine import Examined, Wanted
from analyzer.graph import Transition
from analyzer.interrupts import uninterrupted
from analyzer.sources import Sources
from analyzer.symbolic.pair import Subject
from analyzer.symbolic.setting import Setting

SPAN = re.compile(r"Span\([^)]*\)")
"""Where a scheme stands does not matter to what is found under it."""


class Stored(Struct, frozen=True):
    """An `Examined` without its subject."""

    plain: bool
    classes: Classes
    classes_1974: Classes1974
    faithful: Faithfulness
    executes: bool
    time: Truth
    checks: int
    hole: report.Hole | None
    moves: tuple[Transition, ...]
    broken: tuple[str, ...]


def to_store(examined: Examined) -> bytes:
    """What is kept, as JSON."""
    f = examined.finding
    stored = Stored(
        f.plain,
        f.classes,
        f.classes_1974,
        f.faithful,
        f.executes,
        f.time,
        f.checks,
        examined.hole,
        examined.moves,
        examined.broken,
    )
    return msgspec.json.encode(stored)


def recalled(value: bytes, subject: Subject) -> Examined | None:
    """What was kept of this subject; None if it cannot be read."""
    try:
        with uninterrupted():
            s = msgspec.json.decode(value, type=Stored)
    except msgspec.DecodeError:
        return None
    finding = Finding(subject, s.plain, s.classes, s.classes_1974, s.faithful, s.executes, s.time, s.checks)
    return Examined(finding, s.hole, s.moves, s.broken)


# -- keys --------------------------------------------------------------------------------------------------------------


def context_key(setting: Setting, wanted: Wanted, replayed: bool) -> str:
    """The digest of what all subjects share: popek, the options, the machine without its instructions, the scheme."""
    isa, scheme = setting.isa, setting.scheme
    blocks = [a.prelude for a in (*scheme.assume, *scheme.guest)] + [i.prelude for i in isa.invariants]
    blocks += [] if isa.deliver is None else [isa.deliver.body]
    for space in isa.spaces.values():
        match space:
            case ir.Map():
                blocks.append(space.body)
            case ir.Bus():
                blocks += [p.body for p in (space.read, space.write) if p is not None]
            case ir.Memory():
                pass
    machine = replace(
        isa,
        name="",
        title=None,
        source=None,
        instructions=(),
        procedures=called(isa, *blocks),
        schemes=(),
        files_read=(),
        digest="",
        span=None,
    )
    return digest(engine(), machine, SPAN.sub("", repr(scheme)), wanted, replayed)


def subject_key(context: str, setting: Setting, subject: Subject, sources: Sources) -> str:
    """The digest of one subject under a context; of its text too, since a hole is told with lines of that."""
    instruction = replace(subject.instruction, examples=(), expects=())
    procedures = called(setting.isa, instruction.body)
    lines = list(texts(sources, instruction, *procedures.values()))
    return digest(context, instruction, subject.case, subject.values, procedures, lines)


def texts(sources: Sources, *parts: ir.Instruction | ir.Procedure) -> Iterator[str]:
    """The lines on which these parts of a spec and their statements begin."""
    for part in parts:
        spans = [part.span, *(stmt.span for stmt in ir.statements(part.body))]
        for file, number in dict.fromkeys((span.file, span.line) for span in spans if span is not None):
            yield sources.line(file, number)


def called(isa: ir.Isa, *blocks: ir.Block) -> dict[str, ir.Procedure]:
    """The procedures that blocks call, and those that these call, by name."""
    found: dict[str, ir.Procedure] = {}
    waiting = list(blocks)
    while waiting:
        for stmt in ir.statements(waiting.pop()):
            if isinstance(stmt, ir.Call) and stmt.procedure not in found:
                found[stmt.procedure] = isa.procedures[stmt.procedure]
                waiting.append(found[stmt.procedure].body)
    return dict(sorted(found.items()))
