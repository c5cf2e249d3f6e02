"""Making terms: every constructor folds constants and applies the local rewrites that are always a gain.

Each rewrite is an identity of SMT-LIB's theory of bit vectors and arrays; `tests/symbolic` proves them on random terms.
Normal forms: a constant is the right argument of a commutative operator, `a < b` is `not (b <= a)`, an extension by
zeros is a concatenation, a shift by a constant too, a read of a conditional array is a conditional read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

from analyzer.symbolic.term import Array, Bits, Bool, Function, Term, apart, fold, mask, signed

MAX_FLAT = 24
"""Conjunctions of more parts are not put into the one around them."""

MAX_RUNS = 4
"""Constants of more runs of equal bits are not taken apart."""

_COMMUTATIVE = frozenset({"add", "mul", "bvand", "bvor", "bvxor"})
_BITWISE = {"and": "bvand", "or": "bvor", "xor": "bvxor"}

Piece = tuple[Bits, int]
"""A part of a concatenation with its width."""


def runs(value: int, width: int) -> list[tuple[int, int, int]]:
    """Runs of equal bits of a constant, the highest first: (bit, hi, lo)."""
    out: list[tuple[int, int, int]] = []
    for at in range(width):
        bit = value >> at & 1
        if out and out[-1][0] == bit:
            out[-1] = (bit, at, out[-1][2])
        else:
            out.append((bit, at, at))
    return out[::-1]


def is_conditional(term: Bits) -> bool:
    """A conditional with a constant arm: operators with constants are better applied to its arms."""
    return isinstance(term, Term) and term.op == "ite" and (type(term.args[1]) is int or type(term.args[2]) is int)


def alike(a: Any, b: Any) -> bool:
    """Are they one term, or the same constant?"""
    return a is b or (type(a) is int and type(b) is int and a == b)


class Builder:
    """The terms of one analysis."""

    def __init__(self) -> None:
        self._table: dict[Any, Term] = {}
        self._memo: dict[Any, Any] = {}

    # -- leaves --------------------------------------------------------------------------------------------------------

    def _make(self, op: str, args: tuple[Any, ...], width: int, data: Any = None, index: int = 0) -> Term:
        key = (op, args, width, data, index)
        term = self._table.get(key)
        if term is None:
            term = self._table[key] = Term(op, args, width, index, data, len(self._table))
        return term

    def _commuted(self, op: str, a: Bits, b: Bits, width: int, data: Any = None) -> Term:
        """A commutative operator: one term for both orders, that which was met first."""
        other = self._table.get((op, (b, a), width, data, 0))
        return self._make(op, (a, b), width, data) if other is None else other

    def symbol(self, name: str, width: int) -> Bits:
        """The bit vector of this name; one term a name."""
        return self._make("symbol", (), width, name)

    def array(self, name: str, index_width: int, width: int) -> Array:
        """The array of this name."""
        return self._make("array", (), width, name, index_width)

    def function(self, name: str, widths: Iterable[int], result: int) -> Function:
        """An unknown function; result width 0 is boolean."""
        return Function(name, tuple(widths), result)

    def apply(self, function: Function, args: Iterable[Bits]) -> Any:
        """The function's value."""
        return self._make("apply", tuple(args), function.width, function)

    # -- booleans ------------------------------------------------------------------------------------------------------

    def not_(self, a: Bool) -> Bool:
        if isinstance(a, bool):
            return not a
        if a.op == "not":
            return a.args[0]
        if a.negation is None:
            a.negation = self._make("not", (a,), 0)
        return a.negation

    def and_(self, *args: Bool) -> Bool:
        return self._junction("and", args)

    def or_(self, *args: Bool) -> Bool:
        return self._junction("or", args)

    def _junction(self, op: str, args: Sequence[Bool]) -> Bool:
        """A conjunction or disjunction: flat, without repetitions, absorbed parts and contradictions."""
        zero = op == "or"
        dual = "and" if zero else "or"
        members: dict[Any, None] = {}
        stack = list(reversed(args))
        while stack:
            a = stack.pop()
            if a is zero:
                return zero
            if isinstance(a, bool) or a in members:
                continue
            if a.op == op and len(a.args) <= MAX_FLAT:
                stack.extend(reversed(a.args))
            elif a.op == "not" and a.args[0].op == dual and len(a.args[0].args) <= MAX_FLAT:
                stack.extend(self.not_(x) for x in reversed(a.args[0].args))
            else:
                if (a.args[0] if a.op == "not" else a.negation) in members:
                    return zero
                members[a] = None
        if len(members) > 1:
            reduced = self._absorbed(op, dual, zero, members)
            if reduced is not None:
                return self._junction(op, reduced)
        if not members:
            return not zero
        if len(members) == 1:
            return next(iter(members))
        return self._make(op, tuple(members), 0)

    def _absorbed(self, op: str, dual: str, zero: bool, members: dict[Any, None]) -> list[Bool] | None:
        """The members without what the others decide; None if that is all of them as they are."""
        known: dict[Any, int] = {}  # what the equations among them say, or the negated ones in a disjunction
        denied = dual_there = False
        for a in members:
            atom = a.args[0] if a.op == "not" else a
            if atom.op == "eq" and atom.args[1].__class__ is int:
                if (atom is a) is zero:
                    denied = True
                elif known.setdefault(atom.args[0], atom.args[1]) != atom.args[1]:
                    return [zero]
            elif a.op == dual:
                dual_there = True
        if not dual_there and not (denied and known):
            return None
        out, changed = [], False
        for a in members:
            if a.op == dual:
                kept = self._kept(a.args, zero, known, members)
                if kept is None:
                    changed = True
                elif len(kept) == len(a.args):
                    out.append(a)
                else:
                    out.append(self._junction(dual, kept))
                    changed = True
                continue
            other = self._equation(a, negated=not zero)
            if other is not None and known.get(other[0], other[1]) != other[1]:
                changed = True
                continue
            out.append(a)
        return out if changed else None

    def _kept(
        self, parts: tuple[Any, ...], zero: bool, known: dict[Any, int], members: dict[Any, None]
    ) -> list[Bool] | None:
        """The parts of a member that the other members do not refute; None if one of these is a part of it."""
        kept = []
        for x in parts:
            if x in members:
                return None
            if (x.args[0] if x.op == "not" else x.negation) in members:
                continue
            if known:
                equation = self._equation(x, negated=zero)
                if equation is not None and known.get(equation[0], equation[1]) != equation[1]:
                    continue
            kept.append(x)
        return kept

    @staticmethod
    def _equation(a: Term, negated: bool) -> tuple[Term, int] | None:
        """`base == value`, or `not base == value`."""
        if negated:
            if a.op != "not":
                return None
            a = a.args[0]
        if a.op == "eq" and type(a.args[1]) is int:
            return a.args[0], a.args[1]
        return None

    def xor(self, a: Bool, b: Bool) -> Bool:
        if isinstance(a, bool):
            return self.not_(b) if a else b
        if isinstance(b, bool):
            return self.not_(a) if b else a
        odd = False
        if a.op == "not":
            a, odd = a.args[0], not odd
        if b.op == "not":
            b, odd = b.args[0], not odd
        out: Bool = False if a is b else self._commuted("xor", a, b, 0)
        return self.not_(out) if odd else out

    def iff(self, a: Bool, b: Bool) -> Bool:
        """Equality of booleans."""
        return self.not_(self.xor(a, b))

    def implies(self, a: Bool, b: Bool) -> Bool:
        return self.or_(self.not_(a), b)

    def forall(self, bound: list[Any], body: Bool) -> Bool:
        """The universal closure over these symbols and arrays."""
        return body if isinstance(body, bool) or not bound else self._make("forall", (body,), 0, tuple(bound))

    # -- conditionals --------------------------------------------------------------------------------------------------

    def ite(self, cond: Bool, a: Any, b: Any, width: int) -> Any:
        """`a` if `cond` else `b`; width 0 for booleans."""
        if isinstance(cond, bool):
            return a if cond else b
        if alike(a, b):
            return a
        if cond.op == "not":
            cond, a, b = cond.args[0], b, a
        return self._ite_bool(cond, a, b) if width == 0 else self._ite(cond, a, b, width, 0)

    def ite_array(self, cond: Bool, a: Array, b: Array) -> Array:
        if isinstance(cond, bool):
            return a if cond else b
        if cond.op == "not":
            cond, a, b = cond.args[0], b, a
        return a if a is b else self._ite(cond, a, b, a.width, a.index)

    def _ite_bool(self, cond: Bool, a: Bool, b: Bool) -> Bool:
        if a is True or a is cond:
            return self.or_(cond, b)
        if b is False or b is cond:
            return self.and_(cond, a)
        if a is False or a is cond.negation:
            return self.and_(self.not_(cond), b)
        if b is True or b is cond.negation:
            return self.or_(self.not_(cond), a)
        if a.negation is b or b.negation is a:
            return self.iff(cond, a)
        return self._ite(cond, a, b, 0, 0)

    def _ite(self, cond: Any, a: Any, b: Any, width: int, index: int) -> Any:
        """Arms that repeat the condition or each other are put together."""
        if isinstance(a, Term) and a.op == "ite" and a.args[0] is cond:
            return self._again(cond, a.args[1], b, width, index)
        if isinstance(b, Term) and b.op == "ite" and b.args[0] is cond:
            return self._again(cond, a, b.args[2], width, index)
        if isinstance(b, Term) and b.op == "ite":
            inner, x, y = b.args
            if alike(x, a):
                return self._again(self.or_(cond, inner), a, y, width, index)
            if alike(y, a):
                return self._again(self.or_(cond, self.not_(inner)), a, x, width, index)
        if isinstance(a, Term) and a.op == "ite":
            inner, x, y = a.args
            if alike(y, b):
                return self._again(self.and_(cond, inner), x, b, width, index)
            if alike(x, b):
                return self._again(self.and_(cond, self.not_(inner)), y, b, width, index)
        return self._make("ite", (cond, a, b), width, None, index)

    def _again(self, cond: Bool, a: Any, b: Any, width: int, index: int) -> Any:
        return self.ite_array(cond, a, b) if index else self.ite(cond, a, b, width)

    def to_bits(self, a: Bool) -> Bits:
        """A boolean as 1 bit."""
        return int(a) if isinstance(a, bool) else self.ite(a, 1, 0, 1)

    def to_bool(self, a: Bits) -> Bool:
        """1 bit as a boolean."""
        return bool(a) if isinstance(a, int) else self.eq(a, 1, 1)

    # -- arithmetic ----------------------------------------------------------------------------------------------------

    def op(self, op: str, a: Bits, b: Bits, width: int) -> Bits:
        """`a op b`, both of `width`."""
        op = _BITWISE.get(op, op)
        one, two = type(a) is int, type(b) is int
        if one and two:
            return fold(op, a, b, width)
        if one and op in _COMMUTATIVE:
            a, b, one, two = b, a, two, one
        match op:
            case "add":
                return self._add(a, b, width)
            case "sub":
                return self._sub(a, b, width)
            case "bvand" | "bvor" | "bvxor":
                return self._bitwise(op, a, b, width)
            case "shl" | "lshr" | "ashr" if two:
                return self._shifted(op, a, b, width)
            case "mul" if two and b < 2:
                return a if b else 0
            case "udiv" if two and b == 1:
                return a
            case "udiv" if two and b and not b & (b - 1):
                return self._shifted("lshr", a, b.bit_length() - 1, width)
            case "urem" if two and b and not b & (b - 1):
                return self._bitwise("bvand", a, b - 1, width)
        if op == "mul":
            return self._commuted(op, a, b, width)
        return self._make(op, (a, b), width)

    def _add(self, a: Bits, b: Bits, width: int) -> Bits:
        """A constant summand stands outside, on the right."""
        if type(b) is int:
            if b == 0:
                return a
            if a.op == "add" and type(a.args[1]) is int:
                return self._add(a.args[0], (a.args[1] + b) & mask(width), width)
            return self._make("add", (a, b), width)
        constant = 0
        if a.op == "add" and type(a.args[1]) is int:
            a, constant = a.args[0], constant + a.args[1]
        if b.op == "add" and type(b.args[1]) is int:
            b, constant = b.args[0], constant + b.args[1]
        constant &= mask(width)
        total = self._commuted("add", a, b, width)
        return self._make("add", (total, constant), width) if constant else total

    def _sub(self, a: Bits, b: Bits, width: int) -> Bits:
        if type(b) is int:
            return self._add(a, -b & mask(width), width)
        if type(a) is int:
            return self.neg(b, width) if a == 0 else self._make("sub", (a, b), width)
        constant = 0
        if a.op == "add" and type(a.args[1]) is int:
            a, constant = a.args[0], constant + a.args[1]
        if b.op == "add" and type(b.args[1]) is int:
            b, constant = b.args[0], constant - b.args[1]
        constant &= mask(width)
        if a is b:
            return constant
        if a.op == "add" and b in a.args:
            rest = a.args[1] if a.args[0] is b else a.args[0]
            return self._add(rest, constant, width) if constant else rest
        difference = self._make("sub", (a, b), width)
        return self._make("add", (difference, constant), width) if constant else difference

    def _bitwise(self, op: str, a: Bits, b: Bits, width: int) -> Bits:
        if type(b) is not int:
            if a is b:
                return 0 if op == "bvxor" else a
            return self._commuted(op, a, b, width)
        if b == 0:
            return 0 if op == "bvand" else a
        if b == mask(width):
            return a if op == "bvand" else b if op == "bvor" else self.invert(a, width)
        if a.op == op and type(a.args[1]) is int:
            return self._bitwise(op, a.args[0], fold(op, a.args[1], b, width), width)
        if op != "bvxor":
            parts = runs(b, width)
            if len(parts) <= MAX_RUNS:
                neutral = int(op == "bvand")
                return self.joined(
                    [
                        (self.extract(a, hi, lo, width) if bit == neutral else -bit & mask(hi - lo + 1), hi - lo + 1)
                        for bit, hi, lo in parts
                    ]
                )
        return self._make(op, (a, b), width)

    def _shifted(self, op: str, a: Bits, by: int, width: int) -> Bits:
        if by == 0:
            return a
        if op == "ashr":
            by = min(by, width - 1)
            return self.extend(self.extract(a, width - 1, by, width), width - by, width, True)
        if by >= width:
            return 0
        if op == "shl":
            return self.joined([(self.extract(a, width - 1 - by, 0, width), width - by), (0, by)])
        return self.joined([(0, by), (self.extract(a, width - 1, by, width), width - by)])

    def neg(self, a: Bits, width: int) -> Bits:
        if type(a) is int:
            return -a & mask(width)
        return a.args[0] if a.op == "neg" else self._make("neg", (a,), width)

    def invert(self, a: Bits, width: int) -> Bits:
        if type(a) is int:
            return a ^ mask(width)
        if a.op == "bvnot":
            return a.args[0]
        if is_conditional(a):
            cond, x, y = a.args
            return self.ite(cond, self.invert(x, width), self.invert(y, width), width)
        return self._make("bvnot", (a,), width)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def extract(self, a: Bits, hi: int, lo: int, width: int) -> Bits:
        """Bits hi..lo of `a`, which has `width`."""
        if type(a) is int:
            return (a >> lo) & mask(hi - lo + 1)
        if lo == 0 and hi == width - 1:
            return a
        match a.op:
            case "extract":
                below = a.data[1]
                return self.extract(a.args[0], hi + below, lo + below, a.args[0].width)
            case "concat":
                cut = _cut(self, zip(a.args, a.data, strict=True), hi, lo)
                if cut is not None:
                    return self.joined(cut)
            case "sext" if hi < a.args[0].width:
                return self.extract(a.args[0], hi, lo, a.args[0].width)
            case "bvnot":
                return self.invert(self.extract(a.args[0], hi, lo, width), hi - lo + 1)
            case "bvand" | "bvor" | "bvxor" if type(a.args[1]) is int:
                x, y = (self.extract(x, hi, lo, width) for x in a.args)
                return self.op(a.op, x, y, hi - lo + 1)
            case "ite" if is_conditional(a):
                return self.once("extract", a, (hi, lo), self._extract_arms)
        return self._make("extract", (a,), hi - lo + 1, (hi, lo))

    def _extract_arms(self, a: Term, bits: Any) -> Bits:
        hi, lo = bits
        cond, x, y = a.args
        return self.ite(cond, self.extract(x, hi, lo, a.width), self.extract(y, hi, lo, a.width), hi - lo + 1)

    def concat(self, a: Bits, wa: int, b: Bits, wb: int) -> Bits:
        """`a` above `b`."""
        return self.joined([(a, wa), (b, wb)])

    def joined(self, pieces: Iterable[Piece]) -> Bits:
        """A concatenation, the highest piece first; adjacent constants and adjacent bits of one term become one."""
        out: list[Piece] = []
        stack = list(pieces)[::-1]
        while stack:
            piece, width = stack.pop()
            if type(piece) is not int and piece.op == "concat":
                stack.extend(zip(reversed(piece.args), reversed(piece.data), strict=True))
                continue
            if out:
                above, high = out[-1]
                if type(above) is int and type(piece) is int:
                    out[-1] = (above << width | piece, high + width)
                    continue
                one, two = _bits_of(above), _bits_of(piece)
                if one is not None and two is not None and one[0] is two[0] and one[2] == two[1] + 1:
                    out[-1] = (self.extract(one[0], one[1], two[2], one[0].width), high + width)
                    continue
            out.append((piece, width))
        if len(out) == 1:
            return out[0][0]
        return self._make("concat", tuple(p for p, _ in out), sum(w for _, w in out), tuple(w for _, w in out))

    def extend(self, a: Bits, width: int, to: int, sign: bool) -> Bits:
        if to == width:
            return a
        if type(a) is int:
            return signed(a, width) & mask(to) if sign else a
        if not sign or (a.op == "concat" and type(a.args[0]) is int and not a.args[0] >> (a.data[0] - 1)):
            return self.joined([(0, to - width), (a, width)])
        if a.op == "sext":
            return self.extend(a.args[0], a.args[0].width, to, True)
        return self._make("sext", (a,), to)

    # -- comparisons ---------------------------------------------------------------------------------------------------

    def once(self, what: str, a: Any, b: Any, make: Any) -> Any:
        """What was made of these before."""
        key = (what, a, b)
        if key not in self._memo:
            self._memo[key] = make(a, b)
        return self._memo[key]

    def eq(self, a: Bits, b: Bits, width: int) -> Bool:
        """Equality of bit vectors of `width`."""
        if a is b:
            return True
        if type(a) is int:
            if type(b) is int:
                return a == b
            a, b = b, a
        if type(b) is int:
            return self._eq_constant(a, b, width)
        if a.op == "ite" or b.op == "ite":
            return self.once("eq", a, b, self._eq_arms)
        if a.op == "concat" and b.op == "concat":
            return self._eq_pieces(a, b, width)
        one, two = offset(a), offset(b)
        if one[0] == two[0] and one[0] is not None:
            return one[1] == two[1]
        if width == 1:
            if a.op == "bvnot":
                return self.not_(self.eq(a.args[0], b, 1))
            if b.op == "bvnot":
                return self.not_(self.eq(a, b.args[0], 1))
        return self._commuted("eq", a, b, 0, width)

    def _eq_constant(self, a: Term, b: int, width: int) -> Bool:
        """Single bits are compared with 1."""
        match a.op:
            case "ite" if is_conditional(a):
                return self.once("eq", a, b, self._eq_constant_arms)
            case "add" if type(a.args[1]) is int:
                return self.eq(a.args[0], (b - a.args[1]) & mask(width), width)
            case "bvxor" if type(a.args[1]) is int:
                return self.eq(a.args[0], b ^ a.args[1], width)
            case "bvnot":
                return self.eq(a.args[0], b ^ mask(width), width)
            case "neg":
                return self.eq(a.args[0], -b & mask(width), width)
            case "sub":
                if b == 0:
                    return self.eq(a.args[0], a.args[1], width)
            case "sext":
                inner = a.args[0].width
                low = b & mask(inner)
                return self.eq(a.args[0], low, inner) if signed(low, inner) & mask(width) == b else False
            case "concat":
                if any(type(p) is int for p in a.args):
                    return self._eq_known_pieces(a, b)
        if width == 1 and b == 0:
            return self.not_(self._make("eq", (a, 1), 0, 1))
        return self._make("eq", (a, b), 0, width)

    def _eq_constant_arms(self, a: Term, b: int) -> Bool:
        cond, x, y = a.args
        return self.ite(cond, self.eq(x, b, a.width), self.eq(y, b, a.width), 0)

    def _eq_arms(self, a: Term, b: Term) -> Bool:
        """Conditionals that share a condition or an arm."""
        if a.op == "ite" and b.op == "ite" and a.args[0] is b.args[0]:
            x = self.eq(a.args[1], b.args[1], a.width)
            return self.ite(a.args[0], x, self.eq(a.args[2], b.args[2], a.width), 0)
        for one, two in ((a, b), (b, a)):
            if one.op == "ite":
                cond, x, y = one.args
                if x is two:
                    return self.or_(cond, self.eq(y, two, a.width))
                if y is two:
                    return self.or_(self.not_(cond), self.eq(x, two, a.width))
        return self._commuted("eq", a, b, 0, a.width)

    def _eq_known_pieces(self, a: Term, b: int) -> Bool:
        """A concatenation with constants in it, compared with a constant: what lies between them is compared."""
        terms: list[Bool] = []
        between: list[Piece] = []
        below = a.width
        for piece, width in zip(a.args, a.data, strict=True):
            below -= width
            if type(piece) is not int:
                between.append((piece, width))
                continue
            if piece != b >> below & mask(width):
                return False
            terms.append(self._eq_run(between, b >> below + width))
            between = []
        return self.and_(*terms, self._eq_run(between, b))

    def _eq_run(self, pieces: list[Piece], b: int) -> Bool:
        width = sum(w for _, w in pieces)
        return self.eq(self.joined(pieces), b & mask(width), width) if pieces else True

    def _eq_pieces(self, a: Term, b: Term, width: int) -> Bool:
        """Two concatenations: pieces that are plainly equal are left out, and one that plainly differs decides.  Words
        of memory are compared as a whole, fields one by one."""
        pairs = _common_cuts(self, a, b)
        if pairs is None:
            return self._commuted("eq", a, b, 0, width)
        decided = [self.eq(x, y, w) for x, y, w in pairs]
        if False in decided:
            return False
        open_ = [(pair, e) for pair, e in zip(pairs, decided, strict=True) if e is not True]
        if len(open_) == 1 or any(not _is_cell(x) or not _is_cell(y) for (x, y, _), _ in open_):
            return self.and_(*(e for _, e in open_))
        if len(open_) == len(pairs):
            return self._commuted("eq", a, b, 0, width)
        x = self.joined([(p[0], p[2]) for p, _ in open_])
        y = self.joined([(p[1], p[2]) for p, _ in open_])
        return self.eq(x, y, sum(p[2] for p, _ in open_))

    def compare(self, op: str, a: Bits, b: Bits, width: int) -> Bool:
        """`ult ule slt sle`, both of `width`."""
        if op[-1] == "t":
            return self.not_(self.compare(f"{op[0]}le", b, a, width))
        if type(a) is int and type(b) is int:
            return a <= b if op == "ule" else signed(a, width) <= signed(b, width)
        if a is b:
            return True
        if (type(b) is int and is_conditional(a)) or (type(a) is int and is_conditional(b)):
            return self.once(op, a, b, lambda x, y: self._compare_arms(op, x, y, width))
        if op == "ule":
            found = self._ule_limits(a, b, width)
            if found is not None:
                return found
        return self._make(op, (a, b), 0, width)

    def _compare_arms(self, op: str, a: Bits, b: Bits, width: int) -> Bool:
        if type(b) is int:
            cond, x, y = a.args
            return self.ite(cond, self.compare(op, x, b, width), self.compare(op, y, b, width), 0)
        cond, x, y = b.args
        return self.ite(cond, self.compare(op, a, x, width), self.compare(op, a, y, width), 0)

    def _ule_limits(self, a: Bits, b: Bits, width: int) -> Bool | None:
        """At the ends of the range, and below leading zeros."""
        top = mask(width)
        if type(a) is int:
            if a == 0:
                return True
            if a == top:
                return self.eq(b, top, width)
            if a == 1:
                return self.not_(self.eq(b, 0, width))
        if type(b) is int:
            if b == top:
                return True
            if b == 0:
                return self.eq(a, 0, width)
            if b == top - 1:
                return self.not_(self.eq(a, top, width))
        zeros = min(_leading_zeros(a, width), _leading_zeros(b, width))
        if zeros:
            rest = width - zeros
            return self.compare("ule", self.extract(a, rest - 1, 0, width), self.extract(b, rest - 1, 0, width), rest)
        if type(b) is int and _leading_zeros(a, width):
            return True
        return False if type(a) is int and _leading_zeros(b, width) else None

    # -- arrays --------------------------------------------------------------------------------------------------------

    def select(self, array: Array, index: Bits, index_width: int) -> Bits:
        """The entry of an array, looked for below what was stored elsewhere and under conditionals."""
        while True:
            match array.op:
                case "store":
                    elsewhere = apart(index, array.args[1])
                    if elsewhere is False:
                        return array.args[2]
                    if elsewhere is None:
                        break
                    array = array.args[0]
                case "fill":
                    return array.args[0]
                case "flip":
                    return self.invert(self.select(array.args[0], index, index_width), array.width)
                case "ite":
                    return self.once("select", array, index, self._select_arms)
                case _:
                    break
        return self._make("select", (array, index), array.width)

    def _select_arms(self, array: Term, index: Bits) -> Bits:
        cond, a, b = array.args
        return self.ite(cond, self.select(a, index, a.index), self.select(b, index, b.index), array.width)

    def store(self, array: Array, index: Bits, value: Bits, index_width: int, width: int) -> Array:
        if array.op == "store" and apart(array.args[1], index) is False:
            array = array.args[0]
        if type(value) is not int and value.op == "select" and value.args[0] is array and value.args[1] is index:
            return array
        return self._make("store", (array, index, value), width, None, index_width)

    def fill(self, value: Bits, index_width: int, width: int) -> Array:
        """The array that has this entry everywhere."""
        return self._make("fill", (value,), width, None, index_width)

    def flip(self, array: Array) -> Array:
        """All entries inverted."""
        return array.args[0] if array.op == "flip" else self._make("flip", (array,), array.width, None, array.index)

    def select_at(self, array: Array, index: Bits) -> Bits:
        """Like `select`, the index's width being the array's."""
        return self.select(array, index, array.index)

    def store_at(self, array: Array, index: Bits, value: Bits, width: int) -> Array:
        """Like `store`, the index's width being the array's."""
        return self.store(array, index, value, array.index, width)

    def same(self, a: Array, b: Array) -> Bool:
        """Equality of arrays.  Stores of both at the same, distinct places are compared value by value."""
        if a is b:
            return True
        if a.op == "ite" or b.op == "ite":
            return self.once("same", a, b, self._same_arms)
        one, two = _stores(a), _stores(b)
        same_places = len(one[1]) == len(two[1]) and all(
            apart(i, j) is False for (i, _), (j, _) in zip(one[1], two[1], strict=True)
        )
        if same_places and one[0] is two[0] and _distinct([i for i, _ in one[1]]):
            return self.and_(*(self.eq(v, w, a.width) for (_, v), (_, w) in zip(one[1], two[1], strict=True)))
        for (base, stores), other in ((one, b), (two, a)):
            if base is other and _distinct([i for i, _ in stores]):
                return self.and_(*(self.eq(v, self.select_at(base, i), a.width) for i, v in stores))
        other_way = self._table.get(("same", (b, a), 0, None, 0))
        return self._make("same", (a, b), 0) if other_way is None else other_way

    def _same_arms(self, a: Array, b: Array) -> Bool:
        if a.op == "ite" and b.op == "ite" and a.args[0] is b.args[0]:
            return self.ite(a.args[0], self.same(a.args[1], b.args[1]), self.same(a.args[2], b.args[2]), 0)
        for one, two in ((a, b), (b, a)):
            if one.op == "ite":
                cond, x, y = one.args
                if x is two:
                    return self.or_(cond, self.same(y, two))
                if y is two:
                    return self.or_(self.not_(cond), self.same(x, two))
        other_way = self._table.get(("same", (b, a), 0, None, 0))
        return self._make("same", (a, b), 0) if other_way is None else other_way

    # -- replacing -----------------------------------------------------------------------------------------------------

    def substituted(self, term: Any, pairs: Iterable[tuple[Any, Any]]) -> Any:
        """The term with terms replaced, all at once, and made anew."""
        if not isinstance(term, Term):
            return term
        return self.substitution(pairs)(term)

    def substitution(self, pairs: Iterable[tuple[Any, Any]], anew: int = 0) -> Substitution:
        """A replacement that can be applied to several terms; reads of what the support `anew` names are made anew."""
        return Substitution(self, pairs, anew)

    def rebuilt(self, t: Term, args: list[Any]) -> Any:
        """The operator of a term on other arguments."""
        match t.op:
            case "and" | "or":
                return self._junction(t.op, args)
            case "not":
                return self.not_(args[0])
            case "xor":
                return self.xor(args[0], args[1])
            case "ite":
                if t.index:
                    return self.ite_array(args[0], args[1], args[2])
                return self.ite(args[0], args[1], args[2], t.width)
            case "eq":
                return self.eq(args[0], args[1], t.data)
            case "ule" | "sle":
                return self.compare(t.op, args[0], args[1], t.data)
            case "extract":
                return self.extract(args[0], t.data[0], t.data[1], t.args[0].width)
            case "concat":
                return self.joined(zip(args, t.data, strict=True))
            case "sext":
                return self.extend(args[0], t.args[0].width, t.width, True)
            case "select":
                return self.select_at(args[0], args[1])
            case "store":
                return self.store_at(args[0], args[1], args[2], t.width)
            case "fill":
                return self.fill(args[0], t.index, t.width)
            case "flip":
                return self.flip(args[0])
            case "same":
                return self.same(args[0], args[1])
            case "apply":
                return self.apply(t.data, args)
            case "neg":
                return self.neg(args[0], t.width)
            case "bvnot":
                return self.invert(args[0], t.width)
            case "forall":
                return self.forall(list(t.data), args[0])
        return self.op(t.op, args[0], args[1], t.width)


class Substitution:
    """Replaces terms by others; what it has made it keeps."""

    def __init__(self, builder: Builder, pairs: Iterable[tuple[Any, Any]], anew: int = 0) -> None:
        self._builder = builder
        self._done: dict[Any, Any] = dict(pairs)
        self._support = anew
        for replaced in self._done:
            self._support |= replaced.support

    def __call__(self, term: Any) -> Any:
        if term.__class__ is not Term or not term.support & self._support:
            return term
        done, support = self._done, self._support
        if term in done:
            return done[term]
        args = [
            a if a.__class__ is not Term or not a.support & support else done[a] if a in done else self(a)
            for a in term.args
        ]
        same = all(map(is_, args, term.args))
        out = term if same and term.op != "select" else self._builder.rebuilt(term, args)
        done[term] = out
        return out


# -- pieces ------------------------------------------------------------------------------------------------------------


def offset(term: Term) -> tuple[Any, int]:
    """A term as (base, constant summand)."""
    if term.op == "add" and type(term.args[1]) is int:
        return term.args[0], term.args[1]
    return term, 0


def _is_cell(piece: Bits) -> bool:
    return isinstance(piece, Term) and piece.op == "select"


def _bits_of(piece: Bits) -> tuple[Term, int, int] | None:
    """An extract as (term, hi, lo)."""
    if isinstance(piece, Term) and piece.op == "extract":
        return piece.args[0], piece.data[0], piece.data[1]
    return None


def _cut(builder: Builder, pieces: Iterable[Piece], hi: int, lo: int) -> list[Piece] | None:
    """Bits hi..lo of a concatenation; None where that would cut a cell out of a word of memory, which readers know
    better as a part of the word."""
    out: list[Piece] = []
    listed = list(pieces)
    word = all(type(p) is not int and p.op == "select" for p, _ in listed)
    top = sum(w for _, w in listed) - 1
    for piece, width in listed:
        bottom = top - width + 1
        if bottom <= hi and top >= lo:
            high, low = min(hi, top) - bottom, max(lo, bottom) - bottom
            if word and high - low + 1 < width:
                return None
            out.append((builder.extract(piece, high, low, width), high - low + 1))
        top = bottom - 1
    return out


def _common_cuts(builder: Builder, a: Term, b: Term) -> list[tuple[Bits, Bits, int]] | None:
    """Two concatenations of one width, cut where either is cut; None if that would cut a term that is no constant
    against another."""
    cuts: set[int] = set()
    for term in (a, b):
        at = term.width
        for width in term.data:
            at -= width
            cuts.add(at)
    out = []
    top = a.width
    for low in sorted(cuts, reverse=True):
        x, y = (builder.extract(t, top - 1, low, t.width) for t in (a, b))
        out.append((x, y, top - low))
        top = low
    return out if len(out) <= len(a.args) + 1 and len(out) <= len(b.args) + 1 else None


def _leading_zeros(a: Bits, width: int) -> int:
    if type(a) is int:
        return width - a.bit_length()
    if a.op == "concat" and type(a.args[0]) is int:
        return int(a.data[0]) - int(a.args[0]).bit_length()
    return 0


def _stores(array: Array) -> tuple[Array, list[tuple[Any, Any]]]:
    """An array as a base and the stores on it, the last one first."""
    stores = []
    while array.op == "store":
        stores.append((array.args[1], array.args[2]))
        array = array.args[0]
    return array, stores


def _distinct(indices: list[Any]) -> bool:
    """Are these indices different whatever their symbols are?"""
    return all(apart(a, b) for i, a in enumerate(indices) for b in indices[i + 1 :])
