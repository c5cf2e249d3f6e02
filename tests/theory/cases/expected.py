"""What is to be found on each of the micro-machines beside this file.

One line per machine, scheme and instruction (or case of an operand).  `classes` are those of the definitions, in the
extended profile:

    control location mode configuration combined user_control user_location user_configuration

A privileged instruction that completes in supervisor mode is mode sensitive for that alone; `classes` does not list it
(`only_by_trap` says so).  Where the definitions leave a class open, it is in `may`, and a test accepts both answers.

Conditions are expressions of the language over the virtual state.  They are about the body: that the instruction can be
fetched, in the virtual machine and in the real one (`pc < b`, for the b of each), is left out.  "1" is every state.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one instruction.

    `hole` and `stuck` are conditions, None where there is none.  `monitored` is "privileged under the monitor", where
    it differs from `privileged`.  `pg74_privileged` and `pg74_sensitive` are the column of 1974, and `theorems` those
    that apply (1, 2, 3, on this instruction alone), None where not given.  `operand` is the name of an `OperandField`
    case.  `time`: the instruction is listed as depending on time.
    """

    machine: str
    scheme: str
    instruction: str
    operand: str | None = None
    classes: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    only_by_trap: bool = False
    privileged: bool = False
    monitored: bool | None = None
    trap_only: bool = False
    hole: str | None = None
    restartable: bool = True
    stuck: str | None = None
    pg74_privileged: bool | None = None
    pg74_sensitive: bool | None = None
    theorems: frozenset[int] | None = None
    time: bool = False


def words(text: str) -> frozenset[str]:
    """The classes named in `text`; `u-control` is short for `user_control`."""
    return frozenset(text.replace("u-", "user_").split())


NOT_APPLICABLE = frozenset({"case34"})
"""Machines on which no question about modes has an answer."""

INTERCEPTS: dict[tuple[str, str], dict[str, int]] = {("case32", "tvm"): {"TVM": 1, "TSR": 0}}
"""The smallest settings of the intercepts that leave no hole and nothing stuck."""

ALWAYS = "1"
ALL = frozenset({1, 2, 3})

EXPECTED = (
    Expected("case01", "classic", "load", pg74_privileged=False, pg74_sensitive=False, theorems=ALL),
    Expected("case01", "classic", "store", pg74_privileged=False, pg74_sensitive=False, theorems=ALL),
    Expected("case02", "classic", "call", trap_only=True, theorems=ALL),
    Expected("case02", "classic", "break", trap_only=True, theorems=ALL),
    Expected("case03", "classic", "div", theorems=ALL),
    # The trap of supervisor mode on bit 7 does not mention the mode: convention 2 excuses it in 1974's "privileged".
    Expected(
        "case04",
        "classic",
        "lpsw",
        classes=words("control"),
        only_by_trap=True,
        privileged=True,
        pg74_privileged=True,
        theorems=ALL,
    ),
    Expected(
        "case05",
        "classic",
        "lra",
        classes=words("location u-location"),
        hole=ALWAYS,
        pg74_privileged=False,
        pg74_sensitive=True,
        theorems=frozenset(),
    ),
    # `preserved` must hold b equal in the joint query too, or this would be "combined".
    Expected("case06", "classic", "rdb", pg74_sensitive=False, theorems=ALL),
    # Row 6 has "b > w - l"; for l > w the bound is 0, and every other bound shows.
    Expected(
        "case06-clamped",
        "clamped",
        "rdb",
        classes=words("location u-location"),
        hole="if l > w then b != 0 else b > w - l",
        theorems=frozenset(),
    ),
    Expected("case06-clamped", "roomy", "rdb", classes=words("location u-location")),
    Expected(
        "case07",
        "classic",
        "rdm",
        classes=words("mode"),
        hole="m == s",
        pg74_privileged=False,
        pg74_sensitive=True,
        theorems=frozenset({3}),
    ),
    Expected(
        "case08",
        "classic",
        "jrst1",
        classes=words("control"),
        hole="m == s",
        pg74_privileged=False,
        pg74_sensitive=True,
        theorems=frozenset({3}),
    ),
    Expected(
        "case09",
        "classic",
        "nopr",
        classes=words("control"),
        hole="m == s and r != l",
        pg74_privileged=False,
        pg74_sensitive=True,
        theorems=frozenset({3}),
    ),
    Expected(
        "case10",
        "classic",
        "decb",
        classes=words("control u-control"),
        hole="r != 0 and b != 0",
        pg74_privileged=False,
        pg74_sensitive=True,
        theorems=frozenset(),
    ),
    Expected("case10", "own_bound", "decb", classes=words("control u-control")),
    # Row 11 names no class.  Not being privileged, it is mode sensitive for its traps: s completes and u traps (r < b),
    # or s memory-traps at an access that u does not make (r >= b).
    Expected(
        "case11",
        "classic",
        "pmt",
        classes=words("control mode"),
        hole="m == s and r >= b",
        pg74_privileged=True,
        pg74_sensitive=True,
    ),
    Expected(
        "case12",
        "classic",
        "ldz",
        classes=words("mode"),
        hole="m == s and r >= b",
        pg74_privileged=False,
        pg74_sensitive=False,
    ),
    Expected("case13", "classic", "uclr", classes=words("mode"), hole="m == s"),
    Expected(
        "case14",
        "pages",
        "ldm",
        classes=words("combined"),
        hole="m == s and (if q[7] then own1 else own0) == 0",
    ),
    Expected("case15", "classic", "padd", only_by_trap=True, privileged=True, stuck="m == s"),
    Expected("case16", "classic", "load", stuck="m == s and a[7]"),
    Expected("case17", "composed", "load", theorems=ALL),
    *(
        Expected(
            "case18",
            scheme,
            "popf",
            classes=words("control u-control"),
            hole="sp < b and (cpl <= IOPL and V[sp][0] != IF or cpl == 0 and V[sp][2:1] != IOPL)",
        )
        for scheme in ("classic", "compressed")
    ),
    # Row 19 leaves out user configuration: two states of ring 3, IOPL 3 and 0; one traps (compare row 21).
    *(
        Expected(
            "case19",
            scheme,
            "cli",
            classes=words("control u-control configuration u-configuration mode"),
            monitored=True,
        )
        for scheme in ("classic", "compressed")
    ),
    Expected("case20", "classic", "csrrw", operand="scratch", theorems=ALL),
    # Row 20 has only control here, but with the location that it gives to number 2 the old value must be read: then the
    # value of ctl shows (configuration).
    Expected(
        "case20",
        "classic",
        "csrrw",
        operand="ctl",
        classes=words("control configuration"),
        only_by_trap=True,
        privileged=True,
        theorems=ALL,
    ),
    Expected(
        "case20",
        "classic",
        "csrrw",
        operand="l",
        classes=words("control location"),
        only_by_trap=True,
        privileged=True,
        theorems=ALL,
    ),
    Expected("case20", "classic", "csrrw", operand="other", trap_only=True),
    # Held FS: for some real FS of the monitor (1) the real run changes it, whatever the guest's is.
    Expected(
        "case21",
        "classic",
        "fadd",
        classes=words("control u-control configuration u-configuration"),
        hole=ALWAYS,
    ),
    Expected("case21", "own_fs", "fadd", classes=words("control u-control configuration u-configuration")),
    Expected(
        "case22",
        "classic",
        "mvsr",
        classes=words("mode configuration u-configuration"),
        hole="m == s or ipl != 0",
    ),
    # Row 22 gives the MC68010's the same classes.  In user mode it traps in every state, so it is not user sensitive,
    # and in supervisor mode the mode it reads is one constant: what remains of "mode" is the trap.
    Expected(
        "case22",
        "classic",
        "mvsr10",
        classes=words("configuration"),
        only_by_trap=True,
        privileged=True,
        theorems=ALL,
    ),
    Expected("case23", "classic", "mrs", classes=words("mode configuration"), hole="m == s"),
    Expected("case24", "rings", "chmk", trap_only=True),
    # Row 24 leaves out user configuration: E, S and U are the user modes of this scheme, and scb shows in the pc.
    *(
        Expected(
            "case24",
            "rings",
            chm,
            classes=words("control u-control configuration u-configuration mode"),
            hole=ALWAYS,
        )
        for chm in ("chme", "chms", "chmu")
    ),
    # "M as plain map" is a modified bit that the instruction sets; there the clause on side effects does not apply.
    Expected("case25", "classic", "store", classes=words("control u-control")),
    Expected(
        "case25-plain",
        "classic",
        "store",
        classes=words("control u-control"),
        hole="r < b and M == 0",
    ),
    # Row 26: "u may not access"; where nobody may (r >= b) both runs memory-trap.  It has user location, which follows
    # only if the access counts as one in an explicitly named other mode even where the mode named is the present one.
    Expected(
        "case26",
        "classic",
        "ldrt",
        classes=words("location"),
        may=words("u-location"),
        hole="m == s and r < b and up == 0",
    ),
    Expected("case27", "guarded", "store"),
    # The store that leaves the mode as it was, virtual and real (u to u), changes nothing, so it is no hole by value;
    # the rule against aliasing may count it.
    Expected(
        "case27",
        "careless",
        "store",
        hole="io == 1 and r == 255 and (m == s or q[0] == 0)",
    ),
    # Every user state traps, so it is privileged by the definition.  The trap is no fault (r is lost) unless r was 0,
    # and no completion of what supervisor mode does.  In virtual user mode the virtual machine takes the same trap with
    # the same loss, so the monitor reflects it as it stands.
    Expected(
        "case28",
        "classic",
        "clobber",
        only_by_trap=True,
        privileged=True,
        hole="m == s and r != 0",
        restartable=False,
    ),
    # Rows 29 to 32 name only "control".  Under these schemes the guest's kernel mode is one of the user modes (it is in
    # the range of the scheme), so what it may do is user sensitive too; vec shows in the pc.
    Expected(
        "case29",
        "assisted",
        "syscall",
        classes=words("control u-control configuration u-configuration"),
    ),
    Expected("case30", "assisted", "wl", classes=words("control u-control"), hole=ALWAYS),
    # "Privileged yes" of row 30 is by the monitor's I == 1.
    Expected("case30", "assisted", "wli", classes=words("control u-control"), monitored=True),
    # By value: a local trap that happens to lead to the next instruction and to find its registers set is no hole.
    # A trap to EL1 is an ordinary transition: it changes m, elr1 and spsr1, and vbar1 shows in the pc.  Whether
    # "exactly one traps" means any trap, the definitions do not say.
    Expected(
        "case31",
        "nested",
        "msr",
        classes=words("control"),
        may=words("mode u-control configuration u-configuration"),
        hole="m == EL2 and not (vbar2 == r and spsr1 == EL1 and elr1 == pc and vbar1 == pc + 1)",
    ),
    Expected("case31", "nested", "msrnv", classes=words("control"), only_by_trap=True, privileged=True),
    # Not privileged (S runs them as itself), they are mode sensitive because U traps and S does not.
    Expected(
        "case32", "bare", "satp", classes=words("control u-control mode"), hole="m == S and TVM == 0 and TSR == 0"
    ),
    Expected("case32", "tvm", "satp", classes=words("control u-control mode"), monitored=True),
    *(
        Expected(
            "case32",
            scheme,
            "sret",
            classes=words("control u-control configuration u-configuration mode"),
        )
        for scheme in ("bare", "tvm")
    ),
    *(Expected("case32", scheme, "sstatus", classes=words("control u-control mode")) for scheme in ("bare", "tvm")),
    Expected("case33", "classic", "rdcycle", time=True, theorems=frozenset({1, 3})),
    Expected("case33", "classic", "setcycle", classes=words("control u-control"), hole="cycle != r"),
    Expected("case33", "own_clock", "setcycle", theorems=ALL),
    Expected(
        "case35",
        "classic",
        "rdnew",
        classes=words("configuration u-configuration"),
        hole="new.m != s",
    ),
)
