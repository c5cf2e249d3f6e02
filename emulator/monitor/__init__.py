"""The generated virtual machine monitor: ⟨dispatcher, allocator, interpreter routines⟩ from Isa, scheme and report.

`generate` makes the plan, or refuses; `Monitor` makes virtual machines by it.  docs/monitor.md explains both.
"""

from analyzer.errors import Breach, Refused
from emulator.monitor.counters import Counters
from emulator.monitor.monitor import Monitor
from emulator.monitor.plan import TECHNIQUES, Plan, Technique, generate
from emulator.monitor.vm import VirtualMachine

__all__ = [
    "TECHNIQUES",
    "Breach",
    "Counters",
    "Monitor",
    "Plan",
    "Refused",
    "Technique",
    "VirtualMachine",
    "generate",
]
