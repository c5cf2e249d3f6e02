"""Translations are cached only where a page is uniform, and dropped when what they depend on changes."""

from __future__ import annotations

import pytest

from emulator.interface import Ram
from emulator.machine.engine import Engine
from emulator.machine.native import NativeMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

BASE = 0x80000000
TABLE = BASE + 0x8000
LEAF, POINTER = 0xCF, 0x1


def paged(engine: Engine, hot: int) -> NativeMachine:
    """Supervisor mode on 4K pages: virtual 0x1000 is code, 0x2000 data at 0x80002000, 0x3000 the page table itself."""
    m = NativeMachine(spec("rv64"), [Ram("phys", BASE, 1 << 16)], None, engine, Tuning(hot))
    for level, table in ((1, TABLE + 0x1000), (0, TABLE + 0x2000)):
        m.write("phys", table >> 2 | POINTER, TABLE + 0x1000 * (1 - level), 64)
    for page, physical in ((1, BASE + 0x1000), (2, BASE + 0x2000), (3, TABLE + 0x2000)):
        m.write("phys", physical >> 2 | LEAF, TABLE + 0x2000 + 8 * page, 64)
    m.write("atp", 8 << 60 | TABLE >> 12)
    m.write("priv", 1)
    m.write("mtvec", BASE + 0x4000)
    m.write("pc", 0x1000)
    return m


def program(m: NativeMachine, text: str) -> None:
    for address, unit in assemble(m.isa, text, 0x1000).cells.items():
        m.write("phys", unit, BASE + address)


@pytest.mark.parametrize("hot", [0, 2], ids=["interpreter", "regions"])
def test_a_store_to_a_table_is_seen_at_once(hot: int, engine: Engine) -> None:
    """The program reads a page, makes another one stand there by writing the table, and reads again; many times."""
    m = paged(engine, hot)
    m.write("phys", 0x11, BASE + 0x2000, 64)
    m.write("phys", 0x22, BASE + 0x5000, 64)
    for index, value in ((1, 0x2000), (2, 0x3010), (3, (BASE + 0x5000) >> 2 | LEAF), (4, (BASE + 0x2000) >> 2 | LEAF)):
        m.write("x", value, index)
    program(m, "again:\nld x5, 0(x1)\nsd x3, 0(x2)\nld x6, 0(x1)\nsd x4, 0(x2)\nadd x7, x7, x6\njal x0, again\n")
    m.run(6 * 50)
    assert (m.read("x", 5), m.read("x", 6), m.read("x", 7)) == (0x11, 0x22, 50 * 0x22)


@pytest.mark.parametrize("hot", [0, 2], ids=["interpreter", "regions"])
def test_a_right_that_is_taken_away_is_gone(hot: int, engine: Engine) -> None:
    m = paged(engine, hot)
    m.write("x", 0x2000, 1)
    program(m, "again:\nsd x1, 8(x1)\njal x0, again\n")
    m.run(100)
    m.write("phys", (BASE + 0x2000) >> 2 | LEAF & ~4, TABLE + 0x2010, 64)
    m.run(1)
    assert (m.read("mcause"), m.read("mtval"), m.read("pc")) == (15, 0x2008, BASE + 0x4000)


def test_a_page_that_can_be_executed_cannot_be_read(engine: Engine) -> None:
    """Fetching translates like reading, and leaves nothing that a load could use."""
    m = paged(engine, 0)
    m.write("phys", (BASE + 0x1000) >> 2 | LEAF & ~6, TABLE + 0x2008, 64)
    m.write("x", 0x1000, 1)
    program(m, "ld x5, 8(x1)\n")
    m.run(1)
    assert (m.read("mcause"), m.read("mtval"), m.read("pc")) == (13, 0x1008, BASE + 0x4000)


def test_a_bound_inside_a_page_is_exact(engine: Engine) -> None:
    """The relocation-bounds machine: the last word within the bound runs, the next one traps."""
    isa = spec("pg1974")
    m = NativeMachine(isa, [Ram("E", 0, 1 << 14)], {"q": 1 << 14}, engine)
    for address, unit in assemble(isa, "add r1, r1\n" * 40, 100).cells.items():
        m.write("E", unit, address)
    m.write("l", 100)
    m.write("b", 33)
    m.write("E", 0x8000000000000000, 1)
    assert m.run(34).steps == 34
    assert (m.retired, m.read("E", 0) >> 42 & 0x1FFFFF) == (33, 33)


@pytest.mark.parametrize("hot", [0, 2], ids=["interpreter", "regions"])
@pytest.mark.parametrize("distance", [-17, -16, -9])
def test_an_empty_entry_stands_for_no_page(hot: int, distance: int, engine: Engine) -> None:
    """Two loads off one register, at the end of the address space, after many elsewhere."""
    m = paged(engine, hot)
    m.write("x", 0x2000, 1)
    program(m, "again:\nld x5, 0(x1)\nld x6, 8(x1)\njal x0, again\n")
    m.write("phys", 0x6F, BASE + 0x4000, 32)  # the handler: jal x0, .
    m.run(90)
    m.write("x", distance % (1 << 64), 1)
    m.run(3)
    misaligned, missing = 4, 13
    assert (m.read("mcause"), m.read("pc")) == (misaligned if distance % 8 else missing, BASE + 0x4000)
    assert m.read("mtval") == distance % (1 << 64)
