"""Instructions by the names that users give them."""

from __future__ import annotations

from difflib import get_close_matches

from analyzer import ir
from analyzer.errors import UsageError


def known_names(isa: ir.Isa) -> dict[str, None]:
    """The names of instructions, of families, and of instructions with a case of a dispatch space (`csrrw satp`)."""
    known: dict[str, None] = {}
    for i in isa.instructions:
        cases = (f"{i.name} {case}" for operand in i.operands for case, _ in operand.cases)
        known.update(dict.fromkeys((i.name, i.family, *cases)))
    return known


def unknown_instruction(isa: ir.Isa, name: str) -> UsageError:
    """The error that the machine has no instruction of this name, with those that may be meant."""
    known = known_names(isa)
    near = [n for n in known if n.endswith(f" {name}")][:3] or get_close_matches(name.replace(" ", "_"), known, 3)
    quoted = [f'"{n}"' if " " in n else n for n in near]
    hint = f"did you mean {' or '.join(quoted)}?" if near else "`popek check --table` lists them"
    return UsageError(f"{isa.name} has no instruction {name}", hint)


def check_names(isa: ir.Isa, names: list[str]) -> None:
    """Are these instructions, families or cases of the machine?

    Raises:
        UsageError: one of them is not.
    """
    known = known_names(isa) if names else {}
    for name in names:
        if name not in known:
            raise unknown_instruction(isa, name)
