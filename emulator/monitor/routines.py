"""The monitor as code: dispatcher, allocator and interpreter routines, put into the instruction set that guests run on.

`routed` adds them to the instruction set of `emulator.monitor.exiting`, as IR, so the code generator makes them like
everything else:

- Where an instruction raises a trap that is not about memory, its interpreter routine v_i stands instead: the same body
  re-bound to the virtual state (`emulator.monitor.rebind`), from the beginning (EXIT-HERE).
- A trap of a routine is reflected: the delivery procedure, re-bound.  So are interrupts of the virtual machine, and
  faults of its own map where the shadow has no entry (`emulator.monitor.walk`).
- Where mode, maps or assumptions may have changed, the allocator sets the held elements of the host anew: `ENTER`.

What they cannot do they leave to the slow monitor (`emulator.monitor.vm`), which is their oracle as well: before the
step (the trap `SLOW`), or after it (`LEFT` is `LOOK`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from analyzer import ir
from analyzer.passes.rewrite import rewritten
from emulator.monitor.contexts import Contexts
from emulator.monitor.exiting import LEFT, LEFT_BITS, LOOK, TRAP_BITS, staying
from emulator.monitor.exits import SHADOW_MISS, cause
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan, reads
from emulator.monitor.rebind import CAUSE, CAUSE_BITS, HERE, SLOW, TRACED, VIRTUAL, NoRoutine, Rebinding, params_of
from emulator.monitor.shadow import TRACED_BITS, TRACED_INDEX
from emulator.monitor.table import MISS, Form
from emulator.monitor.walk import Walk

ENTER = "monitor.enter"
EMULATED = "monitor.emulated."
REFLECTED = "monitor.reflected"
CHOSEN = "monitor.chosen."
WHY = "monitor.why"
"""The element in which `SLOW` leaves its cause."""

WAS = "monitor.was."
COUNT_BITS = 64

MOST_UNDONE = 4
"""Elements that an instruction may have written where it traps, for its routine to begin with them put back."""


@dataclass(frozen=True, slots=True)
class Routines:
    """An instruction set with a monitor in it, and what the monitor in Python has to know.

    `held` and `files` are the elements and files of the record that the code keeps beside the guest's own, `shared` the
    elements that guest and host have in common; `emulated` has for each counter the
    instruction and the cause that led to its routine; `causes` are those that `REFLECTED` counts: the real traps, an
    interrupt (None), a miss of the shadow.  `missing` has the instructions without a routine, with the reason.
    """

    isa: ir.Isa
    held: tuple[str, ...]
    files: tuple[str, ...]
    shared: tuple[str, ...]
    chosen: tuple[str, ...]
    contexts: Contexts | None
    emulated: Mapping[str, tuple[str, str]]
    causes: tuple[str | None, ...]
    missing: Mapping[str, str] = field(default_factory=dict)


def routed(
    exiting: ir.Isa,
    plan: Plan,
    placements: Sequence[Placement],
    choices: Mapping[str, int],
    forms: Mapping[str, Form],
) -> Routines | None:
    """The instruction set `exiting` of this plan with its monitor, for a virtual machine at these places with these
    choices; None if the delivery has no routine."""
    chosen = {name: ir.Get(CHOSEN + name, width) for name, width in plan.scheme.chosen}
    rebinding = Rebinding(plan, placements, choices, chosen)
    contexts = Contexts.of(plan, forms) if plan.shadowed else None
    if plan.shadowed and contexts is None:
        return None
    enter = Enter(rebinding, contexts)
    walk = Walk(plan, placements, choices, chosen)
    maker = Splicer(rebinding, exiting, enter, walk, forms)
    try:
        deliver = maker.deliver()
        interrupts = maker.interrupts()
        kinds = {kind.name: kind for kind in maker.kinds()}
        entering = ir.Procedure(ENTER, (), None, enter.body())
    except NoRoutine:
        return None
    instructions = tuple(map(maker.instruction, plan.isa.instructions, exiting.instructions))
    procedures = {name: replace(p, body=enter.after(p.body)) for name, p in rebinding.procedures.items()}
    isa = plan.isa
    causes = (*(cause(kind) for kind in isa.traps.values()), None, SHADOW_MISS)
    held = tuple(n for n in plan.division.virtual if n in isa.elements)
    files = tuple(n for n in plan.division.virtual if n in isa.files)
    added = [replace(isa.elements[n], name=VIRTUAL + n, role=ir.Role.CONTROL) for n in held]
    added += [ir.Element(CHOSEN + n, width, ir.Role.CONTROL, reset=0) for n, width in plan.scheme.chosen]
    added += [ir.Element(name, COUNT_BITS, ir.Role.CONTROL, reset=0) for name in maker.counters]
    added.append(ir.Element(WHY, CAUSE_BITS, ir.Role.CONTROL, reset=0))
    kept = [replace(isa.files[n], name=VIRTUAL + n, role=ir.Role.CONTROL) for n in files]
    kept.append(ir.File(REFLECTED, len(causes), CAUSE_BITS, COUNT_BITS, ir.Role.CONTROL, reset=0))
    kept.append(ir.File(TRACED, 1 << TRACED_INDEX, TRACED_INDEX, 1 << TRACED_BITS, ir.Role.CONTROL, reset=0))
    kept += () if contexts is None else contexts.files()
    whole = replace(
        exiting,
        elements={**exiting.elements, **{e.name: e for e in added}},
        files={**exiting.files, **{f.name: f for f in kept}},
        traps={**exiting.traps, **kinds},
        procedures={**exiting.procedures, **maker.clones, **procedures, **walk.procedures, ENTER: entering},
        deliver=deliver,
        interrupts=interrupts,
        instructions=instructions,
        digest="",
    )
    shared = tuple(n for n in plan.division.environment if n in isa.elements)
    names = tuple(n for n, _ in plan.scheme.chosen)
    return Routines(whole, held, files, shared, names, contexts, maker.counters, causes, maker.missing)


# -- the allocator -----------------------------------------------------------------------------------------------------


class Enter:
    """The allocator: what the host's held elements are, by the virtual state."""

    def __init__(self, rebinding: Rebinding, contexts: Contexts | None) -> None:
        self.rebinding = rebinding
        self.contexts = contexts
        self.plan = rebinding.plan
        self.isa = rebinding.isa
        self._assumed = [a.expr for a in self.plan.scheme.guest if not a.prelude]
        self._composed = [(c.element, c.value) for c in self.plan.scheme.compose]
        self._waits = [e for e in self.isa.elements.values() if e.role is ir.Role.PROCESSOR]
        inputs = [self.isa.mode.expr, *self._assumed, *(value for _, value in self._composed)]
        read = set().union(*(reads(e) for e in inputs)) | {e.name for e in self._waits}
        read |= set() if contexts is None else set(contexts.names)
        self.relevant = frozenset(VIRTUAL + n if n in rebinding.held else n for n in read)
        """What it depends on, by the names in routines."""

    def body(self) -> ir.Block:
        expr = self.rebinding.expr
        out: list[ir.Stmt] = [ir.Let("code", expr(self.isa.mode.expr))]
        code = ir.Local("code", ir.width(self.isa.mode.expr))
        look: ir.Expr = ir.FALSE
        known = {mode.code for mode in self.isa.mode.modes()}
        direct = sorted(self.plan.direct & known)
        if direct != sorted(known):
            inside: ir.Expr = ir.FALSE
            for each in direct:
                inside = ir.Logic("or", inside, ir.Compare("eq", code, ir.Const(code.width, each)))
            look = ir.Logic("or", look, ir.Not(inside))
        for assumed in self._assumed:
            look = ir.Logic("or", look, ir.Not(expr(assumed, self.rebinding.chosen)))
        for element in self._waits:
            waits = ir.Compare("eq", expr(ir.Get(element.name, element.width)), ir.Const(element.width, 0))
            look = ir.Logic("or", look, ir.Not(waits))
        if look != ir.FALSE:
            out.append(ir.When(look, (LEAVE,)))
        for name in sorted({name for values in self.plan.modes.values() for name in values}):
            width = self.isa.elements[name].width
            values = {virtual: chosen[name] for virtual, chosen in self.plan.modes.items()}
            if len(set(values.values())) > 1:
                value: ir.Expr = ir.Get(name, width)
                for virtual, real in values.items():
                    here = ir.Compare("eq", code, ir.Const(code.width, virtual))
                    value = ir.If(here, ir.Const(width, real), value)
                out.append(ir.Set(name, value))
        out += [ir.Set(name, expr(value, self.rebinding.chosen)) for name, value in self._composed]
        if self.contexts is not None:
            out += self.contexts.find(expr, LEAVE)
        return tuple(out)

    def after(self, block: ir.Block) -> ir.Block:
        """The block with calls of `ENTER` behind what it depends on."""
        return self._after(block, False, False)[0] if self._changed(block) else block

    def changes(self, stmt: ir.Stmt) -> bool:
        return isinstance(stmt, ir.Set) and stmt.element in self.relevant

    def _changed(self, block: ir.Block) -> bool:
        return any(self.changes(stmt) for stmt in ir.statements(block))

    def _after(self, block: ir.Block, covered: bool, due: bool) -> tuple[ir.Block, bool]:
        """`covered`: a call follows the block in any case, unless it leaves the procedure; `due`: one is due already.
        The block, and whether one is due behind it."""
        last = max((i for i, stmt in enumerate(block) if self.changes(stmt)), default=-1)
        out: list[ir.Stmt] = []
        for i, stmt in enumerate(block):
            later = covered or i < last
            match stmt:
                case ir.When():
                    then, one = self._after(stmt.then, later, due)
                    other, two = self._after(stmt.other, later, due)
                    due = one or two
                    out.append(replace(stmt, then=then, other=other))
                case ir.Loop():
                    body, _ = self._after(stmt.body, False, False)
                    exhausted, more = self._after(stmt.exhausted, later, due)
                    due = due or more
                    out.append(replace(stmt, body=body, exhausted=exhausted))
                case ir.Return() | ir.Done():
                    out += [ir.Call(ENTER, ()), stmt] if due else [stmt]
                case _:
                    due = due or self.changes(stmt)
                    out.append(stmt)
            if i == last and not covered:
                out.append(ir.Call(ENTER, ()))
                due = False
        return tuple(out), due


LEAVE = ir.Set(LEFT, ir.Const(LEFT_BITS, LOOK))
"""The slow monitor is to look at the state, after this step."""


# -- the dispatcher and the interpreter routines -----------------------------------------------------------------------


class Splicer:
    """Puts routines where traps are raised."""

    def __init__(
        self, rebinding: Rebinding, exiting: ir.Isa, enter: Enter, walk: Walk, forms: Mapping[str, Form]
    ) -> None:
        self.rebinding = rebinding
        self.walk = walk
        self.forms = forms
        self.isa = rebinding.isa
        self.exiting = exiting
        self.enter = enter
        self.offset = len(exiting.traps) + 1  # behind the real traps and `SLOW`
        self.counters: dict[str, tuple[str, str]] = {}
        self.clones: dict[str, ir.Procedure] = {}
        self.missing: dict[str, str] = {}
        self._numbers = {name: i for i, name in enumerate(self.isa.traps)}

    def kinds(self) -> Sequence[ir.TrapKind]:
        """`SLOW`, and the traps of the virtual machine."""
        more = ((CAUSE, CAUSE_BITS), (HERE, self.rebinding.pc_width))
        found = [ir.TrapKind(SLOW, ir.TrapClass.EXIT, more)]
        for kind in self.isa.traps.values():
            attributes = tuple((name, self.rebinding.expr(value)) for name, value in kind.attributes)
            params = (*params_of(kind.params), *more)
            found.append(replace(kind, name=VIRTUAL + kind.name, params=params, attributes=attributes))
        return found

    def deliver(self) -> ir.Procedure:
        """A real trap leaves the guest, a miss of the shadow unless the virtual machine's own map faults; a trap of the
        virtual machine is reflected."""
        declared, real = self.isa.deliver, self.exiting.deliver
        if declared is None or real is None:
            raise NoRoutine("there is no delivery")
        number = ir.Local("t", TRAP_BITS)
        why, here = self.rebinding.context()
        passed: list[ir.Stmt] = [ir.Let(local.name, ir.Local(f"t.{local.name}", local.width)) for local in (why, here)]
        counted = ir.Binary("add", ir.GetEntry(REFLECTED, why, COUNT_BITS), ir.Const(COUNT_BITS, 1))
        own = dict(declared.params).get("t", TRAP_BITS)
        shifted = ir.Binary("sub", ir.Local("t", own), ir.Const(own, self.offset & (1 << own) - 1))
        body = self.enter.after(self.rebinding.block(declared.body, {"t": shifted}))
        slow = ir.Compare("eq", number, ir.Const(TRAP_BITS, self.offset - 1))
        asks: ir.Block = (*passed, ir.Set(self.isa.fetch.pc, here), ir.Set(WHY, why))
        leaves: ir.Block = (
            ir.When(slow, asks),
            *(self._walks(number, form) for form in self.forms.values()),
            *real.body,
        )
        reflects = (*passed, ir.SetEntry(REFLECTED, why, counted), *body)
        first = ir.Compare("ult", number, ir.Const(TRAP_BITS, self.offset))
        return replace(real, body=(ir.When(first, leaves, reflects),))

    def _walks(self, number: ir.Expr, form: Form) -> ir.Stmt:
        """Asks the virtual machine's map in the delivery of a miss."""
        missed = list(self.exiting.traps).index(MISS + form.space.name)
        asked = self.walk.asked(form, len(self.isa.traps) + 1)
        return ir.When(ir.Compare("eq", number, ir.Const(TRAP_BITS, missed)), asked)

    def interrupts(self) -> tuple[ir.Interrupt, ...]:
        """Those of the virtual machine (P6: only when its own masks allow), as long as it runs: one whose delivery is
        left to the slow monitor is still pending."""
        pc = self.isa.fetch.pc
        none = ir.Const(CAUSE_BITS, len(self.isa.traps))
        more = (none, ir.Get(pc, self.rebinding.pc_width))
        expr = self.rebinding.expr
        return tuple(
            staying(ir.Interrupt(VIRTUAL + i.trap, (*(expr(arg) for arg in i.args), *more), expr(i.cond)))
            for i in self.isa.interrupts
        )

    def instruction(self, original: ir.Instruction, instruction: ir.Instruction) -> ir.Instruction:
        """The instruction with its routine wherever it traps."""
        if not self._raises(instruction.body):
            return instruction
        try:
            routine = self.rebinding.block(original.body)
        except NoRoutine as why:
            self.missing[instruction.name] = str(why)
            return instruction
        alike = self._alike(instruction.body, routine)
        splice = _Splice(self, instruction.name, routine, alike)
        found = replace(instruction, body=splice.spliced(instruction.body))
        self.clones |= splice.clones
        return found

    def _alike(self, body: ir.Block, routine: ir.Block) -> int:
        """With how many statements body and routine begin alike, which a routine need not repeat."""
        for i, (one, two) in enumerate(zip(body, routine, strict=False)):
            if one != two or not isinstance(one, ir.Let | ir.Set) or self.enter.changes(one):
                return i
        return min(len(body), len(routine))

    def _raises(self, block: ir.Block, depth: int = 0) -> bool:
        """May a trap be raised in the block that is not about memory?"""
        return any(
            (isinstance(stmt, ir.Trap) and self.dispatched(stmt))
            or (
                isinstance(stmt, ir.Call)
                and depth < 8
                and self._raises(self.exiting.procedures[stmt.procedure].body, depth + 1)
            )
            for stmt in ir.statements(block)
        )

    def dispatched(self, trap: ir.Trap) -> bool:
        kind = self.isa.traps.get(trap.trap)
        return kind is not None and kind.kind is not ir.TrapClass.MEMORY

    def ends_within(self, block: ir.Block) -> bool:
        """Does a procedure that the re-bound block calls end the instruction?"""
        procedures = self.rebinding.procedures
        calls = {stmt.procedure for stmt in ir.statements(block) if isinstance(stmt, ir.Call)}
        bodies = [procedures[name].body for name in calls if name in procedures]
        return any(
            any(isinstance(stmt, ir.Done) for stmt in ir.statements(body)) or self.ends_within(body) for body in bodies
        )

    def counter(self, instruction: str, trap: str) -> str:
        """The counter of an instruction that was emulated because of a trap."""
        name = f"{EMULATED}{instruction}.{trap}"
        self.counters[name] = instruction, cause(self.isa.traps[trap])
        return name

    def number(self, trap: str) -> int:
        return self._numbers[trap]


_Written = frozenset[str] | None
"""The elements that may have been written; None: also what cannot be put back."""


class _Splice:
    """One instruction: its body, and clones of the procedures in which it traps.  The first `alike` statements of body
    and routine are the same."""

    def __init__(self, maker: Splicer, name: str, routine: ir.Block, alike: int) -> None:
        self.maker = maker
        self.name = name
        self.routine = routine
        self.alike = alike
        self.undone: dict[str, None] = {maker.isa.fetch.pc: None}
        self.clones: dict[str, ir.Procedure] = {}

    def spliced(self, body: ir.Block) -> ir.Block:
        """The body with the routine, after what the routine puts back was noted."""
        first, rest = body[: self.alike], body[self.alike :]
        self._beginning = frozenset(stmt.element for stmt in first if isinstance(stmt, ir.Set))
        self.block(rest, frozenset())  # finds what that is
        self.clones.clear()
        found, _ = self.block(rest, frozenset())
        lets = next((i for i, stmt in enumerate(first) if not isinstance(stmt, ir.Let)), len(first))
        notes = (ir.Let(WAS + name, self._now(name)) for name in self.undone)
        return (*first[:lets], *notes, *first[lets:], *_joined(found))

    def _now(self, name: str) -> ir.Get:
        return ir.Get(name, self.maker.isa.elements[name].width)

    def _was(self, name: str) -> ir.Local:
        return ir.Local(WAS + name, self.maker.isa.elements[name].width)

    def block(self, block: ir.Block, written: _Written) -> tuple[ir.Block, _Written]:
        out: list[ir.Stmt] = []
        for stmt in block:
            match stmt:
                case ir.Trap() if self.maker.dispatched(stmt) and written is not None and len(written) <= MOST_UNDONE:
                    out += self._site(stmt.trap, written)
                case ir.Set():
                    written = None if written is None else written | {stmt.element}
                    out.append(stmt)
                case ir.SetEntry() | ir.Store() | ir.Commit() | ir.Execute():
                    written = None
                    out.append(stmt)
                case ir.When():
                    then, one = self.block(stmt.then, written)
                    other, two = self.block(stmt.other, written)
                    written = None if one is None or two is None else one | two
                    out.append(replace(stmt, then=then, other=other))
                case ir.Loop():
                    written = None
                    out.append(stmt)
                case ir.Call():
                    call, written = self._call(stmt, written)
                    out.append(call)
                case _:
                    out.append(stmt)
        return tuple(out), written

    def _call(self, stmt: ir.Call, written: _Written) -> tuple[ir.Call, _Written]:
        procedure = self.maker.exiting.procedures[stmt.procedure]
        alike, self.alike = self.alike, 0  # what they begin with has locals, which are not known in the procedure
        body, after = self.block(procedure.body, None if written is None else written | self._beginning)
        self.alike = alike
        if body == procedure.body:
            return stmt, after
        name = f"{procedure.name}@{self.name}.{len(self.clones)}"
        passed = tuple(self._was(name) for name in self.undone)
        params = (*procedure.params, *((local.name, local.width) for local in passed))
        self.clones[name] = replace(procedure, name=name, params=params, body=body)
        return ir.Call(name, (*stmt.args, *passed), stmt.local, stmt.span), after

    def _site(self, trap: str, written: frozenset[str]) -> list[ir.Stmt]:
        """The routine, from where it is other than the body on."""
        maker = self.maker
        back = dict.fromkeys(sorted(written))
        self.undone |= back
        out: list[ir.Stmt] = [ir.Set(name, self._was(name)) for name in back]
        pc = maker.isa.fetch.pc
        out += [ir.Let(CAUSE, ir.Const(CAUSE_BITS, maker.number(trap))), ir.Let(HERE, self._was(pc))]
        counter = maker.counter(self.name, trap)
        one = ir.Binary("add", ir.Get(counter, COUNT_BITS), ir.Const(COUNT_BITS, 1))
        counts = ir.Set(counter, one)
        routine = self.routine[self.alike :]
        if maker.ends_within(routine):  # a procedure ends the instruction
            return [*out, counts, *maker.enter.after(_ending(routine, (ir.Done(),)))]
        return [*out, *maker.enter.after(_ending(routine, (counts, ir.Done())))]


def _joined(block: ir.Block) -> ir.Block:
    """The block with what follows a way that ends the instruction as the other way, so that both end where it ends."""
    for i, stmt in enumerate(block):
        if isinstance(stmt, ir.When) and stmt.then and isinstance(stmt.then[-1], ir.Done) and not stmt.other:
            rest = _joined(block[i + 1 :])
            return (*block[:i], ir.When(stmt.cond, stmt.then[:-1], rest, stmt.span))
    return block


def _ending(block: ir.Block, ends: ir.Block) -> ir.Block:
    """The block with `ends` wherever the instruction ends in it."""

    found = rewritten(block, lambda stmt, _: ends if isinstance(stmt, ir.Done) else (stmt,))
    return found if found and isinstance(found[-1], ir.Trap | ir.Done) else (*found, *ends)
