"""Blocks of the IR as functions.

Each block is made once into a tuple of Python functions, one per statement, and then run in order.  A function returns
None to go on, or a 1-tuple to leave the procedure with a result (`Return`).  What leaves the instruction altogether
(`Trap`, `Done`, `Unpredictable`) is a Python exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from analyzer import ir
from emulator.decode import decoder
from emulator.evaluate import Locals, Value, value_of
from emulator.reference.run import (
    Args,
    Block,
    Flow,
    LeaveDone,
    LeaveStuck,
    LeaveTrap,
    LeaveUndefined,
    LeaveUnpredictable,
    Run,
    Step,
)
from emulator.state import split
from emulator.stopping import shutdowns, stopping


class Code:
    """The blocks of one Isa as functions, made when they are first needed."""

    def __init__(self, isa: ir.Isa) -> None:
        self.isa = isa
        self.sizes: dict[str, Value] = {}
        self.beyonds: dict[str, tuple[Value, ...]] = {}
        self.params: dict[str, tuple[tuple[str, Value | None], ...]] = {}
        for space in isa.spaces.values():
            match space:
                case ir.Memory():
                    if space.size is not None and space.beyond is not None:
                        self.sizes[space.name] = value_of(space.size, isa)
                        self.beyonds[space.name] = self._values(space.beyond.args)
                case ir.Map() | ir.Bus():
                    self.params[space.name] = tuple(
                        (p.name, None if p.default is None else value_of(p.default, isa)) for p in space.params
                    )
                case _:
                    assert_never(space)
        self.interrupts = tuple((i.trap, value_of(i.cond, isa), self._values(i.args)) for i in isa.interrupts)
        self.fetch_args = tuple(
            value_of(a, isa) if i >= len(isa.fetch.given) or isa.fetch.given[i] else None
            for i, a in enumerate(isa.fetch.args)
        )
        self.attributes = {
            trap.name: tuple((name, value_of(e, isa)) for name, e in trap.attributes) for trap in isa.traps.values()
        }
        self.numbers = {name: number for number, name in enumerate(isa.traps)}
        names = (name for trap in isa.traps.values() for name, _ in (*trap.attributes, *trap.params))
        self.no_attributes = dict.fromkeys((f"t.{name}" for name in names), 0)
        self.processor, self.shutdowns = stopping(isa), shutdowns(isa)
        self._procedures: dict[int, Block] = {}
        self._maps: dict[str, Block] = {}
        self._bodies: dict[int, Block] = {}

    def body(self, instruction: ir.Instruction) -> Block:
        """The body of an instruction."""
        known = self._bodies.get(id(instruction.body))
        if known is None:
            known = self._bodies[id(instruction.body)] = self._block(instruction.body)
        return known

    def executed(self, instruction: ir.Instruction) -> Block:
        """The body of an instruction that another executes: once it has advanced the program counter, it stands where
        the other does."""
        body, pc = self.body(instruction), self.isa.fetch.pc
        ahead = (n for n, stmt in enumerate(instruction.body, 1) if isinstance(stmt, ir.Set) and stmt.element == pc)
        advanced = next(ahead, 1)
        return (*body[:advanced], _stand, *body[advanced:])

    def procedure(self, procedure: ir.Procedure) -> Block:
        """The body of a procedure."""
        known = self._procedures.get(id(procedure))
        if known is None:
            known = self._procedures[id(procedure)] = self._block(procedure.body)
        return known

    def map(self, space: ir.Map) -> Block:
        """The body of a map."""
        known = self._maps.get(space.name)
        if known is None:
            known = self._maps[space.name] = self._block(space.body)
        return known

    def _block(self, block: ir.Block) -> Block:
        return tuple(self._step(stmt) for stmt in block)

    def _values(self, exprs: tuple[ir.Expr, ...]) -> tuple[Value, ...]:
        return tuple(value_of(e, self.isa) for e in exprs)

    def _access_args(self, access: ir.Access) -> Callable[[Run, Locals], Args]:
        given = tuple(
            value_of(a, self.isa) if i >= len(access.given) or access.given[i] else None
            for i, a in enumerate(access.args)
        )
        if not any(given):
            return lambda run, v: ()
        return lambda run, v: tuple(None if g is None else g(run, v) for g in given)

    def _step(self, stmt: ir.Stmt) -> Step:
        """The function of one statement."""
        match stmt:
            case ir.Let():
                local, value = stmt.local, value_of(stmt.value, self.isa)

                def let(run: Run, v: Locals) -> Flow:
                    v[local] = value(run, v)
                    return None

                return let
            case ir.Load():
                return self._load(stmt)
            case ir.Store():
                return self._store(stmt)
            case ir.Probe():
                return self._probe(stmt)
            case ir.Set():
                element, value = stmt.element, value_of(stmt.value, self.isa)

                def set_(run: Run, v: Locals) -> Flow:
                    run.set_element(element, value(run, v))
                    return None

                return set_
            case ir.SetEntry():
                file, index, value = self.isa.files[stmt.file], *self._values((stmt.index, stmt.value))

                def set_entry(run: Run, v: Locals) -> Flow:
                    run.set_entry(file, index(run, v), value(run, v))
                    return None

                return set_entry
            case ir.When():
                return self._when(stmt)
            case ir.Loop():
                return self._loop(stmt)
            case ir.Call():
                return self._call(stmt)
            case ir.Return():
                if stmt.value is None:
                    return lambda run, v: (None,)
                value = value_of(stmt.value, self.isa)
                return lambda run, v: (value(run, v),)
            case ir.Trap():
                trap, args, span = stmt.trap, self._values(stmt.args), stmt.span

                def raise_trap(run: Run, v: Locals) -> Flow:
                    raise LeaveTrap(trap, tuple(a(run, v) for a in args), span)

                return raise_trap
            case ir.Done():

                def done(run: Run, v: Locals) -> Flow:
                    raise LeaveDone

                return done
            case ir.Commit():

                def commit(run: Run, v: Locals) -> Flow:
                    run.journal.clear()
                    return None

                return commit
            case ir.Unpredictable():
                span = stmt.span

                def unpredictable(run: Run, v: Locals) -> Flow:
                    raise LeaveUnpredictable(span)

                return unpredictable
            case ir.Execute():
                return self._execute(stmt)
            case _:
                assert_never(stmt)

    def _load(self, stmt: ir.Load) -> Step:
        access, local = stmt.access, stmt.local
        address, args = value_of(access.address, self.isa), self._access_args(access)

        def load(run: Run, v: Locals) -> Flow:
            v[local] = run.load(access.space, address(run, v), access.bits, access.kind, args(run, v), access.table)
            return None

        return load

    def _store(self, stmt: ir.Store) -> Step:
        access, value = stmt.access, value_of(stmt.value, self.isa)
        address, args = value_of(access.address, self.isa), self._access_args(access)

        def store(run: Run, v: Locals) -> Flow:
            run.store(access.space, address(run, v), access.bits, value(run, v), args(run, v), access.table)
            return None

        return store

    def _probe(self, stmt: ir.Probe) -> Step:
        access, local, what = stmt.access, stmt.local, stmt.what
        address, args = value_of(access.address, self.isa), self._access_args(access)

        def probe(run: Run, v: Locals) -> Flow:
            below, trap = run.probe(access.space, address(run, v), access, args(run, v))
            if what == "fault":
                v[local] = trap is not None
            elif trap is not None:
                raise trap
            else:
                v[local] = below
            return None

        return probe

    def _when(self, stmt: ir.When) -> Step:
        """A chain `if … else if …` becomes one loop, as in expressions."""
        arms: list[tuple[Value, Block]] = []
        otherwise: ir.Block = (stmt,)
        while len(otherwise) == 1 and isinstance(otherwise[0], ir.When):
            link = otherwise[0]
            arms.append((value_of(link.cond, self.isa), self._block(link.then)))
            otherwise = link.other
        last = self._block(otherwise)

        def when(run: Run, v: Locals) -> Flow:
            for cond, block in arms:
                if cond(run, v):
                    chosen = block
                    break
            else:
                chosen = last
            for step in chosen:
                flow = step(run, v)
                if flow is not None:
                    return flow
            return None

        return when

    def _loop(self, stmt: ir.Loop) -> Step:
        cond, limit = value_of(stmt.cond, self.isa), stmt.limit
        body, exhausted = self._block(stmt.body), self._block(stmt.exhausted)

        def loop(run: Run, v: Locals) -> Flow:
            rounds = 0
            while cond(run, v):
                run.spend()
                block = body if rounds < limit else exhausted
                for step in block:
                    flow = step(run, v)
                    if flow is not None:
                        return flow
                if rounds == limit:
                    return None
                rounds += 1
            return None

        return loop

    def _call(self, stmt: ir.Call) -> Step:
        procedure, args, local = self.isa.procedures[stmt.procedure], self._values(stmt.args), stmt.local
        names = tuple(name for name, _ in procedure.params)

        def call(run: Run, v: Locals) -> Flow:
            inner = {name: a(run, v) for name, a in zip(names, args, strict=True)}
            result = run.call(run.code.procedure(procedure), inner)
            if local is not None:
                v[local] = result or 0
            return None

        return call

    def _execute(self, stmt: ir.Execute) -> Step:
        """The executed instruction ends this one.  It advances the program counter itself, so that is first set back by
        its length: afterwards it stands where this instruction had left it, and `here` is where this one stands."""
        word, limit, bits = value_of(stmt.word, self.isa), stmt.limit, ir.width(stmt.word)
        isa, pc = self.isa, self.isa.fetch.pc
        parcel = isa.fetch.parcel
        wrap = (1 << isa.elements[pc].width) - 1

        def execute(run: Run, v: Locals) -> Flow:
            if run.executes >= limit:
                raise LeaveStuck(f"more than {limit} instructions execute one another")
            parcels = split(word(run, v), bits, parcel, isa.endian)

            def fetch(i: int) -> int:
                if i >= len(parcels):
                    raise LeaveUndefined
                return parcels[i]

            decoded = decoder(isa).decode(fetch, run.state)
            if decoded is None:
                raise LeaveUndefined
            run.executes += 1
            run.operands = decoded.operands
            run.set_element(pc, run.elements[pc] - decoded.length & wrap)
            run.call(run.code.executed(decoded.instruction), {})
            raise LeaveDone

        return execute


def _stand(run: Run, v: Locals) -> Flow:
    """The instruction stands where the run began."""
    v["here"] = run.here
    return None


_codes: list[Code] = []


def code(isa: ir.Isa) -> Code:
    """The blocks of an Isa as functions; the last few Isas are kept."""
    for known in _codes:
        if known.isa is isa:
            return known
    _codes[:] = [Code(isa), *_codes[:15]]
    return _codes[0]
