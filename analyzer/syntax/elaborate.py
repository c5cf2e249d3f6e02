"""From syntax trees to the IR: the pipeline of the front end.

Everything that is wrong is gathered and raised at the end, so one run shows one diagnostic for each broken statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analyzer import ir
from analyzer.errors import Diagnostic
from analyzer.syntax import ast, declarations, delivery, families, instructions, roster, schemes, sequencing, unused
from analyzer.syntax.machine import Machine
from analyzer.syntax.scope import SymbolEntity
from analyzer.syntax.sections import Sections
from analyzer.syntax.wellformed import wellformed

Load = families.Load

WORDS = ("unknown", "here", "access", "bits", "width", "length", "true", "false", "fetch", "read", "write")
"""Names that have a meaning unless the spec gives them another."""

STEPS: Sequence[Callable[[Sections], None]] = (
    declarations.unit,
    declarations.types,
    declarations.storage,
    declarations.named,
    sequencing.units,
    sequencing.counter,
    declarations.mode,
    sequencing.advance,
    sequencing.maps,
    sequencing.fetch,
    roster.collect,
    delivery.deliver,
    delivery.interrupts,
    roster.bodies,
    roster.examples,
    schemes.schemes,
    unused.functions,
    unused.views,
)


def elaborate(file: ast.File, load: Load) -> ir.Isa:
    """The instruction set that a spec describes.

    `load` finds what it extends and imports.

    Raises:
        SpecError: the spec does not check; with a diagnostic for each thing that is wrong, in source order.
    """
    return elaborate_with_warnings(file, load)[0]


def elaborate_with_warnings(file: ast.File, load: Load) -> tuple[ir.Isa, tuple[Diagnostic, ...]]:
    """As `elaborate`, with the warnings about a spec that checks."""
    machine = Machine(expand=instructions.expand, call_base=instructions.call_base)
    files = [file]
    while files[0].header.base is not None:
        files.insert(0, load(files[0].header.base))
    names = tuple(dict.fromkeys(f.header.span.file for f in files))
    for word in WORDS:
        machine.globals.names[word] = SymbolEntity(word)
    sections = Sections(file.header, families.expand(files, machine, load), machine)
    for step in STEPS:
        step(sections)
    machine.problems.raise_if_any(names)
    isa = assemble(file, sections, names)
    wellformed(isa, machine, sections.pieces)
    machine.problems.raise_if_any(names)
    return isa, tuple(machine.problems.found)


def assemble(file: ast.File, sections: Sections, names: tuple[str, ...]) -> ir.Isa:
    """The whole IR."""
    machine = sections.machine
    assert sections.mode is not None
    assert sections.fetch is not None
    cites = [node.text.text for node, _ in sections.of(ast.Cite)]
    return ir.Isa(
        file.header.name.text,
        file.header.title.text if file.header.title is not None else None,
        cites[-1] if cites else None,
        machine.unit,
        machine.endian,
        machine.enums,
        machine.elements,
        machine.files,
        machine.registers,
        machine.choices,
        machine.spaces,
        machine.tables,
        machine.procedures,
        sections.mode,
        machine.traps,
        sections.deliver,
        tuple(sections.interrupts),
        sections.fetch,
        tuple(machine.prefixes.values()),
        tuple(sections.instructions),
        tuple(sections.invariants),
        tuple(sections.schemes),
        names,
        span=file.header.name.span,
    )
