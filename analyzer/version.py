"""Which popek this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def tool_version() -> str:
    """popek's own version."""
    try:
        return version("popek")
    except PackageNotFoundError:
        return "0+source"


def solver_version() -> str:
    """The version of the z3 that is installed, found without loading it."""
    try:
        return version("z3-solver")
    except PackageNotFoundError:
        return "unknown"
