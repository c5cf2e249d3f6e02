"""Programs: assembly source with labels and directives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from analyzer import ir
from analyzer.errors import AssemblyError, Diagnostic
from analyzer.source import Source, Span
from emulator.assemble import Symbols, assembler, number
from emulator.state import State, split

PASSES = 8
"""Passes over a program before its layout must be stable."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a program: its address, the units it makes, and its text."""

    address: int
    units: tuple[int, ...]
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Program:
    """An assembled program; `cells` are its units by address, `labels` the addresses (and constants) by name."""

    cells: Mapping[int, int]
    labels: Mapping[str, int]
    lines: tuple[Line, ...]
    unit: int

    def listing(self) -> str:
        """Addresses, units and source, side by side."""
        digits = (self.unit + 3) // 4
        rows = []
        for line in self.lines:
            units = [f"{u:0{digits}x}" for u in line.units]
            shown = " ".join(units[:8]) + (" …" if len(units) > 8 else "")
            rows.append(f"{line.address:06x}  {shown:<24}  {line.text}".rstrip())
        return "\n".join(rows) + "\n"

    def write(self, state: State, memory: str) -> None:
        """Puts the units into a memory of a state."""
        cells = state.memories[memory]
        for address, unit in self.cells.items():
            cells[address] = unit


def assemble(isa: ir.Isa, text: str, origin: int = 0, name: str = "program", state: State | None = None) -> Program:
    """Assembles a program.

    Labels end in `:`; comments begin with `;` or `//`.  Directives: `.org N` sets the address, `.equ NAME, N` names a
    constant, `.space N` leaves N units 0, `.byte N, …` makes 8-bit numbers, `.word N, …` numbers as wide as the
    general registers, `.bits W, N, …` numbers of W bits.

    Raises:
        AssemblyError: as `assemble_line`; PG505 for a bad directive or label, PG506 for a layout that does not settle.
    """
    source = Source(name, text)
    lines = list(_lines(source))
    labels: dict[str, int] = {}
    for _ in range(PASSES):
        once = _Pass(isa, origin, labels, state, lenient=True)
        once.run(lines)
        if once.labels == labels:
            return _final(isa, lines, origin, labels, state)
        labels = once.labels
    span = source.span(0, len(text))
    raise AssemblyError(Diagnostic("PG506", "the program's layout does not settle: lengths depend on addresses", span))


def _final(isa: ir.Isa, lines: list[_SourceLine], origin: int, labels: dict[str, int], state: State | None) -> Program:
    last = _Pass(isa, origin, labels, state, lenient=False)
    last.run(lines)
    return Program(last.cells, labels, tuple(last.listed), isa.unit)


@dataclass(frozen=True, slots=True)
class _SourceLine:
    label: str | None
    statement: str
    text: str
    span: Span


def _lines(source: Source) -> Iterator[_SourceLine]:
    start = 0
    for raw in source.text.split("\n"):
        code = re.split(r";|//", raw, maxsplit=1)[0].rstrip()
        offset = start + len(code) - len(code.lstrip())
        span = source.span(offset, start + len(code)) if code.strip() else source.span(start, start)
        start += len(raw) + 1
        label = re.match(r"\s*([A-Za-z_.$][\w.$]*)\s*:", code)
        statement = code[label.end() :] if label else code
        yield _SourceLine(label[1] if label else None, statement.strip(), raw.rstrip(), span)


class _Pass:
    """One pass over a program with the labels of the pass before."""

    def __init__(self, isa: ir.Isa, origin: int, known: Mapping[str, int], state: State | None, lenient: bool) -> None:
        self.isa = isa
        self.address = origin
        self.known = known
        self.state = state
        self.lenient = lenient
        self.labels: dict[str, int] = {}
        self.cells: dict[int, int] = {}
        self.listed: list[Line] = []

    def run(self, lines: list[_SourceLine]) -> None:
        for line in lines:
            if line.label is not None:
                self.define(line.label, self.address, line.span)
            start = self.address
            units = self.units(line) if line.statement else ()
            start = start if units else self.address
            for i, unit in enumerate(units):
                self.cells[start + i] = unit
            self.address = start + len(units)
            self.listed.append(Line(start, units, line.text, line.span))

    def define(self, name: str, value: int, span: Span) -> None:
        if name in self.labels:
            raise AssemblyError(Diagnostic("PG505", f"`{name}` is defined twice", span))
        self.labels[name] = value

    def units(self, line: _SourceLine) -> tuple[int, ...]:
        directive, _, rest = line.statement.partition(" ")
        symbols = Symbols(self.address, {**self.known, **self.labels}, self.lenient)
        if not directive.startswith("."):
            return assembler(self.isa).line(line.statement, symbols, self.state, line.span).units
        given = [part.strip() for part in rest.split(",")] if rest.strip() else []
        match directive.lower():
            case ".equ" if len(given) == 2:
                self.define(given[0], number(self.isa, given[1], symbols, line.span), line.span)
                return ()
            case ".org" if len(given) == 1:
                self.address = number(self.isa, given[0], symbols, line.span)
                return ()
            case ".space" if len(given) == 1:
                return (0,) * number(self.isa, given[0], symbols, line.span)
            case ".byte" if given:
                return self.data(8, given, symbols, line.span)
            case ".word" if given:
                return self.data(word_width(self.isa), given, symbols, line.span)
            case ".bits" if len(given) > 1:
                return self.data(number(self.isa, given[0], symbols, line.span), given[1:], symbols, line.span)
            case _:
                hint = "there are .org N, .equ NAME, N, .space N, .byte N, …, .word N, … and .bits W, N, …"
                raise AssemblyError(Diagnostic("PG505", f"bad directive `{line.statement}`", line.span, hint))

    def data(self, bits: int, given: list[str], symbols: Symbols, span: Span) -> tuple[int, ...]:
        if bits <= 0 or bits % self.isa.unit:
            message = f"{bits} bits are not a whole number of units of {self.isa.unit} bits"
            raise AssemblyError(Diagnostic("PG505", message, span))
        units: list[int] = []
        for text in given:
            value = number(self.isa, text, symbols, span)
            if not -(1 << (bits - 1)) <= value < 1 << bits:
                raise AssemblyError(Diagnostic("PG503", f"{value} does not fit in {bits} bits", span))
            units += split(value & (1 << bits) - 1, bits, self.isa.unit, self.isa.endian)
        return tuple(units)


def word_width(isa: ir.Isa) -> int:
    """The width of the general registers: of the first file of guest state that is a whole number of units wide, or
    else of a unit."""
    files = (f.width for f in isa.files.values() if f.role is ir.Role.GUEST and f.width % isa.unit == 0)
    return next(files, isa.unit)
