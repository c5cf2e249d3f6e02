"""Where specs are found, what extends and imports what, and the texts that spans name."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from analyzer.errors import SpecError, UsageError
from analyzer.syntax.load import bundled, load, read, text_of


def test_a_bundled_spec_is_its_file(tmp_path: Path) -> None:
    isa = load("pg1974-rdmode")
    assert isa.files_read == ("pg1974.isa", "pg1974-rdmode.isa")
    for name in isa.files_read:
        assert text_of(name) == read(name.removesuffix(".isa")).text != ""
    span = isa.instruction("add").span
    assert span is not None
    assert text_of(span.file)[span.start : span.end].startswith('instr "{op} {r1}, {r2}"')


def test_what_lies_beside_comes_first(tmp_path: Path) -> None:
    (tmp_path / "pg1974.isa").write_text('isa pg1974 "not that one"\n')
    (tmp_path / "mine.isa").write_text("isa mine extends pg1974\n")
    with pytest.raises(SpecError) as caught:
        load(str(tmp_path / "mine.isa"))
    assert {d.code for d in caught.value.diagnostics} == {"PG310"}
    assert text_of(str(tmp_path / "mine.isa")) == "isa mine extends pg1974\n"


def test_imports_are_read_once_and_have_places(tmp_path: Path) -> None:
    (tmp_path / "part.isa").write_text('isa part\nimport "part.isa"\nstate guest acc : 8\n')
    spec = tmp_path / "mine.isa"
    text = 'isa mine extends pg1974\nimport "part.isa"\nimport "part.isa"\ninstr "x" = 0x60 _:56 { acc = 1 }\n'
    spec.write_text(text)
    assert "acc" in load(str(spec)).elements
    (tmp_path / "part.isa").write_text("isa part\nstate guest acc : 0\n")
    with pytest.raises(SpecError) as caught:
        load(str(spec))
    first = caught.value.diagnostics[-1]
    assert (first.code, str(first.span)) == ("PG204", f"{tmp_path / 'part.isa'}:2:19")


@pytest.mark.parametrize("name", ["nowhere", "nowhere.isa", "", "a" * 5000, "x/" + "a" * 5000 + ".isa", "/", "."])
def test_what_is_not_there(name: str) -> None:
    with pytest.raises(UsageError):
        read(name)
    assert text_of(name) == ""


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "odd.isa").mkdir()
    with pytest.raises(UsageError):
        load(str(tmp_path / "odd.isa"))


def test_what_has_no_end_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no spec /dev/zero"):
        load("/dev/zero")
    os.mkfifo(tmp_path / "pipe.isa")
    with pytest.raises(UsageError, match="there is no spec"):
        load(str(tmp_path / "pipe.isa"))
    spec = tmp_path / "mine.isa"
    spec.write_text('isa mine extends pg1974\nimport "/dev/zero"\n')
    with pytest.raises(SpecError) as caught:
        load(str(spec))
    assert [(d.code, str(d.span)) for d in caught.value.diagnostics] == [("PG321", f"{spec}:2:8")]
    spec.write_text("// \n" * (1 << 20) + "isa mine extends pg1974\n")
    with pytest.raises(SpecError) as caught:
        load(str(spec))
    assert [(d.code, str(d.span)) for d in caught.value.diagnostics] == [("PG111", f"{spec}:1:1")]


def test_line_ends_of_other_systems(tmp_path: Path) -> None:
    text = read("pg1974").text
    for end in ("\r\n", "\r"):
        spec = tmp_path / "pg.isa"
        spec.write_bytes(text.replace("\n", end).encode())
        assert load(str(spec)).instructions == load(str(spec)).instructions
        assert read(str(spec)).text == text


def test_loading_leaves_the_collector_as_it_was() -> None:
    assert gc.isenabled()
    load("pg1974")
    assert gc.isenabled()
    gc.disable()
    try:
        load("pg1974")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_bundled_names() -> None:
    assert {"ia32", "pg1974", "rv64"} <= set(bundled())


def test_examples_that_an_extending_spec_restates(tmp_path: Path) -> None:
    """The same text from the same state replaces what is inherited, whichever instruction it is beside."""
    (tmp_path / "mine.isa").write_text(
        "isa mine extends pg1974\n"
        "before halt, svc { trap illegal if M == u }\n"
        'example "svc 3" from { M = u } to trap illegal\n'
        'example "svc 4" from { M = u } to trap illegal\n'
        'example "ld r1, 2(r0)" from { q = 1000, l = 100, b = 10, E[102] = 8 } to { r[1] = 8 }\n'
    )
    mine, base = load(str(tmp_path / "mine.isa")), load("pg1974")
    assert [(e.asm, e.trap) for e in mine.instruction("svc").examples] == [("svc 3", "illegal"), ("svc 4", "illegal")]
    assert len(mine.instruction("ld").examples) == len(base.instruction("ld").examples) + 1
    assert mine.instruction("add").examples == base.instruction("add").examples
