"""Flattened device trees: Devicetree Specification, release v0.4, chapter 5.

A tree is a mapping: a mapping in it is a node, all else a property.  A text is a string and its end; a list of texts
that many strings; a number one cell of 32 bits, or two if it does not fit; a list of numbers these in turn; `True` is
empty.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Property = str | int | bool | Sequence[str | int]
Tree = Mapping[str, "Property | Tree"]

MAGIC, VERSION, LAST_COMPATIBLE = 0xD00DFEED, 17, 16
BEGIN_NODE, END_NODE, PROPERTY, END = 1, 2, 3, 9
HEADER = struct.Struct(">10I")


def flattened(tree: Tree) -> bytes:
    """The blob of a tree (version 17).

    >>> flattened({"compatible": "a"})[:4].hex()
    'd00dfeed'
    """
    names: dict[str, int] = {}
    structure = _node("", tree, names) + _cells(END)
    strings = b"".join(name.encode() + b"\0" for name in names)
    reservations = bytes(16)
    at_structure = HEADER.size + len(reservations)
    at_strings = at_structure + len(structure)
    header = HEADER.pack(
        MAGIC,
        at_strings + len(strings),
        at_structure,
        at_strings,
        HEADER.size,
        VERSION,
        LAST_COMPATIBLE,
        0,
        len(strings),
        len(structure),
    )
    return header + reservations + structure + strings


def _node(name: str, tree: Tree, names: dict[str, int]) -> bytes:
    """A node: its properties first, then the nodes in it (5.4.2)."""
    block = _cells(BEGIN_NODE) + _aligned(name.encode() + b"\0")
    for key, value in tree.items():
        if not isinstance(value, Mapping):
            data = _value(value)
            offset = names.setdefault(key, sum(len(known.encode()) + 1 for known in names))
            block += _cells(PROPERTY, len(data), offset) + _aligned(data)
    for key, value in tree.items():
        if isinstance(value, Mapping):
            block += _node(key, value, names)
    return block + _cells(END_NODE)


def _value(value: Property) -> bytes:
    if isinstance(value, bool):
        return b""
    if isinstance(value, int):
        return value.to_bytes(4 if value < 1 << 32 else 8, "big")
    if isinstance(value, str):
        return value.encode() + b"\0"
    return b"".join(_value(item) for item in value)


def _cells(*cells: int) -> bytes:
    return b"".join(cell.to_bytes(4, "big") for cell in cells)


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
