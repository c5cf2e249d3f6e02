"""Red pills: a hole as a program, which prints REAL on the machine and VIRTUAL under a plain monitor that is forced.

A pill is brewed from the witness of a hole.  Beginnings are tried near the board's: operands, registers, what they
point to, and the state that the instruction is about, with numbers from the witness, from the board and from the
monitor's own state.  Where bare and virtual machine are not the same after one step, the program looks at what
differs, after one more instruction if need be, and then speaks: both in the words of the board.

The instruction is the one that the analysis names; everything else is the machine's own text, and the board's.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from analyzer import ir
from analyzer.errors import AssemblyError, UsageError
from analyzer.report import Hole
from emulator.board import Board, SpeechTable
from emulator.decode import completed, decode_units, encode
from emulator.disassemble import show
from emulator.image import of_program
from emulator.monitor.monitor import Monitor
from emulator.monitor.plan import map_reads, reads
from emulator.monitor.twins import Dose, Parted, Place, Twins
from emulator.program import assemble
from emulator.state import split

SIZE = 1 << 14
"""Units of RAM that a pill has."""

PILL, TRAPPED, VIRTUAL, SPOTS, SAVED = 0x1000, 0x1800, 0x1C00, 0x2000, 0x3800
"""Where the instruction stands, where traps lead, where a program goes that has seen the monitor, from where on data
lie, and where registers are saved."""

SPOT, SPOT_COUNT = 0x100, 16
"""Units of data that a register points to the middle of, and how many such spots there are."""

TRIES = 6_000
"""Runs of the two machines for one hole."""

PROBES = 40
"""Instructions that are tried to make a difference visible."""

SAME = 6
"""Beginnings of which more is tried, of those that differ in the same places."""

LOOKS = 64
"""Steps that looking may take."""

ALIGNED = 16
"""Units to which no machine aligns more than."""

BUDGET = 2_000
"""Steps that a pill may take."""

WORDS = (b"REAL", b"VIRTUAL")


@dataclass(frozen=True, slots=True)
class Pill:
    """A program that tells: for the hole of this instruction, under this scheme."""

    instruction: str
    scheme: str
    program: str

    @property
    def file(self) -> str:
        """A name for the program."""
        return f"{self.instruction.replace(' ', '_')}.s"


@dataclass(frozen=True, slots=True)
class Touched:
    """What a block's text reads and writes, procedures included: elements, files, and the maps of its accesses."""

    reads: set[str]
    writes: set[str]
    maps: set[str]

    @staticmethod
    def of(isa: ir.Isa, block: ir.Block) -> Touched:
        """Of a block."""
        out, seen, blocks = Touched(set(), set(), set()), set[str](), [block]
        while blocks:
            for stmt in ir.statements(blocks.pop()):
                for expr in ir.expressions(stmt):
                    out.reads.update(reads(expr))
                match stmt:
                    case ir.Set():
                        out.writes.add(stmt.element)
                    case ir.SetEntry():
                        out.writes.add(stmt.file)
                    case ir.Load() | ir.Store() if not stmt.access.table:
                        out.maps.add(stmt.access.space)
                    case ir.Call() if stmt.procedure not in seen:
                        seen.add(stmt.procedure)
                        blocks.append(isa.procedures[stmt.procedure].body)
                    case _:
                        pass
        return out


@dataclass(frozen=True, slots=True)
class Step:
    """Text at an address: an instruction, or some in the board's words (`whole`), which are gone through to their
    end."""

    at: int
    text: str
    units: tuple[int, ...]
    whole: bool = False

    @property
    def end(self) -> int:
        return self.at + len(self.units)


@dataclass(frozen=True, slots=True)
class Ingredients:
    """A beginning, and the instructions with their addresses: that of the hole, and those that lead on."""

    places: Mapping[Place, int]
    data: Mapping[int, int]
    code: tuple[Step, ...]


class Brewer:
    """Seeks pills for the holes of one scheme of a machine on its board, under a forced plain monitor."""

    def __init__(self, isa: ir.Isa, board: Board, monitor: Monitor, seed: int = 0) -> None:
        if board.speech is None:
            raise UsageError(f"the board {board.name} does not say how a program speaks", "its table `speech` would")
        self.isa = isa
        self.board = board
        self.speech: SpeechTable = board.speech
        self.scheme = monitor.plan.scheme
        self.monitor = monitor
        self.seed = seed
        self.random = random.Random(seed)
        self.origin = board.ram[0].base
        self.at, self.trapped = self.origin + PILL, self.origin + TRAPPED
        self.frame = assemble(isa, self._before() + f"\n.org {self.at}\nstart:\n", self.origin)
        self.twins = Twins(isa, board, of_program(replace(self.frame, entry=self.at)), monitor, SIZE)
        self.touched = {i.name: Touched.of(isa, i.body) for i in isa.instructions}
        self.unit = isa.unit
        self.runs = 0
        self._known: dict[tuple[bytes, int], tuple[int, ...]] = {}
        self.virtual, self.saved = self.origin + VIRTUAL, self.origin + SAVED
        self.spots = [self.origin + SPOTS + SPOT * i for i in range(SPOT_COUNT)]
        self.own = self._numbers()
        self.monitors = self._monitors()

    # -- text ----------------------------------------------------------------------------------------------------------

    def _before(self) -> str:
        return f".equ trapped, {self.trapped:#x}\n{self.speech.before}"

    def _say(self, word: bytes) -> str:
        said = "\n".join(self.speech.say.replace("{char}", f"{char:#x}") for char in word)
        return f"{said}\n{self.speech.stop}"

    def text(self, given: Ingredients, pcs: tuple[int, int], subject: str) -> str:
        """The pill as a program."""
        lines = [f"; The hole of {subject} ({self.isa.name}, scheme {self.scheme.name}) as a program."]
        lines += [f"        .equ trapped, {self.trapped:#x}", self.speech.before.strip("\n")]
        for (name, index), value in given.places.items():
            place = name if index is None else f"{name}[{index}]"
            lines.append(f"        .start {place}, {value:#x}")
        lines += [f"        .org {self.at:#x}", "start:"]
        at = self.at
        for step in given.code:
            if step.at != at:
                lines.append(f"        .org {step.at:#x}")
            lines += [f"        {line.strip()}" for line in step.text.splitlines() if line.strip()]
            at = step.end
        for label, word, pc in zip(("real:", "virtual:"), WORDS, pcs, strict=True):
            lines += [f"        .org {pc:#x}", label]
            lines += [f"        {line.strip()}" for line in self._say(word).splitlines() if line.strip()]
        last = None
        for address, unit in sorted(given.data.items()):
            if last is None or address != last + 1:
                lines.append(f"        .org {address:#x}")
            lines.append(f"        .unit {unit:#x}")
            last = address
        return "\n".join(lines) + "\n"

    def _step(self, at: int, instruction: ir.Instruction, operands: Mapping[str, int]) -> Step | None:
        """An instruction as the assembler has it, or as units where that is another one; None if these operands have no
        encoding."""
        try:
            operands = completed(self.isa, instruction, operands)
            units = tuple(encode(self.isa, instruction, operands))
        except (UsageError, KeyError):
            return None
        text = show(self.isa, instruction, operands, at)
        return Step(at, text, units)

    def _plain(self, step: Step) -> Step:
        """The step with text that makes its units."""
        if step.whole or self._units(step.text, step.at) == step.units:
            return step
        return replace(step, text=f".unit {', '.join(f'{u:#x}' for u in step.units)}  ; {step.text}")

    def _words(self, at: int, text: str, **given: int) -> Step | None:
        """Some of the board's words; None if it has none, or they do not fit there."""
        for name, value in {"saved": self.saved, "label": self.virtual, **given}.items():
            text = text.replace(f"{{{name}}}", f"{value:#x}")
        units = self._units(text, at) if text.strip() else ()
        return Step(at, text, units, whole=True) if units else None

    def _units(self, text: str, at: int) -> tuple[int, ...]:
        try:
            return tuple(assemble(self.isa, text, at).cells.values())
        except AssemblyError:
            return ()

    # -- brewing -------------------------------------------------------------------------------------------------------

    def brew(self, hole: Hole) -> Pill | None:
        """A pill for a hole; None: none was found, as where the two machines part in what no program sees."""
        self.random.seed(f"{self.seed} {hole.instruction}")
        start = self._of_witness(hole)
        if start is None:
            return None
        seen: Counter[tuple[Place, ...]] = Counter()
        self.runs = 0
        for given in self._beginnings(*start):
            if self.runs > TRIES:
                return None
            parted = self._run(given)
            if parted is None or (parted.pcs[0] == parted.pcs[1] and not parted.places):
                continue
            kind = tuple(sorted(parted.places, key=str))[:3]
            seen[kind] += 1
            for led, pcs in self._led(given, parted, seen[kind] <= SAME):
                if self._tells(led, pcs):
                    led = self._least(led, pcs)
                    return Pill(hole.instruction, self.scheme.name, self.text(led, pcs, hole.instruction))
        return None

    def _of_witness(self, hole: Hole) -> tuple[ir.Instruction, Mapping[str, int], list[int]] | None:
        """The instruction and operands of a hole's witness, and the numbers in it."""
        witness = hole.witness
        if witness is None or not witness.encoding:
            return None
        units = [int(unit, 16) for unit in witness.encoding.split()]
        decoded = decode_units(self.isa, units)
        if decoded is None:
            return None
        texts = [t for cell in (*witness.inputs, *witness.outcome) for t in (cell.virtual, cell.real) if t is not None]
        return decoded.instruction, decoded.operands, [n for t in texts if (n := _number(t)) is not None]

    def _monitors(self) -> list[int]:
        """What the monitor holds in registers in which the guest has something else."""
        start, real = self.twins.start, self.monitor.machines[-1].grant.held
        names = [n for n, register in self.isa.registers.items() if register.size is None]
        found = {real.read(n) for n in (*names, *start.elements)} - {start.read(n) for n in (*names, *start.elements)}
        return sorted(found)

    def _numbers(self) -> list[int]:
        """Numbers that mean something to one of the two machines: what their registers hold."""
        found: dict[int, None] = dict.fromkeys((0, 1, self.at, self.trapped))
        real = self.monitor.machines[-1].grant.held
        for state in (self.twins.start, real):
            found.update(dict.fromkeys(state.elements.values()))
            for name, register in self.isa.registers.items():
                if register.size is None:
                    found[state.read(name)] = None
        return list(found)

    def _run(self, given: Ingredients) -> Parted | None:
        """Both machines through all of the instructions; None if they do not go through them together."""
        parted = None
        self.runs += 1
        self.twins.begin(self._dose(given, {}))
        for step in given.code:
            if parted is not None and parted.pcs != (step.at, step.at):
                return None
            parted = self.twins.go(step.end, LOOKS) if step.whole else self.twins.steps(1)
            if parted is None:
                return None
        return parted

    def _dose(self, given: Ingredients, more: Mapping[int, int]) -> Dose:
        code = {step.at + i: unit for step in given.code for i, unit in enumerate(step.units)}
        return Dose(given.places, {**given.data, **code, **more})

    # -- beginnings ----------------------------------------------------------------------------------------------------

    def _beginnings(
        self, instruction: ir.Instruction, operands: Mapping[str, int], hints: Sequence[int]
    ) -> Iterator[Ingredients]:
        """Beginnings without end, the plainest first."""
        text = self.touched[instruction.name]
        guest = {n for n, f in self.isa.files.items() if f.role is ir.Role.GUEST}
        touched = (text.reads | text.writes) - guest
        about = sorted(n for n in touched if n in self.isa.elements and n != self.isa.fetch.pc)
        about += sorted(n for n in touched if n in self.isa.files)
        fixed = {o.name for o in instruction.operands if o.cases}
        pool = [*hints, *self.own, *self.spots]
        pool += self.monitors * (len(pool) // (2 * len(self.monitors) or 1))
        chance = self.random
        for number in range(1 << 30):
            share = min(0.5, number / 200)
            places: dict[Place, int] = {}
            for name in sorted(guest):
                file = self.isa.files[name]
                for index in range(file.size):
                    if index not in file.zeros:
                        middle = self.spots[index % SPOT_COUNT] + SPOT // 2
                        value = middle if chance.random() < 0.7 else self._value(file.width, pool)
                        places[name, index] = value & (1 << file.width) - 1
            for name in about:
                if chance.random() < share:
                    place: Place = (
                        (name, None)
                        if name in self.isa.elements
                        else (name, chance.randrange(self.isa.files[name].size))
                    )
                    places[place] = self._legal(name, pool)
            changed = {
                o.name: self._operand(o, pool) if o.name not in fixed and chance.random() < share else operands[o.name]
                for o in instruction.operands
            }
            changed = {**operands, **changed}
            step = self._step(self.at, instruction, changed)
            if step is not None:
                yield Ingredients(places, self._data(pool, share), (step,))

    def _data(self, pool: Sequence[int], share: float) -> Mapping[int, int]:
        """Numbers around the middles of all spots, all of one width."""
        chance, unit = self.random, self.unit
        width = chance.choice([w for w in (unit, 16, 32, 64) if w >= unit and w % unit == 0])
        data: dict[int, int] = {}
        if chance.random() > share + 0.2:
            return data
        one = self._value(width, pool)
        for spot in self.spots:
            at = spot + SPOT // 2
            for _ in range(6):
                value = one if chance.random() < 0.4 else self._value(width, pool)
                value = chance.choice(self.monitors) if self.monitors and chance.random() < 0.2 else value
                for part in split(value & (1 << width) - 1, width, unit, self.isa.endian):
                    data[at] = part
                    at += 1
        return data

    def _value(self, width: int, pool: Sequence[int]) -> int:
        chance = self.random
        some = chance.choice(pool) if chance.random() < 0.85 else chance.getrandbits(width)
        return some & (1 << width) - 1

    def _legal(self, name: str, pool: Sequence[int]) -> int:
        element = self.isa.elements.get(name)
        if element is None:
            return self._value(self.isa.files[name].width, pool)
        return self.random.choice(element.legal) if element.legal else self._value(element.width, pool)

    def _operand(self, operand: ir.OperandField, pool: Sequence[int]) -> int:
        if operand.width > 4 and self.random.random() < 0.6:
            return self._value(operand.width, pool)
        return self.random.getrandbits(operand.width)

    # -- looking -------------------------------------------------------------------------------------------------------

    def _led(self, given: Ingredients, parted: Parted, thorough: bool) -> Iterator[tuple[Ingredients, tuple[int, int]]]:
        """Programs, perhaps longer ones, at whose end the program counters differ."""
        yield from self._looked(given, parted)
        if thorough and parted.pcs[0] == parted.pcs[1]:
            for more, after in self._extended(given, parted):
                yield from self._looked(more, after)

    def _looked(self, given: Ingredients, parted: Parted) -> Iterator[tuple[Ingredients, tuple[int, int]]]:
        """The program as it is, if the two are at different places or the next step traps in one of them; or else with
        a look at what differs."""
        here = parted.pcs[0]
        if here != parted.pcs[1]:
            yield given, parted.pcs
            return
        yield given, (self.trapped, here)
        yield given, (here, self.trapped)
        seen: tuple[Ingredients, Parted] | None = (given, parted)
        if not any(name == self.twins.memory for name, _ in parted.places):
            seen = self._followed(given, self._words(here, self.speech.save))
        if seen is not None:
            given, parted = seen
            for (name, address), (value, _) in parted.places.items():
                if name == self.twins.memory and address is not None:
                    look = self._words(parted.pcs[0], self.speech.unlike, address=address, value=value)
                    if look is not None:
                        yield replace(given, code=(*given.code, look)), (look.end, self.virtual)
                        return

    def _followed(self, given: Ingredients, step: Step | None) -> tuple[Ingredients, Parted] | None:
        """The program with a step more."""
        if step is None or not self._free(given)(step.at, len(step.units)):
            return None
        more = replace(given, code=(*given.code, step))
        after = self._run(more)
        return None if after is None else (more, after)

    def _extended(self, given: Ingredients, parted: Parted) -> Iterator[tuple[Ingredients, Parted]]:
        """The program with one instruction more, of those that are about what differs."""
        names = {name for name, _ in parted.places}
        fitting = [i for i in self.isa.instructions if names & self.touched[i.name].reads]
        fitting += [i for i in self.isa.instructions if names & self._walked(i)]
        pool = [*self.own, *self.spots, *(v for pair in parted.places.values() for v in pair)]
        for _ in range(PROBES if fitting else 0):
            instruction = self.random.choice(fitting)
            operands = {o.name: self._operand(o, pool) for o in instruction.operands}
            for operand in instruction.operands:
                cases = [v for _, values in operand.cases for v in values]
                if cases:
                    operands[operand.name] = self.random.choice(cases)
            found = self._followed(given, self._step(parted.pcs[0], instruction, operands))
            if found is not None and (found[1].pcs[0] != found[1].pcs[1] or found[1].places):
                yield found

    def _walked(self, instruction: ir.Instruction) -> set[str]:
        """What the maps read that an instruction's accesses go through."""
        found: set[str] = set()
        for name in self.touched[instruction.name].maps:
            space = self.isa.spaces[name]
            while isinstance(space, ir.Map):
                found |= map_reads(self.isa, space)[0]
                space = self.isa.spaces[space.below]
        return found

    # -- tasting -------------------------------------------------------------------------------------------------------

    def _tells(self, given: Ingredients, pcs: tuple[int, int]) -> bool:
        """Does the program print what it should?"""
        cells = self._whole(given, pcs)
        return cells is not None and self.twins.told(self._dose(given, cells), BUDGET) == WORDS

    def _free(self, given: Ingredients) -> Callable[[int, int], bool]:
        """Whether so many units from an address on are not in use."""
        taken = set(self.frame.cells) | set(given.data)
        taken |= {at for step in given.code for at in range(step.at, step.end)}
        end = self.origin + SIZE
        return lambda at, count: self.origin <= at <= end - count and taken.isdisjoint(range(at, at + count))

    def _whole(self, given: Ingredients, pcs: tuple[int, int]) -> Mapping[int, int] | None:
        """What is to stand where the two machines go; None if it has no room there."""
        free = self._free(given)
        cells: dict[int, int] = {}
        for word, pc in zip(WORDS, pcs, strict=True):
            said = self._placed(word, pc)
            here = range(pc, pc + len(said))
            if not free(pc, len(said)) or any(at in cells for at in here):
                return None
            cells.update(zip(here, said, strict=True))
        return cells

    def _placed(self, word: bytes, pc: int) -> tuple[int, ...]:
        """The units of what is said, at an address: they are the same at all that are aligned alike."""
        alike = word, pc % ALIGNED
        if alike not in self._known:
            self._known[alike] = self._units(self._say(word), self.at + alike[1]) or (0,) * (SIZE + 1)
        return self._known[alike]

    def _least(self, given: Ingredients, pcs: tuple[int, int]) -> Ingredients:
        """With as little in the beginning as is needed, and instructions as the assembler would have them."""
        for place in list(given.places):
            fewer = replace(given, places={p: v for p, v in given.places.items() if p != place})
            given = fewer if self._tells(fewer, pcs) else given
        for chunk in (64, 8, 4, 2, 1):
            addresses = sorted(given.data)
            for i in range(0, len(addresses), chunk):
                gone = set(addresses[i : i + chunk])
                fewer = replace(given, data={a: u for a, u in given.data.items() if a not in gone})
                given = fewer if self._tells(fewer, pcs) else given
        return replace(given, code=tuple(self._plain(step) for step in given.code))


def _number(text: str) -> int | None:
    """A number as a report has it."""
    try:
        return int(text, 0)
    except ValueError:
        return None


__all__ = ["Brewer", "Pill"]
