"""Makes programs in a spec's assembly ready for popek and for the classic emulators of their machines.

    python prepare.py assembly SOURCE OUT [NAME=VALUE …]      the source with these constants: OUT
    python prepare.py simh SOURCE OUT [NAME=VALUE …]          commands for SIMH's pdp10: OUT
    python prepare.py hercules SOURCE OUT [NAME=VALUE …]      commands, configuration, storage: OUT, OUT.cnf, OUT.core

The name of a source is that of its spec.  It is assembled with popek's assembler, so both run the same words.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from analyzer import load
from emulator.board import board_of
from emulator.program import assemble

EC_MODE = 0x0008_0000_0000_0000
"""The PSW of extended control, supervisor state, nothing enabled; the address is its low half."""

CONFIGURATION = """\
ARCHMODE S/370
CPUSERIAL 654321
CPUMODEL 3033
MAINSIZE 16
NUMCPU 1
TIMERINT 1000000
OSTAILOR QUIET
DIAG8CMD ENABLE NOECHO
FE5E 1403 {out}.printer
"""


def text_of(source: Path, defines: Sequence[str]) -> str:
    constants = "".join(f".equ {name}, {value}\n" for name, _, value in (define.partition("=") for define in defines))
    return constants + source.read_text(encoding="utf-8")


def cells_of(source: Path, defines: Sequence[str]) -> tuple[Mapping[int, int], int]:
    """The units of a program by address, and where it begins."""
    isa = load(source.stem)
    program = assemble(isa, text_of(source, defines), board_of(isa, None).load)
    return program.cells, min(program.cells)


def simh(source: Path, defines: Sequence[str]) -> str:
    """Deposits, a run up to HALT, and accumulator 1."""
    cells, start = cells_of(source, defines)
    deposits = [f"d {address:o} {word:o}" for address, word in cells.items()]
    return "\n".join([*deposits, f"d pc {start:o}", "go", "ex ac1", "quit", ""])


def hercules(source: Path, out: Path, defines: Sequence[str]) -> str:
    """A restart at the program; it ends Hercules itself."""
    cells, start = cells_of(source, defines)
    storage = bytearray(max(cells) + 1)
    storage[:8] = (EC_MODE | start).to_bytes(8, "big")
    for address, byte in cells.items():
        storage[address] = byte
    out.with_name(out.name + ".core").write_bytes(storage)
    out.with_name(out.name + ".cnf").write_text(CONFIGURATION.format(out=out), encoding="utf-8")
    return f"sysclear\nloadcore {out}.core 0\nrestart\n"


def main() -> None:
    kind, source, out, *defines = sys.argv[1:]
    match kind:
        case "assembly":
            text = text_of(Path(source), defines)
        case "simh":
            text = simh(Path(source), defines)
        case "hercules":
            text = hercules(Path(source), Path(out), defines)
        case _:
            raise SystemExit(__doc__)
    Path(out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
