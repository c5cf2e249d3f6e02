"""What the allocator finds, and that it finds nothing where there is nothing."""

from __future__ import annotations

import pytest
from monitored import monitor_of, plan_of, spec, system
from msgspec.structs import replace

from analyzer import ir
from analyzer.allocation import allocate
from analyzer.allocator import Request
from analyzer.symbolic.allocating import choose, granule, held_state
from analyzer.symbolic.setting import Setting
from emulator.monitor import Monitor, Refused


def setting_of(name: str, scheme: str | None = None) -> Setting:
    isa = spec(name)
    return Setting(isa, isa.scheme(scheme))


def test_the_base_and_the_length_of_pg74() -> None:
    request = Request(0, 0x800, 0x40, {"q": 0x800}, {"q": 0x1000})
    assert choose(setting_of("pg1974"), "mem", request) == {"k": 0x40, "w": 0x800}


def test_blocks_of_the_ka10() -> None:
    assert choose(setting_of("ka10"), "mem", Request(0, 0x8000, 0x400)) == {"k": 1, "w": 31}


def test_a_place_between_blocks_cannot_be_served() -> None:
    assert choose(setting_of("ka10"), "mem", Request(0, 0x8000, 0x401)) is None


def test_memory_that_the_host_has_not_cannot_be_served() -> None:
    assert choose(setting_of("pg1974"), "mem", Request(0, 0x800, 0x40, {"q": 0x800}, {"q": 0x800})) is None


def test_without_the_clamp_of_the_bound_nothing_serves() -> None:
    """PG74 assumes l + b <= w; a guest that does not would reach memory beyond its own."""
    isa = spec("pg1974")
    scheme = isa.scheme()
    naive = tuple(c if c.element != "b" else ir.Compose("b", ir.Get("b", 21)) for c in scheme.compose)
    request = Request(0, 0x800, 0x40, {"q": 0x800}, {"q": 0x1000})
    assert choose(Setting(isa, replace(scheme, compose=naive)), "mem", request) is None


def test_the_new_psw_of_the_monitor() -> None:
    held = held_state(setting_of("pg1974"), {"k": 0x40, "w": 0x800}, {"q": 0x1000})
    assert held is not None
    assert held.memories == {"E": {1: 0x1000}}  # supervisor, at 0, with all of memory


def test_state_that_takes_no_interrupt() -> None:
    held = held_state(setting_of("s370"), {}, {})
    assert held is not None
    assert held.elements["psw.EC"] == 1  # else the PSW is invalid
    assert held.elements["psw.T"] == 1
    assert held.elements["psw.KEY"] != 0


@pytest.mark.parametrize(
    ("name", "space", "low"), [("s370", "logical", 11), ("rv64", "mem", 12), ("m68010", "mem", 12)]
)
def test_granules_are_pages(name: str, space: str, low: int) -> None:
    assert granule(setting_of(name), space) == low


def test_a_bound_in_words_has_no_granule() -> None:
    assert granule(setting_of("pg1974"), "mem") is None


def test_the_allocation_of_a_scheme() -> None:
    isa = spec("m68010")
    found = allocate(isa, isa.scheme(), Request(0, 0x1000, 0x1000), ())
    assert found is not None
    assert found.granules == {"mem": 12}


def test_a_request_that_cannot_be_served_is_refused() -> None:
    monitor = Monitor(plan_of(spec("pg1974")), lambda *_: None)
    with pytest.raises(Refused) as refused:
        system(spec("pg1974"), "asm/pg1974.s", monitor)
    assert refused.value.diagnostic.code == "PG532"


def test_the_monitors_own_memory_holds_what_deliveries_touch() -> None:
    """The stack of the 68010's monitor lies at the top of its memory, its vectors at the bottom."""
    monitor = monitor_of(spec("m68010"))
    system(spec("m68010"), "asm/m68000.s", monitor)
    assert monitor.host is not None
    assert [(r.base, r.base + r.size) for r in monitor.host.regions] == [(0, 0x21000), (0xFFF000, 0x1000000)]
    assert monitor.machines[0].placements[0].at == 0x1000
