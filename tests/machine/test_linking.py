"""Objects that are linked here do what they do when LLVM links them; what is strange is left to LLVM."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import pytest

from emulator.machine.compiler import Compiler
from emulator.machine.engine import Engine, Module
from emulator.machine.linking import Code, linked
from emulator.machine.objects import Objects

if platform.machine() not in ("x86_64", "AMD64"):
    pytest.skip("linked here is code for x86-64 alone", allow_module_level=True)

TABLES = """
@table.squares = private constant [5 x i64] [i64 0, i64 1, i64 4, i64 9, i64 16]

define i64 @square(i64 %n) nounwind noinline {
entry:
  %at = getelementptr i64, ptr @table.squares, i64 %n
  %value = load i64, ptr %at
  ret i64 %value
}

define i64 @pick(i64 %n) nounwind {
entry:
  %s = call i64 @square(i64 %n)
  switch i64 %s, label %other [i64 0, label %a i64 1, label %b i64 4, label %c i64 9, label %d]
a:
  ret i64 10
b:
  ret i64 211
c:
  ret i64 32
d:
  ret i64 4300
other:
  ret i64 %s
}
"""
CALLS_OUT = """
declare i64 @labs(i64)
define i64 @distance(i64 %n) nounwind {
entry:
  %d = call i64 @labs(i64 %n)
  ret i64 %d
}
"""


def function(address: int) -> ctypes._CFuncPtr:
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)


def test_an_image_does_what_its_object_does() -> None:
    compiler = Compiler()
    code = compiler.compile(TABLES, ())
    image = linked(code, ("pick", "square"))
    assert image is not None
    assert image.offsets.keys() == {"pick", "square"}
    mine, theirs = Code(image.code), compiler.load(code, ("pick", "square"))
    for name in ("pick", "square"):
        ours, other = function(mine.address + image.offsets[name]), function(theirs.addresses[name])
        assert [ours(n) for n in range(5)] == [other(n) for n in range(5)]
    assert function(mine.address + image.offsets["pick"])(3) == 4300


def test_what_needs_a_symbol_of_the_host_is_left_to_llvm(tmp_path: Path) -> None:
    code = Compiler().compile(CALLS_OUT, ())
    assert linked(code, ("distance",)) is None
    for _ in range(2):  # as it was made, and as it was kept
        made = Engine(Objects(tmp_path)).make(lambda: Module(CALLS_OUT, ("distance",), "a line"), ["x"], (), "test")
        assert function(made.addresses["distance"])(-5) == 5
        assert made.note == "a line"


def test_what_was_kept_needs_no_llvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Engine(Objects(tmp_path)).make(lambda: Module(TABLES, ("square",), "a line"), ["x"], (), "test")
    monkeypatch.setattr("emulator.machine.compiler.Compiler", None)
    made = Engine(Objects(tmp_path)).kept(["x"], (), "test")
    assert made is not None
    assert function(made.addresses["square"])(4) == 16
    assert made.note == "a line"


@pytest.mark.parametrize("code", [b"", b"\x7fELF", bytes(200), b"\x7fELF\x02\x01" + bytes(100)])
def test_what_is_no_object_is_not_linked(code: bytes) -> None:
    assert linked(code, ("f",)) is None


def test_a_function_that_is_not_there_is_not_linked() -> None:
    assert linked(Compiler().compile(TABLES, ()), ("cube",)) is None


def test_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    for line in ("one", "two", "three"):
        objects.add("name", line)
    assert objects.lines("name") == ["one", "two", "three"]
    assert objects.lines("other") == []
    file = tmp_path / "name.list"
    file.write_bytes(file.read_bytes().replace(b" two", b" too"))
    assert objects.lines("name") == ["one", "three"]
    file.write_bytes(file.read_bytes()[:-2])
    objects.add("name", "four")
    assert objects.lines("name") == ["one", "four"]
