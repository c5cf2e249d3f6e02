"""The threaded interpreter: one function for each variant of an instruction.

What a variant (`variant.py`) does not fix of the operands is read from the record.  A handler ends by calling the next
record's, in tail position, so nothing is ever returned through; it leaves to the driver through the routine `exit_`.
"""

from __future__ import annotations

from collections.abc import Hashable

from analyzer import ir
from emulator.codegen.agreed import EXECUTED, MIX, Leave, executing
from emulator.codegen.direct import PC, SLOW, Direct, below
from emulator.codegen.layout import Record, places
from emulator.codegen.plan import CODE_MASK, CODE_PAGE, CODE_SHIFT, Plan
from emulator.codegen.values import LIKELY, UNLIKELY, Text, Unsupported, Value, ones, ty
from emulator.codegen.variant import Variant, atom_of, control, holds

CONVENTION = "preserve_nonecc"
PARAMETERS = "ptr %st, ptr %rec, ptr %ram, i64 %b, i64 %pc, i64 %x"
CHEAP = 24
"""An interrupt condition with no more nodes is evaluated in place where its inputs are written."""


class Tail(Direct):
    """Code that ends in tail calls."""

    origin: Value = "%pc"
    """Where a jump comes from."""

    def go(self, target: str, rec: Value, budget: Value, pc: Value, more: Value = "poison") -> None:
        self.text.do(
            f"musttail call {CONVENTION} void {target}"
            f"(ptr %st, ptr {rec}, ptr %ram, i64 {budget}, i64 {pc}, i64 {more})"
        )
        self.text.do("ret void")

    def wide_pc(self) -> Value:
        return self.extend(self.regs[PC], self.plan.pc_width, 64)

    def jump(self, budget: Value) -> None:
        """Goes to the record of the program counter, by the fetch cache of the context; tells it where from."""
        pc = self.wide_pc()
        page = ones(64) - ones(CODE_PAGE)
        index = self.binary("and", self.binary("lshr", pc, CODE_SHIFT, 64), CODE_MASK, 64)
        entry = self.text.let(f"getelementptr i8, ptr {self.pointer('itlb')}, i64 {index}")
        tag = self.text.let(f"load i64, ptr {entry}")
        aligned = page | self.plan.per_parcel - 1
        hit = self.compare("eq", self.binary("and", pc, aligned, 64), tag, 64)
        fast, miss = self.text.fresh("fast"), self.text.fresh("miss")
        self.text.do(f"br i1 {hit}, label %{fast}, label %{miss}{LIKELY}")
        self.text.label(miss)
        self.go(self.pointer("lookup"), "poison", budget, pc)
        self.text.label(fast)
        base = self.text.let(f"load ptr, ptr {self.at(8, entry)}")
        scale = (self.layout.record.size // self.plan.per_parcel).bit_length() - 1
        if (
            self.layout.record.size % self.plan.per_parcel
            or 1 << scale != self.layout.record.size // self.plan.per_parcel
        ):
            raise Unsupported("parcels of an odd number of units")
        away = self.binary("shl", self.binary("and", pc, ones(CODE_PAGE), 64), scale, 64)
        rec = self.text.let(f"getelementptr i8, ptr {base}, i64 {away}")
        self.go(self.text.let(f"load ptr, ptr {self.at(Record.JUMP, rec)}"), rec, budget, pc, self.origin)

    def checks(self) -> list[int] | None:
        """What must be looked at after what was written: None for everything, else interrupt conditions by number."""
        if self.written & ({*self.plan.key, *self.plan.processor} | self.plan.roots):
            return None
        due = [i for i, inputs in enumerate(self.plan.interrupt_inputs) if inputs & self.written]
        for i in due:
            terms = list(ir.subterms(self.isa.interrupts[i].cond))
            if len(terms) > CHEAP or any(isinstance(t, ir.Arbitrary) for t in terms):
                return None
        return due

    def pending(self, due: list[int]) -> Value:
        """Whether one of these conditions holds."""
        any_: Value = 0
        outer, self.locals = self.locals, {}
        for i in due:
            any_ = self.binary("or", any_, self.value(self.isa.interrupts[i].cond), 1)
        self.locals = outer
        return any_


class Handler(Tail):
    """Lowers one variant."""

    def __init__(self, plan: Plan, text: Text, variant: Variant) -> None:
        super().__init__(plan, text)
        self.variant = variant
        self.control = control(plan.isa, plan.isa.instructions[variant.instruction])
        self.fixed = dict(variant.fixed)
        self.places = places(plan.isa.instructions[variant.instruction].operands)
        self.here = "%here" if plan.pc_width < 64 else "%pc"
        self.delta: dict[Value, int] = {self.here: 0}
        self.regs[PC] = self.here

    def value(self, e: ir.Expr) -> Value:
        atom = atom_of(e)
        if atom is not None and atom[0] in self.fixed:
            return holds(self.control[atom[0]], self.fixed[atom[0]], atom[1])
        return super().value(e)

    def operand(self, name: str, width: int) -> Value:
        if name in self.fixed and self.control[name] is None:
            return self.fixed[name]
        place = self.places.get(name)
        if place is None:
            raise Unsupported(f"an operand of {width} bits")
        whole = place.bytes * 8
        value = self.text.pure(f"load i{whole}, ptr {self.at(place.offset, '%rec')}{below(width, whole)}")
        if width == place.bytes * 8:
            return value
        return self.text.pure(f"trunc nuw i{place.bytes * 8} {value} to {ty(width)}")

    def binary(self, op: str, a: Value, b: Value, width: int) -> Value:
        """Follows how far the program counter has moved."""
        if op in ("add", "sub") and width == self.plan.pc_width and isinstance(b, int) and a in self.delta:
            away = self.delta[a] + (b if op == "add" else -b) & ones(width)
            if away == 0:
                return self.here
            found = self.text.pure(f"add {ty(width)} {self.here}, {away}")
            self.delta[found] = away
            return found
        return super().binary(op, a, b, width)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def spent(self) -> Value:
        return self.binary("sub", "%b", 1, 64)

    def end(self) -> None:
        due = self.checks()
        if due is None:
            self.go(self.pointer("check"), "poison", self.spent(), self.wide_pc())
            return
        wait = self.pending(due) if due else 0
        slow = self.regs[SLOW]
        if wait == 1:
            self.go(self.pointer("check"), "poison", self.spent(), self.wide_pc())
            return
        if slow == 1 and wait == 0:
            self.go(self.pointer("attend"), "poison", self.spent(), self.wide_pc())
            return
        for cond, routine in ((wait, "check"), (slow, "attend")):
            if cond == 0:
                continue
            yes, no = self.text.fresh(routine), self.text.fresh("on")
            self.text.do(f"br i1 {cond}, label %{yes}, label %{no}{UNLIKELY}")
            self.text.label(yes)
            self.go(self.pointer(routine), "poison", self.spent(), self.wide_pc())
            self.text.label(no)
        if self.journals:
            first = self.pointer("journal0")
            self.text.do(f"store ptr {first}, ptr {self.at(self.layout.words['journal'])}")
        if self.delta.get(self.regs[PC]) == self.variant.length:
            self.fall()
        else:
            self.jump(self.spent())

    def fall(self) -> None:
        """Goes on behind the instruction."""
        rec = self.at(self.variant.length // self.plan.per_parcel * self.layout.record.size, "%rec")
        target = self.text.let(f"load ptr, ptr {rec}")
        self.go(target, rec, self.spent(), self.wide_pc())

    def undo(self) -> None:
        self.text.do(f"call void {self.pointer('rollback')}(ptr %st, ptr {self.pointer('journal0')})")

    def failed(self, status: str) -> None:
        self.undo()
        self.put_word("reason", status)
        self.go(self.pointer("raise_"), "%rec", "%b", "%pc", self.variant.length)

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        for i, (arg, (_, w)) in enumerate(zip(args, kind.params, strict=True)):
            if w > 64:
                raise Unsupported("a wide argument of a trap")
            self.text.do(f"store i64 {self.extend(arg, w, 64)}, ptr {self.at(self.layout.arguments + 8 * i)}")
        if self.journalled:
            self.undo()
        self.regs[PC] = self.here if kind.resume == "here" else self.next_pc()
        away = 0 if kind.resume == "here" else self.variant.length
        self.go(self.routine(f"deliver.{kind.name}"), "poison", "%b", self.wide_pc(), away)

    def next_pc(self) -> Value:
        return self.binary("add", self.here, self.variant.length, self.plan.pc_width)

    def unpredictable(self) -> None:
        """What it wrote is undone, and it is skipped."""
        if self.journalled:
            self.undo()
        self.regs[PC] = self.next_pc()
        self.go(self.pointer("attend"), "poison", self.spent(), self.wide_pc())

    def commit(self) -> bool:
        if self.journalled:
            first = self.pointer("journal0")
            self.text.do(f"store ptr {first}, ptr {self.at(self.layout.words['journal'])}")
        return True

    def stand(self) -> None:
        """An executed instruction advances the program counter itself, so that is first set back by its length:
        afterwards it stands where the other one had left it.  What the other one did is undone with it."""
        if self.variant.executed is None:
            return
        width = self.plan.pc_width
        back = self.variant.length - self.variant.executed[0] & ones(width)
        self.regs[PC] = self.binary("add", self.here, back, width)
        self.regs[SLOW], self.journalled = 1, True

    def lower(self) -> None:
        """The whole instruction; one that is executed stands where the other does, once it has advanced."""
        body = self.isa.instructions[self.variant.instruction].body
        if self.variant.executed is not None:
            first = (n for n, s in enumerate(body, 1) if isinstance(s, ir.Set) and s.element == self.plan.pc)
            ahead = next(first, 1)
            self.run(body[:ahead])
            self.bind("here", self.here, self.plan.pc_width)
            body = body[ahead:]
        self.run(body, tail=True)

    def execute(self, word: Value, width: int, limit: int) -> None:
        """Goes to the record of the word; the driver makes one that is not there."""
        depth = 1 if self.variant.executed is None else self.variant.executed[1] + 1
        parcels = self.plan.isa.fetch.parcel
        if depth > limit or width > 64 or width % parcels or self.checks() != [] or self.variant.length > ones(8):
            raise Unsupported("an instruction that executes another")
        wide, how = self.extend(word, width, 64), executing(self.variant.length, depth, width)
        mixed = self.binary("mul", self.binary("xor", wide, how << 48 & ones(64), 64), MIX, 64)
        slot_ = self.binary("shl", self.binary("lshr", mixed, 65 - EXECUTED.bit_length(), 64), 5, 64)
        entry = self.away(self.pointer("executed"), slot_)
        there = self.compare("eq", self.text.let(f"load i64, ptr {entry}"), wide, 64)
        same = self.compare("eq", self.text.let(f"load i64, ptr {self.at(8, entry)}"), how, 64)
        known, new = self.text.fresh("known"), self.text.fresh("new")
        self.text.do(f"br i1 {self.binary('and', there, same, 1)}, label %{known}, label %{new}{LIKELY}")
        self.text.label(new)
        for name, value in (("reason", int(Leave.EXECUTE)), ("info0", wide), ("info1", how)):
            self.put_word(name, value)
        self.go(self.pointer("exit_"), "%rec", "%b", "%pc")
        self.text.label(known)
        record = self.text.let(f"load ptr, ptr {self.at(16, entry)}")
        self.go(self.text.let(f"load ptr, ptr {record}"), record, "%b", "%pc")

    def save(self) -> object:
        return None

    def reg_code(self, key: Hashable) -> tuple[str, int]:
        if key == PC:
            return "", self.plan.pc_width
        return "add i1 0, 0", 1


def handler(plan: Plan, variant: Variant, name: str) -> str:
    """The function of a variant, with its constants.

    Raises:
        Unsupported: the reference must execute it.
    """
    text = Text()
    lower = Handler(plan, text, variant)
    text.do("%spent = icmp eq i64 %b, 0")
    text.do(f"br i1 %spent, label %over, label %body{UNLIKELY}")
    text.label("over")
    lower.go(lower.pointer("exit_budget"), "%rec", 0, "%pc")
    text.label("body")
    if plan.pc_width < 64:
        text.do(f"%here = trunc nuw i64 %pc to {ty(plan.pc_width)}")
    if variant.trap is not None:
        kind = plan.isa.traps[variant.trap[0]]
        lower.trap(kind, list(variant.trap[1]))
    else:
        lower.stand()
        lower.lower()
    body = "\n".join(text.lines)
    head = "\n".join(lower.globals.values()).replace("@table.", f"@{name}.table.")
    return f"{head}\ndefine {CONVENTION} void @{name}({PARAMETERS}) nounwind {{\nentry:\n{body}\n}}\n".replace(
        "@table.", f"@{name}.table."
    )
