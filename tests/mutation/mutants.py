"""Mutants of a spec: each privilege check removed, and each weakened in every way, one at a time.

A mutant is made in the syntax tree, so a check that several instructions share is one check, and is elaborated like any
spec.  What it changes is read off the IR: instructions whose own text, or that of a procedure they call, is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from checks import Check, checks
from msgspec.structs import replace
from weaken import except_where, negated, truth, weaker

from analyzer import ir
from analyzer.errors import SpecError
from analyzer.syntax import ast
from analyzer.syntax.elaborate import elaborate
from analyzer.syntax.load import load, read, shallow, uncollected
from analyzer.syntax.parse import parse


@dataclass(frozen=True, slots=True)
class Mutant:
    """A spec with one check changed; `changed` are the instructions that are not what they were, `procedures` what they
    call.  Those named in `elsewhere` are also in what the spec extends, and their mutants are that one's."""

    check: Check
    how: str
    changed: tuple[ir.Instruction, ...]
    procedures: dict[str, ir.Procedure]
    elsewhere: frozenset[str]

    def own(self) -> tuple[ir.Instruction, ...]:
        """The changed instructions that are this spec's."""
        return tuple(i for i in self.changed if i.name not in self.elsewhere)

    def __str__(self) -> str:
        return f"the check at {self.check}, {self.how}"


def texts(name: str) -> list[ast.File]:
    """The syntax trees of a spec: what it extends first."""
    files = [parse(read(name))]
    while (base := files[0].header.base) is not None:
        files.insert(0, parse(read(base.text)))
    return files


def mutants(isa: ir.Isa) -> Iterator[Mutant]:
    """All mutants, each change once.  Of checks that guard nothing of its own a spec has the removal only."""
    files = texts(isa.name)
    base = load(files[-1].header.base.text) if files[-1].header.base is not None else None
    elsewhere = frozenset(i.name for i in isa.instructions if base is not None and is_inherited(isa, base, i))
    for check in checks(files):
        seen: list[tuple[tuple[ir.Instruction, ...], dict[str, ir.Procedure]]] = []
        for how, changed in changes(isa, check):
            mutated = elaborated([with_item(file, check.item, check.node, changed) for file in files])
            if mutated is None:
                assert how[0] in "<>", f"{check}, {how}"
                continue
            assert_only_instructions(isa, mutated)
            instructions = tuple(differing(isa, mutated))
            called = {name: mutated.procedures[name] for i in instructions for name in reached(mutated, i.body)}
            if instructions and (instructions, called) not in seen:
                seen.append((instructions, called))
                mutant = Mutant(check, how, instructions, dict(mutated.procedures), elsewhere)
                yield mutant
                if not mutant.own():
                    break


def is_inherited(isa: ir.Isa, base: ir.Isa, instruction: ir.Instruction) -> bool:
    """Is it the same instruction in what a spec extends, with all that its analysis looks at?"""
    same = ("spaces", "traps", "deliver", "mode", "fetch", "interrupts", "invariants", "choices", "tables")
    return (
        all(getattr(isa, name) == getattr(base, name) for name in same)
        and base.elements.items() <= isa.elements.items()
        and base.files == isa.files
        and set(base.schemes) <= set(isa.schemes)
        and replace(instruction, expects=()) in (replace(i, expects=()) for i in base.instructions)
        and all(base.procedures.get(n) == isa.procedures[n] for n in reached(isa, instruction.body))
    )


# -- the changes of one check ------------------------------------------------------------------------------------------


def changes(isa: ir.Isa, check: Check) -> Iterator[tuple[str, ast.Node]]:
    """The ways to weaken a check, and its removal."""
    node = check.node
    if isinstance(node, ast.CallStmt):
        yield "removed", guarded(node, truth(False, node.span))
        for how, through in let_through(isa, node):
            yield how, guarded(node, negated(through))
        return
    yield "removed", truth(not check.denies, node.span)
    yield from weaker(node, check.denies)
    for how, through in let_through(isa, node):
        yield how, except_where(node, through, check.denies)


def guarded(stmt: ast.Stmt, cond: ast.Expr) -> ast.Stmt:
    return ast.Guarded(stmt=stmt, cond=cond, span=stmt.span)


def let_through(isa: ir.Isa, node: ast.Node) -> Iterator[tuple[str, ast.Expr]]:
    """What a check may wrongly let through: the guest in one of several modes that it runs in, or wherever one of its
    registers is 0."""
    modes = sorted({real for scheme in isa.schemes for _, real in scheme.run})
    for code in modes if len(modes) > 1 else ():
        name = isa.mode.named(code)
        word = ast.Number if name.isdigit() else ast.Name
        yield f"letting {name} through", equals(ast.CurrentMode(span=node.span), word(text=name, span=node.span))
    file = next(f for f in isa.files.values() if f.role is ir.Role.GUEST)
    at = next(i for i in range(file.size) if i not in file.zeros)
    index = ast.Index(high=ast.Number(text=str(at), span=node.span), low=None, span=node.span)
    register = ast.Subscript(value=ast.Name(text=file.name, span=node.span), indices=(index,), span=node.span)
    yield f"only where {file.name}[{at}] is not 0", equals(register, ast.Number(text="0", span=node.span))


def equals(left: ast.Expr, right: ast.Expr) -> ast.Expr:
    return ast.Binary(op="==", left=left, right=right, span=left.span)


# -- from tree to IR ---------------------------------------------------------------------------------------------------


def with_item(file: ast.File, item: ast.Item, old: ast.Node, new: ast.Node) -> ast.File:
    """The file, with one node of one of its items replaced; found by identity."""

    def inside(outer: Any) -> bool:
        return outer.span.start <= item.span.start and item.span.end <= outer.span.end

    if file.header.span.file != item.span.file:
        return file
    return msgspec.structs.replace(file, items=tuple(put(i, old, new) if inside(i) else i for i in file.items))


def put(node: Any, old: ast.Node, new: ast.Node) -> Any:
    """The node with `old`, wherever it stands, replaced."""
    if node is old:
        return new
    if isinstance(node, tuple):
        parts = tuple(put(part, old, new) for part in node)
        return parts if any(a is not b for a, b in zip(parts, node, strict=True)) else node
    if not isinstance(node, ast.Node):
        return node
    fields = {name: getattr(node, name) for name in node.__struct_fields__ if name != "span"}
    changed = {name: after for name, value in fields.items() if (after := put(value, old, new)) is not value}
    return msgspec.structs.replace(node, **changed) if changed else node


@uncollected()
@shallow()
def elaborated(files: list[ast.File]) -> ir.Isa | None:
    """The instruction set of these trees; None if they do not check (`a < b` of an enumeration)."""
    named = {file.header.name.text: file for file in files}
    try:
        return elaborate(files[-1], lambda node: named[node.text])
    except SpecError:
        return None


def differing(isa: ir.Isa, mutated: ir.Isa) -> Iterator[ir.Instruction]:
    """The mutated instructions that differ in their text or in that of what they call."""
    changed = {name for name, p in mutated.procedures.items() if isa.procedures.get(name) != p}
    for one, two in zip(isa.instructions, mutated.instructions, strict=True):
        if one != two or reached(mutated, two.body) & changed:
            yield two


def reached(isa: ir.Isa, block: ir.Block) -> set[str]:
    """The procedures that a block calls, and those that they call."""
    out: set[str] = set()
    todo = [block]
    while todo:
        called = {stmt.procedure for stmt in ir.statements(todo.pop()) if isinstance(stmt, ir.Call)} - out
        out |= called
        todo += [isa.procedures[name].body for name in called]
    return out


def assert_only_instructions(isa: ir.Isa, mutated: ir.Isa) -> None:
    """Nothing else is another: not the map, not the delivery of traps, not the schemes."""
    same = {"instructions", "procedures", "digest", "files_read"}
    for name in isa.__struct_fields__:
        assert name in same or getattr(isa, name) == getattr(mutated, name), name


def applied(isa: ir.Isa, mutant: Mutant) -> ir.Isa:
    """The mutated instruction set."""
    new = {i.name: i for i in mutant.changed}
    instructions = tuple(new.get(i.name, i) for i in isa.instructions)
    return replace(isa, instructions=instructions, procedures=mutant.procedures)
