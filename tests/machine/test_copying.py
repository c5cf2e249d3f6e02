"""Copies: stencils one behind the other, led to by each other, forgotten when the code changes."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.codegen.agreed import NEXT
from emulator.codegen.copier import copier
from emulator.codegen.layout import Place
from emulator.codegen.steps import COPIED, DEPTH, ENDS, FALLS, HEAD, STEP, Step, step, steps, uncopied
from emulator.codegen.values import Text, Unsupported, Values, known, ones, signed
from emulator.interface import Ram
from emulator.machine import copying, regions
from emulator.machine.copying import COPIER_PASSES
from emulator.machine.cutting import cut
from emulator.machine.engine import Engine, Module
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


def pair(
    engine: Engine, text: str, share: float | None, lasting: float = 0.0, hot: int = 12
) -> tuple[PlainMachine, NativeMachine]:
    isa, regions = spec("rv64"), [Ram("phys", BASE, SIZE)]
    machines = (
        PlainMachine(isa, regions),
        NativeMachine(isa, regions, None, engine, Tuning(hot=hot, share=share, lasting=lasting, eager=1)),
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
    copies = next(page.copies for page in mine._pages if page.copies is not None)
    changed = BASE + 0x1010
    assert BASE + 0x1000 in copies
    assert changed in copies
    assert copies.links(changed)
    for _ in range(60):
        alike(plain, mine, 5)
        if plain.read("phys", changed, 32) == CHANGED:
            break
    assert changed not in copies
    for _ in range(100):
        alike(plain, mine, 5)
        if changed in copies:
            break
    assert changed in copies, "and it is copied again"


def test_a_copy_becomes_a_region() -> None:
    nothing_kept = Engine(Objects(None))  # a region that was kept is taken at once
    plain, mine = pair(nothing_kept, BLOCKS.replace("sw x10, 0x10(x9)\n", ""), 1e9)
    alike(plain, mine, 8 * 18)
    assert mine.stats["copies"] >= 4
    assert mine.stats["regions"] == 0
    for _ in range(40):
        alike(plain, mine, 97)
    assert mine.stats["regions"]
    page = next(page for page in mine._pages if page.regions)
    assert page.copies is not None
    assert not page.regions.keys() & set(page.copies)


def many(count: int) -> str:
    """A loop over so many blocks, each of which has two beginnings; control comes to the first in one round, to the
    second in the other."""
    blocks = (f"addi x5, x5, {i}\nbeq x12, x0, block{i}\nxori x6, x5, {i}\nblock{i}:\n" for i in range(count))
    return "".join(["again:\nxori x12, x12, 1\n", *blocks, "jal x0, again\n"])


@pytest.mark.parametrize(("name", "few"), [("ROOM", 1 << 17), ("LINKS", 20), ("WAITING", 2)])
def test_what_has_no_room_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, few: int) -> None:
    engine = Engine(Objects(tmp_path))
    plain, mine = pair(engine, many(150), None)
    alike(plain, mine, 8000)
    most = mine.stats["copies"]
    assert most > 290
    monkeypatch.setattr(copying, name, few)
    plain, mine = pair(engine, many(150), None)
    for _ in range(20):
        alike(plain, mine, 401)
    assert mine.stats["copies"] > 0
    assert mine.stats["copies"] < most or name != "ROOM"


def test_stencils_that_are_missing_are_made_before_anything_is_hot(tmp_path: Path) -> None:
    _, first = pair(Engine(Objects(tmp_path)), many(40), None, hot=300)
    first.run(100 * 20)
    assert first.stats["copies"] == 0, "there are none yet, and few have asked"
    plain, first = pair(Engine(Objects(tmp_path)), many(40), None, hot=300)
    alike(plain, first, 120 * 80)
    assert first.stats["copies"] >= 79
    plain, second = pair(Engine(Objects(tmp_path)), many(40), None, hot=300)
    alike(plain, second, 120 * 7)
    assert second.stats["copies"] >= 79, "what was kept is taken at once"


def test_stencils_that_others_make_meanwhile(tmp_path: Path) -> None:
    """Who began before they were kept may not find them, but takes them from nobody."""
    mine, others = Engine(Objects(tmp_path)), Engine(Objects(tmp_path))
    assert mine.objects.get("looked") is None
    for engine in (others, mine, Engine(Objects(tmp_path))):
        plain, machine = pair(engine, many(40), None)
        alike(plain, machine, 120 * 40)
        assert machine.stats["copies"] >= 79


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
    assert code.static[there].formula == "pc o0 s12 add"


BYTE = {"o0": Place(24, 1)}


def steps_of(stencil: bytes) -> tuple[bytes, int, list[tuple[int, int, int]]]:
    """The code of a stencil, what is known of it, and its steps."""
    size, _, flags, first = HEAD.unpack_from(stencil)
    return stencil[HEAD.size : HEAD.size + size], flags, list(STEP.iter_unpack(stencil[first:]))


def piece(code: bytes, *patches: Patch) -> Piece:
    return Piece(code, patches)


def test_cutting() -> None:
    code = bytes(16) + b"\xe9\0\0\0\0"
    patches = Patch(0, 11, "h", 1), Patch(4, 4, NEXT, -4), Patch(17, 4, NEXT, -4)
    found = cut(piece(code, *patches), {"h": "o0 2 mul"}, {}, ["50 o0 ult"], BYTE, 4)
    cut_code, flags, steps = steps_of(found)
    assert cut_code == bytes(4) + (8).to_bytes(4, "little") + bytes(8), "what goes on behind it has a distance"
    assert flags == COPIED | FALLS
    assert [what for what, _, _ in steps] == [
        *(Step.NUMBER, Step.BYTES1, Step.LT, Step.REFUSE),
        *(Step.BYTES1, Step.NUMBER, Step.MUL, Step.NUMBER, Step.ADD, Step.SIGNED32, Step.END),
    ]


def test_code_with_a_table_is_not_copied() -> None:
    assert cut(piece(bytes(8), Patch(0, 2, ".rodata", 12)), {}, {}, [], {}, 4) == uncopied(4)
    assert not steps_of(uncopied(4))[1] & COPIED


def test_a_jump_at_the_end_is_a_way() -> None:
    code = bytes(4) + b"\xe9\0\0\0\0"
    cut_code, flags, steps = steps_of(cut(piece(code, Patch(5, 4, "j", -4)), {}, {"j": "pc 8 add"}, [], {}, 4))
    assert cut_code == bytes(4)
    assert flags == COPIED | ENDS
    assert steps[-2][:2] == (Step.TAIL, 4)


def test_a_formula_that_is_too_deep_is_not_copied() -> None:
    deep = " ".join(["o0"] * (DEPTH + 1) + ["add"] * DEPTH)
    assert cut(piece(bytes(8), Patch(0, 11, "h", 0)), {"h": deep}, {}, [], BYTE, 4) == uncopied(4)


@pytest.fixture(scope="module")
def fill() -> Callable[[list[bytes], bytes], tuple[int, bytes]]:
    """Does steps on a record; what they give, and what they put into 16 bytes."""

    def source() -> Module:
        return Module(copier().replace("internal i64 @fill", "i64 @fill"), ("fill",))

    made = Engine(Objects(None)).make(source, [], COPIER_PASSES, "fill")
    native = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 5)(made.addresses["fill"])

    def run(program: list[bytes], record: bytes, holds: object = made.library) -> tuple[int, bytes]:
        out = ctypes.create_string_buffer(16)
        arguments = (ctypes.c_uint64 * 4)(1, 2, 3, 4)
        given = native(None, b"".join([*program, step(Step.END)]), out, record, arguments)
        return given, out.raw

    return run


def formula(rng: random.Random, depth: int) -> tuple[str, int]:
    """A formula over numbers, and what it gives."""
    if not depth or rng.random() < 0.2:
        number = rng.choice((0, 1, 63, 64, rng.getrandbits(8), rng.getrandbits(64), ones(64), 1 << 63))
        return str(number), number
    (a, x), (b, y), (c, z) = (formula(rng, depth - 1) for _ in range(3))
    match rng.randrange(4):
        case 0:
            op = rng.choice(("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr"))
            return f"{a} {b} {op}", known(op, x, y, 64) & ones(64)
        case 1:
            op = rng.choice(("eq", "ult", "ule", "slt", "sle"))
            return f"{a} {b} {op}", int(Values.compare(None, op, x, y, 64))  # type: ignore[arg-type]
        case 2:
            return f"{a} {b} eq {b} {c} if", y if x == y else z
        case _:
            bits = rng.randint(1, 64)
            return f"{a} s{bits}", signed(x & ones(bits), bits) & ones(64)


def test_formulas(fill: Callable[[list[bytes], bytes], tuple[int, bytes]]) -> None:
    rng = random.Random(1)
    for _ in range(300):
        text, value = formula(rng, 4)
        found = steps(text, {})
        assert found is not None
        assert fill([found, step(Step.PUT64, 4)], b"") == (0, bytes(4) + value.to_bytes(8, "little") + bytes(4)), text


def test_arguments_and_operands(fill: Callable[[list[bytes], bytes], tuple[int, bytes]]) -> None:
    places = {f"o{i}": Place(at, size) for i, (at, size) in enumerate(((0, 8), (8, 4), (12, 2), (14, 1)))}
    record = bytes(range(1, 17))
    for name, place in places.items():
        found = steps(name, places)
        assert found is not None
        value = record[place.offset : place.offset + place.bytes]
        assert fill([found, step(Step.PUT64)], record) == (0, value + bytes(16 - place.bytes))
    sum_ = steps("pc left disp origin 1000 mul add add add", {})
    assert sum_ is not None
    assert fill([sum_, step(Step.PUT64)], b"") == (0, (1 + 2 + 3 + 4000).to_bytes(16, "little"))


@pytest.mark.parametrize(
    ("put", "low", "high"),
    [
        (Step.PUT32, 0, 1 << 32),
        (Step.SIGNED32, -1 << 31, 1 << 31),
        (Step.PUT16, -1 << 15, 1 << 16),
        (Step.PUT8, -1 << 7, 1 << 8),
    ],
)
def test_what_has_no_room_is_refused(
    fill: Callable[[list[bytes], bytes], tuple[int, bytes]], put: Step, low: int, high: int
) -> None:
    bytes_ = {Step.PUT16: 2, Step.PUT8: 1}.get(put, 4)
    for number in (low, high - 1):
        held = (number & ones(8 * bytes_)).to_bytes(bytes_, "little")
        assert fill([step(Step.NUMBER, 0, number), step(put, 1)], b"") == (0, b"\0" + held + bytes(15 - bytes_))
    for number in (low - 1, high):
        assert fill([step(Step.NUMBER, 0, number), step(put, 1)], b"") == (1, bytes(16))


def test_an_instruction_refuses(fill: Callable[[list[bytes], bytes], tuple[int, bytes]]) -> None:
    for number in (0, 1):
        assert fill([step(Step.NUMBER, 0, number), step(Step.REFUSE)], b"")[0] == number


def test_what_becomes_hot_late_must_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "LONGEST", 1e9)
    plain, mine = pair(Engine(Objects(None)), BLOCKS.replace("sw x10, 0x10(x9)\n", ""), 1e9, lasting=0.5)
    mine._ran = 100.0
    alike(plain, mine, 5000)
    assert mine.stats["regions"] == 0
    mine._ran += 200.0
    alike(plain, mine, 5000)
    assert mine.stats["regions"]
