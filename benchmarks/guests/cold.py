"""Writes the guest (e): many basic blocks, each run a few times, in the assembly of gcc.

    python cold.py [BLOCKS] [SEED] > cold.S

`bench_main` runs all blocks once a round, `SCALE` rounds.  A block is a few operations on registers, now and then an
access to a buffer, and a branch; both of its ways lead to the next block.
"""

from __future__ import annotations

import random
import sys

REGISTERS = ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t3", "t4", "t5", "t6")
PLAIN = ("add", "sub", "xor", "or", "and", "sll", "srl", "sltu", "mul", "addw", "subw")
IMMEDIATE = ("addi", "xori", "ori", "andi", "addiw", "sltiu")
BRANCHES = ("beq", "bne", "blt", "bge", "bltu", "bgeu")
BUFFER = 1024


def operation(rng: random.Random) -> str:
    """One instruction that falls through; t0 is the buffer."""
    to, one, two = (rng.choice(REGISTERS) for _ in range(3))
    kind = rng.random()
    if kind < 0.45:
        return f"{rng.choice(PLAIN)} {to}, {one}, {two}"
    if kind < 0.75:
        return f"{rng.choice(IMMEDIATE)} {to}, {one}, {rng.randint(-2048, 2047)}"
    if kind < 0.85:
        return f"slli {to}, {one}, {rng.randint(1, 63)}"
    at = rng.randrange(0, BUFFER, 8)
    return f"ld {to}, {at}(t0)" if kind < 0.93 else f"sd {one}, {at}(t0)"


def blocks(count: int, rng: random.Random) -> list[str]:
    """The blocks, one after the other."""
    lines = []
    for i in range(count):
        lines.append(f".L{i}:")
        lines += [f"  {operation(rng)}" for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.3:
            lines.append(f"  j .L{i + 1}")
        else:
            lines.append(f"  {rng.choice(BRANCHES)} {rng.choice(REGISTERS)}, {rng.choice(REGISTERS)}, .L{i + 1}")
            lines.append(f"  {operation(rng)}")
    return [*lines, f".L{count}:"]


def main() -> int:
    count, seed = (
        (int(arg) for arg in (*sys.argv[1:], "10000", "1")[:2]) if len(sys.argv) < 3 else map(int, sys.argv[1:3])
    )
    head = """#ifndef SCALE
#define SCALE 100
#endif
  .text
  .globl bench_main
bench_main:
  addi sp, sp, -16
  la t0, buffer
  li t1, SCALE"""
    print(head)
    for i, name in enumerate(REGISTERS):
        print(f"  li {name}, {i * 0x12345 + 1}")
    print("  beqz t1, .Lend\n.Lround:\n  sd t1, 0(sp)")
    print("\n".join(blocks(count, random.Random(seed))))
    print("  ld t1, 0(sp)\n  addi t1, t1, -1\n  beqz t1, .Lend\n  j .Lround\n.Lend:")
    print("  addi sp, sp, 16\n  ret\n  .bss\n  .balign 64\nbuffer:\n  .space 1024")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
