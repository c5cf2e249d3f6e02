"""LLVM: from text to code in memory, by way of objects that may be kept on disk.

An object has no absolute addresses, so it can be loaded in any process of the same kind of host.
"""

from __future__ import annotations

import ctypes
import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from analyzer import ir
from emulator.machine.objects import Objects, default_folder

_ready = False

FORMAT = 3
"""Of what is kept on disk: one more for each change."""


def _initialize() -> None:
    global _ready
    if not _ready:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.set_option("popek", "-disable-lsr")
        llvm.set_option("popek", "-enable-tail-merge=0")
        llvm.set_option("popek", "-disable-constant-hoisting")
        llvm.set_option("popek", "-x86-experimental-pref-innermost-loop-alignment=6")
        _ready = True


@dataclass(frozen=True, slots=True)
class Module:
    """Text to compile, the functions to export, and a line to keep with them."""

    text: str
    symbols: tuple[str, ...]
    note: str = ""


Source = Callable[[], Module]


class Engine:
    """A just-in-time compiler.  What it has loaded stays as long as its `Made`."""

    def __init__(self, objects: Objects | None = None) -> None:
        _initialize()
        self.objects = objects or Objects(default_folder())
        target = llvm.Target.from_default_triple()
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
        self._tm = target.create_target_machine(cpu=cpu, features=features, opt=1, reloc="pic", codemodel="small")
        self._jit = llvm.create_lljit_compiler(
            target.create_target_machine(cpu=cpu, features=features, opt=2, jit=True)
        )
        version = ".".join(str(n) for n in llvm.llvm_version_info)
        self._host = f"{FORMAT} {llvmlite.__version__} {version} {cpu} {features}"
        self._loaded = 0

    def digest(self, *parts: str) -> str:
        """Names an object: what it is made from, and for which host."""
        return hashlib.sha256("\0".join([self._host, *parts]).encode()).hexdigest()

    def compile(self, text: str, passes: Sequence[str]) -> bytes:
        """The object of a module."""
        module = llvm.parse_assembly(text)
        if passes:
            builder = llvm.create_pass_builder(self._tm, llvm.create_pipeline_tuning_options(speed_level=2))
            manager = llvm.create_new_module_pass_manager()
            for name in passes:
                getattr(manager, f"add_{name}_pass")()
            manager.run(module, builder)
        return bytes(self._tm.emit_object(module))

    def load(self, name: str, code: bytes, symbols: Sequence[str], note: str) -> Made:
        """Puts an object into memory."""
        if not symbols:
            return Made({}, note, None)
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol in symbols:
            builder = builder.export_symbol(symbol)
        library = builder.link(self._jit, f"{name}.{self._loaded}")
        self._loaded += 1
        return Made({symbol: int(library[symbol]) for symbol in symbols}, note, library)

    def make(
        self,
        source: Source,
        parts: Sequence[str],
        passes: Sequence[str],
        name: str,
        accept: Callable[[str], bool] = lambda note: True,
    ) -> Made:
        """Functions: `source` is asked for a module if none made from `parts` was kept, or its line is not accepted."""
        found = self.kept(parts, passes, name, accept)
        if found is not None:
            return found
        module = source()
        code = self.compile(module.text, passes) if module.symbols else b""
        head = f"{' '.join(module.symbols)}\n{module.note}\n"
        self.objects.put(self.digest(name, *parts, *passes), head.encode() + code)
        return self.load(name, code, module.symbols, module.note)

    def kept(
        self,
        parts: Sequence[str],
        passes: Sequence[str],
        name: str,
        accept: Callable[[str], bool] = lambda note: True,
    ) -> Made | None:
        """What was made before, if its line is accepted."""
        kept = self.objects.get(self.digest(name, *parts, *passes))
        if kept is None:
            return None
        names, note, code = kept.split(b"\n", 2)
        if not accept(note.decode()):
            return None
        return self.load(name, code, names.decode().split(), note.decode())

    def note(self, parts: Sequence[str], line: str) -> None:
        """Keeps a line under a name."""
        self.objects.put(self.digest("note", *parts), line.encode())

    def noted(self, parts: Sequence[str]) -> str | None:
        """The line that was kept."""
        kept = self.objects.get(self.digest("note", *parts))
        return None if kept is None else kept.decode()


@dataclass(frozen=True, slots=True)
class Made:
    """The addresses of functions, the line that was kept with them, and what holds them in memory."""

    addresses: dict[str, int]
    note: str
    library: object


def fingerprint(isa: ir.Isa) -> str:
    """Names an Isa, by the text of its spec where that is known, and the code that made it and generates from it."""
    root = Path(__file__).parent.parent.parent
    digest = hashlib.sha256()
    for folder in ("analyzer/syntax", "emulator/codegen"):
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.read_bytes())
    digest.update((root / "analyzer" / "ir.py").read_bytes())
    digest.update(isa.digest.encode() if isa.digest else pickle.dumps(isa, protocol=5))
    return digest.hexdigest()


RunType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
FlushType = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
RollbackType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
NarrowType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
ProveType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
ReadType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64)
WriteType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint64)
AskType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
