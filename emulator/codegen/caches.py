"""The routines of translation caches: is a page uniform, and then it is filled in."""

from __future__ import annotations

from analyzer import ir
from emulator.codegen.accesses import Accesses
from emulator.codegen.plan import ENTRIES, ENTRY, LINE, RANGES, SPAN, WINDOW
from emulator.codegen.proof import Prover, Range
from emulator.codegen.routines import Called
from emulator.codegen.values import Text, Unsupported, Value, ones


class Caches(Accesses):
    """Writes the routines of caches."""

    def _prove(self, space: ir.Map) -> None:
        """Whether the units from `%address` on, `%reach` of them and one, are uniform: 0, and the address below is the
        result."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        prover = Prover(self.plan, text, code)
        widths = [space.unit * n for n in (1, 2, 4, 8) if space.unit * n <= 64] if self.plan.shape.sized(space) else [0]
        memory = None
        try:
            for bits in widths:
                memory = self._prove_width(space, code, prover, bits)
            if memory != self.plan.bank.memory:
                raise Unsupported("another memory")
            text.do("ret i64 0")
        except Unsupported:
            text.lines.clear()
            text.do("br label %fail")
        text.label("fail")
        text.do("ret i64 1")
        head = "ptr %st, ptr %ram, i64 %address, i64 %reach, i64 %kind, i64 %mask" + self._params(space)
        self._add(code, f"define i64 @prove.{space.name}({head}) nounwind noinline", text)

    def _prove_width(self, space: ir.Map, code: Called, prover: Prover, bits: int) -> str:
        zeros = (bits // space.unit).bit_length() - 1 if bits else 0
        reach = code.binary("and", "%reach", ones(64) - ones(zeros), 64) if zeros else "%reach"
        address = Range("%address", code.binary("or", "%address", reach, 64), zeros, 1)
        width = Range(bits, bits) if bits else Range(0, 0xFFFF)
        access = Range("%kind", "%kind")  # a read or a write: the walk is the same, and its conditions ask which it is
        args: list[Range | None] = []
        for i, param in enumerate(space.params):
            bit = code.fit(code.binary("lshr", "%mask", i, 64), 64, 1)
            prover.locals = {"access": access}
            default = Range(0, 0) if param.default is None else prover.value(param.default)
            lo, hi = (code.select(bit, f"%arg{i}", v, 64) for v in (default.lo, default.hi))
            args.append(Range(lo, hi))
        memory, below = prover.descend(space.name, address, access, args, width)
        prover.need(below.faithful)
        code.put_word("result", below.lo)
        return memory

    def _fill(self, space: ir.Map) -> None:
        """Puts the page of an address into the cache of a view, if it is uniform and in RAM."""
        text = Text()
        code = Called(self.plan, text)
        code.prologue()
        k, bank = self.plan.pages[space.name], self.plan.bank
        passed = "".join(f", i64 %arg{i}" for i in range(len(space.params)))
        code.put_word("newmarks", 0)
        found = self._whole(space, code, passed)
        page = code.binary("and", "%address", ones(64) - ones(k), 64)
        status = self._proved(space, code, page, k, "%kind", passed)
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
        text.do(f"store i64 0, ptr {self._seen(code, write)}")
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
        self._window(code, *found)
        text.do("br label %out")
        text.label("out")
        text.do("ret void")
        head = "ptr %st, ptr %ram, i64 %address, i64 %kind, i64 %mask, i64 %view" + self._params(space)
        self._add(code, f"define void @fill.{space.name}({head}) nounwind noinline", text)

    def _proved(self, space: ir.Map, code: Called, first: Value, k: int, kind: Value, passed: str) -> Value:
        """Asks whether `2**k` units are uniform."""
        given = f"ptr %st, ptr %ram, i64 {first}, i64 {ones(k)}, i64 {kind}, i64 %mask{passed}"
        return code.text.let(f"call i64 @prove.{space.name}({given})")

    def _windows(self, code: Called) -> str:
        """The windows of the view."""
        first = code.binary("add", code.binary("mul", "%view", WINDOW, 64), self.plan.window(0, False), 64)
        return code.text.let(f"getelementptr i8, ptr {code.pointer('dtlb')}, i64 {first}")

    def _seen(self, code: Called, write: Value) -> str:
        """The word that is 0 if a window for this kind of access was looked for."""
        at = code.binary("add", 48, code.binary("shl", code.extend(write, 1, 64), 3, 64), 64)
        return code.text.let(f"getelementptr i8, ptr {self._windows(code)}, i64 {at}")

    def _whole(self, space: ir.Map, code: Called, passed: str) -> tuple[Value, Value, Value]:
        """The largest range around the address that is uniform: its first address, its units (0: there is none, or it
        was looked for already), and where it lies below.  A range that can be written can be read, too."""
        text = code.text
        write = code.compare("eq", "%kind", ir.ACCESS_CODE["write"], 64)
        seen = self._seen(code, write)
        ways: list[tuple[Value, Value, Value, str]] = []

        def end(first: Value, units: Value, below: Value) -> None:
            ways.append((first, units, below, text.block))
            text.do("br label %looked")

        new, old = text.fresh("new"), text.fresh("old")
        fresh = code.compare("eq", text.let(f"load i64, ptr {seen}"), 0, 64)
        text.do(f"br i1 {fresh}, label %{old}, label %{new}")
        text.label(old)
        end(0, 0, 0)
        text.label(new)
        for k in RANGES:
            if k > space.address_width:
                continue
            first = code.binary("and", "%address", ones(64) - ones(k), 64)
            also, good, on = (text.fresh(stem) for stem in ("also", "good", "smaller"))
            status = self._proved(space, code, first, k, ir.ACCESS_CODE["read"], passed)
            text.do(f"br i1 {code.compare('eq', status, 0, 64)}, label %{also}, label %{on}")
            text.label(also)
            status = self._proved(space, code, first, k, "%kind", passed)
            text.do(f"br i1 {code.compare('eq', status, 0, 64)}, label %{good}, label %{on}")
            text.label(good)
            end(first, 1 << k, code.word("result"))
            text.label(on)
        end(0, 0, 0)
        text.label("looked")
        phis = [text.let("phi i64 " + ", ".join(f"[{way[i]}, %{way[3]}]" for way in ways)) for i in range(3)]
        return phis[0], phis[1], phis[2]

    def _window(self, code: Called, first: Value, units: Value, below: Value) -> None:
        """Enters what of a range is RAM, and without marks if it is for writes, as a window."""
        text, bank = code.text, self.plan.bank
        write = code.compare("eq", "%kind", ir.ACCESS_CODE["write"], 64)
        least = code.select(write, code.word("clean"), bank.base, 64)
        room = code.binary("add", code.word("room"), SPAN, 64)
        beyond = code.binary("add", least, code.select(write, room, bank.size, 64), 64)
        from_ = code.select(code.compare("ult", below, least, 64), least, below, 64)
        end = code.binary("add", below, units, 64)
        to = code.select(code.compare("ult", end, beyond, 64), end, beyond, 64)
        enough = code.compare("ult", code.binary("add", from_, SPAN, 64), to, 64)
        sound = code.compare("ule", below, ones(62), 64)
        there = code.binary("and", code.compare("ult", 0, units, 64), code.binary("and", enough, sound, 1), 1)
        text.do(f"br i1 {there}, label %window, label %out")
        text.label("window")
        begin = code.binary("add", first, code.binary("sub", from_, below, 64), 64)
        length = code.binary("sub", code.binary("sub", to, from_, 64), SPAN, 64)
        shift = bank.cell.bit_length() - 1
        offset = code.binary("sub", from_, bank.base, 64)
        host = code.binary("add", text.let("ptrtoint ptr %ram to i64"), code.binary("shl", offset, shift, 64), 64)
        at = code.binary("mul", code.extend(write, 1, 64), 24, 64)
        window = text.let(f"getelementptr i8, ptr {self._windows(code)}, i64 {at}")
        text.do(f"store i64 {code.binary('add', begin, length, 64)}, ptr {window}")
        text.do(f"store i64 {code.binary('xor', length, ones(64), 64)}, ptr {code.at(8, window)}")
        addend = code.binary("sub", host, code.binary("shl", begin, shift, 64), 64)
        text.do(f"store i64 {addend}, ptr {code.at(16, window)}")

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
            bits, kind = Range(fetch.parcel, fetch.parcel), ir.ACCESS_CODE["fetch"]
            memory, below = prover.descend(fetch.space, address, Range(kind, kind), args, bits)
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
