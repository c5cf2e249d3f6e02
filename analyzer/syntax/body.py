"""The body that statements are emitted into, and where an expression stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from analyzer import ir
from analyzer.errors import Diagnostic
from analyzer.source import Span
from analyzer.syntax import ast
from analyzer.syntax.fold import is_fixed
from analyzer.syntax.problems import Failure, did_you_mean, failure
from analyzer.syntax.scope import Cell, Entity, Poison, Scope
from analyzer.syntax.value_types import Type, ir_width
from analyzer.syntax.values import Value, bits_value

if TYPE_CHECKING:
    from analyzer.syntax.machine import Machine

MOST_STATEMENTS = 5_000
"""In one body; more is a loop that was unrolled by mistake."""

MOST_STEPS, MOST_STEPS_IN_ALL = 10_000, 200_000
"""Expressions and statements that are elaborated for one body, and for a spec; the bundled specs need up to a thousand,
and 25 thousand."""

DEEPEST = 40
"""How deep views, functions, cells and operands may be nested in each other."""

BodyKind = Literal["instruction", "procedure", "map", "deliver", "advance", "pure", "assume"]


class Body(Struct, eq=False):
    """A body in the making.  `out` is the block that statements go to now.

    `pure`: only an expression is wanted, so nothing may be emitted.  `access` is what is known of the access (in maps
    and views).  `position` is what the program counter reads as while an operand is evaluated.
    """

    kind: BodyKind
    out: list[ir.Stmt] = []
    span: Span | None = None
    pure: bool = False
    pc: str | None = None
    returns: Type | None = None
    access: ir.Expr | None = None
    position: ir.Expr | None = None
    here: ir.Expr | None = None
    length: ir.Expr | None = None
    mutable: set[str] = set()
    captured: dict[str, ir.Expr] = {}
    active: list[object] = []
    used: set[str] = set()
    prefix: str = ""
    restrictions: list[ir.Expr] = []
    emitted: int = 0
    steps: int = 0
    numbers: dict[str, int] = {}

    def emit(self, stmt: ir.Stmt) -> None:
        """Adds a statement."""
        if self.pure:
            raise failure(
                "PG231",
                "this expression must be free of effects, and it accesses memory or calls a procedure with statements",
                self.span,
                "state the condition over registers, operands and constants",
            )
        self.emitted += 1
        if self.emitted > MOST_STATEMENTS:
            raise failure(
                "PG305", f"this body has more than {MOST_STATEMENTS} statements once it is unrolled", self.span
            )
        self.out.append(stmt)

    def block(self) -> NewBlock:
        """Statements emitted inside go to a new block."""
        return NewBlock(self)

    def inside(self, what: object, span: Span) -> Inside:
        """Guards against endless recursion."""
        return Inside(self, what, span)

    def fresh(self, name: str) -> str:
        """A name for a local that no other local of this body has."""
        name = self.prefix + name
        if name not in self.used:
            self.used.add(name)
            return name
        n = self.numbers.get(name, 1)
        while f"{name}.{n}" in self.used:
            n += 1
        self.numbers[name] = n
        self.used.add(f"{name}.{n}")
        return f"{name}.{n}"

    def local(self, name: str, value: Value) -> Value:
        """Sets a new local to `value`."""
        local = self.fresh(name)
        self.emit(ir.Let(local, value.expr, self.span))
        return Value(ir.Local(local, ir_width(value.type)), value.type)

    def fixed(self, expr: ir.Expr) -> bool:
        """Whether `expr` keeps its value through the rest of the body."""
        return is_fixed(expr, self.mutable)

    def keep(self, name: str, value: Value) -> Value:
        """`value`, put into a local unless it is a constant or small and unchanging."""
        if self.pure or (is_cheap(value.expr) and self.fixed(value.expr)):
            return value
        return self.local(name, value)

    def keep_expr(self, name: str, expr: ir.Expr) -> ir.Expr:
        """As `keep`, on an expression."""
        return self.keep(name, bits_value(expr)).expr


class NewBlock(Struct):
    """A context in which a body's statements go to a block of their own."""

    body: Body
    outer: list[ir.Stmt] = []

    def __enter__(self) -> list[ir.Stmt]:
        self.outer, self.body.out = self.body.out, []
        return self.body.out

    def __exit__(self, *raised: object) -> None:
        self.body.out = self.outer


class Inside(Struct):
    """A context in which a body elaborates a view, a function, a cell or an operand."""

    body: Body
    what: object
    span: Span

    def __enter__(self) -> None:
        active = self.body.active
        if len(active) >= DEEPEST:
            message = f"this is nested more than {DEEPEST} deep; does something refer to itself?"
            raise failure("PG304", message, self.span)
        active.append(self.what)

    def __exit__(self, *raised: object) -> None:
        self.body.active.pop()


CHEAP = 200
"""Nodes of an expression that may be repeated rather than kept in a local."""

FREE = {ir.Const, ir.BoolConst, ir.Local, ir.Operand, ir.Get}
COMBINING = {ir.Extract, ir.ToBool, ir.ToBits, ir.Extend, ir.Not, ir.Concat, ir.Compare, ir.Logic}


def is_cheap(expr: ir.Expr) -> bool:
    """Whether an expression only rearranges, compares and combines a few bits."""
    nodes = [expr]
    for seen, node in enumerate(nodes):
        if type(node) in COMBINING:
            nodes += ir.children(node)
        elif type(node) not in FREE:
            return False
        if seen > CHEAP:
            return False
    return True


class Env(Struct, frozen=True, eq=False):
    """Where an expression stands: its names, and the body that it emits loads into."""

    machine: Machine
    body: Body
    scope: Scope

    def child(self, names: Mapping[str, Entity] | None = None) -> Env:
        """Inside this place, with more names."""
        return Env(self.machine, self.body, self.scope.child(names))

    def step(self, span: Span, steps: int = 1) -> None:
        """Counts the work that a text asks for, so that it cannot ask for endless much."""
        body, machine = self.body, self.machine
        body.steps += steps
        machine.steps += steps
        if body.steps > MOST_STEPS or machine.steps > MOST_STEPS_IN_ALL:
            raise self._too_much(span)

    def _too_much(self, span: Span) -> Failure:
        """The work on this body is too much: what is being put in place has that cause wherever else it is, too."""
        body, machine = self.body, self.machine
        whole = (machine,) if machine.steps > MOST_STEPS_IN_ALL else ()
        parts = (part for part in (body.span, *body.active) if part is not None)
        return Failure(too_much(span), (*whole, body, *parts))

    def at(self, scope: Scope) -> Env:
        """The same body under another scope."""
        return Env(self.machine, self.body, scope)


def too_much(span: Span) -> Diagnostic:
    return Diagnostic(
        "PG305",
        "this is too much, once functions, views, cells and loops are put in place",
        span,
        "use `while`, and functions with `return`, which are made once",
    )


def find(env: Env, name: ast.Name) -> tuple[Entity, Env]:
    """What a name stands for; through cells that are names.

    Raises a failure for a name that is not declared.
    """
    for _ in range(DEEPEST):
        entity = env.scope.find(name.text)
        if entity is None:
            raise undefined(env, name)
        if type(entity) is Poison:
            raise Failure(entity.why)
        if type(entity) is not Cell or type(entity.node) is not ast.Name:
            return entity, env
        env, name = env.at(env.scope.hiding(entity.column)), entity.node
    raise failure("PG304", f"{name.text} refers to itself", name.span)


OVERRIDE = "use it in the body of an `override`"


def undefined(env: Env, name: ast.Name) -> Failure:
    """There is no such name: what it may have meant instead."""
    if env.scope.operand(name.text) is not None:
        return failure(
            "PG202",
            f"{name.text} is an operand, and the encoding here does not have it",
            name.span,
            f"put {name.text} into the pattern",
        )
    if name.text == "base":
        return failure("PG201", "`base` is what an `override` replaces, and nothing elsewhere", name.span, OVERRIDE)
    if name.text in env.machine.trap_names:
        return failure("PG201", f"{name.text} is a trap, not a value", name.span, f"raise it with `trap {name.text}`")
    return failure("PG201", f"{name.text} is not declared", name.span, did_you_mean(name.text, env.scope.known()))
