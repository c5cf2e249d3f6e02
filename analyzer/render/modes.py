"""The mode-transition graph: as text, and for Graphviz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from analyzer.graph import Transition
from analyzer.render.findings import counted
from analyzer.render.lines import Look, styled

Merged = dict[tuple[str, str, str], list[str]]
"""The names of what leads from one mode to another; the third word is "", "trap" or "gate"."""

MAX_LABEL = 6


def merged(transitions: Iterable[Transition]) -> Merged:
    """Parallel transitions together: by source, target, and whether a trap or a gate makes them."""
    out: Merged = {}
    for t in transitions:
        out.setdefault((t.source, t.target, "trap" if t.trap else "gate" if t.gate else ""), []).append(t.by)
    return out


def graph_lines(
    name: str, found: tuple[Transition, ...], escalations: tuple[Transition, ...], look: Look
) -> Iterator[Text]:
    """The graph, an edge a line, then the unguarded ways up as findings, then the count."""
    yield from styled(_lines(name, found, escalations), look)


def _lines(name: str, found: tuple[Transition, ...], escalations: tuple[Transition, ...]) -> Iterator[Text]:
    edges = merged(found)
    width = max((len(f"{s} → {t}") for s, t, _ in edges), default=0)
    for (source, target, kind), by in edges.items():
        way = f"{source} → {target}"
        yield Text.assemble((f"  {way:<{width}}", "bold"), f"  by {f'{kind} ' if kind else ''}", ", ".join(by))
    for (source, target, _), by in merged(escalations).items():
        yield Text()
        yield Text.assemble(
            ("PG003", "bold yellow"), f" from {source} to {target} without a trap: ", (", ".join(by), "bold")
        )
    yield Text()
    ways = counted(len(edges), "way between modes", "ways between modes")
    up = counted(len(escalations), "unguarded escalation") if escalations else "no unguarded escalation"
    yield Text(f"{name}: {ways}, {up}", style="bold yellow" if escalations else "bold green")


def to_dot(name: str, modes: Iterable[tuple[str, int]], found: tuple[Transition, ...]) -> str:
    """The graph in the language of Graphviz; `modes` with their rank, 0 the most privileged."""
    lines = [f"digraph {quoted(name)} {{", "  rankdir=BT", "  node [shape=box]"]
    ranks: dict[int, list[str]] = {}
    for mode, rank in modes:
        ranks.setdefault(rank, []).append(quoted(mode))
    lines += [f"  {{ rank=same; {'; '.join(same)} }}" for same in ranks.values()]
    for (source, target, kind), by in merged(found).items():
        more = [f"and {len(by) - MAX_LABEL} more"] if len(by) > MAX_LABEL else []
        label = "\\n".join([*by[:MAX_LABEL], *more])
        style = ", style=dashed" if kind else ""
        lines.append(f"  {quoted(source)} -> {quoted(target)} [label={quoted(label)}{style}]")
    return "\n".join([*lines, "}"]) + "\n"


def quoted(text: str) -> str:
    """Text as Graphviz reads it; line breaks stay.

    >>> print(quoted('a "b"'))
    "a \\"b\\""
    """
    return '"' + text.replace('"', '\\"') + '"'
