"""The commands about texts: specs and assembly."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analyzer.errors import SpecError, UsageError
from commands.arguments import Spec
from commands.printing import FINDINGS, OK, USAGE, complain, stop
from commands.running import load, number

app = typer.Typer(rich_markup_mode=None)


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
