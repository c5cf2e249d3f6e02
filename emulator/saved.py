"""A whole system in a file: the machine, its memory, its devices, what was typed, wires and deadlines.

It goes on where it was kept on any machine with the same regions and devices, bare or virtual: a virtual machine
migrates from one monitor to another so.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Unreadable
from collections.abc import Mapping
from typing import Any
from zlib import compress, decompress
from zlib import error as Broken

from analyzer.errors import UsageError
from emulator.machine.base import Image
from emulator.system import System

FORMAT = 1
"""The version of the format."""


def kept(system: System) -> str:
    """The system as text.  It is between two steps, in no run."""
    image = system.machine.snapshot()
    assert isinstance(image, Image)
    machine = {
        "elements": dict(image.elements),
        "files": {name: list(entries) for name, entries in image.files.items()},
        "banks": [b64encode(compress(bank)).decode() for bank in image.banks],
        "steps": image.steps,
        "lost": image.lost,
        "clocks": list(image.clocks),
    }
    devices = {name: device.kept() for name, device in system.keeping.items()}
    return json.dumps(
        {
            "format": FORMAT,
            "isa": system.machine.isa.name,
            "digest": system.machine.isa.digest,
            "board": system.board.name,
            "machine": machine,
            "devices": devices,
            "pins": {name: pin.level for name, pin in system.pins.items()},
            "typed": system.console.kept(),
        }
    )


def keep(system: System, text: str) -> None:
    """Takes what was kept in place of what the system has.

    Raises:
        UsageError: it is of another system, or nothing that was kept.
    """
    try:
        found = json.loads(text)
        _fits(system, found)
        machine = found["machine"]
        files = {name: tuple(entries) for name, entries in machine["files"].items()}
        banks = tuple(decompress(b64decode(bank)) for bank in machine["banks"])
        clocks = tuple(machine["clocks"])
    except (ValueError, KeyError, TypeError, Unreadable, Broken) as error:
        raise UsageError("this is no system that was kept", "`popek vmm --save FILE` keeps one") from error
    image = Image(machine["elements"], files, banks, machine["steps"], machine["lost"], clocks)
    system.machine.restore(image)
    for name, pin in system.pins.items():
        pin.level = found["pins"][name]
    system.console.keep(found["typed"])
    for name, state in sorted(found["devices"].items(), key=lambda item: (item[1].get("due") or 0, item[0])):
        system.keeping[name].keep(state)


def _fits(system: System, found: Mapping[str, Any]) -> None:
    """
    Raises:
        UsageError: the system is another.
    """
    isa, board = system.machine.isa, system.board.name
    told = found["format"], found["isa"], found["digest"], found["board"], set(found["devices"]), set(found["pins"])
    if told != (FORMAT, isa.name, isa.digest, board, set(system.keeping), set(system.pins)):
        kept = f"{found['isa']} on the board {found['board']}"
        raise UsageError(f"{kept} was kept, and this is {isa.name} on {board}, or one of them is another version")
