"""What a copier and its driver agree on: the words that it works on, and how it tells what there is of copies.

What the copier works on lies in memory: the *desk* (its words are `DESK`), the records of a page, the stencils by the
numbers of variants (`steps`), and two words for each record, the *entry*: where the copy that begins there is entered
by others (0: there is none; 1: there is to be none), the number of the first link, and the units that the copy stands
for.  A *link* is a jump of a copy that may lead to another one: the place of its distance, its other way, the address
that it leads to, and the next link to the same address.

All that is written is reached by two addresses: it is written at one, and executed at the other, `shift` bytes away.
"""

from __future__ import annotations

from emulator.codegen.agreed import GLUE
from emulator.codegen.steps import ARGUMENTS

DESK = (
    "often",  # where what runs often goes next, and where it ends
    "often_end",
    "seldom",  # so for what runs seldom
    "seldom_end",
    "shift",
    "first",  # the address of the first record of the page, and those that are in it
    "lo",
    "hi",
    "parcel",  # units from one record to the next
    "records",
    "stride",
    "entries",
    "handlers",  # by number
    "stencils",
    "waiting",  # addresses to look at, up to `top`
    "top",
    "full",
    "links",  # all of them, those that are there, and how many there may be
    "linked",
    "most",
    "missing",  # the address of an instruction whose stencil was not made yet
    "strict",  # `ABSENT` if there is to be one, then, else 0
    "made",  # copies, and the units that one of them stands for at most
    "widest",
    "bail",  # that of the instruction that is being copied, or 0
    "failed",
    *(f"glue.{name}" for name in GLUE),
    *(f"stencil.{name}" for name in ARGUMENTS),
    *(f"given.{name}" for name in ARGUMENTS),
)
LINK = 32
"""Bytes of a link."""
ENTRY = 16
NEVER = 1
"""In place of an address."""
LONGEST = 48
"""Instructions of a copy."""
ALIGNED = 16
"""Copies begin at multiples of so many bytes."""
LARGEST = 1 << 15
"""Bytes of a copy, of either kind, at most."""

DONE, MISSING, FULL = range(3)
"""What `copy` gives: all is copied; a stencil is missing; there is no room for more."""
