"""The known deviations of all oracles."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.deviation import Deviation
from conformance.known_ia32 import BOCHS, UNICORN
from conformance.known_ka10 import SIMH
from conformance.known_m68k import M68010, MUSASHI
from conformance.known_rv64 import SPIKE
from conformance.known_s370 import HERCULES

TABLE: Mapping[tuple[str, str], tuple[Deviation, ...]] = {
    ("musashi", "m68000"): MUSASHI,
    ("musashi", "m68010"): M68010,
    ("spike", "rv64"): SPIKE,
    ("bochs", "ia32"): BOCHS,
    ("hercules", "s370"): HERCULES,
    ("simh", "ka10"): SIMH,
    ("unicorn", "ia32"): UNICORN,
}


def deviations(oracle: str, machine: str) -> tuple[Deviation, ...]:
    """The known deviations of an oracle on a machine."""
    return TABLE.get((oracle, machine), ())
