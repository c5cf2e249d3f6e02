"""Boards: which devices a machine has and where, as data.

A board is a TOML file.  It names the specs that it is for and connects wires to elements of their state; nothing about
an instruction set is known here.  `docs/running.md` describes the format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from analyzer import ir
from analyzer.errors import AssemblyError, Diagnostic, UsageError
from analyzer.interrupts import uninterrupted
from emulator.elf import ElfTarget
from emulator.interface import ClockSource
from emulator.kept import stamps
from emulator.machine.objects import Objects, default_folder

SUFFIX = ".toml"
FOLDER = Path(__file__).parent / "boards"
DEFAULT_RAM = 1 << 20
"""Units of RAM of a machine without a board, if its memory has as many."""


class RamTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """RAM: `size` units from `base` on.  `--mem` changes the size of the first."""

    base: int
    size: int


class ElfTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which executables the board runs."""

    machine: int
    bits: Literal[32, 64]
    order: Literal["little", "big"]


class DeviceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device.  `wires` are its outputs by name: `DEVICE:INPUT`, `ELEMENT` or `ELEMENT=VALUE`."""

    kind: str
    base: int
    size: int
    name: str = ""
    wires: dict[str, str] = {}
    settings: dict[str, str | int] = {}


class HtifTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The symbols of a program that talks through HTIF."""

    tohost: str
    fromhost: str


class GdbRegisterTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`count` registers of a feature of gdb's; `{n}` counts from 0."""

    name: str
    place: str
    feature: str
    count: int = 1


class GdbTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What gdb calls the architecture and its registers."""

    architecture: str
    registers: tuple[GdbRegisterTable, ...]


class SpeechTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a program that is made for the board speaks, in assembly: `before` lays out what traps need to arrive at
    the label `trapped`; `say` prints the character with the number `{char}`; `stop` ends the run; `go` goes to the
    address `{label}`, and `user` in the mode of user programs; `recover` sets anew what handlers of traps use up;
    `save` stores what registers and conditions hold from the address `{saved}` on; `unlike` goes to the address
    `{label}` if the unit at `{address}` is not `{value}`, and else on."""

    before: str
    say: str
    stop: str
    go: str = ""
    recover: str = ""
    user: str = ""
    save: str = ""
    unlike: str = ""


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A board; `memory` names the physical memory of the spec, `load` is where raw images go.  `answers` are the values
    of unspecified functions: a constant, or their first or last argument."""

    title: str
    isas: tuple[str, ...]
    memory: str
    ram: tuple[RamTable, ...]
    load: int = 0
    device: tuple[DeviceTable, ...] = ()
    elf: ElfTable | None = None
    htif: HtifTable | None = None
    reset: dict[str, str | int] = {}
    choices: dict[str, int] = {}
    clocks: dict[str, ClockSource] = {}
    answers: dict[str, int | Literal["first", "last"]] = {}
    gdb: GdbTable | None = None
    tree: dict[str, Any] | None = None
    speech: SpeechTable | None = None
    name: str = ""

    def target(self) -> ElfTarget | None:
        """The executables that it runs."""
        return None if self.elf is None else ElfTarget(self.elf.machine, self.elf.bits, self.elf.order)

    def fits(self, isa: ir.Isa) -> bool:
        """Whether the board is for this spec."""
        return any(fnmatchcase(isa.name, pattern) for pattern in self.isas)


def bundled() -> tuple[str, ...]:
    """The names of the boards that come with popek."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}")))


def board_of(isa: ir.Isa, wanted: str | None) -> Board:
    """The board of this name or path; None: the first bundled one for the spec, or else bare memory.

    Raises:
        AssemblyError: PG520, the file is no board; PG521, it is for other specs, or names what the spec does not have.
        OSError: the file cannot be read.
        UsageError: there is no such board.
    """
    if wanted is None:
        found = next((board for board in _bundled().values() if board.fits(isa)), None)
        return bare(isa) if found is None else checked(isa, found)
    if wanted == "bare":
        return bare(isa)
    if wanted.endswith(SUFFIX):
        return checked(isa, parsed(wanted, Path(wanted).read_text(encoding="utf-8")))
    if wanted not in bundled():
        near = get_close_matches(wanted, bundled(), 3)
        raise UsageError(f"there is no board {wanted}", f"there are {', '.join(near or ('bare', *bundled()))}")
    return checked(isa, _bundled()[wanted])


@cache
def _bundled() -> dict[str, Board]:
    """The boards that come with popek, by name.  Reading TOML takes longer than many a program runs: they are kept."""
    paths = {name: FOLDER / f"{name}{SUFFIX}" for name in bundled()}
    depends = ("boards", stamps([Path(__file__), *paths.values()]))
    objects, name = Objects(default_folder()), hashlib.sha256(repr(depends).encode()).hexdigest()
    found = objects.get(name)
    if found is not None:
        with suppress(msgspec.DecodeError), uninterrupted():
            return msgspec.json.decode(found, type=dict[str, Board])
    boards = {name: parsed(path.name, path.read_text(encoding="utf-8")) for name, path in paths.items()}
    objects.put(name, msgspec.json.encode(boards))
    return boards


def parsed(file: str, text: str) -> Board:
    """The board in a text.

    Raises:
        AssemblyError: PG520.
    """
    try:
        with uninterrupted():
            board = msgspec.toml.decode(text, type=Board)
    except msgspec.DecodeError as error:  # a ValidationError says where: "… - at `$.ram[0].base`"
        raise wrong("PG520", file, f"this is no board: {error}") from None
    if not board.ram or not board.isas:
        raise wrong("PG520", file, "this is no board: it has no RAM, or is for no spec")
    return msgspec.structs.replace(board, name=file)


def bare(isa: ir.Isa) -> Board:
    """Memory from 0 on and no devices: what there is for a spec without a board.

    Raises:
        UsageError: the spec has no memory.
    """
    memory = next((space for space in isa.spaces.values() if isinstance(space, ir.Memory)), None)
    if memory is None:
        raise UsageError(f"{isa.name} has no memory: nothing can run")
    size = min(DEFAULT_RAM, 1 << memory.address_width)
    return Board("memory from 0 on", (isa.name,), memory.name, (RamTable(0, size),), reset={"pc": "entry"}, name="bare")


def checked(isa: ir.Isa, board: Board) -> Board:
    """A board, if the spec has what it names.

    Raises:
        AssemblyError: PG521.
    """
    if not board.fits(isa):
        message = f"this board is for {', '.join(board.isas)}, not for {isa.name}"
        raise wrong("PG521", board.name, message)
    if not isinstance(isa.spaces.get(board.memory), ir.Memory):
        raise wrong("PG521", board.name, f"{isa.name} has no memory {board.memory}")
    for name in board.clocks:
        if name not in isa.elements:
            raise wrong("PG521", board.name, f"{isa.name} has no {name}, a clock", near(name, isa.elements))
    for name in board.choices:
        if name not in isa.choices:
            raise wrong("PG521", board.name, f"{isa.name} has no {name}, a choice", near(name, isa.choices))
    return board


def near(name: str, known: Mapping[str, object]) -> str | None:
    close = get_close_matches(name, list(known), 3)
    return f"did you mean {' or '.join(close)}?" if close else None


def wrong(code: str, file: str, message: str, hint: str | None = None) -> AssemblyError:
    """What is wrong with a board."""
    return AssemblyError(Diagnostic(code, f"{file}: {message}", hint=hint))
