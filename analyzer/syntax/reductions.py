"""From the rules of the grammar to the nodes of the tree.

`BUILD[name]` makes the value of a rule (or of its alias) from its span and its children: nodes, tuples of nodes, the
text of an operator, None for an absent optional part.  Most rules are nodes whose fields stand in the rule's order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from analyzer.source import Span
from analyzer.syntax import ast

Builder = Callable[..., Any]


def leaf(kind: str, text: str, span: Span) -> Any:
    """The value of a token."""
    match kind:
        case "NAME":
            return ast.Name(text, span=span)
        case "STRING":
            return ast.String(text[1:-1], span=span)
        case "NUM" | "BASED":
            return ast.Number(text, span=span)
        case _:
            return text


# -- shapes of rules ---------------------------------------------------------------------------------------------------


def node(cls: Callable[..., Any]) -> Builder:
    """The children are the fields, an absent list is an empty one."""
    return lambda span, *children: cls(*children, span=span)


def several(cls: Callable[..., Any], fixed: int = 0) -> Builder:
    """The children after the first `fixed` are one field."""
    return lambda span, *children: cls(*children[:fixed], children[fixed:], span=span)


def several_with_reason(cls: Callable[..., Any]) -> Builder:
    """The last child is a field of its own, those before it are one."""
    return lambda span, *children: cls(children[:-1], children[-1], span=span)


def lists(cls: Callable[..., Any], *positions: int) -> Builder:
    """The children are the fields; those at `positions` are lists that may be absent."""

    def build(span: Span, *children: Any) -> Any:
        return cls(*(() if c is None and i in positions else c for i, c in enumerate(children)), span=span)

    return build


def collect(span: Span, *children: Any) -> Any:
    """A list without a node of its own."""
    return children


def present(span: Span, *children: Any) -> Any:
    """A list whose brackets may be empty."""
    return tuple(c for c in children if c is not None)


def only(span: Span, child: Any) -> Any:
    return child


def word(span: Span, child: ast.Name | str) -> ast.Name:
    """A name, spelled perhaps like a keyword."""
    return ast.Name(child, span=span) if isinstance(child, str) else child


def chain(span: Span, first: Any, *rest: Any) -> Any:
    """`a op b op c`, to the left."""
    for op, right in zip(rest[::2], rest[1::2], strict=True):
        first = ast.Binary(op, first, right, span=first.span.to(right.span))
    return first


def chain_of(op: ast.BinaryOp) -> Builder:
    """A chain of one operator, which the grammar leaves out."""

    def build(span: Span, first: Any, *rest: Any) -> Any:
        for right in rest:
            first = ast.Binary(op, first, right, span=first.span.to(right.span))
        return first

    return build


# -- rules with a shape of their own -----------------------------------------------------------------------------------


def specname(span: Span, *parts: Any) -> ast.Name:
    return ast.Name("".join(part if isinstance(part, str) else part.text for part in parts), span=span)


def parenthesised(span: Span, *items: Any) -> Any:
    return replace(items[0], span=span) if len(items) == 1 else ast.Tuple(items, span=span)


def example(span: Span, asm: Any, before: Any, outcome: Any) -> ast.Example:
    trap = outcome if isinstance(outcome, ast.Name) else None
    return ast.Example(asm, before, () if trap else outcome, trap, span=span)


def decl(span: Span, declarators: Any, type: Any, *rest: Any) -> ast.Decl:
    return ast.Decl(declarators, type, rest[:-1], rest[-1], span=span)


def trap(span: Span, name: Any, params: Any, kind: Any, at_next: Any, attrs: Any) -> ast.Trap:
    return ast.Trap(name, params or (), kind, at_next is not None, attrs or (), span=span)


def selection(span: Span, name: Any, widths: Any, params: Any, type: Any, register: Any, *fields: Any) -> ast.View:
    body = ast.Selection(register, fields, span=replace(register.span, end=span.end))
    return ast.View(name, widths or (), params or (), type, body, span=span)


def computed(span: Span, name: Any, widths: Any, params: Any, type: Any, *parts: Any) -> ast.View:
    body = ast.Computed(parts, span=parts[0].span.to(parts[-1].span))
    return ast.View(name, widths or (), params or (), type, body, span=span)


def for_item(span: Span, *children: Any) -> ast.For:
    body = children[-1]
    return ast.For(children[:-1], body if isinstance(body, tuple) else (body,), span=span)


def operand(span: Span, names: Any, params: Any, type: Any, *rest: Any) -> ast.Operand:
    styles = tuple(part for part in rest if isinstance(part, ast.Style))
    default, otherwise = rest[len(styles) : len(styles) + 2]
    return ast.Operand(names, params or (), type, styles, default, otherwise, rest[len(styles) + 2 :], span=span)


def as_block(body: Any) -> ast.Block:
    return body if isinstance(body, ast.Block) else ast.Block((body,), span=body.span)


def if_stmt(span: Span, cond: Any, then: Any, other: Any) -> ast.If:
    return ast.If(cond, then, None if other is None else as_block(other), span=span)


def stmt_arm(span: Span, labels: Any, guard: Any, body: Any) -> ast.StmtArm:
    return ast.StmtArm(labels, guard, as_block(body), span=span)


BUILD: dict[str, Builder] = {
    # the file, and items about the whole spec
    "start": several(ast.File, 1),
    "items": collect,
    "only": only,
    "header": node(ast.Header),
    "specname": specname,
    "import_": node(ast.Import),
    "feature": node(ast.Feature),
    "enable": node(ast.Enable),
    "when_item": node(ast.When),
    "unit": several(ast.Unit, 1),
    "param": node(ast.Param),
    "choice": node(ast.Choice),
    "enum": several(ast.Enum, 2),
    "enumerator": node(ast.Enumerator),
    "type_decl": node(ast.TypeDecl),
    "invariant": node(ast.Invariant),
    # clauses
    "source": node(ast.Cite),
    "expect": lists(ast.Expect, 2),
    "words": collect,
    "word": word,
    "example": example,
    "facts": present,
    "fact": node(ast.Fact),
    # state
    "state": several(ast.State, 1),
    "role": word,
    "decl": decl,
    "declarators": collect,
    "declarator": node(ast.Declarator),
    "reset": node(ast.Reset),
    "hardwired": node(ast.Hardwired),
    "caveat": node(ast.Caveat),
    "preserved": node(ast.Preserved),
    "layout": several(ast.Layout),
    "field": several(ast.Field, 4),
    "role_group": node(ast.RoleGroup),
    "ro": node(ast.ReadOnly),
    "w1c": node(ast.WriteOneClear),
    "legal": several(ast.Legal),
    "memory": node(ast.Memory),
    "map": lists(ast.Map, 2),
    "view": lists(ast.View, 1, 2),
    "selection": selection,
    "computed": computed,
    "width_params": only,
    "index_params": only,
    "check": node(ast.Check),
    "read": node(ast.Read),
    "write": node(ast.Write),
    "place": node(ast.Place),
    "mode": several(ast.Mode, 1),
    "rank": several(ast.Rank),
    # traps and sequencing
    "trap": trap,
    "trapname": word,
    "kind": word,
    "at_next": collect,
    "attrs": collect,
    "attr": node(ast.Attr),
    "deliver": node(ast.Deliver),
    "interrupt": lists(ast.Interrupt, 1),
    "fetch": lists(ast.Fetch, 2),
    "advance": node(ast.Advance),
    # functions, tables, encodings, instructions
    "fn": lists(ast.Fn, 1),
    "unspecified": lists(ast.Unspecified, 1),
    "params": collect,
    "param1": node(ast.Parameter),
    "table": node(ast.Table),
    "lookup": several(ast.Lookup, 3),
    "rows": several(ast.Rows),
    "row": several(ast.Row),
    "for_item": for_item,
    "format": lists(ast.Format, 1),
    "names": collect,
    "operand": operand,
    "as_file": node(ast.AsStyle),
    "as_names": node(ast.NamesStyle),
    "as_set": node(ast.SetStyle),
    "as_style": node(ast.PlainStyle),
    "alt": node(ast.OperandArm),
    "instr": node(ast.Instr),
    "pattern": several(ast.Pattern),
    "pgroup": several(ast.Group),
    "bits": lambda span, number: ast.Bits(number.text, span=span),
    "based": lambda span, number: ast.Bits(number.text, span=span),
    "sized": node(ast.Sized),
    "should_be": lambda span, number: ast.ShouldBe(number.text, span=span),
    "pname": node(ast.FieldUse),
    "pfield": node(ast.FieldDef),
    "pscatter": several(ast.Scatter, 1),
    "pformat": several(ast.FormatUse, 1),
    "ptail": node(ast.Tail),
    "pslice": node(ast.Index),
    "before": node(ast.Before),
    "override": node(ast.Override),
    "remove": node(ast.Remove),
    # schemes
    "scheme": several(ast.Scheme, 2),
    "run": several(ast.Run),
    "pair": node(ast.RunPair),
    "monitor": node(ast.Monitor),
    "own": several_with_reason(ast.Own),
    "assume": lists(ast.Assume, 1),
    "guest_assume": node(ast.GuestAssume),
    "chosen": node(ast.Chosen),
    "compose": node(ast.Compose),
    "choose": several(ast.Choose),
    "environment": several(ast.Environment),
    "direct": several(ast.Direct),
    "scheme_expect": node(ast.SchemeExpect),
    # statements
    "block": lambda span, *stmts: ast.Block(present(span, *stmts), span=span),
    "let": node(ast.Let),
    "var": node(ast.Var),
    "update": lambda span, target, op, value: ast.Update(op, target, value, span=span),
    "assign": node(ast.Assign),
    "call_stmt": node(ast.CallStmt),
    "raise": lists(ast.Raise, 1),
    "unpredictable": node(ast.Unpredictable),
    "done": node(ast.Done),
    "again": node(ast.Again),
    "commit": node(ast.Commit),
    "execute": node(ast.Execute),
    "return_": node(ast.Return),
    "guarded": node(ast.Guarded),
    "if_stmt": if_stmt,
    "match_stmt": several(ast.Match, 1),
    "arm_stmt": stmt_arm,
    "for_range": node(ast.ForRange),
    "while_loop": node(ast.While),
    # expressions
    "if_expr": node(ast.IfExpr),
    "match_expr": several(ast.MatchExpr, 1),
    "arm": node(ast.Arm),
    "labels": collect,
    "label": node(ast.Label),
    "or_": chain,
    "and_": chain_of("and"),
    "not_": lambda span, arg: ast.Unary("not", arg, span=span),
    "cmp": chain,
    "gt": chain_of(">"),
    "cat": chain_of("++"),
    "shift": chain,
    "sum": chain,
    "term": chain,
    "neg": lambda span, _minus, arg: ast.Unary("-", arg, span=span),
    "member": node(ast.Member),
    "subscript": several(ast.Subscript, 1),
    "call": lists(ast.Call, 1),
    "args": collect,
    "arg": node(ast.Arg),
    "index": node(ast.Index),
    "named_index": node(ast.NamedIndex),
    "table_view": node(ast.TableView),
    "current_mode": node(ast.CurrentMode),
    "number": only,
    "tuple": parenthesised,
    "ident": word,
    # types
    "named_type": lists(ast.NamedType, 1),
    "width_type": node(ast.WidthType),
}
