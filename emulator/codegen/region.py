"""Regions: hot blocks of a page as one function, with the guest's registers in values.

A region never traps and never takes a slow path.  It checks; what fails a check goes back to the last *checkpoint*: the
beginning of the block or the instruction after the last store: the state of that moment is put back, the budget too,
and the threaded interpreter goes on from there.  It executes the same instructions again and meets the trap, the device
or the missing translation itself, so there is one implementation of all of them.

What an instruction stores is written at its end, when all of its checks have passed.  An instruction that cannot be
lowered so is handed to its handler.

A region belongs to one context, so the elements of the key are known in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set

from msgspec import Struct

from emulator.codegen.block import Block, Checkpoint, Exit, Group, Key, Sketch, Sketches, Touch, place
from emulator.codegen.handler import CONVENTION, PARAMETERS
from emulator.codegen.layout import Record, slot
from emulator.codegen.lowered import RETURNS, Lowered
from emulator.codegen.plan import CODE_MASK, CODE_PAGE, CODE_SHIFT, Plan
from emulator.codegen.values import LIKELY, OF_STATE, SCOPES, UNLIKELY, Text, Value, ones, ty
from emulator.codegen.variant import Instr

NEAR = 448
"""The units that accesses with a common check may span, if there are stores among them."""
FETCHED = 64
"""Bytes that the host fetches at once."""
SPREAD = 13
"""Every region is loaded at the beginning of a page of the host.  They begin at different places behind it, for those
at the same place of a page displace each other from the caches of instructions and of targets."""


ROOM = 12
"""Registers of the guest for which the host has registers: so many are taken from the state at once."""


class Size(Struct, frozen=True):
    """Of code: its instructions, and the lines that they come to."""

    instructions: int
    lines: int


class Limits(Struct, frozen=True):
    """How large a region may be.  LLVM takes 40 microseconds for a line, and writing it takes as long; an instruction
    comes to 5 to 20 of them on a simple machine, to 150 on one with segments."""

    blocks: int = 64
    whole: Size = Size(300, 6000)
    straight: Size = Size(64, 1500)  # a region without a loop, and any block
    unrolled: Size = Size(24, 1500)  # a loop of one block, whose `rounds` are one behind the other
    rounds: int = 4
    sites: int = 6


class Region:
    """One region: from a hot address, over decoded instructions of its page, in one context."""

    def __init__(
        self,
        plan: Plan,
        known: Mapping[str, int],
        page: Mapping[int, Instr],
        bounds: tuple[int, int],
        limits: Limits | None = None,
        windows: frozenset[int] = frozenset(),
        sketches: Sketches | None = None,
    ) -> None:
        self.plan = plan
        self.known = known
        self.page = page
        self.bounds = bounds
        self.limits = limits or Limits()
        self.windows = windows  # the views that have windows
        self.members: set[int] = set()
        self.links: set[int] = set()
        self.sketches = (sketches or Sketches()).under((known, windows))
        self.used: dict[Key, int] = {}
        self.globals: dict[str, str] = {}
        self.covered: set[int] = set()
        self.groups: dict[tuple[int, int, int], Group] = {}
        self.rounds: dict[int, int] = {}  # by block: the blocks of the shortest loop that it is in
        self.sites: dict[tuple[int, int, int], str] = {}
        self.words: dict[str, str] = {}  # of the state, with their types, that loops need
        self.rooms: set[int] = set()  # the ends of what loops write, in units from the bank's beginning
        self.free = False  # do loops need the host address of the units that are known to have no marks?
        self.changing: set[Key] = set()  # what blocks in loops write

    def place(self, word: str) -> tuple[str, int]:
        """Where a word lies: in the state, or in the caches if it is of a window."""
        if word in self.plan.layout.words:
            return "st", self.plan.layout.words[word]
        kind, part, view = word.split(".")
        return "dtlb", self.plan.window(int(view), kind == "write") + 8 * ("behind", "edge", "lead").index(part)

    def width(self, key: Key) -> int:
        kind, name, _ = key
        return self.plan.isa.elements[name].width if kind == "e" else self.plan.isa.files[name].width

    def function(self, entry: int, name: str) -> str | None:
        """The function of the region from `entry` on; None if there is nothing to gain."""
        if not self._discover(entry, self.limits.whole):
            self._discover(entry, self.limits.straight)
        blocks = self._lower(entry)
        if sum(block.count for block in blocks.values()) == 0 or blocks[entry].count == 0:
            return None
        return self._write(entry, name, blocks)

    def _instrs(self, pc: int) -> list[Instr]:
        """The instructions from an address on, up to the beginning of another block."""
        found: list[Instr] = []
        while len(found) < self.limits.straight.instructions and (not found or pc not in self.members):
            instr = self.page.get(pc)
            if instr is None:
                break
            found.append(instr)
            if instr.variant is None or instr.variant.trap is not None:
                break
            pc = pc + instr.variant.length
        return found

    def _discover(self, entry: int, most: Size) -> bool:
        """Finds the blocks, breadth first, over what has been decoded; whether there is a loop among them."""
        self.members, self.links, self.rounds = set(), set(), {}
        loops = False
        waiting, total, lines, seen = [entry], 0, 0, set()
        found: set[int] = set()
        ways: dict[int, frozenset[int]] = {}
        written: dict[int, frozenset[Key]] = {}
        while waiting and len(found) < self.limits.blocks and total < most.instructions and lines < most.lines:
            pc = waiting.pop(0)
            if pc in seen or pc not in self.page:
                continue
            seen.add(pc)
            block = self._sketch(pc)
            if block.count == 0 and pc != entry:
                continue
            found.add(pc)
            ways[pc], written[pc] = block.next, block.written
            total, lines = total + block.count, lines + block.lines
            self.links |= {link for link in block.after if link in self.page}
            loops = loops or any(target in found and target <= pc for target in block.next)
            waiting += sorted(block.next | block.after)
        found = belonging({pc: ways[pc] & found for pc in found}, entry)
        self.members = found
        self.links &= found
        self.rounds = rounds({pc: ways[pc] & found for pc in found})
        self.changing = set().union(*(written[pc] for pc in self.rounds))
        self.used.clear()
        return loops

    def _sketch(self, pc: int) -> Sketch:
        """What becomes of a block, as far as other blocks need not be known for it."""
        instrs, links = self._instrs(pc), tuple(sorted(self.links)[:RETURNS])
        known = self.sketches.blocks.get(pc)
        if known is None or (known.links, known.instrs) != (links, instrs):
            block = Lowered(self, Text(f"n{pc:x}."), pc).lower(instrs)
            known = self.sketches.blocks[pc] = Sketch(
                links,
                instrs,
                block.count,
                len(block.lines),
                frozenset(block.next),
                frozenset(block.links),
                frozenset(block.written),
                tuple(block.touches),
            )
        return known

    def site(self, place_: tuple[int, int, int]) -> str | None:
        """The variables of an access in a loop: its last page, and what leads from there to the host.  Inner loops come
        first; there are not many registers."""
        if place_[0] not in self.rounds or (place_ not in self.sites and len(self.sites) >= self.limits.sites):
            return None
        return self.sites.setdefault(place_, f"site.{len(self.sites)}")

    def _lower(self, entry: int) -> dict[int, Block]:
        blocks: dict[int, Block] = {}
        self.sites = {}
        for pc in sorted(self.members, key=lambda pc: (self.rounds.get(pc, len(self.members) + 1), pc)):
            instrs, sites = self._instrs(pc), dict(self.sites)
            sketch = self.sketches.blocks[pc]
            rounds_, touches, block = self._unrolled(pc, sketch), sketch.touches, None
            if rounds_ > 1 or instrs != sketch.instrs:  # the sketch does not tell the accesses
                block = Lowered(self, Text(f"n{pc:x}."), pc, rounds_).lower(instrs)
                touches = tuple(block.touches)
            self.groups |= groups(pc, touches, self.plan.bank.cell)
            if block is None or len(touches) > 1:
                self.sites = sites
                block = Lowered(self, Text(f"n{pc:x}."), pc, rounds_).lower(instrs)
            blocks[pc] = block
            for instr in instrs[: max(blocks[pc].count, 1)]:
                size = 1 if instr.variant is None else max(instr.variant.length, 1)
                self.covered |= set(range(instr.pc, instr.pc + size))
        return blocks

    def _unrolled(self, pc: int, block: Sketch) -> int:
        """How many rounds of a block are lowered one behind the other."""
        if self.rounds.get(pc) != 1:
            return 1
        most = self.limits.unrolled
        return max(min(self.limits.rounds, most.instructions // block.count, most.lines // block.lines), 1)

    def _dirty(self, blocks: Mapping[int, Block]) -> dict[int, set[Key]]:
        """What may differ from the state in memory at the beginning of each block."""
        found: dict[int, set[Key]] = {pc: set() for pc in blocks}
        waiting = list(blocks)
        while waiting:
            pc = waiting.pop()
            out = found[pc] | blocks[pc].written
            for target in blocks[pc].next:
                if target in found and not out <= found[target]:
                    found[target] |= out
                    waiting.append(target)
        return found

    def _write(self, entry: int, name: str, blocks: Mapping[int, Block]) -> str:
        plan, layout = self.plan, self.plan.layout
        dirty = self._dirty(blocks)
        away = (entry // plan.per_parcel * SPREAD & 31) * FETCHED
        before = f"prefix [{away} x i8] zeroinitializer " if away else ""
        out = [f"define {CONVENTION} void @{name}({PARAMETERS}) nounwind {before}{{", "entry:"]
        for word, kind in sorted((self.words | ({"dtlb": "ptr"} if self.windows else {})).items()):
            base, offset = self.place(word)
            out.append(f"  %{word}.at = getelementptr i8, ptr %{base}, i64 {offset}")
            out.append(f"  %{word} = load {kind}, ptr %{word}.at")
        if self.free or self.rooms:
            out.append(f"  %free.units = sub i64 %clean, {plan.bank.base}")
        for end in sorted(self.rooms):
            out.append(f"  %left.{end} = call i64 @llvm.usub.sat.i64(i64 {end}, i64 %free.units)")
            out.append(f"  %room.{end} = call i64 @llvm.umin.i64(i64 %room, i64 %left.{end})")
        if self.free:
            out.append(f"  %free.bytes = shl i64 %free.units, {plan.bank.cell.bit_length() - 1}")
            out.append("  %free = getelementptr i8, ptr %ram, i64 %free.bytes")
        out += ["  %budget = alloca i64", "  store i64 %b, ptr %budget"]
        late = late_reads(entry, blocks)
        for key, width in sorted(self.used.items()):
            kind, spot, index = key
            offset = layout.elements[spot] if kind == "e" else layout.entry(plan.isa.files[spot], index)
            p = place(key)
            out.append(f"  %{p} = alloca {ty(width)}")
            out.append(f"  %{p}.at = getelementptr i8, ptr %st, i64 {offset}")
            if key not in late.values():
                out += self._fetch(key, width)
        blocks[entry].lines = [
            part
            for line in blocks[entry].lines
            for part in ([*self._fetch(late[line], self.used[late[line]]), line] if line in late else [line])
        ]
        for site in self.sites.values():
            for name_, first in (("page", -1), ("addend", 0)):
                out += [f"  %{site}.{name_} = alloca i64", f"  store i64 {first}, ptr %{site}.{name_}"]
        rounds_ = {pc for pc, block in blocks.items() if pc in block.next}
        out.append(before_loop(f"  br label %b{entry:x}", -1, rounds_))
        cold: list[str] = []
        needs = needed({pc: block.count for pc, block in blocks.items()}, ways(blocks), entry)
        for pc, block in blocks.items():
            prefix = f"n{pc:x}."
            start, taken, same, total, go, *lines = block.lines
            lines = [before_loop(line, pc, rounds_) for line in lines]
            if pc in rounds_:
                out += [f"{BEFORE}{pc:x}:", f"  br label %b{pc:x}"]
            out += [start, taken, same, total]
            if pc in needs:
                out += self._enough(block, needs[pc], prefix)
            else:
                out.append(go)
            out += lines
            for point in block.checkpoints:
                if point.used:
                    cold += self._bail(entry, block, point, dirty[pc], prefix)
            for exit_ in block.exits:
                cold += self._exit(entry, block, exit_, dirty[pc], prefix)
        head = "\n".join(self.globals.values())
        body = "\n".join([*out, *cold, "}"])
        return (head + "\n" + body + "\n").replace("@table.", f"@{name}.table.")

    def _fetch(self, key: Key, width: int) -> list[str]:
        """Takes a register from the state."""
        p, whole = place(key), slot(width) * 8
        out = [f"  %{p}.in = load i{whole}, ptr %{p}.at{OF_STATE}"]
        if whole == max(width, 1):
            return [*out, f"  store {ty(width)} %{p}.in, ptr %{p}"]
        out.append(f"  %{p}.cut = trunc nuw i{whole} %{p}.in to {ty(width)}")
        return [*out, f"  store {ty(width)} %{p}.cut, ptr %{p}"]

    def _spill(self, label: str, dirty_in: set[Key], dirty: Mapping[Key, Value], prefix: str) -> list[str]:
        """Stores what may differ from the state."""
        out = []
        for i, key in enumerate(sorted(dirty_in | set(dirty))):
            p, width = place(key), self.used[key]
            whole = slot(width) * 8
            if key in dirty:
                value = str(dirty[key])
            else:
                value = f"%{label}.s{i}"
                out.append(f"  {value} = load {ty(width)}, ptr %{p}")
            if whole != max(width, 1):
                out.append(f"  %{label}.z{i} = zext {ty(width)} {value} to i{whole}")
                value = f"%{label}.z{i}"
            out.append(f"  store i{whole} {value}, ptr %{p}.at{OF_STATE}")
        return out

    def _record(self, label: str, entry: int, pc: int) -> tuple[list[str], str]:
        away = (pc - entry) // self.plan.per_parcel * self.plan.layout.record.size
        return [f"  %{label}.rec = getelementptr i8, ptr %rec, i64 {away}"], f"%{label}.rec"

    def _word(self, label: str, word: str) -> list[str]:
        offset = self.plan.layout.words[word]
        return [
            f"  %{label}.at = getelementptr i8, ptr %st, i64 {offset}",
            f"  %{label}.to = load ptr, ptr %{label}.at",
        ]

    def _handler(self, label: str, rec: str) -> list[str]:
        """The handler of a record's instruction, whatever code is installed there: as the routine `interpret` does, but
        each place has a jump of its own, for the host foresees those."""
        variants = self.plan.layout.words["variants"]
        return [
            f"  %{label}.variant.at = getelementptr i8, ptr {rec}, i64 {Record.VARIANT}",
            f"  %{label}.variant = load i32, ptr %{label}.variant.at",
            f"  %{label}.variants.at = getelementptr i8, ptr %st, i64 {variants}",
            f"  %{label}.variants = load ptr, ptr %{label}.variants.at",
            f"  %{label}.number = zext i32 %{label}.variant to i64",
            f"  %{label}.at = getelementptr ptr, ptr %{label}.variants, i64 %{label}.number",
            f"  %{label}.to = load ptr, ptr %{label}.at",
        ]

    def _tail(self, label: str, rec: str, budget: str, pc: str, origin: int = -1) -> list[str]:
        """A tail call; `origin` tells a jump where it comes from, -1 from wherever."""
        call = f"musttail call {CONVENTION} void %{label}.to"
        return [f"  {call}(ptr %st, ptr {rec}, ptr %ram, i64 {budget}, i64 {pc}, i64 {origin})", "  ret void"]

    def _enough(self, block: Block, need: int, prefix: str) -> list[str]:
        """Goes on if the budget is enough up to the next place where that is asked."""
        start = block.checkpoints[0]
        start.used = True
        return [
            f"  %{prefix}over = icmp slt i64 %{prefix}b1, {need - block.count}",
            f"  br i1 %{prefix}over, label %{start.label}, label %{prefix}go{UNLIKELY}",
        ]

    def _left(self, label: str, prefix: str, more: int) -> list[str]:
        """What is left of the budget on a way out.  That it is not computed from what it was at the beginning of the
        block saves a register there: LLVM does not see through `expect`."""
        return [
            f"  %{label}.b1 = call i64 @llvm.expect.i64(i64 %{prefix}b1, i64 0)",
            f"  %{label}.b = add i64 %{label}.b1, {more}",
        ]

    def _bail(self, entry: int, block: Block, point: Checkpoint, dirty_in: set[Key], prefix: str) -> list[str]:
        label = point.label
        out = [f"{label}:", *self._spill(label, dirty_in, point.dirty, prefix)]
        out += self._left(label, prefix, block.count + point.left)
        more, rec = self._record(label, entry, point.pc)
        out += [*more, *self._word(label, "interpret")]
        return [*out, *self._tail(label, rec, f"%{label}.b", str(point.pc))]

    def _exit(self, entry: int, block: Block, exit_: Exit, dirty_in: set[Key], prefix: str) -> list[str]:
        label = exit_.label
        out = [f"{label}:", *self._spill(label, dirty_in, exit_.dirty, prefix)]
        out += self._left(label, prefix, block.count + exit_.refund)
        budget = f"%{label}.b"
        if exit_.how == "check":
            out += self._word(label, "check")
            out += self._wide(label, exit_.target, prefix)
            return [*out, *self._tail(label, "poison", budget, f"%{label}.pc")]
        lo, hi = self.bounds
        if exit_.pc is not None and lo <= exit_.pc <= hi and not (exit_.pc - entry) % self.plan.per_parcel:
            more, rec = self._record(label, entry, exit_.pc)
            out += more
            if exit_.how == "handler":
                out += self._handler(label, rec)
            else:
                out.append(f"  %{label}.jump = getelementptr i8, ptr {rec}, i64 {Record.JUMP}")
                out.append(f"  %{label}.to = load ptr, ptr %{label}.jump")
            return [*out, *self._tail(label, rec, budget, str(exit_.pc), block.pc)]
        if exit_.pc is not None:
            out += self._word(label, "lookup")
            return [*out, *self._tail(label, "poison", budget, str(exit_.pc))]
        out += self._wide(label, exit_.target, prefix)
        return out + self._probe(label, budget)

    def _wide(self, label: str, target: Value, prefix: str) -> list[str]:
        width = self.plan.pc_width
        value = str(target)
        if width == 64:
            return [f"  %{label}.pc = add i64 {value}, 0"]
        return [f"  %{label}.pc = zext {ty(width)} {value} to i64"]

    def _probe(self, label: str, budget: str) -> list[str]:
        """A computed jump, by the fetch cache."""
        plan = self.plan
        aligned = ones(64) - ones(CODE_PAGE) | plan.per_parcel - 1
        scale = (plan.layout.record.size // plan.per_parcel).bit_length() - 1
        n = f"%{label}"
        out = [
            f"  {n}.itlb.at = getelementptr i8, ptr %st, i64 {plan.layout.words['itlb']}",
            f"  {n}.itlb = load ptr, ptr {n}.itlb.at",
            f"  {n}.i0 = lshr i64 {n}.pc, {CODE_SHIFT}",
            f"  {n}.i1 = and i64 {n}.i0, {CODE_MASK}",
            f"  {n}.e = getelementptr i8, ptr {n}.itlb, i64 {n}.i1",
            f"  {n}.tag = load i64, ptr {n}.e",
            f"  {n}.p = and i64 {n}.pc, {aligned}",
            f"  {n}.hit = icmp eq i64 {n}.p, {n}.tag",
            f"  br i1 {n}.hit, label %{label}.f, label %{label}.m{LIKELY}",
            f"{label}.m:",
            *[
                line.replace(f"{n}.at", f"{n}.at2").replace(f"{n}.to", f"{n}.to2")
                for line in self._word(label, "lookup")
            ],
            *[line.replace(f"{n}.to", f"{n}.to2") for line in self._tail(label, "poison", budget, f"%{label}.pc")],
            f"{label}.f:",
            f"  {n}.bp = getelementptr i8, ptr {n}.e, i64 8",
            f"  {n}.base = load ptr, ptr {n}.bp",
            f"  {n}.o = and i64 {n}.pc, {ones(CODE_PAGE)}",
            f"  {n}.os = shl i64 {n}.o, {scale}",
            f"  {n}.rec = getelementptr i8, ptr {n}.base, i64 {n}.os",
            f"  {n}.jp = getelementptr i8, ptr {n}.rec, i64 {Record.JUMP}",
            f"  {n}.to = load ptr, ptr {n}.jp",
        ]
        return out + self._tail(label, f"%{label}.rec", budget, f"%{label}.pc")


def late_reads(entry: int, blocks: Mapping[int, Block]) -> dict[str, Key]:
    """The lines of the first block before which a register may be taken from the state, instead of where the region
    begins: a program that saves all registers needs none of the host's for them then.  They are the first to name their
    variables, and no way goes around them."""
    if any(entry in block.next for block in blocks.values()):
        return {}
    lines = blocks[entry].lines
    found = {}
    for key, read in blocks[entry].first.items():
        name = re.compile(rf"%{re.escape(place(key))}(?![\w.])")
        if next((line for line in lines if name.search(line)), None) == read:
            found[read] = key
    return found if len(found) > ROOM else {}


def groups(pc: int, touches: Sequence[Touch], cell: int) -> dict[tuple[int, int, int], Group]:
    """The groups of a block's accesses, by the places of their members."""
    by_root: dict[tuple[tuple[str, int, int], int | None], list[Touch]] = {}
    for touch in touches:
        by_root.setdefault((touch.root, touch.view), []).append(touch)
    found: dict[tuple[int, int, int], Group] = {}
    for (_, view), members in by_root.items():
        low = max(t.low for t in members)
        lo = min(t.away for t in members)
        lo -= lo & low
        hi = max(t.away + t.units for t in members)
        stores = any(t.store for t in members)
        if len(members) < 2 or hi - lo > (NEAR if stores else NEAR * 4):
            continue
        if any(t.away - lo & t.low for t in members):
            continue
        most = min(t.most - (t.away - lo) for t in members)
        group = Group(len(found), lo, hi, low, any(not t.store for t in members), stores, view, most)
        found |= {(pc, *t.place): group for t in members}
    return found


def belonging(ways: Mapping[int, Set[int]], entry: int) -> set[int]:
    """The blocks that belong to a region, of those that can be reached: if it begins in a loop, other loops behind it
    do not, which are for regions of their own.

    >>> sorted(belonging({1: {2}, 2: {1, 3}, 3: {4}, 4: {4, 5}, 5: set()}, 1))
    [1, 2, 3]
    >>> sorted(belonging({0: {1}, 1: {1}}, 0))
    [0, 1]
    """
    reached = {pc: reach(ways, pc) for pc in ways}
    if entry not in reached[entry]:
        return set(ways)
    others = {pc for pc in ways if pc in reached[pc] and entry not in reached[pc]}
    return {entry} | reach({pc: to - others for pc, to in ways.items()}, entry)


def reach(ways: Mapping[int, Set[int]], start: int) -> set[int]:
    """The blocks that lie behind one."""
    reached, edge = set[int](), {start}
    while edge:
        edge = {to for pc in edge for to in ways[pc]} - reached
        reached |= edge
    return reached


def rounds(ways: Mapping[int, Set[int]]) -> dict[int, int]:
    """For each block in a loop the number of blocks in its shortest one.

    >>> rounds({1: {1, 2}, 2: {3}, 3: {2, 4}, 4: set()})
    {1: 1, 2: 2, 3: 2}
    """
    found = {}
    for start in ways:
        reached, edge, steps = set[int](), {start}, 0
        while edge and start not in reached:
            edge = {to for pc in edge for to in ways[pc]} - reached
            reached |= edge
            steps += 1
        if start in reached:
            found[start] = steps
    return found


BEFORE = "before."


def before_loop(line: str, here: int, rounds: set[int]) -> str:
    """A branch to a block that is a loop by itself goes to a block before it, unless it comes from there: so an outer
    loop that begins at the same place is another one, and LLVM knows which is the inner."""
    if not line.startswith("  br label %b"):
        return line
    target = line.removeprefix("  br label %b")
    known = target in {f"{pc:x}" for pc in rounds if pc != here}
    return f"  br label %{BEFORE}{target}" if known else line


def ways(blocks: Mapping[int, Block]) -> dict[int, set[int]]:
    """Where control goes from each block, within the region."""
    return {pc: block.next & set(blocks) for pc, block in blocks.items()}


def needed(counts: Mapping[int, int], ways: Mapping[int, set[int]], entry: int) -> dict[int, int]:
    """Where the budget is looked at, and how much is needed there: once in each loop, and where the region begins; so
    much that it lasts until it is looked at again, on the longest way.

    >>> needed({1: 5, 2: 1, 3: 2}, {1: {2, 3}, 2: {3}, 3: {1, 3}}, 1)
    {1: 6, 3: 2}
    """
    order: list[int] = []  # each block behind all that follow it, but for the ends of loops
    heads, open_, seen = {entry}, set[int](), set[int]()
    for pc, after in ways.items():
        if pc in after:  # the budget of the shortest loops is for one round
            heads |= after
    stack: list[tuple[int, list[int]]] = []

    def begin(pc: int) -> None:
        seen.add(pc)
        open_.add(pc)
        stack.append((pc, sorted(ways[pc])))

    for start in (entry, *ways):
        if start in seen:
            continue
        begin(start)
        while stack:
            pc, left = stack[-1]
            if not left:
                stack.pop()
                open_.discard(pc)
                order.append(pc)
                continue
            to = left.pop()
            if to in open_:
                heads.add(to)
            elif to not in seen:
                begin(to)
    most: dict[int, int] = {}
    for pc in order:
        most[pc] = counts[pc] + max((most[to] for to in ways[pc] if to not in heads), default=0)
    return {pc: most[pc] for pc in counts if pc in heads}


DECLARATIONS = (
    SCOPES
    + "".join(
        f"declare i64 @llvm.{name}(i64, i64{more})\n"
        for name, more in (("expect.i64", ""), ("usub.sat.i64", ""), ("umin.i64", ""), ("fshr.i64", ", i64"))
    )
    + "".join(f"declare i{n} @llvm.bswap.i{n}(i{n})\n" for n in (16, 32, 64))
)
