"""What commands print, where, and how they end.  Findings go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from analyzer.render.lines import Look
    from analyzer.report import Report

OK, FINDINGS, USAGE, INCONCLUSIVE, INTERNAL = 0, 1, 2, 3, 70


def stop(code: int) -> None:
    raise typer.Exit(int(code))


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
