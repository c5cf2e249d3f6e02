"""Blocks of a region: instructions with the guest's registers in values, checks instead of traps.

`region.py` tells what a region is.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from analyzer import ir
from emulator.codegen.block import Block, Checkpoint, Exit, Group, HandOver, Key, place
from emulator.codegen.direct import PC
from emulator.codegen.handler import CHEAP
from emulator.codegen.paged import Paged
from emulator.codegen.values import UNLIKELY, Text, Unsupported, Value, ones, ty
from emulator.codegen.variant import Instr

if TYPE_CHECKING:
    from emulator.codegen.region import Region

RETURNS = 6
"""Known places that a computed jump is compared with."""
TAKEN, LEFT = "TAKEN", re.compile(r"LEFT(\d+)")
"""In the text of a block, until they are known: its instructions, and those behind the first so many."""


class Mark(Struct):
    """Where the lowering of a block stood."""

    lines: int
    where: str
    known: dict[str, str]
    regs: dict[Hashable, Value]
    dirty: dict[Key, None]
    checkpoint: Checkpoint
    used: bool
    counts: tuple[int, int]
    sets: tuple[set[Key], set[int], set[int]]
    hosts: dict[Group, str]
    touches: int


class Lowered(Paged):
    """Lowers one block."""

    def __init__(self, region: Region, text: Text, pc: int, rounds: int = 1) -> None:
        super().__init__(region, text, pc)
        self.rounds = rounds  # that are still to be lowered, this one included
        self.ended = False

    # -- ends ----------------------------------------------------------------------------------------------------------

    def interrupts(self) -> None:
        """Leaves after the instruction if an interrupt may have become pending."""
        due = [i for i, inputs in enumerate(self.plan.interrupt_inputs) if not inputs.isdisjoint(self.written)]
        if not due:
            return
        outer, self.locals = self.locals, {}
        wait: Value = 0
        for i in due:
            cond = self.isa.interrupts[i].cond
            if len(list(ir.subterms(cond))) > CHEAP * 4:
                raise HandOver("a long interrupt condition")
            wait = self.binary("or", wait, self.value(cond), 1)
        self.locals = outer
        self.check()
        if wait == 0:
            return
        self.perform()
        out, on = self.text.fresh("irq"), self.text.fresh("on")
        if wait == 1:
            raise HandOver("an interrupt")
        self.text.do(f"br i1 {wait}, label %{out}, label %{on}{UNLIKELY}")
        self.text.label(out)
        self.leave(None, self.regs[PC], "check", self.index + 1)
        self.text.label(on)
        for key, value in list(self.regs.items()):  # on this way it is false: a flag that is the condition is 0
            if value == wait:
                self.regs[key] = 0

    def end(self) -> None:
        """A way that ends the instruction, and with it the block."""
        self.interrupts()
        self.perform()
        self.ended = True
        pc = self.regs[PC]
        if isinstance(pc, int):
            self.goto(pc)
            return
        candidates = sorted(self.region.links)[:RETURNS]
        for link in candidates:
            yes, no = self.text.fresh("return"), self.text.fresh("on")
            same = self.compare("eq", pc, link, self.plan.pc_width)
            self.text.do(f"br i1 {same}, label %{yes}, label %{no}")
            self.text.label(yes)
            self.goto(link)
            self.text.label(no)
        self.leave(None, pc, "jump", self.index + 1)

    def goto(self, pc: int) -> None:
        """To another block of the region, or out of it."""
        self.block.next.add(pc)
        if pc not in self.region.members:
            self.leave(pc, pc, "jump", self.index + 1)
            return
        if pc == self.block.pc and self.rounds > 1:
            self._again()
            return
        for key in self.dirty:
            width = self.region.used[key]
            self.text.do(f"store {ty(width)} {self.regs[key]}, ptr %{place(key)}")
        if self.rounds > 1:  # the steps of the rounds that are left are not taken
            budget = self.text.let(f"call i64 @llvm.expect.i64(i64 %{self.text.prefix}b1, i64 0)")
            budget = self.text.let(f"add i64 {budget}, LEFT{self.index + 1}")
            self.text.do(f"store i64 {budget}, ptr %budget")
        self.text.do(f"br label %b{pc:x}")

    def _again(self) -> None:
        """Another round of the loop that the block is, behind this one."""
        saved = (self.index, self.here, self.ordinal, self.fixed, self.length, self.locals, self.checkpoint)
        frames, after, arms, flags = self.frames, self.after, self.arms, (self.stored, self.ended)
        self.frames, self.after, self.arms = [], False, 0
        self.checkpoint = self.checkpoint_at(self.block.pc, self.index + 1)
        self.rounds -= 1
        self._round(self.index + 1)
        self.rounds += 1
        self.index, self.here, self.ordinal, self.fixed, self.length, self.locals, self.checkpoint = saved
        self.frames, self.after, self.arms, (self.stored, self.ended) = frames, after, arms, flags

    def leave(self, pc: int | None, target: Value, how: str, done: int) -> None:
        """Leaves the region, with `done` instructions of the block executed."""
        label = f"{self.text.prefix}out.{len(self.block.exits)}"
        dirty = {key: self.regs[key] for key in self.dirty}
        self.block.exits.append(Exit(label, pc, target, how, -done, dirty))
        self.text.do(f"br label %{label}")

    # -- the block -----------------------------------------------------------------------------------------------------

    def lower(self, instrs: Sequence[Instr]) -> Block:
        """Lowers the instructions of the block; those of a loop, several rounds of it one behind the other."""
        block, text = self.block, self.text
        self.instrs = instrs
        text.label(f"b{block.pc:x}")
        n = text.prefix
        text.do(f"%{n}bb = load i64, ptr %budget")
        text.do(f"%{n}b0 = call i64 @llvm.expect.i64(i64 %{n}bb, i64 0)")
        text.do(f"%{n}b1 = sub i64 %{n}b0, {TAKEN}")
        text.do(f"br label %{n}go")
        text.label(f"{n}go")
        text.do(f"store i64 %{n}b1, ptr %budget")
        self._round(0)
        count = block.count
        whole = "\n".join(text.lines).replace(TAKEN, str(count))
        block.lines = LEFT.sub(lambda m: str(count - int(m[1])), whole).split("\n")
        return block

    def _round(self, done: int) -> None:
        """Lowers the instructions, `done` of them before."""
        block, instrs = self.block, self.instrs
        start, most = len(self.text.lines), self.region.limits.straight.lines
        for i, instr in enumerate(instrs, done):
            if i > done and len(self.text.lines) - start > most:
                self._cut(instr.pc, i)
                break
            self.index, self.here, self.ordinal = i, instr.pc, 0
            state = self._mark()
            try:
                if not self._instruction(instr):
                    block.count = max(block.count, i + 1)
                    break
            except Unsupported:
                self._back(state)
                self.leave(instr.pc, instr.pc, "handler", i)
                block.count = max(block.count, i)
                break
        else:
            last = instrs[-1]
            assert last.variant is not None
            self._cut(last.pc + last.variant.length & ones(self.plan.pc_width), done + len(instrs))

    def _cut(self, pc: int, done: int) -> None:
        """The block ends before `pc`."""
        self.index = done - 1
        self.block.count = max(self.block.count, done)
        self.goto(pc)

    def _instruction(self, instr: Instr) -> bool:
        """Lowers one instruction; whether the block goes on behind it."""
        if instr.variant is None or instr.variant.trap is not None:
            raise HandOver("a trap")
        self.fixed, self.length = instr.operands, instr.variant.length
        self.locals, self.written, self.requires, self.pending = {}, set(), [], []
        self.regs[PC] = instr.pc
        self.stored, self.ended = False, False
        body = self.isa.instructions[instr.variant.instruction].body
        next_ = instr.pc + instr.variant.length & ones(self.plan.pc_width)
        inner = any(self.shape.jumps(stmt) for stmt in body if not isinstance(stmt, ir.Set))
        if not self.run(body, tail=inner):
            return False
        if self.ended:
            raise HandOver("several ends")
        if self.regs[PC] != next_:
            self.end()
            return False
        self.interrupts()
        self.perform()
        if self.stored:
            self.checkpoint = self.checkpoint_at(next_, self.index + 1)
        return True

    def _mark(self) -> Mark:
        text, block = self.text, self.block
        return Mark(
            len(text.lines),
            text.block,
            dict(text.known),
            dict(self.regs),
            dict(self.dirty),
            self.checkpoint,
            self.checkpoint.used,
            (len(block.checkpoints), len(block.exits)),
            (set(block.written), set(block.next), set(block.links)),
            dict(self.hosts),
            len(block.touches),
        )

    def _back(self, mark: Mark) -> None:
        """As if nothing had been lowered since."""
        text, block = self.text, self.block
        del text.lines[mark.lines :]
        text.block, text.known = mark.where, mark.known
        self.regs, self.dirty = mark.regs, mark.dirty
        self.checkpoint, self.checkpoint.used = mark.checkpoint, mark.used
        points, exits = mark.counts
        del block.checkpoints[points:], block.exits[exits:]
        block.written, block.next, block.links = mark.sets
        self.hosts, self.arms = mark.hosts, 0
        del block.touches[mark.touches :]
        self.nofold = 0
        self.frames.clear()
        self.requires, self.pending = [], []
