"""The run-time state of a machine on generated code: one block of words, the elements and files of the spec in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from analyzer import ir
from emulator.codegen.layout import Bank, Layout, slot
from emulator.codegen.plan import Plan
from emulator.interface import Ram, Region
from emulator.machine.base import BaseMachine
from emulator.machine.pages import Buffer
from emulator.state import State
from emulator.storage import Storage


class Words(BaseMachine):
    """A machine whose elements are in a block of words."""

    _plan: Plan

    def __init__(
        self,
        isa: ir.Isa,
        regions: Sequence[Region],
        choices: Mapping[str, int] | None = None,
        storages: Mapping[str, Storage] | None = None,
    ) -> None:
        super().__init__(isa, regions, choices, storages)
        self._bank = Bank.of(isa, [r for r in regions if isinstance(r, Ram)])
        self._layout = Layout(isa)
        self._state = Buffer(self._layout.size)
        reset = State(isa, choices)
        for element in isa.elements.values():
            self._write_slot(self._layout.elements[element.name], element.width, reset.elements[element.name])
        for file in isa.files.values():
            for i, value in enumerate(reset.files[file.name]):
                self._write_slot(self._layout.entry(file, i), file.width, value)

    def _put(self, word: str, value: int) -> None:
        self._state.words[self._layout.words[word] // 8] = value

    def _word(self, word: str) -> int:
        return self._state.words[self._layout.words[word] // 8]

    def _write_slot(self, offset: int, width: int, value: int) -> None:
        for i in range(slot(width) // 8):
            self._state.words[offset // 8 + i] = value >> 64 * i & 0xFFFFFFFFFFFFFFFF

    def _read_slot(self, offset: int, width: int) -> int:
        if width <= 64:
            return self._state.words[offset >> 3]
        return sum(self._state.words[offset // 8 + i] << 64 * i for i in range(slot(width) // 8))

    def _element(self, name: str) -> int:
        return self._read_slot(self._layout.elements[name], self._isa.elements[name].width)

    def _pc(self) -> int:
        return self._read_slot(self._layout.elements[self._plan.pc], self._plan.pc_width)

    def _key(self) -> int:
        key = at = 0
        for name in self._plan.key:
            key |= self._element(name) << at
            at += self._isa.elements[name].width
        return key

    def _known(self) -> dict[str, int]:
        """The elements of the present context."""
        return {name: self._element(name) for name in self._plan.key}

    @cached_property
    def _narrow(self) -> list[tuple[str, int]]:
        """The elements that take one word, and where it is."""
        offsets = self._layout.elements
        return [(e.name, offsets[e.name] // 8) for e in self._isa.elements.values() if e.width <= 64]

    @cached_property
    def _wide(self) -> list[str]:
        return [e.name for e in self._isa.elements.values() if e.width > 64]

    def _entries(self, file: ir.File) -> list[int]:
        start, each = self._layout.files[file.name] // 8, slot(file.width) // 8
        words: list[int] = self._state.words[start : start + each * file.size].tolist()
        if each == 1:
            return words
        return [sum(words[i * each + j] << 64 * j for j in range(each)) for i in range(file.size)]

    def _snapshot_roots(self) -> list[object]:
        found: list[object] = []
        for name in sorted(self._plan.roots):
            if name in self._isa.elements:
                found.append(self._element(name))
            else:
                file = self._isa.files[name]
                start = self._layout.files[name] // 8
                found.append(bytes(self._state.words[start : start + slot(file.width) // 8 * file.size]))
        return found
