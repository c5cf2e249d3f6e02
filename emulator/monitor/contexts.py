"""Contexts of the shadow where routines find them: what the virtual machine's map registers come to.

A routine that changes what a shadowed map reads (SHADOW-CONTEXT) has to know under which number the shadow's table
keeps the entries of the new context, whether the guest's RAM is one block in it (SHADOW-FLAT), and what arguments are
that the spec does not give.  That is kept in files of the host, 64 contexts at most, by the values of what the maps
read; what is not there the slow monitor adds.  All of it is forgotten when anything else that decides has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analyzer import ir
from emulator.monitor.plan import Plan, map_reads
from emulator.monitor.table import CONTEXT, CONTEXTS, FLAT, KINDS, Form

INDEX = 6
"""The logarithm of the number of contexts."""

WORD = 64

FILE = "monitor.contexts."

MIX = 0x9E3779B97F4A7C15
"""An odd number that spreads contexts over the entries."""

Rebind = Callable[[ir.Expr], ir.Expr]


@dataclass(frozen=True, slots=True)
class Contexts:
    """`names` are the elements that decide and are not the guest's own, with their widths; `answers` the host's
    elements that follow."""

    names: tuple[str, ...]
    widths: tuple[int, ...]
    answers: tuple[tuple[str, int], ...]

    @staticmethod
    def of(plan: Plan, forms: Mapping[str, Form]) -> Contexts | None:
        """None: what passes to the guest decides, too."""
        isa = plan.isa
        spaces = [isa.spaces[name] for name in plan.shadowed]
        read = set().union(*(map_reads(isa, space)[0] for space in spaces if isinstance(space, ir.Map)))
        passed = set(plan.division.passed)
        if any(isa.elements[n].role is not ir.Role.GUEST for n in read & passed if n in isa.elements):
            return None
        names = tuple(n for n in isa.elements if n in read - passed)
        defaults = {form.default(p, kind): p.width for form in forms.values() for p in form.defaulted for kind in KINDS}
        answers = ((CONTEXT, CONTEXTS), (FLAT, 1), *defaults.items())
        widths = tuple(isa.elements[n].width for n in names)
        if sum(width for _, width in answers) + 1 > WORD or max(widths, default=0) > WORD:
            return None
        return Contexts(names, widths, answers)

    # -- for code ------------------------------------------------------------------------------------------------------

    def files(self) -> Sequence[ir.File]:
        """A file for each word of the key, and the last for the answers and a 1."""
        words = [*(f"key.{i}" for i in range(len(self._words()))), "answer"]
        return [ir.File(FILE + w, 1 << INDEX, INDEX, WORD, ir.Role.CONTROL, reset=0) for w in words]

    def find(self, expr: Rebind, leave: ir.Stmt) -> Sequence[ir.Stmt]:
        """Takes up the context of the virtual state; `leave` if it is not known."""
        out: list[ir.Stmt] = []
        mixed: ir.Expr = ir.Const(WORD, 0)
        for i, names in enumerate(self._words()):
            word = _wide(_joined([expr(ir.Get(n, w)) for n, w in names]))
            out.append(ir.Let(f"key.{i}", word))
            mixed = _times(ir.Binary("xor", mixed, ir.Local(f"key.{i}", WORD)))
        out.append(ir.Let("index", ir.Extract(mixed, WORD - 1, WORD - INDEX)))
        index = ir.Local("index", INDEX)
        out.append(ir.Let("answer", ir.GetEntry(FILE + "answer", index, WORD)))
        answer = ir.Local("answer", WORD)
        there: ir.Expr = ir.ToBool(ir.Extract(answer, 0, 0))
        for i in range(len(self._words())):
            kept = ir.GetEntry(FILE + f"key.{i}", index, WORD)
            there = ir.Logic("and", there, ir.Compare("eq", kept, ir.Local(f"key.{i}", WORD)))
        takes: list[ir.Stmt] = []
        at = 1
        for name, width in self.answers:
            takes.append(ir.Set(name, ir.Extract(answer, at + width - 1, at)))
            at += width
        return [*out, ir.When(there, tuple(takes), (leave,))]

    def _words(self) -> list[list[tuple[str, int]]]:
        """The elements that make up each word of the key."""
        found: list[list[tuple[str, int]]] = []
        room = 0
        for name, width in zip(self.names, self.widths, strict=True):
            if width > room:
                found.append([])
                room = WORD
            found[-1].append((name, width))
            room -= width
        return found

    # -- for the slow monitor ------------------------------------------------------------------------------------------

    def enter(self, files: Mapping[str, list[int]], elements: Mapping[str, int], answers: Mapping[str, int]) -> None:
        """Adds the context of these elements."""
        mixed, keys = 0, []
        for names in self._words():
            word = 0
            for name, width in names:
                word = word << width | elements[name]
            keys.append(word)
            mixed = (mixed ^ word) * MIX & (1 << WORD) - 1
        index = mixed >> WORD - INDEX
        answer, at = 1, 1
        for name, width in self.answers:
            answer |= answers[name] << at
            at += width
        for i, key in enumerate(keys):
            files[FILE + f"key.{i}"][index] = key
        files[FILE + "answer"][index] = answer

    def forget(self, files: Mapping[str, list[int]]) -> None:
        files[FILE + "answer"][:] = [0] * (1 << INDEX)


def _joined(parts: Sequence[ir.Expr]) -> ir.Expr:
    found = parts[0]
    for part in parts[1:]:
        found = ir.Concat(found, part)
    return found


def _wide(expr: ir.Expr) -> ir.Expr:
    return expr if ir.width(expr) == WORD else ir.Extend(False, expr, WORD)


def _times(expr: ir.Expr) -> ir.Expr:
    return ir.Binary("mul", expr, ir.Const(WORD, MIX))
