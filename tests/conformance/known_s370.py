"""Where Hercules is known not to do what the Principles of Operation say, or chooses otherwise than the spec."""

from __future__ import annotations

from conformance.deviation import Case, Deviation, Excuse

CC = 3 << 44
REFERENCE, CHANGE = 2, 1


def _stored(case: Case, last: int = 8) -> Excuse:
    """The last bytes of the doubleword that the instruction stored."""
    stored = [touch.cell[1] for touch in case.accesses if touch.kind == "write" and touch.cell[0] == "core"]
    return Excuse(memory=case.memory(*stored[-last:]))


def _operand(case: Case) -> int:
    """The word that the instruction read, byte by byte."""
    touches = [touch for touch in case.accesses if touch.kind == "read" and touch.cell[0] == "core" and not touch.table]
    return int.from_bytes(bytes(touch.value for touch in touches[-4:]), "big")


def _fetched(case: Case) -> int:
    """The first two halfwords of the instruction."""
    touches = [touch.value for touch in case.accesses if touch.kind == "fetch" and touch.cell[0] == "core"]
    return touches[0] << 16 | touches[1]


def _halves_differ(case: Case) -> bool:
    """Of ISKE: whether the 4K that R2 designates have different keys in their two blocks of 2K."""
    state = case.state(case.vector)
    page, prefix = state.read("r", _fetched(case) & 15) >> 12 & 0xFFF, state.read("prefix")
    page = prefix if page == 0 else 0 if page == prefix else page
    return state.read("skey", 2 * page) >> 2 != state.read("skey", 2 * page + 1) >> 2


HERCULES: tuple[Deviation, ...] = (
    Deviation("the clock runs", "stck", lambda c: c.expected.trap is None, excuse=_stored),
    Deviation("the CPU timer runs", "stpt", lambda c: c.expected.trap is None, excuse=_stored),
    Deviation(
        "the clock comparator has no bits 52 to 63 (GA22-7000, chapter 4: how many there are depends on the model)",
        "stckc",
        lambda c: c.expected.trap is None,
        excuse=lambda c: _stored(c, 2),
    ),
    Deviation(
        "bits 1 to 7 of the operand of SPX belong to the prefix (GA22-7000, SET PREFIX: ignored)",
        "spx",
        lambda c: c.expected.trap is None and bool(_operand(c) & 0x7F00_0000),
    ),
    Deviation(
        "RRB acts on both blocks of 2K in 4K (GA22-7000, RESET REFERENCE BIT: on the one that is addressed)",
        "rrb",
        lambda c: c.expected.trap is None,
        {f"k{n}": REFERENCE for n in range(64)} | {"psw": CC},
    ),
    Deviation(
        "accesses set the reference and change bits (in the spec, a caveat)",
        "rrbe",
        lambda c: c.expected.trap is None,
        {"psw": CC},
    ),
    Deviation(
        "accesses set the reference and change bits (in the spec, a caveat)",
        "isk|iske",
        lambda c: c.expected.trap is None,
        dict.fromkeys((f"r{n}" for n in range(16)), (REFERENCE | CHANGE) << 1),
    ),
    Deviation(
        "ISKE of two different keys of 2K is their OR (in the spec, access control and fetch protection of the first)",
        "iske",
        lambda c: c.expected.trap is None and _halves_differ(c),
        dict.fromkeys((f"r{n}" for n in range(16)), 0xFE),
    ),
    Deviation(
        "ICM and STCM with a mask of zero access one byte (GA22-7000: for ICM, exceptions are recognized for one)",
        "icm|stcm",
        lambda c: _fetched(c) >> 16 & 0xF == 0,
    ),
)
