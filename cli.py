"""The command `popek`: it parses arguments, calls the library, prints, and sets the exit code.

Exit codes: 0 as expected; 1 findings; 2 wrong usage, or a spec that does not check; 3 inconclusive; 70 an internal
error; 130 interrupted.  They do not depend on the format of the output.  Findings go to stdout, everything else to
stderr.  What is slow to import is imported inside the command that needs it.
"""

from __future__ import annotations

import os

try:
    import gc
    import signal
    import sys
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import TYPE_CHECKING, Annotated, Any, TextIO

    import typer
    from typer.core import TyperGroup

    from analyzer.errors import (
        AssemblyError,
        Breach,
        Diagnostic,
        EngineError,
        PopekError,
        Refused,
        SpecError,
        UsageError,
    )
    from popek import RARELY, Run, known_stats, load, number, run_options, say, show
    from popek import run as run_program
except KeyboardInterrupt:
    os._exit(130)  # nothing has begun

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from analyzer import ir
    from analyzer.options import Witnesses
    from analyzer.render.lines import Look
    from analyzer.report import Report
    from emulator.machine import Tier
    from emulator.monitor import Monitor
    from emulator.monitor.monitor import Exits

OK, FINDINGS, USAGE, INCONCLUSIVE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 70, 130


class WithDefault(TyperGroup):
    """Commands of which `run` need not be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return list(super().parse_args(ctx, args))


class Guarded(TyperGroup):
    """Commands that end with a message and an exit code, whatever goes wrong in them."""

    def invoke(self, ctx: Any) -> Any:
        gc.set_threshold(RARELY)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (typer.Exit, typer.Abort):
            try:
                sys.stdout.flush()
            except BrokenPipeError:
                silence(sys.stdout)
            raise
        except BaseException as error:
            stop(ended_by(error))


def ended_by(error: BaseException) -> int:
    """Says what ended a command, and the exit code for it; raises what is not for us to tell."""
    match error:
        case KeyboardInterrupt():
            return interrupted()
        case BrokenPipeError():  # the reader has seen enough
            silence(sys.stdout)
            return OK
        case SpecError() | AssemblyError():
            complain(error.diagnostics)
            return USAGE
        case Breach():
            complain(error.diagnostics)
            return FINDINGS
        case Refused():
            complain(error.diagnostics)
            return refusal(error)
        case UsageError():
            hint = f"\n  hint: {error.hint}" if error.hint else ""
            print(f"error: {error}{hint}", file=sys.stderr)
            return USAGE
        case EngineError():
            print(f"error[PG902]: {error}", file=sys.stderr)
            return INCONCLUSIVE
        case OSError():
            print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
            return USAGE
        case UnicodeDecodeError():
            print(f"error: this is no UTF-8 text: {error}", file=sys.stderr)
            return USAGE
        case Exception() if not type(error).__module__.startswith("typer."):  # its usage errors print themselves
            return failed(error)
        case _:
            raise error


def failed(error: Exception) -> int:
    """Says that something failed which should not."""
    if isinstance(error.__cause__, KeyboardInterrupt):  # while a class was made
        return interrupted()
    if os.environ.get("POPEK_DEBUG"):
        raise error
    if type(error).__name__ == "BrokenProcessPool":
        print("error[PG902]: a worker process died (out of memory?): try fewer --jobs", file=sys.stderr)
        return INCONCLUSIVE
    told = str(error).strip().partition("\n")[0][:200]
    print(f"internal error, please report: {type(error).__name__}: {told}", file=sys.stderr)
    print("  POPEK_DEBUG=1 in the environment shows where", file=sys.stderr)
    return INTERNAL


class Interruptible(typer.Typer):
    """The command as a process: an interrupt at any time ends it with 130, and without a traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        sys.unraisablehook = unraisable
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            return super().__call__(*args, **kwargs)
        except KeyboardInterrupt:
            end_at_once()
        finally:  # what is left is to tear down
            signal.signal(signal.SIGINT, end_at_once)


def end_at_once(*_: object) -> None:
    os._exit(INTERRUPTED)


def unraisable(lost: sys.UnraisableHookArgs) -> None:
    """An interrupt in a destructor or a callback, from where it cannot be raised, comes again a millisecond later."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.001)
    else:
        sys.__unraisablehook__(lost)


app = Interruptible(
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 as expected, 1 findings, 2 usage or a bad spec, 3 inconclusive, 70 internal error, "
    "130 interrupted.",
)

# -- arguments ---------------------------------------------------------------------------------------------------------

Spec = Annotated[str, typer.Argument(help="A bundled machine (see `popek list`) or the path of an .isa file.")]
Ascii = Annotated[bool, typer.Option("--ascii", help="Print ASCII characters only.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0 for one a processor.")]
Rlimit = Annotated[int | None, typer.Option(min=1, help="The solver's budget for a query, in z3's resource units.")]
OneScheme = Annotated[str | None, typer.Option("--scheme", help="The scheme; the spec's first one if not given.")]
Schemes = Annotated[list[str] | None, typer.Option("--scheme", help="Only this scheme (repeatable).")]
SomeSchemes = Annotated[
    list[str] | None,
    typer.Option("--scheme", help="This scheme (repeatable), or `all`; else the first one."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The verdict without the findings, and no progress.")]
Program = Annotated[Path, typer.Argument(help="Assembly source, an ELF file, units in hex, or a raw image.")]
OnBoard = Annotated[str | None, typer.Option("--board", help="A board or the path of one; `bare` has memory only.")]
Memory = Annotated[str | None, typer.Option("--mem", help="Units of memory, with K, M or G.")]
Budget = Annotated[str | None, typer.Option("--budget", help="The most steps, with K, M or G.")]
Loads = Annotated[list[str] | None, typer.Option("--load", help="One more program, FILE or FILE@ADDRESS.")]
OnDisk = Annotated[Path | None, typer.Option("--disk", help="An image for the block device; changes are not kept.")]
OfFormat = Annotated[str | None, typer.Option("--format", help="asm, elf, hex or raw.")]
OnTier = Annotated[str, typer.Option("--tier", help="auto, reference, interpreter or regions: how it is executed.")]
Stats = Annotated[str | None, typer.Option("--stats", help="json: how the run went, on stderr.")]
OfTechnique = Annotated[str, typer.Option("--technique", help="plain, or hybrid: virtual supervisors interpreted.")]
Forced = Annotated[bool, typer.Option("--unsafe", help="A monitor whatever the verdict is, to see what it does.")]
Checked = Annotated[
    bool,
    typer.Option("--check/--no-check", help="Look after resource control at exits, or leave them to generated code."),
]
Deep = Annotated[int, typer.Option("--depth", min=1, help="Monitors on top of one another.")]
Kept = Annotated[bool, typer.Option("--cache/--no-cache", help="Use what was found before, and keep what is found.")]


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"popek {version('popek')}")
        except PackageNotFoundError:
            print("popek 0+source")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Prove whether an instruction set can be virtualized, in the sense of Popek and Goldberg (1974)."""


# -- commands ----------------------------------------------------------------------------------------------------------


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


@app.command()
def fmt(
    files: Annotated[list[Path], typer.Argument(help="Files; - for stdin to stdout.", allow_dash=True)],
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if a file would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> None:
    """Put specs into the one layout."""
    from difflib import unified_diff

    from analyzer.syntax.format import format_source
    from analyzer.syntax.load import source_of

    changed = broken = 0
    for file in files:
        try:
            name, text = ("stdin", sys.stdin.read()) if str(file) == "-" else (str(file), source_of(file).text)
            formatted = format_source(text, name)
        except SpecError as error:
            complain(error.diagnostics)
            broken += 1
            continue
        changed += formatted != text
        if diff:
            pieces = unified_diff(text.splitlines(True), formatted.splitlines(True), name, f"{name} (formatted)")
            print("".join(pieces), end="")
        if name == "stdin" and not (check or diff):
            print(formatted, end="")
        elif formatted != text and not (check or diff):
            file.write_text(formatted, encoding="utf-8")
        elif formatted != text and check:
            print(f"would change {name}", file=sys.stderr)
    unread = f", {broken} with errors" if broken else ""
    print(f"{len(files)} checked, {changed} {'to change' if check or diff else 'changed'}{unread}", file=sys.stderr)
    stop(USAGE if broken else FINDINGS if changed and (check or diff) else OK)


@app.command()
def asm(
    spec: Spec,
    program: Annotated[Path, typer.Argument(help="Assembly source; - for stdin.", allow_dash=True)],
    origin: Annotated[str, typer.Option(help="The address of the first line.")] = "0",
    units: Annotated[bool, typer.Option("--hex", help="Only the units in hex, as `popek disasm` reads them.")] = False,
) -> None:
    """Assemble a program, and list it."""
    from emulator.image import assembled
    from emulator.listing import to_hex

    data = sys.stdin.buffer.read() if str(program) == "-" else program.read_bytes()
    made = assembled(load(spec), program, data, number(origin))
    print(to_hex(made) if units else made.listing(), end="")


@app.command()
def disasm(
    spec: Spec,
    units: Annotated[list[str], typer.Argument(help="Units in hex, `@ADDRESS` to go on elsewhere; - for stdin.")],
    origin: Annotated[str, typer.Option(help="The address of the first unit.")] = "0",
) -> None:
    """Disassemble units given in hex."""
    from emulator.listing import disassembly, read_hex

    words = sys.stdin.read().split() if units == ["-"] else [w for u in units for w in u.split()]
    isa = load(spec)
    if not words:
        raise UsageError("there is nothing to disassemble", "give units in hex, or - and a stream of them")
    text, undefined = disassembly(isa, read_hex(isa, words, number(origin)))
    print(text, end="")
    stop(FINDINGS if undefined else OK)


@app.command()
def tour(
    spec: Spec,
    instruction: Annotated[str, typer.Argument(help="One instruction, as the assembler reads it.")],
) -> None:
    """Show what becomes of an instruction: spec, IR, Python, LLVM, machine code, as Markdown."""
    from analyzer.passes.show import instruction as shown
    from analyzer.syntax.load import text_of
    from emulator.tour import tour as toured

    print(toured(load(spec), instruction, text_of, shown), end="")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The machine's name; the file is NAME.isa.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a small commented spec, to begin with."""
    from analyzer.catalog import bundled, starter
    from analyzer.source import Source
    from analyzer.syntax.parse import parse

    text, path = starter(name), Path(f"{name}.isa")
    if name in bundled():
        raise UsageError(f"{name} is a machine that comes with popek", "give yours another name; a spec can extend it")
    try:
        parse(Source(path.name, text))
    except SpecError:
        raise UsageError(f"{name} cannot be a machine's name", "letters, digits, _ and -; no reserved word") from None
    if path.exists() and not force:
        raise UsageError(f"{path} is there already", "--force overwrites it")
    path.write_text(text, encoding="utf-8")
    print(f"{path}: try `popek check {path}`")


@app.command()
def replay(
    spec: Spec,
    instruction: Annotated[str, typer.Argument(help="An instruction with a hole.")],
    case: Annotated[str | None, typer.Option(help="The case of a dispatch space, such as a CSR.")] = None,
    scheme: OneScheme = None,
    rlimit: Rlimit = None,
    ascii: Ascii = False,
) -> None:
    """Find an instruction's witness again, run both of its states on the reference executor, and show the two runs."""
    from analyzer.explain import subject_of, witness_of_hole
    from analyzer.render.replayed import replayed_lines
    from analyzer.symbolic.smt import DEFAULT_RLIMIT
    from emulator.replay import ReferenceReplayer, replay_of, trace

    isa = load(spec)
    chosen = scheme_of(isa, scheme)
    subject = subject_of(isa, instruction, case)
    found = witness_of_hole(isa, chosen, subject, ReferenceReplayer(), rlimit or DEFAULT_RLIMIT)
    traces = [
        None if state is None else trace(replay_of(isa, subject.instruction, found.operands, state))
        for state in (found.virtual, found.real)
    ]
    put(replayed_lines(subject.name, chosen.name, found, traces[0], traces[1], look(ascii)))
    stop(OK if found.replayed else FINDINGS)


@app.command()
def run(
    spec: Spec,
    program: Program,
    board: OnBoard = None,
    mem: Memory = None,
    budget: Budget = None,
    load_: Loads = None,
    disk: OnDisk = None,
    format_: OfFormat = None,
    trace: Annotated[bool, typer.Option("--trace", help="Every step with its instruction, on stderr.")] = False,
    gdb: Annotated[int | None, typer.Option(help="Wait for gdb on this port; 0 for any.")] = None,
    stats: Stats = None,
    tier: OnTier = "auto",
) -> None:
    """Run a program on the bare machine, with the terminal as its console."""
    given = Run(spec, program, board, mem, budget, load_ or (), disk, format_, trace, gdb, stats, tier)
    stop(run_program(given))


monitors = typer.Typer(cls=WithDefault)
app.add_typer(monitors, name="vmm")


@monitors.callback()
def vmm() -> None:
    """Run a program under the monitor that the verdict permits (`vmm SPEC PROGRAM`), or prove that monitor (`vmm prove
    SPEC`)."""


@monitors.command("run")
def run_monitored(
    spec: Spec,
    program: Program,
    scheme: OneScheme = None,
    technique: OfTechnique = "plain",
    unsafe: Forced = False,
    depth: Deep = 1,
    check: Checked = True,
    board: OnBoard = None,
    mem: Memory = None,
    budget: Budget = None,
    load_: Loads = None,
    disk: OnDisk = None,
    format_: OfFormat = None,
    tier: OnTier = "auto",
    trace: Annotated[bool, typer.Option("--trace", help="Every exit, and what was done about it, on stderr.")] = False,
    save: Annotated[Path | None, typer.Option(help="Keep the machine in this file when the run ends.")] = None,
    restore: Annotated[Path | None, typer.Option(help="Go on with the machine that was kept in this file.")] = None,
    stats: Stats = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="The program's console and nothing else.")] = False,
) -> None:
    """Run a program in a virtual machine, with the terminal as its console.  `vmm run SPEC PROGRAM` is `vmm SPEC
    PROGRAM`."""
    import json

    from emulator.devices.console import Console
    from emulator.monitor.supervise import supervise
    from emulator.terminal import Terminal

    given = run_options(board, mem, budget, load_ or (), disk, format_, tier)
    known_stats(stats)
    isa = load(spec)
    exits: Exits = "seen" if check or trace else "compiled"
    monitor = monitor_of(isa, scheme, technique, unsafe, depth, check, given.tier, exits)
    with Terminal(sys.stdin) as keyboard:
        ran = supervise(isa, program, given, monitor, Console(show), keyboard, say if trace else None, save, restore)
    if stats:
        say(json.dumps(ran.as_data()))
    elif not quiet:
        for sentence in ran.sentences():
            say(sentence)
    stop(ran.outcome.code)


@monitors.command()
def prove(
    spec: Spec,
    scheme: OneScheme = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this instruction or family (repeatable).")] = None,
    output: Annotated[list[str] | None, typer.Option("--output", "-o", help="human or json, with `:FILE`.")] = None,
    rlimit: Rlimit = None,
    jobs: Jobs = 0,
    ascii: Ascii = False,
    table: Annotated[bool, typer.Option("--table", help="Print every obligation.")] = False,
) -> None:
    """Prove the monitor: its routines and deliveries are those of the machine, and its memory is a memory; and the
    premises, each with where it is discharged."""
    from analyzer.named import check_names
    from analyzer.obligations import prove
    from analyzer.render.proved import proof_json, proved_lines, status
    from analyzer.symbolic.setting import Setting
    from analyzer.symbolic.smt import DEFAULT_RLIMIT

    formats = [parsed_output(text, ("human", "json")) for text in output or ["human"]]
    isa = load(spec)
    chosen = scheme_of(isa, scheme)
    check_names(isa, only or [])
    report = analyzed(isa, jobs, rlimit, [chosen.name], only, quiet=False, witnesses="none", graph=False)
    with Progress(isa.name, quiet=False) as progress:
        proof = prove(Setting(isa, chosen), report.schemes[0], rlimit or DEFAULT_RLIMIT, progress, tuple(only or ()))
    for format_, file in formats:
        if format_ == "json":
            write(proof_json(report, proof), file)
        elif file is None:
            put(proved_lines(report, proof, look(ascii, table)))
        else:
            write("".join(f"{line.plain}\n" for line in proved_lines(report, proof, look(ascii, table))), file)
    stop(status(proof))


@app.command()
def validate(
    spec: Spec,
    scheme: OneScheme = None,
    technique: OfTechnique = "plain",
    unsafe: Forced = False,
    depth: Deep = 1,
    guests: Annotated[int, typer.Option(min=1, help="Generated guests.")] = 200,
    steps: Annotated[int, typer.Option(min=1, help="The most steps of a guest.")] = 24,
    seed: Annotated[int, typer.Option(help="Other guests for another number.")] = 0,
    most: Annotated[int, typer.Option(min=1, help="Differences after which to stop.")] = 1,
    mutants: Annotated[
        int | None, typer.Option("--mutants", min=1, help="Break the monitor in so many ways: is each found out?")
    ] = None,
    output: Annotated[list[str] | None, typer.Option("--output", "-o", help="human or json, with `:FILE`.")] = None,
) -> None:
    """Run generated guests on the bare machine and under the monitor, and compare: equivalence, resource control and
    efficiency.  With `--mutants`, do so for broken monitors, of which guests should find out all."""
    import json

    from emulator.monitor.validate import validate
    from emulator.monitor.validated import lines

    formats = [parsed_output(text, ("human", "json")) for text in output or ["human"]]
    isa = load(spec)
    monitor = monitor_of(isa, scheme, technique, unsafe, depth, True)
    if mutants is not None:
        stop(mutation(monitor, mutants, guests, seed))
    with Progress(isa.name, quiet=False) as progress:
        found = validate(monitor, guests, seed, steps, most=most, progress=progress)
    for format_, file in formats:
        text = json.dumps(found.as_data(), indent=2) if format_ == "json" else "\n".join(lines(found))
        write(f"{text}\n", file)
    stop(FINDINGS if found.divergences else OK)


def mutation(monitor: Monitor, most: int, guests: int, seed: int) -> int:
    """Prints the mutation score; whether a mutant survives."""
    from analyzer.obligations import same
    from analyzer.symbolic.setting import Setting
    from emulator.monitor.mutants import Tests, lines, score

    plan = monitor.plan
    setting, tests = Setting(plan.isa, plan.scheme), Tests(monitor, guests, seed)
    names = tests.emulated()
    with Progress(plan.isa.name, quiet=False) as progress:
        found = score(tests, names, lambda m: same(setting, m.isa, m.instruction), most, progress)
    write("".join(f"{line}\n" for line in lines(plan.isa.name, found, names)), None)
    return FINDINGS if found.survivors else OK


@app.command()
def pills(
    spec: Spec,
    only: Annotated[list[str] | None, typer.Argument(help="Only the holes of these instructions or families.")] = None,
    scheme: OneScheme = None,
    board: OnBoard = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Write the programs into this folder.")] = None,
    seed: Annotated[int, typer.Option(help="Other programs for another number.")] = 0,
) -> None:
    """Brew red pills: of each hole a program that prints REAL on the machine, and VIRTUAL under a plain monitor that is
    forced (`run`, and `vmm --unsafe --no-check`)."""
    from analyzer.render.findings import counted
    from emulator.board import board_of
    from emulator.monitor.pills import Brewer

    isa = load(spec)
    chosen = scheme_of(isa, scheme)
    found = analyzed(isa, 0, None, [chosen.name], only, quiet=False, graph=False).schemes[0].holes
    if not found:
        print(f"{isa.name} has no hole under scheme {chosen.name}")
        return
    brewer = Brewer(isa, board_of(isa, board), monitor_of(isa, scheme, "plain", True, 1, False), seed)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    missing = 0
    for hole in found:
        pill = brewer.brew(hole)
        missing += pill is None
        print(f"{hole.instruction}: {'no program tells, as far as was sought' if pill is None else 'REAL, VIRTUAL'}")
        if pill is not None and folder is not None:
            (folder / pill.file).write_text(pill.program, encoding="utf-8")
    print(f"{counted(len(found), 'hole')}, {counted(len(found) - missing, 'program')}")
    stop(INCONCLUSIVE if missing else OK)


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Guests or groups of them; else all.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is run.")] = 3,
    save_: Annotated[bool, typer.Option("--save", help="Keep the figures in benchmarks/results.")] = False,
) -> None:
    """Measure the emulator beside the peers that are installed."""
    import tempfile

    from emulator.benchmark import Bench, as_data, load_suite, save, table

    suite = load_suite()
    with tempfile.TemporaryDirectory() as folder:
        measured = Bench(suite, load, Path(folder))
        rows = []
        for row in measured.rows(names or (), rounds):
            rows.append(row)
            print(row.guest.name, file=sys.stderr)
        print("\n".join(table(rows, suite.reference)))
        if save_:
            print(save(as_data(rows, measured.versions(), suite.reference)), file=sys.stderr)


# -- the library, called -----------------------------------------------------------------------------------------------


def monitor_of(
    isa: ir.Isa,
    scheme: str | None,
    technique: str,
    unsafe: bool,
    depth: int,
    check: bool,
    tier: Tier = "reference",
    exits: Exits = "seen",
) -> Monitor:
    """The monitor of a machine; the verdict is asked for, unless it is not to count."""
    from analyzer.allocation import allocate
    from emulator.monitor import TECHNIQUES, Monitor, generate

    known = next((known for known in TECHNIQUES if known == technique), None)
    if known is None:
        raise UsageError(f"there is no technique {technique}", f"there are {', '.join(TECHNIQUES)}")
    chosen = scheme_of(isa, scheme)
    report = None
    if not unsafe:
        report = analyzed(isa, 0, None, [chosen.name], quiet=False, witnesses="none", graph=False).schemes[0]
    plan = generate(isa, report, chosen.name, known, unsafe=unsafe)
    return Monitor(plan, allocate, depth=depth, check=check, tier=tier, exits=exits)


def refusal(error: Refused) -> int:
    """The exit code of a refused monitor: what the verdict forbids is a finding."""
    if error.inconclusive:
        return INCONCLUSIVE
    return FINDINGS if error.diagnostic.code == "PG530" else USAGE


def scheme_of(isa: ir.Isa, name: str | None) -> ir.Scheme:
    """The scheme of this name, or the first one.

    Raises:
        SpecError: PG404, the machine has no scheme at all.
        UsageError: it has none of this name.
    """
    if not isa.schemes:
        without = f"{isa.name} has no scheme: nothing says how to virtualize it"
        raise SpecError((Diagnostic("PG404", without, isa.span),))
    try:
        return isa.scheme(name)
    except KeyError:
        known = ", ".join(s.name for s in isa.schemes)
        raise UsageError(f"{isa.name} has no scheme {name}", f"it has {known}") from None


def schemes_of(isa: ir.Isa, names: list[str] | None) -> list[str]:
    """The schemes of these names: all of them, or the first one if none is named."""
    if names and "all" in names:
        return [s.name for s in isa.schemes]
    return names or [scheme_of(isa, None).name]


def shown_in(formats: list[str], quiet: bool) -> Witnesses:
    """The witnesses that reports in these formats show.  Text for people has one a family."""
    if not {"json", "markdown"}.isdisjoint(formats):
        return "each"
    return "none" if quiet else "first"


def analyzed(
    isa: ir.Isa,
    jobs: int = 1,
    rlimit: int | None = None,
    schemes: list[str] | None = None,
    only: list[str] | None = None,
    *,
    quiet: bool,
    witnesses: Witnesses = "each",
    graph: bool = True,
    causes: bool = True,
    cache: bool = True,
    called: str | None = None,
) -> Report:
    """The report on a spec, its examples run; what was found before is taken from the cache.  `called` is the spec as
    the user names it."""
    from analyzer.cache import Cache
    from analyzer.kept import keep_report, kept_report
    from analyzer.named import check_names
    from analyzer.options import Options

    for scheme in schemes or (None,):
        scheme_of(isa, scheme)
    check_names(isa, only or [])
    options = Options(
        processes(jobs),
        rlimit,
        witnesses,
        graph and not only,
        tuple(only or ()),
        tuple(schemes or ()),
        called,
        Cache() if cache else None,
        causes=causes,
    )
    if options.cache is not None:
        kept = kept_report(options.cache, isa, options)
        if kept is not None:
            return kept
    from analyzer.analysis import analyze
    from emulator.replay import ReferenceReplayer

    with Progress(isa.name, quiet) as progress:
        report = analyze(isa, options, ReferenceReplayer(), progress)
    if options.cache is not None:
        keep_report(options.cache, isa, options, report)
    return report


def processes(jobs: int) -> int:
    """How many processes to use; 0 is one a processor."""
    return jobs or len(os.sched_getaffinity(0))


# -- printing ----------------------------------------------------------------------------------------------------------


def stop(code: int) -> None:
    raise typer.Exit(int(code))


def interrupted() -> int:
    signal.signal(signal.SIGINT, end_at_once)
    print("\ninterrupted", file=sys.stderr, flush=True)
    silence(sys.stderr)  # what is torn down complains
    return INTERRUPTED


def silence(stream: TextIO) -> None:
    """Sends all that still goes there nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def look(ascii: bool, table: bool = False, quiet: bool = False) -> Look:
    """How to print; ASCII where stdout takes nothing else."""
    from analyzer.render.lines import Look

    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return Look(ascii or not encoding.startswith("utf"), table, quiet)


def console(file: Any = None) -> Console:
    """A console that changes no text: no markup, no highlighting, no wrapping."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # which `Guarded` knows

    return Plain(file=file, markup=False, highlight=False, emoji=False, soft_wrap=True)


def put(lines: Iterable[Text], file: Any = None) -> None:
    """Prints lines, at once: that takes half the time."""
    from rich.text import Text

    together = list(lines)
    if together:
        console(file).print(Text("\n").join(together))


def complain(diagnostics: Iterable[Any]) -> None:
    """Prints what is wrong with a text, and how much."""
    from analyzer.render.findings import counted
    from analyzer.render.lines import diagnostic_lines, styled

    shown = tuple(diagnostics)
    ascii_only = look(False)
    for diagnostic in shown:
        put(styled(diagnostic_lines(diagnostic), ascii_only), sys.stderr)
        print(file=sys.stderr)
    errors = sum(d.severity == "error" for d in shown)
    print(f"{counted(errors, 'error')}; `popek explain {shown[0].code}` tells more", file=sys.stderr)


FORMATS = ("human", "json", "markdown", "svg")


def parsed_output(text: str, known: tuple[str, ...] = FORMATS) -> tuple[str, str | None]:
    """`FORMAT` or `FORMAT:FILE`."""
    format_, _, file = text.partition(":")
    if format_ not in known:
        raise UsageError(f"there is no output format {format_}", f"there are {', '.join(known)}")
    return format_, file or None


def write(text: str, file: str | None) -> None:
    """Writes a text to a file or to stdout."""
    if file is None:
        print(text, end="")
    else:
        Path(file).write_text(text, encoding="utf-8")


def deliver(report: Report, format_: str, file: str | None, shown: Look) -> None:
    """Writes a report in one format, to a file or to stdout."""
    if format_ == "human" and file is None:
        from analyzer.render.human import human

        put(human(report, shown))
        return
    write(RENDERERS[format_](report, shown), file)


def human_text(report: Report, shown: Look) -> str:
    from analyzer.render.human import human

    return "".join(f"{line.plain}\n" for line in human(report, shown))


def json_text(report: Report, shown: Look) -> str:
    from analyzer.render.json import to_json

    return to_json(report)


def markdown_text(report: Report, shown: Look) -> str:
    from analyzer.render.markdown import to_markdown

    return to_markdown(report)


def svg_text(report: Report, shown: Look) -> str:
    from analyzer.render.human import human
    from analyzer.render.svg import to_svg

    return to_svg(human(report, shown), f"popek check {report.spec}")


RENDERERS: dict[str, Callable[[Report, Look], str]] = {
    "human": human_text,
    "json": json_text,
    "markdown": markdown_text,
    "svg": svg_text,
}


class Progress:
    """One line on stderr, on a terminal only."""

    def __init__(self, name: str, quiet: bool) -> None:
        self.name = name
        self.on = sys.stderr.isatty() and not quiet and not os.environ.get("CI")

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, total: int, last: str) -> None:
        if self.on:
            print(f"\r\x1b[K{self.name}: {done} of {total}, {last}"[:100], end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self.on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


__all__ = ["PopekError", "app"]
