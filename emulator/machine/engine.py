"""LLVM: from text to code in memory, by way of objects that may be kept on disk.

An object has no absolute addresses, so it can be loaded in any process of the same kind of host.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from analyzer import ir

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


class Objects:
    """Objects on disk, by the digest of what they were made from.  A damaged file counts as none."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, digest: str) -> bytes | None:
        if self.folder is None:
            return None
        try:
            data = (self.folder / f"{digest}.o").read_bytes()
        except OSError:
            return None
        check, body = data[:32], data[32:]
        return body if hashlib.sha256(digest.encode() + body).digest() == check else None

    def put(self, digest: str, body: bytes) -> None:
        """Keeps an object; where that is not possible, it is not kept."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(digest.encode() + body).digest() + body)
            Path(name).replace(self.folder / f"{digest}.o")
        except OSError:
            return


def default_folder() -> Path:
    """Where objects are kept: `POPEK_CACHE`, else the user's cache folder."""
    named = os.environ.get("POPEK_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "popek"


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
NarrowType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
ProveType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
ReadType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64)
WriteType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint64)
AskType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
