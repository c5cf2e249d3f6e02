"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
OnTier = Annotated[
    str,
    typer.Option(
        "--tier", help="auto, reference, blocks, interpreter, copies, regions or background: how it is executed."
    ),
]
Stats = Annotated[str | None, typer.Option("--stats", help="json: how the run went, on stderr.")]
OfTechnique = Annotated[str, typer.Option("--technique", help="plain, or hybrid: virtual supervisors interpreted.")]
Forced = Annotated[bool, typer.Option("--unsafe", help="A monitor whatever the verdict is, to see what it does.")]
Checked = Annotated[
    bool,
    typer.Option("--check/--no-check", help="Look after resource control at exits, or leave them to generated code."),
]
Deep = Annotated[int, typer.Option("--depth", min=1, help="Monitors on top of one another.")]
Kept = Annotated[bool, typer.Option("--cache/--no-cache", help="Use what was found before, and keep what is found.")]
