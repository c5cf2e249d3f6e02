"""The IR as text: stable, for people and golden tests.

instr add  "add <rd:x>, …"
  segment 32  mask 0xfe00707f value 0x33  rd 4..0 @7
  x[rd] := x[rs1] + x[rs2]
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import assert_never

from analyzer import ir

BINARY = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "udiv": "/",
    "urem": "%",
    "sdiv": "/s",
    "srem": "%s",
    "and": "and",
    "or": "or",
    "xor": "xor",
    "shl": "<<",
    "lshr": ">>",
    "ashr": ">>s",
}
COMPARE = {"eq": "==", "ult": "<", "ule": "<=", "slt": "<s", "sle": "<=s"}


def expr(e: ir.Expr) -> str:
    """An expression; constants show their width after an apostrophe.

    >>> expr(ir.Binary("add", ir.Get("pc", 16), ir.Const(16, 2)))
    "pc + 2'16"
    """
    match e:
        case ir.Const(width, value):
            return f"{value if value < 10 else hex(value)}'{width}"
        case ir.BoolConst(value):
            return "true" if value else "false"
        case ir.Local(name, _):
            return f"%{name}"
        case ir.Operand(name, _):
            return f"<{name}>"
        case ir.Get(element, _):
            return element
        case ir.GetEntry(file, index, _):
            return f"{file}[{expr(index)}]"
        case ir.Unary(op, arg):
            return f"{'-' if op == 'neg' else '~'}{inner(arg)}"
        case ir.Binary(op, left, right):
            return f"{inner(left)} {BINARY[op]} {inner(right)}"
        case ir.Compare(op, left, right):
            return f"{inner(left)} {COMPARE[op]} {inner(right)}"
        case ir.Not(arg):
            return f"not {inner(arg)}"
        case ir.Logic(op, left, right):
            return f"{inner(left)} {op}? {inner(right)}"
        case ir.If(cond, then, other):
            return f"if {expr(cond)} then {inner(then)} else {inner(other)}"
        case ir.Extract(arg, hi, lo):
            return f"{inner(arg)}[{hi}:{lo}]" if hi != lo else f"{inner(arg)}[{hi}]"
        case ir.Concat(left, right):
            return f"{inner(left)} ++ {inner(right)}"
        case ir.Extend(signed, arg, width):
            return f"{'sext' if signed else 'zext'}({expr(arg)}, {width})"
        case ir.ToBool(arg):
            return f"bool({expr(arg)})"
        case ir.ToBits(arg):
            return f"bit({expr(arg)})"
        case ir.Lookup(table, index, _):
            return f"table {table}[{expr(index)}]"
        case ir.Unknown(site, width):
            return f"unknown({site}, {width})"
        case ir.Arbitrary(name, args, width):
            return f"{name}({', '.join(map(expr, args))})'{width}"
        case _:
            assert_never(e)


def inner(e: ir.Expr) -> str:
    """An expression as part of another one."""
    simple = isinstance(
        e,
        ir.Const
        | ir.BoolConst
        | ir.Local
        | ir.Operand
        | ir.Get
        | ir.GetEntry
        | ir.Extract
        | ir.Extend
        | ir.ToBool
        | ir.ToBits
        | ir.Lookup
        | ir.Unknown
        | ir.Arbitrary,
    )
    return expr(e) if simple else f"({expr(e)})"


def access(a: ir.Access) -> str:
    """An access, with the arguments that the spec wrote marked by `=`."""
    given = a.given or (False,) * len(a.args)
    args = [f"{'=' if g else ''}{expr(arg)}" for arg, g in zip(a.args, given, strict=False)]
    return f"{'table ' if a.table else ''}{a.space}[{', '.join([expr(a.address), str(a.bits), *args])}]"


def stmt(s: ir.Stmt, indent: int = 0) -> Iterable[str]:
    """The lines of a statement."""
    pad = "  " * indent
    match s:
        case ir.Let(local, value):
            yield f"{pad}%{local} := {expr(value)}"
        case ir.Load(local, a):
            yield f"{pad}%{local} := {a.kind} {access(a)}"
        case ir.Store(a, value):
            yield f"{pad}{a.kind} {access(a)} := {expr(value)}"
        case ir.Probe(local, a, what):
            yield f"{pad}%{local} := {what} {a.kind} {access(a)}"
        case ir.Set(element, value):
            yield f"{pad}{element} := {expr(value)}"
        case ir.SetEntry(file, index, value):
            yield f"{pad}{file}[{expr(index)}] := {expr(value)}"
        case ir.When(cond, then, other):
            yield f"{pad}when {expr(cond)}"
            yield from block(then, indent + 1)
            if other:
                yield f"{pad}else"
                yield from block(other, indent + 1)
        case ir.Loop(cond, limit, body, exhausted, carried):
            carries = f" carrying {', '.join(carried)}" if carried else ""
            yield f"{pad}while {expr(cond)} limit {limit}{carries}"
            yield from block(body, indent + 1)
            if exhausted:
                yield f"{pad}exhausted"
                yield from block(exhausted, indent + 1)
        case ir.Call(procedure, args, local):
            result = f"%{local} := " if local is not None else ""
            yield f"{pad}{result}call {procedure}({', '.join(map(expr, args))})"
        case ir.Return(value):
            yield f"{pad}return{'' if value is None else ' ' + expr(value)}"
        case ir.Trap():
            yield f"{pad}{trap(s)}"
        case ir.Done():
            yield f"{pad}done"
        case ir.Commit():
            yield f"{pad}commit"
        case ir.Unpredictable():
            yield f"{pad}unpredictable"
        case ir.Execute(word, limit):
            yield f"{pad}execute {expr(word)} limit {limit}"
        case _:
            assert_never(s)


def trap(s: ir.Trap) -> str:
    """`trap page(…)`."""
    return f"trap {s.trap}" + (f"({', '.join(map(expr, s.args))})" if s.args else "")


def block(b: ir.Block, indent: int = 0) -> Iterable[str]:
    """The lines of a block."""
    for s in b:
        yield from stmt(s, indent)


def syntax(parts: ir.Syntax) -> str:
    """An assembly text: operands in angle brackets with their style."""
    text = ""
    for part in parts:
        match part:
            case ir.Text(plain):
                text += plain
            case ir.Show(shown, style, names, base, _):
                extra = f" {' '.join(names)}" if names else f" from {expr(base)}" if base is not None else ""
                text += f"<{expr(shown)}:{style}{extra}>"
            case ir.Choose(arms):
                text += "{" + " | ".join(f"{expr(cond)} ? {syntax(arm)}" for cond, arm in arms) + "}"
            case _:
                assert_never(part)
    return text


def segment(s: ir.Segment) -> str:
    """A segment: mask, value, where operand bits lie."""
    fields = "".join(f"  {f.operand} {f.operand_lo + f.length - 1}..{f.operand_lo} @{f.segment_lo}" for f in s.fields)
    when = f"  when {expr(s.when)}" if s.when is not None else ""
    fixed = f"  mask {s.mask:#x} value {s.value:#x}" if s.mask else ""
    return f"segment {s.width}{fixed}{fields}{when}"


def instruction(i: ir.Instruction) -> Iterable[str]:
    """The lines of an instruction."""
    family = f" of {i.family}" if i.family != i.name else ""
    yield f'instr {i.name}{family} "{syntax(i.syntax)}"'
    for s in i.segments:
        yield f"  {segment(s)}"
    for operand in i.operands:
        for name, values in operand.cases:
            yield f"  case {operand.name} {name}: {' '.join(map(hex, values))}".rstrip()
    if i.where is not None:
        yield f"  where {expr(i.where)}"
    yield from block(i.body, 1)
    for e in i.expects:
        yield f"  expect {' '.join(e.words)}"
    for example in i.examples:
        after = f"trap {example.trap}" if example.trap else " ".join(map(fact, example.after))
        yield f'  example "{example.asm}" from {" ".join(map(fact, example.before))} to {after}'


def fact(f: ir.Fact) -> str:
    """`x[1]=5`."""
    index = "" if f.index is None else f"[{f.index:#x}{'' if f.bits is None else f', {f.bits}'}]"
    return f"{f.place}{index}={f.value:#x}"


def procedure(p: ir.Procedure) -> Iterable[str]:
    """The lines of a procedure."""
    params = ", ".join(f"{n} : {w or 'bool'}" for n, w in p.params)
    result = "" if p.returns is None else f" -> {p.returns or 'bool'}"
    yield f"procedure {p.name}({params}){result}"
    yield from block(p.body, 1)


def space(s: ir.Space) -> Iterable[str]:
    """The lines of a memory, map or bus."""
    match s:
        case ir.Memory():
            size = "" if s.size is None or s.beyond is None else f" size {expr(s.size)} else {trap(s.beyond)}"
            yield f"memory {s.name}[{s.address_width}] : {s.unit}{size}"
        case ir.Map():
            params = "".join(
                f" ({p.name} : {p.width}{'' if p.default is None else ' = ' + expr(p.default)})" for p in s.params
            )
            yield f"map {s.name}[{s.address} : {s.address_width}]{params} on {s.below}"
            yield from block(s.body, 1)
        case ir.Bus():
            yield f"bus {s.name}[{s.address_width}] : {s.unit}"
            for p in (s.read, s.write):
                if p is not None:
                    yield from (f"  {line}" for line in procedure(p))
        case _:
            assert_never(s)


def element(e: ir.Element) -> str:
    """`element sr.S : 1 mode`."""
    extra = "" if e.enum is None else f" as {e.enum}"
    extra += "" if e.reset is None else f" reset {e.reset}"
    extra += "" if e.legal is None else f" legal {e.legal}"
    extra += " preserved" if e.preserved else ""
    return f"element {e.name} : {e.width} {e.role.value}{extra}"


def scheme(s: ir.Scheme, mode: ir.ModeOrder) -> Iterable[str]:
    """The lines of a scheme."""
    runs = ", ".join(f"{mode.named(a)} as {mode.named(b)}" for a, b in s.run)
    yield f"scheme {s.name}: run {runs}; monitor {mode.named(s.monitor)}"
    for own in s.own:
        yield f"  own {' '.join(own.names)}"
    for word, conds in (("assume", s.assume), ("guest", s.guest)):
        for cond in conds:
            yield from block(cond.prelude, 2)
            yield f"  {word} {expr(cond.expr)}"
    for name, width in s.chosen:
        yield f"  let {name} : {width}"
    for c in s.compose:
        yield f"  compose {c.element} = {expr(c.value)}"
    for word, names in (("choose", s.choose), ("environment", s.environment)):
        if names:
            yield f"  {word} {' '.join(names)}"
    if s.direct:
        yield f"  direct {' '.join(mode.named(d) for d in s.direct)}"
    for e in s.expects:
        yield f"  expect {' '.join(e.words)}"


def show(isa: ir.Isa) -> str:
    """All of an instruction set."""
    return "\n".join(lines(isa)) + "\n"


def lines(isa: ir.Isa) -> Iterable[str]:
    """The lines of an instruction set."""
    yield f"isa {isa.name} unit {isa.unit} {isa.endian}"
    yield from map(element, isa.elements.values())
    for f in isa.files.values():
        zeros = f" zeros {sorted(f.zeros)}" if f.zeros else ""
        yield f"file {f.name}[{f.size}] : {f.width} {f.role.value}{zeros}"
    for r in isa.registers.values():
        parts = [
            f"[{p.hi}:{p.lo}]={p.element or p.file or p.constant}{' ro' if p.ro else ''}{' w1c' if p.w1c else ''}"
            for p in r.parts
        ]
        yield f"register {r.name}{'' if r.size is None else f'[{r.size}]'} : {r.width} {' '.join(parts)}"
    for c in isa.choices.values():
        yield f"choice {c.name} : {c.width}"
    for t in isa.tables.values():
        yield f"table {t.name}[{t.index_width}] : {t.width} = {' '.join(map(str, t.values))}"
    for s in isa.spaces.values():
        yield from space(s)
    ranks = " > ".join(", ".join(f"{m.name}={m.code}" for m in rank) for rank in isa.mode.ranks)
    yield f"mode {expr(isa.mode.expr)} order {ranks}"
    for k in isa.traps.values():
        params = ", ".join(f"{n} : {w}" for n, w in k.params)
        attributes = "".join(f" {n}={expr(e)}" for n, e in k.attributes)
        yield f"trap {k.name}({params}) {k.kind.value} {k.resume}{attributes}"
    if isa.deliver is not None:
        yield from procedure(isa.deliver)
    for i in isa.interrupts:
        yield f"interrupt {trap(ir.Trap(i.trap, i.args))} when {expr(i.cond)}"
    f_ = isa.fetch
    beyond = "" if f_.beyond is None else f" limit {f_.limit} else {trap(f_.beyond)}"
    yield f"fetch {f_.parcel} from {f_.space}({', '.join(map(expr, f_.args))}) at {f_.pc}{beyond}"
    for prefix in isa.prefixes:
        values = " ".join(f"{parcel:#x}={value}" for parcel, value in prefix.values)
        yield f"prefix {prefix.name} : {prefix.width} = {prefix.default} {values}"
    for p in isa.procedures.values():
        yield from procedure(p)
    for instr in isa.instructions:
        yield from instruction(instr)
    for inv in isa.invariants:
        yield from block(inv.prelude, 1)
        yield f"invariant {expr(inv.expr)}"
    for s_ in isa.schemes:
        yield from scheme(s_, isa.mode)


def spec_hash(isa: ir.Isa) -> str:
    """The first 16 hex digits of the SHA-256 of what was analysed: of the source texts, or of the printed IR of an Isa
    that has none."""
    return isa.digest or hashlib.sha256(show(isa).encode()).hexdigest()[:16]
