"""The reference executor: the obvious meaning of the IR.

Every write is journalled, so a trap can undo: what it was, in reverse order.  `Commit` forgets the journal.  Nothing
that a spec or a guest does can hang or crash it: rounds of loops, calls and accesses are counted against
`Policy.budget`, procedures and maps nest to a limit, and what exceeds them is the event `Stuck`.

`Machine` steps a state; `execute` runs one instruction on a copy of one.
"""

from emulator.reference.events import (
    Completed,
    DoubleFault,
    Event,
    Halted,
    Policy,
    Stuck,
    Touch,
    Trapped,
    Undefined,
    Unpredicted,
)
from emulator.reference.machine import Machine, Outcome, execute

__all__ = [
    "Completed",
    "DoubleFault",
    "Event",
    "Halted",
    "Machine",
    "Outcome",
    "Policy",
    "Stuck",
    "Touch",
    "Trapped",
    "Undefined",
    "Unpredicted",
    "execute",
]
