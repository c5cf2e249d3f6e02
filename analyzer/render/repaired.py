"""The spec that repairs a machine: it extends the machine with the checks that it lacks.

A check stands before the instructions that need it and raises the trap of the machine's own privilege checks.  Where a
scheme runs the guest's supervisor as itself, its own software would run into the check too; so there the check has a
bit that the monitor sets, as with the intercepts of hardware assistance.  What was published of the machine, and no
longer holds, is replaced: expectations by what is now so, examples by the trap that they now end in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

from msgspec import Struct

from analyzer import ir
from analyzer.errors import UsageError
from analyzer.passes.effects import EffectsOf
from analyzer.repair import modes_text
from analyzer.report import SchemeReport
from analyzer.source import Source
from analyzer.symbolic.pair import Subject, subjects
from analyzer.syntax.format import STEP, format_source
from analyzer.syntax.load import load_source, text_of

Fails = Callable[[ir.Example], bool]
"""Whether an example comes out otherwise than it states."""

NAME = r"[A-Za-z_]\w*(-\w+)*"
"""What a spec can be extended by."""

WIDTH = 118
"""Lists of names are broken before this column."""


class Check(Struct, frozen=True):
    """Instructions of the spec's lists, and the conditions on which they are to trap."""

    instructions: tuple[ir.Instruction, ...]
    conditions: tuple[str, ...]


class Repair(Struct, frozen=True):
    """What a machine lacks under a scheme.  `trap` is what the checks raise, None if the machine has
    nothing of the kind; `bit` is the name of the bit that they need, if they do."""

    isa: ir.Isa
    scheme: ir.Scheme
    checks: tuple[Check, ...]
    trap: str | None
    bit: str | None

    @property
    def name(self) -> str:
        """The name of the repaired spec."""
        return f"{self.isa.name}-repaired"

    def mended(self) -> set[str]:
        """The names of the instructions with a check."""
        return {i.name for check in self.checks for i in check.instructions}


def unrepaired(found: SchemeReport) -> tuple[str, ...]:
    """The instructions that have a hole and no guard."""
    guarded = {h.instruction for h in found.holes if h.guard is not None}
    named = {f"{r.instruction} {case}" for r in found.rows if r.hole != "no" for case in r.cases}
    named |= {r.instruction for r in found.rows if r.hole != "no" and not r.cases}
    return tuple(sorted(named - guarded))


def repair_of(isa: ir.Isa, found: SchemeReport) -> Repair:
    """The checks that the holes of a report call for."""
    scheme = isa.scheme(found.name)
    bit = unused(isa, "caught") if supervisor_as_itself(isa, scheme) else None
    guards = {hole.instruction: hole.guard for hole in found.holes if hole.guard is not None}
    trapping = {f"{r.instruction} {case}" for r in found.rows if r.trap_only == "yes" for case in r.cases}
    return Repair(isa, scheme, tuple(checks(isa, guards, trapping)), privilege_trap(isa), bit)


# -- what is checked ---------------------------------------------------------------------------------------------------


def checks(isa: ir.Isa, guards: dict[str, str], trapping: set[str]) -> Iterator[Check]:
    """The checks, instructions with the same conditions together, in the order of the spec.  Cases that trap anyway
    need not be told from others."""
    needed: dict[tuple[str, ...], list[ir.Instruction]] = {}
    for instruction, group in groupby(subjects(isa), lambda s: s.instruction):
        conditions = tuple(conditions_of([s for s in group if s.name not in trapping], guards))
        if conditions:
            needed.setdefault(conditions, []).append(instruction)
    for conditions, instructions in needed.items():
        yield Check(tuple(instructions), conditions)


def conditions_of(cases: list[Subject], guards: dict[str, str]) -> Iterator[str]:
    """When an instruction is to trap: a condition for each guard that some of its cases have."""
    needed: dict[str, list[Subject]] = {}
    for subject in cases:
        if subject.name in guards:
            needed.setdefault(guards[subject.name], []).append(subject)
    for guard, those in needed.items():
        if len(those) == len(cases):
            yield guard
        else:
            yield f"{bracketed(guard)} and {one_of(those, cases)}"


def one_of(those: list[Subject], cases: list[Subject]) -> str:
    """The condition that an operand names one of these cases."""
    if all(subject.values for subject in those):
        return among(those)
    return f"not {among([other for other in cases if other not in those])}"  # all that has no name is among them


def among(those: list[Subject]) -> str:
    """The condition that an operand's code is one of these cases' values; neighbours are put together."""
    spans: list[tuple[int, int]] = []
    for value in sorted(v for subject in those for v in subject.values):
        low, _ = spans.pop() if spans and spans[-1][1] == value - 1 else (value, value)
        spans.append((low, value))
    code = f"{those[0].operand}.code"
    texts = [f"{code} == {a:#x}" if a == b else f"{a:#x} <= {code} and {code} <= {b:#x}" for a, b in spans]
    return texts[0] if len(texts) == 1 and " and " not in texts[0] else f"({_any(texts)})"


def _any(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else " or ".join(f"({t})" if " and " in t else t for t in texts)


def privilege_trap(isa: ir.Isa) -> str | None:
    """The trap that most of the machine's own privilege checks raise, as a statement has it; None if it has none.  What
    must be given is 0."""
    effects = EffectsOf(isa)
    mode = {t.element for t in ir.subterms(isa.mode.expr) if isinstance(t, ir.Get)}
    checked = [e for e in (effects.block(i.body) for i in isa.instructions) if e.reads & mode]
    uses = {t.name: sum(t.name in e.traps for e in checked) for t in isa.traps.values()}
    for kind in (ir.TrapClass.PRIVILEGED, ir.TrapClass.ILLEGAL):
        known = [t for t in isa.traps.values() if t.kind is kind]
        if known:
            best = max(known, key=lambda t: uses[t.name])
            zeros = ", ".join("0" for name, _ in best.params if name not in best.defaults)
            return f"{best.name}({zeros})" if zeros else best.name
    return None


def unused(isa: ir.Isa, name: str) -> str:
    """A name like this that the machine does not use."""
    used = {n.partition(".")[0] for n in (*isa.elements, *isa.files, *isa.registers, *isa.procedures, *isa.spaces)}
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(used) + 3))) if n not in used)


# -- as text -----------------------------------------------------------------------------------------------------------


def repaired_spec(
    repair: Repair, file: Path | None, folder: Path | None, fails_on: Callable[[ir.Isa], Fails]
) -> tuple[str, ir.Isa]:
    """The repaired spec and its machine.

    `file` is the spec that is repaired, None for a bundled one; `folder` is where the new one will stand, None for
    beside it.  `fails_on` tells which of the old examples a machine contradicts: these are restated.
    """
    folder = folder or (file.parent if file is not None else Path())
    extends = reference(repair.isa, file, folder)

    def made(fails: Fails) -> tuple[str, ir.Isa]:
        text = format_source("\n".join(_lines(repair, extends, fails)) + "\n", repair.name)
        return text, load_source(Source(f"{repair.name}.isa", text), folder)[0]

    _, draft = made(lambda example: False)
    return made(fails_on(draft))


def reference(isa: ir.Isa, file: Path | None, folder: Path) -> str:
    """How a spec in a folder refers to a machine: by the name of its file (None: it is bundled), which stands beside.

    Raises:
        UsageError: it does not, or its name cannot be said in a spec.
    """
    if file is None:
        return isa.name
    if file.parent.resolve() != folder.resolve():
        raise UsageError(
            f"what is written extends {file.name}, and must stand beside it", f"write it to a file in {file.parent}"
        )
    if not re.fullmatch(NAME, file.stem):
        raise UsageError(f"a spec cannot extend {file.name}", "the file's name must be letters, digits, _ and -")
    return file.stem


def _lines(repair: Repair, extends: str, fails: Fails) -> Iterator[str]:
    isa = repair.isa
    yield f'isa {repair.name} extends {extends} "{isa.title or isa.name}, with the checks that it lacks"'
    yield ""
    if repair.bit is not None:
        yield f"state intercept {repair.bit} : bool reset 0"
        yield ""
    if repair.trap is None:
        yield "trap repair : privileged"
        yield ""
    for check in repair.checks:
        yield from _block(f"before {_names(isa, check.instructions, len('before '))}", _traps(repair, check))
    yield from _expects(repair)
    yield from _examples(repair, fails)
    yield ""
    yield from _schemes(repair)


def _block(head: str, lines: list[str]) -> Iterator[str]:
    short = f"{head} {{ {lines[0]} }}"
    if len(lines) == 1 and len(short) <= WIDTH and "\n" not in short:
        yield short
    else:
        yield from (f"{head} {{", *lines, "}")


def _traps(repair: Repair, check: Check) -> list[str]:
    trap = repair.trap or "repair"
    if repair.bit is None:
        return [f"trap {trap} if {condition}" for condition in check.conditions]
    return [f"trap {trap} if {repair.bit} and {bracketed(condition)}" for condition in check.conditions]


def bracketed(condition: str) -> str:
    """A condition as a part of a conjunction."""
    return f"({condition})" if " or " in condition and " and " not in condition else condition


def _names(isa: ir.Isa, instructions: Iterable[ir.Instruction], column: int) -> str:
    """A list of names that begins in this column, families whole where they are, broken into lines."""
    wanted = {i.name for i in instructions}
    whole = {i.family for i in isa.instructions} - {i.family for i in isa.instructions if i.name not in wanted}
    names = dict.fromkeys(
        (i.family if i.family in whole else i.name).replace(".", "_") for i in isa.instructions if i.name in wanted
    )
    lines = [""]
    for name in names:
        piece = f"{name}, "
        if column + len(lines[-1]) + len(piece) > WIDTH:
            lines.append("")
            column = STEP
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines).rstrip(",")


def _expects(repair: Repair) -> Iterator[str]:
    """What now holds of the instructions, in place of what was published."""
    isa, scheme = repair.isa, repair.scheme
    first = scheme is isa.schemes[0]
    everywhere = modes_text(isa, tuple(sorted({real for _, real in scheme.run})))
    said: dict[str, list[ir.Instruction]] = {}
    for check in repair.checks:
        whole = repair.bit is None and check.conditions == (everywhere,)
        said.setdefault("privileged" if whole else "no_hole", []).extend(check.instructions)
    for word, instructions in said.items():
        head = f"expect {word}{'' if first else f' in {scheme.name}'} : "
        yield f"{head}{_names(isa, instructions, len(head))}"
    tagged = [i for c in repair.checks for i in c.instructions if any(e.scheme == scheme.name for e in i.expects)]
    if first and tagged:
        head = f"expect no_hole in {scheme.name} : "
        yield f"{head}{_names(isa, tagged, len(head))}"


def _schemes(repair: Repair) -> Iterator[str]:
    for scheme in repair.isa.schemes:
        here = scheme is repair.scheme
        parts = []
        if repair.bit is not None and (supervisor_as_itself(repair.isa, scheme) or here):
            parts.append(f"choose {repair.bit}")
        if repair.bit is not None and here:
            parts.append(f'assume {repair.bit} "the checks are on"')
        if here:
            parts.append("expect virtualizable")
        if parts:
            yield from (f"scheme {scheme.name} {{", *parts, "}", "")


def supervisor_as_itself(isa: ir.Isa, scheme: ir.Scheme) -> bool:
    """Does the scheme run the guest's supervisor in its own mode?"""
    order = [m.code for m in isa.mode.modes()]
    supervisor = min((virtual for virtual, _ in scheme.run), key=order.index)
    return (supervisor, supervisor) in scheme.run


def _examples(repair: Repair, fails: Fails) -> Iterator[str]:
    """The examples that the checks change, with the trap that they now end in."""
    trap = (repair.trap or "repair").partition("(")[0]
    changed = {e.span: e for i in repair.isa.instructions if i.name in repair.mended() for e in i.examples if fails(e)}
    for span, example in changed.items():
        told = "" if span is None else text_of(span.file)[span.start : span.end]
        if f'"{example.asm}"' in told:  # else it has cells of a table in it
            yield re.sub(r"\}\s+to\s[^}]*\}?\s*$", f"}} to trap {trap}", told)
