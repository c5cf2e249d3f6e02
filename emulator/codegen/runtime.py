"""The routines that every machine needs once: entering and leaving, traps, interrupts, translation, slow accesses.

Routines that go on with the program have the convention of handlers and never return; the others are called, and
return a status: 0 done; 1 a trap was raised, its kind and arguments are in the state; 2 control leaves to the driver,
the reason is in the state; 3 unpredictable.
"""

from __future__ import annotations

from enum import IntEnum

from analyzer import ir
from emulator.codegen.direct import PC, SLOW, Direct
from emulator.codegen.handler import CONVENTION, PARAMETERS, Tail
from emulator.codegen.layout import Record
from emulator.codegen.plan import CODE_ENTRIES, CODE_ENTRY, CODE_PAGE, ENTRIES, ENTRY, LINE, MARK_CODE, MARK_TABLE, Plan
from emulator.codegen.proof import Prover, Range
from emulator.codegen.values import PROFILES, UNLIKELY, Text, Unsupported, Value, ones, ty

NESTED = 3
"""Traps that one delivery may raise."""


class Status(IntEnum):
    """What a routine came to."""

    DONE = 0
    TRAP = 1
    LEAVE = 2
    UNPREDICTABLE = 3


class Leave(IntEnum):
    """Why generated code came back to the driver."""

    BUDGET = 1
    DECODE = 2  # the record at `record` must be decoded
    PAGE = 3  # the program counter is in no known page of code
    CONTEXT = 4  # the context of the state is not known
    ATTEND = 5  # a wire, a deadline, or a device that failed
    HALTED = 6  # info0: the number of the element
    UNDELIVERED = 7  # info0: the number of the trap
    DOUBLE_FAULT = 8  # info0: the number of the trap
    HOT = 9  # the record at `record` was jumped to often
    REFERENCE = 10  # the reference must execute the instruction
    STOP = 11  # a callback failed: nothing of the instruction is left
    UNDEFINED = 12


class Going(Tail):
    """Code of routines that go on with the program."""

    def __init__(self, plan: Plan, text: Text) -> None:
        super().__init__(plan, text)
        self.regs[PC] = "%pc" if plan.pc_width == 64 else "%here"

    def prologue(self) -> None:
        if self.plan.pc_width < 64:
            self.text.do(f"%here = trunc nuw i64 %pc to {ty(self.plan.pc_width)}")

    def leave(self, reason: Leave, budget: Value = "%b", info: Value = 0) -> None:
        self.put_word("reason", int(reason))
        self.put_word("info0", info)
        self.go("@exit_", "%rec", budget, self.wide_pc())

    def operand(self, name: str, width: int) -> Value:
        raise Unsupported("an operand outside of an instruction")

    def end(self) -> None:
        raise Unsupported("the end of an instruction outside of one")

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        raise Unsupported("a trap here")

    def failed(self, status: str) -> None:
        raise Unsupported("an access here")

    def unpredictable(self) -> None:
        raise Unsupported("unpredictable here")

    def commit(self) -> bool:
        raise Unsupported("a commit outside of an instruction")

    def execute(self, word: Value, width: int, limit: int) -> None:
        raise Unsupported("an instruction that executes another")

    def reg_code(self, key: object) -> tuple[str, int]:
        return ("", self.plan.pc_width) if key == PC else ("add i1 0, 0", 1)


class Delivery(Going):
    """The delivery procedure for one kind of trap."""

    def __init__(self, plan: Plan, text: Text, kind: ir.TrapKind) -> None:
        super().__init__(plan, text)
        self.kind = kind

    def end(self) -> None:
        """Done inside the delivery completes it."""
        lost = self.binary("add", self.word("lost"), 1, 64)
        self.put_word("lost", lost)
        self.put_word("nest", 0)
        first = self.pointer("journal0")
        self.text.do(f"store ptr {first}, ptr {self.at(self.layout.words['journal'])}")
        self.go("@check", "poison", self.binary("sub", "%b", 1, 64), self.wide_pc())

    def number(self, kind: ir.TrapKind) -> int:
        return list(self.isa.traps).index(kind.name)

    def nested(self, number: Value, target: str | None) -> None:
        """Another trap takes the place of this one."""
        self.text.do(f"call void @rollback(ptr %st, ptr {self.pointer('journal0')})")
        nest = self.binary("add", self.word("nest"), 1, 64)
        self.put_word("nest", nest)
        over, again = self.text.fresh("over"), self.text.fresh("again")
        self.text.do(f"br i1 {self.compare('ult', NESTED, nest, 64)}, label %{over}, label %{again}")
        self.text.label(over)
        self.put_word("nest", 0)
        self.regs[PC] = "%pc" if self.plan.pc_width == 64 else "%here"
        self.leave(Leave.DOUBLE_FAULT, info=number)
        self.text.label(again)
        if target is None:
            table = self.at(self.plan.routine("deliver." + next(iter(self.isa.traps))))
            target = self.text.let(f"load ptr, ptr {self.away(table, self.binary('shl', number, 3, 64))}")
        self.go(target, "poison", "%b", "%pc")

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        for i, (arg, (_, w)) in enumerate(zip(args, kind.params, strict=True)):
            self.text.do(f"store i64 {self.extend(arg, w, 64)}, ptr {self.at(self.layout.arguments + 8 * i)}")
        self.nested(self.number(kind), f"@deliver.{kind.name}")

    def failed(self, status: str) -> None:
        """A trap nests; whatever else happens, the trap is not delivered."""
        trap, other = self.text.fresh("trap"), self.text.fresh("other")
        self.text.do(f"br i1 {self.compare('eq', status, int(Status.TRAP), 64)}, label %{trap}, label %{other}")
        self.text.label(other)
        left, none = self.text.fresh("left"), self.text.fresh("none")
        self.text.do(f"br i1 {self.compare('eq', status, int(Status.LEAVE), 64)}, label %{left}, label %{none}")
        self.text.label(left)
        self.text.do(f"call void @rollback(ptr %st, ptr {self.pointer('journal0')})")
        self.regs[PC] = "%pc" if self.plan.pc_width == 64 else "%here"
        self.go("@exit_", "poison", "%b", self.wide_pc())
        self.text.label(none)
        self.unpredictable()
        self.text.label(trap)
        self.nested(self.word("trap"), None)

    def unpredictable(self) -> None:
        self.text.do(f"call void @rollback(ptr %st, ptr {self.pointer('journal0')})")
        self.put_word("nest", 0)
        self.regs[PC] = "%pc" if self.plan.pc_width == 64 else "%here"
        self.leave(Leave.UNDELIVERED, info=self.number(self.kind))

    def commit(self) -> bool:
        first = self.pointer("journal0")
        self.text.do(f"store ptr {first}, ptr {self.at(self.layout.words['journal'])}")
        return True


class Called(Direct):
    """Code of routines that return a status."""

    def __init__(self, plan: Plan, text: Text) -> None:
        super().__init__(plan, text)
        self.after = True
        self.regs[PC] = "%here"

    def prologue(self) -> None:
        """Here the budget and the program counter are those of the state."""
        self.text.do(f"%b = load i64, ptr {self.at(self.layout.words['budget'])}")
        width = self.plan.pc_width
        place = self.at(self.layout.elements[self.plan.pc])
        self.text.do(f"%here.wide = load i64, ptr {place}")
        self.text.do(f"%here = trunc i64 %here.wide to {ty(width)}" if width < 64 else "%here = add i64 %here.wide, 0")

    def operand(self, name: str, width: int) -> Value:
        raise Unsupported("an operand outside of an instruction")

    def end(self) -> None:
        raise Unsupported("the end of an instruction outside of one")

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        for i, (arg, (_, w)) in enumerate(zip(args, kind.params, strict=True)):
            self.text.do(f"store i64 {self.extend(arg, w, 64)}, ptr {self.at(self.layout.arguments + 8 * i)}")
        self.put_word("trap", list(self.isa.traps).index(kind.name))
        self.text.do(f"ret i64 {int(Status.TRAP)}")

    def failed(self, status: str) -> None:
        self.text.do(f"ret i64 {status}")

    def unpredictable(self) -> None:
        self.text.do(f"ret i64 {int(Status.UNPREDICTABLE)}")

    def commit(self) -> bool:
        raise Unsupported("a commit outside of an instruction")

    def execute(self, word: Value, width: int, limit: int) -> None:
        raise Unsupported("an instruction that executes another")

    def reg_code(self, key: object) -> tuple[str, int]:
        return ("", self.plan.pc_width) if key == PC else ("add i1 0, 0", 1)


class Runtime:
    """Writes the module of the run time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.isa = plan.isa
        self.globals: dict[str, str] = {}
        self.out: list[str] = []

    def text(self) -> str:
        """The module."""
        self.out = [
            PROFILES,
            "declare i64 @llvm.ctlz.i64(i64, i1)",
            "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
            *(f"declare i{n} @llvm.bswap.i{n}(i{n})" for n in (16, 32, 64)),
        ]
        self._frame()
        for space in self.isa.spaces.values():
            match space:
                case ir.Map():
                    self._translate(space)
                    self._load_store_map(space)
                case ir.Memory():
                    self._load_memory(space)
                    self._store_memory(space)
                case ir.Bus():
                    pass
        for space in self.plan.shape.cached:
            self._prove(space)
            self._fill(space)
        self._prove_fetch()
        for kind in self.isa.traps.values():
            self._deliver(kind)
        return "\n".join([*self.globals.values(), *self.out])

    def exports(self) -> list[str]:
        """The functions that the driver needs the address of."""
        fixed = [
            "run",
            "exit_",
            "exit_budget",
            "lookup",
            "check",
            "attend",
            "interpret",
            "raise_",
            "rollback",
            "flush",
            "undecoded",
        ]
        return [
            *fixed,
            "missing",
            "crossing",
            "count",
            "reference",
            "undefined",
            "prove.fetch",
            "fetch",
            *self.plan.routines,
        ]

    # -- the frame -----------------------------------------------------------------------------------------------------

    def _going(self, name: str, body: object, convention: str = CONVENTION) -> None:
        """A routine that goes on with the program; `body` gets its code."""
        text = Text()
        code = Going(self.plan, text)
        code.prologue()
        body(code)  # type: ignore[operator]
        self._add(code, f"define {convention} void @{name}({PARAMETERS}) nounwind noinline", text)

    def _add(self, code: Direct, head: str, text: Text) -> None:
        self.globals |= code.globals
        self.out.append(f"{head} {{\nentry:\n" + "\n".join(text.lines) + "\n}\n")

    def _frame(self) -> None:
        layout, plan = self.plan.layout, self.plan
        pc_slot = layout.elements[plan.pc]
        words = layout.words

        def exit_(code: Going) -> None:
            code.text.do(f"store i64 %pc, ptr {code.at(pc_slot)}")
            code.put_word("budget", "%b")
            code.text.do(f"store ptr %rec, ptr {code.at(words['record'])}")
            code.text.do("ret void")

        self._going("exit_", exit_)
        self._going("exit_budget", lambda code: code.leave(Leave.BUDGET))
        for name, reason in (
            ("undecoded", Leave.DECODE),
            ("reference", Leave.REFERENCE),
            ("undefined", Leave.UNDEFINED),
        ):
            self._going(name, lambda code, reason=reason: self._unless_spent(code, reason))
        self._going("crossing", lambda code: code.jump("%b"))
        self._going("lookup", self._lookup)
        self._going("missing", self._missing)
        self._going("check", self._check)
        self._going("interrupts", self._interrupts)
        self._going("attend", self._attend)
        self._going("interpret", self._interpret)
        self._going("raise_", self._raise)
        self._going("count", self._count)
        self._run()
        self._rollback()
        self._flush()

    def _unless_spent(self, code: Going, reason: Leave) -> None:
        spent = code.compare("eq", "%b", 0, 64)
        code.text.do(f"br i1 {spent}, label %over, label %on{UNLIKELY}")
        code.text.label("over")
        code.leave(Leave.BUDGET)
        code.text.label("on")
        code.leave(reason)

    def _run(self) -> None:
        text = Text()
        code = Going(self.plan, text)
        budget = code.word("budget")
        ram = text.let("inttoptr i64 %bank to ptr")
        pc = text.let(f"load i64, ptr {code.at(self.plan.layout.elements[self.plan.pc])}")
        where = code.pointer("record")
        text.do(f"call {CONVENTION} void %entry(ptr %st, ptr {where}, ptr {ram}, i64 {budget}, i64 {pc}, i64 0)")
        text.do("ret void")
        body = "\n".join(text.lines)
        self.out.append(f"define void @run(ptr %st, i64 %bank, ptr %entry) nounwind {{\nentry_:\n{body}\n}}\n")

    def _rollback(self) -> None:
        """Takes back journalled writes, the last ones first, down to `%to`."""
        at = self.plan.layout.words
        flushed = at["flushed"]
        self.out.append(f"""
define void @rollback(ptr %st, ptr %to) nounwind noinline {{
entry:
  %place = getelementptr i8, ptr %st, i64 {at["journal"]}
  %top = load ptr, ptr %place
  br label %loop
loop:
  %p = phi ptr [%top, %entry], [%q, %next]
  %done = icmp ule ptr %p, %to
  br i1 %done, label %out, label %undo
undo:
  %q = getelementptr i8, ptr %p, i64 -24
  %target = load ptr, ptr %q
  %vp = getelementptr i8, ptr %q, i64 8
  %v = load i64, ptr %vp
  %sp = getelementptr i8, ptr %q, i64 16
  %s = load i64, ptr %sp
  switch i64 %s, label %b8 [i64 1, label %b1 i64 2, label %b2 i64 4, label %b4]
b1:
  %v1 = trunc i64 %v to i8
  store i8 %v1, ptr %target
  br label %next
b2:
  %v2 = trunc i64 %v to i16
  store i16 %v2, ptr %target, align 1
  br label %next
b4:
  %v4 = trunc i64 %v to i32
  store i32 %v4, ptr %target, align 1
  br label %next
b8:
  store i64 %v, ptr %target, align 1
  br label %next
next:
  br label %loop
out:
  store ptr %to, ptr %place
  %fp = getelementptr i8, ptr %st, i64 {flushed}
  %f = load i64, ptr %fp
  %any = icmp ne i64 %f, 0
  br i1 %any, label %again, label %ok
again:
  call void @flush(ptr %st)
  br label %ok
ok:
  ret void
}}
""")

    def _flush(self) -> None:
        """Drops all translations: those of the present context at once, those of others when they come back."""
        text = Text()
        code = Going(self.plan, text)
        code.put_word("generation", code.binary("add", code.word("generation"), 1, 64))
        code.put_word("flushed", 1)
        self._clear(code)
        text.do("ret void")
        self._add(code, "define void @flush(ptr %st) nounwind noinline", text)

    def _clear(self, code: Going) -> None:
        views = max(len(self.plan.views), 1)
        for word, size in (("dtlb", views * ENTRIES * ENTRY), ("itlb", CODE_ENTRIES * CODE_ENTRY)):
            code.text.do(f"call void @llvm.memset.p0.i64(ptr {code.pointer(word)}, i8 -1, i64 {size}, i1 false)")

    def _lookup(self, code: Going) -> None:
        """A jump that the fetch cache did not know when it was tried in place."""
        page = ones(64) - ones(CODE_PAGE)
        index = code.binary("and", code.binary("lshr", "%pc", CODE_PAGE - 4, 64), (CODE_ENTRIES - 1) * CODE_ENTRY, 64)
        entry = code.text.let(f"getelementptr i8, ptr {code.pointer('itlb')}, i64 {index}")
        tag = code.text.let(f"load i64, ptr {entry}")
        hit = code.compare("eq", code.binary("and", "%pc", page | self.plan.per_parcel - 1, 64), tag, 64)
        code.text.do(f"br i1 {hit}, label %found, label %none")
        code.text.label("found")
        base = code.text.let(f"load ptr, ptr {code.at(8, entry)}")
        scale = (self.plan.layout.record.size // self.plan.per_parcel).bit_length() - 1
        away = code.binary("shl", code.binary("and", "%pc", ones(CODE_PAGE), 64), scale, 64)
        rec = code.text.let(f"getelementptr i8, ptr {base}, i64 {away}")
        code.go(code.text.let(f"load ptr, ptr {code.at(Record.JUMP, rec)}"), rec, "%b", "%pc")
        code.text.label("none")
        code.go("@missing", "%rec", "%b", "%pc")

    def _missing(self, code: Going) -> None:
        """A program counter that is in no page of the fetch cache: fetching traps, or the driver finds the page."""
        spent = code.compare("eq", "%b", 0, 64)
        code.text.do(f"br i1 {spent}, label %over, label %look{UNLIKELY}")
        code.text.label("over")
        code.leave(Leave.BUDGET)
        code.text.label("look")
        code.text.do(f"store i64 %pc, ptr {code.at(self.plan.layout.elements[self.plan.pc])}")
        code.put_word("budget", "%b")
        status = code.text.let("call i64 @fetch(ptr %st, ptr %ram, i64 %pc)")
        code.text.do(f"br i1 {code.compare('eq', status, 0, 64)}, label %page, label %bad")
        code.text.label("page")
        code.leave(Leave.PAGE)
        code.text.label("bad")
        code.text.do(f"call void @rollback(ptr %st, ptr {code.pointer('journal0')})")
        code.put_word("reason", status)
        code.go("@raise_", "%rec", "%b", "%pc", 0)
        self._fetch()

    def _fetch(self) -> None:
        """Reads the parcel at an address as instruction fetch does; what it is does not matter."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        fetch = self.isa.fetch
        space = self.isa.spaces[fetch.space]
        args = [code.value(a) if i >= len(fetch.given) or fetch.given[i] else None for i, a in enumerate(fetch.args)]
        at = code.fit("%pc", 64, space.address_width)
        code.access(fetch.space, at, fetch.parcel, "fetch", args, False, None, False)
        first = code.pointer("journal0")
        text.do(f"store ptr {first}, ptr {code.at(self.plan.layout.words['journal'])}")
        text.do("ret i64 0")
        self._add(code, "define i64 @fetch(ptr %st, ptr %ram, i64 %pc) nounwind noinline", text)

    def _raise(self, code: Going) -> None:
        """A routine failed in an instruction of `%x` units; what was written is undone already."""
        status = code.word("reason")
        code.put_word("flushed", 0)
        code.text.do(
            f"switch i64 {status}, label %left [i64 {int(Status.TRAP)}, label %trap "
            f"i64 {int(Status.UNPREDICTABLE)}, label %skip]"
        )
        code.text.label("left")
        code.put_word("reason", code.word("info1"))
        code.go("@exit_", "%rec", "%b", "%pc")
        code.text.label("skip")
        w = self.plan.pc_width
        after = code.extend(code.binary("add", code.regs[PC], code.fit("%x", 64, w), w), w, 64)
        code.go("@attend", "poison", code.binary("sub", "%b", 1, 64), after)
        code.text.label("trap")
        after = code.extend(code.binary("add", code.regs[PC], code.fit("%x", 64, w), w), w, 64)
        number = code.word("trap")
        for i, kind in enumerate(self.isa.traps.values()):
            this, on = code.text.fresh("this"), code.text.fresh("on")
            code.text.do(f"br i1 {code.compare('eq', number, i, 64)}, label %{this}, label %{on}")
            code.text.label(this)
            code.go(f"@deliver.{kind.name}", "poison", "%b", "%pc" if kind.resume == "here" else after)
            code.text.label(on)
        code.text.do("unreachable")

    def _attend(self, code: Going) -> None:
        """After an instruction that took a slow path."""
        first = code.pointer("journal0")
        code.text.do(f"store ptr {first}, ptr {code.at(self.plan.layout.words['journal'])}")
        code.put_word("flushed", 0)
        waits = code.compare("eq", code.word("attention"), 0, 64)
        code.text.do(f"br i1 {waits}, label %on, label %stop")
        code.text.label("stop")
        code.leave(Leave.ATTEND)
        code.text.label("on")
        code.jump("%b")

    def _interpret(self, code: Going) -> None:
        """Executes the instruction of a record by its handler, whatever code is installed there."""
        number = code.extend(code.text.let(f"load i32, ptr {code.at(Record.VARIANT, '%rec')}"), 32, 64)
        place = code.away(code.pointer("variants"), code.binary("shl", number, 3, 64))
        code.go(code.text.let(f"load ptr, ptr {place}"), "%rec", "%b", "%pc")

    def _count(self, code: Going) -> None:
        """A jump to a record that has no code of its own yet."""
        place = code.at(Record.COUNT, "%rec")
        count = code.binary("add", code.text.let(f"load i32, ptr {place}"), 1, 32)
        code.text.do(f"store i32 {count}, ptr {place}")
        limit = code.fit(code.word("threshold"), 64, 32)
        code.text.do(f"br i1 {code.compare('eq', count, limit, 32)}, label %hot, label %cold{UNLIKELY}")
        code.text.label("hot")
        code.leave(Leave.HOT)
        code.text.label("cold")
        code.go(code.text.let("load ptr, ptr %rec"), "%rec", "%b", "%pc")

    # -- between instructions ------------------------------------------------------------------------------------------

    def _check(self, code: Going) -> None:
        """Context, interrupts, halted elements; then the next instruction."""
        plan = self.plan
        code.still = True
        first = code.pointer("journal0")
        code.text.do(f"store ptr {first}, ptr {code.at(plan.layout.words['journal'])}")
        code.put_word("flushed", 0)
        waits = code.compare("eq", code.word("attention"), 0, 64)
        code.text.do(f"br i1 {waits}, label %calm, label %stop")
        code.text.label("stop")
        code.leave(Leave.ATTEND)
        code.text.label("calm")
        self._context(code)
        code.text.do(f"br i1 {code.compare('eq', '%b', 0, 64)}, label %over, label %go{UNLIKELY}")
        code.text.label("over")
        code.leave(Leave.BUDGET)
        code.text.label("go")
        if self.isa.interrupts:
            calm = code.compare("eq", code.word("calm"), 0, 64)
            code.text.do(f"br i1 {calm}, label %look, label %quiet{UNLIKELY}")
            code.text.label("look")
            code.go("@interrupts", "%rec", "%b", "%pc")
            code.text.label("quiet")
        self._resume(code)

    def _interrupts(self, code: Going) -> None:
        """Takes the first interrupt whose condition holds; notes if none can."""
        plan = self.plan
        code.still = True
        restless: Value = 0
        for conjuncts in plan.calm:
            holds: Value = 1
            for conjunct in conjuncts:
                holds = code.binary("and", holds, code.value(conjunct), 1)
            restless = code.binary("or", restless, holds, 1)
        if restless != 1:
            code.text.do(f"br i1 {restless}, label %look, label %quiet")
            code.text.label("quiet")
            code.put_word("calm", 1)
            self._resume(code)
            code.text.label("look")
        for interrupt in self.isa.interrupts:
            cond = code.value(interrupt.cond)
            if cond == 0:
                continue
            take, on = code.text.fresh("take"), code.text.fresh("on")
            code.text.do(f"br i1 {cond}, label %{take}, label %{on}{UNLIKELY}")
            code.text.label(take)
            kind = self.isa.traps[interrupt.trap]
            for i, (arg, (_, w)) in enumerate(zip(interrupt.args, kind.params, strict=True)):
                value = code.extend(code.value(arg), w, 64)
                code.text.do(f"store i64 {value}, ptr {code.at(plan.layout.arguments + 8 * i)}")
            code.go(f"@deliver.{kind.name}", "poison", "%b", "%pc")
            code.text.label(on)
        self._resume(code)

    def _resume(self, code: Going) -> None:
        """No interrupt: halts, or goes on with the program."""
        plan = self.plan
        for i, name in enumerate(plan.processor):
            halted, on = code.text.fresh("halted"), code.text.fresh("on")
            width = self.isa.elements[name].width
            code.text.do(f"br i1 {code.compare('eq', code.get(name, width), 0, width)}, label %{on}, label %{halted}")
            code.text.label(halted)
            code.leave(Leave.HALTED, info=i)
            code.text.label(on)
        code.jump("%b")

    def _context(self, code: Going) -> None:
        """Takes up the context of the state: its caches, without what is out of date."""
        plan = self.plan
        if not plan.key:
            return
        key: Value = 0
        at = 0
        for name in plan.key:
            width = self.isa.elements[name].width
            part = code.extend(code.get(name, width), width, 64)
            key = code.binary("or", key, code.binary("shl", part, at, 64), 64)
            at += width
        same = code.compare("eq", key, code.word("key"), 64)
        code.text.do(f"br i1 {same}, label %known, label %other")
        code.text.label("other")
        # a table of 64 contexts: key, fetch cache, data caches, generation
        mixed = code.binary("mul", key, 0x9E3779B97F4A7C15, 64)
        slot_ = code.binary("shl", code.binary("lshr", mixed, 58, 64), 5, 64)
        entry = code.text.let(f"getelementptr i8, ptr {code.pointer('contexts')}, i64 {slot_}")
        there = code.compare("eq", code.text.let(f"load i64, ptr {entry}"), key, 64)
        itlb = code.text.let(f"load i64, ptr {code.at(8, entry)}")
        usable = code.binary("and", there, code.binary("xor", code.compare("eq", itlb, 0, 64), 1, 1), 1)
        code.text.do(f"br i1 {usable}, label %switch, label %new")
        code.text.label("new")
        code.put_word("info1", key)
        code.leave(Leave.CONTEXT)
        code.text.label("switch")
        code.put_word("key", key)
        code.put_word("itlb", itlb)
        code.put_word("dtlb", code.text.let(f"load i64, ptr {code.at(16, entry)}"))
        generation, place = code.word("generation"), code.at(24, entry)
        fresh = code.compare("eq", code.text.let(f"load i64, ptr {place}"), generation, 64)
        code.text.do(f"br i1 {fresh}, label %known, label %clear")
        code.text.label("clear")
        code.text.do(f"store i64 {generation}, ptr {place}")
        self._clear(code)
        code.text.do("br label %known")
        code.text.label("known")

    def _deliver(self, kind: ir.TrapKind) -> None:
        text = Text()
        code = Delivery(self.plan, text, kind)
        code.prologue()
        deliver = self.isa.deliver
        head = f"define {CONVENTION} void @deliver.{kind.name}({PARAMETERS}) nounwind noinline"
        if deliver is None:
            code.leave(Leave.UNDELIVERED, info=code.number(kind))
            self._add(code, head, text)
            return
        code.locals = {}
        for i, (name, width) in enumerate(kind.params):
            raw = text.let(f"load i64, ptr {code.at(self.plan.layout.arguments + 8 * i)}")
            code.bind(name, code.fit(raw, 64, width or 1), width)
        names = {n for trap in self.isa.traps.values() for n, _ in (*trap.attributes, *trap.params)}
        widths: dict[str, int] = {}
        for trap in self.isa.traps.values():
            widths |= dict(trap.params) | {n: ir.width(e) for n, e in trap.attributes}
        locals_: dict[str, Value] = {f"t.{name}": 0 for name in sorted(names)}
        locals_ |= {f"t.{name}": code.locals[name] for name, _ in kind.params}
        locals_ |= {f"t.{name}": code.value(e) for name, e in kind.attributes}
        locals_["t"] = code.number(kind)
        code.locals = locals_
        code.widths = {f"t.{name}": max(w, 1) for name, w in widths.items()} | {"t": 16}
        try:
            if code.inline((), [], deliver.body, None, more=locals_) is not None:
                code.end()
            self._add(code, head, text)
        except Unsupported:
            plain = Going(self.plan, Text())
            plain.prologue()
            plain.leave(Leave.REFERENCE)
            self._add(plain, head, plain.text)

    # -- memory --------------------------------------------------------------------------------------------------------

    def _params(self, space: ir.Map) -> str:
        return "".join(f", i64 %arg{i}" for i in range(len(space.params)))

    def _translate(self, space: ir.Map) -> None:
        """The address below, for any access."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        given: list[Value] = []
        for i, param in enumerate(space.params):
            arg = code.fit(f"%arg{i}", 64, param.width or 1)
            bit = code.fit(code.binary("lshr", "%mask", i, 64), 64, 1)
            code.locals = {"access": code.fit("%kind", 64, 2)}
            default = 0 if param.default is None else code.value(param.default)
            given.append(code.select(bit, arg, default, param.width))
        more: dict[str, Value] = {"access": code.fit("%kind", 64, 2), "bits": code.fit("%bits", 64, 16)}
        params = ((space.address, space.address_width), *((p.name, p.width) for p in space.params))
        below = self.isa.spaces[space.below].address_width
        address = code.fit("%address", 64, space.address_width)
        result = code.inline(params, [address, *given], space.body, below, more=more)
        if result is not None:
            code.put_word("result", code.extend(result, below, 64))
            text.do("ret i64 0")
        head = "ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %mask" + self._params(space)
        self._add(code, f"define i64 @translate.{space.name}({head}) nounwind noinline", text)

    def _load_store_map(self, space: ir.Map) -> None:
        below = self.isa.spaces[space.below]
        params, passed = self._params(space), "".join(f", i64 %arg{i}" for i in range(len(space.params)))
        head = "ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %flags, i64 %mask"
        zeros = "".join(", i64 0" for _ in below.params) if isinstance(below, ir.Map) else ""
        span = self._span(space, passed)
        for what in ("load", "store"):
            text = Text()
            code = Called(self.plan, text)
            value = ", i64 %value" if what == "store" else ""
            code.prologue()
            text.do(f"br i1 {code.compare('eq', code.binary('and', '%flags', 2, 64), 0, 64)}, label %one, label %each")
            text.label("each")
            text.do(span[what])
            text.label("one")
            status = text.let(
                f"call i64 @translate.{space.name}"
                f"(ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %mask{passed})"
            )
            code.check_status(status)
            if isinstance(below, ir.Bus):
                code.put_word("info1", int(Leave.REFERENCE))
                text.do(f"ret i64 {int(Status.LEAVE)}")
            else:
                at = code.word("result")
                status = text.let(
                    f"call i64 @{what}.{below.name}(ptr %st, ptr %ram, i64 {at}, i64 %bits, i64 %kind, i64 %flags, "
                    f"i64 0{value}{zeros})"
                )
                code.check_status(status)
                self._fills(space, code, passed)
                text.do("ret i64 0")
            self._add(code, f"define i64 @{what}.{space.name}({head}{value}{params}) nounwind noinline", text)

    def _fills(self, space: ir.Map, code: Called, passed: str) -> None:
        """Fills the cache of the view that was used, after a whole access."""
        if space not in self.plan.shape.cached:
            return
        text = code.text
        may, out = text.fresh("may"), text.fresh("filled")
        text.do(f"br i1 {code.compare('eq', code.binary('and', '%flags', 1, 64), 0, 64)}, label %{may}, label %{out}")
        text.label(may)
        for number, (name, args) in enumerate(self.plan.views):
            if name != space.name:
                continue
            mask = sum(1 << i for i, arg in enumerate(args) if arg is not None)
            fits = code.compare("eq", "%mask", mask, 64)
            for i, arg in enumerate(args):
                if arg is not None:
                    fits = code.binary("and", fits, code.compare("eq", f"%arg{i}", arg, 64), 1)
            yes, no = text.fresh("fill"), text.fresh("other")
            text.do(f"br i1 {fits}, label %{yes}, label %{no}")
            text.label(yes)
            result = code.word("result")
            text.do(
                f"call void @fill.{space.name}"
                f"(ptr %st, ptr %ram, i64 %address, i64 %kind, i64 %mask, i64 {number}{passed})"
            )
            code.put_word("result", result)
            text.do(f"br label %{out}")
            text.label(no)
        text.do(f"br label %{out}")
        text.label(out)

    def _span(self, space: ir.Map, passed: str) -> dict[str, str]:
        """The access unit by unit, each as one of its own."""
        unit, big = space.unit, self.isa.endian == "big"
        wrap = ones(space.address_width)
        shift = "%shift.big" if big else "%shift.little"
        head = "ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %flags, i64 %mask"
        last = f"i64 {unit}, i64 %kind, i64 %one, i64 %mask"
        self.out.append(f"""
define i64 @span.load.{space.name}({head}{self._params(space)}) nounwind noinline {{
entry:
  %one = and i64 %flags, -3
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %good]
  %sum = phi i64 [0, %entry], [%sum2, %good]
  %shift.little = mul i64 %i, {unit}
  %done = icmp uge i64 %shift.little, %bits
  br i1 %done, label %out, label %body
body:
  %a0 = add i64 %address, %i
  %a = and i64 %a0, {wrap if wrap < 1 << 63 else -1}
  %s = call i64 @load.{space.name}(ptr %st, ptr %ram, i64 %a, {last}{passed})
  %ok = icmp eq i64 %s, 0
  br i1 %ok, label %good, label %bad
good:
  %rp = getelementptr i8, ptr %st, i64 {self.plan.layout.words["result"]}
  %r = load i64, ptr %rp
  %left = sub i64 %bits, %shift.little
  %shift.big = sub i64 %left, {unit}
  %part = shl i64 %r, {shift}
  %sum2 = or i64 %sum, %part
  %next = add i64 %i, 1
  br label %loop
bad:
  ret i64 %s
out:
  %op = getelementptr i8, ptr %st, i64 {self.plan.layout.words["result"]}
  store i64 %sum, ptr %op
  ret i64 0
}}
define i64 @span.store.{space.name}({head}, i64 %value{self._params(space)}) nounwind noinline {{
entry:
  %one0 = and i64 %flags, -3
  %one = or i64 %one0, 4
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %good]
  %shift.little = mul i64 %i, {unit}
  %done = icmp uge i64 %shift.little, %bits
  br i1 %done, label %out, label %body
body:
  %a0 = add i64 %address, %i
  %a = and i64 %a0, {wrap if wrap < 1 << 63 else -1}
  %left = sub i64 %bits, %shift.little
  %shift.big = sub i64 %left, {unit}
  %part0 = lshr i64 %value, {shift}
  %part = and i64 %part0, {ones(unit) if unit < 63 else -1}
  %s = call i64 @store.{space.name}(ptr %st, ptr %ram, i64 %a, {last}, i64 %part{passed})
  %ok = icmp eq i64 %s, 0
  br i1 %ok, label %good, label %bad
good:
  %next = add i64 %i, 1
  br label %loop
bad:
  ret i64 %s
out:
  ret i64 0
}}
""")
        base = "ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %flags, i64 %mask"
        return {
            "load": f"%span = call i64 @span.load.{space.name}({base}{passed})\n  ret i64 %span",
            "store": f"%span = call i64 @span.store.{space.name}({base}, i64 %value{passed})\n  ret i64 %span",
        }

    def _sized(self, space: ir.Memory, code: Called) -> None:
        """Raises `beyond` past the size, for a width known at run time."""
        if space.size is None or space.beyond is None:
            return
        text = code.text
        units = code.binary("udiv", "%bits", space.unit, 64)
        last = code.binary("add", "%address", code.binary("sub", units, 1, 64), 64)
        greatest = ones(space.address_width)
        last = code.select(code.compare("ult", greatest, last, 64), greatest, last, 64)
        size = code.extend(code.value(space.size), ir.width(space.size), 64)
        text.do(f"br i1 {code.compare('ult', last, size, 64)}, label %within, label %beyond")
        text.label("beyond")
        code.trap(self.isa.traps[space.beyond.trap], [code.value(a) for a in space.beyond.args])
        text.label("within")

    def _load_memory(self, space: ir.Memory) -> None:
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        self._sized(space, code)
        number = memories(self.isa).index(space.name)
        bank = self.plan.bank
        if bank.memory == space.name and bank.size:
            self._bank_guard(code, space)
            for bits in _widths(space.unit):
                yes, no = text.fresh("bits"), text.fresh("other")
                text.do(f"br i1 {code.compare('eq', '%bits', bits, 64)}, label %{yes}, label %{no}")
                text.label(yes)
                offset = code.binary("sub", "%address", bank.base, 64)
                scaled = code.binary("shl", offset, bank.cell.bit_length() - 1, 64)
                host = text.let(f"getelementptr i8, ptr %ram, i64 {scaled}")
                code.put_word("result", code.extend(code.host_load(host, bits, space.unit), bits, 64))
                text.do("ret i64 0")
                text.label(no)
            text.do("br label %device")
            text.label("device")
        called = code.pointer("device_read")
        text.do(f"%answer = call i64 {called}(i64 {number}, i64 %address, i64 %bits)")
        text.do("ret i64 %answer")
        head = "ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %flags, i64 %mask"
        self._add(code, f"define i64 @load.{space.name}({head}) nounwind noinline", text)

    def _bank_guard(self, code: Called, space: ir.Memory) -> None:
        bank, text = self.plan.bank, code.text
        units = code.binary("udiv", "%bits", space.unit, 64)
        offset = code.binary("sub", "%address", bank.base, 64)
        last = code.binary("add", offset, units, 64)
        inside = code.compare("ule", last, bank.size, 64)
        inside = code.binary("and", inside, code.compare("ult", offset, bank.size, 64), 1)
        text.do(f"br i1 {inside}, label %inside, label %device")
        text.label("inside")

    def _store_memory(self, space: ir.Memory) -> None:
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        self._sized(space, code)
        number = memories(self.isa).index(space.name)
        bank = self.plan.bank
        if bank.memory == space.name and bank.size:
            self._bank_guard(code, space)
            offset = code.binary("sub", "%address", bank.base, 64)
            line = code.binary("lshr", offset, LINE, 64)
            mark = text.let(f"load i8, ptr {code.away(code.pointer('marks'), line)}")
            text.do(f"br i1 {code.compare('eq', mark, 0, 8)}, label %plain, label %marked")
            text.label("marked")
            table = code.compare("eq", code.binary("and", mark, MARK_TABLE, 8), 0, 8)
            text.do(f"br i1 {table}, label %nottable, label %table")
            text.label("table")
            text.do("call void @flush(ptr %st)")
            text.do("br label %nottable")
            text.label("nottable")
            text.do("br label %plain")
            text.label("plain")
            text.do(f"%was = phi i8 [0, %inside], [{mark}, %nottable]")
            for bits in _widths(space.unit):
                yes, no = text.fresh("bits"), text.fresh("other")
                text.do(f"br i1 {code.compare('eq', '%bits', bits, 64)}, label %{yes}, label %{no}")
                text.label(yes)
                offset = code.binary("sub", "%address", bank.base, 64)
                scaled = code.binary("shl", offset, bank.cell.bit_length() - 1, 64)
                host = text.let(f"getelementptr i8, ptr %ram, i64 {scaled}")
                journal, plain = text.fresh("journal"), text.fresh("store")
                wants = code.compare("eq", code.binary("and", "%flags", 4, 64), 0, 64)
                text.do(f"br i1 {wants}, label %{plain}, label %{journal}")
                text.label(journal)
                size = bank.cell
                for i in range(bits // space.unit):
                    code.journal(text.let(f"getelementptr i8, ptr {host}, i64 {i * size}"), size)
                text.do(f"br label %{plain}")
                text.label(plain)
                code.after = False
                code.host_store(host, bits, space.unit, code.fit("%value", 64, bits))
                code.after = True
                text.do("br label %stored")
                text.label(no)
            text.do("br label %device")
            text.label("stored")
            coded = code.compare("eq", code.binary("and", "%was", MARK_CODE, 8), 0, 8)
            text.do(f"br i1 {coded}, label %out, label %code")
            text.label("code")
            text.do(f"%told = call i64 {code.pointer('code_written')}(i64 {number}, i64 %address, i64 %bits)")
            text.do("br label %out")
            text.label("out")
            text.do("ret i64 0")
            text.label("device")
        called = code.pointer("device_write")
        text.do(f"%answer = call i64 {called}(i64 {number}, i64 %address, i64 %bits, i64 %value)")
        text.do("ret i64 %answer")
        head = "ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %flags, i64 %mask, i64 %value"
        self._add(code, f"define i64 @store.{space.name}({head}) nounwind noinline", text)

    # -- caches --------------------------------------------------------------------------------------------------------

    def _prove(self, space: ir.Map) -> None:
        """Whether the page at `%address` is uniform: 0, and the address below is the result."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        k = self.plan.page(space)
        prover = Prover(self.plan, text, code)
        widths = [space.unit * n for n in (1, 2, 4, 8) if space.unit * n <= 64] if self.plan.shape.sized(space) else [0]
        memory = None
        try:
            for bits in widths:
                memory = self._prove_width(space, code, prover, k, bits)
            if memory != self.plan.bank.memory:
                raise Unsupported("another memory")
            text.do("ret i64 0")
        except Unsupported:
            text.lines.clear()
            text.do("br label %fail")
        text.label("fail")
        text.do("ret i64 1")
        head = "ptr %st, ptr %ram, i64 %address, i64 %kind, i64 %mask" + self._params(space)
        self._add(code, f"define i64 @prove.{space.name}({head}) nounwind noinline", text)

    def _prove_width(self, space: ir.Map, code: Called, prover: Prover, k: int, bits: int) -> str:
        zeros = (bits // space.unit).bit_length() - 1 if bits else 0
        address = Range(
            "%address", code.binary("or", "%address", ones(k) - ones(zeros) if zeros else ones(k), 64), zeros, 1
        )
        width = Range(bits, bits) if bits else Range(0, 0xFFFF)
        out: str | None = None
        # the kind is known in each of three copies
        text = prover.text
        done, after = text.fresh("proved"), []
        kinds: tuple[ir.AccessKind, ...] = ("read", "write")
        for kind in kinds:
            this, other = text.fresh("kind"), text.fresh("other")
            text.do(f"br i1 {code.compare('eq', '%kind', ir.ACCESS_CODE[kind], 64)}, label %{this}, label %{other}")
            text.label(this)
            args: list[Range | None] = []
            for i, param in enumerate(space.params):
                bit = code.fit(code.binary("lshr", "%mask", i, 64), 64, 1)
                prover.locals = {"access": Range(ir.ACCESS_CODE[kind], ir.ACCESS_CODE[kind])}
                default = Range(0, 0) if param.default is None else prover.value(param.default)
                given = f"%arg{i}"
                lo, hi = (code.select(bit, given, v, 64) for v in (default.lo, default.hi))
                args.append(Range(lo, hi))
            out, below = prover.descend(space.name, address, kind, args, width)
            prover.need(below.faithful)
            code.put_word("result", below.lo)
            after.append(text.block)
            text.do(f"br label %{done}")
            text.label(other)
        text.do("br label %fail")
        text.label(done)
        assert out is not None
        return out

    def _fill(self, space: ir.Map) -> None:
        """Puts the page of an address into the cache of a view, if it is uniform and in RAM."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        k, bank = self.plan.page(space), self.plan.bank
        passed = "".join(f", i64 %arg{i}" for i in range(len(space.params)))
        page = code.binary("and", "%address", ones(64) - ones(k), 64)
        code.put_word("newmarks", 0)
        status = text.let(f"call i64 @prove.{space.name}(ptr %st, ptr %ram, i64 {page}, i64 %kind, i64 %mask{passed})")
        text.do(f"br i1 {code.compare('eq', code.word('newmarks'), 0, 64)}, label %same, label %new")
        text.label("new")
        text.do("call void @flush(ptr %st)")
        code.put_word("flushed", 0)
        text.do("br label %same")
        text.label("same")
        text.do(f"br i1 {code.compare('eq', status, 0, 64)}, label %proved, label %out")
        text.label("proved")
        page = code.binary("and", "%address", ones(64) - ones(k), 64)
        offset = code.binary("sub", code.word("result"), bank.base, 64)
        inside = code.compare("ule", offset, bank.size - (1 << k), 64) if bank.size >= 1 << k else 0
        text.do(f"br i1 {inside}, label %inside, label %out")
        text.label("inside")
        write = code.compare("eq", "%kind", ir.ACCESS_CODE["write"], 64)
        text.do(f"br i1 {write}, label %write, label %install")
        text.label("write")
        marks = code.text.let(
            f"getelementptr i8, ptr {code.pointer('marks')}, i64 {code.binary('lshr', offset, LINE, 64)}"
        )
        lines: Value = 0
        for i in range(0, 1 << k - LINE, 8):
            eight = text.let(f"load i64, ptr {code.away(marks, i)}, align 1")
            lines = code.binary("or", lines, eight, 64)
        text.do(f"br i1 {code.compare('eq', lines, 0, 64)}, label %install, label %out")
        text.label("install")
        place = code.binary("and", code.binary("lshr", "%address", k - 5, 64), (ENTRIES - 1) * ENTRY, 64)
        first = code.binary("mul", "%view", ENTRIES * ENTRY, 64)
        entry = text.let(f"getelementptr i8, ptr {code.pointer('dtlb')}, i64 {code.binary('add', place, first, 64)}")
        shift = bank.cell.bit_length() - 1
        host = code.binary("add", text.let("ptrtoint ptr %ram to i64"), code.binary("shl", offset, shift, 64), 64)
        addend = code.binary("sub", host, code.binary("shl", page, shift, 64), 64)
        old = text.let(f"load i64, ptr {code.at(16, entry)}")
        read_tag, write_tag = (text.let(f"load i64, ptr {code.at(n, entry)}") for n in (0, 8))
        keep = code.compare("eq", old, addend, 64)
        kept_read = code.select(code.binary("and", keep, code.compare("eq", read_tag, page, 64), 1), page, ones(64), 64)
        kept_write = code.select(
            code.binary("and", keep, code.compare("eq", write_tag, page, 64), 1), page, ones(64), 64
        )
        text.do(f"store i64 {code.select(write, kept_read, page, 64)}, ptr {code.at(0, entry)}")
        text.do(f"store i64 {code.select(write, page, kept_write, 64)}, ptr {code.at(8, entry)}")
        text.do(f"store i64 {addend}, ptr {code.at(16, entry)}")
        text.do("br label %out")
        text.label("out")
        text.do("ret void")
        head = "ptr %st, ptr %ram, i64 %address, i64 %kind, i64 %mask, i64 %view" + self._params(space)
        self._add(code, f"define void @fill.{space.name}({head}) nounwind noinline", text)

    def _prove_fetch(self) -> None:
        """Whether instructions may be fetched alike from all of `%first` to `%last`: 0, and the result is the address
        of the first in the memory of the bank."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        prover = Prover(self.plan, text, code)
        fetch = self.isa.fetch
        zeros = self.plan.per_parcel.bit_length() - 1
        try:
            args: list[Range | None] = [
                prover.value(a) if i >= len(fetch.given) or fetch.given[i] else None for i, a in enumerate(fetch.args)
            ]
            last = code.binary("sub", "%last", self.plan.per_parcel - 1, 64)
            address = Range("%first", last, zeros, 1)
            bits = Range(fetch.parcel, fetch.parcel)
            memory, below = prover.descend(fetch.space, address, "fetch", args, bits)
            prover.need(below.faithful)
            if memory != self.plan.bank.memory:
                raise Unsupported("another memory")
            code.put_word("result", below.lo)
            text.do("ret i64 0")
        except Unsupported:
            text.lines.clear()
            text.do("br label %fail")
        text.label("fail")
        text.do("ret i64 1")
        self._add(code, "define i64 @prove.fetch(ptr %st, ptr %ram, i64 %first, i64 %last) nounwind noinline", text)


def memories(isa: ir.Isa) -> list[str]:
    """The memories of an Isa; generated code names them by number."""
    return [name for name, space in isa.spaces.items() if isinstance(space, ir.Memory)]


def _widths(unit: int) -> list[int]:
    """The widths that have code of their own; all others go unit by unit through the driver."""
    if unit == 8:
        return [8, 16, 32, 64, 24, 40, 48, 56]
    return [unit * n for n in range(1, 64 // unit + 1)]


def runtime(plan: Plan) -> str:
    """The module of the run time."""
    return Runtime(plan).text()


__all__ = ["SLOW", "Leave", "Runtime", "Status", "memories", "runtime"]
