"""The syntax tree of the `.isa` language: what `parse` returns and the elaborator reads.  Data without logic.

Each node shows its source form.  A node compares equal to another one by its content: spans do not count.  Optional
parts are None, or an empty tuple where several may stand.  Parentheses leave no trace (`(a)` is `a`; `(a, b)` is a
`Tuple`), and chains are nested to the left (`a + b + c` is `(a + b) + c`).

Numbers keep their spelling, because a digit string means bits in a pattern and a number in an expression: `0010` in a
table cell is known only once the cell is substituted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from analyzer.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What all nodes have: the place in the source."""

    span: Span = field(compare=False, repr=False)


# -- words -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Name(Node):
    """`rd`, in an expression or where something is named; also `mode`, `memory` … where they name a role or a trap"""

    text: str


@dataclass(frozen=True, slots=True)
class String(Node):
    """`"add {r1}, {r2}"`; `text` is what stands between the quotes"""

    text: str


@dataclass(frozen=True, slots=True)
class Number(Node):
    """`17`, `0x1F`, `0o17`, `0b01`, `0010`; `text` is the spelling, with `_` where it was written"""

    text: str


# -- expressions -------------------------------------------------------------------------------------------------------

BinaryOp = Literal[
    "or", "xor", "and",
    "==", "!=", "<", "<=", ">", "<s", "<=s", ">s", ">=", ">=s",
    "++", "<<", ">>", ">>s", "+", "-", "*", "/", "%", "*s", "/s", "%s",
]  # fmt: skip
UnaryOp = Literal["-", "not"]


@dataclass(frozen=True, slots=True)
class TableView(Node):
    """`table phys`, before a subscript: this access goes to tables of the resource map"""

    space: Name


@dataclass(frozen=True, slots=True)
class CurrentMode(Node):
    """`mode`"""


@dataclass(frozen=True, slots=True)
class Tuple(Node):
    """`(a, b)`, of two or more"""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`value.name`"""

    value: Expr
    name: Name


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`high` or `high : low` in a subscript or a scattered field"""

    high: Expr
    low: Expr | None


@dataclass(frozen=True, slots=True)
class NamedIndex(Node):
    """`m = K` in a subscript"""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Subscript(Node):
    """`value[index, …]`"""

    value: Expr
    indices: tuple[Index | NamedIndex, ...]


@dataclass(frozen=True, slots=True)
class Arg(Node):
    """`value` or `name = value`"""

    name: Name | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(arg, …)`"""

    function: Expr
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-arg`, `not arg`"""

    op: UnaryOp
    arg: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`left op right`"""

    op: BinaryOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class IfExpr(Node):
    """`if cond then a else b`"""

    cond: Expr
    then: Expr
    other: Expr


@dataclass(frozen=True, slots=True)
class Label(Node):
    """`low` or `low..high` before `=>`; the name `_` is the rest"""

    low: Expr
    high: Expr | None


@dataclass(frozen=True, slots=True)
class Arm(Node):
    """`label, … when guard => value`"""

    labels: tuple[Label, ...]
    guard: Expr | None
    value: Expr | Raise | Unpredictable


@dataclass(frozen=True, slots=True)
class MatchExpr(Node):
    """`match subject { arm; … }` as a value"""

    subject: Expr
    arms: tuple[Arm, ...]


Expr = Name | Number | TableView | CurrentMode | Tuple | Member | Subscript | Call | Unary | Binary | IfExpr | MatchExpr


# -- types and parameters ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType(Node):
    """`Mode`, `bool`, `spec(16)` (a sub-decoder with its arguments)"""

    name: Name
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class WidthType(Node):
    """`32`, `(2 * w)`: a bit vector of this width"""

    width: Expr


Type = NamedType | WidthType


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """`name : type = default`"""

    name: Name
    type: Type | None
    default: Expr | None


# -- statements --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`{ stmt; … }`; an arm or an `else if` without braces is a block of one statement"""

    stmts: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let name : type = value`"""

    name: Name
    type: Type | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Var(Node):
    """`var name : type = value`"""

    name: Name
    type: Type | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`target = value`; the target may be a tuple"""

    target: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class Update(Node):
    """`target += value`, `target -= value`"""

    op: Literal["+=", "-="]
    target: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class CallStmt(Node):
    """`push(v)`"""

    call: Call


@dataclass(frozen=True, slots=True)
class Raise(Node):
    """`trap name(arg, …)`"""

    trap: Name
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Unpredictable(Node):
    """`unpredictable`"""


@dataclass(frozen=True, slots=True)
class Done(Node):
    """`done`"""


@dataclass(frozen=True, slots=True)
class Again(Node):
    """`again`"""


@dataclass(frozen=True, slots=True)
class Commit(Node):
    """`commit`"""


@dataclass(frozen=True, slots=True)
class Execute(Node):
    """`execute word limit n`"""

    word: Expr
    limit: Expr


@dataclass(frozen=True, slots=True)
class Return(Node):
    """`return value`"""

    value: Expr


@dataclass(frozen=True, slots=True)
class Guarded(Node):
    """`stmt if cond`"""

    stmt: Stmt
    cond: Expr


@dataclass(frozen=True, slots=True)
class If(Node):
    """`if cond { … } else { … }`; `else if` is a block of one `If`"""

    cond: Expr
    then: Block
    other: Block | None


@dataclass(frozen=True, slots=True)
class StmtArm(Node):
    """`label, … when guard => stmt`"""

    labels: tuple[Label, ...]
    guard: Expr | None
    body: Block


@dataclass(frozen=True, slots=True)
class Match(Node):
    """`match subject { arm; … }` as a statement"""

    subject: Expr
    arms: tuple[StmtArm, ...]


@dataclass(frozen=True, slots=True)
class ForRange(Node):
    """`for name in first..last { … }`"""

    name: Name
    first: Expr
    last: Expr
    body: Block


@dataclass(frozen=True, slots=True)
class While(Node):
    """`while cond limit n { … } else { … }`"""

    cond: Expr
    limit: Expr
    body: Block
    exhausted: Block | None


Stmt = (
    Let
    | Var
    | Assign
    | Update
    | CallStmt
    | Raise
    | Unpredictable
    | Done
    | Again
    | Commit
    | Execute
    | Return
    | Guarded
    | If
    | Match
    | ForRange
    | While
)


# -- the head of a file, and items about the whole spec ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header(Node):
    """`isa name extends base "title"`; both names may have hyphens (`ia32-umip`)"""

    name: Name
    base: Name | None
    title: String | None


@dataclass(frozen=True, slots=True)
class Import(Node):
    """`import "path"`"""

    path: String


@dataclass(frozen=True, slots=True)
class Feature(Node):
    """`feature name "note"`"""

    name: Name
    note: String | None


@dataclass(frozen=True, slots=True)
class Enable(Node):
    """`enable name`"""

    name: Name


@dataclass(frozen=True, slots=True)
class When(Node):
    """`when cond { item … }`"""

    cond: Expr
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Unit(Node):
    """`unit 8 little`, `unit 36 msb0`"""

    bits: Number
    words: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Param(Node):
    """`param name : type = value`"""

    name: Name
    type: Type | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Choice(Node):
    """`choice name : type "note"`"""

    name: Name
    type: Type
    note: String | None


@dataclass(frozen=True, slots=True)
class Enumerator(Node):
    """`K = 0`"""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Enum(Node):
    """`enum Mode : 2 { K = 0, U = 3 }`"""

    name: Name
    type: Type
    members: tuple[Enumerator, ...]


@dataclass(frozen=True, slots=True)
class TypeDecl(Node):
    """`type Desc { base : 32  limit : 32 }`"""

    name: Name
    type: Type | None
    layout: Layout


@dataclass(frozen=True, slots=True)
class Invariant(Node):
    """`invariant cond "reason"`"""

    cond: Expr
    reason: String | None


# -- state -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reset(Node):
    """`reset value`"""

    value: Expr


@dataclass(frozen=True, slots=True)
class Hardwired(Node):
    """`zero 0`: this entry of the file reads as 0"""

    entry: Number


@dataclass(frozen=True, slots=True)
class Caveat(Node):
    """`caveat "lost under emulation"`"""

    note: String


@dataclass(frozen=True, slots=True)
class Preserved(Node):
    """`preserved`"""


@dataclass(frozen=True, slots=True)
class ReadOnly(Node):
    """`ro`"""


@dataclass(frozen=True, slots=True)
class WriteOneClear(Node):
    """`w1c`"""


@dataclass(frozen=True, slots=True)
class Legal(Node):
    """`legal (0, 8)`"""

    values: tuple[Expr, ...]


DeclAttr = Reset | Hardwired | Caveat | Preserved
FieldAttr = ReadOnly | WriteOneClear | Legal | Reset


@dataclass(frozen=True, slots=True)
class Field(Node):
    """`MODE[63:60] : type attr …`; without a position the field is packed, the first one leftmost"""

    name: Name
    high: Expr | None
    low: Expr | None
    type: Type | None
    attrs: tuple[FieldAttr, ...]


@dataclass(frozen=True, slots=True)
class RoleGroup(Node):
    """`guest { Z[2] C[0] }` in a layout"""

    role: Name
    layout: Layout


@dataclass(frozen=True, slots=True)
class Layout(Node):
    """`{ field … }`"""

    parts: tuple[Field | RoleGroup, ...]


@dataclass(frozen=True, slots=True)
class Declarator(Node):
    """`pc`, `r[8]`"""

    name: Name
    size: Number | None


@dataclass(frozen=True, slots=True)
class Decl(Node):
    """`l, b : 21 reset 0 { … }`"""

    declarators: tuple[Declarator, ...]
    type: Type
    attrs: tuple[DeclAttr, ...]
    layout: Layout | None


@dataclass(frozen=True, slots=True)
class State(Node):
    """`state role decl` or `state role { decl; … }`"""

    role: Name
    decls: tuple[Decl, ...]


@dataclass(frozen=True, slots=True)
class Memory(Node):
    """`memory E[a : 21] : 64 word size q else trap memory`"""

    name: Name
    index: Parameter
    type: Type
    word: Name | None
    size: Expr | None
    beyond: Raise | None


@dataclass(frozen=True, slots=True)
class Map(Node):
    """`map mem[a : 32] (m : Mode = priv) on phys { … }`"""

    name: Name
    index: Parameter
    params: tuple[Parameter, ...]
    space: Name
    body: Block


@dataclass(frozen=True, slots=True)
class Selection(Node):
    """`of mstatus { SIE SPIE }`"""

    register: Name
    fields: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Check(Node):
    """`check { … }`"""

    body: Block


@dataclass(frozen=True, slots=True)
class Read(Node):
    """`read { … }`"""

    body: Block


@dataclass(frozen=True, slots=True)
class Write(Node):
    """`write v { … }`"""

    name: Name
    body: Block


@dataclass(frozen=True, slots=True)
class Place(Node):
    """`place expr`"""

    value: Expr


ViewPart = Check | Read | Write | Place


@dataclass(frozen=True, slots=True)
class Computed(Node):
    """`{ check { … } read { … } write v { … } }` or `{ check { … } place e }`"""

    parts: tuple[ViewPart, ...]


@dataclass(frozen=True, slots=True)
class View(Node):
    """`view name(w)[n : 3] : w = place`, or with a selection or computed parts in place of `= place`"""

    name: Name
    widths: tuple[Name, ...]
    params: tuple[Parameter, ...]
    type: Type
    body: Expr | Selection | Computed


@dataclass(frozen=True, slots=True)
class Rank(Node):
    """`A, B` in an order"""

    modes: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Mode(Node):
    """`mode = value order A > B, C`"""

    value: Expr
    ranks: tuple[Rank, ...]


# -- traps and sequencing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attr(Node):
    """`vector = 13`"""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Trap(Node):
    """`trap name(params) : kind at next { attr, … }`"""

    name: Name
    params: tuple[Parameter, ...]
    kind: Name
    at_next: bool
    attrs: tuple[Attr, ...]


@dataclass(frozen=True, slots=True)
class Deliver(Node):
    """`deliver t { … }`"""

    param: Name
    body: Block


@dataclass(frozen=True, slots=True)
class Interrupt(Node):
    """`interrupt trap(arg, …) when cond`"""

    trap: Name
    args: tuple[Arg, ...]
    cond: Expr


@dataclass(frozen=True, slots=True)
class Fetch(Node):
    """`fetch 8 from mem(s = 1) at eip limit 15 else trap gp(0)`"""

    parcel: Type
    space: Name
    args: tuple[Arg, ...]
    pc: Expr
    limit: Expr | None
    beyond: Raise | None


@dataclass(frozen=True, slots=True)
class Advance(Node):
    """`advance { … }`"""

    body: Block


# -- functions, tables, encodings, instructions ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fn(Node):
    """`fn name(params) -> type { … }` or `fn name(params) -> type = value`"""

    name: Name
    params: tuple[Parameter, ...]
    result: Type | None
    body: Block | Expr


@dataclass(frozen=True, slots=True)
class Unspecified(Node):
    """`unspecified name(params) -> type "reason"`"""

    name: Name
    params: tuple[Parameter, ...]
    result: Type
    reason: String | None


@dataclass(frozen=True, slots=True)
class Row(Node):
    """`"b" | 00 | 8`"""

    cells: tuple[Expr | String, ...]


@dataclass(frozen=True, slots=True)
class Rows(Node):
    """`{ row … }`; the cells of the first row name the columns"""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Table(Node):
    """`table Size { row … }`"""

    name: Name
    rows: Rows


@dataclass(frozen=True, slots=True)
class Lookup(Node):
    """`table m[i : 4] : 8 = { value, name = value, … }`"""

    name: Name
    index: Parameter
    type: Type
    entries: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class For(Node):
    """`for Size instr …`, `for { row … }, Size { item … }`"""

    sources: tuple[Name | Rows, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Bits(Node):
    """`0101` (four bits), `0x4E73` (sixteen); `text` is the spelling"""

    text: str


@dataclass(frozen=True, slots=True)
class Sized(Node):
    """`5:3`: a value and its width"""

    value: Number
    type: Type


@dataclass(frozen=True, slots=True)
class ShouldBe(Node):
    """`~000`: other bits are unpredictable; `text` is without the `~`"""

    text: str


@dataclass(frozen=True, slots=True)
class FieldUse(Node):
    """`rd`: an operand, a parameter of a format or a column of a table"""

    name: Name


@dataclass(frozen=True, slots=True)
class FieldDef(Node):
    """`n:4`, `k:ea(w)`, `_:3` (ignored bits)"""

    name: Name
    type: Type


@dataclass(frozen=True, slots=True)
class Scatter(Node):
    """`imm[20|10:1|11|19:12]`"""

    name: Name
    slices: tuple[Index, ...]


@dataclass(frozen=True, slots=True)
class FormatUse(Node):
    """`R(0000000, 000)`"""

    name: Name
    args: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Tail(Node):
    """`dst...`: here the rest of this operand stands in the stream"""

    name: Name


Atom = Bits | Sized | ShouldBe | FieldUse | FieldDef | Scatter | FormatUse | Tail


@dataclass(frozen=True, slots=True)
class Group(Node):
    """`0101 rd n:4`: what stands between two commas of a pattern"""

    atoms: tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Pattern(Node):
    """`group, group, …`"""

    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Format(Node):
    """`format F(a, b) = pattern where cond { prologue }`"""

    name: Name
    params: tuple[Name, ...]
    pattern: Pattern
    where: Expr | None
    prologue: Block | None


@dataclass(frozen=True, slots=True)
class AsStyle(Node):
    """`as x`: a file, a view or an enum"""

    name: Name


@dataclass(frozen=True, slots=True)
class NamesStyle(Node):
    """`names "es cs ss"`"""

    names: String


@dataclass(frozen=True, slots=True)
class SetStyle(Node):
    """`set "d0 d1 d2"`"""

    names: String


@dataclass(frozen=True, slots=True)
class PlainStyle(Node):
    """`signed`, `octal`, `relative`, `prefix` …"""

    word: Name


Style = AsStyle | NamesStyle | SetStyle | PlainStyle


@dataclass(frozen=True, slots=True)
class OperandArm(Node):
    """`| pattern where cond "asm" => place` or `| pattern "asm" { … }`"""

    pattern: Pattern
    where: Expr | None
    asm: String | None
    body: Expr | Block


@dataclass(frozen=True, slots=True)
class Operand(Node):
    """`operand a, b(params) : type style = default else trap x { arm … }`"""

    names: tuple[Name, ...]
    params: tuple[Parameter, ...]
    type: Type | None
    styles: tuple[Style, ...]
    default: Expr | None
    otherwise: Raise | None
    arms: tuple[OperandArm, ...]


@dataclass(frozen=True, slots=True)
class Instr(Node):
    """`instr name "asm" = pattern where cond { … }`"""

    name: Name | None
    asm: String
    pattern: Pattern
    where: Expr | None
    body: Block


@dataclass(frozen=True, slots=True)
class Before(Node):
    """`before lpsw, lrb { … }`"""

    names: tuple[Name, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Override(Node):
    """`override` and the item that replaces the inherited one"""

    item: Instr | View | Fn | Deliver | Map | Operand | Format | Trap


@dataclass(frozen=True, slots=True)
class Remove(Node):
    """`remove name, …`"""

    names: tuple[Name, ...]


# -- clauses: about the item before them -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cite(Node):
    """`source "manual, section"`"""

    text: String


@dataclass(frozen=True, slots=True)
class Expect(Node):
    """`expect word … in scheme : name, … "citation"`"""

    words: tuple[Name, ...]
    scheme: Name | None
    names: tuple[Name, ...]
    citation: String | None


@dataclass(frozen=True, slots=True)
class Fact(Node):
    """`x[1] = 5`"""

    place: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class Example(Node):
    """`example "asm" from { fact, … } to { fact, … }` or `… to trap name` (then `after` is empty)"""

    asm: String
    before: tuple[Fact, ...]
    after: tuple[Fact, ...]
    trap: Name | None


# -- schemes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunPair(Node):
    """`S as U`"""

    virtual: Expr
    real: Expr


@dataclass(frozen=True, slots=True)
class Run(Node):
    """`run A as B, …`"""

    pairs: tuple[RunPair, ...]


@dataclass(frozen=True, slots=True)
class Monitor(Node):
    """`monitor M`"""

    mode: Expr


@dataclass(frozen=True, slots=True)
class Own(Node):
    """`own place, … "reason"`"""

    places: tuple[Expr, ...]
    reason: String | None


@dataclass(frozen=True, slots=True)
class Assume(Node):
    """`assume cond for p : w "reason"`"""

    cond: Expr
    params: tuple[Parameter, ...]
    reason: String | None


@dataclass(frozen=True, slots=True)
class GuestAssume(Node):
    """`guest cond "reason"`"""

    cond: Expr
    reason: String | None


@dataclass(frozen=True, slots=True)
class Chosen(Node):
    """`let k : 21`"""

    name: Name
    type: Type


@dataclass(frozen=True, slots=True)
class Compose(Node):
    """`compose l = l + k`"""

    place: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class Choose(Node):
    """`choose place, …`"""

    places: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Environment(Node):
    """`environment place, …`"""

    places: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Direct(Node):
    """`direct U, …`"""

    modes: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class SchemeExpect(Node):
    """`expect word … "citation"` in a scheme"""

    words: tuple[Name, ...]
    citation: String | None


SchemePart = (
    Run | Monitor | Own | Assume | GuestAssume | Chosen | Compose | Choose | Environment | Direct | SchemeExpect
)


@dataclass(frozen=True, slots=True)
class Scheme(Node):
    """`scheme name "title" { part; … }`"""

    name: Name
    title: String | None
    parts: tuple[SchemePart, ...]


# -- the whole ---------------------------------------------------------------------------------------------------------

Clause = Cite | Expect | Example
Item = (
    Import
    | Feature
    | Enable
    | When
    | Unit
    | Param
    | Choice
    | Enum
    | TypeDecl
    | Invariant
    | State
    | Memory
    | Map
    | View
    | Mode
    | Trap
    | Deliver
    | Interrupt
    | Fetch
    | Advance
    | Fn
    | Unspecified
    | Table
    | Lookup
    | For
    | Format
    | Operand
    | Instr
    | Before
    | Override
    | Remove
    | Scheme
    | Clause
)


@dataclass(frozen=True, slots=True)
class File(Node):
    """A whole file: its header and its items in order"""

    header: Header
    items: tuple[Item, ...]
