"""The timers and the interrupt controller."""

from __future__ import annotations

from devices.bench import Bench, Line
from emulator.devices.clint import MSIP, MTIME, MTIMECMP, Clint
from emulator.devices.plic import CONTEXT, ENABLE, PENDING, Plic
from emulator.devices.simple import IntervalTimer


def clint(divide: int = 1) -> tuple[Bench, Clint, Line, Line]:
    bench, software, timer = Bench(), Line(), Line()
    device = Clint("t", software, timer, divide)
    device.attach(bench.as_machine())
    return bench, device, software, timer


def test_the_timer_comes_at_its_step() -> None:
    bench, device, _, timer = clint()
    bench.pass_(10)
    device.write(MTIMECMP, 64, 25)
    bench.pass_(14)
    assert timer.level == 0
    bench.pass_(1)
    assert timer.level == 1
    device.write(MTIMECMP, 64, 1000)
    assert timer.level == 0


def test_a_time_that_is_past_interrupts_at_once() -> None:
    bench, device, _, timer = clint()
    bench.pass_(10)
    device.write(MTIMECMP, 64, 10)
    assert timer.level == 1


def test_halves_and_bytes() -> None:
    bench, device, _, timer = clint()
    device.write(MTIMECMP, 32, 50)
    device.write(MTIMECMP + 4, 32, 0)
    assert device.read(MTIMECMP, 64) == 50
    assert device.read(MTIMECMP + 4, 32) == 0
    assert device.read(MTIMECMP + 1, 8) == 0
    bench.pass_(50)
    assert timer.level == 1
    assert (device.read(MTIME, 32), device.read(MTIME + 4, 32), device.read(MTIME, 64)) == (50, 0, 50)


def test_setting_the_time_moves_the_interrupt() -> None:
    bench, device, _, timer = clint()
    device.write(MTIMECMP, 64, 100)
    device.write(MTIME, 64, 90)
    bench.pass_(5)
    assert timer.level == 0
    bench.pass_(6)
    assert timer.level == 1


def test_a_slower_clock() -> None:
    bench, device, _, timer = clint(divide=4)
    device.write(MTIMECMP, 64, 10)
    bench.pass_(39)
    assert (device.read(MTIME, 64), timer.level) == (9, 0)
    bench.pass_(1)
    assert (device.read(MTIME, 64), timer.level) == (10, 1)


def test_software_interrupts_and_addresses_that_are_not_there() -> None:
    _, device, software, _ = clint()
    device.write(MSIP, 32, 0xFFFFFFFF)
    assert (software.level, device.read(MSIP, 32)) == (1, 1)
    device.write(MSIP, 32, 0)
    device.write(0x8000, 32, 1)
    assert (software.level, device.read(0x8000, 32)) == (0, 0)


def plic() -> tuple[Plic, Line, Line]:
    machine, supervisor = Line(), Line()
    return Plic([machine, supervisor]), machine, supervisor


def enable(device: Plic, context: int, source: int, priority: int = 1) -> None:
    device.write(4 * source, 32, priority)
    word = ENABLE + 0x80 * context + source // 32 * 4
    device.write(word, 32, device.read(word, 32) | 1 << source % 32)


def claim(device: Plic, context: int) -> int:
    return device.read(CONTEXT + 0x1000 * context + 4, 32)


def complete(device: Plic, context: int, source: int) -> None:
    device.write(CONTEXT + 0x1000 * context + 4, 32, source)


def test_claim_and_complete() -> None:
    device, machine, supervisor = plic()
    enable(device, 1, 10)
    source = device.source(10)
    source(1)
    assert (machine.level, supervisor.level, device.read(PENDING, 32)) == (0, 1, 1 << 10)
    assert (claim(device, 1), supervisor.level, claim(device, 1)) == (10, 0, 0)
    complete(device, 1, 10)
    assert supervisor.level == 1  # the level is still there
    assert claim(device, 1) == 10
    source(0)
    complete(device, 1, 10)
    assert (supervisor.level, device.read(PENDING, 32)) == (0, 0)


def test_the_highest_priority_then_the_lowest_number() -> None:
    device, *_ = plic()
    for number, priority in ((3, 1), (40, 7), (41, 7)):
        enable(device, 0, number, priority)
        device.source(number)(1)
    assert [claim(device, 0) for _ in range(4)] == [40, 41, 3, 0]


def test_the_threshold_masks_the_wire_and_not_the_claim() -> None:
    device, machine, _ = plic()
    enable(device, 0, 5, 3)
    device.write(CONTEXT, 32, 3)
    device.source(5)(1)
    assert machine.level == 0
    device.write(CONTEXT, 32, 2)
    assert machine.level == 1
    device.write(CONTEXT, 32, 7)
    assert claim(device, 0) == 5


def test_priority_0_never_interrupts() -> None:
    device, machine, _ = plic()
    enable(device, 0, 5, 0)
    device.source(5)(1)
    assert (machine.level, claim(device, 0)) == (0, 0)


def test_what_is_not_there_reads_0() -> None:
    device, *_ = plic()
    device.write(ENABLE, 32, 1)  # source 0 does not exist
    assert [device.read(at, 32) for at in (ENABLE, 0x3FC0, CONTEXT + 0x5000, CONTEXT + 8)] == [0, 0, 0, 0]


def test_the_interval_timer() -> None:
    bench, line = Bench(), Line()
    device = IntervalTimer(line)
    device.attach(bench.as_machine())
    device.write(0, 8, 10)
    bench.pass_(9)
    assert line.level == 0
    bench.pass_(1)
    assert (line.level, device.read(1, 8), device.read(0, 8)) == (1, 1, 10)
    device.write(1, 8, 0)
    bench.pass_(10)
    assert line.changes == [1, 0, 1]
    device.write(0, 8, 0)
    device.write(1, 8, 0)
    bench.pass_(100)
    assert line.changes == [1, 0, 1, 0]
