"""The 16550."""

from __future__ import annotations

import pytest

from devices.bench import Line
from emulator.devices.console import Console
from emulator.devices.uart import Uart16550


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def irq() -> Line:
    return Line()


@pytest.fixture
def uart(console: Console, irq: Line) -> Uart16550:
    return Uart16550(console, irq)


def write(uart: Uart16550, register: int, value: int) -> None:
    uart.write(register, 8, value)


def read(uart: Uart16550, register: int) -> int:
    return uart.read(register, 8)


def test_what_is_written_comes_out_and_the_transmitter_is_empty(uart: Uart16550, console: Console) -> None:
    for character in b"hi":
        assert read(uart, 5) & 0x60 == 0x60
        write(uart, 0, character)
    assert console.transcript == b"hi"


def test_the_divisor_latch_hides_data_and_interrupt_enable(uart: Uart16550, console: Console) -> None:
    write(uart, 3, 0x83)
    write(uart, 0, 12)
    write(uart, 1, 1)
    assert (read(uart, 0), read(uart, 1)) == (12, 1)
    write(uart, 3, 3)
    assert (read(uart, 1), read(uart, 3), console.transcript) == (0, 3, b"")


def test_what_is_typed_is_received_in_order(uart: Uart16550, console: Console) -> None:
    assert read(uart, 5) & 1 == 0
    console.feed(b"ab")
    assert read(uart, 5) & 1 == 1
    assert [read(uart, 0) for _ in range(3)] == [ord("a"), ord("b"), 0]
    assert read(uart, 5) & 1 == 0


def test_interrupts_of_received_data(uart: Uart16550, console: Console, irq: Line) -> None:
    console.feed(b"x")
    assert irq.level == 0
    write(uart, 1, 1)
    assert (irq.level, read(uart, 2) & 0xF) == (1, 4)
    read(uart, 0)
    assert (irq.level, read(uart, 2) & 0xF) == (0, 1)
    console.feed(b"y")
    assert irq.level == 1


def test_the_interrupt_of_an_empty_transmitter_is_taken_back_by_looking(uart: Uart16550, irq: Line) -> None:
    write(uart, 1, 2)
    assert irq.level == 1
    assert read(uart, 2) & 0xF == 2
    assert irq.level == 0
    write(uart, 0, 65)
    assert irq.level == 1


def test_received_data_come_first(uart: Uart16550, console: Console, irq: Line) -> None:
    write(uart, 1, 3)
    console.feed(b"x")
    assert read(uart, 2) & 0xF == 4
    read(uart, 0)
    assert read(uart, 2) & 0xF == 2


def test_the_fifo_shows_in_the_identification(uart: Uart16550) -> None:
    assert read(uart, 2) & 0xC0 == 0
    write(uart, 2, 1)
    assert read(uart, 2) & 0xC0 == 0xC0


def test_loop_mode(uart: Uart16550, console: Console) -> None:
    write(uart, 4, 0x1A)  # loop, OUT2, RTS
    assert read(uart, 6) == 0x90
    write(uart, 0, 77)
    assert (read(uart, 5) & 1, read(uart, 0), console.transcript) == (1, 77, b"")


def test_scratch_and_registers_that_are_not_there(uart: Uart16550) -> None:
    write(uart, 7, 0xA5)
    write(uart, 9, 1)
    assert (read(uart, 7), read(uart, 9)) == (0xA5, 0)
