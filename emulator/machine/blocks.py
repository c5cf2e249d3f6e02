"""The machine on blocks of generated Python, over the reference: it needs nothing but Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analyzer import ir
from emulator.blocks.source import Back, Source
from emulator.codegen.layout import Bank
from emulator.codegen.plan import LINE, OVERHANG, Plan
from emulator.codegen.values import Unsupported, known
from emulator.decode import decoder
from emulator.interface import Exit, Ram, Region
from emulator.machine.plain import PlainMachine, WholeRun, written
from emulator.reference.code import code
from emulator.reference.events import Policy
from emulator.reference.run import Leave
from emulator.storage import Absent

MOST = 40
"""Instructions in a block."""

WARM = 50
"""Times that control must come to an address before a block is made there: making one takes as long as some hundred
steps of the reference."""

KEPT = 1 << 14
"""Blocks that a machine keeps, and addresses whose visits it counts, before it forgets them all."""

PATIENCE = 12
"""A block whose code changed so often or oftener has to wait no longer than this: twice as long each time."""

CONTEXTS = 64
"""Contexts whose blocks are kept at once."""

Block = tuple[Callable[[], int], int]
"""A block and how many instructions it has at most."""


class BlocksMachine(PlainMachine):
    """A machine on blocks of Python; what they cannot do, the reference does."""

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None = None,
        warm: int = WARM,
        most: int = MOST,
    ) -> None:
        super().__init__(isa, regions, choices)
        self._warm, self._most = warm, most
        bank = Bank.of(isa, [r for r in regions if isinstance(r, Ram)])
        self._bank = bank
        self._marks = bytearray((bank.size >> LINE) + 2)
        self._blocks: dict[tuple[object, ...], dict[int, Block | None]] = {}
        self._visits: dict[int, int] = {}
        self._changed: dict[int, int] = {}  # how often what a block stood for was forgotten because memory changed
        self._made = 0  # of blocks
        self._plan: Plan | None = None
        self._calm = False

    def clock(self, element: str, source: object, divide: int = 1) -> None:
        super().clock(element, source, divide)  # type: ignore[arg-type]
        self._plan = None

    def _go(self, most: int) -> Exit | None:
        if self._plan is None:
            clocks = {name: (clock.source, clock.shift) for name, clock in self._clocks.items()}
            self._plan = Plan(self._isa, self._choices, self._bank, clocks)
            self._forget()
        until, elements, pc = self._steps + most, self._state.elements, self._isa.fetch.pc
        self._calm = False
        blocks: dict[int, Block | None] = {}
        while self._steps < until:
            if not self._calm:
                self._calm = self._quiet()
                if len(self._blocks) > CONTEXTS:
                    self._forget()
                blocks = self._blocks.setdefault(self._context(), {})
            if self._calm:
                at = elements[pc]
                block = blocks[at] if at in blocks else self._visit(blocks, at)
                if block is not None and block[1] <= until - self._steps:
                    try:
                        self._steps += block[0]()
                        continue
                    except Back as back:
                        self._steps += back.done
            self._calm = False
            ended = self._step()
            if ended is not None:
                return ended
            if self._asked(until):
                return None
        return None

    def _visit(self, blocks: dict[int, Block | None], at: int) -> Block | None:
        """The block at an address, once control has come there often enough."""
        visits = self._visits[at] = self._visits.get(at, 0) + 1
        if visits < self._warm << min(self._changed.get(at, 0), PATIENCE):
            if len(self._visits) > KEPT:
                self._visits.clear()
                self._changed.clear()
            return None
        self._made += 1
        if self._made > KEPT:
            self._forget()
            return None
        block = blocks[at] = self._make(at)
        return block

    def _quiet(self) -> bool:
        """Whether no interrupt comes and nothing halts; blocks do not change that."""
        run = WholeRun(code(self._isa), self._state, Policy(arbitrary=self._arbitrary))
        if any(cond(run, {}) for _, cond, _ in run.code.interrupts):
            return False
        return not any(self._state.elements[name] for name in run.code.processor)

    def _context(self) -> tuple[object, ...]:
        """All that decides on translations."""
        assert self._plan is not None
        state, plan = self._state, self._plan
        names = (*plan.key, *sorted(plan.roots))
        return tuple(state.elements[name] if name in state.elements else tuple(state.files[name]) for name in names)

    def _forget(self) -> None:
        self._blocks.clear()
        self._made = 0
        self._marks[:] = bytes(len(self._marks))

    def _wrote(self, memory: str, address: int, units: int) -> None:
        if memory != self._bank.memory:
            return
        for first, last in self._storages[memory].within(address, units, self._bank.base, self._bank.size):
            if any(self._marks[first - self._bank.base >> LINE : (last - self._bank.base >> LINE) + 1]):
                for at in {at for blocks in self._blocks.values() for at in blocks}:
                    self._visits[at], self._changed[at] = 0, self._changed.get(at, 0) + 1
                self._forget()
                self._calm = False

    def _step(self) -> Exit | None:
        """One step on the reference; what it writes to marked memory makes the blocks forgotten."""
        ended = super()._step()
        assert self._last is not None
        for memory, address, units in written(self._isa, self._last):
            self._wrote(memory, address, units)
        return ended

    # -- making --------------------------------------------------------------------------------------------------------

    def _translate(
        self, name: str, address: int, bits: int, kind: ir.AccessKind, args: tuple[object, ...], i: int
    ) -> int:
        """The address below a map, for a block; whatever is unusual sends it back."""
        run = WholeRun(code(self._isa), self._state, Policy(arbitrary=self._arbitrary))
        space = self._isa.spaces[name]
        assert isinstance(space, ir.Map)
        try:
            below = run.translate(space, address, bits, kind, args)  # type: ignore[arg-type]
        except Leave:
            run.undo()
            raise Back(i) from None
        if run.journal:
            run.undo()
            raise Back(i)
        return below

    def _fetch(self, pc: int) -> tuple[ir.Instruction, Mapping[str, int], int] | None:
        """The instruction at an address, with marks on the memory that it and its tables lie in; None if it cannot be
        fetched, is undefined, or lies elsewhere than in the bank."""
        fetch = self._isa.fetch
        run = WholeRun(code(self._isa), self._state, Policy(arbitrary=self._arbitrary))
        per = fetch.parcel // self._isa.unit
        wrap = (1 << self._isa.spaces[fetch.space].address_width) - 1
        args = tuple(None if a is None else a(run, {}) for a in run.code.fetch_args)

        def parcel(i: int) -> int:
            if fetch.limit is not None and i >= fetch.limit:
                raise Back(0)
            return run.load(fetch.space, pc + i * per & wrap, fetch.parcel, "fetch", args, False)

        try:
            decoded = decoder(self._isa).decode(parcel, self._state)
        except (Leave, Absent, Back):
            decoded = None
        if run.journal:
            run.undo()
            return None
        if decoded is None:
            return None
        for touch in run.accesses:
            memory, cell = touch.cell
            units = touch.bits // self._isa.spaces[memory].unit
            offset = cell - self._bank.base
            if memory != self._bank.memory or not 0 <= offset <= self._bank.size - units:
                return None
            for line in range(max(offset - OVERHANG, 0) >> LINE, (offset + units - 1 >> LINE) + 1):
                self._marks[line] = 1
        return decoded.instruction, decoded.operands, decoded.length

    def _make(self, start: int) -> Block | None:
        """The block at an address; None if its first instruction is the reference's."""
        assert self._plan is not None
        source, pc, count = Source(self._plan), start, 0
        wrap = (1 << self._plan.pc_width) - 1
        while count < self._most:
            found = self._fetch(pc)
            if found is None:
                break
            instruction, operands, length = found
            lines, next_ = len(source.out.lines), pc + length & wrap
            try:
                goes_on = source.instruction(pc, instruction.body, operands, count, next_)
            except Unsupported:
                del source.out.lines[lines:]
                source.out.depth = 1
                break
            count += 1
            source.out.put(f"E[{self._plan.pc!r}] = {next_}") if goes_on else None
            pc = next_
            if not goes_on:
                break
        if count == 0:
            return None
        source.out.put(f"return {count}")
        text = "def block():\n" + "\n".join(source.out.lines) + "\n"
        bank = self._storages[self._bank.memory].bank(self._bank.base)
        assert bank is not None
        names: dict[str, object] = {
            "E": self._state.elements,
            "F": self._state.files,
            "T": {table.name: table.values for table in self._isa.tables.values()},
            "ram": bank.cells,
            "marks": self._marks,
            "go": self._translate,
            "Back": Back,
            "known": known,
        }
        exec(compile(text, f"<block {start:#x}>", "exec"), names)
        block = names["block"]
        assert callable(block)
        return block, count
