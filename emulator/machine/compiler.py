"""LLVM: from text to objects, and from objects to code in memory where `linking` cannot do that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import llvmlite.binding as llvm
from msgspec import Struct

OPTIONS = (
    "-disable-lsr",
    "-enable-tail-merge=0",
    "-disable-constant-hoisting",
    "-combiner-global-alias-analysis",
    "-x86-experimental-pref-innermost-loop-alignment=6",
)
_ready = False


def _initialize() -> None:
    global _ready
    if not _ready:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        for option in OPTIONS:
            llvm.set_option("popek", option)
        _ready = True


def processor() -> str:
    """What LLVM generates code for on this host."""
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


class Library(Struct, frozen=True):
    """Functions by name, and what holds them in memory."""

    addresses: dict[str, int]
    holds: object


class Compiler:
    """Makes objects for this host."""

    def __init__(self) -> None:
        _initialize()
        target = llvm.Target.from_default_triple()
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
        self._machine = partial(target.create_target_machine, cpu=cpu, features=features)
        self._tm = self._machine(opt=1, reloc="pic", codemodel="small")
        self._loaded = 0

    @cached_property
    def _jit(self) -> llvm.orcjit.LLJIT:
        return llvm.create_lljit_compiler(self._machine(opt=2, jit=True))

    @cached_property
    def _patched(self) -> llvm.TargetMachine:
        """Makes code whose symbols are numbers that are put in their places later: one that stands for an address
        within 2**31 of 0 is a displacement."""
        return self._machine(opt=1, reloc="static", codemodel="kernel")

    def compile(self, text: str, passes: Sequence[str], patched: bool = False) -> bytes:
        """The object of a module; `patched`: one to be copied and patched."""
        machine = self._patched if patched else self._tm
        module = llvm.parse_assembly(text)
        if passes:
            builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
            manager = llvm.create_new_module_pass_manager()
            for name in passes:
                getattr(manager, f"add_{name}_pass")()
            manager.run(module, builder)
        return bytes(machine.emit_object(module))

    def load(self, code: bytes, symbols: Sequence[str]) -> Library:
        """Puts an object into memory."""
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol in symbols:
            builder = builder.export_symbol(symbol)
        library = builder.link(self._jit, f"object.{self._loaded}")
        self._loaded += 1
        return Library({symbol: int(library[symbol]) for symbol in symbols}, library)
