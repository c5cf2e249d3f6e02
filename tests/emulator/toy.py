"""A small machine, written in IR by hand: it has one of everything that the emulator must handle."""

from __future__ import annotations

from typing import Any, Literal

from analyzer import ir


def c(width: int, value: int) -> ir.Const:
    return ir.Const(width, value)


def add(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.Binary("add", a, b)


def eq(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return ir.Compare("eq", a, b)


PC, HERE = ir.Get("pc", 16), ir.Local("here", 16)
USER = eq(ir.Get("M", 1), c(1, 1))
PRIVILEGED: ir.Stmt = ir.When(USER, (ir.Trap("privileged"),))


def r(operand: str) -> ir.Expr:
    return ir.GetEntry("r", ir.Operand(operand, 3), 16)


def set_r(operand: str, value: ir.Expr) -> ir.Stmt:
    return ir.SetEntry("r", ir.Operand(operand, 3), value)


def advance(length: ir.Expr | int) -> ir.Block:
    by = c(16, length) if isinstance(length, int) else length
    return (ir.Let("here", PC), ir.Set("pc", add(PC, by)))


def mem(address: ir.Expr, bits: int = 16, kind: ir.AccessKind = "read", space: str = "mem", **more: Any) -> ir.Access:
    return ir.Access(space, address, bits, kind, **more)


NAMES = tuple(f"r{i}" for i in range(8))


def reg(operand: str) -> ir.Show:
    return ir.Show(ir.Operand(operand, 3), "names", NAMES)


def op8(code: int, *fields: ir.FieldSlice) -> ir.Segment:
    mask = 0xFF
    for f in fields:
        mask &= ~(((1 << f.length) - 1) << f.segment_lo)
    return ir.Segment(8, mask, code, fields)


def slot(operand: str, lo: int = 0, length: int = 3, operand_lo: int = 0) -> ir.FieldSlice:
    return ir.FieldSlice(operand, operand_lo, lo, length)


def regs() -> ir.Segment:
    return ir.Segment(8, 0xC0, 0, (slot("a"), slot("b", 3)))


def instruction(name: str, *syntax: Any, segments: Any, body: Any, operands: Any = (), **more: Any) -> ir.Instruction:
    pieces = tuple(ir.Text(s) if isinstance(s, str) else s for s in syntax)
    fields = tuple(ir.OperandField(n, w) for n, w in operands)
    return ir.Instruction(name, name, pieces, tuple(segments), fields, tuple(body), **more)


AB = (("a", 3), ("b", 3))
OPERAND_LENGTH = ir.If(eq(ir.Extract(ir.Operand("ea", 5), 4, 3), c(2, 2)), c(16, 4), c(16, 2))


def effective() -> ir.Block:
    """`ea` is (r), (r)+ or k(r), in `at`."""
    kind = ir.Extract(ir.Operand("ea", 5), 4, 3)
    index = ir.Extract(ir.Operand("ea", 5), 2, 0)
    base = ir.GetEntry("r", index, 16)
    return (
        ir.When(
            eq(kind, c(2, 0)),
            (ir.Let("at", base),),
            (
                ir.When(
                    eq(kind, c(2, 1)),
                    (ir.Let("at", base), ir.SetEntry("r", index, add(base, c(16, 2)))),
                    (ir.Let("at", add(base, ir.Operand("ea.k", 16))),),
                ),
            ),
        ),
    )


def ea_syntax() -> ir.Choose:
    kind = ir.Extract(ir.Operand("ea", 5), 4, 3)
    index = ir.Show(ir.Extract(ir.Operand("ea", 5), 2, 0), "names", NAMES)
    return ir.Choose(
        (
            (eq(kind, c(2, 0)), (ir.Text("("), index, ir.Text(")"))),
            (eq(kind, c(2, 1)), (ir.Text("("), index, ir.Text(")+"))),
            (ir.TRUE, (ir.Show(ir.Operand("ea.k", 16), "signed"), ir.Text("("), index, ir.Text(")"))),
        )
    )


def ea_segments() -> tuple[ir.Segment, ...]:
    kind = ir.Extract(ir.Operand("ea", 5), 4, 3)
    return (
        ir.Segment(8, 0, 0, (slot("a", 5), slot("ea", 0, 5))),
        ir.Segment(16, 0, 0, (slot("ea.k", 0, 16),), when=eq(kind, c(2, 2))),
    )


EA = (("a", 3), ("ea", 5), ("ea.k", 16))
EA_WHERE = ir.Not(eq(ir.Extract(ir.Operand("ea", 5), 4, 3), c(2, 3)))

INSTRUCTIONS = (
    instruction(
        "add",
        "add ",
        reg("a"),
        ", ",
        reg("b"),
        segments=(op8(0x01), regs()),
        operands=AB,
        body=(*advance(2), set_r("a", add(r("a"), r("b")))),
        examples=(ir.Example("add r1, r2", (ir.Fact("r", 5, 1), ir.Fact("r", 7, 2)), (ir.Fact("r", 12, 1),)),),
    ),
    instruction(
        "ldi",
        "ldi ",
        reg("a"),
        ", #",
        ir.Show(ir.Operand("k", 16), "hex"),
        segments=(op8(0x08, slot("a")), ir.Segment(16, 0, 0, (slot("k", 0, 16),))),
        operands=(("a", 3), ("k", 16)),
        body=(*advance(3), set_r("a", ir.Operand("k", 16))),
    ),
    instruction(
        "ld",
        "ld ",
        reg("a"),
        ", ",
        ea_syntax(),
        segments=(op8(0x10), *ea_segments()),
        operands=EA,
        where=EA_WHERE,
        body=(
            *advance(OPERAND_LENGTH),
            *effective(),
            ir.Load("v", mem(ir.Local("at", 16))),
            set_r("a", ir.Local("v", 16)),
        ),
    ),
    instruction(
        "st",
        "st ",
        reg("a"),
        ", ",
        ea_syntax(),
        segments=(op8(0x11), *ea_segments()),
        operands=EA,
        where=EA_WHERE,
        body=(*advance(OPERAND_LENGTH), *effective(), ir.Store(mem(ir.Local("at", 16), kind="write"), r("a"))),
    ),
    instruction(
        "br",
        "br ",
        ir.Show(ir.Operand("d", 8), "relative", base=c(16, 2)),
        segments=(op8(0x12), ir.Segment(8, 0, 0, (slot("d", 0, 8),))),
        operands=(("d", 8),),
        body=(*advance(2), ir.Set("pc", add(PC, ir.Extend(True, ir.Operand("d", 8), 16)))),
    ),
    instruction(
        "inc",
        "inc",
        ir.Choose(((eq(ir.Operand("s", 1), c(1, 1)), (ir.Text("s"),)),)),
        " ",
        reg("a"),
        segments=(ir.Segment(8, 0xF0, 0x20, (slot("a"), slot("s", 3, 1))),),
        operands=(("a", 3), ("s", 1)),
        body=(
            *advance(1),
            ir.Let("v", add(r("a"), c(16, 1))),
            set_r("a", ir.Local("v", 16)),
            ir.When(ir.ToBool(ir.Operand("s", 1)), (ir.Set("Z", ir.ToBits(eq(ir.Local("v", 16), c(16, 0)))),)),
        ),
    ),
    instruction(
        "svc", "svc", segments=(op8(0x30),), body=(*advance(1), ir.Set("Z", c(1, 1)), ir.Trap("svc", (c(8, 9),)))
    ),
    instruction(
        "setm",
        "setm ",
        reg("a"),
        segments=(op8(0x38, slot("a")),),
        operands=(("a", 3),),
        body=(*advance(1), PRIVILEGED, ir.Set("M", ir.Extract(r("a"), 0, 0))),
        examples=(
            ir.Example("setm r1", (ir.Fact("M", 1),), trap="privileged"),
            ir.Example("setm r1", (ir.Fact("r", 1, 1),), (ir.Fact("M", 1), ir.Fact("status", 0x80))),
        ),
    ),
    instruction("halt", "halt", segments=(op8(0x31),), body=(*advance(1), PRIVILEGED, ir.Set("halted", c(1, 1)))),
    instruction(
        "move",
        "move ",
        reg("a"),
        ", ",
        reg("b"),
        segments=(op8(0x32), regs()),
        operands=AB,
        # Copies r7 words; each word done is committed.
        body=(
            *advance(2),
            ir.Loop(
                ir.Not(eq(ir.GetEntry("r", c(3, 7), 16), c(16, 0))),
                4,
                (
                    ir.Load("v", mem(r("b"))),
                    ir.Store(mem(r("a"), kind="write"), ir.Local("v", 16)),
                    set_r("a", add(r("a"), c(16, 2))),
                    set_r("b", add(r("b"), c(16, 2))),
                    ir.SetEntry("r", c(3, 7), ir.Binary("sub", ir.GetEntry("r", c(3, 7), 16), c(16, 1))),
                    ir.Commit(),
                ),
                (ir.Set("pc", HERE),),
            ),
        ),
    ),
    instruction(
        "ex",
        "ex ",
        reg("a"),
        segments=(op8(0x40, slot("a")),),
        operands=(("a", 3),),
        body=(*advance(1), ir.Execute(r("a"), 2)),
    ),
    instruction(
        "spin",
        "spin",
        segments=(op8(0x33),),
        body=(*advance(1), ir.Set("Z", c(1, 1)), ir.Loop(ir.TRUE, 1 << 40, ())),
    ),
    instruction("unp", "unp", segments=(op8(0x34),), body=(*advance(1), ir.Set("Z", c(1, 1)), ir.Unpredictable())),
    instruction(
        "unk",
        "unk ",
        reg("a"),
        segments=(op8(0x48, slot("a")),),
        operands=(("a", 3),),
        body=(*advance(1), set_r("a", ir.Unknown(7, 16))),
    ),
    instruction(
        "dev",
        "dev ",
        reg("a"),
        segments=(op8(0x50, slot("a")),),
        operands=(("a", 3),),
        body=(*advance(1), set_r("a", ir.Arbitrary("device", (r("a"),), 16))),
    ),
    instruction(
        "lra",
        "lra ",
        reg("a"),
        ", ",
        reg("b"),
        segments=(op8(0x35), regs()),
        operands=AB,
        body=(
            *advance(2),
            ir.Probe("f", mem(r("b")), "fault"),
            ir.Set("Z", ir.ToBits(ir.Local("f", 0))),
            ir.Probe("p", mem(r("b")), "translate"),
            set_r("a", ir.Local("p", 16)),
        ),
    ),
    instruction(
        "in",
        "in ",
        reg("a"),
        ", ",
        ir.Show(ir.Operand("port", 3), "octal"),
        segments=(op8(0x36), ir.Segment(8, 0xC0, 0, (slot("a"), slot("port", 3)))),
        operands=(("a", 3), ("port", 3)),
        body=(
            *advance(2),
            ir.Load("v", mem(ir.Extend(False, ir.Operand("port", 3), 16), space="io")),
            set_r("a", ir.Local("v", 16)),
        ),
    ),
    instruction(
        "out",
        "out ",
        reg("a"),
        ", ",
        ir.Show(ir.Operand("port", 3), "octal"),
        segments=(op8(0x37), ir.Segment(8, 0xC0, 0, (slot("a"), slot("port", 3)))),
        operands=(("a", 3), ("port", 3)),
        body=(
            *advance(2),
            ir.Store(mem(ir.Extend(False, ir.Operand("port", 3), 16), kind="write", space="io"), r("a")),
        ),
    ),
    # With the prefix, `clr` is another instruction; without it, which one depends on the state.
    instruction(
        "clrb",
        "clrb ",
        reg("a"),
        segments=(op8(0x58, slot("a")),),
        operands=(("a", 3),),
        where=eq(ir.Operand("wide", 1), ir.Get("D", 1)),
        body=(
            *advance(add(c(16, 1), ir.Extend(False, ir.Operand("wide", 1), 16))),
            set_r("a", ir.Binary("and", r("a"), c(16, 0xFF00))),
        ),
    ),
    instruction(
        "clrw",
        "clrw ",
        reg("a"),
        segments=(op8(0x58, slot("a")),),
        operands=(("a", 3),),
        where=ir.Not(eq(ir.Operand("wide", 1), ir.Get("D", 1))),
        body=(*advance(add(c(16, 1), ir.Extend(False, ir.Operand("wide", 1), 16))), set_r("a", c(16, 0))),
    ),
    instruction(
        "push",
        "push ",
        ir.Show(ir.Operand("set", 8), "set", NAMES),
        segments=(op8(0x70), ir.Segment(8, 0, 0, (slot("set", 0, 8),))),
        operands=(("set", 8),),
        body=advance(2),
    ),
)


def procedure(name: str, params: Any, returns: int | None, *body: ir.Stmt) -> ir.Procedure:
    return ir.Procedure(name, tuple(params), returns, body)


MAP = ir.Map(
    "mem",
    "va",
    16,
    8,
    (ir.MapParam("m", 1, ir.Get("M", 1)),),
    "phys",
    (
        ir.When(ir.Not(eq(ir.Local("m", 1), c(1, 1))), (ir.Return(ir.Local("va", 16)),)),
        ir.When(
            ir.Compare("ule", ir.Get("bound", 16), ir.Local("va", 16)),
            (ir.Trap("memory", (ir.Local("va", 16), ir.Local("access", 2))),),
        ),
        ir.Set("accessed", c(1, 1)),
        ir.Return(add(ir.Get("base", 16), ir.Local("va", 16))),
    ),
)

IO = ir.Bus(
    "io",
    16,
    8,
    (),
    procedure("io read", [("a", 16)], 8, ir.Return(ir.GetEntry("ports", ir.Extract(ir.Local("a", 16), 3, 0), 8))),
    procedure(
        "io write",
        [("a", 16), ("v", 8)],
        None,
        ir.SetEntry("ports", ir.Extract(ir.Local("a", 16), 3, 0), ir.Local("v", 8)),
    ),
)


def delivery() -> ir.Procedure:
    def phys(address: int, bits: int, value: ir.Expr) -> ir.Stmt:
        return ir.Store(mem(add(ir.Get("frame", 16), c(16, address)), bits, "write", "phys"), value)

    return procedure(
        "deliver",
        (),
        None,
        phys(0, 16, PC),
        phys(2, 8, ir.Local("t", 8)),
        phys(3, 8, ir.Local("t.code", 8)),
        phys(4, 8, ir.Concat(ir.Get("M", 1), c(7, 0))),
        ir.Set("M", c(1, 0)),
        ir.Set("pc", c(16, 0x80)),
        ir.When(eq(ir.Get("frame", 16), c(16, 0xBAD)), (ir.Trap("privileged"),)),
    )


def toy(endian: Literal["little", "big"] = "little") -> ir.Isa:
    roles = {"M": ir.Role.MODE, "base": ir.Role.MAP, "bound": ir.Role.MAP, "halted": ir.Role.PROCESSOR}
    widths = {
        "pc": 16,
        "M": 1,
        "base": 16,
        "bound": 16,
        "accessed": 1,
        "halted": 1,
        "Z": 1,
        "W": 1,
        "K": 2,
        "D": 1,
        "frame": 16,
        "tick": 1,
    }
    code = (("code", ir.Extend(False, ir.Local("code", 2), 8)),)
    traps = (
        ir.TrapKind("memory", ir.TrapClass.MEMORY, (("va", 16), ("code", 2)), attributes=code),
        ir.TrapKind("privileged", ir.TrapClass.PRIVILEGED),
        ir.TrapKind("svc", ir.TrapClass.CALL, (("code", 8),), "next", (("code", ir.Local("code", 8)),)),
        ir.TrapKind("illegal", ir.TrapClass.ILLEGAL),
        ir.TrapKind("tick", ir.TrapClass.INTERRUPT),
        ir.TrapKind("bus", ir.TrapClass.MEMORY),
    )
    ordered = (ir.Mode("super", 0), ir.Mode("user", 1))
    return ir.Isa(
        name="toy",
        title=None,
        source=None,
        unit=8,
        endian=endian,
        enums={},
        elements={
            n: ir.Element(
                n,
                w,
                roles.get(n, ir.Role.GUEST),
                legal=(0, 1, 2) if n == "K" else None,
                reset=0x100 if n == "frame" else None,
            )
            for n, w in widths.items()
        },
        files={
            "r": ir.File("r", 8, 3, 16, ir.Role.GUEST, frozenset({0})),
            "ports": ir.File("ports", 12, 4, 8, ir.Role.CONTROL, reset=0x11),
        },
        registers={
            "status": ir.Register(
                "status",
                8,
                (
                    ir.RegisterPart(7, 7, element="M", ro=True),
                    ir.RegisterPart(6, 6, element="W", w1c=True),
                    ir.RegisterPart(5, 4, constant=0),
                    ir.RegisterPart(3, 2, element="K"),
                    ir.RegisterPart(1, 1, constant=0),
                    ir.RegisterPart(0, 0, element="Z"),
                ),
            )
        },
        choices={"q": ir.Choice("q", 17), "variant": ir.Choice("variant", 2)},
        spaces={
            "phys": ir.Memory("phys", 16, 8, size=ir.Get("q", 17), beyond=ir.Trap("bus")),
            "mem": MAP,
            "io": IO,
        },
        tables={},
        procedures={},
        mode=ir.ModeOrder(ir.Get("M", 1), tuple((m,) for m in ordered)),
        traps={t.name: t for t in traps},
        deliver=delivery(),
        interrupts=(ir.Interrupt("tick", (), ir.ToBool(ir.Get("tick", 1))),),
        fetch=ir.Fetch(8, "mem", (), (), "pc", 8, ir.Trap("illegal")),
        prefixes=(ir.Prefix("wide", 1, 0, ((0x66, 1),)),),
        instructions=INSTRUCTIONS,
        invariants=(),
        schemes=(),
    )
