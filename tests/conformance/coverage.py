"""How much of a spec a comparison has reached: each instruction, in each mode, often enough.

An instruction counts where it was compared, be it but for single bits that a deviation excuses, and it counts as
completed where it did not trap there.  What never completes in a mode, or cannot be compared in it, is listed with the
reason; an entry that is not needed is as wrong as one that is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from conformance.adapter import Adapter

LEAST = 5
"""How often each instruction is to be compared, and to complete, in each mode."""

Place = tuple[str, str]
"""An instruction's name, and that of a mode."""


@dataclass(slots=True)
class Reached:
    """How often instructions were compared, and how often they completed."""

    compared: Counter[Place] = field(default_factory=Counter)
    completed: Counter[Place] = field(default_factory=Counter)

    def add(self, place: Place, completed: bool) -> None:
        """Counts one comparison."""
        self.compared[place] += 1
        self.completed[place] += completed


@dataclass(frozen=True, slots=True)
class Exception_:
    """Instructions that do not complete in these modes, or are not even compared, and why.

    `instructions` and `modes` are regular expressions for whole names.
    """

    instructions: str
    modes: str
    reason: str
    compared: bool = True

    def covers(self, place: Place) -> bool:
        """Whether the entry is about this instruction in this mode."""
        instruction, mode = place
        return re.fullmatch(self.instructions, instruction) is not None and re.fullmatch(self.modes, mode) is not None


M68000 = (
    Exception_("illegal|trap_n|line_1010|line_1111", ".*", "traps always"),
    Exception_("(andi|eori|ori|move)_to_sr|move_(to|from)_usp|reset_|rte|stop", "user", "privileged"),
)

RV64 = (
    Exception_("ecall|(c.)?ebreak", ".*", "traps always"),
    Exception_("mret", "S|U", "privileged"),
    Exception_("sret|wfi|sfence.vma", "U", "privileged"),
    Exception_("csrrwi?", "U", "writes its register, and the registers of U are read-only"),
)

IA32 = (
    Exception_("int|int3|ud2", ".*", "traps always"),
    Exception_(
        "lgdt|lidt|lldt|ltr|lmsw|clts|hlt|invd|wbinvd|invlpg|mov_(from|to)_[cd]r|rdmsr|wrmsr", "[123]", "privileged"
    ),
)

S370 = (
    Exception_("diag", "supervisor", "depends on the model", compared=False),
    Exception_("sigp", "supervisor", "may stop the oracle", compared=False),
    Exception_("tb", "supervisor", "leaves the storage key unpredictable, so that only its traps are compared"),
    Exception_("svc", ".*", "traps always"),
    Exception_("lpsw|ssm|stnsm|stosm|lctl|stctl|lra|diag|sigp|lasp|tprot", "problem", "privileged"),
    Exception_("ssk|isk|rrb|sske|iske|rrbe|tb|ptlb|ipte|spx|stpx|stap|stidp", "problem", "privileged"),
    Exception_("sck|sckc|spt|stckc|stpt", "problem", "privileged"),
    Exception_("sio|siof|tio|clrio|hio|hdv|tch|concs|discs|stidc", "problem", "privileged"),
)

KA10 = (
    Exception_("blki|blko|datai|datao|cono|coni|consz|conso", "exec|user_io", "another in-out system", compared=False),
    Exception_("blki|blko|datai|datao|cono|coni|consz|conso", "user", "privileged"),
    Exception_("muuo|unassigned", ".*", "traps always"),
    Exception_("nop257", ".*", "an instruction of the KS10", compared=False),
    Exception_("jrst.4", "user_io", "the KS10 traps, the KA10 halts", compared=False),
    Exception_("jrst.5", "user", "an instruction of the KS10", compared=False),
    Exception_("jrst.([467]|1[0-7])", "user", "privileged"),
    Exception_("jrst.(3|[5-7]|11|1[3-7])", ".*", "an instruction of the KS10", compared=False),
)

EXCEPTIONS: Mapping[str, tuple[Exception_, ...]] = {
    "m68000": M68000,
    "m68010": (
        *M68000,
        Exception_("bkpt", ".*", "traps always"),
        Exception_("move_from_sr.*|movec.*|moves.*", "user", "privileged"),
    ),
    "rv64": RV64,
    "ia32": IA32,
    "s370": S370,
    "ka10": KA10,
}


def exception_of(machine: str, place: Place) -> Exception_ | None:
    """The entry about an instruction in a mode."""
    return next((entry for entry in EXCEPTIONS.get(machine, ()) if entry.covers(place)), None)


def places(adapter: Adapter) -> Iterator[Place]:
    """Every instruction in every mode."""
    for instruction in adapter.isa.instructions:
        for mode in adapter.isa.mode.modes():
            yield instruction.name, mode.name


def is_wanting(machine: str, reached: Reached, place: Place) -> bool:
    """Whether an instruction was compared too rarely in a mode, or completed too rarely."""
    entry = exception_of(machine, place)
    if entry is None:
        return reached.completed[place] < LEAST
    return entry.compared and reached.compared[place] < LEAST


def wanting(adapter: Adapter, reached: Reached) -> list[Place]:
    """The places that were reached too rarely."""
    return [place for place in places(adapter) if is_wanting(adapter.machine, reached, place)]


def needless(adapter: Adapter, reached: Reached) -> list[Place]:
    """Listed places where an instruction does complete, or is compared."""
    found: list[Place] = []
    for place in places(adapter):
        entry = exception_of(adapter.machine, place)
        if entry is not None and (reached.completed if entry.compared else reached.compared)[place]:
            found.append(place)
    return found
