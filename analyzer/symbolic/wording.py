"""Terms in the spec's names: `cs.RPL <= eflags.IOPL and mem[r[4], 32][9] != eflags.IF`.

One side (usually `v`, the virtual machine) carries no mark; a symbol of the other is written `real(x)` or `virtual(x)`.
"""

from __future__ import annotations

from typing import Any

import z3

from analyzer import ir

_INFIX = {
    z3.Z3_OP_BADD: ("+", 6),
    z3.Z3_OP_BSUB: ("-", 6),
    z3.Z3_OP_BMUL: ("*", 7),
    z3.Z3_OP_BUDIV: ("/", 7),
    z3.Z3_OP_BUDIV_I: ("/", 7),
    z3.Z3_OP_BUREM: ("%", 7),
    z3.Z3_OP_BUREM_I: ("%", 7),
    z3.Z3_OP_BSDIV: ("/s", 7),
    z3.Z3_OP_BSDIV_I: ("/s", 7),
    z3.Z3_OP_BSREM: ("%s", 7),
    z3.Z3_OP_BSREM_I: ("%s", 7),
    z3.Z3_OP_BAND: ("and", 2),
    z3.Z3_OP_BOR: ("or", 1),
    z3.Z3_OP_BXOR: ("xor", 1),
    z3.Z3_OP_BSHL: ("<<", 5),
    z3.Z3_OP_BLSHR: (">>", 5),
    z3.Z3_OP_BASHR: (">>s", 5),
    z3.Z3_OP_ULEQ: ("<=", 3),
    z3.Z3_OP_ULT: ("<", 3),
    z3.Z3_OP_UGEQ: (">=", 3),
    z3.Z3_OP_UGT: (">", 3),
    z3.Z3_OP_SLEQ: ("<=s", 3),
    z3.Z3_OP_SLT: ("<s", 3),
    z3.Z3_OP_SGEQ: (">=s", 3),
    z3.Z3_OP_SGT: (">s", 3),
    z3.Z3_OP_AND: ("and", 2),
    z3.Z3_OP_OR: ("or", 1),
    z3.Z3_OP_XOR: ("xor", 1),
}
_OPPOSITE = {
    z3.Z3_OP_ULEQ: ">",
    z3.Z3_OP_ULT: ">=",
    z3.Z3_OP_UGEQ: "<",
    z3.Z3_OP_UGT: "<=",
    z3.Z3_OP_EQ: "!=",
    z3.Z3_OP_DISTINCT: "==",
}
MAX_INDEX = 48
"""Longer addresses are not spelled out in a permission."""

_VERB = {"read": "readable", "write": "writable", "fetch": "executable"}


class Wording:
    """Prints terms of one Isa."""

    def __init__(self, isa: ir.Isa, side: str = "v") -> None:
        self.isa = isa
        self.side = side

    def text(self, term: Any) -> str:
        """The term as an expression of the language."""
        return self._term(term, 0)

    def number(self, value: int, width: int, enum: str | None = None) -> str:
        """A value: an enumerator's name, small numbers in decimal, others in hex."""
        if enum is not None and enum in self.isa.enums:
            for name, code in self.isa.enums[enum].members:
                if code == value:
                    return name
        return str(value) if value < 10 or width <= 4 else f"{value:#x}"

    # -- terms ---------------------------------------------------------------------------------------------------------

    def _term(self, t: Any, level: int) -> str:
        if z3.is_bv_value(t):
            return self.number(t.as_long(), t.size())
        if z3.is_true(t):
            return "always"
        if z3.is_false(t):
            return "never"
        text, own = self._compound(t)
        return f"({text})" if own < level else text

    def _compound(self, t: Any) -> tuple[str, int]:
        kind = t.decl().kind()
        if kind == z3.Z3_OP_UNINTERPRETED:
            return self._leaf(t)
        if kind in (z3.Z3_OP_EQ, z3.Z3_OP_DISTINCT):
            return self._equal(t, "==" if kind == z3.Z3_OP_EQ else "!=")
        if kind == z3.Z3_OP_NOT:
            return self._not(t.arg(0))
        if kind == z3.Z3_OP_SELECT:
            return self._cells([t]), 9
        if kind == z3.Z3_OP_CONCAT:
            return self._concat(t)
        if kind == z3.Z3_OP_EXTRACT:
            hi, lo = t.params()
            inner = self._term(t.arg(0), 9)
            return (f"{inner}[{self._bit(t, hi)}]" if hi == lo else f"{inner}[{hi}:{lo}]"), 9
        if kind == z3.Z3_OP_ITE:
            a, b, c = (self._term(t.arg(i), 1) for i in range(3))
            return f"if {a} then {b} else {c}", 0
        if kind in (z3.Z3_OP_ZERO_EXT, z3.Z3_OP_SIGN_EXT):
            name = "zext" if kind == z3.Z3_OP_ZERO_EXT else "sext"
            return f"{name}({self._term(t.arg(0), 0)}, {t.size()})", 9
        if kind == z3.Z3_OP_BNOT:
            return f"not {self._term(t.arg(0), 8)}", 2
        if kind == z3.Z3_OP_BNEG:
            return f"-{self._term(t.arg(0), 8)}", 7
        if kind in _INFIX:
            op, level = _INFIX[kind]
            args = [self._term(t.arg(i), level + 1) for i in range(t.num_args())]
            return f" {op} ".join(self._ordered(kind, t, args)), level
        return str(t), 0

    @staticmethod
    def _ordered(kind: int, t: Any, args: list[str]) -> list[str]:
        """A constant summand goes last."""
        if kind == z3.Z3_OP_BADD and z3.is_bv_value(t.arg(0)) and len(args) == 2:
            return [args[1], args[0]]
        return args

    def _bit(self, t: Any, bit: int) -> str:
        return str(bit)

    def _leaf(self, t: Any) -> tuple[str, int]:
        name = str(t.decl().name())
        if name.startswith("fault "):
            return f"not {self._permitted(t)}", 2
        if t.num_args():
            args = ", ".join(self._term(t.arg(i), 0) for i in range(t.num_args()))
            return f"{name.removeprefix('arbitrary ')}({args})", 9
        return self.symbol(name), 9

    def symbol(self, name: str) -> str:
        """A symbol's name in the spec."""
        for prefix in ("operand ", "arbitrary "):
            name = name.removeprefix(prefix)
        if name.endswith(f"@{self.side}"):
            return name[:-2]
        return self._marked(name)

    def _marked(self, name: str) -> str:
        if name.endswith("@r"):
            return f"real({name[:-2]})"
        return f"virtual({name[:-2]})" if name.endswith("@v") else name

    def _permitted(self, t: Any) -> str:
        """`mem[r[4], 32] readable`."""
        _, rest = str(t.decl().name()).split(" ", 1)
        space, kind, bits = rest.rsplit("@", 1)[0].rsplit(" ", 2)
        index = self._index(space, t.arg(t.num_args() - 1))
        index = "…" if len(index) > MAX_INDEX else index
        unit = self.isa.spaces[space].unit
        size = f", {bits}" if int(bits) != unit else ""
        return f"{space}[{index}{size}] {_VERB[kind]}"

    def _not(self, t: Any) -> tuple[str, int]:
        kind = t.decl().kind()
        if kind == z3.Z3_OP_UNINTERPRETED and str(t.decl().name()).startswith("fault "):
            return self._permitted(t), 3
        if kind in (z3.Z3_OP_EQ, z3.Z3_OP_DISTINCT):
            return self._equal(t, _OPPOSITE[kind])
        if kind in _OPPOSITE:
            return f"{self._term(t.arg(0), 4)} {_OPPOSITE[kind]} {self._term(t.arg(1), 4)}", 3
        return f"not {self._term(t, 3)}", 2

    def _equal(self, t: Any, op: str) -> tuple[str, int]:
        a, b = t.arg(0), t.arg(1)
        if z3.is_bv_value(a):
            a, b = b, a
        if z3.is_bv_value(b) and a.decl().kind() == z3.Z3_OP_UNINTERPRETED and not a.num_args():
            element = self.isa.elements.get(self.symbol(str(a.decl().name())))
            enum = element.enum if element else None
            return f"{self._term(a, 4)} {op} {self.number(b.as_long(), b.size(), enum)}", 3
        return f"{self._term(a, 4)} {op} {self._term(b, 4)}", 3

    # -- memory --------------------------------------------------------------------------------------------------------

    def _concat(self, t: Any) -> tuple[str, int]:
        """Runs of adjacent cells print as one access."""
        parts = list(_flatten(t))
        out: list[str] = []
        i = 0
        while i < len(parts):
            j = i + 1
            while j <= len(parts) and self._run_of_cells(parts[i:j]):
                j += 1
            run = parts[i : max(j - 1, i + 1)]
            out.append(self._cells(run) if z3.is_select(run[0]) else self._sized(run[0]))
            i += len(run)
        return (out[0], 9) if len(out) == 1 else (" ++ ".join(out), 4)

    def _sized(self, t: Any) -> str:
        return f"zeros({t.size()})" if z3.is_bv_value(t) and t.as_long() == 0 else self._term(t, 5)

    def _run_of_cells(self, parts: list[Any]) -> bool:
        if not all(z3.is_select(p) and p.arg(0).eq(parts[0].arg(0)) for p in parts):
            return False
        step = -1 if self.isa.endian == "little" else 1
        base, first = _offset(parts[0].arg(1))
        width = parts[0].arg(1).size()
        for k, part in enumerate(parts):
            rest, offset = _offset(part.arg(1))
            if not _same(rest, base) or offset != (first + step * k) % (1 << width):
                return False
        return True

    def _cells(self, run: list[Any]) -> str:
        lowest = run[-1] if self.isa.endian == "little" else run[0]
        array, index = lowest.arg(0), lowest.arg(1)
        name = str(array.decl().name()) if array.decl().kind() == z3.Z3_OP_UNINTERPRETED else self._term(array, 9)
        real = name.endswith(("@r", "@v")) and not name.endswith(f"@{self.side}")
        name = name.removesuffix("@v").removesuffix("@r")
        size = ""
        for prefix in ("window ", "memory ", "table ", "other "):
            if name.startswith(prefix):
                space = name.removeprefix(prefix)
                bits = run[0].size() * len(run)
                size = f", {bits}" if len(run) > 1 else ""
                name = f"table {space}" if prefix == "table " else space
                text = f"{name}[{self._index(space, index)}{size}]"
                return f"real({text})" if real else text
        text = f"{self.symbol(name)}[{self._term(index, 0)}]"
        return f"real({text})" if real else text

    def _index(self, space: str, index: Any) -> str:
        """A window's index: the arguments that are part of it come after the address."""
        shape = self.isa.spaces[space]
        if not isinstance(shape, ir.Map) or index.size() == shape.address_width:
            return self._term(index, 0)
        address = z3.simplify(z3.Extract(shape.address_width - 1, 0, index))
        rest = z3.simplify(z3.Extract(index.size() - 1, shape.address_width, index))
        plain = [p for p in shape.params if _width_fits(p, rest)]
        value = self._term(rest, 0)
        default = plain[0].default if len(plain) == 1 else None
        if isinstance(default, ir.Const) and z3.is_bv_value(rest) and rest.as_long() == default.value:
            return self._term(address, 0)
        label = f"{plain[0].name} = " if len(plain) == 1 else ""
        return f"{self._term(address, 0)}, {label}{value}"


def _width_fits(param: ir.MapParam, rest: Any) -> bool:
    return bool(param.width == rest.size())


def _flatten(t: Any) -> Any:
    for child in t.children():
        if child.decl().kind() == z3.Z3_OP_CONCAT:
            yield from _flatten(child)
        else:
            yield child


def _offset(t: Any) -> tuple[Any, int]:
    """An index as (rest, constant)."""
    if z3.is_bv_value(t):
        return None, t.as_long()
    if t.decl().kind() == z3.Z3_OP_BADD:
        constants = [c for c in t.children() if z3.is_bv_value(c)]
        others = [c for c in t.children() if not z3.is_bv_value(c)]
        if len(constants) == 1 and len(others) == 1:
            return others[0], constants[0].as_long()
    if t.decl().kind() == z3.Z3_OP_CONCAT and t.num_args() == 2:
        rest, offset = _offset(t.arg(1))
        return (t.arg(0), rest), offset
    return t, 0


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return _same(a[0], b[0]) and _same(a[1], b[1])
    if a is None or b is None or isinstance(a, tuple) or isinstance(b, tuple):
        return a is b
    return bool(a.eq(b))
