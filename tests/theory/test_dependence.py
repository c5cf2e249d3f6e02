"""P1: a map that depends on a guest element, and the nearest ones that only tell a trap about it."""

from __future__ import annotations

import pytest

from analyzer.source import Source
from analyzer.symbolic.dependence import guest_dependence
from analyzer.symbolic.setting import Setting
from analyzer.syntax.load import load_source

MACHINE = """isa tiny "One register and a bound"
unit 8

enum Mode : 1 {{ kernel = 0, user = 1 }}
state mode m : Mode reset kernel
state guest pc, g : 8
state map bound : 8
mode = m order kernel > user

memory core[a: 8] : 8
trap beyond(what: 8) : memory
deliver t {{ m = kernel }}

map mem[a: 8] on core {{
  {body}
  return a
}}

fetch 8 from mem at pc

instr nop "nop" = 0x00 {{ g = g + 1 }}

scheme classic {{
  run kernel as user, user as user
  monitor kernel
}}
"""


@pytest.mark.parametrize(
    ("body", "depends"),
    [
        ("trap beyond(a) if a >= bound", ()),
        ("trap beyond(g) if a >= bound", ()),
        ("trap beyond(a) if a >= bound + g", ("g",)),
        ("trap beyond(a) if a >= bound and g == g", ()),
        ("trap beyond(a) if a >= bound\n  return a + g", ("g",)),
    ],
)
def test_the_map(body: str, depends: tuple[str, ...]) -> None:
    isa, _ = load_source(Source("tiny.isa", MACHINE.format(body=body)))
    assert guest_dependence(Setting(isa, isa.schemes[0]), "mem") == depends
