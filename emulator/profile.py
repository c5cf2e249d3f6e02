"""Where a program spends its steps.

The program counter is looked at again and again, at equal distances in steps.  Budgets are exact, so a profile is the
same each time and in every tier, whatever else the host does, and the program does not notice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from analyzer import ir
from emulator.disassemble import disassemble
from emulator.interface import Exit, Machine, Reason
from emulator.peek import Peek
from emulator.state import State

FIRST = 1009
"""Steps between two looks at first: a prime, so that loops do not fall into step with it."""
MOST = 2000
"""Looks after which they come half as often."""
TOLD = 10
"""Places that are told, of each kind."""

Where = tuple[tuple[int, ...], int]
"""The elements that the mode depends on, and the program counter."""


class Profile:
    """What was seen: an instruction that comes next stands for all steps since the look before."""

    def __init__(self) -> None:
        self.distance = FIRST
        self.looks = 0
        self.steps: Counter[Where] = Counter()
        self._waiting = FIRST

    def run(self, machine: Machine, budget: int) -> Exit:
        """Lets the machine run, and looks."""
        taken = 0
        while True:
            ended = machine.run(min(self._waiting, budget - taken))
            taken += ended.steps
            self._waiting -= ended.steps
            if self._waiting == 0:
                self._look(machine)
            if ended.reason is not Reason.BUDGET or taken == budget:
                return replace(ended, steps=taken)

    def _look(self, machine: Machine) -> None:
        mode = tuple(map(machine.read, deciding(machine.isa)))
        self.steps[mode, machine.read(machine.isa.fetch.pc)] += self.distance
        self.looks += 1
        if self.looks % MOST == 0:
            self.distance = 2 * self.distance + 1
        self._waiting = self.distance

    def told(self, machine: Machine, symbols: Mapping[str, int]) -> Told:
        """What the profile comes to; instructions are shown as they stand in memory by now."""
        return Told(self, machine, symbols)


class Told:
    """A profile in words."""

    def __init__(self, profile: Profile, machine: Machine, symbols: Mapping[str, int]) -> None:
        self.profile, self.isa, self.peek = profile, machine.isa, Peek(machine)
        named = sorted((value, name) for name, value in symbols.items())
        self._values, self._names = [value for value, _ in named], [name for _, name in named]
        self.total = sum(profile.steps.values())

    def lines(self) -> list[str]:
        """For people: the names of the program that take most of its steps, and the instructions."""
        profile = self.profile
        last = f" to {profile.distance:,}" if profile.distance != FIRST else ""
        found = [f"profile: {self.total:,} steps, looked at {profile.looks:,} times, each {FIRST:,}{last} steps"]
        digits = min((self.isa.elements[self.isa.fetch.pc].width + 3) // 4, 16)
        for name, steps in self._by_name().most_common(TOLD):
            found.append(f"{self._share(steps)}  {name}")
        for (mode, pc), steps in profile.steps.most_common(TOLD):
            decoded = self.peek.instruction(pc)
            text = "" if decoded is None else disassemble(self.isa, decoded, pc)
            away = self._near(pc, plus=True)
            found.append(f"{self._share(steps)}  {self._mode(mode)}  {pc:0{digits}x}  {text:<32}  {away}".rstrip())
        return found

    def as_data(self) -> list[dict[str, Any]]:
        """For programs: all places that were seen, those with most steps first."""
        return [
            {"pc": pc, "mode": self._mode(mode), "symbol": self._near(pc), "steps": steps}
            for (mode, pc), steps in self.profile.steps.most_common()
        ]

    def _by_name(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (_, pc), steps in self.profile.steps.items():
            name = self._near(pc)
            if name:
                found[name] += steps
        return found

    def _share(self, steps: int) -> str:
        return f"{100 * steps / max(self.total, 1):5.1f} %"

    def _near(self, pc: int, plus: bool = False) -> str:
        """The name at an address or before it; how far it is, if asked for."""
        i = bisect_right(self._values, pc) - 1
        if i < 0:
            return ""
        away = pc - self._values[i]
        return f"{self._names[i]}+{away:#x}" if plus and away else self._names[i]

    def _mode(self, values: tuple[int, ...]) -> str:
        state = State(self.isa)
        state.elements.update(zip(deciding(self.isa), values, strict=True))
        return state.mode()


def deciding(isa: ir.Isa) -> list[str]:
    """The elements that the mode depends on."""
    terms = ir.subterms(isa.mode.expr)
    return list(dict.fromkeys(term.element for term in terms if isinstance(term, ir.Get)))
