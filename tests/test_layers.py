"""A module imports only from its own layer and the layers above it, and each foreign library stays behind its fence.

The layers are the pipeline, written once, below.  A new module needs a line there, or a package that has one.
Every import counts: also those inside functions and under `TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = (
    ("analyzer.source", "analyzer.hints", "analyzer.interrupts"),
    ("analyzer.errors",),
    ("analyzer.ir",),
    ("analyzer.replayer", "analyzer.spread", "analyzer.named"),
    ("analyzer.allocator", "analyzer.aim"),
    ("analyzer.syntax",),
    ("analyzer.passes",),
    ("analyzer.symbolic",),
    ("analyzer.properties",),
    ("analyzer.classify",),
    ("analyzer.theorems",),
    ("analyzer.stuck", "analyzer.vacuity"),
    ("analyzer.witness", "analyzer.conditions"),
    ("analyzer.catching", "analyzer.gates"),
    ("analyzer.repair", "analyzer.intercepts", "analyzer.graph", "analyzer.explain"),
    ("analyzer.report", "analyzer.version"),
    ("analyzer.sources", "analyzer.expectations", "analyzer.premises"),
    ("analyzer.obligations", "analyzer.allocation"),
    ("analyzer.aiming",),
    ("analyzer.examine",),
    ("analyzer.kin",),
    ("analyzer.cache",),
    ("analyzer.options",),
    ("analyzer.memo", "analyzer.kept"),
    ("analyzer.analysis",),
    ("analyzer.catalog",),
    ("analyzer.render",),
    ("analyzer",),
    ("emulator.evaluate",),
    ("emulator.state",),
    ("emulator.decode",),
    ("emulator.expressions",),
    ("emulator.assemble", "emulator.disassemble"),
    ("emulator.lines",),
    ("emulator.program", "emulator.listing"),
    ("emulator.stopping",),
    ("emulator.reference",),
    ("emulator.examples", "emulator.replay"),
    ("emulator.interface",),
    ("emulator.storage",),
    ("emulator.codegen",),
    ("emulator.blocks",),
    ("emulator.machine",),
    ("emulator.devices", "emulator.kept"),
    ("emulator.piece", "emulator.fdt"),
    ("emulator.elf",),
    ("emulator.image", "emulator.board"),
    ("emulator.system", "emulator.peek"),
    ("emulator.saved",),
    ("emulator.trace", "emulator.profile", "emulator.terminal"),
    ("emulator.run", "emulator.tour"),
    ("emulator.gdb", "emulator.benchmark"),
    ("emulator.monitor",),
    ("emulator.techniques",),
    ("emulator.validate",),
    ("emulator",),
    ("commands.printing", "commands.running", "commands.arguments", "commands.interrupts"),
    ("commands.analyses",),
    ("commands",),
    ("cli",),
    ("popek",),
)
"""First to last.  A package stands for everything in it, but `analyzer` and `emulator` only for their `__init__`."""

FACADES = ("analyzer", "emulator")

EMULATOR_SEES = {
    "analyzer.source",
    "analyzer.errors",
    "analyzer.interrupts",
    "analyzer.ir",
    "analyzer.passes",
    "analyzer.replayer",
    "analyzer.allocator",
    "analyzer.aim",
    "analyzer.report",
}
"""All that the emulator knows of the analyzer: the IR, what is read off its text, and what is handed over.  The
analyzer knows nothing of the emulator: what replays a witness is handed to it as a callable."""

FENCES = {
    "lark": {"analyzer.syntax"},
    "z3": {"analyzer.symbolic"},
    "llvmlite": {"emulator.codegen", "emulator.machine"},
    "elftools": {"emulator.elf"},
    "numpy": {member for layer in LAYERS for member in layer if member.startswith("emulator")},
    "rich": {"analyzer.render", "commands.printing"},
    "typer": {"commands", "commands.arguments", "commands.printing", "cli"},
}
"""Who may import a foreign library.  Libraries that are not here are free."""

RANK = {member: rank for rank, layer in enumerate(LAYERS) for member in layer}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for folder in ("analyzer", "emulator", "commands")
    for path in [*ROOT.glob(f"{folder}/**/*.py"), ROOT / "popek.py", ROOT / "cli.py"]
}


def member_of(module: str) -> str | None:
    """The member of `LAYERS` that a module belongs to."""
    if module in FACADES:
        return module
    parts = module.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((p for p in prefixes if p in RANK and p not in FACADES), None)


def imports(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and the full name of everything that a module imports."""
    package = module if MODULES.get(module, Path()).name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                if level:
                    base = package.split(".")[: len(package.split(".")) - level + 1]
                    source = ".".join([*base, source] if source else base)
                # `from analyzer import ir` imports a module, `from analyzer import load` a name of the facade.
                yield from (
                    (node.lineno, f"{source}.{alias.name}" if f"{source}.{alias.name}" in MODULES else str(source))
                    for alias in names
                )


def objection(importer: str, imported: str) -> str | None:
    """Why a member of the layers may not import a module, or None if it may."""
    library = imported.partition(".")[0]
    if library in FENCES and importer not in FENCES[library]:
        return f"{library} is imported only by {', '.join(sorted(FENCES[library]))}"
    if library not in {"analyzer", "emulator", "commands", "popek", "cli"}:
        return None
    member = member_of(imported)
    if member is None:
        return "it is in no layer"
    if RANK[member] > RANK[importer]:
        return f"{member} comes after {importer}"
    if importer.startswith("emulator") and member.startswith("analyzer") and member not in EMULATOR_SEES:
        return f"the emulator sees only {', '.join(sorted(EMULATOR_SEES))}"
    return None


def objections(module: str, text: str) -> list[str]:
    member = member_of(module)
    if member is None:
        return [f"{module} is in no layer: add it to LAYERS in tests/test_layers.py"]
    return [
        f"{module}:{line} may not import {imported}: {reason}"
        for line, imported in imports(module, ast.parse(text))
        if (reason := objection(member, imported))
    ]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_layers(module: str) -> None:
    assert objections(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("analyzer.ir", "from analyzer.source import Span"),
        ("analyzer.syntax.parse", "import lark"),
        ("analyzer.syntax.elaborate", "from analyzer.syntax.parse import parse"),
        ("analyzer.symbolic.terms", "import z3"),
        ("analyzer.explain", "from analyzer.witness import FoundWitness"),
        ("analyzer.render.human", "from rich.text import Text"),
        ("analyzer", "from analyzer.render import html"),
        ("emulator.reference", "from analyzer import ir"),
        ("emulator.codegen.blocks", "import llvmlite.ir"),
        ("cli", "def check():\n    import analyzer, emulator, typer"),
    ],
)
def test_allowed(module: str, text: str) -> None:
    assert objections(module, text) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("analyzer.helpers", ""),
        ("emulator.helpers", ""),
        ("analyzer.ir", "import analyzer.helpers"),
        ("analyzer.ir", "from analyzer.passes import inline"),
        ("analyzer.ir", "from .passes import inline"),
        ("analyzer.ir", "def late():\n    import analyzer.classify"),
        ("analyzer.ir", "import lark"),
        ("analyzer.classify", "from z3 import BitVec"),
        ("analyzer.classify", "from analyzer import load"),
        ("analyzer.witness", "from emulator.reference import step"),
        ("analyzer.report", "import numpy"),
        ("analyzer.report", "import rich.text"),
        ("analyzer.render.human", "import typer"),
        ("analyzer", "import emulator"),
        ("emulator.state", "from emulator.machine import Machine"),
        ("emulator.reference", "from analyzer.syntax import parse"),
        ("emulator.reference", "import llvmlite.binding"),
        ("emulator.validate", "import z3"),
        ("emulator", "import analyzer"),
    ],
)
def test_forbidden(module: str, text: str) -> None:
    assert len(objections(module, text)) == 1


START = """
import sys
from cli import app
try:
    app([sys.argv[1]])
except SystemExit as stop:
    assert not stop.code, stop.code
import analyzer, emulator
assert not (heavy := {"z3", "llvmlite", "networkx"} & set(sys.modules)), heavy
"""


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_start_is_light(option: str) -> None:
    run = subprocess.run([sys.executable, "-c", START, option], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
