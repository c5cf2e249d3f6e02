"""Machine code as text, for one who wants to see what becomes of a module."""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.binding as llvm

TRIPLE = "x86_64-unknown-linux-gnu"
"""The host that is shown, whatever the real one is: so that the text does not depend on where it is made."""


def version() -> str:
    """The version of LLVM, on whose choices the text depends."""
    return ".".join(str(n) for n in llvm.llvm_version_info)


def assembly(text: str, passes: Sequence[str]) -> list[str]:
    """The instructions and labels of a module on a plain x86-64, as `Engine.compile` makes them on this host."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu="x86-64", opt=2, reloc="pic", codemodel="small")
    module = llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    manager = llvm.create_new_module_pass_manager()
    for name in passes:
        getattr(manager, f"add_{name}_pass")()
    manager.run(module, builder)
    lines = (line.split("#")[0].rstrip() for line in machine.emit_assembly(module).splitlines())
    return [line.expandtabs(8) for line in lines if line and not _of_the_assembler(line)]


def _of_the_assembler(line: str) -> bool:
    """Whether a line is a directive, or the label of an end."""
    return line.startswith((".Lfunc_end", "\t.")) or (line.startswith(".") and not line.endswith(":"))
