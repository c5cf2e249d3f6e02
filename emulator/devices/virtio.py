"""Virtio over memory-mapped registers, and the block device.

Virtual I/O Device (VIRTIO) Version 1.2, OASIS Committee Specification 01: section 4.2 (MMIO transport, version 2), 2.7
(split virtqueues), 5.2 (block device).  Requests are carried out when the queue is notified.  A driver that breaks the
rules (a ring outside of memory, a chain that goes in circles) finds DEVICE_NEEDS_RESET in the status (2.1.2).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Protocol
from zlib import compress, decompress

from msgspec import Struct
from msgspec.structs import asdict

from analyzer.errors import UsageError
from emulator.devices.attach import Kept, Peripheral, Wire, low_bits, nowhere

MAGIC, VERSION, VENDOR = 0x74726976, 2, 0x6B706F70
VERSION_1 = 1 << 32
"""VIRTIO_F_VERSION_1 (6): the device is no legacy device."""

DRIVER_OK, FEATURES_OK, NEEDS_RESET = 4, 8, 64
QUEUE_MAX = 256
NEXT, WRITE = 1, 2
SECTOR = 512
READ_SECTORS, WRITE_SECTORS, FLUSH, GET_ID = 0, 1, 4, 8
OK, FAILED, UNSUPPORTED = 0, 1, 2
BLOCK_DEVICE = 2
READ_ONLY, CAN_FLUSH = 1 << 5, 1 << 9


class Disk(Protocol):
    """What a block device holds: sectors of 512 bytes."""

    @property
    def sectors(self) -> int: ...

    @property
    def read_only(self) -> bool: ...

    def load(self, sector: int) -> bytes: ...

    def save(self, sector: int, data: bytes) -> None: ...


class MemoryDisk:
    """A disk in memory; the last sector is filled up with zeros."""

    def __init__(self, data: bytes, read_only: bool = False) -> None:
        self.data = bytearray(data)
        self.data.extend(bytes(-len(data) % SECTOR))
        self.read_only = read_only

    @property
    def sectors(self) -> int:
        return len(self.data) // SECTOR

    def load(self, sector: int) -> bytes:
        return bytes(self.data[sector * SECTOR : (sector + 1) * SECTOR])

    def save(self, sector: int, data: bytes) -> None:
        self.data[sector * SECTOR : (sector + 1) * SECTOR] = data


class _Queue(Struct):
    size: int = 0
    ready: bool = False
    descriptors: int = 0
    available: int = 0
    used: int = 0
    seen: int = 0


class _Piece(Struct, frozen=True):
    address: int
    length: int
    writable: bool


class VirtioBlock(Peripheral):
    """A block device behind the MMIO transport; `memory` is what its addresses mean, its unit a byte.  Without a disk
    the device is the placeholder of 4.2.2 (its ID is 0)."""

    def __init__(self, memory: str, disk: Disk | None, irq: Wire = nowhere) -> None:
        self._memory = memory
        self._disk = disk
        self._irq = irq
        self._reset()

    def _reset(self) -> None:
        self._status = self._interrupt = 0
        self._select = [0, 0]  # of device features, of driver features
        self._accepted = 0
        self._queue = _Queue()
        self._chosen = 0

    def kept(self) -> Kept:
        """With the disk, whole."""
        disk = self._disk
        content = b"" if disk is None else b"".join(disk.load(sector) for sector in range(disk.sectors))
        queue = asdict(self._queue)
        numbers = {"status": self._status, "interrupt": self._interrupt, "accepted": self._accepted}
        more = {"select": list(self._select), "chosen": self._chosen, "queue": queue}
        return {**numbers, **more, "disk": b64encode(compress(content)).decode()}

    def keep(self, kept: Kept) -> None:
        """
        Raises:
            UsageError: the disk has another size.
        """
        self._status, self._interrupt, self._accepted = kept["status"], kept["interrupt"], kept["accepted"]
        self._select, self._chosen = list(kept["select"]), kept["chosen"]
        self._queue = _Queue(**kept["queue"])
        content = decompress(b64decode(kept["disk"]))
        sectors = 0 if self._disk is None else self._disk.sectors
        if len(content) != sectors * SECTOR:
            raise UsageError(f"the disk that was kept has {len(content) // SECTOR} sectors, and this one {sectors}")
        for sector in range(sectors):
            data = content[sector * SECTOR : (sector + 1) * SECTOR]
            if self._disk is not None and self._disk.load(sector) != data:
                self._disk.save(sector, data)

    # -- registers (4.2.2) ---------------------------------------------------------------------------------------------

    def read(self, offset: int, bits: int) -> int:
        if offset >= 0x100:
            return low_bits(self._config() >> 8 * (offset - 0x100), bits)
        disk, queue = self._disk, self._queue
        match offset:
            case 0x000:
                return MAGIC
            case 0x004:
                return VERSION
            case 0x008:
                return 0 if disk is None else BLOCK_DEVICE
            case 0x00C:
                return VENDOR
            case 0x010:
                return self._features() >> 32 * self._select[0] & 0xFFFFFFFF
            case 0x034:
                return QUEUE_MAX if self._chosen == 0 and disk is not None else 0
            case 0x044:
                return int(queue.ready and self._chosen == 0)
            case 0x060:
                return self._interrupt
            case 0x070:
                return self._status
            case _:
                return 0

    def write(self, offset: int, bits: int, value: int) -> None:
        value = low_bits(value, 32)
        if self._disk is None:
            return
        queue = self._queue if self._chosen == 0 else _Queue()
        match offset:
            case 0x014:
                self._select[0] = min(value, 2)
            case 0x020:
                shift = 32 * self._select[1]
                self._accepted = self._accepted & ~(0xFFFFFFFF << shift) | value << shift
            case 0x024:
                self._select[1] = min(value, 2)
            case 0x030:
                self._chosen = value
            case 0x038 if not queue.ready:
                queue.size = value
            case 0x044:
                queue.ready = bool(value & 1) and 0 < queue.size <= QUEUE_MAX and not queue.size & (queue.size - 1)
                queue.seen = 0
            case 0x050:
                if value == 0 and self._status & DRIVER_OK and not self._status & NEEDS_RESET:
                    self._notified()
            case 0x064:
                self._interrupt &= ~value
                self._irq(int(self._interrupt != 0))
            case 0x070:
                self._set_status(value)
            case 0x080 | 0x084:
                queue.descriptors = _half(queue.descriptors, offset, value)
            case 0x090 | 0x094:
                queue.available = _half(queue.available, offset, value)
            case 0x0A0 | 0x0A4:
                queue.used = _half(queue.used, offset, value)
            case _:
                pass

    def _features(self) -> int:
        read_only = self._disk is not None and self._disk.read_only
        return VERSION_1 | CAN_FLUSH | (READ_ONLY if read_only else 0)

    def _config(self) -> int:
        """The configuration space (5.2.4) as a number: the capacity in sectors."""
        return 0 if self._disk is None else self._disk.sectors

    def _set_status(self, value: int) -> None:
        if value == 0:
            self._reset()
            self._irq(0)
            return
        if value & FEATURES_OK and (self._accepted & ~self._features() or not self._accepted & VERSION_1):
            value &= ~FEATURES_OK  # 2.2.2: the device says no
        self._status = value & 0xFF | self._status & NEEDS_RESET

    # -- the queue (2.7) -----------------------------------------------------------------------------------------------

    def _notified(self) -> None:
        try:
            served = 0
            while self._queue.ready and served < 2 * QUEUE_MAX and self._next():
                served += 1
        except (UsageError, _BrokenRules):
            self._status |= NEEDS_RESET
            self._interrupt |= 2
        self._irq(int(self._interrupt != 0))

    def _next(self) -> bool:
        """Serves the next available chain, if there is one."""
        queue = self._queue
        if self._number(queue.available + 2, 2) == queue.seen:
            return False
        head = self._number(queue.available + 4 + 2 * (queue.seen % queue.size), 2)
        written = self._serve(list(self._chain(head)))
        used = self._number(queue.used + 2, 2)
        entry = queue.used + 4 + 8 * (used % queue.size)
        self._store(entry, head.to_bytes(4, "little") + written.to_bytes(4, "little"))
        self._store(queue.used + 2, (used + 1 & 0xFFFF).to_bytes(2, "little"))
        queue.seen = queue.seen + 1 & 0xFFFF
        if not self._number(queue.available, 2) & 1:
            self._interrupt |= 1
        return True

    def _chain(self, head: int) -> Iterator[_Piece]:
        """The buffers of a chain of descriptors (2.7.5)."""
        queue = self._queue
        index, seen = head, 0
        while True:
            if index >= queue.size or seen == queue.size:
                raise _BrokenRules
            raw = self._load(queue.descriptors + 16 * index, 16)
            flags = int.from_bytes(raw[12:14], "little")
            address, length = int.from_bytes(raw[0:8], "little"), int.from_bytes(raw[8:12], "little")
            if length > 1 << 24:
                raise _BrokenRules
            yield _Piece(address, length, bool(flags & WRITE))
            if not flags & NEXT:
                return
            index, seen = int.from_bytes(raw[14:16], "little"), seen + 1

    def _serve(self, chain: list[_Piece]) -> int:
        """Carries out one request (5.2.6): a header, data, a status byte.  The number of bytes written."""
        if len(chain) < 2 or chain[0].writable or chain[0].length < 16:
            raise _BrokenRules
        header, *data, last = chain
        if not last.writable or not last.length:
            raise _BrokenRules
        raw = self._load(header.address, 16)
        kind, sector = int.from_bytes(raw[0:4], "little"), int.from_bytes(raw[8:16], "little")
        status, written = self._request(kind, sector, data)
        self._store(last.address + last.length - 1, bytes((status,)))
        return written + 1

    def _request(self, kind: int, sector: int, data: list[_Piece]) -> tuple[int, int]:
        disk = self._disk
        assert disk is not None
        total = sum(piece.length for piece in data)
        match kind:
            case 0 | 1:
                if total % SECTOR or sector + total // SECTOR > disk.sectors or (kind == 1 and disk.read_only):
                    return FAILED, 0
                if any(piece.writable == (kind == WRITE_SECTORS) for piece in data):
                    raise _BrokenRules
                if kind == WRITE_SECTORS:
                    content = b"".join(self._load(piece.address, piece.length) for piece in data)
                    for i in range(0, total, SECTOR):
                        disk.save(sector + i // SECTOR, content[i : i + SECTOR])
                    return OK, 0
                content = b"".join(disk.load(sector + i) for i in range(total // SECTOR))
                for piece in data:
                    self._store(piece.address, content[: piece.length])
                    content = content[piece.length :]
                return OK, total
            case 4:
                return OK, 0
            case 8:
                name = b"popek-disk".ljust(20, b"\0")
                if len(data) != 1 or not data[0].writable or data[0].length < len(name):
                    raise _BrokenRules
                self._store(data[0].address, name)
                return OK, len(name)
            case _:
                return UNSUPPORTED, 0

    def _load(self, address: int, length: int) -> bytes:
        return bytes(self.machine.read_units(self._memory, address, length)) if length else b""

    def _store(self, address: int, data: bytes) -> None:
        if data:
            self.machine.write_units(self._memory, address, data)

    def _number(self, address: int, length: int) -> int:
        return int.from_bytes(self._load(address, length), "little")


class _BrokenRules(Exception):
    """The driver did what the specification forbids."""


def _half(old: int, offset: int, value: int) -> int:
    """A 64-bit register that is written in two halves."""
    return old & 0xFFFFFFFF | value << 32 if offset & 4 else old & ~0xFFFFFFFF | value
