"""The privilege checks of a spec, found in its syntax trees.

A *check* is a condition that decides whether a trap of kind `privileged` is raised, or one of kind `illegal` where what
leads there depends on the mode.  It is found wherever the language can say one: `trap x if c`, the arms of an `if`,
the guard of an arm of a `match` whose rest traps, a test that such a condition calls; in an instruction, in what is
put `before` several, in a function or in a view.  A call of a function that checks is a check too, in the place where
it stands.  Checks of maps raise memory traps, and are the resource map's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from analyzer.syntax import ast
from analyzer.syntax.walk import children, walk

KINDS = {"privileged", "illegal"}


@dataclass(frozen=True, slots=True)
class Check:
    """A condition (or a call of a function that checks, which is a statement).  `denies`: the trap is raised where the
    condition holds; else where it does not."""

    item: ast.Item
    node: ast.Expr | ast.CallStmt
    denies: bool

    def __str__(self) -> str:
        return str(self.node.span)


@dataclass(slots=True)
class Names:
    """What the names of a spec stand for, as far as checks are concerned: `modal` are those whose value may depend on
    the mode (members as `cs.RPL`), `locals` the same by item, `operands` those whose `code` is a matter of the encoding
    alone, `kinds` the kinds of traps, `tests` the functions that are one expression, `checking` those that do nothing
    but check."""

    modal: set[str] = field(default_factory=set)
    locals: dict[int, set[str]] = field(default_factory=dict)
    operands: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    tests: dict[str, tuple[ast.Item, ast.Expr]] = field(default_factory=dict)
    checking: set[str] = field(default_factory=set)


def checks(files: list[ast.File]) -> list[Check]:
    """All checks of a spec with what it extends, each once."""
    items = [item for file in files for item in inner(file.items)]
    names = names_of(items)
    found: list[Check] = []
    while True:  # a call of a function that checks is itself a check
        found = [c for item in items if not isinstance(item, OTHERS) for c in Walk(item, names).visit(item, ())]
        there = {id(c.item) for c in found}
        calling = {i.name.text for i in items if isinstance(i, ast.Fn) and id(i) in there and only_checks(i, names)}
        if calling <= names.checking:
            break
        names.checking |= calling
    return list({(id(c.node), c.denies): c for c in found}.values())


def only_checks(fn: ast.Fn, names: Names) -> bool:
    """Does it do nothing else?"""
    return not any(
        isinstance(node, EFFECTS) or (isinstance(node, ast.CallStmt) and not is_checking(node, names))
        for node in walk(fn.body)
    )


def is_checking(node: ast.CallStmt, names: Names) -> bool:
    """Is it a call of a function that does nothing but check?"""
    called = node.call.function
    return isinstance(called, ast.Name) and called.text in names.checking


EFFECTS = (ast.Assign, ast.Update, ast.Return, ast.Done, ast.Again, ast.Commit, ast.Execute, ast.Unpredictable)
OTHERS = (ast.Map, ast.Deliver, ast.Interrupt, ast.Invariant, ast.Scheme, ast.Fetch)
"""Items that are no part of an instruction."""


def inner(items: tuple[ast.Item, ...]) -> Iterator[ast.Item]:
    """Items, those in `for`, `when` and `override` in their place."""
    for item in items:
        match item:
            case ast.For() | ast.When():
                yield from inner(item.items)
            case ast.Override():
                yield item.item
            case _:
                yield item


# -- what depends on the mode ------------------------------------------------------------------------------------------


def names_of(items: list[ast.Item]) -> Names:
    """Goes round until nothing more depends on the mode."""
    names = Names()
    for item in items:
        match item:
            case ast.Mode():
                names.modal |= set(paths(item.value))
            case ast.Trap():
                names.kinds[item.name.text] = item.kind.text
            case ast.Operand():
                names.operands |= {n.text for n in item.names}
            case ast.Fn() if not isinstance(item.body, ast.Block):
                names.tests[item.name.text] = (item, item.body)
            case _:
                pass
    size = -1
    while size != (size := len(names.modal) + sum(map(len, names.locals.values()))):
        for item in items:
            if not isinstance(item, OTHERS):
                taint(item, names)
    return names


def taint(item: ast.Item, names: Names) -> None:
    """One round over an item: its locals, and its own name."""
    local = names.locals.setdefault(id(item), set())
    for node in walk(item):
        match node:
            case ast.Let() | ast.Var() if depends(node.value, item, names):
                local.add(node.name.text)
            case ast.Assign() | ast.Update() if isinstance(node.target, ast.Name) and depends(node.value, item, names):
                local.add(node.target.text)
            case _:
                pass
    match item:
        case ast.View() | ast.Fn() if depends(item.body, item, names):
            names.modal.add(item.name.text)
        case ast.Operand() if any(isinstance(s, ast.AsStyle) and s.name.text in names.modal for s in item.styles):
            names.modal |= {n.text for n in item.names}
        case _:
            pass


def depends(node: ast.Node, item: ast.Item, names: Names) -> bool:
    """May the value depend on the mode?  What memory holds may not, although its map may look at the mode."""
    known = names.modal | names.locals[id(item)]
    return any(concerns(path, name) for path in paths(node) if not is_code(path, names) for name in known)


def is_code(path: str, names: Names) -> bool:
    """Is it the number that an operand has in the encoding?"""
    root, _, member = path.partition(".")
    return member == "code" and root in names.operands


def concerns(path: str, name: str) -> bool:
    """Is one the other, or a part of it?"""
    return path == name or path.startswith(name + ".") or name.startswith(path + ".")


def paths(node: ast.Node) -> Iterator[str]:
    """The names in a node, a member with what it is a member of: `cs.RPL`, and not `cs` besides."""
    match node:
        case ast.CurrentMode():
            yield "mode"
        case ast.Name():
            yield node.text
        case ast.Member(value=ast.Name(text=root), name=name):
            yield f"{root}.{name.text}"
        case ast.Member():
            yield from paths(node.value)
        case _:
            for child in children(node):
                yield from paths(child)


# -- where traps are decided -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through one item, with the conditions on the way."""

    item: ast.Item
    names: Names

    def visit(self, node: ast.Node, way: tuple[tuple[ast.Expr, bool], ...]) -> Iterator[Check]:
        """The checks in a node that is reached by this way."""
        match node:
            case ast.Raise():
                yield from self.decided(node, way)
            case ast.CallStmt() if is_checking(node, self.names):
                yield Check(self.item, node, True)
            case ast.Guarded():
                yield from self.visit(node.stmt, (*way, (node.cond, True)))
            case ast.If() | ast.IfExpr():
                yield from self.visit(node.then, (*way, (node.cond, True)))
                if node.other is not None:
                    yield from self.visit(node.other, (*way, (node.cond, False)))
            case ast.Match() | ast.MatchExpr():
                refused: tuple[tuple[ast.Expr, bool], ...] = ()  # the guards of the arms before
                for arm in node.arms:
                    mine = ((arm.guard, True),) if arm.guard is not None else ()
                    yield from self.visit(arm.body if isinstance(arm, ast.StmtArm) else arm.value, way + refused + mine)
                    if arm.guard is not None:
                        refused = (*refused, (arm.guard, False))
            case _:
                for child in children(node):
                    yield from self.visit(child, way)

    def decided(self, node: ast.Raise, way: tuple[tuple[ast.Expr, bool], ...]) -> Iterator[Check]:
        """The conditions that decide about a trap."""
        kind = self.names.kinds.get(node.trap.text)
        modal = [depends(cond, self.item, self.names) for cond, _ in way]
        if kind not in KINDS or not way or (kind == "illegal" and not any(modal)):
            return
        first = 0 if kind == "privileged" else modal.index(True)
        for (cond, denies), by_mode in zip(way[first:], modal[first:], strict=True):
            if kind == "privileged" or by_mode or denies:
                yield Check(self.item, cond, denies)
                yield from self.called(cond, denies)

    def called(self, cond: ast.Expr, denies: bool) -> Iterator[Check]:
        """The tests that a condition calls, in the sense in which it does."""
        match cond:
            case ast.Unary(op="not"):
                yield from self.called(cond.arg, not denies)
            case ast.Binary(op="and" | "or"):
                yield from self.called(cond.left, denies)
                yield from self.called(cond.right, denies)
            case ast.IfExpr():
                yield from self.called(cond.then, denies)
                yield from self.called(cond.other, denies)
            case ast.Call(function=ast.Name(text=name)) if name in self.names.tests and name in self.names.modal:
                item, body = self.names.tests[name]
                yield Check(item, body, denies)
                yield from Walk(item, self.names).called(body, denies)
            case _:
                pass
