"""Specs as they were loaded before: a program starts without the parser.

What is kept is named by everything that loading reads: the spec, whatever lies beside it or is bundled that it might
extend, and the code that loads.  Of files that come with popek their stamps stand for them.
"""

from __future__ import annotations

import gc
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import isa_specs
from analyzer import ir
from emulator.codegen import agreed, plan
from emulator.codegen.agreed import recall, unspecified
from emulator.machine.objects import Objects, default_folder

SUFFIX = ".isa"


def kept(spec: str, load: Callable[[str], ir.Isa], objects: Objects | None = None) -> ir.Isa:
    """The machine of a name or path: as it was kept, else as `load` loads it, and then it is kept.

    Raises:
        Whatever `load` raises.
    """
    objects = objects or Objects(default_folder())
    name = _name(spec)
    found = objects.get(name)
    isa = None if found is None else _unpacked(found)
    if isa is None:
        isa = load(spec)
        objects.put(name, _packed(isa))
    return isa


def _packed(isa: ir.Isa) -> bytes:
    """A machine, with what takes a while to find in it."""
    return pickle.dumps((isa, unspecified(isa)), protocol=5)


def _unpacked(data: bytes) -> ir.Isa | None:
    """The machine that was kept; None if it is of another time."""
    enabled = gc.isenabled()
    gc.disable()  # all of it stays: there is nothing to collect
    try:
        isa, functions = pickle.loads(data)
    except Exception:  # a pickle of another shape may raise anything
        return None
    finally:
        if enabled:
            gc.enable()
    if not isinstance(isa, ir.Isa):
        return None
    recall(isa, functions)
    return isa


def _name(spec: str) -> str:
    """A digest of what the machine depends on."""
    root = Path(ir.__file__).parent
    code = [root / "ir.py", root / "source.py", *sorted((root / "syntax").glob("*.py"))]
    code += [Path(agreed.__file__), Path(plan.__file__)]
    bundled = sorted(Path(str(isa_specs.__file__)).parent.glob(f"*{SUFFIX}"))
    path = Path(spec)
    mine = sorted(path.parent.glob(f"*{SUFFIX}"))
    texts = [(str(p), p.read_bytes()) for p in mine if p.is_file()]
    depends = ("spec", spec, str(path.absolute()), stamps(code), stamps(bundled), texts)
    return hashlib.sha256(repr(depends).encode()).hexdigest()


def stamps(paths: list[Path]) -> list[tuple[str, int, int]]:
    """What stands for files that come with popek: their paths, sizes and times."""
    return [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
