"""Red pills: a hole as a program, which prints REAL on the machine and VIRTUAL under a plain monitor that is forced.

The instruction is the one that the analysis names.  A hybrid monitor interprets it, as the program runs in supervisor
mode.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from monitored import monitor_of, spec, system

from analyzer import Options, analyze
from emulator.interface import Reason
from emulator.monitor import Monitor

PROGRAM = """
        .equ ONE, 1 << 42
        .org 1
        .word real * ONE + 0x1FFFFF     ; a trap leads to `real`
        .org 0x10
start:  {pill}
virtual: li r6, no
        br say(r0)
        .org 0x30
real:   li r6, yes
say:    li r2, 0x1FFF00
        li r3, 1
1:      ld r1, 0(r6)
        bz r1, 1f
        st r1, 0(r2)
        add r6, r3
        br 1b(r0)
1:      li r2, 0x1FFF10
        st r0, 0(r2)
all:    .word 0x1FFFFF
moved:  .word 0x100 * (1 << 21) + 0x1FFFFF
yes:    .asciz "REAL"
no:     .asciz "VIRTUAL"
        .org 0x111                      ; where address 0x11 is when all is moved by 0x100
        lrb all - 0x100
        br real(r0)
"""

PILLS = {
    "rdmode": "rdmode r1\n bz r1, real",
    "rdbase": "rdbase r1\n bz r1, real",
    "lra": "lra r1, 0\n bz r1, real",
    "jrst1": "jrst1 0x11\n lrb all",  # in user mode this traps; a monitor that did not see it emulates it
    "nopr": "nopr moved",
}


def said(name: str, path: Path, monitor: Monitor | None) -> bytes:
    guest, console = system(spec(name), str(path), monitor, ram=0x1000)
    assert guest.machine.run(500).reason is Reason.STOPPED
    return bytes(console.transcript)


@pytest.mark.parametrize("pill", PILLS)
def test_a_hole_tells_a_plain_monitor_from_the_machine(pill: str, tmp_path: Path) -> None:
    name = f"pg1974-{pill}"
    path = tmp_path / "pill.s"
    path.write_text(PROGRAM.replace("{pill}", PILLS[pill]), encoding="utf-8")
    holes = [h.instruction for h in analyze(spec(name), Options(witnesses="each", graph=False)).schemes[0].holes]
    assert holes == [pill]
    assert said(name, path, None) == b"REAL"
    assert said(name, path, monitor_of(spec(name))) == b"VIRTUAL"
    assert said(name, path, monitor_of(spec(name), "hybrid")) == b"REAL"
