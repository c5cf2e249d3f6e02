"""The routines that every machine needs once: entering and leaving, traps, interrupts, translation, slow accesses.

Routines that go on with the program have the convention of handlers and never return; the others are called, and
return a status: 0 done; 1 a trap was raised, its kind and arguments are in the state; 2 control leaves to the driver,
the reason is in the state; 3 unpredictable.
"""

from __future__ import annotations

from analyzer import ir
from emulator.codegen.agreed import BACK, Leave
from emulator.codegen.caches import Caches
from emulator.codegen.direct import PC, Status
from emulator.codegen.handler import CONVENTION, PARAMETERS
from emulator.codegen.layout import FOUND, Record
from emulator.codegen.plan import (
    CODE_ENTRIES,
    CODE_ENTRY,
    CODE_MASK,
    CODE_PAGE,
    CODE_SHIFT,
    LINE,
    SPAN,
    Plan,
)
from emulator.codegen.routines import Called, Delivery, Going, number_of
from emulator.codegen.values import LIKELY, PROFILES, UNLIKELY, Text, Unsupported, Value, ones

LONG = 1000
"""Lines of a delivery that are too many to have them for each kind of trap."""


class Runtime(Caches):
    """Writes the module of the run time."""

    def text(self) -> str:
        """The module."""
        self.out = [
            PROFILES,
            "declare i64 @llvm.ctlz.i64(i64, i1)",
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
        self._deliver()
        return "\n".join([*self.globals.values(), *self.out])

    def exports(self) -> list[str]:
        """The functions that the driver needs the address of."""
        return [
            *FOUND,
            "run",
            "undecoded",
            "missing",
            "fall",
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
            ("slowly", Leave.DECODE),
            ("reference", Leave.REFERENCE),
            ("undefined", Leave.UNDEFINED),
        ):
            self._going(name, lambda code, reason=reason: self._unless_spent(code, reason))
        self._going("undecoded", self._undecoded)
        self._going("fall", lambda code: code.go(code.text.let("load ptr, ptr %rec"), "%rec", "%b", "%pc"))
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
        self._clears()
        self._flush()
        self._narrow()

    def _unless_spent(self, code: Going, reason: Leave) -> None:
        spent = code.compare("eq", "%b", 0, 64)
        code.text.do(f"br i1 {spent}, label %over, label %on{UNLIKELY}")
        code.text.label("over")
        code.leave(Leave.BUDGET)
        code.text.label("on")
        code.leave(reason)

    def _undecoded(self, code: Going) -> None:
        """A record that nothing is known of: the decoder has it, if there is one."""
        decoder = code.pointer("decode")
        there = code.text.let(f"icmp eq ptr {decoder}, null")
        code.text.do(f"br i1 {there}, label %none, label %decode{UNLIKELY}")
        code.text.label("none")
        code.go("@slowly", "%rec", "%b", "%pc")
        code.text.label("decode")
        code.go(decoder, "%rec", "%b", "%pc")

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

    def _narrow(self) -> None:
        """The page of a line has got its first mark: if it was among the units without marks, the larger part is left
        of them.  Who calls drops all translations, and with them the windows of writes."""
        text = Text()
        code = Going(self.plan, text)
        page = code.binary("and", code.binary("shl", "%line", LINE, 64), ones(64) - ones(CODE_PAGE), 64)
        clean, room = code.word("clean"), code.word("room")
        size = code.binary("add", room, SPAN, 64)
        below = code.binary("sub", code.binary("add", page, self.plan.bank.base, 64), clean, 64)
        there = code.binary("xor", code.compare("eq", room, 0, 64), 1, 1)
        inside = code.binary("and", there, code.compare("ult", below, size, 64), 1)
        text.do(f"br i1 {inside}, label %inside, label %out{UNLIKELY}")
        text.label("inside")
        behind = code.binary("add", below, 1 << CODE_PAGE, 64)
        over = code.compare("ult", size, behind, 64)
        above = code.select(over, 0, code.binary("sub", size, behind, 64), 64)
        lower = code.compare("ule", above, below, 64)
        left = code.select(lower, below, above, 64)
        more = code.compare("ult", SPAN, left, 64)
        code.put_word("clean", code.select(lower, clean, code.binary("add", clean, behind, 64), 64))
        code.put_word("room", code.select(more, code.binary("sub", left, SPAN, 64), 0, 64))
        text.do("br label %out")
        text.label("out")
        text.do("ret void")
        self._add(code, "define void @narrow(ptr %st, i64 %line) nounwind noinline", text)

    def _clear(self, code: Going) -> None:
        for word, size in (("dtlb", self.plan.translations), ("itlb", CODE_ENTRIES * CODE_ENTRY)):
            code.text.do(f"call void @clear(ptr {code.pointer(word)}, i64 {size})")

    def _clears(self) -> None:
        """Sets all bits of some bytes, a multiple of 32: a loop, for generated code has no external symbols."""
        self.out.append("""
define void @clear(ptr %place, i64 %bytes) nounwind noinline {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%j, %loop]
  %p = getelementptr i8, ptr %place, i64 %i
  store <4 x i64> <i64 -1, i64 -1, i64 -1, i64 -1>, ptr %p, align 8
  %j = add i64 %i, 32
  %more = icmp ult i64 %j, %bytes
  br i1 %more, label %loop, label %out
out:
  ret void
}
""")

    def _lookup(self, code: Going) -> None:
        """A jump that the fetch cache did not know when it was tried in place."""
        page = ones(64) - ones(CODE_PAGE)
        index = code.binary("and", code.binary("lshr", "%pc", CODE_SHIFT, 64), CODE_MASK, 64)
        entry = code.text.let(f"getelementptr i8, ptr {code.pointer('itlb')}, i64 {index}")
        tag = code.text.let(f"load i64, ptr {entry}")
        hit = code.compare("eq", code.binary("and", "%pc", page | self.plan.per_parcel - 1, 64), tag, 64)
        code.text.do(f"br i1 {hit}, label %found, label %none")
        code.text.label("found")
        base = code.text.let(f"load ptr, ptr {code.at(8, entry)}")
        scale = (self.plan.layout.record.size // self.plan.per_parcel).bit_length() - 1
        away = code.binary("shl", code.binary("and", "%pc", ones(CODE_PAGE), 64), scale, 64)
        rec = code.text.let(f"getelementptr i8, ptr {base}, i64 {away}")
        code.go(code.text.let(f"load ptr, ptr {code.at(Record.JUMP, rec)}"), rec, "%b", "%pc", ones(64))
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
        """Reads the parcel at an address as instruction fetch does; what it is does not matter.  A fetch that writes
        (an accessed bit) is part of its instruction, and undone if that traps: the reference executes both."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        fetch = self.isa.fetch
        space = self.isa.spaces[fetch.space]
        args = [code.value(a) if i >= len(fetch.given) or fetch.given[i] else None for i, a in enumerate(fetch.args)]
        at = code.fit("%pc", 64, space.address_width)
        code.access(fetch.space, at, fetch.parcel, "fetch", args, False, None, False)
        same = text.let(f"icmp eq ptr {code.pointer('journal')}, {code.pointer('journal0')}")
        text.do(f"br i1 {same}, label %read, label %wrote")
        text.label("read")
        text.do(f"ret i64 {int(Status.DONE)}")
        text.label("wrote")
        code.put_word("info1", int(Leave.REFERENCE))
        text.do(f"ret i64 {int(Status.LEAVE)}")
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
            here = kind.resume == "here"
            code.go(f"@deliver.{kind.name}", "poison", "%b", "%pc" if here else after, 0 if here else "%x")
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
        """A jump from `%x` to a record that has no code of its own yet.  One that goes back makes a loop, and counts
        more."""
        place = code.at(Record.COUNT, "%rec")
        weight = code.select(code.compare("ule", "%pc", "%x", 64), BACK, 1, 32)
        count = code.binary("add", code.text.let(f"load i32, ptr {place}"), weight, 32)
        code.text.do(f"store i32 {count}, ptr {place}")
        limit = code.fit(code.word("threshold"), 64, 32)
        code.text.do(f"br i1 {code.compare('ule', limit, count, 32)}, label %hot, label %cold{UNLIKELY}")
        code.text.label("hot")
        code.leave(Leave.HOT)
        code.text.label("cold")
        code.go(code.text.let("load ptr, ptr %rec"), "%rec", "%b", "%pc")

    # -- between instructions ------------------------------------------------------------------------------------------

    def _check(self, code: Going) -> None:
        """Context, interrupts, halted elements; then the next instruction."""
        code.still = True
        moved = code.binary("xor", code.word("journal"), code.word("journal0"), 64)
        tidy = code.compare("eq", code.binary("or", moved, code.word("flushed"), 64), 0, 64)
        code.text.do(f"br i1 {tidy}, label %tidy, label %left{LIKELY}")
        code.text.label("left")
        code.put_word("journal", code.word("journal0"))
        code.put_word("flushed", 0)
        code.text.do("br label %tidy")
        code.text.label("tidy")
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
            code.go(f"@deliver.{kind.name}", "poison", "%b", "%pc", 0)
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

    def _deliver(self) -> None:
        """The routines that deliver traps.  Each kind has code in which all that is constant of it is known; where that
        would be long, all kinds share one."""
        shared = self._delivery(None) if len(self._number_widths()) == 1 else None
        long = shared is not None and len(shared.text.lines) > LONG
        if shared is not None and long:
            self._add(shared, f"define {CONVENTION} void @deliver({PARAMETERS}) nounwind noinline", shared.text)
        for kind in self.isa.traps.values():
            code = self._event(kind) if long else self._delivery(kind)
            head = f"define {CONVENTION} void @deliver.{kind.name}({PARAMETERS}) nounwind noinline"
            self._add(code, head, code.text)

    def _number_widths(self) -> set[int]:
        """The widths in which the delivery sees the number of its trap."""
        body = () if self.isa.deliver is None else self.isa.deliver.body
        terms = (term for s in ir.statements(body) for e in ir.expressions(s) for term in ir.subterms(e))
        return {term.width for term in terms if isinstance(term, ir.Local) and term.name == "t"} or {0}

    def _attributes(self) -> dict[str, int]:
        """What a delivery may ask of its trap, with the widths."""
        found: dict[str, int] = {}
        for trap in self.isa.traps.values():
            found |= dict(trap.params) | {name: ir.width(e) for name, e in trap.attributes}
        return dict(sorted(found.items()))

    def _asked(self, code: Delivery, kind: ir.TrapKind) -> dict[str, Value]:
        """The values of what a delivery may ask of a trap of this kind; what the kind does not have is 0."""
        code.locals = {}
        for i, (name, width) in enumerate(kind.params):
            raw = code.text.let(f"load i64, ptr {code.at(self.plan.layout.arguments + 8 * i)}")
            code.bind(name, code.fit(raw, 64, width or 1), width)
        given = {name: code.locals[name] for name, _ in kind.params}
        return dict.fromkeys(self._attributes(), 0) | given | {name: code.value(e) for name, e in kind.attributes}

    def _event(self, kind: ir.TrapKind) -> Delivery:
        """Puts down what the shared delivery asks of this trap, and goes there."""
        code = Delivery(self.plan, Text(), number_of(self.isa, kind))
        code.prologue()
        asked = self._asked(code, kind)
        for i, (name, width) in enumerate(self._attributes().items()):
            place = code.at(self.plan.layout.event + 8 * i)
            code.text.do(f"store i64 {code.extend(asked[name], width or 1, 64)}, ptr {place}")
        code.put_word("event", code.kind)
        code.go("@deliver", "poison", "%b", "%pc", "%x")
        return code

    def _delivery(self, kind: ir.TrapKind | None) -> Delivery:
        """The delivery of one kind of trap, or of the one that was put down."""
        code = Delivery(self.plan, Text(), 0 if kind is None else number_of(self.isa, kind))
        code.prologue()
        deliver = self.isa.deliver
        if deliver is None:
            code.leave(Leave.UNDELIVERED, info=code.kind)
            return code
        if kind is None:
            code.kind = code.word("event")
            (width,) = self._number_widths()
            number = code.fit(code.kind, 64, width or 1)
            asked: dict[str, Value] = {}
            for i, (name, width) in enumerate(self._attributes().items()):
                raw = code.text.let(f"load i64, ptr {code.at(self.plan.layout.event + 8 * i)}")
                asked[name] = code.fit(raw, 64, width or 1)
        else:
            number, asked = code.kind, self._asked(code, kind)
        locals_ = {f"t.{name}": value for name, value in asked.items()} | {"t": number}
        code.locals = locals_
        code.widths = {f"t.{name}": max(w, 1) for name, w in self._attributes().items()} | {"t": 16}
        try:
            if code.inline((), [], deliver.body, None, more=locals_) is not None:
                code.end()
            return code
        except Unsupported:
            plain = Delivery(self.plan, Text(), code.kind)
            plain.prologue()
            plain.back()
            plain.leave(Leave.REFERENCE)
            return plain

    # -- memory --------------------------------------------------------------------------------------------------------


def runtime(plan: Plan) -> str:
    """The module of the run time."""
    return Runtime(plan).text()
