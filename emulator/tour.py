"""From the text of a spec to machine code: what becomes of one instruction, form by form, as `popek tour` shows it.

Nothing in it is written by hand but the sentences between: each form comes from the function that the emulator itself
calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from analyzer import ir
from analyzer.errors import UsageError
from emulator.blocks.source import Source as Blocks
from emulator.board import board_of
from emulator.codegen.handler import handler
from emulator.codegen.layout import Bank
from emulator.codegen.plan import Plan
from emulator.codegen.values import PROFILES, Unsupported
from emulator.codegen.variant import Variant, control, fixed
from emulator.decode import Decoded, decoder
from emulator.interface import Ram
from emulator.machine.assembly import assembly, version
from emulator.machine.records import PASSES
from emulator.program import assemble
from emulator.state import State, join

DECLARED = "".join(f"declare i{n} @llvm.bswap.i{n}(i{n})\n" for n in (16, 32, 64))


Reader = Callable[[str], str]
"""The text of a file that a span names."""

Printer = Callable[[ir.Instruction], Iterable[str]]


def tour(isa: ir.Isa, text: str, read: Reader, shown: Printer) -> str:
    """The tour of an instruction in assembly, as Markdown; the analyzer's own forms come from `read` and `shown`.

    Raises:
        AssemblyError: the text does not assemble.
        UsageError: it is no instruction.
    """
    return "\n".join(_sections(isa, text, read, shown)) + "\n"


def _sections(isa: ir.Isa, text: str, read: Reader, shown: Printer) -> Iterator[str]:
    plan = _plan(isa)
    decoded, units = _decoded(isa, text, plan.bank.base)
    instruction = decoded.instruction
    yield f"# A tour: `{text}` of {isa.name}, from its spec to machine code"
    yield ""
    yield f"Made by `popek tour {isa.name} '{text}'`; every form below is what the function of that stage returns."
    yield ""
    yield "## The spec"
    yield from _fenced("", _paragraph(instruction, read))
    yield "## The IR"
    yield ""
    yield "Elaborated, names are resolved and widths known. Analyzer and emulator read nothing else."
    yield from _fenced("", list(shown(instruction)))
    yield "## The encoding"
    yield ""
    operands = ", ".join(f"{name} = {value:#x}" for name, value in decoded.operands.items())
    yield f"`{' '.join(f'{unit:0{(isa.unit + 3) // 4}x}' for unit in units)}` in units of {isa.unit} bits"
    yield f"decodes to `{instruction.name}`" + (f" with {operands}." if operands else ".")
    yield ""
    yield "## Python"
    yield ""
    yield "The tier that needs nothing else: a block of one instruction. `E` are the elements, `F` the register files."
    yield from _fenced("python", _python(plan, decoded))
    yield "## LLVM"
    yield ""
    yield "The handler of the threaded interpreter. Operands come from the record (`%rec`), so it serves all of its"
    yield "variant; it leaves when the budget is spent, and ends in a call of the next handler."
    variant = Variant(
        isa.instructions.index(instruction),
        fixed(control(isa, instruction), decoded.operands),
        decoded.length,
    )
    lowered = handler(plan, variant, "handler")
    yield from _fenced("llvm", lowered.strip().splitlines())
    yield "## Machine code"
    yield ""
    yield f"By LLVM {version()}, for a plain x86-64."
    yield from _fenced("asm", assembly(PROFILES + DECLARED + lowered, PASSES))


def _fenced(language: str, lines: list[str]) -> Iterator[str]:
    yield from ("", f"```{language}", *lines, "```", "")


def _plan(isa: ir.Isa) -> Plan:
    board = board_of(isa, None)
    regions = [Ram(board.memory, table.base, table.size) for table in board.ram]
    return Plan(isa, State(isa, board.choices).choices, Bank.of(isa, regions), {})


def _decoded(isa: ir.Isa, text: str, origin: int) -> tuple[Decoded, list[int]]:
    """The one instruction of a text, and its units."""
    cells = assemble(isa, text + "\n", origin, "instruction").cells
    units = [cells[address] for address in sorted(cells)]
    per = isa.fetch.parcel // isa.unit

    def parcel(i: int) -> int:
        found = units[i * per : (i + 1) * per]
        if len(found) < per:
            raise UsageError(f"`{text}` is no instruction of {isa.name}")
        return join(iter(found), isa.unit, isa.endian)

    decoded = decoder(isa).decode(parcel, State(isa))
    if decoded is None or decoded.length != len(units):
        raise UsageError(f"`{text}` is not one instruction of {isa.name}")
    return decoded, units


def _paragraph(instruction: ir.Instruction, read: Reader) -> list[str]:
    """The lines of the spec around an instruction, up to empty ones."""
    span = instruction.span
    if span is None:
        return []
    lines = read(span.file).splitlines()
    first = last = span.line - 1
    while first > 0 and lines[first - 1].strip():
        first -= 1
    while last + 1 < len(lines) and lines[last + 1].strip():
        last += 1
    return lines[first : last + 1]


def _python(plan: Plan, decoded: Decoded) -> list[str]:
    source, pc = Blocks(plan), plan.bank.base
    try:
        on = source.instruction(pc, decoded.instruction.body, decoded.operands, 0, pc + decoded.length)
    except Unsupported as reason:
        return [f"# the reference executes it: {reason}"]
    if on:
        source.out.put(f"E[{plan.pc!r}] = {pc + decoded.length}")
    source.out.put("return 1")
    return ["def block():", *source.out.lines]
