"""Random vectors from a spec's own encodings, the same for the same seed.

An instruction, random operands and a random scene are executed once by the reference; the memory that this touches
becomes the vector's windows. Scenes in which the memory access faults are drawn again most of the time.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

from analyzer import ir
from conformance.adapter import Adapter, Scene, number
from conformance.vector import Vector
from emulator.decode import Decoded, decode_units, encode, present
from emulator.disassemble import disassemble
from emulator.evaluate import hashed
from emulator.reference import code as compiled
from emulator.reference.events import Event, Policy, Stuck, Trapped
from emulator.reference.machine import Machine
from emulator.reference.run import Leave, Run
from emulator.state import State

ATTEMPTS = 12
FAULTS = 0.15
"""How often a memory fault is kept at the first attempt."""
MARGIN = 8
"""Windows begin and end at multiples of this, in bytes, where a unit of memory is a byte."""
LONGEST = 16
ENCODINGS = 100
"""How many operands are tried until `where` holds."""
ROUNDS = 500
"""How many steps of the reference an instruction may take, as a block transfer."""
DRAWS = 2000
"""How many vectors of an instruction in a mode are drawn at most."""


class Barren(Exception):
    """No attempt made a vector."""


def vectors(adapter: Adapter, count: int, seed: int) -> Iterator[Vector]:
    """`count` vectors; the one at an index depends on the seed and the index alone."""
    families: dict[str, list[ir.Instruction]] = {}
    for instruction in adapter.isa.instructions:
        families.setdefault(instruction.family, []).append(instruction)
    pool = list(families.values())
    for index in range(count):
        rng = random.Random(f"{adapter.machine} {seed} {index}")
        while True:
            group = rng.choice(pool) if rng.random() < 0.5 else adapter.isa.instructions
            try:
                yield vector_of(adapter, rng, rng.choice(group), index)
            except Barren:
                continue
            break


def vector_of(
    adapter: Adapter, rng: random.Random, instruction: ir.Instruction, index: int, mode: str | None = None
) -> Vector:
    """A vector of this instruction, or near it if it is to be undefined, in a mode or any.

    Raises:
        Barren: no attempt made one.
    """
    isa = adapter.isa
    undefined = rng.randrange(100) < adapter.undefined
    accesses = any(isinstance(s, (ir.Load, ir.Store, ir.Call)) for s in ir.statements(instruction.body))
    for attempt in range(ATTEMPTS):
        decoded, units = _encoding(adapter, instruction, rng, undefined)
        pointers = rng.random() < (0.85 if accesses else 0.15)
        scene = adapter.scene(rng, pointers, instruction, mode)
        if rng.random() < 0.05:
            scene.fill = rng.choice((0, 0xFF))
        before = adapter.state({**adapter.oracles()[0].base, **scene.registers})
        code = adapter.packed(units)
        scene.put(scene.code, code)
        event, after, touched = _dry_run(adapter, before, scene)
        landing = adapter.landing(event, after)
        if landing is not None:
            scene.put(landing, adapter.oracle_stops_at)
            event, after, touched = _dry_run(adapter, before, scene)
            if adapter.landing(event, after) != landing or not _intact(
                adapter, scene, adapter.packed(units), after, landing
            ):
                continue
        if isinstance(event, Stuck) or not all(map(adapter.addressable, touched)):
            continue
        if not adapter.accepts(scene, event, after, touched):
            continue
        fault = isinstance(event, Trapped) and event.memory
        if fault and attempt < ATTEMPTS - 1 and rng.random() > FAULTS:
            continue
        touched.update(adapter.always(scene))
        pc = scene.registers.get(isa.fetch.pc, 0)
        text = "undefined" if decoded is None else f"{instruction.name}: {disassemble(isa, decoded, pc)}"
        return Vector(
            f"{index:06} {text}",
            b"" if scene.translated else code,
            scene.registers,
            _windows(touched, scene.content(), adapter),
        )
    raise Barren


def directed(adapter: Adapter, name: str, mode: str, seed: int) -> Iterator[Vector]:
    """Vectors of one instruction that start in one mode, as many as DRAWS draws give."""
    instruction = next(i for i in adapter.isa.instructions if i.name == name)
    for draw in range(DRAWS):
        rng = random.Random(f"{adapter.machine} {seed} {name} {mode} {draw}")
        with contextlib.suppress(Barren):
            vector = vector_of(adapter, rng, instruction, draw, mode)
            if f" {name}: " in vector.name:
                yield vector


def _encoding(
    adapter: Adapter, instruction: ir.Instruction, rng: random.Random, undefined: bool
) -> tuple[Decoded | None, tuple[int, ...]]:
    """An encoding of the instruction with random operands, or one near it that no instruction has.

    Raises:
        Barren: none was found.
    """
    isa = adapter.isa
    for _ in range(ENCODINGS):
        units = encode(isa, instruction, _placed(isa, instruction, operands_of(adapter, instruction, rng)))
        if undefined:
            units = _spoiled(units, rng)
            if decode_units(isa, units + (0,) * LONGEST) is None:
                return None, units
            continue
        decoded = decode_units(isa, units)
        if decoded is not None and decoded.instruction is instruction:
            return decoded, units
    raise Barren


def _spoiled(units: tuple[int, ...], rng: random.Random) -> tuple[int, ...]:
    """With some bits of the first units inverted, or all of them random."""
    spoiled = list(units)
    for _ in range(rng.choice((1, 1, 2, 3))):
        spoiled[rng.randrange(min(len(spoiled), 4))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.3:
        spoiled[:4] = [rng.getrandbits(8) for _ in spoiled[:4]]
    return tuple(spoiled)


def _placed(isa: ir.Isa, instruction: ir.Instruction, operands: dict[str, int]) -> dict[str, int]:
    """The operands without the bits that have no place in the encoding, as of a displacement that is not there."""
    masks = dict.fromkeys((prefix.name for prefix in isa.prefixes), -1)
    for segment in present(isa, instruction, operands):
        for part in segment.fields:
            masks[part.operand] = masks.get(part.operand, 0) | (1 << part.length) - 1 << part.operand_lo
    return {name: value & masks.get(name, 0) for name, value in operands.items()}


def operands_of(adapter: Adapter, instruction: ir.Instruction, rng: random.Random) -> dict[str, int]:
    """Random values for the operands and the prefixes."""
    values: dict[str, int] = {}
    for operand in instruction.operands:
        preferred = adapter.operand(rng, instruction, operand.name) if rng.random() < 0.8 else None
        if preferred is not None:
            values[operand.name] = preferred
        elif operand.cases and rng.random() < 0.95:
            named = [case for case in operand.cases if case[1]]
            values[operand.name] = rng.choice(rng.choice(named)[1])
        elif rng.random() < (0.15 if operand.width < 7 else 0.02):
            values[operand.name] = 0
        elif operand.width >= 12 and rng.random() < 0.5:
            values[operand.name] = rng.randrange(-64, 64) & (1 << operand.width) - 1
        else:
            values[operand.name] = rng.getrandbits(operand.width) if operand.width < 7 else number(rng, operand.width)
    named_by = {e.name for e in _where_operands(instruction)}
    for prefix in adapter.isa.prefixes:
        if rng.random() < (0.5 if prefix.name in named_by else 0.06):
            values[prefix.name] = rng.choice([value for _, value in prefix.values])
    return values


def _where_operands(instruction: ir.Instruction) -> Iterator[ir.Operand]:
    if instruction.where is not None:
        for expr in ir.subterms(instruction.where):
            if isinstance(expr, ir.Operand):
                yield expr


def _intact(adapter: Adapter, scene: Scene, code: bytes, after: State, landing: int) -> bool:
    """Whether what the oracle stops at lies beside the code, and is still there after the instruction."""
    content, cells, stop = scene.content(), after.memories[adapter.memory], adapter.oracle_stops_at
    return bytes(content(scene.code + i) for i in range(len(code))) == code and stop == bytes(
        cells[landing + i] for i in range(len(stop))
    )


def _dry_run(adapter: Adapter, before: State, scene: Scene) -> tuple[Event, State, set[int]]:
    """What the instruction does in a scene, the state after it, and the physical addresses that it touches."""
    touched: set[int] = set()
    content, per = scene.content(), adapter.unit_bytes

    def look(address: int) -> int:
        unit = range(address * per, (address + 1) * per)
        touched.update(unit)
        return int.from_bytes(bytes(map(content, unit)), "big")

    def choose(name: str, args: tuple[int, ...], width: int) -> int:
        chosen = adapter.arbitrary(name, args, width)
        return hashed(name, args, width) if chosen is None else chosen

    start = before.copy()
    start.memories[adapter.memory].default = look
    after = start.copy()
    machine = Machine(adapter.isa, after, Policy(arbitrary=choose))
    event = machine.step()
    rounds = 1
    while adapter.again(event, start, after):
        if rounds == ROUNDS:
            return Stuck(f"more than {ROUNDS} steps"), after, touched
        event, rounds = machine.step(), rounds + 1
    if adapter.goes_on(event):
        _fetch(adapter.isa, after)
    touched.update(at * per for at in after.memories[adapter.memory])
    return event, after, touched


def _fetch(isa: ir.Isa, state: State) -> None:
    """Looks at the instruction at the program counter, for what this touches."""
    run = Run(compiled.code(isa), state, Policy())
    args = tuple(None if arg is None else arg(run, {}) for arg in compiled.code(isa).fetch_args)
    with contextlib.suppress(Leave):
        run.load(isa.fetch.space, state.pc(), isa.fetch.parcel, "fetch", args, False)
    run.undo()


def _windows(touched: set[int], content: Callable[[int], int], adapter: Adapter) -> dict[int, bytes]:
    """The touched addresses with some margin, as windows."""
    margin = MARGIN if adapter.unit_bytes == 1 else adapter.unit_bytes
    blocks = sorted({address - address % margin for address in touched})
    windows: dict[int, bytearray] = {}
    end = start = -1
    for block in blocks:
        if block != end:
            start = block
            windows[start] = bytearray()
        windows[start] += bytes(content(block + i) if adapter.addressable(block + i) else 0 for i in range(margin))
        end = block + margin
    return {address: bytes(data) for address, data in windows.items()}
