"""What boards and devices rely on, on every tier: whole accesses, wires, deadlines, clocks, stops, snapshots."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer import ir
from analyzer.errors import UsageError
from emulator.interface import Machine, Mmio, Ram, Reason
from emulator.machine import Tier, build
from emulator.machine.native import NativeMachine
from emulator.program import assemble
from tests.specs import spec

BASE = 0x80000000
TIERS: tuple[Tier, ...] = ("reference", "blocks", "interpreter", "copies", "regions", "background")


class Recorder:
    """A device that notes what it is asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, int]] = []
        self.on_write: Callable[[int], None] = lambda value: None

    def read(self, offset: int, bits: int) -> int:
        self.seen.append(("read", offset, bits, 0))
        return 0x1234

    def write(self, offset: int, bits: int, value: int) -> None:
        self.seen.append(("write", offset, bits, value))
        self.on_write(value)


@pytest.fixture(scope="module")
def rv64() -> ir.Isa:
    return spec("rv64")


def machine(isa: ir.Isa, tier: Tier, text: str, device: Recorder | None = None) -> Machine:
    """A machine with a program at the beginning of its RAM, and perhaps a device at 0x1000."""
    regions = [Ram("phys", BASE, 1 << 16)]
    if device is not None:
        made = build(isa, [*regions, Mmio("phys", 0x1000, 0x100, device)], tier=tier, hot=3)
    else:
        made = build(isa, regions, tier=tier, hot=3)
    for address, unit in assemble(isa, text, BASE).cells.items():
        made.write("phys", unit, address)
    made.write("pc", BASE)
    return made


@pytest.mark.parametrize("tier", TIERS)
def test_a_device_sees_whole_accesses(rv64: ir.Isa, tier: Tier) -> None:
    device = Recorder()
    m = machine(rv64, tier, "lui x1, 1\nlw x2, 4(x1)\nsd x2, 8(x1)\nsb x2, 3(x1)\n", device)
    assert m.run(4).reason is Reason.BUDGET
    assert device.seen == [("read", 4, 32, 0), ("write", 8, 64, 0x1234), ("write", 3, 8, 0x34)]
    assert (m.read("x", 2), m.steps, m.retired) == (0x1234, 4, 4)


@pytest.mark.parametrize("tier", TIERS)
def test_a_stop_comes_after_the_instruction(rv64: ir.Isa, tier: Tier) -> None:
    device = Recorder()
    m = machine(rv64, tier, "lui x1, 1\nsw x1, 0(x1)\naddi x3, x0, 1\n", device)
    device.on_write = lambda value: m.stop(7)
    ended = m.run(100)
    assert (ended.reason, ended.code, ended.steps) == (Reason.STOPPED, 7, 2)
    assert (m.read("pc"), m.read("x", 3)) == (BASE + 8, 0)


@pytest.mark.parametrize("tier", TIERS)
def test_an_interrupt_comes_right_after_the_access_that_raised_it(rv64: ir.Isa, tier: Tier) -> None:
    device = Recorder()
    m = machine(rv64, tier, "lui x1, 1\nsw x1, 0(x1)\naddi x3, x0, 1\n", device)
    device.on_write = lambda value: m.set_line("mip.MTIP", 1)
    m.write("mie.MTIE", 1)
    m.write("mstatus.MIE", 1)
    m.write("mtvec", BASE + 0x100)
    assert m.run(3).steps == 3
    assert (m.read("pc"), m.read("mepc"), m.read("mcause")) == (BASE + 0x100, BASE + 8, 1 << 63 | 7)
    assert (m.steps, m.retired, m.read("x", 3)) == (3, 2, 0)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("tier", TIERS)
def test_what_a_device_raises_leaves_nothing_of_the_instruction(
    rv64: ir.Isa, tier: Tier, failure: type[BaseException]
) -> None:
    device = Recorder()
    m = machine(rv64, tier, "lui x1, 1\nloop: addi x3, x3, 1\nsw x3, 0(x1)\njal x0, loop\n", device)
    m.run(120)

    def raises(value: int) -> None:
        device.on_write = lambda value: None
        raise failure

    device.on_write = raises
    with pytest.raises(failure):
        m.run(30)
    assert (m.read("pc"), m.steps, m.read("x", 3)) == (BASE + 8, 122, 41)
    assert m.run(28).reason is Reason.BUDGET
    assert (m.read("pc"), m.steps, m.retired, m.read("x", 3)) == (BASE + 12, 150, 150, 50)
    assert [value for _, _, _, value in device.seen] == [*range(1, 42), *range(41, 51)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("tier", TIERS[2:])
def test_an_interrupt_that_a_callback_cannot_catch(rv64: ir.Isa, tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    device, known, left = Recorder(), NativeMachine._device_write, iter([KeyboardInterrupt])

    def interrupted(self: NativeMachine, *told: int) -> int:
        for each in left:
            raise each
        return known(self, *told)

    monkeypatch.setattr(NativeMachine, "_device_write", interrupted)
    m = machine(rv64, tier, "lui x1, 1\nloop: addi x3, x3, 1\nsw x3, 0(x1)\njal x0, loop\n", device)
    with pytest.raises(KeyboardInterrupt):
        m.run(30)
    assert (m.read("pc"), m.steps, m.read("x", 3)) == (BASE + 8, 2, 1)
    assert m.run(28).reason is Reason.BUDGET
    assert (m.read("pc"), m.steps, m.read("x", 3)) == (BASE + 12, 30, 10)


LOOP = "loop:\naddi x5, x5, 1\nblt x0, x5, loop\n"


@pytest.mark.parametrize("tier", TIERS)
def test_deadlines_are_exact(rv64: ir.Isa, tier: Tier) -> None:
    m = machine(rv64, tier, LOOP)
    seen: list[tuple[int, int]] = []
    for due in (1, 40, 41, 200):
        m.at(due, lambda: seen.append((m.steps, m.read("x", 5))))
    m.cancel(m.at(60, lambda: seen.append((0, 0))))
    assert m.run(300).steps == 300
    assert seen == [(1, 1), (40, 20), (41, 21), (200, 100)]


@pytest.mark.parametrize("tier", TIERS)
def test_waiting_lasts_until_the_deadline(rv64: ir.Isa, tier: Tier) -> None:
    m = machine(rv64, tier, "wfi\naddi x3, x0, 1\n")
    m.write("mie.MTIE", 1)
    m.write("mstatus.MIE", 1)
    m.write("mtvec", BASE + 0x100)
    assert m.run(10).reason is Reason.HALTED
    m.at(50, lambda: m.set_line("mip.MTIP", 1))
    m.run(50)
    assert (m.steps, m.retired, m.read("mepc")) == (51, 1, BASE + 4)


@pytest.mark.parametrize("tier", TIERS)
def test_clocks_count(rv64: ir.Isa, tier: Tier) -> None:
    m = machine(rv64, tier, "addi x1, x0, 1\ncsrrs x2, minstret, x0\necall\n")
    m.clock("minstret", "retired")
    m.clock("mcycle", "steps", 2)
    m.write("mtvec", BASE + 0x100)
    m.run(3)
    assert (m.read("x", 2), m.read("minstret"), m.read("mcycle")) == (1, 2, 1)


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_is_left_of_an_access_to_nowhere(rv64: ir.Isa, tier: Tier) -> None:
    m = machine(rv64, tier, "lui x1, 5\nlw x2, 4(x1)\n")
    ended = m.run(9)
    assert (ended.reason, ended.memory, ended.address, ended.steps) == (Reason.ABSENT, "phys", 0x5004, 1)
    assert m.read("pc") == BASE + 4


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_is_left_of_a_trap_that_is_delivered_to_nowhere(tier: Tier) -> None:
    """INT resumes behind itself, but its gate is read where no memory is: the machine still stands before it."""
    isa = spec("ia32")
    m = build(isa, [Ram("phys", 0, 1 << 14)], tier=tier)
    for address, unit in assemble(isa, "nop\nint 3\n", 0x100).cells.items():
        m.write("phys", unit, address)
    for place, value in (("idtr.base", 0x100000), ("idtr.limit", 0x7FF), ("eip", 0x100)):
        m.write(place, value)
    ended = m.run(9)
    assert (ended.reason, ended.steps, ended.address) == (Reason.ABSENT, 1, 0x100000 + 8 * 3)
    assert m.read("eip") == 0x101


@pytest.mark.parametrize("tier", TIERS)
def test_a_stack_that_ends_leaves_the_machine_before_the_trap(tier: Tier) -> None:
    """TRAPV resumes behind itself as well; its delivery is generated code, which has moved the program counter."""
    m = build(spec("m68010"), [Ram("bus", 0, 1 << 14)], tier=tier)
    for address, unit in assemble(spec("m68010"), "nop\ntrapv\n", 0x100).cells.items():
        m.write("bus", unit, address)
    for place, value in (("pc", 0x100), ("sp", 4), ("sr.S", 1), ("sr.V", 1)):
        m.write(place, value)
    ended = m.run(9)
    assert (ended.reason, ended.steps, m.read("pc"), m.read("sp")) == (Reason.ABSENT, 1, 0x102, 4)


@pytest.mark.parametrize("tier", TIERS)
def test_a_snapshot_is_all_that_changes(rv64: ir.Isa, tier: Tier) -> None:
    m = machine(rv64, tier, LOOP)
    m.clock("minstret", "retired")
    m.run(101)
    snapshot, state = m.snapshot(), m.to_state()
    assert m.read("minstret") == 101
    first = (m.run(77), m.to_state())
    m.restore(snapshot)
    assert (m.to_state(), m.steps) == (state, 101)
    assert (m.run(77), m.to_state()) == first


@pytest.mark.parametrize("tier", TIERS)
def test_code_that_changes_itself(rv64: ir.Isa, tier: Tier) -> None:
    """The loop's addi becomes one of 2 after some rounds, from outside and by its own store."""
    m = machine(rv64, tier, LOOP)
    m.run(60)
    assert m.read("x", 5) == 30
    m.write("phys", 0x00228293, BASE, 32)  # addi x5, x5, 2
    m.run(20)
    assert m.read("x", 5) == 50
    own = machine(rv64, tier, "loop:\naddi x5, x5, 1\nblt x5, x6, loop\nsw x7, 0(x8)\naddi x6, x6, 8\njal x0, loop\n")
    for index, value in ((6, 20), (7, 0x00228293), (8, BASE)):
        own.write("x", value, index)
    own.run(20 * 2 + 3 + 4 * 2)
    assert own.read("x", 5) == 28


@pytest.mark.parametrize("tier", TIERS)
def test_the_frame_of_a_trap_may_fall_on_code(tier: Tier) -> None:
    """The handler is hot when its stack comes to lie so that the next frame is its code: SR is MOVE.L D0,D0, and the
    return address ORI.B #4,D0."""
    m = build(spec("m68000"), [Ram("bus", 0, 1 << 16)], tier=tier, hot=3)
    for address, unit in assemble(spec("m68000"), "addq.l #1, d0\ntrap #0\n", 0x500).cells.items():
        m.write("bus", unit, address)
    for place, index, value in (("sr", None, 0x2000), ("sp", None, 0x3000), ("pc", None, 0x500), ("bus", 0x82, 5)):
        m.write(place, value, index)
    m.run(2 * 23)
    assert (m.read("d", 0), m.read("sp")) == (23, 0x3000 - 23 * 6)
    m.write("sp", 0x506)
    m.run(2)
    assert (m.read("pc"), m.read("sp"), m.read("bus", 0x500, 16)) == (0x500, 0x500, 0x2000)
    m.run(2)
    assert (m.read("pc"), m.read("d", 0)) == (0x506, 24 | 4)


@pytest.mark.parametrize("tier", TIERS)
def test_mistakes_are_told(rv64: ir.Isa, tier: Tier) -> None:
    m = machine(rv64, tier, LOOP)
    with pytest.raises(UsageError):
        m.set_line("nothing", 1)
    with pytest.raises(UsageError):
        m.set_line("mip.MTIP", 2)
    with pytest.raises(UsageError):
        m.write("phys", 0, 3)
    with pytest.raises(UsageError):
        m.bind("nothing", lambda: 0)
    with pytest.raises(ValueError, match="negative"):
        m.run(-1)
    with pytest.raises(UsageError):
        build(rv64, [Ram("phys", 0, 16), Ram("phys", 8, 16)], tier=tier)


@pytest.mark.parametrize("tier", TIERS)
def test_an_unspecified_function_is_bound(tier: Tier) -> None:
    isa = spec("s370")
    m = build(isa, [Ram("core", 0, 1 << 16)], tier=tier)
    for address, unit in assemble(isa, "tb r1, r2\n", 0x100).cells.items():
        m.write("core", unit, address)
    m.write("psw.IA", 0x100)
    m.write("psw.EC", 1)
    asked: list[int] = []

    def usable(address: int) -> int:
        asked.append(address)
        return 1

    m.bind("usable", usable)
    m.write("r", 0x3000, 2)
    m.run(1)
    assert asked == [0x3000]
