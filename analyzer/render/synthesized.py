"""A setting of intercept bits, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from analyzer.intercepts import Synthesis
from analyzer.render.lines import Look, styled


def synthesis_lines(spec: str, scheme: str, found: Synthesis, look: Look) -> Iterator[Text]:
    """What each bit catches, what is undecided, and in the last line the setting."""
    yield from styled(_lines(found), look)
    yield from styled(iter([Text.assemble((f"{spec}, scheme {scheme}: ", "bold"), *_verdict(found))]), look)


def _lines(found: Synthesis) -> Iterator[Text]:
    for bit, closed in found.setting or ():
        if closed:
            yield Text.assemble((f"  {bit}", "bold"), f" catches {', '.join(closed)}")
    for other in found.others:
        yield Text(f"  as good: {', '.join(other) or 'nothing'}")
    for name in found.undecided:
        yield Text.assemble(("PG901", "bold yellow"), f" {name} is undecided: the budget ran out")


def _verdict(found: Synthesis) -> list[tuple[str, str]]:
    if found.setting is not None:
        bits = ", ".join(bit for bit, _ in found.setting) or "nothing"
        return [(f"set {bits} (all others 0)", "bold yellow" if found.undecided else "bold green")]
    if found.uncaught:
        return [(f"no setting catches {', '.join(found.uncaught)}", "bold red")]
    lets = f" and lets {', '.join(found.stopped)} run" if found.stopped else ""
    together = "both " if len(found.apart) == 2 else "all of " if len(found.apart) > 2 else ""
    return [(f"no setting catches {together}{_listed(found.apart)}{lets}", "bold red")]


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
