"""What is known of a value, read off the code that computes it."""

from __future__ import annotations

import re

from emulator.codegen.values import Text, Value, ones, signed

CUT = re.compile(r"trunc i(\d+) (%[\w.]+) to i\d+").fullmatch
ADDED = re.compile(r"add i\d+ (%[\w.]+), (\d+)").fullmatch
SUM = re.compile(r"add i64 (%[\w.]+), (%[\w.]+)").fullmatch
SHIFTED = re.compile(r"shl i64 (%[\w.]+), (\d+)").fullmatch
CUT_FROM_64 = re.compile(r"trunc i64 (%[\w.]+) to i(\d+)").fullmatch
AT_MOST = re.compile(r"icmp ule i64 (%[\w.]+), (\d+)").fullmatch
IS_ZERO = re.compile(r"icmp eq i(\d+) (%[\w.]+), 0").fullmatch
MASKED = re.compile(r"and i\d+ (%[\w.]+), (\d+)").fullmatch
EXTENDED = re.compile(r"zext i(\d+) (%[\w.]+) to i\d+").fullmatch
SHIFTED_RIGHT = re.compile(r"lshr i(\d+) (%[\w.]+), (\d+)").fullmatch
NEGATED = re.compile(r"xor i1 (%[\w.]+), 1").fullmatch


def affine(text: Text, address: Value, width: int) -> tuple[tuple[str, int, int], int] | None:
    """What an address is counted from (a value, its width, the width that is left of it), and by how much."""
    if isinstance(address, int):
        return None
    value, before = str(address), width
    if m := CUT(text.known_code(value) or ""):
        value, before = m[2], int(m[1])
    away = 0
    while m := ADDED(text.known_code(value) or ""):
        value, away = m[1], away + signed(int(m[2]), before)
    return (value, before, width), away


def summands(text: Text, value: Value) -> tuple[str, str] | None:
    """The two values that a 64-bit one is the sum of."""
    found = SUM(text.known_code(value) or "")
    return (found[1], found[2]) if found else None


def shifted(text: Text, value: Value) -> tuple[str, int] | None:
    """The 64-bit value that one is shifted left from, and by how much."""
    found = SHIFTED(text.known_code(value) or "")
    return (found[1], int(found[2])) if found else None


def origin(text: Text, value: Value) -> tuple[str, int] | None:
    """The 64-bit value that one was cut from, and the bits that are left."""
    found = CUT_FROM_64(text.known_code(value) or "")
    return (found[1], int(found[2])) if found else None


def at_most(text: Text, cond: Value) -> tuple[str, int] | None:
    """(x, n) if a condition says that the 64-bit x is at most n."""
    found = AT_MOST(text.known_code(_plain(text, cond)) or "")
    return (found[1], int(found[2])) if found else None


def zero_test(text: Text, cond: Value) -> tuple[str, int] | None:
    """(x, mask) if a condition says that the bits of x under the mask are 0."""
    test = IS_ZERO(text.known_code(_plain(text, cond)) or "")
    if not test:
        return None
    value, mask = test[2], ones(int(test[1]))
    while True:
        code = text.known_code(value) or ""
        if m := MASKED(code):
            value, mask = m[1], mask & int(m[2])
        elif m := EXTENDED(code):
            value, mask = m[2], mask & ones(int(m[1]))
        elif m := CUT(code):
            value = m[2]
        elif m := SHIFTED_RIGHT(code):
            value, mask = m[2], mask << int(m[3]) & ones(int(m[1]))
        else:
            return value, mask


def _plain(text: Text, cond: Value) -> Value:
    """A condition without what negates it twice."""
    while (once := _negated(text, cond)) is not None and (twice := _negated(text, once)) is not None:
        cond = twice
    return cond


def _negated(text: Text, cond: Value) -> str | None:
    found = NEGATED(text.known_code(cond) or "")
    return found[1] if found else None
