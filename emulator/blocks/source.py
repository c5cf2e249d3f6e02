"""Basic blocks as Python source.

A block computes instruction by instruction: first everything that the instruction reads and checks, in local variables;
then everything that it writes.  Where a check fails it raises `Back`: nothing of the instruction is done, and the
reference executes it, with its trap, its device or whatever it was.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from analyzer import ir
from emulator.codegen.lower import Arg, Frame, Lower
from emulator.codegen.plan import LINE, Plan
from emulator.codegen.values import Text, Unsupported, Value, known, ones

PC = ("pc",)


class Back(Exception):
    """The reference must execute the next instruction; `done` were executed before it in the block."""

    def __init__(self, done: int) -> None:
        self.done = done


class Lines(Text):
    """Python text: the lines have their indentation."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 1

    def let(self, code: str) -> str:
        name = self.fresh()
        self.put(f"{name} = {code}")
        return name

    def pure(self, code: str) -> str:
        found = self.known.get(code)
        if found is None:
            found = self.known[code] = self.let(code)
        return found

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def do(self, code: str) -> None:
        raise AssertionError(f"LLVM in Python: {code}")


@dataclass(slots=True)
class Writes:
    """What an instruction writes at its end."""

    regs: dict[Hashable, Value] = field(default_factory=dict)
    stores: list[tuple[str, int, Value]] = field(default_factory=list)  # offset, units, value


class Source(Lower):
    """Lowers instructions to Python; values are Python expressions over local names."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.isa, Lines(), plan.shape)
        self.plan = plan
        self.operands: Mapping[str, int] = {}
        self.writes = Writes()
        self.index = 0
        self.ended = False
        self.touched: set[str] = set()
        self.dirty: set[Hashable] = set()
        self.big = plan.isa.endian

    @property
    def out(self) -> Lines:
        assert isinstance(self.text, Lines)
        return self.text

    # -- operators -----------------------------------------------------------------------------------------------------

    def binary(self, op: str, a: Value, b: Value, width: int) -> Value:
        w = max(width, 1)
        mask = ones(w)
        if isinstance(a, int) and isinstance(b, int):
            return known(op, a, b, w) & mask
        if b == 0 and op in ("add", "sub", "or", "xor", "shl", "lshr", "ashr"):
            return a
        if a == 0 and op in ("add", "or", "xor"):
            return b
        s = self.out.pure
        match op:
            case "add" | "sub" | "mul":
                sign = {"add": "+", "sub": "-", "mul": "*"}[op]
                return s(f"{a} {sign} {b} & {mask}")
            case "and" | "or" | "xor":
                return s(f"{a} {({'and': '&', 'or': '|', 'xor': '^'})[op]} {b}")
            case "shl":
                if isinstance(b, int):
                    return 0 if b >= w else s(f"{a} << {b} & {mask}")
                return s(f"{a} << {b} & {mask} if {b} < {w} else 0")
            case "lshr":
                return s(f"{a} >> {b}")
            case "ashr":
                return s(f"({a} ^ {1 << w - 1}) - {1 << w - 1} >> {b} & {mask}")
            case _:
                return s(f"known({op!r}, {a}, {b}, {w}) & {mask}")

    def compare(self, op: ir.CompareOp, a: Value, b: Value, width: int) -> Value:
        if isinstance(a, int) and isinstance(b, int):
            return super().compare(op, a, b, width)
        sign = {"eq": "==", "ult": "<", "ule": "<=", "slt": "<", "sle": "<="}[op]
        if op in ("slt", "sle"):
            top = 1 << max(width, 1) - 1
            return self.out.pure(f"int(({a} ^ {top}) {sign} ({b} ^ {top}))")
        return self.out.pure(f"int({a} {sign} {b})")

    def select(self, cond: Value, then: Value, other: Value, width: int) -> Value:
        if isinstance(cond, int):
            return then if cond else other
        return then if then == other else self.out.pure(f"{then} if {cond} else {other}")

    def extract(self, a: Value, width: int, hi: int, lo: int) -> Value:
        if isinstance(a, int):
            return a >> lo & ones(hi - lo + 1)
        if lo == 0 and hi == width - 1:
            return a
        shifted = f"{a} >> {lo}" if lo else str(a)
        return self.out.pure(shifted if hi == width - 1 else f"{shifted} & {ones(hi - lo + 1)}")

    def extend(self, a: Value, width: int, to: int) -> Value:
        return a

    def sign_extend(self, a: Value, width: int, to: int) -> Value:
        if isinstance(a, int):
            return super().sign_extend(a, width, to)
        top = 1 << width - 1
        return a if width == to else self.out.pure(f"({a} ^ {top}) - {top} & {ones(to)}")

    def _lazily(self, cond: Value, then: ir.Expr, other: ir.Expr, width: int) -> Value:
        raise Unsupported("something unspecified")

    def lookup(self, table: ir.Table, index: Value) -> Value:
        return self.out.let(f"T[{table.name!r}][{index}] if {index} < {len(table.values)} else 0")

    def arbitrary(self, name: str, args: list[tuple[Value, int]], width: int) -> Value:
        raise Unsupported("something unspecified")

    # -- state ---------------------------------------------------------------------------------------------------------

    def operand(self, name: str, width: int) -> Value:
        return self.operands.get(name, 0)

    def get(self, element: str, width: int) -> Value:
        if element in self.plan.choices:
            return self.plan.choices[element]
        if element == self.plan.pc:
            return self.regs[PC]
        key = ("e", element)
        if key not in self.regs:
            if element in self.plan.clocks:
                raise Unsupported("a clock")
            self.regs[key] = self.out.let(f"E[{element!r}]")
        return self.regs[key]

    def set(self, element: str, value: Value) -> None:
        if element == self.plan.pc:
            self.regs[PC] = value
            return
        if element in {*self.plan.key, *self.plan.processor, *self.plan.clocks} | self.plan.roots:
            raise Unsupported("a change that the reference must see")
        self.regs["e", element] = value
        self.dirty.add(("e", element))
        self.touched.add(element)

    def get_entry(self, file: ir.File, index: Value) -> Value:
        if not isinstance(index, int):
            if any(key[:2] == ("f", file.name) for key in self.regs if isinstance(key, tuple)):
                raise Unsupported("a computed register after a write")
            return self.out.let(f"F[{file.name!r}][{index}] if {index} < {file.size} else 0")
        if index >= file.size:
            return 0
        key = ("f", file.name, index)
        if key not in self.regs:
            self.regs[key] = self.out.let(f"F[{file.name!r}][{index}]")
        return self.regs[key]

    def set_entry(self, file: ir.File, index: Value, value: Value) -> None:
        if not isinstance(index, int) or file.name in self.plan.roots:
            raise Unsupported("a computed register")
        if index < file.size and index not in file.zeros:
            self.regs["f", file.name, index] = value
            self.dirty.add(("f", file.name, index))
            self.touched.add(file.name)

    def reg_code(self, key: Hashable) -> tuple[str, int]:
        raise AssertionError("registers are loaded where they are needed")

    # -- control -------------------------------------------------------------------------------------------------------

    def require(self, cond: Value) -> None:
        if cond == 1:
            return
        self.out.put(f"raise Back({self.index})" if cond == 0 else f"if not {cond}: raise Back({self.index})")

    def _when(self, cond: Value, stmt: ir.When, tail: bool) -> bool:
        if isinstance(cond, int):
            return self.run(stmt.then if cond else stmt.other)
        text, outer_locals, outer_regs = self.out, self.locals, self.regs
        stores, shared = list(self.writes.stores), dict(text.known)
        ways: list[tuple[bool, int, dict[str, Value], dict[Hashable, Value]]] = []
        for head, arm in ((f"if {cond}:", stmt.then), ("else:", stmt.other)):
            text.put(head)
            text.depth += 1
            self.locals, self.regs, text.known = dict(outer_locals), dict(outer_regs), dict(shared)
            text.put("pass")
            live = self.run(arm)
            ways.append((live, len(text.lines), self.locals, self.regs))
            text.depth -= 1
            if self.writes.stores != stores:
                raise Unsupported("a store on one of several ways")
        text.known = shared
        there = [way for way in ways if way[0]]
        self.locals, self.regs = outer_locals, outer_regs
        if not there:
            return False
        if len(there) == 1:
            self.locals, self.regs = there[0][2], there[0][3]
            return True
        self._join(there)
        return True

    def _join(self, ways: list[tuple[bool, int, dict[str, Value], dict[Hashable, Value]]]) -> None:
        """Assigns what differs to common names at the end of each way."""
        text = self.out
        locals_ = [way[2] for way in ways]
        regs = [way[3] for way in ways]
        names = [n for n in locals_[0] if all(n in other for other in locals_)]
        keys = {key for one in regs for key in one}
        assigned: list[list[str]] = [[] for _ in ways]
        merged: dict[str, Value] = {}
        for name in names:
            merged[name] = self._common([one[name] for one in locals_], assigned)
        joined: dict[Hashable, Value] = {}
        for key in sorted(keys, key=repr):
            values = [one[key] if key in one else self._original(key) for one in regs]
            joined[key] = self._common(values, assigned)
        indent = "    " * (text.depth + 1)
        for (_, end, _, _), lines in sorted(zip(ways, assigned, strict=True), key=lambda pair: -pair[0][1]):
            text.lines[end:end] = [indent + line for line in lines]
        self.locals, self.regs = merged, joined

    def _common(self, values: list[Value], assigned: list[list[str]]) -> Value:
        if all(v == values[0] for v in values):
            return values[0]
        name = self.out.fresh("m")
        for lines, value in zip(assigned, values, strict=True):
            lines.append(f"{name} = {value}")
        return name

    def _original(self, key: Hashable) -> str:
        assert isinstance(key, tuple)
        return f"E[{key[1]!r}]" if key[0] == "e" else f"F[{key[1]!r}][{key[2]}]"

    def _fork(self, cond: Value, then: ir.Block, other: ir.Block) -> None:
        raise AssertionError("nothing is in tail position here")

    def loop(self, stmt: ir.Loop) -> bool:
        if self.value(stmt.cond) == 0:
            return True
        raise Unsupported("a loop")

    def inline(
        self,
        params: tuple[tuple[str, int], ...],
        args: list[Value],
        body: ir.Block,
        returns: int | None,
        tail: bool = False,
        more: dict[str, Value] | None = None,
    ) -> Value | None:
        """A procedure in place; only its last statement may return, on each way."""
        outer = self.locals
        self.locals = {name: arg for (name, _), arg in zip(params, args, strict=True)} | (more or {})
        self.frames.append(Frame("", False, [], returns is not None))
        result = self._body(body)
        self.frames.pop()
        self.locals = outer
        return result

    def _body(self, body: ir.Block) -> Value | None:
        """What a block returns; None if control does not come back from it."""
        for i, stmt in enumerate(body):
            if isinstance(stmt, ir.Return):
                return 0 if stmt.value is None else self.value(stmt.value)
            if isinstance(stmt, ir.When) and any(isinstance(s, ir.Return) for s in ir.statements((stmt,))):
                return self._returning_when(stmt, body[i + 1 :])
            if not self.run((stmt,)):
                return None
        return 0

    def _returning_when(self, stmt: ir.When, rest: ir.Block) -> Value | None:
        """Ways of which one returns: each goes to the end of the procedure."""
        cond = self.value(stmt.cond)
        if isinstance(cond, int):
            return self._body((stmt.then if cond else stmt.other) + rest)
        text, outer_locals, outer_regs = self.out, self.locals, self.regs
        stores, shared = list(self.writes.stores), dict(text.known)
        ways: list[tuple[bool, int, dict[str, Value], dict[Hashable, Value]]] = []
        for head, arm in ((f"if {cond}:", stmt.then), ("else:", stmt.other)):
            text.put(head)
            text.depth += 1
            self.locals, self.regs, text.known = dict(outer_locals), dict(outer_regs), dict(shared)
            text.put("pass")
            result = self._body(arm + rest)
            locals_: dict[str, Value] = {} if result is None else {"": result}
            ways.append((result is not None, len(text.lines), locals_, self.regs))
            text.depth -= 1
            if self.writes.stores != stores:
                raise Unsupported("a store on one of several ways")
        text.known = shared
        there = [way for way in ways if way[0]]
        self.locals, self.regs = outer_locals, outer_regs
        if not there:
            return None
        if len(there) == 1:
            self.regs = there[0][3]
            return there[0][2][""]
        self._join(there)
        return self.locals[""]

    def end(self) -> None:
        raise Unsupported("an end in the middle")

    def trap(self, kind: ir.TrapKind, args: list[Value]) -> None:
        self.require(0)

    def unpredictable(self) -> None:
        self.require(0)

    def unreached(self) -> None:
        """Behind a `raise` of Python anything may stand."""

    def commit(self) -> bool:
        self.require(0)
        return False

    def execute(self, word: Value, width: int, limit: int) -> None:
        self.require(0)

    def probe(self, stmt: ir.Probe, address: Value, args: list[Arg]) -> Value:
        raise Unsupported("a query of a map")

    # -- memory --------------------------------------------------------------------------------------------------------

    def within(self, space: ir.Memory, address: Value, bits: int) -> None:
        if space.size is not None and space.beyond is not None:
            last = (1 << space.address_width) - 1
            size = self.value(space.size)
            end = self.out.pure(f"min({address} + {bits // space.unit - 1}, {last})")
            self.require(self.compare("ult", end, size, 64))

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
        """A translation is asked of the reference."""
        if self.touched & {*self.plan.key, *self.plan.roots}:
            raise Unsupported("an access after a change of the map")
        given = tuple(args[i] if i < len(args) else None for i in range(len(space.params)))
        wanted = f"({', '.join(str(g) for g in given)}{',' if given else ''})"
        each = space.unit if span else bits
        count = bits // each
        parts: list[Value] = []
        for i in range(count):
            at = self.binary("add", address, i, space.address_width)
            below = self.out.let(f"go({space.name!r}, {at}, {each}, {kind!r}, {wanted}, {self.index})")
            low = ((count - 1 - i) if self.big == "big" else i) * each
            part = None if value is None else self.extract(value, bits, low + each - 1, low)
            inner = self.isa.spaces[space.below]
            if not isinstance(inner, ir.Memory):
                raise Unsupported("a map over a map")
            self.within(inner, below, each)
            got = self.physical(inner, below, each, table, part)
            parts.append(self.binary("shl", got, low, bits) if value is None else 0)
        total: Value = 0
        for one in parts:
            total = self.binary("or", total, one, bits)
        return total

    def physical(self, space: ir.Memory, address: Value, bits: int, table: bool, value: Value | None) -> Value:
        bank, units = self.plan.bank, bits // space.unit
        if bank.memory != space.name or bank.size < units:
            raise Unsupported("other memory")
        offset = self.out.pure(f"{address} - {bank.base}")
        self.require(self.out.pure(f"int(0 <= {offset} <= {bank.size - units})"))
        if value is not None:
            self.require(self.out.let(f"int(not marks[{offset} >> {LINE}])"))
            self.writes.stores.append((str(offset), units, value))
            return 0
        if self.writes.stores:
            raise Unsupported("a load after a store")
        if units == 1:
            return self.out.let(f"ram[{offset}]")
        if space.unit == 8:
            return self.out.let(f"int.from_bytes(ram[{offset}:{offset} + {units}], {self.big!r})")
        raise Unsupported("wide words")

    # -- blocks --------------------------------------------------------------------------------------------------------

    def instruction(self, pc: int, body: ir.Block, operands: Mapping[str, int], index: int, next_: int) -> bool:
        """Lowers an instruction; whether control may go on behind it.  The block continues only if it surely does.

        Raises:
            Unsupported: the reference must execute it.
        """
        self.operands, self.index, self.writes = operands, index, Writes()
        self.locals, self.regs, self.touched, self.dirty = {}, {PC: pc}, set(), set()
        self.out.known = {}
        if not self.run(body):
            return False
        for holds in self._interrupts():
            self.require(self.binary("xor", holds, 1, 1))
        for key, value in self.regs.items():
            if key in self.dirty:
                self.out.put(f"{self._original(key)} = {value}")
        for offset, units, value in self.writes.stores:
            if units == 1:
                self.out.put(f"ram[{offset}] = {value}")
            else:
                if self.plan.bank.cell != 1:
                    raise Unsupported("wide words")
                self.out.put(f"ram[{offset}:{offset} + {units}] = ({value}).to_bytes({units}, {self.big!r})")
        pc_value = self.regs[PC]
        if pc_value == next_:
            return True
        self.out.put(f"E[{self.plan.pc!r}] = {pc_value}")
        self.out.put(f"return {index + 1}")
        return False

    def _interrupts(self) -> list[Value]:
        """The conditions whose inputs were written."""
        found = []
        outer, self.locals = self.locals, {}
        for i, inputs in enumerate(self.plan.interrupt_inputs):
            if inputs & self.touched:
                found.append(self.value(self.isa.interrupts[i].cond))
        self.locals = outer
        return found
