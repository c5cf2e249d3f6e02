"""The stub for gdb: packet by packet, and with gdb itself."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from analyzer.errors import UsageError
from emulator.devices.console import Console
from emulator.gdb import PACKET, Stub, Wire, debug, framed, serve
from emulator.interface import Reason
from emulator.run import Options, Outcome, prepare
from emulator.system import System

GDB = "gdb-multiarch"
ASM = Path(__file__).parents[2] / "benchmarks/guests/asm"

PROGRAM = """
_start: addi x1, x0, 5
        addi x2, x1, 6
loop:   addi x3, x3, 1
        jal x0, loop
"""
BASE = 0x80000000


@pytest.fixture(scope="module")
def isa() -> ir.Isa:
    return spec("rv64")


def made(isa: ir.Isa, folder: Path, text: str = PROGRAM) -> System:
    path = folder / "p.s"
    path.write_text(text, encoding="utf-8")
    return prepare(isa, path, Options(tier="reference"), Console())


@pytest.fixture
def stub(isa: ir.Isa, tmp_path: Path) -> Stub:
    system = made(isa, tmp_path)
    return Stub(system.machine, system.board, lambda: True)


def word(value: int) -> str:
    return value.to_bytes(8, "little").hex()


def test_registers(stub: Stub) -> None:
    assert stub.reply("p20") == word(BASE)
    assert stub.reply("s") == "S05"
    assert stub.reply("p1") == word(5)
    values = stub.reply("g")
    assert values is not None
    assert values[16:32] == word(5)
    assert values[16 * 32 : 16 * 33] == word(BASE + 4)
    assert stub.reply("P1=" + word(1 << 40)) == "OK"
    assert stub.reply("p1") == word(1 << 40)
    assert stub.reply("G" + values) == "OK"
    assert stub.reply("p1") == word(5)
    assert stub.reply("P0=" + word(7)) == "OK"
    assert stub.reply("p0") == word(0)


def test_memory(stub: Stub) -> None:
    assert stub.reply("m80000000,4") == "93005000"
    assert stub.reply("M80000100,3:0a0b0c") == "OK"
    assert stub.reply("m800000ff,5") == "000a0b0c00"
    assert stub.reply("mffffffffffffffff,1") == "E14"
    assert stub.reply("Mffffffffffffffff,1:00") == "E14"


def test_looking_at_a_device_has_no_effect(isa: ir.Isa, tmp_path: Path) -> None:
    system = made(isa, tmp_path)
    system.console.feed(b"a")
    stub = Stub(system.machine, system.board, lambda: True)
    assert stub.reply("m10000000,1") == "00"
    assert stub.reply("M10000000,1:41") == "E14"
    assert system.console.ready
    assert system.console.transcript == b""


def test_memory_goes_through_the_map(isa: ir.Isa, tmp_path: Path) -> None:
    """A 1 GiB page maps 0 to RAM, and grants no writing."""
    system = made(isa, tmp_path, ".bits 32, 0x11223344")
    machine = system.machine
    machine.write("phys", 0x20000043, 0x80001000, 64)
    machine.write("atp", 8 << 60 | 0x80001)
    machine.write("priv", 1)
    stub = Stub(machine, system.board, lambda: True)
    assert stub.reply("m0,4") == "44332211"
    assert stub.reply("m40000000,4") == "E14"
    assert stub.reply("M0,1:00") == "E14"


def test_breakpoints(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.gdb.SLICE", 100)
    assert stub.reply("qSupported:swbreak+") == f"PacketSize={PACKET:x};qXfer:features:read+;swbreak+;hwbreak+"
    assert stub.reply("Z0,80000008,4") == "OK"
    assert stub.reply("c") == "T05swbreak:;"
    assert stub.reply("p20") == word(BASE + 8)
    assert stub.reply("c") == "T05swbreak:;"
    assert stub.reply("p3") == word(1)
    assert stub.reply("z0,80000008,4") == "OK"
    assert stub.reply("c") == "S05"  # gdb asked for it
    assert stub.reply("Z2,0,4") == ""


def test_the_budget_ends_a_run(isa: ir.Isa, tmp_path: Path) -> None:
    system = made(isa, tmp_path)
    stub = Stub(system.machine, system.board, lambda: False, budget=1000)
    stub.reply("Z0,0,4")
    assert stub.reply("c") == "S18"
    assert stub.reply("?") == "S18"


def test_going_on_elsewhere(stub: Stub) -> None:
    assert stub.reply("s80000004") == "S05"
    assert stub.reply("p2") == word(6)


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        ("?", "S05"),
        ("Hg0", "OK"),
        ("qC", "QC1"),
        ("qfThreadInfo", "m1"),
        ("qsThreadInfo", "l"),
        ("qAttached", "1"),
        ("vMustReplyEmpty", ""),
        ("qXfer:features:read:other.xml:0,10", "E00"),
        ("p999", "E01"),
        ("pzz", "E01"),
        ("m1", "E01"),
        ("m1,2,3", "E01"),
        ("M0,1:zz", "E01"),
        ("M80000000,2:00", "E01"),
        ("M80000000:00", "E01"),
        ("P1=00", "E01"),
        ("Pzz", "E01"),
        ("G00", "E01"),
        ("Z0", "E01"),
        ("qXfer:x", "E01"),
        ("", ""),
    ],
)
def test_answers(stub: Stub, packet: str, answer: str) -> None:
    assert stub.reply(packet) == answer


def test_the_description_is_xml_in_pieces(stub: Stub) -> None:
    text, at = "", 0
    while True:
        piece = stub.reply(f"qXfer:features:read:target.xml:{at:x},64")
        assert piece is not None
        text += piece[1:]
        at += 0x64
        if piece[0] == "l":
            break
    tree = ElementTree.fromstring(text)
    assert tree.findtext("architecture") == "riscv:rv64"
    names = [r.get("name") for r in tree.iter("reg")]
    assert names[:3] == ["x0", "x1", "x2"]
    assert [int(r.get("regnum", "")) for r in tree.iter("reg")] == list(range(len(names)))


def test_a_machine_whose_board_says_nothing_to_gdb() -> None:
    system = prepare(spec("pg1974"), ASM / "pg1974.s", Options(tier="reference"), Console())
    stub = Stub(system.machine, system.board, lambda: True)
    values = stub.reply("g")
    assert values is not None
    assert len(values) == 2 * (8 * 8 + 3)  # eight registers of 64 bits, and P of 21
    assert stub.reply("m10,8") == system.machine.read("E", 0x10).to_bytes(8, "little").hex()
    assert stub.reply("s") == "S05"


def connected() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def test_the_wire_acknowledges_and_asks_again(stub: Stub) -> None:
    ours, theirs = connected()
    with ours, theirs:
        thread = threading.Thread(target=serve, args=(stub, Wire(ours)))
        thread.start()
        theirs.settimeout(10)
        theirs.sendall(b"+$qC#00")
        assert theirs.recv(1) == b"-"
        theirs.sendall(framed("qC"))
        answer = b""
        while len(answer) < 1 + len(framed("QC1")):
            answer += theirs.recv(100)
        assert answer == b"+" + framed("QC1")
        theirs.sendall(b"-")
        assert theirs.recv(100) == framed("QC1")
        theirs.sendall(framed("k"))
        thread.join(10)
        assert not thread.is_alive()


class Target:
    """A program that waits for a debugger."""

    def __init__(self, name: str, budget: int = 100_000):
        self.outcomes: list[Outcome] = []
        self.console = Console()
        self._told: list[str] = []
        self._listening = threading.Event()
        program, options = ASM / f"{name}.s", Options(tier="reference", budget=budget)

        def tell(line: str) -> None:
            self._told.append(line)
            self._listening.set()

        def wait() -> None:
            self.outcomes.append(debug(spec(name), program, options, self.console, 0, tell))

        self._thread = threading.Thread(target=wait)
        self._thread.start()

    @property
    def port(self) -> int:
        assert self._listening.wait(20)
        return int(re.findall(r"\d+$", self._told[0])[0])

    def outcome(self) -> Outcome:
        self._thread.join(20)
        return self.outcomes[0]


@pytest.mark.parametrize(
    ("packets", "reason", "written"),
    [
        (["s", "D"], Reason.STOPPED, b"Hello from rv64\n"),
        (["s", "k"], Reason.DEBUGGER, b""),
        (["s"], Reason.DEBUGGER, b""),
        ([], Reason.DEBUGGER, b""),
    ],
)
def test_after_gdb_is_gone(packets: list[str], reason: Reason, written: bytes) -> None:
    """What is detached goes on, and nothing else does."""
    target = Target("rv64")
    with socket.create_connection(("localhost", target.port), 10) as wire:
        for packet in packets:
            wire.sendall(framed(packet))
            if packet != "k":
                while not re.search(rb"#..$", wire.recv(100)):
                    pass
    ended = target.outcome().ended
    assert (ended.reason, bytes(target.console.transcript)) == (reason, written)


def test_the_budget_is_for_all_of_a_run() -> None:
    target = Target("rv64", budget=10)
    with socket.create_connection(("localhost", target.port), 10) as wire:
        for packet in ("s", "s", "s", "D"):
            wire.sendall(framed(packet))
            while not re.search(rb"#..$", wire.recv(100)):
                pass
    outcome = target.outcome()
    assert (outcome.ended.reason, outcome.steps) == (Reason.BUDGET, 10)


@pytest.mark.parametrize("port", [-1, 1 << 16])
def test_there_is_no_such_port(port: int) -> None:
    with pytest.raises(UsageError, match="no port"):
        debug(spec("rv64"), ASM / "rv64.s", Options(), Console(), port, print)


def session(name: str, *commands: str) -> tuple[str, Outcome, bytes]:
    """What gdb prints, how the run ended, and what the program printed."""
    if shutil.which(GDB) is None:
        if "CI_ORACLES" in os.environ:
            pytest.fail(f"{GDB} is not installed")
        pytest.skip(f"{GDB} is not installed")
    target = Target(name)
    script = ["set pagination off", "set confirm off", *commands]
    connect = script.index("connect")
    script[connect] = f"target remote localhost:{target.port}"
    arguments = [part for command in script for part in ("-ex", command)]
    done = subprocess.run([GDB, "-batch", "-nx", *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr, target.outcome(), bytes(target.console.transcript)


def test_gdb_itself() -> None:
    text, outcome, written = session(
        "rv64",
        "connect",
        "info registers pc",
        "break *0x80000014",
        "continue",
        "print/x $t0",
        "x/i $pc",
        "stepi",
        "print/x $t2",
        "print $priv",
        "set var $t2 = 0x4a",
        "delete",
        "continue",
    )
    assert "pc             0x80000000" in text
    assert "$1 = 0x10000000" in text
    assert re.search(r"=> 0x80000014:\s+sb\s+t2,0\(t0\)", text)
    assert "$2 = 0x48" in text
    assert "exited normally" in text
    assert (written, outcome.code) == (b"Hello from rv64\n", 0)


def test_gdb_on_a_machine_of_the_other_byte_order() -> None:
    text, outcome, written = session(
        "m68000",
        "set architecture m68k",
        "set endian big",
        "connect",
        "stepi",
        "x/s $a0",
        "info registers pc ps",
        "continue",
    )
    assert '"Hello from m68000\\n"' in text
    assert "pc             0x406" in text
    assert "exited with code 07" in text
    assert (written, outcome.code) == (b"Hello from m68000\n...\n", 7)
