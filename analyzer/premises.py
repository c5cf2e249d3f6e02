"""The premises P1–P9 of the step from "no hole" to a monitor, and the caveats of a verdict."""

from __future__ import annotations

from typing import Literal

from analyzer import ir
from analyzer.classify import NO, YES, Finding
from analyzer.report import Premise
from analyzer.symbolic.dependence import guest_dependence
from analyzer.symbolic.pair import Pair, Subject
from analyzer.symbolic.setting import Setting


def premises(
    setting: Setting, findings: tuple[Finding, ...], stuck: tuple[str, ...], broken: tuple[str, ...]
) -> tuple[Premise, ...]:
    """The nine, with what is known of each; `broken` are invariants that are false at reset or that
    instructions do not preserve."""
    not_restartable = [f.name for f in findings if any("leaves a changed guest" in r for r in f.faithful.reasons)]
    stuck_names = [f.name for f in findings if f.faithful.stuck is YES and f.classes.privileged is not YES]
    timed = [f.name for f in findings if f.time is YES]
    guest_in_map = sorted({n for name in setting.shapes for n in guest_dependence(setting, name)})
    return (
        Premise(
            "P1",
            "the composed map depends on no guest element",
            "fails" if guest_in_map else "proved",
            ", ".join(guest_in_map) or None,
        ),
        Premise("P2", "invariants are preserved", "fails" if broken else "proved", ", ".join(broken) or None),
        Premise("P3", "the monitor can load all guest and own state and enter the guest in one step", "monitor"),
        Premise(
            "P4",
            "every trap can be restarted",
            "fails" if not_restartable else "proved",
            ", ".join(not_restartable) or None,
        ),
        Premise("P5", "progress after a map miss; direct runs are cut by an interrupt", "monitor"),
        Premise("P6", "external interrupts arrive whatever guest and own state are", interrupts(setting)),
        Premise("P7", "monitor frames lie outside the window; guest DMA is translated", "monitor"),
        Premise(
            "P8",
            "nothing innocuous is stuck",
            "fails" if stuck or stuck_names else "proved",
            "; ".join([*stuck_names, *stuck]) or None,
        ),
        Premise(
            "P9", "time and load-reserved/store-conditional are out of account", "assumed", ", ".join(timed) or None
        ),
    )


def interrupts(setting: Setting) -> Literal["assumed", "proved"]:
    """P6: no interrupt's condition depends on guest or own state."""
    for interrupt in setting.isa.interrupts:
        reads = setting.effects.block((ir.Let("interrupt", interrupt.cond),)).reads
        if any(setting.is_guest(n) or n in setting.own for n in reads):
            return "assumed"
    return "proved"


def concerns(setting: Setting, subject: Subject) -> bool:
    """By its text, could the instruction break an invariant of the machine, or leave an illegal value?"""
    return bool(setting.effects.block(subject.instruction.body).writes & setting.concerned)


def broken_by(pair: Pair) -> tuple[str, ...]:
    """Machine invariants and legal values that the instruction does not preserve, as `instruction: invariant`."""
    subject = pair.subject
    smt, v = pair.smt, pair.v
    out = []
    base = smt.and_(pair.machine(), v.run.completes)
    isa = pair.setting.isa
    for invariant in isa.invariants:
        after = v.evaluate(v.run.after, invariant.expr, invariant.prelude)
        if smt.check(base, smt.not_(after)).status != "unsat":
            out.append(f"{subject.name}: {invariant.reason or 'an invariant'}")
    for element in isa.elements.values():
        if element.legal is not None and element.name in v.run.after:
            value = v.run.after[element.name]
            legal = smt.or_(*(smt.eq(value, x, element.width) for x in element.legal))
            if smt.check(base, smt.not_(legal)).status != "unsat":
                out.append(f"{subject.name}: the legal values of {element.name}")
    return tuple(out)


def caveats(setting: Setting, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """What the verdict leaves out of account, said by the spec or by the definitions."""
    isa, scheme = setting.isa, setting.scheme
    out = [f"{e.name}: {e.caveat}" for e in isa.elements.values() if e.caveat is not None]
    out += [f"{f.name}: {f.caveat}" for f in isa.files.values() if f.caveat is not None]
    out += [f"assumed of the guest: {a.reason}" for a in scheme.guest if a.reason]
    out += [f"own: {', '.join(o.names)}: {o.reason}" for o in scheme.own if o.reason]
    out += [f"assumed of the monitor: {a.reason}" for a in scheme.assume if a.reason]
    executes = [f.name for f in findings if f.executes]
    if executes:
        out.append(f"{', '.join(executes)}: executes another instruction, and is as sensitive as that one")
    timed = [f.name for f in findings if f.time is not NO]
    if timed:
        out.append(f"{', '.join(timed)}: depends on time")
    return tuple(out)
