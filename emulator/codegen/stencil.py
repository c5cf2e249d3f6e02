"""Stencils: instructions as code that is copied and patched.

A stencil is what a handler is, with holes.  Whatever is known of an instruction where it lies (its operands, its
address, what follows from them, the place of a register) is a *hole*: the address of a symbol that nobody defines, so
LLVM makes code with a relocation, and takes the address for a number of which it knows the range.  A stencil ends in a
tail call of `next`, or of a symbol for each address that is known to follow; where one stencil lies behind the other,
the jump is not needed.

What is rare is not in a stencil.  It takes back what it wrote and goes to the handler, which executes the instruction
again: so there is one implementation of traps, devices and missing translations.

Copy-and-patch: Xu and Kjolstad, "Copy-and-Patch Compilation", OOPSLA 2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from msgspec import Struct

from analyzer import ir
from emulator.codegen.agreed import BAIL, COPIED, NEXT
from emulator.codegen.direct import PC
from emulator.codegen.handler import CONVENTION, PARAMETERS, Handler, Tail
from emulator.codegen.layout import slot
from emulator.codegen.lower import Arg
from emulator.codegen.plan import Plan
from emulator.codegen.steps import OPERATORS
from emulator.codegen.values import Text, Unsupported, Value, ones, ty
from emulator.codegen.variant import Variant

LONGEST = 2000
"""Characters of a formula; what is longer is computed by the code."""


class Hole(Struct, frozen=True):
    """A number that is known when a stencil is copied: a formula (`steps`), its bits, and how many bits it has as a
    signed number."""

    formula: str
    width: int
    signed: int

    @property
    def wide(self) -> bool:
        """Is it more than the displacement of an address?"""
        return self.width > 32 and self.signed > 32

    @property
    def range(self) -> tuple[int, int]:
        """The numbers that the symbol may stand for, the last one not included; LLVM takes a pair of equal ones for
        all."""
        if self.signed < self.width == 64:
            return -(1 << self.signed - 1), 1 << self.signed - 1
        return (0, 1 << self.width) if self.width < 64 else (-1, -1)


class Holes(Tail):
    """Code with holes: what follows from holes alone is a hole, too."""

    def named(self, name: str) -> Self:
        """Gives it its name, and no holes yet."""
        self.name = name
        self.holes: dict[Hole, str] = {}
        self.static: dict[Value, Hole] = {}
        self.exits: dict[str, str] = {}  # symbols by the formulas of the addresses
        self.ways: dict[str, list[str]] = {}  # out of the function, by label
        self.never: list[str] = []  # formulas: where one of them holds, it is not copied
        return self

    def out(self, symbol: str) -> None:
        """Leaves for a symbol.  Ways out stand at the end: LLVM jumps to the symbol on a condition only if what follows
        the condition is something else."""
        label = f"to.{symbol}"
        if label not in self.ways:
            lines, self.text.lines = self.text.lines, []
            self.go(f"@{symbol}", "%rec", "%b", "poison")
            self.ways[label], self.text.lines = self.text.lines, lines
        self.text.do(f"br label %{label}")

    def hole(self, formula: str, width: int, signed_: int | None = None) -> Value:
        """The value of a hole, as LLVM writes it."""
        hole = Hole(formula, width, width + 1 if signed_ is None else signed_)
        symbol = self.holes.setdefault(hole, f"{self.name}.h{len(self.holes)}")
        value = f"ptrtoint (ptr @{symbol} to {ty(width)})"
        self.static[value] = hole
        return value

    def formula(self, width: int, *values: Value) -> list[str] | None:
        """The formulas of values of that width, if holes are among them and nothing else but numbers."""
        if width > 64 or not any(value in self.static for value in values):
            return None
        if not all(isinstance(value, int) or value in self.static for value in values):
            return None
        found = [str(value & ones(64)) if isinstance(value, int) else self.static[value].formula for value in values]
        return found if sum(map(len, found)) <= LONGEST else None

    def binary(self, op: str, a: Value, b: Value, width: int) -> Value:
        found = self.formula(width, a, b) if op in OPERATORS else None
        if found is None or (a == 0 and op in ("add", "or", "xor")) or (b == 0 and op in NEUTRAL):
            return super().binary(op, a, b, width)
        w = max(width, 1)
        if (op == "and" and 0 in (a, b)) or (op == "mul" and (0 in (a, b) or b == 1)):
            return super().binary(op, a, b, width)
        if op == "ashr":
            found[0] += f" s{w}"
        term = f"{found[0]} {found[1]} {op}"
        return self.hole(cut(term, w) if op in GROWING else term, w)

    def compare(self, op: ir.CompareOp, a: Value, b: Value, width: int) -> Value:
        found = self.formula(width, a, b)
        if found is None:
            return super().compare(op, a, b, width)
        if op in ("slt", "sle"):
            found = [f"{each} s{max(width, 1)}" for each in found]
        return self.hole(f"{found[0]} {found[1]} {op}", 1)

    def select(self, cond: Value, then: Value, other: Value, width: int) -> Value:
        found = self.formula(width, cond, then, other)
        if found is None or cond not in self.static:
            return super().select(cond, then, other, width)
        return self.hole(" ".join([*found, "if"]), max(width, 1))

    def extract(self, a: Value, width: int, hi: int, lo: int) -> Value:
        if a not in self.static or hi - lo + 1 == width:
            return super().extract(a, width, hi, lo)
        return self.hole(cut(f"{self.static[a].formula} {lo} lshr", hi - lo + 1), hi - lo + 1)

    def extend(self, a: Value, width: int, to: int) -> Value:
        if a not in self.static or max(width, 1) == to or to > 64:
            return super().extend(a, width, to)
        return self.hole(self.static[a].formula, to, max(width, 1) + 1)

    def sign_extend(self, a: Value, width: int, to: int) -> Value:
        if a not in self.static or width == to or to > 64:
            return super().sign_extend(a, width, to)
        return self.hole(cut(f"{self.static[a].formula} s{width}", to), to, width)

    def function(self) -> str:
        """The text of the function, with its symbols."""
        out = []
        for hole, symbol in self.holes.items():
            low, high = hole.range
            wide = 'code_model "large", ' if hole.wide else ""
            metadata = f"!absolute_symbol !{{i64 {low}, i64 {high}}}"
            out.append(f"@{symbol} = extern_weak dso_local global i8, {wide}{metadata}")
        out += [f"declare {CONVENTION} void @{symbol}({PARAMETERS})" for symbol in self.exits.values()]
        ways = (line for label, lines in self.ways.items() for line in (f"{label}:", *lines))
        body = "\n".join([*self.text.lines, *ways])
        head = f"define {CONVENTION} void @{self.name}({PARAMETERS}) nounwind optsize"
        return "\n".join([*out, f"{head} {{\nentry:\n{body}\n}}\n"])

    def numbers(self) -> dict[str, str]:
        """By symbol, the formula of the number that it stands for."""
        return {symbol: hole.formula for hole, symbol in self.holes.items()}


NEUTRAL = ("add", "sub", "or", "xor", "shl", "lshr", "ashr")
GROWING = ("add", "sub", "mul", "shl", "ashr")
"""Operators whose results may have more bits than what they are of."""


def cut(formula: str, width: int) -> str:
    """The lowest bits of what a formula gives.

    >>> cut("o0 1 add", 8), cut("pc 4 add", 64)
    ('o0 1 add 255 and', 'pc 4 add')
    """
    return formula if width >= 64 else f"{formula} {ones(width)} and"


class Stencil(Holes, Handler):
    """Lowers one variant."""

    def __init__(self, plan: Plan, text: Text, variant: Variant, name: str) -> None:
        Handler.__init__(self, plan, text, variant)
        self.named(name)
        self.here = str(self.hole("pc", plan.pc_width))
        self.delta = {self.here: 0}
        self.regs[PC] = self.here
        self.origin = self.extend(self.here, plan.pc_width, 64)
        self.ends = False  # does any way lead to the end of the instruction?
        self.stored = False

    def operand(self, name: str, width: int) -> Value:
        if name in self.fixed and self.control[name] is None:
            return self.fixed[name]
        if name not in self.places:
            raise Unsupported(f"an operand of {width} bits")
        return self.hole(f"o{list(self.places).index(name)}", width)

    def binary(self, op: str, a: Value, b: Value, width: int) -> Value:
        if op in ("add", "sub") and width == self.plan.pc_width and isinstance(b, int) and a in self.delta:
            away = self.delta[a] + (b if op == "add" else -b) & ones(width)
            found = self.hole(cut(f"pc {away} add", width), width) if away else self.here
            self.delta[found] = away
            return found
        return Holes.binary(self, op, a, b, width)

    def store_slot(self, place: str, width: int, value: Value) -> None:
        """LLVM would store any address as 32 bits, so one that is a wide number goes through a register."""
        if value in self.static and self.static[value].wide:
            value = self.text.let(f'call {ty(width)} asm "", "=r,0"({ty(width)} {value})')
        super().store_slot(place, width, value)

    # -- registers -----------------------------------------------------------------------------------------------------

    def entry_place(self, file: ir.File, index: Value) -> str:
        if index not in self.static:
            return super().entry_place(file, index)
        at = self.static[index].formula
        there = f"{at} {file.size} ult" + "".join(f" {at} {zero} eq 1 xor and" for zero in sorted(file.zeros))
        return self._slot(file, f"{there} {at} {file.size} if")

    def get_entry(self, file: ir.File, index: Value) -> Value:
        if index in self.static and file.size == 1 << file.index_width:
            return self.load_slot(self._slot(file, self.static[index].formula), file.width)
        return super().get_entry(file, index)

    def _slot(self, file: ir.File, index: str) -> str:
        """The place of an entry whose index is known when the stencil is copied."""
        place = self.hole(f"{index} {slot(file.width)} mul {self.layout.files[file.name]} add", 64, 32)
        return self.text.pure(f"getelementptr i8, ptr %st, i64 {place}")

    # -- ends ----------------------------------------------------------------------------------------------------------

    def spent(self) -> Value:
        """The block took all of its instructions when it began."""
        return self.text.let(f"add i64 %b, {self.hole('left', 64, 32)}")

    def end(self) -> None:
        self.ends = True
        super().end()

    def fall(self) -> None:
        self.go(f"@{NEXT}", "%rec", "%b", "poison")

    def jump(self, budget: Value) -> None:
        pc = self.regs[PC]
        if pc not in self.static:
            super().jump(budget)
            return
        formula = self.static[pc].formula
        symbol = self.exits.setdefault(formula, f"{self.name}.j{len(self.exits)}")
        self.out(symbol)

    def bail(self) -> None:
        """Leaves it all to the handler."""
        if self.journalled:
            self.undo()
        self.out(BAIL)

    def failed(self, status: str) -> None:
        self.bail()

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        self.bail()

    def unpredictable(self) -> None:
        self.bail()

    def commit(self) -> bool:
        if self.written or self.stored:
            raise Unsupported("something that cannot be taken back")
        return True

    def host_store(self, host: str, bits: int, unit: int, value: Value) -> None:
        self.stored = True
        super().host_store(host, bits, unit, value)

    def execute(self, word: Value, width: int, limit: int) -> None:
        raise Unsupported("another instruction")

    # -- what is left to handlers --------------------------------------------------------------------------------------

    def loop(self, stmt: ir.Loop) -> bool:
        """A loop that operands decide on (levels of indirection): an instruction that enters it is not copied."""
        cond = self.value(stmt.cond)
        if cond in self.static:
            self.never.append(self.static[cond].formula)
        elif cond != 0:
            raise Unsupported("a loop")
        return True

    def count(self, element: str, later: int) -> Value:
        raise Unsupported("a clock")

    def arbitrary(self, name: str, args: list[tuple[Value, int]], width: int) -> Value:
        raise Unsupported("something unspecified")

    def probe(self, stmt: ir.Probe, address: Value, args: list[Arg]) -> Value:
        raise Unsupported("a query")

    def lookup(self, table: ir.Table, index: Value) -> Value:
        raise Unsupported("a table")

    def slow(
        self,
        space: ir.Map | ir.Memory,
        wide: Value,
        bits: int,
        kind: ir.AccessKind,
        given: tuple[Arg, ...],
        value: Value | None,
        span: bool,
    ) -> None:
        self.bail()
        self.text.label(self.text.fresh("never"))

    def _result(self, bits: int) -> Value:
        return 0

    def _bus(
        self,
        space: ir.Bus,
        address: Value,
        bits: int,
        kind: ir.AccessKind,
        args: list[Arg],
        table: bool,
        value: Value | None,
    ) -> Value:
        if value is not None and bits > space.unit:
            raise Unsupported("a store in parts")
        return super()._bus(space, address, bits, kind, args, table, value)


def stencil(plan: Plan, variant: Variant, name: str) -> Stencil:
    """The stencil of a variant.

    Raises:
        Unsupported: it has none; its handler must execute it.
    """
    if variant.trap is not None or variant.executed is not None:
        raise Unsupported("no instruction of its own")
    made = Stencil(plan, Text(), variant, name)
    made.lower()
    if not made.ends:
        raise Unsupported("nothing but a trap")
    return made


def stencils(wanted: Iterable[Holes]) -> str:
    """The text of some stencils."""
    rare = "\n".join(f"declare {CONVENTION} void @{symbol}({PARAMETERS})" for symbol in COPIED)
    return "\n".join([rare, *(each.function() for each in wanted)])
