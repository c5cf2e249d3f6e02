"""Terms in the spec's names: `cs.RPL <= eflags.IOPL and mem[r[4], 32][9] != eflags.IF`.

One side (usually `v`, the virtual machine) carries no mark; a symbol of the other is written `real(x)` or `virtual(x)`.
"""

from __future__ import annotations

from typing import Any

from analyzer import ir
from analyzer.symbolic.builder import Builder
from analyzer.symbolic.smt import Bits
from analyzer.symbolic.term import Term, offset, signed, written
from analyzer.symbolic.vocabulary import Permission, Vocabulary

_INFIX = {
    "add": ("+", 6),
    "sub": ("-", 6),
    "mul": ("*", 7),
    "udiv": ("/", 7),
    "urem": ("%", 7),
    "sdiv": ("/s", 7),
    "srem": ("%s", 7),
    "bvand": ("and", 2),
    "bvor": ("or", 1),
    "bvxor": ("xor", 1),
    "shl": ("<<", 5),
    "lshr": (">>", 5),
    "ashr": (">>s", 5),
    "ule": ("<=", 3),
    "sle": ("<=s", 3),
    "and": ("and", 2),
    "or": ("or", 1),
    "xor": ("xor", 1),
}
_OPPOSITE = {"ule": ">", "sle": ">s"}
AND = 2
"""How strongly `and` binds."""

MAX_VALUE = 40
"""Longer values are told by the names of their locals."""

_VERB = {"read": "readable", "write": "writable", "fetch": "executable"}


class Wording:
    """Prints terms of one Isa."""

    def __init__(self, isa: ir.Isa, side: str = "v", names: Vocabulary | None = None) -> None:
        self.isa = isa
        self.side = side
        self.names = names or Vocabulary()
        self.named = {name for _, name in self.names.values.values()}
        self._terms = Builder()

    def text(self, term: Any, level: int = 0) -> str:
        """The term as an expression of the language, in brackets where it binds less than `level`."""
        return self._term(term, level)

    def number(self, value: int, width: int, enum: str | None = None) -> str:
        """A value: an enumerator's name, small numbers in decimal, others in hex."""
        if enum is not None and enum in self.isa.enums:
            for name, code in self.isa.enums[enum].members:
                if code == value:
                    return name
        return str(value) if value < 10 or width <= 4 else f"{value:#x}"

    # -- terms ---------------------------------------------------------------------------------------------------------

    def _term(self, t: Any, level: int, width: int = 64) -> str:
        """A term, in brackets where it binds less than `level`; a constant has this width."""
        if isinstance(t, bool):
            return "always" if t else "never"
        if isinstance(t, int):
            return self.number(t, width)
        if t in self.names.values:
            return self._value(t, level)
        condition = self.named_condition(t)
        if condition is not None:
            return condition
        text, own = self._compound(t)
        return f"({text})" if own < level else text

    def named_condition(self, t: Term) -> str | None:
        """The name of a condition, or that it is not so."""
        conditions = self.names.conditions
        if t in conditions:
            return conditions[t]
        opposite = t.args[0] if t.op == "not" else t.negation
        return f"not {conditions[opposite]}" if opposite in conditions else None

    def _value(self, symbol: Term, level: int) -> str:
        """What a symbol stands for, if that is short, and else its name."""
        term, name = self.names.values[symbol]
        if written(term, MAX_VALUE) > MAX_VALUE:
            return name
        text = self._term(term, level)
        return text if len(text) <= MAX_VALUE and "if " not in text else name

    def _compound(self, t: Term) -> tuple[str, int]:
        match t.op:
            case "symbol" | "array" | "apply":
                return self._leaf(t)
            case "eq":
                return self._equal(t, "==")
            case "not":
                return self._not(t.args[0])
            case "select":
                return self._cells([t]), 9
            case "concat":
                return self._concat(t)
            case "extract":
                hi, lo = t.data
                inner = self._term(t.args[0], 9)
                return (f"{inner}[{hi}]" if hi == lo else f"{inner}[{hi}:{lo}]"), 9
            case "ite":
                a, b, c = (self._term(x, 1, t.width) for x in t.args)
                return f"if {a} then {b} else {c}", 0
            case "sext":
                return f"sext({self._term(t.args[0], 0)}, {t.width})", 9
            case "bvnot":
                return f"not {self._term(t.args[0], 8)}", 2
            case "neg":
                return f"-{self._term(t.args[0], 8)}", 7
            case "add" if isinstance(t.args[1], int) and t.args[1] >> (t.width - 1):
                less = -signed(t.args[1], t.width)
                return f"{self._term(t.args[0], 6)} - {self.number(less, t.width)}", 6
        if t.op in _INFIX:
            op, level = _INFIX[t.op]
            width = t.width or t.data or 0
            return f" {op} ".join(self._term(a, level + 1, width) for a in t.args), level
        return str(t), 0

    def _leaf(self, t: Term) -> tuple[str, int]:
        name = t.name
        if name.startswith("fault "):
            return f"not {self._permitted(t)}", 2
        if t.op == "apply":
            args = ", ".join(self._term(a, 0, w) for a, w in zip(t.args, t.data.widths, strict=True))
            return f"{name.removeprefix('arbitrary ')}({args})", 9
        return self.symbol(name), 9

    def symbol(self, name: str) -> str:
        """A symbol's name in the spec."""
        if name.startswith("operand ") and name.removeprefix("operand ") in self.named:
            name += ".code"
        for prefix in ("operand ", "arbitrary "):
            name = name.removeprefix(prefix)
        if name.endswith(f"@{self.side}"):
            return name[:-2]
        return self._marked(name)

    def _marked(self, name: str) -> str:
        if name.endswith("@r"):
            return f"real({name[:-2]})"
        return f"virtual({name[:-2]})" if name.endswith("@v") else name

    def permission(self, access: Permission) -> str:
        """`Ew readable`, `mem[r[4], 32] readable`."""
        if access.operand is not None:
            return f"{access.operand} {_VERB[access.kind]}"
        return self._access(access.space, access.kind, access.bits, access.index, access.width)

    def _permitted(self, t: Term) -> str:
        """The access whose abstract fault a term is."""
        _, rest = t.name.split(" ", 1)
        space, kind, bits = rest.rsplit("@", 1)[0].rsplit(" ", 2)
        return self._access(space, kind, int(bits), t.args[-1], t.data.widths[-1])

    def _access(self, space: str, kind: str, bits: int, index: Bits, width: int) -> str:
        at = self._index(space, index, width)
        size = f", {bits}" if bits != self.isa.spaces[space].unit else ""
        return f"{space}[{at}{size}] {_VERB[kind]}"

    def _not(self, t: Term) -> tuple[str, int]:
        if t.op == "apply" and t.name.startswith("fault "):
            return self._permitted(t), 3
        if t.op == "eq":
            return self._equal(t, "!=")
        if t.op == "xor":
            return f"{self._term(t.args[0], 4)} == {self._term(t.args[1], 4)}", 3
        if t.op in _OPPOSITE:
            a, b = (self._term(x, 4, t.data) for x in t.args)
            return f"{a} {_OPPOSITE[t.op]} {b}", 3
        return f"not {self._term(t, 3)}", 2

    def _equal(self, t: Term, op: str) -> tuple[str, int]:
        a, b = t.args
        if not isinstance(b, int):
            return f"{self._term(a, 4)} {op} {self._term(b, 4)}", 3
        if t.data == 1 and op == "!=":
            b, op = 1 - b, "=="
        element = self.isa.elements.get(self.symbol(a.name)) if a.op == "symbol" else None
        return f"{self._term(a, 4)} {op} {self.number(b, t.data, element.enum if element else None)}", 3

    # -- memory --------------------------------------------------------------------------------------------------------

    def _concat(self, t: Term) -> tuple[str, int]:
        """Runs of adjacent cells print as one access; leading zeros are an extension."""
        parts = list(zip(t.args, t.data, strict=True))
        if parts[0][0] == 0 and isinstance(parts[0][0], int):
            inner = self._pieces(parts[1:])
            return f"zext({inner[0] if len(inner) == 1 else ' ++ '.join(inner)}, {t.width})", 9
        out = self._pieces(parts)
        return (out[0], 9) if len(out) == 1 else (" ++ ".join(out), 4)

    def _pieces(self, parts: list[tuple[Any, int]]) -> list[str]:
        out: list[str] = []
        i = 0
        while i < len(parts):
            j = i + 1
            while j <= len(parts) and self._run_of_cells([p for p, _ in parts[i:j]]):
                j += 1
            run = parts[i : max(j - 1, i + 1)]
            first, width = run[0]
            cell = isinstance(first, Term) and first.op == "select"
            out.append(self._cells([p for p, _ in run]) if cell else self._sized(first, width))
            i += len(run)
        return out

    def _sized(self, t: Bits, width: int) -> str:
        return f"zeros({width})" if isinstance(t, int) and t == 0 else self._term(t, 5, width)

    def _run_of_cells(self, parts: list[Any]) -> bool:
        if not all(isinstance(p, Term) and p.op == "select" and p.args[0] is parts[0].args[0] for p in parts):
            return False
        step = -1 if self.isa.endian == "little" else 1
        base, first = offset(parts[0].args[1])
        width = parts[0].args[0].index
        for k, part in enumerate(parts):
            rest, constant = offset(part.args[1])
            if rest != base or constant != (first + step * k) % (1 << width):
                return False
        return True

    def _cells(self, run: list[Any]) -> str:
        lowest = run[-1] if self.isa.endian == "little" else run[0]
        array, index = lowest.args
        name = array.name if array.op == "array" else self._term(array, 9)
        real = name.endswith(("@r", "@v")) and not name.endswith(f"@{self.side}")
        name = name.removesuffix("@v").removesuffix("@r")
        size = ""
        for prefix in ("window ", "memory ", "table ", "other "):
            if name.startswith(prefix):
                space = name.removeprefix(prefix)
                bits = array.width * len(run)
                size = f", {bits}" if len(run) > 1 else ""
                name = f"table {space}" if prefix == "table " else space
                text = f"{name}[{self._index(space, index, array.index)}{size}]"
                return f"real({text})" if real else text
        text = f"{self.symbol(name)}[{self._term(index, 0, array.index)}]"
        return f"real({text})" if real else text

    def _index(self, space: str, index: Bits, width: int) -> str:
        """A window's index: the arguments that are part of it come after the address."""
        shape = self.isa.spaces[space]
        if not isinstance(shape, ir.Map) or width == shape.address_width:
            return self._term(index, 0, width)
        address = self._terms.extract(index, shape.address_width - 1, 0, width)
        rest = self._terms.extract(index, width - 1, shape.address_width, width)
        above = width - shape.address_width
        plain = [p for p in shape.params if p.width == above]
        text = self._term(address, 0, shape.address_width)
        default = plain[0].default if len(plain) == 1 else None
        if isinstance(default, ir.Const) and isinstance(rest, int) and rest == default.value:
            return text
        label = f"{plain[0].name} = " if len(plain) == 1 else ""
        return f"{text}, {label}{self._term(rest, 0, above)}"
