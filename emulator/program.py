"""Programs in assembly: labels, directives, sections, a listing.

A program is laid out again and again, each pass with the labels of the one before, until nothing moves; so labels may
be used before they are defined, and instructions may have forms of several lengths.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from analyzer import ir
from analyzer.errors import AssemblyError, Diagnostic, UsageError
from analyzer.source import Source, Span
from emulator.assemble import assembler, number
from emulator.expressions import Symbols, named
from emulator.lines import Reader, SourceLine, separated, statements, string
from emulator.state import State, split

PASSES = 8
"""Passes over a program before its layout must be stable."""

MOST_UNITS = 1 << 22
"""Units that one directive may make."""

MOST_PROBLEMS = 20
"""Problems that one run shows."""

SECTION_ALIGNMENT = 16
"""A section without an address begins at the next multiple of as many units after the section before it."""

STARTS = ("_start", "start")
"""Labels at which a program without `.entry` begins; else it begins at its first unit."""

_PLACE = re.compile(r"([A-Za-z_][\w.]*)(?:\[(0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{,19})\])?")

DIRECTIVES = (
    ".org N",
    ".align N",
    ".space N",
    ".equ NAME, N",
    ".byte N, …",
    ".unit N, …",
    ".word N, …",
    ".bits W, N, …",
    '.ascii "…"',
    '.asciz "…"',
    ".section NAME",
    ".text",
    ".data",
    ".bss",
    ".entry N",
    ".start PLACE, N",
    ".if N",
    ".macro NAME",
    ".rept N",
    '.include "FILE"',
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a program: its address, the units it makes, and its text."""

    address: int
    units: tuple[int, ...]
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Program:
    """An assembled program; `cells` are its units by address, `labels` the addresses (and constants) by name, `entry`
    the address at which it begins; `starts` are places of the machine (`file[n]`, an element) with the values that they
    are to have then."""

    cells: Mapping[int, int]
    labels: Mapping[str, int]
    lines: tuple[Line, ...]
    unit: int
    entry: int = 0
    starts: Mapping[str, int] = field(default_factory=dict)

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


def assemble(
    isa: ir.Isa,
    text: str,
    origin: int = 0,
    name: str = "program",
    state: State | None = None,
    read: Reader | None = None,
) -> Program:
    """Assembles a program; `read` gives the files that `.include` names.

    Labels end in `:`; one that is a number may be defined again and again, and `1b` and `1f` are the nearest before and
    after.  Comments begin with `;` or `//`.  Numbers are constant expressions, `'c'` is the number of a character.

    The directives are those of `DIRECTIVES`; the page of PG505 tells what each does.

    Raises:
        AssemblyError: as `assemble_line`; PG505 for a bad directive or label, PG506 for a layout that does not settle,
            PG507 for lines that overlap, PG508 for bad macros.  It has up to 20 diagnostics.
    """
    source = Source(name, text)
    problems: list[Diagnostic] = []
    lines = statements(source, read, problems)
    if problems:
        raise AssemblyError(*problems[:MOST_PROBLEMS])
    layout = _Layout()
    for _ in range(PASSES):
        once = _Pass(isa, origin, layout, state, lenient=True)
        once.run(lines)
        if once.layout() == layout:
            break
        layout = once.layout()
    last = _Pass(isa, origin, layout, state, lenient=False)
    last.run(lines)
    if problems := last.problems or circular(last.equated):
        raise AssemblyError(*problems)
    if last.layout() != layout:
        span = source.span(0, len(text))
        message = "the program's layout does not settle: lengths depend on addresses"
        raise AssemblyError(Diagnostic("PG506", message, span))
    labels = {label: value for label, value in layout.labels.items() if "@" not in label}
    return Program(last.cells, labels, tuple(last.listed), isa.unit, last.begin(labels, origin), last.starts)


def circular(equated: Mapping[str, tuple[Set[str], Span]]) -> list[Diagnostic]:
    """What is wrong with names that are defined by names."""
    try:
        TopologicalSorter({name: names & equated.keys() for name, (names, _) in equated.items()}).prepare()
    except CycleError as error:
        names = list(reversed(error.args[1]))
        by = "itself" if len(names) == 2 else ", that by ".join(f"`{name}`" for name in names[1:])
        return [Diagnostic("PG506", f"`{names[0]}` is defined by {by}", equated[names[0]][1])]
    return []


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a pass found: labels (a local label `1` is `1@n` for the n-th time), and where each section ends."""

    labels: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Section:
    address: int
    end: int


class _Pass:
    """One pass over a program with the layout of the pass before."""

    def __init__(self, isa: ir.Isa, origin: int, before: _Layout, state: State | None, lenient: bool) -> None:
        self.isa = isa
        self.before = before
        self.state = state
        self.lenient = lenient
        self.sections = {"text": _Section(origin, origin)}
        self.section = self.sections["text"]
        self.labels: dict[str, int] = {}
        self.local: dict[str, int] = {}
        self.cells: dict[int, int] = {}
        self.listed: list[Line] = []
        self.entry: int | None = None
        self.starts: dict[str, int] = {}
        self.equated: dict[str, tuple[Set[str], Span]] = {}  # the names that a name is defined by
        self.conditions: list[bool] = []
        self.problems: list[Diagnostic] = []

    def layout(self) -> _Layout:
        return _Layout(self.labels, {name: section.end for name, section in self.sections.items()})

    def begin(self, labels: Mapping[str, int], origin: int) -> int:
        """The address at which the program begins."""
        if self.entry is not None:
            return self.entry
        first = (line.address for line in self.listed if line.units)
        return next((labels[name] for name in STARTS if name in labels), next(first, origin))

    def run(self, lines: tuple[SourceLine, ...]) -> None:
        for line in lines:
            try:
                if self.decide(line) or not all(self.conditions):
                    continue
                self.line(line)
            except AssemblyError as error:
                self.problems.extend(error.diagnostics)
            if len(self.problems) >= MOST_PROBLEMS and not self.lenient:
                return
        if self.conditions and lines:
            self.problems.append(Diagnostic("PG505", "`.if` has no `.endif`", lines[-1].span))

    def decide(self, line: SourceLine) -> bool:
        """`.if`, `.else` and `.endif`: whether the line is one of them."""
        word, _, rest = line.statement.partition(" ")
        match word.lower():
            case ".if":
                self.conditions.append(False)
                if all(self.conditions[:-1]):
                    self.conditions[-1] = number(self.isa, rest, self.symbols(), line.span) != 0
            case ".else" if self.conditions:
                self.conditions[-1] = not self.conditions[-1]
            case ".endif" if self.conditions:
                self.conditions.pop()
            case _:
                return False
        return True

    def line(self, line: SourceLine) -> None:
        section = self.section
        if line.label is not None:
            self.define(line.label, section.address, line.line)
        start = section.address
        units = self.units(line) if line.statement else ()
        if not units:
            self.listed.append(Line(self.section.address, (), line.text, line.span))
            return
        overlap = next((start + i for i in range(len(units)) if start + i in self.cells), None)
        if overlap is not None:
            message = f"there is something at address {overlap:#x} already"
            self.problems.append(Diagnostic("PG507", message, line.span))
        self.cells.update(enumerate(units, start))
        section.address = start + len(units)
        section.end = max(section.end, section.address)
        self.listed.append(Line(start, units, line.text, line.span))

    def define(self, name: str, value: int, span: Span) -> None:
        if name.isdigit():
            self.local[name] = self.local.get(name, 0) + 1
            name = f"{name}@{self.local[name]}"
        if name in self.labels:
            raise AssemblyError(Diagnostic("PG505", f"`{name}` is defined twice", span))
        self.labels[name] = value

    def symbols(self) -> Symbols:
        """What names mean here."""
        nearest: dict[str, int] = {}
        known = self.before.labels
        for name in {label.partition("@")[0] for label in known if "@" in label}:
            count = self.local.get(name, 0)
            for suffix, at in (("b", f"{name}@{count}"), ("f", f"{name}@{count + 1}")):
                if at in known:
                    nearest[name + suffix] = self.labels.get(at, known[at])
        return Symbols(self.section.address, ChainMap(nearest, self.labels, known), self.lenient)

    def place_width(self, text: str) -> int:
        """The width in bits of a place of the state: an element, a choice, a register, `file[n]` or `memory[n]`."""
        parts = _PLACE.fullmatch(text)
        if parts is None:
            raise UsageError(f"{text} is no place of the state", "places are `name` or `name[n]`")
        name = self.isa.fetch.pc if parts[1] == "pc" else parts[1]
        index = int(parts[2], 0) if parts[2] else None
        file = self.isa.files.get(name)
        if file is not None and index is not None and index >= file.size:
            raise UsageError(f"there is no place {text}: {name} has {file.size} entries")
        return State(self.isa).place_width(name, index)

    def begins(self, text: str, value: int, span: Span) -> None:
        """What a place of the state holds when the program starts."""
        try:
            width = self.place_width(text)
        except UsageError as error:
            raise AssemblyError(Diagnostic("PG505", str(error), span, error.hint)) from None
        if not 0 <= value < 1 << width:
            message = f"{value} does not fit in the {width} bits of {text}"
            raise AssemblyError(Diagnostic("PG503", message, span))
        self.starts[text] = value

    def units(self, line: SourceLine) -> tuple[int, ...]:
        """The units that a statement makes."""
        directive, _, rest = line.statement.partition(" ")
        if not directive.startswith("."):
            return assembler(self.isa).line(line.statement, self.symbols(), self.state, line.span).units
        given, span = separated(rest), line.span

        def value(i: int) -> int:
            return number(self.isa, given[i], self.symbols(), span)

        match directive.lower():
            case ".equ" if len(given) == 2:
                self.equated[given[0]] = named(given[1]), span
                self.define(given[0], value(1), span)
                return ()
            case ".org" if len(given) == 1:
                self.section.address = self.address(value(0), span)
                return ()
            case ".entry" if len(given) == 1:
                self.entry = self.address(value(0), span)
                return ()
            case ".start" if len(given) == 2:
                self.begins(given[0], value(1), span)
                return ()
            case ".align" if len(given) == 1:
                if (step := value(0)) < 1:
                    raise AssemblyError(Diagnostic("PG505", f"nothing is aligned to {step}", span))
                return self.filled(-self.section.address % step, 0, span)
            case ".space" if len(given) in (1, 2):
                return self.filled(value(0), value(1) if len(given) == 2 else 0, span)
            case ".byte" if given:
                return self.data(8, given, span)
            case ".unit" if given:
                return self.data(self.isa.unit, given, span)
            case ".word" if given:
                return self.data(word_width(self.isa), given, span)
            case ".bits" if len(given) > 1:
                return self.data(value(0), given[1:], span)
            case ".ascii" | ".asciz" if given:
                return self.characters(given, directive.lower() == ".asciz", span)
            case ".section" if len(given) in (1, 2):
                self.enter(given[0].strip('"'), self.address(value(1), span) if len(given) == 2 else None)
                return ()
            case ".text" | ".data" | ".bss" if not given:
                self.enter(directive.lower()[1:], None)
                return ()
            case _:
                message = f"bad directive `{line.statement}`"
                raise AssemblyError(Diagnostic("PG505", message, span, f"there are {', '.join(DIRECTIVES)}"))

    def enter(self, name: str, address: int | None) -> None:
        """Goes on in a section."""
        if name not in self.sections:
            if address is None:
                last = next(reversed(self.sections))
                end = self.before.ends.get(last, self.sections[last].end)
                address = end + -end % SECTION_ALIGNMENT
            self.sections[name] = _Section(address, address)
        elif address is not None:
            self.sections[name].address = address
        self.section = self.sections[name]

    def address(self, value: int, span: Span) -> int:
        """A value that fits in the program counter."""
        width = self.isa.elements[self.isa.fetch.pc].width
        if not 0 <= value < 1 << width:
            raise AssemblyError(Diagnostic("PG503", f"{value:#x} is no address of {width} bits", span))
        return value

    def filled(self, count: int, value: int, span: Span) -> tuple[int, ...]:
        if not 0 <= count <= MOST_UNITS:
            raise AssemblyError(Diagnostic("PG503", f"{count} units of space: 0 to {MOST_UNITS} are possible", span))
        self.fits(value, self.isa.unit, span)
        return (value & (1 << self.isa.unit) - 1,) * count

    def fits(self, value: int, bits: int, span: Span) -> None:
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise AssemblyError(Diagnostic("PG503", f"{value} does not fit in {bits} bits", span))

    def data(self, bits: int, given: list[str], span: Span) -> tuple[int, ...]:
        if not 0 < bits <= MOST_UNITS or bits % self.isa.unit:
            message = f"{bits} bits are not a whole number of units of {self.isa.unit} bits"
            raise AssemblyError(Diagnostic("PG505", message, span))
        units: list[int] = []
        symbols = self.symbols()
        for text in given:
            value = number(self.isa, text, symbols, span)
            self.fits(value, bits, span)
            units += split(value & (1 << bits) - 1, bits, self.isa.unit, self.isa.endian)
        return tuple(units)

    def characters(self, given: list[str], terminated: bool, span: Span) -> tuple[int, ...]:
        bits = -(-8 // self.isa.unit) * self.isa.unit
        units: list[int] = []
        for text in given:
            if (characters := string(text)) is None:
                raise AssemblyError(Diagnostic("PG505", f"`{text}` is no quoted string", span))
            codes = characters.encode() + bytes(terminated)
            whole = bits == self.isa.unit
            units += codes if whole else (u for c in codes for u in split(c, bits, self.isa.unit, self.isa.endian))
        return tuple(units)


def word_width(isa: ir.Isa) -> int:
    """The width of the general registers: of the first file of guest state that is a whole number of units wide, or
    else of a unit."""
    files = (f.width for f in isa.files.values() if f.role is ir.Role.GUEST and f.width % isa.unit == 0)
    return next(files, isa.unit)
