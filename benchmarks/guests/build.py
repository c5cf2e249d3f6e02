"""Builds the bare-metal C programs in `c/` with the distribution's cross compiler, and runs them under QEMU.

    python build.py OUT [--scale N]          one ELF a program
    python build.py OUT --goldens            what QEMU prints, into c/golden/

The same ELF runs on QEMU (`qemu-system-riscv64 -M virt -bios none`) and on popek's board `virt`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "c"
GOLDENS = SOURCES / "golden"
COMPILER, QEMU = "riscv64-linux-gnu-gcc", "qemu-system-riscv64"
FLAGS = (
    *(
        "-march=rv64imac_zicsr_zifencei",
        "-mabi=lp64",
        "-mcmodel=medany",
        "-O2",
        "-ffreestanding",
        "-nostdlib",
        "-static",
    ),
    *("-fno-pic", "-no-pie", "-fno-builtin", "-fno-tree-loop-distribute-patterns", "-fno-stack-protector"),
    *("-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none", "-Wl,-z,norelro", "-Wl,--no-warn-rwx-segments"),
)


def programs() -> tuple[str, ...]:
    """The names of the programs."""
    return tuple(sorted(p.stem for p in SOURCES.glob("*.c") if p.stem != "tiny"))


def missing(*tools: str) -> str | None:
    """The first tool that is not installed."""
    return next((tool for tool in tools if shutil.which(tool) is None), None)


def build(name: str, out: Path, scale: int = 1) -> Path:
    """The ELF of a program.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    out.mkdir(parents=True, exist_ok=True)
    elf = out / f"{name}.{scale}.elf"
    sources = [str(SOURCES / file) for file in ("start.S", f"{name}.c", "tiny.c")]
    command = [COMPILER, *FLAGS, f"-DSCALE={scale}", "-T", str(SOURCES / "program.ld"), *sources, "-o", str(elf)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return elf


def disk(out: Path) -> Path:
    """The disk of every run: 16 sectors of numbers."""
    out.mkdir(parents=True, exist_ok=True)
    image = out / "disk.img"
    image.write_bytes(b"".join((i * 2654435761 % (1 << 32)).to_bytes(4, "little") for i in range(16 * 128)))
    return image


def under_qemu(elf: Path, seconds: float = 60) -> tuple[bytes, int]:
    """What a program prints under QEMU, and its exit code."""
    command = [QEMU, "-M", "virt", "-bios", "none", "-display", "none", "-serial", "stdio", "-monitor", "none"]
    command += [
        "-global",
        "virtio-mmio.force-legacy=false",
        "-device",
        "virtio-blk-device,drive=d,bus=virtio-mmio-bus.0",
    ]
    command += ["-drive", f"file={disk(elf.parent)},if=none,id=d,format=raw", "-kernel", str(elf)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    return done.stdout, done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--goldens", action="store_true")
    given = parser.parse_args()
    lacking = missing(COMPILER, *([QEMU] if given.goldens else []))
    if lacking:
        print(f"{lacking} is not installed", file=sys.stderr)
        return 2
    GOLDENS.mkdir(exist_ok=True)
    for name in programs():
        try:
            elf = build(name, given.out, given.scale)
        except subprocess.CalledProcessError as error:
            print(error.stderr, file=sys.stderr)
            return 1
        print(elf)
        if given.goldens:
            output, code = under_qemu(elf)
            if code:
                print(f"{name} ends with code {code} under QEMU", file=sys.stderr)
                return 1
            (GOLDENS / f"{name}.txt").write_bytes(output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
