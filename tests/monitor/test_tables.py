"""Guests that edit their page tables in every way: shadows are what the tables say, bare, monitored and nested.

A guest is a sequence of random acts: it writes an entry of a page table, by its own address or through a page that is
the table; reads and writes through entries; changes `satp`, `SUM` and `MXR`; fences, or does not.  Faults are counted,
and stepped over.  One machine faults where A or D is missing (Svade), the other sets them itself (Svadu).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pytest
from monitored import monitor_of, plan_of, spec

from analyzer import ir, load
from analyzer.allocation import allocate
from analyzer.errors import Breach
from emulator.board import board_of
from emulator.devices.console import Console
from emulator.image import load_image
from emulator.interface import Machine
from emulator.monitor import Monitor, VirtualMachine
from emulator.monitor.compiled import CompiledHost
from emulator.monitor.direct import DirectRun, Miss
from emulator.monitor.monitor import Exits
from emulator.monitor.shadow import ShadowMap
from emulator.monitor.table import ShadowTable
from emulator.monitor.walk import Walk
from emulator.system import assemble_system

SPEC = Path(__file__).parents[2] / "isa_specs/rv64.isa"
SVADE = "      trap page_fault(kind, va) if not pte.A or (kind == 2 and not pte.D)\n"
SVADU = """      if not pte.A or (kind == 2 and not pte.D) {  // Svadu: the machine sets them
        table phys[at, 64] = pte or 0x40 or (if kind == 2 then 0x80 else 0)
      }
"""

ACTS = 150
STEPS = 4_000
RAM = 0x40000
ROOTS = (0x80010000, 0x80011000)
LEAVES = (0x80014000, 0x80015000)
FRAMES = (0x80020000, 0x80021000, 0x80022000, *LEAVES)
"""What pages lead to: memory, and the tables themselves."""

HEAD = """
        .macro li rd, value
        lui \\rd, (\\value + 0x800)[31:12]
        addi \\rd, \\rd, sext(\\value, 12)
        .endm
_start: auipc x5, 0
        addi x5, x5, handler - _start
        csrrw x0, mtvec, x5
        csrrw x0, stvec, x5
        li x5, 0xB1FF
        csrrw x0, medeleg, x5
        addi x5, x0, 0x222
        csrrw x0, mideleg, x5
        addi x5, x0, 1
        slli x5, x5, 31
        addi x21, x5, 0                 ; RAM
        addi x6, x0, 1
        slli x6, x6, 60
        slli x6, x6, 3                  ; satp.MODE = 8
        srli x7, x5, 12
        or x20, x6, x7
        addi x5, x0, 1
        slli x5, x5, 11
        csrrs x0, mstatus, x5             ; MPP = S
        auipc x5, 0
        addi x5, x5, main - .+ 4
        csrrw x0, mepc, x5
        mret
        .align 4
handler: csrrs x28, scause, x0           ; scause, stval and sepc are told of
        slli x29, x27, 1
        xor x27, x29, x28
        csrrs x28, stval, x0
        xor x27, x27, x28
        csrrs x28, sepc, x0
        addi x28, x28, 4
        csrrw x0, sepc, x28
        sret
        .align 4
main:
"""


@cache
def svadu() -> ir.Isa:
    text = SPEC.read_text()
    assert SVADE in text
    path = Path(__file__).with_name(".svadu.isa")
    path.write_text(text.replace(SVADE, SVADU))
    try:
        return load(path)
    finally:
        path.unlink()


Change = Callable[[Monitor], None]

MACHINES: dict[str, Callable[[], ir.Isa]] = {"svade": lambda: spec("rv64"), "svadu": svadu}


def program(random: Random) -> str:
    """The acts.  x20 is `satp` without a root, x21 the beginning of RAM, x27 what was seen."""
    lines = [HEAD, *satp(0)]
    for _ in range(ACTS):
        lines += random.choices(
            [entry(random), through(random), access(random), fence(random), satp(random.randrange(2)), right(random)],
            [6, 1, 10, 2, 1, 1],
        )[0]
    return "\n".join([*lines, "        jal x0, .", ""])


def pte(random: Random) -> int:
    """An entry: most of them lead somewhere, with or without each right and mark."""
    flags = 0xDF & ~(random.choice((0, 0, 0, 0x40, 0x80, 0xC0, 4, 8, 1, 0x10)))
    return (random.choice(FRAMES) - 0x80000000) >> 12 << 10 | flags


def entry(random: Random) -> list[str]:
    """Writes one of the first entries of a leaf table.  The high bits of the frame come from RAM's."""
    at = random.choice(LEAVES) + 8 * random.randrange(4) - 0x80000000
    value = [f"li x5, {pte(random)}", "srli x6, x21, 2", "or x5, x5, x6"]
    return [*value, f"li x7, {at}", "add x7, x7, x21", "sd x5, 0(x7)"]


def through(random: Random) -> list[str]:
    """Clears rights by a store of a byte through a page, which may lead to a table."""
    return [f"li x7, {address(random)}", f"addi x5, x0, {random.choice((0xD7, 0x5F, 0))}", "sb x5, 0(x7)"]


def address(random: Random) -> int:
    return 0x1000 * random.randrange(4) + 8 * random.randrange(4)


def access(random: Random) -> list[str]:
    """Reads or writes through an entry."""
    if random.random() < 0.5:
        return [f"li x7, {address(random)}", "lw x5, 0(x7)", "xor x27, x27, x5"]
    return [f"li x7, {address(random)}", f"addi x5, x0, {random.randrange(64)}", f"s{random.choice('bhwd')} x5, 0(x7)"]


def fence(random: Random) -> list[str]:
    return [random.choice(("sfence.vma x0, x0", "sfence.vma x7, x0"))]


def satp(root: int) -> list[str]:
    return [f"li x5, {ROOTS[root] - 0x80000000 >> 12}", "or x5, x5, x20", "csrrw x0, satp, x5"]


def right(random: Random) -> list[str]:
    bit = random.choice((1 << 18, 1 << 19))  # SUM, MXR
    return [f"li x5, {bit}", f"csrr{random.choice('sc')} x0, sstatus, x5"]


def made(isa: ir.Isa, path: Path, monitor: Monitor | None) -> Machine:
    """The machine with the program, and tables that lead by themselves to RAM, and by a leaf table to four pages."""
    board = board_of(isa, "virt")
    image = load_image(isa, path, board.load, None)
    make = None if monitor is None else monitor.make
    machine = assemble_system(isa, board, [image], Console(), ram=RAM, tier="reference", make=make).machine
    for root, leaf in zip(ROOTS, LEAVES, strict=True):
        middle = root + 0x2000
        machine.write("phys", middle >> 12 << 10 | 1, root, 64)
        machine.write("phys", 0x80000000 >> 12 << 10 | 0xCF, root + 16, 64)
        machine.write("phys", leaf >> 12 << 10 | 1, middle, 64)
    return machine


def compiled(isa: ir.Isa, scheme: str, depth: int, exits: Exits = "compiled") -> Monitor:
    plan = plan_of(isa, "plain", scheme)
    return Monitor(plan, allocate, depth=depth, tier="interpreter", exits=exits, check=False)


def alike(isa: ir.Isa, seed: int, monitor: Monitor, folder: Path, change: Change | None = None) -> bool:
    """Does a guest come to the same as on the bare machine?"""
    path = folder / f"{seed}.s"
    path.write_text(program(Random(seed)))
    bare, virtual = made(isa, path, None), made(isa, path, monitor)
    if change is not None:
        change(monitor)
    return virtual.run(STEPS) == bare.run(STEPS) and virtual.to_state() == bare.to_state()


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("scheme", "depth"), [("s_to_u", 1), ("m_to_u", 1), ("s_to_u", 2)])
def test_tables_are_the_guests(machine: str, scheme: str, depth: int, tmp_path: Path) -> None:
    isa, gone, refused = MACHINES[machine](), 0, 0
    for seed in range(2):
        monitor = compiled(isa, scheme, depth)
        assert alike(isa, seed, monitor, tmp_path), seed
        (innermost,) = monitor.machines
        assert innermost.shadow is not None
        gone, refused = gone + innermost.shadow.invalidated, refused + innermost.shadow.refused
    assert gone > 10
    assert refused > 10
    assert alike(isa, 7, monitor_of(isa, scheme=scheme), tmp_path)


FAULTS = """        li x7, 0x3000
1:      lw x5, 0(x7)
        addi x9, x9, 1
        jal x0, 1b
"""


@pytest.mark.parametrize("depth", [1, 2])
def test_faults_of_the_guests_own_map_do_not_come_back(
    depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's code asks the guest's map, and reflects what it says."""
    isa, runs = spec("rv64"), []
    whole = CompiledHost._direct
    monkeypatch.setattr(CompiledHost, "_direct", lambda *args: (runs.append(whole(*args)), runs[-1])[1])
    path = tmp_path / "faults.s"
    path.write_text("\n".join([HEAD, *satp(0), FAULTS]))
    monitor = compiled(isa, "m_to_u", depth)
    bare, virtual = made(isa, path, None), made(isa, path, monitor)
    assert virtual.run(STEPS) == bare.run(STEPS)
    assert virtual.to_state() == bare.to_state()
    assert bare.read("x", 9) > 300
    assert len(runs) < 30
    seen = monitor_of(isa, scheme="m_to_u")
    made(isa, path, seen).run(STEPS)
    assert depth > 1 or monitor.levels[0].counters.as_data() == seen.levels[0].counters.as_data()


OWN = f"""
        li x7, {LEAVES[0] - 0x80000000 + 8}
        add x7, x7, x21
        li x5, {(LEAVES[0] - 0x80000000 >> 12 << 10) + 0xCF}
        srli x6, x21, 2
        or x5, x5, x6
        sd x5, 0(x7)                    ; the second page is the table that leads to it
        addi x9, x0, 24
        li x7, 0x1010
        sd x9, 0(x7)                    ; not its own entry
        sd x0, -8(x7)                   ; its own
        sd x9, 8(x7)                    ; no more
        jal x0, .
"""


@pytest.mark.parametrize("machine", MACHINES)
def test_a_page_that_is_its_own_table(machine: str, tmp_path: Path) -> None:
    """No entry is made through which its own table can be written (SHADOW-TRACED)."""
    isa = MACHINES[machine]()
    path = tmp_path / "own.s"
    path.write_text("\n".join([HEAD, *satp(0), OWN]))
    machines = made(isa, path, None), made(isa, path, compiled(isa, "m_to_u", 1))
    for each in machines:
        each.run(200)
    assert [m.read("phys", LEAVES[0] + 8 * i, 64) for m in machines for i in (1, 2, 3)] == [0, 24, 0] * 2
    assert machines[0].to_state() == machines[1].to_state()


def marked(isa: ir.Isa, path: Path) -> tuple[int, int]:
    """How many faults the guest takes, and how many marks are in its tables at the end."""
    machine = made(isa, path, None)
    machine.run(STEPS)
    entries = [machine.read("phys", leaf + 8 * i, 64) for leaf in LEAVES for i in range(4)]
    return machine.read("x", 27), sum((each >> 6 & 1) + (each >> 7 & 1) for each in entries)


def test_the_machines_differ_in_marks(tmp_path: Path) -> None:
    path = tmp_path / "0.s"
    path.write_text(program(Random(0)))
    assert marked(spec("rv64"), path) != marked(svadu(), path)


def of(monitor: Monitor) -> tuple[ShadowMap, ShadowTable]:
    (machine,) = monitor.machines
    assert isinstance(machine, VirtualMachine)
    assert machine.shadow is not None
    assert isinstance(machine.host, CompiledHost)
    assert machine.host.table is not None
    return machine.shadow, machine.host.table


def untraced(monitor: Monitor) -> None:
    """Stores to tables are not noticed."""
    of(monitor)[0]._traced = lambda memory, address, units, tables: False  # type: ignore[method-assign]


def undropped(monitor: Monitor) -> None:
    """What came from an entry stays when it is written."""
    of(monitor)[0].wrote = lambda memory, address, units: None  # type: ignore[method-assign]


def unmirrored(monitor: Monitor) -> None:
    """It goes, but not from the table of the host."""
    of(monitor)[1].dropped = lambda at: None  # type: ignore[method-assign]


def unquiet(monitor: Monitor) -> None:
    """An entry is made though the map has still to mark its table (SHADOW-QUIET)."""
    shadow = of(monitor)[0]

    class Journal(list[object]):
        """What a run has written: nothing, for who asks."""

        def __bool__(self) -> bool:
            return False

    whole = shadow.fill

    def fill(run: DirectRun, miss: Miss) -> bool:
        run.journal = Journal()  # type: ignore[assignment]
        return whole(run, miss)

    shadow.fill = fill  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("machine", "exits", "change"),
    [
        ("svade", "compiled", untraced),
        ("svade", "compiled", undropped),
        ("svade", "compiled", unmirrored),
        ("svadu", "seen", unquiet),  # the host's code asks the map, and leaves accesses that mark it
    ],
)
def test_a_shadow_that_is_not_the_tables_is_found_out(
    machine: str, exits: Exits, change: Change, tmp_path: Path
) -> None:
    isa, found = MACHINES[machine](), False
    for seed in range(4):
        assert exits == "compiled" or alike(isa, seed, compiled(isa, "m_to_u", 1, exits), tmp_path)
        try:
            found = found or not alike(isa, seed, compiled(isa, "m_to_u", 1, exits), tmp_path, change)
        except Breach:
            found = True
    assert found


def elsewhere(patch: pytest.MonkeyPatch) -> None:
    """To ask a map reads the host's own memory for that of the virtual machine."""
    patch.setattr(Walk, "_places", lambda self, memory, units: [replace(self.placements[0], base=0x80000000 - 0x1000)])


def unprivileged(patch: pytest.MonkeyPatch) -> None:
    """To ask a map asks with the real permissions."""
    whole = Walk.expr

    def expr(self: Walk, e: ir.Expr, locals_: Mapping[str, ir.Expr] | None = None) -> ir.Expr:
        return e if isinstance(e, ir.Get) and e.element == "mstatus.SUM" else whole(self, e, locals_)

    patch.setattr(Walk, "expr", expr)


@pytest.mark.parametrize("change", [elsewhere, unprivileged])
def test_a_walk_that_is_not_the_tables_is_found_out(
    change: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isa = spec("rv64")
    change(monkeypatch)
    assert not all(alike(isa, seed, compiled(isa, "m_to_u", 1), tmp_path) for seed in range(4))
