"""Where Musashi is known not to do what the manuals of the 68000 and 68010 say."""

from __future__ import annotations

from conformance.deviation import Case, Deviation, Excuse

ADDRESS_SPACE = 1 << 24
OVERFLOW = 2  # of SR


def _frame(case: Case, offset: int, size: int) -> list[int]:
    """Where some bytes of the exception frame are, on a bus of 24 bits."""
    return [case.observed.registers["ssp"] + offset + i & ADDRESS_SPACE - 1 for i in range(size)]


def _decimal_registers(case: Case) -> tuple[int, ...]:
    """Of a decimal instruction: the data registers in the place of its operands, its destination last."""
    opcode = int.from_bytes(case.vector.code[:2], "big")
    return (opcode & 7,) if case.family == "nbcd" else (opcode & 7, opcode >> 9 & 7)


def _has_a_digit_above_9(case: Case) -> bool:
    """Of a decimal instruction: whether an operand is not a decimal number."""
    memory = [touch.value for touch in case.accesses if touch.kind == "read" and touch.bits == 8]
    operands = memory or [case.vector.registers[f"d{n}"] & 0xFF for n in _decimal_registers(case)]
    return any(value & 0xF > 9 or value >> 4 > 9 for value in operands)


def _divides_the_least_number(case: Case) -> bool:
    """Of DIVS: whether the quotient of 80000000 overflows, but not for the oracle."""
    dividend = case.vector.registers[f"d{int.from_bytes(case.vector.code[:2], 'big') >> 9 & 7}"]
    expected, observed = (side.registers["sr"] & OVERFLOW for side in (case.expected, case.observed))
    return dividend == 0x8000_0000 and expected > observed


def _decimal_result(case: Case) -> Excuse:
    """The result and the condition codes."""
    written = [touch.cell[1] for touch in case.accesses if touch.kind == "write"]
    if written:
        return Excuse({"sr": 0x1F}, case.memory(*written))
    return Excuse({"sr": 0x1F, f"d{_decimal_registers(case)[-1]}": 0xFF})


MUSASHI: tuple[Deviation, ...] = (
    Deviation(
        "no address errors: odd word accesses and odd targets are done (M68000UM 6.3.9: vector 3)",
        ".*",
        lambda c: c.trapped("address"),
    ),
    Deviation(
        "decimal digits above 9 are corrected otherwise than by the chip (M68000PRM leaves them out)",
        "(abcd|sbcd|nbcd)(_mem)?",
        _has_a_digit_above_9,
        excuse=_decimal_result,
    ),
    Deviation(
        "STOP with bit 13 clear is done (M68000 Programmer's Reference Manual, 1986: privilege violation)",
        "stop",
        lambda c: c.trapped("privilege") and c.observed.trap is None and not c.vector.code[2] & 0x20,
    ),
    Deviation(
        "overflow of DIVS and DIVU leaves C (M68000PRM, DIVS: always cleared)",
        "div[su].w",
        lambda c: c.expected.trap is None and bool(c.expected.registers["sr"] & 2),
        {"sr": 1},
    ),
    Deviation(
        "DIVS of 80000000 by -1 gives 0 (M68000PRM, DIVS: overflow)",
        "divs.w",
        _divides_the_least_number,
    ),
    Deviation(
        "a zero divisor leaves C (M68000PRM, DIVS: always cleared)",
        "div[su].w",
        lambda c: c.trapped("zero_divide"),
        excuse=lambda c: Excuse({"sr": 1}, c.memory(*_frame(c, 1, 1), bits=1)),
    ),
    Deviation(
        "F620 to F627 is MOVE16 of the MC68040 (M68000PRM, appendix A: unimplemented, vector 11)",
        "line_1111",
        lambda c: c.vector.code[0] == 0xF6 and c.vector.code[1] & 0xF8 == 0x20,
    ),
    Deviation(
        "an access at the end of the 24-bit address space does not go on at its beginning",
        ".*",
        lambda c: any(t.cell[1] + t.bits // 8 > ADDRESS_SPACE for t in c.accesses),
    ),
)

M68010: tuple[Deviation, ...] = (
    *MUSASHI,
    Deviation(
        "the program counter of a format error is past the RTE (M68000UM: it is that of the RTE)",
        "rte",
        lambda c: c.trapped("format_error"),
        excuse=lambda c: Excuse(memory=c.memory(*_frame(c, 2, 4))),
    ),
)
