"""The routines of accesses: through maps, to memory; slow, complete, and with a journal."""

from __future__ import annotations

from analyzer import ir
from emulator.codegen.agreed import Leave, memories
from emulator.codegen.direct import Direct, Status
from emulator.codegen.plan import LINE, MARK_CODE, MARK_TABLE, Plan
from emulator.codegen.routines import Called
from emulator.codegen.values import Text, Value, ones


class Accesses:
    """Writes the routines of accesses."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.isa = plan.isa
        self.globals: dict[str, str] = {}
        self.out: list[str] = []

    def _add(self, code: Direct, head: str, text: Text) -> None:
        self.globals |= code.globals
        self.out.append(f"{head} {{\nentry:\n" + "\n".join(text.lines) + "\n}\n")

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
        """Fills the cache of the view that was used, after a whole read or write; pages of code have their own."""
        if space not in self.plan.shape.cached:
            return
        text = code.text
        may, out = text.fresh("may"), text.fresh("filled")
        fetch = code.compare("eq", "%kind", ir.ACCESS_CODE["fetch"], 64)
        asked = code.compare("eq", code.binary("and", "%flags", 1, 64), 0, 64)
        wanted = code.binary("and", asked, code.binary("xor", fetch, 1, 1), 1)
        text.do(f"br i1 {wanted}, label %{may}, label %{out}")
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
        good = code.answered(f"call i64 {called}(i64 {number}, i64 %address, i64 %bits)")
        text.do(f"ret i64 {code.select(good, int(Status.DONE), int(Status.LEAVE), 64)}")
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
            told = code.pointer("code_written")
            good = code.answered(f"call i64 {told}(i64 {number}, i64 %address, i64 %bits)")
            text.do(f"ret i64 {code.select(good, int(Status.DONE), int(Status.LEAVE), 64)}")
            text.label("out")
            text.do("ret i64 0")
            text.label("device")
        called = code.pointer("device_write")
        good = code.answered(f"call i64 {called}(i64 {number}, i64 %address, i64 %bits, i64 %value)")
        text.do(f"ret i64 {code.select(good, int(Status.DONE), int(Status.LEAVE), 64)}")
        head = "ptr %st, ptr %ram, i64 %address, i64 %bits, i64 %kind, i64 %flags, i64 %mask, i64 %value"
        self._add(code, f"define i64 @store.{space.name}({head}) nounwind noinline", text)

    # -- caches --------------------------------------------------------------------------------------------------------


def _widths(unit: int) -> list[int]:
    """The widths that have code of their own; all others go unit by unit through the driver."""
    if unit == 8:
        return [8, 16, 32, 64, 24, 40, 48, 56]
    return [unit * n for n in range(1, 64 // unit + 1)]
