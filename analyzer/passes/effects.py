"""What a block may touch, read off its text: a sound over-approximation, procedures and maps included.

An instruction whose effects touch guest state only is innocuous by construction, with no solver asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer import ir

NONE: frozenset[str] = frozenset()

Look = tuple[ir.Expr, frozenset[str], bool]
"""An expression, the elements and files that it reads, and whether an UNKNOWN value is in it."""


@dataclass(slots=True)
class Effects:
    """Names of elements, files and spaces; `given` are the maps and positions of
    arguments that the text writes out."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    windows: set[str] = field(default_factory=set)
    physical: set[str] = field(default_factory=set)
    tables: bool = False
    given: set[tuple[str, int]] = field(default_factory=set)
    stores: bool = False
    probes: bool = False
    traps: set[str] = field(default_factory=set)
    unpredictable: bool = False
    executes: bool = False
    unknown: bool = False

    def include(self, other: Effects) -> None:
        """Adds another block's effects."""
        for name in ("reads", "writes", "windows", "physical", "given", "traps"):
            getattr(self, name).update(getattr(other, name))
        for name in ("tables", "stores", "probes", "unpredictable", "executes", "unknown"):
            setattr(self, name, getattr(self, name) or getattr(other, name))


class EffectsOf:
    """Computes effects for one Isa, remembering those of procedures and maps."""

    def __init__(self, isa: ir.Isa) -> None:
        self.isa = isa
        self._procedures: dict[str, Effects] = {}
        self._maps: dict[str, Effects] = {}
        self._blocks: dict[int, tuple[ir.Block, Effects]] = {}  # by identity; the block is kept alive
        self._looks: dict[int, Look] = {}  # likewise

    def block(self, block: ir.Block) -> Effects:
        """The effects of a block, not to be changed.  A map used as a window counts as `windows`, and what its body
        does is not included: see `map`."""
        if id(block) not in self._blocks:
            self._blocks[id(block)] = block, self._effects(block)
        return self._blocks[id(block)][1]

    def _effects(self, block: ir.Block) -> Effects:
        out = Effects()
        for stmt in ir.statements(block):
            for expr in ir.expressions(stmt):
                self._expr(expr, out)
            match stmt:
                case ir.Let() | ir.When():  # first: most are
                    pass
                case ir.Set():
                    out.writes.add(stmt.element)
                case ir.SetEntry():
                    out.writes.add(stmt.file)
                case ir.Load() | ir.Store() | ir.Probe():
                    self._access(stmt, out)
                case ir.Call():
                    out.include(self.procedure(stmt.procedure))
                case ir.Trap():
                    out.traps.add(stmt.trap)
                case ir.Unpredictable():
                    out.unpredictable = True
                case ir.Execute():
                    out.executes = True
                case _:
                    pass
        return out

    def procedure(self, name: str) -> Effects:
        """The effects of a procedure."""
        if name not in self._procedures:
            self._procedures[name] = self.block(self.isa.procedures[name].body)
        return self._procedures[name]

    def map(self, name: str) -> Effects:
        """What translating through this map touches."""
        if name not in self._maps:
            space = self.isa.spaces[name]
            assert isinstance(space, ir.Map)
            out = self._effects(space.body)
            below = self.isa.spaces.get(space.below)
            if isinstance(below, ir.Map):
                out.include(self.map(below.name))
            elif isinstance(below, ir.Bus):
                out.include(self.block(below.read.body))
                if below.write is not None:
                    out.include(self.block(below.write.body))
            for param in space.params:
                if param.default is not None:
                    self._expr(param.default, out)
            self._maps[name] = out
        return self._maps[name]

    def _expr(self, expr: ir.Expr, out: Effects) -> None:
        """What an expression reads."""
        _, reads, unknown = self._look(expr)
        if reads:
            out.reads |= reads
        out.unknown |= unknown

    def _look(self, expr: ir.Expr) -> Look:
        """What is known of an expression, found once for each node: instructions share most of theirs."""
        known = self._looks.get(id(expr))
        if known is None:
            reads, unknown = NONE, type(expr) is ir.Unknown
            for child in ir.children(expr):
                _, more, also = self._look(child)
                reads = reads | more if reads else more
                unknown |= also
            if type(expr) is ir.Get and expr.element in self.isa.elements:
                reads = frozenset((expr.element,))
            elif type(expr) is ir.GetEntry:
                reads |= {expr.file}
            known = self._looks[id(expr)] = (expr, reads, unknown)
        return known

    def _access(self, stmt: ir.Load | ir.Store | ir.Probe, out: Effects) -> None:
        access = stmt.access
        space = self.isa.spaces[access.space]
        if isinstance(stmt, ir.Store):
            out.stores = True
        if access.table:
            out.tables = True
        if isinstance(stmt, ir.Probe):
            out.probes = True
        elif isinstance(space, ir.Map) and not access.table:
            out.windows.add(access.space)
            out.given.update((access.space, i) for i, given in enumerate(access.given) if given)
        elif isinstance(space, ir.Bus):
            out.include(self.block(space.read.body))
            if isinstance(stmt, ir.Store) and space.write is not None:
                out.include(self.block(space.write.body))
        else:
            out.physical.add(access.space)
