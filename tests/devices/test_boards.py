"""Boards: the bundled ones, what is wrong with others, and what a machine is like on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from analyzer.catalog import starter
from analyzer.errors import AssemblyError, UsageError
from analyzer.source import Source
from analyzer.syntax.load import load_source
from emulator.board import Board, bare, board_of, bundled, parsed
from emulator.devices.console import Console
from emulator.piece import Image, Piece
from emulator.system import MAKERS, System, assemble_system

SPECS = {"virt": "rv64", "pg74": "pg1974", "s370": "s370", "m68k": "m68000", "pdp10": "ka10", "pc": "ia32"}


@pytest.fixture(scope="module")
def isa() -> ir.Isa:
    return spec("rv64")


def system(isa: ir.Isa, board: Board, image: Image | None = None, ram: int | None = None) -> System:
    table = board.ram[0]
    return assemble_system(isa, board, [image or Image((Piece(table.base, b"\0"),), table.base)], Console(), ram=ram)


def test_each_bundled_board_is_tried_here() -> None:
    assert set(bundled()) == set(SPECS)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_bundled_board_is_its_specs_and_builds(name: str) -> None:
    isa = spec(SPECS[name])
    board = board_of(isa, None)
    assert board.name == f"{name}.toml"
    image = Image((Piece(board.load, [1]),), board.load)
    built = system(isa, board, image)
    assert built.machine.read(isa.fetch.pc) == board.load
    assert built.machine.read(board.memory, board.load) == 1


def test_a_spec_without_a_board_has_bare_memory() -> None:
    tiny, _ = load_source(Source("tiny.isa", starter("tiny")))
    assert board_of(tiny, None) == bare(tiny)


def test_bare_on_demand(isa: ir.Isa) -> None:
    assert board_of(isa, "bare").device == ()


def test_there_is_no_such_board(isa: ir.Isa) -> None:
    with pytest.raises(UsageError) as error:
        board_of(isa, "vrit")
    assert error.value.hint == "there are virt"


def test_a_board_for_another_spec() -> None:
    with pytest.raises(AssemblyError, match="for rv64") as error:
        board_of(spec("pg1974"), "virt")
    assert error.value.diagnostic.code == "PG521"


HEAD = 'title = "t"\nisas = ["rv64"]\nmemory = "phys"\nram = [{ base = 0x80000000, size = 0x10000 }]\n'


def test_a_board_of_ones_own(isa: ir.Isa, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(HEAD, encoding="utf-8")
    assert board_of(isa, str(path)).title == "t"


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("title = ", "PG520", "Invalid value"),
        ('title = "t"', "PG520", "isas"),
        (HEAD + "colour = 1", "PG520", "colour"),
        (HEAD.replace("size = 0x10000", 'size = "many"'), "PG520", "$.ram[0].size"),
        (HEAD.replace("[{ base = 0x80000000, size = 0x10000 }]", "[]"), "PG520", "no RAM"),
        (HEAD.replace("phys", "core"), "PG521", "no memory core"),
        (HEAD + 'clocks = { minstre = "retired" }', "PG521", "minstre"),
        (HEAD + "choices = { q = 1 }", "PG521", "no q"),
        (HEAD + '[[device]]\nkind = "clock"\nbase = 0\nsize = 1', "PG522", "`clock`"),
        (HEAD + '[[device]]\nkind = "clint"\nbase = 0\nsize = 1', "PG522", "setting time"),
        (HEAD + '[[device]]\nkind = "clint"\nbase = 0\nsize = 1\nsettings = { time = "t" }', "PG522", "no t"),
        (
            HEAD + '[[device]]\nkind = "clint"\nbase = 0\nsize = 1\nsettings = { time = "mtime", divide = 3 }',
            "PG522",
            "power of two",
        ),
        (
            HEAD + '[[device]]\nkind = "uart16550"\nbase = 0\nsize = 8\nwires = { irq = "plic:1" }',
            "PG522",
            "`plic:1`",
        ),
        (
            HEAD + '[[device]]\nkind = "uart16550"\nbase = 0\nsize = 8\nwires = { irq = "mip.MEI" }',
            "PG522",
            "mip.MEI",
        ),
        (
            HEAD + '[[device]]\nkind = "uart16550"\nbase = 0\nsize = 8\nwires = { irq = "mip.MEIP=2" }',
            "PG522",
            "does not fit",
        ),
        (HEAD + 'reset = { pc = "begin" }', "PG522", "begin"),
        (HEAD + "reset = { y = 1 }", "PG522", "y"),
    ],
)
def test_wrong_boards(isa: ir.Isa, tmp_path: Path, text: str, code: str, part: str) -> None:
    path = tmp_path / "b.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AssemblyError) as error:
        system(isa, board_of(isa, str(path)))
    assert error.value.diagnostic.code == code
    assert part in error.value.diagnostic.message


@pytest.mark.parametrize(
    ("piece", "ram"),
    [
        (Piece(0x7FFFFFFF, b"ab"), None),
        (Piece(0x87FFFFFF, b"ab"), None),
        (Piece(0x80000000, b"", 0x8000001), None),
        (Piece(0x80001000, b"a"), 0x1000),
        (Piece(0x80000010, b"a"), 0x1000),  # the device tree is there
    ],
)
def test_a_program_that_does_not_fit(isa: ir.Isa, piece: Piece, ram: int | None) -> None:
    with pytest.raises(AssemblyError) as error:
        system(isa, board_of(isa, "virt"), Image((piece,), piece.address), ram)
    assert error.value.diagnostic.code == "PG513"


def test_absurd_memory_is_refused(isa: ir.Isa) -> None:
    with pytest.raises(UsageError):
        system(isa, board_of(isa, "virt"), ram=1 << 50)


def test_reset_and_device_tree(isa: ir.Isa) -> None:
    machine = system(isa, board_of(isa, "virt")).machine
    tree = machine.read("x", 11)
    assert bytes(machine.read_units("phys", tree, 4)) == b"\xd0\x0d\xfe\xed"
    size = int.from_bytes(machine.read_units("phys", tree + 4, 4), "big")
    blob = bytes(machine.read_units("phys", tree, size))
    assert tree + size <= 0x88000000
    assert (0x80000000).to_bytes(8, "big") + (0x8000000).to_bytes(8, "big") in blob  # /memory


def test_parsed_boards_are_named_by_their_file() -> None:
    assert parsed("x.toml", HEAD).name == "x.toml"


DOCUMENT = (Path(__file__).parents[2] / "docs/running.md").read_text(encoding="utf-8")


def test_the_documented_board_builds(isa: ir.Isa) -> None:
    text = DOCUMENT.partition("```toml\n")[2].partition("```")[0]
    board = parsed("documented.toml", text)
    assert board.fits(isa)
    assert system(isa, board).machine.read("mtime") == 0


def test_every_kind_of_device_is_documented() -> None:
    assert [kind for kind in MAKERS if f"| `{kind}` |" not in DOCUMENT] == []


def test_every_key_of_a_board_is_documented() -> None:
    keys = {field for field in Board.__struct_fields__ if field != "name"}
    assert [key for key in sorted(keys) if f"`{key}`" not in DOCUMENT] == []
