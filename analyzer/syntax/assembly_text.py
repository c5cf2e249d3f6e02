"""Assembly text: `"add {rd}, {rs1}"` to texts and operands to show.

{r}         an operand in its declared style            {n:hex}     in another style
{n:relative(here + 2)}  the address that the value, counted from there, means
{b?s}       s when b is not 0                           {b?s|t}     and t when it is
{op}        the cell of a column                        {{ }}       braces
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast, expressions, fold, state
from analyzer.syntax.decoders import Operand
from analyzer.syntax.machine import Machine
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.scope import Cell, EnumEntity, FileEntity, PrefixEntity, Scope, ViewEntity
from analyzer.syntax.values import Number

STYLES: tuple[ir.Style, ...] = get_args(ir.Style)
BASED = re.compile(r"relative\(here(?: *\+ *([0-9]+))?\)")
MOST_NAMES = 1 << 12
LONGEST = 1000
"""Parts of a text, and characters of one."""


class Context(Struct, frozen=True):
    """Where a text stands: its operands, the columns of its row, and where parts of the stream end (`bases`)."""

    machine: Machine
    operands: Mapping[str, Operand]
    scope: Scope
    bases: Mapping[str, ir.Expr]
    span: Span


def syntax(text: str, context: Context) -> ir.Syntax:
    """The parts of an assembly text."""
    parts: list[ir.Text | ir.Show | ir.Choose] = []
    plain = ""
    i = 0
    while i < len(text):
        if text[i : i + 2] in ("{{", "}}"):
            plain += text[i]
            i += 2
        elif text[i] == "{":
            end = _closing(text, i, context)
            inner = _braces(text[i + 1 : end], context)
            if plain:
                parts.append(ir.Text(plain))
                plain = ""
            parts.extend(inner)
            i = end + 1
        elif text[i] == "}":
            raise failure("PG260", "a closing brace without an opening one", context.span, "write }} for a brace")
        else:
            plain += text[i]
            i += 1
    if plain:
        parts.append(ir.Text(plain))
    joined = _joined(parts)
    if len(joined) > LONGEST or any(isinstance(part, ir.Text) and len(part.text) > LONGEST for part in joined):
        raise failure("PG305", f"this text has more than {LONGEST:,} parts or characters", context.span)
    return joined


def _joined(parts: list[ir.Text | ir.Show | ir.Choose]) -> ir.Syntax:
    """Texts that follow each other made one."""
    result: list[ir.Text | ir.Show | ir.Choose] = []
    for part in parts:
        last = result[-1] if result else None
        if isinstance(part, ir.Text) and isinstance(last, ir.Text):
            result[-1] = ir.Text(last.text + part.text)
        else:
            result.append(part)
    return tuple(result)


def _closing(text: str, start: int, context: Context) -> int:
    depth = 0
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise failure("PG260", "a brace is not closed", context.span, "write {{ for a brace")


def _braces(text: str, context: Context) -> ir.Syntax:
    """What stands in braces."""
    head, mark, rest = _cut(text, "?")
    if mark:
        yes, _, no = _cut(rest, "|")
        return _conditional(head.strip(), yes, no, context)
    name, _, style = text.partition(":")
    name, style = name.strip(), style.strip()
    operand = context.operands.get(name)
    if operand is not None:
        return show(operand, style or None, context)
    entity = context.scope.find(name)
    match entity:
        case Cell(column, node):
            inner = Context(
                context.machine,
                context.operands,
                context.scope.hiding(column),
                context.bases,
                context.span,
            )
            return _cell(node, inner)
        case PrefixEntity(_, declared):
            code = ir.Operand(name, context.machine.prefixes[name].width)
            named = [s for s in declared.styles if isinstance(s, ast.NamesStyle | ast.SetStyle)]
            if named and not style:
                return (_named(named[0], code),)
            return (ir.Show(code, _style(style or "decimal", context)),)
        case Number(value, _):
            return (ir.Text(str(value)),)
        case _:
            raise failure(
                "PG261",
                f"{{{name}}}: the encoding has no operand {name}",
                context.span,
                did_you_mean(name, context.operands),
            )


def _cut(text: str, mark: str) -> tuple[str, str, str]:
    """Cuts at the first mark outside of inner braces."""
    depth = 0
    for i, char in enumerate(text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == mark and depth == 0:
            return text[:i], mark, text[i + 1 :]
    return text, "", ""


def _conditional(name: str, yes: str, no: str, context: Context) -> ir.Syntax:
    """`{b?s|t}`."""
    operand = context.operands.get(name)
    if operand is not None:
        code: ir.Expr = operand.code
    else:
        entity = context.scope.find(name)
        match entity:
            case PrefixEntity():
                code = ir.Operand(name, context.machine.prefixes[name].width)
            case Number(value, _):
                return syntax(yes if value else no, context)
            case Cell(_, ast.Number(text=text)):
                return syntax(yes if int(text.lstrip("0b") or "0", 16) else no, context)
            case Cell(_, ast.String(text=text)):
                return syntax(yes if text else no, context)
            case _:
                hint = did_you_mean(name, context.operands)
                raise failure("PG261", f"{{{name}?…}}: the encoding has no operand {name}", context.span, hint)
    zero = fold.compare("eq", code, ir.Const(ir.width(code), 0))
    if isinstance(zero, ir.BoolConst):
        return syntax(no if zero.value else yes, context)
    return (ir.Choose(((fold.not_(zero), syntax(yes, context)), (ir.TRUE, syntax(no, context)))),)


def _cell(node: ast.Expr | ast.String, context: Context) -> ir.Syntax:
    match node:
        case ast.String(text=text):
            return syntax(text, context)
        case ast.Name(text=text):
            if text in context.operands or isinstance(context.scope.find(text), Cell):
                return _braces(text, context)
            return (ir.Text(text),)
        case ast.Number(text=text):
            return (ir.Text(text),)
        case _:
            raise failure("PG262", "this cell is no text", node.span)


# -- showing operands --------------------------------------------------------------------------------------------------


def show(operand: Operand, style: str | None, context: Context) -> ir.Syntax:
    """An operand in a style, or as it is declared."""
    if operand.arms and style is None:
        return _arms(operand, context)
    if style is not None:
        word = _column(style, context)
        based = BASED.fullmatch(word)
        if based is not None:
            return (_relative(operand, int(based[1] or 0), context),)
        if word in STYLES:
            return (_show(operand, _style(word, context), context),)
        return _numbered(word, operand, context)
    declared = operand.use.declared
    for item in () if declared is None else declared.styles:
        match item:
            case ast.AsStyle(name=name):
                return _numbered(name.text, operand, context)
            case ast.PlainStyle(word=word_, base=base) if base is not None:
                return (_relative(operand, _from_here(word_, base, context), context),)
            case ast.PlainStyle(word=word_):
                return (_show(operand, _style(word_.text, context), context),)
            case ast.NamesStyle() | ast.SetStyle():
                return (_named(item, operand.code),)
    return (_show(operand, "decimal", context),)


def _named(style: ast.NamesStyle | ast.SetStyle, code: ir.Expr) -> ir.Show:
    """`names "a b"`: a name for each value; `set "a b"`: for each bit."""
    width, words = ir.width(code) or 1, tuple(style.names.text.split())
    is_set = isinstance(style, ast.SetStyle)
    if len(words) != width if is_set else len(words) > 1 << width:
        raise failure("PG263", f"{len(words)} names for {width} bits", style.span)
    return ir.Show(code, "set" if is_set else "names", words)


def _column(style: str, context: Context) -> str:
    """A style that is a column of the row."""
    entity = context.scope.find(style)
    if isinstance(entity, Cell) and isinstance(entity.node, ast.Name | ast.String):
        return entity.node.text
    return style


def _style(word: str, context: Context) -> ir.Style:
    for style in STYLES:
        if style == word:
            return style
    raise failure(
        "PG264",
        f"there is no style {word}",
        context.span,
        did_you_mean(word, STYLES) or f"the styles are {' '.join(STYLES)}",
    )


def _show(operand: Operand, style: ir.Style, context: Context) -> ir.Show:
    if style != "relative":
        return ir.Show(operand.code, style)
    leaf = next((e.name for e in ir.subterms(operand.code) if isinstance(e, ir.Operand)), "")
    return ir.Show(operand.code, "relative", base=context.bases.get(leaf))


def _relative(operand: Operand, units: int, context: Context) -> ir.Show:
    """`relative(here + 2)`: the value counts from there, not from what follows the operand."""
    return ir.Show(operand.code, "relative", base=ir.Const(context.machine.pc_width or 1, units))


def _from_here(style: ast.Name, base: ast.Expr, context: Context) -> int:
    """What is added to `here`, in units."""
    if style.text != "relative":
        raise failure("PG264", f"{style.text} counts from nowhere", base.span, "only `relative` has a base")
    env = state.pure(context.machine, context.machine.globals.child({"here": Number(0)}))
    units = expressions.number(base, env, "a base")
    if not 0 <= units < 1 << (context.machine.pc_width or 1):
        raise failure("PG264", "a base is `here`, or `here + n` units", base.span)
    return units


def _arms(operand: Operand, context: Context) -> ir.Syntax:
    """A decoded operand: the text of the arm that is chosen."""
    known = context.machine.shown.get(id(operand.arms))
    if known is not None:
        return known
    arms = []
    for arm in operand.arms:
        scope = operand.use.scope or context.scope
        inner = Context(context.machine, arm.fields, scope, context.bases, arm.node.span)
        if arm.node.asm is not None:
            text = syntax(arm.node.asm.text, inner)
        elif len(arm.fields) == 1:
            text = show(next(iter(arm.fields.values())), None, inner)
        else:
            text = (ir.Show(operand.code, "hex"),)
        arms.append((arm.cond, text))
    text = arms[0][1] if len(arms) == 1 else (ir.Choose(tuple(arms)),)
    if not _is_relative(text):
        context.machine.shown[id(operand.arms)] = text
    return text


def _is_relative(text: ir.Syntax) -> bool:
    """Whether a text depends on where its operand stands in the stream."""
    return any(
        part.style == "relative"
        if isinstance(part, ir.Show)
        else isinstance(part, ir.Choose) and any(_is_relative(arm) for _, arm in part.arms)
        for part in text
    )


def _numbered(name: str, operand: Operand, context: Context) -> ir.Syntax:
    """`as x`: the name of a file and a number; the places of a view; the names of an enumeration."""
    scope = operand.use.scope or context.scope
    entity = scope.find(name) or context.scope.find(name) or context.machine.globals.find(name)
    match entity:
        case FileEntity():
            return (ir.Text(name), ir.Show(operand.code, "decimal"))
        case EnumEntity(type_, members):
            by_code = {code: word for word, code in members.items()}
            if 1 << type_.width > MOST_NAMES:
                return (ir.Show(operand.code, "hex"),)
            words = tuple(by_code.get(code, str(code)) for code in range(1 << operand.use.width))
            return (ir.Show(operand.code, "names", words),)
        case ViewEntity():
            return _places(entity, name, operand)
        case _:
            raise failure("PG264", f"there is no style, file, view or enumeration {name}", context.span)


def _places(view: ViewEntity, name: str, operand: Operand) -> ir.Syntax:
    """The name of the place that a view has at a number."""
    arms = cases(view, operand.use.width)
    if arms is None:
        return (ir.Text(name), ir.Show(operand.code, "decimal"))
    width = operand.use.width
    choices: list[tuple[ir.Expr, ir.Syntax]] = []
    rest: ir.Syntax = (ir.Show(operand.code, "hex"),)
    for words, values, file in arms:
        if file is not None and not values:
            rest = (ir.Text(file), ir.Show(operand.code, "decimal"))
        elif len(values) == 1 and operand.use.width <= 12:
            choices.append((fold.compare("eq", operand.code, ir.Const(width, values[0])), (ir.Text(words),)))
    return (ir.Choose((*choices, (ir.TRUE, rest))),)


def cases(view: ViewEntity, width: int) -> list[tuple[str, tuple[int, ...], str | None]] | None:
    """The arms of a view that is a `match` on its index: printed place, values (none for the rest), and the file
    that is indexed by the index itself."""
    node = view.node.body
    if isinstance(node, ast.Computed):
        place = next((p.value for p in node.parts if isinstance(p, ast.Place)), None)
        node = place if place is not None else ast.Name("", span=view.node.span)
    index = view.node.params[0].name.text if view.node.params else ""
    if not isinstance(node, ast.MatchExpr) or node.subject != ast.Name(index, span=node.span):
        return None
    arms: list[tuple[str, tuple[int, ...], str | None]] = []
    seen: set[int] = set()
    for arm in node.arms:
        values: list[int] = []
        for label in arm.labels:
            values.extend(v for v in _label_values(label, width) if v not in seen)
        seen.update(values)
        rest = any(isinstance(label.low, ast.Name) and label.low.text == "_" for label in arm.labels)
        if not values and not rest:
            continue
        arms.append((printed(arm.value), tuple(values), _indexed(arm.value, index)))
    return arms


def _label_values(label: ast.Label, width: int) -> list[int]:
    if not isinstance(label.low, ast.Number):
        return []
    low = (
        int(label.low.text.replace("_", ""), 0)
        if label.low.text[:1] != "0" or label.low.text[1:2] in "xob"
        else int(label.low.text)
    )
    high = int(label.high.text.replace("_", ""), 0) if isinstance(label.high, ast.Number) else low
    return list(range(low, min(high + 1, 1 << width, low + MOST_NAMES)))


def _indexed(node: ast.Expr | ast.Raise | ast.Unpredictable, index: str) -> str | None:
    match node:
        case ast.Subscript(value=ast.Name(text=file), indices=(ast.Index(high=ast.Name(text=name), low=None),)) if (
            name == index
        ):
            return file
        case _:
            return None


def printed(node: ast.Node) -> str:
    """A place as it is written."""
    match node:
        case ast.Name(text=text) | ast.Number(text=text):
            return text
        case ast.Member(value=value, name=name):
            return f"{printed(value)}.{name.text}"
        case ast.Subscript(value=value, indices=indices):
            return f"{printed(value)}[{', '.join(printed(i) for i in indices)}]"
        case ast.Index(high=high, low=None):
            return printed(high)
        case ast.Index(high=high, low=ast.Node() as low):
            return f"{printed(high)}:{printed(low)}"
        case ast.Binary(op=op, left=left, right=right):
            return f"{printed(left)} {op} {printed(right)}"
        case ast.Raise(trap=trap):
            return f"trap {trap.text}"
        case ast.Unpredictable():
            return "unpredictable"
        case ast.Call(function=function):
            return f"{printed(function)}(…)"
        case _:
            return "…"
