"""The commands about what can be proved of a machine, and what is told of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analyzer.errors import UsageError
from commands.analyses import analyzed, processes, scheme_of, schemes_of
from commands.arguments import Ascii, Jobs, Kept, OneScheme, Quiet, Rlimit, Schemes, SomeSchemes, Spec
from commands.printing import FINDINGS, INCONCLUSIVE, OK, Progress, deliver, look, parsed_output, put, stop
from commands.running import load

if TYPE_CHECKING:
    from analyzer.options import Witnesses

app = typer.Typer(rich_markup_mode=None)


@app.command()
def check(
    spec: Spec,
    output: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", help="human, json, markdown or svg, with `:FILE` to write a file (repeatable)."),
    ] = None,
    jobs: Jobs = 0,
    rlimit: Rlimit = None,
    scheme: SomeSchemes = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this instruction or family (repeatable).")] = None,
    quiet: Quiet = False,
    ascii: Ascii = False,
    table: Annotated[bool, typer.Option("--table", help="Print the table of all instructions.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 also when there are findings.")] = False,
    cache: Kept = True,
) -> None:
    """The verdict on a machine: the three theorems, and every hole with its condition, witness and repair."""
    from analyzer.render.findings import exit_code

    outputs = [parsed_output(text) for text in output or ["human"]]
    formats = [format_ for format_, _ in outputs]
    isa = load(spec)
    report = analyzed(
        isa,
        jobs,
        rlimit,
        schemes_of(isa, scheme),
        only,
        quiet=quiet,
        witnesses=shown_in(formats, quiet),
        graph="json" in formats,
        causes=table or not {"json", "markdown"}.isdisjoint(formats),
        cache=cache,
        called=spec,
    )
    for format_, file in outputs:
        deliver(report, format_, file, look(ascii, table, quiet))
    stop(OK if exit_zero else exit_code(report))


def shown_in(formats: list[str], quiet: bool) -> Witnesses:
    """The witnesses that reports in these formats show.  Text for people has one a family."""
    if not {"json", "markdown"}.isdisjoint(formats):
        return "each"
    return "none" if quiet else "first"


@app.command()
def explain(
    subject: Annotated[str, typer.Argument(help="A diagnostic code (PG001), or a spec.")],
    instruction: Annotated[str | None, typer.Argument(help="An instruction of the spec.")] = None,
    scheme: Schemes = None,
    rlimit: Rlimit = None,
    ascii: Ascii = False,
) -> None:
    """What a code means; or everything about one instruction, under every scheme."""
    from analyzer.render import explanation

    if instruction is None:
        if not explanation.is_code(subject):
            raise UsageError("explain what?", "`popek explain PG001`, or `popek explain SPEC INSTRUCTION`")
        print(explanation.page(subject), end="")
        return
    report = analyzed(load(subject), 1, rlimit, scheme, [instruction], quiet=False, graph=False, called=subject)
    put(explanation.explain(report, look(ascii)))


@app.command()
def cache(
    action: Annotated[str, typer.Argument(help="`stats` or `clear`.")] = "stats",
) -> None:
    """What earlier analyses left behind: where, how much; or forget it."""
    from analyzer.cache import Cache

    if action not in ("stats", "clear"):
        raise UsageError(f"there is nothing to {action}", "`popek cache stats`, or `popek cache clear`")
    kept = Cache()
    if action == "clear":
        kept.clear()
    stats = kept.stats()
    print(f"{stats.path}: {stats.results} results, {stats.size / 1024:.0f} kB")


@app.command("list")
def list_(
    verify: Annotated[bool, typer.Option("--verify", help="Compute the verdicts, and compare.")] = False,
    jobs: Jobs = 0,
    ascii: Ascii = False,
) -> None:
    """The bundled machines and their verdicts."""
    from analyzer import catalog
    from analyzer.render.listing import listing

    entries = catalog.recorded()
    if not verify:
        put(listing(entries, look(ascii)))
        return
    found = []
    for name in catalog.bundled():
        report = analyzed(load(name), jobs, quiet=False, witnesses="none", graph=False, cache=False)
        found.append(catalog.entry_of(name, report))
    put(listing(tuple(found), look(ascii)))
    drifted = [e.name for e in found if e not in entries]
    drifted += [e.name for e in entries if e.name not in catalog.bundled()]
    if drifted:
        print(f"differs from what is recorded: {', '.join(drifted)}")
        stop(FINDINGS)
    print("as recorded")


@app.command()
def repair(
    spec: Spec,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the repaired spec to this file.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Analyse the repaired machine again.")] = False,
    scheme: OneScheme = None,
    jobs: Jobs = 0,
    rlimit: Rlimit = None,
) -> None:
    """The smallest change that makes a machine virtualizable: the repaired spec."""
    from analyzer.render.findings import counted, exit_code, findings
    from analyzer.render.repaired import repair_of, repaired_spec, unrepaired
    from analyzer.syntax.load import path_of
    from emulator.examples import fails_on

    isa = load(spec)
    chosen = scheme_of(isa, scheme)
    found = analyzed(isa, jobs, rlimit, [chosen.name], quiet=False, graph=False).schemes[0]
    left = unrepaired(found)
    for name in left:
        print(f"PG001 {name}: no guard was found within the budget", file=sys.stderr)
    needed = repair_of(isa, found)
    if not needed.checks:
        first = found.theorems[0]
        why = "no hole" if first.status == "holds" else first.why or f"Theorem 1 is {first.status}"
        print(f"nothing to repair with checks under scheme {chosen.name}: {why}", file=sys.stderr)
        stop(FINDINGS if left or first.status != "holds" else OK)
    text, repaired = repaired_spec(needed, path_of(spec), output and output.parent, fails_on)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")
        print(f"{output}: checks for {counted(len(needed.mended()), 'instruction')}", file=sys.stderr)
    if verify:
        again = analyzed(repaired, jobs, rlimit, [chosen.name], quiet=False, graph=False)
        for f in findings(again):
            print(f"{f.code} {f.subject}{f.message}", file=sys.stderr)
        status = again.schemes[0].theorems[0].status
        print(f"analysed again: Theorem 1 {status} under scheme {chosen.name}", file=sys.stderr)
        stop(exit_code(again))
    stop(FINDINGS if left else OK)


@app.command()
def intercepts(
    spec: Spec,
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="The scheme; the first with bits to choose if not given.")
    ] = None,
    jobs: Jobs = 0,
    rlimit: Rlimit = None,
    ascii: Ascii = False,
) -> None:
    """The setting of intercept bits under which nothing is left to fix, or the instructions that no setting catches."""
    from analyzer.intercepts import synthesize
    from analyzer.render.synthesized import synthesis_lines

    isa = load(spec)
    choosing = [s.name for s in isa.schemes if s.choose]
    chosen = scheme_of(isa, scheme or next(iter(choosing), None))
    if not chosen.choose:
        raise UsageError(
            f"scheme {chosen.name} of {isa.name} has no bits that the monitor may choose",
            f"these have: {', '.join(choosing)}" if choosing else "`choose` in a scheme names them",
        )
    with Progress(isa.name, quiet=False) as progress:
        found = synthesize(isa, chosen, rlimit, processes(jobs), progress)
    put(synthesis_lines(isa.name, chosen.name, found, look(ascii)))
    if found.setting is None:
        stop(FINDINGS)
    stop(INCONCLUSIVE if found.undecided else OK)


@app.command()
def graph(
    spec: Spec,
    dot: Annotated[bool, typer.Option("--dot", help="Print the graph for Graphviz.")] = False,
    scheme: OneScheme = None,
    ascii: Ascii = False,
) -> None:
    """The ways between the machine's modes, and the unguarded ones to more privilege."""
    from analyzer.graph import escalations, transitions
    from analyzer.render.modes import graph_lines, to_dot
    from analyzer.symbolic.setting import Setting

    isa = load(spec)
    found = transitions(Setting(isa, scheme_of(isa, scheme)))
    up = escalations(found, isa)
    if dot:
        print(to_dot(isa.name, [(m.name, i) for i, rank in enumerate(isa.mode.ranks) for m in rank], found), end="")
    else:
        put(graph_lines(isa.name, found, up, look(ascii)))
    stop(FINDINGS if up else OK)
