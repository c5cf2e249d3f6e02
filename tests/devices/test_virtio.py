"""The block device, from a driver's side."""

from __future__ import annotations

import random

import pytest

from devices.bench import SIZE, Bench, Line
from emulator.devices.virtio import NEEDS_RESET, SECTOR, MemoryDisk, VirtioBlock

DESCRIPTORS, AVAILABLE, USED, BUFFERS = 0x1000, 0x2000, 0x3000, 0x4000
QUEUE = 8


class Driver:
    """What an operating system does with the device."""

    def __init__(self, disk: MemoryDisk | None) -> None:
        self.bench, self.irq, self.disk = Bench(), Line(), disk
        self.device = VirtioBlock("ram", disk, self.irq)
        self.device.attach(self.bench.as_machine())
        self.made = 0

    def get(self, register: int) -> int:
        return self.device.read(register, 32)

    def put(self, register: int, value: int) -> None:
        self.device.write(register, 32, value)

    def start(self) -> None:
        self.put(0x70, 3)
        self.put(0x24, 1)
        self.put(0x20, 1)  # VIRTIO_F_VERSION_1
        self.put(0x70, 11)
        assert self.get(0x70) == 11
        self.put(0x30, 0)
        self.put(0x38, QUEUE)
        for register, address in ((0x80, DESCRIPTORS), (0x90, AVAILABLE), (0xA0, USED)):
            self.put(register, address)
            self.put(register + 4, 0)
        self.put(0x44, 1)
        self.put(0x70, 15)

    def describe(self, index: int, address: int, length: int, flags: int, next_: int = 0) -> None:
        entry = address.to_bytes(8, "little") + length.to_bytes(4, "little")
        entry += flags.to_bytes(2, "little") + next_.to_bytes(2, "little")
        self.bench.write_units("ram", DESCRIPTORS + 16 * index, entry)

    def request(self, kind: int, sector: int, data: bytes | int) -> tuple[int, bytes]:
        """The status and the data of a request; a number stands for so many bytes to read."""
        size = data if isinstance(data, int) else len(data)
        self.bench.write_units("ram", BUFFERS, kind.to_bytes(8, "little") + sector.to_bytes(8, "little"))
        if isinstance(data, bytes):
            self.bench.write_units("ram", BUFFERS + 0x100, data)
        self.describe(0, BUFFERS, 16, 1, 1)
        self.describe(1, BUFFERS + 0x100, size, 1 if isinstance(data, bytes) else 3, 2)
        self.describe(2, BUFFERS + 0x80, 1, 2)
        self.submit(0)
        status = self.bench.read_units("ram", BUFFERS + 0x80, 1)[0]
        return status, self.bench.read_units("ram", BUFFERS + 0x100, size)

    def submit(self, head: int) -> None:
        self.bench.write("ram", head, AVAILABLE + 4 + 2 * (self.made % QUEUE), 16)
        self.made += 1
        self.bench.write("ram", self.made & 0xFFFF, AVAILABLE + 2, 16)
        self.put(0x50, 0)


@pytest.fixture
def driver() -> Driver:
    found = Driver(MemoryDisk(bytes(range(256)) * 8 + b"tail"))
    found.start()
    return found


def test_what_it_says_of_itself(driver: Driver) -> None:
    assert [driver.get(r) for r in (0, 4, 8)] == [0x74726976, 2, 2]
    assert driver.get(0x34) >= QUEUE
    assert (driver.get(0x100), driver.get(0x104)) == (5, 0)


def test_reading_and_writing(driver: Driver) -> None:
    status, data = driver.request(0, 1, 1024)
    assert (status, data) == (0, bytes(range(256)) * 4)
    assert driver.irq.level == 1
    assert driver.bench.read("ram", USED + 2, 16) == 1
    assert driver.bench.read("ram", USED + 8, 32) == 1025
    driver.put(0x64, driver.get(0x60))
    assert driver.irq.level == 0
    assert driver.request(1, 2, b"x" * SECTOR)[0] == 0
    assert driver.request(0, 2, SECTOR) == (0, b"x" * SECTOR)
    assert driver.made == 3


@pytest.mark.parametrize(("kind", "sector", "data"), [(0, 4, 1024), (0, 5, 512), (0, 1 << 60, 512), (0, 0, 100)])
def test_past_the_end_fails(driver: Driver, kind: int, sector: int, data: int) -> None:
    assert driver.request(kind, sector, data)[0] == 1


def test_other_requests(driver: Driver) -> None:
    assert driver.request(4, 0, b"")[0] == 0
    assert driver.request(8, 0, 20) == (0, b"popek-disk" + bytes(10))
    assert driver.request(99, 0, 512)[0] == 2


def test_a_disk_that_is_read_only() -> None:
    driver = Driver(MemoryDisk(bytes(512), read_only=True))
    driver.start()
    assert driver.get(0x10) & 1 << 5
    assert driver.request(1, 0, b"x" * 512)[0] == 1


def test_without_a_disk_nothing_is_there() -> None:
    driver = Driver(None)
    assert (driver.get(0), driver.get(8)) == (0x74726976, 0)
    driver.put(0x70, 3)
    assert driver.get(0x70) == 0


def test_features_that_it_does_not_have_are_refused() -> None:
    driver = Driver(MemoryDisk(bytes(512)))
    driver.put(0x24, 0)
    driver.put(0x20, 1 << 30)
    driver.put(0x70, 11)
    assert driver.get(0x70) & 8 == 0


def test_a_reset_forgets_all(driver: Driver) -> None:
    driver.request(0, 0, 512)
    driver.put(0x70, 0)
    assert (driver.get(0x70), driver.get(0x44), driver.get(0x60), driver.irq.level) == (0, 0, 0, 0)


def broken(driver: Driver, *descriptors: tuple[int, int, int, int]) -> bool:
    for index, (address, length, flags, next_) in enumerate(descriptors):
        driver.describe(index, address, length, flags, next_)
    driver.submit(0)
    return bool(driver.get(0x70) & NEEDS_RESET)


@pytest.mark.parametrize(
    "chain",
    [
        ((BUFFERS, 16, 1, 0),),  # in circles
        ((BUFFERS, 16, 0, 0),),  # no status
        ((BUFFERS, 15, 1, 1), (BUFFERS, 1, 2, 0)),  # the header is too short
        ((SIZE, 16, 1, 1), (BUFFERS, 1, 2, 0)),  # outside of memory
        ((BUFFERS, 16, 1, 99),),  # no such descriptor
        ((BUFFERS, 16, 1, 1), (BUFFERS, 1 << 31, 2, 0)),
    ],
)
def test_broken_rules_need_a_reset(driver: Driver, chain: tuple[tuple[int, int, int, int], ...]) -> None:
    assert broken(driver, *chain)
    assert driver.irq.level == 1


def test_a_ring_outside_of_memory(driver: Driver) -> None:
    driver.put(0x94, 1)
    driver.put(0x50, 0)
    assert driver.get(0x70) & NEEDS_RESET


def test_nothing_a_driver_does_breaks_it() -> None:
    rng = random.Random(5)
    driver = Driver(MemoryDisk(bytes(4096)))
    for _ in range(3000):
        if rng.random() < 0.1:
            driver.put(0x70, 0)
            driver.start()
        if rng.random() < 0.5:
            at = rng.choice((DESCRIPTORS, AVAILABLE, USED)) + rng.randrange(64)
            driver.bench.write_units("ram", at, rng.randbytes(rng.randrange(1, 9)))
        driver.put(rng.choice((0x50, 0x50, 0x30, 0x38, 0x44, 0x64, 0x80, 0x90, 0xA0)), rng.choice((0, 1, 8, 0x1000)))
        assert 0 <= driver.device.read(rng.randrange(0, 0x110, 4), 32) < 1 << 32
