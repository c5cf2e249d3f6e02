"""Where Spike chooses otherwise than the spec of RV64 where the manual leaves a choice."""

from __future__ import annotations

from conformance.deviation import Case, Deviation, Excuse

CSR = "csrr[wsc]i?"
FS, SD = 0x6000, 1 << 63


def _parcels(case: Case) -> list[int]:
    """The parcels of 16 bits that were fetched; of what is not compressed, at most two."""
    parcels = [touch.value for touch in case.accesses if touch.kind == "fetch"]
    return parcels[:2] if parcels and parcels[0] & 3 == 3 else parcels[:1]


def _instruction(case: Case) -> int:
    """The parcels as one little-endian number."""
    return sum(parcel << 16 * i for i, parcel in enumerate(_parcels(case)))


def _csr(case: Case, *ranges: range) -> bool:
    """Of a CSR instruction: whether its register is one of these."""
    return any(_instruction(case) >> 20 in numbers for numbers in ranges)


def _tval_is_the_instruction(case: Case, tval: str) -> bool:
    """Of an illegal instruction: whether `tval` holds it, of which the spec may have fetched one parcel only."""
    parcels, value = _parcels(case), case.observed.registers[tval]
    seen = [value >> 16 * i & 0xFFFF for i in range(len(parcels))]
    return case.trapped("illegal") and seen == parcels and value < 1 << (32 if parcels[0] & 3 == 3 else 16)


ALL = (1 << 64) - 1

SPIKE: tuple[Deviation, ...] = (
    Deviation(
        "mtval of an illegal instruction is its bits (privileged 3.1.16: or zero, as in the spec)",
        ".*",
        lambda c: _tval_is_the_instruction(c, "mtval"),
        {"mtval": ALL},
    ),
    Deviation(
        "stval of an illegal instruction is its bits (privileged 4.1.9: or zero, as in the spec)",
        ".*",
        lambda c: _tval_is_the_instruction(c, "stval"),
        {"stval": ALL},
    ),
    Deviation(
        "mstatus.FS is writable, and SD follows it, although F is absent (privileged 3.1.6.6: may be read-only zero)",
        CSR,
        lambda c: _csr(c, range(0x100, 0x101), range(0x300, 0x301)),
        {"mstatus": FS | SD},
    ),
    Deviation(
        "misa is writable (privileged 3.1.1: WARL)",
        CSR,
        lambda c: _csr(c, range(0x301, 0x302)),
        {"misa": ALL, "mepc": 2, "sepc": 2},  # without C the epcs are multiples of 4
    ),
    Deviation(
        "mstatus.MPP = 2 is written as 0 (privileged 3.1.6.1: WARL; in the spec it stays as it was)",
        CSR,
        lambda c: _csr(c, range(0x300, 0x301)) and c.observed.registers["mstatus"] >> 11 & 3 == 0,
        {"mstatus": 0x1800 | FS | SD},
    ),
    Deviation(
        "satp takes Sv48 and Sv57 (privileged 4.1.11: a choice)",
        CSR,
        lambda c: _csr(c, range(0x180, 0x181)) and c.observed.registers["satp"] >> 60 in (9, 10),
        {"satp": ALL},
    ),
    Deviation(
        "mcountinhibit is writable (privileged 3.1.12: WARL)",
        CSR,
        lambda c: _csr(c, range(0x320, 0x321)),
        {"mcountinhibit": 5},
    ),
    Deviation(
        "there are trigger registers, which the spec leaves out",
        CSR,
        lambda c: c.trapped("illegal") and _csr(c, range(0x7A0, 0x7B0)),
    ),
    Deviation(
        "there are PMP entries, which the spec leaves out (privileged 3.7.1: read-only zero then)",
        CSR,
        lambda c: _csr(c, range(0x3A0, 0x3F0)),
        excuse=lambda c: Excuse({f"x{_instruction(c) >> 7 & 31}": ALL}),
    ),
)
