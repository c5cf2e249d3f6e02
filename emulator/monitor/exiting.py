"""The instruction set that a guest runs on directly, as a host on generated code has it: every trap leaves the guest.

It is the machine's own but for this:

- A trap is not delivered.  It sets `monitor.trap` to its number and `monitor.NAME` to its arguments, and halts the
  machine by `monitor.left`; the program counter stands at the instruction (EXIT-HERE).
- A trap that is raised right after a commit is a kind of its own, `monitor.committed.NAME`, which resumes where the
  machine's resumes: the monitor reflects it as it stands.  Where that is behind the instruction, `monitor.at` tells
  where the instruction was (`marked`), in case that its delivery finds no memory.
- A shadowed map looks accesses up in the monitor's table (`emulator.monitor.table`).
- Interrupts are those that the guest's own state alone makes (a trace exception), with masks that the monitor holds
  (overflow on the KA10) as the record has them: they leave the guest as traps do.  The host's others come between two
  runs.

So an exit costs no more than a delivery, and is made by the same generated code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from analyzer import ir
from analyzer.passes.rewrite import rewritten
from emulator.codegen.plan import blocks
from emulator.monitor.place import Placement
from emulator.monitor.plan import Division, Plan, asks
from emulator.monitor.table import CONTEXT, CONTEXTS, FLAT, KINDS, Form

TRAP = "monitor.trap"
LEFT = "monitor.left"
COMMITTED = "monitor.committed."

AT = "monitor.at"
"""Where the latest instruction was that may leave a part of what it does behind, and trap from behind itself."""

TRAP_BITS = 16

RECORDED = "monitor.record."
"""Names of copies of elements of the record."""

ALL_HELD = Division((), (), ())
"""Nothing is the guest's own."""

LEFT_BITS = 2
GONE, LOOK = 1, 2
"""Values of `LEFT`: a trap has left the guest; the guest's step is done, and the monitor is to look at its state."""


def argument(name: str) -> str:
    """The element in which a trap leaves an argument."""
    return f"monitor.{name}"


def exiting(
    isa: ir.Isa,
    forms: Mapping[str, Form],
    base: int,
    blocks: Sequence[Placement] = (),
    division: Division = ALL_HELD,
    asked: Sequence[ir.Interrupt] = (),
) -> ir.Isa:
    """The instruction set; `forms` are those of the maps that look up in the table at `base`, or find the guest in one
    of its `blocks`; `division` says whose the elements are; `asked` are interrupts of the virtual machine that are
    judged by copies of what the record has."""
    traps: dict[str, ir.TrapKind] = {}
    for kind in isa.traps.values():
        traps[kind.name] = replace(kind, resume="here", attributes=())
        traps[COMMITTED + kind.name] = replace(kind, name=COMMITTED + kind.name, attributes=())
    for form in forms.values():
        traps[form.trap().name] = form.trap()
    params = {name: width for kind in traps.values() for name, width in kind.params}
    added = [
        ir.Element(LEFT, LEFT_BITS, ir.Role.PROCESSOR, reset=0),
        ir.Element(TRAP, TRAP_BITS, ir.Role.CONTROL, reset=0),
    ]
    added += [ir.Element(argument(name), width or 1, ir.Role.CONTROL, reset=0) for name, width in params.items()]
    if forms:
        added.append(ir.Element(CONTEXT, CONTEXTS, ir.Role.MAP, reset=0))
        added.append(ir.Element(FLAT, 1, ir.Role.MAP, reset=0))
    recorded = sorted(set().union(*map(asks, asked)) & set(division.held))
    added += [replace(isa.elements[name], name=RECORDED + name, role=ir.Role.CONTROL) for name in recorded]
    for form in forms.values():
        names = {form.default(p, kind): p.width for p in form.defaulted for kind in KINDS}
        added += [ir.Element(name, width, ir.Role.MAP, reset=0) for name, width in names.items()]
    return replace(
        isa,
        elements={**isa.elements, **{e.name: e for e in added}},
        traps=traps,
        deliver=ir.Procedure("monitor.exit", (), None, _exit(params)),
        interrupts=tuple(
            staying(replace(i, cond=_by_record(i.cond, recorded)) if i in asked else i)
            for i in isa.interrupts
            if i in asked or _own(i, frozenset(division.passed))
        ),
        spaces={name: forms[name].map(base, blocks) if name in forms else space for name, space in isa.spaces.items()},
        instructions=tuple(replace(i, body=committed(i.body)) for i in isa.instructions),
        procedures={name: replace(p, body=committed(p.body)) for name, p in isa.procedures.items()},
        digest="",
    )


def _own(interrupt: ir.Interrupt, passed: frozenset[str]) -> bool:
    """Does the guest's own state alone make it?"""
    terms = [term for expr in (interrupt.cond, *interrupt.args) for term in ir.subterms(expr)]
    foreign = any(isinstance(term, ir.Arbitrary | ir.GetEntry) for term in terms)
    return not foreign and {term.element for term in terms if isinstance(term, ir.Get)} <= passed


def _by_record(e: ir.Expr, recorded: Collection[str]) -> ir.Expr:
    """The expression on copies of what the record has, which does not change while the guest runs."""
    if isinstance(e, ir.Get):
        return replace(e, element=RECORDED + e.element) if e.element in recorded else e
    if isinstance(e, ir.Arbitrary):
        return replace(e, args=tuple(_by_record(arg, recorded) for arg in e.args))
    parts = ((name, getattr(e, name)) for name in e.__struct_fields__)
    return replace(e, **{name: _by_record(part, recorded) for name, part in parts if isinstance(part, ir.Expr)})


def staying(interrupt: ir.Interrupt) -> ir.Interrupt:
    """The interrupt, once: its cause is still there when the guest has left."""
    inside = ir.Compare("eq", ir.Get(LEFT, LEFT_BITS), ir.Const(LEFT_BITS, 0))
    return replace(interrupt, cond=ir.Logic("and", inside, interrupt.cond))


def _exit(params: Mapping[str, int]) -> ir.Block:
    """What stands in the place of the delivery."""
    sets = [ir.Set(TRAP, ir.Local("t", TRAP_BITS)), ir.Set(LEFT, ir.Const(LEFT_BITS, GONE))]
    for name, width in params.items():
        local = ir.Local(f"t.{name}", width)
        sets.append(ir.Set(argument(name), local if width else ir.ToBits(local)))
    return tuple(sets)


def committed(block: ir.Block) -> ir.Block:
    """The block with the traps that are raised right after a commit renamed."""

    def renamed(stmt: ir.Stmt, before: ir.Stmt | None) -> ir.Block:
        if isinstance(stmt, ir.Trap) and isinstance(before, ir.Commit):
            return (replace(stmt, trap=COMMITTED + stmt.trap),)
        return (stmt,)

    return rewritten(block, renamed)


def marked(isa: ir.Isa) -> ir.Isa:
    """The instruction set with notes of where instructions are whose committed traps resume behind them."""
    pc = isa.elements[isa.fetch.pc]
    note = ir.Set(AT, ir.Get(pc.name, pc.width))
    behind = {kind.name for kind in isa.traps.values() if kind.name.startswith(COMMITTED) and kind.resume == "next"}
    raising: set[str] = set()

    def raises(block: ir.Block) -> bool:
        return any(
            (isinstance(stmt, ir.Trap) and stmt.trap in behind)
            or (isinstance(stmt, ir.Call) and stmt.procedure in raising)
            for stmt in ir.statements(block)
        )

    while found := {p.name for p in isa.procedures.values() if p.name not in raising and raises(p.body)}:
        raising |= found
    return replace(
        isa,
        elements={**isa.elements, AT: ir.Element(AT, pc.width, ir.Role.CONTROL, reset=0)},
        instructions=tuple(replace(i, body=(note, *i.body)) if raises(i.body) else i for i in isa.instructions),
    )


def forms(plan: Plan, granules: Mapping[str, int]) -> Mapping[str, Form | None]:
    """How each shadowed map is looked up; None where no table of that form serves."""
    found = {name: Form.of(plan, name, granules.get(name)) for name in plan.shadowed}
    memories = {form.memory.name for form in found.values() if form is not None}
    return found if len(memories) < 2 else dict.fromkeys(found, None)


def objection(plan: Plan, forms: Mapping[str, Form | None]) -> str | None:
    """Why guests of this plan cannot run on generated code; None if they can."""
    isa = plan.isa
    open_ = [name for name, form in forms.items() if form is None]
    if open_:
        return f"{', '.join(open_)} cannot be looked up in a table"
    for instruction in isa.instructions:
        if _trap_after_commit(isa, instruction.body, 0)[1]:
            return f"{instruction.name} may trap after it has committed a part of what it does"
    return None


def _trap_after_commit(isa: ir.Isa, block: ir.Block, depth: int, before: bool = False) -> tuple[bool, bool]:
    """Whether something may be committed after the block, and whether a trap that is no memory trap, and not the
    commit's own, may be raised after a commit in it."""
    previous: ir.Stmt | None = None
    for stmt in block:
        bad = False
        match stmt:
            case ir.Commit():
                before = True
            case ir.Trap():
                own = isinstance(previous, ir.Commit)
                return before, before and not own and isa.traps[stmt.trap].kind is not ir.TrapClass.MEMORY
            case ir.When():
                ways = [_trap_after_commit(isa, arm, depth, before) for arm in (stmt.then, stmt.other)]
                before, bad = any(after for after, _ in ways), any(wrong for _, wrong in ways)
            case ir.Loop():
                after, bad = _trap_after_commit(isa, (*stmt.body, *stmt.body), depth, before)
                before = before or after
            case ir.Call() if depth < 8:
                before, bad = _trap_after_commit(isa, isa.procedures[stmt.procedure].body, depth + 1, before)
            case _:
                pass
        if bad:
            return before, True
        previous = stmt
    return before, False


def used(isa: ir.Isa) -> Sequence[tuple[str, int]]:
    """The unspecified functions of an Isa, with the widths of their values."""
    found: dict[str, int] = {}
    asked = [expr for block in blocks(isa) for stmt in ir.statements(block) for expr in ir.expressions(stmt)]
    asked += [expr for interrupt in isa.interrupts for expr in (interrupt.cond, *interrupt.args)]
    for expr in asked:
        found |= {t.name: t.width for t in ir.subterms(expr) if isinstance(t, ir.Arbitrary)}
    return tuple(found.items())
