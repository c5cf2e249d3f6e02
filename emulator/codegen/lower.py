"""Statements as LLVM code.

The walk over a body is here, once: branches and joins, loops, calls, maps and buses.  What it means to read an element,
to touch memory or to trap differs between the tiers, and is left to the heirs.  State that an heir keeps in values
(`regs`) is joined like local variables.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import assert_never

from msgspec import Struct

from analyzer import ir
from emulator.codegen.shape import Shape
from emulator.codegen.values import Text, Unsupported, Value, Values, ty

Arg = Value | None
"""An argument of an access; None where the default holds."""


class Snap(Struct):
    """The values at the end of a block that goes to a join."""

    block: str
    locals: dict[str, Value]
    regs: dict[Hashable, Value]
    result: Value | None = None
    saved: object = None


class Frame(Struct):
    """An inlined procedure: where it returns to, and the values there."""

    join: str
    tail: bool
    snaps: list[Snap]
    returns: bool


class Lower(Values):
    """Lowers blocks; see the module."""

    def __init__(self, isa: ir.Isa, text: Text, shape: Shape) -> None:
        super().__init__(isa, text)
        self.shape = shape
        self.regs: dict[Hashable, Value] = {}
        self.widths: dict[str, int] = {}
        self.frames: list[Frame] = []
        self.after = False  # may control leave the instruction after the present statement?

    # -- what heirs give -----------------------------------------------------------------------------------------------

    @abstractmethod
    def set(self, element: str, value: Value) -> None: ...

    @abstractmethod
    def set_entry(self, file: ir.File, index: Value, value: Value) -> None: ...

    @abstractmethod
    def end(self) -> None:
        """The instruction is complete; ends the block."""

    @abstractmethod
    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        """Leaves the instruction; ends the block."""

    @abstractmethod
    def unpredictable(self) -> None: ...

    @abstractmethod
    def commit(self) -> bool:
        """What was written so far stays; whether control goes on behind it."""

    @abstractmethod
    def execute(self, word: Value, width: int, limit: int) -> None: ...

    @abstractmethod
    def mapped(
        self,
        space: ir.Map,
        address: Value,
        bits: int,
        kind: ir.AccessKind,
        args: list[Arg],
        table: bool,
        value: Value | None,
        span: bool,
    ) -> Value:
        """An access through a map that is not inlined.  `value` is what a store writes; a load returns the value.
        `span`: one access for each unit, which may be one where no difference shows."""

    @abstractmethod
    def physical(self, space: ir.Memory, address: Value, bits: int, table: bool, value: Value | None) -> Value: ...

    @abstractmethod
    def probe(self, stmt: ir.Probe, address: Value, args: list[Arg]) -> Value: ...

    @abstractmethod
    def reg_code(self, key: Hashable) -> tuple[str, int]:
        """The code that loads a register of `regs` from where it lies, and its width."""

    # -- blocks --------------------------------------------------------------------------------------------------------

    def run(self, block: ir.Block, tail: bool = False) -> bool:
        """Lowers a block; whether control falls out of it.  In `tail` position what falls out completes the
        instruction, and `end` is called for each way."""
        outer = self.after
        for i, stmt in enumerate(block):
            rest = block[i + 1 :]
            self.after = self.shape.leaves_before_commit(rest, outer)
            if isinstance(stmt, ir.When):
                cond = self.value(stmt.cond)
                if not isinstance(cond, int) and tail and len(rest) <= 3 and self.shape.jumps(stmt):
                    self._fork(cond, stmt.then + rest, stmt.other + rest)
                    return False
                live = self._when(cond, stmt, tail and not rest)
            else:
                live = self.stmt(stmt, tail and not rest)
            if not live:
                self.after = outer
                return False
        self.after = outer
        if tail:
            self.finish()
            return False
        return True

    def finish(self) -> None:
        """The end of the body in tail position: of the instruction, or of a procedure that is its last statement."""
        self.end()

    def stmt(self, stmt: ir.Stmt, tail: bool) -> bool:
        """Lowers one statement; whether control goes on behind it.  Frequent ones come first, for it takes long to
        hear from `isinstance` that something is not of a Struct's class."""
        match stmt:
            case ir.Let():
                self.bind(stmt.local, self.value(stmt.value), ir.width(stmt.value))
            case ir.SetEntry():
                index = self.value(stmt.index)
                self.set_entry(self.isa.files[stmt.file], index, self.value(stmt.value))
            case ir.Set():
                self.set(stmt.element, self.value(stmt.value))
            case ir.Return():
                self._return(None if stmt.value is None else self.value(stmt.value))
                return False
            case ir.Call():
                return self._call(stmt, tail)
            case ir.Load():
                value = self.load(stmt.access)
                self.bind(stmt.local, value, stmt.access.bits)
            case ir.Store():
                value = self.value(stmt.value)
                self.store(stmt.access, value)
            case ir.Trap():
                self.trap(self.isa.traps[stmt.trap], [self.value(a) for a in stmt.args])
                return False
            case ir.When():
                return self._when(self.value(stmt.cond), stmt, tail)
            case ir.Done():
                self.end()
                return False
            case ir.Loop():
                return self.loop(stmt)
            case ir.Probe():
                args = self.args(stmt.access)
                value = self.probe(stmt, self.value(stmt.access.address), args)
                self.bind(stmt.local, value, 1 if stmt.what == "fault" else self._below_width(stmt.access))
            case ir.Commit():
                return self.commit()
            case ir.Unpredictable():
                self.unpredictable()
                return False
            case ir.Execute():
                self.execute(self.value(stmt.word), ir.width(stmt.word), stmt.limit)
                return False
            case _:
                assert_never(stmt)
        return True

    def bind(self, local: str, value: Value, width: int) -> None:
        self.locals[local] = value
        self.widths[local] = max(width, 1)

    def _below_width(self, access: ir.Access) -> int:
        space = self.isa.spaces[access.space]
        return self.isa.spaces[space.below].address_width if isinstance(space, ir.Map) else space.address_width

    # -- branches ------------------------------------------------------------------------------------------------------

    def _fork(self, cond: Value, then: ir.Block, other: ir.Block) -> None:
        """Two ways that do not meet again in the instruction."""
        self.split()
        t, f = self.text.fresh("then"), self.text.fresh("else")
        self.text.do(f"br i1 {cond}, label %{t}, label %{f}")
        locals_, regs = self.locals, self.regs
        saved = self.save()
        for name, arm in ((t, then), (f, other)):
            self.text.label(name)
            self.locals, self.regs = dict(locals_), dict(regs)
            self.restore(saved)
            self.run(arm, tail=True)

    def save(self) -> object:
        """What an heir must put back when the other way is lowered."""
        return None

    def restore(self, saved: object) -> None: ...

    def join_saved(self, blocks: list[str], saved: list[object]) -> None:
        """Ways meet on which `save` gave these."""

    def split(self) -> None:
        """Ways are about to part."""

    def _when(self, cond: Value, stmt: ir.When, tail: bool) -> bool:
        if isinstance(cond, int):
            arm = stmt.then if cond else stmt.other
            if not tail:
                return self.run(arm)
            self.run(arm, tail=True)
            return False
        if tail and self.shape.jumps(stmt):
            self._fork(cond, stmt.then, stmt.other)
            return False
        self.split()
        t, f, join = (self.text.fresh(stem) for stem in ("then", "else", "join"))
        split = len(self.text.lines)
        weight = self._weight(stmt)
        self.text.do(f"br i1 {cond}, label %{t}, label %{f}{weight}")
        locals_, regs = self.locals, self.regs
        saved = self.save()
        snaps = []
        for name, arm in ((t, stmt.then), (f, stmt.other)):
            self.text.label(name)
            self.locals, self.regs = dict(locals_), dict(regs)
            self.restore(saved)
            if self.run(arm):
                snaps.append(self.snap(join))
        self.locals, self.regs = locals_, regs
        self.restore(saved)
        if not snaps:
            return False
        self.merge(join, snaps, split, regs)
        if tail:
            self.finish()
            return False
        return True

    def _weight(self, stmt: ir.When) -> str:
        """Ways that trap are rare."""
        if stmt.then and not stmt.other and isinstance(stmt.then[-1], ir.Trap):
            return ", !prof !1"
        return ""

    def snap(self, join: str, result: Value | None = None) -> Snap:
        """Goes to a join."""
        found = Snap(self.text.block, dict(self.locals), dict(self.regs), result, self.save())
        self.text.do(f"br label %{join}")
        return found

    def merge(
        self,
        join: str,
        snaps: list[Snap],
        split: int,
        regs: dict[Hashable, Value],
        returns: bool = False,
    ) -> Value | None:
        """Begins the block where ways meet.  `split` is the line before they part, `regs` the registers there: what
        only some of the ways have loaded or set is loaded there first."""
        keys = {key for snap in snaps for key, value in snap.regs.items() if regs.get(key) != value}
        for key in sorted(keys, key=repr):
            if key not in regs and any(key not in snap.regs for snap in snaps):
                code, _ = self.reg_code(key)
                name = "%" + self.text.fresh("r")
                self.text.lines.insert(split, f"  {name} = {code}")
                regs[key] = name
        self.text.label(join)
        self.join_saved([snap.block for snap in snaps], [snap.saved for snap in snaps])
        merged = dict(regs)
        for key in sorted(keys, key=repr):
            values = [snap.regs.get(key, regs.get(key)) for snap in snaps]
            merged[key] = self._phi([s.block for s in snaps], values, max(self.reg_code(key)[1], 1))
        common = set(snaps[0].locals)
        for snap in snaps[1:]:
            common &= set(snap.locals)
        self.locals = {
            name: self._phi([s.block for s in snaps], [s.locals[name] for s in snaps], self.widths.get(name, 64))
            for name in snaps[0].locals
            if name in common
        }
        self.regs = merged
        if not returns:
            return None
        results = [snap.result for snap in snaps]
        return results[0] if len(set(results)) == 1 else self._phi([s.block for s in snaps], results, self._returning)

    _returning = 64

    def _phi(self, blocks: list[str], values: list[Value | None], width: int) -> Value:
        first = values[0]
        if first is not None and all(value == first for value in values):
            return first
        pairs = ", ".join(f"[{0 if v is None else v}, %{b}]" for v, b in zip(values, blocks, strict=True))
        return self.text.let(f"phi {ty(width)} {pairs}")

    # -- procedures ----------------------------------------------------------------------------------------------------

    def _call(self, stmt: ir.Call, tail: bool) -> bool:
        procedure = self.isa.procedures[stmt.procedure]
        args = [self.value(a) for a in stmt.args]
        tail = tail and procedure.returns is None and self.shape.jumps_block(procedure.body)
        found = self.inline(procedure.params, args, procedure.body, procedure.returns, tail)
        if found is None:
            return False
        if stmt.local is not None:
            self.bind(stmt.local, found, procedure.returns or 1)
        return True

    def inline(
        self,
        params: tuple[tuple[str, int], ...],
        args: list[Value],
        body: ir.Block,
        returns: int | None,
        tail: bool = False,
        more: dict[str, Value] | None = None,
    ) -> Value | None:
        """Lowers a procedure in place; what it returns (0 if nothing), or None if control never comes back."""
        outer_locals, outer_widths = self.locals, self.widths
        self.locals = {name: arg for (name, _), arg in zip(params, args, strict=True)} | (more or {})
        self.widths = {name: max(w, 1) for name, w in params} | dict.fromkeys(more or {}, 16)
        frame = Frame(self.text.fresh("back"), tail, [], returns is not None)
        self.frames.append(frame)
        split, regs = len(self.text.lines), dict(self.regs)
        saved = self.save()
        result: Value | None = None
        last = body[-1] if body and not tail else None
        if not isinstance(last, ir.Return):
            live = self.run(body, tail)
        elif (live := self.run(body[:-1])) and frame.snaps:
            live = self.stmt(last, False)
        elif live:  # it returns at its end and nowhere else
            result = 0 if last.value is None else self.value(last.value)
            self.frames.pop()
            self.locals, self.widths = outer_locals, outer_widths
            return result
        self.frames.pop()
        if live and not frame.snaps:
            result = 0
        elif live:
            frame.snaps.append(self.snap(frame.join, 0))
        if len(frame.snaps) == 1 and self.text.lines[-1] == f"  br label %{frame.join}":
            (snap,) = frame.snaps
            self.text.lines.pop()
            self.regs = snap.regs
            self.restore(snap.saved)
            result = snap.result if snap.result is not None else 0
        elif frame.snaps:
            for snap in frame.snaps:
                snap.locals = {}
            self._returning = max(returns or 1, 1)
            self.restore(saved)
            result = self.merge(frame.join, frame.snaps, split, regs, returns=returns is not None)
            result = 0 if result is None else result
        self.locals, self.widths = outer_locals, outer_widths
        return result

    def _return(self, value: Value | None) -> None:
        frame = self.frames[-1]
        if frame.tail:
            self.finish()
            return
        frame.snaps.append(self.snap(frame.join, value))

    # -- loops ---------------------------------------------------------------------------------------------------------

    def loop(self, stmt: ir.Loop) -> bool:
        """A loop at run time.  The carried locals and the round are values that meet at its head."""
        if self.value(stmt.cond) == 0:
            return True
        if self.keeps_registers:
            raise Unsupported("a loop over registers")
        if self.shape.jumps_block(stmt.body):
            raise Unsupported("a loop that jumps")
        regs = self.regs
        head, body, out = (self.text.fresh(stem) for stem in ("loop", "round", "out"))
        before = self.text.block
        self.text.do(f"br label %{head}")
        outer_after = self.after
        self.after = True
        at = len(self.text.lines) + 1
        self.text.label(head)
        names = {name: "%" + self.text.fresh("c") for name in stmt.carried if name in self.locals}
        initial = {name: self.locals[name] for name in names}
        rounds = "%" + self.text.fresh("n")
        self.locals = {**self.locals, **names}
        entry_locals = dict(self.locals)
        cond = self.value(stmt.cond)
        self.text.do(f"br i1 {cond}, label %{body}, label %{out}")
        exits = [Snap(self.text.block, dict(self.locals), {})]
        self.text.label(body)
        go, last = self.text.fresh("go"), self.text.fresh("last")
        within = self.text.let(f"icmp ult i32 {rounds}, {stmt.limit}")
        self.text.do(f"br i1 {within}, label %{go}, label %{last}")
        self.text.label(go)
        incoming: list[tuple[str, dict[str, Value], Value]] = []
        if self.run(stmt.body):
            next_ = self.text.let(f"add i32 {rounds}, 1")
            incoming.append((self.text.block, dict(self.locals), next_))
            self.text.do(f"br label %{head}")
        self.text.label(last)
        self.locals = dict(entry_locals)
        self.regs = dict(regs)
        if self.run(stmt.exhausted):
            exits.append(Snap(self.text.block, dict(self.locals), {}))
            self.text.do(f"br label %{out}")
        phis = [f"  {rounds} = phi i32 [0, %{before}]" + "".join(f", [{n}, %{b}]" for b, _, n in incoming)]
        for name, value in names.items():
            pairs = "".join(f", [{locals_[name]}, %{b}]" for b, locals_, _ in incoming)
            phis.append(f"  {value} = phi {ty(self.widths.get(name, 64))} [{initial[name]}, %{before}]{pairs}")
        self.text.lines[at:at] = phis
        self.after = outer_after
        self.locals = dict(entry_locals)
        self.merge(out, exits, at, dict(regs))
        self.looped()
        return True

    keeps_registers = False

    def looped(self) -> None:
        """A loop is behind."""

    # -- accesses ------------------------------------------------------------------------------------------------------

    def args(self, access: ir.Access) -> list[Arg]:
        """The given arguments of an access."""
        return [self.value(a) if i >= len(access.given) or access.given[i] else None for i, a in enumerate(access.args)]

    def load(self, access: ir.Access) -> Value:
        address, args = self.value(access.address), self.args(access)
        return self.access(access.space, address, access.bits, access.kind, args, access.table, None, False)

    def store(self, access: ir.Access, value: Value) -> None:
        address, args = self.value(access.address), self.args(access)
        self.access(access.space, address, access.bits, "write", args, access.table, value, False)

    def access(
        self,
        name: str,
        address: Value,
        bits: int,
        kind: ir.AccessKind,
        args: list[Arg],
        table: bool,
        value: Value | None,
        span: bool,
    ) -> Value:
        """An access to any space; what a load reads, or 0."""
        space = self.isa.spaces[name]
        if bits % space.unit:
            raise Unsupported("an access of a part of a unit")
        match space:
            case ir.Memory():
                self.within(space, address, bits)
                return self.physical(space, address, bits, table, value)
            case ir.Map():
                if not self.shape.inlined(space) or span:
                    return self.mapped(space, address, bits, kind, args, table, value, span)
                below = self.through(space, address, bits, kind, args)
                return self.access(space.below, below, bits, kind, [], table, value, False)
            case ir.Bus():
                return self._bus(space, address, bits, kind, args, table, value)
            case _:
                assert_never(space)

    def through(self, space: ir.Map, address: Value, bits: int, kind: ir.AccessKind, args: list[Arg]) -> Value:
        """The address below, by the map's body in place."""
        more: dict[str, Value] = {"access": ir.ACCESS_CODE[kind], "bits": bits & 0xFFFF}
        given = self.given(space, args, {**more, space.address: address})
        params = ((space.address, space.address_width), *((p.name, p.width) for p in space.params))
        below = self.isa.spaces[space.below]
        result = self.inline(params, [address, *given], space.body, below.address_width, more=more)
        if result is None:  # it always traps
            self.unreached()
            return 0
        return result

    def unreached(self) -> None:
        """Control does not come here; what follows is code all the same."""
        self.text.label(self.text.fresh("never"))

    def given(self, space: ir.Map | ir.Bus, args: list[Arg], locals_: dict[str, Value]) -> list[Value]:
        """All arguments of a map, defaults in the present state; these see the access as `locals_`."""
        found: list[Value] = []
        outer, self.locals = self.locals, locals_
        for i, param in enumerate(space.params):
            arg = args[i] if i < len(args) else None
            if arg is None:
                arg = 0 if param.default is None else self.value(param.default)
            found.append(arg)
            self.locals = {**self.locals, param.name: arg}
        self.locals = outer
        return found

    def within(self, space: ir.Memory, address: Value, bits: int) -> None:
        """Raises `beyond` past the size of a memory."""
        if space.size is None or space.beyond is None:
            return
        units, w = bits // space.unit, space.address_width
        size, sw = self.value(space.size), ir.width(space.size)
        width = max(w, sw) + 1
        last = self.binary("add", self.extend(address, w, width), units - 1, width)
        greatest = (1 << w) - 1
        if units > 1:
            last = self.select(self.compare("ult", greatest, last, width), greatest, last, width)
        bad = self.compare("ule", self.extend(size, sw, width), last, width)
        if bad == 0:
            return
        saved, regs = self.save(), dict(self.regs)
        locals_, self.locals = self.locals, {}
        args = [self.value(a) for a in space.beyond.args]
        ok = self.text.fresh("ok")
        if isinstance(bad, int):
            self.trap(self.isa.traps[space.beyond.trap], args)
        else:
            no = self.text.fresh("beyond")
            self.text.do(f"br i1 {bad}, label %{no}, label %{ok}, !prof !1")
            self.text.label(no)
            self.trap(self.isa.traps[space.beyond.trap], args)
        self.locals, self.regs = locals_, regs
        self.restore(saved)
        self.text.label(ok)

    def _bus(
        self,
        space: ir.Bus,
        address: Value,
        bits: int,
        kind: ir.AccessKind,
        args: list[Arg],
        table: bool,
        value: Value | None,
    ) -> Value:
        """Unit by unit through the procedures of the bus; through a bus that only passes on, all at once."""
        beyond = self.shape.passes_on(space)
        if beyond is not None and bits > space.unit:
            return self.access(beyond, address, bits, kind, [], table, value, True)
        count, w, unit = bits // space.unit, space.address_width, space.unit
        big = self.isa.endian == "big"
        code = ir.ACCESS_CODE["read" if value is None else "write"]
        more: dict[str, Value] = {"access": code, "bits": bits & 0xFFFF}
        given = self.given(space, args, dict(more))
        total: Value = 0
        for i in range(count):
            at = self.binary("add", address, i, w)
            low = ((count - 1 - i) if big else i) * unit
            if value is None:
                part = self.inline(space.read.params, [at, *given], space.read.body, unit, more={**more})
                if part is None:
                    raise Unsupported("a bus that never answers")
                shifted = self.binary("shl", self.extend(part, unit, bits), low, bits)
                total = self.binary("or", total, shifted, bits)
            elif space.write is not None:
                part = self.extract(value, bits, low + unit - 1, low)
                if self.inline(space.write.params, [at, *given, part], space.write.body, None, more={**more}) is None:
                    raise Unsupported("a bus that never answers")
        return total
