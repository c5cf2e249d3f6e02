"""What a monitor costs: RV64 programs bare, monitored, and under monitors on monitors, on the same generated code.

    python benchmarks/monitor.py [--runs N] [--depths 1,2,3,4] [--scale N]

Each program is compiled with the cross compiler of `guests/build.sh`, whole and a tenth as large.  A row gives
processor time (the least of the runs; the first makes code that the others find), the ratios of bare to monitored time
and, where the host counts them, instructions, the share of steps that ran directly, and the time of an exit.  Ratios
and exit are of what the whole program takes more than a tenth: what it takes to begin, where code is made, is no part
of them.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from counting import Counter

from analyzer import load
from analyzer.allocation import allocate
from emulator.devices.console import Console
from emulator.interface import Reason
from emulator.monitor import Monitor, generate
from emulator.run import Options, Outcome, follow, prepare

HERE = Path(__file__).parent / "guests"
COMPILER = "riscv64-unknown-elf-gcc"
FLAGS = (
    *("-march=rv64im_zicsr", "-mabi=lp64", "-mcmodel=medany", "-O2", "-ffreestanding", "-fno-builtin", "-nostdlib"),
    *("-static", "-fno-tree-loop-distribute-patterns", "-Wl,--build-id=none", f"-I{HERE}", f"-T{HERE / 'bare.ld'}"),
)
PROGRAMS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "compute": (("compute.c",), 40, 4),
    "memheavy": (("memheavy.c",), 100, 4),
    "dispatch": (("dispatch.c",), 600, 3),
    "calls": (("toyos.c", "toyos_trap.S"), 5_000_000, 4),
    "few_calls": (("toyos.c", "toyos_trap.S"), 200, 4),
}
"""Sources, how large they are made, and the most monitors on top of one another.  `calls` takes a trap, and emulates
what its handler does, every few steps: nine exits in a hundred steps."""

RAM = 1 << 26


def built(name: str, folder: Path, scale: float) -> Path:
    """The ELF of a program."""
    sources, size, _ = PROGRAMS[name]
    elf = folder / f"{name}{scale}.elf"
    files = [str(HERE / source) for source in ("crt0_bare.S", *sources)]
    defined = (f"-DSCALE={max(1, round(size * scale))}", *(("-DPARTS=1",) if "calls" in name else ()))
    subprocess.run([COMPILER, *FLAGS, *defined, *files, "-o", str(elf)], check=True)
    return elf


def ran(elf: Path, depth: int) -> tuple[Outcome, Monitor | None]:
    """A run, bare for a depth of 0."""
    isa = load("rv64")
    monitor = None
    if depth:
        plan = generate(isa, None, "m_to_u", unsafe=True)  # the verdict is the tests' matter
        monitor = Monitor(plan, allocate, depth=depth, check=False, tier="regions", exits="compiled")
    system = prepare(isa, elf, Options(ram=RAM), Console(), None if monitor is None else monitor.make)
    outcome = follow(system, None)
    assert outcome.ended.reason is Reason.STOPPED
    return outcome, monitor


@dataclass(slots=True)
class Times:
    """Seconds and instructions of runs at one depth, of the whole program and of a tenth, and what the outermost
    monitor counted."""

    whole: list[float] = field(default_factory=list)
    tenth: list[float] = field(default_factory=list)
    executed: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    exits: list[int] = field(default_factory=list)
    share: float = 1.0

    @property
    def more(self) -> float:
        """What the whole program takes more than a tenth."""
        return min(self.whole) - min(self.tenth)

    @property
    def executed_more(self) -> int | None:
        """The instructions of that; None where they are not counted."""
        tenth, whole = self.executed
        return min(whole) - min(tenth) if whole else None


def measure(name: str, folder: Path, scale: float, depths: list[int], runs: int) -> None:
    """Prints the rows of a program; runs take turns, so that all see the same load."""
    times = {depth: Times() for depth in (0, *depths)}
    elfs = [built(name, folder, part * scale) for part in (0.1, 1)]
    steps, counter = 0, Counter()
    for _ in range(runs):
        for depth, each in times.items():
            each.exits.clear()
            for elf, seconds, executed in zip(elfs, (each.tenth, each.whole), each.executed, strict=True):
                before = counter.value
                outcome, monitor = ran(elf, depth)
                after = counter.value
                if before is not None and after is not None:
                    executed.append(after - before)
                seconds.append(outcome.seconds)
                steps = outcome.steps
                if monitor is not None:
                    counters = monitor.levels[0].counters  # whose exits are those of the machine
                    each.exits.append(sum(counters.exits.values()))
                    each.share = counters.share
    bare, counted = times[0].more, times[0].executed_more
    print(f"{name:<10} bare   {min(times[0].whole):8.3f} s   {steps} steps")
    for depth in depths:
        found = times[depth]
        exits = found.exits[1] - found.exits[0]
        each_ = f"{(found.more - bare) / exits * 1e9:8.1f} ns an exit" if exits > 1000 else ""
        executed = found.executed_more
        ratio = f"   {counted / executed:6.1%} by instructions" if counted and executed else ""
        shares = f"{bare / found.more:6.1%} by time{ratio}   {found.share:8.3%} direct"
        print(
            f"{'':<10} {depth} deep {min(found.whole):8.3f} s   {shares}   {found.exits[1]} exits {each_}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--depths", default="1,2,3,4")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", choices=sorted(PROGRAMS), action="append")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only or PROGRAMS:
            depths = [depth for depth in map(int, given.depths.split(",")) if depth <= PROGRAMS[name][2]]
            measure(name, Path(folder), given.scale, depths, given.runs)


if __name__ == "__main__":
    main()
