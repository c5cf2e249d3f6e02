"""A stub for gdb: the remote serial protocol on a TCP port.

Debugging with GDB, appendix E (remote protocol) and G (target descriptions).  Which registers gdb sees, and under which
names, is data of the board; without it they are the program's registers under the names of the spec.  Addresses are
those of the program: they go through the machine's map.  Breakpoints are compared with the program counter before each
step, so nothing in memory changes.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from analyzer import ir
from analyzer.errors import UsageError
from emulator.board import Board
from emulator.devices.console import Console
from emulator.interface import Exit, Machine, Reason
from emulator.peek import Peek
from emulator.run import Options, Outcome, follow, outcome, prepare
from emulator.state import State

PACKET = 0x4000
"""The longest packet, in characters."""

SLICE = 20_000
"""Steps between two looks at whether gdb wants the machine to stop."""

INTERRUPT = b"\x03"
TRAP, ILLEGAL, FAULT, SPENT = 5, 4, 11, 24  # signal numbers of the protocol
MOST_REGISTERS = 256


@dataclass(frozen=True, slots=True)
class Register:
    """A register as gdb knows it: its name, and its place in the machine."""

    name: str
    place: str
    index: int | None
    bits: int
    feature: str

    @property
    def octets(self) -> int:
        return (self.bits + 7) // 8


def registers_of(isa: ir.Isa, board: Board) -> tuple[Register, ...]:
    """The registers in the order of their numbers.

    Raises:
        UsageError: the board names a place that is not there.
    """
    if board.gdb is None:
        return tuple(_guests(isa))[:MOST_REGISTERS]
    found, widths = [], State(isa)
    for table in board.gdb.registers:
        for n in range(table.count):
            place, _, rest = table.place.replace("{n}", str(n)).partition("[")
            place = isa.fetch.pc if place == "pc" else place
            index = int(rest.removesuffix("]"), 0) if rest else None
            bits = widths.place_width(place, index)
            found.append(Register(table.name.replace("{n}", str(n)), place, index, bits, table.feature))
    return tuple(found)


def _guests(isa: ir.Isa) -> Iterator[Register]:
    """The program's registers."""
    feature = f"popek.{isa.name}"
    for file in isa.files.values():
        if file.role is ir.Role.GUEST:
            yield from (Register(f"{file.name}{i}", file.name, i, file.width, feature) for i in range(file.size))
    pc = isa.fetch.pc
    for element in isa.elements.values():
        if element.role is ir.Role.GUEST and element.name != pc:
            yield Register(element.name.replace(".", "_"), element.name, None, element.width, feature)
    yield Register("pc", pc, None, isa.elements[pc].width, feature)


class Stub:
    """What answers packets."""

    def __init__(self, machine: Machine, board: Board, wanted: Callable[[], bool], budget: int | None = None) -> None:
        self._machine = machine
        self._isa = machine.isa
        self._wanted = wanted
        self._budget = budget
        self._registers = registers_of(self._isa, board)
        self._description = described(board, self._registers)
        self._breakpoints: set[int] = set()
        self._peek = Peek(machine)
        self._reasons = False
        self.ended: Exit | None = None
        self.closed = self.detached = False

    def reply(self, packet: str) -> str | None:
        """The answer to a packet; empty for one that is not known, None for none."""
        command, rest = packet[:1], packet[1:]
        try:
            match command:
                case "?":
                    return "S05" if self.ended is None else self.stopped(self.ended)
                case "g":
                    return "".join(self.value(register) for register in self._registers)
                case "G":
                    return self.write_all(rest)
                case "p":
                    return self.value(self._registers[int(rest, 16)])
                case "P":
                    number, _, value = rest.partition("=")
                    return self.write_register(self._registers[int(number, 16)], value)
                case "m":
                    return self.read_memory(*(int(part, 16) for part in rest.split(",")))
                case "M":
                    where, _, data = rest.partition(":")
                    address, length = (int(part, 16) for part in where.split(","))
                    if len(data) != 2 * length:
                        return "E01"
                    return self.write_memory(address, bytes.fromhex(data))
                case "c" | "s":
                    if rest:
                        self._machine.write(self._isa.fetch.pc, int(rest, 16))
                    return self.go(single=command == "s")
                case "Z" | "z" if rest[:1] in ("0", "1"):
                    address = int(rest.split(",")[1], 16)
                    (self._breakpoints.add if command == "Z" else self._breakpoints.discard)(address)
                    return "OK"
                case "H" | "T" | "!":
                    return "OK"
                case "D":
                    self.closed = self.detached = True
                    return "OK"
                case "k":
                    self.closed = True
                    return None
                case "q":
                    return self.query(rest)
                case _:
                    return ""
        except (ValueError, IndexError, TypeError, UsageError):
            return "E01"

    def query(self, text: str) -> str:
        name, _, rest = text.partition(":")
        match name:
            case "Supported":
                self._reasons = "swbreak+" in rest.split(";")
                return f"PacketSize={PACKET:x};qXfer:features:read+;swbreak+;hwbreak+"
            case "Xfer":
                kind, action, annex, where = rest.split(":")
                if (kind, action, annex) != ("features", "read", "target.xml"):
                    return "E00"
                at, length = (int(part, 16) for part in where.split(","))
                piece = self._description[at : at + length]
                return ("m" if at + length < len(self._description) else "l") + piece
            case "C":
                return "QC1"
            case "fThreadInfo":
                return "m1"
            case "sThreadInfo":
                return "l"
            case "Attached":
                return "1"
            case _:
                return ""

    # -- registers and memory ------------------------------------------------------------------------------------------

    def value(self, register: Register) -> str:
        """A register's value in the order of the target's bytes."""
        number = self._machine.read(register.place, register.index)
        return number.to_bytes(register.octets, self._isa.endian).hex()

    def write_register(self, register: Register, text: str) -> str:
        if len(text) != 2 * register.octets:
            return "E01"
        number = int.from_bytes(bytes.fromhex(text), self._isa.endian)
        self._machine.write(register.place, number & (1 << register.bits) - 1, register.index)
        return "OK"

    def write_all(self, text: str) -> str:
        at = 0
        if len(text) != 2 * sum(register.octets for register in self._registers):
            return "E01"
        for register in self._registers:
            self.write_register(register, text[at : at + 2 * register.octets])
            at += 2 * register.octets
        return "OK"

    def read_memory(self, address: int, length: int) -> str:
        """Bytes from an address on, up to one that traps.  A unit of another size takes its fewest whole bytes."""
        self._peek.refresh()
        octets = (self._isa.unit + 7) // 8
        text = ""
        for i in range(min(length, PACKET // 2) // octets):
            unit = self._peek.read(self._isa.fetch.space, address + i, self._isa.unit)
            if unit is None:
                break
            text += unit.to_bytes(octets, self._isa.endian).hex()
        return text or "E14"

    def write_memory(self, address: int, data: bytes) -> str:
        self._peek.refresh()
        octets = (self._isa.unit + 7) // 8
        for i in range(0, len(data), octets):
            unit = int.from_bytes(data[i : i + octets], self._isa.endian)
            if not self._peek.write(self._isa.fetch.space, address + i // octets, self._isa.unit, unit):
                return "E14"
        return "OK"

    # -- running -------------------------------------------------------------------------------------------------------

    def go(self, single: bool) -> str:
        """Takes one step, or steps until something stops the machine."""
        if self.ended is not None:
            return self.stopped(self.ended)
        machine = self._machine
        while True:
            left = SLICE if self._budget is None else min(SLICE, self._budget - machine.steps)
            if left <= 0:
                self.ended = Exit(Reason.BUDGET, 0)
                return self.stopped(self.ended)
            hit, ended = (
                self.steps(1 if single else left) if single or self._breakpoints else (False, machine.run(left))
            )
            if ended.reason is not Reason.BUDGET:
                self.ended = ended
                return self.stopped(ended)
            if hit and self._reasons:
                return f"T{TRAP:02x}swbreak:;"
            if single or hit or self._wanted():
                return f"S{TRAP:02x}"

    def steps(self, most: int) -> tuple[bool, Exit]:
        """Takes steps up to a breakpoint: whether it is at one, and how the last step ended."""
        machine, pc = self._machine, self._isa.fetch.pc
        while True:
            ended, most = machine.run(1), most - 1
            hit = machine.read(pc) in self._breakpoints
            if hit or most == 0 or ended.reason is not Reason.BUDGET:
                return hit, ended

    def stopped(self, ended: Exit) -> str:
        """Why the machine stopped, as gdb is told."""
        match ended.reason:
            case Reason.STOPPED:
                return f"W{ended.code & 0xFF:02x}"
            case Reason.HALTED:
                return "W00"
            case Reason.BUDGET:
                return f"S{SPENT:02x}"
            case Reason.UNDEFINED:
                return f"S{ILLEGAL:02x}"
            case _:
                return f"S{FAULT:02x}"


def described(board: Board, registers: tuple[Register, ...]) -> str:
    """The target description (appendix G.2)."""
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE target SYSTEM "gdb-target.dtd">', '<target version="1.0">']
    if board.gdb is not None:
        lines.append(f"<architecture>{board.gdb.architecture}</architecture>")
    for feature in dict.fromkeys(register.feature for register in registers):
        lines.append(f"<feature name={quoteattr(feature)}>")
        for number, register in enumerate(registers):
            if register.feature == feature:
                size = register.octets * 8
                kind = ' type="code_ptr"' if register.name == "pc" and size in (32, 64) else ""
                lines.append(f'<reg name={quoteattr(register.name)} bitsize="{size}" regnum="{number}"{kind}/>')
        lines.append("</feature>")
    return "\n".join([*lines, "</target>", ""])


# -- the wire ----------------------------------------------------------------------------------------------------------


def framed(text: str) -> bytes:
    """A packet with its checksum.

    >>> framed("OK")
    b'$OK#9a'
    """
    data = text.encode("latin-1")
    return b"$" + data + f"#{sum(data) & 0xFF:02x}".encode()


class Wire:
    """One connection: packets in, packets out, acknowledgments."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self._last = b""

    def interrupted(self) -> bool:
        """Whether gdb asks the running machine to stop, or has gone."""
        if not select.select([self._connection], [], [], 0)[0]:
            return False
        data = self._connection.recv(PACKET)
        self._buffer += data.replace(INTERRUPT, b"")
        return not data or INTERRUPT in data

    def packets(self) -> Iterator[str]:
        """Packets until gdb goes."""
        while True:
            begin, end = self._buffer.find(b"$"), self._buffer.find(b"#")
            if begin < 0 and b"-" in self._buffer:  # it was garbled
                self._buffer = b""
                self._connection.sendall(self._last)
            if begin >= 0 and end > begin and len(self._buffer) >= end + 3:
                data, check = self._buffer[begin + 1 : end], self._buffer[end + 1 : end + 3]
                self._buffer = self._buffer[end + 3 :]
                good = check.lower() == f"{sum(data) & 0xFF:02x}".encode()
                self._connection.sendall(b"+" if good else b"-")
                if good:
                    yield data.decode("latin-1")
                continue
            if len(self._buffer) > 2 * PACKET:
                return
            try:
                data = self._connection.recv(PACKET)
            except ConnectionError:
                return
            if not data:
                return
            self._buffer += data

    def send(self, text: str) -> None:
        self._last = framed(text)
        self._connection.sendall(self._last)


def serve(stub: Stub, wire: Wire) -> None:
    """Answers until gdb is done."""
    try:
        for packet in wire.packets():
            answer = stub.reply(packet)
            if answer is not None:
                wire.send(answer)
            if stub.closed:
                return
    except ConnectionError:
        return


def debug(
    isa: ir.Isa, program: Path, options: Options, console: Console, port: int, told: Callable[[str], None]
) -> Outcome:
    """Waits for gdb on a port of this host (0: a free one), and runs the program as it says.  When gdb detaches, the
    program goes on; when gdb goes without that, or kills the program, that is its end.

    Raises:
        AssemblyError, OSError, UsageError: as `emulator.run.prepare`; the port is taken, or there is no such port.
    """
    if not 0 <= port < 1 << 16:
        raise UsageError(f"there is no port {port}", "ports are 1 to 65535; 0 takes a free one")
    system = prepare(isa, program, options, console)
    machine = system.machine
    began = time.process_time()
    wires: list[Wire] = []
    stub = Stub(machine, system.board, lambda: wires[0].interrupted(), options.budget)
    with socket.create_server(("127.0.0.1", port)) as server:
        told(f"waiting for gdb: target remote localhost:{server.getsockname()[1]}")
        connection, _ = server.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wires.append(Wire(connection))
        serve(stub, wires[0])
    ended = stub.ended
    left = None if options.budget is None else options.budget - machine.steps
    if ended is None and (stub.detached or left == 0):
        ended = follow(system, left).ended
    ended = ended or Exit(Reason.DEBUGGER, machine.steps)
    return outcome(machine, ended, time.process_time() - began)
