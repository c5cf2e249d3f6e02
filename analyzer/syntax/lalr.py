"""The LALR(1) automaton: tokens in, a value or the place of the first error out.

The tables are lark's (see `grammar`); the loop is our own because a spec of a thousand lines should parse in the blink
of an eye, and because messages need the automaton's stack at the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from analyzer.source import Source, Span
from analyzer.syntax.grammar import END, Grammar, Rule
from analyzer.syntax.lines import Token
from analyzer.syntax.reductions import BUILD, Builder, leaf

MAX_STACK = 1000
"""How much may be left open: `if a then b else if c then …` without brackets."""

NOTHING = -1
"""What is below the start state."""

LEAVES = {"NAME", "STRING", "NUM", "BASED"}


class Stuck(Struct, frozen=True):
    """The tokens up to and with the one that does not fit, and what would have fitted.  `overflow`: it would fit, but
    too much is open."""

    tokens: tuple[Token, ...]
    expected: frozenset[str]
    overflow: bool = False


def run(grammar: Grammar, source: Source, tokens: Iterable[Token], start: str) -> Any | Stuck:
    """The value of the tokens, read as a `start`."""
    goto, steps, settled = grammar.goto, steps_of(grammar), settled_of(grammar)
    accept = grammar.accept[start]
    states = [NOTHING, grammar.start[start]]
    values: list[Any] = []
    starts: list[int] = []
    seen: list[Token] = []
    end = 0
    for token in tokens:
        seen.append(token)
        kind = token.kind
        while True:
            key = states[-2], states[-1], kind
            known = settled.get(key)
            if known is None:
                known = settled[key] = settle(grammar, *key)
            states[-1], action = known
            if kind == END and states[-1] == accept:
                return values[-1]
            if action >= 0:
                break
            step = steps[-action - 1]
            length = step.length
            if step.make is not None:
                values[-length:] = (step.make(source.span(starts[-length], end), values[-length:]),)
            elif step.collect is not None:
                values[-length:] = (step.collect(values[-length:]),)
            del starts[1 - length or len(starts) :], states[-length:]
            states.append(goto[states[-1]][step.origin])
        if not action or len(values) >= MAX_STACK:
            return Stuck(tuple(seen), expected(grammar, start, seen[:-1]), overflow=action > 0)
        states.append(action)
        values.append(leaf(kind, token.text, source.span(token.start, token.end)) if kind in LEAVES else token.text)
        starts.append(token.start)
        end = token.end
    raise AssertionError("the last token is the end of the text")


def settle(grammar: Grammar, below: int, top: int, kind: str) -> tuple[int, int]:
    """The top state after the reductions that only pass a child on (there are ten between a name and an expression),
    and what to do then.  They depend on nothing else, so they are done once for each case."""
    while True:
        action = grammar.default[top] or grammar.actions[top].get(kind, 0)
        if action >= 0 or (kind == END and top in grammar.accept.values()):
            return top, action
        step = steps_of(grammar)[-action - 1]
        if step.make is not None or step.collect is not None:
            return top, action
        top = grammar.goto[below][step.origin]


@cache
def settled_of(grammar: Grammar) -> dict[tuple[int, int, str], tuple[int, int]]:
    """What `settle` has found."""
    return {}


def expected(grammar: Grammar, start: str, tokens: Iterable[Token]) -> frozenset[str]:
    """The terminals that could stand after these tokens.  The automaton runs once more, because on meeting the token
    that did not fit it may have reduced what others would have continued."""
    stack = [grammar.start[start]]
    for token in tokens:
        stack.append(advance(grammar, stack, token.kind))
    return frozenset(kind for kind in grammar.terminals if advance(grammar, list(stack), kind))


def advance(grammar: Grammar, stack: list[int], kind: str) -> int:
    """The state after a token of this kind, 0 if it does not fit; reduces the stack before.  (For the end of the text
    any state but 0 says that it may stand here.)"""
    while True:
        action = grammar.default[stack[-1]] or grammar.actions[stack[-1]].get(kind, 0)
        if action >= 0:
            return action
        rule = grammar.rules[-action - 1]
        del stack[len(stack) - rule.length :]
        stack.append(grammar.goto[stack[-1]][rule.origin])
        if kind == END and stack[-1] in grammar.accept.values():
            return stack[-1]


class Step(Struct, frozen=True):
    """What a reduction does: `make` builds the value, `collect` that of a helper; neither passes the only child on."""

    origin: str
    length: int
    make: Callable[[Span, list[Any]], Any] | None
    collect: Callable[[list[Any]], list[Any]] | None


@cache
def steps_of(grammar: Grammar) -> tuple[Step, ...]:
    return tuple(step(rule) for rule in grammar.rules)


def step(rule: Rule) -> Step:
    if rule.origin.startswith("_"):
        return Step(rule.origin, rule.length, None, collector(rule))
    if rule.name is None:
        return Step(rule.origin, rule.length, None, None)
    return Step(rule.origin, rule.length, maker(rule, BUILD[rule.name]), None)


def maker(rule: Rule, build: Builder) -> Callable[[Span, list[Any]], Any]:
    """Calls `build` with the children that the rule keeps."""
    if any(child.inline or child.nones for child in rule.children) or rule.trailing:
        return lambda span, symbols: build(span, *children(rule, symbols))
    if len(rule.children) == rule.length:
        return lambda span, symbols: build(span, *symbols)
    kept = [child.index for child in rule.children]
    return lambda span, symbols: build(span, *[symbols[i] for i in kept])


def collector(rule: Rule) -> Callable[[list[Any]], list[Any]]:
    """The children of a repetition; a longer one is built by adding to the shorter, which nobody else holds."""
    if not rule.children or not rule.children[0].inline:
        return lambda symbols: children(rule, symbols)
    rest = replace(rule, children=rule.children[1:])

    def collect(symbols: list[Any]) -> list[Any]:
        found: list[Any] = symbols[rule.children[0].index]
        found += children(rest, symbols)
        return found

    return collect


def children(rule: Rule, symbols: list[Any]) -> list[Any]:
    found: list[Any] = []
    for child in rule.children:
        found += [None] * child.nones
        if child.inline:
            found += symbols[child.index]
        else:
            found.append(symbols[child.index])
    return found + [None] * rule.trailing
