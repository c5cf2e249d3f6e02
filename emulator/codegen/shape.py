"""What the text of a spec says about code that is to be generated: what may leave, what jumps, how maps are reached."""

from __future__ import annotations

from functools import cached_property

from analyzer import ir

INLINE = 160
"""A map whose body has no more nodes than this, and reads no memory, is evaluated at each access."""


class Shape:
    """Facts about the blocks of one Isa, each found once."""

    def __init__(self, isa: ir.Isa) -> None:
        self.isa = isa
        self._leaves: dict[int, tuple[ir.Stmt, bool]] = {}
        self._jumps: dict[int, tuple[ir.Stmt, bool]] = {}
        self._inlined: dict[str, bool] = {}
        self._sized: dict[str, bool] = {}

    # -- leaving -------------------------------------------------------------------------------------------------------

    def leaves(self, stmt: ir.Stmt) -> bool:
        """Whether a statement may leave the instruction so that what it wrote is undone."""
        found = self._leaves.get(id(stmt))
        if found is None:
            found = self._leaves[id(stmt)] = (stmt, self._find_leaves(stmt))
        return found[1]

    def _find_leaves(self, stmt: ir.Stmt) -> bool:
        match stmt:
            case ir.Load() | ir.Store() | ir.Probe() | ir.Trap() | ir.Unpredictable() | ir.Execute():
                return True
            case ir.When():
                return any(self.leaves(s) for s in (*stmt.then, *stmt.other))
            case ir.Loop():
                return any(self.leaves(s) for s in (*stmt.body, *stmt.exhausted))
            case ir.Call():
                return any(self.leaves(s) for s in self.isa.procedures[stmt.procedure].body)
            case _:
                return False

    def leaves_before_commit(self, rest: ir.Block, after: bool) -> bool:
        """Whether control may leave in `rest` (and, if `after`, behind it) before a commit."""
        for stmt in rest:
            if isinstance(stmt, ir.Commit):
                return False
            if self.leaves(stmt):
                return True
        return after

    # -- jumping -------------------------------------------------------------------------------------------------------

    def jumps(self, stmt: ir.Stmt) -> bool:
        """Whether a statement may set the program counter."""
        found = self._jumps.get(id(stmt))
        if found is None:
            found = self._jumps[id(stmt)] = (stmt, self._find_jumps(stmt))
        return found[1]

    def jumps_block(self, block: ir.Block) -> bool:
        return any(self.jumps(stmt) for stmt in block)

    def _find_jumps(self, stmt: ir.Stmt) -> bool:
        match stmt:
            case ir.Set():
                return stmt.element == self.isa.fetch.pc
            case ir.When():
                return self.jumps_block(stmt.then) or self.jumps_block(stmt.other)
            case ir.Loop():
                return self.jumps_block(stmt.body) or self.jumps_block(stmt.exhausted)
            case ir.Call():
                return self.jumps_block(self.isa.procedures[stmt.procedure].body)
            case _:
                return False

    # -- maps ----------------------------------------------------------------------------------------------------------

    def inlined(self, space: ir.Map) -> bool:
        """Whether a map is evaluated at each access; the others go through translation caches."""
        if space.name not in self._inlined:
            nodes = self.nodes(space.body, 0)
            self._inlined[space.name] = nodes is not None and nodes <= INLINE
        return self._inlined[space.name]

    def nodes(self, block: ir.Block, depth: int) -> int | None:
        """The size of a block with the procedures that it calls; None if it touches memory or loops."""
        total = 0
        for stmt in ir.statements(block):
            match stmt:
                case ir.Load() | ir.Store() | ir.Probe() | ir.Loop() | ir.Execute():
                    return None
                case ir.Call():
                    inner = self.nodes(self.isa.procedures[stmt.procedure].body, depth + 1)
                    if inner is None or depth > 8:
                        return None
                    total += inner
                case _:
                    total += 1 + sum(1 for e in ir.expressions(stmt) for _ in ir.subterms(e))
        return total

    def sized(self, space: ir.Map) -> bool:
        """Whether what a map does depends on the width of the access."""
        if space.name not in self._sized:
            self._sized[space.name] = self._find_sized(space)
        return self._sized[space.name]

    def _find_sized(self, space: ir.Map) -> bool:
        return any(
            isinstance(term, ir.Local) and term.name == "bits"
            for stmt in ir.statements(space.body)
            for e in ir.expressions(stmt)
            for term in ir.subterms(e)
        ) or (isinstance(below := self.isa.spaces[space.below], ir.Map) and self.sized(below))

    @cached_property
    def cached(self) -> tuple[ir.Map, ...]:
        """The maps that go through translation caches, each with those that lie above others."""
        return tuple(s for s in self.isa.spaces.values() if isinstance(s, ir.Map) and not self.inlined(s))

    def passes_on(self, bus: ir.Bus) -> str | None:
        """The space that a bus passes all accesses on to, unit by unit, unchanged."""
        read = bus.read.body
        if len(read) != 2 or bus.params or bus.write is None or len(bus.write.body) != 1:
            return None
        load, back = read
        store = bus.write.body[0]
        if not (isinstance(load, ir.Load) and isinstance(back, ir.Return) and isinstance(store, ir.Store)):
            return None
        (at, width), *_ = bus.read.params
        (to, _), (value, unit) = bus.write.params
        plain = (
            load.access.address == ir.Local(at, width)
            and back.value == ir.Local(load.local, bus.unit)
            and load.access.space == store.access.space
            and store.access.address == ir.Local(to, width)
            and store.value == ir.Local(value, unit)
            and not any((*load.access.given, *store.access.given))
        )
        space = self.isa.spaces[load.access.space]
        return load.access.space if plain and isinstance(space, ir.Map) and space.unit == bus.unit else None
