"""Whether the IR is well-formed: names exist, widths agree, locals are set before they are read.

The elaborator makes only well-formed IR; tests run this after every pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from analyzer import ir
from analyzer.passes import show

Locals = Mapping[str, int]


@dataclass(slots=True)
class Checker:
    """What may be named in a body: operands and locals, with their widths."""

    isa: ir.Isa
    where: str
    operands: Mapping[str, int]
    found: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Notes what is wrong."""
        self.found.append(f"{self.where}: {text}")

    # -- expressions ---------------------------------------------------------------------------------------------------

    def expr(self, e: ir.Expr, env: Locals) -> int:
        """The width of an expression, everything in it checked."""
        widths = [self.expr(child, env) for child in ir.children(e)]
        for problem in self.problems(e, widths, env):
            self.say(f"{problem}: {show.expr(e)}")
        return ir.width(e)

    def problems(self, e: ir.Expr, widths: list[int], env: Locals) -> Iterator[str]:
        """What is wrong with an expression itself; `widths` are those of its children."""
        isa = self.isa
        match e:
            case ir.Const(width, value):
                if width <= 0 or not 0 <= value < 1 << width:
                    yield f"{value} does not fit in {width} bits"
            case ir.Local(name, width):
                if name not in env:
                    yield f"local {name} is read and may not be set"
                elif env[name] != width:
                    yield f"local {name} has width {env[name]}"
            case ir.Operand(name, width):
                if self.operands.get(name) != width:
                    yield f"there is no operand {name} of width {width}"
            case ir.Get(name, width):
                if name in isa.elements:
                    have = isa.elements[name].width
                elif name in isa.choices:
                    have = isa.choices[name].width
                else:
                    have = -1
                if have != width:
                    yield f"there is no element {name} of width {width}"
            case ir.GetEntry(file, _, width):
                if file not in isa.files or isa.files[file].width != width:
                    yield f"there is no file {file} of width {width}"
                elif widths[0] != isa.files[file].index_width:
                    yield "the index has the wrong width"
            case ir.Lookup(table, _, width):
                if table not in isa.tables or isa.tables[table].width != width:
                    yield f"there is no table {table} of width {width}"
                elif widths[0] != isa.tables[table].index_width:
                    yield "the index has the wrong width"
            case ir.Unary():
                if not widths[0]:
                    yield "a boolean where bits are wanted"
            case ir.Binary():
                if widths[0] != widths[1] or not widths[0]:
                    yield f"widths {widths}"
            case ir.Compare(op):
                if widths[0] != widths[1] or (not widths[0] and op != "eq"):
                    yield f"widths {widths}"
            case ir.Not() | ir.Logic():
                if any(widths):
                    yield "bits where a boolean is wanted"
            case ir.If():
                if widths[0] or widths[1] != widths[2]:
                    yield f"widths {widths}"
            case ir.Extract(_, hi, lo):
                if not 0 <= lo <= hi < widths[0]:
                    yield f"bits {hi}..{lo} of {widths[0]}"
            case ir.Concat():
                if not all(widths):
                    yield "a boolean where bits are wanted"
            case ir.Extend(_, _, width):
                if not 0 < widths[0] < width:
                    yield f"from {widths[0]} to {width}"
            case ir.ToBool():
                if widths[0] != 1:
                    yield f"width {widths[0]} where 1 is wanted"
            case ir.ToBits():
                if widths[0]:
                    yield "bits where a boolean is wanted"
            case ir.BoolConst() | ir.Unknown() | ir.Arbitrary():
                pass
            case _:
                assert_never(e)

    def want(self, e: ir.Expr, width: int, env: Locals, what: str) -> None:
        """Checks an expression that must have a width."""
        have = self.expr(e, env)
        if have != width:
            self.say(f"{what} has width {have}, not {width}: {show.expr(e)}")

    # -- statements ----------------------------------------------------------------------------------------------------

    def block(self, block: ir.Block, env: dict[str, int], returns: int | None) -> dict[str, int] | None:
        """The locals that are set after a block; None if it never ends."""
        now: dict[str, int] | None = dict(env)
        for stmt in block:
            if now is None:
                return None
            now = self.stmt(stmt, now, returns)
        return now

    def stmt(self, s: ir.Stmt, env: dict[str, int], returns: int | None) -> dict[str, int] | None:
        """The locals that are set after a statement; None if it leaves."""
        isa = self.isa
        match s:
            case ir.Let(local, value):
                return self.set(local, self.expr(value, env), env)
            case ir.Load(local, access):
                self.access(access, env)
                return self.set(local, access.bits, env)
            case ir.Store(access, value):
                self.access(access, env)
                self.want(value, access.bits, env, "what is stored")
            case ir.Probe(local, access, what):
                self.access(access, env)
                space = isa.spaces.get(access.space)
                width = 0
                if what == "translate":
                    width = isa.spaces[space.below].address_width if isinstance(space, ir.Map) else -1
                return self.set(local, width, env)
            case ir.Set(element, value):
                if element not in isa.elements:
                    self.say(f"there is no element {element}")
                else:
                    self.want(value, isa.elements[element].width, env, f"what {element} is set to")
            case ir.SetEntry(file, index, value):
                if file not in isa.files:
                    self.say(f"there is no file {file}")
                else:
                    self.want(index, isa.files[file].index_width, env, f"the index of {file}")
                    self.want(value, isa.files[file].width, env, f"what an entry of {file} is set to")
            case ir.When(cond, then, other):
                self.want(cond, 0, env, "a condition")
                return both(self.block(then, env, returns), self.block(other, env, returns))
            case ir.Loop(cond, _, body, exhausted, carried):
                self.want(cond, 0, env, "a condition")
                for name in carried:
                    if name not in env:
                        self.say(f"carried local {name} is not set before the loop")
                self.block(body, env, returns)
                self.block(exhausted, env, returns)
            case ir.Call(name, args, local):
                return self.call(name, args, local, env)
            case ir.Return(value):
                if value is None:
                    if returns is not None:
                        self.say("nothing is returned")
                elif returns is None:
                    self.say(f"a value is returned: {show.expr(value)}")
                else:
                    self.want(value, returns, env, "what is returned")
                return None
            case ir.Trap():
                self.trap(s, env)
                return None
            case ir.Execute(word):
                self.expr(word, env)
            case ir.Done() | ir.Unpredictable():
                return None
            case ir.Commit():
                pass
            case _:
                assert_never(s)
        return env

    def set(self, local: str, width: int, env: dict[str, int]) -> dict[str, int]:
        """The locals after one is set."""
        if env.get(local, width) != width:
            self.say(f"local {local} is set with width {width}, and had {env[local]}")
        return {**env, local: width}

    def call(self, name: str, args: tuple[ir.Expr, ...], local: str | None, env: dict[str, int]) -> dict[str, int]:
        """The locals after a call."""
        procedure = self.isa.procedures.get(name)
        if procedure is None:
            self.say(f"there is no procedure {name}")
            return env
        if len(args) != len(procedure.params):
            self.say(f"{name} takes {len(procedure.params)} arguments, not {len(args)}")
        for arg, (param, width) in zip(args, procedure.params, strict=False):
            self.want(arg, width, env, f"argument {param} of {name}")
        if local is None:
            return env
        if procedure.returns is None:
            self.say(f"{name} returns nothing")
            return env
        return self.set(local, procedure.returns, env)

    def trap(self, s: ir.Trap, env: Locals) -> None:
        """A raised trap and its arguments."""
        kind = self.isa.traps.get(s.trap)
        if kind is None:
            self.say(f"there is no trap {s.trap}")
            return
        if len(s.args) != len(kind.params):
            self.say(f"trap {s.trap} takes {len(kind.params)} arguments, not {len(s.args)}")
        for arg, (param, width) in zip(s.args, kind.params, strict=False):
            self.want(arg, width, env, f"argument {param} of trap {s.trap}")

    def access(self, a: ir.Access, env: Locals) -> None:
        """An access to a space."""
        space = self.isa.spaces.get(a.space)
        if space is None:
            self.say(f"there is no space {a.space}")
            return
        self.want(a.address, space.address_width, env, f"an address of {a.space}")
        if a.bits <= 0 or a.bits % space.unit:
            self.say(f"an access of {a.bits} bits to {a.space}, whose unit is {space.unit}")
        params = () if isinstance(space, ir.Memory) else space.params
        if len(params) != len(a.args) or len(params) != len(a.given):
            self.say(f"{a.space} takes {len(params)} arguments, not {len(a.args)}")
        for arg, param in zip(a.args, params, strict=False):
            self.want(arg, param.width, env, f"argument {param.name} of {a.space}")


def both(a: dict[str, int] | None, b: dict[str, int] | None) -> dict[str, int] | None:
    """What is set after one of two blocks.  What only one sets is kept: whether it is read on a path that has not set
    it is a question for the solver, as with the addresses of operands."""
    if a is None or b is None:
        return b if a is None else a
    return {**a, **b}


def check(isa: ir.Isa) -> list[str]:
    """What is ill-formed in an instruction set; empty if nothing is."""
    return list(findings(isa))


def findings(isa: ir.Isa) -> Iterator[str]:
    """What is ill-formed, in the order of the IR."""
    prefixes = {p.name: p.width for p in isa.prefixes} | ({"prefix_parcels": 8} if isa.prefixes else {})
    yield from names(isa)
    for register in isa.registers.values():
        yield from layout(register)
    for space in isa.spaces.values():
        yield from spaces(isa, space)
    yield from pure(isa, "mode", isa.mode.expr)
    for kind in isa.traps.values():
        for name, expr in kind.attributes:
            yield from pure(isa, f"trap {kind.name}.{name}", expr, dict(kind.params))
    for p in ([isa.deliver] if isa.deliver is not None else []) + list(isa.procedures.values()):
        yield from procedure(isa, p)
    for interrupt in isa.interrupts:
        checker = Checker(isa, f"interrupt {interrupt.trap}", {})
        checker.trap(ir.Trap(interrupt.trap, interrupt.args), {})
        checker.want(interrupt.cond, 0, {}, "the condition")
        yield from checker.found
    for instruction in isa.instructions:
        yield from instr(isa, instruction, prefixes)
    conds: list[ir.Invariant | ir.Assume] = [*isa.invariants, *(a for s in isa.schemes for a in (*s.assume, *s.guest))]
    for cond in conds:
        free = dict(cond.free) if isinstance(cond, ir.Assume) else {}
        chosen = {n: w for s in isa.schemes for n, w in s.chosen}
        checker = Checker(isa, "assume", {})
        env = checker.block(cond.prelude, {**free, **chosen}, None) or {}
        checker.want(cond.expr, 0, env, "a condition")
        yield from checker.found
    for scheme in isa.schemes:
        for compose in scheme.compose:
            checker = Checker(isa, f"scheme {scheme.name}", {})
            width = isa.elements[compose.element].width if compose.element in isa.elements else -1
            checker.want(compose.value, width, dict(scheme.chosen), f"the composed {compose.element}")
            yield from checker.found


def names(isa: ir.Isa) -> Iterator[str]:
    """Names that are not unique, or not those of their keys."""
    seen: set[str] = set()
    for group in (isa.elements, isa.files, isa.choices, isa.spaces):
        for key, item in group.items():
            if key != item.name:
                yield f"{item.name} is kept as {key}"
            if key in seen:
                yield f"there are two things named {key}"
            seen.add(key)
    found = [i.name for i in isa.instructions]
    yield from (f"there are two instructions {name}" for name in sorted({n for n in found if found.count(n) > 1}))


def layout(register: ir.Register) -> Iterator[str]:
    """Whether the parts of a register cover it, from the left."""
    top = register.width
    for part in register.parts:
        if part.hi != top - 1 or not 0 <= part.lo <= part.hi:
            yield f"register {register.name}: part {part.hi}..{part.lo} after bit {top}"
        if sum(x is not None for x in (part.element, part.file, part.constant)) != 1:
            yield f"register {register.name}: part {part.hi}..{part.lo} is not one thing"
        top = part.lo
    if top:
        yield f"register {register.name}: bits below {top} are not covered"


def pure(isa: ir.Isa, where: str, expr: ir.Expr, env: Locals | None = None) -> Iterator[str]:
    """An expression that stands alone."""
    checker = Checker(isa, where, {})
    checker.expr(expr, env or {})
    yield from checker.found


def procedure(isa: ir.Isa, p: ir.Procedure) -> Iterator[str]:
    """The body of a procedure."""
    checker = Checker(isa, f"procedure {p.name}", {})
    after = checker.block(p.body, dict(p.params), p.returns)
    if after is not None and p.returns is not None:
        yield f"procedure {p.name}: it can end without a value"
    yield from checker.found


def spaces(isa: ir.Isa, space: ir.Space) -> Iterator[str]:
    """The body of a map, the procedures of a bus, the size of a memory."""
    match space:
        case ir.Memory():
            if space.size is not None:
                checker = Checker(isa, f"memory {space.name}", {})
                checker.want(space.size, space.address_width, {}, "the size")
                yield from checker.found
        case ir.Map():
            if space.below not in isa.spaces:
                yield f"map {space.name}: there is no space {space.below}"
                return
            checker = Checker(isa, f"map {space.name}", {})
            env = {
                space.address: space.address_width,
                "access": 2,
                "bits": 16,
                **{p.name: p.width for p in space.params},
            }
            if checker.block(space.body, env, isa.spaces[space.below].address_width) is not None:
                checker.say("it can end without an address")
            yield from checker.found
        case ir.Bus():
            for p in (space.read, space.write):
                if p is not None:
                    yield from procedure(isa, p)
        case _:
            assert_never(space)


def instr(isa: ir.Isa, i: ir.Instruction, prefixes: Mapping[str, int]) -> Iterator[str]:
    """An instruction: its segments, conditions and body."""
    operands = {**prefixes, **{o.name: o.width for o in i.operands}}
    checker = Checker(isa, f"instruction {i.name}", operands)
    for segment in i.segments:
        taken = segment.mask
        if segment.value & ~segment.mask or segment.mask >> segment.width:
            checker.say(f"mask {segment.mask:#x} and value {segment.value:#x} of a segment of {segment.width}")
        for f in segment.fields:
            bits = ((1 << f.length) - 1) << f.segment_lo
            if bits & taken or bits >> segment.width:
                checker.say(f"bits of {f.operand} at {f.segment_lo} are taken")
            taken |= bits
            if f.operand not in operands or f.operand_lo + f.length > operands[f.operand]:
                checker.say(f"there are no bits {f.operand_lo}+{f.length} of {f.operand}")
        if segment.when is not None:
            checker.want(segment.when, 0, {}, "when a segment is there")
    if i.where is not None:
        checker.want(i.where, 0, {}, "the condition on the encoding")
    checker.block(i.body, {}, None)
    syntax(i.syntax, checker)
    yield from checker.found


def syntax(parts: ir.Syntax, checker: Checker) -> None:
    """The expressions in an assembly text."""
    for part in parts:
        match part:
            case ir.Text():
                pass
            case ir.Show(expr, _, _, base):
                checker.expr(expr, {})
                if base is not None:
                    checker.expr(base, {})
            case ir.Choose(arms):
                for cond, arm in arms:
                    checker.want(cond, 0, {}, "a condition of the assembly text")
                    syntax(arm, checker)
            case _:
                assert_never(part)
