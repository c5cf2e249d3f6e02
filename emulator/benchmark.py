"""How fast the emulator is, beside its peers: what `popek bench` does.

`benchmarks/suite.toml` says which guests there are, how they are built, and who the peers are; nothing about them is
here.  All times are of the processor, user and system.  In each round all engines run, one after the other, and ratios
are those of a round, so that whatever else the machine does weighs on both sides; what is told is their median.

Three times are taken of this emulator: the *first* run, when nothing is kept; that of a *new* program on a machine
that has run another one (the empty guest), so that what depends on the spec is kept; and a *warm* one.  All are of the
run alone, without the start of the process and the loading of the spec, as from a peer the time of an empty guest is
taken.  A fourth one is of the whole process `popek run`, for a new program, beside the whole process of the peer.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzer import ir
from analyzer.errors import UsageError
from emulator.devices.console import Console
from emulator.run import Options, run

SUITE = Path(__file__).parent.parent / "benchmarks" / "suite.toml"
RESULTS = SUITE.parent / "results" / "emulator.json"
POPEK = "popek"
FIRST = "popek, first run"
NEW = "popek, new program"
COMMAND = "popek run, new"
WHOLE = ", whole"
"""Behind the name of a peer: all that its process takes."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A program; `events` is how many of what it is about happen in it, if that is what counts.  `build` makes what
    popek runs (None: the first of the suite), `reference` is the peer that the others are compared with (None: that of
    the suite)."""

    name: str
    spec: str
    sources: tuple[str, ...]
    group: str = ""
    defines: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    make: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    events: int | None = None
    build: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """What there is to run: the commands of builds (with the suffix of what they make) and peers, a guest that does
    nothing for each spec, and the guests."""

    reference: str
    builds: Mapping[str, tuple[str, ...]]
    suffixes: Mapping[str, str]
    peers: Mapping[str, tuple[str, ...]]
    versions: Mapping[str, tuple[str, ...]]
    nulls: Mapping[str, Guest]
    guests: tuple[Guest, ...]
    here: Path


@dataclass(frozen=True, slots=True)
class Row:
    """A guest's figures: `seconds` by engine and round, an absent engine has none."""

    guest: Guest
    digest: str
    steps: int
    seconds: Mapping[str, tuple[float, ...]]

    def ratio(self, engine: str, reference: str) -> float | None:
        """How many times as fast as the reference (the guest's own, if it has one) an engine is: the median over
        rounds."""
        reference = (self.guest.reference or reference) + (WHOLE if engine == COMMAND else "")
        pairs = zip(self.seconds.get(engine, ()), self.seconds.get(reference, ()), strict=False)
        ratios = [theirs / max(ours, 1e-4) for ours, theirs in pairs]
        return statistics.median(ratios) if ratios else None


def load_suite(path: Path = SUITE) -> Suite:
    """The suite of a file.

    Raises:
        UsageError: it is not there: the benchmarks come with the repository, not with the package.
    """
    if not path.exists():
        raise UsageError(f"there are no benchmarks at {path}", "they are in the repository, not in the package")
    data = tomllib.loads(path.read_text(encoding="utf-8"))

    def guest(table: Mapping[str, Any]) -> Guest:
        return Guest(
            table.get("name", "nothing"),
            table["spec"],
            tuple(table["sources"]),
            table.get("group", ""),
            tuple(table.get("defines", ())),
            tuple(table.get("peers", ())),
            {name: tuple(command) for name, command in table.get("make", {}).items()},
            table.get("events"),
            table.get("build"),
            table.get("reference"),
        )

    return Suite(
        data["reference"],
        {name: tuple(table["command"]) for name, table in data["build"].items()},
        {name: table.get("suffix", "") for name, table in data["build"].items()},
        {name: tuple(table["command"]) for name, table in data["peer"].items()},
        {name: tuple(table["version"]) for name, table in data["peer"].items()},
        {name: guest({"spec": name, **table}) for name, table in data["null"].items()},
        tuple(guest(table) for table in data["guest"]),
        path.parent / "guests",
    )


# -- building ----------------------------------------------------------------------------------------------------------


class Workshop:
    """Builds guests, each once."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        self.suite, self.folder = suite, folder

    def built(self, guest: Guest, build: str) -> Path:
        """A guest as a build makes it.

        Raises:
            UsageError: a tool is missing, or fails.
        """
        name = hashlib.sha256(repr((guest.sources, guest.defines, build)).encode()).hexdigest()[:16]
        out = self.folder / (name + self.suite.suffixes.get(build, ""))
        if not out.exists():
            for file, command in guest.make.items():
                text = self._run([part for word in command for part in self._filled(word, guest, out)])
                (self.folder / file).write_bytes(text)
            self._run([part for word in self.suite.builds[build] for part in self._filled(word, guest, out)])
        return out

    def _filled(self, word: str, guest: Guest, out: Path) -> list[str]:
        known = {"here": self.suite.here, "out": out, "python": sys.executable, "made": self.folder}
        match word:
            case "{sources}":
                found = [source.format(**known) for source in guest.sources]
                return [s if Path(s).is_absolute() else str(self.suite.here / s) for s in found]
            case "{defines}":
                return list(guest.defines)
            case _:
                return [word.format(**known)]

    def _run(self, command: Sequence[str]) -> bytes:
        if shutil.which(command[0]) is None:
            raise UsageError(f"{command[0]} is not installed", "`make bench` needs it to build the guests")
        found = os.pathsep.join(path for path in sys.path if path)  # for builds that use this package
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": found}, capture_output=True, check=False)
        if done.returncode:
            raise UsageError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[:400]}")
        return done.stdout


# -- measuring ---------------------------------------------------------------------------------------------------------


def child_seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """The processor time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    null = subprocess.DEVNULL
    subprocess.run(command, stdin=null, stdout=null, stderr=null, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Bench:
    """Runs a suite."""

    def __init__(self, suite: Suite, load: Callable[[str], ir.Isa], folder: Path) -> None:
        self.suite = suite
        self.load = load
        self.folder = folder
        self.workshop = Workshop(suite, folder)
        self.isas: dict[str, ir.Isa] = {}
        self.present = {name for name, version in suite.versions.items() if shutil.which(version[0])}
        self.empty: dict[tuple[str, str], float] = {}

    def versions(self) -> dict[str, str]:
        """The peers that there are, with what they say that they are."""
        found = {}
        for name in sorted(self.present):
            command = self.suite.versions[name]
            found[name] = ""
            with suppress(
                subprocess.TimeoutExpired
            ):  # one that asks for commands is told to go, once it has said its name
                done = subprocess.run(command, input="exit\n", capture_output=True, text=True, check=False, timeout=10)
                found[name] = next((line for line in (done.stdout + done.stderr).splitlines() if line), "")
        return found

    def rows(self, names: Sequence[str], rounds: int) -> Iterator[Row]:
        """The figures of guests, as they come.

        Raises:
            UsageError: there is no such guest or group, or a guest cannot be built.
        """
        known = {guest.name for guest in self.suite.guests} | {guest.group for guest in self.suite.guests}
        for name in names:
            if name not in known:
                raise UsageError(f"there is no benchmark {name}", f"there are {', '.join(sorted(known))}")
        for guest in self.suite.guests:
            if not names or {guest.name, guest.group} & set(names):
                yield self.row(guest, rounds)

    def row(self, guest: Guest, rounds: int) -> Row:
        build = guest.build or next(iter(self.suite.builds))
        image = self.workshop.built(guest, build)
        seconds: dict[str, list[float]] = {}
        steps = 0
        peers = [peer for peer in guest.peers if peer in self.present]
        for _ in range(rounds):
            for peer in peers:
                whole = self.peer(peer, guest)
                seconds.setdefault(peer + WHOLE, []).append(whole)
                seconds.setdefault(peer, []).append(max(whole - self.nothing(peer, guest.spec), 1e-4))
            with tempfile.TemporaryDirectory(dir=self.folder) as cache:
                for engine in (FIRST, POPEK):
                    taken, steps = self.mine(guest, image, Path(cache))
                    if engine == POPEK:  # what the first run had no time to make, the second did
                        taken, steps = self.mine(guest, image, Path(cache))
                    seconds.setdefault(engine, []).append(taken)
            null = self.suite.nulls[guest.spec]
            with tempfile.TemporaryDirectory(dir=self.folder) as cache:
                self.mine(null, self.workshop.built(null, build), Path(cache))
                taken, steps = self.mine(guest, image, Path(cache))
                seconds.setdefault(NEW, []).append(taken)
            with tempfile.TemporaryDirectory(dir=self.folder) as cache:
                self.command(null, self.workshop.built(null, build), Path(cache))
                seconds.setdefault(COMMAND, []).append(self.command(guest, image, Path(cache)))
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        return Row(guest, digest, steps, {engine: tuple(times) for engine, times in seconds.items()})

    def nothing(self, peer: str, spec: str) -> float:
        """What a peer needs for an empty guest: the least of three runs."""
        if (peer, spec) not in self.empty:
            self.empty[peer, spec] = min(self.peer(peer, self.suite.nulls[spec]) for _ in range(3))
        return self.empty[peer, spec]

    def peer(self, peer: str, guest: Guest) -> float:
        command = self.suite.peers[peer]
        used = {build: str(self.workshop.built(guest, build)) for build in self.suite.builds if needs(command, build)}
        return child_seconds([word.format(**used) for word in command])

    def command(self, guest: Guest, image: Path, cache: Path) -> float:
        """Processor seconds of `popek run`, with its modules compiled, as installing it does."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"POPEK_CACHE": str(cache), "PYTHONPYCACHEPREFIX": str(self.folder / "modules")}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        return child_seconds([sys.executable, "-m", "popek", "run", guest.spec, str(image)], environment)

    def mine(self, guest: Guest, image: Path, cache: Path) -> tuple[float, int]:
        """Processor seconds of a run, and its steps."""
        if guest.spec not in self.isas:
            self.isas[guest.spec] = self.load(guest.spec)
        outer = os.environ.get("POPEK_CACHE")
        os.environ["POPEK_CACHE"] = str(cache)
        try:
            outcome = run(self.isas[guest.spec], image, Options(), Console(lambda written: None))
        finally:
            if outer is None:
                del os.environ["POPEK_CACHE"]
            else:
                os.environ["POPEK_CACHE"] = outer
        if not outcome.ended_itself:
            raise UsageError(f"{guest.name}: {outcome.sentence()}")
        return outcome.seconds, outcome.steps


def needs(command: Sequence[str], build: str) -> bool:
    return any("{" + build + "}" in word for word in command)


# -- telling -----------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], reference: str) -> list[str]:
    """The figures as lines: millions of steps a second, and how many times as fast as the reference."""
    engines = list(dict.fromkeys(e for row in rows for e in row.seconds if not e.endswith(WHOLE)))
    mine = (FIRST, COMMAND, NEW, POPEK)
    engines = [e for e in engines if e not in mine] + [e for e in mine if e in engines]
    widest = max((len(row.guest.name) for row in rows), default=0)
    lines = [f"{'':<{widest}}  {'steps':>13}  " + "  ".join(f"{engine:>20}" for engine in engines)]
    for row in rows:
        cells = []
        for engine in engines:
            times, ratio = row.seconds.get(engine), row.ratio(engine, reference)
            if not times:
                cells.append(f"{'':>20}")
                continue
            middle = statistics.median(times)
            figure = f"{row.steps / middle / 1e6:,.0f} M/s"
            if row.guest.events is not None:
                figure = f"{middle / row.guest.events * 1e9:,.1f} ns"
            cells.append(f"{figure} {f'{ratio:.2f}x' if ratio is not None else '':>7}".rjust(20))
        lines.append(f"{row.guest.name:<{widest}}  {row.steps:>13,}  " + "  ".join(cells))
    for group in dict.fromkeys(row.guest.group for row in rows):
        those = [row for row in rows if row.guest.group == group]
        beside = " and ".join(sorted({row.guest.reference or reference for row in those}))
        for engine, name in ((POPEK, group), (COMMAND, f"{group}, {COMMAND}")):
            ratios = [r for row in those if (r := row.ratio(engine, reference)) is not None]
            if len(ratios) > 1:
                mean = math.exp(statistics.mean(math.log(r) for r in ratios))
                lines.append(f"{name}: {mean:.2f}x {beside} (geometric mean), {min(ratios):.2f}x at least")
    return lines


def as_data(rows: Sequence[Row], versions: Mapping[str, str], reference: str) -> dict[str, Any]:
    """The figures as they are kept; `load` is how many processes wanted the processors in the last five minutes, so 1
    where nothing else ran."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[1], 1),
        },
        "peers": dict(versions),
        "reference": reference,
        "guests": [
            {
                "name": row.guest.name,
                "group": row.guest.group,
                "sha256": row.digest,
                "reference": row.guest.reference or reference,
                "steps": row.steps,
                "seconds": {engine: [round(t, 4) for t in times] for engine, times in row.seconds.items()},
                "ratio": {
                    engine: round(ratio, 3)
                    for engine in row.seconds
                    if (ratio := row.ratio(engine, reference)) is not None
                },
            }
            for row in rows
        ],
    }


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def save(data: Mapping[str, Any], path: Path = RESULTS) -> Path:
    """Keeps figures beside the suite."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return path
