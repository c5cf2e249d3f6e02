"""A machine on its board, with a program in it: what `popek run` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from analyzer import ir
from analyzer.errors import AssemblyError, UsageError
from emulator.board import Board, DeviceTable, near, wrong
from emulator.devices.attach import Keeps, Peripheral, Pin, Wire, nowhere
from emulator.devices.clint import Clint
from emulator.devices.console import Console
from emulator.devices.finisher import Finisher
from emulator.devices.htif import Htif
from emulator.devices.plic import SOURCES, Plic
from emulator.devices.simple import CharacterPort, IntervalTimer, PowerSwitch
from emulator.devices.uart import Uart16550
from emulator.devices.virtio import Disk, VirtioBlock
from emulator.fdt import flattened
from emulator.interface import Device, Machine, Mmio, Ram, Region, Unspecified
from emulator.machine import Tier, build
from emulator.piece import Image

TREE_ALIGNMENT = 1 << 12

Maker = Callable[[ir.Isa, Sequence[Region], Mapping[str, int]], Machine]
"""Makes a machine of these regions and choices."""

CONSOLES = {"uart16550", "character-port"}


class System(Struct, frozen=True):
    """A machine, its board, its console and its devices by name."""

    machine: Machine
    board: Board
    console: Console
    devices: Mapping[str, Device]
    image: Image
    awaits_keys: bool
    """Whether something typed can interrupt a processor that waits."""
    pins: Mapping[str, Pin]
    """Wires that lead to the machine, by where."""
    keeping: Mapping[str, Keeps]
    """What keeps something between two accesses, by name."""


def assemble_system(
    isa: ir.Isa,
    board: Board,
    images: Sequence[Image],
    console: Console,
    *,
    ram: int | None = None,
    disk: Disk | None = None,
    tier: Tier = "auto",
    make: Maker | None = None,
) -> System:
    """A machine at reset with programs in its memory; it begins with the first of them.  `ram` is the size of the first
    region of RAM in units.

    Raises:
        AssemblyError: PG513, a program does not fit; PG522, the board's devices or wires are wrong.
        UsageError: the regions are not possible.
    """
    tables = [(t.base, ram if ram is not None and i == 0 else t.size) for i, t in enumerate(board.ram)]
    image = images[0]
    for each in images:
        _fits(board, each, tables)
    bench = _Bench(isa, board, console, disk)
    made = {_name(table): bench.make(table) for table in board.device}
    regions: list[Region] = [Ram(board.memory, base, size) for base, size in tables]
    regions += [Mmio(board.memory, table.base, table.size, made[_name(table)]) for table in board.device]
    choices = _choices(isa, board, tables)
    machine = build(isa, regions, choices, tier) if make is None else make(isa, regions, choices)
    for element, source in board.clocks.items():
        machine.clock(element, source)
    for function, answer in board.answers.items():
        machine.bind(function, _answering(answer))
    bench.connect(machine)
    talking = _htif(board, image, tables, console)
    for device in (*made.values(), talking):
        if isinstance(device, Peripheral):
            device.attach(machine)
    for each in images:
        for piece in each.pieces:
            units = piece.units if isinstance(piece.units, (bytes, list)) else list(piece.units)
            machine.write_units(board.memory, piece.address, _units(isa, units))
    tree = _tree(board, tables, images, machine) if board.tree is not None else 0
    top = tables[0][0] + tables[0][1]
    _reset(machine, board, {**board.reset, **image.starts}, {"entry": image.entry, "tree": tree, "ram.end": top})
    awaits_keys = any(table.kind in CONSOLES and table.wires for table in board.device)
    keeping = {name: each for name, each in {**made, "htif": talking}.items() if isinstance(each, Keeps)}
    return System(machine, board, console, made, image, awaits_keys, bench.pins, keeping)


def _answering(answer: int | str) -> Unspecified:
    match answer:
        case "first":
            return lambda *args: args[0]
        case "last":
            return lambda *args: args[-1]
        case _:
            return lambda *args: int(answer)


def _name(table: DeviceTable) -> str:
    return table.name or table.kind


def _units(isa: ir.Isa, units: bytes | list[int]) -> bytes | list[int]:
    return bytes(units) if isa.unit == 8 else list(units)


def _fits(board: Board, image: Image, tables: list[tuple[int, int]]) -> None:
    for piece in image.pieces:
        if not any(base <= piece.address and piece.end <= base + size for base, size in tables):
            there = ", ".join(f"{base:#x} to {base + size - 1:#x}" for base, size in tables)
            message = f"the program has {piece.address:#x} to {piece.end - 1:#x}, and RAM is at {there}"
            raise wrong("PG513", board.name, message, "another --board or --mem may have room")


def _htif(board: Board, image: Image, tables: list[tuple[int, int]], console: Console) -> Htif | None:
    """Only programs that have the symbols, in RAM, use it."""
    if board.htif is None:
        return None

    def word(name: str) -> int | None:
        address = image.symbols.get(name)
        held = address is not None and any(base <= address <= base + size - 8 for base, size in tables)
        return address if held else None

    tohost = word(board.htif.tohost)
    return None if tohost is None else Htif(board.memory, tohost, word(board.htif.fromhost), console)


def _choices(isa: ir.Isa, board: Board, tables: list[tuple[int, int]]) -> dict[str, int]:
    """The board's choices; those that size the memory are the end of the RAM."""
    memory = isa.spaces[board.memory]
    sizing = memory.size if isinstance(memory, ir.Memory) else None
    found = dict(board.choices)
    if isinstance(sizing, ir.Get) and sizing.element in isa.choices and sizing.element not in found:
        width = isa.choices[sizing.element].width
        found[sizing.element] = min(max(base + size for base, size in tables), (1 << width) - 1)
    return found


def _tree(board: Board, tables: list[tuple[int, int]], images: Sequence[Image], machine: Machine) -> int:
    """Puts the device tree at the end of the first RAM; its address."""
    base, size = tables[0]
    known = {"$ram.base": base, "$ram.size": size}

    def filled(value: Any) -> Any:
        match value:
            case dict():
                return {key: filled(inner) for key, inner in value.items()}
            case list():
                return [cell for item in value for cell in (_wide(known[item]) if item in known else [filled(item)])]
            case _:
                return value

    blob = flattened(filled(board.tree))
    address = (base + size - len(blob)) // TREE_ALIGNMENT * TREE_ALIGNMENT
    taken = (piece for image in images for piece in image.pieces)
    if address < base or any(piece.address < address + len(blob) and address < piece.end for piece in taken):
        message = f"the device tree ({len(blob)} bytes) has no room at the end of the RAM"
        raise wrong("PG513", board.name, message, "more --mem makes room")
    machine.write_units(board.memory, address, blob)
    return address


def _wide(number: int) -> list[int]:
    """A number of 64 bits as two cells."""
    return [number >> 32, number & 0xFFFFFFFF]


def _reset(machine: Machine, board: Board, places: Mapping[str, str | int], addresses: Mapping[str, int]) -> None:
    """Sets the places that the board sets, and those that the program does."""
    for place, given in places.items():
        if isinstance(given, str) and given not in addresses:
            raise wrong("PG522", board.name, f"`reset` does not know {given}", f"there are {', '.join(addresses)}")
        value = addresses[given] if isinstance(given, str) else given
        name, _, rest = place.partition("[")
        index = int(rest.removesuffix("]"), 0) if rest else None
        try:
            machine.write(machine.isa.fetch.pc if name == "pc" else name, value, index)
        except UsageError as error:
            raise wrong("PG522", board.name, f"`reset` of {place}: {error}", error.hint) from None


class _Bench:
    """Where devices are made and wired."""

    def __init__(self, isa: ir.Isa, board: Board, console: Console, disk: Disk | None) -> None:
        self.isa = isa
        self.board = board
        self.console = console
        self.disk = disk
        self.pins: dict[str, Pin] = {}
        self.controllers: dict[str, Plic] = {}

    def make(self, table: DeviceTable) -> Device:
        """The device of a table.

        Raises:
            AssemblyError: PG522.
        """
        maker = MAKERS.get(table.kind)
        if maker is None:
            raise self.wrong(f"there is no device `{table.kind}`", near(table.kind, MAKERS))
        return maker(self, table)

    def wire(self, table: DeviceTable, name: str) -> Wire:
        """The wire that leaves a device under this name."""
        to = table.wires.get(name)
        if to is None:
            return nowhere
        device, colon, source = to.partition(":")
        if colon:
            return self.into(device, source, to)
        element, _, value = to.partition("=")
        declared = self.isa.elements.get(element)
        if declared is None:
            raise self.wrong(
                f"{self.isa.name} has no {element}, to which a wire leads", near(element, self.isa.elements)
            )
        active = int(value, 0) if value.isalnum() and value[0].isdigit() else 1
        if active >> declared.width:
            raise self.wrong(f"{active} does not fit in the {declared.width} bits of {element}")
        return self.pins.setdefault(to, Pin(element, active))

    def into(self, device: str, source: str, to: str) -> Wire:
        """A wire into an interrupt controller, which may be made later."""
        tables = {_name(t): t for t in self.board.device if t.kind == "plic"}
        if device not in tables or not source.isdigit() or not 0 < int(source) < SOURCES:
            raise self.wrong(f"no interrupt controller has an input `{to}`")

        def drive(level: int) -> None:
            self.controllers[device].source(int(source))(level)

        return drive

    def connect(self, machine: Machine) -> None:
        for pin in self.pins.values():
            pin.machine = machine

    def setting(self, table: DeviceTable, name: str) -> str:
        found = table.settings.get(name)
        if not isinstance(found, str):
            raise self.wrong(f"device {_name(table)} needs the setting {name}, a name")
        return found

    def wrong(self, message: str, hint: str | None = None) -> AssemblyError:
        return wrong("PG522", self.board.name, message, hint)

    # -- one method a kind ---------------------------------------------------------------------------------------------

    def uart(self, table: DeviceTable) -> Device:
        return Uart16550(self.console, self.wire(table, "irq"))

    def clint(self, table: DeviceTable) -> Device:
        time = self.setting(table, "time")
        if time not in self.isa.elements:
            raise self.wrong(f"{self.isa.name} has no {time}, in which the clock counts", near(time, self.isa.elements))
        divide = table.settings.get("divide", 1)
        if not isinstance(divide, int) or divide < 1 or divide & divide - 1:
            raise self.wrong("the clock divides by a power of two")
        return Clint(time, self.wire(table, "software"), self.wire(table, "timer"), divide)

    def plic(self, table: DeviceTable) -> Device:
        targets = [self.wire(table, str(context)) for context in range(len(table.wires))]
        controller = self.controllers[_name(table)] = Plic(targets)
        return controller

    def finisher(self, table: DeviceTable) -> Device:
        return Finisher()

    def virtio_block(self, table: DeviceTable) -> Device:
        return VirtioBlock(self.board.memory, self.disk, self.wire(table, "irq"))

    def character_port(self, table: DeviceTable) -> Device:
        return CharacterPort(self.console, self.wire(table, "irq"))

    def power_switch(self, table: DeviceTable) -> Device:
        return PowerSwitch()

    def interval_timer(self, table: DeviceTable) -> Device:
        return IntervalTimer(self.wire(table, "irq"))


MAKERS: Mapping[str, Callable[[_Bench, DeviceTable], Device]] = {
    "uart16550": _Bench.uart,
    "clint": _Bench.clint,
    "plic": _Bench.plic,
    "finisher": _Bench.finisher,
    "virtio-block": _Bench.virtio_block,
    "character-port": _Bench.character_port,
    "power-switch": _Bench.power_switch,
    "interval-timer": _Bench.interval_timer,
}
