"""The names of instructions, and what lists of names mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from analyzer.syntax import ast
from analyzer.syntax.machine import InstrItem, Machine
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.scope import Cell, Scope


def first_word(node: ast.Instr, scope: Scope) -> str:
    """The first word of the assembly text, with the cells of the row and without operands."""
    text = node.asm.text
    for _ in range(8):
        replaced = re.sub(r"\{(\w+)\}", lambda m: _cell_text(m[1], scope), text)
        if replaced == text:
            break
        text = replaced
    words = re.sub(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "", text).split()
    return words[0] if words else text.strip()


def _cell_text(name: str, scope: Scope) -> str:
    entity = scope.find(name)
    if isinstance(entity, Cell):
        node = entity.node
        if isinstance(node, ast.String | ast.Name | ast.Number):
            return node.text
    return ""


def family(item: InstrItem) -> str:
    """What the rows of one template share: the explicit name, or the first word."""
    return item.node.name.text if item.node.name is not None else item.word


def name_all(items: Sequence[InstrItem]) -> None:
    """Gives each instruction its name: explicit, or the first word; rows that share it add their cells.  A cell that is
    the first word leads: of `instr E_G "{op} …"` the row of `"add"` and `"w"` is `add.E_G.w`."""
    families: dict[str, list[InstrItem]] = {}
    for item in items:
        item.family = item.name = family(item)
        families.setdefault(item.family, []).append(item)
    for shared, members in families.items():
        for item in members:
            if item.row and (len(members) > 1 or item.node.name is not None):
                cells = [word for word in item.row if word and word != shared]
                leads = [word for word in cells if word == item.word][:1]
                item.name = ".".join([*leads, shared, *(word for word in cells if word not in leads)])


def check_unique(machine: Machine) -> None:
    """Reports instructions of one name."""
    found: dict[str, InstrItem] = {}
    for item in machine.instrs:
        first = found.setdefault(item.name, item)
        if first is not item:
            machine.problems.report(
                "PG205",
                f"there are two instructions {item.name}; the other is at {first.node.span}",
                item.node.span,
                'give one a name of its own: instr NAME "…"',
            )


def listed(word: str) -> str:
    """A name as lists write it: with underscores for dots."""
    return word.replace(".", "_")


def directory(items: Sequence[InstrItem]) -> dict[str, list[InstrItem]]:
    """Names instructions, and says what each name of a list means: one of them, or the members of a family."""
    name_all(items)
    found: dict[str, list[InstrItem]] = {}
    for item in items:
        for word in dict.fromkeys((listed(item.name), listed(item.family))):
            found.setdefault(word, []).append(item)
    return found


def named(name: ast.Name, known: Mapping[str, list[InstrItem]]) -> list[InstrItem]:
    """The instructions that a name of a list means.

    Raises a failure if there is none.
    """
    found = known.get(listed(name.text))
    if found is None:
        raise failure("PG201", f"there is no instruction {name.text}", name.span, did_you_mean(name.text, known))
    return found


def begun_by(text: str, items: Sequence[InstrItem]) -> InstrItem | None:
    """The first of some instructions whose word a text begins with; the longest such word, if none is the whole of
    the text's first."""
    whole = text.split(maxsplit=1)[:1]
    exact = next((item for item in items if [item.word] == whole), None)
    if exact is not None:
        return exact
    begun = [item for item in items if item.word and text.startswith(item.word)]
    return max(begun, key=lambda item: len(item.word), default=None)
