"""Families and deltas, on the tree: `for` over tables, `when` features, `import`, and what extends what.

The result is a flat list of pieces, each an item with the scope of its row.  A cell is not copied into the tree: its
column is a name in that scope, and means the cell wherever it is used.

    for { op | v            instr "{op}" … { rd = v }      in a scope where op = "add", v = rs1 + rs2
          "add" | rs1 + rs2 } instr "{op}" … { rd = v }
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod

from msgspec import Struct

from analyzer import ir
from analyzer.syntax import ast, expressions, state
from analyzer.syntax.machine import Machine, Piece
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.scope import Cell, Scope
from analyzer.syntax.value_types import BOOL
from analyzer.syntax.values import Value

MOST_PIECES = 20_000
"""Items of a spec, rows counted one by one."""


Load = Callable[[ast.Name | ast.String], ast.File]
"""Finds what `extends` or `import` names."""


class Families(Struct):
    """What is known while items are expanded."""

    machine: Machine
    load: Load
    tables: dict[str, ast.Rows] = {}
    features: dict[str, bool] = {}
    pieces: list[Piece] = []
    imported: set[str] = set()
    rows: int = 0


def expand(files: Sequence[ast.File], machine: Machine, load: Load) -> list[Piece]:
    """All items of the files, the one at the bottom first, in their rows."""
    families = Families(machine, load)
    for file in files:
        _gather(file.items, families)
    for name, on in families.features.items():
        machine.globals.names[name] = Value(ir.TRUE if on else ir.FALSE, BOOL)
    for rank, file in enumerate(files):
        _items(file.items, machine.globals, rank, (), families)
    return families.pieces


def _gather(items: Sequence[ast.Item], families: Families) -> None:
    """Tables and features are known everywhere, before and after their lines."""
    for item in items:
        match item:
            case ast.Table(name=name, rows=rows):
                families.tables[name.text] = rows
            case ast.Feature(name=name):
                families.features.setdefault(name.text, False)
            case ast.When(items=inner):
                _gather(inner, families)
            case _:
                pass
    for item in items:
        if isinstance(item, ast.Enable):
            if item.name.text not in families.features:
                hint = did_you_mean(item.name.text, families.features)
                families.machine.problems.report("PG201", f"there is no feature {item.name.text}", item.span, hint)
            families.features[item.name.text] = True


def _items(items: Sequence[ast.Item], scope: Scope, rank: int, row: tuple[str, ...], families: Families) -> None:
    last: list[Piece] | None = None
    for item in items:
        start = len(families.pieces)
        with families.machine.problems.catch(item.span):
            if isinstance(item, ast.Cite | ast.Expect | ast.Example):
                _clause(item, last, scope, rank, families)
                continue
            _item(item, scope, rank, row, families)
        last = families.pieces[start:]


def _clause(item: ast.Clause, last: list[Piece] | None, scope: Scope, rank: int, families: Families) -> None:
    """A clause is about the item before it; with names, about those.  Only a `source` can be about anything."""
    owners = [piece for piece in last or () if isinstance(piece.node, ast.Instr)]
    if isinstance(item, ast.Example):
        families.pieces.append(Piece(item, scope, rank, after=owners))
    elif (not owners and not (last and isinstance(item, ast.Cite))) or (isinstance(item, ast.Expect) and item.names):
        families.pieces.append(Piece(item, scope, rank))
    else:
        for piece in owners:
            piece.clauses.append(item)


def _item(item: ast.Item, scope: Scope, rank: int, row: tuple[str, ...], families: Families) -> None:
    machine = families.machine
    match item:
        case ast.Table() | ast.Feature() | ast.Enable():
            pass
        case ast.When(cond=cond, items=items):
            test = expressions.condition(cond, state.pure(machine, scope))
            if not isinstance(test, ir.BoolConst):
                raise failure(
                    "PG216",
                    "a `when` must be known when the spec is elaborated",
                    cond.span,
                    "ask for features and params",
                )
            if test.value:
                _items(items, scope, rank, row, families)
        case ast.Param():
            state.param(item, scope, machine)
        case ast.Import(path=path):
            if path.text not in families.imported:
                families.imported.add(path.text)
                file = families.load(path)
                _gather(file.items, families)
                _items(file.items, scope, rank, row, families)
        case ast.For():
            for cells, names in _rows(item, families):
                inner = Scope(scope, {c.column: c for c in cells})
                _items(item.items, inner, rank, (*row, *names), families)
        case ast.Override(item=inner_item):
            families.pieces.append(Piece(inner_item, scope, rank, True, row))
        case _:
            families.pieces.append(Piece(item, scope, rank, False, row))
    if len(families.pieces) > MOST_PIECES:
        raise failure("PG305", f"this spec has more than {MOST_PIECES} items once its tables are expanded", item.span)


def _rows(item: ast.For, families: Families) -> Iterator[tuple[list[Cell], list[str]]]:
    """The rows of a `for`, those of several sources combined; with the name of each."""
    tables = [_table(source, families) for source in item.sources]
    families.rows += prod(len(rows) for _, rows in tables)
    if families.rows > MOST_PIECES:
        raise failure("PG305", f"the tables of this spec have more than {MOST_PIECES} rows, combined", item.span)
    for combination in product(*(rows for _, rows in tables)):
        cells: list[Cell] = []
        names: list[str] = []
        for (columns, _), row in zip(tables, combination, strict=True):
            cells.extend(Cell(c, cell) for c, cell in zip(columns, row.cells, strict=True))
            name = next((t for t in map(_word, row.cells) if t is not None), None)
            if name:
                names.append(name)
        yield cells, names


def _word(cell: ast.Expr | ast.String) -> str | None:
    """The text of a cell that is a text or a name."""
    return cell.text if isinstance(cell, ast.String | ast.Name) else None


def _table(source: ast.Name | ast.Rows, families: Families) -> tuple[list[str], tuple[ast.Row, ...]]:
    """The columns of a table, and its rows."""
    rows = source
    if isinstance(rows, ast.Name):
        found = families.tables.get(rows.text)
        if found is None:
            raise failure(
                "PG201", f"there is no table {rows.text}", rows.span, did_you_mean(rows.text, families.tables)
            )
        rows = found
    head, *rest = rows.rows
    columns: list[str] = []
    for cell in head.cells:
        if not isinstance(cell, ast.Name):
            raise failure("PG244", "the first row names the columns", cell.span)
        if cell.text in columns:
            raise failure("PG205", f"there are two columns {cell.text}", cell.span)
        columns.append(cell.text)
    for row in rest:
        if len(row.cells) != len(columns):
            raise failure(
                "PG244", f"this row has {len(row.cells)} cells, and there are {len(columns)} columns", row.span
            )
    if not rest:
        raise failure("PG244", "this table has no rows", head.span)
    return columns, tuple(rest)
