"""Copies: stencils one behind the other, led to by each other, forgotten when the code changes."""

from __future__ import annotations

import pytest

from emulator.codegen.agreed import NEXT
from emulator.codegen.values import Text, Unsupported
from emulator.interface import Ram
from emulator.machine import regions
from emulator.machine.cutting import Misfit, cut
from emulator.machine.engine import Engine
from emulator.machine.linking import Patch, Piece
from emulator.machine.native import NativeMachine
from emulator.machine.objects import Objects
from emulator.machine.plain import PlainMachine
from emulator.machine.tuning import Tuning
from emulator.program import assemble
from tests.specs import spec

BASE, SIZE = 0x80000000, 1 << 16

BLOCKS = """
again:
addi x5, x5, 1
beq x5, x0, other
addi x6, x6, 2
beq x6, x0, other
changed:
addi x7, x7, 3
other:
addi x8, x8, 4
addi x2, x2, -1
bne x2, x0, again
lw x10, 0x100(x9)
sw x10, 0x10(x9)
fence.i
addi x2, x0, 60
jal x0, again
"""
"""Rounds over blocks that lead to each other; in between a store to the instruction at `changed`."""
CHANGED = 0x00938393  # addi x7, x7, 9


def pair(engine: Engine, text: str, share: float | None, lasting: float = 0.0) -> tuple[PlainMachine, NativeMachine]:
    isa, regions = spec("rv64"), [Ram("phys", BASE, SIZE)]
    machines = (
        PlainMachine(isa, regions),
        NativeMachine(isa, regions, None, engine, Tuning(hot=12, share=share, lasting=lasting, eager=1)),
    )
    for machine in machines:
        for address, unit in assemble(isa, text, 0x1000).cells.items():
            machine.write("phys", unit, BASE + address)
        machine.write("phys", CHANGED, BASE + 0x1100, 32)
        machine.write("pc", BASE + 0x1000)
        machine.write("x", 60, 2)
        machine.write("x", BASE + 0x1000, 9)
    return machines


def alike(plain: PlainMachine, mine: NativeMachine, steps: int) -> None:
    assert plain.run(steps) == mine.run(steps)
    assert (plain.read("pc"), plain.steps) == (mine.read("pc"), mine.steps)
    assert [plain.read("x", i) for i in range(32)] == [mine.read("x", i) for i in range(32)]


def test_copies_lead_to_each_other_until_the_code_changes(engine: Engine) -> None:
    plain, mine = pair(engine, BLOCKS, None)
    alike(plain, mine, 350)
    page = next(page for page in mine._pages if page.copies)
    changed = BASE + 0x1010
    assert BASE + 0x1000 in page.copies
    assert changed in page.copies
    assert any(page.links[changed])
    for _ in range(60):
        alike(plain, mine, 5)
        if plain.read("phys", changed, 32) == CHANGED:
            break
    assert changed not in page.copies
    alike(plain, mine, 2000)
    assert changed in page.copies, "and it is copied again"


def test_a_copy_becomes_a_region() -> None:
    nothing_kept = Engine(Objects(None))  # a region that was kept is taken at once
    plain, mine = pair(nothing_kept, BLOCKS.replace("sw x10, 0x10(x9)\n", ""), 1e9)
    alike(plain, mine, 8 * 14)
    assert mine.stats["copies"] >= 4
    assert mine.stats["regions"] == 0
    for _ in range(40):
        alike(plain, mine, 97)
    assert mine.stats["regions"]
    page = next(page for page in mine._pages if page.regions)
    assert not page.regions.keys() & page.copies.keys()


@pytest.mark.parametrize("name", ["rv64", "pg1974", "m68000"])
def test_most_instructions_have_a_stencil(name: str) -> None:
    from emulator.codegen.stencil import stencil
    from emulator.codegen.variant import Variant, control, fixed
    from emulator.tour import _plan

    isa = spec(name)
    plan = _plan(isa)
    made = 0
    for i, instruction in enumerate(isa.instructions):
        zeros = {o.name: 0 for o in instruction.operands}
        try:
            made += bool(stencil(plan, Variant(i, fixed(control(isa, instruction), zeros), 4), "s").ends)
        except (Unsupported, KeyError):
            continue
    assert made > len(isa.instructions) * 3 // 4


def test_what_follows_from_holes_is_a_hole() -> None:
    from emulator.codegen.glue import Glue
    from emulator.tour import _plan

    code = Glue(_plan(spec("rv64")), Text()).named("g")
    at = code.hole("pc", 64)
    there = code.binary("add", at, code.sign_extend(code.hole("o0", 12), 12, 64), 64)
    assert not code.text.lines
    assert code.static[there].formula == f"(pc + (signed(o0, 12) & {2**64 - 1}) & {2**64 - 1})"


def piece(code: bytes, *patches: Patch) -> Piece:
    return Piece(code, patches)


def test_cutting() -> None:
    code = bytes(8) + b"\xe9\0\0\0\0"
    found = cut(
        piece(code, Patch(0, 11, "h", 1), Patch(9, 4, NEXT, -4)), {"h": "o0 * 2"}, {}, ["o0 > 50"], ("pc", "o0")
    )
    assert found is not None
    assert (found.code, found.goes, found.falls, found.tail) == (bytes(8), (), True, None)
    out = bytearray(16)
    assert found.fill(out, 4, 0, -3) == ()
    assert out[4:8] == (-5).to_bytes(4, "little", signed=True)
    with pytest.raises(Misfit):
        found.fill(out, 4, 0, 51)


def test_code_with_a_table_is_not_copied() -> None:
    assert cut(piece(bytes(8), Patch(0, 2, ".rodata", 12)), {}, {}, [], ("pc",)) is None


def test_a_jump_at_the_end_is_a_way() -> None:
    code = bytes(4) + b"\xe9\0\0\0\0"
    found = cut(piece(code, Patch(5, 4, "j", -4)), {}, {"j": "pc + 8"}, [], ("pc",))
    assert found is not None
    assert (found.code, found.falls, found.tail, found.jumps) == (bytes(4), False, 0, True)
    assert found.fill(bytearray(4), 0, 100) == (108,)


def test_what_becomes_hot_late_must_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "LONGEST", 1e9)
    plain, mine = pair(Engine(Objects(None)), BLOCKS.replace("sw x10, 0x10(x9)\n", ""), 1e9, lasting=0.5)
    mine._ran = 100.0
    alike(plain, mine, 5000)
    assert mine.stats["regions"] == 0
    mine._ran += 200.0
    alike(plain, mine, 5000)
    assert mine.stats["regions"]
