"""The intermediate representation: what an instruction set *means*, and nothing else.

Everything popek knows about a machine is an `Isa`.  The elaborator makes it from a spec; the checker, the printer,
the reference executor, the solver's terms, the assembler and (later) machine code are all read off it.  This page is
the manual.

Values
    There are two types: bit vectors of a known positive width, and booleans.  `width(e)` is the width of an
    expression, with 0 standing for a boolean.  Enumerations of the language are bit vectors here; their names are kept
    beside the state (`Element.enum`) for printing.  Nothing is extended or cut silently.

State
    An *element* is the smallest thing with a role: one field of a register, or a whole register without fields.  A
    *file* is an array of equal elements (a register file).  A *memory* is an array of units.  A *register* is a named
    layout over elements and constants: `eflags` is a register, `eflags.CF` an element.  Reads and writes of registers
    are lowered to their elements, so every read and every write in a body touches exactly one role.

Spaces
    What an access can address: a `Memory` (physical), a `Map` (memory seen through the resource map) or a `Bus` (a
    place-valued view used as memory: registers mapped in memory).  Each access names its space and says whether it is a
    fetch, a read or a write.

Statements
    Loads, stores and probes are statements, so expressions are pure: they read state, operands and locals as they are
    when the statement runs.  A local may be set again (a `var` of the language), and the last write wins; where a block
    joins another, a local that only one of them has set has any value, and is not read.  An instruction ends by falling
    off its end, by `Done`, by `Trap` or by `Unpredictable`.  A trap undoes every write back to the beginning of the
    instruction, or to the last `Commit`; then the program counter is the instruction's own address, or the next one for
    a trap that resumes `next`; then the delivery procedure runs.

The program counter
    Bodies are explicit: the elaborator starts each with `here := pc` and with the `advance` statements.

First order: procedures do not recurse, loops are bounded, there are no strings or unbounded integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from operator import attrgetter
from typing import Any, Literal, get_args

from msgspec import Struct

from analyzer.source import Span

# -- roles, kinds ------------------------------------------------------------------------------------------------------


class Role(Enum):
    """What a state element is for (the table of the general machine)."""

    GUEST = "guest"
    MODE = "mode"
    MAP = "map"
    CONTROL = "control"
    TIME = "time"
    PROCESSOR = "processor"
    INTERCEPT = "intercept"


class TrapClass(Enum):
    """Why control leaves the instruction stream."""

    MEMORY = "memory"
    PRIVILEGED = "privileged"
    CALL = "call"
    ILLEGAL = "illegal"
    ARITHMETIC = "arithmetic"
    BREAKPOINT = "breakpoint"
    INTERRUPT = "interrupt"
    EXIT = "exit"


AccessKind = Literal["fetch", "read", "write"]
ACCESS_CODE: Mapping[str, int] = {"fetch": 0, "read": 1, "write": 2}
"""The value of the local `access` (2 bits) inside a map's body."""

UnaryOp = Literal["neg", "not"]
BinaryOp = Literal["add", "sub", "mul", "udiv", "urem", "sdiv", "srem", "and", "or", "xor", "shl", "lshr", "ashr"]
CompareOp = Literal["eq", "ult", "ule", "slt", "sle"]
BoolOp = Literal["and", "or", "xor"]

# -- expressions (pure) ------------------------------------------------------------------------------------------------


class Const(Struct, frozen=True):
    """A bit vector constant; 0 <= value < 2**width."""

    width: int
    value: int


class BoolConst(Struct, frozen=True):
    value: bool


class Local(Struct, frozen=True):
    """A local variable, a parameter of a procedure, or an attribute of the trap in a delivery; width 0 is boolean."""

    name: str
    width: int


class Operand(Struct, frozen=True):
    """Bits encoded in the instruction; the name is that of an `OperandField`."""

    name: str
    width: int


class Get(Struct, frozen=True):
    """The present value of an element."""

    element: str
    width: int


class GetEntry(Struct, frozen=True):
    """The present value of entry `index` of a file; entries past its size read as 0."""

    file: str
    index: Expr
    width: int


class Unary(Struct, frozen=True):
    """`neg` and `not` of a bit vector; same width."""

    op: UnaryOp
    arg: Expr


class Binary(Struct, frozen=True):
    """Both operands and the result have one width.  Division by zero and shifts past the width are as in SMT-LIB:
    `udiv` gives all ones, `urem` the dividend, `shl`/`lshr` 0, `ashr` copies of the sign."""

    op: BinaryOp
    left: Expr
    right: Expr


class Compare(Struct, frozen=True):
    """Bit vectors of one width, or (for `eq`) two booleans, to a boolean."""

    op: CompareOp
    left: Expr
    right: Expr


class Not(Struct, frozen=True):
    arg: Expr


class Logic(Struct, frozen=True):
    """Booleans to a boolean."""

    op: BoolOp
    left: Expr
    right: Expr


class If(Struct, frozen=True):
    """`then` and `other` have one type."""

    cond: Expr
    then: Expr
    other: Expr


class Extract(Struct, frozen=True):
    """Bits hi..lo (0 is the least significant), both included."""

    arg: Expr
    hi: int
    lo: int


class Concat(Struct, frozen=True):
    """`left` is the more significant half."""

    left: Expr
    right: Expr


class Extend(Struct, frozen=True):
    """To `width`, which is more than that of `arg`."""

    signed: bool
    arg: Expr
    width: int


class ToBool(Struct, frozen=True):
    """A 1-bit vector as a boolean."""

    arg: Expr


class ToBits(Struct, frozen=True):
    """A boolean as a 1-bit vector."""

    arg: Expr


class Lookup(Struct, frozen=True):
    """Entry `index` of a constant table; past its end, 0."""

    table: str
    index: Expr
    width: int


class Unknown(Struct, frozen=True):
    """An UNKNOWN value: any value, chosen anew in each run.  `site` is unique in the Isa."""

    site: int
    width: int


class Arbitrary(Struct, frozen=True):
    """An unspecified function of its arguments, the same in all runs: a device's answer, an implementation's choice."""

    name: str
    args: tuple[Expr, ...]
    width: int


Expr = (
    Const
    | BoolConst
    | Local
    | Operand
    | Get
    | GetEntry
    | Unary
    | Binary
    | Compare
    | Not
    | Logic
    | If
    | Extract
    | Concat
    | Extend
    | ToBool
    | ToBits
    | Lookup
    | Unknown
    | Arbitrary
)

BOOL = 0
"""The width of a boolean."""

TRUE, FALSE = BoolConst(True), BoolConst(False)


def width(expr: Expr) -> int:
    """The width of `expr` in bits; 0 for a boolean."""
    return _WIDTH[type(expr)](expr)


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions of `expr`, left to right."""
    return _CHILDREN[type(expr)](expr)


# Both are asked by the hundred thousand, and `isinstance` of a Struct's class takes 0.1 µs to say no: hence tables.

_WIDTH: Mapping[type, Callable[[Any], int]] = {
    **dict.fromkeys((Const, Local, Operand, Get, GetEntry), attrgetter("width")),
    **dict.fromkeys((Extend, Lookup, Unknown, Arbitrary), attrgetter("width")),
    **dict.fromkeys((BoolConst, Compare, Not, Logic, ToBool), lambda e: BOOL),
    ToBits: lambda e: 1,
    Unary: lambda e: width(e.arg),
    Binary: lambda e: width(e.left),
    If: lambda e: width(e.then),
    Extract: lambda e: e.hi - e.lo + 1,
    Concat: lambda e: width(e.left) + width(e.right),
}
_CHILDREN: Mapping[type, Callable[[Any], tuple[Expr, ...]]] = {
    **dict.fromkeys((Const, BoolConst, Local, Operand, Get, Unknown), lambda e: ()),
    **dict.fromkeys((Extract, Unary, Not, Extend, ToBool, ToBits), lambda e: (e.arg,)),
    **dict.fromkeys((Binary, Compare, Logic, Concat), attrgetter("left", "right")),
    **dict.fromkeys((GetEntry, Lookup), lambda e: (e.index,)),
    If: attrgetter("cond", "then", "other"),
    Arbitrary: attrgetter("args"),
}
assert _WIDTH.keys() == _CHILDREN.keys() == set(get_args(Expr))


# -- statements --------------------------------------------------------------------------------------------------------


class Access(Struct, frozen=True):
    """One access to a space.

    `address` has the space's address width and counts units; `bits` is a multiple of the space's unit.  `args` are the
    map's further arguments, in order; `given[i]` says that the spec wrote argument i, so it is not the default.
    `table` marks access to tables that belong to the resource map; it is allowed on any space.
    """

    space: str
    address: Expr
    bits: int
    kind: AccessKind
    args: tuple[Expr, ...] = ()
    given: tuple[bool, ...] = ()
    table: bool = False


class Let(Struct, frozen=True):
    """Sets a local; on every path a local is set before it is read."""

    local: str
    value: Expr
    span: Span | None = None


class Load(Struct, frozen=True):
    """Reads `access.bits` bits into a local; may raise the space's traps."""

    local: str
    access: Access
    span: Span | None = None


class Store(Struct, frozen=True):
    access: Access
    value: Expr
    span: Span | None = None


class Probe(Struct, frozen=True):
    """Asks the map without accessing: `fault` gives a boolean (would it trap?), `translate` the address in the space
    below (and traps as the access would)."""

    local: str
    access: Access
    what: Literal["fault", "translate"]
    span: Span | None = None


class Set(Struct, frozen=True):
    """Writes an element."""

    element: str
    value: Expr
    span: Span | None = None


class SetEntry(Struct, frozen=True):
    """Writes an entry of a file; entries past its size, and hard-wired ones, ignore it."""

    file: str
    index: Expr
    value: Expr
    span: Span | None = None


class When(Struct, frozen=True):
    """Conditional execution."""

    cond: Expr
    then: tuple[Stmt, ...]
    other: tuple[Stmt, ...] = ()
    span: Span | None = None


class Loop(Struct, frozen=True):
    """Runs `body` while `cond` holds, at most `limit` times; when it still holds then, runs `exhausted`.  Locals set in
    `body` are set anew on each round; those named in `carried` live across rounds and after the loop (each is set
    before the loop)."""

    cond: Expr
    limit: int
    body: tuple[Stmt, ...]
    exhausted: tuple[Stmt, ...] = ()
    carried: tuple[str, ...] = ()
    span: Span | None = None


class Call(Struct, frozen=True):
    """Calls a procedure; `local` receives what it returns (None if it returns nothing)."""

    procedure: str
    args: tuple[Expr, ...]
    local: str | None = None
    span: Span | None = None


class Return(Struct, frozen=True):
    """Leaves the procedure (procedures, maps and buses only)."""

    value: Expr | None = None
    span: Span | None = None


class Trap(Struct, frozen=True):
    """Leaves the instruction by a trap; `args` are the parameters of the `TrapKind`."""

    trap: str
    args: tuple[Expr, ...] = ()
    span: Span | None = None


class Done(Struct, frozen=True):
    """The instruction ends here, completed; or `unfinished`, to be run again from its beginning (`again`)."""

    span: Span | None = None
    unfinished: bool = False


class Commit(Struct, frozen=True):
    """What was written so far survives a later trap."""

    span: Span | None = None


class Unpredictable(Struct, frozen=True):
    """The architecture does not say what happens, beyond what the mode is allowed to do."""

    span: Span | None = None


class Execute(Struct, frozen=True):
    """Decodes `word` as one instruction and executes it, at most `limit` deep."""

    word: Expr
    limit: int
    span: Span | None = None


Stmt = (
    Let
    | Load
    | Store
    | Probe
    | Set
    | SetEntry
    | When
    | Loop
    | Call
    | Return
    | Trap
    | Done
    | Commit
    | Unpredictable
    | Execute
)
Block = tuple[Stmt, ...]


class Procedure(Struct, frozen=True):
    """`params` are (name, width), width 0 for a boolean; `returns` is the width of the result, None for none."""

    name: str
    params: tuple[tuple[str, int], ...]
    returns: int | None
    body: Block
    span: Span | None = None


# -- state -------------------------------------------------------------------------------------------------------------


class Element(Struct, frozen=True):
    """One scalar of state.

    `name` is dotted for a field (`mstatus.TVM`).  `legal` lists the only values it can hold (None: all); a write of
    another value leaves it unchanged (the elaborator has put that into the writes).  `reset` None: any value.
    `caveat` is a sentence that the report prints when a verdict leaves this element out of account.
    """

    name: str
    width: int
    role: Role
    enum: str | None = None
    reset: int | None = None
    legal: tuple[int, ...] | None = None
    preserved: bool = False
    caveat: str | None = None
    span: Span | None = None


class File(Struct, frozen=True):
    """An array of `size` elements; `zeros` are entries hard-wired to 0.  The index has `index_width` bits."""

    name: str
    size: int
    index_width: int
    width: int
    role: Role
    zeros: frozenset[int] = frozenset()
    reset: int | None = None
    caveat: str | None = None
    span: Span | None = None


class RegisterPart(Struct, frozen=True):
    """Bits hi..lo of a register: an element, an entry of a file (with the register's index), or a constant.  `ro`:
    writes to the register leave these bits alone; `w1c`: a 1 written clears, a 0 keeps."""

    hi: int
    lo: int
    element: str | None = None
    file: str | None = None
    constant: int | None = None
    ro: bool = False
    w1c: bool = False


class Register(Struct, frozen=True):
    """A named layout over elements; `size` is None for a scalar, else it is a file of such layouts.  Parts go from the
    most significant bit down and cover the width."""

    name: str
    width: int
    parts: tuple[RegisterPart, ...]
    size: int | None = None


class Memory(Struct, frozen=True):
    """Physical memory: 2**address_width units of `unit` bits.  Accesses at or past `size` (an expression over choices
    and constants; None: none) raise `beyond`."""

    name: str
    address_width: int
    unit: int
    role: Role = Role.CONTROL
    size: Expr | None = None
    beyond: Trap | None = None
    span: Span | None = None


class MapParam(Struct, frozen=True):
    """A further argument of a map.  `default` is evaluated at the access, in the state of that moment."""

    name: str
    width: int
    default: Expr | None


class Map(Struct, frozen=True):
    """Memory seen through the resource map.

    `body` returns an address of the space `below`, or traps.  Its locals are the address (`address`), the arguments of
    `params`, `access` (2 bits, `ACCESS_CODE`) and `bits` (16 bits, the width of the access).  A trap raised in it is a
    memory trap, whatever its kind.
    """

    name: str
    address: str
    address_width: int
    unit: int
    params: tuple[MapParam, ...]
    below: str
    body: Block
    span: Span | None = None


class Bus(Struct, frozen=True):
    """A view used as a space: `read` gets (address, params…) and returns `unit` bits, `write` gets (address, params…,
    value).  Wider accesses are made of several, in address order."""

    name: str
    address_width: int
    unit: int
    params: tuple[MapParam, ...]
    read: Procedure
    write: Procedure | None
    span: Span | None = None


Space = Memory | Map | Bus


class Choice(Struct, frozen=True):
    """An implementation-defined constant; every value is analysed.  Read with `Get(name)`; never written."""

    name: str
    width: int
    note: str | None = None


class EnumType(Struct, frozen=True):
    name: str
    width: int
    members: tuple[tuple[str, int], ...]


class Table(Struct, frozen=True):
    """A read-only table of constants."""

    name: str
    index_width: int
    width: int
    values: tuple[int, ...]


class Invariant(Struct, frozen=True):
    """A machine invariant: true of every state of every run; proved preserved.  `reason` is shown with the verdict;
    `prelude` are the loads and calls whose locals `expr` reads."""

    expr: Expr
    reason: str | None = None
    prelude: Block = ()
    span: Span | None = None


# -- modes, traps, decoding --------------------------------------------------------------------------------------------


class Mode(Struct, frozen=True):
    """A processor mode: the value of the mode expression, and its name."""

    name: str
    code: int


class ModeOrder(Struct, frozen=True):
    """`expr` computes the present mode's code.  `ranks` go from the most privileged down; modes of one rank are equally
    or incomparably privileged."""

    expr: Expr
    ranks: tuple[tuple[Mode, ...], ...]

    def modes(self) -> tuple[Mode, ...]:
        """All modes, most privileged first."""
        return tuple(mode for rank in self.ranks for mode in rank)

    def named(self, code: int) -> str:
        """The name of the mode with this code, or the code itself."""
        return next((mode.name for mode in self.modes() if mode.code == code), str(code))


class TrapKind(Struct, frozen=True):
    """`resume` says where the program counter stands in the delivery.  `attributes` are expressions over `params` (as
    locals) and the state at delivery; the delivery procedure sees them as locals `t.name`, its own number as `t`.
    `defaults` are the parameters that the language lets a `trap` statement leave out."""

    name: str
    kind: TrapClass
    params: tuple[tuple[str, int], ...] = ()
    resume: Literal["here", "next"] = "here"
    attributes: tuple[tuple[str, Expr], ...] = ()
    span: Span | None = None
    defaults: tuple[str, ...] = ()


class Interrupt(Struct, frozen=True):
    """A trap that is taken before an instruction when `cond` holds; earlier ones win."""

    trap: str
    args: tuple[Expr, ...]
    cond: Expr


class Fetch(Struct, frozen=True):
    """Instructions are read in parcels of `parcel` bits from `space` (with arguments `args`) at the element `pc`;
    `limit` is the greatest length in parcels, past which `beyond` is raised."""

    parcel: int
    space: str
    args: tuple[Expr, ...]
    given: tuple[bool, ...]
    pc: str
    limit: int | None = None
    beyond: Trap | None = None


class Prefix(Struct, frozen=True):
    """Prefix parcels, in any order before the first segment; the operand `name` has the value of the last one seen, or
    `default`.  In an Isa with prefixes, every instruction has the operand `prefix_parcels` too (8 bits): how many there
    were.  It is part of the instruction's length."""

    name: str
    width: int
    default: int
    values: tuple[tuple[int, int], ...]  # (parcel, value)


# -- instructions ------------------------------------------------------------------------------------------------------


class FieldSlice(Struct, frozen=True):
    """`length` bits of an operand from bit `operand_lo`, at bit `segment_lo` of the segment."""

    operand: str
    operand_lo: int
    segment_lo: int
    length: int


class Segment(Struct, frozen=True):
    """The next `width` bits of the instruction stream, read as one number with the Isa's byte order.  Bits under `mask`
    equal `value`; `fields` place operand bits; all other bits are ignored.  `when` (over operands of earlier segments)
    says whether the segment is there."""

    width: int
    mask: int
    value: int
    fields: tuple[FieldSlice, ...] = ()
    when: Expr | None = None


class Text(Struct, frozen=True):
    """Literal assembly text."""

    text: str


Style = Literal["decimal", "signed", "hex", "octal", "relative", "names", "set"]


class Show(Struct, frozen=True):
    """The value of `expr` (an operand, or an extract of one).  `names[v]` is the text for value v under style `names`;
    under `set` the names of the bits that are 1, bit 0 first, joined by `/`.
    `relative`: the address of the next parcel after this operand's stream position (`base` units from the start of
    the instruction, an expression over operands) plus the value, sign-extended, times `scale`."""

    expr: Expr
    style: Style = "decimal"
    names: tuple[str, ...] = ()
    base: Expr | None = None
    scale: int = 1


class Choose(Struct, frozen=True):
    """The first alternative whose condition (over operands) holds."""

    arms: tuple[tuple[Expr, Syntax], ...]


Syntax = tuple["Text | Show | Choose", ...]


class OperandField(Struct, frozen=True):
    """A leaf of the encoding: `width` bits.  `space` marks the number of a dispatch space (CSR, MSR): the analysis
    makes a row for each of `cases` (a name, and the values it stands for)."""

    name: str
    width: int
    cases: tuple[tuple[str, tuple[int, ...]], ...] = ()


class Fact(Struct, frozen=True):
    """`place` (a register, element, entry or memory cell by its printed name) = value.  `index` for files and memory,
    `bits` for memory."""

    place: str
    value: int
    index: int | None = None
    bits: int | None = None


class Example(Struct, frozen=True):
    """Assembly text, the state before, and the state after or the trap."""

    asm: str
    before: tuple[Fact, ...]
    after: tuple[Fact, ...] = ()
    trap: str | None = None
    span: Span | None = None


class Expect(Struct, frozen=True):
    """A published class: words of `privileged sensitive innocuous unprivileged control location mode configuration user
    trap_only`, a `not_` before any; for one scheme, or for the spec's first."""

    words: tuple[str, ...]
    scheme: str | None
    citation: str | None
    span: Span | None = None


class Instruction(Struct, frozen=True):
    """One row of the manual.  `where` (over operands, and state that is decoder context) restricts the encoding.
    `family` is the name that rows of one template share; `name` is unique."""

    name: str
    family: str
    syntax: Syntax
    segments: tuple[Segment, ...]
    operands: tuple[OperandField, ...]
    body: Block
    where: Expr | None = None
    source: str | None = None
    expects: tuple[Expect, ...] = ()
    examples: tuple[Example, ...] = ()
    span: Span | None = None


# -- schemes -----------------------------------------------------------------------------------------------------------


class Own(Struct, frozen=True):
    """Elements (or files) that hold the guest's own value in hardware, with the reason."""

    names: tuple[str, ...]
    reason: str | None


class Assume(Struct, frozen=True):
    """A condition with its reason; `free` are parameters that it holds for all values of (instantiated by name);
    `prelude` are the loads and calls whose locals `expr` reads."""

    expr: Expr
    reason: str | None
    free: tuple[tuple[str, int], ...] = ()
    prelude: Block = ()
    span: Span | None = None


class Compose(Struct, frozen=True):
    """How the monitor composes a held element's real value from the guest's (read with `Get`) and values that the
    monitor chose (`Local`, see `Scheme.chosen`)."""

    element: str
    value: Expr


class Scheme(Struct, frozen=True):
    """How a virtual machine's modes are run.

    `run` maps the code of each virtual mode to that of the real mode; `monitor` is the monitor's mode.  `assume` are
    monitor invariants (of the real state only), `guest` guest assumptions (of the virtual state).  `choose` are the
    intercept elements that the monitor may set; all other state of modes outside the domain is environment.  `direct`
    are the virtual modes that a hybrid monitor runs directly.  `expects` are about the whole scheme.
    """

    name: str
    title: str | None
    run: tuple[tuple[int, int], ...]
    monitor: int
    own: tuple[Own, ...] = ()
    assume: tuple[Assume, ...] = ()
    guest: tuple[Assume, ...] = ()
    chosen: tuple[tuple[str, int], ...] = ()
    compose: tuple[Compose, ...] = ()
    choose: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    direct: tuple[int, ...] = ()
    expects: tuple[Expect, ...] = ()
    span: Span | None = None


# -- the whole ---------------------------------------------------------------------------------------------------------


class Isa(Struct, frozen=True):
    """An instruction set.  Names are unique across elements, files, choices, memories, maps and buses."""

    name: str
    title: str | None
    source: str | None
    unit: int
    endian: Literal["little", "big"]
    enums: Mapping[str, EnumType]
    elements: Mapping[str, Element]
    files: Mapping[str, File]
    registers: Mapping[str, Register]
    choices: Mapping[str, Choice]
    spaces: Mapping[str, Space]
    tables: Mapping[str, Table]
    procedures: Mapping[str, Procedure]
    mode: ModeOrder
    traps: Mapping[str, TrapKind]
    deliver: Procedure | None
    interrupts: tuple[Interrupt, ...]
    fetch: Fetch
    prefixes: tuple[Prefix, ...]
    instructions: tuple[Instruction, ...]
    invariants: tuple[Invariant, ...]
    schemes: tuple[Scheme, ...]
    files_read: tuple[str, ...] = ()  # the source files, for spans
    digest: str = ""  # of the texts it was made from: 16 hex digits
    span: Span | None = None  # of its name where it is declared

    def instruction(self, name: str) -> Instruction:
        """The instruction of this name.

        Raises:
            KeyError: there is none.
        """
        for instruction in self.instructions:
            if instruction.name == name:
                return instruction
        raise KeyError(name)

    def scheme(self, name: str | None = None) -> Scheme:
        """The scheme of this name; the first one if None.

        Raises:
            KeyError: there is none.
        """
        for scheme in self.schemes:
            if name is None or scheme.name == name:
                return scheme
        raise KeyError(name or "scheme")


# -- walking -----------------------------------------------------------------------------------------------------------


def statements(block: Block) -> Iterator[Stmt]:
    """Every statement in `block`, nested ones after the statement that holds them."""
    for stmt in block:
        yield stmt
        for inner in nested(stmt):
            yield from statements(inner)


def nested(stmt: Stmt) -> tuple[Block, ...]:
    """The blocks that stand in `stmt`."""
    if type(stmt) is When:
        return stmt.then, stmt.other
    if type(stmt) is Loop:
        return stmt.body, stmt.exhausted
    return ()


def expressions(stmt: Stmt) -> tuple[Expr, ...]:
    """The expressions that stand directly in `stmt`."""
    return _EXPRESSIONS[type(stmt)](stmt)


_EXPRESSIONS: Mapping[type, Callable[[Any], tuple[Expr, ...]]] = {
    **dict.fromkeys((Let, Set), lambda s: (s.value,)),
    **dict.fromkeys((Load, Probe), lambda s: (s.access.address, *s.access.args)),
    **dict.fromkeys((When, Loop), lambda s: (s.cond,)),
    **dict.fromkeys((Call, Trap), attrgetter("args")),
    **dict.fromkeys((Done, Commit, Unpredictable), lambda s: ()),
    Store: lambda s: (s.access.address, *s.access.args, s.value),
    SetEntry: attrgetter("index", "value"),
    Return: lambda s: () if s.value is None else (s.value,),
    Execute: lambda s: (s.word,),
}
assert _EXPRESSIONS.keys() == set(get_args(Stmt))


def subterms(expr: Expr) -> Iterator[Expr]:
    """`expr` and everything in it, each before its parts."""
    stack = [expr]
    while stack:
        term = stack.pop()
        yield term
        parts = children(term)
        if parts:
            stack.extend(reversed(parts))
