"""The commands that execute instructions on the bare machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from commands.analyses import scheme_of
from commands.arguments import (
    Ascii,
    Budget,
    Loads,
    Memory,
    OfFormat,
    OnBoard,
    OnDisk,
    OneScheme,
    OnTier,
    Program,
    Rlimit,
    Spec,
    Stats,
)
from commands.printing import FINDINGS, OK, look, put, stop
from commands.running import Run, load
from commands.running import run as run_program

app = typer.Typer(rich_markup_mode=None)


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
    profile: Annotated[bool, typer.Option("--profile", help="Where the steps were spent, on stderr.")] = False,
) -> None:
    """Run a program on the bare machine, with the terminal as its console."""
    given = Run(spec, program, board, mem, budget, load_ or (), disk, format_, trace, gdb, stats, tier, profile)
    stop(run_program(given))


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
