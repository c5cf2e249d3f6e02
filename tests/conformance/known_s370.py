"""Where Hercules is known not to do what the Principles of Operation say, or chooses otherwise than the spec."""

from __future__ import annotations

from conformance.deviation import Case, Deviation, Excuse

CC = 3 << 44
REFERENCE, CHANGE = 2, 1
ADDRESS, LENGTH = 0xFF_FFFF, 6
PROGRAM = 0x28 << 16  # the interruption codes of the oracle have the address of the old PSW before them
ADDRESSING = PROGRAM | 0x05
ACCESS = frozenset(PROGRAM | code for code in (0x04, 0x05, 0x10, 0x11, 0x12))


def _stored(case: Case, last: int = 8) -> Excuse:
    """The last bytes of the doubleword that the instruction stored."""
    stored = [touch.cell[1] for touch in case.accesses if touch.kind == "write" and touch.cell[0] == "core"]
    return Excuse(memory=case.memory(*stored[-last:]))


def _operand(case: Case) -> int:
    """The word that the instruction read, byte by byte."""
    touches = [touch for touch in case.accesses if touch.kind == "read" and touch.cell[0] == "core" and not touch.table]
    return int.from_bytes(bytes(touch.value for touch in touches[-4:]), "big")


def _fetched(case: Case) -> int:
    """The first two halfwords of the instruction; if it has but one, zero is the other."""
    touches = [touch.value for touch in case.accesses if touch.kind == "fetch" and touch.cell[0] == "core"]
    return touches[0] << 16 | (touches[1] if len(touches) > 1 else 0)


def _halves_differ(case: Case) -> bool:
    """Of ISKE: whether the 4K that R2 designates have different keys in their two blocks of 2K."""
    state = case.state(case.vector)
    page, prefix = state.read("r", _fetched(case) & 15) >> 12 & 0xFFF, state.read("prefix")
    page = prefix if page == 0 else 0 if page == prefix else page
    return state.read("skey", 2 * page) >> 2 != state.read("skey", 2 * page + 1) >> 2


def _inserted(case: Case) -> str:
    """Of ISK and ISKE: the register that takes the key."""
    return f"r{_fetched(case) >> (20 if case.family == 'isk' else 4) & 15}"


def _blocks_that_differ(case: Case) -> list[int]:
    """The blocks of 2K whose keys differ."""
    return [int(name[1:]) for name in (line.partition(":")[0] for line in case.lines) if name[0] == "k"]


def _page_0(case: Case) -> int:
    """Where page 0 is after the interruption."""
    return case.expected.registers["prefix"] << 12


def _length_is_another(case: Case) -> bool:
    """Of a program interruption: whether the address in the old PSW differs as the stored length of the instruction."""
    addresses, lengths = case.numbers(_page_0(case) + 0x2D, 3), case.numbers(_page_0(case) + 0x8D, 1)
    return addresses[1] - addresses[0] & ADDRESS == lengths[1] - lengths[0] & ADDRESS


def _length(case: Case) -> Excuse:
    """The address in the old PSW of a program interruption that does not nullify, and the length code."""
    page = _page_0(case)
    address = range(page + 0x2D, page + (0x2D if case.trapped("segment", "page") else 0x30))
    return Excuse(memory=case.memory(*address) | case.memory(page + 0x8D, bits=LENGTH))


def _address_in_page(case: Case) -> Excuse:
    """The bits of the stored translation address that say where in its page it is."""
    page = _page_0(case)
    return Excuse(memory=case.memory(page + 0x92, bits=0x0F) | case.memory(page + 0x93))


def _is_beyond_the_table(case: Case) -> bool:
    """Whether the translation ended with a valid segment table entry, because of a length of the page table above 0."""
    tables = [touch for touch in case.accesses if touch.table]
    return bool(tables) and tables[-1].bits == 32 and not tables[-1].value & 1 and tables[-1].value >> 28 > 0


def _references(case: Case) -> Excuse:
    """The reference bits that only the oracle has set."""
    keys = [f"k{block}" for block in _blocks_that_differ(case)]
    return Excuse({key: REFERENCE & case.observed.registers[key] for key in keys})


def _extended_frame(case: Case) -> bool:
    """Whether a page table entry of a page of 4K has bits 13 or 14."""
    entries = [touch.value for touch in case.accesses if touch.table and touch.bits == 16]
    return case.vector.registers["c0"] >> 22 & 3 == 0b10 and bool(entries) and bool(entries[-1] & 6)


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
        lambda c: c.observed.trap == ADDRESSING and bool(_operand(c) & 0x7F00_0000),
    ),
    Deviation(
        "RRB acts on both blocks of 2K in 4K (GA22-7000, RESET REFERENCE BIT: on the one that is addressed)",
        "rrb",
        lambda c: c.expected.trap is None and len(_blocks_that_differ(c)) < 2,
        excuse=lambda c: Excuse({f"k{n}": REFERENCE for n in _blocks_that_differ(c)} | {"psw": CC}),
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
        excuse=lambda c: Excuse({_inserted(c): (REFERENCE | CHANGE) << 1}),
    ),
    Deviation(
        "ISKE of two different keys of 2K is their OR (in the spec, access control and fetch protection of the first)",
        "iske",
        lambda c: c.expected.trap is None and _halves_differ(c),
        excuse=lambda c: Excuse({_inserted(c): 0xFE}),
    ),
    Deviation(
        "STCM with a mask of zero accesses one byte (GA22-7000: some models do)",
        "stcm",
        lambda c: _fetched(c) >> 16 & 0xF == 0 and c.expected.trap is None and c.observed.trap in ACCESS,
    ),
    Deviation(
        "the length code of an instruction that is not fetched (POP, 6: unpredictable) or undefined (in the spec, 1)",
        "",
        lambda c: c.expected.trap is not None and (_length_is_another(c) or c.trapped("segment", "page")),
        excuse=_length,
    ),
    Deviation(
        "the translation address is that of the page (POP, 3: the rightmost bits are unpredictable)",
        ".*",
        lambda c: c.trapped("segment", "page"),
        excuse=_address_in_page,
    ),
    Deviation(
        "bits 13 and 14 of an entry for 4K are address bits (POP, 3: with extended real addressing, else must be zero)",
        ".*",
        lambda c: c.trapped("translation") and _extended_frame(c),
    ),
    Deviation(
        "page tables longer than 1/16 have any length (POP, 3: it is compared with four bits of the page index)",
        ".*",
        lambda c: (c.trapped("page") or c.family in ("lra", "tprot")) and _is_beyond_the_table(c),
        silent=True,  # it may store into its own new PSWs
    ),
    Deviation(
        "an operand of an instruction that is interrupted may have been referred to (POP, 3: so it may be)",
        ".*",
        lambda c: c.expected.trap is not None,
        excuse=_references,
    ),
)
