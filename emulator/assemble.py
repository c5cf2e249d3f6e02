"""Assembly: the syntax of the instructions read backwards.

A line is matched against the syntax of each instruction that its first word may belong to.  What a line shows fixes
operand bits; the conditions of the alternatives taken, and the instruction's `where`, fix others.  Bits that are still
open and that a condition depends on are searched, smallest first; bits that nothing depends on are 0.

Numbers are the constant expressions of `emulator.expressions`.  Where an operand is shown in octal, bare digits are
octal, as in the manuals of such machines.  Space is free around punctuation, and letter case does not matter except in
labels.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from analyzer import ir
from analyzer.errors import AssemblyError, Diagnostic, UsageError
from analyzer.source import Source, Span
from emulator.decode import completed, encode
from emulator.disassemble import EMPTY_SET, distinct
from emulator.evaluate import Environment, made
from emulator.expressions import Symbols, readings
from emulator.state import State

SEARCH = 4096
"""How many values of open operand bits are tried for one way of reading a line."""

_WORD = re.compile(r"[\w.]")


@dataclass(frozen=True, slots=True)
class Assembled:
    """An instruction, its operands and its units."""

    instruction: ir.Instruction
    operands: Mapping[str, int]
    units: tuple[int, ...]


def assemble_line(
    isa: ir.Isa,
    text: str,
    address: int = 0,
    labels: Mapping[str, int] | None = None,
    state: State | None = None,
    span: Span | None = None,
) -> Assembled:
    """Assembles one instruction that will stand at `address`, with `labels` by name.

    `state` is for encodings that depend on it (None: the state at reset); `span` is the place for messages.

    Raises:
        AssemblyError: PG501 unknown mnemonic, PG502 no form fits, PG503 out of range, PG504 unknown label.
    """
    if span is None:
        span = Source("line", text).span(0, len(text))
    return assembler(isa).line(text, Symbols(address, labels or {}), state, span)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way of reading a line so far: the operand bits that are known (mask, value), the conditions that must hold
    or not, and relative operands with the address they mean (None: not known yet)."""

    known: Mapping[str, tuple[int, int]]
    conditions: tuple[tuple[ir.Expr, bool], ...] = ()
    targets: tuple[tuple[ir.Show, int | None], ...] = ()

    def bind(self, expr: ir.Expr, mask: int, value: int) -> _Reading | None:
        """With the bits of `expr` under `mask` as in `value`; None if they are known to be otherwise."""
        match expr:
            case ir.Operand():
                old_mask, old = self.known.get(expr.name, (0, 0))
                if (old ^ value) & old_mask & mask:
                    return None
                merged = (old_mask | mask, old | value & mask)
                return replace(self, known={**self.known, expr.name: merged})
            case ir.Extract():
                return self.bind(expr.arg, mask << expr.lo, value << expr.lo)
            case ir.Concat():
                low = ir.width(expr.right)
                bound = self.bind(expr.right, mask & (1 << low) - 1, value & (1 << low) - 1)
                return bound and bound.bind(expr.left, mask >> low, value >> low)
            case ir.ToBits() | ir.ToBool():
                return self.bind(expr.arg, mask, value) if ir.width(expr.arg) else self.require(expr.arg, bool(value))
            case ir.Const():
                return None if (expr.value ^ value) & mask else self
            case _:
                width = ir.width(expr)
                if mask != (1 << width) - 1:
                    return self
                condition = ir.Compare("eq", expr, ir.Const(width, value))
                return replace(self, conditions=(*self.conditions, (condition, True)))

    def require(self, cond: ir.Expr, truth: bool) -> _Reading | None:
        """With a condition; what it says of single operands becomes known bits."""
        match cond:
            case ir.BoolConst():
                return self if cond.value == truth else None
            case ir.Not():
                return self.require(cond.arg, not truth)
            case ir.Logic(op="and") if truth:
                bound = self.require(cond.left, True)
                return bound and bound.require(cond.right, True)
            case ir.Logic(op="or") if not truth:
                bound = self.require(cond.left, False)
                return bound and bound.require(cond.right, False)
            case ir.ToBool():
                return self.bind(cond.arg, 1, int(truth))
            case ir.Compare(op="eq", left=left, right=ir.Const(width=width, value=value)) if _plain(left):
                if truth:
                    return self.bind(left, (1 << width) - 1, value)
                if width == 1:
                    return self.bind(left, 1, 1 - value)
            case _:
                pass
        return replace(self, conditions=(*self.conditions, (cond, truth)))


def _plain(expr: ir.Expr) -> bool:
    return isinstance(expr, ir.Operand) or (isinstance(expr, ir.Extract) and _plain(expr.arg))


class Assembler:
    """The assembler of one Isa."""

    def __init__(self, isa: ir.Isa) -> None:
        self.isa = isa
        self._whole: dict[str, list[ir.Instruction]] = {}  # the first word is this
        self._partial: dict[str, list[ir.Instruction]] = {}  # the first word begins with this
        self._order = {instruction.name: i for i, instruction in enumerate(isa.instructions)}
        for instruction in isa.instructions:
            word, whole = _first_word(instruction.syntax)
            (self._whole if whole else self._partial).setdefault(word, []).append(instruction)
        self._reset: State | None = None

    def line(self, text: str, symbols: Symbols, state: State | None, span: Span) -> Assembled:
        """Assembles one instruction; of several forms that fit, the shortest, then the first of the spec.

        Raises:
            AssemblyError: see `assemble_line`.
        """
        word = text.split()[0].lower() if text.split() else ""
        candidates = self._candidates(word)
        if not candidates:
            raise AssemblyError(Diagnostic("PG501", f"there is no instruction `{word}`", span, self._close(word)))
        if state is None:
            state = self._reset = self._reset or State(self.isa)
        line = _Line(self, _normal(text), symbols, state)
        fitting = [a for instruction in candidates if (a := line.fit(instruction)) is not None]
        if fitting:
            return min(fitting, key=lambda a: len(a.units))
        if line.objections:
            code, message = min(line.objections)
            raise AssemblyError(Diagnostic(code, message, span))
        forms = list(dict.fromkeys(form(i) for i in candidates))
        hint = f"written as {'; or '.join(f'`{f}`' for f in forms[:4])}"
        raise AssemblyError(Diagnostic("PG502", f"`{text.strip()}` fits no form of `{word}`", span, hint))

    def _candidates(self, word: str) -> list[ir.Instruction]:
        found = list(self._whole.get(word, ()))
        for end in range(len(word) + 1):
            found += self._partial.get(word[:end], ())
        if not found:  # no space before the operands, as in `mov-(r1)`
            for end in range(len(word) - 1, 0, -1):
                if not (_WORD.match(word[end]) and _WORD.match(word[end - 1])):
                    found += self._whole.get(word[:end], ())
        return sorted(found, key=lambda i: self._order[i.name])

    def _close(self, word: str) -> str | None:
        close = difflib.get_close_matches(word, sorted(self._whole), 3)
        return f"did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else None


_assemblers: list[Assembler] = []


def assembler(isa: ir.Isa) -> Assembler:
    """The assembler of an Isa; the last few are kept."""
    for known in _assemblers:
        if known.isa is isa:
            return known
    _assemblers[:] = [Assembler(isa), *_assemblers[:15]]
    return _assemblers[0]


@dataclass(slots=True)
class _Line:
    """A line being matched; `objections` are (code, message) of readings that failed only on a value."""

    assembler: Assembler
    text: str
    symbols: Symbols
    state: State
    objections: list[tuple[str, str]] = field(default_factory=list)

    def fit(self, instruction: ir.Instruction) -> Assembled | None:
        """The line as this instruction."""
        start = _Reading({})
        for end, reading in self.match(instruction.syntax, 0, start):
            if end == len(self.text):
                assembled = self.solve(instruction, reading)
                if assembled is not None:
                    return assembled
        return None

    # -- matching ------------------------------------------------------------------------------------------------------

    def match(self, syntax: ir.Syntax, at: int, reading: _Reading) -> Iterator[tuple[int, _Reading]]:
        """Every way of reading `syntax` from position `at` on, and where it ends."""
        if not syntax:
            yield at, reading
            return
        piece, rest = syntax[0], syntax[1:]
        match piece:
            case ir.Text():
                end = self.literal(piece.text, at)
                if end is not None:
                    yield from self.match(rest, end, reading)
            case ir.Show():
                for end, bound in self.shown(piece, at, reading):
                    yield from self.match(rest, end, bound)
            case ir.Choose():
                yield from self.alternatives(piece, rest, at, reading)
            case _:
                assert_never(piece)

    def alternatives(
        self, piece: ir.Choose, rest: ir.Syntax, at: int, reading: _Reading
    ) -> Iterator[tuple[int, _Reading]]:
        """Each arm with its condition true and those before it false; none of them if there is no last resort."""
        for i, (cond, arm) in enumerate(piece.arms):
            for end, matched in self.match(arm, at, reading):
                taken = matched.require(cond, True)
                for earlier, _ in piece.arms[:i]:
                    taken = taken and taken.require(earlier, False)
                if taken is not None:
                    yield from self.match(rest, end, taken)
        skipped: _Reading | None = reading
        for cond, _ in piece.arms:
            skipped = skipped and skipped.require(cond, False)
        if skipped is not None:
            yield from self.match(rest, at, skipped)

    def literal(self, text: str, at: int) -> int | None:
        """The position after literal text; space in it may be missing beside punctuation."""
        for char in re.sub(r"\s+", " ", text):
            if char == " ":
                if self.text[at : at + 1] == " ":
                    at += 1
                elif 0 < at < len(self.text) and _WORD.match(self.text[at - 1]) and _WORD.match(self.text[at]):
                    return None
            else:
                if self.text[at : at + 1] == " " and not _WORD.match(char):
                    at += 1
                if self.text[at : at + 1].lower() != char.lower():
                    return None
                at += 1
        return at

    def shown(self, piece: ir.Show, at: int, reading: _Reading) -> Iterator[tuple[int, _Reading]]:
        """Every way of reading the value of an operand."""
        width = ir.width(piece.expr) or 1
        full = (1 << width) - 1
        named = piece.style in ("names", "set")
        if named:
            for end, value in self.names(piece, at):
                bound = reading.bind(piece.expr, full, value)
                if bound is not None:
                    yield end, bound
        for end, number in self.numbers(at, 8 if piece.style == "octal" else 10, labels=not named):
            if piece.style == "relative":
                # Its bits are set when the rest is known; until then nothing else may claim them.
                yield end, replace(reading, targets=(*reading.targets, (piece, number)))
                continue
            value = 0 if number is None else number
            most = 1 << (width - 1) if piece.style == "signed" and width > 1 else 1 << width
            if not -(1 << (width - 1)) <= value < most:
                self.objections.append(("PG503", f"{value} is not from {-(1 << (width - 1))} to {most - 1}"))
                continue
            if named and all(v in distinct(piece.names) for v in _members(piece, value & full)):
                continue  # it has a name, and only that is right
            bound = reading.bind(piece.expr, full, value & full)
            if bound is not None:
                yield end, bound

    def names(self, piece: ir.Show, at: int) -> Iterator[tuple[int, int]]:
        """Names of values, or a set of names, the longest first."""
        found = sorted(
            ((at + len(name), value) for value, name in distinct(piece.names).items() if self.starts(name, at)),
            key=lambda f: (-f[0], f[1]),
        )
        if piece.style == "names":
            yield from found
            return
        if self.starts(EMPTY_SET, at):
            yield at + len(EMPTY_SET), 0
        for end, bit in found:
            if self.text[end : end + 1] == "/":
                for last, others in self.names(piece, end + 1):
                    yield last, others | 1 << bit
            yield end, 1 << bit

    def starts(self, name: str, at: int) -> bool:
        return self.text[at : at + len(name)].lower() == name.lower()

    def numbers(self, at: int, radix: int = 10, labels: bool = True) -> Iterator[tuple[int, int | None]]:
        """The constant expressions from `at` on, the longest first; None where a label is not known yet."""
        return readings(self.text, at, self.symbols, self.objections, radix, labels)

    # -- solving -------------------------------------------------------------------------------------------------------

    def solve(self, instruction: ir.Instruction, reading: _Reading) -> Assembled | None:
        """Finds the bits that the line does not show, and encodes."""
        isa = self.assembler.isa
        if instruction.where is not None:
            bound = reading.require(instruction.where, True)
            if bound is None:
                return None
            reading = bound
        tests = [(made(c, isa), truth) for c, truth in reading.conditions]
        environment = Environment(self.state.elements, self.state.files, self.state.choices, {})
        for chosen in itertools.islice(self.completions(instruction, reading), SEARCH):
            operands = completed(isa, instruction, chosen)
            environment.operands = operands
            if not self.aim(reading, operands, environment):
                continue
            if all(bool(test(environment, {})) == truth for test, truth in tests):
                try:
                    units = encode(isa, instruction, operands)
                except UsageError as error:
                    self.objections.append(("PG503", str(error)))
                    continue
                return Assembled(instruction, operands, units)
        return None

    def completions(self, instruction: ir.Instruction, reading: _Reading) -> Iterator[dict[str, int]]:
        """The operands with the open bits that conditions depend on tried in all ways, or in the likely ones."""
        isa = self.assembler.isa
        used = {e.name for c, _ in reading.conditions for e in ir.subterms(c) if isinstance(e, ir.Operand)}
        constants = {e.value for c, _ in reading.conditions for e in ir.subterms(c) if isinstance(e, ir.Const)}
        aimed = {e.name for s, _ in reading.targets for e in ir.subterms(s.expr) if isinstance(e, ir.Operand)}
        choices: list[list[int]] = []
        names: list[str] = []
        for prefix in isa.prefixes:
            names.append(prefix.name)
            mask, value = reading.known.get(prefix.name, (0, 0))
            values = [prefix.default, *(v for _, v in prefix.values)]
            if prefix.name in used or mask:
                choices.append([v for v in dict.fromkeys(values) if not (v ^ value) & mask])
            else:
                choices.append([prefix.default])
        for operand in instruction.operands:
            names.append(operand.name)
            mask, value = reading.known.get(operand.name, (0, 0))
            open_bits = [i for i in range(operand.width) if not mask >> i & 1]
            if operand.name not in used or operand.name in aimed or not open_bits:
                choices.append([value])
            elif len(open_bits) <= 6:
                patterns = (
                    sum((n >> k & 1) << bit for k, bit in enumerate(open_bits)) for n in range(1 << len(open_bits))
                )
                choices.append([value | p for p in patterns])
            else:
                free = sum(1 << bit for bit in open_bits)
                likely = (0, 1, *sorted(constants), *(c + 1 for c in sorted(constants)), free)
                choices.append(list(dict.fromkeys(value | c & free for c in likely)))
        for chosen in itertools.product(*choices):
            yield dict(zip(names, chosen, strict=True))

    def aim(self, reading: _Reading, operands: dict[str, int], environment: Environment) -> bool:
        """Sets relative operands so that they mean their addresses."""
        isa = self.assembler.isa
        pc = isa.elements[isa.fetch.pc].width
        for piece, target in reading.targets:
            if target is None:
                continue
            width = ir.width(piece.expr)
            base = 0 if piece.base is None else made(piece.base, isa)(environment, {})
            distance = target - self.symbols.address - base
            distance = (distance + (1 << (pc - 1))) % (1 << pc) - (1 << (pc - 1))
            value, odd = divmod(distance, piece.scale)
            if odd:
                self.objections.append(("PG503", f"{target:#x} is not a multiple of {piece.scale} units away"))
                return False
            if not -(1 << (width - 1)) <= value < 1 << (width - 1) and width < pc:
                self.objections.append(("PG503", f"{target:#x} is too far away: {distance} units"))
                return False
            bound = _Reading({}).bind(piece.expr, (1 << width) - 1, value & (1 << width) - 1)
            if bound is None:
                return False
            for name, (mask, bits) in bound.known.items():
                operands[name] = operands[name] & ~mask | bits
        return True


def _members(piece: ir.Show, value: int) -> list[int]:
    """What is named of a value: itself, or the bits of a set."""
    return [value] if piece.style == "names" else [i for i in range(value.bit_length()) if value >> i & 1]


def form(instruction: ir.Instruction) -> str:
    """The syntax of an instruction with the names of its operands in it."""

    def of(syntax: ir.Syntax) -> str:
        text = ""
        for piece in syntax:
            match piece:
                case ir.Text():
                    text += piece.text
                case ir.Show():
                    text += next((e.name for e in ir.subterms(piece.expr) if isinstance(e, ir.Operand)), "…")
                case ir.Choose():
                    arms = list(dict.fromkeys(filter(None, (of(arm) for _, arm in piece.arms))))
                    text += f"[{'|'.join(arms)}]" if arms else ""
                case _:
                    assert_never(piece)
        return text

    return re.sub(r"\s+", " ", of(instruction.syntax)).strip()


def _first_word(syntax: ir.Syntax) -> tuple[str, bool]:
    """The literal beginning of the first word, and whether that is all of it."""
    if not syntax:
        return "", True
    first = syntax[0]
    if not isinstance(first, ir.Text):
        return "", False
    text = first.text.lstrip()
    word = text.split()[0].lower() if text.split() else ""
    return word, len(text) > len(word) or len(syntax) == 1


def _normal(text: str) -> str:
    """One space between words, none beside punctuation."""
    text = re.sub(r"\s+", " ", text.strip())
    return re.sub(r" ?([^\w. ]) ?", r"\1", text)


def number(isa: ir.Isa, text: str, symbols: Symbols, span: Span) -> int:
    """The value of a constant expression.

    Raises:
        AssemblyError: PG504 unknown label, PG505 no number.
    """
    line = _Line(assembler(isa), _normal(text), symbols, State(isa))
    for end, value in line.numbers(0):
        if end == len(line.text):
            return value or 0
    if line.objections:
        raise AssemblyError(Diagnostic(*min(line.objections), span))
    raise AssemblyError(Diagnostic("PG505", f"`{text}` is no number and no expression", span))
