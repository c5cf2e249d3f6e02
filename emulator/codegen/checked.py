"""Code of a region that checks instead of trapping, with the guest's registers in values.

What fails a check goes back to the last checkpoint of the block (`region.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from analyzer import ir
from emulator.codegen.block import Block, Checkpoint, Group, HandOver, Key, place
from emulator.codegen.direct import PC
from emulator.codegen.layout import slot
from emulator.codegen.lower import Arg, Lower, Snap
from emulator.codegen.values import LIKELY, Text, Value, ty

if TYPE_CHECKING:
    from emulator.codegen.region import Region

CACHED = 64
"""Files with no more entries are kept in values."""


class Saved(Struct, frozen=True):
    """What differs between ways, besides values; `passed`: whether all that is required holds."""

    dirty: dict[Key, None]
    requires: list[Value]
    pending: list[tuple[str, int, int, Value]]
    written: set[str]
    passed: Value
    hosts: dict[Group, str]


class Checked(Lower):
    """Registers and checks of the code of one block."""

    def __init__(self, region: Region, text: Text, pc: int) -> None:
        super().__init__(region.plan.isa, text, region.plan.shape)
        self.region, self.plan = region, region.plan
        self.block = Block(pc, [], 0)
        self.dirty: dict[Key, None] = {}
        self.requires: list[Value] = []
        self.pending: list[tuple[str, int, int, Value]] = []
        self.here = pc
        self.index = 0
        self.fixed: Mapping[str, int] = {}
        self.written: set[str] = set()
        self.checkpoint = self.checkpoint_at(pc, 0)
        self.regs[PC] = pc
        self.length = 0
        self.arms = 0
        self.ordinal = 0
        self.hosts: dict[Group, str] = {}

    # -- values --------------------------------------------------------------------------------------------------------

    def operand(self, name: str, width: int) -> Value:
        value = self.fixed.get(name)
        if value is None:
            raise HandOver("a wide operand")
        return value

    def get(self, element: str, width: int) -> Value:
        if element in self.plan.choices:
            return self.plan.choices[element]
        if element == self.plan.pc:
            return self.regs[PC]
        if element in self.region.known and element not in self.written:
            return self.region.known[element]
        if element in self.plan.clocks:
            raise HandOver("a clock")
        return self.reg(("e", element, 0), width)

    def reg(self, key: Key, width: int) -> Value:
        value = self.regs.get(key)
        if value is None:
            self.region.used[key] = width
            value = self.regs[key] = self.text.let(f"load {ty(width)}, ptr %{place(key)}")
            if not self.arms:
                self.block.first[key] = self.text.lines[-1]
        return value

    def reg_code(self, key: Hashable) -> tuple[str, int]:
        if key == PC:
            return "", self.plan.pc_width
        assert isinstance(key, tuple)
        width = self.region.width(key)
        self.region.used[key] = width
        return f"load {ty(width)}, ptr %{place(key)}", width

    def set(self, element: str, value: Value) -> None:
        if element == self.plan.pc:
            self.regs[PC] = value
            return
        width = self.isa.elements[element].width
        if element in self.region.known:
            if value != self.region.known[element]:
                raise HandOver("a change of context")
            return
        if element in self.plan.roots | self.plan.calm_inputs or element in self.plan.clocks:
            raise HandOver("a change of what translations or interrupts depend on")
        if element in self.plan.processor:
            raise HandOver("a change of what translations depend on")
        self.written.add(element)
        self.write(("e", element, 0), value, width)

    def write(self, key: Key, value: Value, width: int) -> None:
        self.region.used[key] = width
        self.regs[key] = value
        self.dirty[key] = None
        self.block.written.add(key)
        if value == self.here + self.length and self.length:
            self.block.links.add(self.here + self.length)

    def get_entry(self, file: ir.File, index: Value) -> Value:
        if isinstance(index, int):
            if index >= file.size or index in file.zeros:
                return 0
            if file.size <= CACHED:
                return self.reg(("f", file.name, index), file.width)
        if file.size <= CACHED:
            raise HandOver("a computed register")
        w = max(file.index_width, file.size.bit_length())
        wide = self.extend(index, file.index_width, w)
        if file.size < 1 << file.index_width:
            wide = self.select(self.compare("ult", wide, file.size, w), wide, file.size, w)
        start = self.text.pure(f"getelementptr i8, ptr %st, i64 {self.plan.layout.files[file.name]}")
        whole = slot(file.width) * 8
        at = self.text.pure(f"getelementptr i{whole}, ptr {start}, i64 {self.fit(wide, w, 64)}")
        return self.fit(self.text.let(f"load i{whole}, ptr {at}"), whole, file.width)

    def set_entry(self, file: ir.File, index: Value, value: Value) -> None:
        if not isinstance(index, int) or file.size > CACHED or file.name in self.plan.roots | self.plan.calm_inputs:
            raise HandOver("a computed register")
        if index < file.size and index not in file.zeros:
            self.written.add(file.name)
            self.write(("f", file.name, index), value, file.width)

    def arbitrary(self, name: str, args: list[tuple[Value, int]], width: int) -> Value:
        raise HandOver("something unspecified")

    def _lazily(self, cond: Value, then: ir.Expr, other: ir.Expr, width: int) -> Value:
        """An arm that asks for something unspecified is left to the interpreter."""
        self.require(cond if effect_free(then) else self.binary("xor", cond, 1, 1))
        return self.value(then if effect_free(then) else other)

    def lookup(self, table: ir.Table, index: Value) -> Value:
        if table.width > 64:
            raise HandOver("a wide table")
        name = f"@table.{table.name}"
        values = ", ".join(f"i64 {v}" for v in (*table.values, 0))
        self.region.globals[name] = f"{name} = private constant [{len(table.values) + 1} x i64] [{values}]"
        w = max(table.index_width, len(table.values).bit_length())
        wide = self.extend(index, table.index_width, w)
        wide = self.select(self.compare("ult", wide, len(table.values), w), wide, len(table.values), w)
        at = self.text.pure(f"getelementptr i64, ptr {name}, i64 {self.fit(wide, w, 64)}")
        return self.fit(self.text.let(f"load i64, ptr {at}"), 64, table.width)

    # -- checks --------------------------------------------------------------------------------------------------------

    def checkpoint_at(self, pc: int, index: int) -> Checkpoint:
        found = Checkpoint(f"{self.text.prefix}bail.{index}", pc, -index, {})
        self.text.away.add(found.label)
        for key in self.dirty:
            found.dirty[key] = self.regs[key]
        self.block.checkpoints.append(found)
        return found

    def require(self, cond: Value) -> None:
        """Goes back unless `cond`; looked at before anything is written."""
        if cond != 1:
            self.requires.append(cond)

    def bail(self) -> str:
        self.checkpoint.used = True
        return self.checkpoint.label

    def check(self) -> None:
        """Looks at what is required."""
        cond: Value = 1
        for one in self.requires:
            cond = self.binary("and", cond, one, 1)
        self.requires = []
        if cond == 1:
            return
        if cond == 0:
            raise HandOver("what never passes")
        on = self.text.fresh("on")
        self.text.do(f"br i1 {cond}, label %{on}, label %{self.bail()}{LIKELY}")
        self.text.label(on)

    def split(self) -> None:
        self.check()

    def _when(self, cond: Value, stmt: ir.When, tail: bool) -> bool:
        """A way that only traps is a check."""
        if not isinstance(cond, int) and not tail:
            if stmt.then and isinstance(stmt.then[0], ir.Trap) and not stmt.other:
                self.require(self.binary("xor", cond, 1, 1))
                return True
            if len(stmt.other) == 1 and isinstance(stmt.other[0], ir.Trap):
                self.require(cond)
                return self.run(stmt.then)
        self.arms += 1
        live = super()._when(cond, stmt, tail)
        self.arms -= 1
        return live

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        self.leave_back()

    def leave_back(self) -> None:
        """This way is the interpreter's."""
        self.requires = []
        self.text.do(f"br label %{self.bail()}")

    def unpredictable(self) -> None:
        self.leave_back()

    def commit(self) -> bool:
        self.leave_back()
        return False

    def execute(self, word: Value, width: int, limit: int) -> None:
        self.leave_back()

    def probe(self, stmt: ir.Probe, address: Value, args: list[Arg]) -> Value:
        raise HandOver("a query of a map")

    keeps_registers = True

    def save(self) -> Saved:
        return Saved(
            dict(self.dirty),
            list(self.requires),
            list(self.pending),
            set(self.written),
            self.passed,
            dict(self.hosts),
        )

    def restore(self, saved: object) -> None:
        assert isinstance(saved, Saved)
        self.dirty, self.requires, self.pending = dict(saved.dirty), list(saved.requires), list(saved.pending)
        self.written, self.hosts = set(saved.written), dict(saved.hosts)

    def join_saved(self, blocks: list[str], saved: list[object]) -> None:
        ways = [one for one in saved if isinstance(one, Saved)]
        if any(way.pending != ways[0].pending for way in ways):
            raise HandOver("a store on one of several ways")
        self.pending = list(ways[0].pending)
        for way in ways:
            self.dirty |= way.dirty
            self.written |= way.written
        self.requires = []
        self.require(self._phi(blocks, [way.passed for way in ways], 1))

    def snap(self, join: str, result: Value | None = None) -> Snap:
        """What is required on this way is known where ways meet."""
        self.passed = 1
        for one in self.requires:
            self.passed = self.binary("and", self.passed, one, 1)
        return super().snap(join, result)

    passed: Value = 1


def effect_free(e: ir.Expr) -> bool:
    return not any(isinstance(term, ir.Arbitrary) for term in ir.subterms(e))
