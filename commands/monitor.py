"""The commands that make a monitor: run under it, prove it, try it, brew red pills against it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from commands.analyses import analyzed, monitor_of, scheme_of
from commands.arguments import (
    Ascii,
    Budget,
    Checked,
    Deep,
    Forced,
    Jobs,
    Loads,
    Memory,
    OfFormat,
    OfTechnique,
    OnBoard,
    OnDisk,
    OneScheme,
    OnTier,
    Program,
    Rlimit,
    Spec,
    Stats,
)
from commands.printing import FINDINGS, INCONCLUSIVE, OK, Progress, look, parsed_output, put, stop, write
from commands.running import known_stats, load, run_options, say, show

if TYPE_CHECKING:
    from analyzer.aim import Aims
    from emulator.monitor import Monitor
    from emulator.monitor.monitor import Exits
    from emulator.monitor.validate import Bench

app = typer.Typer(rich_markup_mode=None)


class WithDefault(TyperGroup):
    """Commands of which `run` need not be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return list(super().parse_args(ctx, args))


monitors = typer.Typer(cls=WithDefault, rich_markup_mode=None)
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
    aimed: Annotated[
        bool, typer.Option("--aimed", help="Guests, too, to which each statement of each routine matters.")
    ] = False,
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
        found = validate(monitor, guests, seed, steps, most=most, progress=progress, aims=aims_of if aimed else None)
    for format_, file in formats:
        text = json.dumps(found.as_data(), indent=2) if format_ == "json" else "\n".join(lines(found))
        write(f"{text}\n", file)
    stop(FINDINGS if found.divergences else OK)


def mutation(monitor: Monitor, most: int, guests: int, seed: int) -> int:
    """Prints the mutation score; whether a mutant survives."""
    from emulator.monitor.mutants import Tests, lines, score

    plan = monitor.plan
    tests = Tests(monitor, guests, seed)
    names = tests.emulated()
    with Progress(plan.isa.name, quiet=False) as progress:
        found = score(tests, names, aims_of(tests.bench), most, progress)
    write("".join(f"{line}\n" for line in lines(plan.isa.name, found, names)), None)
    return FINDINGS if found.survivors else OK


def aims_of(bench: Bench) -> Aims:
    """What aims at statements, for guests of this bench."""
    from analyzer.aiming import Aiming
    from analyzer.symbolic.setting import Setting
    from emulator.monitor.aimed import domain_of

    return Aiming(Setting(bench.plan.isa, bench.plan.scheme), domain_of(bench.kind))


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
