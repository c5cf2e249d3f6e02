"""Variants: what a handler fixes of an instruction, and so knows when it is made.

A *variant* is an instruction with its length and what its text asks of its operands before it looks at the state: is
there an index register, is it a memory operand.  Of an operand that is only compared with numbers, as a whole or in
parts (*atoms*), a variant fixes which of them it is; of one that is used otherwise in such a condition, the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod

from msgspec import Struct

from analyzer import ir
from emulator.codegen.shape import Shape

Atom = tuple[int, int, int]
"""Bits `hi` to `lo` of an operand are a value."""

Control = Mapping[str, tuple[Atom, ...] | None]
"""What is fixed: for an operand its atoms, or None for its value."""

WIDEST = 12
"""Operands with more bits are never fixed."""


class Variant(Struct, frozen=True):
    """What a handler is for; `trap` instead of an instruction stands for an encoding that raises it.  One that another
    executes has the `length` of the other, and in `executed` its own, and how deep it is.

    `fixed` has for each operand of the instruction's `Control` the value, or a bit for each atom: whether it holds.
    """

    instruction: int
    fixed: tuple[tuple[str, int], ...]
    length: int
    trap: tuple[str, tuple[int, ...]] | None = None
    executed: tuple[int, int] | None = None


class Instr(Struct, frozen=True):
    """A decoded instruction of a page."""

    pc: int
    variant: Variant | None
    operands: Mapping[str, int]


def fixed(control: Control, operands: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """What a variant fixes of these operands."""
    return tuple((name, fixed_bits(atoms, operands[name])) for name, atoms in control.items() if name in operands)


def fixed_bits(atoms: Sequence[Atom] | None, value: int) -> int:
    """The value of an operand, or a bit for each atom.

    >>> fixed_bits(None, 5), fixed_bits(((2, 0, 5), (4, 3, 1)), 5)
    (5, 1)
    """
    if atoms is None:
        return value
    return sum(1 << i for i, (hi, lo, wanted) in enumerate(atoms) if value >> lo & (2 << hi - lo) - 1 == wanted)


def holds(atoms: Sequence[Atom] | None, bits: int, atom: Atom) -> int:
    """Whether an atom holds, by what is fixed of the operand."""
    if atoms is None:
        hi, lo, wanted = atom
        return int(bits >> lo & (2 << hi - lo) - 1 == wanted)
    return bits >> atoms.index(atom) & 1


def atom_of(expr: ir.Expr) -> tuple[str, Atom] | None:
    """The operand and the atom that a comparison asks for, if it does."""
    match expr:
        case ir.Compare(op="eq", left=ir.Operand(name=name, width=width), right=ir.Const(value=value)):
            return name, (width - 1, 0, value)
        case ir.Compare(op="eq", left=ir.Extract(arg=ir.Operand(name=name), hi=hi, lo=lo), right=ir.Const(value=value)):
            return name, (hi, lo, value)
        case _:
            return None


KEY_LENGTH, KEY_CONTROL = 16, 24
"""Where the length, and what is fixed, begin in a key."""


def key(isa: ir.Isa, variant: Variant) -> int | None:
    """A variant as a number of 64 bits other than 0: the instruction plus 1, the length in units, what is fixed; None
    if it takes more, or is not read from where it is executed."""
    instruction = isa.instructions[variant.instruction]
    wanted = control(isa, instruction)
    if variant.trap is not None or variant.executed is not None or key_bits(isa, instruction, wanted) > 64:
        return None
    found, shift = variant.instruction + 1 | variant.length << KEY_LENGTH, KEY_CONTROL
    given = dict(variant.fixed)
    for name, width in control_widths(isa, instruction, wanted).items():
        found |= given[name] << shift
        shift += width
    return found


def key_bits(isa: ir.Isa, instruction: ir.Instruction, wanted: Control) -> int:
    return KEY_CONTROL + sum(control_widths(isa, instruction, wanted).values())


def control_widths(isa: ir.Isa, instruction: ir.Instruction, wanted: Control) -> dict[str, int]:
    """The bits that each fixed operand takes."""
    widths = {o.name: o.width for o in instruction.operands} | {p.name: p.width for p in isa.prefixes}
    widths["prefix_parcels"] = 8
    return {name: widths[name] if atoms is None else len(atoms) for name, atoms in wanted.items()}


FEW = 4
"""Variants of an instruction, if they are to be made before they are needed."""
SMALL = 40
"""The size of its text (`Shape.nodes`)."""


def plain(isa: ir.Isa) -> list[Variant]:
    """The variants of small instructions that touch registers alone: most programs need some of them, and they are made
    in little time."""
    shape, found = Shape(isa), []
    for number, instruction in enumerate(isa.instructions):
        wanted, size = control(isa, instruction), shape.nodes(instruction.body, 0)
        widths = {operand.name: operand.width for operand in instruction.operands}
        sometimes = any(segment.when is not None for segment in instruction.segments)
        if size is None or size > SMALL or sometimes or not widths.keys() >= wanted.keys():
            continue
        values = [sorted({fixed_bits(atoms, v) for v in range(1 << widths[name])}) for name, atoms in wanted.items()]
        if prod(map(len, values)) <= FEW:
            length = sum(segment.width for segment in instruction.segments) // isa.unit
            found += [Variant(number, tuple(zip(wanted, each, strict=True)), length) for each in product(*values)]
    return found


_control: dict[int, tuple[ir.Instruction, Control]] = {}


def control(isa: ir.Isa, instruction: ir.Instruction) -> Control:
    """What variants of an instruction fix, in alphabetical order; prefixes always, for they say how long it is."""
    known = _control.get(id(instruction))
    if known is None or known[0] is not instruction:
        known = _control[id(instruction)] = (instruction, _find(isa, instruction))
    return known[1]


def _find(isa: ir.Isa, instruction: ir.Instruction) -> Control:
    asked: dict[str, set[Atom | None]] = {}
    walk = _Walk(isa, asked)
    walk.block(instruction.body, {})
    for segment in instruction.segments:
        if segment.when is not None:
            walk.ask(segment.when, {})
    widths = {o.name: o.width for o in instruction.operands}
    found: dict[str, tuple[Atom, ...] | None] = {p.name: None for p in isa.prefixes}
    if isa.prefixes:
        found["prefix_parcels"] = None
    for name, atoms in asked.items():
        if widths.get(name, WIDEST + 1) <= WIDEST:
            plain = [atom for atom in atoms if atom is not None]
            found[name] = tuple(sorted(plain)) if len(plain) == len(atoms) else None
    return dict(sorted(found.items()))


_Use = tuple[str, Atom | None]
"""An operand, and the atom that is asked for; None if something else is done with it."""

_Uses = Mapping[str, frozenset[_Use]]
"""What locals stand for, as far as they depend on operands alone."""

_STATE = ir.Get | ir.GetEntry | ir.Arbitrary | ir.Unknown


class _Walk(Struct, frozen=True):
    """Looks for conditions that can be decided by the operands."""

    isa: ir.Isa
    asked: dict[str, set[Atom | None]]

    def ask(self, cond: ir.Expr, locals_: _Uses) -> None:
        for name, atom in self.uses(cond, locals_):
            self.asked.setdefault(name, set()).add(atom)

    def uses(self, expr: ir.Expr, locals_: _Uses) -> frozenset[_Use]:
        """What a condition asks of operands; in a comparison with something of the state they are data."""
        atom = atom_of(expr)
        if atom is not None:
            return frozenset([atom])
        match expr:
            case ir.Operand():
                return frozenset([(expr.name, None)])
            case ir.Local():
                return locals_.get(expr.name, frozenset())
            case ir.Logic() | ir.Not() | ir.ToBool() | ir.ToBits() | ir.If():
                pass
            case _ if not self.settled(expr, locals_):
                return frozenset()
            case _:
                pass
        return frozenset().union(*(self.uses(child, locals_) for child in ir.children(expr)))

    def settled(self, expr: ir.Expr, locals_: _Uses) -> bool:
        """Whether a value depends on nothing but operands."""
        return all(
            term.name in locals_ if isinstance(term, ir.Local) else not isinstance(term, _STATE)
            for term in ir.subterms(expr)
        )

    def block(self, block: ir.Block, locals_: _Uses) -> None:
        """Statements in order; a local has one meaning, wherever it is bound."""
        known = dict(locals_)
        for stmt in ir.statements(block):
            if isinstance(stmt, ir.Let) and self.settled(stmt.value, known):
                known[stmt.local] = known.get(stmt.local, frozenset()) | self.uses(stmt.value, known)
            if isinstance(stmt, ir.When | ir.Loop):
                self.ask(stmt.cond, known)
            if isinstance(stmt, ir.Call):
                procedure = self.isa.procedures[stmt.procedure]
                given = {
                    name: self.uses(arg, known)
                    for (name, _), arg in zip(procedure.params, stmt.args, strict=True)
                    if self.settled(arg, known)
                }
                self.block(procedure.body, given)
            for expr in ir.expressions(stmt):
                for term in ir.subterms(expr):
                    if isinstance(term, ir.If):
                        self.ask(term.cond, known)
                    elif isinstance(term, ir.Lookup):
                        self.ask(term.index, known)
