"""The proof that a page is uniform: that a map treats all of its addresses alike.

A translation may be cached for a page only if, in the present state, no address of the page traps and all are moved by
the same amount.  Nothing in a spec says where pages begin, so this is proved each time a cache is filled: the body of
the map is evaluated over *ranges*.  The address is the range of the page; what is computed from it is a range, too,
that holds all values which any address of the page would give.  Where a condition is not the same for the whole range,
the proof fails and the page is not cached; and the answer must be *faithful*: the first address
below plus the distance.

Elements that decide on the translation are exact; those that are not watched for changes have any value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from analyzer import ir
from emulator.codegen.direct import Direct
from emulator.codegen.plan import LINE, MARK_TABLE, Plan
from emulator.codegen.values import UNLIKELY, Text, Unsupported, Value, ones


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `lo` to `hi` (64-bit values; a boolean is 0, 1 or both).  `zeros` low bits are 0.  `faithful`
    (a boolean value): it is `lo` plus the distance of the address from the first of the page."""

    lo: Value
    hi: Value
    zeros: int = 0
    faithful: Value = 0

    @property
    def exact(self) -> bool:
        return self.lo == self.hi


@dataclass(frozen=True, slots=True)
class Wide:
    """A number of more than 64 bits that is put together from others: their widths and ranges, the least significant
    one first.  It can only be taken apart."""

    parts: tuple[tuple[int, Range], ...]


@dataclass(slots=True)
class Way:
    block: str
    locals: dict[str, Range | Wide]
    result: Range | None = None


class Prover:
    """Lowers the body of a map over ranges; what cannot be proved goes to the block `fail`."""

    def __init__(self, plan: Plan, text: Text, direct: Direct) -> None:
        self.plan = plan
        self.isa = plan.isa
        self.text = text
        self.direct = direct  # for exact values
        self.locals: dict[str, Range | Wide] = {}
        self.ways: list[list[Way]] = []
        self.watched = set(plan.key) | plan.roots

    # -- values --------------------------------------------------------------------------------------------------------

    def op(self, name: str, a: Value, b: Value) -> Value:
        return self.direct.binary(name, a, b, 64)

    def test(self, name: ir.CompareOp, a: Value, b: Value) -> Value:
        return self.direct.compare(name, a, b, 64)

    def either(self, cond: Value, a: Value, b: Value) -> Value:
        return self.direct.select(cond, a, b, 64)

    def both(self, a: Value, b: Value) -> Value:
        return self.direct.binary("and", a, b, 1)

    def need(self, cond: Value) -> None:
        """Fails unless `cond`."""
        if cond == 1:
            return
        on = self.text.fresh("on")
        self.text.do(f"br i1 {cond}, label %{on}, label %fail")
        self.text.label(on)

    def anything(self, width: int) -> Range:
        return Range(0, ones(width))

    def unless(self, ok: Value, lo: Value, hi: Value, width: int, zeros: int = 0, faithful: Value = 0) -> Range:
        """A range where `ok`, else anything."""
        return Range(
            self.either(ok, lo, 0), self.either(ok, hi, ones(width)), zeros if ok == 1 else 0, self.both(ok, faithful)
        )

    def value(self, e: ir.Expr) -> Range:
        w = ir.width(e)
        match e:
            case ir.Const() | ir.BoolConst():
                return Range(int(e.value), int(e.value))
            case ir.Local():
                local = self.locals[e.name]
                if isinstance(local, Wide):
                    raise Unsupported("wide values in a map")
                return local
            case ir.Get():
                if e.element in self.plan.choices:
                    return Range(self.plan.choices[e.element], self.plan.choices[e.element])
                if e.element not in self.watched or w > 64:
                    return self.anything(w)
                exact = self.direct.extend(self.direct.get(e.element, w), w, 64)
                return Range(exact, exact)
            case ir.GetEntry():
                index = self.value(e.index)
                if e.file not in self.watched or w > 64:
                    return self.anything(w)
                if not index.exact:
                    self.need(self.test("eq", index.lo, index.hi))
                file = self.isa.files[e.file]
                exact = self.direct.get_entry(file, self.direct.fit(index.lo, 64, file.index_width))
                exact = self.direct.extend(exact, w, 64)
                return Range(exact, exact)
            case ir.Unary():
                arg = self.value(e.arg)
                if e.op == "neg":
                    return self._exact2("sub", Range(0, 0), arg, w)
                return Range(self.op("xor", arg.hi, ones(w)), self.op("xor", arg.lo, ones(w)))
            case ir.Binary():
                return self._binary(e.op, self.value(e.left), self.value(e.right), w)
            case ir.Compare():
                return self._compare(e.op, self.value(e.left), self.value(e.right), ir.width(e.left))
            case ir.Not():
                arg = self.value(e.arg)
                return Range(self.op("xor", arg.hi, 1), self.op("xor", arg.lo, 1))
            case ir.Logic():
                return self._logic(e.op, self.value(e.left), self.value(e.right))
            case ir.If():
                return self._if(self.value(e.cond), e)
            case ir.Extract() if ir.width(e.arg) > 64:
                return self._part(self.wide(e.arg), e.hi, e.lo)
            case ir.Extract():
                return self._extract(self.value(e.arg), e.hi, e.lo)
            case ir.Concat():
                if w > 64:
                    raise Unsupported("wide values in a map")
                left, right, n = self.value(e.left), self.value(e.right), ir.width(e.right)
                return Range(
                    self.op("or", self.op("shl", left.lo, n), right.lo),
                    self.op("or", self.op("shl", left.hi, n), right.hi),
                    right.zeros,
                    self.both(self.test("eq", left.lo, left.hi), right.faithful),
                )
            case ir.Extend():
                arg, n = self.value(e.arg), ir.width(e.arg)
                if w > 64:
                    raise Unsupported("wide values in a map")
                if not e.signed:
                    return arg
                lo, hi = (self.op("lshr", v, n - 1) for v in (arg.lo, arg.hi))

                def spread(v: Value) -> Value:
                    return self.direct.fit(self.direct.sign_extend(self.direct.fit(v, 64, n), n, w), w, 64)

                return self.unless(self.test("eq", lo, hi), spread(arg.lo), spread(arg.hi), w, arg.zeros, arg.faithful)
            case ir.ToBool() | ir.ToBits():
                return self.value(e.arg)
            case ir.Operand() | ir.Lookup() | ir.Unknown() | ir.Arbitrary():
                return self.anything(w)
            case _:
                assert_never(e)

    def any(self, e: ir.Expr) -> Range | Wide:
        """A value of any width."""
        return self.wide(e) if ir.width(e) > 64 else self.value(e)

    def wide(self, e: ir.Expr) -> Wide:
        """A value with its parts."""
        match e:
            case ir.Local() if isinstance(local := self.locals[e.name], Wide):
                return local
            case ir.Concat() if ir.width(e) > 64:
                return Wide(self.wide(e.right).parts + self.wide(e.left).parts)
            case _ if ir.width(e) <= 64:
                return Wide(((ir.width(e), self.value(e)),))
            case _:
                raise Unsupported("wide values in a map")

    def _part(self, whole: Wide, hi: int, lo: int) -> Range:
        """Bits of a wide value that lie in one of its parts."""
        begin = 0
        for width, part in whole.parts:
            if begin <= lo and hi < begin + width:
                inside = hi - begin, lo - begin
                return part if inside == (width - 1, 0) else self._extract(part, *inside)
            begin += width
        raise Unsupported("wide values in a map")

    def _exact2(self, op: str, a: Range, b: Range, w: int) -> Range:
        """An operator that is only followed for exact values."""
        if w > 64:
            raise Unsupported("wide values in a map")
        known = self.both(self.test("eq", a.lo, a.hi), self.test("eq", b.lo, b.hi))
        if known == 0:
            return self.anything(w)
        d = self.direct
        result = d.extend(d.binary(op, d.fit(a.lo, 64, w), d.fit(b.lo, 64, w), w), w, 64)
        return self.unless(known, result, result, w)

    def _binary(self, op: ir.BinaryOp, a: Range, b: Range, w: int) -> Range:
        if w > 64:
            raise Unsupported("wide values in a map")
        zeros = min(a.zeros if a.hi != 0 else 64, b.zeros if b.hi != 0 else 64)
        match op:
            case "add" | "sub":
                faithful: Value = self.both(a.faithful, self.test("eq", b.lo, b.hi))
                if op == "add":
                    other = self.both(b.faithful, self.test("eq", a.lo, a.hi))
                    faithful = self.direct.binary("or", faithful, other, 1)
                first, last = (b.lo, b.hi) if op == "add" else (b.hi, b.lo)
                lo, hi = self.op(op, a.lo, first), self.op(op, a.hi, last)
                if w < 64:
                    same = self.test("eq", self.op("lshr", lo, w), self.op("lshr", hi, w))
                    lo, hi = self.op("and", lo, ones(w)), self.op("and", hi, ones(w))
                elif op == "add":
                    same = self._alike(self.test("ult", lo, a.lo), self.test("ult", hi, a.hi))
                else:
                    same = self._alike(self.test("ult", a.lo, first), self.test("ult", a.hi, last))
                constants = [r for r in (a, b) if isinstance(r.lo, int) and r.exact]
                for constant in constants:  # how often 2 divides a constant
                    assert isinstance(constant.lo, int)
                    other_zeros = b.zeros if constant is a else a.zeros
                    low = (constant.lo & -constant.lo).bit_length() - 1 if constant.lo else 64
                    zeros = min(low, other_zeros)
                return self.unless(same, lo, hi, w, min(zeros, w), faithful)
            case "and" | "or" | "xor":
                unknown = self.op("or", self._spread(a), self._spread(b))
                if op == "and":
                    unknown = self.op("and", unknown, self.op("and", self._ceiling(a), self._ceiling(b)))
                elif op == "or":
                    sure = self.op("or", self._floor(a), self._floor(b))
                    unknown = self.op("and", unknown, self.op("xor", sure, ones(64)))
                lo = self.op("and", self.op(op, a.lo, b.lo), self.op("xor", unknown, ones(64)))
                return Range(lo, self.op("or", lo, unknown))
            case "shl":
                if not (isinstance(b.lo, int) and b.exact):
                    return self._exact2(op, a, b, w)
                n = min(b.lo, 63)
                fits = self.test("eq", self.op("lshr", a.hi, w - n) if 0 < n <= w and b.lo < w else 0, 0)
                if b.lo >= w:
                    return Range(0, 0)
                return self.unless(fits, self.op("shl", a.lo, n), self.op("shl", a.hi, n), w, min(a.zeros + n, w))
            case "lshr":
                if not (isinstance(b.lo, int) and b.exact):
                    return self._exact2(op, a, b, w)
                return Range(self.op("lshr", a.lo, b.lo), self.op("lshr", a.hi, b.lo), max(a.zeros - b.lo, 0))
            case _:
                return self._exact2(op, a, b, w)

    def _alike(self, a: Value, b: Value) -> Value:
        return self.direct.compare("eq", a, b, 1)

    def _spread(self, a: Range) -> Value:
        """Ones where the numbers of a range may differ."""
        if a.exact:
            return 0
        varying = self.op("xor", a.lo, a.hi)
        if isinstance(varying, int):
            return (1 << varying.bit_length()) - 1
        lead = self.text.pure(f"call i64 @llvm.ctlz.i64(i64 {varying}, i1 false)")
        spread = self.op("lshr", ones(64), lead)  # a shift by 64 gives 0, as in the IR
        return self.op("and", spread, ones(64) - ones(a.zeros) if a.zeros else ones(64))

    def _ceiling(self, a: Range) -> Value:
        """Ones where any number of the range has one."""
        return self.op("or", a.lo, self._spread(a))

    def _floor(self, a: Range) -> Value:
        """Ones where every number of the range has one."""
        return self.op("and", a.lo, self.op("xor", self._spread(a), ones(64)))

    def _compare(self, op: ir.CompareOp, a: Range, b: Range, w: int) -> Range:
        if max(w, 1) > 64:
            raise Unsupported("wide values in a map")
        match op:
            case "eq":
                apart = self.direct.binary("or", self.test("ult", a.hi, b.lo), self.test("ult", b.hi, a.lo), 1)
                sure = self.both(
                    self.both(self.test("eq", a.lo, a.hi), self.test("eq", b.lo, b.hi)), self.test("eq", a.lo, b.lo)
                )
                return self._truth(sure, self.direct.binary("xor", apart, 1, 1))
            case "ult" | "ule":
                together = self.both(a.faithful, b.faithful)  # as far apart for each address
                first = self.test(op, a.lo, b.lo)
                must, may = self.test(op, a.hi, b.lo), self.test(op, a.lo, b.hi)
                return self._truth(
                    self.direct.select(together, first, must, 1), self.direct.select(together, first, may, 1)
                )
            case "slt" | "sle":
                known = self.both(self.test("eq", a.lo, a.hi), self.test("eq", b.lo, b.hi))
                d = self.direct
                result = d.compare(op, d.fit(a.lo, 64, w), d.fit(b.lo, 64, w), w)
                return self._truth(self.both(known, result), d.binary("or", result, d.binary("xor", known, 1, 1), 1))
            case _:
                assert_never(op)

    def _truth(self, must: Value, may: Value) -> Range:
        return Range(self.direct.extend(must, 1, 64), self.direct.extend(may, 1, 64))

    def _logic(self, op: ir.BoolOp, a: Range, b: Range) -> Range:
        if op in ("and", "or"):
            return Range(self.op(op, a.lo, b.lo), self.op(op, a.hi, b.hi))
        known = self.both(self.test("eq", a.lo, a.hi), self.test("eq", b.lo, b.hi))
        result = self.op("xor", a.lo, b.lo)
        return self.unless(known, result, result, 1)

    def _if(self, cond: Range, e: ir.If) -> Range:
        if cond.exact and isinstance(cond.lo, int):
            return self.value(e.then if cond.lo else e.other)
        then, other = self.value(e.then), self.value(e.other)
        must, may = (self.direct.fit(v, 64, 1) for v in (cond.lo, cond.hi))
        least = self.either(self.test("ult", then.lo, other.lo), then.lo, other.lo)
        most = self.either(self.test("ult", then.hi, other.hi), other.hi, then.hi)
        faithful = self.direct.select(
            must, then.faithful, self.both(self.direct.binary("xor", may, 1, 1), other.faithful), 1
        )
        return Range(
            self.either(must, then.lo, self.either(may, least, other.lo)),
            self.either(must, then.hi, self.either(may, most, other.hi)),
            min(then.zeros, other.zeros),
            faithful,
        )

    def _extract(self, a: Range, hi: int, lo: int) -> Range:
        w = hi - lo + 1
        if a.zeros > hi:
            return Range(0, 0)
        above_lo, above_hi = (0, 0) if hi >= 63 else (self.op("lshr", a.lo, hi + 1), self.op("lshr", a.hi, hi + 1))

        def cut(v: Value) -> Value:
            return self.op("and", self.op("lshr", v, lo), ones(w))

        same = self.test("eq", above_lo, above_hi)
        zeros = max(a.zeros - lo, 0)
        found = self.unless(same, cut(a.lo), cut(a.hi), w, zeros, a.faithful if lo == 0 else 0)
        return Range(found.lo, found.hi, zeros, found.faithful)

    # -- statements ----------------------------------------------------------------------------------------------------

    def run(self, block: ir.Block) -> bool:
        """Lowers a block; whether control falls out of it."""
        return all(self._stmt(stmt) for stmt in block)

    def _stmt(self, stmt: ir.Stmt) -> bool:
        match stmt:
            case ir.Let():
                self.locals[stmt.local] = self.any(stmt.value)
            case ir.Load():
                self.locals[stmt.local] = self._load(stmt.access)
            case ir.When():
                return self._when(stmt)
            case ir.Call():
                result = self.call(self.isa.procedures[stmt.procedure], [self.any(a) for a in stmt.args])
                if result is None:
                    return False
                if stmt.local is not None:
                    self.locals[stmt.local] = result
            case ir.Return():
                result = Range(0, 0) if stmt.value is None else self.value(stmt.value)
                self.ways[-1].append(Way(self.text.block, {}, result))
                self.text.do("br label %BACK")
                return False
            case _:
                self.text.do("br label %fail")
                return False
        return True

    def _load(self, access: ir.Access) -> Range:
        """A table in RAM, at an exact address; its line is marked, so that a store to it is noticed."""
        space, bank = self.isa.spaces[access.space], self.plan.bank
        address = self.value(access.address)
        if not isinstance(space, ir.Memory) or space.name != bank.memory or access.bits > 64:
            raise Unsupported("a map that reads more than tables in RAM")
        self.need(self.test("eq", address.lo, address.hi))
        offset = self.op("sub", address.lo, bank.base)
        units = access.bits // space.unit
        self.need(self.test("ule", offset, bank.size - units) if bank.size >= units else 0)
        marks = self.direct.pointer("marks")
        for unit in {0, units - 1}:
            line = self.op("lshr", self.op("add", offset, unit), LINE)
            for at in (line, self.op("lshr", self.op("sub", self.op("add", offset, unit), min(8, 1 << LINE)), LINE)):
                inside = self.either(self.test("ule", at, bank.size >> LINE), at, line)
                place = self.text.let(f"getelementptr i8, ptr {marks}, i64 {inside}")
                old = self.text.let(f"load i8, ptr {place}")
                first, on = self.text.fresh("first"), self.text.fresh("marked")
                self.text.do(f"br i1 {self.direct.compare('eq', old, 0, 8)}, label %{first}, label %{on}{UNLIKELY}")
                self.text.label(first)
                self.text.do(f"call void @narrow(ptr %st, i64 {inside})")
                self.text.do(f"br label %{on}")
                self.text.label(on)
                self.text.do(f"store i8 {self.direct.binary('or', old, MARK_TABLE, 8)}, ptr {place}")
                fresh = self.direct.compare("eq", self.direct.binary("and", old, MARK_TABLE, 8), 0, 8)
                seen = self.direct.word("newmarks")
                self.direct.put_word("newmarks", self.op("or", seen, self.direct.extend(fresh, 1, 64)))
        scaled = self.op("shl", offset, bank.cell.bit_length() - 1)
        host = self.text.let(f"getelementptr i8, ptr %ram, i64 {scaled}")
        exact = self.direct.extend(self.direct.host_load(host, access.bits, space.unit), access.bits, 64)
        return Range(exact, exact)

    def _when(self, stmt: ir.When) -> bool:
        cond = self.value(stmt.cond)
        if cond.exact and isinstance(cond.lo, int):
            return self.run(stmt.then if cond.lo else stmt.other)
        self.need(self.test("eq", cond.lo, cond.hi))
        then, other, join = (self.text.fresh(stem) for stem in ("then", "else", "join"))
        self.text.do(f"br i1 {self.direct.fit(cond.lo, 64, 1)}, label %{then}, label %{other}")
        locals_ = self.locals
        ways = []
        for name, arm in ((then, stmt.then), (other, stmt.other)):
            self.text.label(name)
            self.locals = dict(locals_)
            if self.run(arm):
                ways.append(Way(self.text.block, self.locals))
                self.text.do(f"br label %{join}")
        if not ways:
            return False
        self.text.label(join)
        names = [name for name in ways[0].locals if all(name in way.locals for way in ways)]
        self.locals = {name: self._same(ways, [way.locals[name] for way in ways]) for name in names}
        return True

    def _same(self, ways: list[Way], values: list[Range | Wide]) -> Range | Wide:
        """What a local is behind several ways; a wide one is the same on each."""
        if isinstance(values[0], Wide):
            if any(value is not values[0] for value in values):
                raise Unsupported("wide values in a map")
            return values[0]
        return self._meet(ways, [value for value in values if isinstance(value, Range)])

    def _meet(self, ways: list[Way], ranges: list[Range]) -> Range:
        def phi(values: list[Value], type_: str) -> Value:
            if all(v == values[0] for v in values):
                return values[0]
            pairs = ", ".join(f"[{v}, %{way.block}]" for v, way in zip(values, ways, strict=True))
            return self.text.let(f"phi {type_} {pairs}")

        lo = phi([r.lo for r in ranges], "i64")
        hi = lo if all(r.exact for r in ranges) else phi([r.hi for r in ranges], "i64")
        return Range(lo, hi, min(r.zeros for r in ranges), phi([r.faithful for r in ranges], "i1"))

    def call(self, procedure: ir.Procedure, args: Sequence[Range | Wide]) -> Range | None:
        """A procedure in place; None if it never returns."""
        return self.inline([name for name, _ in procedure.params], args, procedure.body)

    def inline(
        self, params: list[str], args: Sequence[Range | Wide], body: ir.Block, more: dict[str, Range] | None = None
    ) -> Range | None:
        outer = self.locals
        self.locals = {**dict(zip(params, args, strict=True)), **(more or {})}
        self.ways.append([])
        back, start = self.text.fresh("back"), len(self.text.lines)
        if self.run(body):
            self.ways[-1].append(Way(self.text.block, {}, Range(0, 0)))
            self.text.do("br label %BACK")
        ways = self.ways.pop()
        self.text.lines[start:] = [line.replace("%BACK", f"%{back}") for line in self.text.lines[start:]]
        self.locals = outer
        if not ways:
            return None
        self.text.label(back)
        return self._meet(ways, [way.result or Range(0, 0) for way in ways])

    # -- the whole way down --------------------------------------------------------------------------------------------

    def descend(
        self, name: str, address: Range, access: Range, args: list[Range | None], bits: Range
    ) -> tuple[str, Range]:
        """Through all maps to a memory: its name, and the addresses there.  `access` is a code of its kind."""
        space = self.isa.spaces[name]
        match space:
            case ir.Memory():
                if space.size is not None:
                    size = self.value(space.size)
                    self.need(self.test("ult", address.hi, size.lo))
                return name, address
            case ir.Bus():
                return self._through_bus(space, address, access, args, bits)
            case ir.Map():
                given: list[Range] = []
                self.locals = {"access": access}
                for i, param in enumerate(space.params):
                    arg = args[i] if i < len(args) else None
                    if arg is None:
                        arg = Range(0, 0) if param.default is None else self.value(param.default)
                    given.append(arg)
                more = {"access": access, "bits": bits}
                names = [space.address, *(p.name for p in space.params)]
                result = self.inline(names, [address, *given], space.body, more)
                if result is None:
                    raise Unsupported("a map that never answers")
                return self.descend(space.below, result, access, [], bits)
            case _:
                assert_never(space)

    def _through_bus(
        self, bus: ir.Bus, address: Range, access: Range, args: list[Range | None], bits: Range
    ) -> tuple[str, Range]:
        """A bus that, for this page, loads from one other space and returns what it has loaded."""
        (at, _), *_ = bus.read.params
        self.locals = {at: address, "access": access, "bits": bits}
        for i, param in enumerate(bus.params):
            arg = args[i] if i < len(args) else None
            self.locals[param.name] = arg or (Range(0, 0) if param.default is None else self.value(param.default))
        block, loaded, marker, below = bus.read.body, None, self.anything(bus.unit), address
        while block:
            stmt, block = block[0], block[1:]
            match stmt:
                case ir.Let():
                    self.locals[stmt.local] = self.value(stmt.value)
                case ir.When():
                    cond = self.value(stmt.cond)
                    loads = any(isinstance(s, ir.Load) for s in ir.statements(stmt.then))
                    self.need(self.test("eq", cond.lo if loads else cond.hi, int(loads)))
                    block = (stmt.then if loads else stmt.other) + block
                case ir.Load() if loaded is None:
                    loaded = stmt.access.space
                    below = self.value(stmt.access.address)
                    self.locals[stmt.local] = marker
                case ir.Return(ir.Local(name)) if loaded is not None and self.locals.get(name) is marker:
                    return self.descend(loaded, below, access, [], bits)
                case _:
                    raise Unsupported("a bus that does more than pass on")
        raise Unsupported("a bus that returns nothing")
