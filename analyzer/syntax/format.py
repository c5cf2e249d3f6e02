"""The one layout of a spec.

The author decides where lines break; the formatter decides everything else:

- two columns for each open bracket, and for a line that goes on; rows and arms under the first one;
- one space or none between tokens (`spacing`);
- columns: the cells of rows; `=>`, texts and bodies of neighbouring arms, instructions and traps of one line, unless
  that would tear them far apart; comments at the ends of neighbouring lines;
- never two blank lines, none just inside braces, one around an item of several lines.  Comments above an item, and
  clauses below it (`source`, `expect`, `example`), belong to it.

It changes no token but a needless `;`, so it changes no meaning: `parse(format_source(x)) == parse(x)`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from analyzer.source import Source
from analyzer.syntax import ast, grammar
from analyzer.syntax.lines import CLOSE, OPEN, Token, scan
from analyzer.syntax.parse import parse
from analyzer.syntax.spacing import gap, tightness
from analyzer.syntax.walk import walk

STEP = 2
FARTHEST = 40
"""By how much the longest of some cells may exceed the shortest for them to be aligned."""

ELEMENTS = (
    ast.Item | ast.Decl | ast.Field | ast.RoleGroup | ast.ViewPart | ast.Enumerator | ast.Attr | ast.Fact | ast.Row
    | ast.OperandArm | ast.SchemePart | ast.Stmt | ast.Arm | ast.StmtArm
)  # fmt: skip
"""What stands on lines of its own.  (The entries of a lookup too, but other arguments do not.)"""


class Line(Struct):
    """A line of the source: its tokens, the comment at its end (or alone), and how it will look."""

    tokens: list[Token]
    comment: str = ""
    blank_before: bool = False
    indent: int = 0
    gaps: list[int] = []  # before each token but the first

    def column(self, i: int) -> int:
        """Where token i begins."""
        return self.indent + sum(len(token.text) for token in self.tokens[:i]) + sum(self.gaps[:i])

    def code(self) -> str:
        gaps = [self.indent, *self.gaps]
        return "".join(" " * width + token.text for width, token in zip(gaps, self.tokens, strict=False))


def format_source(text: str, name: str = "text") -> str:
    """A spec in the one layout.

    >>> print(format_source("isa  t\\ntable T { a|b\\n 10 | 2 }"), end="")
    isa t
    <BLANKLINE>
    table T { a  | b
              10 | 2 }

    Raises:
        SpecError: the text is no spec.
    """
    source = Source(name, text)
    file = parse(source)
    tokens = scan(source, grammar.load())
    lines = split(tokens)
    code = [token for token in tokens if token.kind not in {"_NL", "COMMENT"}]
    tight = tightness(file, code)
    for line in lines:
        line.gaps = [len(gap(a, b, tight)) for a, b in pairwise(line.tokens)]
    number = {token.start: (i, j) for i, line in enumerate(lines) for j, token in enumerate(line.tokens)}
    indent(lines, file, number)
    space_out(lines, file, number)
    for group in groups(lines, tuple(entries(file, code, number))):
        align(lines, group)
    return render(lines)


# -- lines -------------------------------------------------------------------------------------------------------------


def split(tokens: Sequence[Token]) -> list[Line]:
    """The lines of the source without the blank ones, which the next line remembers, and without needless `;`."""
    lines: list[Line] = []
    line, blank = Line([]), False
    for i, token in enumerate([*tokens, Token("_NL", "\n", 0, 0)]):
        if token.kind == "COMMENT":
            line.comment = token.text.rstrip()
        elif token.kind != "_NL":
            line.tokens.append(token)
        elif token.text == ";":
            if line.tokens and line.tokens[-1].kind not in {"LBRACE", "_NL"} and not ends_line(tokens, i + 1):
                line.tokens.append(token)
        elif line.tokens or line.comment:
            line.blank_before = blank and bool(lines)
            lines.append(line)
            line, blank = Line([]), False
        else:
            blank = True
    return lines


def ends_line(tokens: Sequence[Token], i: int) -> bool:
    """Whether nothing but `;` and comments stands in the line from token i on, or a `}`."""
    while i < len(tokens) and tokens[i].text == ";":
        i += 1
    return i == len(tokens) or tokens[i].kind in {"_NL", "COMMENT", "RBRACE"}


def render(lines: Sequence[Line]) -> str:
    codes = [line.code() for line in lines]
    out: list[str] = []
    i = 0
    while i < len(lines):
        last = i
        while (
            last < len(lines)
            and lines[last].tokens
            and lines[last].comment
            and (last == i or not lines[last].blank_before)
        ):
            last += 1
        run = codes[i:last]
        far = run and max(map(len, run)) - min(map(len, run)) > FARTHEST
        for line, code in zip(lines[i : max(last, i + 1)], codes[i : max(last, i + 1)], strict=True):
            if line.blank_before:
                out.append("")
            if not line.tokens:
                out.append(" " * line.indent + line.comment)
            elif line.comment:
                out.append(code.ljust(0 if far else max(map(len, run))) + "  " + line.comment)
            else:
                out.append(code)
        i = max(last, i + 1)
    return "".join(f"{line}\n" for line in out)


# -- indentation -------------------------------------------------------------------------------------------------------


class Bracket(Struct):
    """An open bracket: the indent of the line it stands in, and that of the lines inside."""

    token: Token
    outer: int
    inner: int


def indent(lines: Sequence[Line], file: ast.File, number: dict[int, tuple[int, int]]) -> None:
    """Sets the indent of each line."""
    begins = set(elements(file))
    under = {rows.rows[0].span.start for rows in walk(file) if isinstance(rows, ast.Rows)}
    under |= {op.arms[0].span.start for op in walk(file) if isinstance(op, ast.Operand) and op.arms}
    stack: list[Bracket] = []
    for line in lines:
        line.indent = stack[-1].inner if stack else 0
        closers = next((i for i, token in enumerate(line.tokens) if token.kind not in CLOSE), len(line.tokens))
        if closers:
            line.indent = stack[-closers].outer
        elif line.tokens and not (line.tokens[0].start in begins or line.tokens[0].kind in {"ELSE", "LBRACE"}):
            line.indent += 0 if stack and stack[-1].token.kind != "LBRACE" else STEP
        for i, token in enumerate(line.tokens):
            if token.start in under and stack and i:
                stack[-1].inner = line.column(i)
            if token.kind in OPEN:
                stack.append(Bracket(token, line.indent, line.indent + STEP))
            elif token.kind in CLOSE:
                stack.pop()


def elements(file: ast.File) -> Iterator[int]:
    """The offsets where something begins that stands on lines of its own."""
    yield file.header.span.start
    yield file.span.start
    for node in walk(file):
        if isinstance(node, ELEMENTS):
            yield node.span.start
        elif isinstance(node, ast.Selection):
            yield from (name.span.start for name in node.fields)
        elif isinstance(node, ast.Lookup):
            yield from (entry.span.start for entry in node.entries)


# -- columns -----------------------------------------------------------------------------------------------------------


class Entry(Struct, frozen=True):
    """Something that neighbours are aligned with: its kind, its line, and the tokens of that line that begin it and its
    columns."""

    kind: type[ast.Node]
    line: int
    first: int
    marks: tuple[int, ...]


def groups(lines: Sequence[Line], entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Runs of entries of a kind that begin at one column of lines that follow each other."""
    for kind in {entry.kind: None for entry in entries}:
        run: list[Entry] = []
        for entry in entries:
            if entry.kind is not kind or (entry.first and kind not in {ast.Row, ast.OperandArm}):
                continue
            if run and not neighbours(lines, run[-1], entry):
                yield run
                run = []
            run.append(entry)
        yield run


def neighbours(lines: Sequence[Line], a: Entry, b: Entry) -> bool:
    same = lines[a.line].column(a.first) == lines[b.line].column(b.first)
    return same and b.line == a.line + 1 and not lines[b.line].blank_before


def align(lines: Sequence[Line], group: Sequence[Entry]) -> None:
    """Widens the gaps before the marks of a group, the first marks first."""
    for k in range(max((len(entry.marks) for entry in group), default=0)):
        marked = [(lines[entry.line], entry.marks[k]) for entry in group if k < len(entry.marks)]
        columns = [line.column(i) for line, i in marked]
        if max(columns) - min(columns) <= FARTHEST:
            for (line, i), column in zip(marked, columns, strict=True):
                line.gaps[i - 1] += max(columns) - column


def entries(file: ast.File, code: Sequence[Token], number: dict[int, tuple[int, int]]) -> Iterator[Entry]:
    """Everything that may be aligned, in order."""
    starts = [token.start for token in code]

    def at(offset: int, back: int = 0) -> int:
        """The offset of the token at `offset`, or of one before it."""
        return code[bisect_left(starts, offset) - back].start

    for node in walk(file):
        marks: tuple[int, ...]
        whole = True
        match node:
            case ast.Row(cells=cells):
                marks = tuple(at(cell.span.start, 1) for cell in cells[1:])
            case ast.OperandArm(asm=asm, body=body):
                texts = (asm.span.start,) if asm else ()
                marks = (*texts, at(body.span.start, 0 if isinstance(body, ast.Block) else 1))
                whole = False
            case ast.Arm(value=value):
                marks = (at(value.span.start, 1),)
            case ast.StmtArm(body=body):
                marks = (at(body.span.start, 1),)
            case ast.Instr(pattern=pattern, body=body):
                marks = (at(pattern.span.start, 1), body.span.start)
            case ast.Trap(attrs=(attr, *_)):
                marks = (at(attr.span.start, 1),)
            case _:
                continue
        line, first = number[node.span.start]
        places = [number[mark] for mark in marks]
        end = number[at(node.span.end, 1)][0] if whole else line
        if end == line and all(place[0] == line for place in places):
            yield Entry(type(node), line, first, tuple(place[1] for place in places))


# -- blank lines -------------------------------------------------------------------------------------------------------


def space_out(lines: Sequence[Line], file: ast.File, number: dict[int, tuple[int, int]]) -> None:
    """Sets which lines have a blank one before them."""
    for before, line in pairwise(lines):
        if (line.tokens and line.tokens[0].kind == "RBRACE") or (before.tokens and before.tokens[-1].kind == "LBRACE"):
            line.blank_before = False
    ends = {token.start + len(token.text): i for i, line in enumerate(lines) for token in line.tokens}
    wide_before = False
    for item in file.items:
        first, last = number[item.span.start][0], ends[item.span.end]
        wide = last > first
        if isinstance(item, ast.Clause) and not wide:
            lines[first].blank_before = lines[first].blank_before and lines[first - 1].comment != ""
            continue
        top = first
        while top > 0 and not lines[top].blank_before and not lines[top - 1].tokens:
            top -= 1
        if (wide or wide_before) and top > 0:
            lines[top].blank_before = True
        wide_before = wide
