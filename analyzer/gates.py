"""Gates: does an instruction that raises privilege arrive where the more privileged software has said?

A gate is an entry of a table that the guest may choose by its number and not write.  So the program counter at which
the instruction arrives may depend on guest state by what it selects, not by what it holds: with other guest values in
all places but conditions and indices, it is the same.
"""

from __future__ import annotations

from typing import Any

from analyzer.symbolic.pair import Pair
from analyzer.symbolic.smt import Bits, Bool, Smt
from analyzer.symbolic.term import Term, nodes


def gated(pair: Pair, move: Bool) -> bool:
    """Proved: wherever the instruction makes this move, guest values do not make up the program counter after."""
    pc = pair.setting.isa.fetch.pc
    at = pair.v.run.after.get(pc, pair.v.ex.initial(pc))
    other = Elsewhere(pair).value(at)
    width = pair.setting.isa.elements[pc].width
    return pair.smt.check(move, pair.smt.not_(pair.smt.eq(at, other, width))).status == "unsat"


class Elsewhere:
    """Terms with fresh values for all that the guest holds, but where it decides or selects."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.smt: Smt = pair.smt
        self._done: dict[Term, Any] = {}

    def value(self, t: Bits) -> Any:
        """The term with other guest values."""
        if not isinstance(t, Term):
            return t
        if t not in self._done:
            self._done[t] = self._other(t)
        return self._done[t]

    def _other(self, t: Term) -> Any:
        match t.op:
            case "symbol":
                return self._fresh(t) if self._is_guest(t.name) else t
            case "select":
                return self._fresh(t) if any(self._is_guest(a.name) for a in nodes(t.args[0]) if a.op == "array") else t
            case "apply":
                return self._fresh(t)
            case "ite":
                return self.smt.ite(t.args[0], self.value(t.args[1]), self.value(t.args[2]), t.width)
            case "eq" | "ule" | "sle" | "not" | "and" | "or" | "xor" | "same" | "forall":
                return t
        return self.smt.rebuilt(t, [self.value(a) for a in t.args])

    def _fresh(self, t: Term) -> Bits:
        return self.smt.symbol(f"elsewhere {t.uid}", t.width)

    def _is_guest(self, name: str) -> bool:
        """Operands are the guest's, and what has no side is shared guest state."""
        return name.startswith(("operand ", "window ")) or "@" not in name
