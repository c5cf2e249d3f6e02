"""Native routines on numbers of 64 bits, written in order: variables, branches, loops, memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from emulator.codegen.values import Text

Number = int | str


class Variable:
    """A variable of a routine."""

    def __init__(self, routine: Routine, value: Number) -> None:
        self._routine = routine
        self._place = "%" + routine.text.fresh("var")
        routine.begin.append(f"  {self._place} = alloca i64")
        self.put(value)

    def __call__(self) -> str:
        """What it has now."""
        return self._routine.text.let(f"load i64, ptr {self._place}")

    def put(self, value: Number) -> None:
        self._routine.text.do(f"store i64 {value}, ptr {self._place}")

    def add(self, value: Number) -> None:
        self.put(self._routine.op("add", self(), value))


class Routine:
    """A function of numbers; it gives a number."""

    def __init__(self, name: str, parameters: Sequence[str], exported: bool = False) -> None:
        linkage = "" if exported else "internal "
        given = ", ".join(f"i64 %{parameter}" for parameter in parameters)
        self.head = f"define {linkage}i64 @{name}({given}) nounwind noinline {{"
        self.text, self.begin = Text(), list[str]()
        self._loops: list[tuple[str, str]] = []

    def __str__(self) -> str:
        return "\n".join([self.head, "begin:", *self.begin, *self.text.lines, "  ret i64 0", "}", ""])

    # -- numbers -------------------------------------------------------------------------------------------------------

    def op(self, operator: str, a: Number, b: Number) -> str:
        return self.text.let(f"{operator} i64 {a}, {b}")

    def add(self, *numbers: Number) -> Number:
        total = numbers[0]
        for number in numbers[1:]:
            total = self.op("add", total, number)
        return total

    def test(self, relation: str, a: Number, b: Number) -> str:
        """A condition."""
        return self.text.let(f"icmp {relation} i64 {a}, {b}")

    def both(self, one: str, other: str) -> str:
        return self.text.let(f"and i1 {one}, {other}")

    def none(self, *conditions: str) -> str:
        """Whether none of some conditions holds."""
        some = conditions[0]
        for condition in conditions[1:]:
            some = self.text.let(f"or i1 {some}, {condition}")
        return self.text.let(f"xor i1 {some}, 1")

    def number(self, condition: str) -> str:
        return self.text.let(f"zext i1 {condition} to i64")

    def choose(self, condition: str, a: Number, b: Number) -> str:
        return self.text.let(f"select i1 {condition}, i64 {a}, i64 {b}")

    # -- memory --------------------------------------------------------------------------------------------------------

    def load(self, address: Number, bits: int = 64) -> str:
        place = self.text.let(f"inttoptr i64 {address} to ptr")
        value = self.text.let(f"load i{bits}, ptr {place}, align 1")
        return value if bits == 64 else self.text.let(f"zext i{bits} {value} to i64")

    def store(self, address: Number, value: Number, bits: int = 64) -> None:
        place = self.text.let(f"inttoptr i64 {address} to ptr")
        if bits < 64:
            value = self.text.let(f"trunc i64 {value} to i{bits}")
        self.text.do(f"store i{bits} {value}, ptr {place}, align 1")

    def room(self, count: int) -> str:
        """The address of so many numbers that the routine has for itself."""
        place = "%" + self.text.fresh("room")
        self.begin.append(f"  {place} = alloca [{count} x i64]")
        return self.text.let(f"ptrtoint ptr {place} to i64")

    # -- order ---------------------------------------------------------------------------------------------------------

    def variable(self, value: Number) -> Variable:
        return Variable(self, value)

    def call(self, name: str, *arguments: Number) -> str:
        return self.text.let(f"call i64 @{name}({', '.join(f'i64 {a}' for a in arguments)})")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        then, on = self.text.fresh("then"), self.text.fresh("on")
        self.text.do(f"br i1 {condition}, label %{then}, label %{on}")
        self.text.label(then)
        yield
        self.text.do(f"br label %{on}")
        self.text.label(on)

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Again and again, until `leave`."""
        head, out = self.text.fresh("loop"), self.text.fresh("out")
        self._loops.append((head, out))
        self.text.do(f"br label %{head}")
        self.text.label(head)
        yield
        self.text.do(f"br label %{head}")
        self.text.label(out)
        self._loops.pop()

    def leave(self, condition: str) -> None:
        """Leaves the loop on a condition."""
        self._part(condition, self._loops[-1][1])

    def again(self, condition: str) -> None:
        """Begins the next round of the loop on a condition."""
        self._part(condition, self._loops[-1][0])

    def _part(self, condition: str, label: str) -> None:
        on = self.text.fresh("on")
        self.text.do(f"br i1 {condition}, label %{label}, label %{on}")
        self.text.label(on)

    def give(self, value: Number) -> None:
        """What the routine gives; nothing behind it is done."""
        self.text.do(f"ret i64 {value}")
        self.text.label(self.text.fresh("never"))
