"""The syntax tree of the `.isa` language: what `parse` returns and the elaborator reads.  Data without logic.

Each node shows its source form.  A node compares equal to another one by its content: spans do not count.  Optional
parts are None, or an empty tuple where several may stand.  Parentheses leave no trace (`(a)` is `a`; `(a, b)` is a
`Tuple`), and chains are nested to the left (`a + b + c` is `(a + b) + c`).

Numbers keep their spelling, because a digit string means bits in a pattern and a number in an expression: `0010` in a
table cell is known only once the cell is substituted.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from analyzer.source import Span


class Node(Struct, frozen=True, kw_only=True):
    """What all nodes have: the place in the source."""

    span: Span

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "span"
        )


# -- words -------------------------------------------------------------------------------------------------------------


class Name(Node, frozen=True):
    """`rd`, in an expression or where something is named; also `mode`, `memory` … where they name a role or a trap"""

    text: str


class String(Node, frozen=True):
    """`"add {r1}, {r2}"`; `text` is what stands between the quotes"""

    text: str


class Number(Node, frozen=True):
    """`17`, `0x1F`, `0o17`, `0b01`, `0010`; `text` is the spelling, with `_` where it was written"""

    text: str


# -- expressions -------------------------------------------------------------------------------------------------------

BinaryOp = Literal[
    "or", "xor", "and",
    "==", "!=", "<", "<=", ">", "<s", "<=s", ">s", ">=", ">=s",
    "++", "<<", ">>", ">>s", "+", "-", "*", "/", "%", "*s", "/s", "%s",
]  # fmt: skip
UnaryOp = Literal["-", "not"]


class TableView(Node, frozen=True):
    """`table phys`, before a subscript: this access goes to tables of the resource map"""

    space: Name


class CurrentMode(Node, frozen=True):
    """`mode`"""


class Tuple(Node, frozen=True):
    """`(a, b)`, of two or more"""

    items: tuple[Expr, ...]


class Member(Node, frozen=True):
    """`value.name`"""

    value: Expr
    name: Name


class Index(Node, frozen=True):
    """`high` or `high : low` in a subscript or a scattered field"""

    high: Expr
    low: Expr | None


class NamedIndex(Node, frozen=True):
    """`m = K` in a subscript"""

    name: Name
    value: Expr


class Subscript(Node, frozen=True):
    """`value[index, …]`"""

    value: Expr
    indices: tuple[Index | NamedIndex, ...]


class Arg(Node, frozen=True):
    """`value` or `name = value`"""

    name: Name | None
    value: Expr


class Call(Node, frozen=True):
    """`function(arg, …)`"""

    function: Expr
    args: tuple[Arg, ...]


class Unary(Node, frozen=True):
    """`-arg`, `not arg`"""

    op: UnaryOp
    arg: Expr


class Binary(Node, frozen=True):
    """`left op right`"""

    op: BinaryOp
    left: Expr
    right: Expr


class IfExpr(Node, frozen=True):
    """`if cond then a else b`"""

    cond: Expr
    then: Expr
    other: Expr


class Label(Node, frozen=True):
    """`low` or `low..high` before `=>`; the name `_` is the rest"""

    low: Expr
    high: Expr | None


class Arm(Node, frozen=True):
    """`label, … when guard => value`"""

    labels: tuple[Label, ...]
    guard: Expr | None
    value: Expr | Raise | Unpredictable


class MatchExpr(Node, frozen=True):
    """`match subject { arm; … }` as a value"""

    subject: Expr
    arms: tuple[Arm, ...]


Expr = Name | Number | TableView | CurrentMode | Tuple | Member | Subscript | Call | Unary | Binary | IfExpr | MatchExpr


# -- types and parameters ----------------------------------------------------------------------------------------------


class NamedType(Node, frozen=True):
    """`Mode`, `bool`, `spec(16)` (a sub-decoder with its arguments)"""

    name: Name
    args: tuple[Arg, ...]


class WidthType(Node, frozen=True):
    """`32`, `(2 * w)`: a bit vector of this width"""

    width: Expr


Type = NamedType | WidthType


class Parameter(Node, frozen=True):
    """`name : type = default`"""

    name: Name
    type: Type | None
    default: Expr | None


# -- statements --------------------------------------------------------------------------------------------------------


class Block(Node, frozen=True):
    """`{ stmt; … }`; an arm or an `else if` without braces is a block of one statement"""

    stmts: tuple[Stmt, ...]


class Let(Node, frozen=True):
    """`let name : type = value`"""

    name: Name
    type: Type | None
    value: Expr


class Var(Node, frozen=True):
    """`var name : type = value`"""

    name: Name
    type: Type | None
    value: Expr


class Assign(Node, frozen=True):
    """`target = value`; the target may be a tuple"""

    target: Expr
    value: Expr


class Update(Node, frozen=True):
    """`target += value`, `target -= value`"""

    op: Literal["+=", "-="]
    target: Expr
    value: Expr


class CallStmt(Node, frozen=True):
    """`push(v)`"""

    call: Call


class Raise(Node, frozen=True):
    """`trap name(arg, …)`"""

    trap: Name
    args: tuple[Arg, ...]


class Unpredictable(Node, frozen=True):
    """`unpredictable`"""


class Done(Node, frozen=True):
    """`done`"""


class Again(Node, frozen=True):
    """`again`"""


class Commit(Node, frozen=True):
    """`commit`"""


class Execute(Node, frozen=True):
    """`execute word limit n`"""

    word: Expr
    limit: Expr


class Return(Node, frozen=True):
    """`return value`"""

    value: Expr


class Guarded(Node, frozen=True):
    """`stmt if cond`"""

    stmt: Stmt
    cond: Expr


class If(Node, frozen=True):
    """`if cond { … } else { … }`; `else if` is a block of one `If`"""

    cond: Expr
    then: Block
    other: Block | None


class StmtArm(Node, frozen=True):
    """`label, … when guard => stmt`"""

    labels: tuple[Label, ...]
    guard: Expr | None
    body: Block


class Match(Node, frozen=True):
    """`match subject { arm; … }` as a statement"""

    subject: Expr
    arms: tuple[StmtArm, ...]


class ForRange(Node, frozen=True):
    """`for name in first..last { … }`"""

    name: Name
    first: Expr
    last: Expr
    body: Block


class While(Node, frozen=True):
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


class Header(Node, frozen=True):
    """`isa name extends base "title"`; both names may have hyphens (`ia32-umip`)"""

    name: Name
    base: Name | None
    title: String | None


class Import(Node, frozen=True):
    """`import "path"`"""

    path: String


class Feature(Node, frozen=True):
    """`feature name "note"`"""

    name: Name
    note: String | None


class Enable(Node, frozen=True):
    """`enable name`"""

    name: Name


class When(Node, frozen=True):
    """`when cond { item … }`"""

    cond: Expr
    items: tuple[Item, ...]


class Unit(Node, frozen=True):
    """`unit 8 little`, `unit 36 msb0`"""

    bits: Number
    words: tuple[Name, ...]


class Param(Node, frozen=True):
    """`param name : type = value`"""

    name: Name
    type: Type | None
    value: Expr


class Choice(Node, frozen=True):
    """`choice name : type "note"`"""

    name: Name
    type: Type
    note: String | None


class Enumerator(Node, frozen=True):
    """`K = 0`"""

    name: Name
    value: Expr


class Enum(Node, frozen=True):
    """`enum Mode : 2 { K = 0, U = 3 }`"""

    name: Name
    type: Type
    members: tuple[Enumerator, ...]


class TypeDecl(Node, frozen=True):
    """`type Desc { base : 32  limit : 32 }`"""

    name: Name
    type: Type | None
    layout: Layout


class Invariant(Node, frozen=True):
    """`invariant cond "reason"`"""

    cond: Expr
    reason: String | None


# -- state -------------------------------------------------------------------------------------------------------------


class Reset(Node, frozen=True):
    """`reset value`"""

    value: Expr


class Hardwired(Node, frozen=True):
    """`zero 0`: this entry of the file reads as 0"""

    entry: Number


class Caveat(Node, frozen=True):
    """`caveat "lost under emulation"`"""

    note: String


class Preserved(Node, frozen=True):
    """`preserved`"""


class ReadOnly(Node, frozen=True):
    """`ro`"""


class WriteOneClear(Node, frozen=True):
    """`w1c`"""


class Legal(Node, frozen=True):
    """`legal (0, 8)`"""

    values: tuple[Expr, ...]


DeclAttr = Reset | Hardwired | Caveat | Preserved
FieldAttr = ReadOnly | WriteOneClear | Legal | Reset


class Field(Node, frozen=True):
    """`MODE[63:60] : type attr …`; without a position the field is packed, the first one leftmost"""

    name: Name
    high: Expr | None
    low: Expr | None
    type: Type | None
    attrs: tuple[FieldAttr, ...]


class RoleGroup(Node, frozen=True):
    """`guest { Z[2] C[0] }` in a layout"""

    role: Name
    layout: Layout


class Layout(Node, frozen=True):
    """`{ field … }`"""

    parts: tuple[Field | RoleGroup, ...]


class Declarator(Node, frozen=True):
    """`pc`, `r[8]`"""

    name: Name
    size: Number | None


class Decl(Node, frozen=True):
    """`l, b : 21 reset 0 { … }`"""

    declarators: tuple[Declarator, ...]
    type: Type
    attrs: tuple[DeclAttr, ...]
    layout: Layout | None


class State(Node, frozen=True):
    """`state role decl` or `state role { decl; … }`"""

    role: Name
    decls: tuple[Decl, ...]


class Memory(Node, frozen=True):
    """`memory E[a : 21] : 64 word size q else trap memory`"""

    name: Name
    index: Parameter
    type: Type
    word: Name | None
    size: Expr | None
    beyond: Raise | None


class Map(Node, frozen=True):
    """`map mem[a : 32] (m : Mode = priv) on phys { … }`"""

    name: Name
    index: Parameter
    params: tuple[Parameter, ...]
    space: Name
    body: Block


class Selection(Node, frozen=True):
    """`of mstatus { SIE SPIE }`"""

    register: Name
    fields: tuple[Name, ...]


class Check(Node, frozen=True):
    """`check { … }`"""

    body: Block


class Read(Node, frozen=True):
    """`read { … }`"""

    body: Block


class Write(Node, frozen=True):
    """`write v { … }`"""

    name: Name
    body: Block


class Place(Node, frozen=True):
    """`place expr`"""

    value: Expr


ViewPart = Check | Read | Write | Place


class Computed(Node, frozen=True):
    """`{ check { … } read { … } write v { … } }` or `{ check { … } place e }`"""

    parts: tuple[ViewPart, ...]


class View(Node, frozen=True):
    """`view name(w)[n : 3] : w = place`, or with a selection or computed parts in place of `= place`"""

    name: Name
    widths: tuple[Name, ...]
    params: tuple[Parameter, ...]
    type: Type
    body: Expr | Selection | Computed


class Rank(Node, frozen=True):
    """`A, B` in an order"""

    modes: tuple[Expr, ...]


class Mode(Node, frozen=True):
    """`mode = value order A > B, C`"""

    value: Expr
    ranks: tuple[Rank, ...]


# -- traps and sequencing ----------------------------------------------------------------------------------------------


class Attr(Node, frozen=True):
    """`vector = 13`"""

    name: Name
    value: Expr


class Trap(Node, frozen=True):
    """`trap name(params) : kind at next { attr, … }`"""

    name: Name
    params: tuple[Parameter, ...]
    kind: Name
    at_next: bool
    attrs: tuple[Attr, ...]


class Deliver(Node, frozen=True):
    """`deliver t { … }`"""

    param: Name
    body: Block


class Interrupt(Node, frozen=True):
    """`interrupt trap(arg, …) when cond`"""

    trap: Name
    args: tuple[Arg, ...]
    cond: Expr


class Fetch(Node, frozen=True):
    """`fetch 8 from mem(s = 1) at eip limit 15 else trap gp(0)`"""

    parcel: Type
    space: Name
    args: tuple[Arg, ...]
    pc: Expr
    limit: Expr | None
    beyond: Raise | None


class Advance(Node, frozen=True):
    """`advance { … }`"""

    body: Block


# -- functions, tables, encodings, instructions ------------------------------------------------------------------------


class Fn(Node, frozen=True):
    """`fn name(params) -> type { … }` or `fn name(params) -> type = value`"""

    name: Name
    params: tuple[Parameter, ...]
    result: Type | None
    body: Block | Expr


class Unspecified(Node, frozen=True):
    """`unspecified name(params) -> type "reason"`"""

    name: Name
    params: tuple[Parameter, ...]
    result: Type
    reason: String | None


class Row(Node, frozen=True):
    """`"b" | 00 | 8`"""

    cells: tuple[Expr | String, ...]


class Rows(Node, frozen=True):
    """`{ row … }`; the cells of the first row name the columns"""

    rows: tuple[Row, ...]


class Table(Node, frozen=True):
    """`table Size { row … }`"""

    name: Name
    rows: Rows


class Lookup(Node, frozen=True):
    """`table m[i : 4] : 8 = { value, name = value, … }`"""

    name: Name
    index: Parameter
    type: Type
    entries: tuple[Arg, ...]


class For(Node, frozen=True):
    """`for Size instr …`, `for { row … }, Size { item … }`"""

    sources: tuple[Name | Rows, ...]
    items: tuple[Item, ...]


class Bits(Node, frozen=True):
    """`0101` (four bits), `0x4E73` (sixteen); `text` is the spelling"""

    text: str


class Sized(Node, frozen=True):
    """`5:3`: a value and its width"""

    value: Number
    type: Type


class ShouldBe(Node, frozen=True):
    """`~000`: other bits are unpredictable; `text` is without the `~`"""

    text: str


class FieldUse(Node, frozen=True):
    """`rd`: an operand, a parameter of a format or a column of a table"""

    name: Name


class FieldDef(Node, frozen=True):
    """`n:4`, `k:ea(w)`, `_:3` (ignored bits)"""

    name: Name
    type: Type


class Scatter(Node, frozen=True):
    """`imm[20|10:1|11|19:12]`"""

    name: Name
    slices: tuple[Index, ...]


class FormatUse(Node, frozen=True):
    """`R(0000000, 000)`"""

    name: Name
    args: tuple[Group, ...]


class Tail(Node, frozen=True):
    """`dst...`: here the rest of this operand stands in the stream"""

    name: Name


Atom = Bits | Sized | ShouldBe | FieldUse | FieldDef | Scatter | FormatUse | Tail


class Group(Node, frozen=True):
    """`0101 rd n:4`: what stands between two commas of a pattern"""

    atoms: tuple[Atom, ...]


class Pattern(Node, frozen=True):
    """`group, group, …`"""

    groups: tuple[Group, ...]


class Format(Node, frozen=True):
    """`format F(a, b) = pattern where cond { prologue }`"""

    name: Name
    params: tuple[Name, ...]
    pattern: Pattern
    where: Expr | None
    prologue: Block | None


class AsStyle(Node, frozen=True):
    """`as x`: a file, a view or an enum"""

    name: Name


class NamesStyle(Node, frozen=True):
    """`names "es cs ss"`"""

    names: String


class SetStyle(Node, frozen=True):
    """`set "d0 d1 d2"`"""

    names: String


class PlainStyle(Node, frozen=True):
    """`signed`, `octal`, `relative`, `prefix` …; `relative(here + 2)`"""

    word: Name
    base: Expr | None = None


Style = AsStyle | NamesStyle | SetStyle | PlainStyle


class OperandArm(Node, frozen=True):
    """`| pattern where cond "asm" => place` or `| pattern "asm" { … }`"""

    pattern: Pattern
    where: Expr | None
    asm: String | None
    body: Expr | Block


class Operand(Node, frozen=True):
    """`operand a, b(params) : type style = default else trap x { arm … }`"""

    names: tuple[Name, ...]
    params: tuple[Parameter, ...]
    type: Type | None
    styles: tuple[Style, ...]
    default: Expr | None
    otherwise: Raise | None
    arms: tuple[OperandArm, ...]


class Instr(Node, frozen=True):
    """`instr name "asm" = pattern where cond { … }`"""

    name: Name | None
    asm: String
    pattern: Pattern
    where: Expr | None
    body: Block


class Before(Node, frozen=True):
    """`before lpsw, lrb { … }`"""

    names: tuple[Name, ...]
    body: Block


class Override(Node, frozen=True):
    """`override` and the item that replaces the inherited one"""

    item: Instr | View | Fn | Deliver | Map | Operand | Format | Trap


class Remove(Node, frozen=True):
    """`remove name, …`"""

    names: tuple[Name, ...]


# -- clauses: about the item before them -------------------------------------------------------------------------------


class Cite(Node, frozen=True):
    """`source "manual, section"`"""

    text: String


class Expect(Node, frozen=True):
    """`expect word … in scheme : name, … "citation"`"""

    words: tuple[Name, ...]
    scheme: Name | None
    names: tuple[Name, ...]
    citation: String | None


class Fact(Node, frozen=True):
    """`x[1] = 5`"""

    place: Expr
    value: Expr


class Example(Node, frozen=True):
    """`example "asm" from { fact, … } to { fact, … }` or `… to trap name` (then `after` is empty)"""

    asm: String
    before: tuple[Fact, ...]
    after: tuple[Fact, ...]
    trap: Name | None


# -- schemes -----------------------------------------------------------------------------------------------------------


class RunPair(Node, frozen=True):
    """`S as U`"""

    virtual: Expr
    real: Expr


class Run(Node, frozen=True):
    """`run A as B, …`"""

    pairs: tuple[RunPair, ...]


class Monitor(Node, frozen=True):
    """`monitor M`"""

    mode: Expr


class Own(Node, frozen=True):
    """`own place, … "reason"`"""

    places: tuple[Expr, ...]
    reason: String | None


class Assume(Node, frozen=True):
    """`assume cond for p : w "reason"`"""

    cond: Expr
    params: tuple[Parameter, ...]
    reason: String | None


class GuestAssume(Node, frozen=True):
    """`guest cond "reason"`"""

    cond: Expr
    reason: String | None


class Chosen(Node, frozen=True):
    """`let k : 21`"""

    name: Name
    type: Type


class Compose(Node, frozen=True):
    """`compose l = l + k`"""

    place: Expr
    value: Expr


class Choose(Node, frozen=True):
    """`choose place, …`"""

    places: tuple[Expr, ...]


class Environment(Node, frozen=True):
    """`environment place, …`"""

    places: tuple[Expr, ...]


class Direct(Node, frozen=True):
    """`direct U, …`"""

    modes: tuple[Expr, ...]


class SchemeExpect(Node, frozen=True):
    """`expect word … "citation"` in a scheme"""

    words: tuple[Name, ...]
    citation: String | None


SchemePart = (
    Run | Monitor | Own | Assume | GuestAssume | Chosen | Compose | Choose | Environment | Direct | SchemeExpect
)


class Scheme(Node, frozen=True):
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


class File(Node, frozen=True):
    """A whole file: its header and its items in order"""

    header: Header
    items: tuple[Item, ...]
