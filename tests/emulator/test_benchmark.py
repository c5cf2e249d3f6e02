"""What `popek bench` tells: ratios of a round, their median; what is not there is left out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from specs import spec

from analyzer import ir
from analyzer.errors import UsageError
from emulator.benchmark import Bench, Guest, Row, Suite, Workshop, as_data, load_suite, table
from emulator.devices.console import Console
from emulator.interface import Reason
from emulator.machine import Tier
from emulator.run import Options, follow, prepare


def row(seconds: Mapping[str, tuple[float, ...]], group: str = "flat", events: int | None = None) -> Row:
    return Row(Guest("a guest", "toy", ("a.c",), group, events=events), "0" * 64, 3_000_000, seconds)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """The machine was slow in the second round, for both."""
    found = row({"peer": (3.0, 30.0, 3.3), "popek": (1.0, 10.0, 1.0)})
    assert found.ratio("popek", "peer") == pytest.approx(3.0)
    assert found.ratio("popek", "another") is None


def test_a_whole_process_is_compared_with_one() -> None:
    """The peer starts faster: its run alone is not what `popek run` stands beside."""
    found = row({"peer": (1.0,), "peer, whole": (1.5,), "popek, new program": (0.5,), "popek run, new": (1.0,)})
    assert (found.ratio("popek, new program", "peer"), found.ratio("popek run, new", "peer")) == (2.0, 1.5)
    assert "whole" not in table([found], "peer")[0]
    assert table([found, found], "peer")[-1] == "flat, popek run, new: 1.50x peer (geometric mean), 1.50x at least"


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
    assert {guest.spec for guest in suite.guests} == set(suite.nulls)
    for guest in (*suite.nulls.values(), *suite.guests):
        assert guest.build is None or guest.build in suite.builds
        assert guest.reference is None or guest.reference in guest.peers
        assert set(guest.peers) <= set(suite.peers)
        made = {f"{{made}}/{name}" for name in guest.make}
        assert all(source in made or (suite.here / source).exists() for source in guest.sources)


def test_a_guest_may_have_a_reference_of_its_own() -> None:
    rows = [
        Row(
            Guest("one", "toy", ("a.c",), "others", reference="old"),
            "0" * 64,
            1_000_000,
            {"old": (6.0,), "popek": (1.0,)},
        ),
        row({"old": (2.0,), "peer": (8.0,), "popek": (1.0,)}, "others"),
    ]
    assert [found.ratio("popek", "peer") for found in rows] == [6.0, 8.0]
    assert table(rows, "peer")[-1] == "others: 6.93x old and peer (geometric mean), 6.00x at least"
    assert [guest["reference"] for guest in as_data(rows, {}, "peer")["guests"]] == ["old", "peer"]


CHECKSUMS = {"ka10": 0o102724506131, "s370": 0x075965DE}
"""Of one round of the classic guests, as SIMH and Hercules print them."""


@pytest.mark.parametrize("tier", ["interpreter", "regions"])
@pytest.mark.parametrize(("name", "place", "index", "bits"), [("ka10", "ac", 1, None), ("s370", "core", 0x800, 32)])
def test_classic_guests_compute_what_they_compute_on_classic_emulators(
    name: str, place: str, index: int, bits: int | None, tier: Tier, tmp_path: Path
) -> None:
    suite = load_suite()
    built = Workshop(suite, tmp_path).built(suite.nulls[name], "assembly")
    system = prepare(spec(name), built, Options(tier=tier), Console())
    assert follow(system, 1_000_000).ended.reason is Reason.STOPPED
    assert system.machine.read(place, index, bits) == CHECKSUMS[name]


@pytest.mark.parametrize(("name", "peer", "line"), [("ka10", "simh", "AC1:"), ("s370", "hercules", "R:00000800")])
def test_classic_emulators_compute_it(name: str, peer: str, line: str, tmp_path: Path) -> None:
    suite = load_suite()
    if shutil.which(suite.versions[peer][0]) is None:
        (pytest.fail if os.environ.get("CI_ORACLES") else pytest.skip)(f"{peer} is not installed")
    built = Workshop(suite, tmp_path).built(suite.nulls[name], peer)
    command = [word.format(**{peer: built}) for word in suite.peers[peer]]
    said, attempts = None, 3  # Hercules ends without waiting for its log, and loses some of it where it is slow
    while said is None:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        said = next((found for found in done.stdout.decode(errors="replace").splitlines() if line in found), None)
        attempts -= 1
        assert said is not None or attempts, done
    checksum = f"{CHECKSUMS[name]:o}" if peer == "simh" else f"{CHECKSUMS[name]:08X}"
    assert checksum in said


def test_peers_say_what_they_are(tmp_path: Path) -> None:
    """One of them asks for commands until it is told to go, as simulators do."""
    asks = (
        "print('A simulator')\nwhile True:\n    line = __import__('sys').stdin.readline()\n    if 'exit' in line: break"
    )
    commands = {"old": (sys.executable, "-c", asks), "new": (sys.executable, "--version")}
    suite = Suite("old", {}, {}, {}, commands, {}, (), tmp_path)
    versions = Bench(suite, lambda name: spec(name), tmp_path).versions()
    assert versions == {"old": "A simulator", "new": f"Python {sys.version.split()[0]}"}


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no benchmarks"):
        load_suite(tmp_path / "none.toml")
    guest = Guest("one", "toy", ("a.c",), "some")

    def never(name: str) -> ir.Isa:
        raise AssertionError(name)

    def bench(*command: str) -> Bench:
        return Bench(Suite("peer", {"bare": command}, {}, {}, {}, {"toy": guest}, (guest,), tmp_path), never, tmp_path)

    with pytest.raises(UsageError, match="no benchmark another"):
        list(bench("true").rows(["another"], 1))
    with pytest.raises(UsageError, match="is not installed"):
        list(bench("no-such-compiler").rows([], 1))
    with pytest.raises(UsageError, match="failed: it is broken"):
        list(bench(sys.executable, "-c", "import sys; sys.exit('it is broken')").rows(["some"], 1))
