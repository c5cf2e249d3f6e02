"""The types that z3's functions are called with are those that z3's own package declares."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from z3 import z3consts, z3core

from analyzer.symbolic import libz3

ROOT = Path(__file__).parents[2]

NAMES = sorted(name for names in libz3.SIGNATURES.values() for name in names.split())


def plain(kind: Any) -> Any:
    """The type of a pointer to anything but characters is that of a pointer."""
    pointer = issubclass(kind, ctypes.c_void_p) or hasattr(kind, "contents") or hasattr(kind, "argtypes")
    return ctypes.c_void_p if pointer else kind


@pytest.mark.parametrize("name", NAMES)
def test_types_are_those_of_the_package(name: str) -> None:
    theirs = getattr(z3core, f"Z3_{name}").__defaults__[-1].f
    ours = getattr(libz3.Library(), f"Z3_{name}")
    assert list(ours.argtypes) == [plain(kind) for kind in theirs.argtypes or ()]
    if ours.restype is not None:  # the package leaves the type of nothing open
        assert ours.restype is plain(theirs.restype)
    else:
        assert theirs.restype in (None, ctypes.c_int)


def test_numbers_are_those_of_the_package() -> None:
    named = {"L_FALSE": libz3.FALSE, "L_UNDEF": libz3.UNDEFINED, "L_TRUE": libz3.TRUE, "ARRAY_SORT": libz3.ARRAY_SORT}
    named |= {name: getattr(libz3, name) for name in ("NUMERAL_AST", "APP_AST")}
    named |= {name: getattr(libz3, name) for name in ("OP_STORE", "OP_CONST_ARRAY", "OP_AS_ARRAY")}
    assert named == {name: getattr(z3consts, f"Z3_{name}") for name in named}


def test_the_package_is_not_imported_for_its_library() -> None:
    program = "import sys, analyzer.symbolic.smt as m; print(m.z3_version().split('.')[0] != '0', 'z3' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "True False\n"
