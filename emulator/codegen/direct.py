"""Code that works on the state in memory, instruction by instruction: what handlers and routines share.

A write that may have to be undone is journalled: its place, what was there, and its bytes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from enum import IntEnum

from analyzer import ir
from emulator.codegen.agreed import Leave, unspecified
from emulator.codegen.layout import slot
from emulator.codegen.lower import Arg, Lower
from emulator.codegen.plan import ENTRIES, ENTRY, LINE, Plan
from emulator.codegen.values import LIKELY, Text, Unsupported, Value, ones, ty

PC = ("pc",)
SLOW = ("slow",)
"""In `regs`: whether a slow path was taken, after which something may wait for the end of the instruction."""


class Status(IntEnum):
    """What a routine came to."""

    DONE = 0
    TRAP = 1
    LEAVE = 2
    UNPREDICTABLE = 3


class Direct(Lower):
    """Lowers to code on the state; `%st`, `%ram` and `%b` are the state, the RAM and the budget."""

    def __init__(self, plan: Plan, text: Text) -> None:
        super().__init__(plan.isa, text, plan.shape)
        self.plan = plan
        self.layout = plan.layout
        self.written: set[str] = set()
        self.journalled = False  # something may be in the journal
        self.journals = False  # also where no slow path was taken
        self.globals: dict[str, str] = {}
        self.regs[SLOW] = 0

    still = False
    """Nothing is written where this is set, so what is read once need not be read again."""

    # -- words and slots -----------------------------------------------------------------------------------------------

    def at(self, offset: int, base: str = "%st") -> str:
        return self.text.pure(f"getelementptr i8, ptr {base}, i64 {offset}")

    def away(self, base: str, distance: Value) -> str:
        """The place `distance` bytes from another."""
        return self.text.let(f"getelementptr i8, ptr {base}, i64 {distance}")

    def word(self, name: str) -> str:
        return self.text.let(f"load i64, ptr {self.at(self.layout.words[name])}")

    def pointer(self, name: str) -> str:
        return self.text.let(f"load ptr, ptr {self.at(self.layout.words[name])}")

    def put_word(self, name: str, value: Value) -> None:
        self.text.do(f"store i64 {value}, ptr {self.at(self.layout.words[name])}")

    def routine(self, name: str) -> str:
        return self.text.let(f"load ptr, ptr {self.at(self.plan.routine(name))}")

    def load_slot(self, place: str, width: int) -> Value:
        whole = slot(width) * 8
        load = self.text.pure if self.still else self.text.let
        value = load(f"load i{whole}, ptr {place}{below(width, whole)}")
        return value if max(width, 1) == whole else self.text.pure(f"trunc nuw i{whole} {value} to {ty(width)}")

    def store_slot(self, place: str, width: int, value: Value) -> None:
        whole = slot(width) * 8
        if self.after:
            for i in range(0, whole // 8, 8):
                self.journal(self.at(i, place) if i else place, 8)
        self.text.do(f"store i{whole} {self.extend(value, width, whole)}, ptr {place}")

    def journal(self, place: str, size: int) -> None:
        """Remembers what is at a place."""
        self.journalled = self.journals = True
        top = self.pointer("journal")
        old = self.text.let(f"load i{size * 8}, ptr {place}, align 1")
        self.text.do(f"store ptr {place}, ptr {top}")
        old = str(self.extend(old, size * 8, 64))
        self.text.do(f"store i64 {old}, ptr {self.away(top, 8)}")
        self.text.do(f"store i64 {size}, ptr {self.away(top, 16)}")
        above = self.text.let(f"getelementptr i8, ptr {top}, i64 24")
        self.text.do(f"store ptr {above}, ptr {self.at(self.layout.words['journal'])}")

    # -- state ---------------------------------------------------------------------------------------------------------

    def looped(self) -> None:
        self.regs[SLOW] = 1

    def get(self, element: str, width: int) -> Value:
        if element in self.plan.choices:
            return self.plan.choices[element]
        if element == self.plan.pc:
            return self.regs[PC]
        if element in self.plan.clocks:
            return self.clock(element, width, 0)
        return self.load_slot(self.at(self.layout.elements[element]), width)

    def clock(self, element: str, width: int, later: int) -> Value:
        """What a clock shows (its slot holds the offset)."""
        count = self.count(element, later)
        offset = self.text.let(f"load i64, ptr {self.at(self.layout.elements[element])}")
        return self.fit(self.binary("add", count, offset, 64), 64, width)

    def count(self, element: str, later: int) -> Value:
        source, shift = self.plan.clocks[element]
        count = self.binary("sub", self.word("total"), "%b", 64)
        if source == "retired":
            count = self.binary("sub", count, self.word("lost"), 64)
        return self.binary("lshr", self.binary("add", count, later, 64), shift, 64)

    def set(self, element: str, value: Value) -> None:
        if element == self.plan.pc:
            self.regs[PC] = value
            return
        if element in self.plan.ghosts:
            return
        width = self.isa.elements[element].width
        place = self.at(self.layout.elements[element])
        self.written.add(element)
        if element in self.plan.calm_inputs:
            self.put_word("calm", 0)
        if element in self.plan.clocks:
            offset = self.binary("sub", self.extend(value, width, 64), self.count(element, 1), 64)
            self.store_slot(place, 64, self.binary("and", offset, ones(width), 64))
            return
        if element in self.plan.roots:
            self.drop_if_changed(place, width, value)
        self.store_slot(place, width, value)

    def drop_if_changed(self, place: str, width: int, value: Value) -> None:
        """Drops the translations if a root gets another value."""
        old = self.load_slot(place, width)
        same, drop, on = self.compare("eq", old, value, width), self.text.fresh("drop"), self.text.fresh("on")
        if same == 1:
            return
        if same != 0:
            self.text.do(f"br i1 {same}, label %{on}, label %{drop}")
        else:
            self.text.do(f"br label %{drop}")
        self.text.label(drop)
        self.text.do(f"call void {self.pointer('flush')}(ptr %st)")
        self.text.do(f"br label %{on}")
        self.text.label(on)

    def entry_place(self, file: ir.File, index: Value) -> str:
        """The place of an entry; of the spare one, if it does not exist or is hard-wired."""
        if isinstance(index, int):
            return self.at(self.layout.entry(file, file.size if index in file.zeros else index))
        w = max(file.index_width, (file.size).bit_length())
        wide = self.extend(index, file.index_width, w)
        if file.size < 1 << file.index_width:
            wide = self.select(self.compare("ult", wide, file.size, w), wide, file.size, w)
        for zero in sorted(file.zeros):
            wide = self.select(self.compare("eq", wide, zero, w), file.size, wide, w)
        return self._element_of(file, wide, w)

    def _element_of(self, file: ir.File, index: Value, w: int) -> str:
        wide = self.fit(index, w, 64)
        base = self.at(self.layout.files[file.name])
        return self.text.pure(f"getelementptr i{slot(file.width) * 8}, ptr {base}, i64 {wide}")

    def get_entry(self, file: ir.File, index: Value) -> Value:
        if isinstance(index, int):
            if index >= file.size or index in file.zeros:
                return 0
            return self.load_slot(self.at(self.layout.entry(file, index)), file.width)
        if file.size == 1 << file.index_width:
            return self.load_slot(self._element_of(file, index, file.index_width), file.width)
        w = file.index_width
        within = self.compare("ult", index, file.size, w)
        place = self._element_of(file, self.select(within, index, 0, w), w)
        return self.select(within, self.load_slot(place, file.width), 0, file.width)

    def set_entry(self, file: ir.File, index: Value, value: Value) -> None:
        if isinstance(index, int) and (index >= file.size or index in file.zeros):
            return
        place = self.entry_place(file, index)
        self.written.add(file.name)
        if file.name in self.plan.calm_inputs:
            self.put_word("calm", 0)
        if file.name in self.plan.roots:
            self.drop_if_changed(place, file.width, value)
        self.store_slot(place, file.width, value)

    def reg_code(self, key: Hashable) -> tuple[str, int]:
        if key == PC:
            raise Unsupported("the program counter is always known")
        return "add i1 0, 0", 1

    def _pc_phi_width(self) -> int:
        return self.plan.pc_width

    def arbitrary(self, name: str, args: list[tuple[Value, int]], width: int) -> Value:
        if width > 128 or any(w > 64 for _, w in args) or len(args) > 14:
            raise Unsupported(f"the arguments of {name}")
        for i, (arg, w) in enumerate(args):
            place = self.at(self.layout.arguments + 8 * i)
            self.text.do(f"store i64 {self.extend(arg, w, 64)}, ptr {place}")
        self.put_word("budget", "%b")
        number = unspecified_number(self.isa, name, len(args), width)
        callback = self.pointer("arbitrary")
        self._fail_unless(self.answered(f"call i64 {callback}(i64 {number})"), str(int(Status.LEAVE)))
        low = self.word("result")
        self.regs[SLOW] = 1
        if width <= 64:
            return self.fit(low, 64, width or 1)
        high = self.extend(self.word("result1"), 64, 128)
        both = self.binary("or", self.binary("shl", high, 64, 128), self.extend(low, 64, 128), 128)
        return self.fit(both, 128, width)

    def lookup(self, table: ir.Table, index: Value) -> Value:
        if table.width > 64:
            raise Unsupported(f"the table {table.name}")
        name = f"@table.{table.name}"
        values = ", ".join(f"i64 {v}" for v in (*table.values, 0))
        self.globals[name] = f"{name} = private constant [{len(table.values) + 1} x i64] [{values}]"
        w = max(table.index_width, len(table.values).bit_length())
        wide = self.extend(index, table.index_width, w)
        if len(table.values) < 1 << table.index_width:
            wide = self.select(self.compare("ult", wide, len(table.values), w), wide, len(table.values), w)
        place = self.text.pure(f"getelementptr i64, ptr {name}, i64 {self.fit(wide, w, 64)}")
        return self.fit(self.text.let(f"load i64, ptr {place}"), 64, table.width)

    # -- memory --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def failed(self, status: str) -> None:
        """A routine came back with a status that is not 0; ends the block."""

    @property
    def stale(self) -> bool:
        """Whether the caches of the present context may no longer be those of the state."""
        return bool(self.written & (set(self.plan.key) | self.plan.roots))

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
        if bits > 64:
            raise Unsupported("an access of more than 64 bits")
        given = tuple(args[i] if i < len(args) else None for i in range(len(space.params)))
        units = bits // space.unit
        view = (space.name, tuple(g if isinstance(g, int) else None for g in given))
        cached = view in self.plan.views and all(g is None or isinstance(g, int) for g in given)
        aligned = self.shape.sized(space) and units > 1
        wide = self.extend(address, space.address_width, 64)
        if not cached or self.stale or (aligned and units & units - 1):
            self.slow(space, wide, bits, kind, given, value, span)
            return self._result(bits) if value is None else 0
        k = self.plan.pages[space.name]
        offset = self.binary("and", self.binary("lshr", wide, k - 5, 64), (ENTRIES - 1) * ENTRY, 64)
        first = self.plan.views.index(view) * ENTRIES * ENTRY
        entry = self.text.let(
            f"getelementptr i8, ptr {self.pointer('dtlb')}, i64 {self.binary('add', offset, first, 64)}"
        )
        tag = self.text.let(f"load i64, ptr {entry if value is None else self.at(8, entry)}")
        hit = self.in_page(wide, tag, k, units, aligned)
        fast, miss, join = (self.text.fresh(stem) for stem in ("fast", "miss", "done"))
        self.text.do(f"br i1 {hit}, label %{fast}, label %{miss}{LIKELY}")
        saved = self.regs.get(SLOW, 0)
        self.text.label(miss)
        self.slow(space, wide, bits, kind, given, value, span)
        slow_value = self._result(bits) if value is None else 0
        slow_end = self.text.block
        self.text.do(f"br label %{join}")
        self.text.label(fast)
        addend = self.text.let(f"load i64, ptr {self.at(16, entry)}")
        scaled = self.binary("shl", wide, self.plan.bank.cell.bit_length() - 1, 64)
        host = self.text.let(f"inttoptr i64 {self.binary('add', scaled, addend, 64)} to ptr")
        memory = self.isa.spaces[self.plan.bank.memory]
        fast_value: Value = 0
        if value is None:
            fast_value = self.host_load(host, bits, memory.unit)
        else:
            self.host_store(host, bits, memory.unit, value)
        fast_end = self.text.block
        self.text.do(f"br label %{join}")
        self.text.label(join)
        self.regs[SLOW] = self._phi([slow_end, fast_end], [1, saved], 1)
        return 0 if value is not None else self._phi([slow_end, fast_end], [slow_value, fast_value], bits)

    def physical(self, space: ir.Memory, address: Value, bits: int, table: bool, value: Value | None) -> Value:
        if bits > 64:
            raise Unsupported("an access of more than 64 bits")
        bank, units = self.plan.bank, bits // space.unit
        wide = self.extend(address, space.address_width, 64)
        if bank.memory != space.name or bank.size < units:
            self.slow(space, wide, bits, "read", (), value, False)
            return self._result(bits) if value is None else 0
        offset = self.binary("sub", wide, bank.base, 64)
        fast, miss, join = (self.text.fresh(stem) for stem in ("fast", "miss", "done"))
        hit = self.compare("ule", offset, bank.size - units, 64)
        saved = self.regs.get(SLOW, 0)
        if value is not None:
            check = self.text.fresh("marked")
            self.text.do(f"br i1 {hit}, label %{check}, label %{miss}{LIKELY}")
            self.text.label(check)
            line = self.binary("lshr", offset, LINE, 64)
            mark = self.text.let(f"load i8, ptr {self.away(self.pointer('marks'), line)}")
            hit = self.text.let(f"icmp eq i8 {mark}, 0")
        self.text.do(f"br i1 {hit}, label %{fast}, label %{miss}{LIKELY}")
        self.text.label(miss)
        self.slow(space, wide, bits, "read", (), value, False)
        slow_value = self._result(bits) if value is None else 0
        slow_end = self.text.block
        self.text.do(f"br label %{join}")
        self.text.label(fast)
        scaled = self.binary("shl", offset, bank.cell.bit_length() - 1, 64)
        host = self.text.let(f"getelementptr i8, ptr %ram, i64 {scaled}")
        fast_value: Value = 0
        if value is None:
            fast_value = self.host_load(host, bits, space.unit)
        else:
            self.host_store(host, bits, space.unit, value)
        fast_end = self.text.block
        self.text.do(f"br label %{join}")
        self.text.label(join)
        self.regs[SLOW] = self._phi([slow_end, fast_end], [1, saved], 1)
        return 0 if value is not None else self._phi([slow_end, fast_end], [slow_value, fast_value], bits)

    def slow(
        self,
        space: ir.Map | ir.Memory,
        wide: Value,
        bits: int,
        kind: ir.AccessKind,
        given: tuple[Arg, ...],
        value: Value | None,
        span: bool,
    ) -> None:
        """Calls the routine of an access.  Flags: 1 do not fill a cache, 2 unit by unit, 4 journal."""
        self.put_word("budget", "%b")
        self.put_pc()
        self.regs[SLOW] = 1
        flags = int(self.stale) | 2 * span | 4 * (value is not None and self.after)
        self.journalled = True
        mask = sum(1 << i for i, g in enumerate(given) if g is not None)
        params = space.params if isinstance(space, ir.Map) else ()
        more = "".join(f", i64 {self.extend(g or 0, p.width, 64)}" for g, p in zip(given, params, strict=True))
        head = f"ptr %st, ptr %ram, i64 {wide}, i64 {bits}, i64 {ir.ACCESS_CODE[kind]}, i64 {flags}, i64 {mask}"
        if value is None:
            status = self.text.let(f"call i64 {self.routine('load.' + space.name)}({head}{more})")
        else:
            stored = self.extend(value, bits, 64)
            status = self.text.let(f"call i64 {self.routine('store.' + space.name)}({head}, i64 {stored}{more})")
        self.check_status(status)

    def put_pc(self) -> None:
        """Shows routines of maps the program counter, if they ask for it."""
        if self.plan.maps_read_pc:
            wide = self.extend(self.regs[PC], self.plan.pc_width, 64)
            self.text.do(f"store i64 {wide}, ptr {self.at(self.layout.elements[self.plan.pc])}")

    def check_status(self, status: Value) -> None:
        self._fail_unless(self.text.let(f"icmp eq i64 {status}, 0"), str(status))

    def _fail_unless(self, good: Value, status: str) -> None:
        on, bad = self.text.fresh("good"), self.text.fresh("bad")
        self.text.do(f"br i1 {good}, label %{on}, label %{bad}{LIKELY}")
        self.text.label(bad)
        regs = dict(self.regs)
        self.failed(status)
        self.regs = regs
        self.text.label(on)

    def answered(self, call: str) -> Value:
        """Calls the driver; whether it answered, which is 1: 0 comes of an exception."""
        good = self.compare("eq", self.text.let(call), 1, 64)
        self.put_word("broken", self.extend(self.binary("xor", good, 1, 1), 1, 64))
        self.put_word("info1", int(Leave.STOP))
        return good

    def _result(self, bits: int) -> Value:
        return self.fit(self.word("result"), 64, bits)

    def host_load(self, host: str, bits: int, unit: int) -> Value:
        """Reads units of RAM as one number."""
        cell = self.plan.bank.cell
        big = self.isa.endian == "big"
        if unit == 8 and bits in (8, 16, 32, 64):
            value: Value = self.text.let(f"load i{bits}, ptr {host}, align 1")
            if big and bits > 8:
                value = self.text.let(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
            return value
        count = bits // unit
        total: Value = 0
        for i in range(count):
            place = self.text.let(f"getelementptr i8, ptr {host}, i64 {i * cell}") if i else host
            part = self.text.let(f"load i{cell * 8}, ptr {place}, align 1")
            low = ((count - 1 - i) if big else i) * unit
            one = self.extend(self.fit(part, cell * 8, unit), unit, bits)
            total = self.binary("or", total, self.binary("shl", one, low, bits), bits)
        return total

    def host_store(self, host: str, bits: int, unit: int, value: Value) -> None:
        """Writes a number to units of RAM; journalled if control may leave afterwards."""
        cell, count = self.plan.bank.cell, bits // unit
        big = self.isa.endian == "big"
        if unit == 8 and bits in (8, 16, 32, 64):
            if self.after:
                self.journal(host, bits // 8)
            if big and bits > 8:
                value = self.text.let(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
            self.text.do(f"store i{bits} {value}, ptr {host}, align 1")
            return
        for i in range(count):
            place = self.text.let(f"getelementptr i8, ptr {host}, i64 {i * cell}") if i else host
            low = ((count - 1 - i) if big else i) * unit
            part = self.extend(self.extract(value, bits, low + unit - 1, low), unit, cell * 8)
            if self.after:
                self.journal(place, cell)
            self.text.do(f"store i{cell * 8} {part}, ptr {place}, align 1")

    def probe(self, stmt: ir.Probe, address: Value, args: list[Arg]) -> Value:
        """Asks the routine of the map, and takes back what it wrote."""
        space = self.isa.spaces[stmt.access.space]
        if not isinstance(space, ir.Map):
            raise Unsupported("a query of something that is no map")
        given = tuple(args[i] if i < len(args) else None for i in range(len(space.params)))
        wide = self.extend(address, space.address_width, 64)
        mask = sum(1 << i for i, g in enumerate(given) if g is not None)
        more = "".join(f", i64 {self.extend(g or 0, p.width, 64)}" for g, p in zip(given, space.params, strict=True))
        before = self.pointer("journal")
        self.put_pc()
        bits, kind = stmt.access.bits, ir.ACCESS_CODE[stmt.access.kind]
        status = self.text.let(
            f"call i64 {self.routine('translate.' + space.name)}"
            f"(ptr %st, ptr %ram, i64 {wide}, i64 {bits}, i64 {kind}, i64 {mask}{more})"
        )
        self.text.do(f"call void {self.pointer('rollback')}(ptr %st, ptr {before})")
        if stmt.what == "fault":
            return self.binary("xor", self.compare("eq", status, 0, 64), 1, 1)
        self.check_status(status)
        return self.fit(self.word("result"), 64, self.isa.spaces[space.below].address_width)


def below(width: int, whole: int) -> str:
    """Says of a load of `whole` bits that only the low `width` are used."""
    return f", !range !{{i{whole} 0, i{whole} {1 << width}}}" if 0 < width < whole else ""


def unspecified_number(isa: ir.Isa, name: str, arity: int, width: int) -> int:
    """The number by which generated code names an unspecified function: stable for a spec."""
    return unspecified(isa).index((name, arity, width))
