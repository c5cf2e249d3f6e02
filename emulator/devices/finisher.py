"""The SiFive test finisher: a word that ends the run.

QEMU, hw/misc/sifive_test.c, and Linux, Documentation/devicetree/bindings (sifive,test0): 0x5555 passes, 0x3333 fails
with the code in the upper half, 0x7777 resets.
"""

from __future__ import annotations

from emulator.devices.attach import Peripheral


class Finisher(Peripheral):
    """Stops the machine with an exit code; a reset stops it with 0."""

    def read(self, offset: int, bits: int) -> int:
        return 0

    def write(self, offset: int, bits: int, value: int) -> None:
        if offset == 0:
            match value & 0xFFFF:
                case 0x5555 | 0x7777:
                    self.machine.stop(0)
                case 0x3333:
                    self.machine.stop(value >> 16 & 0xFFFF)
                case _:
                    pass
