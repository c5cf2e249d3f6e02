"""The proof of a monitor: as text, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from rich.text import Text

from analyzer.obligations import Discharge, Kind, Obligation, Proof
from analyzer.render.findings import Exit, counted
from analyzer.render.human import MARK, STATUS_STYLE, header
from analyzer.render.lines import Look, styled
from analyzer.report import Report

SCHEMA = 1

KINDS: dict[Kind, str] = {
    "emulate": "the routine of an instruction is the instruction: f(i(S)) = v_i(f(S))",
    "reflect": "a trap is delivered to the guest as its machine delivers it",
    "frame": "what a delivery leaves tells the state of the guest that it interrupted",
    "mode": "what the monitor loads is the real mode of the virtual one",
    "place": "the memory of a virtual machine is a memory, and no other's",
    "direct": "what runs directly is faithful, or traps",
}
"""What is proved of a monitor, kind by kind."""

assert tuple(sorted(KINDS)) == tuple(sorted(get_args(Kind)))

PREMISE_STYLE = {"proved": "green", "monitor": "green", "assumed": "yellow", "fails": "bold red"}
SUMMARY_STYLE = {Exit.AS_EXPECTED: "bold green", Exit.FINDINGS: "bold red", Exit.INCONCLUSIVE: "bold yellow"}


def status(proof: Proof) -> Exit:
    """The exit code: findings if something is refuted or a premise fails, inconclusive if something is open."""
    if proof.broken or any(p.status == "fails" for p in proof.premises):
        return Exit.FINDINGS
    return Exit.INCONCLUSIVE if proof.open else Exit.AS_EXPECTED


def proved_lines(report: Report, proof: Proof, look: Look) -> Iterator[Text]:
    """What was proved, kind by kind; what was not; the premises; then the count."""
    yield from styled(_lines(report, proof, look), look)


def _lines(report: Report, proof: Proof, look: Look) -> Iterator[Text]:
    yield header(report)
    yield Text.assemble("The monitor of ", (proof.spec, "bold"), f" under scheme {proof.scheme}")
    yield Text()
    for kind, text in KINDS.items():
        yield from _kind_lines(kind, text, proof.of(kind), look)
    for obligation in (*proof.broken, *proof.open):
        yield Text()
        yield _finding(obligation)
    yield Text()
    for premise in proof.premises:
        yield from _premise_lines(premise)
    yield Text()
    yield Text(summary(proof), style=SUMMARY_STYLE[status(proof)])


def _kind_lines(kind: Kind, text: str, obligations: tuple[Obligation, ...], look: Look) -> Iterator[Text]:
    if not obligations:
        return
    held = sum(o.status == "holds" for o in obligations)
    mark, style = ("✔", "bold green") if held == len(obligations) else ("✘", "bold red")
    yield Text.assemble("  ", (mark, style), f" {kind:<8} {held:>4} of {len(obligations):<4}  ", (text, "dim"))
    if look.table:
        for each in obligations:
            yield Text.assemble("      ", (MARK[each.status], STATUS_STYLE[each.status]), f" {each.name}")


def _finding(obligation: Obligation) -> Text:
    code, style = ("PG534", "bold red") if obligation.status == "violated" else ("PG901", "bold yellow")
    why = f": {obligation.why}" if obligation.why else ""
    return Text.assemble((code, style), f" {obligation.kind} ", (obligation.name, "bold"), why)


def _premise_lines(premise: Discharge) -> Iterator[Text]:
    yield Text.assemble(f"  {premise.premise}  ", (f"{premise.status:<8}", PREMISE_STYLE[premise.status]), premise.text)
    yield Text(f"{'':14}{premise.where}", style="dim")


def summary(proof: Proof) -> str:
    """The last line."""
    found = Counter(o.status for o in proof.obligations)
    known = Counter(p.status for p in proof.premises)
    parts = [f"{found['holds']} hold, {found['violated']} violated, {found['inconclusive']} open"]
    ways = f"{known['proved']} proved, {known['monitor']} by the monitor, {known['assumed']} assumed"
    fails = f", {known['fails']} failing" if known["fails"] else ""
    parts.append(f"{counted(len(proof.premises), 'premise')}: {ways}{fails}")
    return f"{counted(len(proof.obligations), 'obligation')}: {'; '.join(parts)}"


def proof_json(report: Report, proof: Proof) -> str:
    """The proof with the header that every format has."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "version": report.version,
        "z3_version": report.z3_version,
        "rlimit": report.rlimit,
        "spec": proof.spec,
        "spec_hash": report.spec_hash,
        "scheme": proof.scheme,
        "obligations": proof.obligations,
        "premises": proof.premises,
    }
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"
