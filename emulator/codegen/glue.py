"""What stands between stencils where they are copied: how copies begin, and how they are left."""

from __future__ import annotations

from emulator.codegen.agreed import BACK, GLUE, NEXT, SHORT
from emulator.codegen.layout import Record
from emulator.codegen.plan import Plan
from emulator.codegen.routines import Going
from emulator.codegen.stencil import Holes
from emulator.codegen.values import UNLIKELY, Text, Value


class Glue(Holes, Going):
    """What stands between stencils, in which `%rec` is the first record of the page."""

    def there(self, distance: str = "disp") -> str:
        """The record that is so far from another one."""
        return self.text.let(f"getelementptr i8, ptr %rec, i64 {self.hole(distance, 64, 32)}")

    def pc(self) -> Value:
        return self.hole("pc", 64)

    def counted(self) -> None:
        """Where jumps enter a copy: they are counted, as `count` does it, for the driver may make a region."""
        place = self.at(Record.COUNT, "%rec")
        weight = self.select(self.compare("ule", self.pc(), "%x", 64), BACK, 1, 32)
        count = self.binary("add", self.text.let(f"load i32, ptr {place}"), weight, 32)
        self.text.do(f"store i32 {count}, ptr {place}")
        limit = self.fit(self.word("threshold"), 64, 32)
        hot, on = self.text.fresh("hot"), self.text.fresh("on")
        self.text.do(f"br i1 {self.compare('ule', limit, count, 32)}, label %{hot}, label %{on}{UNLIKELY}")
        self.text.label(hot)
        self.go(self.pointer("counter"), "%rec", "%b", self.pc(), "%x")
        self.text.label(on)
        self.enter()

    def enter(self) -> None:
        """Where control falls into a copy."""
        self.go(f"@{NEXT}", self.there("0 disp sub"), "%b", "poison")

    def begin(self) -> None:
        """Takes the steps of the copy; where another one leads to it."""
        budget = self.text.let(f"sub i64 %b, {self.hole('left', 64, 32)}")
        short, on = self.text.fresh("short"), self.text.fresh("on")
        self.text.do(f"br i1 {self.compare('slt', budget, 0, 64)}, label %{short}, label %{on}{UNLIKELY}")
        self.text.label(short)
        self.out(SHORT)
        self.text.label(on)
        self.go(f"@{NEXT}", "%rec", budget, "poison")

    def short(self) -> None:
        """The budget is not enough for the copy."""
        self.go(self.pointer("interpret"), self.there(), "%b", self.pc())

    def bail(self) -> None:
        """An instruction is left to its handler, and the steps of those behind it are given back."""
        budget = self.text.let(f"add i64 %b, {self.hole('left', 64, 32)}")
        self.go(self.pointer("interpret"), self.there(), budget, self.pc())

    def near(self) -> None:
        """To an instruction of the same page, as if by a jump: what control only falls into would never be counted."""
        record = self.there()
        target = self.text.let(f"load ptr, ptr {self.at(Record.JUMP, record)}")
        self.go(target, record, "%b", self.pc(), self.hole("origin", 64))

    def far(self) -> None:
        """A jump to another page."""
        self.go(self.pointer("lookup"), "poison", "%b", self.pc())


def glue(plan: Plan) -> dict[str, Glue]:
    """What stands between stencils, by name."""
    found = {}
    for name in GLUE:
        found[name] = made = Glue(plan, Text()).named(f"glue.{name}")
        getattr(made, name)()
    return found
