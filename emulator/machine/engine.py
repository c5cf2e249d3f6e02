"""From text to code in memory, by way of images that may be kept on disk.

An image has no absolute addresses, so it can be loaded in any process of the same kind of host, without LLVM.
"""

from __future__ import annotations

import ctypes
import hashlib
import pickle
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import llvmlite
from msgspec import Struct

from analyzer import ir
from emulator.machine.linking import Code, linked
from emulator.machine.objects import Objects, default_folder

if TYPE_CHECKING:
    from emulator.machine.compiler import Compiler

FORMAT = 7
"""Of what is kept on disk: one more for each change."""


class Module(Struct, frozen=True):
    """Text to compile, the functions to export, and a line to keep with them."""

    text: str
    symbols: tuple[str, ...]
    note: str = ""


Source = Callable[[], Module]


class Engine:
    """A just-in-time compiler.  What it has loaded stays as long as its `Made`."""

    def __init__(self, objects: Objects | None = None) -> None:
        self.objects = objects or Objects(default_folder())
        self._host = f"{FORMAT} {llvmlite.__version__} {processor()}"

    @cached_property
    def _compiler(self) -> Compiler:
        from emulator.machine.compiler import Compiler

        return Compiler()

    def digest(self, *parts: str) -> str:
        """Names an object: what it is made from, and for which host."""
        return hashlib.sha256("\0".join([self._host, *parts]).encode()).hexdigest()

    def load(self, head: str, code: bytes) -> Made:
        """Puts what was kept into memory: an image if its head has offsets, an object if not."""
        names, note = head.split("\n")
        symbols = [symbol.partition(" ") for symbol in names.split(",") if symbol]
        if not symbols:
            return Made({}, note, None)
        if not symbols[0][2]:
            library = self._compiler.load(code, [name for name, _, _ in symbols])
            return Made(library.addresses, note, library.holds)
        image = Code(code)
        return Made({name: image.address + int(offset) for name, _, offset in symbols}, note, image)

    def make(self, source: Source, parts: Sequence[str], passes: Sequence[str], name: str) -> Made:
        """Functions: `source` is asked for a module if none made from `parts` was kept."""
        return self.kept(parts, passes, name) or self.fresh(source, parts, passes, name)

    def fresh(self, source: Source, parts: Sequence[str], passes: Sequence[str], name: str) -> Made:
        """Functions that are made anew."""
        module = source()
        code, names = b"", ""
        if module.symbols:
            code = self._compiler.compile(module.text, passes)
            image = linked(code, module.symbols)
            names = ",".join(module.symbols)
            if image is not None:
                code = image.code
                names = ",".join(f"{symbol} {offset}" for symbol, offset in image.offsets.items())
        head = f"{names}\n{module.note}"
        self.objects.put(self.digest(name, *parts, *passes), f"{head}\n".encode() + code)
        return self.load(head, code)

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
        return self.load(f"{names.decode()}\n{note.decode()}", code)

    def object(
        self,
        source: Source,
        finish: Callable[[str, bytes], bytes],
        parts: Sequence[str],
        passes: Sequence[str],
        name: str,
    ) -> bytes:
        """What is made of the object of a module to be copied and patched, and its line; that is kept."""
        found = self.kept_object(parts, passes, name)
        if found is None:
            module = source()
            found = finish(module.note, self._compiler.compile(module.text, passes, patched=True))
            self.objects.put(self.digest(name, *parts, *passes), found)
        return found

    def kept_object(self, parts: Sequence[str], passes: Sequence[str], name: str) -> bytes | None:
        """What `object` made before."""
        return self.objects.get(self.digest(name, *parts, *passes))

    def note(self, parts: Sequence[str], line: str) -> None:
        """Keeps a line, among others, under a name."""
        self.objects.add(self.digest("notes", *parts), line)

    def noted(self, parts: Sequence[str]) -> list[str]:
        """The lines that were kept."""
        return self.objects.lines(self.digest("notes", *parts))


class Made(Struct, frozen=True):
    """The addresses of functions, the line that was kept with them, and what holds them in memory."""

    addresses: dict[str, int]
    note: str
    library: object


@cache
def processor() -> str:
    """The kind of processor that this host has, as Linux tells it; else as LLVM does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0].splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.startswith(("model name", "flags"))]
    if len(told) == 2:
        return hashlib.sha256("\n".join(told).encode()).hexdigest()
    from emulator.machine import compiler

    return compiler.processor()


@cache
def generator() -> str:
    """Names the code that reads specs and writes native code."""
    root = Path(__file__).parent.parent.parent
    folders = (root / "analyzer" / "syntax", root / "emulator" / "codegen")
    paths = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    digest = hashlib.sha256()
    for path in (*paths, root / "analyzer" / "ir.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint(isa: ir.Isa) -> str:
    """Names an Isa, by the text of its spec where that is known, and the code that made it and generates from it."""
    made_of = isa.digest.encode() if isa.digest else pickle.dumps(isa, protocol=5)
    return hashlib.sha256(generator().encode() + made_of).hexdigest()


RunType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
CopyType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
FlushType = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
RollbackType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
NarrowType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
ProveType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
ReadType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64)
WriteType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint64)
AskType = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
