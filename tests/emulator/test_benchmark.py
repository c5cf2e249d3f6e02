"""What `popek bench` tells: ratios of a round, their median; what is not there is left out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from analyzer import ir
from analyzer.errors import UsageError
from emulator.benchmark import Bench, Guest, Row, Suite, as_data, load_suite, table


def row(seconds: Mapping[str, tuple[float, ...]], group: str = "flat", events: int | None = None) -> Row:
    return Row(Guest("a guest", "toy", ("a.c",), group, events=events), "0" * 64, 3_000_000, seconds)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """The machine was slow in the second round, for both."""
    found = row({"peer": (3.0, 30.0, 3.3), "popek": (1.0, 10.0, 1.0)})
    assert found.ratio("popek", "peer") == pytest.approx(3.0)
    assert found.ratio("popek", "another") is None


def test_the_table() -> None:
    rows = [
        row({"peer": (2.0,), "popek, first run": (4.0,), "popek": (1.0,)}),
        row({"peer": (8.0,), "popek": (1.0,)}),
        row({"peer": (0.003,), "popek": (0.001,)}, "traps", events=1000),
    ]
    lines = table(rows, "peer")
    assert [line.split() for line in lines[1:]] == [
        ["a", "guest", "3,000,000", "2", "M/s", "1.00x", "1", "M/s", "0.50x", "3", "M/s", "2.00x"],
        ["a", "guest", "3,000,000", "0", "M/s", "1.00x", "3", "M/s", "8.00x"],
        ["a", "guest", "3,000,000", "3,000.0", "ns", "1.00x", "1,000.0", "ns", "3.00x"],
        ["flat:", "4.00x", "peer", "(geometric", "mean),", "2.00x", "at", "least"],
    ]
    (first, *_) = as_data(rows, {}, "peer")["guests"]
    assert (first["ratio"], first["steps"]) == ({"peer": 1.0, "popek, first run": 0.5, "popek": 2.0}, 3_000_000)


def test_the_bundled_suite_is_whole() -> None:
    suite = load_suite()
    assert suite.reference in suite.peers
    for guest in (suite.null, *suite.guests):
        assert set(guest.peers) <= set(suite.peers)
        made = {f"{{made}}/{name}" for name in guest.make}
        assert all(source in made or (suite.here / source).exists() for source in guest.sources)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no benchmarks"):
        load_suite(tmp_path / "none.toml")
    guest = Guest("one", "toy", ("a.c",), "some")

    def never(name: str) -> ir.Isa:
        raise AssertionError(name)

    def bench(*command: str) -> Bench:
        return Bench(Suite("peer", {"bare": command}, {}, {}, guest, (guest,), tmp_path), never, tmp_path)

    with pytest.raises(UsageError, match="no benchmark another"):
        list(bench("true").rows(["another"], 1))
    with pytest.raises(UsageError, match="is not installed"):
        list(bench("no-such-compiler").rows([], 1))
    with pytest.raises(UsageError, match="failed: it is broken"):
        list(bench(sys.executable, "-c", "import sys; sys.exit('it is broken')").rows(["some"], 1))
