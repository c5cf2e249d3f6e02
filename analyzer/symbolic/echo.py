"""Questions that were answered for a twin.

MOV to DS and MOV to ES differ in the name of a register and in an index of an array.  What is asked about the one is
what was asked about the other with other names: it is refuted if that was, and a model of that, its names changed, is
a model.  Questions are compared as they are asked, term by term; nothing is taken to be alike that was not compared.

Two questions are alike if they differ only in names of symbols, arrays and functions, one to one, and in constant
indices of arrays: one to one too, alike for arrays that are compared or stand in one conditional, and not at all for
those that are looked at where a term says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from analyzer.symbolic.model import Entries, Model
from analyzer.symbolic.solver import Answer
from analyzer.symbolic.term import Array, Bool, Term


class Question(Struct, frozen=True):
    """Formulas that were asked about together, how, and the answer."""

    formulas: tuple[Bool, ...]
    how: Any
    answer: Answer


class Echo:
    """What was asked of a twin, from where it has been heard to."""

    def __init__(self, questions: list[Question]) -> None:
        self._questions = questions
        self._next = 0
        self._renaming = _Renaming()

    def answer(self, formulas: tuple[Bool, ...], how: Any) -> Answer | None:
        """The twin's answer to a question like this; None if there is none that has not been heard yet.  Twins begin
        alike, term by term as they were made; later one may be asked more than the other."""
        if not self._next and _made(formulas) != _made(self._questions[0].formulas):
            return None
        for i in range(self._next, len(self._questions) if self._next else 1):
            asked = self._questions[i]
            if asked.how == how and self._renaming.extended(asked.formulas, formulas):
                self._next = i + 1
                return self._renaming.answer(asked.answer)
        return None


def _made(formulas: tuple[Bool, ...]) -> list[int]:
    """When these were made."""
    return [f.uid if isinstance(f, Term) else -1 for f in formulas]


class _Renaming:
    """Which of our terms and names stands for which of the twin's."""

    def __init__(self) -> None:
        self._ours: dict[Any, Any] = {}  # by the twin's: a term by a term, (kind, name) by a name
        self._theirs: dict[tuple[str, str], str] = {}
        self._facts: list[_Fact] = []
        self._moves: Mapping[Any, Mapping[int, int]] = {}
        self._models: dict[int, Model] = {}

    def extended(self, theirs: tuple[Bool, ...], ours: tuple[Bool, ...]) -> bool:
        """Are these alike, by this renaming or more of it?  It stays as it is if they are not."""
        before = self._length()
        if len(theirs) == len(ours) and all(map(self._alike, theirs, ours)):
            if len(self._facts) == before[-1]:
                return True
            moves = _moves(self._facts)
            if moves is not None:
                self._moves = moves
                self._models.clear()
                return True
        self._take_back(before)
        return False

    def _length(self) -> tuple[int, int, int]:
        return len(self._ours), len(self._theirs), len(self._facts)

    def _take_back(self, length: tuple[int, int, int]) -> None:
        ours, theirs, facts = length
        while len(self._ours) > ours:
            self._ours.popitem()
        while len(self._theirs) > theirs:
            self._theirs.popitem()
        del self._facts[facts:]

    def _alike(self, a: Any, b: Any) -> bool:
        if not isinstance(a, Term) or not isinstance(b, Term):
            return type(a) is type(b) and bool(a == b)
        if a in self._ours:
            return self._ours[a] is b
        if (a.op, a.width, a.index) != (b.op, b.width, b.index) or not self._same_data(a, b):
            return False
        if not (self._alike_parts(a.args, b.args) if a.op in ("and", "or") else self._alike_arguments(a, b)):
            return False
        self._facts += _facts_of(a, b)
        self._ours[a] = b
        return True

    def _alike_arguments(self, a: Term, b: Term) -> bool:
        theirs, ours = _compared(a), _compared(b)
        return len(theirs) == len(ours) and all(map(self._alike, theirs, ours))

    def _alike_parts(self, theirs: tuple[Bool, ...], ours: tuple[Bool, ...]) -> bool:
        """Parts may come in another order: where two registers are compared, each has its own place."""
        if len(theirs) != len(ours):
            return False
        moved = [pair for pair in zip(theirs, ours, strict=True) if not self._tried(*pair)]
        left = [b for _, b in moved]
        for a, _ in moved:
            at = next((i for i, b in enumerate(left) if self._tried(a, b)), None)
            if at is None:
                return False
            del left[at]
        return True

    def _tried(self, a: Bool, b: Bool) -> bool:
        before = self._length()
        if self._alike(a, b):
            return True
        self._take_back(before)
        return False

    def _same_data(self, a: Term, b: Term) -> bool:
        match a.op:
            case "symbol" | "array":
                return self._named(a.op, a.data, b.data)
            case "apply":
                return bool(a.data.widths == b.data.widths) and self._named(a.op, a.data.name, b.data.name)
            case "forall":
                return len(a.data) == len(b.data) and all(map(self._alike, a.data, b.data))
        return bool(a.data == b.data)

    def _named(self, kind: str, theirs: str, ours: str) -> bool:
        """Is ours the one name for theirs, and for no other?"""
        if self._ours.setdefault((kind, theirs), ours) != ours:
            return False
        return self._theirs.setdefault((kind, ours), theirs) == theirs

    def answer(self, answer: Answer) -> Answer:
        """The twin's answer with our names."""
        if answer.model is None:
            return answer
        key = id(answer.model)
        if key not in self._models:
            self._models[key] = self._renamed(answer.model)
        return Answer(answer.status, self._models[key])

    def _renamed(self, model: Model) -> Model:
        arrays = {n: _moved(entries, self._moves.get(n, {})) for n, entries in model.arrays.items()}
        return Model(
            self._called("symbol", model.symbols),
            self._called("array", arrays),
            self._called("apply", model.functions),
        )

    def _called(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values under our names, but for what no question was about."""
        return {self._ours[kind, n]: value for n, value in values.items() if (kind, n) in self._ours}


# -- indices of arrays -------------------------------------------------------------------------------------------------

_Fact = tuple[tuple[Any, ...], Any]
"""Arrays that have to be indexed alike, and an index of theirs with ours, or None if no index may differ."""


def _compared(t: Term) -> tuple[Any, ...]:
    """The arguments that have to be alike: all but a constant index."""
    if t.op in ("select", "store") and not isinstance(t.args[1], Term):
        return t.args[0], *t.args[2:]
    return t.args


def _facts_of(a: Term, b: Term) -> Iterator[_Fact]:
    """What two nodes that are alike say of indices."""
    if a.op in ("select", "store"):
        at, ours = a.args[1], b.args[1]
        yield _arrays(a.args[0]) or _arrays(a), None if isinstance(at, Term) else (at, ours)
    elif a.op == "same" or (a.op == "ite" and a.index):
        yield (*_arrays(a.args[-2]), *_arrays(a.args[-1])), ()


def _arrays(t: Array) -> tuple[Any, ...]:
    """What an array's entries come from: the names of arrays, and changes of what is the same everywhere."""
    match t.op:
        case "array":
            return (t.data,)
        case "ite":
            return (*_arrays(t.args[1]), *_arrays(t.args[2]))
        case "flip":
            return _arrays(t.args[0])
        case "store":
            return _arrays(t.args[0]) or (t,)
    return ()


def _moves(facts: list[_Fact]) -> dict[Any, dict[int, int]] | None:
    """How the indices of each array are renamed; None if that is not one to one."""
    group: dict[Any, set[Any]] = {}
    for names, _ in facts:
        whole = set(names).union(*(group.get(n, ()) for n in names))
        group.update(dict.fromkeys(whole, whole))
    moves: dict[int, dict[int, int]] = {id(whole): {} for whole in group.values()}
    fixed: set[int] = set()
    for names, pair in facts:
        here = id(group[names[0]]) if names else None
        if here is None:
            continue
        if pair is None:
            fixed.add(here)
        elif pair and moves[here].setdefault(*pair) != pair[1]:
            return None
    for here, renamed in moves.items():
        if len(set(renamed.values())) < len(renamed) or (here in fixed and any(i != j for i, j in renamed.items())):
            return None
    return {name: moves[id(whole)] for name, whole in group.items()}


def _moved(entries: Entries, moves: Mapping[int, int]) -> Entries:
    """An array's value with its indices renamed; those that have no new name take what is left over."""
    back = {j: i for i, j in moves.items()}

    def moved(at: int) -> int:
        if at in moves:
            return moves[at]
        while at in back:
            at = back[at]
        return at

    return Entries({moved(at): value for at, value in entries.known.items()}, entries.default)
