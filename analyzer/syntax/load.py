"""Specs by name or path: what is bundled, what lies beside a file, and what extends what."""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from msgspec.structs import replace

from analyzer import ir
from analyzer.errors import Diagnostic, SpecError, UsageError
from analyzer.source import Source
from analyzer.syntax import ast
from analyzer.syntax.elaborate import elaborate_with_warnings
from analyzer.syntax.parse import parse
from analyzer.syntax.problems import did_you_mean, too_deep

SUFFIX = ".isa"


def bundled() -> tuple[str, ...]:
    """The names of the specs that come with popek."""
    return tuple(sorted(f.name.removesuffix(SUFFIX) for f in files("isa_specs").iterdir() if f.name.endswith(SUFFIX)))


LARGEST = 4 << 20
"""The most bytes that are read of a spec: as many as the characters that `parse` takes can need."""

DEPTH = 1000
"""How deep functions may call each other while a spec is loaded."""


def read(name_or_path: str, beside: Path | None = None) -> Source:
    """The text of a spec: a path, or a name looked for beside another file and then among the bundled ones.

    Raises:
        SpecError: it is not text, or has no end.
        UsageError: there is none.
    """
    path = Path(name_or_path)
    is_path = path.suffix == SUFFIX or path.parent != Path()
    file = path if is_path else Path(f"{name_or_path}{SUFFIX}")
    found = _file(beside / file) if beside is not None else None
    if found is None and is_path:
        found = _file(file)
    if found is None and name_or_path in bundled():
        return Source(f"{name_or_path}{SUFFIX}", (files("isa_specs") / f"{name_or_path}{SUFFIX}").read_text("utf-8"))
    if found is None and not is_path and beside is None:
        found = _file(file)
    if found is None:
        raise UsageError(f"there is no spec {name_or_path or 'without a name'}", did_you_mean(name_or_path, bundled()))
    return found


def _file(path: Path) -> Source | None:
    """The text of a file; None if there is none: pipes and devices are none, for files are read again."""
    try:
        return source_of(path) if path.is_file() else None
    except (OSError, ValueError):
        return None


def source_of(path: Path) -> Source:
    """The text of a file.

    Raises:
        OSError: it cannot be read.
        SpecError: it is not text, or has no end.
    """
    with path.open("rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        start = Source(str(path), "").span(0, 0)
        hint = "is this the file that you mean? A long spec can be split with `import`"
        raise SpecError((Diagnostic("PG111", f"this has more than {LARGEST >> 20} MiB", start, hint),))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = Source(str(path), raw[: error.start].decode("utf-8"))
        span = before.span(len(before.text), len(before.text))
        message = f"this is not UTF-8 text: {error.reason}"
        raise SpecError((Diagnostic("PG322", message, span, "save the file as UTF-8"),)) from None
    return Source(str(path), text.replace("\r\n", "\n").replace("\r", "\n"))


def path_of(name_or_path: str) -> Path | None:
    """The file of a spec that is called so; None for a bundled one.

    Raises:
        UsageError: there is no such spec.
    """
    found = Path(read(name_or_path).name)
    bundled_one = name_or_path in bundled() and found == Path(f"{name_or_path}{SUFFIX}")
    return None if bundled_one else found


def text_of(file: str) -> str:
    """The text of a file as spans name it: a path, or the file of a bundled spec; empty if it cannot be read."""
    try:
        return read(file if Path(file).is_file() else file.removesuffix(SUFFIX)).text
    except (OSError, SpecError, UsageError):
        return ""


def load(name_or_path: str) -> ir.Isa:
    """The instruction set of a bundled name or of a file.

    Raises:
        SpecError: the spec, or one that it extends or imports, does not parse or check.
        UsageError: there is no such spec.
    """
    return load_with_warnings(name_or_path)[0]


def load_with_warnings(name_or_path: str) -> tuple[ir.Isa, tuple[Diagnostic, ...]]:
    """As `load`, with the warnings about a spec that checks."""
    try:
        source = read(name_or_path)
    except UsageError as error:
        known = "`popek list` names those that come with popek; of others give the path, which ends in .isa"
        raise UsageError(str(error), error.hint or known) from None
    path = Path(source.name)
    return load_source(source, path.parent if path.is_file() else None)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector of cycles: nearly all that loading makes stays alive, so looking for garbage meanwhile
    costs a tenth of the time and finds none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def shallow() -> Iterator[None]:
    """With so much room for recursion as Python gives by default, whatever others have made of it: what nests deeper is
    refused (PG110)."""
    before, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@uncollected()
@shallow()
def load_source(source: Source, beside: Path | None = None) -> tuple[ir.Isa, tuple[Diagnostic, ...]]:
    """The instruction set of a text, with warnings; what it extends lies in the folder `beside`, or is bundled."""
    file = parse(source)
    header = file.header
    seen = [header.name.text]
    parsed: dict[str, ast.File] = {}
    texts = [source.text]

    def find(node: ast.Name | ast.String) -> ast.File:
        name = node.text
        if name in seen:
            chain = " extends ".join([*seen[seen.index(name) :], name])
            raise SpecError((Diagnostic("PG320", f"these extend each other: {chain}", node.span),))
        if name not in parsed:
            try:
                found = read(name, beside)
                texts.append(found.text)
                parsed[name] = parse(found)
            except UsageError as error:
                raise SpecError((Diagnostic("PG321", str(error), node.span, error.hint),)) from None
        if not name.endswith(SUFFIX):
            seen.append(name)
        return parsed[name]

    try:
        isa, warnings = elaborate_with_warnings(file, find)
    except RecursionError:
        raise SpecError((too_deep(header.span),)) from None
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    return replace(isa, digest=digest), warnings
