"""The report as JSON, with a schema that is committed and tested for drift."""

from __future__ import annotations

import json as stdlib
from typing import Any

import msgspec

from analyzer.interrupts import uninterrupted
from analyzer.report import Report


def to_json(report: Report) -> str:
    """The report, keys in declared order, indented."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def from_json(text: str) -> Report:
    """The report that `to_json` wrote.

    Raises:
        msgspec.ValidationError: the text is not a report of this schema.
    """
    with uninterrupted():
        return msgspec.json.decode(text, type=Report)


def schema() -> dict[str, Any]:
    """The JSON schema of reports."""
    return msgspec.json.schema(Report)


def schema_text() -> str:
    """The schema as it is committed."""
    return stdlib.dumps(schema(), indent=2, sort_keys=True) + "\n"
