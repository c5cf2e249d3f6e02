"""UART 16550: National Semiconductor, PC16550D datasheet (June 1995), section 8.

One register a unit; registers 0 and 1 are the divisor latch while LCR.DLAB is set.  What is sent leaves at once, so the
transmitter is always empty; the divisor, the framing and the FIFO's trigger level have no effect.
"""

from __future__ import annotations

from collections import deque

from emulator.devices.attach import Kept, Wire, nowhere
from emulator.devices.console import Console

RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)

DATA_READY, TRANSMITTER_EMPTY = 0x01, 0x60  # LSR (8.6.3): DR; THRE and TEMT
DIVISOR_LATCH = 0x80  # LCR (8.6.1)
LOOP = 0x10  # MCR (8.6.7)
RECEIVED, EMPTIED = 0x01, 0x02  # IER (8.6.6)
NONE, BY_EMPTIED, BY_RECEIVED = 0x01, 0x02, 0x04  # IIR (table II)
CONNECTED = 0xB0  # MSR (8.6.8): DCD, DSR, CTS


class Uart16550:
    """A serial port with a console at its other end."""

    def __init__(self, console: Console, irq: Wire = nowhere) -> None:
        self._console = console
        self._irq = irq
        self._registers = bytearray(8)
        self._divisor = [0, 0]
        self._fifo = False
        self._emptied = False
        self._looped: deque[int] = deque(maxlen=16)
        console.listen(self._update)

    def kept(self) -> Kept:
        numbers = {"registers": list(self._registers), "divisor": list(self._divisor), "looped": list(self._looped)}
        return {**numbers, "fifo": self._fifo, "emptied": self._emptied}

    def keep(self, kept: Kept) -> None:
        self._registers[:] = bytes(kept["registers"])
        self._divisor[:] = kept["divisor"]
        self._looped.clear()
        self._looped.extend(kept["looped"])
        self._fifo, self._emptied = kept["fifo"], kept["emptied"]

    def read(self, offset: int, bits: int) -> int:
        """A register; wider accesses see the registers beside it as 0."""
        match offset:
            case 0 | 1 if self._registers[LCR] & DIVISOR_LATCH:
                return self._divisor[offset]
            case 0:
                return self._receive()
            case 2:
                return self._identify()
            case 5:
                return TRANSMITTER_EMPTY | (DATA_READY if self._received() else 0)
            case 6:
                control = self._registers[MCR]
                # In loop mode the outputs are the inputs: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD.
                looped = (control & 2) << 3 | (control & 1) << 5 | (control & 4) << 4 | (control & 8) << 4
                return looped if control & LOOP else CONNECTED
            case 1 | 3 | 4 | 7:
                return self._registers[offset]
            case _:
                return 0

    def write(self, offset: int, bits: int, value: int) -> None:
        """A register; wider accesses write the first one only."""
        value &= 0xFF
        match offset:
            case 0 | 1 if self._registers[LCR] & DIVISOR_LATCH:
                self._divisor[offset] = value
            case 0:
                if self._registers[MCR] & LOOP:
                    self._looped.append(value)
                else:
                    self._console.put(value)
                self._emptied = True
            case 1:
                # Enabling the interrupt of an empty transmitter raises it (table II).
                self._emptied = self._emptied or bool(value & ~self._registers[IER] & EMPTIED)
                self._registers[IER] = value & 0x0F
            case 2:
                self._fifo = bool(value & 1)
                if value & 2:
                    self._looped.clear()
            case 3 | 4 | 7:
                self._registers[offset] = value
            case _:
                pass
        self._update()

    def _received(self) -> bool:
        return bool(self._looped) if self._registers[MCR] & LOOP else self._console.ready

    def _receive(self) -> int:
        if self._registers[MCR] & LOOP:
            character: int | None = self._looped.popleft() if self._looped else None
        else:
            character = self._console.get()
        self._update()
        return character or 0

    def _cause(self) -> int:
        enabled = self._registers[IER]
        if enabled & RECEIVED and self._received():
            return BY_RECEIVED
        return BY_EMPTIED if enabled & EMPTIED and self._emptied else NONE

    def _identify(self) -> int:
        """IIR; reading it takes back the interrupt of an empty transmitter."""
        cause = self._cause()
        if cause == BY_EMPTIED:
            self._emptied = False
            self._update()
        return cause | (0xC0 if self._fifo else 0)

    def _update(self) -> None:
        self._irq(int(self._cause() != NONE))
