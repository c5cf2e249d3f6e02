"""Where SIMH's KS10 is another machine than the KA10.

KS: DECsystem-2020 processor reference in the PDP-10 reference manuals of 1978 and later; SRM: the KA10's.
"""

from __future__ import annotations

from conformance.deviation import Case, Deviation, Excuse

USER = 1 << 12
HALF = (1 << 18) - 1
SHARED_JRST = (0o0, 0o1, 0o2, 0o4, 0o10, 0o12)
KS10_CODES = range(0o105, 0o130)


def _word(case: Case) -> int:
    """The instruction."""
    return next(touch.value for touch in case.accesses if touch.kind == "fetch")


def _function(case: Case) -> int:
    """Of JRST: what it does beside the jump."""
    return _word(case) >> 23 & 0xF


def _in_user_mode(case: Case) -> bool:
    return bool(case.vector.registers["flags"] & USER)


def _right_half(case: Case) -> int:
    """Of the accumulator of the instruction."""
    return case.vector.registers[f"ac{_function(case)}"] & HALF


def _plus(word: int, one: int) -> int:
    """With 1 or -1 added to each half by itself."""
    return (word & HALF << 18) + (one << 18) & HALF << 18 | (word & HALF) + one & HALF


def _accumulator(case: Case) -> int:
    """What the oracle left in the accumulator of the instruction."""
    return case.observed.registers[f"ac{_function(case)}"]


def _pushed_there(case: Case) -> int | None:
    """What was written to the accumulator of the instruction, as to a word of the list."""
    written = [t.value for t in case.accesses if t.kind == "write" and t.address == _function(case)]
    return written[0] if written else None


def _pointer(case: Case) -> int:
    """The byte pointer that the instruction wrote back, as it was."""
    written = [touch.cell[1] for touch in case.accesses if touch.kind == "write"]
    return next((touch.value for touch in case.accesses if touch.kind == "read" and touch.cell[1] in written), 0)


def _its_accumulator(case: Case) -> Excuse:
    """The accumulator of the instruction."""
    return Excuse({f"ac{_function(case)}": (1 << 36) - 1})


SIMH: tuple[Deviation, ...] = (
    Deviation(
        "HALT in user mode is a monitor call, with User In-Out too (SRM 2.15: then it halts)",
        "jrst",
        lambda c: _function(c) == 4 and _in_user_mode(c),
    ),
    Deviation(
        "the other functions of JRST are instructions of their own or monitor calls",
        "jrst",
        lambda c: _function(c) not in SHARED_JRST,
    ),
    Deviation(
        "JRST 1 does not enter user mode (SRM 2.9: it does)",
        "jrst",
        lambda c: _function(c) == 1 and not _in_user_mode(c),
        {"flags": USER},
    ),
    Deviation("257 is MAP", "nop257", lambda c: True),
    Deviation(
        "codes from 105 on are instructions (SRM 2.10: unassigned)",
        "unassigned",
        lambda c: _word(c) >> 27 in KS10_CODES,
    ),
    Deviation(
        "no carry goes from the right half into the left (SRM 2.2, 2.7: the KA10 adds 1 to both halves as to one word)",
        "aobjp|aobjn|push|pushj",
        lambda c: _right_half(c) == HALF,
    ),
    Deviation(
        "no borrow goes from the right half into the left (SRM 2.2: the KA10 subtracts 1 from both as from one word)",
        "pop|popj",
        lambda c: _right_half(c) == 0,
    ),
    Deviation(
        "BLT whose destination is beyond E moves no word (SRM 2.2: one)",
        "blt",
        lambda c: c.expected.registers[f"ac{_function(c)}"] & HALF == _right_half(c) + 1,
    ),
    Deviation(
        "-2**35 is a multiplier as any other (the KA10 takes it for +2**35)",
        "i?mul.*",
        lambda c: c.vector.registers[f"ac{_function(c)}"] == 1 << 35,
    ),
    Deviation(
        "an address of 777777 in a byte pointer is incremented without a carry (SRM 2.3: 1 is added to the word)",
        "ibp|ildb|idpb",
        lambda c: _pointer(c) & HALF == HALF,
    ),
    Deviation(
        "POP into its own accumulator subtracts from what it has popped",
        "pop",
        lambda c: _accumulator(c) == _plus(c.expected.registers[f"ac{_function(c)}"], -1),
        excuse=_its_accumulator,
    ),
    Deviation(
        "PUSH and PUSHJ onto their own accumulator add to what they have pushed (the KA10 stores the pointer last)",
        "pushj?",
        lambda c: (pushed := _pushed_there(c)) is not None and _accumulator(c) == _plus(pushed, 1),
        excuse=_its_accumulator,
    ),
)
