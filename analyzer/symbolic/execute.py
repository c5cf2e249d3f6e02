"""Merging symbolic execution: one pass over an instruction, no forks.

Both arms of every condition are executed under a guard and every location is merged with if-then-else, so an
instruction costs one pass however many paths it has.  The result is a `Run`: under which condition it completes and in
what state, each trap with its condition, and every access to memory with its condition.

How memory behaves is the business of a `Memories` (see `windows`): the executor calls it for each access.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

from msgspec import Struct

from analyzer import ir
from analyzer.source import Span
from analyzer.symbolic.smt import Bits, Bool, Smt

# -- states ------------------------------------------------------------------------------------------------------------


class Changes(dict[str, Any]):
    """What an execution has written so far: element, file, memory or window name to its new term."""


@dataclass(slots=True)
class Frame:
    """A point of an execution: the locals, what was written, what a trap would restore, and whether it is reached."""

    locals: dict[str, Any]
    state: Changes
    restart: Changes
    alive: Bool = True
    widths: dict[str, int] = field(default_factory=dict)  # of the locals; one table for all forks of a body

    def fork(self) -> Frame:
        return Frame(dict(self.locals), Changes(self.state), self.restart, True, self.widths)

    def let(self, name: str, value: Any, width: int) -> None:
        """Sets a local."""
        self.locals[name] = value
        self.widths[name] = width


class TrapExit(Struct, frozen=True):
    """A trap under `guard`.  `trap` is None for a memory trap of an abstract map; `memory` says that an access raised
    it; `restored` is the state that a trap leaves, before its delivery."""

    guard: Bool
    trap: str | None
    args: tuple[Any, ...]
    restored: Changes
    memory: bool
    access: Event | None
    span: Span | None


class Event(Struct, frozen=True):
    """An access through the window under `guard`: which map, what kind, at what cell.

    `key` identifies the access (map, kind, width); `place` are the terms that say where (arguments and address);
    `modes` the privilege-like arguments; `named` says that the spec wrote them out, `current` that they are those of
    the current mode all the same.  `fault` is the run's own fault condition (without the guard).
    """

    guard: Bool
    key: tuple[str, str, int]
    place: tuple[Any, ...]
    modes: tuple[Any, ...]
    named: bool
    current: Bool
    fault: Bool
    span: Span | None


class Step(Struct, frozen=True):
    """A write or a trap in program order: what, under which guard, with which value."""

    guard: Bool
    what: str
    value: Any
    span: Span | None


@dataclass(slots=True)
class Run:
    """What one instruction does from one state."""

    completes: Bool = False
    after: Changes = field(default_factory=Changes)
    traps: list[TrapExit] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    unpredictable: Bool = False
    registers: Bool = False  # an access through the window reached a register
    executes: Bool = False
    unfinished: Bool = False  # it completed a step and will run again
    log: list[Step] = field(default_factory=list)
    unknowns: list[tuple[int, Any, int]] = field(default_factory=list)
    locals: Mapping[str, Any] = field(default_factory=dict)  # of the body, where it ends

    def traps_when(self, smt: Smt) -> Bool:
        """The condition under which it traps at all."""
        return smt.or_(*(t.guard for t in self.traps))


class World(Protocol):
    """The symbols of one run's beginning."""

    name: str

    def element(self, name: str) -> Any: ...

    def file(self, name: str) -> Any: ...

    def operand(self, name: str) -> Any: ...

    def unknown(self, site: int, width: int) -> Any: ...


class Memories(Protocol):
    """How accesses behave."""

    def load(self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, span: Span | None) -> Bits: ...

    def store(
        self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, value: Bits, span: Span | None
    ) -> None: ...

    def probe(
        self, ex: Executor, frame: Frame, path: Bool, access: ir.Access, what: str, span: Span | None
    ) -> tuple[Any, int]: ...


# -- the executor ------------------------------------------------------------------------------------------------------


class Executor:
    """Executes blocks of one Isa from the symbols of one world."""

    def __init__(self, isa: ir.Isa, smt: Smt, world: World, memories: Memories) -> None:
        self.isa = isa
        self.smt = smt
        self.world = world
        self.memories = memories
        self.run = Run()
        self._done: list[tuple[Bool, Changes]] = []
        self._returns: list[list[tuple[Bool, Any, Changes]]] = []

    # -- entry points --------------------------------------------------------------------------------------------------

    def instruction(self, body: ir.Block, locals: Mapping[str, tuple[Any, int]] | None = None) -> Run:
        """Executes a body to its end and merges the ways in which it completes."""
        frame = Frame({}, Changes(), Changes())
        for name, (value, width) in (locals or {}).items():
            frame.let(name, value, width)
        self.block(body, frame, True)
        self.run.locals = frame.locals
        self._done.append((frame.alive, frame.state))
        done = [(g, s) for g, s in self._done if g is not False]
        self.run.completes = self.smt.or_(*(g for g, _ in done))
        if done:
            after = done[-1][1]
            for guard, state in reversed(done[:-1]):
                after = self.merge_states(guard, state, after)
            self.run.after = after
        return self.run

    def procedure(self, frame: Frame, name: str, args: tuple[Any, ...], path: Bool) -> Any:
        """Calls a procedure in `frame`; its value, or None."""
        procedure = self.isa.procedures[name]
        return self.body(frame, procedure, args, path)

    def body(self, frame: Frame, procedure: ir.Procedure, args: tuple[Any, ...], path: Bool) -> Any:
        """Runs a procedure's body with its own locals."""
        inner = Frame({}, frame.state, frame.restart)
        for (param, width), arg in zip(procedure.params, args, strict=True):
            inner.let(param, arg, width)
        self._returns.append([])
        self.block(procedure.body, inner, self.smt.and_(path, frame.alive))
        returns = self._returns.pop()
        state, alive = inner.state, inner.alive
        value: Any = None
        for guard, result, after in reversed(returns):
            if alive is False and value is None:
                state, value = after, result
            else:
                state = self.merge_states(guard, after, state)
                if procedure.returns is not None:
                    value = result if value is None else self.smt.ite(guard, result, value, procedure.returns)
            alive = self.smt.or_(guard, alive)
        frame.state = state
        frame.restart = inner.restart
        frame.alive = self.smt.and_(frame.alive, alive)
        return value

    # -- statements ----------------------------------------------------------------------------------------------------

    def block(self, block: ir.Block, frame: Frame, path: Bool) -> None:
        """Executes statements; `path` is the condition under which control reached the block."""
        for stmt in block:
            if frame.alive is False:
                return
            self.statement(stmt, frame, path)

    def statement(self, stmt: ir.Stmt, frame: Frame, path: Bool) -> None:
        if isinstance(stmt, ir.Let):
            frame.let(stmt.local, self.value(stmt.value, frame), ir.width(stmt.value))
            return
        here = self.smt.and_(path, frame.alive)
        match stmt:
            case ir.Set():
                value = self.value(stmt.value, frame)
                frame.state[stmt.element] = value
                self.run.log.append(Step(here, stmt.element, value, stmt.span))
            case ir.SetEntry():
                self.set_entry(stmt, frame)
            case ir.Load():
                loaded = self.memories.load(self, frame, here, stmt.access, stmt.span)
                frame.let(stmt.local, loaded, stmt.access.bits)
            case ir.Store():
                value = self.value(stmt.value, frame)
                self.memories.store(self, frame, here, stmt.access, value, stmt.span)
                self.run.log.append(Step(here, stmt.access.space, value, stmt.span))
            case ir.Probe():
                probed, width = self.memories.probe(self, frame, here, stmt.access, stmt.what, stmt.span)
                frame.let(stmt.local, probed, width)
            case ir.When():
                self.when(stmt, frame, path)
            case ir.Loop():
                self.loop(stmt, frame, path)
            case ir.Call():
                args = tuple(self.value(a, frame) for a in stmt.args)
                value = self.procedure(frame, stmt.procedure, args, path)
                if stmt.local is not None:
                    frame.let(stmt.local, value, self.isa.procedures[stmt.procedure].returns or 0)
            case ir.Return():
                value = None if stmt.value is None else self.value(stmt.value, frame)
                self._returns[-1].append((here, value, Changes(frame.state)))
                frame.alive = False
            case ir.Trap():
                self.trap(frame, here, stmt.trap, tuple(self.value(a, frame) for a in stmt.args), stmt.span)
                frame.alive = False
            case ir.Done():
                if stmt.unfinished:
                    self.run.unfinished = self.smt.or_(self.run.unfinished, here)
                self._done.append((here, Changes(frame.state)))
                frame.alive = False
            case ir.Commit():
                frame.restart = Changes(frame.state)
            case ir.Unpredictable():
                self.run.unpredictable = self.smt.or_(self.run.unpredictable, here)
                frame.alive = False
            case ir.Execute():
                self.run.executes = self.smt.or_(self.run.executes, here)
                self._done.append((here, Changes(frame.state)))
                frame.alive = False
            case _:
                assert_never(stmt)

    def trap(
        self,
        frame: Frame,
        guard: Bool,
        trap: str | None,
        args: tuple[Any, ...],
        span: Span | None,
        memory: bool = False,
        access: Event | None = None,
    ) -> None:
        """Records a trap under `guard`."""
        if guard is not False:
            self.run.traps.append(TrapExit(guard, trap, args, frame.restart, memory, access, span))
            self.run.log.append(Step(guard, trap or "memory trap", None, span))

    def set_entry(self, stmt: ir.SetEntry, frame: Frame) -> None:
        file = self.isa.files[stmt.file]
        index, value = self.value(stmt.index, frame), self.value(stmt.value, frame)
        old = self.file(stmt.file, frame)
        self.run.log.append(Step(frame.alive, stmt.file, value, stmt.span))
        new = self.smt.store(old, index, value, file.index_width, file.width)
        wired = self.smt.or_(*(self.smt.eq(index, z, file.index_width) for z in sorted(file.zeros)))
        if file.size < 1 << file.index_width:
            inside = self.smt.compare("ult", index, file.size, file.index_width)
            wired = self.smt.or_(wired, self.smt.not_(inside))
        frame.state[stmt.file] = self.smt.ite_array(wired, old, new)

    def when(self, stmt: ir.When, frame: Frame, path: Bool) -> None:
        cond = self.value(stmt.cond, frame)
        if isinstance(cond, bool):
            self.block(stmt.then if cond else stmt.other, frame, path)
            return
        here = self.smt.and_(path, frame.alive)
        then, other = frame.fork(), frame.fork()
        self.block(stmt.then, then, self.smt.and_(here, cond))
        self.block(stmt.other, other, self.smt.and_(here, self.smt.not_(cond)))
        self.join(cond, then, other, frame)

    def join(self, cond: Bool, then: Frame, other: Frame, into: Frame) -> None:
        """Merges two arms.  An arm that never ends here does not take part."""
        if then.alive is False or other.alive is False:
            live = other if then.alive is False else then
            into.locals, into.state, into.restart = live.locals, live.state, live.restart
            guard = self.smt.not_(cond) if live is other else cond
            into.alive = self.smt.and_(into.alive, guard, live.alive)
            return
        into.alive = self.smt.and_(into.alive, self.smt.ite(cond, then.alive, other.alive, 0))
        into.state = self.merge_states(cond, then.state, other.state)
        if then.restart is not other.restart:
            into.restart = self.merge_states(cond, then.restart, other.restart)
        merged = {}
        for name in {**then.locals, **other.locals}:
            a, b = then.locals.get(name), other.locals.get(name)
            if a is None or b is None:
                merged[name] = b if a is None else a
            else:
                merged[name] = self.smt.ite(cond, a, b, into.widths[name])
        into.locals = merged

    def loop(self, stmt: ir.Loop, frame: Frame, path: Bool) -> None:
        """Unrolls: the rounds nest as `if cond { body; … }`."""
        frames: list[tuple[Bool, Frame]] = []
        current, here = frame, self.smt.and_(path, frame.alive)
        for _ in range(stmt.limit):
            cond = self.value(stmt.cond, current)
            if cond is False or current.alive is False:
                break
            inner = current.fork()
            frames.append((cond, current))
            here = self.smt.and_(here, cond)
            self.block(stmt.body, inner, here)
            here = self.smt.and_(here, inner.alive)
            current = inner
        else:
            if current.alive is not False:
                cond = self.value(stmt.cond, current)
                if cond is not False:
                    inner = current.fork()
                    frames.append((cond, current))
                    self.block(stmt.exhausted, inner, self.smt.and_(here, cond))
                    current = inner
        for cond, outer in reversed(frames):
            skipped = outer.fork()
            self.join(cond, current, skipped, outer)
            current = outer

    # -- merging -------------------------------------------------------------------------------------------------------

    def merge_states(self, cond: Bool, a: Changes, b: Changes) -> Changes:
        """The state that is `a` if `cond` else `b`."""
        if a is b:
            return a
        merged = Changes()
        for name in {**a, **b}:
            x = a[name] if name in a else self.initial(name)
            y = b[name] if name in b else self.initial(name)
            element = self.isa.elements.get(name)
            if element is not None:
                merged[name] = self.smt.ite(cond, x, y, element.width)
            else:
                merged[name] = self.smt.ite_array(cond, x, y)
        return merged

    def initial(self, name: str) -> Any:
        """The term that a name has at the beginning."""
        return self.world.element(name) if name in self.isa.elements else self.world.file(name)

    def element(self, name: str, frame: Frame) -> Bits:
        return frame.state[name] if name in frame.state else self.world.element(name)

    def file(self, name: str, frame: Frame) -> Any:
        return frame.state[name] if name in frame.state else self.world.file(name)

    # -- expressions ---------------------------------------------------------------------------------------------------

    def value(self, expr: ir.Expr, frame: Frame) -> Any:
        """The term of an expression at this point."""
        smt = self.smt
        match expr:  # what is frequent comes first
            case ir.Local():
                return frame.locals[expr.name]
            case ir.Const() | ir.BoolConst():
                return expr.value
            case ir.Compare():
                left, right, w = self.value(expr.left, frame), self.value(expr.right, frame), ir.width(expr.left)
                if expr.op == "eq":
                    return smt.not_(smt.xor(left, right)) if w == 0 else smt.eq(left, right, w)
                return smt.compare(expr.op, left, right, w)
            case ir.Extract():
                return smt.extract(self.value(expr.arg, frame), expr.hi, expr.lo, ir.width(expr.arg))
            case ir.Get():
                return self.element(expr.element, frame)
            case ir.Logic():
                left = self.value(expr.left, frame)
                if expr.op == "and":
                    return False if left is False else smt.and_(left, self.value(expr.right, frame))
                if expr.op == "or":
                    return True if left is True else smt.or_(left, self.value(expr.right, frame))
                return smt.xor(left, self.value(expr.right, frame))
            case ir.Concat():
                left, right = self.value(expr.left, frame), self.value(expr.right, frame)
                return smt.concat(left, ir.width(expr.left), right, ir.width(expr.right))
            case ir.If():
                cond = self.value(expr.cond, frame)
                if isinstance(cond, bool):
                    return self.value(expr.then if cond else expr.other, frame)
                return smt.ite(cond, self.value(expr.then, frame), self.value(expr.other, frame), ir.width(expr))
            case ir.Operand():
                return self.world.operand(expr.name)
            case ir.GetEntry():
                return self.entry(expr, frame)
            case ir.Unary():
                arg, w = self.value(expr.arg, frame), ir.width(expr.arg)
                return smt.neg(arg, w) if expr.op == "neg" else smt.invert(arg, w)
            case ir.Binary():
                left, right = self.value(expr.left, frame), self.value(expr.right, frame)
                return smt.op(expr.op, left, right, ir.width(expr.left))
            case ir.Not():
                return smt.not_(self.value(expr.arg, frame))
            case ir.Extend():
                return smt.extend(self.value(expr.arg, frame), ir.width(expr.arg), expr.width, expr.signed)
            case ir.ToBool():
                return smt.to_bool(self.value(expr.arg, frame))
            case ir.ToBits():
                return smt.to_bits(self.value(expr.arg, frame))
            case ir.Lookup():
                return self.lookup(expr, frame)
            case ir.Unknown():
                term = self.world.unknown(expr.site, expr.width)
                self.run.unknowns.append((expr.site, term, expr.width))
                return term
            case ir.Arbitrary():
                args = [self.value(a, frame) for a in expr.args]
                if not args:
                    return smt.symbol(f"arbitrary {expr.name}", expr.width)
                f = smt.function(f"arbitrary {expr.name}", (ir.width(a) for a in expr.args), expr.width)
                return smt.apply(f, args)
            case _:
                assert_never(expr)

    def entry(self, expr: ir.GetEntry, frame: Frame) -> Bits:
        file = self.isa.files[expr.file]
        index = self.value(expr.index, frame)
        if isinstance(index, int) and (index in file.zeros or index >= file.size):
            return 0
        value = self.smt.select(self.file(expr.file, frame), index, file.index_width)
        wired = self.smt.or_(*(self.smt.eq(index, z, file.index_width) for z in sorted(file.zeros)))
        if file.size < 1 << file.index_width:
            wired = self.smt.or_(wired, self.smt.not_(self.smt.compare("ult", index, file.size, file.index_width)))
        return self.smt.ite(wired, 0, value, file.width)

    def lookup(self, expr: ir.Lookup, frame: Frame) -> Bits:
        table = self.isa.tables[expr.table]
        index = self.value(expr.index, frame)
        if isinstance(index, int):
            return table.values[index] if index < len(table.values) else 0
        result: Bits = 0
        for i, value in enumerate(table.values):
            result = self.smt.ite(self.smt.eq(index, i, table.index_width), value, result, table.width)
        return result
