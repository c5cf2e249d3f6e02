"""What a machine does is written in its spec: no Python of the product knows the name of one.

Found are string literals that equal the name of a bundled spec, and decisions on the name of any machine.  Docstrings
may name what they like.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPECS = sorted(ROOT.glob("isa_specs/**/*.isa"))
SOURCES = sorted(
    path
    for pattern in ("analyzer/**/*.py", "emulator/**/*.py", "commands/**/*.py", "*.py")
    for path in ROOT.glob(pattern)
)

SUBJECTS = {"isa", "machine", "spec"}
"""`isa.name`, `self.machine.name`, `isa_name`, `spec_name` are names of machines."""


def names_of(spec: Path) -> set[str]:
    """The names that a bundled spec goes by: its file's, and the one after `isa` in its header."""
    header = re.search(r"^isa\s+(\w+)", spec.read_text(encoding="utf-8"), re.MULTILINE)
    return {spec.stem.lower()} | ({header[1].lower()} if header else set())


NAMES = {name for spec in SPECS for name in names_of(spec)}


def is_machine_name(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id=subject) | ast.Attribute(attr=subject), attr="name"):
            return subject in SUBJECTS
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in {f"{subject}_name" for subject in SUBJECTS}
        case ast.Call(func=ast.Attribute(value=value)):  # isa.name.lower()
            return is_machine_name(value)
        case _:
            return False


def has_literal(*nodes: ast.AST) -> bool:
    return any(isinstance(n, ast.Constant) and isinstance(n.value, str) for node in nodes for n in ast.walk(node))


def facts(text: str, names: set[str]) -> Iterator[str]:
    """The places of a module that depend on a machine's name."""
    tree = ast.parse(text)
    docstrings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(value)) if node not in docstrings:
                if value.lower().removesuffix(".isa") in names:
                    yield f"line {node.lineno}: names the machine {value!r}"
            case ast.Compare(left=left, comparators=rest):
                if any(map(is_machine_name, [left, *rest])) and has_literal(left, *rest):
                    yield f"line {node.lineno}: compares the name of a machine"
            case ast.Call(func=ast.Attribute(value=subject, attr="startswith" | "endswith"), args=arguments):
                if is_machine_name(subject) and has_literal(*arguments):
                    yield f"line {node.lineno}: looks into the name of a machine"
            case ast.Match(subject=subject, cases=cases):
                if is_machine_name(subject) and has_literal(*(case.pattern for case in cases)):
                    yield f"line {node.lineno}: matches the name of a machine"


def test_there_are_specs() -> None:
    assert NAMES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_machine_is_named(path: Path) -> None:
    assert list(facts(path.read_text(encoding="utf-8"), NAMES)) == []


@pytest.mark.parametrize(
    "text",
    [
        "x = 'ia32'",
        "table = {'IA32': 1}",
        "path = 'ia32.isa'",
        "def f(spec='ia32'): ...",
        "if isa.name == 'z80': ...",
        "if 'z8' in self.machine.name: ...",
        "if isa_name.lower() in ('z80', 'z8000'): ...",
        "if isa.name.startswith('z80'): ...",
        "match isa.name:\n    case 'z80': ...",
    ],
)
def test_found(text: str) -> None:
    assert list(facts(text, {"ia32"}))


@pytest.mark.parametrize(
    "text",
    [
        '"""ia32"""',
        'def f():\n    "ia32"',
        'x = 1\n"ia32"',
        "help = 'popek check ia32'",
        "if isa.name == other.name: ...",
        "if instruction.name == 'z80': ...",
        "match isa.name:\n    case _: ...",
    ],
)
def test_not_found(text: str) -> None:
    assert not list(facts(text, {"ia32"}))
