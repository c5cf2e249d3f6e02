"""A text as a picture of a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from rich.console import Console
from rich.text import Text

WIDEST = 160


def to_svg(lines: Iterable[Text], title: str) -> str:
    """The lines as SVG; what is wider than `WIDEST` characters is cut."""
    shown = list(lines)
    for line in shown:
        line.truncate(WIDEST, overflow="ellipsis")
    width = max(40, *(line.cell_len for line in shown))
    console = Console(record=True, width=width, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line in shown:
        console.print(line, markup=False, highlight=False, no_wrap=True, overflow="ignore")
    return console.export_svg(title=title)
