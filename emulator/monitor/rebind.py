"""The IR of a machine re-bound to the virtual state: what turns an instruction into its interpreter routine.

Under a re-binding an element that the monitor holds is the virtual machine's (`virtual.NAME`); the others are its own
while it runs.  A choice is the virtual machine's number, a map translates by the virtual machine's registers, and
memory is the part of the host's where the virtual machine lies.  Traps are those of the virtual machine, to be
reflected.  What a routine cannot do by itself it leaves to the slow monitor, by the trap `SLOW`: nothing of the step is
left then.

Every re-bound block knows two locals: `CAUSE`, the number of the real trap that led to it, and `HERE`, the address of
the instruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from msgspec.structs import replace

from analyzer import ir
from emulator.codegen.shape import Shape
from emulator.evaluate import Environment, value_of
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan
from emulator.monitor.shadow import LINE, SPREAD, TRACED_BITS, TRACED_INDEX

VIRTUAL = "virtual."
"""Names of the virtual machine's own: elements, files, traps, procedures."""

SLOW = "monitor.slow"
"""The trap by which a routine leaves a step to the slow monitor: the cause, the address of the instruction."""

TRACED = "monitor.traced"
"""The file that has a bit for each watched line of the virtual machine's memory (SHADOW-TRACED), which no routine
writes.  Some lines share one."""

CAUSE, HERE = "monitor.cause", "monitor.here"
CAUSE_BITS = 16


class NoRoutine(Exception):
    """There is no compiled routine for this; the message says why."""


def renamed(local: str) -> str:
    """A local of a re-bound block: those of a monitor in the virtual machine are not this monitor's.

    >>> renamed("monitor.cause"), renamed("t.monitor.cause"), renamed("value")
    ('virtual.monitor.cause', 't.virtual.monitor.cause', 'value')
    """
    if local.startswith("t."):
        return "t." + renamed(local[2:])
    return VIRTUAL + local if local.startswith(("monitor.", VIRTUAL)) else local


def params_of(declared: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """The parameters of a re-bound procedure or trap, but for those of this monitor."""
    return tuple((renamed(name), width) for name, width in declared)


class Rebinding:
    """Re-binds the blocks of one machine for one virtual machine, which lies at these places and has these choices."""

    def __init__(
        self, plan: Plan, placements: Sequence[Placement], choices: Mapping[str, int], chosen: Mapping[str, ir.Expr]
    ) -> None:
        self.plan = plan
        self.isa = plan.isa
        self.shape = Shape(plan.isa)
        self.placements = placements
        self.choices = choices
        self.chosen = chosen
        self.held = frozenset(plan.division.virtual)
        self.mapped = _map_files(plan)
        self.procedures: dict[str, ir.Procedure] = {}
        """The re-bound procedures and maps that were asked for, by their names."""
        self._busy: set[str] = set()
        self._fresh = 0

    @property
    def pc_width(self) -> int:
        return self.isa.elements[self.isa.fetch.pc].width

    def context(self) -> tuple[ir.Local, ir.Local]:
        """The locals that every re-bound block knows."""
        return ir.Local(CAUSE, CAUSE_BITS), ir.Local(HERE, self.pc_width)

    def slow(self) -> ir.Trap:
        return ir.Trap(SLOW, self.context())

    def local(self) -> str:
        self._fresh += 1
        return f"monitor.at.{self._fresh}"

    # -- expressions ---------------------------------------------------------------------------------------------------

    def expr(self, e: ir.Expr, locals_: Mapping[str, ir.Expr] | None = None) -> ir.Expr:
        """The expression on the virtual state; `locals_` stand for some of its locals."""
        match e:
            case ir.Get() if e.element in self.isa.choices:
                return ir.Const(e.width, self.choices[e.element])
            case ir.Get():
                return replace(e, element=VIRTUAL + e.element) if e.element in self.held else e
            case ir.GetEntry():
                file = VIRTUAL + e.file if e.file in self.held else e.file
                return ir.GetEntry(file, self.expr(e.index, locals_), e.width)
            case ir.Local():
                known = None if locals_ is None else locals_.get(e.name)
                return replace(e, name=renamed(e.name)) if known is None else known
            case ir.Const() | ir.BoolConst() | ir.Operand() | ir.Unknown():
                return e
            case ir.Unary() | ir.Not() | ir.Extract() | ir.Extend() | ir.ToBool() | ir.ToBits():
                return replace(e, arg=self.expr(e.arg, locals_))
            case ir.Binary() | ir.Compare() | ir.Logic() | ir.Concat():
                return replace(e, left=self.expr(e.left, locals_), right=self.expr(e.right, locals_))
            case ir.If():
                parts = (self.expr(part, locals_) for part in (e.cond, e.then, e.other))
                return ir.If(*parts)
            case ir.Lookup():
                return replace(e, index=self.expr(e.index, locals_))
            case ir.Arbitrary():
                return replace(e, args=tuple(self.expr(arg, locals_) for arg in e.args))
            case _:
                assert_never(e)

    # -- statements ----------------------------------------------------------------------------------------------------

    def block(self, block: ir.Block, locals_: Mapping[str, ir.Expr] | None = None) -> ir.Block:
        """The block on the virtual state.

        Raises:
            NoRoutine: it does what only the slow monitor can.
        """
        return tuple(out for stmt in block for out in self._stmt(stmt, locals_))

    def _stmt(self, stmt: ir.Stmt, locals_: Mapping[str, ir.Expr] | None) -> Sequence[ir.Stmt]:
        match stmt:
            case ir.Let():
                return [replace(stmt, local=renamed(stmt.local), value=self.expr(stmt.value, locals_))]
            case ir.Load():
                before, access, _ = self._access(stmt.access, locals_)
                return [*before, replace(stmt, local=renamed(stmt.local), access=access)]
            case ir.Store():
                before, access, at = self._access(stmt.access, locals_)
                traced = self._traced(at, access) if self.plan.shadowed else []
                return [*before, *traced, replace(stmt, access=access, value=self.expr(stmt.value, locals_))]
            case ir.Probe() if stmt.what == "translate":
                before, _, address = self._translated(stmt.access, locals_)
                return [*before, ir.Let(renamed(stmt.local), address)]
            case ir.Set():
                name = VIRTUAL + stmt.element if stmt.element in self.held else stmt.element
                return [replace(stmt, element=name, value=self.expr(stmt.value, locals_))]
            case ir.SetEntry():
                if stmt.file in self.mapped or stmt.file in self.plan.division.environment:
                    return [self.slow()]
                file = VIRTUAL + stmt.file if stmt.file in self.held else stmt.file
                return [ir.SetEntry(file, self.expr(stmt.index, locals_), self.expr(stmt.value, locals_))]
            case ir.When():
                then, other = self.block(stmt.then, locals_), self.block(stmt.other, locals_)
                return [ir.When(self.expr(stmt.cond, locals_), then, other)]
            case ir.Loop():
                body, exhausted = self.block(stmt.body, locals_), self.block(stmt.exhausted, locals_)
                carried = tuple(map(renamed, stmt.carried))
                cond = self.expr(stmt.cond, locals_)
                return [replace(stmt, cond=cond, body=body, exhausted=exhausted, carried=carried)]
            case ir.Call():
                name = self._procedure(self.isa.procedures[stmt.procedure])
                args = (*(self.expr(arg, locals_) for arg in stmt.args), *self.context())
                return [ir.Call(name, args, None if stmt.local is None else renamed(stmt.local))]
            case ir.Return():
                return [ir.Return(None if stmt.value is None else self.expr(stmt.value, locals_))]
            case ir.Trap():
                args = tuple(self.expr(arg, locals_) for arg in stmt.args)
                return [ir.Trap(VIRTUAL + stmt.trap, (*args, *self.context()))]
            case ir.Done() if not stmt.unfinished:
                return [stmt]
            case ir.Unpredictable():
                return [self.slow()]
            case ir.Done() | ir.Probe() | ir.Commit() | ir.Execute():
                raise NoRoutine(type(stmt).__name__.lower())
            case _:
                assert_never(stmt)

    prefix = VIRTUAL
    """Of the names of re-bound procedures and maps."""

    def _procedure(self, procedure: ir.Procedure) -> str:
        """The name of the re-bound procedure, which is made if it was not before."""
        name = self.prefix + procedure.name
        if name not in self.procedures:
            self._make(name, procedure.params, procedure.returns, procedure.body)
        return name

    def _make(self, name: str, params: tuple[tuple[str, int], ...], returns: int | None, body: ir.Block) -> None:
        if name in self._busy:
            raise NoRoutine(f"{name} calls itself")
        self._busy.add(name)
        more = ((CAUSE, CAUSE_BITS), (HERE, self.pc_width))
        try:
            self.procedures[name] = ir.Procedure(name, (*params_of(params), *more), returns, self.block(body))
        finally:
            self._busy.discard(name)

    # -- memory --------------------------------------------------------------------------------------------------------

    def _access(
        self, access: ir.Access, locals_: Mapping[str, ir.Expr] | None
    ) -> tuple[list[ir.Stmt], ir.Access, ir.Expr]:
        """What leads to the host's access (translation, and the way to where the virtual machine lies), the access, and
        its address in the virtual machine's memory."""
        before, memory, address = self._translated(access, locals_)
        units, at, width = access.bits // memory.unit, self.local(), memory.address_width
        here = ir.Local(at, width)
        inside: ir.Expr = ir.FALSE
        real: ir.Expr = here
        for place in self._places(memory, units):
            away = ir.Binary("sub", here, ir.Const(width, place.base))
            within = ir.Compare("ule", away, ir.Const(width, place.size - units))
            moved = ir.Binary("add", away, ir.Const(width, place.at))
            real = moved if inside == ir.FALSE else ir.If(within, moved, real)
            inside = within if inside == ir.FALSE else ir.Logic("or", within, inside)
        before += [ir.Let(at, address), ir.When(ir.Not(inside), (self.slow(),))]
        found = ir.Access(memory.name, real, access.bits, access.kind, table=access.table)
        return before, found, ir.Local(at, width)

    def _traced(self, at: ir.Expr, access: ir.Access) -> list[ir.Stmt]:
        """Leaves a store to the slow monitor where a line of its first or its last unit may be watched."""
        memory = self.isa.spaces[access.space]
        assert isinstance(memory, ir.Memory)
        width, units = memory.address_width, access.bits // memory.unit
        ends = [at] if units == 1 else [at, ir.Binary("add", at, ir.Const(width, units - 1))]
        return [ir.When(ir.ToBool(_bit(end)), (self.slow(),)) for end in ends]

    def _translated(
        self, access: ir.Access, locals_: Mapping[str, ir.Expr] | None
    ) -> tuple[list[ir.Stmt], ir.Memory, ir.Expr]:
        """The virtual machine's memory, and the address in it."""
        space, args, given = self.isa.spaces[access.space], access.args, access.given
        address = self.expr(access.address, locals_)
        before: list[ir.Stmt] = []
        if isinstance(space, ir.Bus):
            below = self.shape.passes_on(space)
            if below is None:
                raise NoRoutine(f"an access to {space.name}")
            space, args, given = self.isa.spaces[below], (), ()
        while isinstance(space, ir.Map):
            params = []
            access_local = {"access": ir.Const(2, ir.ACCESS_CODE[access.kind])}
            for i, param in enumerate(space.params):
                if i < len(args) and (i >= len(given) or given[i]):
                    params.append(self.expr(args[i], locals_))
                elif param.default is not None:
                    params.append(self.expr(param.default, access_local))
                else:
                    raise NoRoutine(f"{space.name} without its {param.name}")
            bits = ir.Const(16, access.bits)
            found, below_width = self.local(), self.isa.spaces[space.below].address_width
            call = (address, *params, access_local["access"], bits, *self.context())
            before.append(ir.Call(self._map(space), call, found))
            address, space, args, given = ir.Local(found, below_width), self.isa.spaces[space.below], (), ()
        if not isinstance(space, ir.Memory):
            raise NoRoutine(f"an access to {space.name}")
        return before, space, address

    def _map(self, space: ir.Map) -> str:
        """The name of the procedure that translates by the virtual machine's registers."""
        name = self.prefix + space.name
        if name not in self.procedures:
            params = ((space.address, space.address_width), *((p.name, p.width) for p in space.params))
            returns = self.isa.spaces[space.below].address_width
            self._make(name, (*params, ("access", 2), ("bits", 16)), returns, space.body)
        return name

    def _places(self, memory: ir.Memory, units: int) -> Sequence[Placement]:
        """Where the virtual machine's memory lies: in regions that its own limit does not cut, the largest last."""
        places = sorted((p for p in self.placements if p.memory == memory.name), key=lambda p: p.size)
        places = [place for place in places if units <= place.size]
        if not places:
            raise NoRoutine(f"no region of {memory.name} has {units} units")
        if memory.size is not None:
            size = value_of(memory.size, self.isa)(Environment({}, {}, dict(self.choices), {}), {})
            if any(int(size) < place.base + place.size for place in places):
                raise NoRoutine(f"{memory.name} ends within a region")
        return places


def _bit(address: ir.Expr) -> ir.Expr:
    """The bit of `TRACED` for the line of an address (see `emulator.monitor.shadow.spot`)."""
    width, word = ir.width(address), 64
    wide = ir.Extend(False, address, word) if width < word else address
    mixed = ir.Binary("mul", ir.Binary("lshr", wide, ir.Const(word, LINE)), ir.Const(word, SPREAD))
    index = ir.Extract(mixed, word - 1, word - TRACED_INDEX)
    by = ir.Extend(False, ir.Extract(mixed, word - TRACED_INDEX - 1, word - TRACED_INDEX - TRACED_BITS), word)
    return ir.Extract(ir.Binary("lshr", ir.GetEntry(TRACED, index, word), by), 0, 0)


def _map_files(plan: Plan) -> frozenset[str]:
    """The files that shadowed maps read."""
    from emulator.monitor.plan import map_reads

    isa = plan.isa
    spaces = [isa.spaces[name] for name in plan.shadowed]
    read = set().union(*(map_reads(isa, space)[0] for space in spaces if isinstance(space, ir.Map)))
    return frozenset(read & set(isa.files))
