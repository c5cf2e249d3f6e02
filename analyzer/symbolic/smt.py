"""The solver, and terms that fold: z3 seen from popek.

A `Bits` is a Python integer when it is constant and a z3 term when it is not; a `Bool` likewise.  Every builder folds
constants, so concrete parts of a computation never reach the solver.  All terms of one `Smt` live in one z3 context,
and every check has a resource limit (z3's `rlimit`, which counts work, not seconds), so answers do not depend on the
speed of the machine or on what ran before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import z3

Bits = Any  # int | z3.BitVecRef
Bool = Any  # bool | z3.BoolRef
Array = Any  # z3.ArrayRef

DEFAULT_RLIMIT = 3_000_000
"""Work allowed for one check, in z3's units (about a second for every few millions)."""


QUICK_RLIMIT = 200_000
"""Work allowed for a question that can also be asked in parts."""

MODELS = 8
"""Models of earlier questions that are tried on a new one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the solver said.  `model` is set for `sat`; `reason` for `unknown`."""

    status: Literal["sat", "unsat", "unknown"]
    model: Any = None
    reason: str | None = None


def is_same(a: Any, b: Any) -> bool:
    """Is it one term?  (All terms of a context are shared, so this is the same handle.)"""
    return bool(a.ast.value == b.ast.value)


def mask(width: int) -> int:
    """All ones."""
    return (1 << width) - 1


def signed(value: int, width: int) -> int:
    """The value as a two's complement number."""
    return value - (1 << width) if value >> (width - 1) else value


_BITS_OPS: dict[str, Any] = {
    "add": z3.Z3_mk_bvadd,
    "sub": z3.Z3_mk_bvsub,
    "mul": z3.Z3_mk_bvmul,
    "udiv": z3.Z3_mk_bvudiv,
    "urem": z3.Z3_mk_bvurem,
    "sdiv": z3.Z3_mk_bvsdiv,
    "srem": z3.Z3_mk_bvsrem,
    "and": z3.Z3_mk_bvand,
    "or": z3.Z3_mk_bvor,
    "xor": z3.Z3_mk_bvxor,
    "shl": z3.Z3_mk_bvshl,
    "lshr": z3.Z3_mk_bvlshr,
    "ashr": z3.Z3_mk_bvashr,
}

_COMPARE_OPS: dict[str, Any] = {
    "ult": z3.Z3_mk_bvult,
    "ule": z3.Z3_mk_bvule,
    "slt": z3.Z3_mk_bvslt,
    "sle": z3.Z3_mk_bvsle,
}


def fold(op: str, a: int, b: int, width: int) -> int:
    """A bit-vector operator on constants, with SMT-LIB's meaning of division by zero and of long shifts."""
    m = mask(width)
    match op:
        case "add":
            return (a + b) & m
        case "sub":
            return (a - b) & m
        case "mul":
            return (a * b) & m
        case "udiv":
            return a // b if b else m
        case "urem":
            return a % b if b else a
        case "sdiv":
            x, y = signed(a, width), signed(b, width)
            if not y:
                return 1 if x < 0 else m
            return (abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)) & m
        case "srem":
            x, y = signed(a, width), signed(b, width)
            return (abs(x) % abs(y) * (-1 if x < 0 else 1)) & m if y else a
        case "and":
            return a & b
        case "or":
            return a | b
        case "xor":
            return a ^ b
        case "shl":
            return (a << b) & m if b < width else 0
        case "lshr":
            return a >> b if b < width else 0
        case "ashr":
            return (signed(a, width) >> min(b, width)) & m
    raise ValueError(op)


class Smt:
    """A z3 context with term builders and bounded checks."""

    def __init__(self, rlimit: int = DEFAULT_RLIMIT) -> None:
        self.ctx = z3.Context()
        self.ref = self.ctx.ref()
        self.rlimit = rlimit
        self.checks = 0
        self._sorts: dict[int, Any] = {}
        self._symbols: dict[str, Any] = {}
        self._models: list[Any] = []

    # -- leaves --------------------------------------------------------------------------------------------------------

    def sort(self, width: int) -> Any:
        """The sort of bit vectors of this width."""
        if width not in self._sorts:
            self._sorts[width] = z3.BitVecSort(width, self.ctx)
        return self._sorts[width]

    def symbol(self, name: str, width: int) -> Bits:
        """The bit-vector constant of this name; one term a name."""
        if name not in self._symbols:
            self._symbols[name] = z3.BitVec(name, self.sort(width), self.ctx)
        return self._symbols[name]

    def array(self, name: str, index_width: int, width: int) -> Array:
        """The array constant of this name."""
        if name not in self._symbols:
            self._symbols[name] = z3.Array(name, self.sort(index_width), self.sort(width))
        return self._symbols[name]

    def function(self, name: str, widths: Iterable[int], result: int) -> Any:
        """An uninterpreted function; result width 0 is boolean."""
        if name not in self._symbols:
            out = z3.BoolSort(self.ctx) if result == 0 else self.sort(result)
            self._symbols[name] = z3.Function(name, *(self.sort(w) for w in widths), out)
        return self._symbols[name]

    def bits(self, value: Bits, width: int) -> Any:
        """`value` as a z3 term."""
        return z3.BitVecVal(value, self.sort(width), self.ctx) if isinstance(value, int) else value

    def formula(self, value: Bool) -> Any:
        """`value` as a z3 term."""
        return z3.BoolVal(value, self.ctx) if isinstance(value, bool) else value

    # -- booleans ------------------------------------------------------------------------------------------------------

    def and_(self, *args: Bool) -> Bool:
        terms: list[Any] = []
        for a in args:
            if a is False:
                return False
            if a is not True and not any(a is t for t in terms):
                terms.append(a)
        if not terms:
            return True
        return terms[0] if len(terms) == 1 else self._joined(z3.Z3_mk_and, terms)

    def or_(self, *args: Bool) -> Bool:
        terms: list[Any] = []
        for a in args:
            if a is True:
                return True
            if a is not False and not any(a is t for t in terms):
                terms.append(a)
        if not terms:
            return False
        return terms[0] if len(terms) == 1 else self._joined(z3.Z3_mk_or, terms)

    def _joined(self, make: Any, terms: list[Any]) -> Any:
        handles = (z3.Ast * len(terms))(*(t.ast for t in terms))
        return z3.BoolRef(make(self.ref, len(terms), handles), self.ctx)

    def not_(self, a: Bool) -> Bool:
        if isinstance(a, bool):
            return not a
        if a.decl().kind() == z3.Z3_OP_NOT:
            return a.arg(0)
        return z3.BoolRef(z3.Z3_mk_not(self.ref, a.ast), self.ctx)

    def xor(self, a: Bool, b: Bool) -> Bool:
        if isinstance(a, bool):
            return self.not_(b) if a else b
        if isinstance(b, bool):
            return self.not_(a) if b else a
        return z3.Xor(a, b)

    def implies(self, a: Bool, b: Bool) -> Bool:
        return self.or_(self.not_(a), b)

    # -- bit vectors ---------------------------------------------------------------------------------------------------

    def op(self, op: str, a: Bits, b: Bits, width: int) -> Bits:
        """`a op b`, both of `width`."""
        if isinstance(a, int) and isinstance(b, int):
            return fold(op, a, b, width)
        if isinstance(b, int) and b == 0 and op in ("add", "sub", "or", "xor", "shl", "lshr", "ashr"):
            return a
        if isinstance(a, int) and a == 0 and op in ("add", "or", "xor"):
            return b
        if op == "and":
            for x, y in ((a, b), (b, a)):
                if isinstance(x, int) and x == 0:
                    return 0
                if isinstance(x, int) and x == mask(width):
                    return y
        ta, tb = self.bits(a, width), self.bits(b, width)
        return z3.BitVecRef(_BITS_OPS[op](self.ref, ta.ast, tb.ast), self.ctx)

    def compare(self, op: str, a: Bits, b: Bits, width: int) -> Bool:
        """`ult ule slt sle`, both of `width`."""
        if isinstance(a, int) and isinstance(b, int):
            x, y = (a, b) if op[0] == "u" else (signed(a, width), signed(b, width))
            return x < y if op.endswith("t") else x <= y
        ta, tb = self.bits(a, width), self.bits(b, width)
        return z3.BoolRef(_COMPARE_OPS[op](self.ref, ta.ast, tb.ast), self.ctx)

    def eq(self, a: Bits, b: Bits, width: int) -> Bool:
        """Equality of bit vectors of `width`."""
        if a is b:
            return True
        if isinstance(a, int) and isinstance(b, int):
            return a == b
        ta, tb = self.bits(a, width), self.bits(b, width)
        if is_same(ta, tb):
            return True
        return z3.BoolRef(z3.Z3_mk_eq(self.ref, ta.ast, tb.ast), self.ctx)

    def same(self, a: Array, b: Array) -> Bool:
        """Equality of arrays.  Stores of both at the same, distinct places are compared value by value."""
        if a is b or a.eq(b):
            return True
        kind = a.decl().kind()
        if kind == b.decl().kind() == z3.Z3_OP_ITE and a.arg(0).eq(b.arg(0)):
            return self.ite(a.arg(0), self.same(a.arg(1), b.arg(1)), self.same(a.arg(2), b.arg(2)), 0)
        one, two = _stores(a), _stores(b)
        same_places = len(one[1]) == len(two[1]) and all(i.eq(j) for (i, _), (j, _) in zip(one[1], two[1], strict=True))
        if same_places and one[0].eq(two[0]) and _distinct([i for i, _ in one[1]]):
            return self.and_(*(self.eq(v, w, v.size()) for (_, v), (_, w) in zip(one[1], two[1], strict=True)))
        return a == b

    def neg(self, a: Bits, width: int) -> Bits:
        return (-a) & mask(width) if isinstance(a, int) else -a

    def invert(self, a: Bits, width: int) -> Bits:
        return a ^ mask(width) if isinstance(a, int) else ~a

    def extract(self, a: Bits, hi: int, lo: int, width: int) -> Bits:
        """Bits hi..lo of `a`, which has `width`."""
        if isinstance(a, int):
            return (a >> lo) & mask(hi - lo + 1)
        if lo == 0 and hi == width - 1:
            return a
        return z3.BitVecRef(z3.Z3_mk_extract(self.ref, hi, lo, a.ast), self.ctx)

    def concat(self, a: Bits, wa: int, b: Bits, wb: int) -> Bits:
        """`a` above `b`."""
        if isinstance(a, int) and isinstance(b, int):
            return a << wb | b
        ta, tb = self.bits(a, wa), self.bits(b, wb)
        return z3.BitVecRef(z3.Z3_mk_concat(self.ref, ta.ast, tb.ast), self.ctx)

    def extend(self, a: Bits, width: int, to: int, sign: bool) -> Bits:
        if to == width:
            return a
        if isinstance(a, int):
            return signed(a, width) & mask(to) if sign else a
        make = z3.Z3_mk_sign_ext if sign else z3.Z3_mk_zero_ext
        return z3.BitVecRef(make(self.ref, to - width, a.ast), self.ctx)

    def to_bits(self, a: Bool) -> Bits:
        """A boolean as 1 bit."""
        if isinstance(a, bool):
            return int(a)
        return self._if(a, self.bits(1, 1), self.bits(0, 1), z3.BitVecRef)

    def to_bool(self, a: Bits) -> Bool:
        """1 bit as a boolean."""
        return bool(a) if isinstance(a, int) else self.eq(a, 1, 1)

    def ite(self, cond: Bool, a: Any, b: Any, width: int) -> Any:
        """`a` if `cond` else `b`; width 0 for booleans."""
        if isinstance(cond, bool):
            return a if cond else b
        if a is b:
            return a
        if width == 0:
            if isinstance(a, bool) and isinstance(b, bool):
                return a if a == b else (cond if a else self.not_(cond))
            if a is True:
                return self.or_(cond, b)
            if a is False:
                return self.and_(self.not_(cond), b)
            if b is True:
                return self.or_(self.not_(cond), a)
            if b is False or (not isinstance(b, bool) and is_same(b, cond)):
                return self.and_(cond, a)
            if not isinstance(a, bool) and is_same(a, cond):
                return self.or_(cond, b)
            return a if is_same(a, b) else self._if(cond, a, b, z3.BoolRef)
        if isinstance(a, int) and isinstance(b, int) and a == b:
            return a
        ta, tb = self.bits(a, width), self.bits(b, width)
        return ta if is_same(ta, tb) else self._if(cond, ta, tb, z3.BitVecRef)

    def _if(self, cond: Any, a: Any, b: Any, kind: Any) -> Any:
        return kind(z3.Z3_mk_ite(self.ref, cond.ast, a.ast, b.ast), self.ctx)

    def ite_array(self, cond: Bool, a: Array, b: Array) -> Array:
        if isinstance(cond, bool):
            return a if cond else b
        return a if a is b or is_same(a, b) else self._if(cond, a, b, z3.ArrayRef)

    def select(self, array: Array, index: Bits, index_width: int) -> Bits:
        """The entry of an array; one that was stored at a constant is read back."""
        if isinstance(index, int):
            known = _stored_at(array, index)
            if known is not None:
                return int(known.as_long()) if z3.is_bv_value(known) else known
        at = self.bits(index, index_width)
        return z3.BitVecRef(z3.Z3_mk_select(self.ref, array.ast, at.ast), self.ctx)

    def store(self, array: Array, index: Bits, value: Bits, index_width: int, width: int) -> Array:
        at, put = self.bits(index, index_width), self.bits(value, width)
        return z3.ArrayRef(z3.Z3_mk_store(self.ref, array.ast, at.ast, put.ast), self.ctx)

    def substituted(self, formula: Bool, pairs: list[tuple[Any, Any]]) -> Bool:
        """The formula with terms replaced."""
        return formula if isinstance(formula, bool) else z3.substitute(formula, *pairs)

    def forall(self, bound: list[Any], body: Bool) -> Bool:
        """The universal closure over these constants."""
        return body if isinstance(body, bool) or not bound else z3.ForAll(bound, body)

    def select_at(self, array: Array, index: Bits) -> Bits:
        """Like `select`, the index's width being the array's."""
        return self.select(array, index, array.domain().size())

    def store_at(self, array: Array, index: Bits, value: Bits, width: int) -> Array:
        """Like `store`, the index's width being the array's."""
        return self.store(array, index, value, array.domain().size(), width)

    # -- checking ------------------------------------------------------------------------------------------------------

    def solver(self, *constraints: Bool) -> Any:
        """A plain solver that holds the constraints, with this context's resource limit."""
        solver = z3.SimpleSolver(ctx=self.ctx)
        solver.set("rlimit", self.rlimit)
        for c in constraints:
            if c is not True:
                solver.add(self.formula(c))
        return solver

    def check(self, *constraints: Bool, rlimit: int | None = None) -> Answer:
        """Is the conjunction satisfiable?  A model of an earlier question often answers this one."""
        if any(c is False for c in constraints):
            return Answer("unsat")
        wanted = [self.formula(c) for c in constraints if c is not True]
        for model in reversed(self._models):
            if all(z3.is_true(model.eval(c, model_completion=True)) for c in wanted):
                return Answer("sat", model)
        answer = self._search(wanted, rlimit)
        if answer.model is not None:
            self._models.append(answer.model)
            del self._models[:-MODELS]
        return answer

    def _search(self, wanted: list[Any], rlimit: int | None) -> Answer:
        solver = self._strategy.solver()
        solver.set("rlimit", self.rlimit if rlimit is None else min(rlimit, self.rlimit))
        solver.add(*wanted)
        return self.ask(solver)

    @cached_property
    def _strategy(self) -> Any:
        """Simplifies before it searches, which is far stronger than searching alone on equations between table
        entries."""
        names = ("simplify", "propagate-values", "solve-eqs", "elim-uncnstr", "simplify", "smt")
        return z3.Then(*(z3.Tactic(name, ctx=self.ctx) for name in names))

    def ask(self, solver: Any, *assumptions: Any) -> Answer:
        """Checks a solver that may already have been used."""
        self.checks += 1
        result = solver.check(*assumptions)
        if result == z3.sat:
            return Answer("sat", solver.model())
        if result == z3.unsat:
            return Answer("unsat")
        return Answer("unknown", reason=solver.reason_unknown())


def _stored_at(array: Array, index: int) -> Any | None:
    """The value that an array made of stores at constants has at a constant; None if that is not plain to see."""
    while True:
        kind = array.decl().kind()
        if kind == z3.Z3_OP_CONST_ARRAY:
            return array.arg(0)
        if kind != z3.Z3_OP_STORE or not z3.is_bv_value(array.arg(1)):
            return None
        if array.arg(1).as_long() == index:
            return array.arg(2)
        array = array.arg(0)


def _stores(array: Array) -> tuple[Array, list[tuple[Any, Any]]]:
    """An array as a base and the stores on it, the last one first."""
    stores = []
    while array.decl().kind() == z3.Z3_OP_STORE:
        stores.append((array.arg(1), array.arg(2)))
        array = array.arg(0)
    return array, stores


def _distinct(indices: list[Any]) -> bool:
    """Are these indices different whatever their symbols are: one base, different offsets?"""
    if len(indices) < 2:
        return True
    differences = [_difference(i, indices[0]) for i in indices[1:]]
    if not all(z3.is_bv_value(d) for d in differences):
        return False
    return len({0, *(d.as_long() for d in differences)}) == len(indices)


def _difference(a: Any, b: Any) -> Any:
    """`a - b` simplified, below the leading parts that they share."""
    while a.decl().kind() == b.decl().kind() == z3.Z3_OP_CONCAT and a.num_args() == b.num_args() == 2:
        if not a.arg(0).eq(b.arg(0)):
            break
        a, b = a.arg(1), b.arg(1)
    return z3.simplify(a - b) if a.size() == b.size() else a


def z3_version() -> str:
    """The solver's version: verdicts may differ between versions, because `unknown` is a matter of heuristics."""
    return str(z3.get_version_string())
