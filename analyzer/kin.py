"""Subjects that look alike are examined one after another: what one was asked need not be asked of its twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from analyzer.examine import Examined, Wanted, examine_one
from analyzer.replayer import Replayer
from analyzer.sources import Sources
from analyzer.symbolic.echo import Question
from analyzer.symbolic.pair import Subject
from analyzer.symbolic.setting import Setting

MANY = 16
"""Subjects that are examined one after another."""


def in_kin(setting: Setting, todo: list[tuple[Wanted, Subject]]) -> Iterator[list[tuple[Wanted, Subject]]]:
    """Subjects in a row that look alike, a few at a time."""
    alike: list[tuple[Wanted, Subject]] = []
    for wanted, subject in todo:
        if alike and (len(alike) == MANY or _looks(setting, alike[-1][1]) != _looks(setting, subject)):
            yield alike
            alike = []
        alike.append((wanted, subject))
    if alike:
        yield alike


def _looks(setting: Setting, subject: Subject) -> Any:
    """What two subjects share that are alike, and can be told without looking closely."""
    instruction, effects = subject.instruction, setting.effects.block(subject.instruction.body)
    operands = tuple((o.name, o.width) for o in instruction.operands)
    return instruction.family, operands, effects.tables, effects.traps, len(effects.reads), len(effects.writes)


def examine_kin(
    setting: Setting, replayer: Replayer | None, sources: Sources, kin: Sequence[tuple[Wanted, Subject]]
) -> list[Examined]:
    """Subjects that are perhaps alike, one after another: what one was asked need not be asked of its twin."""
    asked: list[list[Question]] = []
    return [examine_one(setting, wanted, replayer, sources, s, asked if len(kin) > 1 else None) for wanted, s in kin]
