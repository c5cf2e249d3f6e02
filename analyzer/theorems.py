"""The three theorems, and the verdict for a scheme.

Theorem 1 (PG74 §4): for a conventional third generation computer a VMM may be constructed if its sensitive instructions
are a subset of its privileged instructions.  Theorem 2: it is recursively virtualizable if it is virtualizable, and a
VMM without timing dependence can be constructed for it.  Theorem 3: a hybrid VMM may be constructed if its user
sensitive instructions are a subset of its privileged instructions.

Each is read in two ways: over sets of instructions, as in 1974, and pointwise: no hole at any state.  The pointwise
reading decides.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from analyzer import ir
from analyzer.classify import NO, UNKNOWN, YES, Finding, Truth
from analyzer.symbolic.setting import Setting


class Status(Enum):
    """The answer to a theorem."""

    HOLDS = "holds"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"
    VACUOUS = "vacuous"
    NOT_APPLICABLE = "not applicable"


class Theorem(Struct, frozen=True):
    """One theorem under one scheme.  `culprits` are names of subjects; `why` a sentence where the status needs one."""

    number: int
    title: str
    status: Status
    culprits: tuple[str, ...]
    setwise: Status
    setwise_culprits: tuple[str, ...]
    literal: Status
    literal_culprits: tuple[str, ...]
    why: str | None = None


def theorem1(setting: Setting, findings: tuple[Finding, ...]) -> Theorem:
    """Sensitive ⊆ privileged; pointwise, no hole and nothing innocuous stuck."""
    inapplicable = not_applicable(setting)
    bad = {f.name: f.faithful.hole | indirect(f) for f in findings}
    setwise = {f.name: f.classes.sensitive() & ~f.classes.privileged for f in findings}
    literal = {f.name: f.classes_1974.sensitive() & ~f.classes_1974.privileged for f in findings}
    return _theorem(1, "virtual machine monitor", bad, setwise, literal, inapplicable, findings)


def indirect(finding: Finding) -> Truth:
    """An innocuous instruction that is stuck.  A privileged one traps by right: the monitor emulates it."""
    return finding.faithful.stuck & ~finding.classes.privileged


def theorem2(setting: Setting, findings: tuple[Finding, ...]) -> Theorem:
    """Theorem 1, and no dependence on time; the monitor must be able to run in a virtual machine."""
    first = theorem1(setting, findings)
    inapplicable = not_applicable(setting)
    if inapplicable is None and setting.scheme.monitor not in {v for v, _ in setting.scheme.run}:
        inapplicable = "the monitor's mode is not a mode of the virtual machine"
    timed = {f.name: f.time & ~f.classes.privileged & ~f.classes.trap_only for f in findings}
    bad = {f.name: f.faithful.hole | indirect(f) | timed[f.name] for f in findings}
    setwise = {f.name: (f.classes.sensitive() & ~f.classes.privileged) | timed[f.name] for f in findings}
    literal = {f.name: f.classes_1974.sensitive() & ~f.classes_1974.privileged for f in findings}
    result = _theorem(2, "recursive virtualization", bad, setwise, literal, inapplicable, findings)
    if first.status is Status.HOLDS and result.status is Status.VIOLATED:
        why = "Theorem 1 holds, but the culprits depend on time, as a recursive monitor must not"
        return replace(result, why=why)
    return result


def theorem3(setting: Setting, findings: tuple[Finding, ...]) -> Theorem:
    """User sensitive ⊆ privileged; pointwise, no hole in a directly executed virtual mode."""
    bad = {f.name: f.faithful.hole_direct for f in findings}
    setwise = {f.name: f.classes.classically_user_sensitive() & ~f.classes.privileged for f in findings}
    literal = {f.name: f.classes_1974.user_sensitive() & ~f.classes_1974.privileged for f in findings}
    return _theorem(3, "hybrid monitor", bad, setwise, literal, not_applicable(setting), findings)


def not_applicable(setting: Setting) -> str | None:
    """Why the theorems do not speak of this machine, if they do not."""
    if len(setting.isa.mode.modes()) < 2:
        return "the machine has one mode"
    return None


def _theorem(
    number: int,
    title: str,
    bad: dict[str, Truth],
    setwise: dict[str, Truth],
    literal: dict[str, Truth],
    inapplicable: str | None,
    findings: tuple[Finding, ...],
) -> Theorem:
    if inapplicable is not None:
        status = Status.NOT_APPLICABLE
        return Theorem(number, title, status, (), status, (), status, (), inapplicable)
    if not any(f.classes.trap_only is not YES for f in findings):
        status = Status.VACUOUS
        return Theorem(number, title, status, (), status, (), status, (), "no instruction completes")
    return Theorem(
        number,
        title,
        status_of(bad),
        named(bad),
        status_of(setwise),
        named(setwise),
        status_of(literal),
        named(literal),
    )


def status_of(violations: dict[str, Truth]) -> Status:
    """Holds if nothing violates; unknown is never taken for either."""
    if YES in violations.values():
        return Status.VIOLATED
    return Status.INCONCLUSIVE if UNKNOWN in violations.values() else Status.HOLDS


def named(violations: dict[str, Truth]) -> tuple[str, ...]:
    """The subjects that violate, or may."""
    return tuple(n for n, t in violations.items() if t is not NO)


def theorems(setting: Setting, findings: tuple[Finding, ...]) -> tuple[Theorem, ...]:
    """All three."""
    return theorem1(setting, findings), theorem2(setting, findings), theorem3(setting, findings)


def modes_of(isa: ir.Isa, codes: tuple[int, ...]) -> str:
    """Names of modes, for messages."""
    return ", ".join(isa.mode.named(c) for c in codes)
