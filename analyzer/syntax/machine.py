"""What is known of the whole spec while it is elaborated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast
from analyzer.syntax.problems import Problems
from analyzer.syntax.scope import Env, Scope, SpaceEntity
from analyzer.syntax.value_types import Type
from analyzer.syntax.values import Place


@dataclass(slots=True)
class TrapDecl:
    """A trap kind, and what it becomes."""

    node: ast.Trap
    number: int
    scope: Scope
    params: tuple[tuple[str, Type, ast.Expr | None], ...] = ()


Formed = tuple[tuple[ir.Stmt, ...], Place, ir.Stmt | None, frozenset[str], tuple[ir.Expr, ...]]
"""The statements of an operand, its place, what it raises otherwise, its locals, and restrictions on the encoding."""


@dataclass(slots=True)
class Instance:
    """A procedure made of a function for certain constants and widths; `captured` are extra arguments, by name."""

    name: str
    params: tuple[tuple[str, Type], ...]
    returns: Type | None
    captured: tuple[str, ...] = ()


@dataclass(slots=True)
class InstrItem:
    """An instruction of the source, in its row: `name` is unique, `family` is what its rows share."""

    node: ast.Instr
    scope: Scope
    name: str
    family: str
    word: str = ""
    source: str | None = None
    expects: list[ir.Expect] = field(default_factory=list)
    examples: list[ast.Example] = field(default_factory=list)
    overridden: InstrItem | None = None


@dataclass(slots=True)
class BeforeItem:
    """Statements that come first in some instructions; `rank` orders them: what extends comes first."""

    node: ast.Before
    scope: Scope
    rank: int


@dataclass(slots=True, eq=False)
class Machine:
    """The spec in the making."""

    problems: Problems = field(default_factory=Problems)
    globals: Scope = field(default_factory=Scope)
    unit: int = 8
    endian: Literal["little", "big"] = "little"
    msb0: bool = False
    enums: dict[str, ir.EnumType] = field(default_factory=dict)
    elements: dict[str, ir.Element] = field(default_factory=dict)
    files: dict[str, ir.File] = field(default_factory=dict)
    registers: dict[str, ir.Register] = field(default_factory=dict)
    legal: dict[str, tuple[int, ...]] = field(default_factory=dict)
    choices: dict[str, ir.Choice] = field(default_factory=dict)
    spaces: dict[str, ir.Space] = field(default_factory=dict)
    tables: dict[str, ir.Table] = field(default_factory=dict)
    procedures: dict[str, ir.Procedure] = field(default_factory=dict)
    instances: dict[tuple[object, ...], Instance] = field(default_factory=dict)
    making: list[object] = field(default_factory=list)
    buses: dict[str, SpaceEntity] = field(default_factory=dict)
    trap_names: dict[str, TrapDecl] = field(default_factory=dict)
    traps: dict[str, ir.TrapKind] = field(default_factory=dict)
    pc: str | None = None
    pc_width: int = 0
    parcel: int = 8
    mode: ast.Mode | None = None
    mode_type: Type | None = None
    mode_scope: Scope = field(default_factory=Scope)
    prefixes: dict[str, ir.Prefix] = field(default_factory=dict)
    instrs: list[InstrItem] = field(default_factory=list)
    befores: list[BeforeItem] = field(default_factory=list)
    advance: ast.Advance | None = None
    attributes: dict[str, Type | None] = field(default_factory=dict)
    parameters: dict[str, Type] = field(default_factory=dict)
    """Parameters of traps, which a delivery may read as if they were attributes."""
    decoded: dict[tuple[object, ...], tuple[object, ...]] = field(default_factory=dict)
    """Operands that have been decoded, by what determines their structure."""
    formed: dict[tuple[int, ir.Expr | None], Formed] = field(default_factory=dict)
    """The statements and the place of operands at a place in the stream."""
    shown: dict[int, ir.Syntax] = field(default_factory=dict)
    """The assembly texts of decoded operands."""
    learned: dict[str, int] = field(default_factory=dict)
    sites: int = 0
    expand: Callable[[str, ast.Call, Env], bool] = lambda name, node, env: False
    """Puts another instruction in place; false if there is none of this name."""
    call_base: Callable[[object, ast.Call, Env], None] = lambda of, node, env: None
    first_spans: dict[str, Span] = field(default_factory=dict)

    def site(self) -> int:
        """A new number for an unknown value."""
        self.sites += 1
        return self.sites

    def bit(self, index: int, width: int) -> int:
        """A bit index of the text, counted from the least significant bit."""
        return width - 1 - index if self.msb0 else index
