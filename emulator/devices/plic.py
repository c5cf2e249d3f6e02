"""Platform-level interrupt controller: RISC-V PLIC specification, version 1.0.0.

Priorities at 4·source, pending bits at 0x1000, enables at 0x2000 + 0x80·context, threshold and claim/complete at
0x200000 + 0x1000·context.  Registers have 32 bits.  The gateways are level-triggered: a source that is claimed is not
pending again before it is completed.
"""

from __future__ import annotations

from emulator.devices.attach import Kept, Wire

SOURCES = 96
PRIORITY_BITS = 0b111
PENDING, ENABLE, CONTEXT = 0x1000, 0x2000, 0x200000


class Plic:
    """Sources 1 to 95; one context for each of `targets`, the wires to the hart."""

    def __init__(self, targets: list[Wire]) -> None:
        self._targets = targets
        self._priority = [0] * SOURCES
        self._enabled = [0] * len(targets)
        self._threshold = [0] * len(targets)
        self._level = self._pending = self._claimed = 0  # sets of sources

    def source(self, number: int) -> Wire:
        """The wire into source `number`.

        Raises:
            ValueError: there is no such source.
        """
        if not 0 < number < SOURCES:
            raise ValueError(f"there is no interrupt source {number}: there are 1 to {SOURCES - 1}")

        def drive(level: int) -> None:
            bit = 1 << number
            self._level = self._level | bit if level else self._level & ~bit
            self._update()

        return drive

    def kept(self) -> Kept:
        sources = {"level": self._level, "pending": self._pending, "claimed": self._claimed}
        lists = {"priority": self._priority, "enabled": self._enabled, "threshold": self._threshold}
        return {**sources, **{name: list(each) for name, each in lists.items()}}

    def keep(self, kept: Kept) -> None:
        self._level, self._pending, self._claimed = kept["level"], kept["pending"], kept["claimed"]
        self._priority, self._enabled = list(kept["priority"]), list(kept["enabled"])
        self._threshold = list(kept["threshold"])

    def read(self, offset: int, bits: int) -> int:
        word = offset >> 2
        if offset < PENDING:
            return self._priority[word] if word < SOURCES else 0
        if offset < ENABLE:
            return self._pending >> 32 * (word - PENDING // 4) & 0xFFFFFFFF
        context, register = self._context(offset)
        if context is None:
            return 0
        if offset < CONTEXT:
            return self._enabled[context] >> 32 * register & 0xFFFFFFFF
        match register:
            case 0:
                return self._threshold[context]
            case 1:
                return self._claim(context)
            case _:
                return 0

    def write(self, offset: int, bits: int, value: int) -> None:
        word = offset >> 2
        context, register = self._context(offset)
        if offset < PENDING:
            if 0 < word < SOURCES:
                self._priority[word] = value & PRIORITY_BITS
        elif context is not None and ENABLE <= offset < CONTEXT:
            mask = 0xFFFFFFFF << 32 * register
            # Source 0 does not exist.
            self._enabled[context] = (self._enabled[context] & ~mask | value << 32 * register & mask) & ~1
        elif context is not None and offset >= CONTEXT and register == 0:
            self._threshold[context] = value & PRIORITY_BITS
        elif context is not None and offset >= CONTEXT and register == 1 and value < SOURCES:
            self._claimed &= ~(self._enabled[context] & 1 << value)  # one that cannot claim cannot complete
        self._update()

    def _context(self, offset: int) -> tuple[int | None, int]:
        """The context of an address, and the number of the register in it."""
        if offset < ENABLE:
            return None, 0
        step, base = (0x80, ENABLE) if offset < CONTEXT else (0x1000, CONTEXT)
        context, rest = divmod(offset - base, step)
        return (context if context < len(self._targets) else None), rest >> 2

    def _best(self, context: int) -> int:
        """The pending source of the highest priority above the threshold, the lowest number first; 0 for none."""
        ready = self._pending & self._enabled[context]
        found, most = 0, self._threshold[context]
        for number in range(1, SOURCES):
            if ready >> number & 1 and self._priority[number] > most:
                found, most = number, self._priority[number]
        return found

    def _claim(self, context: int) -> int:
        ready = self._pending & self._enabled[context]
        # A claim is not subject to the threshold (section 8).
        number = max((n for n in range(1, SOURCES) if ready >> n & 1), key=lambda n: (self._priority[n], -n), default=0)
        if number and self._priority[number]:
            self._claimed |= 1 << number
            self._pending &= ~(1 << number)
            self._update()
            return number
        return 0

    def _update(self) -> None:
        self._pending |= self._level & ~self._claimed
        for context, target in enumerate(self._targets):
            target(int(self._best(context) != 0))
