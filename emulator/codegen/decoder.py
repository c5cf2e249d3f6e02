"""The decoder: from the units of an instruction to its record, in native code.

It fills the record that control has come to and goes on with its handler.  What is rare it leaves to the driver: an
encoding without an instruction, a variant that has no handler yet, an instruction that runs out of the page.

Encodings are told apart by the first parcel behind the prefixes, by a tree of switches over the bits that all that is
left have in common.  Instructions whose segments are alike but for the values that they want share the code behind it
(a *form*); the values are carried into it.  Where one form does not fit after all, the next candidate is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer import ir
from emulator.codegen.agreed import KEYS, MIX
from emulator.codegen.handler import CONVENTION, PARAMETERS
from emulator.codegen.layout import Record, places
from emulator.codegen.plan import CODE_MASK, CODE_PAGE, CODE_SHIFT, LINE, MARK_CODE, OVERHANG, Plan
from emulator.codegen.routines import Going
from emulator.codegen.values import LIKELY, UNLIKELY, Text, Unsupported, Value, ones
from emulator.codegen.variant import KEY_CONTROL, KEY_LENGTH, Control, control, control_widths, key_bits

LONGEST = 48
"""Units of an instruction, so that it lies on two lines of marks with what hangs over."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate's way into its form: the block that goes there, its number among the candidates, and its values."""

    block: str
    which: int
    number: int
    values: tuple[int, ...]


@dataclass(slots=True)
class Form:
    """Segments that are alike, with those that come here."""

    label: str
    instruction: ir.Instruction
    control: Control
    entries: list[Entry] = field(default_factory=list)


class Decoder(Going):
    """Writes the decoder of a plan."""

    def __init__(self, plan: Plan, text: Text) -> None:
        super().__init__(plan, text)
        self.operands: dict[str, Value] = {}
        self.forms: dict[object, Form] = {}
        self.successors: dict[int, str] = {}  # by candidate: where its successor is tried
        self.arrivals: list[tuple[str, Value, Value]] = []  # blocks that have filled a record; variant and length
        self.shared: dict[str, str] = {}  # values that are known behind the prefixes
        self.candidates = 0

    def operand(self, name: str, width: int) -> Value:
        return self.operands[name]

    def meet(self, label: str) -> None:
        """Begins a block that is come to from anywhere behind the prefixes."""
        self.text.label(label)
        self.text.known = dict(self.shared)

    def slowly(self) -> None:
        """The driver decodes."""
        self.text.label("slow")
        self.text.known = {}
        self.go(self.pointer("slowly"), "%rec", "%b", "%pc")

    def unless(self, cond: Value, other: str = "slow") -> None:
        """Goes on if a condition holds."""
        if cond == 1:
            return
        on = self.text.fresh("on")
        self.text.do(f"br i1 {cond}, label %{on}, label %{other}{LIKELY}")
        self.text.label(on)

    # -- where the units are -------------------------------------------------------------------------------------------

    def find(self) -> None:
        """The host address of the first unit, and how many there are up to the end of the page."""
        index = self.binary("and", self.binary("lshr", "%pc", CODE_SHIFT, 64), CODE_MASK, 64)
        entry = self.text.let(f"getelementptr i8, ptr {self.pointer('itlb')}, i64 {index}")
        page = self.binary("and", "%pc", ones(64) - ones(CODE_PAGE), 64)
        tag, base, host, last = (self.text.let(f"load i64, ptr {self.at(8 * i, entry)}") for i in range(4))
        self.unless(self.compare("eq", page, tag, 64))
        away = self.binary("and", "%pc", ones(CODE_PAGE), 64)
        scale = self.layout.record.size // self.plan.per_parcel
        mine = self.binary("add", base, self.binary("mul", away, scale, 64), 64)
        here = self.text.let("ptrtoint ptr %rec to i64")
        self.unless(self.compare("eq", mine, here, 64))
        units = self.binary("mul", away, self.plan.bank.cell, 64)
        self.host = self.text.let(f"inttoptr i64 {self.binary('add', host, units, 64)} to ptr")
        self.left = self.binary("add", self.binary("sub", last, "%pc", 64), 1, 64)
        limit = self.isa.fetch.limit
        most = LONGEST if limit is None else min(limit * self.plan.per_parcel, LONGEST)
        self.left = self.select(self.compare("ult", most, self.left, 64), most, self.left, 64)

    def read(self, at: Value, bits: int) -> Value:
        """The `bits` bits at a distance of `at` units, if they are there."""
        units = bits // self.isa.unit
        self.unless(self.compare("ule", self.binary("add", at, units, 64), self.left, 64))
        cell = self.plan.bank.cell
        host = self.away(self.host, self.binary("mul", at, cell, 64)) if at != 0 else self.host
        return self.host_load(host, bits, self.isa.unit)

    # -- prefixes ------------------------------------------------------------------------------------------------------

    def prefixes(self) -> tuple[Value, Value]:
        """Passes over prefixes; the first parcel behind them, and its distance in units."""
        bits, per = self.isa.fetch.parcel, self.plan.per_parcel
        if not self.isa.prefixes:
            return self.read(0, bits), 0
        text = self.text
        before = text.block
        text.do("br label %prefix")
        text.label("prefix")
        head = len(text.lines)
        at = "%prefix.at"
        names = {prefix.name: f"%prefix.{i}" for i, prefix in enumerate(self.isa.prefixes)}
        parcel = self.read(at, bits)
        known: dict[int, dict[str, int]] = {}
        for prefix in self.isa.prefixes:
            for one, value in prefix.values:
                known.setdefault(one, {})[prefix.name] = value
        cases = " ".join(f"i{bits} {one}, label %prefix.is.{one}" for one in known)
        text.do(f"switch i{bits} {parcel}, label %opcode [{cases}]")
        incoming = []
        for one, sets in known.items():
            text.label(f"prefix.is.{one}")
            incoming.append((text.block, self.binary("add", at, per, 64), sets))
            text.do("br label %prefix")
        phis = [f"  {at} = phi i64 [0, %{before}]" + "".join(f", [{n}, %{b}]" for b, n, _ in incoming)]
        for prefix in self.isa.prefixes:
            name = names[prefix.name]
            ways = "".join(f", [{sets.get(prefix.name, name)}, %{b}]" for b, _, sets in incoming)
            phis.append(f"  {name} = phi i{max(prefix.width, 1)} [{prefix.default}, %{before}]{ways}")
        text.lines[head:head] = phis
        text.label("opcode")
        self.operands = dict(names)
        count = self.binary("udiv", at, per, 64)
        self.operands["prefix_parcels"] = self.fit(count, 64, 8)
        return parcel, at

    # -- the tree ------------------------------------------------------------------------------------------------------

    def tree(self, parcel: Value, patterns: Sequence[Pattern], tested: int, fail: str) -> None:
        """Finds the candidates among patterns of which the bits `tested` are known to be right."""
        bits = self.isa.fetch.parcel
        common = ones(bits)
        for pattern in patterns:
            common &= pattern.mask
        common &= ~tested
        if len(patterns) == 1 or all(not pattern.mask & ~tested for pattern in patterns):
            self.leaf(patterns, fail)
            return
        if not common:
            first, rest = halved(patterns, tested)
            if not first:
                self.leaf(rest, fail)
                return
            then = self.text.fresh("rest")
            self.tree(parcel, first, tested, then if rest else fail)
            if rest:
                self.meet(then)
                self.tree(parcel, rest, tested, fail)
            return
        groups: dict[int, list[Pattern]] = {}
        for pattern in patterns:
            groups.setdefault(pattern.value & common, []).append(pattern)
        labels = {value: self.text.fresh("case") for value in groups}
        cases = " ".join(f"i{bits} {value}, label %{label}" for value, label in labels.items())
        self.text.do(f"switch i{bits} {self.binary('and', parcel, common, bits)}, label %{fail} [{cases}]")
        for value, members in groups.items():
            self.text.label(labels[value])
            self.tree(parcel, members, tested | common, fail)

    def leaf(self, patterns: Sequence[Pattern], fail: str) -> None:
        """Tries candidates one after the other."""
        for i, pattern in enumerate(patterns):
            form = self.form(pattern)
            self.candidates += 1
            form.entries.append(
                Entry(self.text.block, self.candidates, pattern.number, tuple(s.value for s in pattern.segments))
            )
            self.text.do(f"br label %{form.label}")
            last = i == len(patterns) - 1
            self.successors[self.candidates] = fail if last else self.text.fresh("next")
            if not last:
                self.meet(self.successors[self.candidates])

    def form(self, pattern: Pattern) -> Form:
        instruction = pattern.instruction
        shape = tuple((s.width, s.mask, s.fields, s.when) for s in instruction.segments)
        wanted = control(self.isa, instruction)
        operands = tuple((o.name, o.width) for o in instruction.operands)
        key = (shape, instruction.where, tuple(wanted.items()), operands)
        found = self.forms.get(key)
        if found is None:
            found = self.forms[key] = Form(self.text.fresh("form"), instruction, wanted)
        return found

    # -- forms ---------------------------------------------------------------------------------------------------------

    def body(self, form: Form, start: Value) -> None:
        """Matches the segments, reads the operands, fills the record."""
        text = self.text
        self.meet(form.label)

        def carried(values: Sequence[int]) -> Value:
            if len(set(values)) == 1:
                return values[0]
            pairs = ", ".join(f"[{v}, %{e.block}]" for v, e in zip(values, form.entries, strict=True))
            return text.let(f"phi i64 {pairs}")

        which = carried([e.which for e in form.entries])
        number = carried([e.number for e in form.entries])
        wanted = [carried([e.values[i] for e in form.entries]) for i in range(len(form.instruction.segments))]
        fail = text.fresh("fail")
        outer = self.operands
        self.operands = {**outer, **{o.name: 0 for o in form.instruction.operands}}
        at = start
        try:
            for segment, value in zip(form.instruction.segments, wanted, strict=True):
                at = self.segment(segment, value, at, fail)
            if form.instruction.where is not None:
                self.unless(self.value(form.instruction.where), fail)
            self.record(form, number, at)
        except Unsupported:
            text.do("br label %slow")
        self.operands = outer
        self.meet(fail)
        targets = {self.successors[e.which] for e in form.entries}
        if len(targets) == 1 or isinstance(which, int):
            text.do(f"br label %{self.successors[form.entries[0].which]}")
        else:
            cases = " ".join(f"i64 {e.which}, label %{self.successors[e.which]}" for e in form.entries)
            text.do(f"switch i64 {which}, label %slow [{cases}]")

    def segment(self, segment: ir.Segment, wanted: Value, at: Value, fail: str) -> Value:
        """Reads a segment, if it is there; the distance behind it."""
        if segment.width > 64:
            raise Unsupported("a wide segment")
        there: Value = 1 if segment.when is None else self.value(segment.when)
        if there == 0:
            return at
        if there == 1:
            return self.present(segment, wanted, at, fail)
        text = self.text
        yes, no = text.fresh("there"), text.fresh("behind")
        before, old = text.block, dict(self.operands)
        text.do(f"br i1 {there}, label %{yes}, label %{no}")
        text.label(yes)
        after = self.present(segment, wanted, at, fail)
        end = text.block
        text.do(f"br label %{no}")
        text.label(no)
        widths = {f.operand: f for f in segment.fields}
        for name in widths:
            width = self.widths[name]
            self.operands[name] = self._phi([before, end], [old[name], self.operands[name]], width)
        return self._phi([before, end], [at, after], 64)

    def present(self, segment: ir.Segment, wanted: Value, at: Value, fail: str) -> Value:
        word = self.read(at, segment.width)
        bits = segment.width
        if segment.mask:
            value = self.fit(wanted, 64, bits)
            self.unless(self.compare("eq", self.binary("and", word, segment.mask, bits), value, bits), fail)
        for f in segment.fields:
            width = self.widths[f.operand]
            part = self.fit(self.extract(word, bits, f.segment_lo + f.length - 1, f.segment_lo), f.length, width)
            moved = self.binary("shl", part, f.operand_lo, width)
            self.operands[f.operand] = self.binary("or", self.operands[f.operand], moved, width)
        return self.binary("add", at, bits // self.isa.unit, 64)

    # -- records -------------------------------------------------------------------------------------------------------

    def record(self, form: Form, number: Value, length: Value) -> None:
        """Looks the variant up, fills the record, and goes to the handler."""
        key = self.binary("add", number, 1, 64)
        key = self.binary("or", key, self.binary("shl", length, KEY_LENGTH, 64), 64)
        shift = KEY_CONTROL
        for name, width in control_widths(self.isa, form.instruction, form.control).items():
            atoms = form.control[name]
            value = self.operands[name]
            whole = self.widths[name]
            if atoms is None:
                key = self._packed(key, value, whole, shift)
            else:
                for i, (hi, lo, wanted) in enumerate(atoms):
                    holds = self.compare("eq", self.extract(value, whole, hi, lo), wanted, hi - lo + 1)
                    key = self._packed(key, holds, 1, shift + i)
            shift += width
        if key_bits(self.isa, form.instruction, form.control) > 64 or any(
            o.width > 64 for o in form.instruction.operands
        ):
            raise Unsupported("a key of more than 64 bits, or an operand")
        variant = self.text.let(f"call i64 @find(ptr {self.pointer('keys')}, i64 {key})")
        self.unless(self.binary("xor", self.compare("eq", variant, 0, 64), 1, 1))
        for name, place in places(form.instruction.operands).items():
            value = self.extend(self.operands[name], self.widths[name], place.bytes * 8)
            self.text.do(f"store i{place.bytes * 8} {value}, ptr {self.at(place.offset, '%rec')}")
        counted = self.binary("or", variant, self.word("young"), 64)
        self.text.do(f"store i64 {counted}, ptr {self.at(Record.VARIANT, '%rec')}")
        self.arrivals.append((self.text.block, variant, length))
        self.text.do("br label %decoded")

    def _packed(self, key: Value, value: Value, width: int, shift: int) -> Value:
        return self.binary("or", key, self.binary("shl", self.extend(value, width, 64), shift, 64), 64)

    def decoded(self) -> None:
        """The end that all forms share: the lines are marked, the handler is entered."""
        text = self.text
        self.meet("decoded")
        blocks = [block for block, _, _ in self.arrivals]
        variant = self._phi(blocks, [v for _, v, _ in self.arrivals], 64)
        length = self._phi(blocks, [n for _, _, n in self.arrivals], 64)
        place = self.away(self.pointer("variants"), self.binary("shl", variant, 3, 64))
        handler = text.let(f"load ptr, ptr {place}")
        counter = self.pointer("counter")
        jump = text.let(f"select i1 {text.let(f'icmp eq ptr {counter}, null')}, ptr {handler}, ptr {counter}")
        text.do(f"store ptr {handler}, ptr %rec")
        text.do(f"store ptr {jump}, ptr {self.at(Record.JUMP, '%rec')}")
        self.mark(length)
        self.go(handler, "%rec", "%b", "%pc")

    def mark(self, length: Value) -> None:
        """Marks the lines of the instruction; translations that allow writes are dropped where they were the first
        marks of a page."""
        text = self.text
        start = text.let("ptrtoint ptr %ram to i64")
        bytes_ = self.binary("sub", text.let(f"ptrtoint ptr {self.host} to i64"), start, 64)
        offset = self.binary("lshr", bytes_, self.plan.bank.cell.bit_length() - 1, 64)
        over = self.compare("ult", offset, OVERHANG, 64)
        first = self.binary("lshr", self.select(over, 0, self.binary("sub", offset, OVERHANG, 64), 64), LINE, 64)
        end = self.binary("add", offset, self.binary("sub", length, 1, 64), 64)
        last = self.binary("lshr", end, LINE, 64)
        marks = self.pointer("marks")
        for line in (first, last):
            mark = self.away(marks, line)
            was = text.let(f"load i8, ptr {mark}")
            new, on = text.fresh("new"), text.fresh("marked")
            text.do(f"br i1 {self.compare('eq', was, 0, 8)}, label %{new}, label %{on}{UNLIKELY}")
            text.label(new)
            k = CODE_PAGE - LINE
            page = self.binary("and", line, ones(64) - ones(k), 64)
            any_: Value = 0
            for i in range(0, 1 << k, 8):
                eight = text.let(f"load i64, ptr {self.away(marks, self.binary('add', page, i, 64))}, align 1")
                any_ = self.binary("or", any_, eight, 64)
            flush, kept = text.fresh("flush"), text.fresh("kept")
            text.do(f"br i1 {self.compare('eq', any_, 0, 64)}, label %{flush}, label %{kept}")
            text.label(flush)
            text.do(f"call void {self.pointer('narrow')}(ptr %st, i64 {line})")
            if self.plan.views:
                text.do(f"call void {self.pointer('flush')}(ptr %st)")
                self.put_word("flushed", 0)
            text.do(f"br label %{kept}")
            text.label(kept)
            text.do(f"br label %{on}")
            text.label(on)
            text.do(f"store i8 {self.binary('or', was, MARK_CODE, 8)}, ptr {mark}")

    # -- all of it -----------------------------------------------------------------------------------------------------

    def write(self) -> str:
        self.prologue()
        self.find()
        parcel, start = self.prefixes()
        patterns = [Pattern(i, instruction) for i, instruction in enumerate(self.isa.instructions)]
        self.shared = dict(self.text.known)
        self.tree(parcel, [p.over(self.isa) for p in patterns], 0, "slow")
        prefixes = {p.name: p.width for p in self.isa.prefixes} | {"prefix_parcels": 8}
        for form in self.forms.values():
            self.widths = prefixes | {o.name: max(o.width, 1) for o in form.instruction.operands}
            self.body(form, start)
        if self.arrivals:
            self.decoded()
        self.slowly()
        lines = "\n".join([*self.globals.values()])
        body = "\n".join(self.text.lines)
        return f"{lines}\ndefine {CONVENTION} void @decode({PARAMETERS}) nounwind {{\nentry:\n{body}\n}}\n{FIND}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """An instruction with what it wants of the first parcel."""

    number: int
    instruction: ir.Instruction
    mask: int = 0
    value: int = 0

    @property
    def segments(self) -> Sequence[ir.Segment]:
        return self.instruction.segments

    def over(self, isa: ir.Isa) -> Pattern:
        """With mask and value read off the first segment, if that is always there."""
        if not self.segments or self.segments[0].when is not None:
            return self
        segment, parcel = self.segments[0], isa.fetch.parcel
        shift = segment.width - parcel if isa.endian == "big" else 0
        mask = segment.mask >> shift & ones(parcel)
        return Pattern(self.number, self.instruction, mask, segment.value >> shift & mask)


def halved(patterns: Sequence[Pattern], tested: int) -> tuple[list[Pattern], list[Pattern]]:
    """Those that test certain bits, as many as there can be, and the others."""
    masks = {pattern.mask & ~tested for pattern in patterns} - {0}
    if not masks:
        return [], list(patterns)

    def among(mask: int) -> int:
        return sum(pattern.mask & mask == mask for pattern in patterns)

    best = max(masks, key=lambda mask: (among(mask), mask.bit_count(), mask))
    first = [pattern for pattern in patterns if pattern.mask & best == best]
    return first, [pattern for pattern in patterns if pattern.mask & best != best]


FIND = f"""
define internal i64 @find(ptr %keys, i64 %key) nounwind noinline {{
entry:
  %mixed = mul i64 %key, {MIX}
  %first = lshr i64 %mixed, {64 - KEYS.bit_length() + 1}
  br label %probe
probe:
  %i = phi i64 [%first, %entry], [%after, %more]
  %at = shl i64 %i, 4
  %place = getelementptr i8, ptr %keys, i64 %at
  %there = load i64, ptr %place
  %same = icmp eq i64 %there, %key
  br i1 %same, label %found, label %other
other:
  %none = icmp eq i64 %there, 0
  br i1 %none, label %unknown, label %more
more:
  %next = add i64 %i, 1
  %after = and i64 %next, {KEYS - 1}
  br label %probe
found:
  %value = getelementptr i8, ptr %place, i64 8
  %number = load i64, ptr %value
  ret i64 %number
unknown:
  ret i64 0
}}
"""


def decoder(plan: Plan) -> str:
    """The module text of the decoder, without the profiles."""
    return Decoder(plan, Text()).write()
