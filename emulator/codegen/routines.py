"""Code of routines: what goes on with the program, what delivers a trap, what is called and returns a status."""

from __future__ import annotations

from analyzer import ir
from emulator.codegen.agreed import Leave
from emulator.codegen.direct import PC, Direct, Status
from emulator.codegen.handler import Tail
from emulator.codegen.plan import Plan
from emulator.codegen.values import Text, Unsupported, Value, ty

NESTED = 3
"""Traps that one delivery may raise."""


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
        if status != str(int(Status.LEAVE)):
            raise Unsupported("an access here")
        self.leave(Leave.STOP)  # the driver did not answer

    def unpredictable(self) -> None:
        raise Unsupported("unpredictable here")

    def commit(self) -> bool:
        raise Unsupported("a commit outside of an instruction")

    def execute(self, word: Value, width: int, limit: int) -> None:
        raise Unsupported("an instruction that executes another")

    def reg_code(self, key: object) -> tuple[str, int]:
        return ("", self.plan.pc_width) if key == PC else ("add i1 0, 0", 1)


class Delivery(Going):
    """The delivery procedure, for the kind of trap that has this number.  `%x` is how far the program counter is past
    the instruction."""

    def __init__(self, plan: Plan, text: Text, kind: Value) -> None:
        super().__init__(plan, text)
        self.kind = kind

    def end(self) -> None:
        """Done inside the delivery completes it; `check` empties the journal."""
        lost = self.binary("add", self.word("lost"), 1, 64)
        self.put_word("lost", lost)
        self.put_word("nest", 0)
        self.go("@check", "poison", self.binary("sub", "%b", 1, 64), self.wide_pc())

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
        self.go(target, "poison", "%b", "%pc", "%x")

    def back(self) -> None:
        """The program counter as it was before the step, of which nothing is left."""
        start = self.binary("sub", "%pc", "%x", 64)
        self.regs[PC] = self.fit(start, 64, self.plan.pc_width)

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        for i, (arg, (_, w)) in enumerate(zip(args, kind.params, strict=True)):
            self.text.do(f"store i64 {self.extend(arg, w, 64)}, ptr {self.at(self.layout.arguments + 8 * i)}")
        self.nested(number_of(self.isa, kind), f"@deliver.{kind.name}")

    def failed(self, status: str) -> None:
        """A trap nests; whatever else happens, the trap is not delivered."""
        trap, other = self.text.fresh("trap"), self.text.fresh("other")
        self.text.do(f"br i1 {self.compare('eq', status, int(Status.TRAP), 64)}, label %{trap}, label %{other}")
        self.text.label(other)
        left, none = self.text.fresh("left"), self.text.fresh("none")
        self.text.do(f"br i1 {self.compare('eq', status, int(Status.LEAVE), 64)}, label %{left}, label %{none}")
        self.text.label(left)
        self.text.do(f"call void @rollback(ptr %st, ptr {self.pointer('journal0')})")
        self.put_word("nest", 0)
        self.put_word("reason", self.word("info1"))
        self.back()
        self.go("@exit_", "poison", "%b", self.wide_pc())
        self.text.label(none)
        self.unpredictable()
        self.text.label(trap)
        self.nested(self.word("trap"), None)

    def unpredictable(self) -> None:
        self.text.do(f"call void @rollback(ptr %st, ptr {self.pointer('journal0')})")
        self.put_word("nest", 0)
        self.regs[PC] = "%pc" if self.plan.pc_width == 64 else "%here"
        self.leave(Leave.UNDELIVERED, info=self.kind)

    def commit(self) -> bool:
        first = self.pointer("journal0")
        self.text.do(f"store ptr {first}, ptr {self.at(self.layout.words['journal'])}")
        return True


def number_of(isa: ir.Isa, kind: ir.TrapKind) -> int:
    """The number of a kind of trap."""
    return list(isa.traps).index(kind.name)


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
