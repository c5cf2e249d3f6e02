"""One step of a machine while it runs: the journal that undoes it, its accesses, and why control leaves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from analyzer import ir
from analyzer.source import Span
from emulator.evaluate import Environment, Locals
from emulator.reference.events import Policy, Touch
from emulator.state import Cells, State, join, split

if TYPE_CHECKING:
    from emulator.reference.code import Code

DEPTH = 24
"""How deep procedures, maps and buses may call each other."""

Flow = tuple[int | None] | None
Step = Callable[["Run", Locals], Flow]
Block = tuple[Step, ...]

# -- why control leaves ------------------------------------------------------------------------------------------------


class Leave(Exception):
    """Control leaves the instruction."""


class LeaveDone(Leave):
    pass


class LeaveTrap(Leave):
    def __init__(self, trap: str, args: tuple[int, ...], span: Span | None) -> None:
        super().__init__(trap)
        self.trap = trap
        self.values = args
        self.span = span
        self.memory = False


class LeaveUnpredictable(Leave):
    def __init__(self, span: Span | None) -> None:
        super().__init__()
        self.span = span


class LeaveUndefined(Leave):
    pass


class LeaveStuck(Leave):
    pass


# -- one run -----------------------------------------------------------------------------------------------------------


class Run(Environment):
    """One step of a machine: the state it works on, the journal that undoes it, what it has done so far, and where the
    instruction stands."""

    __slots__ = ("accesses", "budget", "code", "depth", "executes", "here", "journal", "state")

    def __init__(self, code: Code, state: State, policy: Policy) -> None:
        super().__init__(state.elements, state.files, state.choices, {}, policy.unknown, policy.arbitrary)
        self.code = code
        self.state = state
        self.budget = policy.budget
        self.depth = 0
        self.executes = 0
        self.here = state.pc()
        self.accesses: list[Touch] = []
        self.journal: list[
            tuple[dict[str, int], str, int] | tuple[list[int], int, int] | tuple[Cells, int, int | None]
        ] = []

    def spend(self) -> None:
        """Counts one unit of work."""
        self.budget -= 1
        if self.budget < 0:
            raise LeaveStuck("the step takes more work than its budget")

    def undo(self, to: int = 0) -> None:
        """Takes back the journalled writes, the last ones first, down to journal position `to`."""
        while len(self.journal) > to:
            target, key, old = self.journal.pop()
            target[key] = old  # type: ignore[index, assignment]  # each target is stored with a key and value of its own

    def set_element(self, name: str, value: int) -> None:
        self.journal.append((self.elements, name, self.elements[name]))
        self.elements[name] = int(value)

    def set_entry(self, file: ir.File, index: int, value: int) -> None:
        if index < file.size and index not in file.zeros:
            entries = self.files[file.name]
            self.journal.append((entries, index, entries[index]))
            entries[index] = value

    def call(self, body: Block, locals_: Locals) -> int | None:
        """Runs a procedure's body; what it returns."""
        self.spend()
        if self.depth >= DEPTH:
            raise LeaveStuck(f"procedures nest deeper than {DEPTH}")
        self.depth += 1
        try:
            for step in body:
                flow = step(self, locals_)
                if flow is not None:
                    return flow[0]
            return None
        finally:
            self.depth -= 1

    # -- spaces --------------------------------------------------------------------------------------------------------

    def load(self, name: str, address: int, bits: int, kind: ir.AccessKind, args: Args, table: bool) -> int:
        """Reads `bits` bits from a space."""
        space, cell, rest = self._locate(name, address, bits, kind, args)
        if isinstance(space, ir.Memory):
            value = self.get(space, cell, bits)
        else:
            units = (self._read(space, cell + i, rest, bits) for i in range(bits // space.unit))
            value = join(units, space.unit, self.code.isa.endian)
        self.accesses.append(Touch(name, address, bits, kind, value, (space.name, cell), table))
        return value

    def store(self, name: str, address: int, bits: int, value: int, args: Args, table: bool) -> None:
        """Writes `bits` bits to a space; a bus without a `write` ignores it."""
        space, cell, rest = self._locate(name, address, bits, "write", args)
        if isinstance(space, ir.Memory):
            self.put(space, cell, bits, value)
        else:
            wrap = (1 << space.address_width) - 1
            for i, unit in enumerate(split(value, bits, space.unit, self.code.isa.endian)):
                self._write(space, cell + i & wrap, rest, bits, unit)
        self.accesses.append(Touch(name, address, bits, "write", value, (space.name, cell), table))

    def get(self, space: ir.Memory, cell: int, bits: int) -> int:
        """Reads physical memory."""
        memory = self.state.memories[space.name]
        return memory[cell] if bits == space.unit else self.state.load(space.name, cell, bits)

    def put(self, space: ir.Memory, cell: int, bits: int, value: int) -> None:
        """Writes physical memory, and journals what was there."""
        memory = self.state.memories[space.name]
        wrap = (1 << space.address_width) - 1
        for i, unit in enumerate(split(value, bits, space.unit, self.code.isa.endian)):
            at = cell + i & wrap
            self.journal.append((memory, at, memory.written(at)))
            memory[at] = unit

    def translate(self, space: ir.Map, address: int, bits: int, kind: ir.AccessKind, args: Args) -> int:
        """The address in the space below.  A trap on the way is a memory trap."""
        self.spend()
        v: Locals = {space.address: address, "access": ir.ACCESS_CODE[kind], "bits": bits & 0xFFFF}
        self._give(v, space.name, args)
        try:
            return self.call(self.code.map(space), v) or 0
        except LeaveTrap as trap:
            trap.memory = True
            raise

    def probe(self, name: str, address: int, access: ir.Access, args: Args) -> tuple[int, LeaveTrap | None]:
        """Asks a map for the address below, and for the trap that an access would raise in it.  Nothing that the map
        writes stays, and the trap is the instruction's own: a query is no access."""
        space = self.code.isa.spaces[name]
        written, made = len(self.journal), len(self.accesses)
        try:
            if isinstance(space, ir.Map):
                return self.translate(space, address, access.bits, access.kind, args), None
            if isinstance(space, ir.Memory):
                self._within(space, address, access.bits // space.unit)
            return address, None
        except LeaveTrap as trap:
            trap.memory = False
            return 0, trap
        finally:
            self.undo(written)
            del self.accesses[made:]

    def _locate(
        self, name: str, address: int, bits: int, kind: ir.AccessKind, args: Args
    ) -> tuple[ir.Memory | ir.Bus, int, Args]:
        """Goes through maps to the memory or bus that answers; checks that the memory is that large."""
        space = self.code.isa.spaces[name]
        while isinstance(space, ir.Map):
            address = self.translate(space, address, bits, kind, args)
            space, args = self.code.isa.spaces[space.below], ()
        self.spend()
        if bits % space.unit:
            raise LeaveStuck(f"{bits} bits are not a whole number of the units of {space.name}")
        if isinstance(space, ir.Memory):
            self._within(space, address, bits // space.unit)
        return space, address, args

    def _within(self, space: ir.Memory, address: int, units: int) -> None:
        """Raises `beyond` if one of the units is at or past the size.  Addresses wrap."""
        size = self.code.sizes.get(space.name)
        if size is None or space.beyond is None:
            return
        greatest = (1 << space.address_width) - 1
        if min(address + units - 1, greatest) >= size(self, {}):
            values = tuple(a(self, {}) for a in self.code.beyonds[space.name])
            raise LeaveTrap(space.beyond.trap, values, space.beyond.span)

    def _read(self, bus: ir.Bus, address: int, args: Args, bits: int) -> int:
        """One unit of a bus."""
        (at, _), *_ = bus.read.params
        v: Locals = {at: address & (1 << bus.address_width) - 1, "access": ir.ACCESS_CODE["read"], "bits": bits}
        self._give(v, bus.name, args)
        return self.call(self.code.procedure(bus.read), v) or 0

    def _write(self, bus: ir.Bus, address: int, args: Args, bits: int, unit: int) -> None:
        """Writes one unit of a bus."""
        if bus.write is not None:
            (at, _), *_, (value, _) = bus.write.params
            v: Locals = {at: address, value: unit, "access": ir.ACCESS_CODE["write"], "bits": bits}
            self._give(v, bus.name, args)
            self.call(self.code.procedure(bus.write), v)

    def _give(self, v: Locals, space: str, args: Args) -> None:
        """Sets the further parameters of a map or bus: what is given, or its default in the present state."""
        for i, (name, default) in enumerate(self.code.params[space]):
            given = args[i] if i < len(args) else None
            if given is not None:
                v[name] = given
            else:
                v[name] = 0 if default is None else default(self, v)


Args = tuple[int | None, ...]
"""The arguments of an access; None where the spec gives none and the default holds."""


def bind(params: tuple[tuple[str, int], ...], values: tuple[int, ...]) -> Locals:
    """Parameters with their values."""
    return {name: value for (name, _), value in zip(params, values, strict=True)}
