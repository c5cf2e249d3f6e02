"""The virtual machine's own map, asked by the host's code where the shadow has no entry: does it fault?

If it does, there is nothing to fill: the fault is reflected, like a trap of a routine.  If it does not, the slow
monitor fills an entry.  It also decides where the answer is not for this code: where granting the access has a side
effect (SHADOW-QUIET), where a table is not in the RAM of the virtual machine, and where the fault is not taken at the
instruction.

A walk is a part of the delivery of the miss.  What traps in a delivery is delivered in its place, so the trap of a
walk is that of the access.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzer import ir
from emulator.monitor.rebind import CAUSE, CAUSE_BITS, HERE, NoRoutine, Rebinding
from emulator.monitor.table import Form

WALK = "monitor.walk."
"""The procedures that ask a map are named so, and the map."""


class Walk(Rebinding):
    """Re-binds maps to be asked: they read, and write nothing."""

    prefix = WALK

    def asked(self, form: Form, cause: int) -> ir.Block:
        """What is done in the delivery of a miss of the map, of which `cause` is the number; nothing if its arguments
        there are not those that the virtual machine's map would have."""
        try:
            return self._asked(form, cause)
        except NoRoutine:
            return ()

    def _asked(self, form: Form, cause: int) -> ir.Block:
        pc = self.isa.fetch.pc
        access, bits = ir.Local("t.access", 2), ir.Local("t.bits", 16)
        space: ir.Space = form.space
        address: ir.Expr = ir.Local("t.address", form.space.address_width)
        args: list[ir.Expr] = []
        for param in form.space.params:
            if param.default is not None and param not in form.args and self.expr(param.default) != param.default:
                raise NoRoutine(f"{param.name} is not the host's")
            args.append(ir.Local(f"t.{form.space.name}.{param.name}", param.width))
        out: list[ir.Stmt] = [
            ir.Let(CAUSE, ir.Const(CAUSE_BITS, cause)),
            ir.Let(HERE, ir.Get(pc, self.pc_width)),
        ]
        while isinstance(space, ir.Map):
            found = self.local()
            out.append(ir.Call(self._map(space), (address, *args, access, bits, *self.context()), found))
            below = self.isa.spaces[space.below]
            address = ir.Local(found, below.address_width)
            args = [self._default(param, access) for param in below.params] if isinstance(below, ir.Map) else []
            space = below
        return tuple(out)

    def _default(self, param: ir.MapParam, access: ir.Expr) -> ir.Expr:
        if param.default is None:
            raise NoRoutine(f"a map below without its {param.name}")
        return self.expr(param.default, {"access": access})

    def _stmt(self, stmt: ir.Stmt, locals_: Mapping[str, ir.Expr] | None) -> Sequence[ir.Stmt]:
        match stmt:
            case ir.Store() | ir.Set() | ir.SetEntry():
                return [self.slow()]
            case ir.Trap() if self.isa.traps[stmt.trap].resume != "here":
                return [self.slow()]
            case _:
                return super()._stmt(stmt, locals_)
