"""The generated virtual machine monitor: ⟨dispatcher, allocator, interpreter routines⟩ from Isa, scheme and report.

`generate` makes the plan, or refuses; `Monitor` makes virtual machines by it.  docs/monitor.md explains both.
"""

from emulator.monitor.counters import Counters
from emulator.monitor.monitor import Monitor
from emulator.monitor.plan import Plan, Refused, Technique, generate
from emulator.monitor.vm import Breach, VirtualMachine

__all__ = ["Breach", "Counters", "Monitor", "Plan", "Refused", "Technique", "VirtualMachine", "generate"]
