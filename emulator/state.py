"""The concrete state of a machine: elements, files, memories and choices, and the registers that lie over them.

Values are integers between 0 and 2**width - 1; addresses count units of their memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from analyzer import ir
from analyzer.errors import UsageError
from emulator.evaluate import Environment, value_of

Default = Callable[[int], int]
"""The unit that an address holds until it is written."""


class Cells:
    """A sparse memory: what was written, over a default.  A copy costs nothing until one of the two is written."""

    __slots__ = ("_cells", "_shared", "default")

    def __init__(self, default: Default | None = None) -> None:
        self._cells: dict[int, int] = {}
        self._shared = False
        self.default = default

    def copy(self) -> Cells:
        other = Cells(self.default)
        other._cells = self._cells
        other._shared = self._shared = True
        return other

    def __getitem__(self, address: int) -> int:
        """The unit at `address`."""
        unit = self._cells.get(address)
        if unit is not None:
            return unit
        return 0 if self.default is None else self.default(address)

    def __setitem__(self, address: int, unit: int | None) -> None:
        """Writes the unit at `address`; None makes it unwritten again."""
        if self._shared:
            self._cells, self._shared = dict(self._cells), False
        if unit is None:
            self._cells.pop(address, None)
        else:
            self._cells[address] = unit

    def written(self, address: int) -> int | None:
        """The unit at `address` if it was written."""
        return self._cells.get(address)

    def __iter__(self) -> Iterator[int]:
        """The addresses that were written, in order."""
        return iter(sorted(self._cells))

    def differing(self, other: Cells) -> Iterator[int]:
        """The written addresses at which the two differ, in order."""
        if self._cells is other._cells:
            return
        for address in sorted(self._cells.keys() | other._cells.keys()):
            if self[address] != other[address]:
                yield address

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cells):
            return NotImplemented
        return self.default is other.default and next(self.differing(other), None) is None

    __hash__ = None  # type: ignore[assignment]  # it changes


class Difference(Struct, frozen=True):
    """A place that differs, named as in the spec: an element, `file[index]` or `memory[address]`."""

    place: str
    before: int
    after: int
    width: int

    def __str__(self) -> str:
        return f"{self.place}: {self.before:#x} → {self.after:#x}"


class State:
    """The whole state of a machine of one Isa, at reset.

    What has no reset value starts at 0, or at the first legal value where 0 is not legal.  A choice starts at 0, but
    one that sizes a memory at its greatest value.
    """

    __slots__ = ("choices", "elements", "files", "isa", "memories")

    def __init__(self, isa: ir.Isa, choices: Mapping[str, int] | None = None) -> None:
        self.isa = isa
        self.elements = {e.name: _at_reset(e) for e in isa.elements.values()}
        self.files = {f.name: [0 if i in f.zeros else f.reset or 0 for i in range(f.size)] for f in isa.files.values()}
        self.memories = {name: Cells() for name, space in isa.spaces.items() if isinstance(space, ir.Memory)}
        sizes = _sizing(isa)
        self.choices = {c.name: (1 << c.width) - 1 if c.name in sizes else 0 for c in isa.choices.values()}
        self.choices.update(choices or {})

    @classmethod
    def random(cls, isa: ir.Isa, generator: random.Random) -> State:
        """A state with every element, entry and choice random (and legal); memory is random by address."""
        state = cls(isa)
        for element in isa.elements.values():
            legal = element.legal
            state.elements[element.name] = generator.choice(legal) if legal else generator.getrandbits(element.width)
        for file in isa.files.values():
            state.files[file.name] = [
                0 if i in file.zeros else generator.getrandbits(file.width) for i in range(file.size)
            ]
        sizes = _sizing(isa)
        for choice in isa.choices.values():
            if choice.name not in sizes:
                state.choices[choice.name] = generator.getrandbits(choice.width)
        for name, cells in state.memories.items():
            cells.default = scrambled(generator.getrandbits(64), isa.spaces[name].unit)
        return state

    def copy(self) -> State:
        """A state that changes independently of this one."""
        other = object.__new__(State)
        other.isa = self.isa
        other.elements = dict(self.elements)
        other.files = {name: list(entries) for name, entries in self.files.items()}
        other.memories = {name: cells.copy() for name, cells in self.memories.items()}
        other.choices = self.choices.copy()
        return other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return (
            self.elements == other.elements
            and self.files == other.files
            and self.choices == other.choices
            and self.memories == other.memories
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def diff(self, after: State) -> tuple[Difference, ...]:
        """Where `after` differs from this state, in the order of the spec."""
        found: list[Difference] = []
        for name, element in self.isa.elements.items():
            if self.elements[name] != after.elements[name]:
                found.append(Difference(name, self.elements[name], after.elements[name], element.width))
        for name, file in self.isa.files.items():
            for i, (a, b) in enumerate(zip(self.files[name], after.files[name], strict=True)):
                if a != b:
                    found.append(Difference(f"{name}[{i}]", a, b, file.width))
        for name, choice in self.isa.choices.items():
            if self.choices[name] != after.choices[name]:
                found.append(Difference(name, self.choices[name], after.choices[name], choice.width))
        for name, cells in self.memories.items():
            found.extend(
                Difference(f"{name}[{a:#x}]", cells[a], after.memories[name][a], self.isa.spaces[name].unit)
                for a in cells.differing(after.memories[name])
            )
        return tuple(found)

    # -- places by name ------------------------------------------------------------------------------------------------

    def read(self, place: str, index: int | None = None, bits: int | None = None) -> int:
        """The value of an element, choice, register, entry or of `bits` bits (default: a unit) of a memory.

        Raises:
            UsageError: there is no such place.
        """
        if index is None:
            if place in self.elements:
                return self.elements[place]
            if place in self.choices:
                return self.choices[place]
        elif place in self.files:
            return self.files[place][index] if index < len(self.files[place]) else 0
        elif place in self.memories:
            return self.load(place, index, bits or self.isa.spaces[place].unit)
        if place in self.isa.registers:
            return self._read_register(self._register(place, index), index)
        raise UsageError(f"there is no place {_printed(place, index)} in the state of {self.isa.name}")

    def write(self, place: str, value: int, index: int | None = None, bits: int | None = None) -> None:
        """Sets a place.  Every bit of a register is set, also those that are read-only for the program; reserved and
        constant bits stay.

        Raises:
            UsageError: there is no such place, or the value does not fit.
        """
        limit = self.place_width(place, index, bits)
        if not 0 <= value < 1 << limit:
            raise UsageError(f"{value:#x} does not fit in the {limit} bits of {_printed(place, index)}")
        if index is None and place in self.elements:
            self.elements[place] = value
        elif index is None and place in self.choices:
            self.choices[place] = value
        elif index is not None and place in self.files:
            self._write_entry(self.isa.files[place], index, value)
        elif index is not None and place in self.memories:
            self.store(place, index, limit, value)
        else:
            for part in self._register(place, index).parts:
                self._write_part(part, index, value >> part.lo & _ones(part))

    def place_width(self, place: str, index: int | None = None, bits: int | None = None) -> int:
        """The width of a place in bits.

        Raises:
            UsageError: there is no such place.
        """
        isa = self.isa
        if index is None and place in isa.elements:
            return isa.elements[place].width
        if index is None and place in isa.choices:
            return isa.choices[place].width
        if index is not None and place in isa.files:
            return isa.files[place].width
        if index is not None and place in self.memories:
            return bits or isa.spaces[place].unit
        return self._register(place, index).width

    def write_register(self, name: str, value: int, index: int | None = None) -> None:
        """Writes a register as a program does: read-only bits stay, a 1 clears a `w1c` bit, and a field whose new value
        is not legal stays as it was.

        Raises:
            UsageError: there is no such register.
        """
        for part in self._register(name, index).parts:
            new = value >> part.lo & _ones(part)
            if part.ro or part.constant is not None:
                continue
            if part.w1c:
                new = self._read_part(part, index) & ~new
            if part.element is not None:
                legal = self.isa.elements[part.element].legal
                if legal is not None and new not in legal:
                    continue
            self._write_part(part, index, new)

    def _register(self, name: str, index: int | None) -> ir.Register:
        register = self.isa.registers.get(name)
        if register is None or (register.size is None) != (index is None):
            raise UsageError(f"there is no place {_printed(name, index)} in the state of {self.isa.name}")
        return register

    def _read_register(self, register: ir.Register, index: int | None) -> int:
        value = 0
        for part in register.parts:
            value |= self._read_part(part, index) << part.lo
        return value

    def _read_part(self, part: ir.RegisterPart, index: int | None) -> int:
        if part.element is not None:
            return self.elements[part.element]
        if part.file is not None and index is not None:
            return self.files[part.file][index] if index < len(self.files[part.file]) else 0
        return part.constant or 0

    def _write_part(self, part: ir.RegisterPart, index: int | None, value: int) -> None:
        if part.element is not None:
            self.elements[part.element] = value
        elif part.file is not None and index is not None:
            self._write_entry(self.isa.files[part.file], index, value)

    def _write_entry(self, file: ir.File, index: int, value: int) -> None:
        if index < file.size and index not in file.zeros:
            self.files[file.name][index] = value

    # -- memory --------------------------------------------------------------------------------------------------------

    def load(self, memory: str, address: int, bits: int) -> int:
        """`bits` bits from `address` on, in the Isa's byte order; addresses wrap."""
        space, cells = self.isa.spaces[memory], self.memories[memory]
        wrap = (1 << space.address_width) - 1
        return join((cells[address + i & wrap] for i in range(bits // space.unit)), space.unit, self.isa.endian)

    def store(self, memory: str, address: int, bits: int, value: int) -> None:
        """Writes `bits` bits from `address` on, in the Isa's byte order; addresses wrap."""
        space, cells = self.isa.spaces[memory], self.memories[memory]
        wrap = (1 << space.address_width) - 1
        for i, unit in enumerate(split(value, bits, space.unit, self.isa.endian)):
            cells[address + i & wrap] = unit

    # -- facts ---------------------------------------------------------------------------------------------------------

    def set(self, fact: ir.Fact) -> None:
        """Makes a fact true.

        Raises:
            UsageError: there is no such place, or the value does not fit.
        """
        self.write(fact.place, fact.value, fact.index, fact.bits)

    def holds(self, fact: ir.Fact) -> bool:
        """Whether a fact is true.

        Raises:
            UsageError: there is no such place.
        """
        return self.read(fact.place, fact.index, fact.bits) == fact.value

    def pc(self) -> int:
        """The program counter."""
        return self.elements[self.isa.fetch.pc]

    def mode(self) -> str:
        """The name of the present mode."""
        environment = Environment(self.elements, self.files, self.choices, {})
        return self.isa.mode.named(value_of(self.isa.mode.expr, self.isa)(environment, {}))


# -- units and numbers -------------------------------------------------------------------------------------------------


def join(units: Iterator[int], unit: int, endian: Literal["little", "big"]) -> int:
    """The number that units at rising addresses make up.

    >>> hex(join(iter([0x34, 0x12]), 8, "little"))
    '0x1234'
    """
    value = 0
    if endian == "big":
        for u in units:
            value = value << unit | u
        return value
    for i, u in enumerate(units):
        value |= u << i * unit
    return value


def split(value: int, bits: int, unit: int, endian: Literal["little", "big"]) -> tuple[int, ...]:
    """The units of a number at rising addresses; `bits` is a multiple of `unit`.

    >>> split(0x1234, 16, 8, "big")
    (18, 52)
    """
    mask = (1 << unit) - 1
    units = tuple(value >> shift & mask for shift in range(0, bits, unit))
    return units if endian == "little" else units[::-1]


def scrambled(seed: int, unit: int) -> Default:
    """Memory that looks random: a fixed function of the address and `seed`."""
    mask = (1 << unit) - 1

    def cell(address: int) -> int:
        value = 0
        for chunk in range(0, unit, 32):
            x = (address * 0x9E3779B97F4A7C15 + seed + chunk) & 0xFFFFFFFFFFFFFFFF
            x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
            x = (x ^ x >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
            value = value << 32 | x >> 32
        return value & mask

    return cell


def _at_reset(element: ir.Element) -> int:
    if element.reset is not None:
        return element.reset
    if element.legal and 0 not in element.legal:
        return element.legal[0]
    return 0


def _sizing(isa: ir.Isa) -> set[str]:
    """The choices that the size of a memory depends on."""
    sizes = [s.size for s in isa.spaces.values() if isinstance(s, ir.Memory) and s.size is not None]
    return {e.element for size in sizes for e in ir.subterms(size) if isinstance(e, ir.Get)}


def _ones(part: ir.RegisterPart) -> int:
    return (1 << (part.hi - part.lo + 1)) - 1


def _printed(place: str, index: int | None) -> str:
    return place if index is None else f"{place}[{index:#x}]"
