"""The copier: native code that copies stencils, one behind the other, and fills their holes.

It depends on no spec; what it works on is told in `desk`.
"""

from __future__ import annotations

from emulator.codegen.desk import ALIGNED, DESK, DONE, ENTRY, FULL, LARGEST, LINK, LONGEST, MISSING, NEVER
from emulator.codegen.layout import Record
from emulator.codegen.steps import COPIED, DEPTH, ENDS, FALLS, Step
from emulator.codegen.written import Number, Routine

JUMP, JUMP_BYTES = 0xE9, 5


class Desk(Routine):
    """A routine that works on a desk."""

    def word(self, name: str) -> str:
        return self.load(self.place(name))

    def put(self, name: str, value: Number) -> None:
        self.store(self.place(name), value)

    def place(self, name: str) -> Number:
        return self.add("%desk", 8 * DESK.index(name))

    def inside(self, pc: Number) -> str:
        """Whether an address is in the page."""
        return self.both(self.test("ule", self.word("lo"), pc), self.test("ule", pc, self.word("hi")))

    def record(self, pc: Number) -> Number:
        return self.add(self.word("records"), self.call("away", "%desk", pc))

    def entry(self, pc: Number) -> Number:
        index = self.op("udiv", self.op("sub", pc, self.word("first")), self.word("parcel"))
        return self.add(self.word("entries"), self.op("mul", index, ENTRY))

    def given(self, pc: Number, **others: Number) -> None:
        """The arguments of what is added next to what runs seldom."""
        self.put("given.pc", pc)
        self.put("given.disp", self.call("away", "%desk", pc))
        for name, value in others.items():
            self.put(f"given.{name}", value)

    def piece(self, name: str) -> str:
        """Adds to what runs seldom; where that is executed."""
        return self.call("piece", "%desk", self.word(f"glue.{name}"))

    def stencil(self, record: Number) -> str:
        number = self.load(self.add(record, Record.VARIANT), 32)
        return self.load(self.add(self.word("stencils"), self.op("shl", number, 3)))

    def lead(self, place: Number, to: Number) -> None:
        """Lets a jump whose distance is written at a place lead to where something is executed."""
        there = self.add(place, self.word("shift"), 4)
        self.store(place, self.op("sub", to, there), 32)

    def jump(self, at: Number) -> Number:
        """Writes a jump; the place of its distance."""
        self.store(at, JUMP, 8)
        return self.add(at, 1)

    def look(self, pc: Number) -> None:
        """Looks at an address later."""
        top = self.word("top")
        with self.when(self.test("ult", top, self.word("full"))):
            self.store(top, pc)
            self.put("top", self.add(top, 8))

    def link(self, place: Number, way: Number, target: Number) -> None:
        """A jump that may lead to the copy of an address; for now it has its other way."""
        self.lead(place, way)
        count = self.word("linked")
        with self.when(self.test("ult", count, self.word("most"))):
            at = self.add(self.word("links"), self.op("mul", count, LINK))
            for i, value in enumerate((place, way, target)):
                self.store(self.add(at, 8 * i), value)
            self.put("linked", self.add(count, 1))


# -- filling holes -----------------------------------------------------------------------------------------------------


RELATIONS = {Step.EQ: "eq", Step.LT: "ult", Step.LE: "ule", Step.SLT: "slt", Step.SLE: "sle"}
PUT = {Step.PUT32: (32, "zext"), Step.SIGNED32: (32, "sext"), Step.PUT16: (16, ""), Step.PUT8: (8, "")}


class Fill(Desk):
    """Does the steps of a stencil that was copied; whether it cannot be copied."""

    def __init__(self) -> None:
        super().__init__("fill", ("desk", "steps", "out", "record", "arguments"))
        self.top, self.next = self.variable(self.room(DEPTH)), self.variable("%steps")
        with self.loop():
            here = self.next()
            what = self.load(here, 32)
            self.at, self.value = self.load(self.add(here, 4), 32), self.load(self.add(here, 8))
            self.next.add(16)
            labels = {each: self.text.fresh("step") for each in Step}
            cases = " ".join(f"i64 {int(each)}, label %{label}" for each, label in labels.items())
            self.text.do(f"switch i64 {what}, label %{labels[Step.END]} [{cases}]")
            head, _ = self._loops[-1]
            for each, label in labels.items():
                self.text.label(label)
                self._step(each)
                self.text.do(f"br label %{head}")
            self.text.label(self.text.fresh("never"))

    def pop(self) -> str:
        self.top.add(-8)
        return self.load(self.top())

    def push(self, value: Number) -> None:
        self.store(self.top(), value)
        self.top.add(8)

    def _step(self, each: Step) -> None:
        place = self.add("%out", self.at)
        match each:
            case Step.END:
                self.give(0)
            case Step.NUMBER:
                self.push(self.value)
            case Step.ARGUMENT:
                self.push(self.load(self.add("%arguments", self.at)))
            case Step.BYTES1 | Step.BYTES2 | Step.BYTES4 | Step.BYTES8:
                self.push(self.load(self.add("%record", self.at), 8 << int(each) - int(Step.BYTES1)))
            case Step.SIGNED:
                self.push(self.op("ashr", self.op("shl", self.pop(), self.value), self.value))
            case Step.ADD | Step.SUB | Step.MUL | Step.AND | Step.OR | Step.XOR:
                b, a = self.pop(), self.pop()
                self.push(self.op(each.name.lower(), a, b))
            case Step.SHL | Step.LSHR | Step.ASHR:
                b, a = self.pop(), self.pop()
                few = self.test("ult", b, 64)
                amount = self.choose(few, b, 63)
                shifted = self.op(each.name.lower(), a, amount)
                self.push(shifted if each is Step.ASHR else self.choose(few, shifted, 0))
            case Step.EQ | Step.LT | Step.LE | Step.SLT | Step.SLE:
                b, a = self.pop(), self.pop()
                self.push(self.number(self.test(RELATIONS[each], a, b)))
            case Step.IF:
                other, then, condition = self.pop(), self.pop(), self.pop()
                self.push(self.choose(self.test("ne", condition, 0), then, other))
            case Step.PUT64:
                self.store(place, self.pop())
            case Step.PUT32 | Step.SIGNED32 | Step.PUT16 | Step.PUT8:
                self._put(place, *PUT[each])
            case Step.REFUSE:
                self._refuse(self.test("ne", self.pop(), 0))
            case Step.WAY:
                self.call("way", "%desk", place, self.pop())
            case Step.TAIL:
                self.put("often", self.add(place, JUMP_BYTES))
                self.call("way", "%desk", self.jump(place), self.pop())
            case Step.BAIL:
                self.call("bail", "%desk", place, "%record")
            case Step.SHORT:
                self.lead(place, self.piece("short"))

    def _refuse(self, condition: str) -> None:
        with self.when(condition):
            self.give(1)

    def _put(self, place: Number, bits: int, extended: str) -> None:
        """A number that has to be what its bits are when they are extended as they will be; either way will do where
        nothing is extended."""
        number = self.pop()
        low = self.text.let(f"trunc i64 {number} to i{bits}")
        fits = [
            self.test("eq", number, self.text.let(f"{way} i{bits} {low} to i64"))
            for way in ("zext", "sext")
            if extended in ("", way)
        ]
        self._refuse(self.none(*fits))
        self.store(place, number, bits)


# -- what stands between stencils --------------------------------------------------------------------------------------


def away() -> Routine:
    """How far the record of an address is from the first one of the page."""
    code = Desk("away", ("desk", "pc"))
    index = code.op("udiv", code.op("sub", "%pc", code.word("first")), code.word("parcel"))
    code.give(code.op("mul", index, code.word("stride")))
    return code


def laid() -> Routine:
    """Copies the code of a stencil; the address of its steps.  What lies behind the copy may change, too."""
    code = Desk("laid", ("stencil", "out"))
    size, steps = code.load("%stencil", 32), code.load(code.add("%stencil", 12), 32)
    done = code.variable(0)
    with code.loop():
        at = done()
        code.leave(code.test("uge", at, size))
        code.store(code.add("%out", at), code.load(code.add("%stencil", 16, at)))
        done.add(8)
    code.give(code.add("%stencil", steps))
    return code


def piece() -> Routine:
    code = Desk("piece", ("desk", "stencil"))
    at = code.word("seldom")
    steps = code.call("laid", "%stencil", at)
    failed = code.call("fill", "%desk", steps, at, 0, code.place("given.pc"))
    code.put("failed", code.op("or", code.word("failed"), failed))
    code.put("seldom", code.add(at, code.load("%stencil", 32)))
    code.give(code.add(at, code.word("shift")))
    return code


def way() -> Routine:
    """Lets a jump of the instruction that is being copied lead to an address: by what runs seldom; if that is in the
    page and lies ahead, later to its copy."""
    code = Desk("way", ("desk", "place", "target"))
    origin = code.word("stencil.pc")
    units = code.op("urem", code.op("sub", "%target", code.word("first")), code.word("parcel"))
    with code.when(code.both(code.inside("%target"), code.test("eq", units, 0))):
        code.given("%target", origin=origin)
        near = code.piece("near")
        code.look("%target")
        with code.when(code.test("ugt", "%target", origin)):
            code.link("%place", near, "%target")
            code.give(0)
        code.lead("%place", near)
        code.give(0)
    code.put("given.pc", "%target")
    code.lead("%place", code.piece("far"))
    return code


def bail() -> Routine:
    """Lets a jump of the instruction that is being copied lead to its handler."""
    code = Desk("bail", ("desk", "place", "record"))
    with code.when(code.test("eq", code.word("bail"), 0)):
        code.given(code.word("stencil.pc"), left=code.add(code.word("stencil.left"), 1))
        code.put("bail", code.piece("bail"))
    code.lead("%place", code.word("bail"))
    return code


# -- copies ------------------------------------------------------------------------------------------------------------


def length() -> Routine:
    """How many instructions the copy at an address has; 0 as well if the stencil of one is missing that there is to
    be.  What lies behind a single one that has no stencil is looked at later."""
    code = Desk("length", ("desk", "entry"))
    count, pc = code.variable(0), code.variable("%entry")
    with code.loop():
        here, n = pc(), count()
        code.leave(code.test("eq", n, LONGEST))
        code.leave(code.none(code.inside(here)))
        code.leave(code.both(code.test("ne", n, 0), code.test("ugt", code.load(code.entry(here)), NEVER)))
        record = code.record(here)
        code.leave(code.test("eq", code.load(code.add(record, Record.VARIANT), 32), 0))
        stencil = code.stencil(record)
        flags = code.load(code.add(stencil, 8), 32)
        units = code.load(code.add(stencil, 4), 32)
        with code.when(code.test("ne", code.op("and", flags, code.word("strict")), 0)):
            code.put("missing", here)
            code.give(0)
        with code.when(code.test("eq", code.op("and", flags, COPIED), 0)):
            with code.when(code.both(code.test("eq", n, 0), code.test("ne", units, 0))):
                code.look(code.add(here, units))
            code.give(n)
        count.add(1)
        pc.add(units)
        code.leave(code.test("ne", code.op("and", flags, ENDS), 0))
    code.give(count())
    return code


def written() -> Routine:
    """Writes a copy of some instructions and installs it; how many there could be, and if not all, nothing is done."""
    code = Desk("written", ("desk", "entry", "count"))
    seldom, top, linked = (code.word(name) for name in ("seldom", "top", "linked"))
    often = code.op("and", code.add(code.word("often"), ALIGNED - 1), -ALIGNED)
    code.put("failed", 0)
    code.given("%entry", left="%count")
    entries = []
    for name in ("counted", "enter"):
        entries.append(code.piece(name))
        at = code.word("seldom")
        code.put("seldom", code.add(at, JUMP_BYTES))
        code.lead(code.jump(at), code.add(often, code.word("shift")))
    begin = code.word("glue.begin")
    steps = code.call("laid", begin, often)
    code.call("fill", "%desk", steps, often, 0, code.place("given.pc"))
    code.put("often", code.add(often, code.load(begin, 32)))
    done, pc, last, falls = code.variable(0), code.variable("%entry"), code.variable(0), code.variable(0)
    with code.loop():
        code.leave(code.test("eq", done(), "%count"))
        here, at = pc(), code.word("often")
        record = code.record(here)
        stencil = code.stencil(record)
        done.add(1)
        code.put("stencil.pc", here)
        code.put("stencil.left", code.op("sub", "%count", done()))
        code.put("bail", 0)
        code.put("often", code.add(at, code.load(stencil, 32)))
        steps = code.call("laid", stencil, at)
        failed = code.call("fill", "%desk", steps, at, record, code.place("stencil.pc"))
        with code.when(code.test("ne", code.op("or", failed, code.word("failed")), 0)):
            for name, value in (("often", often), ("seldom", seldom), ("top", top), ("linked", linked)):
                code.put(name, value)
            code.give(code.op("sub", done(), 1))
        last.put(here)
        pc.add(code.load(code.add(stencil, 4), 32))
        falls.put(code.op("and", code.load(code.add(stencil, 8), 32), FALLS))
    behind = pc()
    with code.when(code.test("ne", falls(), 0)):
        at = code.word("often")
        code.put("often", code.add(at, JUMP_BYTES))
        code.given(behind, origin=last())
        code.link(code.jump(at), code.piece("near"), behind)
        code.look(behind)
    code.call("hooked", "%desk", linked)
    code.call("installed", "%desk", "%entry", behind, often, *entries)
    code.give("%count")
    return code


def installed() -> Routine:
    """Lets control come to the copy of what lies from one address to another, which is written at a place: by jumps, by
    falling into it, and from other copies."""
    code = Desk("installed", ("desk", "entry", "behind", "place", "jump", "fall"))
    record, entry, home = code.record("%entry"), code.entry("%entry"), code.add("%place", code.word("shift"))
    code.store(code.add(record, Record.HANDLER), "%fall")
    code.store(code.add(record, Record.JUMP), "%jump")
    code.store(code.add(record, Record.COUNT), 0, 32)
    code.store(entry, home)
    units, widest = code.op("sub", "%behind", "%entry"), code.word("widest")
    code.store(code.add(entry, 12), units, 32)
    code.put("widest", code.choose(code.test("ugt", units, widest), units, widest))
    code.put("made", code.add(code.word("made"), 1))
    number = code.variable(code.load(code.add(entry, 8), 32))
    with code.loop():
        this = number()
        code.leave(code.test("eq", this, 0))
        link = code.add(code.word("links"), code.op("mul", this, LINK))
        code.lead(code.load(link), home)
        number.put(code.load(code.add(link, 24)))
    return code


def hooked() -> Routine:
    """Lets links from a number on be found, and lead where there is a copy already."""
    code = Desk("hooked", ("desk", "from"))
    number = code.variable("%from")
    with code.loop():
        this = number()
        code.leave(code.test("uge", this, code.word("linked")))
        at = code.add(code.word("links"), code.op("mul", this, LINK))
        entry = code.entry(code.load(code.add(at, 16)))
        head = code.add(entry, 8)
        code.store(code.add(at, 24), code.load(head, 32))
        code.store(head, this, 32)
        home = code.load(entry)
        with code.when(code.test("ugt", home, NEVER)):
            code.lead(code.load(at), home)
        number.add(1)
    return code


def copy() -> Routine:
    """Copies what waits, and what it leads to in the page, as far as it is decoded and has no other code."""
    code = Desk("copy", ("desk",), exported=True)
    with code.loop():
        top = code.word("top")
        code.leave(code.test("eq", top, code.word("waiting")))
        code.put("top", code.add(top, -8))
        pc = code.load(code.add(top, -8))
        code.again(code.none(code.inside(pc)))
        record = code.record(pc)
        number = code.load(code.add(record, Record.VARIANT), 32)
        code.again(code.test("eq", number, 0))
        code.again(code.test("ne", code.load(code.entry(pc)), 0))
        handler = code.load(code.add(code.word("handlers"), code.op("shl", number, 3)))
        code.again(code.test("ne", code.load(code.add(record, Record.HANDLER)), handler))
        for kind in ("often", "seldom"):
            left = code.op("sub", code.word(f"{kind}_end"), code.word(kind))
            with code.when(code.test("slt", left, LARGEST)):
                code.give(FULL)
        code.put("missing", 0)
        count = code.variable(code.call("length", "%desk", pc))
        with code.when(code.test("ne", code.word("missing"), 0)):
            code.look(pc)
            code.give(MISSING)
        code.again(code.test("eq", count(), 0))
        with code.loop():
            wanted = count()
            able = code.call("written", "%desk", pc, wanted)
            code.leave(code.test("eq", able, wanted))
            count.put(able)
            with code.when(code.test("eq", able, 0)):
                code.look(code.add(pc, code.load(code.add(code.stencil(record), 4), 32)))
            code.leave(code.test("eq", able, 0))
    code.give(DONE)
    return code


def copier() -> str:
    """The module; it exports `copy`."""
    routines = (away(), laid(), Fill(), piece(), way(), bail(), length(), written(), installed(), hooked(), copy())
    return "\n".join(map(str, routines))
