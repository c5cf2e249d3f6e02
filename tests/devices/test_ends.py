"""Consoles, switches, and the host-target interface."""

from __future__ import annotations

import pytest

from devices.bench import Bench, Line
from emulator.devices.attach import Pin
from emulator.devices.console import Console
from emulator.devices.finisher import Finisher
from emulator.devices.htif import LATEST, Htif
from emulator.devices.simple import CharacterPort, PowerSwitch

TOHOST, FROMHOST = 0x100, 0x140


@pytest.mark.parametrize(
    ("value", "code"), [(0x5555, 0), (0x3333, 0), (5 << 16 | 0x3333, 5), (0x7777, 0), (0x1234, None), (0, None)]
)
def test_the_finisher(value: int, code: int | None) -> None:
    bench, device = Bench(), Finisher()
    device.attach(bench.as_machine())
    device.write(0, 32, value)
    assert bench.stopped == code


def test_the_finisher_only_listens_at_its_first_address() -> None:
    bench, device = Bench(), Finisher()
    device.attach(bench.as_machine())
    device.write(4, 32, 0x5555)
    assert (bench.stopped, device.read(0, 32)) == (None, 0)


def test_the_power_switch() -> None:
    bench, device = Bench(), PowerSwitch()
    device.attach(bench.as_machine())
    device.write(1, 8, 1)
    assert bench.stopped is None
    device.write(0, 36, 0x1FF)
    assert bench.stopped == 0xFF


def test_the_character_port() -> None:
    console, line = Console(), Line()
    device = CharacterPort(console, line)
    device.write(0, 64, 0x141)
    device.write(1, 64, 0x42)
    assert console.transcript == b"A"
    assert device.read(0, 36) == (1 << 36) - 1
    console.feed(b"z")
    assert line.level == 1
    assert device.read(0, 36) == ord("z")
    assert line.changes == [1, 0]


def htif(console: Console) -> Bench:
    bench = Bench()
    Htif("ram", TOHOST, FROMHOST, console).attach(bench.as_machine())
    return bench


@pytest.mark.parametrize(("word", "code"), [(1, 0), (3, 1), (2 * 1234 + 1, 1234)])
def test_htif_ends_the_program(word: int, code: int) -> None:
    bench = htif(Console())
    bench.write("ram", word, TOHOST, 64)
    bench.pass_(1000)
    assert bench.stopped == code


def test_htif_looks_again_however_long_nothing_happens() -> None:
    bench = htif(Console())
    bench.pass_(10_000_000)
    bench.write("ram", 1, TOHOST, 64)
    bench.pass_(LATEST)
    assert bench.stopped == 0


def test_htif_writes_and_reads_characters() -> None:
    console = Console()
    bench = htif(console)
    bench.write("ram", 1 << 56 | 1 << 48 | ord("A"), TOHOST, 64)
    bench.pass_(1000)
    assert (console.transcript, bench.read("ram", TOHOST, 64)) == (b"A", 0)
    assert bench.read("ram", FROMHOST, 64) == 1 << 56 | 1 << 48
    bench.write("ram", 1 << 56, TOHOST, 64)
    bench.pass_(1000)
    console.feed(b"q")
    bench.pass_(4000)
    assert bench.read("ram", FROMHOST, 64) == 1 << 56 | ord("q")


def test_htif_system_calls() -> None:
    console = Console()
    bench = htif(console)
    bench.write_units("ram", 0x300, b"hello")
    for i, word in enumerate((64, 1, 0x300, 5)):
        bench.write("ram", word, 0x200 + 8 * i, 64)
    bench.write("ram", 0x200, TOHOST, 64)
    bench.pass_(1000)
    assert (console.transcript, bench.read("ram", 0x200, 64)) == (b"hello", 5)
    bench.write("ram", 9999, 0x200, 64)
    bench.write("ram", 0x200, TOHOST, 64)
    bench.pass_(1000)
    assert bench.read("ram", 0x200, 64) == (1 << 64) - 38
    bench.write("ram", 93, 0x200, 64)
    bench.write("ram", 3, 0x208, 64)
    bench.write("ram", 0x200, TOHOST, 64)
    bench.pass_(1000)
    assert bench.stopped == 3


@pytest.mark.parametrize("block", [0xFFFFFFFF0, 0x200])
def test_htif_survives_a_bad_system_call(block: int) -> None:
    bench = htif(Console())
    for i, word in enumerate((64, 1, 0xFFFFFFF0, 100)):
        bench.write("ram", word, 0x200 + 8 * i, 64)
    bench.write("ram", block, TOHOST, 64)
    bench.pass_(1000)
    assert bench.stopped is None


def test_a_console_keeps_a_part_and_passes_on_all() -> None:
    passed = bytearray()
    console = Console(passed.extend, keep=3)
    for character in b"hello":
        console.put(character)
    assert (bytes(console.transcript), bytes(passed)) == (b"hel", b"hello")


def test_a_pin_drives_its_value() -> None:
    bench, pin = Bench(), Pin("ipl", 6)
    pin(1)  # not connected yet
    pin.machine = bench.as_machine()
    pin(1)
    assert bench.elements == {"ipl": 6}
    pin(0)
    assert bench.elements == {"ipl": 0}
