"""What is known of the whole spec while it is elaborated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, field

from analyzer import ir
from analyzer.source import Span
from analyzer.syntax import ast
from analyzer.syntax.body import Env
from analyzer.syntax.problems import Problems
from analyzer.syntax.prune import Locals
from analyzer.syntax.scope import BaseEntity, Scope, SpaceEntity
from analyzer.syntax.value_types import Type
from analyzer.syntax.values import Place


class TrapDecl(Struct):
    """A trap kind, and what it becomes."""

    node: ast.Trap
    number: int
    scope: Scope
    params: tuple[tuple[str, Type, ast.Expr | None], ...] = ()


Formed = tuple[tuple[ir.Stmt, ...], Place, ir.Stmt | None, frozenset[str], tuple[ir.Expr, ...]]
"""The statements of an operand, its place, what it raises otherwise, its locals, and restrictions on the encoding."""


class Instance(Struct):
    """A procedure made of a function for certain constants and widths; `captured` are extra arguments, by name."""

    name: str
    params: tuple[tuple[str, Type], ...]
    returns: Type | None
    captured: tuple[str, ...] = ()


class Piece(Struct, eq=False):
    """An item in its row.  `rank` is the depth of extension: 0 for the file at the bottom.  `row` names its cells.  An
    example knows the instructions that it stands `after`."""

    node: ast.Item
    scope: Scope
    rank: int
    override: bool = False
    row: tuple[str, ...] = ()
    clauses: list[ast.Cite | ast.Expect] = []
    after: list[Piece] = []


class BeforeItem(Struct, frozen=True, eq=False):
    """Statements that come first in some instructions; `rank` orders them: what extends comes first."""

    node: ast.Before
    scope: Scope
    rank: int


class InstrItem(Struct, eq=False):
    """An instruction of the source, in its row: `word` is the first of its assembly text, `family` what its rows share,
    `name` is unique."""

    node: ast.Instr
    piece: Piece
    word: str
    family: str = ""
    name: str = ""
    source: str | None = None
    expects: list[ir.Expect] = []
    befores: list[BeforeItem] = []
    overridden: InstrItem | None = None

    @property
    def scope(self) -> Scope:
        return self.piece.scope

    @property
    def rank(self) -> int:
        return self.piece.rank

    @property
    def row(self) -> tuple[str, ...]:
        return self.piece.row


class Machine(Struct, eq=False):
    """The spec in the making."""

    problems: Problems = field(default_factory=Problems)
    globals: Scope = field(default_factory=Scope)
    unit: int = 8
    endian: Literal["little", "big"] = "little"
    msb0: bool = False
    enums: dict[str, ir.EnumType] = {}
    elements: dict[str, ir.Element] = {}
    files: dict[str, ir.File] = {}
    registers: dict[str, ir.Register] = {}
    legal: dict[str, tuple[int, ...]] = {}
    choices: dict[str, ir.Choice] = {}
    spaces: dict[str, ir.Space] = {}
    tables: dict[str, ir.Table] = {}
    procedures: dict[str, ir.Procedure] = {}
    instances: dict[tuple[object, ...], Instance] = {}
    making: list[object] = []
    buses: dict[str, SpaceEntity] = {}
    trap_names: dict[str, TrapDecl] = {}
    traps: dict[str, ir.TrapKind] = {}
    pc: str | None = None
    pc_width: int = 0
    parcel: int = 8
    mode: ast.Mode | None = None
    mode_type: Type | None = None
    mode_scope: Scope = field(default_factory=Scope)
    prefixes: dict[str, ir.Prefix] = {}
    declared: dict[int, InstrItem] = {}
    """All instructions by the identity of their piece, also those that are removed or overridden."""
    instrs: list[InstrItem] = []
    directory: dict[str, list[InstrItem]] = {}
    """What a name of a list means: an instruction, or the members of a family."""
    advance: ast.Advance | None = None
    attributes: dict[str, Type | None] = {}
    parameters: dict[str, Type] = {}
    """Parameters of traps, which a delivery may read as if they were attributes."""
    decoded: dict[tuple[object, ...], tuple[object, ...]] = {}
    """Operands that have been decoded, by what determines their structure."""
    formed: dict[tuple[int, ir.Expr | None], Formed] = {}
    """The statements and the place of operands at a place in the stream."""
    shown: dict[int, ir.Syntax] = {}
    """The assembly texts of decoded operands."""
    learned: dict[str, int] = {}
    locals: Locals = field(default_factory=Locals)
    sites: int = 0
    steps: int = 0
    expand: Callable[[str, ast.Call, Env], bool] = lambda name, node, env: False
    """Puts another instruction in place; false if there is none of this name."""
    call_base: Callable[[BaseEntity, ast.Call, Env], None] = lambda entity, node, env: None
    first_spans: dict[str, Span] = {}

    def site(self) -> int:
        """A new number for an unknown value."""
        self.sites += 1
        return self.sites

    def bit(self, index: int, width: int) -> int:
        """A bit index of the text, counted from the least significant bit."""
        return width - 1 - index if self.msb0 else index
