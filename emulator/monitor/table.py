"""Shadow entries where compiled code finds them: a table in the host's memory, and the map that walks it.

A host on generated code translates by the machine's text.  So its text of a shadowed map is another one: it looks the
address up in this table, and where there is nothing it traps to the monitor.  Caches, proofs of uniform pages and
invalidation are then those of every map that reads tables.

The table has 4096 slots of 32 units of 8 bits: the number of the granule; a tag; the address that the granule begins at
in the host's memory; nothing.  The tag holds the context's number, the kind of the access, the arguments that decide,
its class, and a 1.  Class 0 has all naturally aligned accesses of up to 64 bits (SHADOW-NATURAL); other accesses within
a granule have one for each width and alignment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from analyzer import ir
from emulator.monitor.place import Placement
from emulator.monitor.plan import Plan, reads
from emulator.monitor.shadow import ALIGNED_BITS, NATURAL, WHOLE, Context, Entry, Key, ShadowMap, deciding
from emulator.storage import Storage

INDEX = 12
"""The logarithm of the number of slots."""

SLOT = 5
"""The logarithm of the units of a slot."""

SIZE = 1 << INDEX + SLOT
"""Units that a table takes."""

CONTEXTS = 8
"""Bits of a context's number; when all are taken, the table starts anew."""

CONTEXT = "monitor.context"
"""The element in which the host has the number of the present context."""

FLAT = "monitor.flat"
"""The element that says that the guest's RAM is one block in the present context (SHADOW-FLAT)."""

MISS = "monitor.miss."
"""The trap of a lookup that found nothing is named so, and the map."""

DEFAULT = "monitor.default."
"""The elements that hold what the virtual machine's state makes of arguments that the spec does not give."""

KINDS: tuple[ir.AccessKind, ...] = ("fetch", "read", "write")

MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
"""Odd numbers that spread granules and tags over the slots."""

TAG = 64

CLASS = 13
"""Bits of a class: 10 of the width in units, 3 of the address."""


@dataclass(frozen=True, slots=True)
class Form:
    """How accesses to one map are looked up: `low` address bits pass unseen, `args` decide."""

    space: ir.Map
    memory: ir.Memory
    low: int
    args: tuple[ir.MapParam, ...]
    number: int

    @staticmethod
    def of(plan: Plan, name: str, low: int | None) -> Form | None:
        """None: the map cannot be looked up in a table of this form."""
        isa = plan.isa
        space = isa.spaces[name]
        assert isinstance(space, ir.Map)
        below = isa.spaces[space.below]
        while isinstance(below, ir.Map):
            below = isa.spaces[below.below]
        if low is None or low < 3 or not isinstance(below, ir.Memory) or below.unit != 8 or space.unit != 8:
            return None
        args = tuple(p for p in space.params if p.name in deciding(isa, space))
        number = sorted(isa.spaces).index(name)
        if space.address_width > 64 or number > 15 or CONTEXTS + 7 + CLASS + sum(p.width for p in args) > TAG:
            return None
        defaults = [p.default for p in args if p.default is not None]
        if any(reads(d) & set(plan.division.passed) or locals_(d) - {"access"} for d in defaults):
            return None  # what the guest changes decides
        return Form(space, below, low, args, number)

    def default(self, param: ir.MapParam, kind: ir.AccessKind) -> str:
        """The element that holds what an argument of an access of this kind is if the spec does not give it."""
        return f"{DEFAULT}{self.space.name}.{param.name}.{kind}"

    @property
    def defaulted(self) -> tuple[ir.MapParam, ...]:
        """The arguments that have a default and decide."""
        return tuple(p for p in self.args if p.default is not None)

    def tag(self, context: int, kind: ir.AccessKind, args: Mapping[str, int], class_: int) -> int:
        """The tag of an access: context, map, kind, arguments, class, 1."""
        tag = context << 4 | self.number
        tag = tag << 2 | ir.ACCESS_CODE[kind]
        for param in self.args:
            tag = tag << param.width | args[param.name]
        return (tag << CLASS | class_) << 1 | 1

    def index(self, granule: int, tag: int) -> int:
        """The slot of an access."""
        return (granule * MIX[0] + tag * MIX[1] & (1 << 64) - 1) >> 64 - INDEX

    def trap(self) -> ir.TrapKind:
        """The trap of a lookup that found nothing: the address, the width and the kind of the access, its arguments."""
        params = (("address", self.space.address_width), ("bits", 16), ("access", 2))
        return ir.TrapKind(MISS + self.space.name, ir.TrapClass.MEMORY, (*params, *self._params()))

    def _params(self) -> tuple[tuple[str, int], ...]:
        return tuple((f"{self.space.name}.{p.name}", p.width) for p in self.space.params)

    def _block(self, block: Placement, address: ir.Expr) -> ir.Stmt:
        """Where a guest finds its RAM without the table: no further than 8 units before the end."""
        width = self.space.address_width
        away = ir.Binary("sub", address, ir.Const(width, block.base & (1 << width) - 1))
        inside = ir.Compare("ule", away, ir.Const(width, block.size - (1 << ALIGNED_BITS)))
        moved = ir.Const(self.memory.address_width, block.at - block.base & (1 << self.memory.address_width) - 1)
        below: ir.Expr = cut(address, self.memory.address_width)
        if moved.value:
            below = ir.Binary("add", below, moved)
        passed = tuple(ir.Local(p.name, p.width) for p in self.space.params)
        missed = ir.Trap(MISS + self.space.name, (address, ir.Local("bits", 16), ir.Local("access", 2), *passed))
        flat = ir.Compare("eq", ir.Get(FLAT, 1), ir.Const(1, 1))
        conds: list[ir.Expr] = [ir.Local("natural", 0), inside]
        if width > self.memory.address_width:  # it follows; a code generator merges it with what is asked of the rest
            above = ir.Extract(address, width - 1, self.memory.address_width)
            conds.append(ir.Compare("eq", above, ir.Const(width - self.memory.address_width, 0)))
        return ir.When(flat, (*(ir.When(ir.Not(cond), (missed,)) for cond in conds), ir.Return(below)))

    def _held(self, param: ir.MapParam) -> ir.Expr:
        """The default of an argument in the map that looks up."""
        fetched, read, written = (ir.Get(self.default(param, kind), param.width) for kind in KINDS)
        return ir.If(accessed("fetch"), fetched, ir.If(accessed("read"), read, written))

    def map(self, base: int, blocks: Sequence[Placement] = ()) -> ir.Map:
        """The map that looks accesses up in a table at `base`."""
        space, memory = self.space, self.memory
        address = ir.Local(space.address, space.address_width)
        granule = wide(ir.Extract(address, space.address_width - 1, self.low))
        units = ir.Local("units", 16)
        less, one, zero = ir.Binary("sub", units, ir.Const(16, 1)), ir.Const(16, 1), ir.Const(16, 0)
        natural = ir.Logic(
            "and",
            ir.Compare("ule", units, ir.Const(16, 1 << ALIGNED_BITS)),
            ir.Logic(
                "and",
                ir.Compare("eq", ir.Binary("and", units, less), zero),
                ir.Compare("eq", ir.Binary("and", cut(address, 16), less), zero),
            ),
        )
        end = ir.Binary("add", ir.Extend(False, ir.Extract(address, self.low - 1, 0), 16), units)
        within = ir.Compare("ule", end, ir.Binary("shl", one, ir.Const(16, self.low)))
        class_ = ir.If(
            ir.Local("natural", 0),
            ir.Const(CLASS, 0),
            ir.Concat(cut(units, CLASS - ALIGNED_BITS), ir.Extract(address, ALIGNED_BITS - 1, 0)),
        )
        tag: ir.Expr = ir.Concat(ir.Get(CONTEXT, CONTEXTS), ir.Const(4, self.number))
        tag = ir.Concat(tag, ir.Local("access", 2))
        for param in self.args:
            tag = ir.Concat(tag, ir.Local(param.name, param.width))
        tag = wide(ir.Concat(ir.Concat(tag, class_), ir.Const(1, 1)))
        mixed = ir.Binary("add", times("granule", MIX[0]), times("tag", MIX[1]))
        slot = shifted("lshr", mixed, 64 - INDEX)
        at = ir.Binary("add", shifted("shl", slot, SLOT), ir.Const(64, base))
        here = ir.Local("slot", memory.address_width)
        found = ir.Logic(
            "and",
            ir.Logic("or", ir.Local("natural", 0), within),
            ir.Logic(
                "and",
                ir.Compare("eq", ir.Local("first", 64), ir.Local("granule", 64)),
                ir.Compare("eq", ir.Local("second", 64), ir.Local("tag", 64)),
            ),
        )
        offset = ir.Extract(address, self.low - 1, 0)
        args = (address, ir.Local("bits", 16), ir.Local("access", 2))
        passed = tuple(ir.Local(p.name, p.width) for p in space.params)
        body: ir.Block = (
            ir.Let("units", ir.Binary("lshr", ir.Local("bits", 16), ir.Const(16, 3))),
            ir.Let("natural", natural),
            *(self._block(block, address) for block in blocks),
            ir.Let("granule", granule),
            ir.Let("tag", tag),
            ir.Let("slot", cut(at, memory.address_width)),
            load("first", memory, here, 0),
            load("second", memory, here, 8),
            ir.When(ir.Not(found), (ir.Trap(MISS + space.name, (*args, *passed)),)),
            load("real", memory, here, 16),
            ir.Return(
                ir.Binary(
                    "add",
                    cut(ir.Local("real", 64), memory.address_width),
                    ir.Extend(False, offset, memory.address_width),
                )
            ),
        )
        params = tuple(replace(p, default=self._held(p)) if p in self.defaulted else p for p in space.params)
        return ir.Map(space.name, space.address, space.address_width, space.unit, params, memory.name, body)


def passes(name: str, values: Mapping[str, int]) -> bool:
    """Does a map that looks up find the guest's block without its table (`Form.map`), by the values of its elements?"""
    return values[FLAT] == 1


def locals_(expr: ir.Expr) -> set[str]:
    return {term.name for term in ir.subterms(expr) if isinstance(term, ir.Local)}


def accessed(kind: ir.AccessKind) -> ir.Expr:
    return ir.Compare("eq", ir.Local("access", 2), ir.Const(2, ir.ACCESS_CODE[kind]))


def wide(expr: ir.Expr) -> ir.Expr:
    return expr if ir.width(expr) == 64 else ir.Extend(False, expr, 64)


def cut(expr: ir.Expr, width: int) -> ir.Expr:
    """The low bits."""
    return expr if ir.width(expr) == width else ir.Extract(expr, width - 1, 0)


def times(local: str, by: int) -> ir.Expr:
    return ir.Binary("mul", ir.Local(local, 64), ir.Const(64, by))


def shifted(op: ir.BinaryOp, expr: ir.Expr, by: int) -> ir.Expr:
    return ir.Binary(op, expr, ir.Const(64, by))


def load(local: str, memory: ir.Memory, at: ir.Expr, away: int) -> ir.Load:
    """Reads a word of a slot."""
    address = ir.Binary("add", at, ir.Const(memory.address_width, away)) if away else at
    return ir.Load(local, ir.Access(memory.name, address, 64, "read", table=True))


class ShadowTable:
    """The table of one host, which mirrors the entries of the shadow that its guest runs under."""

    def __init__(self, forms: Mapping[str, Form], base: int, storage: Storage) -> None:
        self.forms = forms
        self.base = base
        self.storage = storage
        self.memory = storage.space.name
        self.changed: list[int] = []
        """Addresses of slots that were written since somebody looked."""
        self.defaults: dict[int, dict[str, int]] = {}
        """Of each context: what arguments are that the spec does not give, by their elements."""
        self.flushes = 0
        """How often the numbers of contexts were given anew."""
        self._contexts: dict[Context, int] = {}
        self._held: dict[int, tuple[Context, Key]] = {}
        self._shadow: ShadowMap | None = None

    def context(self, shadow: ShadowMap, present: Context) -> int:
        """The number of a context of a shadow, whose entries are mirrored from now on."""
        if shadow is not self._shadow:
            self.flushed()
            self._shadow = shadow
            shadow.mirror = self
        number = self._contexts.get(present)
        if number is None:
            if len(self._contexts) >> CONTEXTS:
                self.flushed()
            number = self._contexts[present] = len(self._contexts)
            self.defaults[number] = {
                form.default(p, kind): shadow.default(p, kind)
                for form in self.forms.values()
                for p in form.defaulted
                for kind in KINDS
            }
            for at, entry in shadow.entries.items():
                if at[0] == present:
                    self.entered(at, entry)
        return number

    def entered(self, at: tuple[Context, Key], entry: Entry) -> None:
        """An entry was made."""
        slot = self._slot(at)
        if slot is not None:
            index, granule, tag = slot
            self._held[index] = at
            self._write(index, (granule, tag, entry.real))

    def dropped(self, at: tuple[Context, Key]) -> None:
        """An entry was taken away."""
        slot = self._slot(at)
        if slot is not None and self._held.get(slot[0]) == at:
            del self._held[slot[0]]
            self._write(slot[0], (0, 0, 0))

    def flushed(self) -> None:
        """All entries were taken away."""
        self.flushes += 1
        for index in self._held:
            self._write(index, (0, 0, 0))
        self._held.clear()
        self._contexts.clear()

    def _slot(self, at: tuple[Context, Key]) -> tuple[int, int, int] | None:
        """Index, granule and tag of an entry; None if it has no place in the table."""
        context, (name, granule, width, kind, args) = at
        number = self._contexts.get(context)
        if number is None or not width >> WHOLE:
            return None
        form = self.forms[name]
        given = {p.name: self.defaults[number][form.default(p, kind)] for p in form.defaulted}
        given |= {p.name: a for p, a in zip(form.space.params, args, strict=True) if a is not None}
        aligned, units = width & (1 << ALIGNED_BITS) - 1, (width & (1 << WHOLE) - 1) >> ALIGNED_BITS + 3
        class_ = 0 if width == NATURAL else units << ALIGNED_BITS | aligned
        tag = form.tag(number, kind, given, class_)
        return form.index(granule, tag), granule, tag

    def _write(self, index: int, words: tuple[int, int, int]) -> None:
        at = self.base + (index << SLOT)
        for i, word in enumerate(words):
            self.storage.store(at + 8 * i, 64, word)
        self.changed.append(at)
