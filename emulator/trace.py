"""A run in lines: each step with its instruction and what it changed."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer import ir
from emulator.disassemble import disassemble
from emulator.interface import Exit, Machine, Reason
from emulator.peek import Peek


def traced(machine: Machine, budget: int) -> Iterator[str | Exit]:
    """Takes steps one by one; a line for each, and at last how the run ended.

        12  M  80000004  addi x5, x5, -8   ; x[5] = 0x80000100

    A step that retired nothing is marked: it trapped, or an interrupt came before the instruction.
    """
    peek = Peek(machine)
    counting = {e.name for e in machine.isa.elements.values() if e.role is ir.Role.TIME}
    ignored = counting | {machine.isa.fetch.pc}
    digits = (machine.isa.elements[machine.isa.fetch.pc].width + 3) // 4
    taken = 0
    while taken < budget:
        pc, mode = peek.state.pc(), peek.state.mode()
        decoded = peek.instruction()
        text = "no instruction" if decoded is None else disassemble(machine.isa, decoded, pc)
        retired, before = machine.retired, machine.steps
        elements = dict(peek.state.elements)
        files = {name: list(entries) for name, entries in peek.state.files.items()}
        ended = machine.run(1)
        taken += ended.steps
        peek.refresh()
        if machine.steps != before:
            changes = [
                f"{name} = {value:#x}"
                for name, value in peek.state.elements.items()
                if value != elements[name] and name not in ignored
            ]
            changes += [
                f"{name}[{i}] = {value:#x}"
                for name, entries in peek.state.files.items()
                for i, value in enumerate(entries)
                if value != files[name][i]
            ]
            mark = "" if machine.retired != retired else "  -> trap"
            after = f"  ; {', '.join(changes)}" if changes else ""
            yield f"{before + 1:>8}  {mode}  {pc:0{min(digits, 16)}x}  {text}{mark}{after}".rstrip()
        if ended.reason is not Reason.BUDGET:
            yield Exit(ended.reason, taken, ended.code, ended.name, ended.memory, ended.address)
            return
    yield Exit(Reason.BUDGET, taken)
