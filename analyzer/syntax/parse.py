"""Text to tree, or to everything that is wrong with it.

A spec with an error is read on from the next item, so that one run shows one error for each broken item.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from analyzer.errors import Diagnostic, SpecError
from analyzer.source import Source
from analyzer.syntax import ast, grammar
from analyzer.syntax.grammar import Grammar
from analyzer.syntax.lalr import Stuck, run
from analyzer.syntax.lines import Token, scan, significant
from analyzer.syntax.messages import explain, odd_text
from analyzer.syntax.scene import ITEM_WORDS
from analyzer.syntax.walk import children

MAX_SIZE = 1_000_000
"""Characters of a file.  The largest specs have a tenth of that."""

MAX_DEPTH = 200
"""How deep a tree may be, so that walking it recursively is safe."""

MAX_ERRORS = 20
"""After so many, the rest is rarely news."""


def parse(source: Source) -> ast.File:
    """The syntax tree of a spec.

    >>> parse(Source("a.isa", 'isa tiny "A machine"\\nunit 8 little')).header.name.text
    'tiny'

    Raises:
        SpecError: the text is no spec; with a diagnostic for each broken item.
    """
    if len(source.text) > MAX_SIZE:
        raise SpecError((too_large(source),))
    tables = grammar.load()
    tokens = scan(source, tables)
    odd = tuple(odd_text(source, tokens))
    if not odd:
        file = run(tables, source, significant(tokens), "start")
        if not isinstance(file, Stuck):
            deep = tuple(too_deep(file))
            if deep:
                raise SpecError(deep)
            tree: ast.File = file
            return tree
    found = sorted([*odd, *misfits(source, tables, tokens, odd)], key=position)
    raise SpecError(tuple(found[:MAX_ERRORS]))


def position(diagnostic: Diagnostic) -> tuple[int, str]:
    return (diagnostic.span.start if diagnostic.span else 0, diagnostic.code)


def misfits(
    source: Source, tables: Grammar, tokens: Sequence[Token], odd: Sequence[Diagnostic]
) -> Iterator[Diagnostic]:
    """The first thing in each broken item that does not fit, unless the item has odd text, which is reason enough."""
    heads = item_heads(source, tokens)
    strange = [position(diagnostic)[0] for diagnostic in odd]
    first, start, count = 0, "start", 0
    while count < MAX_ERRORS:
        stuck = run(tables, source, significant(tokens, first), start)
        if not isinstance(stuck, Stuck):
            return
        place = stuck.tokens[-1].start
        head = max((tokens[i].start for i in heads if tokens[i].start <= place), default=0)
        following = next((i for i in heads if tokens[i].start >= place and (i > first or start == "start")), None)
        limit = tokens[following].start if following is not None else len(source.text)
        if bisect_left(strange, head) == bisect_left(strange, max(limit, place + 1)):
            count += 1
            yield explain(source, tables, stuck)
        if following is None:
            return
        first, start = following, "items"


def item_heads(source: Source, tokens: Sequence[Token]) -> list[int]:
    """The numbers of the tokens that seem to begin an item of the file: words of items, first on a line, and no further
    to the right than any other such word."""
    lines = [i for i, t in enumerate(tokens) if t.kind in ITEM_WORDS and (i == 0 or tokens[i - 1].text[-1] == "\n")]
    columns = {i: source.span(tokens[i].start, tokens[i].end).column for i in lines}
    leftmost = min(columns.values(), default=1)
    return [i for i in lines if columns[i] == leftmost]


def too_large(source: Source) -> Diagnostic:
    return Diagnostic(
        "PG111",
        f"the file has {len(source.text):,} characters, more than {MAX_SIZE:,}",
        source.span(0, 0),
        "split it with `import`",
    )


def too_deep(file: ast.File) -> Iterator[Diagnostic]:
    """Items whose trees are deeper than `MAX_DEPTH`; each level takes a character or more."""
    for item in file.items:
        if item.span.end - item.span.start <= MAX_DEPTH:
            continue
        level: list[ast.Node] = [item]
        for _ in range(MAX_DEPTH):
            level = [child for node in level for child in children(node)]
        if level:
            yield Diagnostic(
                "PG110",
                f"this is nested more than {MAX_DEPTH} levels deep",
                level[0].span,
                "name parts of it with `let`, or move them to an `fn`",
            )
